"""What MATLAB's values become in Python, the same for every version of MAT-file.

=====================  =======================================================================================
MATLAB                 Python
=====================  =======================================================================================
numbers, logical       array with MATLAB's shape (2-D at least, Fortran order); logical is bool
sparse                 `scipy.sparse.csc_array`
char row               str; a matrix of characters is a list of its rows without the blanks that pad them
struct                 dict; an array of structs is a list of dicts
cell                   list; with two or more dimensions longer than one, a list of rows (of rows ...)
empty cell or struct   []
function handles,      `MatOpaque`, which names the class: these are not decoded
objects, tables
=====================  =======================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

MAX_DEPTH = 64
MAX_DIMENSIONS = 32
MAX_VALUES = 2_000_000
MAX_RATIO = 1000
"""Deflate reaches 1032:1 on nothing but zeros (zlib's technical details), 950:1 on masks of small cells."""
SUSPECT_BYTES = 64 << 20
"""Smaller values may be compressed at any ratio."""

NUMBERS = {
    "double": "f8",
    "single": "f4",
    "int8": "i1",
    "uint8": "u1",
    "int16": "i2",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
    "int64": "i8",
    "uint64": "u8",
}


@dataclass(frozen=True, slots=True)
class MatOpaque:
    """A value that is not decoded: a function handle, a table, an object of a class."""

    class_name: str


class MatVariable(NamedTuple):
    """What a MAT-file says of a variable: MATLAB's shape (empty where it is not stated) and class.

    A sparse matrix has the class ``sparse``.
    """

    shape: tuple[int, ...]
    class_name: str


class MatBudget:
    """What may still be read from one file."""

    def __init__(self, file: Path, max_bytes: int) -> None:
        self.file = file
        self.limit = max_bytes
        self._bytes = max_bytes
        self._values = MAX_VALUES

    def spend(self, size: int) -> None:
        """Count bytes before they are read."""
        self._bytes -= size
        if self._bytes < 0:
            raise UnsafeFileError(
                self.file,
                f"holds more than the {self.limit} bytes that are read into memory.",
                "Name the variables that are needed, or save them with -v7.3, which is read piece by piece.",
            )

    def count(self, values: int, depth: int) -> None:
        """Count values before they are made."""
        self._values -= values
        if self._values < 0:
            raise UnsafeFileError(self.file, f"holds more than {MAX_VALUES} values in cells and structs.")
        if depth > MAX_DEPTH:
            raise UnsafeFileError(self.file, f"nests cells and structs more than {MAX_DEPTH} deep.")


def damaged(file: Path, fault: str) -> InputFileError:
    """Return the error for a MAT-file that contradicts itself or its format."""
    return InputFileError(
        file, f"is damaged or no MAT-file: {fault[:200]}.", "Copy it again, or save it anew in MATLAB."
    )


def checked_shape(file: Path, dims: Sequence[int]) -> tuple[int, ...]:
    """Return dimensions that a MATLAB array can have."""
    shape = tuple(int(each) for each in dims)
    if not 2 <= len(shape) <= MAX_DIMENSIONS or any(not 0 <= each < 1 << 48 for each in shape):
        raise damaged(file, f"it states the shape {str(shape)[:80]}")
    return shape


def text_value(file: Path, codes: NDArray[np.uint16], shape: tuple[int, ...]) -> str | list[str]:
    """Return the text of UTF-16 code units, given in column-major order."""
    if codes.size != math.prod(shape):
        raise damaged(file, f"a text of shape {shape} has {codes.size} characters")
    if not codes.size:
        return ""
    table = codes.astype("<u2").reshape(shape, order="F").reshape(shape[0], -1, order="F")
    rows = [row.tobytes().decode("utf-16-le", "replace") for row in table]
    return rows[0] if len(rows) == 1 else [row.rstrip(" \0") for row in rows]


def arranged(items: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Return items in column-major order as a list, or as rows where two dimensions are longer than one."""
    if not items or sum(each > 1 for each in shape) < 2:
        return items
    table = np.empty(len(items), dtype=object)
    for position, item in enumerate(items):
        table[position] = item
    rows: list[Any] = table.reshape(shape, order="F").tolist()
    return rows


def sparse_value(
    file: Path, data: NDArray[Any], rows: NDArray[Any], starts: NDArray[Any], shape: tuple[int, ...]
) -> Any:
    """Return the compressed-column matrix after checking every index, which scipy's own loops trust.

    Parameters
    ----------
    data, rows, starts
        MATLAB's ``data``, ``ir`` and ``jc``: values, their row numbers, first value of each column.
    shape
        Rows and columns.
    """
    from scipy.sparse import csc_array

    if (
        len(shape) != 2
        or starts.size != shape[1] + 1
        or any(each.dtype.kind not in "iu" for each in (rows, starts))
    ):
        raise damaged(file, f"a sparse matrix of shape {shape} has {starts.size} column starts")
    count = int(starts[-1])
    # MATLAB reserves space: what lies behind the last column's end means nothing.
    if starts[0] != 0 or np.any(starts[1:] < starts[:-1]) or count > min(rows.size, data.size):
        raise damaged(file, "the columns of a sparse matrix overlap")
    rows, data = rows[:count], data[:count]
    if count and (int(rows.min()) < 0 or int(rows.max()) >= shape[0]):
        raise damaged(file, f"a sparse matrix of shape {shape} has an entry outside")
    index = np.int32 if max(*shape, count) < 1 << 31 else np.int64
    parts: Any = (data, rows.astype(index), starts.astype(index))
    matrix = csc_array(parts, shape=shape)
    matrix.sum_duplicates()
    return matrix
