"""What HDF5's filters shuffle and gzip do to a chunk, done outside HDF5 so that threads share the work.

A stream is zlib's (RFC 1950). Of shuffled numbers, the lowest bytes are mostly noise, on which compression
wastes most of its time, and decompression too: such bytes go into stored blocks (RFC 1951, 3.2.4), which
every reader of zlib streams copies. For a two-photon movie this halves the time of writing and of reading
and costs 2 % of size.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

LEVEL = 1
# Samples of this length tell whether compression is worth its time; deflate looks back 32 KiB.
SAMPLE_BYTES = 16 << 10
SAMPLES = 4
WORTH = 0.95

_HEADER = b"\x78\x01"
_MAX_STORED = 0xFFFF

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Codec:
    """A library that deflates, and its checksums.

    ``deflater`` returns an object with ``compress`` and ``flush`` that makes a raw deflate stream.
    """

    name: str
    deflater: Callable[[], Any]
    adler32: Callable[[Any], int]
    crc32: Callable[[Any], int]


@cache
def codec() -> Codec:
    """Return isa-l, or zlib where the package isal is not installed."""
    try:
        from isal import isal_zlib
    except ImportError:
        return Codec("zlib", lambda: zlib.compressobj(LEVEL, zlib.DEFLATED, -15), zlib.adler32, zlib.crc32)
    return Codec(
        "isa-l",
        lambda: isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, -15),
        isal_zlib.adler32,
        isal_zlib.crc32,
    )


def shuffled(values: Array) -> Array:
    """Return the bytes of contiguous values as HDF5's shuffle filter orders them: all first bytes first.

    Returns
    -------
    ndarray
        (itemsize, n values) of uint8.
    """
    size = values.dtype.itemsize
    return np.ascontiguousarray(values.reshape(-1).view(np.uint8).reshape(-1, size).T)


def padded(values: Array, chunks: Sequence[int]) -> Array:
    """Return a chunk at its full size: HDF5 stores those at the edges with zeros behind the data."""
    if values.shape == tuple(chunks):
        return values
    full = np.zeros(chunks, values.dtype)
    full[tuple(slice(length) for length in values.shape)] = values
    return full


def encoded(values: Array, chunks: Sequence[int], *, shuffle: bool) -> bytes:
    """Return what is stored for a chunk of contiguous values."""
    full = padded(values, chunks)
    planes = shuffled(full) if shuffle else full.reshape(1, -1).view(np.uint8)
    noisy = 0
    while noisy < len(planes) and is_noise(planes[noisy]):
        noisy += 1
    return stream(planes.reshape(-1), stored=noisy * planes.shape[1])


def is_noise(octets: Array) -> bool:
    """Return whether samples from all parts of the bytes hardly become smaller by compression."""
    if octets.size < SAMPLES * SAMPLE_BYTES:
        return False
    places = np.linspace(0, octets.size - SAMPLE_BYTES, SAMPLES).astype(int)
    return all(
        len(_deflated(octets[place : place + SAMPLE_BYTES])) > WORTH * SAMPLE_BYTES for place in places
    )


def stream(octets: Array, *, stored: int) -> bytes:
    """Return a zlib stream of bytes of which the first ``stored`` are not compressed."""
    check = codec().adler32(octets).to_bytes(4, "big")
    return b"".join([_HEADER, *_stored_blocks(octets.data[:stored]), _deflated(octets[stored:]), check])


def _stored_blocks(octets: memoryview) -> Iterator[bytes | memoryview]:
    for start in range(0, len(octets), _MAX_STORED):
        block = octets[start : start + _MAX_STORED]
        yield b"\0" + len(block).to_bytes(2, "little") + (len(block) ^ 0xFFFF).to_bytes(2, "little")
        yield block


def _deflated(octets: Array) -> bytes:
    deflater = codec().deflater()
    return bytes(deflater.compress(octets)) + bytes(deflater.flush())
