"""The six worlds: what a drug may do to the activity of neurons, as simulators of known truth.

Rates are events per minute. Both simulators, of raw recordings and of event counts, draw from here,
so that one word means one truth everywhere.
"""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Rates = NDArray[np.float64]

MEAN_RATE_PER_MIN = 3.0
"""Mean event rate over neurons at baseline, events/min."""
RATE_CV = 1.8
"""Coefficient of variation of the log-normal baseline rates over neurons."""
BLOCK_GAIN_CV2 = 0.5
"""Squared coefficient of variation of the gamma gain of each neuron in each block."""
BLOCK_S = 30.0
"""Length of a block, s."""
SILENT_RATE_PER_MIN = 0.5
"""Rate below which a neuron counts as silent, events/min."""
GAIN = 0.3
"""Factor on every rate in the gain world."""
DRIFT_LOG_MEAN = -0.18
"""Mean of the natural log of the drift factor: a factor of mean 1 at `DRIFT_LOG_SD`."""
DRIFT_LOG_SD = 0.6
"""Standard deviation of the natural log of the drift factor."""
SWAP_SHARE = 0.4
"""Share of neurons that switch in the swap world."""


class World(StrEnum):
    """What happens between the baseline and the drug window."""

    NULL = "null"
    DRIFT = "drift"
    GAIN = "gain"
    RESHUFFLE = "reshuffle"
    SWAP = "swap"
    SWITCH = "switch"


MEANING: dict[World, str] = {
    World.NULL: "every neuron keeps its rate",
    World.DRIFT: "every rate is multiplied by its own log-normal factor of mean 1",
    World.GAIN: f"every rate is multiplied by {GAIN:g}",
    World.RESHUFFLE: "rates are permuted at random between neurons",
    World.SWAP: f"a random {SWAP_SHARE:.0%} of neurons switch, the others keep their rates",
    World.SWITCH: "rates in reversed rank order, times the drift factor",
}


def baseline_rates(n: int, rng: np.random.Generator) -> Rates:
    """Return ``n`` baseline event rates, shape (n,), events/min: log-normal, mean 3, CV 1.8."""
    log_variance = math.log1p(RATE_CV**2)
    log_mean = math.log(MEAN_RATE_PER_MIN) - log_variance / 2
    return rng.lognormal(log_mean, math.sqrt(log_variance), n)


def rates_after(world: World, rates: Rates, rng: np.random.Generator) -> Rates:
    """Return the event rates in the drug window, shape (n,), events/min.

    Parameters
    ----------
    world
        Which truth to draw from.
    rates
        Baseline rates of the neurons, shape (n,), events/min; not changed.
    rng
        Source of randomness.
    """
    match world:
        case World.NULL:
            return rates.copy()
        case World.DRIFT:
            return rates * _drift(rates.size, rng)
        case World.GAIN:
            return rates * GAIN
        case World.RESHUFFLE:
            return rng.permutation(rates)
        case World.SWITCH:
            return _reversed_ranks(rates) * _drift(rates.size, rng)
        case World.SWAP:
            chosen = np.zeros(rates.size, dtype=bool)
            chosen[rng.permutation(rates.size)[: round(SWAP_SHARE * rates.size)]] = True
            return np.where(chosen, _reversed_ranks(rates) * _drift(rates.size, rng), rates)


def block_gains(shape: tuple[int, ...], rng: np.random.Generator) -> Rates:
    """Return gamma gains of mean 1 and squared CV `BLOCK_GAIN_CV2`, one per neuron and block."""
    return rng.gamma(1 / BLOCK_GAIN_CV2, BLOCK_GAIN_CV2, shape)


def _drift(n: int, rng: np.random.Generator) -> Rates:
    return rng.lognormal(DRIFT_LOG_MEAN, DRIFT_LOG_SD, n)


def _reversed_ranks(rates: Rates) -> Rates:
    swapped = np.empty_like(rates)
    order = np.argsort(rates, kind="stable")
    swapped[order] = rates[order[::-1]]
    return swapped
