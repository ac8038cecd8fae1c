"""The largest of correlated |t| against mvtnorm (tests/reference/inference.R) and exact special cases."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import studentized_range, t

from nwbswitch.analysis.inference.largest_t import largest_t_tail

LARGEST = json.loads((Path(__file__).resolve().parents[1] / "reference" / "inference.json").read_text())[
    "largest"
]
CASES = [(name, case) for name in LARGEST for case in LARGEST[name]["cases"]]
# Relative; the sum over points is stated to be within 2e-3.
TOLERANCE = 2e-3


def pairwise_correlation(n_means: int) -> np.ndarray:
    """Correlations of all differences of independent means of equal variance."""
    rows, columns = np.triu_indices(n_means, 1)
    differences = np.zeros((len(rows), n_means))
    differences[np.arange(len(rows)), rows] = 1.0
    differences[np.arange(len(rows)), columns] = -1.0
    return 0.5 * differences @ differences.T


@pytest.mark.parametrize(("name", "case"), CASES, ids=lambda each: str(each))
def test_multivariate_t_is_that_of_mvtnorm(name, case):
    correlation = np.array(LARGEST[name]["correlation"])
    found = largest_t_tail(case["t"], case["df"] or np.inf, correlation)
    assert found == pytest.approx(case["p"], rel=TOLERANCE)


@pytest.mark.parametrize(("value", "df"), [(1.5, 8.0), (3.0, 9.5), (5.0, 30.0)])
def test_pairs_of_means_have_the_studentized_range(value, df):
    for n_means in (3, 4, 6):
        exact = studentized_range.sf(np.sqrt(2.0) * value, n_means, df)
        correlation = pairwise_correlation(n_means)
        assert largest_t_tail(value, df, correlation) == pytest.approx(exact, rel=TOLERANCE)


def test_independent_normal_values_are_sidaks():
    for value in (0.5, 2.0, 9.0):
        one = 2.0 * t.sf(value, 1e9)
        exact = -np.expm1(4 * np.log1p(-one))
        assert largest_t_tail(value, np.inf, np.eye(4)) == pytest.approx(exact, rel=TOLERANCE)


def test_the_same_contrast_twice_counts_once():
    same = np.ones((3, 3))
    opposite = np.outer([1.0, -1.0, 1.0], [1.0, -1.0, 1.0])
    for correlation in (same, opposite):
        assert largest_t_tail(2.5, 7.0, correlation) == pytest.approx(2.0 * t.sf(2.5, 7.0), rel=1e-9)


@pytest.mark.parametrize(("value", "df"), [(1e3, 3.0), (60.0, 20.0), (35.0, np.inf), (1e150, 1.0)])
def test_far_out_the_tail_stays_between_its_bounds(value, df):
    correlation = pairwise_correlation(4)
    one = 2.0 * (t.sf(value, df) if np.isfinite(df) else 1.12491070647241e-268)
    found = largest_t_tail(value, df, correlation)
    assert one * (1.0 - 1e-9) <= found <= 6.0 * one * (1.0 + 1e-9)
    assert found > 0.0


def test_the_same_question_has_the_same_answer():
    correlation = pairwise_correlation(5)
    assert largest_t_tail(2.7, 11.0, correlation) == largest_t_tail(2.7, 11.0, correlation)


def test_a_value_of_zero_is_always_passed():
    assert largest_t_tail(0.0, 5.0, np.eye(3)) == 1.0


def test_one_contrast_is_students_t():
    assert largest_t_tail(2.0, 5.0, np.eye(1)) == pytest.approx(2.0 * t.sf(2.0, 5.0), rel=1e-12)
