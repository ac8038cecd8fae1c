"""Degrees of freedom of clusters in the designs a lab has, and the tests made with them."""

import numpy as np
import pytest
from scipy import stats

from nwbswitch.analysis.inference.cluster_df import cluster_df
from nwbswitch.analysis.inference.wald import df_warnings, wald_inference

ANIMALS = np.repeat(np.arange(12), 4)
EPOCH = np.tile([0.0, 0.0, 1.0, 1.0], 12)
ORDER = np.tile([0.0, 1.0, 2.0, 3.0], 12)
ONE = np.ones(48)
BETWEEN = (ANIMALS >= 6).astype(float)
THIRD = (ANIMALS % 3 == 2).astype(float)
SECOND = (ANIMALS % 3 == 1).astype(float)
CROSSED = np.tile([0.0, 1.0, 0.0, 1.0], 12)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([ONE], [11]),
        ([ONE, BETWEEN], [10, 10]),
        ([ONE, SECOND, THIRD], [9, 9, 9]),
        ([ONE, CROSSED], [11, 11]),
        ([ONE, CROSSED, EPOCH, CROSSED * EPOCH], [11, 11, 11, 11]),
        ([ONE, BETWEEN, EPOCH, BETWEEN * EPOCH], [10, 10, 10, 10]),
        ([ONE, EPOCH, BETWEEN * EPOCH], [11, 10, 10]),
        ([ONE, SECOND, THIRD, EPOCH, SECOND * EPOCH, THIRD * EPOCH], [9] * 6),
        ([ONE, ORDER, BETWEEN], [10, 11, 10]),
        ([1 - BETWEEN, BETWEEN], [10, 10]),
        # a contrast that only 6 animals have is that of 6
        ([ONE, CROSSED * BETWEEN], [11, 5]),
    ],
)
def test_clusters_minus_what_is_estimated_from_them(columns, expected):
    np.testing.assert_array_equal(cluster_df(np.column_stack(columns), ANIMALS), expected)


def test_scale_does_not_matter():
    matrix = np.column_stack([ONE, 1e9 + ORDER, 1e-9 * BETWEEN])
    np.testing.assert_array_equal(cluster_df(matrix, ANIMALS), [10, 11, 10])


def test_nothing_left_is_not_a_number():
    matrix = np.column_stack([ONE, BETWEEN])[[0, 47]]
    df = cluster_df(matrix, np.array([0, 1]))
    assert np.isnan(df).all()
    inference = wald_inference(np.ones(2), np.eye(2), df, ddf="clusters", weighted_design=np.eye(2))
    assert np.isnan(inference.t_test(np.array([1.0, 0.0])).p)
    assert inference.t_test(np.array([1.0, 0.0])).t == 1.0
    assert "a, b" in df_warnings(("a", "b"), inference)[0]


def test_tests_are_t_and_f():
    estimates, vcov = np.array([1.0, 0.5]), np.array([[0.2, 0.05], [0.05, 0.1]])
    inference = wald_inference(
        estimates, vcov, np.array([7.0, 5.0]), ddf="clusters", weighted_design=np.eye(2)
    )
    contrast = np.array([1.0, -1.0])
    test = inference.t_test(contrast, null=0.1)
    se = np.sqrt(0.2 + 0.1 - 0.1)
    assert test.df == 5.0
    assert test.t == pytest.approx((0.5 - 0.1) / se)
    assert test.p == pytest.approx(2 * stats.t.sf(abs(test.t), 5))
    both = inference.f_test(np.eye(2))
    assert both.f == pytest.approx(estimates @ np.linalg.solve(vcov, estimates) / 2)
    assert both.p == pytest.approx(stats.f.sf(both.f, 2, 5))
    row = inference.coefficients(("a", "b"))[0]
    assert row.ci_high == pytest.approx(1.0 + stats.t.ppf(0.975, 7) * np.sqrt(0.2))
    normal = wald_inference(estimates, vcov, np.array([7.0, 5.0]), ddf="none", weighted_design=np.eye(2))
    assert normal.t_test(contrast).p == pytest.approx(2 * stats.norm.sf(0.5 / se))
    assert normal.f_test(np.eye(2)).p == pytest.approx(stats.chi2.sf(2 * both.f, 2))
    assert df_warnings(("a", "b"), normal) == []
