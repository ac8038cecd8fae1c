"""One file of the cache: some byte ranges, each with its checksum, that are there whole or not at all.

Mark, number of ranges, CRC-32 of what follows of the head; then offset, length and CRC-32 of each range; then
the bytes of all ranges. Little-endian.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nwbswitch.analysis.access.byte_source import ByteRange

MAX_RANGES = 1 << 20
_MARK = b"NWBSpk1\n"
_START = struct.Struct("<8sII")
_RANGE = struct.Struct("<QQI")


class DamagedEntryError(ValueError):
    """A file of the cache that is not what was written."""


@dataclass(frozen=True, slots=True)
class KeptRange:
    """Where the bytes of a range lie in an entry."""

    path: Path
    place: int
    length: int
    crc32: int


@cache
def _crc32() -> Callable[[bytes], int]:
    """Return isa-l's checksum, which is ten times as fast, or zlib's, which is the same."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.crc32
    return isal_zlib.crc32


def packed_size(ranges: Sequence[tuple[int, bytes]]) -> int:
    """Return the length of the entry that holds these ranges, bytes."""
    return _START.size + _RANGE.size * len(ranges) + sum(len(data) for _, data in ranges)


def packed(ranges: Sequence[tuple[int, bytes]]) -> Iterator[bytes]:
    """Yield the bytes of an entry from offsets and bytes of ranges."""
    table = b"".join(_RANGE.pack(offset, len(data), _crc32()(data)) for offset, data in ranges)
    yield _START.pack(_MARK, len(ranges), zlib.crc32(table)) + table
    for _, data in ranges:
        yield data


def kept_ranges(path: Path) -> dict[ByteRange, KeptRange]:
    """Return what an entry holds.

    Raises
    ------
    DamagedEntryError
        When its head is damaged or its length is not the one that follows from it.
    OSError
        When it is no longer there.
    """
    with path.open("rb") as stream:
        start = stream.read(_START.size)
        if len(start) < _START.size:
            raise DamagedEntryError
        mark, count, crc32 = _START.unpack(start)
        if mark != _MARK or count > MAX_RANGES:
            raise DamagedEntryError
        table = stream.read(_RANGE.size * count)
        if len(table) < _RANGE.size * count or zlib.crc32(table) != crc32:
            raise DamagedEntryError
        size = os.fstat(stream.fileno()).st_size
    found: dict[ByteRange, KeptRange] = {}
    place = _START.size + len(table)
    for offset, length, crc32 in _RANGE.iter_unpack(table):
        found[offset, length] = KeptRange(path, place, length, crc32)
        place += length
    if place != size:
        raise DamagedEntryError
    return found


def kept_bytes(path: Path, wanted: Sequence[KeptRange]) -> list[bytes]:
    """Return the bytes of ranges of one entry.

    Raises
    ------
    DamagedEntryError
        When a checksum is wrong.
    OSError
        When it is no longer there.
    """
    found = []
    with path.open("rb", buffering=0) as stream:
        for each in wanted:
            stream.seek(each.place)
            data = stream.read(each.length)
            if len(data) != each.length or _crc32()(data) != each.crc32:
                raise DamagedEntryError
            found.append(data)
    return found
