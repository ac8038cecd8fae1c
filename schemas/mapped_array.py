"""Arrays in files: mapped until they are closed, read as copies that do not leave the file in memory."""

from __future__ import annotations

import math
import mmap
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np

# The system maps up to 64 KiB around what is touched: with many short pieces far more than is read.
STEP_BYTES = 1 << 20

Array = np.ndarray[Any, np.dtype[Any]]


class MappedArray:
    """A read-only array of numbers that stays in its file; what is taken out of it is a copy.

    Unlike `numpy.memmap` it holds its file until `close` and no longer: no part of it refers to the file.

    Parameters
    ----------
    path
        The file; it must hold all of the array.
    dtype, shape
        Of the array.
    offset
        Where it begins, bytes.
    order, strides
        How its numbers lie, as for `numpy.ndarray`; strides in bytes, none of them negative.

    Raises
    ------
    OSError
        When the file cannot be opened or mapped.
    ValueError
        When the array reaches beyond the file; on reading, when it is closed.
    """

    def __init__(
        self,
        path: Path,
        *,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        offset: int = 0,
        order: Literal["C", "F"] = "C",
        strides: tuple[int, ...] | None = None,
    ) -> None:
        self.dtype = dtype
        self.shape = shape
        self._layout = (offset, strides, order)
        last = sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) if strides else 0
        count = 1 if strides else math.prod(shape)
        end = offset + last + count * dtype.itemsize
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if end > size:
                raise ValueError(f"an array that ends at byte {end} of {path.name}, which has {size}")
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __getitem__(self, selection: Any) -> Array:
        return _copy(np.asarray(self._view()[selection]), self._map)

    def _view(self) -> Array:
        offset, strides, order = self._layout
        # Only through frombuffer does closing the map beneath a view fail, instead of the process.
        data = np.frombuffer(self._map, np.uint8)
        return np.ndarray(self.shape, self.dtype, data, offset, strides, order)

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def copied(view: Array) -> Array:
    """Return a view on a read-only mapped file as a copy in memory; any other array as it is.

    The pages of the file are given back to the system again and again while they are copied, so that the
    memory of the process does not grow to the size of the file.
    """
    mapped = _read_only_map(view)
    return view if mapped is None or not view.size else _copy(view, mapped)


def _copy(view: Array, mapped: mmap.mmap) -> Array:
    copy = np.empty_like(view, subok=False)
    if not view.size:
        return copy
    slowest = max(range(view.ndim), key=lambda axis: abs(view.strides[axis]), default=0)
    source, target = (np.moveaxis(np.atleast_1d(each), slowest, 0) for each in (view, copy))
    step = max(STEP_BYTES * len(source) // view.nbytes, 1)
    for start in range(0, len(source), step):
        target[start : start + step] = source[start : start + step]
        if hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)
    return copy


def _read_only_map(array: Array) -> mmap.mmap | None:
    """Return the map under an array that nobody can write to: changes in other maps might be lost."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return None
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
