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

from nwbswitch.analysis.estimands.counts import SessionCounts
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
"""How near a published pair must be, percentage points."""


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


NAIVE_WORLDS: tuple[NaiveWorld, ...] = ()


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


def simulate_naive_worlds(
    *,
    repetitions: int,
    seed: int = 0,
    names: Sequence[str] = WORLDS,
    windows_s: Sequence[float] = WINDOWS_S,
) -> list[NaiveWorld]:
    """Return the rows of `NAIVE_WORLDS` from a new simulation of sessions of 2,000 neurons."""
    rows = []
    for name in names:
        for window_s in windows_s:
            rng = np.random.default_rng([seed, WORLDS.index(name), round(window_s)])
            values = repeated_values(
                _Simulation(name, window_s), NAIVE, repetitions=repetitions, rng=rng, draws=1
            )
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
