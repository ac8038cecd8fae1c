"""Innermost groups with equal Z'Z, and what is kept of them."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.factor import numbered

# Entries of Z'Z count as equal up to this part of the largest: the rounding of their sums.
ROUNDING: Final = 1e-13


def distinct_kinds(A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each matrix of (groups, k, k) the row of the distinct ones, and these."""
    k = A.shape[1]
    if k == 0:
        return np.zeros(len(A), dtype=np.int64), np.empty((1, 0, 0))
    size = float(np.abs(A).max())
    code = np.zeros(len(A), dtype=np.int64)
    for i in range(k):
        for j in range(i + 1):
            entry = A[:, i, j]
            if size < 1e6 and np.array_equal(entry, np.rint(entry)):
                inner, values = numbered(entry.astype(np.int64))
            else:
                inner, values = pd.factorize(np.round(entry / (size * ROUNDING)) if size else entry)
            code = numbered(code * len(values) + inner)[0]
    one = np.empty(int(code.max()) + 1, dtype=np.int64)
    one[code[::-1]] = np.arange(len(code))[::-1]
    return code, A[one]


def cells_of(
    D: np.ndarray, kind: np.ndarray, kinds: np.ndarray, unit: np.ndarray, *, by_group: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return unit, kind and count of cells, and their products or, one cell per group, slopes.

    Parameters
    ----------
    D
        (groups, m, k), groups sorted by unit.
    kind
        (groups,) row of ``kinds``.
    kinds
        (kinds, k, k).
    unit
        (groups,) unit of each group.
    by_group
        Keep every group.
    """
    n_groups, m, k = D.shape
    if k == 0:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, np.empty(0), None, np.empty((0, m, 0))
    cell, cells = numbered(unit * len(kinds) + kind)
    if by_group or not worth_joining(len(cells), m * k, n_groups):
        return unit, kind, np.ones(n_groups), None, D
    cell_unit, cell_kind = np.divmod(cells, len(kinds))
    flat = D.reshape(n_groups, -1)
    size = flat.shape[1]
    products = np.empty((len(cells), size, size))
    for i in range(size):
        for j in range(i + 1):
            products[:, i, j] = products[:, j, i] = np.bincount(cell, weights=flat[:, i] * flat[:, j])
    count = np.bincount(cell).astype(float)
    return cell_unit, cell_kind, count, products.reshape(len(cells), m, k, m, k), None


def worth_joining(n_cells: int, size: int, n_groups: int) -> bool:
    """Return whether products of cells take less room than one entry per group."""
    return n_cells * size <= n_groups


def pseudo_inverse(A: np.ndarray) -> np.ndarray:
    """Return the Moore-Penrose inverse of every symmetric matrix of (kinds, k, k)."""
    if A.shape[1] == 0:
        return A
    if A.shape[1] == 1:
        return np.asarray(np.divide(1.0, A, out=np.zeros_like(A), where=A > 0.0))
    return np.asarray(np.linalg.pinv(A, rcond=1e-10, hermitian=True))
