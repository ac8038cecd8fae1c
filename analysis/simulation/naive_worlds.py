"""Naive fractions of the calibration worlds, to place published ones beside: as compatibility only.

Published work often gives the share of neurons that went "down" and "up" and nothing else. Such a pair is
compatible with every world whose own pair lies near, often with several of them, and with none it proves
anything: a random reshuffle gives what a switch gives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.estimands.counts import Floats, SessionCounts
from nwbswitch.analysis.simulation.agreement import mean_and_se
from nwbswitch.analysis.simulation.count_studies import simulate_study
from nwbswitch.analysis.simulation.repetitions import NAIVE, repeated_values
from nwbswitch.analysis.simulation.scenarios import SCENARIOS

N_NEURONS = 2_000
LAG_S = 1200.0
"""Time between the starts of the windows, or 1.2 windows where that is more, s: it matters to slow
fluctuation only."""
WINDOWS_S = (60.0, 120.0, 300.0, 600.0, 1200.0)
WORLDS = ("no effect", "slow fluctuation", "drift", "gain", "reshuffle", "swap", "switch")
TOLERANCE_PCT = 7.5
"""How near a published pair must be, percentage points.

A rule of thumb: events found in traces instead of counted move the fractions by up to 3 points, windows of
5 instead of 10 minutes by up to 8.
"""


@dataclass(frozen=True, slots=True)
class NaiveWorld:
    """What naive counting finds in one world.

    Attributes
    ----------
    world
        Name of a scenario of `nwbswitch.analysis.simulation.scenarios.SCENARIOS`.
    window_s
        Length of both windows, s.
    down_pct, up_pct
        Neurons whose rate changed by more than 1.5 times, %.
    p_active_after_silent
        Share of the neurons silent at baseline (under 0.5 events per min) that are active afterwards.
    correlation
        Of the change of sqrt rates with their baseline.
    """

    world: str
    window_s: float
    down_pct: float
    up_pct: float
    p_active_after_silent: float
    correlation: float


@dataclass(frozen=True, slots=True)
class CompatibleWorld:
    """A world with which a published pair is compatible, and how far off it is, percentage points."""

    naive: NaiveWorld
    down_off_pct: float
    up_off_pct: float

    def __str__(self) -> str:
        """Return the world with its own pair, in words."""
        own = self.naive
        return (
            f"{own.world} ({own.down_pct:.0f} % down, {own.up_pct:.0f} % up "
            f"in windows of {own.window_s / 60:g} min)"
        )


NAIVE_WORLDS: tuple[NaiveWorld, ...] = (
    NaiveWorld("no effect", 60, 30.2, 30.6, 0.449, -0.394),
    NaiveWorld("no effect", 120, 29.5, 30.3, 0.544, -0.294),
    NaiveWorld("no effect", 300, 24.5, 24.4, 0.348, -0.207),
    NaiveWorld("no effect", 600, 18.0, 18.3, 0.298, -0.146),
    NaiveWorld("no effect", 1200, 11.2, 11.3, 0.219, -0.108),
    NaiveWorld("slow fluctuation", 60, 30.7, 31.1, 0.406, -0.526),
    NaiveWorld("slow fluctuation", 120, 34.5, 35.0, 0.513, -0.506),
    NaiveWorld("slow fluctuation", 300, 36.8, 36.6, 0.397, -0.456),
    NaiveWorld("slow fluctuation", 600, 36.6, 36.3, 0.385, -0.415),
    NaiveWorld("slow fluctuation", 1200, 34.8, 34.6, 0.352, -0.391),
    NaiveWorld("drift", 60, 34.2, 28.5, 0.415, -0.389),
    NaiveWorld("drift", 120, 36.5, 28.6, 0.501, -0.305),
    NaiveWorld("drift", 300, 37.4, 26.0, 0.320, -0.212),
    NaiveWorld("drift", 600, 36.8, 22.9, 0.271, -0.132),
    NaiveWorld("drift", 1200, 36.3, 20.2, 0.215, -0.117),
    NaiveWorld("gain", 60, 54.1, 9.4, 0.203, -0.836),
    NaiveWorld("gain", 120, 66.5, 7.3, 0.253, -0.845),
    NaiveWorld("gain", 300, 80.6, 3.8, 0.054, -0.882),
    NaiveWorld("gain", 600, 88.8, 1.8, 0.018, -0.918),
    NaiveWorld("gain", 1200, 94.4, 0.6, 0.002, -0.952),
    NaiveWorld("reshuffle", 60, 38.0, 38.2, 0.664, -0.706),
    NaiveWorld("reshuffle", 120, 40.2, 40.4, 0.814, -0.706),
    NaiveWorld("reshuffle", 300, 40.9, 40.7, 0.775, -0.707),
    NaiveWorld("reshuffle", 600, 40.7, 40.8, 0.817, -0.707),
    NaiveWorld("reshuffle", 1200, 40.7, 40.7, 0.814, -0.706),
    NaiveWorld("swap", 60, 35.6, 34.3, 0.597, -0.604),
    NaiveWorld("swap", 120, 36.3, 34.3, 0.708, -0.583),
    NaiveWorld("swap", 300, 33.2, 31.0, 0.598, -0.564),
    NaiveWorld("swap", 600, 29.4, 27.0, 0.575, -0.565),
    NaiveWorld("swap", 1200, 25.3, 22.9, 0.531, -0.567),
    NaiveWorld("switch", 60, 44.0, 39.8, 0.815, -0.817),
    NaiveWorld("switch", 120, 45.8, 41.0, 0.962, -0.844),
    NaiveWorld("switch", 300, 46.3, 40.9, 0.980, -0.871),
    NaiveWorld("switch", 600, 46.3, 40.6, 0.997, -0.877),
    NaiveWorld("switch", 1200, 46.1, 40.7, 0.999, -0.883),
)
"""Means over 40 simulated sessions of 2,000 neurons; `python benchmarks/calibration.py naive` prints them."""


def compatible_worlds(
    down_pct: float,
    up_pct: float,
    *,
    window_s: float,
    n_neurons: int | None = None,
    tolerance_pct: float = TOLERANCE_PCT,
    worlds: Sequence[NaiveWorld] = NAIVE_WORLDS,
) -> list[CompatibleWorld]:
    """Return the worlds whose naive fractions lie near a published pair, the nearest first.

    Near means that both fractions are within the tolerance, plus two binomial standard errors where the
    number of neurons is given. Lengths of windows between those of the table take the nearest on the
    logarithmic scale.

    Parameters
    ----------
    down_pct, up_pct
        Published shares of neurons that went down and up, %.
    window_s
        Length of the windows behind them, s.
    n_neurons
        Neurons behind them, if known.
    tolerance_pct
        Percentage points by which either may be off.

    Raises
    ------
    ValueError
        When a share is not a percentage, the two exceed 100 %, or a length or number is not positive.
    """
    if not (0 <= down_pct <= 100 and 0 <= up_pct <= 100 and down_pct + up_pct <= 100):
        raise ValueError(f"down and up must be percentages of all neurons, not {down_pct:g} and {up_pct:g}")
    if not (math.isfinite(window_s) and window_s > 0):
        raise ValueError(f"window_s must be positive, not {window_s!r}")
    if n_neurons is not None and n_neurons < 1:
        raise ValueError(f"n_neurons must be at least 1, not {n_neurons!r}")
    if not tolerance_pct >= 0:
        raise ValueError(f"tolerance_pct must not be negative, not {tolerance_pct!r}")
    lengths = {row.window_s for row in worlds}
    nearest_s = min(lengths, key=lambda length: (abs(math.log(length / window_s)), length), default=window_s)
    found = []
    for row in worlds:
        if row.window_s != nearest_s:
            continue
        off = (down_pct - row.down_pct, up_pct - row.up_pct)
        allowed = (
            tolerance_pct + 2 * _binomial_se_pct(each, n_neurons) for each in (row.down_pct, row.up_pct)
        )
        if all(abs(each) <= most for each, most in zip(off, allowed, strict=True)):
            found.append(CompatibleWorld(row, *off))
    return sorted(found, key=lambda each: math.hypot(each.down_off_pct, each.up_off_pct))


def _binomial_se_pct(share_pct: float, n: int | None) -> float:
    return 0.0 if n is None else math.sqrt(share_pct * (100 - share_pct) / n)


def naive_values(
    name: str, window_s: float, *, repetitions: int, rng: np.random.Generator
) -> dict[str, Floats]:
    """Return the naive estimands of simulated sessions of one world, each of shape (repetitions,)."""
    return repeated_values(_Simulation(name, window_s), NAIVE, repetitions=repetitions, rng=rng, draws=1)


def simulate_naive_worlds(*, repetitions: int, seed: int = 0) -> list[NaiveWorld]:
    """Return the rows of `NAIVE_WORLDS` from a new simulation."""
    rows = []
    for place, name in enumerate(WORLDS):
        for window_s in WINDOWS_S:
            rng = np.random.default_rng([seed, place, round(window_s)])
            values = naive_values(name, window_s, repetitions=repetitions, rng=rng)
            down, up, active, correlation = (mean_and_se(values[each])[0] for each in NAIVE)
            rows.append(NaiveWorld(name, window_s, 100 * down, 100 * up, active, correlation))
    return rows


@dataclass(frozen=True, slots=True)
class _Simulation:
    name: str
    window_s: float

    def __call__(self, rng: np.random.Generator) -> SessionCounts:
        study = simulate_study(
            SCENARIOS[self.name],
            n_animals=1,
            n_neurons=N_NEURONS,
            window_s=self.window_s,
            lag_s=max(LAG_S, 1.2 * self.window_s),
            rng=rng,
        )
        return next(session for session in study if session.arm == "ketamine")
