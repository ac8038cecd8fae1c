"""Pages of a mapped file, let go of once they are read: else a long recording fills the memory."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np


def read_only_map(array: np.ndarray[Any, Any]) -> mmap.mmap | None:
    """Return the map under an array that cannot be written to; None for any other array."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return None
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


def release(mapped: mmap.mmap) -> None:
    """Let the system take the pages of a map back; they are read again when they are touched again."""
    if hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
