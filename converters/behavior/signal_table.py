"""Numbers of named columns of a CSV file, with the file and line of everything that is wrong."""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nwbswitch.schemas.errors import InputFileError, TableError, UnsafeFileError
from nwbswitch.schemas.issues import Place, issue, nearest

MAX_BYTES = 1 << 30
MAX_LINE_CHARACTERS = 1 << 20
_MISSING = frozenset(("", "nan", "na", "n/a"))
_MAX_BAD_CELLS = 5


def read_columns(
    path: Path, columns: Sequence[str], *, max_bytes: int = MAX_BYTES
) -> tuple[dict[str, np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    """Return the named columns, each (n_rows,), and the line of each row.

    Empty cells and ``NaN`` become NaN.

    Raises
    ------
    TableError
        A column that is not there (with the nearest name) or cells that are no numbers (with their lines).
    InputFileError
        The file is not a table.
    UnsafeFileError
        The file is larger than ``max_bytes``.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise UnsafeFileError(
                path, f"has {size} bytes, more than the {max_bytes} read.", "Split the table."
            )
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return _parse(path, stream, columns)
    except UnicodeDecodeError as error:
        raise InputFileError(
            path, f"is not UTF-8 text (byte {error.start}).", "Save it as CSV in UTF-8."
        ) from error
    except csv.Error as error:
        raise InputFileError(path, f"is not a CSV table: {error}.") from error
    except OSError as error:
        raise InputFileError(path, f"cannot be read: {error.strerror or error}.") from error


def _parse(
    path: Path, stream: Any, columns: Sequence[str]
) -> tuple[dict[str, np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    reader = csv.reader(_lines(path, stream), strict=True)
    header = [name.strip() for name in next(reader, [])]
    missing = [name for name in columns if name not in header]
    if missing:
        raise TableError(
            [
                issue(
                    "missing-column",
                    f"There is no column {name!r}; the columns are {', '.join(map(repr, header[:20]))}.",
                    place=Place(path, 1),
                    remedy=nearest(name, header),
                )
                for name in missing
            ]
        )
    repeated = [name for name in columns if header.count(name) > 1]
    if repeated:
        raise InputFileError(path, f"has several columns named {repeated[0]!r}.", "Rename all but one.")
    places = [header.index(name) for name in columns]
    # Flat arrays: lists of lists would take twenty times the bytes of the file.
    numbers, lines = array("d"), array("q")
    bad = []
    for row in reader:
        if not row:
            continue
        if len(row) != len(header):
            raise InputFileError(
                path, f"line {reader.line_num} has {len(row)} cells, the header has {len(header)}."
            )
        values = [_number(row[place]) for place in places]
        if None in values:
            column = columns[values.index(None)]
            cell = row[places[values.index(None)]]
            bad.append(
                issue(
                    "bad-cell",
                    f"The cell {cell[:40]!r} is not a number.",
                    place=Place(path, reader.line_num, column),
                    remedy="Use a point as decimal sign and no unit, or leave the cell empty.",
                )
            )
            if len(bad) == _MAX_BAD_CELLS:
                break
            continue
        numbers.extend(value for value in values if value is not None)
        lines.append(reader.line_num)
    if bad:
        raise TableError(bad)
    if not lines:
        raise InputFileError(path, "holds no rows below its header.")
    table = np.frombuffer(numbers).reshape(len(lines), len(columns))
    return {name: table[:, place].copy() for place, name in enumerate(columns)}, np.array(lines)


def _lines(path: Path, stream: Any) -> Any:
    number = 0
    while line := stream.readline(MAX_LINE_CHARACTERS):
        number += 1
        if len(line) == MAX_LINE_CHARACTERS:
            raise UnsafeFileError(path, f"line {number} has {MAX_LINE_CHARACTERS} characters or more.")
        if "\0" in line:
            raise InputFileError(path, f"line {number} holds a NUL character; it is no text.")
        yield line


def _number(text: str) -> float | None:
    word = text.strip()
    if word.lower() in _MISSING:
        return math.nan
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in word else None
