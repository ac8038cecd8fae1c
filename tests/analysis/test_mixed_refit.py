"""Quick fits against the full search: none may end higher, at the boundary or inside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from row_tree import deviance_function

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.model_frame import model_frame
from nwbswitch.analysis.mixed.optimum import optimise, psi_of
from nwbswitch.analysis.resampling.refit import refit
from nwbswitch.analysis.trees.tree import Tree

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
MODELS = json.loads((REFERENCE / "mixed_models.json").read_text())["models"]


def tree_of(name: str) -> Tree:
    data, formula = pd.DataFrame(MODELS[name]["data"]), MODELS[name]["reml"]["formula"]
    return deviance_function(model_frame(data, read_formula(formula)))


@pytest.mark.parametrize("name", ["sleepstudy", "Pastes", "sim_between", "sim_crossover"])
def test_no_full_search_ends_lower(name):
    tree = tree_of(name)
    best = optimise(tree, method="reml")
    at = best.evaluation
    sigma = float(np.sqrt(at.residual / (tree.n_rows - tree.n_fixed)))
    rng = np.random.default_rng(1)
    n_singular = 0
    for _ in range(8):
        drawn = tree.simulated(psi_of(tree, best.theta), at.coefficients, sigma, rng)
        quick = refit(drawn, method="reml", start=best.theta)
        full = optimise(drawn, method="reml").evaluation.criterion
        assert quick.evaluation.criterion <= full + 1e-5
        assert quick.converged
        n_singular += quick.singular
    # In the simulated sets an animal's slope and intercept are often perfectly correlated.
    assert (n_singular > 0) == name.startswith("sim") or name == "Pastes"


def test_a_correlation_that_changes_its_sign_is_found_from_the_wrong_one():
    tree = tree_of("sleepstudy")
    best = optimise(tree, method="ml")
    wrong = best.theta * np.array([0.0, -1.0, 0.0])
    found = refit(tree, method="ml", start=wrong)
    assert found.evaluation.criterion == pytest.approx(best.evaluation.criterion, abs=1e-7)
    assert found.theta == pytest.approx(best.theta, abs=1e-4)


def test_the_boundary_is_left_if_the_criterion_falls_inwards_and_kept_if_not():
    tree = tree_of("Pastes")
    best = optimise(tree, method="reml")
    found = refit(tree, method="reml", start=np.zeros(2))
    assert found.theta == pytest.approx(best.theta, abs=1e-4)
    assert not found.singular
    flat = tree.simulated([np.zeros((1, 1))] * 2, np.zeros(1), 1.0, np.random.default_rng(1))
    at_zero = refit(flat, method="reml", start=best.theta)
    assert at_zero.singular
    assert at_zero.converged
    assert 0.0 in at_zero.theta
