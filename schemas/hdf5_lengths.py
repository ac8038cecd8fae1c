"""Values of variable length in HDF5 files: how long they say they are, and in which heaps they lie.

Such a value is stored as its length and a place in a heap. A thousand values that name the same place make a
small file unpack to a thousand times its size, which no property of the dataset shows, and the library makes
room for a length before it finds that the value is not there. So the stored lengths are read here as bytes
(HDF5 File Format Specification 3.0, III.E and IV.B).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_DEFLATE, _SHUFFLE, _FLETCHER32 = 1, 2, 3
_REFERENCE, _VARIABLE = 7, 9
_VARIABLE_BYTES, _REGION_BYTES = 16, 12
"""Length (4; not for a region), address of the heap (8), number in the heap (4)."""
_UNDEFINED = (1 << 64) - 1
_PIECE_VALUES = 1 << 20
_FEW = 16
_MAX_CHUNK = 1 << 28
_MAX_PLACES = 1000


class UnreadableLengthsError(ValueError):
    """Values of variable length that are stored in a way in which nobody stores them."""


@dataclass(slots=True)
class StoredElsewhere:
    """What the values of a dataset or attribute say of the heaps that hold them."""

    size: int = 0
    """Bytes of all values of variable length together."""
    heaps: set[int] = field(default_factory=set)
    """Addresses of the heaps."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in an element a reference to a heap stands: after a length in units, or alone (to a region)."""

    at: int
    unit: int


def stated_lengths(dataset: Any, file: Path | BinaryIO) -> StoredElsewhere:
    """Return what the values of a dataset say of the heaps that hold them.

    ``file`` is the file that holds the dataset, or its bytes.

    Raises
    ------
    UnreadableLengthsError
        When the values are compressed by something else than gzip.
    """
    itemsize, places = _layout(dataset.get_type())
    found = StoredElsewhere()
    if places and math.prod(dataset.shape or ()):
        for data in _stored(dataset, file, itemsize):
            _gather(data, itemsize, places, found)
    return found


def attribute_lengths(message: bytes) -> StoredElsewhere:
    """Return what the values of an attribute say of the heaps that hold them.

    ``message`` is the attribute's message in an object header (IV.A.2.m). Its type is described by IV.A.2.d:
    class 7 are references, class 9 values of variable length, with the type of their parts after eight bytes.
    """
    found = StoredElsewhere()
    if len(message) < 9 or message[0] not in (1, 2, 3) or (message[1] & 3 and message[0] > 1):
        return found
    name, kind, space = (int.from_bytes(message[at : at + 2], "little") for at in (2, 4, 6))
    pad = 8 if message[0] == 1 else 1
    start = (9 if message[0] == 3 else 8) + name + -name % pad
    described = message[start : start + kind]
    data = message[start + kind + -kind % pad + space + -space % pad :]
    if len(described) >= 16 and described[0] & 0x0F == _VARIABLE:
        unit = int.from_bytes(described[12:16], "little")
        _gather(data, _VARIABLE_BYTES, [_Place(0, unit)], found)
    elif len(described) >= 8 and described[0] & 0x0F == _REFERENCE and described[1] & 0x0F == 1:
        _gather(data, _REGION_BYTES, [_Place(0, 0)], found)
    return found


def _layout(kind: Any) -> tuple[int, list[_Place]]:
    """Return the size of an element in the file, and the places of references to heaps in it.

    The library gives types as they are in memory, where a text is a pointer of 8 bytes instead of 16.
    """
    import h5py

    place = kind.get_class()
    if place == h5py.h5t.STRING and kind.is_variable_str():
        return _VARIABLE_BYTES, [_Place(0, 1)]
    if place == h5py.h5t.VLEN:
        return _VARIABLE_BYTES, [_Place(0, _layout(kind.get_super())[0])]
    if place == h5py.h5t.REFERENCE and not kind.equal(h5py.h5t.STD_REF_OBJ):
        return int(kind.get_size()), [_Place(0, 0)]
    if place == h5py.h5t.ARRAY:
        size, inner = _layout(kind.get_super())
        number = math.prod(kind.get_array_dims())
        if number * len(inner) > _MAX_PLACES:
            raise UnreadableLengthsError
        places = [_Place(n * size + each.at, each.unit) for each in inner for n in range(number)]
        return number * size, places
    if place == h5py.h5t.COMPOUND:
        return _compound_layout(kind)
    return int(kind.get_size()), []


def _compound_layout(kind: Any) -> tuple[int, list[_Place]]:
    places: list[_Place] = []
    shift = 0
    for number in sorted(range(kind.get_nmembers()), key=kind.get_member_offset):
        member = kind.get_member_type(number)
        size, inner = _layout(member)
        start = kind.get_member_offset(number) + shift
        places += [_Place(start + each.at, each.unit) for each in inner]
        shift += size - member.get_size()
    return int(kind.get_size()) + shift, places


def _gather(data: bytes, itemsize: int, places: list[_Place], found: StoredElsewhere) -> None:
    count = len(data) // itemsize
    if count * len(places) <= _FEW:
        _gather_few(data, itemsize, places, found)
        return
    table = np.frombuffer(data, np.uint8, count=count * itemsize).reshape(count, itemsize)
    for place in places:
        start = place.at
        used: Any = slice(None)
        if place.unit:
            lengths = np.ascontiguousarray(table[:, start : start + 4]).view("<u4").ravel()
            found.size += place.unit * int(lengths.sum(dtype=np.uint64))
            used = lengths > 0
            start += 4
        heaps = np.ascontiguousarray(table[used, start : start + 8]).view("<u8")
        found.heaps.update(np.unique(heaps).tolist())
    found.heaps -= {0, _UNDEFINED}


def _gather_few(data: bytes, itemsize: int, places: list[_Place], found: StoredElsewhere) -> None:
    """Do the same for few values, such as those of an attribute, in a tenth of the time."""
    for element in range(0, len(data) - itemsize + 1, itemsize):
        for place in places:
            start = element + place.at
            if place.unit:
                length = int.from_bytes(data[start : start + 4], "little")
                found.size += place.unit * length
                start += 4
                if not length:
                    continue
            found.heaps.add(int.from_bytes(data[start : start + 8], "little"))
    found.heaps -= {0, _UNDEFINED}


def _stored(dataset: Any, file: Path | BinaryIO, itemsize: int) -> Iterator[bytes]:
    """Yield the bytes of the elements as the file holds them, without filters."""
    import h5py

    plan = dataset.get_create_plist()
    with ExitStack() as stack:
        stream = stack.enter_context(file.open("rb")) if isinstance(file, Path) else file
        if plan.get_layout() == h5py.h5d.CHUNKED:
            if itemsize * math.prod(plan.get_chunk()) > _MAX_CHUNK:
                raise UnreadableLengthsError
            filters = [plan.get_filter(position)[0] for position in range(plan.get_nfilters())]
            # By their places in the file: those in the array the library misreports for some that can grow.
            chunks: list[Any] = []
            dataset.chunk_iter(chunks.append)
            for chunk in chunks:
                stream.seek(chunk.byte_offset)
                data = stream.read(min(chunk.size, _MAX_CHUNK))
                yield _unfiltered(data, filters, chunk.filter_mask, itemsize)
        elif plan.get_layout() == h5py.h5d.CONTIGUOUS and dataset.get_offset() is not None:
            left = dataset.get_storage_size()
            stream.seek(dataset.get_offset())
            while left > 0 and (data := stream.read(min(left, itemsize * _PIECE_VALUES))):
                left -= len(data)
                yield data


def _unfiltered(data: bytes, filters: list[int], mask: int, itemsize: int) -> bytes:
    for position in reversed(range(len(filters))):
        if mask >> position & 1:
            continue
        if filters[position] == _DEFLATE:
            data = zlib.decompressobj().decompress(data, _MAX_CHUNK)
        elif filters[position] == _SHUFFLE:
            count = len(data) // itemsize
            whole, rest = data[: count * itemsize], data[count * itemsize :]
            data = np.frombuffer(whole, np.uint8).reshape(itemsize, count).T.tobytes() + rest
        elif filters[position] == _FLETCHER32:
            data = data[:-4]
        else:
            raise UnreadableLengthsError
    return data
