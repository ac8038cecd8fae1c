"""How the estimates of one animal vary, against loops that write every resample out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from nwbswitch.analysis.estimands.animal_spreads import AnimalJob, AnimalSpreads, Group, animal_spreads
from nwbswitch.analysis.estimands.counts import DRUG, SessionCounts, WindowCounts, half_counts
from nwbswitch.analysis.estimands.neuron_weights import neuron_weights
from nwbswitch.analysis.estimands.primary import Layout, contrast_sums, evaluate, keys
from nwbswitch.analysis.estimands.session_resamples import session_resamples
from nwbswitch.analysis.estimands.spreads import spreads
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, Scenario, simulate_study

LAYOUT = Layout(0, (5, 20))
RHO = ("rho_star", 0)
EVERY = [key for key in keys(LAYOUT) if key != RHO]


@pytest.fixture
def pair() -> list[SessionCounts]:
    """Return the two sessions of one animal, with the same neurons."""
    return simulate_study(
        SCENARIOS["swap"], n_animals=1, n_neurons=12, window_s=180, rng=np.random.default_rng(1)
    )


def _job(sessions: list[SessionCounts], *groups: tuple[int, ...], resamples: int = 0) -> AnimalSpreads:
    return animal_spreads(
        AnimalJob(
            animal="m01",
            cell_type="excitatory",
            sessions=tuple(sessions),
            groups=tuple(Group(DRUG, group) for group in groups),
            differences=((0, 1),) if len(groups) == 2 else (),
            layout=LAYOUT,
            resamples=resamples,
            interval="percentile",
            seed=3,
        )
    )


def _rows(session: SessionCounts, rows: np.ndarray) -> SessionCounts:
    windows = {
        name: WindowCounts(each.events[rows], each.negative[rows], each.exposure_s[rows], each.half)
        for name, each in session.windows.items()
    }
    return replace(session, identity=session.identity[rows], windows=windows)


def _sums(session: SessionCounts) -> np.ndarray:
    counts = half_counts(session, DRUG)
    assert counts is not None
    return contrast_sums(counts[0], counts[1], LAYOUT)


def _jackknife(values: list[float]) -> float:
    n = len(values)
    return (n - 1) / n * float(np.sum((np.array(values) - np.mean(values)) ** 2))


def _brute(sessions: list[SessionCounts], key: tuple[str, int], signs: tuple[int, ...]) -> float:
    values = []
    for name in sessions[0].identity:
        left = [_sums(_rows(session, session.identity != name)) for session in sessions]
        values.append(sum(s * float(evaluate(key, x, LAYOUT)) for s, x in zip(signs, left, strict=True)))
    return _jackknife(values)


def test_the_variance_over_neurons_is_the_delete_one_jackknife(pair: list[SessionCounts]) -> None:
    found = _job(pair[:1], (0,)).groups[0]
    assert found.keys() == set(keys(LAYOUT))
    for key in EVERY:
        assert found[key].variance == pytest.approx(_brute(pair[:1], key, (1,)), nan_ok=True), key


def test_a_neuron_in_two_sessions_leaves_both_at_once(pair: list[SessionCounts]) -> None:
    found = _job(pair, (0,), (1,)).differences[0]
    for key in EVERY:
        assert found[key].variance == pytest.approx(_brute(pair, key, (1, -1)), nan_ok=True), key
    strangers = replace(pair[1], identity=np.array([f"other-{name}" for name in pair[1].identity]))
    apart = _job([pair[0], strangers], (0,), (1,)).differences[0]
    assert apart["G", 0].variance != pytest.approx(found["G", 0].variance)


def test_two_sessions_of_one_arm_add_up_and_lose_a_shared_neuron_together(pair: list[SessionCounts]) -> None:
    pair[1] = _rows(pair[1], np.arange(3, 12))  # three neurons are in the first session only
    found = _job(pair, (0, 1)).groups[0]
    for key in EVERY:
        values = [
            float(evaluate(key, sum(_sums(_rows(each, each.identity != name)) for each in pair), LAYOUT))
            for name in pair[0].identity
        ]
        assert found[key].variance == pytest.approx(_jackknife(values), nan_ok=True), key


def test_the_variance_over_time_leaves_one_block_of_each_window_out() -> None:
    rng = np.random.default_rng(4)
    session = simulate_study(SCENARIOS["no effect"], n_animals=1, n_neurons=40, window_s=240, rng=rng)[0]
    # Time counts where it varies more than neurons: one half of the drug window is louder for all.
    window = session.windows["drug"]
    loud = replace(window, events=window.events * np.where(np.arange(8) == 3, 8, 1))
    session = replace(session, windows={**session.windows, "drug": loud})
    values = []
    for block in range(8):
        kept = np.arange(8) != block
        windows = {
            name: WindowCounts(
                each.events[:, kept], each.negative[:, kept], each.exposure_s[:, kept], each.half[kept]
            )
            for name, each in session.windows.items()
        }
        values.append(float(evaluate(RHO, _sums(replace(session, windows=windows)), LAYOUT)))
    over_neurons = _brute([session], RHO, (1,))
    expected = max(_jackknife(values), over_neurons)
    assert _job([session], (0,)).groups[0][RHO].variance == pytest.approx(expected)
    parts = session_resamples(session, DRUG, LAYOUT, np.zeros((40, 0), dtype=np.uint8))
    assert parts is not None
    across, before, after = parts.blocks_without_one[0].T
    assert across / np.sqrt(before * after) == pytest.approx(values)


def test_too_few_blocks_leave_the_variance_over_neurons() -> None:
    study = simulate_study(Scenario(), n_animals=1, n_neurons=30, window_s=60, rng=np.random.default_rng(2))
    assert _job(study[:1], (0,)).groups[0][RHO].variance == pytest.approx(_brute(study[:1], RHO, (1,)))


def test_the_bootstrap_is_that_of_neurons_written_out_as_often_as_they_count(
    pair: list[SessionCounts],
) -> None:
    session, layout = pair[0], Layout(0, ())
    weights = neuron_weights("m01", session.identity, resamples=60, seed=3)
    parts = session_resamples(session, DRUG, layout, weights, seed=3)
    assert parts is not None
    found = spreads(parts, layout)
    for key in keys(layout):
        if key == RHO:
            continue
        values = []
        for counts in weights.T:
            written = _rows(session, np.repeat(np.arange(12), counts))
            values.append(float(evaluate(key, _sums(written), LAYOUT)))
        low = high = math.nan
        if np.isfinite(values).all():
            low, high = np.quantile(values, [0.025, 0.975], method="weibull")
        assert found[key].low == pytest.approx(low, nan_ok=True), key
        assert found[key].high == pytest.approx(high, nan_ok=True), key


def test_the_basic_interval_mirrors_the_percentile_interval(pair: list[SessionCounts]) -> None:
    session = pair[0]
    weights = neuron_weights("m01", session.identity, resamples=60, seed=3)
    parts = session_resamples(session, DRUG, LAYOUT, weights)
    assert parts is not None
    one, two = spreads(parts, LAYOUT), spreads(parts, LAYOUT, interval="basic")
    for key in [("G", 0), ("SW", 0), ("tau_c", 5)]:
        center = float(evaluate(key, parts.full, LAYOUT))
        assert two[key].low == pytest.approx(2 * center - one[key].high)
        assert two[key].high == pytest.approx(2 * center - one[key].low)


def test_a_session_has_the_same_numbers_alone_and_among_others(pair: list[SessionCounts]) -> None:
    alone = _job(pair[1:], (0,), resamples=50)
    among = _job(pair, (0, 1), resamples=50)
    assert repr(alone.groups[0]) == repr(alone.sessions[0][0]) == repr(among.sessions[0][1])
    assert among.groups[0]["G", 0] != among.sessions[0][1]["G", 0]


def test_the_same_neurons_in_both_arms_count_equally_often(pair: list[SessionCounts]) -> None:
    same = [pair[0], replace(pair[0], session="copy")]
    found = _job(same, (0,), (1,), resamples=50).differences[0]
    for name in ("G", "R_act", "R_sil", "SW", "naive_down"):
        assert found[name, 0].variance == pytest.approx(0, abs=1e-20)
        assert (found[name, 0].low, found[name, 0].high) == (0, 0)


def test_a_group_without_the_windows_has_no_spread(pair: list[SessionCounts]) -> None:
    bare = replace(pair[0], windows={"drug": pair[0].windows["drug"]})
    found = _job([bare, pair[1]], (0,), (1,))
    assert found.groups[0] == {}
    assert found.sessions[0] == ({},)
    assert found.differences[0] == {}
    assert found.groups[1]["G", 0].variance > 0
