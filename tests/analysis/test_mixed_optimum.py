"""The search: no engine finds a better optimum, warm starts, and what it reports.

`small_variances.json` (tests/reference): forty small data sets with variances near zero, fitted by lme4 with
three optimisers from three starts; at most 1e-8 above the lowest criterion is allowed.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dense_models import nested, nested_table

from nwbswitch.analysis.mixed.criterion_curvature import criterion_derivatives
from nwbswitch.analysis.mixed.optimum import optimise, psi_of, theta_layout
from nwbswitch.analysis.mixed.search import Search
from nwbswitch.analysis.mixed.trust_region import trust_step
from nwbswitch.analysis.trees.tree import Tree
from nwbswitch.schemas.errors import FitError

REFERENCE = Path(__file__).resolve().parents[1] / "reference" / "small_variances.json"
SETS = json.loads(REFERENCE.read_text())["sets"]


def tree_of(answer: dict[str, Any]) -> Tree:
    return nested(pd.DataFrame(answer["data"]), answer["formula"])[0]


@pytest.mark.parametrize("answer", SETS, ids=lambda each: str(each["seed"]))
def test_lme4_finds_no_better_optimum(answer):
    found = optimise(tree_of(answer), method="reml")
    assert found.converged
    assert found.evaluation.criterion <= answer["criterion"] + 1e-8
    assert found.evaluation.criterion == pytest.approx(answer["criterion"], abs=0.05)


def test_lme4_is_a_judge():
    """Its optimisers agree with each other in most sets, and its default misses the optimum in some."""
    best = np.array([each["criterion"] for each in SETS])
    worst = np.array([max(each["by_optimizer"].values()) for each in SETS])
    assert np.sum(worst - best < 1e-5) >= 38
    assert np.sum(np.array([each["default"] for each in SETS]) - best > 1e-6) > 0


@pytest.mark.parametrize("answer", SETS[:16], ids=lambda each: str(each["seed"]))
def test_random_starts_find_no_better_optimum(answer):
    tree = tree_of(answer)
    found = optimise(tree, method="ml")
    rng = np.random.default_rng(answer["seed"])
    for _ in range(4):
        search = Search(tree, "ml")
        start = rng.normal(size=len(search.layout)) * np.exp(rng.normal(-1.0, 1.0, len(search.layout)))
        assert found.evaluation.criterion <= search.settled(start).value + 1e-8


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_a_start_nearby_leads_to_the_same_end_in_fewer_steps(method):
    tree, _ = nested(nested_table(animals=6), "y ~ x + (x|animal) + (1|animal:session)")
    usual = optimise(tree, method=method)
    again = optimise(tree, method=method, start=usual.theta)
    assert again.evaluation.criterion == pytest.approx(usual.evaluation.criterion, abs=1e-10)
    assert again.theta == pytest.approx(usual.theta, abs=1e-7)
    assert again.evaluations < 0.7 * usual.evaluations
    assert len(again.start_criteria) == 1


def test_a_start_on_the_boundary_is_left_again():
    table = nested_table(animals=6)
    tree, _ = nested(table, "y ~ x + (1|animal/session)")
    usual = optimise(tree, method="reml")
    assert usual.theta.min() > 0.1
    again = optimise(tree, method="reml", start=np.zeros(2))
    assert again.theta == pytest.approx(usual.theta, abs=1e-7)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_variances_far_from_one_are_found(scale):
    table = nested_table(animals=6)
    between = np.random.default_rng(1).normal(size=6)
    table["y"] = table["y"] * min(1.0, 1.0 / scale) + scale * between[table["animal"]]
    tree, _ = nested(table, "y ~ x + (1|animal)")
    found = optimise(tree, method="reml")
    assert found.converged
    grid = found.theta * np.exp(np.linspace(-3.0, 3.0, 61))[:, None]
    there = [tree.evaluate(psi_of(tree, each), method="reml").criterion for each in grid]
    assert min(there) >= found.evaluation.criterion - 1e-9


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_derivatives_equal_differences(method):
    tree, dense = nested(nested_table(), "y ~ x + (x|animal) + (1|animal:session)")
    psi = dense.random_psi(4)
    layout = theta_layout(tree)

    def slope(entries: np.ndarray) -> np.ndarray:
        moved = [each.copy() for each in psi]
        for value, (level, row, column) in zip(entries, layout, strict=True):
            moved[level][row, column] += value
            if row != column:
                moved[level][column, row] += value
        gradient = tree.evaluate(moved, method=method).gradient
        return np.array([gradient[lv][i, j] * (1 if i == j else 2) for lv, i, j in layout])

    at = tree.evaluate(psi, method=method)
    found = tree.curvature(psi)
    gradient, hessian, mean = criterion_derivatives(
        found, at.coefficients, at.residual, n_rows=tree.n_rows, method=method
    )
    assert gradient == pytest.approx(slope(np.zeros(len(layout))), rel=1e-9, abs=1e-9)
    for i, step in enumerate(1e-5 * np.eye(len(layout))):
        assert hessian[i] == pytest.approx((slope(step) - slope(-step)) / 2e-5, abs=1e-5)
    assert np.linalg.eigvalsh(mean)[0] > 0.0


def test_mean_hessian_is_the_mean_over_responses():
    """Over 400 responses drawn at Psi the mean Hessian has 5 standard errors to agree within."""
    tree, dense = nested(nested_table(), "y ~ x + (1|animal/session)")
    psi, rng = dense.random_psi(4), np.random.default_rng(5)
    hessians, means = [], []
    for _ in range(400):
        drawn = tree.simulated(psi, np.zeros(2), 1.0, rng)
        at = drawn.evaluate(psi, method="reml")
        _, hessian, mean = criterion_derivatives(
            drawn.curvature(psi), at.coefficients, at.residual, n_rows=tree.n_rows, method="reml"
        )
        hessians.append(hessian)
        means.append(mean)
    assert np.ptp(np.array(means), axis=0).max() < 1e-8
    error = np.std(hessians, axis=0) / np.sqrt(400)
    assert np.all(np.abs(np.mean(hessians, axis=0) - means[0]) < 5.0 * error + 1e-9)


@pytest.mark.parametrize(
    ("gradient", "hessian"),
    [
        ([1.0, -2.0], [[2.0, 0.5], [0.5, 1.0]]),
        ([1.0, -2.0], [[-2.0, 0.5], [0.5, 1.0]]),
        ([0.0, 1.0], [[-1.0, 0.0], [0.0, 2.0]]),
        ([0.0, 0.0], [[-1.0, 0.0], [0.0, 2.0]]),
        ([1.0, 0.0], [[0.0, 0.0], [0.0, 1.0]]),
    ],
    ids=["convex", "saddle", "hard case", "stationary saddle", "flat"],
)
@pytest.mark.parametrize("radius", [0.1, 0.6, 10.0])
def test_no_step_inside_the_radius_is_much_better(gradient, hessian, radius):
    g, H = np.array(gradient), np.array(hessian)
    step, promised = trust_step(g, H, radius)
    assert np.linalg.norm(step) <= radius * (1.0 + 1e-9)
    assert promised == pytest.approx(-(g @ step + 0.5 * step @ H @ step), abs=1e-12)
    angles, sizes = np.meshgrid(np.linspace(0.0, 2.0 * np.pi, 181), np.linspace(0.0, radius, 60))
    tried = np.stack([sizes * np.cos(angles), sizes * np.sin(angles)], axis=-1)
    values = tried @ g + 0.5 * np.einsum("abi,ij,abj->ab", tried, H, tried)
    assert promised >= 0.75 * -values.min() - 1e-9


def test_a_small_variance_before_a_large_one_does_not_stop_the_search():
    """Intercepts that hardly vary and slopes that do, perfectly correlated: a curved valley in Lambda."""
    rng = np.random.default_rng(11)
    table = nested_table(animals=8)
    slopes = rng.normal(size=8)[table["animal"]]
    table["y"] = rng.normal(size=len(table)) + (table["x"] + 0.002) * slopes
    tree, _ = nested(table, "y ~ x + (x|animal)")
    found = optimise(tree, method="reml")
    assert found.converged
    reached = []
    for seed in range(6):
        search = Search(tree, "reml")
        start = np.random.default_rng(seed).normal(size=3)
        end = search.descended(search.ordered(search.settled(start)), least=1e-10)
        reached.append(end.value)
    assert found.evaluation.criterion <= min(reached) + 1e-8


@pytest.mark.filterwarnings("error", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("bars", ["(1|animal)", "(x|animal)", "(1|animal/session)"])
@pytest.mark.parametrize("noise", [0.0, 1e-10])
def test_a_response_that_the_random_effects_reproduce_is_refused(bars, noise):
    table = nested_table(animals=6)
    rng = np.random.default_rng(0)
    table["y"] = rng.normal(size=6)[table["animal"]] + noise * rng.normal(size=len(table))
    tree, _ = nested(table, f"y ~ x + {bars}")
    with pytest.raises(FitError, match="reproduce the response up to rounding"):
        optimise(tree, method="reml")
