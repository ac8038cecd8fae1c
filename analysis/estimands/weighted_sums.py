"""The sums of one session when neurons count several times or not at all, for all resamples at once.

A resample of neurons is a column of whole-number weights. Every sum over neurons is then a product of
columns with weights; the top and bottom neurons of a resample are found on cumulative weights along the
neurons sorted by rate, with their expected share where rates tie, as `primary.Layout.expected` says; and
covariances are weighted cross-products. The numbers are those of `primary.contrast_sums` on the neurons
written out as often as they count. A jackknife is a resample with one neuron left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.estimands.counts import Floats, HalfCounts
from nwbswitch.analysis.estimands.neuron_pairs import pair_sums, weighted_pair_sums
from nwbswitch.analysis.estimands.primary import (
    ACTIVE_SHARE,
    SILENT_SHARE,
    Layout,
    naive_columns,
    root_rate,
    selected_columns,
)

_CHUNK_CELLS = 100_000
_NO_SPREAD = 1e-12


@dataclass(frozen=True, slots=True)
class _Ranking:
    """Neurons of one session in the order of their rate in one half, lowest first.

    ``starts`` are where a new rate begins, ``sizes`` how many neurons share it, and ``columns`` what is
    summed over selected neurons, in that order, shape (neurons, 6).
    """

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    sizes: NDArray[np.intp]
    columns: Floats

    @classmethod
    def of(cls, rate: Floats, columns: Floats) -> Self:
        order = np.argsort(rate, kind="stable")
        starts = np.flatnonzero(np.diff(rate[order], prepend=-np.inf) > 0)
        return cls(order, starts, np.diff(starts, append=rate.size), columns[order])

    def sums(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return the sums over the top and over the bottom neurons, shape (resamples, 6) each."""
        ordered = weights[self.order]
        tied = np.add.reduceat(ordered, self.starts, axis=0)
        below = np.cumsum(tied, axis=0)
        total = below[-1].copy()
        below -= tied
        above = total - below - tied
        found = []
        for other, share in ((above, ACTIVE_SHARE), (below, SILENT_SHARE)):
            wanted = np.maximum(1.0, np.floor(total * share + 0.5))
            part = np.clip(wanted - other, 0, tied)
            np.divide(part, tied, out=part, where=tied > 0)
            found.append((ordered * np.repeat(part, self.sizes, axis=0)).T @ self.columns)
        return found[0], found[1]


@dataclass(frozen=True, slots=True)
class _Columns:
    """What the weights of a session are multiplied with; arrays have neurons first."""

    plain: Floats
    rankings: tuple[_Ranking, _Ranking]
    roots: Floats
    changes: Floats

    @classmethod
    def of(cls, before: HalfCounts, after: HalfCounts) -> Self:
        sides = [each.sum(axis=1) for side in (after, before) for each in (side.events, side.exposure_s)]
        flags, changes = naive_columns(before, after)
        rate = before.events / before.exposure_s
        one, two = (_Ranking.of(rate[:, half], selected_columns(before, after, 1 - half)) for half in (0, 1))
        b, p = (_centred(root_rate(each.events, each.exposure_s)) for each in (before, after))
        roots = np.column_stack([b, p, b.mean(axis=1), p.mean(axis=1)])
        return cls(np.column_stack([*sides, flags]), (one, two), roots, _centred(changes))

    def sums(self, weights: Floats) -> Floats:
        """Return all sums but those of pairs, shape (resamples, ...), in the order of `Layout`."""
        total = weights.sum(axis=0)
        plain = weights.T @ self.plain
        chosen = [ranking.sums(weights) for ranking in self.rankings]
        active, silent = (np.stack([each[side] for each in chosen], axis=1) for side in (0, 1))
        roots, squares = _cross_products(weights, total, self.roots, ((4, 5), (0, 1), (2, 3)))
        change, spreads = _cross_products(weights, total, self.changes, ((0, 1),))
        parts = [plain[:, :4], active.reshape(total.size, -1), silent.reshape(total.size, -1)]
        return np.concatenate([*parts, roots, squares[:, :4], plain[:, 4:], change, spreads], axis=1)


def _centred(values: Floats) -> Floats:
    centred = values - values.mean(axis=0)
    centred[:, np.ptp(values, axis=0) == 0] = 0
    return np.asarray(centred)


def _cross_products(
    weights: Floats, total: Floats, columns: Floats, pairs: tuple[tuple[int, int], ...]
) -> tuple[Floats, Floats]:
    """Return the centred cross-products of pairs of columns, and of each column with itself.

    A column that is the same for all neurons of a resample has no covariance, whatever rounding says.
    """
    one, two = ([pair[side] for pair in pairs] for side in (0, 1))
    sums, size = weights.T @ columns, np.maximum(total, 1)[:, None]
    raw = weights.T @ columns**2
    squares = raw - sums**2 / size
    flat = squares <= _NO_SPREAD * raw
    products = weights.T @ (columns[:, one] * columns[:, two]) - sums[:, one] * sums[:, two] / size
    return np.where(flat[:, one] | flat[:, two], 0.0, products), np.where(flat, 0.0, squares)


def weighted_sums(before: HalfCounts, after: HalfCounts, weights: NDArray[Any], layout: Layout) -> Floats:
    """Return the sums of one session for many resamples of its neurons, shape (resamples, layout.size).

    Parameters
    ----------
    before, after
        Counts of the same neurons in the two windows.
    weights
        How often each neuron counts, whole numbers of any dtype, shape (neurons, resamples). A resample
        without any neuron has sums of 0.
    layout
        Without draws: tied neurons have their expected share.
    """
    _require_expected(layout)
    if not weights.shape[1]:
        return np.zeros((0, layout.size))
    columns = _Columns.of(before, after)
    step = max(1, _CHUNK_CELLS // max(1, weights.shape[0]))
    rest = [
        columns.sums(weights[:, start : start + step].astype(np.float64))
        for start in range(0, weights.shape[1], step)
    ]
    b, p = before.events.sum(axis=1), after.events.sum(axis=1)
    pairs = weighted_pair_sums(b, p, layout.limits, weights).reshape(weights.shape[1], -1)
    return np.concatenate([np.concatenate(rest), pairs], axis=1)


def sums_without_one(before: HalfCounts, after: HalfCounts, layout: Layout) -> Floats:
    """Return the sums of one session without each of its neurons, shape (neurons, layout.size)."""
    _require_expected(layout)
    columns = _Columns.of(before, after)
    n = before.events.shape[0]
    step = max(1, _CHUNK_CELLS // n)
    rest = []
    for start in range(0, n, step):
        out = np.arange(start, min(start + step, n))
        weights = np.ones((n, out.size))
        weights[out, out - start] = 0
        rest.append(columns.sums(weights))
    own = pair_sums(before.events.sum(axis=1), after.events.sum(axis=1), layout.limits)
    pairs = (own.sum(axis=0) / 2 - own).reshape(n, -1)
    return np.concatenate([np.concatenate(rest), pairs], axis=1)


def _require_expected(layout: Layout) -> None:
    if layout.draws:
        raise ValueError("resamples have no draws: give layout.expected()")
