"""Tails of t and F where a double is nearly out of numbers, and the checks of contrasts."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from nwbswitch.analysis.inference.hypothesis import (
    checked_contrast,
    checked_contrasts,
    f_tail,
    independent_rows,
    t_test_of,
)

TAILS = json.loads((Path(__file__).resolve().parents[1] / "reference" / "inference.json").read_text())[
    "tails"
]


@pytest.mark.parametrize("case", TAILS["t"], ids=lambda case: f"t {case['t']:g} df {case['df']:g}")
def test_far_tails_of_t_keep_their_digits(case):
    found = t_test_of(case["t"], 1.0, case["df"], null=0.0).p
    if case["log_p"] < -700.0:
        assert found <= 1e-300
    else:
        assert np.log(found) == pytest.approx(case["log_p"], rel=1e-9)
    assert t_test_of(-case["t"], 1.0, case["df"], null=0.0).p == found


@pytest.mark.parametrize("case", TAILS["f"], ids=lambda case: f"F {case['f']:g}")
def test_far_tails_of_f_keep_their_digits(case):
    found = f_tail(case["f"], case["num_df"], case["den_df"] or np.inf)
    assert np.log(found) == pytest.approx(case["log_p"], rel=1e-9)


def test_beyond_what_a_double_holds_p_is_zero_and_nothing_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert t_test_of(1e200, 1.0, 50.0, null=0.0).p == 0.0
        assert t_test_of(60.0, 1.0, np.inf, null=0.0).p == 0.0
        assert f_tail(1e6, 3, np.inf) == 0.0
        assert f_tail(1e300, 3, 400.0) == 0.0


def test_one_degree_of_freedom_is_cauchy():
    assert t_test_of(1.0, 1.0, 1.0, null=0.0).p == pytest.approx(0.5, rel=1e-14)
    assert t_test_of(1e8, 1.0, 1.0, null=0.0).p == pytest.approx(2.0 / (np.pi * 1e8), rel=1e-9)


def test_an_f_of_zero_or_less_is_no_evidence():
    assert f_tail(0.0, 2, 10.0) == 1.0
    assert f_tail(-1.0, 2, 10.0) == 1.0


def test_without_a_positive_variance_there_is_no_test():
    for variance in (0.0, -1e-3, np.nan):
        found = t_test_of(1.0, variance, 5.0, null=0.0)
        assert np.isnan([found.se, found.t, found.p]).all()


def test_independent_rows_keeps_the_first_of_what_says_the_same():
    rows = np.array([[1.0, -1, 0], [0, 1, -1], [1, 0, -1], [1e-9, 0, 0], [0, 0, 0]])
    assert independent_rows(rows).tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("contrast", "words"),
    [
        ([1.0, 2.0], "3 fixed effects"),
        ([[1.0, 2.0, 3.0]], "3 fixed effects"),
        ([0.0, 0.0, 0.0], "nothing but zeros"),
        ([1.0, np.inf, 0.0], "finite"),
    ],
)
def test_what_is_no_contrast_is_refused(contrast, words):
    with pytest.raises(ValueError, match=words):
        checked_contrast(np.array(contrast), 3)


def test_dependent_rows_are_counted_from_one():
    with pytest.raises(ValueError, match="row 2, 4 says nothing"):
        checked_contrasts(np.array([[1.0, 0, 0], [2.0, 0, 0], [0, 1.0, 0], [1.0, 1.0, 0]]), 3)
