"""Independent clusters of rows in a model with crossed groups, and their share of W'V^-1 W."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from nwbswitch.analysis.sparse.design import Rows
from nwbswitch.analysis.sparse.elimination import Eliminated, Factor
from nwbswitch.analysis.sparse.parts import components_of
from nwbswitch.schemas.errors import FitError

# A cluster of several outermost groups is named by this many of them.
NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Clusters:
    """The cluster of every row, and per level of every group; ``group`` is the outermost factor."""

    group: str
    labels: tuple[str, ...]
    of_rows: np.ndarray
    of_groups: tuple[np.ndarray, ...]


def clusters_of(rows: Rows) -> Clusters:
    """Return the clusters in the order of their first outermost group.

    Raises
    ------
    FitError
        If there is one; the message names the crossed factors.
    """
    components = components_of(rows.levels)
    names = " and ".join(repr(level.name) for level in rows.levels)
    if components.n < 2:
        raise FitError(
            f"The groups {names} are crossed and all rows hang together through them, so the responses have "
            "no independent clusters. Methods that go cluster by cluster need a grouping factor that holds "
            "all others."
        )
    outermost, own = rows.levels[-1], components.of_groups[-1]
    first = np.unique(own, return_index=True)[1]
    rank = np.empty(components.n, dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(components.n)
    of_groups = tuple(rank[each] for each in components.of_groups)
    members: list[list[str]] = [[] for _ in range(components.n)]
    for label, cluster in zip(outermost.labels, rank[own].tolist(), strict=True):
        members[cluster].append(label)
    return Clusters(
        outermost.name, tuple(_label(each) for each in members), rank[components.of_rows], of_groups
    )


def _label(members: Sequence[str]) -> str:
    shown = ", ".join(members[:NAMED])
    return shown if len(members) <= NAMED else f"{shown} and {len(members) - NAMED} more"


def add_cluster_sums(
    sums: np.ndarray,
    clusters: Clusters,
    groups: Sequence[np.ndarray],
    row_clusters: np.ndarray,
    rest: np.ndarray,
    eliminated: Eliminated,
    factor: Factor,
) -> None:
    """Add to ``sums`` (clusters, m, m) what one independent part of the model holds.

    Parameters
    ----------
    sums
        W_g'V_g^-1 W_g of every cluster, changed in place.
    clusters
        All clusters of the model.
    groups
        Per level, the part's groups among all.
    row_clusters
        (rows,) cluster of each row of the part.
    rest
        (rows, m) what the eliminated level leaves over of W in the part.
    eliminated, factor
        The part at one Psi.
    """
    products = eliminated.products
    weights = products.inverses @ eliminated.H
    own = 0.5 * (weights + weights.transpose(0, 2, 1)) @ products.slopes_w
    _add_products(sums, row_clusters, rest, rest)
    cluster = clusters.of_groups[products.eliminated][groups[products.eliminated]]
    for a in range(own.shape[1]):
        _add_products(sums, cluster, products.slopes_w[:, a], own[:, a])
    K_w, near = factor.times(eliminated.S_w), products.near
    others = eliminated.S_w - eliminated.S @ K_w
    taken = eliminated.S @ factor.left_times(near)
    for place in products.places:
        cluster = np.repeat(clusters.of_groups[place.level][groups[place.level]], place.size)
        span = place.span
        _add_products(sums, cluster, eliminated.S_w[span], -K_w[span])
        _add_products(sums, cluster, near[span], others[span] + taken[span])
        _add_products(sums, cluster, others[span], near[span])


def _add_products(sums: np.ndarray, cluster: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    """Add left_i right_i' of every i to the sum of its cluster."""
    n, m = len(sums), left.shape[1]
    for i in range(m):
        for j in range(m):
            sums[:, i, j] += np.bincount(cluster, left[:, i] * right[:, j], n)
