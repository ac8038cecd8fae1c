"""The ROIs that a source speaks of: how its numbers become rows of the plane segmentation."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.biology.lab_table import LabTable, Line
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.file_guard import inside
from nwbswitch.schemas.issues import Place, issue
from nwbswitch.schemas.roi_labels import Numbered

_WHOLE = re.compile(r"\d{1,9}(\.0*)?")


@dataclass(frozen=True, slots=True)
class RoiNumbers:
    """The ROIs of one plane in one session, and where sources about them are looked for."""

    n_rois: int
    accepted: NDArray[np.bool_] | None
    subject_id: str
    session_id: str
    folder: Path | None
    root: Path | None

    @classmethod
    def of(
        cls,
        n_rois: int,
        accepted: Sequence[bool] | NDArray[np.bool_] | None,
        *,
        subject_id: str,
        session_id: str,
        folder: Path | None = None,
        root: Path | None = None,
    ) -> RoiNumbers:
        """Return the ROIs after a look at the shape of ``accepted``.

        Raises
        ------
        ValueError
            When ``accepted`` does not have one entry per ROI.
        """
        flags = None if accepted is None else np.asarray(accepted, dtype=bool)
        if flags is not None and flags.shape != (n_rois,):
            raise ValueError(f"accepted has shape {flags.shape}, expected ({n_rois},)")
        return cls(n_rois, flags, subject_id, session_id, folder, root)

    @property
    def n_accepted(self) -> int:
        """Number of accepted ROIs; all when nothing tells them apart."""
        return self.n_rois if self.accepted is None else int(self.accepted.sum())

    def file(self, path: Path) -> Path:
        """Return the path of a source, which stays below ``root`` where one is given."""
        return path if self.root is None else inside(self.root, path)

    def rows(self, numbered: Numbered, place: Place) -> NDArray[np.int64]:
        """Return the row of the segmentation for each number that a source may use, counted from 0.

        Raises
        ------
        IssuesError
            When numbers count the accepted ROIs and nothing says which these are.
        """
        if numbered == "all":
            return np.arange(self.n_rois)
        if self.accepted is None:
            problem = "Its numbers count accepted ROIs, but the segmentation does not say which are accepted."
            raise IssuesError([issue("wrong-value", problem, place=place, remedy="Say rois: all.")])
        return np.flatnonzero(self.accepted)

    def count_hint(self, count: int, numbered: Numbered) -> str:
        """Return what to change when a source speaks of ``count`` ROIs, or an empty text."""
        if numbered == "all" and count == self.n_accepted and count != self.n_rois:
            return "That is the number of accepted ROIs: say rois: accepted if it counts only those."
        if numbered == "accepted" and count == self.n_rois:
            return "That is the number of all ROIs: say rois: all."
        return "Check that it was made from the same segmentation."

    def lines_by_row(
        self, table: LabTable, lines: Collection[Line], column: str, *, first: int, numbered: Numbered
    ) -> dict[int, Line]:
        """Return the line of each ROI by its row in the segmentation; wrong and double ones are reported."""
        rows = self.rows(numbered, Place(table.path))
        found: dict[int, Line] = {}
        for line in lines:
            text = line.cells.get(column, "")
            if not _WHOLE.fullmatch(text):
                remedy = f"Expected the number of an ROI, {first} to {first + len(rows) - 1}."
                table.found("bad-cell", f"{column} holds {text!r}.", line=line, item=column, remedy=remedy)
                continue
            number = int(float(text))
            if not first <= number < first + len(rows):
                self._beyond(table, line, column, number, first, len(rows), numbered)
                continue
            row = int(rows[number - first])
            if row in found:
                message = f"ROI {number} is there twice, before in line {found[row].number}."
                table.found("duplicate-id", message, line=line, item=column, remedy="Keep one of the lines.")
            found.setdefault(row, line)
        return found

    @staticmethod
    def _beyond(
        table: LabTable, line: Line, column: str, number: int, first: int, count: int, numbered: Numbered
    ) -> None:
        kind = "ROIs" if numbered == "all" else "accepted ROIs"
        span = f"has the {kind} {first} to {first + count - 1}" if count else f"has no {kind}"
        remedy = ""
        if number == count and first == 0:
            remedy = "Say first_roi: 1 if the table counts from 1."
        elif number == 0 and first == 1:
            remedy = "Say first_roi: 0 if the table counts from 0."
        message = f"There is no ROI {number}: the segmentation {span}."
        table.found("wrong-value", message, line=line, item=column, remedy=remedy)
