"""Estimands against values computed by hand and by brute force, and their invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nwbswitch.analysis.estimands.counts import Floats, HalfCounts
from nwbswitch.analysis.estimands.neuron_pairs import pair_sums
from nwbswitch.analysis.estimands.primary import (
    ESTIMANDS,
    FEW_EVENTS,
    FEW_PAIRS,
    OK,
    UNRELIABLE,
    Layout,
    active_response,
    conditional_tau,
    contrast_sums,
    naive_correlation,
    net_drive,
    reliability,
    silent_response,
    silent_response_above_noise,
    state_correlation,
    status,
    switch_index,
)

LAYOUT = Layout(0, ())


def _half(first: list[float], second: list[float], *, exposure_s: float = 60.0) -> HalfCounts:
    events = np.column_stack([first, second]).astype(float)
    return HalfCounts(events, np.full(events.shape, exposure_s), np.zeros(events.shape))


def _random(rng: np.random.Generator, n: int, mean: float = 8.0) -> tuple[HalfCounts, HalfCounts]:
    rates = rng.lognormal(0, 1, n)[:, None] * mean
    before, after = (rng.poisson(rates * np.ones((n, 2))).astype(float) for _ in range(2))
    return _half(*before.T), _half(*after.T)


BEFORE = _half([8, 4, 1, 0], [6, 5, 2, 1])
AFTER = _half([2, 3, 4, 5], [1, 3, 5, 6])


def test_net_drive_by_hand() -> None:
    # 29 events after and 27 before, 480 s of neuron time each; half an event is added to either.
    sums = contrast_sums(BEFORE, AFTER, LAYOUT)
    assert float(net_drive(sums, LAYOUT)) == pytest.approx(math.log2(29.5 / 27.5))


def test_cross_fitted_responses_by_hand() -> None:
    # One of four neurons is the top quarter and two are the bottom half, on either half of the baseline.
    # Exposure 120 s after and 60 s before per neuron: 2/3 and 1/3 events are added.
    sums = contrast_sums(BEFORE, AFTER, LAYOUT)
    active = [math.log2(((3 + 2 / 3) / 2) / (x + 1 / 3)) for x in (6, 8)]
    assert float(active_response(sums, LAYOUT)) == pytest.approx(np.mean(active))
    silent = [math.log2(((20 + 2 / 3) / 2) / (x + 1 / 3)) for x in (3, 1)]
    # two neurons double both exposures, which leaves the added rates per sum at 2/3 and 1/3
    assert float(silent_response(sums, LAYOUT)) == pytest.approx(np.mean(silent))
    assert float(switch_index(sums, LAYOUT)) == pytest.approx(np.mean(silent) - np.mean(active))


def test_state_correlation_by_hand() -> None:
    f = [np.sqrt((side.events + 3 / 8) / 60) for side in (BEFORE, AFTER)]
    covariance = np.cov(np.concatenate(f, axis=1).T)
    across = covariance[:2, 2:].mean()
    expected = across / math.sqrt(covariance[0, 1] * covariance[2, 3])
    sums = contrast_sums(BEFORE, AFTER, LAYOUT)
    assert float(state_correlation(sums, LAYOUT)) == pytest.approx(expected)
    correlation = np.corrcoef(np.concatenate(f, axis=1).T)
    expected = min(correlation[0, 1], correlation[2, 3])
    assert float(reliability(sums, LAYOUT)) == pytest.approx(expected)


def test_neurons_that_are_all_silent_have_no_state_correlation() -> None:
    # 30 equal values of f have a mean that rounding puts beside them
    none = _half([0.0] * 30, [0.0] * 30, exposure_s=300.0)
    sums = contrast_sums(none, none, LAYOUT)
    assert status("rho_star", sums, LAYOUT) == UNRELIABLE
    assert math.isnan(float(state_correlation(sums, LAYOUT)))


def test_naive_fractions_by_hand() -> None:
    sums = contrast_sums(BEFORE, AFTER, LAYOUT)
    # totals 14 9 3 1 before and 3 6 9 11 after; 9 to 6 is exactly 1 / 1.5 and counts as neither
    assert float(ESTIMANDS["naive_down"](sums, LAYOUT)) == 0.25
    assert float(ESTIMANDS["naive_up"](sums, LAYOUT)) == 0.5
    assert math.isnan(float(ESTIMANDS["naive_p_active_after_silent"](sums, LAYOUT)))
    silent = contrast_sums(_half([0, 0, 9], [0, 0, 9]), _half([1, 0, 9], [0, 0, 9]), LAYOUT)
    assert float(ESTIMANDS["naive_p_active_after_silent"](silent, LAYOUT)) == 0.5
    b, p = (np.sqrt((side.events.sum(1) + 3 / 8) / 120) for side in (BEFORE, AFTER))
    assert float(naive_correlation(sums, LAYOUT)) == pytest.approx(np.corrcoef(p - b, b)[0, 1])


def _tau_by_pairs(b: Floats, p: Floats, k: int) -> tuple[float, int]:
    total, pairs = 0.0, 0
    for i in range(b.size):
        for j in range(i):
            if min(b[i] + p[i], b[j] + p[j], b[i] + p[j], b[j] + p[i]) >= k:
                total += np.sign((b[i] - b[j]) * (p[i] - p[j]))
                pairs += 1
    return total, pairs


@pytest.mark.parametrize("rows", [2_000_000, 50])
def test_conditional_tau_equals_the_sum_over_pairs(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nwbswitch.analysis.estimands.neuron_pairs._TABLE_CELLS", rows)
    rng = np.random.default_rng(3)
    b, p = rng.poisson(6, 40).astype(float), rng.poisson(6, 40).astype(float)
    limits = (1, 10, 14)
    sums = pair_sums(b, p, limits).sum(axis=0) / 2
    for place, k in enumerate(limits):
        assert tuple(sums[place]) == _tau_by_pairs(b, p, k)


def test_conditional_tau_is_free_of_what_detection_does_below_the_limit() -> None:
    rng = np.random.default_rng(4)
    plain, conditional = [], []
    for _ in range(40):
        b, p = (rng.lognormal(2, 1, 400).round() for _ in range(2))
        kept = b + p >= 20
        layout = Layout(0, (1, 20))
        half = [_half(list(x[kept]), list(x[kept])) for x in (b / 2, p / 2)]
        tau = conditional_tau(contrast_sums(half[0], half[1], layout), layout)
        plain.append(tau[0])
        conditional.append(tau[1])
    assert np.mean(plain) < -0.1
    assert abs(np.mean(conditional)) < 3 * np.std(conditional) / np.sqrt(40)


def test_ties_broken_at_random_average_to_the_expected_selection() -> None:
    before, after = (
        _half([1, 0, 1, 1, 0, 2, 0, 0], [1, 1, 0, 2, 0, 3, 0, 1]),
        _random(np.random.default_rng(0), 8)[1],
    )
    drawn = Layout(4_000, ())
    sums = contrast_sums(before, after, drawn, np.random.default_rng(1))
    expected = contrast_sums(before, after, LAYOUT)
    averaged = drawn.averaged(sums)
    assert averaged.shape == expected.shape
    assert np.allclose(averaged, expected, rtol=0.02, atol=0.05)
    assert drawn.active(sums).std(axis=0).max() > 0


def test_random_ties_need_a_generator_and_repeat_with_its_seed() -> None:
    layout = Layout(3, ())
    with pytest.raises(ValueError, match="rng"):
        contrast_sums(BEFORE, AFTER, layout)
    one, two = (contrast_sums(BEFORE, AFTER, layout, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one, two)


def test_a_common_gain_moves_g_and_both_responses_alike_and_nothing_else() -> None:
    rng = np.random.default_rng(6)
    n = 4_000
    rates = rng.lognormal(2, 1, n)[:, None] * np.ones((n, 2))
    before = _half(*rng.poisson(rates).astype(float).T)
    after = _half(*rng.poisson(0.3 * rates).astype(float).T)
    sums = contrast_sums(before, after, LAYOUT)
    for name in ("G", "R_act", "R_sil"):
        assert float(ESTIMANDS[name](sums, LAYOUT)) == pytest.approx(math.log2(0.3), abs=0.05)
    assert float(switch_index(sums, LAYOUT)) == pytest.approx(0, abs=0.07)
    assert float(state_correlation(sums, LAYOUT)) == pytest.approx(1, abs=0.02)


def test_unequal_windows_do_not_look_like_a_change() -> None:
    before = _half([4, 2, 6], [4, 2, 6], exposure_s=60)
    after = _half([8, 4, 12], [8, 4, 12], exposure_s=120)
    assert float(net_drive(contrast_sums(before, after, LAYOUT), LAYOUT)) == pytest.approx(0, abs=1e-12)


def test_negative_transients_are_taken_off_the_silent_response() -> None:
    noisy = HalfCounts(
        AFTER.events, AFTER.exposure_s, np.array([[0, 0], [0, 0], [4, 5], [5, 6]], dtype=float)
    )
    sums = contrast_sums(BEFORE, noisy, LAYOUT)
    plain = contrast_sums(BEFORE, AFTER, LAYOUT)
    assert float(silent_response(sums, LAYOUT)) == float(silent_response(plain, LAYOUT)) > 0
    assert float(silent_response_above_noise(sums, LAYOUT)) < 0
    assert float(silent_response_above_noise(plain, LAYOUT)) == pytest.approx(
        float(silent_response(plain, LAYOUT))
    )


def test_sums_add_over_sessions() -> None:
    rng = np.random.default_rng(7)
    layout = Layout(0, (1, 5))
    sums = [contrast_sums(*_random(rng, 30), layout) for _ in range(3)]
    stacked = np.stack(sums)
    for function in ESTIMANDS.values():
        alone = [float(function(each, layout)) for each in sums]
        assert np.allclose(function(stacked, layout), alone, equal_nan=True)
    total = np.sum(sums, axis=0)
    assert layout.drive(total)[0] == sum(layout.drive(each)[0] for each in sums)
    assert layout.pairs(total)[0, 1] == sum(layout.pairs(each)[0, 1] for each in sums)


def test_what_cannot_be_estimated_says_why() -> None:
    quiet = contrast_sums(
        _half([0, 1, 0, 2], [0, 0, 1, 1]), _half([0, 1, 0, 0], [0, 0, 0, 1]), Layout(0, (1,))
    )
    assert status("G", quiet, Layout(0, (1,))) == FEW_EVENTS
    assert status("SW", quiet, Layout(0, (1,))) == FEW_EVENTS
    assert status("tau_c", quiet, Layout(0, (1,)), limit=1) == FEW_PAIRS
    rng = np.random.default_rng(8)
    noise = [_half(*rng.poisson(5, (2, 200)).astype(float)) for _ in range(2)]
    assert status("rho_star", contrast_sums(noise[0], noise[1], LAYOUT), LAYOUT) == UNRELIABLE
    good = contrast_sums(*_random(rng, 200), LAYOUT)
    assert {status(name, good, LAYOUT) for name in ("G", "R_act", "R_sil", "SW", "rho_star")} == {OK}


def test_state_correlation_is_undefined_rather_than_clipped() -> None:
    opposite = contrast_sums(_half([9, 1], [1, 9]), _half([5, 2], [5, 2]), LAYOUT)
    assert math.isnan(float(state_correlation(opposite, LAYOUT)))
    assert status("rho_star", opposite, LAYOUT) == UNRELIABLE
