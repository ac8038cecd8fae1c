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
from nwbswitch.schemas.mat_elements import (
    COMPRESSED,
    MATRIX,
    MAX_NAME,
    TEXT_TYPES,
    TYPES,
    MatElements,
    MatHead,
)
from nwbswitch.schemas.mat_values import (
    MAX_RATIO,
    NUMBERS,
    SUSPECT_BYTES,
    MatBudget,
    MatOpaque,
    MatVariable,
    arranged,
    damaged,
    sparse_value,
    text_value,
)

HEADER_BYTES = 128
MAX_VARIABLES = 100_000
_PIECE = 1 << 20
_PEEK = 1 << 16


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the element of a variable lies in the file: its data, without the tag."""

    start: int
    size: int
    compressed: bool


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
        self._places: dict[str, tuple[_Place, MatHead]] = {}
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
        data, depth = self._found(name)
        return self._matrix(data, depth=depth)

    def fields(self, name: str) -> dict[str, MatVariable]:
        """Return shape and class of each field of a single struct; nothing for other values."""
        fields = self._fields(self._found(name)[0])
        empty = MatVariable((0, 0), "double")
        return {
            field: self._elements(data).head().variable if data else empty for field, data in fields.items()
        }

    def _found(self, name: str) -> tuple[memoryview, int]:
        """Return the data and depth of a variable or field."""
        first, *fields = name.split(".")
        place = self._places[first][0]
        data = self._inflated(place) if place.compressed else self._stored(place)
        for field in fields:
            data = self._fields(data)[field]
        return data, len(fields)

    def _fields(self, data: memoryview) -> dict[str, memoryview]:
        elements = self._elements(data)
        head = elements.head() if data else None
        if head is None or head.class_name != "struct" or math.prod(head.shape) != 1:
            return {}
        return {name: elements.matrix() for name in elements.field_names()}

    def _elements(self, data: memoryview) -> MatElements:
        return MatElements(self._file, data, self._order)

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
            if kind not in (MATRIX, COMPRESSED):
                raise damaged(self._file, f"an element of type {kind} stands where a variable was expected")
            if at + 8 + size > self._size:
                raise damaged(
                    self._file, f"a variable states {size} bytes where {self._size - at - 8} are left"
                )
            yield _Place(at + 8, size, kind == COMPRESSED)
            at += 8 + size
        raise UnsafeFileError(self._file, f"holds more than {MAX_VARIABLES} variables.")

    def _peek(self, place: _Place) -> MatHead | None:
        self._stream.seek(place.start)
        data = self._stream.read(min(place.size, _PEEK))
        if place.compressed:
            data = self._decompressed(zlib.decompressobj(), data, _PEEK)
            self._check_tag(data)
            data = data[8:]
        return self._elements(memoryview(data)).head() if data else None

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
                size = self._check_tag(data)
                if size > max(SUSPECT_BYTES, MAX_RATIO * place.size):
                    raise UnsafeFileError(
                        self._file, f"states {size} bytes for a variable that is stored in {place.size}."
                    )
                self._budget.spend(size)
                wanted = 8 + size
        if len(data) != wanted or not self._is_complete(machine, pending + self._stream.read(left)):
            raise damaged(self._file, "a compressed variable is shorter or longer than it states")
        return memoryview(data)[8:]

    def _check_tag(self, data: bytes | bytearray) -> int:
        """Return the size that the tag inside a compressed element states."""
        kind, size = struct.unpack_from(f"{self._order}II", data.ljust(8, b"\0"))
        if kind != MATRIX:
            raise damaged(self._file, f"a compressed element holds an element of type {kind}")
        return int(size)

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
        elements = self._elements(data)
        head = elements.head()
        if head.class_name in NUMBERS:
            return self._numeric(elements, head)
        if head.class_name == "char":
            return text_value(self._file, self._codes(elements, head.shape), head.shape)
        if head.class_name == "cell":
            count = math.prod(head.shape)
            elements.check_matrices(count)
            items = [self._matrix(elements.matrix(), depth=depth + 1) for _ in range(count)]
            return arranged(items, head.shape)
        if head.class_name == "struct":
            return self._structs(elements, head.shape, depth)
        if head.class_name == "sparse":
            return self._sparse(elements, head)
        return MatOpaque(elements.text() if head.class_name == "object" else head.class_name)

    def _structs(self, elements: MatElements, shape: tuple[int, ...], depth: int) -> Any:
        names = elements.field_names()
        count = math.prod(shape)
        elements.check_matrices(count * len(names))
        self._budget.count(count, depth)
        items = [
            {name: self._matrix(elements.matrix(), depth=depth + 1) for name in names} for _ in range(count)
        ]
        return items[0] if count == 1 else arranged(items, shape)

    def _values(self, elements: MatElements, count: int, dtype: str) -> NDArray[Any]:
        stored = elements.numbers()
        if stored.size != count:
            raise damaged(self._file, f"{count} values are stated and {stored.size} are there")
        if stored.dtype == np.dtype(dtype) and stored.dtype.isnative:
            # A view keeps the whole variable in memory; small values of a large struct do not.
            return stored if 2 * stored.nbytes > len(elements.data) else stored.copy()
        self._budget.spend(count * np.dtype(dtype).itemsize)
        return stored.astype(dtype)

    def _numeric(self, elements: MatElements, head: MatHead) -> NDArray[Any]:
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

    def _codes(self, elements: MatElements, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        kind, data = elements.next()
        self._budget.spend(4 * len(data))
        if not data and math.prod(shape) <= MAX_NAME:  # blanks that were never typed are not stored
            return np.full(math.prod(shape), ord(" "), np.uint16)
        if kind in TEXT_TYPES:
            encoding = TEXT_TYPES[kind]
            suffix = "" if kind == 16 else "-le" if self._order == "<" else "-be"
            text = bytes(data).decode(encoding + suffix, "replace")
            return np.frombuffer(text.encode("utf-16-le", "surrogatepass"), "<u2")
        if TYPES.get(kind) not in ("i1", "u1", "u2", "i2"):
            raise damaged(self._file, f"a text is stored as type {kind}")
        dtype: np.dtype[Any] = np.dtype(self._order + TYPES[kind].replace("i", "u"))
        if len(data) % dtype.itemsize:
            raise damaged(self._file, f"{len(data)} bytes are no whole number of characters")
        return np.frombuffer(data, dtype).astype(np.uint16) if len(data) else np.empty(0, np.uint16)

    def _sparse(self, elements: MatElements, head: MatHead) -> Any:
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
