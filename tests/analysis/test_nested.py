"""The summaries, the criterion, its gradient and its minimum, against the likelihood written out in full."""

import numpy as np
import pandas as pd
import pytest
import row_tree
from row_tree import deviance_function

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.model_frame import ModelFrame, model_frame
from nwbswitch.analysis.mixed.optimum import optimise, psi_of, theta_layout
from nwbswitch.analysis.trees.tree import evaluate
from nwbswitch.schemas.errors import FitError

FORMULAS = [
    "y ~ x + (1|animal)",
    "y ~ x*arm + (1|animal/session/neuron)",
    "y ~ x + (x|animal) + (1|animal:session:neuron)",
    "y ~ arm + (x||animal) + (0+z|animal:session)",
    "y ~ 1 + (1 + z|animal:session:neuron) + (1|animal)",
]


def simulated(seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([range(5), range(2), range(3), range(5)])
    table = index.to_frame(index=False, name=["animal", "session", "neuron", "rep"])
    table = table[rng.uniform(size=len(table)) < 0.8].reset_index(drop=True)
    table["x"] = rng.integers(0, 2, len(table))
    table["z"] = rng.normal(3.0, 1.0, len(table))
    table["arm"] = np.where(table["animal"] % 2 == 0, "ketamine", "saline")
    table["y"] = (
        rng.normal(size=5)[table["animal"]]
        + rng.normal(size=10)[2 * table["animal"] + table["session"]]
        + 0.5 * table["x"]
        + rng.normal(size=len(table))
    )
    return table.sample(frac=1.0, random_state=seed).reset_index(drop=True)


def full_criterion(frame: ModelFrame, psi: list[np.ndarray], method: str) -> float:
    """-2 log-likelihood with sigma^2 profiled, from the covariance matrix of all rows."""
    V = np.eye(frame.n_rows)
    for level, own in zip(frame.levels, psi, strict=True):
        Z = np.concatenate([block.matrix for block in level.blocks], axis=1)
        V += (Z @ own @ Z.T) * (level.codes[:, None] == level.codes[None, :])
    X, y = frame.fixed.matrix, frame.response
    inverse = np.linalg.inv(V)
    information = X.T @ inverse @ X
    residual = y - X @ np.linalg.solve(information, X.T @ inverse @ y)
    nu = frame.n_rows - (X.shape[1] if method == "reml" else 0)
    value = np.linalg.slogdet(V)[1] + nu * (1 + np.log(2 * np.pi * (residual @ inverse @ residual) / nu))
    return value + (np.linalg.slogdet(information)[1] if method == "reml" else 0.0)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_criterion_equals_the_full_likelihood(formula, method):
    frame = model_frame(simulated(), read_formula(formula))
    tree = deviance_function(frame)
    rng = np.random.default_rng(0)
    scaled, unscaled = [], []
    for sizes, scale in zip(tree.block_sizes, tree.columns.effect_scales, strict=True):
        root = rng.normal(size=(sum(sizes), sum(sizes)))
        scaled.append(root @ root.T)
        unscaled.append(root @ root.T / np.outer(scale, scale))
    ours = evaluate(tree, scaled, method=method).criterion
    assert ours == pytest.approx(full_criterion(frame, unscaled, method), rel=1e-12)


@pytest.mark.parametrize("precision", [None, 0.7])
@pytest.mark.parametrize("formula", FORMULAS)
def test_gradient_equals_differences(formula, precision):
    tree = deviance_function(model_frame(simulated(), read_formula(formula)))
    psi = [0.5 * np.eye(sum(sizes)) for sizes in tree.block_sizes]
    found = evaluate(tree, psi, method="reml", precision=precision).gradient
    step = 1e-5
    for level, own in enumerate(psi):
        for i in range(len(own)):
            for j in range(i + 1):
                values = []
                for sign in (1.0, -1.0):
                    moved = [each.copy() for each in psi]
                    moved[level][i, j] += sign * step
                    moved[level][j, i] = moved[level][i, j]
                    values.append(evaluate(tree, moved, method="reml", precision=precision).criterion)
                expected = (values[0] - values[1]) / (2.0 * step)
                assert found[level][i, j] * (1 if i == j else 2) == pytest.approx(expected, abs=1e-5)


def test_few_kinds_of_groups_are_held_as_sums_and_many_one_by_one(monkeypatch):
    monkeypatch.setattr(row_tree, "HELD_ONE_BY_ONE", 0)
    table = simulated()
    shared = deviance_function(model_frame(table, read_formula("y ~ x + (1|animal:session:neuron)")))
    own = deviance_function(model_frame(table, read_formula("y ~ x + (1 + z|animal:session)")))
    assert shared.summary.slopes is None
    assert len(shared.summary.kinds) <= 5
    assert own.summary.products is None
    assert len(own.summary.slopes) == 10


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_no_point_nearby_is_better(formula, method):
    tree = deviance_function(model_frame(simulated(), read_formula(formula)))
    best = optimise(tree, method=method)
    assert best.converged
    rng = np.random.default_rng(5)
    for size in (1e-3, 1e-2, 0.1, 1.0):
        for _ in range(20):
            other = best.theta + size * rng.normal(size=best.theta.size)
            there = evaluate(tree, psi_of(tree, other), method=method).criterion
            assert there >= best.evaluation.criterion - 1e-9


def test_a_variance_of_zero_is_exactly_zero():
    table = simulated()
    # Sessions that differ less than their noise explains: REML puts their variance at zero.
    means = table.groupby(["animal", "session"])["y"].transform("mean")
    table["y"] = table["y"] - means + table["animal"]
    tree = deviance_function(model_frame(table, read_formula("y ~ 1 + (1|animal/session)")))
    best = optimise(tree, method="reml")
    assert best.converged
    assert best.zero.tolist() == [True, False]
    assert best.theta[0] == 0.0


def test_theta_lists_lower_triangles_of_blocks():
    tree = deviance_function(
        model_frame(simulated(), read_formula("y ~ x + (x|animal) + (0+z|animal) + (1|animal:session)"))
    )
    assert theta_layout(tree) == [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 2, 2)]


def test_a_response_that_the_fixed_effects_reproduce_is_refused():
    table = simulated()
    table["y"] = 1e6 + 2.0 * table["z"]
    with pytest.raises(FitError, match="reproduce the response exactly"):
        deviance_function(model_frame(table, read_formula("y ~ z + (1|animal)")))
