"""Rates of neurons over the windows of a session, as far as they can be seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nwbswitch.analysis.estimands.counts import Floats
from nwbswitch.analysis.simulation.optics import Optics, share_seen
from nwbswitch.analysis.simulation.scenarios import Scenario
from nwbswitch.schemas.worlds import baseline_rates, rates_after


def rate_paths(
    truth: Scenario,
    rates: Floats,
    optics: Optics,
    n_blocks: Sequence[int],
    lag_s: float,
    block_s: float,
    rng: np.random.Generator,
) -> list[Floats]:
    """Return the rates of events that can be seen, in each of three windows, each (neurons, blocks).

    Parameters
    ----------
    truth
        Of this session.
    rates
        At the start, shape (neurons,), events/min.
    optics
        Of the neurons.
    n_blocks
        Blocks of each window.
    lag_s, block_s
        Time between the starts of two windows and length of a block, s.

    Returns
    -------
    list of array
        Before the pseudo-injection, between it and the injection, and after; events/min.
    """
    middle = rates_after(truth.pseudo_world, rates, rng)
    after = rates_after(truth.world, middle, rng)
    if truth.shifted_share + truth.lost_share + truth.gained_share > 0:
        rates, middle, after = _shifted(truth, (rates, middle, after), rng)
    starts_s = np.arange(3) * lag_s
    times_s = np.concatenate(
        [start_s + np.arange(n) * block_s for start_s, n in zip(starts_s, n_blocks, strict=True)]
    )
    levels = []
    for place, level in enumerate((rates, middle, after)):
        peak = (1 - truth.bleaching_per_lag) ** place * (truth.peak_after_drug if place == 2 else 1.0)
        levels.append(level * share_seen(truth, optics, peak))
    path = np.repeat(np.stack(levels, axis=1), n_blocks, axis=1)
    if truth.fluctuation_log_sd:
        sd = truth.fluctuation_log_sd
        log = slow_process(rates.size, times_s, sd, truth.fluctuation_tau_s, rng)
        path = path * np.exp(log - sd**2 / 2)
    if optics.coupling is not None:
        log = slow_process(1, times_s, truth.drive_log_sd, truth.drive_tau_s, rng)
        path = path * np.exp(
            optics.coupling[:, None] * log - (optics.coupling[:, None] * truth.drive_log_sd) ** 2 / 2
        )
    return np.split(path, np.cumsum(n_blocks)[:-1], axis=1)


def _shifted(
    truth: Scenario, levels: tuple[Floats, Floats, Floats], rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Return the rates where a shift gives ROIs another neuron, or none after or before it."""
    first, middle, after = (level.copy() for level in levels)
    shares = (truth.shifted_share, truth.lost_share, truth.gained_share)
    ends = np.round(np.cumsum(shares) * after.size).astype(int)
    other, lost, gained, _ = np.split(rng.permutation(after.size), ends)
    after[other] = baseline_rates(other.size, rng)
    after[lost] = 0.0
    first[gained] = middle[gained] = 0.0
    return first, middle, after


def slow_process(n: int, times_s: Floats, sd: float, tau_s: float, rng: np.random.Generator) -> Floats:
    """Return ``n`` stationary Ornstein-Uhlenbeck processes at these times, shape (n, times)."""
    log = np.empty((n, times_s.size))
    log[:, 0] = rng.normal(0, sd, n)
    for place in range(1, times_s.size):
        kept = np.exp(-(times_s[place] - times_s[place - 1]) / tau_s)
        log[:, place] = kept * log[:, place - 1] + rng.normal(0, sd * np.sqrt(1 - kept**2), n)
    return log
