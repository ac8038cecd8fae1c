import numpy as np
import pandas as pd
import pytest
from row_tree import deviance_function

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.inference.satterthwaite import f_test, joined_df, t_df, variance_parameters
from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.analysis.mixed.model_frame import model_frame
from nwbswitch.analysis.mixed.optimum import optimise, psi_of


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
    found = fit(balanced, "y ~ arm*phase + (1|animal)", ddf="satterthwaite").anova().set_index("term")
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


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_derivatives_are_those_of_the_criterion(balanced, method):
    """The Hessian in (theta, sigma^2) and d C, by differences of the criterion's own values."""
    table = balanced.assign(
        session=balanced["animal"].astype(str) + balanced["phase"], x=np.sin(balanced.index)
    )
    tree = deviance_function(
        model_frame(table, read_formula("y ~ arm + x + (1 + x | animal) + (1 | session)"))
    )
    best = optimise(tree, method=method)
    parameters = variance_parameters(tree, best)
    nu = tree.n_rows - (tree.n_fixed if method == "reml" else 0)
    at = np.append(best.theta, best.evaluation.residual / nu)
    free = np.append(~best.zero, True)

    def value(point: np.ndarray) -> float:
        psi = psi_of(tree, point[:-1])
        return tree.evaluate(psi, method=method, precision=1.0 / point[-1]).criterion

    def covariance(point: np.ndarray) -> np.ndarray:
        back = np.linalg.inv(tree.scaling.fixed) * tree.scaling.scale
        inverse = np.linalg.inv(tree.evaluate(psi_of(tree, point[:-1]), method=method).information)
        return point[-1] * back @ inverse @ back.T

    q, step = len(at), 1e-4
    unit = np.eye(q) * step
    hessian = np.array(
        [
            [
                sum(a * b * value(at + a * unit[i] + b * unit[j]) for a in (1.0, -1.0) for b in (1.0, -1.0))
                / (4.0 * step**2)
                for j in range(q)
            ]
            for i in range(q)
        ]
    )
    own = np.ix_(free, free)
    # Second differences of a value of about 500 with steps of 1e-4 keep five digits.
    assert np.allclose(parameters.covariance[own], 2.0 * np.linalg.inv(hessian[own]), rtol=2e-3, atol=1e-5)
    for i in np.flatnonzero(free):
        difference = (covariance(at + unit[i]) - covariance(at - unit[i])) / (2.0 * step)
        assert np.allclose(parameters.derivative[i], difference, rtol=1e-5, atol=1e-8)
    assert np.allclose(parameters.fixed, covariance(at), rtol=1e-10)


def test_joined_degrees_of_freedom():
    assert joined_df(np.array([7.0, 7.0])) == 7.0
    # E = 10/8 + 20/18, the sum of the means of two F(1, df).
    assert joined_df(np.array([10.0, 20.0])) == pytest.approx(2 * (10 / 8 + 20 / 18) / (10 / 8 + 20 / 18 - 2))
    assert joined_df(np.array([1.5, 9.0])) == 2.0
    assert joined_df(np.array([np.inf, np.inf])) == np.inf
    assert joined_df(np.array([10.0, np.inf])) == pytest.approx(2 * 2.25 / 0.25)
