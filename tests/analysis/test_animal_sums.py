"""Sums per animal and session, and the sweep of detection limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nwbswitch.analysis.estimands.animal_sums import animal_sums, detection_limits
from nwbswitch.analysis.estimands.counts import DRUG, PSEUDO, SessionCounts, half_counts
from nwbswitch.analysis.estimands.primary import Layout, contrast_sums
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, simulate_study

LAYOUT = Layout(0, (5, 20))


@pytest.fixture
def pair() -> list[SessionCounts]:
    """Return the two sessions of one animal, with the same neurons."""
    return simulate_study(
        SCENARIOS["swap"], n_animals=1, n_neurons=12, window_s=180, rng=np.random.default_rng(1)
    )


def _sums(session: SessionCounts) -> np.ndarray:
    counts = half_counts(session, DRUG)
    assert counts is not None
    return contrast_sums(counts[0], counts[1], LAYOUT)


def test_sessions_of_one_animal_add_up(pair: list[SessionCounts]) -> None:
    found = animal_sums(pair, DRUG, LAYOUT)
    assert found is not None
    assert found.animals == ("m01",)
    assert np.allclose(found.sums[0], _sums(pair[0]) + _sums(pair[1]))
    assert found.n_sessions == (2,)
    assert len(found.neurons[0]) == 12
    assert [each.session for each in found.sessions[0]] == ["1-saline", "2-ketamine"]
    assert np.array_equal(sum(each.sums for each in found.sessions[0]), found.sums[0])
    assert np.array_equal(animal_sums(pair[::-1], DRUG, LAYOUT).sums, found.sums)


def test_no_windows_no_sums(pair: list[SessionCounts]) -> None:
    bare = [replace(each, windows={"drug": each.windows["drug"]}) for each in pair]
    assert animal_sums(bare, DRUG, LAYOUT) is None
    assert detection_limits(bare, PSEUDO) == ()


@pytest.mark.parametrize("scenario", ["switch, detected", "reshuffle, detected"])
def test_the_sweep_runs_from_the_limit_to_the_median_neuron(scenario: str) -> None:
    study = simulate_study(SCENARIOS[scenario], n_animals=6, n_neurons=60, rng=np.random.default_rng(3))
    limits = detection_limits(study, DRUG)
    totals = [each.windows["baseline"].events.sum(1) + each.windows["drug"].events.sum(1) for each in study]
    assert limits[0] == 20
    assert limits[-1] == max(40, round(float(np.median(np.concatenate(totals)))))
    assert len(limits) == 4
