"""What HDF5's filters shuffle and gzip do to a chunk, done outside HDF5 so that threads share the work."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

LEVEL = 1

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Codec:
    """Compression to a zlib stream (RFC 1950), which is what HDF5's gzip filter stores, and a CRC-32."""

    name: str
    compress: Callable[[Any], bytes]
    crc32: Callable[[Any], int]


@cache
def codec() -> Codec:
    """Return the compression by isa-l, or by zlib where the package isal is not installed."""
    try:
        from isal import isal_zlib
    except ImportError:
        return Codec("zlib", lambda data: zlib.compress(data, LEVEL), zlib.crc32)
    return Codec("isa-l", lambda data: isal_zlib.compress(data, LEVEL), isal_zlib.crc32)


def shuffled(values: Array) -> Array:
    """Return the bytes of contiguous values as HDF5's shuffle filter orders them: all first bytes first."""
    size = values.dtype.itemsize
    octets = values.reshape(-1).view(np.uint8)
    return octets if size == 1 else np.ascontiguousarray(octets.reshape(-1, size).T)


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
    return codec().compress(shuffled(full) if shuffle else full.reshape(-1).view(np.uint8))
