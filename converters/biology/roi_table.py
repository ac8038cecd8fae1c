"""Tables with one row per ROI: lines of this session, each with its row of the plane segmentation."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nwbswitch.converters.biology.roi_numbers import RoiNumbers
from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.issues import Issue, Place, has_errors, issue, nearest
from nwbswitch.schemas.roi_labels import Numbered
from nwbswitch.schemas.text_table import read_lines

SESSION_KEYS = ("subject_id", "session_id")
_WHOLE = re.compile(r"\d{1,9}(\.0*)?")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table: its number in the file, counted from 1, and its cells by column."""

    number: int
    cells: Mapping[str, str]


@dataclass(slots=True)
class RoiTable:
    """A table, read; findings are gathered so that all are reported at once."""

    path: Path
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    issues: list[Issue] = field(default_factory=list)

    def found(
        self, code: str, message: str, *, line: Line | None = None, item: str = "", remedy: str = ""
    ) -> None:
        """Keep a finding."""
        place = Place(self.path, line.number if line else 1, item)
        self.issues.append(issue(code, message, place=place, remedy=remedy))

    def require(self, *names: str) -> None:
        """Report columns that are not there, and stop when there are any.

        Raises
        ------
        TableError
            With every finding so far.
        """
        for name in names:
            if name not in self.columns:
                remedy = nearest(name, self.columns) or f"The columns are {', '.join(self.columns)[:200]}."
                self.found("missing-column", f"There is no column {name!r}.", item=name, remedy=remedy)
        self.stop_on_errors()

    def stop_on_errors(self) -> None:
        """Raise what was found, when any of it is an error.

        Raises
        ------
        TableError
            With every finding so far.
        """
        if has_errors(self.issues):
            raise TableError(self.issues)

    def number(self, line: Line, name: str, *, low: float = -math.inf, high: float = math.inf) -> float:
        """Return a cell as a number, NaN when it is empty; what is no number within limits is reported."""
        text = line.cells.get(name, "")
        if not text:
            return math.nan
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and low <= value <= high):
            within = "" if math.isinf(low) and math.isinf(high) else f" from {low:g} to {high:g}"
            remedy = f"Expected a number{within}, or an empty cell."
            self.found("bad-cell", f"{name} holds {text!r}.", line=line, item=name, remedy=remedy)
            return math.nan
        return value

    def roi_rows(
        self, lines: Collection[Line], name: str, rois: RoiNumbers, *, first: int, numbered: Numbered
    ) -> dict[int, Line]:
        """Return the line of each ROI by its row in the segmentation; wrong and double ones are reported."""
        rows = rois.rows(numbered, Place(self.path))
        found: dict[int, Line] = {}
        for line in lines:
            text = line.cells.get(name, "")
            if not _WHOLE.fullmatch(text):
                remedy = f"Expected the number of an ROI, {first} to {first + len(rows) - 1}."
                self.found("bad-cell", f"{name} holds {text!r}.", line=line, item=name, remedy=remedy)
                continue
            at = int(float(text)) - first
            if not 0 <= at < len(rows):
                self._beyond(line, name, at + first, first, len(rows), numbered)
                continue
            row = int(rows[at])
            if row in found:
                message = f"ROI {at + first} is there twice, before in line {found[row].number}."
                self.found("duplicate-id", message, line=line, item=name, remedy="Keep one of the lines.")
            found.setdefault(row, line)
        return found

    def _beyond(self, line: Line, name: str, number: int, first: int, count: int, numbered: Numbered) -> None:
        kind = "ROIs" if numbered == "all" else "accepted ROIs"
        span = f"has no {kind}" if not count else f"has the {kind} {first} to {first + count - 1}"
        remedy = ""
        if number == count + first and first == 0:
            remedy = "Say first_roi: 1 if the table counts from 1."
        elif number == 0 and first == 1:
            remedy = "Say first_roi: 0 if the table counts from 0."
        message = f"There is no ROI {number}: the segmentation {span}."
        self.found("wrong-value", message, line=line, item=name, remedy=remedy)


def read_roi_table(
    path: Path, *, sheet: str | None = None, numeric: Collection[str] = (), rois: RoiNumbers | None = None
) -> RoiTable:
    """Return a table's lines; with ``rois`` those of its subject and session, where it has such columns.

    Raises
    ------
    StudyError
        A file that is missing, damaged or no table.
    TableError
        A table without rows, with columns that are there twice, or without rows for this session.
    """
    lines = read_lines(path, sheet=sheet, numeric=frozenset(numeric))
    names = lines[0][1] if lines else []
    table = RoiTable(path, tuple(name for name in names if name), ())
    for name, count in Counter(table.columns).items():
        if count > 1:
            message = f"The column {name!r} is there {count} times."
            table.found("duplicate-id", message, item=name, remedy="Keep one of them.")
    read = []
    for number, cells in lines[1:]:
        line = Line(number, dict(zip(names, cells, strict=False)))
        if any(cells[len(names) :]):
            remedy = "Put text that holds the separator in double quotes."
            table.found("bad-cell", "The line has more cells than the header.", line=line, remedy=remedy)
        read.append(line)
    if not read:
        table.found("missing-value", "The table has no rows.")
    table.stop_on_errors()
    table.lines = tuple(read) if rois is None else _of_session(table, read, rois)
    return table


def _of_session(table: RoiTable, lines: list[Line], rois: RoiNumbers) -> tuple[Line, ...]:
    wanted = {"subject_id": rois.subject_id, "session_id": rois.session_id}
    left = lines
    for name in SESSION_KEYS:
        if name not in table.columns:
            continue
        known = sorted({line.cells.get(name, "") for line in left})
        left = [line for line in left if line.cells.get(name, "") == wanted[name]]
        if not left:
            message = f"No row has {name} {wanted[name]!r}."
            remedy = nearest(wanted[name], known) or f"There are {', '.join(known)[:200]}."
            table.found("unknown-word", message, item=name, remedy=remedy)
            table.stop_on_errors()
    return tuple(left)
