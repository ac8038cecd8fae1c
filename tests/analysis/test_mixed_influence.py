"""Each cluster left out: against fits of the remaining rows from scratch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dense_deviance import dense, model_of
from row_tree import deviance_function

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.model_frame import model_frame
from nwbswitch.analysis.mixed.optimum import optimise, psi_of
from nwbswitch.analysis.resampling.influence import Influence, leave_one_cluster_out

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
PUBLISHED = json.loads((REFERENCE / "mixed_models.json").read_text())["models"]
SLEEP = pd.DataFrame(PUBLISHED["sleepstudy"]["data"])
FORMULA = "Reaction ~ Days + (Days | Subject)"


def influence_of(data: pd.DataFrame, formula: str, *, method: str = "reml") -> Influence:
    frame = model_frame(data, read_formula(formula))
    tree = deviance_function(frame)
    return leave_one_cluster_out(model_of(frame), tree, optimise(tree, method=method))


def from_scratch(data: pd.DataFrame, formula: str) -> tuple[np.ndarray, np.ndarray]:
    tree = deviance_function(model_frame(data, read_formula(formula)))
    best = optimise(tree, method="reml")
    scaling, at = tree.scaling, best.evaluation
    sigma2 = at.residual / (tree.n_rows - tree.n_fixed)
    back = scaling.scale * np.linalg.inv(scaling.fixed)
    estimates = scaling.offset + back @ at.coefficients
    pairs = zip(psi_of(tree, best.theta), scaling.effect_scales, strict=True)
    sds = [np.sqrt(np.diagonal(psi)) / sizes for psi, sizes in pairs]
    sds = scaling.scale * np.sqrt(sigma2) * np.concatenate([*sds, [1.0]])
    return np.concatenate([estimates, sds]), back @ np.linalg.inv(at.information) @ back.T * sigma2


@pytest.mark.parametrize("name", ["sleepstudy", "sim_between"])
def test_fits_without_a_cluster_are_those_from_scratch(name):
    data = pd.DataFrame(PUBLISHED[name]["data"])
    formula = PUBLISHED[name]["reml"]["formula"]
    group = "Subject" if name == "sleepstudy" else "animal"
    found = influence_of(data, formula)
    p = len(found.names)
    full, covariance = from_scratch(data, formula)
    assert found.group == group
    assert len(found.left_out) == data[group].nunique()
    for each in found.left_out[:4]:
        expected, _ = from_scratch(data[data[group].astype(str) != each.level], formula)
        # The refit stops at a flat slope, not at ten digits: 1e-4 of a standard error.
        se = np.sqrt(np.diagonal(covariance))
        assert each.estimates == pytest.approx(expected[:p], abs=2e-4 * se.min())
        assert each.sds == pytest.approx(expected[p:], rel=1e-3, abs=1e-3)
        change = expected[:p] - full[:p]
        assert each.shifts == pytest.approx(change / se, abs=1e-3)
        assert each.cook == pytest.approx(change @ np.linalg.solve(covariance, change) / p, rel=5e-3)
        assert each.converged
    assert sum(each.leverage for each in found.left_out) == pytest.approx(p)


def test_an_engine_on_rows_agrees():
    frame = model_frame(SLEEP, read_formula(FORMULA))
    model, slow = dense(frame)
    optimum = optimise(deviance_function(frame), method="reml")
    found = leave_one_cluster_out(model, slow, optimum)
    quick = influence_of(SLEEP, FORMULA)
    assert found.left_out[3].shifts == pytest.approx(quick.left_out[3].shifts, abs=1e-3)


def test_what_rests_on_one_animal_has_no_fit_without_it():
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"animal": np.repeat(list("abcdef"), 8)})
    data["drug"] = np.where(data["animal"] == "f", "yes", "no")
    data["y"] = rng.normal(size=48) + np.repeat(rng.normal(size=6), 8)
    found = influence_of(data, "y ~ drug + (1 | animal)")
    table = found.table().set_index(["level", "term"])
    assert np.isnan(table.loc[("f", "drugyes"), "shift"])
    assert "'f'" in table.loc[("f", "drugyes"), "reason"]
    assert np.isfinite(table.loc[("a", "drugyes"), "shift"])
    assert found.clusters().set_index("level").loc["f", "leverage"] == pytest.approx(1.0, abs=0.2)
    assert json.loads(json.dumps(found.as_dict()))["left_out"][5]["cook"] is None


def test_forms_of_the_result():
    found = influence_of(SLEEP, FORMULA, method="ml")
    assert list(found.table().columns) == ["group", "level", "term", "estimate", "change", "shift", "reason"]
    assert len(found.table()) == 36
    clusters = found.clusters()
    assert {"leverage", "cook", "sd_Days|Subject", "sigma"} <= set(clusters.columns)
    assert clusters["n_rows"].eq(10).all()
    text = found.summary()
    assert text.startswith("Each Subject left out once")
    assert "standard errors without" in text
