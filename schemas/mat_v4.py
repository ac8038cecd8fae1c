"""MAT-files of MATLAB 4 (``-v4``): one full, text or sparse matrix after another.

Source of the format: MathWorks, "MAT-File Format", chapter "Level 4 MAT-Files".
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import UnsafeFileError
from nwbswitch.schemas.mat_values import (
    MatBudget,
    MatVariable,
    checked_shape,
    damaged,
    sparse_value,
    text_value,
)

MAX_VARIABLES = 100_000
MAX_NAME = 4096
_TYPES = ("f8", "f4", "i4", "i2", "u2", "u1")
_CLASSES = ("double", "char", "sparse")


@dataclass(frozen=True, slots=True)
class _Matrix:
    class_name: str
    dtype: np.dtype[Any]
    stored: tuple[int, int]
    """Rows and columns of the stored table; a sparse matrix is stored as rows (row, column, value)."""
    shape: tuple[int, int]
    is_complex: bool
    start: int


class MatV4:
    """An open MAT-file of level 4."""

    def __init__(self, file: Path, stream: BinaryIO, budget: MatBudget) -> None:
        self._file = file
        self._stream = stream
        self._budget = budget
        self._size = file.stat().st_size
        self._places: dict[str, _Matrix] = {}
        at = 0
        while at < self._size:
            name, matrix = self._header(at)
            if name in self._places:
                raise damaged(file, f"it holds two variables called {name[:80]}")
            if len(self._places) == MAX_VARIABLES:
                raise UnsafeFileError(file, f"holds more than {MAX_VARIABLES} variables.")
            self._places[name] = matrix
            at = matrix.start + self._stored_bytes(matrix)

    @property
    def variables(self) -> dict[str, MatVariable]:
        """Shape and class of each variable."""
        return {name: MatVariable(each.shape, each.class_name) for name, each in self._places.items()}

    def read(self, name: str) -> Any:
        """Return the value of a variable."""
        matrix = self._places[name]
        self._budget.spend(2 * self._stored_bytes(matrix))
        self._stream.seek(matrix.start)
        real = self._table(matrix)
        if matrix.class_name == "sparse":
            return self._sparse(matrix, real)
        if matrix.class_name == "char":
            codes = real.ravel(order="F").astype(np.uint16)
            return text_value(self._file, codes, matrix.shape)
        values = real + 1j * self._table(matrix) if matrix.is_complex else real
        # Every number of level 4 is a double in MATLAB, whatever type saved space.
        return values if matrix.is_complex else values.astype(np.float64, copy=False)

    def fields(self, name: str) -> dict[str, MatVariable]:
        """Return nothing: level 4 has no structs."""
        return {}

    def _header(self, at: int) -> tuple[str, _Matrix]:
        self._stream.seek(at)
        head = self._stream.read(20)
        if len(head) < 20:
            raise damaged(self._file, "it ends inside a variable")
        order = "<" if struct.unpack("<i", head[:4])[0] in range(5000) else ">"
        code, rows, columns, imaginary, length = struct.unpack(f"{order}5i", head)
        machine, reserved, kind, matrix_class = code // 1000, code // 100 % 10, code // 10 % 10, code % 10
        if (
            machine != (order == ">")
            or reserved
            or kind >= len(_TYPES)
            or matrix_class >= len(_CLASSES)
            or imaginary not in (0, 1)
            or not 0 < length <= MAX_NAME
        ):
            raise damaged(self._file, f"the header of a variable at byte {at} cannot be read")
        name = self._stream.read(length).rstrip(b"\0").decode("latin1")
        stored = checked_shape(self._file, (rows, columns))
        start = at + 20 + length
        dtype: np.dtype[Any] = np.dtype(f"{order}{_TYPES[kind]}")
        shape = stored
        matrix = _Matrix(
            _CLASSES[matrix_class], dtype, (rows, columns), (rows, columns), bool(imaginary), start
        )
        if start + self._stored_bytes(matrix) > self._size:
            raise damaged(self._file, f"the variable {name[:80]} states the shape {shape} and is not there")
        if matrix.class_name == "sparse":
            matrix = self._sparse_matrix(matrix)
        return name, matrix

    def _stored_bytes(self, matrix: _Matrix) -> int:
        return math.prod(matrix.stored) * matrix.dtype.itemsize * (1 + matrix.is_complex)

    def _sparse_matrix(self, matrix: _Matrix) -> _Matrix:
        """Read the shape of a sparse matrix, which is its last row."""
        rows, columns = matrix.stored
        if columns not in (3, 4) or not rows or matrix.is_complex:
            raise damaged(self._file, "a sparse matrix has no rows of three or four numbers")
        shape = []
        for column in (0, 1):
            self._stream.seek(matrix.start + (column * rows + rows - 1) * matrix.dtype.itemsize)
            shape.append(np.frombuffer(self._stream.read(matrix.dtype.itemsize), matrix.dtype)[0])
        if not all(0 <= each < 1 << 31 for each in shape):
            raise damaged(self._file, "a sparse matrix has no shape")
        return _Matrix(
            "sparse", matrix.dtype, matrix.stored, (int(shape[0]), int(shape[1])), False, matrix.start
        )

    def _table(self, matrix: _Matrix) -> NDArray[Any]:
        size = math.prod(matrix.stored) * matrix.dtype.itemsize
        data = bytearray(self._stream.read(size))
        values = np.frombuffer(data, matrix.dtype) if data else np.empty(0, matrix.dtype)
        return values.astype(matrix.dtype.newbyteorder("="), copy=False).reshape(matrix.stored, order="F")

    def _sparse(self, matrix: _Matrix, table: NDArray[Any]) -> Any:
        rows, columns = table[:-1, 0], table[:-1, 1]
        inside = (rows >= 1) & (rows <= matrix.shape[0]) & (columns >= 1) & (columns <= matrix.shape[1])
        if not inside.all():
            raise damaged(self._file, f"a sparse matrix of shape {matrix.shape} has an entry outside")
        self._budget.spend(8 * matrix.shape[1])
        values = table[:-1, 2] + 1j * table[:-1, 3] if table.shape[1] == 4 else table[:-1, 2].astype(float)
        row, column = rows.astype(np.int64) - 1, columns.astype(np.int64) - 1
        order = np.lexsort((row, column))
        starts = np.searchsorted(column[order], np.arange(matrix.shape[1] + 1))
        return sparse_value(self._file, values[order], row[order], starts, matrix.shape)
