"""Kenward-Roger against a dense computation with n by n matrices, and against classical designs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from row_tree import deviance_function

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.inference.kenward_roger import KenwardRoger, f_test, kenward_roger, t_df
from nwbswitch.analysis.mixed.deviance import Curvature
from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.analysis.mixed.model_frame import model_frame
from nwbswitch.analysis.mixed.optimum import optimise, psi_of

FORMULAS = [
    "y ~ drug * epoch + (1 + epoch | animal) + (1 | session)",
    "y ~ drug + epoch + (1 | animal/session)",
    "y ~ epoch + (0 + epoch | animal) + (1 | session)",
]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """14 animals, 1 to 3 sessions each, 2 to 6 rows per session."""
    rng = np.random.default_rng(7)
    rows = []
    for animal in range(14):
        for session in range(rng.integers(1, 4)):
            for _ in range(rng.integers(2, 7)):
                rows.append((f"a{animal}", f"a{animal}s{session}", animal % 2, rng.normal()))
    found = pd.DataFrame(rows, columns=["animal", "session", "drug", "epoch"])
    shifts = {name: rng.normal(size=found[name].nunique()) for name in ("animal", "session")}
    found["y"] = rng.normal(size=len(found)) + sum(
        shifts[name][pd.factorize(found[name])[0]] for name in shifts
    )
    return found


def dense(table: pd.DataFrame, formula: str) -> dict[str, np.ndarray]:
    """Kenward and Roger (1997) with Sigma and its derivatives written out, sigma^2 the last parameter."""
    frame = model_frame(table, read_formula(formula))
    tree = deviance_function(frame)
    best = optimise(tree, method="reml")
    X, n = frame.fixed.matrix, frame.n_rows
    p = X.shape[1]
    sigma2 = best.evaluation.residual / (n - p) * tree.scaling.scale**2
    G, Sigma = [], sigma2 * np.eye(n)
    for level, psi, scales, sizes in zip(
        frame.levels, psi_of(tree, best.theta), tree.scaling.effect_scales, tree.block_sizes, strict=True
    ):
        covariance = sigma2 * psi / np.outer(scales, scales)
        Z = np.concatenate([block.matrix for block in level.blocks], axis=1)
        same = level.codes[:, None] == level.codes[None, :]
        Sigma += (Z @ covariance @ Z.T) * same
        first = 0
        for size in sizes:
            for column in range(first, first + size):
                for row in range(column, first + size):
                    E = np.zeros_like(psi)
                    E[row, column] = E[column, row] = 1.0
                    G.append((Z @ E @ Z.T) * same)
            first += size
    G.append(np.eye(n))
    inverse = np.linalg.inv(Sigma)
    phi = np.linalg.inv(X.T @ inverse @ X)
    P = [-X.T @ inverse @ each @ inverse @ X for each in G]
    q = len(G)
    information = np.empty((q, q))
    Q = [[X.T @ inverse @ one @ inverse @ two @ inverse @ X for two in G] for one in G]
    for r in range(q):
        for s in range(q):
            information[r, s] = 0.5 * (
                np.trace(inverse @ G[r] @ inverse @ G[s])
                - np.trace(2.0 * phi @ Q[r][s] - phi @ P[r] @ phi @ P[s])
            )
    W = np.linalg.inv(information)
    bias = sum(W[r, s] * (Q[r][s] - P[r] @ phi @ P[s]) for r in range(q) for s in range(q))
    beta = phi @ X.T @ inverse @ frame.response
    return {
        "phi": phi, "W": W, "P": np.array(P), "adjusted": phi + 2.0 * phi @ bias @ phi, "beta": beta,
        "parts": kenward_roger(tree.curvature(psi_of(tree, best.theta)), n_rows=n, scaling=tree.scaling),
    }  # fmt: skip


@pytest.mark.parametrize("formula", FORMULAS)
def test_covariances_and_tests_are_those_of_the_dense_computation(table, formula):
    found = dense(table, formula)
    parts = found["parts"]
    # Two routes to the same numbers; what is left is rounding of n by n inverses.
    assert np.allclose(parts.fixed, found["phi"], rtol=1e-9)
    assert np.allclose(parts.adjusted, found["adjusted"], rtol=1e-8)
    p = len(found["phi"])
    for row in [*np.eye(p), np.ones(p)]:
        g = np.array([row @ found["phi"] @ each @ found["phi"] @ row for each in found["P"]])
        df = 2.0 * (row @ found["phi"] @ row) ** 2 / (g @ found["W"] @ g)
        assert t_df(parts, row) == pytest.approx(df, rel=1e-8)
    if p < 3:
        return
    L = np.eye(p)[1:]
    theta = L.T @ np.linalg.inv(L @ found["phi"] @ L.T) @ L
    moved = [theta @ found["phi"] @ each @ found["phi"] for each in found["P"]]
    q = range(len(moved))
    a1 = sum(found["W"][r, s] * np.trace(moved[r]) * np.trace(moved[s]) for r in q for s in q)
    a2 = sum(found["W"][r, s] * np.trace(moved[r] @ moved[s]) for r in q for s in q)
    ell = len(L)
    b = (a1 + 6 * a2) / (2 * ell)
    g = ((ell + 1) * a1 - (ell + 4) * a2) / ((ell + 2) * a2)
    c = 3 * ell + 2 * (1 - g)
    expected = 1 / (1 - a2 / ell)
    variance = 2 / ell * (1 + g / c * b) / ((1 - (ell - g) / c * b) ** 2 * (1 - (ell + 2 - g) / c * b))
    rho = variance / (2 * expected**2)
    den_df = 4 + (ell + 2) / (ell * rho - 1)
    scaling = den_df / (expected * (den_df - 2))
    effects = L @ found["beta"]
    wald = effects @ np.linalg.solve(L @ found["adjusted"] @ L.T, effects) / ell
    test = f_test(parts, found["beta"], L)
    assert test.den_df == pytest.approx(den_df, rel=1e-8)
    assert test.scaling == pytest.approx(scaling, rel=1e-8)
    assert test.f == pytest.approx(scaling * wald, rel=1e-8)


def test_row_weights_divide_the_residual_variance(table):
    # pbkrtest takes the residual covariance for sigma^2 I whatever the weights, so R is no oracle here.
    weighted = table.assign(w=np.random.default_rng(4).uniform(0.3, 4.0, len(table)))
    found = fit(weighted, "y ~ drug + epoch + (1 | animal)", weights="w")
    between, residual = (each.variance for each in found.components)
    same = (weighted["animal"].to_numpy()[:, None] == weighted["animal"].to_numpy()).astype(float)
    G = [same, np.diag(1.0 / weighted["w"].to_numpy())]
    inverse = np.linalg.inv(between * G[0] + residual * G[1])
    X = np.column_stack([np.ones(len(weighted)), weighted["drug"], weighted["epoch"]])
    phi = np.linalg.inv(X.T @ inverse @ X)
    P = [-X.T @ inverse @ each @ inverse @ X for each in G]
    Q = [[X.T @ inverse @ one @ inverse @ two @ inverse @ X for two in G] for one in G]
    information = np.array(
        [
            [
                0.5 * np.trace(inverse @ G[r] @ inverse @ G[s])
                - 0.5 * np.trace(2.0 * phi @ Q[r][s] - phi @ P[r] @ phi @ P[s])
                for s in (0, 1)
            ]
            for r in (0, 1)
        ]
    )
    W = np.linalg.inv(information)
    bias = sum(W[r, s] * (Q[r][s] - P[r] @ phi @ P[s]) for r in (0, 1) for s in (0, 1))
    assert np.allclose(found.vcov, phi + 2.0 * phi @ bias @ phi, rtol=1e-8)
    for row, coefficient in zip(np.eye(3), found.fixed, strict=True):
        g = np.array([row @ phi @ each @ phi @ row for each in P])
        assert coefficient.df == pytest.approx(2.0 * (row @ phi @ row) ** 2 / (g @ W @ g), rel=1e-8)


def test_f_does_not_depend_on_how_the_hypothesis_is_written(table):
    found = fit(table, FORMULAS[0])
    rows = np.eye(4)[1:]
    turned = np.random.default_rng(0).normal(size=(3, 3)) @ rows
    one, other = found.inference.f_test(rows), found.inference.f_test(turned)
    assert other.f == pytest.approx(one.f, rel=1e-9)
    assert other.den_df == pytest.approx(one.den_df, rel=1e-9)
    assert other.scaling == pytest.approx(one.scaling, rel=1e-9)


def test_balanced_designs_have_the_exact_f(table):
    # Split plot, 5 animals per arm, 3 epochs: exact F tests on 8 and 16 degrees of freedom, no scale.
    rng = np.random.default_rng(3)
    plot = pd.DataFrame({"animal": np.repeat(np.arange(10), 6), "epoch": np.tile(list("abc"), 20)})
    plot["arm"] = np.where(plot["animal"] < 5, "x", "z")
    plot["y"] = 2.0 * rng.normal(size=10)[plot["animal"]] + rng.normal(size=60)
    found = fit(plot, "y ~ arm * epoch + (1 | animal)")
    arm = found.inference.f_test(np.array([[0, 1, 0, 0, 1 / 3, 1 / 3]]))
    epoch = found.inference.f_test(np.array([[0, 0, 1, 0, 0.5, 0], [0, 0, 0, 1, 0, 0.5]]))
    assert arm.den_df == pytest.approx(8.0, rel=1e-7)
    assert epoch.den_df == pytest.approx(46.0, rel=1e-7)
    assert epoch.scaling == pytest.approx(1.0, rel=1e-9)
    means = plot.groupby("animal")["y"].mean().to_numpy()
    within = (means[:5].var(ddof=1) + means[5:].var(ddof=1)) / 2.0
    assert arm.f == pytest.approx((means[:5].mean() - means[5:].mean()) ** 2 / (within * 0.4), rel=1e-6)


def test_a_variance_at_zero_stays_a_parameter():
    # One-way layout with no variance between groups: the mean still has groups - 1 degrees of freedom.
    rng = np.random.default_rng(11)
    flat = pd.DataFrame({"g": np.repeat(np.arange(6), 5), "y": rng.normal(size=30)})
    flat["y"] -= flat.groupby("g")["y"].transform("mean")
    found = fit(flat, "y ~ 1 + (1 | g)")
    assert found.info["singular"]
    assert found.inference.t_test(np.ones(1)).df == pytest.approx(5.0, rel=1e-9)
    assert fit(flat, "y ~ 1 + (1 | g)", ddf="satterthwaite").fixed[0].df == pytest.approx(29.0, rel=1e-9)


def parts_of(derivative: np.ndarray, covariance: np.ndarray) -> KenwardRoger:
    return KenwardRoger(np.eye(2), np.eye(2), derivative, covariance)


def test_without_dependence_on_the_variances_degrees_of_freedom_are_infinite():
    parts = parts_of(np.zeros((2, 2, 2)), np.eye(2))
    assert t_df(parts, np.array([1.0, 0.0])) == np.inf
    found = f_test(parts, np.array([1.0, 2.0]), np.eye(2))
    assert (found.den_df, found.scaling, found.f) == (np.inf, 1.0, pytest.approx(2.5))
    assert found.p == pytest.approx(np.exp(-2.5), rel=1e-12)


def test_variances_too_uncertain_for_the_approximation_give_no_answer_and_say_so():
    derivative = np.array([[[1.0, 0.0], [0.0, -1.0]], [[1.0, 0.0], [0.0, 1.0]]])
    found = f_test(parts_of(derivative, 5.0 * np.eye(2)), np.ones(2), np.eye(2))
    assert np.isnan(found.f)
    assert np.isnan(found.p)
    assert "too uncertain" in found.reason


def test_a_scale_that_leaves_no_power_is_told():
    # A2 / 2 = 0.95: the mean of F exists but is twenty times that of F without uncertainty.
    derivative = np.array([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    parts = parts_of(derivative, 0.95 * np.eye(2))
    found = f_test(parts, np.ones(2), np.eye(2))
    assert 0.0 < found.scaling < 0.5
    assert found.p > 0.0
    assert "hardly ever rejects" in found.reason


def test_an_adjusted_covariance_that_is_none_gives_no_answer():
    parts = replace(parts_of(np.zeros((1, 2, 2)), np.eye(1)), adjusted=np.diag([1.0, -1.0]))
    assert "not positive definite" in f_test(parts, np.ones(2), np.eye(2)).reason


def test_parameters_that_cannot_be_told_apart_do_no_harm():
    # Two parameters with the same derivative: only their sum has information.
    root, first = np.eye(2) * 10.0, -np.ones((2, 2, 2)) * np.eye(2)
    second = np.ones((2, 2, 2, 2)) * np.eye(2) * 0.5
    at = Curvature(root, first, second, 0.0, np.full(2, 3.0), -np.full((2, 2), 2.0))
    from nwbswitch.analysis.mixed.deviance import Scaling

    scaling = Scaling(np.eye(1), np.zeros(1), 1.0, ())
    twice = kenward_roger(at, n_rows=30, scaling=scaling)
    single = Curvature(root, first[:1], second[:1, :1], 0.0, np.full(1, 3.0), -np.full((1, 1), 2.0))
    once = kenward_roger(single, n_rows=30, scaling=scaling)
    assert np.allclose(twice.adjusted, once.adjusted, rtol=1e-9)
    assert t_df(twice, np.ones(1)) == pytest.approx(t_df(once, np.ones(1)), rel=1e-9)
