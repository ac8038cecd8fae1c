"""Intervals inside an animal hold the truth: samples of a large population that was recorded twice."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from nwbswitch.analysis.estimands.counts import DRUG, SessionCounts, WindowCounts, half_counts
from nwbswitch.analysis.estimands.neuron_weights import neuron_weights
from nwbswitch.analysis.estimands.primary import Layout, contrast_sums, evaluate
from nwbswitch.analysis.estimands.session_resamples import ResampleSums, session_resamples
from nwbswitch.analysis.estimands.spreads import Spread, spreads
from nwbswitch.schemas.worlds import World, baseline_rates, block_gains, rates_after

LAYOUT = Layout(0, ())
NEURONS, REPETITIONS = 80, 120
POPULATION = 8000


def _window(rates_per_min: np.ndarray, rng: np.random.Generator) -> WindowCounts:
    shape = (rates_per_min.size, 8)
    events = rng.poisson(rates_per_min[:, None] * block_gains(shape, rng)).astype(float)
    return WindowCounts(events, np.zeros(shape), np.full(shape, 60.0), 1 + np.arange(8) % 2)


def _population(world: World) -> list[SessionCounts]:
    rng = np.random.default_rng(8)
    rates = baseline_rates(POPULATION, rng)
    names = np.array([str(place) for place in range(POPULATION)])
    made = []
    for session in ("1", "2"):
        windows = {
            "baseline": _window(rates, rng),
            "drug": _window(rates_after(world, rates, rng), rng),
        }
        made.append(SessionCounts("", "m", session, "drug", 1, "excitatory", True, True, names, windows))
    return made


def _sampled(session: SessionCounts, rows: np.ndarray) -> SessionCounts:
    windows = {
        name: WindowCounts(each.events[rows], each.negative[rows], each.exposure_s[rows], each.half)
        for name, each in session.windows.items()
    }
    return replace(session, identity=session.identity[rows], windows=windows)


def _truth(sessions: list[SessionCounts], name: str) -> float:
    counts = [half_counts(session, DRUG) for session in sessions]
    sums = sum(contrast_sums(each[0], each[1], LAYOUT) for each in counts if each is not None)
    return float(evaluate((name, 0), sums, LAYOUT))


def _animal(sessions: list[SessionCounts], seed: int) -> tuple[float, Spread]:
    totals = ResampleSums()
    for session in sessions:
        weights = neuron_weights("m", session.identity, resamples=199, seed=seed)
        part = session_resamples(session, DRUG, LAYOUT, weights)
        assert part is not None
        totals.add(part)
    found = totals.total()
    assert found is not None
    return float(evaluate(("SW", 0), found.full, LAYOUT)), spreads(found, LAYOUT)["SW", 0]


@pytest.mark.parametrize("world", [World.NULL, World.RESHUFFLE, World.SWITCH])
def test_followed_neurons_are_one_sample_and_their_intervals_hold(world: World) -> None:
    rng = np.random.default_rng(9)
    population = _population(world)
    truth = _truth(population, "SW")
    values, errors, drawn, normal = [], [], 0, 0
    for repetition in range(REPETITIONS):
        rows = rng.choice(POPULATION, NEURONS, replace=False)
        value, spread = _animal([_sampled(session, rows) for session in population], repetition)
        values.append(value)
        errors.append(math.sqrt(spread.variance))
        drawn += spread.low <= truth <= spread.high
        normal += abs(value - truth) < 1.96 * errors[-1]
    # Of 120 intervals of 95 %, 107 or fewer hold with a chance of .01; a little less than 95 % is known.
    assert drawn >= 105
    assert normal >= 105
    # The SD of 120 values has a standard error of 6.5 %.
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(values, ddof=1), rel=0.25)


def test_neurons_taken_for_others_in_every_session_would_promise_too_much() -> None:
    rng = np.random.default_rng(9)
    population = _population(World.SWITCH)
    ratios = []
    for repetition in range(20):
        rows = rng.choice(POPULATION, NEURONS, replace=False)
        followed = [_sampled(session, rows) for session in population]
        strangers = [
            replace(each, identity=np.array([f"{each.session}-{name}" for name in each.identity]))
            for each in followed
        ]
        variances = [_animal(each, repetition)[1].variance for each in (followed, strangers)]
        ratios.append(variances[1] / variances[0])
    assert np.median(ratios) < 0.7  # half, were the sessions alike
