"""Which crossed effects meet, the order in which to eliminate them, and what that fills."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

# Rows of a pattern are multiplied in pieces of about this many pairs.
PIECE: Final = 4_000_000


def meeting(codes: np.ndarray, n_groups: int, others: Any, *, limit: int) -> Any | None:
    """Return which columns of ``others`` meet in a group, or None if these are more than ``limit`` pairs.

    Parameters
    ----------
    codes
        (rows,) group of each row.
    n_groups
        Number of groups.
    others
        Sparse (rows, columns) array of the other effects.
    limit
        Largest number of pairs to hold.
    """
    from scipy.sparse import csr_array

    n_rows = len(codes)
    own = csr_array((np.ones(n_rows, dtype=np.int32), codes, np.arange(n_rows + 1)), shape=(n_rows, n_groups))
    present = csr_array((np.ones(others.nnz, dtype=np.int32), others.indices, others.indptr), others.shape)
    touched = csr_array(own.T @ present)
    pairs = np.cumsum(np.diff(touched.indptr).astype(float) ** 2)
    found = csr_array((others.shape[1], others.shape[1]), dtype=np.int8)
    first = 0
    while first < n_groups:
        before = pairs[first - 1] if first else 0.0
        last = max(first + 1, int(np.searchsorted(pairs, before + PIECE, side="right")))
        if pairs[last - 1] - before > 4.0 * limit:
            return None
        piece = touched[first:last]
        piece.data = np.ones_like(piece.data)
        found = found + piece.T @ piece
        found.data = np.ones(found.nnz, dtype=np.int8)
        if found.nnz > limit:
            return None
        first = last
    return csr_array(found)


def elimination_order(pattern: Any) -> tuple[np.ndarray, int]:
    """Return an order of elimination and the most places that a triangular factor fills in it.

    Nothing is filled outside the envelope, from the first place of a row to its diagonal (George and Liu
    1981, theorem 4.1.1).
    """
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    degree = np.diff(pattern.indptr)
    best: tuple[np.ndarray, int] | None = None
    for many in (np.inf, 16.0, 4.0):
        last = degree > many * np.median(degree)
        if best is not None and not last.any():
            continue
        inner = np.flatnonzero(~last)
        order = inner[reverse_cuthill_mckee(pattern[inner][:, inner], symmetric_mode=True)]
        order = np.concatenate([order, np.flatnonzero(last)])
        fill = _envelope(pattern, order)
        if best is None or fill < best[1]:
            best = order, fill
    assert best is not None
    return best


def _envelope(pattern: Any, order: np.ndarray) -> int:
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    lowest = np.minimum.reduceat(rank[pattern.indices], pattern.indptr[:-1])
    return int(np.sum(rank - np.minimum(lowest, rank) + 1))
