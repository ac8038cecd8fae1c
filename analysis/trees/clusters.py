"""The independent clusters of a nested model: their share of the cross-products, and leaving one out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nwbswitch.analysis.trees.bottom import Summary
from nwbswitch.analysis.trees.elimination import Elimination
from nwbswitch.analysis.trees.levels import CrossedLevel, Level
from nwbswitch.schemas.errors import FitError


def cluster_products(summary: Summary, upper: Sequence[Level], psi: Sequence[np.ndarray]) -> np.ndarray:
    """Return W_g'V_g^-1 W_g of every group of the outermost level, (clusters, m, m).

    Raises
    ------
    FitError
        If the outermost factor is crossed with all others, or only sums over its groups were kept.
    """
    check_clusters(upper)
    found: np.ndarray = Elimination(summary, upper, psi).steps[-1].eliminated
    return found


def check_clusters(upper: Sequence[Level]) -> None:
    """Raise FitError if there are no clusters to tell apart."""
    if not upper:
        raise FitError(
            "The only grouping factor has so many levels that sums over them were kept, not each of them, "
            "so they cannot be taken one by one."
        )
    if isinstance(upper[-1], CrossedLevel) and len(upper[-1].sizes) < 2:
        raise FitError(
            "A factor is crossed with all others, so the responses have no independent clusters. "
            "Methods that go cluster by cluster need a grouping factor that holds all others."
        )


def cluster_rows(summary: Summary, upper: Sequence[Level]) -> np.ndarray:
    """Return the number of rows of every cluster.

    Raises
    ------
    FitError
        If there are no clusters, or the summary does not say how many rows each parent has.
    """
    check_clusters(upper)
    if summary.rows is None:
        raise FitError("The rows of a cluster cannot be told: the summaries do not count those of each unit.")
    rows = summary.rows
    for level in upper[:-1]:
        rows = np.add.reduceat(rows, level.starts)
    return rows


def without(
    summary: Summary, upper: Sequence[Level], orders: Sequence[np.ndarray], position: int
) -> tuple[Summary, tuple[Level, ...], tuple[np.ndarray, ...]]:
    """Return the summary, levels and orders of groups without one cluster.

    Raises
    ------
    ValueError
        If there is no such cluster.
    """
    check_clusters(upper)
    n = len(upper[-1].parent)
    if not 0 <= position < n:
        raise ValueError(f"position is {position}; the clusters are numbered 0 to {n - 1}.")
    kept = np.arange(n) != position
    levels: list[Level] = []
    remaining = []
    for i in range(len(upper) - 1, -1, -1):
        level = upper[i]
        if i < len(upper) - 1:
            kept = kept[level.parent]
        parent = np.unique(level.parent[kept], return_inverse=True)[1]
        starts = np.flatnonzero(np.r_[True, parent[1:] != parent[:-1]])
        if isinstance(level, CrossedLevel):
            levels.append(replace(level, starts=starts, parent=parent, sizes=level.sizes[kept]))
            remaining.append(np.repeat(kept, level.sizes))
        else:
            levels.append(replace(level, starts=starts, parent=parent))
            remaining.append(kept)
    cells = kept[summary.parent]
    renumbered = np.cumsum(kept) - 1
    groups = np.bincount(summary.parent, weights=summary.count, minlength=len(kept)).round().astype(np.int64)
    remaining.append(np.repeat(kept, groups))
    smaller = replace(
        summary,
        within=summary.within[kept],
        rows=None if summary.rows is None else summary.rows[kept],
        log_weights=None if summary.log_weights is None else summary.log_weights[kept],
        parent=renumbered[summary.parent[cells]],
        kind=summary.kind[cells],
        count=summary.count[cells],
        products=None if summary.products is None else summary.products[cells],
        slopes=None if summary.slopes is None else summary.slopes[cells],
        order=_left(summary.order, remaining[-1]),
    )
    if not summary.kinds.shape[1]:
        remaining.pop()
    masks = remaining[::-1] if orders else []
    left = tuple(_left(order, mask) for order, mask in zip(orders, masks, strict=True))
    return smaller, tuple(levels[::-1]), left


def _left(order: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the order of the groups kept; an order that was not kept is empty."""
    return order[kept] if len(order) else order
