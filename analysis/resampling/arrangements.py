"""All distinct ways, or a random sample of ways, to deal clusters to designs or to flip their signs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from math import factorial, prod

import numpy as np


def n_deals(strata: np.ndarray, kinds: np.ndarray) -> int:
    """Return how many distinct ways there are to deal clusters to slots within strata.

    Parameters
    ----------
    strata, kinds
        (clusters,) stratum and design of every slot; slots of one stratum and design are the same.
    """
    return prod(
        factorial(int(np.sum(strata == stratum)))
        // prod(factorial(int(count)) for count in np.unique(kinds[strata == stratum], return_counts=True)[1])
        for stratum in np.unique(strata)
    )


def all_deals(strata: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Return (ways, clusters) which cluster takes each slot, the given one first."""
    parts = []
    for stratum in np.unique(strata):
        slots = np.flatnonzero(strata == stratum)
        groups = [slots[kinds[slots] == kind] for kind in np.unique(kinds[slots])]
        parts.append((np.concatenate(groups), list(_splits(tuple(slots.tolist()), [len(g) for g in groups]))))
    deals = np.empty((prod(len(ways) for _, ways in parts), len(strata)), dtype=np.int64)
    for row, chosen in enumerate(product(*(ways for _, ways in parts))):
        for (slots, _), taken in zip(parts, chosen, strict=True):
            deals[row, slots] = taken
    own = np.flatnonzero((kinds[deals] == kinds).all(axis=1))[0]
    deals[[0, own]] = deals[[own, 0]]
    return deals


def _splits(items: tuple[int, ...], sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield all splits of ``items`` into groups of ``sizes``, each as one tuple, group after group."""
    if len(sizes) == 1:
        yield items
        return
    for chosen in combinations(items, sizes[0]):
        rest = tuple(item for item in items if item not in chosen)
        for others in _splits(rest, sizes[1:]):
            yield chosen + others


def some_deals(strata: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return (n, clusters) random deals within strata."""
    deals = np.tile(np.arange(len(strata)), (n, 1))
    for stratum in np.unique(strata):
        slots = np.flatnonzero(strata == stratum)
        deals[:, slots] = rng.permuted(deals[:, slots], axis=1)
    return deals


def all_signs(n_clusters: int) -> np.ndarray:
    """Return (2^clusters, clusters) all signs, those of no flip first."""
    codes = np.arange(2**n_clusters)[:, None] >> np.arange(n_clusters)
    return 1.0 - 2.0 * (codes & 1)


def some_signs(n_clusters: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return (n, clusters) random signs."""
    return np.asarray(1.0 - 2.0 * rng.integers(0, 2, (n, n_clusters)))
