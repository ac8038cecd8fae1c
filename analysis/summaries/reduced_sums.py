"""Cross-products of units carried over to the columns of a model and summed by the lowest level above."""

from __future__ import annotations

from typing import Final

import numpy as np

from nwbswitch.analysis.formulas.factor import numbered
from nwbswitch.analysis.summaries.kinds import pseudo_inverse
from nwbswitch.analysis.summaries.unit_summaries import UnitSummaries
from nwbswitch.analysis.trees.bottom import Summary

_CHUNK: Final = 1 << 16


def inner_scale(summaries: UnitSummaries) -> np.ndarray:
    """Return the root mean square over rows of every effect of the innermost groups."""
    squares = np.einsum("ckk->ck", summaries.kinds)[summaries.cell_kind]
    return np.asarray(np.sqrt(summaries.cell_count @ squares / summaries.n_rows.sum()))


def inner_spread(summaries: UnitSummaries) -> float:
    """Return the mean square over rows of the response around the means of units."""
    within = float(summaries.within[:, -1, -1].sum())
    inverses = pseudo_inverse(summaries.kinds)[summaries.cell_kind]
    if summaries.products is not None:
        within += float(np.einsum("cab,cab->", summaries.products[:, -1, :, -1], inverses))
    elif summaries.slopes is not None:
        last = summaries.slopes[:, -1]
        within += float(np.einsum("ca,cab,cb->", last, inverses, last))
    return within / float(summaries.n_rows.sum())


def reduced_sums(
    summaries: UnitSummaries, L: np.ndarray, scale: np.ndarray, parent: np.ndarray, n_parents: int
) -> tuple[Summary, np.ndarray]:
    """Return the sums in columns W = C L of every unit, and the cell of the summaries behind each cell.

    Parameters
    ----------
    summaries
        Cross-products of units.
    L
        (u, m, columns) coefficients of W.
    scale
        (k,) divisors of the innermost effects.
    parent
        (u,) group of the level above of every unit.
    n_parents
        Number of these groups.
    """
    order = np.argsort(parent, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(parent[order]) > 0])
    mapped = L.transpose(0, 2, 1) @ summaries.within @ L
    within = np.add.reduceat(mapped[order], starts, axis=0) if n_parents < len(L) else mapped[order]
    n_rows = np.bincount(parent, weights=summaries.n_rows, minlength=n_parents)
    log_weights = None
    if summaries.log_weights is not None:
        log_weights = np.bincount(parent, weights=summaries.log_weights, minlength=n_parents)
    kinds = summaries.kinds / np.outer(scale, scale)
    inverses = pseudo_inverse(kinds)
    cell_parent = parent[summaries.cell_unit]
    if summaries.products is None:
        by_parent = np.argsort(cell_parent, kind="stable")
        slopes = None if summaries.slopes is None else _slopes(summaries, L, by_parent) / scale
        if not len(scale):
            slopes = None
        return Summary(
            within,
            kinds,
            inverses,
            cell_parent[by_parent],
            summaries.cell_kind[by_parent],
            summaries.cell_count[by_parent],
            None,
            slopes,
            np.arange(len(by_parent)),
            n_rows,
            log_weights,
        ), by_parent
    products = _products(summaries, L, scale)
    cell, keys = numbered(cell_parent * len(kinds) + summaries.cell_kind)
    by_key = np.argsort(cell, kind="stable")
    firsts = np.flatnonzero(np.r_[True, np.diff(cell[by_key]) > 0])
    key_parent, key_kind = np.divmod(keys, len(kinds))
    return Summary(
        within,
        kinds,
        inverses,
        key_parent,
        key_kind,
        np.add.reduceat(summaries.cell_count[by_key], firsts),
        np.add.reduceat(products[by_key], firsts, axis=0),
        None,
        np.empty(0, dtype=np.int64),  # groups that are held as sums have no order
        n_rows,
        log_weights,
    ), by_key[firsts]


def _slopes(summaries: UnitSummaries, L: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return W'Z of the cells in ``order``."""
    assert summaries.slopes is not None
    found = np.empty((len(order), L.shape[2], summaries.slopes.shape[2]))
    for first in range(0, len(order), _CHUNK):
        taken = order[first : first + _CHUNK]
        found[first : first + _CHUNK] = (
            L[summaries.cell_unit[taken]].transpose(0, 2, 1) @ summaries.slopes[taken]
        )
    return found


def _products(summaries: UnitSummaries, L: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the sums of vec(D) vec(D)' with D = W'Z of every cell."""
    assert summaries.products is not None
    n_cells, _, k = summaries.products.shape[:3]
    size = L.shape[2]
    found = np.empty((n_cells, size, k, size, k))
    for first in range(0, n_cells, _CHUNK):
        part = slice(first, first + _CHUNK)
        own = L[summaries.cell_unit[part]]
        for a in range(k):
            for b in range(k):
                block = own.transpose(0, 2, 1) @ summaries.products[part, :, a, :, b] @ own
                found[part, :, a, :, b] = block / (scale[a] * scale[b])
    return found
