"""Where the samples of an array lie in its file: enough to read any part of it by byte ranges alone."""

from __future__ import annotations

import base64
import math
import re
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator

MAX_PACKED_BYTES = 256 << 20
MAX_DIMENSIONS = MAX_FILTERS = 32
"""Of HDF5."""
_NUMBERS = re.compile(r"[<>|=]?[biuf](?:1|2|4|8|12|16)")


def _packed(values: NDArray[np.int64]) -> str:
    steps = np.diff(values, prepend=np.int64(0)).astype("<i8")
    return base64.b64encode(zlib.compress(steps.tobytes(), 6)).decode("ascii")


def _unpacked(value: Any) -> NDArray[np.int64]:
    if isinstance(value, np.ndarray):
        return value.astype(np.int64, copy=False)
    if not isinstance(value, str):
        raise ValueError("a packed list of numbers is a text")
    unpack = zlib.decompressobj()
    try:
        raw = unpack.decompress(base64.b64decode(value, validate=True), MAX_PACKED_BYTES)
    except zlib.error as error:
        raise ValueError("a packed list of numbers is damaged") from error
    if not unpack.eof or len(raw) % 8:
        raise ValueError("a packed list of numbers is too long or damaged")
    return np.cumsum(np.frombuffer(raw, dtype="<i8"), dtype=np.int64)


Int64s = Annotated[
    NDArray[np.int64],
    PlainValidator(_unpacked),
    PlainSerializer(_packed, return_type=str, when_used="json"),
]
"""Whole numbers that become one short text in JSON: differences, deflated, as base64."""


Number = Annotated[
    float, PlainSerializer(lambda value: value if math.isfinite(value) else str(value), when_used="json")
]
"""A number that may be NaN, which JSON does not know."""


class Filter(StrEnum):
    """The filters of HDF5 that are undone here, without the HDF5 library."""

    SHUFFLE = "shuffle"
    GZIP = "gzip"
    FLETCHER32 = "fletcher32"


@dataclass(frozen=True, slots=True)
class StoredArray:
    """One dataset of a file and the place of each of its chunks."""

    object_path: str
    shape: tuple[int, ...]
    dtype: str
    """As numpy writes it, e.g. ``<f4``."""
    chunk_shape: tuple[int, ...]
    """Of a contiguous dataset, its shape."""
    filters: tuple[Filter, ...]
    """In the order in which they were applied when the chunks were written."""
    offsets: Int64s
    """Byte offset of each chunk in C order of the grid of chunks; -1 where none was written."""
    sizes: Int64s
    """Stored bytes of each chunk."""
    skipped: Int64s
    """Mask of the filters that were not applied to each chunk, bit i for filter i."""
    fill_value: Number = 0.0
    by_ranges: bool = True
    """Whether byte ranges are enough; if not (rare filters, data in headers), the HDF5 library reads it."""

    def __post_init__(self) -> None:
        """Refuse what no dataset of numbers in an HDF5 file is.

        Raises
        ------
        ValueError
            For such; it may come from a file that was kept and changed since.
        """
        whole = (*self.shape, *self.chunk_shape)
        fits = (
            _NUMBERS.fullmatch(self.dtype)
            and len(self.shape) == len(self.chunk_shape) <= MAX_DIMENSIONS
            and all(0 <= each < 1 << 63 for each in whole)
            and (self.shape == self.chunk_shape or all(self.chunk_shape))
            and len(self.filters) <= MAX_FILTERS
        )
        if not fits:
            problem = f"{self.dtype[:20]} of shape {self.shape} in chunks of {self.chunk_shape}"
            raise ValueError(f"{self.object_path[:200]} is no array of numbers: {problem}")

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks along each dimension."""
        return tuple(
            -(-length // chunk) if chunk else 0
            for length, chunk in zip(self.shape, self.chunk_shape, strict=True)
        )
