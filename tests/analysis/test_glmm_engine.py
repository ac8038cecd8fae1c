"""Laplace and quadrature: gradients against differences, the tree against dense matrices, integrals."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.glmm.crossed import crossing
from nwbswitch.analysis.glmm.data import BinomialFrame, binomial_frame
from nwbswitch.analysis.glmm.laplace import CountColumns, conditional_covariance, count_columns, laplace
from nwbswitch.analysis.glmm.quadrature import quadrature
from nwbswitch.analysis.glmm.search import lambdas, optimise_counts, theta_places
from nwbswitch.analysis.glmm.tree import Nesting

DEEP = "cbind(yes, n - yes) ~ arm * x + (1 + x | lab) + (x || animal) + (1 | session)"
FLAT = "cbind(yes, n - yes) ~ arm + x + (1 | animal)"


def table(n: int = 160) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    lab = rng.integers(0, 3, n)
    animal = lab * 10 + rng.integers(0, 4, n)
    session = animal * 10 + rng.integers(0, 3, n)
    arm = rng.choice(["a", "b"], n)
    return pd.DataFrame(
        {
            "lab": lab,
            "animal": animal,
            "session": session,
            "arm": arm,
            "x": rng.normal(size=n),
            "yes": rng.binomial(12, 0.4, n),
            "n": 12,
        }
    )


def frame(formula: str) -> BinomialFrame:
    return binomial_frame(table(), read_formula(formula, cbind=True))


def held_densely(columns: CountColumns, counts: BinomialFrame) -> CountColumns:
    """Return the same columns in the table's order, with all effects in one dense matrix."""
    assert isinstance(columns.shape, Nesting)
    back = np.argsort(columns.shape.order)
    return replace(
        columns,
        yes=columns.yes[back],
        trials=columns.trials[back],
        fixed=columns.fixed[back],
        random=tuple(each[back] for each in columns.random),
        shape=crossing(counts.levels, columns.sizes),
    )


def somewhere(columns: CountColumns) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(2)
    places = theta_places(columns.blocks)
    theta = np.array([0.5 if row == column else 0.0 for _, row, column in places])
    theta += rng.normal(0, 0.2, len(places))
    return lambdas(columns, theta), rng.normal(0, 0.3, columns.fixed.shape[1])


@pytest.mark.parametrize(
    ("formula", "method"),
    [
        (DEEP, laplace),
        (FLAT, laplace),
        (FLAT, partial(quadrature, n_nodes=1)),
        (FLAT, partial(quadrature, n_nodes=4)),
        (FLAT, partial(quadrature, n_nodes=25)),
        (FLAT.replace("1 |", "0 + x |"), partial(quadrature, n_nodes=7)),
    ],
)
@pytest.mark.parametrize("dense", [False, True])
def test_gradients_are_those_of_the_criterion(formula, method, dense):
    counts = frame(formula)
    columns = count_columns(counts)
    factors, beta = somewhere(columns)
    if dense:
        columns = held_densely(columns, counts)
    at = method(columns, factors, beta)
    step = 1e-5
    for i in range(len(beta)):
        shift = step * np.eye(len(beta))[i]
        high, low = (method(columns, factors, beta + sign * shift).criterion for sign in (1, -1))
        assert (high - low) / (2 * step) == pytest.approx(at.beta_gradient[i], abs=1e-6)
    for level, row, column in theta_places(columns.blocks):
        values = []
        for sign in (1, -1):
            moved = [each.copy() for each in factors]
            moved[level][row, column] += sign * step
            values.append(method(columns, moved, beta).criterion)
        difference = (values[0] - values[1]) / (2 * step)
        assert difference == pytest.approx(at.factor_gradients[level][row, column], abs=1e-6)


@pytest.mark.parametrize("dense", [False, True])
def test_factors_solve_the_same_equations_as_one_dense_matrix(dense):
    counts = frame(DEEP)
    columns = count_columns(counts)
    columns = held_densely(columns, counts) if dense else columns
    shape = columns.shape
    rng = np.random.default_rng(3)
    total = sum(columns.sizes)
    u, w = rng.normal(size=(len(columns.yes), total)), rng.uniform(0.1, 3.0, len(columns.yes))
    places, first, taken = [], 0, 0
    U = np.zeros((len(u), sum(n * k for n, k in zip(columns.n_groups, columns.sizes, strict=True))))
    for codes, n, k in zip(shape.groups, columns.n_groups, columns.sizes, strict=True):
        own = first + codes[:, None] * k + np.arange(k)
        np.put_along_axis(U, own, u[:, taken : taken + k], axis=1)
        places.append(own)
        first, taken = first + n * k, taken + k
    H = np.eye(first) + U.T @ (w[:, None] * U)
    found = columns.factor(u, w)
    assert found.log_det == pytest.approx(np.linalg.slogdet(H)[1], rel=1e-12)
    right = [rng.normal(size=(n, k)) for n, k in zip(columns.n_groups, columns.sizes, strict=True)]
    expected = np.linalg.solve(H, np.concatenate([each.ravel() for each in right]))
    np.testing.assert_allclose(
        np.concatenate([each.ravel() for each in found.solve(right)]), expected, atol=1e-12
    )
    spread = np.take_along_axis(np.linalg.solve(H, U.T).T, np.concatenate(places, axis=1), axis=1)
    np.testing.assert_allclose(found.row_covariances(u), spread, atol=1e-12)


def test_quadrature_with_many_nodes_is_the_integral():
    from scipy.integrate import quad
    from scipy.special import expit
    from scipy.stats import norm

    counts = frame(FLAT)
    columns = count_columns(counts)
    factors, beta = somewhere(columns)
    sd = abs(float(factors[0][0, 0]))
    eta = columns.fixed @ beta
    total = 0.0
    for group in range(columns.n_groups[0]):
        rows = columns.shape.groups[0] == group

        def integrand(u, rows=rows):
            p = expit(eta[rows] + sd * u)
            y, n = columns.yes[rows], columns.trials[rows]
            return np.exp(np.sum(y * np.log(p) + (n - y) * np.log1p(-p)) + 100.0) * norm.pdf(u)

        mode = float(quadrature(columns, factors, beta, n_nodes=1).modes.effects[0][group, 0])
        total += np.log(quad(integrand, mode - 6, mode + 6, points=[mode], epsabs=0, epsrel=1e-11)[0]) - 100.0
    many = quadrature(columns, [np.array([[sd]])], beta, n_nodes=25).criterion
    assert many == pytest.approx(-2.0 * total, rel=1e-10)
    one = quadrature(columns, [np.array([[sd]])], beta, n_nodes=1).criterion
    assert one == pytest.approx(laplace(columns, [np.array([[sd]])], beta).criterion, rel=1e-13)


def test_covariance_given_the_variances_is_that_of_the_joint_penalised_equations():
    counts = frame(DEEP)
    columns = held_densely(count_columns(counts), counts)
    factors, beta = somewhere(columns)
    at = laplace(columns, factors, beta).modes
    parts, taken = [], 0
    for codes, n, k in zip(columns.shape.groups, columns.n_groups, columns.sizes, strict=True):
        part = np.zeros((len(codes), n * k))
        np.put_along_axis(part, codes[:, None] * k + np.arange(k), at.columns[:, taken : taken + k], axis=1)
        parts.append(part)
        taken += k
    Z = np.concatenate(parts, axis=1)
    n_effects = Z.shape[1]
    p = len(beta)
    both = np.concatenate([columns.fixed, Z], axis=1)
    penalty = np.diag(np.r_[np.zeros(p), np.ones(n_effects)])
    joint = np.linalg.inv(both.T @ (at.weights[:, None] * both) + penalty)[:p, :p]
    np.testing.assert_allclose(conditional_covariance(columns, at), joint, rtol=1e-9)


def test_search_ends_where_no_start_finds_less():
    columns = count_columns(frame(DEEP))
    found = optimise_counts(columns, laplace)
    alone = [optimise_counts(columns, laplace, starts=(start,)) for start in (0.05, 0.3, 1.0, 4.0)]
    assert found.converged
    assert found.at.criterion <= min(each.at.criterion for each in alone) + 1e-8
    slopes = [found.at.factor_gradients[level][i, j] for level, i, j in theta_places(columns.blocks)]
    free = found.free[: len(found.theta)]
    np.testing.assert_allclose(np.r_[np.array(slopes)[free], found.at.beta_gradient], 0.0, atol=1e-5)


@pytest.mark.parametrize("seed", [3, 11, 26])
def test_small_studies_with_variances_near_zero_have_no_better_end(seed):
    """The criterion has several minima here (seed 26: .009 apart), and zeros with rows that only rotate."""
    rng = np.random.default_rng(seed)
    n_animals = int(rng.integers(3, 9))
    animal = np.repeat(np.arange(n_animals), 6)
    session, epoch = np.repeat(np.arange(n_animals * 3), 2), np.tile([0.0, 1.0], n_animals * 3)
    n = rng.integers(5, 40, len(animal))
    sd = rng.choice([0, 0.1, 0.5, 1.0], 3)
    eta = -1 + rng.normal(0, sd[0], n_animals)[animal] + epoch * rng.normal(0.3, sd[1], n_animals)[animal]
    eta += rng.normal(0, sd[2], n_animals * 3)[session]
    rows = pd.DataFrame({"animal": animal, "session": session, "epoch": epoch, "n": n})
    rows["yes"] = rng.binomial(n, 1 / (1 + np.exp(-eta)))
    formula = "cbind(yes, n - yes) ~ epoch + (1 + epoch | animal) + (1 + epoch | session)"
    columns = count_columns(binomial_frame(rows, read_formula(formula, cbind=True)))
    found = optimise_counts(columns, laplace)
    others = [optimise_counts(columns, laplace, starts=(start,)) for start in (0.03, 0.8, 4.0)]
    assert found.converged
    assert found.at.criterion <= min(each.at.criterion for each in others) + 1e-6
    theta, free = found.theta, found.free[: len(found.theta)]
    assert np.all(theta[~free] == 0.0)
    assert np.linalg.eigvalsh(found.hessian)[0] > 0.0


def test_random_effects_without_scatter_end_at_exactly_zero():
    rng = np.random.default_rng(5)
    rows = pd.DataFrame({"animal": np.repeat(np.arange(10), 4), "n": 40})
    rows["yes"] = 12 + rng.integers(-1, 2, len(rows))  # less scatter than binomial
    counts = binomial_frame(rows, read_formula("cbind(yes, n - yes) ~ 1 + (1 | animal)", cbind=True))
    found = optimise_counts(count_columns(counts), laplace)
    assert found.converged
    assert found.theta[0] == 0.0
    assert not found.free[0]
