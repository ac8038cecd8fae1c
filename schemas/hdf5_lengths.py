"""Values of variable length in HDF5 files: whether all of them together can be in the file.

Such a value is stored as its length and a place in a heap. A thousand values that name the same place make a
small file unpack to a thousand times its size, which no property of the dataset shows. The stored lengths are
read as bytes (HDF5 File Format Specification 3.0, IV.B "Disk Format: Level 2B - Data Object Data Storage").
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_DEFLATE, _SHUFFLE, _FLETCHER32 = 1, 2, 3
_VARIABLE = 9
_REFERENCE_BYTES = 16
"""Length (4), address of the heap (8), number in the heap (4)."""
_PIECE_VALUES = 1 << 20
_MAX_CHUNK = 1 << 28
_MAX_PLACES = 1000


class UnreadableLengthsError(ValueError):
    """Values of variable length that are stored in a way in which nobody stores them."""


def stated_lengths(dataset: Any, file: Path) -> int:
    """Return the bytes that the values of variable length in a dataset have together, as they are stated.

    Raises
    ------
    UnreadableLengthsError
        When the values are nested in each other or compressed by something else than gzip.
    """
    itemsize, places = _layout(dataset.get_type())
    if not places or not math.prod(dataset.shape or ()):
        return 0
    return sum(_sum(data, itemsize, places) for data in _stored(dataset, file, itemsize))


def attribute_lengths(message: bytes) -> int:
    """Return the bytes that the values of variable length in an attribute have together, as they are stated.

    ``message`` is the attribute's message in an object header (IV.A.2.m), whose type is taken as the file has
    it (IV.A.2.d): class 9 is a value of variable length, with the type of its parts after eight bytes.
    """
    if len(message) < 9 or message[0] not in (1, 2, 3) or (message[1] & 3 and message[0] > 1):
        return 0
    name, kind, space = (int.from_bytes(message[at : at + 2], "little") for at in (2, 4, 6))
    pad = 8 if message[0] == 1 else 1
    start = (9 if message[0] == 3 else 8) + name + -name % pad
    described = message[start : start + kind]
    if len(described) < 16 or described[0] & 0x0F != _VARIABLE:
        return 0
    data = message[start + kind + -kind % pad + space + -space % pad :]
    unit = int.from_bytes(described[12:16], "little")
    return _sum(data, _REFERENCE_BYTES, [(0, unit)])


def _layout(kind: Any) -> tuple[int, list[tuple[int, int]]]:
    """Return the size of an element in the file, and offset and unit of each value of variable length in it.

    The library gives types as they are in memory, where a text is a pointer of 8 bytes instead of 16.
    """
    import h5py

    place = kind.get_class()
    if place == h5py.h5t.STRING and kind.is_variable_str():
        return _REFERENCE_BYTES, [(0, 1)]
    if place == h5py.h5t.VLEN:
        unit, inner = _layout(kind.get_super())
        if inner:
            raise UnreadableLengthsError
        return _REFERENCE_BYTES, [(0, unit)]
    if place == h5py.h5t.ARRAY:
        size, inner = _layout(kind.get_super())
        number = math.prod(kind.get_array_dims())
        if number * len(inner) > _MAX_PLACES:
            raise UnreadableLengthsError
        return number * size, [
            (n * size + at, unit) for n in range(number if inner else 0) for at, unit in inner
        ]
    if place == h5py.h5t.COMPOUND:
        return _compound_layout(kind)
    return int(kind.get_size()), []


def _compound_layout(kind: Any) -> tuple[int, list[tuple[int, int]]]:
    places: list[tuple[int, int]] = []
    shift = 0
    for number in sorted(range(kind.get_nmembers()), key=kind.get_member_offset):
        member = kind.get_member_type(number)
        size, inner = _layout(member)
        start = kind.get_member_offset(number) + shift
        places += [(start + at, unit) for at, unit in inner]
        shift += size - member.get_size()
    return int(kind.get_size()) + shift, places


def _sum(data: bytes, itemsize: int, places: list[tuple[int, int]]) -> int:
    count = len(data) // itemsize
    table = np.frombuffer(data, np.uint8, count=count * itemsize).reshape(count, itemsize)
    total = 0
    for offset, size in places:
        lengths = np.ascontiguousarray(table[:, offset : offset + 4]).view("<u4")
        total += size * int(lengths.sum(dtype=np.uint64))
    return total


def _stored(dataset: Any, file: Path, itemsize: int) -> Iterator[bytes]:
    """Yield the bytes of the elements as the file holds them, without filters."""
    import h5py

    plan = dataset.get_create_plist()
    if plan.get_layout() == h5py.h5d.CHUNKED:
        if itemsize * math.prod(plan.get_chunk()) > _MAX_CHUNK:
            raise UnreadableLengthsError
        filters = [plan.get_filter(position)[0] for position in range(plan.get_nfilters())]
        for number in range(dataset.get_num_chunks()):
            mask, data = dataset.read_direct_chunk(dataset.get_chunk_info(number).chunk_offset)
            yield _unfiltered(data, filters, mask, itemsize)
    elif plan.get_layout() == h5py.h5d.CONTIGUOUS and dataset.get_offset() is not None:
        left = dataset.get_storage_size()
        with file.open("rb") as stream:
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
