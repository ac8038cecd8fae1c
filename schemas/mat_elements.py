"""The elements of which MAT-files of MATLAB 5 to 7 consist: a tag with type and size, then data.

Source of the format: MathWorks, "MAT-File Format", chapter "Level 5 MAT-Files".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.mat_values import NUMBERS, MatVariable, checked_shape, damaged

MAX_NAME = 4096
UINT8, MATRIX, COMPRESSED = 2, 14, 15
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
TEXT_TYPES = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CLASSES = {
    1: "cell",
    2: "struct",
    3: "object",
    4: "char",
    5: "sparse",
    6: "double",
    7: "single",
    8: "int8",
    9: "uint8",
    10: "int16",
    11: "uint16",
    12: "int32",
    13: "uint32",
    14: "int64",
    15: "uint64",
    16: "function_handle",
    17: "opaque",
}
_COMPLEX, _LOGICAL = 0x800, 0x200


@dataclass(frozen=True, slots=True)
class MatHead:
    """The beginning of an array: everything before its values."""

    name: str
    class_name: str
    shape: tuple[int, ...]
    is_complex: bool
    is_logical: bool

    @property
    def variable(self) -> MatVariable:
        kind = "logical" if self.is_logical and self.class_name in NUMBERS else self.class_name
        return MatVariable(self.shape, kind)


class MatElements:
    """The elements of a buffer, one after the other."""

    def __init__(self, file: Path, data: memoryview, order: str) -> None:
        self.file = file
        self.order = order
        self.data = data
        self.at = 0
        self._words = struct.Struct(f"{order}II")

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def next(self) -> tuple[int, memoryview]:
        """Return type and data of the next element."""
        if self.left < 8:
            raise damaged(self.file, "it ends inside a value")
        first, second = self._words.unpack_from(self.data, self.at)
        if first >> 16:
            kind, size, start = first & 0xFFFF, first >> 16, self.at + 4
            end = self.at + 8
            if size > 4:
                raise damaged(self.file, f"a small element states {size} bytes")
        else:
            kind, size, start = first, second, self.at + 8
            end = start + size + -size % 8
        if start + size > len(self.data):
            raise damaged(
                self.file, f"an element states {size} bytes where {len(self.data) - start} are left"
            )
        self.at = min(end, len(self.data))
        return kind, self.data[start : start + size]

    def numbers(self, *, expected: int | None = None) -> NDArray[Any]:
        """Return the next element as numbers of the type in which they are stored.

        MATLAB marks the bytes of sparse logical matrices as doubles; ``expected`` values tell them apart.
        """
        kind, data = self.next()
        if TYPES.get(kind) == "f8" and len(data) == expected:
            kind = UINT8
        if kind not in TYPES:
            raise damaged(self.file, f"an element of type {kind} stands where numbers were expected")
        dtype: np.dtype[Any] = np.dtype(f"{self.order}{TYPES[kind]}")
        if len(data) % dtype.itemsize:
            raise damaged(self.file, f"{len(data)} bytes are no whole number of values")
        return np.frombuffer(data, dtype=dtype) if len(data) else np.empty(0, dtype)

    def matrix(self) -> memoryview:
        """Return the data of the next element, which is an array."""
        kind, data = self.next()
        if kind != MATRIX:
            raise damaged(self.file, f"an element of type {kind} stands where an array was expected")
        return data

    def check_matrices(self, count: int) -> None:
        """Refuse more arrays than there can be; each has a tag of eight bytes."""
        if 8 * count > self.left:
            raise damaged(self.file, f"{count} arrays are stated where {self.left} bytes are left")

    def field_names(self) -> list[str]:
        """Return the names of the fields of a struct: one length for all, then all names."""
        lengths = self.numbers()
        width = int(lengths[0]) if lengths.size == 1 and lengths.dtype.kind in "iu" else 0
        data = bytes(self.next()[1])
        if not 0 < width <= MAX_NAME or len(data) % width:
            raise damaged(self.file, "the names of the fields of a struct cannot be read")
        names = [
            data[start : start + width].partition(b"\0")[0].decode("utf-8", "replace")
            for start in range(0, len(data), width)
        ]
        if len(set(names)) < len(names):
            raise damaged(self.file, "a struct has two fields with one name")
        return names

    def text(self) -> str:
        """Return the next element as a name."""
        data = self.next()[1]
        if len(data) > MAX_NAME:
            raise damaged(self.file, f"a name has {len(data)} characters")
        return bytes(data).rstrip(b"\0").decode("utf-8", "replace")

    def head(self) -> MatHead:
        """Return what stands before the values of an array."""
        flags = self.numbers()
        if flags.dtype.itemsize != 4 or flags.size != 2:
            raise damaged(self.file, "the flags of an array are missing")
        word = int(flags[0])
        class_name = _CLASSES.get(word & 0xFF)
        if class_name is None:
            raise damaged(self.file, f"it holds an array of the unknown class {word & 0xFF}")
        if class_name == "opaque":
            name, _, kind = self.text(), self.text(), self.text()
            return MatHead(name, kind, (), False, False)
        dims = self.numbers()
        if dims.dtype.kind not in "iu":
            raise damaged(self.file, "the dimensions of an array are no whole numbers")
        shape = checked_shape(self.file, dims.tolist())
        return MatHead(self.text(), class_name, shape, bool(word & _COMPLEX), bool(word & _LOGICAL))
