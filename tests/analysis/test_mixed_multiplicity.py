"""Corrections for several contrasts: by hand, against scipy, and against what they promise."""

from typing import get_args

import numpy as np
import pytest
from scipy.stats import f, false_discovery_control, studentized_range, t

from nwbswitch.analysis.inference.multiplicity import (
    Adjust,
    Family,
    adjusted_p,
    check_adjust,
    critical_values,
)


def pairwise_correlation(n_means: int) -> np.ndarray:
    """Correlations of all differences of independent means of equal variance."""
    rows, columns = np.triu_indices(n_means, 1)
    differences = np.zeros((len(rows), n_means))
    differences[np.arange(len(rows)), rows] = 1.0
    differences[np.arange(len(rows)), columns] = -1.0
    return 0.5 * differences @ differences.T


T = np.array([0.4, 2.1, -3.3])
DF = np.array([9.0, 12.5, 11.0])
P = 2.0 * t.sf(np.abs(T), DF)
FAMILY = Family(3, 2, pairwise_correlation(3), pairwise=True)


def adjusted(adjust: Adjust, family: Family = FAMILY) -> np.ndarray:
    return adjusted_p(T, DF, P, adjust=adjust, family=family)


def test_methods_that_need_only_p():
    assert np.allclose(adjusted("none"), P, rtol=1e-14)
    assert np.allclose(adjusted("bonferroni"), np.minimum(3.0 * P, 1.0), rtol=1e-14)
    assert np.allclose(adjusted("sidak"), 1.0 - (1.0 - P) ** 3, rtol=1e-12)
    assert np.allclose(adjusted("fdr"), false_discovery_control(P), rtol=1e-14)
    # Holm by hand: the smallest three times, the next two times, never falling.
    assert adjusted("holm")[2] == pytest.approx(3.0 * P[2], rel=1e-14)
    assert adjusted("holm")[1] == pytest.approx(max(2.0 * P[1], 3.0 * P[2]), rel=1e-14)
    assert adjusted("holm")[0] == pytest.approx(max(P[0], 2.0 * P[1]), rel=1e-14)


def test_methods_with_a_distribution():
    assert np.allclose(adjusted("scheffe"), f.sf(T**2 / 2.0, 2, DF), rtol=1e-10)
    expected = [studentized_range.sf(np.sqrt(2.0) * abs(a), 3, b) for a, b in zip(T, DF, strict=True)]
    assert np.allclose(adjusted("tukey"), expected, rtol=1e-9)
    assert np.allclose(adjusted("mvt"), expected, rtol=2e-3)
    assert np.array_equal(adjusted("mvt"), adjusted("dunnett"))


@pytest.mark.parametrize("adjust", get_args(Adjust))
def test_adjusting_never_lowers_p_and_never_passes_bonferroni(adjust):
    found = adjusted(adjust)
    assert np.all(found >= P * (1.0 - 1e-12))
    assert np.all(found <= 1.0)
    if adjust != "scheffe":
        assert np.all(found <= np.minimum(3.0 * P, 1.0) * (1.0 + 1e-12))


@pytest.mark.parametrize("adjust", ["none", "bonferroni", "sidak", "scheffe", "tukey", "mvt"])
def test_an_interval_ends_at_zero_where_p_is_alpha(adjust):
    half = critical_values(DF, level=0.95, adjust=adjust, family=FAMILY)
    at_the_end = adjusted_p(half, DF, 2.0 * t.sf(half, DF), adjust=adjust, family=FAMILY)
    assert np.allclose(at_the_end, 0.05, rtol=1e-6)


@pytest.mark.parametrize("adjust", ["holm", "fdr"])
def test_methods_without_intervals_give_bonferronis(adjust):
    own = critical_values(DF, level=0.9, adjust=adjust, family=FAMILY)
    assert np.array_equal(own, critical_values(DF, level=0.9, adjust="bonferroni", family=FAMILY))


@pytest.mark.parametrize("adjust", get_args(Adjust))
def test_infinite_degrees_of_freedom(adjust):
    df = np.full(3, np.inf)
    p = 2.0 * t.sf(np.abs(T), 1e12)
    near = adjusted_p(T, np.full(3, 1e8), p, adjust=adjust, family=FAMILY)
    assert np.allclose(adjusted_p(T, df, p, adjust=adjust, family=FAMILY), near, rtol=3e-3)
    half = critical_values(df, level=0.95, adjust=adjust, family=FAMILY)
    assert np.allclose(
        half, critical_values(np.full(3, 1e8), level=0.95, adjust=adjust, family=FAMILY), rtol=1e-3
    )


@pytest.mark.parametrize("adjust", get_args(Adjust))
def test_statistics_far_out_keep_a_small_positive_p(adjust):
    values, df = np.array([40.0, -60.0, 1e4]), np.array([30.0, 25.0, 5.0])
    p = 2.0 * t.sf(np.abs(values), df)
    found = adjusted_p(values, df, p, adjust=adjust, family=FAMILY)
    assert np.all(found > 0.0)
    assert np.all(found < 1e-12)
    assert np.all(found >= p * (1.0 - 1e-12))


@pytest.mark.parametrize("adjust", get_args(Adjust))
def test_one_degree_of_freedom(adjust):
    df = np.ones(3)
    p = 2.0 * t.sf(np.abs(T), df)
    found = adjusted_p(T, df, p, adjust=adjust, family=FAMILY)
    assert np.all((found >= p * (1.0 - 1e-12)) & (found <= 1.0))
    assert np.all(critical_values(df, level=0.95, adjust=adjust, family=FAMILY) >= 12.7)


@pytest.mark.parametrize("adjust", get_args(Adjust))
def test_a_family_of_one_needs_no_correction(adjust):
    one = Family(2, 1, np.eye(1), pairwise=True)
    found = adjusted_p(T[1:2], DF[1:2], P[1:2], adjust=adjust, family=one)
    assert found == pytest.approx(P[1:2], rel=1e-8)
    half = critical_values(DF[1:2], level=0.95, adjust=adjust, family=one)
    assert half == pytest.approx(t.ppf(0.975, DF[1:2]), rel=1e-8)


def test_the_family_is_kept_under_the_null():
    """Dunnett's bound holds: the largest of 4 |t| against one control passes it in 5 % of sets."""
    rng = np.random.default_rng(5)
    n, df = 20_000, 12.0
    correlation = 0.5 * (np.ones((4, 4)) + np.eye(4))
    family = Family(5, 4, correlation, pairwise=False)
    half = critical_values(np.array([df]), level=0.95, adjust="mvt", family=family)[0]
    means = rng.normal(size=(n, 5))
    values = (means[:, 1:] - means[:, :1]) / np.sqrt(2.0 * rng.chisquare(df, size=n) / df)[:, None]
    rejected = float(np.mean(np.abs(values).max(axis=1) > half))
    assert rejected == pytest.approx(0.05, abs=4.0 * np.sqrt(0.05 * 0.95 / n))


@pytest.mark.parametrize("adjust", get_args(Adjust))
def test_a_contrast_without_a_test_leaves_the_others_theirs(adjust):
    t_lost, df_lost, p_lost = T.copy(), DF.copy(), P.copy()
    t_lost[0] = df_lost[0] = p_lost[0] = np.nan
    found = adjusted_p(t_lost, df_lost, p_lost, adjust=adjust, family=FAMILY)
    assert np.isnan(found).tolist() == [True, False, False]
    # The largest of the three P was lost, which changes nothing for the others.
    assert np.allclose(found[1:], adjusted(adjust)[1:] if adjust != "fdr" else [1.5, 3.0] * P[1:], rtol=1e-12)
    half = critical_values(df_lost, level=0.95, adjust=adjust, family=FAMILY)
    assert np.isnan(half).tolist() == [True, False, False]


def test_many_degrees_of_freedom_are_interpolated():
    df = np.linspace(3.0, 80.0, 40)
    family = Family(9, 8, np.eye(36), pairwise=True)
    found = critical_values(df, level=0.95, adjust="tukey", family=family)
    exact = [
        critical_values(df[i : i + 1], level=0.95, adjust="tukey", family=family)[0] for i in (0, 7, 21, 39)
    ]
    assert np.allclose(found[[0, 7, 21, 39]], exact, rtol=1e-8)
    with_infinite = np.append(df, [np.inf, np.nan])
    again = critical_values(with_infinite, level=0.95, adjust="tukey", family=family)
    assert np.allclose(again[:-2], found, rtol=1e-8)
    infinite = critical_values(np.array([np.inf]), level=0.95, adjust="tukey", family=family)
    assert again[-2] == pytest.approx(infinite[0], rel=1e-8)
    assert np.isnan(again[-1])


def test_the_multivariate_t_of_very_many_contrasts_is_refused():
    many = Family(32, 31, np.eye(31), pairwise=False)
    with pytest.raises(ValueError, match="at most 30 contrasts, these are 31"):
        critical_values(np.full(31, 5.0), level=0.95, adjust="mvt", family=many)


def test_unknown_methods_and_tukey_for_other_contrasts_are_refused():
    with pytest.raises(ValueError, match="available are none, tukey"):
        check_adjust("hsd", pairwise=True)
    with pytest.raises(ValueError, match="use 'mvt'"):
        check_adjust("tukey", pairwise=False)
