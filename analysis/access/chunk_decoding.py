"""What HDF5's filters did to a chunk, undone without the HDF5 library and in bounded memory.

Filters are described in the HDF5 File Format Specification 3.0, IV.A.2.l; shuffle in "HDF5 Data Compression:
the shuffle filter" (The HDF Group): all first bytes of the values, then all second ones, and so on.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.stored_array import Filter

Octets = NDArray[np.uint8]

_CHECKSUM_BYTES = 4
_BLOCK_WORDS = 1 << 18


class DamagedChunkError(ValueError):
    """A chunk that is not what its filters can have made."""


def decoded(
    stored: bytes, filters: Sequence[Filter], skipped: int, *, n_bytes: int, itemsize: int
) -> tuple[Octets, bool]:
    """Return the bytes of a chunk, and whether they still are shuffled.

    Shuffling is left to whoever copies the values that are wanted, where it is the last step.

    Parameters
    ----------
    stored
        As in the file.
    filters
        In the order in which they were applied.
    skipped
        Bit i is set where filter i was not applied to this chunk.
    n_bytes, itemsize
        Of the chunk without filters, and of one value.

    Raises
    ------
    DamagedChunkError
        When a checksum is wrong, or the bytes are fewer or more than a chunk has.
    """
    steps = [each for position, each in enumerate(filters) if not skipped >> position & 1]
    shuffled = bool(steps) and steps[0] is Filter.SHUFFLE and itemsize > 1
    data: bytes | memoryview = stored
    for position in range(len(steps) - 1, 0 if shuffled else -1, -1):
        step = steps[position]
        if step is Filter.GZIP:
            data = _inflated(data, n_bytes + _CHECKSUM_BYTES * steps[:position].count(Filter.FLETCHER32))
        elif step is Filter.FLETCHER32:
            data = _verified(data)
        elif itemsize > 1:
            data = _unshuffled(data, itemsize)
    if len(data) != n_bytes:
        raise DamagedChunkError(f"it has {len(data)} bytes instead of {n_bytes}")
    return np.frombuffer(data, dtype=np.uint8), shuffled


def copy_values(
    octets: Octets,
    shuffled: bool,
    shape: tuple[int, ...],
    *,
    inside: tuple[slice, ...],
    target: NDArray[Any],
    target_octets: Octets,
    into: tuple[slice, ...],
) -> None:
    """Copy a part of a chunk of ``shape`` into a part of ``target``; of the rest no value is put together.

    ``target_octets`` is the memory of ``target`` with one more axis, of the bytes of a value.
    """
    if not shuffled:
        target[into] = octets.view(target.dtype).reshape(shape)[inside]
        return
    planes = octets.reshape(target.dtype.itemsize, *shape)
    for number, plane in enumerate(planes):
        target_octets[..., number][into] = plane[inside]


@cache
def _inflater() -> tuple[Callable[[], Any], Any]:
    """Return isa-l, or zlib where the package isal is not installed, and its error."""
    try:
        from isal import igzip_lib, isal_zlib
    except ImportError:
        return zlib.decompressobj, zlib.error
    return isal_zlib.decompressobj, igzip_lib.IsalError


def _inflated(data: bytes | memoryview, limit: int) -> bytes:
    make, trouble = _inflater()
    inflate = make()
    try:
        found: bytes = inflate.decompress(data, limit + 1)
    except trouble as error:
        raise DamagedChunkError("it cannot be unpacked") from error
    if len(found) > limit:
        raise DamagedChunkError(f"it unpacks to more than {limit} bytes")
    if not inflate.eof:
        raise DamagedChunkError("it breaks off")
    return found


def _verified(data: bytes | memoryview) -> memoryview:
    view = memoryview(data)
    content, stated = view[:-_CHECKSUM_BYTES], int.from_bytes(view[-_CHECKSUM_BYTES:], "little")
    if len(view) < _CHECKSUM_BYTES or not _matches(fletcher32(content), stated):
        raise DamagedChunkError("its checksum is wrong")
    return content


def _matches(found: int, stated: int) -> bool:
    """Compare checksums; HDF5 before 1.6.3 swapped the bytes of both halves on some machines."""
    swapped = (found & 0x00FF00FF) << 8 | (found & 0xFF00FF00) >> 8
    return stated in (found, swapped)


def fletcher32(data: bytes | memoryview) -> int:
    """Return Fletcher's checksum of big-endian words of 16 bits, as HDF5 computes it.

    Source: J. G. Fletcher, IEEE Transactions on Communications 30, 247 (1982), modulo 65535, where sums
    that are multiples of it count as 65535 unless all words are zero.
    """
    view = memoryview(data)
    words = np.frombuffer(view[: len(view) // 2 * 2], dtype=">u2")
    if len(view) % 2:
        words = np.append(words, np.uint16(view[-1] << 8))
    first = second = 0
    for start in range(0, words.size, _BLOCK_WORDS):
        block = words[start : start + _BLOCK_WORDS].astype(np.uint64)
        falling = np.arange(block.size, 0, -1, dtype=np.uint64)
        second += first * block.size + int((block * falling).sum())
        first += int(block.sum())
    return _folded(second) << 16 | _folded(first)


def _folded(total: int) -> int:
    return total % 0xFFFF or (0xFFFF if total else 0)


def _unshuffled(data: bytes | memoryview, itemsize: int) -> bytes:
    count = len(data) // itemsize
    planes = np.frombuffer(data, dtype=np.uint8, count=count * itemsize).reshape(itemsize, count)
    return planes.T.tobytes() + bytes(data[count * itemsize :])
