"""Transitions between active and silent, corrected for neurons that were misread.

A neuron near the limit is read as active or silent by luck, so that no effect gives transitions. How often
is learned from the blocks of one window: the variance of counts between them beyond Poisson gives the
gamma gain of a block, and with it the chance of any count at any rate. The rates before and after then are
classes of a latent class model with conditional independence given both rates (Lazarsfeld and Henry 1968),
estimated without assuming a shape by EM over a grid of rates (Laird 1978, J Am Stat Assoc 73:805-811), and
the transitions are read off the joint distribution of rates. EM is stopped after `ITERATIONS` steps, which
keeps the distribution smooth (as in Vardi, Shepp and Kaufman 1985, J Am Stat Assoc 80:8-20).

Two classes, active and silent, as in the usual latent class or matrix correction are not enough: a neuron
just above the limit is misread more often than one far above, in both windows. In the simulated worlds that
correction was worse than none (gain: -0.3 of silent neurons "woke").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.estimands.counts import Bools, Floats, WindowCounts
from nwbswitch.analysis.estimands.families import quotient
from nwbswitch.analysis.estimands.primary import MIN_EXPECTED_EVENTS, OK, UNDEFINED
from nwbswitch.schemas.worlds import SILENT_RATE_PER_MIN

MIN_BLOCKS = 3
ITERATIONS = 200
FEW_BLOCKS = "not estimable: needs three or more blocks in each window"
FEW_NEURONS = "not estimable: fewer than 10 neurons with three or more blocks in each window"
NAMES = ("active_to_silent", "silent_to_active", "active_to_silent_naive", "silent_to_active_naive")
"""P(silent after | active before), P(active after | silent before), and the same as they were read."""

_MIN_NEURONS = 10
_STEPS_PER_OCTAVE = 2
_OCTAVES_BELOW = 4
_EXPOSURE_STEP = 0.05


@dataclass(frozen=True, slots=True)
class RateTable:
    """What transitions are estimated from: neurons with the same counts are one row.

    Attributes
    ----------
    events, exposure_s, blocks
        Sums of each window and the number of equal blocks that vary as much, shape (rows, 2).
    active
        1 where the neuron was read as active in the window, shape (rows, 2).
    weights
        Neurons of each group (an animal, say) in each row, shape (groups, rows).
    replicates
        Of each group, for each window: sums of n (n - 1), and of products of different blocks, either over
        the squared time, shape (groups, 2, 2).
    """

    events: Floats
    exposure_s: Floats
    blocks: Floats
    active: Floats
    weights: Floats
    replicates: Floats


def enough_blocks(before: WindowCounts, after: WindowCounts) -> Bools:
    """Return which neurons have three or more blocks in each window."""
    blocks = [(window.exposure_s > 0).sum(axis=1) for window in (before, after)]
    return np.asarray(np.min(blocks, axis=0) >= MIN_BLOCKS)


def rate_table(groups: Sequence[Sequence[tuple[WindowCounts, WindowCounts]]]) -> RateTable:
    """Return the table of groups of window pairs, e.g. the sessions of each animal.

    Exposures are rounded to steps of 5 % so that neurons with the same counts share a row; the state a
    neuron is read as is not.
    """
    rows, member, replicates = [np.zeros((0, 8))], [], []
    for group, pairs in enumerate(groups):
        sums = np.zeros((2, 2))
        for pair in pairs:
            chosen = enough_blocks(*pair)
            parts = [_window_rows(window.events[chosen], window.exposure_s[chosen]) for window in pair]
            rows.append(np.concatenate([part for part, _ in parts], axis=1))
            sums += [found for _, found in parts]
            member.append(np.full(int(chosen.sum()), group))
        replicates.append(sums)
    every = np.concatenate(rows)
    unique, row = np.unique(every, axis=0, return_inverse=True)
    weights = np.zeros((len(groups), len(unique)))
    if len(every):
        np.add.at(weights, (np.concatenate(member), row.ravel()), 1.0)
    return RateTable(
        events=unique[:, [0, 4]],
        exposure_s=np.exp(unique[:, [1, 5]] * _EXPOSURE_STEP),
        blocks=unique[:, [2, 6]],
        active=unique[:, [3, 7]],
        weights=weights,
        replicates=np.array(replicates).reshape(len(groups), 2, 2),
    )


def _window_rows(events: Floats, exposure_s: Floats) -> tuple[Floats, Floats]:
    """Return count, rounded log exposure, equal blocks and state of each neuron, and the replicates."""
    n, total_s = events.sum(axis=1), exposure_s.sum(axis=1)
    squares_s2 = (exposure_s**2).sum(axis=1)
    rounded = np.round(np.log(np.where(total_s > 0, total_s, 1.0)) / _EXPOSURE_STEP)
    blocks = np.round(quotient(total_s**2, squares_s2))
    within = quotient((events * (events - 1)).sum(axis=1), squares_s2)
    between = quotient(n**2 - (events**2).sum(axis=1), total_s**2 - squares_s2)
    active = 60 * n >= SILENT_RATE_PER_MIN * total_s
    return np.column_stack([n, rounded, blocks, active]), np.array([within.sum(), between.sum()])


def block_variation(replicates: Floats) -> Floats:
    """Return the squared CV of the gain of a block beyond Poisson, shape (..., 2) to (...).

    E[n (n - 1)] is (1 + CV^2) rate^2 T^2 in a block, and E[n m] rate^2 T T' in two different ones. Counts
    that vary no more than Poisson have 0.
    """
    within, between = np.moveaxis(replicates, -1, 0)
    return np.asarray(np.maximum(np.nan_to_num(quotient(within, between), nan=1.0) - 1.0, 0.0))


def transitions(table: RateTable, groups: NDArray[np.intp]) -> tuple[Floats, str]:
    """Return the four numbers of `NAMES` for some of the groups together, and 'ok' or why there are none.

    They are NaN where there are none. Nothing holds them inside 0 to 1 but the estimator itself.
    """
    weights = table.weights[groups].sum(axis=0)
    kept = weights > 0
    none = np.full(len(NAMES), math.nan)
    if weights.sum() < _MIN_NEURONS:
        return none, FEW_BLOCKS if weights.sum() == 0 else FEW_NEURONS
    weights, events, exposure_s = weights[kept], table.events[kept], table.exposure_s[kept]
    if (weights @ events).min() < MIN_EXPECTED_EVENTS:
        return none, "not estimable: fewer than 10 events in a window"
    per_min = 60 * events / exposure_s
    grid = rate_grid(float(per_min.max()))
    variation = block_variation(table.replicates[groups].sum(axis=0))
    chances = [
        count_chances(events[:, w], exposure_s[:, w], table.blocks[kept][:, w], float(variation[w]), grid)
        for w in (0, 1)
    ]
    joint = joint_rates(chances[0], chances[1], weights)
    active = grid >= SILENT_RATE_PER_MIN
    read = table.active[kept]
    model = np.array([[joint[np.ix_(x, y)].sum() for y in (active, ~active)] for x in (active, ~active)])
    naive = _cells(read[:, 0], read[:, 1], weights)
    cells = np.array([model[0, 1], model[1, 0], naive[0, 1], naive[1, 0]])
    sizes = np.array([*model.sum(axis=1), *naive.sum(axis=1)])
    found = quotient(cells, sizes)
    return found, OK if np.isfinite(found).all() else UNDEFINED


def _cells(before: Floats, after: Floats, weights: Floats) -> Floats:
    """Return neurons by state before (active, silent) and after, shape (2, 2)."""
    x, y = (np.stack([active, 1 - active]) for active in (before, after))
    return np.asarray((x * weights) @ y.T)


def rate_grid(highest_per_min: float) -> Floats:
    """Return the grid of rates, events/min: half-octave classes with the limit of silence at an edge."""
    above = math.log2(max(2 * highest_per_min, 4 * SILENT_RATE_PER_MIN) / SILENT_RATE_PER_MIN)
    places = np.arange(-_OCTAVES_BELOW * _STEPS_PER_OCTAVE, math.ceil(above) * _STEPS_PER_OCTAVE)
    return np.asarray(SILENT_RATE_PER_MIN * 2.0 ** ((places + 0.5) / _STEPS_PER_OCTAVE))


def count_chances(
    events: Floats, exposure_s: Floats, blocks: Floats, variation: float, grid: Floats
) -> Floats:
    """Return the chance of each count at each rate, each row over its largest, shape (rows, rates).

    Negative binomial with ``blocks / variation`` as its size: a sum over blocks of Poisson counts with
    gamma gains; Poisson at variation 0.
    """
    from scipy.special import gammaln

    n, mean = events[:, None], exposure_s[:, None] / 60 * grid
    if variation > 0:
        size = (blocks / variation)[:, None]
        log = gammaln(n + size) - gammaln(size) + n * np.log(mean / (mean + size))
        log = log - size * np.log1p(mean / size)
    else:
        log = n * np.log(mean) - mean
    return np.asarray(np.exp(log - log.max(axis=1, keepdims=True)))


def joint_rates(before: Floats, after: Floats, weights: Floats) -> Floats:
    """Return the joint distribution of the rates before and after, shape (rates, rates), by stopped EM.

    Parameters
    ----------
    before, after
        Chances of the counts of each row at each rate, shape (rows, rates).
    weights
        Neurons of each row, shape (rows,).
    """
    n_rates = before.shape[1]
    joint = np.full((n_rates, n_rates), 1 / n_rates**2)
    share = weights / weights.sum()
    for _ in range(ITERATIONS):
        likelihood = ((before @ joint) * after).sum(axis=1)
        joint = joint * (before.T @ (after * (share / likelihood)[:, None]))
    return joint
