"""What lies between the activity of neurons and their counts: coupling, signal to noise and neighbours.

All of it belongs to the neurons of an animal and is the same in all of its sessions. Each is drawn only
where a scenario needs it, so that scenarios without it have the same random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.estimands.counts import Floats
from nwbswitch.analysis.simulation.scenarios import Scenario

THRESHOLD_SD = 3.0
"""Level of an event, in standard deviations of the noise."""
PEAK_CV = 0.35
"""Coefficient of variation of the peaks of one neuron's events, a gamma variable."""


@dataclass(frozen=True, slots=True)
class Optics:
    """Of each neuron of an animal; arrays of shape (neurons,), None where the scenario has no use for it."""

    coupling: Floats | None = None
    """To the common drive of the session."""
    signal_to_noise: Floats | None = None
    """Mean peak over the standard deviation of the noise."""
    neighbour: NDArray[np.int64] | None = None
    """Whose events are mixed in, -1 for none."""


def draw_optics(scenario: Scenario, n: int, rng: np.random.Generator) -> Optics:
    """Return what the scenario needs for ``n`` neurons of one animal."""
    coupling = signal = neighbour = None
    if scenario.drive_log_sd:
        coupling = rng.normal(1.0, scenario.drive_coupling_sd, n)
    if scenario.signal_to_noise:
        signal = scenario.signal_to_noise * np.exp(rng.normal(0, scenario.signal_to_noise_log_sd, n))
    if scenario.mixed_share:
        neighbour = np.full(n, -1)
        chosen = rng.permutation(n)[: round(scenario.mixed_share * n)]
        neighbour[chosen] = (chosen + rng.integers(1, max(n, 2), chosen.size)) % n
    return Optics(coupling, signal, neighbour)


def joined_optics(one: Optics, other: Optics, kept: int) -> Optics:
    """Return the first ``kept`` neurons of one and the others of the other."""
    return Optics(
        _joined(one.coupling, other.coupling, kept),
        _joined(one.signal_to_noise, other.signal_to_noise, kept),
        one.neighbour,
    )


def _joined(one: Floats | None, other: Floats | None, kept: int) -> Floats | None:
    return None if one is None or other is None else np.concatenate([one[:kept], other[kept:]])


def share_seen(scenario: Scenario, optics: Optics, peak: float) -> Floats:
    """Return the share of each neuron's events whose peak is above the level, shape (neurons,).

    Parameters
    ----------
    peak
        Factor on all peaks.
    """
    if optics.signal_to_noise is None:
        return np.ones(1)
    from scipy.special import gammaincc

    shape = 1 / PEAK_CV**2
    return np.asarray(gammaincc(shape, shape * THRESHOLD_SD / (peak * optics.signal_to_noise)))


def mixed_counts(events: Floats, scenario: Scenario, optics: Optics, rng: np.random.Generator) -> Floats:
    """Return events with those of the neighbours mixed in, shape (neurons, blocks)."""
    if optics.neighbour is None:
        return events
    mixed = events.copy()
    rows = np.flatnonzero(optics.neighbour >= 0)
    others = events[optics.neighbour[rows]].astype(np.int64)
    mixed[rows] += rng.binomial(others, scenario.mixed_from_neighbour)
    return mixed
