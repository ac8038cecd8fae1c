"""Transitions between active and silent, corrected for neurons that were misread.

A neuron near the limit is read as active or silent by luck, so that no effect gives transitions. How often
is learned from the blocks of one window: the variance of counts between them beyond Poisson gives the
gamma gain of a block, and with it the chance of any count at any rate. The rates before and after then are
classes of a latent class model with conditional independence given both rates (Lazarsfeld and Henry 1968),
estimated without assuming a shape by EM over a grid of rates (Laird 1978, J Am Stat Assoc 73:805-811), and
the transitions are read off the joint distribution of rates. EM is stopped after `ITERATIONS` steps, which
keeps the distribution smooth (Veklerov and Llacer 1987, IEEE Trans Med Imaging 6:313-319).

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
ITERATIONS = 100
FEW_BLOCKS = "not estimable: needs three or more blocks in each window"
FEW_NEURONS = "not estimable: fewer than 10 neurons with three or more blocks in each window"
FEW_EVENTS = "not estimable: fewer than 10 events in a window"
NAMES = ("active_to_silent", "silent_to_active", "active_to_silent_naive", "silent_to_active_naive")
"""P(silent after | active before), P(active after | silent before), and the same as they were read."""

_MIN_NEURONS = 10
_STEPS_PER_OCTAVE = 2
_OCTAVES_BELOW = 4
_EXACT_COUNTS = 16
_STEP = math.log(1.1)


@dataclass(frozen=True, slots=True)
class CountClasses:
    """Counts of one window that are told apart, and which of them each neuron has.

    Attributes
    ----------
    events, exposure_s, blocks
        Of each class: events, time and the number of equal blocks that vary as much, shape (classes,).
    place
        Class of each neuron, shape (neurons,).
    active
        Whether each neuron was read as active, shape (neurons,).
    """

    events: Floats
    exposure_s: Floats
    blocks: Floats
    place: NDArray[np.intp]
    active: Bools


@dataclass(frozen=True, slots=True)
class RateTable:
    """What transitions are estimated from.

    Attributes
    ----------
    before, after
        Counts of all neurons in either window.
    group
        Group of each neuron, an animal say, shape (neurons,).
    replicates
        Of each group, for each window: sums of n (n - 1), and of products of different blocks, either over
        the squared time, shape (groups, 2, 2).
    """

    before: CountClasses
    after: CountClasses
    group: NDArray[np.intp]
    replicates: Floats


def enough_blocks(before: WindowCounts, after: WindowCounts) -> Bools:
    """Return which neurons have three or more blocks in each window."""
    blocks = [(window.exposure_s > 0).sum(axis=1) for window in (before, after)]
    return np.asarray(np.min(blocks, axis=0) >= MIN_BLOCKS)


def rate_table(groups: Sequence[Sequence[tuple[WindowCounts, WindowCounts]]]) -> RateTable:
    """Return the table of groups of window pairs, e.g. the sessions of each animal.

    Counts above 16, exposures and numbers of blocks are rounded in steps of 10 %, so that neurons with the
    same counts share a class; the state that a neuron is read as is not rounded.
    """
    sides: tuple[list[Floats], list[Floats]] = ([np.zeros((0, 4))], [np.zeros((0, 4))])
    member, replicates = [np.zeros(0, dtype=np.intp)], np.zeros((len(groups), 2, 2))
    for group, pairs in enumerate(groups):
        for pair in pairs:
            chosen = enough_blocks(*pair)
            member.append(np.full(int(chosen.sum()), group, dtype=np.intp))
            for place, window in enumerate(pair):
                rows, found = _window_rows(window.events[chosen], window.exposure_s[chosen])
                sides[place].append(rows)
                replicates[group, place] += found
    before, after = (_classes(np.concatenate(rows)) for rows in sides)
    return RateTable(before, after, np.concatenate(member), replicates)


def _window_rows(events: Floats, exposure_s: Floats) -> tuple[Floats, Floats]:
    """Return count, log exposure, log blocks (in steps) and state of each neuron, and the replicates."""
    n, total_s = events.sum(axis=1), exposure_s.sum(axis=1)
    squares_s2 = (exposure_s**2).sum(axis=1)
    above = np.maximum(n / _EXACT_COUNTS, 1.0)
    counts = np.where(n <= _EXACT_COUNTS, n, _EXACT_COUNTS + np.round(np.log(above) / _STEP))
    steps = [np.round(np.log(each) / _STEP) for each in (total_s, total_s**2 / squares_s2)]
    active = 60 * n >= SILENT_RATE_PER_MIN * total_s
    within = quotient((events * (events - 1)).sum(axis=1), squares_s2)
    between = quotient(n**2 - (events**2).sum(axis=1), total_s**2 - squares_s2)
    return np.column_stack([counts, *steps, active]), np.array([within.sum(), between.sum()])


def _classes(rows: Floats) -> CountClasses:
    unique, place = np.unique(rows[:, :3], axis=0, return_inverse=True)
    counts = unique[:, 0]
    above = _EXACT_COUNTS * np.exp((counts - _EXACT_COUNTS) * _STEP)
    events = np.where(counts <= _EXACT_COUNTS, counts, np.round(above))
    exposure_s, blocks = (np.exp(unique[:, column] * _STEP) for column in (1, 2))
    return CountClasses(events, exposure_s, blocks, place.ravel(), rows[:, 3] > 0)


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
    chosen = np.isin(table.group, groups)
    none = np.full(len(NAMES), math.nan)
    if chosen.sum() < _MIN_NEURONS:
        return none, FEW_NEURONS if chosen.any() else FEW_BLOCKS
    variation = block_variation(table.replicates[groups].sum(axis=0))
    used, place, most = [], [], 0.0
    for side in (table.before, table.after):
        classes, own = np.unique(side.place[chosen], return_inverse=True)
        if side.events[classes][own].sum() < MIN_EXPECTED_EVENTS:
            return none, FEW_EVENTS
        used.append((side.events[classes], side.exposure_s[classes], side.blocks[classes]))
        place.append(own.ravel())
        most = max(most, float((60 * side.events[classes] / side.exposure_s[classes]).max()))
    grid = rate_grid(most)
    counts = np.zeros((used[0][0].size, used[1][0].size))
    np.add.at(counts, tuple(place), 1.0)
    chances = [
        count_chances(*each, variation=float(variation[side]), grid=grid) for side, each in enumerate(used)
    ]
    joint = joint_rates(chances[0], chances[1], counts)
    found = [*_changed(joint, grid >= SILENT_RATE_PER_MIN)]
    active = [side.active[chosen] for side in (table.before, table.after)]
    read = np.array([[(x & y).sum() for y in (active[1], ~active[1])] for x in (active[0], ~active[0])])
    found += [*_changed(read, np.array([True, False]))]
    return np.array(found), OK if np.isfinite(found).all() else UNDEFINED


def _changed(cells: Floats, active: Bools) -> tuple[float, float]:
    """Return the shares of active that become silent and of silent that become active."""
    rows = cells[active].sum(axis=0), cells[~active].sum(axis=0)
    parts = rows[0][~active].sum(), rows[1][active].sum()
    lost, woken = (float(quotient(part, row.sum())) for part, row in zip(parts, rows, strict=True))
    return lost, woken


def rate_grid(highest_per_min: float) -> Floats:
    """Return the grid of rates, events/min: half-octave classes with the limit of silence at an edge."""
    above = math.log2(max(2 * highest_per_min, 4 * SILENT_RATE_PER_MIN) / SILENT_RATE_PER_MIN)
    places = np.arange(-_OCTAVES_BELOW * _STEPS_PER_OCTAVE, math.ceil(above) * _STEPS_PER_OCTAVE)
    return np.asarray(SILENT_RATE_PER_MIN * 2.0 ** ((places + 0.5) / _STEPS_PER_OCTAVE))


def count_chances(
    events: Floats, exposure_s: Floats, blocks: Floats, *, variation: float, grid: Floats
) -> Floats:
    """Return the chance of each count at each rate, each row over its largest, shape (classes, rates).

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


def joint_rates(before: Floats, after: Floats, counts: Floats) -> Floats:
    """Return the joint distribution of the rates before and after, shape (rates, rates), by stopped EM.

    Parameters
    ----------
    before, after
        Chances of each count at each rate, shape (classes before, rates) and (classes after, rates).
    counts
        Neurons with each pair of counts, shape (classes before, classes after).
    """
    n_rates = before.shape[1]
    joint = np.full((n_rates, n_rates), 1 / n_rates**2)
    seen = counts > 0
    share = counts / counts.sum()
    weight = np.zeros_like(share)
    for _ in range(ITERATIONS):
        np.divide(share, before @ joint @ after.T, out=weight, where=seen)
        joint = joint * (before.T @ weight @ after)
    return joint
