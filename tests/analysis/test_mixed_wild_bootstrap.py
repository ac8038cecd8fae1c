"""Wild cluster bootstrap against dense algebra on the rows, and its error rate."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from dense_deviance import DenseDeviance, dense_model

from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.optimum import Optimum, optimise, psi_of
from nwbswitch.analysis.resampling.cluster_robust import cluster_robust
from nwbswitch.analysis.resampling.wild_bootstrap import WEBB, wild_test
from nwbswitch.schemas.errors import FitError


def two_arms(per_arm: int, *, seed: int = 2) -> tuple[Model, DenseDeviance, Optimum]:
    rng = np.random.default_rng(seed)
    animals = 2 * per_arm
    sizes = rng.integers(4, 9, animals)
    rows = pd.DataFrame({"animal": np.repeat([f"a{i:02}" for i in range(animals)], sizes)})
    rows["drug"] = np.repeat(["none"] * per_arm + ["yes"] * per_arm, sizes)
    rows["x"] = rng.normal(size=len(rows))
    rows["y"] = rng.normal(size=len(rows)) + np.repeat(rng.normal(size=animals), sizes)
    model, deviance = dense_model(rows, "y ~ drug + x + (1 | animal)")
    return model, deviance, optimise(deviance, method="reml")


def test_all_signs_are_those_of_weighted_rows():
    model, deviance, optimum = two_arms(3)
    contrast = np.array([0.0, 1.0, 0.0])
    found = wild_test(model, deviance, optimum, contrast, weights="rademacher")
    assert found.enumerated
    assert found.n_draws == 64
    scaling, codes = deviance.scaling, deviance.codes[0]
    V, X = deviance.V(psi_of(deviance, optimum.theta)), deviance.Q @ scaling.fixed
    y = deviance.y * scaling.scale + X @ scaling.offset
    inverse = np.linalg.inv(V)

    def statistic(response: np.ndarray) -> float:
        M = np.linalg.inv(X.T @ inverse @ X)
        b = M @ X.T @ inverse @ response
        e = response - X @ b
        meat = np.zeros((3, 3))
        for g in range(6):
            score = X[codes == g].T @ inverse[np.ix_(codes == g, codes == g)] @ e[codes == g]
            meat += np.outer(score, score)
        return b[1] ** 2 / (6.0 / 5.0 * (M @ meat @ M)[1, 1])

    X0 = X[:, [0, 2]]
    b0 = np.linalg.solve(X0.T @ inverse @ X0, X0.T @ inverse @ y)
    e0 = y - X0 @ b0
    drawn = []
    for code in range(64):
        signs = np.array([1.0 if code >> g & 1 else -1.0 for g in range(6)])
        drawn.append(statistic(X0 @ b0 + signs[codes] * e0))
    assert found.statistic == pytest.approx(statistic(y))
    assert found.p == pytest.approx(np.mean(np.array(drawn) >= statistic(y) * (1 - 1e-9)))
    # The statistic is the square of the t of CR1.
    t = cluster_robust(model, deviance, optimum, kind="CR1").t_test(contrast).t
    assert found.statistic == pytest.approx(t**2)


def test_webb_weights_have_mean_zero_and_variance_one():
    assert np.mean(WEBB) == pytest.approx(0.0, abs=1e-15)
    assert np.mean(np.square(WEBB)) == pytest.approx(1.0)


def test_several_contrasts_and_values():
    model, deviance, optimum = two_arms(5)
    joint = wild_test(model, deviance, optimum, np.eye(3)[1:], n=999, seed=1)
    assert joint.num_df == 2
    assert joint.p == wild_test(model, deviance, optimum, np.eye(3)[1:], n=999, seed=1).p
    estimate = cluster_robust(model, deviance, optimum).estimates
    same = wild_test(model, deviance, optimum, np.eye(3)[1], values=estimate[1:2], n=199)
    assert same.p == pytest.approx(1.0)
    assert same.statistic == pytest.approx(0.0, abs=1e-12)


def test_true_nulls_are_rejected_about_as_often_as_said():
    model, deviance, optimum = two_arms(6, seed=3)
    rng = np.random.default_rng(4)
    psi, contrast = psi_of(deviance, np.array([0.8])), np.array([0.0, 1.0, 0.0])
    # The engine's response has the offset taken out; with this all coefficients are zero.
    nothing = -deviance.scaling.fixed @ deviance.scaling.offset / deviance.scaling.scale
    p = [
        wild_test(model, deviance.simulated(psi, nothing, 1.0, rng), optimum, contrast, n=199, seed=i).p
        for i in range(300)
    ]
    # 300 nulls at .05: 15 expected, from 5 to 28 in 99.8 % of runs.
    assert 5 <= sum(each <= 0.05 for each in p) <= 28


def test_forms_of_the_result():
    model, deviance, optimum = two_arms(4)
    found = wild_test(model, deviance, optimum, np.array([0.0, 1.0, 0.0]), n=199)
    assert found.tested == ("+1 drugyes",)
    assert found.table().loc[0, "n_clusters"] == 8
    assert "over 8 animal (199 draws, webb weights" in found.summary()
    assert json.loads(json.dumps(found.as_dict()))["weights"] == "webb"


def test_wrong_arguments_are_named():
    model, deviance, optimum = two_arms(2)
    with pytest.raises(ValueError, match="webb, rademacher"):
        wild_test(model, deviance, optimum, np.eye(3)[1], weights="mammen")
    with pytest.raises(ValueError, match="at least 99"):
        wild_test(model, deviance, optimum, np.eye(3)[1], n=9)
    with pytest.raises(FitError, match="too few"):
        wild_test(model, deviance, optimum, np.eye(3))
