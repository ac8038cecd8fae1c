"""Sums per animal and the jackknives inside an animal, against brute force."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from nwbswitch.analysis.estimands import animal_sums as module
from nwbswitch.analysis.estimands.animal_sums import (
    animal_sums,
    detection_limits,
    difference_variance,
    neuron_variance,
    time_variance,
)
from nwbswitch.analysis.estimands.counts import DRUG, PSEUDO, SessionCounts, WindowCounts, half_counts
from nwbswitch.analysis.estimands.primary import Layout, contrast_sums, evaluate, keys
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, Scenario, simulate_study

LAYOUT = Layout(0, (5, 20))


@pytest.fixture
def pair() -> list[SessionCounts]:
    """Return the two sessions of one animal, with the same neurons."""
    return simulate_study(
        SCENARIOS["swap"], n_animals=1, n_neurons=12, window_s=180, rng=np.random.default_rng(1)
    )


def _keep(session: SessionCounts, kept: np.ndarray) -> SessionCounts:
    windows = {
        name: WindowCounts(each.events[kept], each.negative[kept], each.exposure_s[kept], each.half)
        for name, each in session.windows.items()
    }
    return replace(session, identity=session.identity[kept], windows=windows)


def _sums(session: SessionCounts) -> np.ndarray:
    counts = half_counts(session, DRUG)
    assert counts is not None
    return contrast_sums(counts[0], counts[1], LAYOUT)


def _brute(sessions: list[SessionCounts], sign: tuple[int, ...]) -> dict[tuple[str, int], float]:
    found: dict[tuple[str, int], list[float]] = {key: [] for key in keys(LAYOUT)}
    for name in sessions[0].identity:
        left = [_sums(_keep(session, session.identity != name)) for session in sessions]
        for key, values in found.items():
            values.append(sum(s * float(evaluate(key, x, LAYOUT)) for s, x in zip(sign, left, strict=True)))
    n = len(sessions[0].identity)
    return {key: (n - 1) / n * float(np.sum((np.array(v) - np.mean(v)) ** 2)) for key, v in found.items()}


def test_the_variance_over_neurons_is_the_delete_one_jackknife(pair: list[SessionCounts]) -> None:
    found = neuron_variance(pair[:1], DRUG, LAYOUT)
    expected = _brute(pair[:1], (1,))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, nan_ok=True), key


def test_a_neuron_in_two_sessions_leaves_both_at_once(pair: list[SessionCounts]) -> None:
    found = difference_variance(pair[:1], DRUG, pair[1:], DRUG, LAYOUT)
    expected = _brute(pair, (1, -1))
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, nan_ok=True), key
    strangers = replace(pair[1], identity=np.array([f"other-{name}" for name in pair[1].identity]))
    apart = difference_variance(pair[:1], DRUG, [strangers], DRUG, LAYOUT)
    assert apart["G", 0] != pytest.approx(found["G", 0])


def test_many_neurons_leave_in_groups_and_pairs_stay_exact(
    pair: list[SessionCounts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_GROUPS", 4)
    groups = module._groups(pair)
    assert sorted(np.bincount(list(groups.values()))) == [3, 3, 3, 3]
    session = pair[0]
    values = []
    for group in range(4):
        kept = np.array([groups[str(name)] != group for name in session.identity])
        values.append(float(evaluate(("tau_c", 5), _sums(_keep(session, kept)), LAYOUT)))
    expected = 3 / 4 * float(np.sum((np.array(values) - np.mean(values)) ** 2))
    assert neuron_variance([session], DRUG, LAYOUT)["tau_c", 5] == pytest.approx(expected)


def test_the_variance_over_time_leaves_one_block_of_each_window_out() -> None:
    rng = np.random.default_rng(4)
    session = simulate_study(SCENARIOS["swap"], n_animals=1, n_neurons=40, window_s=240, rng=rng)[0]
    n = session.windows["drug"].half.size
    values = []
    for block in range(n):
        kept = np.arange(n) != block
        windows = {
            name: WindowCounts(
                each.events[:, kept], each.negative[:, kept], each.exposure_s[:, kept], each.half[kept]
            )
            for name, each in session.windows.items()
        }
        values.append(float(evaluate(("rho_star", 0), _sums(replace(session, windows=windows)), LAYOUT)))
    expected = (n - 1) / n * float(np.sum((np.array(values) - np.mean(values)) ** 2))
    assert expected > 0
    assert time_variance([session], DRUG) == pytest.approx(expected)


def test_too_few_blocks_have_no_variance_over_time() -> None:
    study = simulate_study(Scenario(), n_animals=1, n_neurons=12, window_s=60, rng=np.random.default_rng(2))
    assert math.isnan(time_variance(study[:1], DRUG))


def test_sessions_of_one_animal_add_up(pair: list[SessionCounts]) -> None:
    found = animal_sums(pair, DRUG, LAYOUT)
    assert found is not None
    assert found.animals == ("m01",)
    assert np.allclose(found.sums[0], _sums(pair[0]) + _sums(pair[1]))
    assert found.n_sessions == (2,)
    assert len(found.neurons[0]) == 12


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
