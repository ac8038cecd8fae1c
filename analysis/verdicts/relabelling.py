"""Exchanges of labels: who could have been in which arm, had the drug done nothing.

Animals that were in both arms exchange their two sessions, the others are dealt to groups of the observed
sizes; under the hypothesis that labels mean nothing every such arrangement was as likely as the observed
one (Fisher 1935, The Design of Experiments, section 21; Pitman 1937, Suppl J R Stat Soc 4:119-130).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.estimands.counts import Floats

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Relabelling:
    """Arrangements of rows of two groups, the rows of the second counted after those of the first.

    Attributes
    ----------
    first, second
        Rows that make up either group, shape (arrangements, rows of the group), the observed one first.
        An animal in both groups keeps its places.
    complete
        Whether these are all arrangements there are, rather than a sample.
    mirrored
        Whether every arrangement is there with the groups exchanged, so that two are as extreme as one.
    """

    first: Ints
    second: Ints
    complete: bool
    mirrored: bool

    @property
    def size(self) -> int:
        """Number of arrangements."""
        return int(self.first.shape[0])

    def totals(self, rows: Floats) -> Floats:
        """Return the sums of both groups, shape (arrangements, 2, sums), of rows of shape (rows, sums)."""
        masks = np.zeros((self.size, rows.shape[0]))
        np.put_along_axis(masks, self.first, 1.0, axis=1)
        of_first = masks @ rows
        return np.stack([of_first, rows.sum(axis=0) - of_first], axis=-2)


def ways(n_one: int, n_two: int, n_shared: int) -> int:
    """Return the number of arrangements of groups of these sizes with animals in both."""
    return int(2**n_shared * math.comb(n_one + n_two - 2 * n_shared, n_one - n_shared))


def smallest_p(n_one: int, n_two: int, n_shared: int) -> float:
    """Return the smallest two-sided P that the arrangements can give."""
    return (2 if n_one == n_two else 1) / ways(n_one, n_two, n_shared)


def relabelling(
    n_one: int, n_two: int, shared: Sequence[tuple[int, int]] = (), *, most: int, seed: int = 0
) -> Relabelling:
    """Return all arrangements of two groups, or as many random ones and the observed one.

    Parameters
    ----------
    n_one, n_two
        Rows of either group.
    shared
        Rows (in the first, in the second) of animals that are in both.
    most
        Largest number of arrangements that are listed; beyond it ``most`` are drawn with replacement.
    """
    n, n_shared = n_one + n_two, len(shared)
    complete = ways(n_one, n_two, n_shared) <= most
    pairs = np.array([(one, n_one + two) for one, two in shared], dtype=np.int64).reshape(-1, 2)
    alone = np.setdiff1d(np.arange(n), pairs)
    places_one = np.setdiff1d(np.arange(n_one), pairs[:, 0])
    places_two = np.setdiff1d(np.arange(n_one, n), pairs[:, 1]) - n_one
    if complete:
        swapped = (np.arange(2**n_shared)[:, None] >> np.arange(n_shared)) & 1
        dealt = np.array(list(combinations(range(alone.size), places_one.size)), dtype=np.int64)
        swapped, dealt = (
            np.repeat(swapped, dealt.shape[0], axis=0),
            np.tile(dealt, (swapped.shape[0], 1)),
        )
    else:
        rng = np.random.default_rng(seed)
        swapped = rng.integers(0, 2, (most, n_shared))
        order = rng.permuted(np.tile(np.arange(alone.size), (most, 1)), axis=1)
        swapped = np.concatenate([np.zeros((1, n_shared), dtype=np.int64), swapped])
        dealt = np.concatenate([np.arange(places_one.size)[None], order[:, : places_one.size]])
    chosen = np.zeros((dealt.shape[0], alone.size), dtype=bool)
    np.put_along_axis(chosen, dealt, True, axis=1)
    rank = np.argsort(~chosen, axis=1, kind="stable")
    first = np.empty((dealt.shape[0], n_one), dtype=np.int64)
    second = np.empty((dealt.shape[0], n_two), dtype=np.int64)
    first[:, places_one] = alone[rank[:, : places_one.size]]
    second[:, places_two] = alone[rank[:, places_one.size :]]
    first[:, pairs[:, 0]] = np.where(swapped, pairs[:, 1], pairs[:, 0])
    second[:, pairs[:, 1] - n_one] = np.where(swapped, pairs[:, 0], pairs[:, 1])
    return Relabelling(first, second, complete, n_one == n_two)
