"""Sums of many resamples at once, against the sums of neurons written out."""

from __future__ import annotations

import numpy as np
import pytest

from nwbswitch.analysis.estimands import neuron_pairs
from nwbswitch.analysis.estimands import weighted_sums as module
from nwbswitch.analysis.estimands.counts import DRUG, HalfCounts, half_counts
from nwbswitch.analysis.estimands.neuron_weights import named_generator, neuron_weights
from nwbswitch.analysis.estimands.primary import Layout, contrast_sums, evaluate, state_correlation
from nwbswitch.analysis.estimands.weighted_sums import sums_without_one, weighted_sums
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, simulate_study

LAYOUT = Layout(0, (3, 10, 25))
# Sums are of up to 10,000 events and seconds, in another order than one by one.
CLOSE = {"rtol": 1e-11, "atol": 1e-11}


def _counts(n: int, *, uneven: bool) -> tuple[HalfCounts, HalfCounts]:
    rng = np.random.default_rng(n)
    session = simulate_study(SCENARIOS["swap"], n_animals=1, n_neurons=n, window_s=300, rng=rng)[0]
    counts = half_counts(session, DRUG)
    assert counts is not None
    before, after, _ = counts
    if uneven:  # no two neurons tie
        exposure_s = before.exposure_s * rng.uniform(0.5, 1, before.exposure_s.shape)
        before = HalfCounts(before.events, exposure_s, before.negative)
    return before, after


def _without_own_copies(sums: np.ndarray, total: np.ndarray, weights: np.ndarray) -> np.ndarray:
    pairs = LAYOUT.pairs(sums)
    for place, limit in enumerate(LAYOUT.limits):
        own = weights[total >= limit]
        pairs[place, 1] -= (own * (own - 1) / 2).sum()
    return sums


@pytest.mark.parametrize(("n", "uneven"), [(12, False), (40, True), (70, False)])
@pytest.mark.parametrize("cells", [1, 100_000])
def test_weights_are_neurons_written_out(
    n: int, uneven: bool, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHUNK_CELLS", cells * 300 if cells == 1 else cells)
    monkeypatch.setattr(neuron_pairs, "_TABLE_CELLS", cells * 50 if cells == 1 else 2_000_000)
    before, after = _counts(n, uneven=uneven)
    weights = np.random.default_rng(1).poisson(1, (n, 30)).astype(np.uint8)
    weights[:, :3] = 0
    weights[:, 1] = 1
    weights[3, 2] = 20
    found = weighted_sums(before, after, weights, LAYOUT)
    total = before.events.sum(axis=1) + after.events.sum(axis=1)
    assert (found[0] == 0).all()
    for column in range(1, 30):
        counts = weights[:, column].astype(int)
        written = np.repeat(np.arange(n), counts)
        expected = contrast_sums(before.of(written), after.of(written), LAYOUT)
        assert np.allclose(found[column], _without_own_copies(expected, total, counts), **CLOSE)


@pytest.mark.parametrize(("n", "uneven"), [(12, False), (40, True)])
def test_sums_without_one_are_those_of_the_others(n: int, uneven: bool) -> None:
    before, after = _counts(n, uneven=uneven)
    found = sums_without_one(before, after, LAYOUT)
    for out in range(n):
        kept = np.arange(n) != out
        assert np.allclose(found[out], contrast_sums(before.of(kept), after.of(kept), LAYOUT), **CLOSE)


def test_neurons_that_are_all_alike_in_a_resample_have_no_covariance() -> None:
    events = np.array([[4.0, 4.0], [4.0, 4.0], [9.0, 2.0]])
    one = HalfCounts(events, np.full((3, 2), 287.3), np.zeros((3, 2)))
    found = weighted_sums(one, one, np.array([[7, 1], [5, 1], [0, 1]], dtype=np.uint8), LAYOUT)
    assert (LAYOUT.covariance(found)[0] == 0).all()
    assert np.isnan(state_correlation(found[0], LAYOUT))
    assert (LAYOUT.covariance(found)[1, 3:] > 0).all()


def test_one_neuron_has_nothing_left_without_it() -> None:
    one = HalfCounts(np.array([[4.0, 5.0]]), np.full((1, 2), 300.0), np.zeros((1, 2)))
    assert (sums_without_one(one, one, LAYOUT) == 0).all()


def test_large_counts_stay_whole_numbers() -> None:
    n = 60
    before, after = _counts(n, uneven=False)
    weights = np.full((n, 1), 200, dtype=np.uint8)  # 12,000 neurons: their pairs do not fit single precision
    found = LAYOUT.pairs(weighted_sums(before, after, weights, LAYOUT))[0]
    plain = LAYOUT.pairs(contrast_sums(before, after, LAYOUT))
    assert np.array_equal(found, plain * 200**2)


def test_draws_are_refused() -> None:
    before, after = _counts(12, uneven=False)
    for make in (
        lambda: weighted_sums(before, after, np.ones((12, 1)), Layout(5, ())),
        lambda: sums_without_one(before, after, Layout(5, ())),
    ):
        with pytest.raises(ValueError, match="no draws"):
            make()


def test_a_neuron_counts_alike_wherever_it_is_found() -> None:
    first = neuron_weights("m1", ["a", "b", "c"], resamples=200, seed=1)
    second = neuron_weights("m1", ["c", "x", "a"], resamples=200, seed=1)
    assert np.array_equal(first[[2, 0]], second[[0, 2]])
    for other in (
        neuron_weights("m2", ["a"], resamples=200, seed=1),
        neuron_weights("m1", ["a"], resamples=200, seed=2),
        second[1],
    ):
        assert not np.array_equal(first[0], np.ravel(other))
    assert named_generator(0, "a", "bc").random() != named_generator(0, "ab", "c").random()


def test_weights_are_poisson_numbers_of_mean_one() -> None:
    weights = neuron_weights("m1", map(str, range(300)), resamples=400, seed=0)
    shares = np.bincount(weights.ravel(), minlength=4)[:4] / weights.size
    # 120,000 numbers: standard errors below .0015
    assert shares == pytest.approx(np.exp(-1) / np.array([1, 1, 2, 6]), abs=0.006)
    between = np.corrcoef(weights.astype(float))[np.triu_indices(300, 1)]
    assert between.std() == pytest.approx(1 / np.sqrt(400), rel=0.05)


def test_an_estimate_from_weights_of_one_is_the_estimate() -> None:
    before, after = _counts(70, uneven=False)
    one = weighted_sums(before, after, np.ones((70, 1)), LAYOUT)[0]
    plain = contrast_sums(before, after, LAYOUT)
    for key in [("G", 0), ("R_act", 0), ("R_sil", 0), ("SW", 0), ("rho_star", 0), ("tau_c", 10)]:
        assert float(evaluate(key, one, LAYOUT)) == pytest.approx(
            float(evaluate(key, plain, LAYOUT)), abs=1e-12
        )
