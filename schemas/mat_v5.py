"""MAT-files of MATLAB 5 to 7 (``-v6``, ``-v7``), read element by element.

Source of the format: MathWorks, "MAT-File Format", chapter "Level 5 MAT-Files". `scipy.io.loadmat` reads the
same files, but allocates what a header states, inflates without a limit, and follows nested cells in C until
the stack ends; here every size is compared with the bytes that are there before anything is made.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import UnsafeFileError
from nwbswitch.schemas.mat_values import (
    MAX_RATIO,
    NUMBERS,
    MatBudget,
    MatOpaque,
    MatVariable,
    arranged,
    checked_shape,
    damaged,
    sparse_value,
    text_value,
)

HEADER_BYTES = 128
MAX_VARIABLES = 100_000
MAX_NAME = 4096
_PIECE = 1 << 20
_PEEK = 1 << 16

_UINT8, _MATRIX, _COMPRESSED = 2, 14, 15
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT_TYPES = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
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
class _Place:
    """Where the element of a variable lies in the file: its data, without the tag."""

    start: int
    size: int
    compressed: bool


@dataclass(frozen=True, slots=True)
class _Head:
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


class _Elements:
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
        if _TYPES.get(kind) == "f8" and len(data) == expected:
            kind = _UINT8
        if kind not in _TYPES:
            raise damaged(self.file, f"an element of type {kind} stands where numbers were expected")
        dtype: np.dtype[Any] = np.dtype(f"{self.order}{_TYPES[kind]}")
        if len(data) % dtype.itemsize:
            raise damaged(self.file, f"{len(data)} bytes are no whole number of values")
        return np.frombuffer(data, dtype=dtype) if len(data) else np.empty(0, dtype)

    def text(self) -> str:
        """Return the next element as a name."""
        data = self.next()[1]
        if len(data) > MAX_NAME:
            raise damaged(self.file, f"a name has {len(data)} characters")
        return bytes(data).rstrip(b"\0").decode("utf-8", "replace")

    def head(self) -> _Head:
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
            return _Head(name, kind, (), False, False)
        dims = self.numbers()
        if dims.dtype.kind not in "iu":
            raise damaged(self.file, "the dimensions of an array are no whole numbers")
        shape = checked_shape(self.file, dims.tolist())
        return _Head(self.text(), class_name, shape, bool(word & _COMPLEX), bool(word & _LOGICAL))


class MatV5:
    """An open MAT-file of level 5."""

    def __init__(self, file: Path, stream: BinaryIO, budget: MatBudget) -> None:
        self._file = file
        self._stream = stream
        self._budget = budget
        self._size = file.stat().st_size
        stream.seek(0)
        mark = stream.read(HEADER_BYTES)[126:128]
        if mark not in (b"IM", b"MI"):
            raise damaged(file, "it has no header of a MAT-file")
        self._order = "<" if mark == b"IM" else ">"
        self._places: dict[str, tuple[_Place, _Head]] = {}
        for place in self._scan():
            head = self._peek(place)
            if head is None or not head.name:  # MATLAB keeps parts of objects in arrays without a name
                continue
            if head.name in self._places:
                raise damaged(file, f"it holds two variables called {head.name[:80]}")
            self._places[head.name] = (place, head)

    @property
    def variables(self) -> dict[str, MatVariable]:
        """Shape and class of each variable."""
        return {name: head.variable for name, (_, head) in self._places.items()}

    def read(self, name: str) -> Any:
        """Return the value of a variable, or of a field: ``struct.field``."""
        first, *fields = name.split(".")
        place = self._places[first][0]
        data = self._inflated(place) if place.compressed else self._stored(place)
        value = self._matrix(data, depth=0)
        for field in fields:
            value = value[field]
        return value

    def _scan(self) -> Iterator[_Place]:
        at = HEADER_BYTES
        words = struct.Struct(f"{self._order}II")
        for _ in range(MAX_VARIABLES):
            if at == self._size:
                return
            self._stream.seek(at)
            tag = self._stream.read(8)
            if len(tag) < 8:
                raise damaged(self._file, "it ends inside a variable")
            kind, size = words.unpack(tag)
            if kind not in (_MATRIX, _COMPRESSED):
                raise damaged(self._file, f"an element of type {kind} stands where a variable was expected")
            if at + 8 + size > self._size:
                raise damaged(
                    self._file, f"a variable states {size} bytes where {self._size - at - 8} are left"
                )
            yield _Place(at + 8, size, kind == _COMPRESSED)
            at += 8 + size
        raise UnsafeFileError(self._file, f"holds more than {MAX_VARIABLES} variables.")

    def _peek(self, place: _Place) -> _Head | None:
        self._stream.seek(place.start)
        data = self._stream.read(min(place.size, _PEEK))
        if place.compressed:
            data = self._decompressed(zlib.decompressobj(), data, _PEEK)[8:]
        return _Elements(self._file, memoryview(data), self._order).head() if data else None

    def _stored(self, place: _Place) -> memoryview:
        self._budget.spend(place.size)
        self._stream.seek(place.start)
        data = bytearray(place.size)
        if self._stream.readinto(data) != place.size:  # type: ignore[attr-defined]
            raise damaged(self._file, "it ends inside a variable")
        return memoryview(data)

    def _inflated(self, place: _Place) -> memoryview:
        """Inflate a variable as far as its own tag states, and check that tag first."""
        self._stream.seek(place.start)
        left = place.size
        machine = zlib.decompressobj()
        data = bytearray()
        wanted = 8
        pending = b""
        while len(data) < wanted:
            if not pending and left:
                pending = self._stream.read(min(left, _PIECE))
                left = left - len(pending) if pending else 0
            piece = self._decompressed(machine, pending, min(_PIECE, wanted - len(data)))
            if not piece and not left and not machine.unconsumed_tail:
                break
            data += piece
            pending = machine.unconsumed_tail
            if wanted == 8 == len(data):
                kind, size = struct.unpack(f"{self._order}II", data)
                if kind != _MATRIX:
                    raise damaged(self._file, f"a compressed element holds an element of type {kind}")
                if size > MAX_RATIO * place.size + _PEEK:
                    raise UnsafeFileError(
                        self._file, f"states {size} bytes for a variable that is stored in {place.size}."
                    )
                self._budget.spend(size)
                wanted = 8 + size
        if len(data) != wanted or not self._is_complete(machine, pending + self._stream.read(left)):
            raise damaged(self._file, "a compressed variable is shorter or longer than it states")
        return memoryview(data)[8:]

    def _is_complete(self, machine: Any, rest: bytes) -> bool:
        """Let zlib compare its checksum; nothing more may come out."""
        while not machine.eof and rest:
            if self._decompressed(machine, rest, 1):
                return False
            rest = machine.unconsumed_tail
        return bool(machine.eof)

    def _decompressed(self, machine: Any, data: bytes, limit: int) -> bytes:
        try:
            return bytes(machine.decompress(data, limit))
        except zlib.error as error:
            raise damaged(self._file, f"a variable cannot be decompressed ({error})") from error

    def _matrix(self, data: memoryview, *, depth: int) -> Any:
        self._budget.count(1, depth)
        if not len(data):
            return np.empty((0, 0))
        elements = _Elements(self._file, data, self._order)
        head = elements.head()
        if head.class_name in NUMBERS:
            return self._numeric(elements, head)
        if head.class_name == "char":
            return text_value(self._file, self._codes(elements, head.shape), head.shape)
        if head.class_name == "cell":
            count = math.prod(head.shape)
            self._check_repeats(elements, count)
            return arranged([self._inner(elements, depth) for _ in range(count)], head.shape)
        if head.class_name == "struct":
            return self._structs(elements, head.shape, depth)
        if head.class_name == "sparse":
            return self._sparse(elements, head)
        return MatOpaque(elements.text() if head.class_name == "object" else head.class_name)

    def _inner(self, elements: _Elements, depth: int) -> Any:
        kind, data = elements.next()
        if kind != _MATRIX:
            raise damaged(self._file, f"an element of type {kind} stands where an array was expected")
        return self._matrix(data, depth=depth + 1)

    def _check_repeats(self, elements: _Elements, count: int) -> None:
        """Refuse more arrays than there can be; each has a tag of eight bytes."""
        if 8 * count > elements.left:
            raise damaged(self._file, f"{count} arrays are stated where {elements.left} bytes are left")

    def _structs(self, elements: _Elements, shape: tuple[int, ...], depth: int) -> Any:
        lengths = elements.numbers()
        width = int(lengths[0]) if lengths.size == 1 and lengths.dtype.kind in "iu" else 0
        data = bytes(elements.next()[1])
        if not 0 < width <= MAX_NAME or len(data) % width:
            raise damaged(self._file, "the names of the fields of a struct cannot be read")
        names = [
            data[start : start + width].partition(b"\0")[0].decode("utf-8", "replace")
            for start in range(0, len(data), width)
        ]
        if len(set(names)) < len(names):
            raise damaged(self._file, "a struct has two fields with one name")
        count = math.prod(shape)
        self._check_repeats(elements, count * len(names))
        self._budget.count(count, depth)
        items = [{name: self._inner(elements, depth) for name in names} for _ in range(count)]
        return items[0] if count == 1 else arranged(items, shape)

    def _values(self, elements: _Elements, count: int, dtype: str) -> NDArray[Any]:
        stored = elements.numbers()
        if stored.size != count:
            raise damaged(self._file, f"{count} values are stated and {stored.size} are there")
        if stored.dtype == np.dtype(dtype) and stored.dtype.isnative:
            # A view keeps the whole variable in memory; small values of a large struct do not.
            return stored if 2 * stored.nbytes > len(elements.data) else stored.copy()
        self._budget.spend(count * np.dtype(dtype).itemsize)
        return stored.astype(dtype)

    def _numeric(self, elements: _Elements, head: _Head) -> NDArray[Any]:
        count = math.prod(head.shape)
        dtype = NUMBERS[head.class_name]
        values = self._values(elements, count, dtype)
        if head.is_complex:
            imaginary = self._values(elements, count, dtype)
            self._budget.spend(2 * values.nbytes)
            values = _joined(values, imaginary)
        elif head.is_logical:
            values = values.astype(bool)
        return values.reshape(head.shape, order="F")

    def _codes(self, elements: _Elements, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        kind, data = elements.next()
        self._budget.spend(4 * len(data))
        if not data and math.prod(shape) <= MAX_NAME:  # blanks that were never typed are not stored
            return np.full(math.prod(shape), ord(" "), np.uint16)
        if kind in _TEXT_TYPES:
            encoding = _TEXT_TYPES[kind]
            suffix = "" if kind == 16 else "-le" if self._order == "<" else "-be"
            text = bytes(data).decode(encoding + suffix, "replace")
            return np.frombuffer(text.encode("utf-16-le", "surrogatepass"), "<u2")
        if _TYPES.get(kind) not in ("i1", "u1", "u2", "i2"):
            raise damaged(self._file, f"a text is stored as type {kind}")
        dtype: np.dtype[Any] = np.dtype(self._order + _TYPES[kind].replace("i", "u"))
        if len(data) % dtype.itemsize:
            raise damaged(self._file, f"{len(data)} bytes are no whole number of characters")
        return np.frombuffer(data, dtype).astype(np.uint16) if len(data) else np.empty(0, np.uint16)

    def _sparse(self, elements: _Elements, head: _Head) -> Any:
        rows, starts = elements.numbers(), elements.numbers()
        data = elements.numbers(expected=rows.size)
        if head.is_complex:
            data = _joined(data, elements.numbers())
        self._budget.spend(16 * rows.size + 8 * starts.size)
        data = data.astype(bool if head.is_logical else complex if head.is_complex else float)
        return sparse_value(self._file, data, rows, starts, head.shape)


def _joined(real: NDArray[Any], imaginary: NDArray[Any]) -> NDArray[Any]:
    values = np.empty(real.shape, np.complex64 if real.dtype.itemsize == 4 else np.complex128)
    values.real, values.imag = real, imaginary
    return values
