"""A lab's table as lines of named cells, with every finding about it gathered before it is refused."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.issues import Issue, Place, has_errors, issue, nearest
from nwbswitch.schemas.text_table import read_lines

SESSION_KEYS = ("subject_id", "session_id")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table: its number in the file, counted from 1, and its cells by column."""

    number: int
    cells: Mapping[str, str]


@dataclass(slots=True)
class LabTable:
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

    def of_session(self, subject_id: str, session_id: str) -> tuple[Line, ...]:
        """Return the lines of a subject and session, where the table has such columns.

        Raises
        ------
        TableError
            When it has them, and no line for this session.
        """
        left = self.lines
        for name, wanted in zip(SESSION_KEYS, (subject_id, session_id), strict=True):
            if name not in self.columns:
                continue
            known = sorted({line.cells.get(name, "") for line in left})
            left = tuple(line for line in left if line.cells.get(name, "") == wanted)
            if not left:
                message = f"No row has {name} {wanted!r}."
                remedy = nearest(wanted, known) or f"There are {', '.join(known)[:200]}."
                self.found("unknown-word", message, item=name, remedy=remedy)
                self.stop_on_errors()
        return left


def read_lab_table(path: Path, *, sheet: str | None = None, numeric: Collection[str] = ()) -> LabTable:
    """Return a table's lines.

    Parameters
    ----------
    path
        CSV or Excel file.
    sheet
        Sheet of an Excel file; the first one by default.
    numeric
        Columns that hold numbers.

    Raises
    ------
    StudyError
        A file that is missing, damaged or no table.
    TableError
        A table without rows, or with columns that are there twice.
    """
    lines = read_lines(path, sheet=sheet, numeric=frozenset(numeric))
    names = lines[0][1] if lines else []
    table = LabTable(path, tuple(name for name in names if name), ())
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
    table.lines = tuple(read)
    return table
