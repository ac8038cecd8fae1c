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
    BLOCK_BYTES,
    MAX_CHUNK_BYTES,
    Selection,
    block_shape,
    chunk_shape,
    shape_of,
)
from nwbswitch.schemas.errors import NwbswitchError
from nwbswitch.schemas.mapped_array import copied

# Smaller arrays are left to pynwb, which stores them in one piece.
MIN_ARRAY_BYTES = 64 << 10
_PLAIN_KINDS = frozenset("biuf")


@dataclass(frozen=True, slots=True)
class Source:
    """Data to be written.

    Attributes
    ----------
    dtype : numpy.dtype
        As stored.
    chunks, block : tuple of int
        Shape of a chunk in the file, and of what is read at once: whole chunks, or whole axes.
    get : callable
        Returns the part of a selection.
    lasting : bool
        What ``get`` returned stays as it is when ``get`` is called again.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    block: tuple[int, ...]
    get: Callable[[Selection], Any]
    lasting: bool

    @property
    def chunk_bytes(self) -> int:
        """Size of a chunk in memory."""
        return math.prod(self.chunks) * self.dtype.itemsize

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
                f"A source of data of shape {self.shape} delivered {block.shape} "
                f"where {shape_of(selection)} was asked for. Its reader is at fault."
            )
        if block.dtype != self.dtype and not np.can_cast(block.dtype, self.dtype, "safe"):
            raise NwbswitchError(
                f"A source of data of shape {self.shape} declared {self.dtype} but delivered {block.dtype}, "
                "which would lose values. Its reader is at fault."
            )
        return block


def source_of(data: Any, stored: Any = None, *, min_bytes: int = MIN_ARRAY_BYTES) -> Source | None:
    """Return the source over an iterator or a large array; None for what pynwb had better write itself.

    Parameters
    ----------
    data
        A `hdmf.data_utils.GenericDataChunkIterator` or a numpy array.
    stored
        The type that NWB asks for, as hdmf resolved it; that of the data by default.
    min_bytes
        Size of an array that is large.
    """
    if isinstance(data, GenericDataChunkIterator):
        shape, given = tuple(data.maxshape), np.dtype(data.dtype)
    elif isinstance(data, np.ndarray) and data.nbytes >= min_bytes:
        shape, given = data.shape, data.dtype
    else:
        return None
    dtype = plain_dtype(given if stored is None else stored)
    if dtype is None or not shape or 0 in shape or not np.can_cast(given, dtype, "safe"):
        return None
    if isinstance(data, np.ndarray):
        return _of_array(data, dtype)
    return _of_iterator(data, shape, dtype)


def plain_dtype(stored: Any) -> np.dtype[Any] | None:
    """Return a type of fixed size in native byte order; None for texts, compounds and references."""
    if not isinstance(stored, type | np.dtype):
        return None
    dtype = np.dtype(stored).newbyteorder("=")
    return dtype if dtype.kind in _PLAIN_KINDS and dtype.itemsize <= 8 else None


def _of_array(data: Array, dtype: np.dtype[Any]) -> Source:
    chunks = chunk_shape(data.shape, dtype.itemsize)
    axes = sorted(range(data.ndim), key=lambda axis: (abs(data.strides[axis]), -axis))
    block = block_shape(data.shape, chunks, dtype.itemsize, axes=axes)
    return Source(data.shape, dtype, chunks, block, lambda part: copied(data[part]), lasting=True)


def _of_iterator(data: GenericDataChunkIterator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Source:
    """Return the source with chunks and block as the iterator has them, unless they need too much memory."""
    chunks, block = tuple(data.chunk_shape), tuple(data.buffer_shape)
    too_large = math.prod(chunks) * dtype.itemsize > MAX_CHUNK_BYTES
    if too_large:
        chunks = chunk_shape(shape, dtype.itemsize)
    if too_large or math.prod(block) * dtype.itemsize > BLOCK_BYTES:
        # What the buffer holds entirely is read together, last axes first; the first axis is time.
        together = [axis for axis in range(1, len(shape)) if block[axis] == shape[axis]]
        axes = sorted(range(len(shape)), key=lambda axis: (axis not in together, -axis))
        block = block_shape(shape, chunks, dtype.itemsize, axes=axes, together=together)
    return Source(shape, dtype, chunks, block, lambda part: data._get_data(selection=part), lasting=False)
