import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.analysis.mixed.model_frame import model_frame
from nwbswitch.analysis.mixed.optimum import optimise
from nwbswitch.analysis.mixed.satterthwaite import f_test, joined_df, t_df, variance_parameters
from nwbswitch.analysis.mixed.tree import deviance_function


@pytest.fixture(scope="module")
def balanced() -> pd.DataFrame:
    """8 animals per arm, 10 rows each, and a factor within animals."""
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"animal": np.repeat(np.arange(16), 10)})
    table["arm"] = np.where(table["animal"] < 8, "drug", "saline")
    table["phase"] = np.tile(["a", "b"], 80)
    table["y"] = rng.normal(0.0, 2.0, 16)[table["animal"]] + rng.normal(size=160)
    return table


def test_balanced_designs_have_the_classical_degrees_of_freedom(balanced):
    found = fit(balanced, "y ~ arm*phase + (1|animal)").anova().set_index("term")
    assert found.loc["arm", "den_df"] == pytest.approx(14.0, rel=1e-6)
    assert found.loc["phase", "den_df"] == pytest.approx(142.0, rel=1e-6)
    assert found.loc["arm:phase", "den_df"] == pytest.approx(142.0, rel=1e-6)


def test_f_of_one_row_is_the_square_of_t(balanced):
    tree = deviance_function(model_frame(balanced, read_formula("y ~ arm + phase + (1|animal)")))
    parameters = variance_parameters(tree, optimise(tree, method="reml"))
    estimates = np.array([1.0, 2.0, 3.0])
    row = np.array([0.5, 1.0, -1.0])
    found = f_test(parameters, estimates, row[None])
    assert found.den_df == pytest.approx(t_df(parameters, row), rel=1e-12)
    assert found.f == pytest.approx((row @ estimates) ** 2 / (row @ parameters.fixed @ row), rel=1e-12)


def test_covariance_of_the_parameters_is_that_of_their_estimates(balanced):
    # One-way layout: var(sigma^2) = 2 sigma^4 / (n - groups), Searle et al. (1992).
    tree = deviance_function(model_frame(balanced, read_formula("y ~ 1 + (1|animal)")))
    best = optimise(tree, method="reml")
    parameters = variance_parameters(tree, best)
    sigma2 = best.evaluation.residual / (tree.n_rows - tree.n_fixed)
    assert parameters.covariance[-1, -1] == pytest.approx(2.0 * sigma2**2 / 144.0, rel=1e-6)


def test_joined_degrees_of_freedom():
    assert joined_df(np.array([7.0, 7.0])) == 7.0
    # E = 10/8 + 20/18, the sum of the means of two F(1, df).
    assert joined_df(np.array([10.0, 20.0])) == pytest.approx(2 * (10 / 8 + 20 / 18) / (10 / 8 + 20 / 18 - 2))
    assert joined_df(np.array([1.5, 9.0])) == 2.0
    assert joined_df(np.array([np.inf, np.inf])) == np.inf
    assert joined_df(np.array([10.0, np.inf])) == pytest.approx(2 * 2.25 / 0.25)
