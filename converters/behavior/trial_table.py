"""Rows of a lab's table of trials or stimuli: times checked, columns typed."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import InputFileError, StudyError, TableError
from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.stored_names import plain_name
from nwbswitch.schemas.streams_trials import TableColumn
from nwbswitch.schemas.text_table import read_lines

Floats = NDArray[np.float64]
_MISSING = frozenset({"", "nan", "na", "n/a"})
_TRUTH = {"true": True, "false": False}
_MAX_BAD = 5
# Fifteen digits are whole in every program that reads them.
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,15}\s*")
_CODE = re.compile(r"[0-9]*")
_LEADING_ZERO = re.compile(r"0[0-9]")
RESERVED = frozenset({"start_time", "stop_time", "id", "tags", "timeseries"})
"""Columns that NWB keeps for itself in tables of intervals."""


@dataclass(frozen=True, slots=True)
class KeptColumn:
    """One column beside the times."""

    name: str
    description: str
    values: NDArray[Any] | list[str]


@dataclass(frozen=True, slots=True)
class EventRows:
    """Rows in order of their starts, on the clock of the table, s."""

    starts_s: Floats
    stops_s: Floats
    columns: tuple[KeptColumn, ...]
    names: list[str] | None = None
    """Text of the column that names what each row is, where one was asked for."""


@dataclass(frozen=True, slots=True)
class TimeColumns:
    """Where the times of a table are."""

    start: str
    stop: str | None
    duration: str | None
    duration_s: float | None
    scale: float


def read_events(
    path: Path,
    times: TimeColumns,
    *,
    kept: Sequence[TableColumn] | None,
    sheet: str | None,
    named: str | None = None,
    reserved: frozenset[str] = RESERVED,
) -> EventRows:
    """Return the rows of a table of events.

    Columns whose cells are all numbers become numbers (missing ones NaN; whole ones integers, unless zeros
    lead, as in codes), all true or false truth values, others text. ``named`` is a column that becomes the
    names of the rows. Columns called like one of ``reserved`` get a ``_``.

    Raises
    ------
    TableError
        Columns that are not there, times that are no numbers, ends before starts; all with their lines.
    InputFileError
        A table without rows.
    """
    try:
        lines = read_lines(path, sheet=sheet)
    except StudyError as error:
        raise TableError(error.issues) from error
    if len(lines) < 2:
        raise InputFileError(path, "holds no rows below its header.")
    header = lines[0][1]
    own = [each for each in (times.start, times.stop, times.duration) if each]
    wanted = own + [each.column for each in kept or ()] + ([named] if named else [])
    found = [_no_column(path, name, header) for name in wanted if name not in header]
    found += [
        issue(
            "duplicate-id", f"The column {name!r} is there twice.", place=Place(path, 1), remedy="Keep one."
        )
        for name in dict.fromkeys(header)
        if name and header.count(name) > 1
    ]
    if found:
        raise TableError(found)
    numbers = [line for line, _ in lines[1:]]
    cells = {
        name: [row[place] if place < len(row) else "" for _, row in lines[1:]]
        for place, name in enumerate(header)
        if name
    }
    starts, found = _times(path, times.start, cells[times.start], numbers, times.scale)
    stops = starts + (times.duration_s or 0.0)
    if times.stop or times.duration:
        name = times.stop or times.duration or ""
        values, more = _times(path, name, cells[name], numbers, times.scale)
        found += more
        stops = values if times.stop else starts + values
    for row in np.flatnonzero(stops < starts)[:_MAX_BAD]:
        problem = f"It ends at {stops[row]:g} s, before it starts at {starts[row]:g} s."
        found.append(issue("bad-cell", problem, place=Place(path, numbers[row])))
    if found:
        raise TableError(found)
    order = np.argsort(starts, kind="stable")
    if kept is None:
        kept = [TableColumn(column=name) for name in cells if name not in own]
    columns = tuple(
        _column(each, [cells[each.column][row] for row in order], reserved)
        for each in kept
        if each.column != named
    )
    _check_names(path, columns)
    names = None if named is None else [cells[named][row] for row in order]
    return EventRows(starts[order], stops[order], columns, names)


def _check_names(path: Path, columns: Sequence[KeptColumn]) -> None:
    for name, count in Counter(each.name for each in columns).items():
        if count > 1:
            problem = f"Two columns would be called {name!r}."
            remedy = "Give one of them another name under columns."
            raise TableError([issue("duplicate-id", problem, place=Place(path, 1), remedy=remedy)])


def _no_column(path: Path, name: str, header: Sequence[str]) -> Issue:
    problem = f"There is no column {name!r}; the columns are {', '.join(map(repr, header[:20]))}."
    return issue("missing-column", problem, place=Place(path, 1), remedy=nearest(name, header))


def _times(
    path: Path, name: str, cells: Sequence[str], lines: Sequence[int], scale: float
) -> tuple[Floats, list[Issue]]:
    values = np.array([_number(cell) for cell in cells])
    found = [
        issue(
            "bad-cell",
            f"The time {cells[row][:40]!r} is not a number.",
            place=Place(path, lines[row], name),
            remedy="Leave the row out, or give its time.",
        )
        for row in np.flatnonzero(np.isnan(values))[:_MAX_BAD]
    ]
    return values * scale, found


def _number(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) and "_" not in cell else math.nan


def _column(column: TableColumn, cells: Sequence[str], reserved: frozenset[str]) -> KeptColumn:
    name = plain_name(column.name or column.column)
    name = f"{name}_" if name in reserved or not name.strip(".") else name
    unit = f" Unit: {column.unit}." if column.unit else ""
    description = (column.description or f"Column {column.column} of the table.") + unit
    folded = [cell.casefold() for cell in cells]
    if all(cell in _TRUTH for cell in folded):
        return KeptColumn(name, description, np.array([_TRUTH[cell] for cell in folded]))
    if all(map(_CODE.fullmatch, cells)) and any(_LEADING_ZERO.match(cell) for cell in cells):
        return KeptColumn(name, description, list(cells))
    if all(map(_WHOLE.fullmatch, cells)):
        return KeptColumn(name, description, np.array([int(cell) for cell in cells]))
    if all(cell in _MISSING or not math.isnan(_number(cell)) for cell in folded) and any(
        cell not in _MISSING for cell in folded
    ):
        return KeptColumn(name, description, np.array([_number(cell) for cell in cells]))
    return KeptColumn(name, description, list(cells))
