"""Fixed effects held by a constraint, on two engines, against lme4's own smaller models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dense_deviance import dense, model_of
from row_tree import deviance_function

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.model_frame import ModelFrame, model_frame
from nwbswitch.analysis.mixed.optimum import optimise, psi_of
from nwbswitch.analysis.resampling.restricted import restricted

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
PUBLISHED = json.loads((REFERENCE / "mixed_models.json").read_text())["models"]
SLEEP = pd.DataFrame(PUBLISHED["sleepstudy"]["data"])


def sleep_frame(formula: str = "Reaction ~ Days + (Days | Subject)") -> ModelFrame:
    return model_frame(SLEEP, read_formula(formula))


def engines(frame: ModelFrame) -> list:
    return [deviance_function(frame), dense(frame)[1]]


def test_a_coefficient_held_at_zero_is_the_model_without_it():
    # lme4: deviance(lmer(Reaction ~ 1 + (Days | Subject), REML = FALSE)) is the fit without the term.
    smaller = optimise(deviance_function(sleep_frame("Reaction ~ 1 + (Days | Subject)")), method="ml")
    null = restricted(deviance_function(sleep_frame()), np.array([[0.0, 1.0]]), np.zeros(1))
    assert optimise(null, method="ml").evaluation.criterion == pytest.approx(
        smaller.evaluation.criterion, abs=1e-8
    )


def test_a_coefficient_held_at_its_estimate_costs_nothing():
    for deviance in engines(sleep_frame()):
        best = optimise(deviance, method="ml")
        scaling = deviance.scaling
        beta = scaling.offset + scaling.scale * np.linalg.solve(scaling.fixed, best.evaluation.coefficients)
        held = restricted(deviance, np.array([[1.0, 3.0]]), np.array([beta[0] + 3.0 * beta[1]]))
        found = held.evaluate(psi_of(deviance, best.theta), method="ml")
        assert found.criterion == pytest.approx(best.evaluation.criterion, abs=1e-9)
        assert held.origin + held.basis @ found.coefficients == pytest.approx(best.evaluation.coefficients)


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("precision", [None, 1.7])
def test_the_gradient_is_that_of_differences(method, precision):
    frame = sleep_frame("Reaction ~ Days + I(Days^2) + (Days | Subject)")
    psi = [np.array([[0.8, 0.2], [0.2, 0.6]])]
    for deviance in engines(frame):
        held = restricted(deviance, np.array([[0.0, 1.0, 2.0]]), np.array([12.0]))
        gradient = held.evaluate(psi, method=method, precision=precision).gradient[0]
        for row, column in ((0, 0), (1, 0), (1, 1)):
            moved = []
            for step in (1e-5, -1e-5):
                other = psi[0].copy()
                other[row, column] += step
                other[column, row] = other[row, column]
                moved.append(held.evaluate([other], method=method, precision=precision).criterion)
            slope = (moved[0] - moved[1]) / 2e-5
            expected = gradient[row, column] * (1.0 if row == column else 2.0)
            assert slope == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_all_coefficients_held_leave_none():
    for deviance in engines(sleep_frame()):
        held = restricted(deviance, np.eye(2), np.array([250.0, 10.0]))
        assert held.n_fixed == 0
        found = optimise(held, method="ml")
        free = optimise(deviance, method="ml")
        assert found.evaluation.criterion > free.evaluation.criterion


def test_the_engines_agree_and_keep_their_rows():
    tree, slow = (
        restricted(each, np.array([[0.0, 1.0]]), np.array([7.0])) for each in engines(sleep_frame())
    )
    psi = [np.array([[0.5, 0.1], [0.1, 0.4]])]
    one, other = (each.evaluate(psi, method="ml") for each in (tree, slow))
    assert one.criterion == pytest.approx(other.criterion, abs=1e-9)
    assert one.gradient[0] == pytest.approx(other.gradient[0], rel=1e-9)
    assert slow.cluster_sums(psi).sums.sum(axis=0) == pytest.approx(slow.curvature(psi).root, rel=1e-10)
    drawn = slow.simulated(psi, one.coefficients, 0.7, np.random.default_rng(1))
    assert drawn.n_fixed == 1
    assert drawn.without_cluster(0).n_rows == 170
    assert model_of(sleep_frame()).names == ("(Intercept)", "Days")


@pytest.mark.parametrize(
    ("contrasts", "values", "message"),
    [
        ([[0.0, 1.0, 0.0]], [0.0], r"must be \(r, 2\)"),
        ([[0.0, 0.0]], [0.0], "zeros"),
        ([[0.0, 1.0], [0.0, 2.0]], [0.0, 0.0], "combinations"),
    ],
)
def test_what_constrains_nothing_is_refused(contrasts, values, message):
    with pytest.raises(ValueError, match=message):
        restricted(deviance_function(sleep_frame()), np.array(contrasts), np.array(values))
