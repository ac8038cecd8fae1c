"""Tables of subjects and sessions in CSV or Excel: one mapping per row, with the line of each."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nwbswitch.schemas.errors import MissingExtraError, StudyError
from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.study_positions import KeyPath, Places, item_text, read_text

MAX_TABLE_BYTES = 50_000_000
MAX_UNPACKED_BYTES = 200_000_000
MAX_ROWS = 100_000
MAX_COLUMNS = 500
LIST_COLUMNS = ("placeholders", "imaging.pixel_size_um")
"""Columns whose cells hold several values, separated by semicolons or spaces."""
NULL = "null"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: nested values (dotted column names reach inside), and the place of each."""

    value: dict[str, Any]
    places: Places


def read_rows(
    path: Path, *, name: str, required: Sequence[str] = (), sheet: str | None = None
) -> tuple[list[Row], list[Issue]]:
    """Return the rows of a CSV or Excel table, and what is wrong with it.

    Empty cells are left out, so that defaults apply; the cell ``null`` removes a default. CSV may be
    separated by commas, semicolons or tabs.

    Parameters
    ----------
    path
        The file; its suffix decides how it is read (.xlsx, anything else is CSV).
    name
        What the rows are, for places: ``subjects`` or ``sessions``.
    required
        Columns that must be there; without one of them no row is returned.
    sheet
        Sheet of an Excel file; the first one by default.

    Raises
    ------
    StudyError
        When the file cannot be read at all.
    MissingExtraError
        When an Excel file is given and openpyxl is not installed.
    """
    lines = _excel(path, sheet) if path.suffix.lower() in (".xlsx", ".xlsm") else _csv(path)
    found: list[Issue] = []
    header: list[str] | None = None
    rows: list[Row] = []
    try:
        for line, cells in lines:
            if not any(cells):
                continue
            if header is None:
                header = cells
                found += _header_issues(header, required, Place(path, line))
                continue
            if len(rows) == MAX_ROWS:
                message = f"The table has more than {MAX_ROWS} rows."
                raise StudyError([issue("unreadable-file", message, place=Place(path, line))])
            rows.append(_row(header, cells, Place(path, line), (name, len(rows)), found))
    except csv.Error as error:
        raise StudyError(
            [issue("unreadable-file", f"Not a CSV table: {error}.", place=Place(path))]
        ) from error
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
    if len(header) > MAX_COLUMNS:
        raise StudyError([issue("unreadable-file", f"The table has {len(header)} columns.", place=place)])
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
        if name in LIST_COLUMNS and content is not None:
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


def _csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    text = read_text(path, max_bytes=MAX_TABLE_BYTES)
    first = text.lstrip("\r\n").split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    for cells in reader:
        yield line, [cell.strip() for cell in cells]
        line = reader.line_num + 1


def _excel(path: Path, sheet: str | None) -> Iterator[tuple[int, list[str]]]:
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ModuleNotFoundError as error:
        raise MissingExtraError("openpyxl", "convert") from error
    place = Place(path)
    if not path.is_file():
        raise StudyError([issue("missing-file", "The file is not there.", place=place)])
    try:
        _check_workbook(path, place)
        book = load_workbook(path, read_only=True, data_only=True, keep_links=False)
    except (OSError, zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, SyntaxError) as error:
        message = f"Not an Excel workbook: {error}."
        raise StudyError([issue("unreadable-file", message, place=place)]) from error
    try:
        if sheet is not None and sheet not in book.sheetnames:
            message = f"There is no sheet {sheet!r}; there are {', '.join(book.sheetnames)}."
            raise StudyError([issue("unknown-word", message, place=place)])
        page = book[sheet] if sheet is not None else book.worksheets[0]
        for line, cells in enumerate(page.iter_rows(values_only=True), start=1):
            yield line, [_cell_text(cell) for cell in cells]
    finally:
        book.close()


def _check_workbook(path: Path, place: Place) -> None:
    """Refuse a workbook that unpacks to too much or whose XML declares entities."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        unpacked = sum(member.file_size for member in members)
        if unpacked > MAX_UNPACKED_BYTES:
            message = f"The workbook unpacks to {unpacked} bytes."
            raise StudyError([issue("unsafe-file", message, place=place)])
        for member in members:
            if member.filename.endswith((".xml", ".rels")) and b"<!DOCTYPE" in archive.read(member):
                message = f"{member.filename} in the workbook declares a DOCTYPE."
                raise StudyError([issue("unsafe-file", message, place=place)])


def _cell_text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if hasattr(cell, "isoformat"):
        return str(cell.isoformat())
    return str(cell).strip()
