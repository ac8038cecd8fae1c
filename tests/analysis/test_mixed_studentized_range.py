"""The studentized range against scipy, Student's t for two means, and its own limits."""

import numpy as np
import pytest
from scipy.stats import studentized_range, t

from nwbswitch.analysis.inference.studentized_range import studentized_range_tail


@pytest.mark.parametrize("df", [1.0, 4.2, 37.5, 1e4, np.inf])
@pytest.mark.parametrize("q", [0.01, 1.0, 3.5, 12.0, 30.0, 1e4])
def test_two_means_are_students_t(q, df):
    exact = 2.0 * t.sf(q / np.sqrt(2.0), min(df, 1e300))
    found = studentized_range_tail(q, 2, df)
    assert found == pytest.approx(exact, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("n_means", [3, 5, 8, 15])
@pytest.mark.parametrize("df", [2.0, 7.3, 40.0, np.inf])
@pytest.mark.parametrize("q", [0.5, 2.0, 4.0])
def test_scipy_agrees_where_it_keeps_its_digits(q, df, n_means):
    # scipy computes one minus an integral that it ends at about 1e-8.
    assert studentized_range_tail(q, n_means, df) == pytest.approx(
        studentized_range.sf(q, n_means, df), abs=5e-8
    )


@pytest.mark.parametrize(
    ("q", "n_means", "df"), [(25.0, 4, 20.0), (1e3, 6, 5.0), (40.0, 3, np.inf), (1e80, 5, 1.0)]
)
def test_a_small_tail_is_between_one_difference_and_all_of_them(q, n_means, df):
    one = studentized_range_tail(q, 2, df)
    found = studentized_range_tail(q, n_means, df)
    assert 0.0 < one < found < one * n_means * (n_means - 1) / 2.0


def test_many_degrees_of_freedom_are_infinitely_many():
    assert studentized_range_tail(3.5, 4, 1e9) == pytest.approx(
        studentized_range_tail(3.5, 4, np.inf), rel=1e-7
    )


def test_the_published_point():
    # Pearson and Hartley (1966), table 29: q(.05; 3, 10) = 3.877, q(.05; 10, 20) = 5.008.
    assert studentized_range_tail(3.877, 3, 10.0) == pytest.approx(0.05, abs=1e-5 * 3)
    assert studentized_range_tail(5.008, 10, 20.0) == pytest.approx(0.05, abs=1e-5 * 3)


def test_nothing_is_certain():
    assert studentized_range_tail(0.0, 5, 3.0) == 1.0
    assert studentized_range_tail(1e-12, 5, 3.0) == pytest.approx(1.0, abs=1e-9)
