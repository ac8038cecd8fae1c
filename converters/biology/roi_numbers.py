"""The ROIs that a source speaks of: how its numbers become rows of the plane segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.file_guard import inside
from nwbswitch.schemas.issues import Place, issue
from nwbswitch.schemas.roi_labels import Numbered


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
