"""Separation is found where it is, and nowhere else."""

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.glmm.fit import fit_binomial
from nwbswitch.analysis.glmm.separation import check_separation, separation
from nwbswitch.schemas.errors import FitError


def design(*columns) -> np.ndarray:
    return np.column_stack([np.ones(len(columns[0])), *columns]).astype(float)


def test_overlap_is_no_separation():
    x = np.arange(6.0)
    assert separation(design(x), np.array([0, 1, 0, 1, 0, 1.0]), np.ones(6)) is None
    assert separation(design(x > 2), np.array([3, 0, 2, 1, 1, 4.0]), np.full(6, 5.0)) is None


def test_complete_separation_by_a_number():
    found = separation(design(np.arange(6.0)), np.array([0, 0, 0, 1, 1, 1.0]), np.ones(6))
    assert found is not None
    assert found.complete
    assert found.directions[1] == 1.0


def test_a_touching_value_makes_it_quasi_complete():
    found = separation(design([0, 1, 2, 2, 3, 4.0]), np.array([0, 0, 0, 1, 1, 1.0]), np.ones(6))
    assert found is not None
    assert not found.complete


def test_one_empty_cell_of_a_factor_is_quasi_complete_and_only_its_column_runs_away():
    arm = np.repeat([0, 1, 2], 2)
    matrix = design(arm == 1, arm == 2)
    found = separation(matrix, np.array([1, 2, 0, 0, 3, 1.0]), np.full(6, 4.0))
    assert found is not None
    assert not found.complete
    np.testing.assert_array_equal(found.directions, [0, -1, 0])
    with pytest.raises(FitError, match="armB down"):
        check_separation(
            ("(Intercept)", "armB", "armC"), matrix, np.array([1, 2, 0, 0, 3, 1.0]), np.full(6, 4.0)
        )


def test_a_row_without_trials_does_not_count():
    assert separation(design([0.0, 1.0, 2.0]), np.array([1.0, 1.0, 0.0]), np.array([2.0, 2.0, 0.0])) is None


@pytest.mark.parametrize("seed", range(20))
def test_the_verdict_is_that_of_the_likelihood(seed):
    """Separated data have a likelihood that rises along the direction; others have a finite maximum."""
    rng = np.random.default_rng(seed)
    matrix = design(rng.normal(size=8), rng.integers(0, 2, 8))
    if np.linalg.matrix_rank(matrix) < 3:
        matrix[0, 2] = 1.0 - matrix[0, 2]
    yes = (matrix @ [0.0, 2.0, 1.0] + rng.logistic(size=8) > 0).astype(float)
    found = separation(matrix, yes, np.ones(8))
    beta = np.zeros(3)
    for _ in range(28):
        p = 1.0 / (1.0 + np.exp(-matrix @ beta))
        information = matrix.T @ ((p * (1.0 - p))[:, None] * matrix) + 1e-14 * np.eye(3)
        step = np.linalg.solve(information, matrix.T @ (yes - p))
        beta += step / max(1.0, np.abs(matrix @ step).max())
    # Newton's steps for a logit stay near 1 for ever where the maximum is at infinity, and vanish elsewhere.
    assert (found is not None) == (np.abs(matrix @ step).max() > 0.1)


def test_a_fit_names_term_and_direction_instead_of_a_huge_standard_error():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"animal": np.repeat(np.arange(12), 2)})
    data["drug"] = np.where(data["animal"] < 6, "saline", "ketamine")
    data["n"] = 30
    data["yes"] = np.where(data["drug"] == "saline", 0, rng.binomial(30, 0.4, 24))
    with pytest.raises(FitError, match=r"drugsaline down.*animal_logit_test"):
        fit_binomial(data, "cbind(yes, n - yes) ~ drug + (1 | animal)")
