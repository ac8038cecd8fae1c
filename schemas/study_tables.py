"""Tables of subjects and sessions in CSV or Excel: one mapping per row, with the line of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from nwbswitch.schemas.genetic_tools import Actuator, Virus
from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.stream_base import Imaging
from nwbswitch.schemas.streams import FORMATS
from nwbswitch.schemas.study import Subject
from nwbswitch.schemas.study_clocks import Clock
from nwbswitch.schemas.study_positions import KeyPath, Places, item_text
from nwbswitch.schemas.text_table import read_lines

LIST_COLUMNS = ("placeholders", "pixel_size_um", "part_start_s")
"""Columns whose cells hold several values, separated by semicolons or spaces; of a dotted one the end."""
NULL = "null"
_MODELS: tuple[type[BaseModel], ...] = (Subject, Imaging, Clock, Virus, Actuator, *FORMATS.values())
NUMERIC_COLUMNS = frozenset(
    name
    for model in _MODELS
    for name, field in model.model_fields.items()
    if field.annotation in (float, float | None)
)
"""Fields that hold a number; of a dotted column it is the last part."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: nested values (dotted column names reach inside), and the place of each."""

    value: dict[str, Any]
    places: Places


def read_rows(
    path: Path, *, name: str, required: Sequence[str] = (), sheet: str | None = None
) -> tuple[list[Row], list[Issue]]:
    """Return the rows of a CSV or Excel table, and what is wrong with it.

    Empty cells are left out, so that defaults apply; the cell ``null`` removes a default. The file is read
    by `nwbswitch.schemas.text_table.read_lines`, which raises what it cannot read.

    Parameters
    ----------
    path
        The file, CSV or Excel.
    name
        What the rows are, for places: ``subjects`` or ``sessions``.
    required
        Columns that must be there; without one of them no row is returned.
    sheet
        Sheet of an Excel file; the first one by default.
    """
    header: list[str] | None = None
    rows: list[Row] = []
    found: list[Issue] = []
    for line, cells in read_lines(path, sheet=sheet, numeric=NUMERIC_COLUMNS):
        if header is None:
            header = cells
            found += _header_issues(header, required, Place(path, line))
        else:
            rows.append(_row(header, cells, Place(path, line), (name, len(rows)), found))
    if not rows:
        message = "The table is empty." if header is None else "The table has a header but no rows."
        found.append(issue("missing-value", message, place=Place(path, 1)))
    complete = header is not None and all(column in header for column in required)
    return rows if complete else [], found


def _header_issues(header: Sequence[str], required: Sequence[str], place: Place) -> list[Issue]:
    found = []
    for name in required:
        if name not in header:
            remedy = nearest(name, filter(None, header)) or f"The columns are {', '.join(header)[:200]}."
            message = f"There is no column {name!r}."
            found.append(issue("missing-column", message, place=place, remedy=remedy))
    for position, name in enumerate(header):
        if name and name in header[:position]:
            message = f"The column {name!r} is there twice."
            found.append(issue("duplicate-id", message, place=place, remedy="Keep one."))
    return found


def _row(header: Sequence[str], cells: Sequence[str], place: Place, path: KeyPath, found: list[Issue]) -> Row:
    places: Places = {(): Place(place.file, place.line, item_text(path))}
    value: dict[str, Any] = {}
    if any(cells[len(header) :]):
        message = f"The row has {len(cells)} cells, the header {len(header)}."
        found.append(issue("bad-cell", message, place=place, remedy="Quote cells that hold the separator."))
    taken: set[str] = set()
    for name, cell in zip(header, cells, strict=False):
        if not cell or (name and name in taken):
            continue
        if not name:
            found.append(issue("bad-cell", f"The cell {cell!r} is in a column without a name.", place=place))
            continue
        taken.add(name)
        content: Any = None if cell == NULL else cell
        if name.rpartition(".")[2] in LIST_COLUMNS and content is not None:
            content = [part for part in re.split(r"[;\s]+", content) if part]
        if not _put(value, name.split("."), content):
            message = f"The column {name!r} fills a part of something another column gives as a whole."
            found.append(issue("bad-cell", message, place=place))
        keys = tuple(name.split("."))
        for size in range(1, len(keys) + 1):
            places.setdefault(keys[:size], Place(place.file, place.line, name))
    return Row(value, places)


def _put(target: dict[str, Any], keys: Sequence[str], content: Any) -> bool:
    for key in keys[:-1]:
        inner = target.setdefault(key, {})
        if not isinstance(inner, dict):
            return False
        target = inner
    if keys[-1] in target:
        return False
    target[keys[-1]] = content
    return True
