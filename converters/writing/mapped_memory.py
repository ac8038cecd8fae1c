"""Copies out of mapped files that do not leave the file in the memory of the process."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

# The system maps up to 64 KiB around what is touched: with many short pieces far more than is read.
STEP_BYTES = 1 << 20

Array = np.ndarray[Any, np.dtype[Any]]


def copied(view: Array) -> Array:
    """Return a view on a read-only mapped file as a copy in memory; any other array as it is.

    The pages of the file are given back to the system again and again while they are copied, so that the
    memory of the process does not grow to the size of the file.
    """
    mapped = _read_only_map(view)
    if mapped is None or not view.size:
        return view
    copy = np.empty_like(view, subok=False)
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
