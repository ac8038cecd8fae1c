"""Cluster-robust covariance against clubSandwich and against dense algebra on the rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dense_deviance import DenseDeviance, dense_model

from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.optimum import Optimum, optimise, psi_of
from nwbswitch.analysis.resampling.cluster_robust import ClusterRobust, cluster_robust
from nwbswitch.schemas.errors import FitError

ANSWERS = json.loads(
    (Path(__file__).resolve().parents[1] / "reference" / "robust_and_profile.json").read_text()
)["robust"]
NAMES = tuple(ANSWERS)


def at_theta(deviance: DenseDeviance, theta: list[float]) -> Optimum:
    """An optimum at lme4's theta, so that its optimiser's error does not count."""
    found = optimise_once(deviance)
    moved = np.empty(len(theta))
    position = 0
    for level, sizes in enumerate(deviance.block_sizes):
        first = 0
        for size in sizes:
            for column in range(size):
                for row in range(column, size):
                    moved[position] = theta[position] * deviance.scaling.effect_scales[level][first + row]
                    position += 1
            first += size
    return replace(found, theta=moved, evaluation=deviance.evaluate(psi_of(deviance, moved), method="reml"))


def optimise_once(deviance: DenseDeviance) -> Optimum:
    size = sum(k * (k + 1) // 2 for sizes in deviance.block_sizes for k in sizes)
    theta = np.zeros(size)
    at = deviance.evaluate(psi_of(deviance, theta), method="reml")
    return Optimum(theta, at, "reml", theta == 0.0, 0, 0, (), 0.0, True)


def fitted(name: str) -> tuple[Model, DenseDeviance, Optimum]:
    answer = ANSWERS[name]
    model, deviance = dense_model(pd.DataFrame(answer["data"]), answer["formula"])
    return model, deviance, at_theta(deviance, np.atleast_1d(answer["theta"]).tolist())


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR1S"])
@pytest.mark.parametrize("name", NAMES)
def test_covariance_and_tests_are_those_of_clubsandwich(name, kind):
    model, deviance, optimum = fitted(name)
    found, answer = cluster_robust(model, deviance, optimum, kind=kind), ANSWERS[name][kind]
    assert found.estimates == pytest.approx(list(ANSWERS[name]["beta"].values()), rel=1e-8)
    assert found.vcov == pytest.approx(np.atleast_2d(answer["vcov"]), rel=1e-8)
    assert found.ddf == pytest.approx(np.atleast_1d(answer["df"]), rel=1e-8)
    table = found.table()
    assert table["p"].to_numpy() == pytest.approx(np.atleast_1d(answer["p"]), rel=1e-6)
    if len(model.names) > 1:
        test = found.f_test(np.eye(len(model.names))[1:])
        assert test.f == pytest.approx(answer["f"], rel=1e-7)
        assert test.num_df == answer["num_df"]
        assert test.den_df == pytest.approx(answer["den_df"], rel=1e-7)
        assert test.p == pytest.approx(answer["f_p"], rel=1e-6)


def symmetric_power(matrix: np.ndarray, power: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.where(values > 1e-10, np.maximum(values, 1e-300) ** power, 0.0)) @ vectors.T


def dense_adjustments(deviance: DenseDeviance, optimum: Optimum, *, choice: str) -> dict[str, np.ndarray]:
    """CR2 and its exact expectation under the model, both / sigma^2 scale, from n by n matrices."""
    V, Q, codes = deviance.V(psi_of(deviance, optimum.theta)), deviance.Q, deviance.codes[-1]
    inverse = np.linalg.inv(V)
    M = np.linalg.inv(Q.T @ inverse @ Q)
    e = deviance.y - Q @ (M @ Q.T @ inverse @ deviance.y)
    meat, expected = np.zeros_like(M), np.zeros_like(M)
    for g in range(codes.max() + 1):
        own = np.flatnonzero(codes == g)
        Vg, Xg = V[np.ix_(own, own)], Q[own]
        P = Vg - Xg @ M @ Xg.T
        if choice == "whitened":
            half = symmetric_power(Vg, 0.5)
            back = np.linalg.inv(half)
            A = half @ symmetric_power(back @ P @ back, -0.5) @ back
        else:
            D = np.linalg.cholesky(Vg).T
            A = D.T @ symmetric_power(D @ P @ D.T, -0.5) @ D
        assert pytest.approx(Vg, abs=1e-8) == A @ P @ A.T
        score = Xg.T @ np.linalg.solve(Vg, A @ e[own])
        meat += np.outer(score, score)
        weights = Xg.T @ np.linalg.solve(Vg, A)
        expected += weights @ P @ weights.T
    back = deviance.scaling.scale * np.linalg.inv(deviance.scaling.fixed)
    return {"vcov": back @ M @ meat @ M @ back.T, "expected": M @ expected @ M, "model": M}


@pytest.mark.parametrize("name", NAMES)
def test_cr2_is_the_whitened_adjustment_and_unbiased_under_the_model(name):
    model, deviance, optimum = fitted(name)
    found = cluster_robust(model, deviance, optimum)
    brute = dense_adjustments(deviance, optimum, choice="whitened")
    assert found.vcov == pytest.approx(brute["vcov"], rel=1e-8, abs=1e-10)
    assert brute["expected"] == pytest.approx(brute["model"], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_clubsandwich_takes_the_symmetric_adjustment_which_is_unbiased_too(name):
    model, deviance, optimum = fitted(name)
    brute = dense_adjustments(deviance, optimum, choice="symmetric")
    assert brute["vcov"] == pytest.approx(np.atleast_2d(ANSWERS[name]["CR2"]["vcov"]), rel=1e-7)
    assert brute["expected"] == pytest.approx(brute["model"], rel=1e-9, abs=1e-12)
    found = cluster_robust(model, deviance, optimum)
    ours, theirs = np.sqrt(np.diagonal(found.vcov)), np.sqrt(np.diagonal(brute["vcov"]))
    # How much the choice matters on these sets: nothing where X is spanned by eigenvectors of V.
    same = name in ("sleepstudy", "Pastes")
    assert ours == pytest.approx(theirs, rel=1e-7 if same else 0.006)
    assert found.ddf == pytest.approx(np.atleast_1d(ANSWERS[name]["CR2"]["df"]), rel=1e-6 if same else 2e-4)


def test_degrees_of_freedom_match_moments_by_simulation():
    model, deviance, optimum = fitted("sleep_unbalanced")
    found = cluster_robust(model, deviance, optimum)
    V, Q, codes = deviance.V(psi_of(deviance, optimum.theta)), deviance.Q, deviance.codes[-1]
    inverse = np.linalg.inv(V)
    M = np.linalg.inv(Q.T @ inverse @ Q)
    y = np.linalg.cholesky(V) @ np.random.default_rng(5).standard_normal((len(V), 20_000))
    e = y - Q @ (M @ (Q.T @ (inverse @ y)))
    meat = np.zeros((2, 20_000))
    for g in range(codes.max() + 1):
        own = np.flatnonzero(codes == g)
        Vg, Xg = V[np.ix_(own, own)], Q[own]
        half = symmetric_power(Vg, 0.5)
        back = np.linalg.inv(half)
        A = half @ symmetric_power(back @ (Vg - Xg @ M @ Xg.T) @ back, -0.5) @ back
        meat += (np.linalg.inv(deviance.scaling.fixed) @ M @ Xg.T @ np.linalg.solve(Vg, A @ e[own])) ** 2
    mean, spread = meat.mean(axis=1), meat.var(axis=1)
    # At 20,000 draws the variance of a variance is known to about 2 %.
    assert 2.0 * mean**2 / spread == pytest.approx(found.ddf, rel=0.06)


def two_arms(n_control: int, n_drug: int) -> tuple[Model, DenseDeviance, Optimum]:
    rng = np.random.default_rng(2)
    animals = n_control + n_drug
    rows = pd.DataFrame(
        {
            "animal": np.repeat([f"a{i:02}" for i in range(animals)], 6),
            "drug": np.repeat(["none"] * n_control + ["yes"] * n_drug, 6),
            "y": rng.normal(size=6 * animals) + np.repeat(rng.normal(size=animals), 6),
        }
    )
    model, deviance = dense_model(rows, "y ~ drug + (1 | animal)")
    return model, deviance, optimise(deviance, method="reml")


def test_two_balanced_arms_are_a_t_test_on_animal_means():
    model, deviance, optimum = two_arms(5, 5)
    test = cluster_robust(model, deviance, optimum).t_test(np.array([0.0, 1.0]))
    means = deviance.scaling.scale * np.array(
        [deviance.y[deviance.codes[0] == g].mean() for g in range(10)]
    ) + np.repeat([0.0, 0.0], 5)
    spread = means[:5].var(ddof=1) / 5 + means[5:].var(ddof=1) / 5
    assert test.se == pytest.approx(np.sqrt(spread), rel=1e-9)
    assert test.df == pytest.approx(8.0, rel=1e-9)


def test_what_rests_on_one_animal_is_undetermined():
    model, deviance, optimum = two_arms(6, 1)
    found = cluster_robust(model, deviance, optimum)
    drug = found.t_test(np.array([0.0, 1.0]))
    assert np.isfinite(drug.estimate)
    assert np.isnan(drug.se)
    assert np.isnan(drug.p)
    assert np.isfinite(found.t_test(np.array([1.0, 0.0])).p)
    assert np.isnan(found.f_test(np.eye(2)).f)
    assert found.undetermined() == ("drugyes: without animal a06 it could not be estimated.",)
    assert "a06" in found.summary()
    assert found.as_dict()["fixed"][1]["se"] is None


def test_wrong_arguments_are_named():
    model, deviance, optimum = two_arms(3, 3)
    with pytest.raises(ValueError, match="CR0, CR1, CR1S, CR2"):
        cluster_robust(model, deviance, optimum, kind="CR3")
    with pytest.raises(FitError, match="at least two animal"):
        cluster_robust(model, OneCluster(**vars(deviance)), optimum)


class OneCluster(DenseDeviance):
    def cluster_sums(self, psi):
        found = super().cluster_sums(psi)
        return replace(found, sums=found.sums[:1], labels=found.labels[:1])


def test_many_clusters_cost_little():
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(20_000, 3, 5))
    parts = parts.transpose(0, 2, 1) @ parts
    lower = np.linalg.inv(np.linalg.cholesky(parts.sum(axis=0)))
    parts = lower @ parts @ lower.T
    made = ClusterRobust(
        tuple("abcde"),
        "CR0",
        "animal",
        tuple(map(str, range(20_000))),
        np.ones(5),
        np.eye(5),
        np.ones(5),
        np.eye(5),
        parts,
        np.broadcast_to(np.eye(5), parts.shape),
        np.zeros_like(parts),
    )
    test = made.f_test(np.eye(5)[:2])
    assert 1_000 < test.den_df < 20_000
