"""Parametric bootstrap: intervals, tests, reproducibility, and what is counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dense_deviance import DenseDeviance, dense, model_of
from row_tree import deviance_function

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.inference.inference import inference
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.model_frame import ModelFrame, model_frame
from nwbswitch.analysis.mixed.optimum import Optimum, optimise
from nwbswitch.analysis.resampling.bootstrap import Bootstrap, bootstrap
from nwbswitch.analysis.resampling.bootstrap_test import BootstrapTest, bootstrap_test
from nwbswitch.analysis.trees.tree import Tree
from nwbswitch.schemas.errors import FitError

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
MODELS = json.loads((REFERENCE / "mixed_models.json").read_text())["models"]
PBKRTEST = json.loads((REFERENCE / "robust_and_profile.json").read_text())["bootstrap"]


def frame_of(name: str) -> ModelFrame:
    return model_frame(pd.DataFrame(MODELS[name]["data"]), read_formula(MODELS[name]["reml"]["formula"]))


def fitted(name: str) -> tuple[Model, Tree, Optimum]:
    frame = frame_of(name)
    tree = deviance_function(frame)
    return model_of(frame), tree, optimise(tree, method="reml")


@pytest.fixture(scope="module")
def sleep() -> Bootstrap:
    return bootstrap(*fitted("sleepstudy"), n=600, seed=1, quiet=True)


def test_draws_do_not_depend_on_workers_and_longer_runs_begin_alike():
    model, tree, optimum = fitted("Pastes")
    alone = bootstrap(model, tree, optimum, n=101, seed=3, quiet=True)
    shared = bootstrap(model, tree, optimum, n=101, seed=3, workers=2, quiet=True)
    assert np.array_equal(alone.coefficients, shared.coefficients)
    assert np.array_equal(alone.spreads, shared.spreads)
    shorter = bootstrap(model, tree, optimum, n=60, seed=3, quiet=True)
    assert np.array_equal(shorter.coefficients, alone.coefficients[:60])
    other = bootstrap(model, tree, optimum, n=60, seed=4, quiet=True)
    assert not np.array_equal(shorter.coefficients, other.coefficients)


def test_draws_spread_as_the_model_says(sleep):
    table = sleep.table().set_index("term")
    for i, name in enumerate(sleep.names):
        # 600 draws know a standard deviation to 3 %.
        assert table.loc[name, "se"] == pytest.approx(np.sqrt(sleep.vcov[i, i]), rel=0.1)
        assert abs(table.loc[name, "bias"]) < 4.0 * table.loc[name, "se"] / np.sqrt(600.0)
    # In this balanced set the statistic of Days has 17 degrees of freedom; its upper 2.5 % is 2.11.
    assert np.quantile(np.abs(sleep.t_statistics(np.array([0.0, 1.0]))), 0.95) == pytest.approx(2.11, abs=0.2)
    assert sleep.counts()["n"] == 600
    assert 0 < sleep.counts()["singular"] < 60


def test_intervals_are_their_formulas(sleep):
    contrast = np.array([1.0, 2.0])
    draws = np.sort(sleep.coefficients @ contrast)
    estimate = float(contrast @ sleep.estimates)
    # (n + 1) 0.025 = 15.025 and (n + 1) 0.975 = 585.975, counted from 1.
    low = draws[14] + 0.025 * (draws[15] - draws[14])
    high = draws[584] + 0.975 * (draws[585] - draws[584])
    assert sleep.interval(contrast, kind="percentile") == pytest.approx((low, high))
    assert sleep.interval(contrast, kind="basic") == pytest.approx((2 * estimate - high, 2 * estimate - low))
    se = np.sqrt(contrast @ sleep.vcov @ contrast)
    own = np.sqrt(np.einsum("i,nij,j->n", contrast, sleep.vcovs, contrast))
    t = np.quantile((sleep.coefficients @ contrast - estimate) / own, [0.975, 0.025], method="weibull")
    assert sleep.interval(contrast) == pytest.approx(tuple(estimate - t * se))
    with pytest.raises(ValueError, match="percentile, basic, studentized"):
        sleep.interval(contrast, kind="bca")


def test_an_interval_that_the_draws_cannot_hold_is_not_a_number(sleep):
    assert np.isnan(sleep.interval(np.array([0.0, 1.0]), level=0.999)).all()


def test_forms_of_the_result(sleep):
    table = sleep.table(kind="basic")
    assert list(table["term"])[-1] == "sigma"
    assert set(table["interval"]) == {"basic", "percentile"}
    assert sleep.summary().startswith("Parametric bootstrap, 600 draws (reml, seed 1)")
    assert json.loads(json.dumps(sleep.as_dict()))["intervals"]["basic"][1]["term"] == "Days"


class SometimesFailing(DenseDeviance):
    """Every third draw is refused."""

    def simulated(self, psi, coefficients, sigma, rng):
        if rng.integers(3) == 0:
            raise FitError("no such response.")
        return super().simulated(psi, coefficients, sigma, rng)


class AlwaysFailing(DenseDeviance):
    def simulated(self, psi, coefficients, sigma, rng):
        raise FitError("no such response.")


def test_failed_draws_are_counted():
    frame = frame_of("Pastes")
    model, deviance = dense(frame)
    optimum = optimise(deviance_function(frame), method="reml")
    found = bootstrap(model, SometimesFailing(**vars(deviance)), optimum, n=30, seed=0, quiet=True)
    assert 3 < found.counts()["failed"] < 18
    assert found.reasons == ("no such response.",)
    assert "failed" in found.summary()
    assert np.isfinite(found.table()["se"]).all()
    test = bootstrap_test(
        model,
        SometimesFailing(**vars(deviance)),
        optimum,
        np.ones(1),
        values=np.array([60.0]),
        n=30,
        seed=0,
        quiet=True,
    )
    assert test.p >= (1 + test.n_failed) / 31
    with pytest.raises(FitError, match="None of 4 draws could be fitted.*no such response"):
        bootstrap(model, AlwaysFailing(**vars(deviance)), optimum, n=4, seed=0, quiet=True)


def test_reference_distributions_are_those_of_pbkrtest():
    draws = np.array(PBKRTEST["draws"])
    found = BootstrapTest(PBKRTEST["lr"], int(PBKRTEST["df"]), 0, draws, 0, 0, ())
    expected = dict(zip(PBKRTEST["tests"]["name"], PBKRTEST["tests"]["p.value"], strict=True))
    for own, name in zip(found.tests(), ["LRT", "PBtest", "Gamma", "Bartlett", "F"], strict=True):
        assert own.p == pytest.approx(expected[name], rel=1e-6), name
    assert found.tests()[4].den_df == pytest.approx(PBKRTEST["tests"]["ddf"][4], rel=1e-9)


def test_the_ratio_is_lme4s_and_the_draws_follow_its_distribution():
    model, tree, optimum = fitted("sleepstudy")
    found = bootstrap_test(model, tree, optimum, np.array([0.0, 1.0]), n=300, seed=5, quiet=True)
    assert found.ratio == pytest.approx(PBKRTEST["lr"], abs=1e-5)
    assert found.p == pytest.approx(1.0 / 301.0)
    # Two samples of one distribution: Kolmogorov-Smirnov at 1 %.
    from scipy.stats import ks_2samp

    assert ks_2samp(found.draws, PBKRTEST["draws"]).pvalue > 0.01
    assert json.loads(json.dumps(found.as_dict()))["tests"][1]["test"] == "bootstrap"
    assert "likelihood ratio test, 300 draws" in found.summary()


def test_a_test_near_one_half_agrees_with_kenward_roger():
    model, tree, optimum = fitted("sim_between")
    contrast = np.array([0.0, 0.0, 0.0, 1.0])
    found = bootstrap_test(model, tree, optimum, contrast, n=100, seed=2, quiet=True)
    expected = inference(tree, optimum, ddf="kenward-roger").t_test(contrast).p
    # 100 draws know a P of .35 to .05.
    assert found.p == pytest.approx(expected, abs=0.15)


def test_a_null_at_the_estimate_has_p_near_one():
    model, tree, optimum = fitted("Pastes")
    best = optimise(tree, method="ml")
    at = tree.scaling.offset + tree.scaling.scale * np.linalg.solve(
        tree.scaling.fixed, best.evaluation.coefficients
    )
    found = bootstrap_test(model, tree, optimum, np.ones(1), values=at, n=40, seed=2, quiet=True)
    assert found.ratio == pytest.approx(0.0, abs=1e-8)
    assert found.p > 0.9


def test_wrong_arguments_are_named():
    model, tree, optimum = fitted("Pastes")
    with pytest.raises(ValueError, match="at least 2 draws"):
        bootstrap(model, tree, optimum, n=1, seed=0)
    with pytest.raises(ValueError, match="must not be negative"):
        bootstrap(model, tree, optimum, n=5, seed=-1)
    with pytest.raises(ValueError, match="needs"):
        bootstrap_test(model, tree, optimum, np.ones(2), n=5, seed=1)


@pytest.mark.parametrize(("level", "fewest"), [(0.95, 39), (0.9, 19), (0.99, 199)])
def test_an_interval_of_too_few_draws_says_how_many_it_needs(sleep, level, fewest):
    def first(n: int) -> Bootstrap:
        return replace(
            sleep,
            coefficients=sleep.coefficients[:n],
            vcovs=sleep.vcovs[:n],
            spreads=sleep.spreads[:n],
            singular=sleep.singular[:n],
            converged=sleep.converged[:n],
        )

    enough, few = first(fewest), first(fewest - 1)
    assert enough.table(level=level)[["ci_low", "ci_high"]].notna().all(axis=None)
    assert enough.notes(level=level) == ()
    assert few.table(level=level)[["ci_low", "ci_high"]].isna().all(axis=None)
    assert f"at least {fewest} fitted draws, and there are {fewest - 1}" in few.notes(level=level)[0]
    assert "at least 39 fitted draws" in first(10).summary()
    assert repr(sleep) == "<Bootstrap of 2 coefficients: 600 draws, 0 failed, REML, seed 1>"


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_a_level_outside_0_to_1_is_refused(sleep, level):
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        sleep.table(level=level)
