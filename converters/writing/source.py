"""Large data of any origin as one kind: its shape, its chunks and a function that reads a part."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hdmf.data_utils import GenericDataChunkIterator

from nwbswitch.converters.writing.chunk_codec import Array
from nwbswitch.converters.writing.chunk_grid import (
    MAX_BLOCK_BYTES,
    MAX_CHUNK_BYTES,
    Selection,
    block_shape,
    chunk_shape,
    shape_of,
)
from nwbswitch.schemas.errors import NwbswitchError

# Smaller arrays are left to pynwb, which stores them in one piece.
MIN_ARRAY_BYTES = 64 << 10
_PLAIN_KINDS = "biufc"


@dataclass(frozen=True, slots=True)
class Source:
    """Data to be written.

    Attributes
    ----------
    dtype : numpy.dtype
        As stored, in native byte order.
    chunks, block : tuple of int
        Shape of a chunk in the file, and of what is read at once: whole chunks, or whole axes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    block: tuple[int, ...]
    get: Callable[[Selection], Any]

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, selection: Selection) -> Array:
        """Return a part.

        Raises
        ------
        NwbswitchError
            The part has another shape than asked for, or a type that does not fit the declared one.
        """
        block = np.asarray(self.get(selection))
        if block.shape != shape_of(selection):
            raise NwbswitchError(
                f"A data source delivered the shape {block.shape} where {shape_of(selection)} was asked for "
                f"(of {self.shape})."
            )
        if block.dtype != self.dtype and not np.can_cast(block.dtype, self.dtype, "safe"):
            raise NwbswitchError(
                f"A data source declared {self.dtype} but delivered {block.dtype}, which would lose values."
            )
        return block


def source_of(data: Any, stored: Any = None) -> Source | None:
    """Return the source over an iterator or a large array; None for what pynwb had better write itself.

    Parameters
    ----------
    data
        A `hdmf.data_utils.GenericDataChunkIterator` or a numpy array.
    stored
        The type that NWB asks for, as hdmf resolved it; that of the data by default.
    """
    if isinstance(data, GenericDataChunkIterator):
        shape, given = tuple(data.maxshape), np.dtype(data.dtype)
    elif isinstance(data, np.ndarray) and data.nbytes >= MIN_ARRAY_BYTES:
        shape, given = data.shape, data.dtype
    else:
        return None
    dtype = _stored_dtype(given, stored)
    if dtype is None or 0 in shape or not shape:
        return None
    if isinstance(data, GenericDataChunkIterator):
        chunks, block = _of_iterator(data, shape, dtype)
        return Source(shape, dtype, chunks, block, lambda selection: data._get_data(selection=selection))
    chunks = chunk_shape(shape, dtype.itemsize)
    axes = sorted(range(len(shape)), key=lambda axis: (abs(data.strides[axis]), -axis))
    return Source(
        shape, dtype, chunks, block_shape(shape, chunks, dtype.itemsize, axes=axes), data.__getitem__
    )


def _stored_dtype(given: np.dtype[Any], stored: Any) -> np.dtype[Any] | None:
    if stored is None:
        stored = given
    if not isinstance(stored, type | np.dtype):
        return None
    dtype = np.dtype(stored).newbyteorder("=")
    if dtype.kind not in _PLAIN_KINDS or dtype.itemsize > 16 or dtype == np.longdouble:
        return None
    return dtype if given == dtype or np.can_cast(given, dtype, "safe") else None


def _of_iterator(
    data: GenericDataChunkIterator, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return chunks and block as the iterator has them, unless they are too large for the memory limit."""
    chunks = tuple(data.chunk_shape)
    buffer = tuple(data.buffer_shape)
    own = math.prod(chunks) * dtype.itemsize > MAX_CHUNK_BYTES
    if own:
        chunks = chunk_shape(shape, dtype.itemsize)
    elif math.prod(buffer) * dtype.itemsize <= MAX_BLOCK_BYTES:
        return chunks, buffer
    # What the buffer holds entirely is cheap to read together, and so are the last axes.
    axes = sorted(range(len(shape)), key=lambda axis: (buffer[axis] < shape[axis], -axis))
    return chunks, block_shape(shape, chunks, dtype.itemsize, axes=axes)
