"""A lab's table, CSV or Excel, as lines of text; what is no table, or too much of one, is refused."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

from nwbswitch.schemas.errors import MissingExtraError, StudyError
from nwbswitch.schemas.issues import Place, issue
from nwbswitch.schemas.study_positions import read_text

MAX_BYTES = 50_000_000
"""Largest table that is read, bytes on disk and, for Excel, unpacked."""
MAX_ROWS = 100_000
"""Most lines below the header; blank ones count in Excel, where they can be claimed for nothing."""
MAX_COLUMNS = 500

_ZIP = b"PK\x03\x04"
_OLD_EXCEL = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SNIFFED = 1 << 16
_DECIMAL_COMMA = re.compile(r"-?[0-9]+,[0-9]+")

Line = tuple[int, list[str]]
"""Number of a line in its file, counted from 1, and its cells."""


def read_lines(path: Path, *, sheet: str | None = None, numeric: Collection[str] = frozenset()) -> list[Line]:
    """Return every line of a table that is not blank, the header first; cells are stripped.

    CSV is UTF-8 (with or without a byte order mark), separated by commas, semicolons or tabs. Where
    semicolons separate, as in the CSV of an Excel that writes 33,5, a comma in a number is the decimal point.

    Parameters
    ----------
    path
        The file; its suffix decides how it is read (.xlsx and .xlsm, anything else is CSV).
    sheet
        Sheet of an Excel file; the first one by default.
    numeric
        Columns that hold numbers; a dotted column (``imaging.depth_um``) is one when its last part is here.

    Raises
    ------
    StudyError
        When the file is missing, damaged, no table, or too large; with the line where it is known.
    MissingExtraError
        When an Excel file is given and openpyxl is not installed.
    """
    lines = _excel(path, sheet) if path.suffix.lower() in (".xlsx", ".xlsm") else _csv(path, numeric)
    kept: list[Line] = []
    for number, cells in lines:
        if len(cells) > MAX_COLUMNS:
            raise _refusal(path, f"has more than {MAX_COLUMNS} columns", line=number)
        if any(cells):
            if len(kept) > MAX_ROWS:
                raise _refusal(path, f"has more than {MAX_ROWS:,} rows", line=number)
            kept.append((number, cells))
    return kept


def _refusal(path: Path, problem: str, *, line: int | None = None) -> StudyError:
    return StudyError([issue("unsafe-file", f"The table {problem}.", place=Place(path, line))])


def _start(path: Path) -> bytes:
    """Return the first bytes of a file, or none when it cannot be read, which is reported elsewhere."""
    try:
        with path.open("rb") as stream:
            return stream.read(_SNIFFED)
    except OSError:
        return b""


def _misnamed(path: Path, message: str, remedy: str) -> StudyError:
    return StudyError([issue("unreadable-file", message, place=Place(path), remedy=remedy)])


def _refuse_old_excel(path: Path, start: bytes) -> None:
    if start.startswith(_OLD_EXCEL):
        raise _misnamed(
            path,
            "This is a workbook of Excel 97 to 2003, or one with a password.",
            "Save it as .xlsx without one.",
        )


def _is_text(start: bytes) -> bool:
    """Return whether a file begins as text of any 8-bit encoding does."""
    return bool(start) and not start.startswith(_ZIP) and b"\0" not in start


def _csv(path: Path, numeric: Collection[str]) -> Iterator[Line]:
    if path.is_file():
        if path.stat().st_size > MAX_BYTES:
            raise _refusal(path, f"has more than {MAX_BYTES:,} bytes")
        start = _start(path)
        _refuse_old_excel(path, start)
        if start.startswith(_ZIP):
            raise _misnamed(path, "This is an Excel workbook.", "Name it .xlsx.")
    text = read_text(path, max_bytes=MAX_BYTES)
    first = text.lstrip("\r\n").split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    numbers: list[bool] = []
    try:
        for raw in reader:
            cells = [cell.strip() for cell in raw]
            if numbers and separator == ";":
                cells = [
                    _with_point(cell) if at < len(numbers) and numbers[at] else cell
                    for at, cell in enumerate(cells)
                ]
            elif not numbers and any(cells):
                numbers = [name.rpartition(".")[2] in numeric for name in cells]
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        place = Place(path, line)
        raise StudyError([issue("unreadable-file", f"Not a CSV table: {error}.", place=place)]) from error


def _with_point(cell: str) -> str:
    return cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell


def _excel(path: Path, sheet: str | None) -> Iterator[Line]:
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise MissingExtraError("openpyxl", "convert") from error
    place = Place(path)
    if not path.is_file():
        raise StudyError([issue("missing-file", "The file is not there.", place=place)])
    start = _start(path)
    _refuse_old_excel(path, start)
    if _is_text(start):
        raise _misnamed(path, "This is text, not an Excel workbook.", "Name it .csv if it is a CSV table.")
    try:
        _check_workbook(path)
        book = load_workbook(path, read_only=True, data_only=True, keep_links=False)
        try:
            if sheet is not None and sheet not in book.sheetnames:
                message = f"There is no sheet {sheet!r}; there are {', '.join(book.sheetnames)}."
                raise StudyError([issue("unknown-word", message, place=place)])
            page = book[sheet] if sheet is not None else book.worksheets[0]
            rows = page.iter_rows(values_only=True, max_col=MAX_COLUMNS + 1)
            for number, cells in enumerate(rows, start=1):
                if number > MAX_ROWS + 1:
                    raise _refusal(path, f"reaches below row {MAX_ROWS + 1:,}", line=number)
                yield number, _texts(cells)
        finally:
            book.close()
    except StudyError:
        raise
    except Exception as error:  # openpyxl raises anything on odd files
        message = f"Not an Excel workbook: {str(error)[:200] or type(error).__name__}."
        raise StudyError([issue("unreadable-file", message, place=place)]) from error


def _check_workbook(path: Path) -> None:
    """Refuse a workbook that unpacks to too much or whose XML declares entities."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if path.stat().st_size > MAX_BYTES or sum(member.file_size for member in members) > MAX_BYTES:
            raise _refusal(path, f"unpacks to more than {MAX_BYTES:,} bytes")
        for member in members:
            # Without NUL bytes UTF-16 reads like ASCII.
            if b"<!DOCTYPE" in archive.read(member).replace(b"\0", b""):
                raise _refusal(path, f"declares a DOCTYPE in {member.filename[:80]}")


def _texts(cells: tuple[object, ...]) -> list[str]:
    """Return cells as text, without the empty ones at the end with which a sheet fills its rows up."""
    size = len(cells)
    while size and cells[size - 1] is None:
        size -= 1
    return [_text(cell) for cell in cells[:size]]


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else f"{cell:.15g}"
    if hasattr(cell, "isoformat"):
        return str(cell.isoformat())
    return str(cell).strip()
