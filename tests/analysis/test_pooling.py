"""Pooling over animals against closed forms, brute force and metafor."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from nwbswitch.analysis.estimands.counts import Floats
from nwbswitch.analysis.verdicts.pooling import (
    Estimate,
    holm,
    jackknife,
    jackknife_between,
    permutation_p,
    random_effects,
    relabelled_totals,
    sign_flip,
    swapped_totals,
)

# Thirteen trials of BCG, log relative risk and variance (Colditz et al. 1994), and what metafor 3.8.1
# gives for rma(yi, vi, method = "PM", test = "knha") at full precision.
BCG_Y = [-0.889311333920205, -1.58538865720143, -1.34807314829969, -1.44155119002131, -0.217547322211296]
BCG_Y += [-0.786115585818864, -1.62089822359839, 0.0119523335238405, -0.469417648738149, -1.37134480347278]
BCG_Y += [-0.339358828338391, 0.445913400571379, -0.0173139482168798]
BCG_V = [0.325584765003961, 0.194581121398144, 0.415367965367965, 0.0200100319022476, 0.0512101721696309]
BCG_V += [0.00690561845590876, 0.223017247572315, 0.00396157929781773, 0.056434210463249]
BCG_V += [0.0730247936130289, 0.0124122139715597, 0.532505845200153, 0.0714046596839863]


def _ratio(sums: Floats) -> Floats:
    return sums[..., 0, 0] / sums[..., 0, 1]


def _difference(sums: Floats) -> Floats:
    return _ratio(sums) - sums[..., 1, 0] / sums[..., 1, 1]


def _animals(rng: np.random.Generator, n: int, parts: int, shift: float = 0.0) -> Floats:
    under = rng.uniform(5, 15, (n, parts))
    over = under * rng.normal(1 + shift * (np.arange(parts) == 0), 0.2, (n, parts))
    return np.stack([over, under], axis=-1)


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=9)
    sums = np.stack([values, np.ones(9)], axis=-1)[:, None]
    estimate, se, df = jackknife(_ratio, sums)
    assert estimate == pytest.approx(values.mean())
    assert se == pytest.approx(values.std(ddof=1) / 3)
    assert df == 8


def test_the_jackknife_of_two_groups_is_welch() -> None:
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(1)
    one, two = rng.normal(size=7), rng.normal(1, 3, size=5)
    sums = [np.stack([each, np.ones(each.size)], axis=-1)[:, None] for each in (one, two)]
    estimate, se, df = jackknife_between(_ratio, sums[0], sums[1], [])
    known = ttest_ind(one, two, equal_var=False)
    assert estimate / se == pytest.approx(known.statistic)
    assert df == pytest.approx(known.df)


def test_animals_in_both_groups_lend_their_covariance() -> None:
    rng = np.random.default_rng(2)
    both = rng.normal(size=8)
    sums = [
        np.stack([both + rng.normal(0, 0.01, 8), np.ones(8)], axis=-1)[:, None],
        np.stack([both, np.ones(8)], axis=-1)[:, None],
    ]
    paired = [(place, place) for place in range(8)]
    _, apart, _ = jackknife_between(_ratio, sums[0], sums[1], [])
    _, together, _ = jackknife_between(_ratio, sums[0], sums[1], paired)
    _, within, _ = jackknife(_difference, np.concatenate(sums, axis=1))
    assert together < apart / 10
    assert together == pytest.approx(within)


def test_one_animal_has_an_estimate_and_no_interval() -> None:
    sums = _animals(np.random.default_rng(3), 1, 1)
    estimate, se, df = jackknife(_ratio, sums)
    assert math.isfinite(estimate)
    assert math.isnan(se)
    assert math.isnan(df)
    assert np.isnan(Estimate(estimate, se, df, status="no interval").interval()).all()


def test_intervals_are_t_intervals() -> None:
    low, high = Estimate(1.0, 0.5, 5.0).interval()
    assert (low, high) == pytest.approx((1 - 2.570582 * 0.5, 1 + 2.570582 * 0.5), abs=1e-6)
    low, high = Estimate(1.0, 0.5, 5.0).interval(0.9)
    assert (low, high) == pytest.approx((1 - 2.015048 * 0.5, 1 + 2.015048 * 0.5), abs=1e-6)


@pytest.mark.parametrize(("n", "smallest"), [(3, math.nan), (5, math.nan), (6, 2 / 64), (8, 2 / 256)])
def test_sign_flips_never_promise_more_than_the_animals_can_hold(n: int, smallest: float) -> None:
    assert sign_flip(np.arange(1.0, n + 1)) == pytest.approx(smallest, nan_ok=True)


def test_sign_flips_equal_the_list_of_all_flips() -> None:
    values = np.random.default_rng(4).normal(0.5, 1, 7)
    means = [abs(np.dot(signs, values)) for signs in product((1, -1), repeat=7)]
    assert sign_flip(values) == np.mean(np.array(means) >= abs(values.sum()) - 1e-12)


def test_many_animals_use_random_flips_that_repeat_with_the_seed() -> None:
    values = np.random.default_rng(5).normal(0.3, 1, 30)
    assert sign_flip(values, seed=1) == sign_flip(values, seed=1)
    assert sign_flip(values, seed=1) == pytest.approx(sign_flip(values, seed=2), abs=0.02)
    assert sign_flip(np.full(30, 2.0)) == pytest.approx(1 / 20_001)


def test_swapping_labels_equals_recomputing_every_exchange() -> None:
    sums = _animals(np.random.default_rng(6), 6, 2, shift=0.15)
    observed = abs(_difference(sums.sum(axis=0)))
    found = []
    for exchanged in product((False, True), repeat=6):
        moved = sums.copy()
        moved[list(exchanged)] = moved[list(exchanged)][:, ::-1]
        found.append(abs(_difference(moved.sum(axis=0))))
    expected = np.mean(np.array(found) >= observed - 1e-12)
    assert permutation_p(_difference, swapped_totals(sums)) == pytest.approx(expected)
    assert swapped_totals(sums[:5]) is None
    assert math.isnan(permutation_p(_difference, None))


def test_relabelling_deals_the_animals_in_all_ways() -> None:
    rng = np.random.default_rng(7)
    one, two = _animals(rng, 5, 1), _animals(rng, 4, 1)
    totals = relabelled_totals(one, two)
    assert totals is not None
    assert totals.shape == (math.comb(9, 5), 2, 2)
    assert np.allclose(totals[0], [one.sum(axis=0)[0], two.sum(axis=0)[0]])
    assert np.allclose(totals.sum(axis=1), (one.sum(axis=0) + two.sum(axis=0))[0])
    one[..., 0] *= 3
    smallest = permutation_p(_difference, relabelled_totals(one, two))
    assert smallest == pytest.approx(1 / math.comb(9, 5))
    assert relabelled_totals(one[:3], two[:3]) is None


@pytest.mark.parametrize("n", [6, 10])
def test_label_permutation_holds_its_level(n: int) -> None:
    rng = np.random.default_rng(8)
    p = [permutation_p(_difference, swapped_totals(_animals(rng, n, 2))) for _ in range(400)]
    assert np.mean(np.array(p) < 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    assert np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.1)


def test_random_effects_equal_metafor() -> None:
    found = random_effects(np.array(BCG_Y), np.array(BCG_V))
    assert found.estimate == pytest.approx(-0.714968153493444, abs=1e-9)
    assert found.se == pytest.approx(0.180892191537624, abs=1e-9)
    assert found.interval() == pytest.approx((-1.10909838120224, -0.320837925784648), abs=1e-8)


def test_random_effects_leave_no_animal_out_in_silence() -> None:
    lost = random_effects(np.array([1.0, math.nan, 2.0]), np.ones(3))
    assert math.isnan(lost.estimate)
    assert lost.status == "not estimable: no value or variance in 1 of 3 animals"
    assert random_effects(np.array([1.0]), np.ones(1)).status == "needs >= 2 animals"
    equal = random_effects(np.array([1.0, 1.1, 0.9]), np.full(3, 4.0))
    assert equal.estimate == pytest.approx(1.0)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.04, math.nan]) == pytest.approx([0.04, math.nan], nan_ok=True)
