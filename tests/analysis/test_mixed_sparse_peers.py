"""The engine for crossed groups against the nested engine, lme4 with its companions, and statsmodels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from row_tree import deviance_function

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.inference.anova import term_contrasts
from nwbswitch.analysis.inference.inference import inference
from nwbswitch.analysis.mixed.model_frame import ModelFrame, model_frame
from nwbswitch.analysis.mixed.optimum import optimise
from nwbswitch.analysis.mixed.theta import psi_of
from nwbswitch.analysis.sparse.model import sparse_deviance

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
CROSSED = json.loads((REFERENCE / "crossed.json").read_text())["models"]
PUBLISHED = json.loads((REFERENCE / "mixed_models.json").read_text())["models"]
CASES = [(name, method) for name in CROSSED for method in ("reml", "ml")]


def frame_of(table: pd.DataFrame, formula: str, weights: str | None = None) -> ModelFrame:
    return model_frame(table, read_formula(formula), nested=False, weights=weights)


def relative(found: Any, expected: Any) -> float:
    return float(np.abs(np.asarray(found) - expected).max() / max(np.abs(expected).max(), 1e-300))


@pytest.mark.parametrize(("name", "method"), CASES)
def test_lme4_finds_no_better_optimum_and_the_same_model(name, method):
    answer, table = CROSSED[name][method], pd.DataFrame(CROSSED[name]["data"])
    frame = frame_of(table, answer["formula"], "w" if answer["weighted"] else None)
    model, deviance = sparse_deviance(frame)
    optimum = optimise(deviance, method=method)
    assert optimum.converged
    assert optimum.evaluation.criterion <= answer["criterion"] + 1e-8
    assert optimum.evaluation.criterion == pytest.approx(answer["criterion"], rel=1e-8)
    found = inference(deviance, optimum, ddf="satterthwaite")
    for i, term in enumerate(model.names):
        test = found.t_test(np.eye(len(model.names))[i])
        assert test.estimate == pytest.approx(answer["beta"][term], abs=1e-5 * test.se)
        assert test.se == pytest.approx(answer["se"][term], rel=1e-5)
        assert test.df == pytest.approx(answer["satterthwaite_df"][term], rel=1e-4)
    nu = frame.n_rows - (deviance.n_fixed if method == "reml" else 0)
    sigma = float(np.sqrt(optimum.evaluation.residual / nu)) * deviance.scaling.scale
    assert sigma == pytest.approx(answer["sigma"], rel=1e-5)
    sds = sorted(
        float(sd)
        for psi, sizes in zip(psi_of(deviance, optimum.theta), deviance.scaling.effect_scales, strict=True)
        for sd in sigma * np.sqrt(np.diagonal(psi)) / sizes
    )
    expected = sorted(
        row["sdcor"] for row in answer["varcorr"] if row["var2"] is None and row["grp"] != "Residual"
    )
    assert sds == pytest.approx(expected, abs=1e-5 * sigma)
    means = deviance.effects(psi_of(deviance, optimum.theta), optimum.evaluation.coefficients)
    for level, own, divisors in zip(model.levels, means, deviance.scaling.effect_scales, strict=True):
        assert level.labels is not None
        theirs = answer["ranef"][level.names[0]]
        place = {label: position for position, label in enumerate(theirs["labels"])}
        order = [place[label] for label in level.labels]
        ours = own / divisors * deviance.scaling.scale
        assert ours == pytest.approx(np.array(theirs["values"])[order], abs=2e-4 * sigma)


@pytest.mark.parametrize("name", [name for name in CROSSED if "kenward_roger_df" in CROSSED[name]["reml"]])
def test_kenward_roger_is_that_of_pbkrtest(name):
    answer, table = CROSSED[name]["reml"], pd.DataFrame(CROSSED[name]["data"])
    model, deviance = sparse_deviance(frame_of(table, answer["formula"]))
    found = inference(deviance, optimise(deviance, method="reml"), ddf="kenward-roger")
    for i, term in enumerate(model.names):
        test = found.t_test(np.eye(len(model.names))[i])
        assert test.se == pytest.approx(answer["kenward_roger_se"][term], rel=1e-5)
        assert test.df == pytest.approx(answer["kenward_roger_df"][term], rel=1e-4)
    contrasts = term_contrasts(model, deviance.scaling.fixed, type="III")
    for rows, expected in zip(contrasts.values(), answer["kenward_roger_anova"], strict=True):
        test = found.f_test(rows)
        assert test.f == pytest.approx(expected["f"], rel=2e-5)
        assert test.den_df == pytest.approx(expected["den_df"], rel=1e-4)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_penicillin_is_that_of_lme4(method):
    answer, table = PUBLISHED["Penicillin"][method], pd.DataFrame(PUBLISHED["Penicillin"]["data"])
    _, deviance = sparse_deviance(frame_of(table, answer["formula"]))
    optimum = optimise(deviance, method=method)
    assert optimum.evaluation.criterion == pytest.approx(answer["criterion"], rel=1e-10)
    test = inference(deviance, optimum, ddf="satterthwaite").t_test(np.ones(1))
    assert test.se == pytest.approx(answer["se"]["(Intercept)"], rel=1e-5)
    assert test.df == pytest.approx(answer["satterthwaite_df"]["(Intercept)"], rel=1e-4)


@pytest.mark.parametrize("name", ["sleepstudy", "Pastes", "sim_between", "sim_crossover"])
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_nested_models_are_those_of_the_nested_engine(name, method):
    answer, table = PUBLISHED[name][method], pd.DataFrame(PUBLISHED[name]["data"])
    formula = read_formula(answer["formula"])
    _, deviance = sparse_deviance(model_frame(table, formula, nested=False))
    tree = deviance_function(model_frame(table, formula))
    ours, theirs = optimise(deviance, method=method), optimise(tree, method=method)
    assert ours.evaluation.criterion == pytest.approx(theirs.evaluation.criterion, rel=1e-11)
    for ddf in ("kenward-roger", "satterthwaite"):
        one, other = inference(deviance, ours, ddf=ddf), inference(tree, theirs, ddf=ddf)
        assert relative(one.estimates, other.estimates) < 1e-8
        assert relative(one.vcov, other.vcov) < 1e-7
        for contrast in np.eye(deviance.n_fixed):
            assert one.t_test(contrast).df == pytest.approx(other.t_test(contrast).df, rel=1e-6)


def test_neither_order_of_rows_nor_offsets_nor_units_change_the_model():
    table = pd.DataFrame(CROSSED["neurons"]["data"])
    formula = CROSSED["neurons"]["reml"]["formula"]
    moved = table.sample(frac=1.0, random_state=1)
    moved["y"] += 1e6
    moved["x"] *= 1e-7
    found = []
    for each in (table, moved):
        _, deviance = sparse_deviance(frame_of(each, formula))
        optimum = optimise(deviance, method="ml")
        found.append((optimum, inference(deviance, optimum, ddf="kenward-roger")))
    (first, one), (second, other) = found
    assert second.evaluation.criterion == pytest.approx(first.evaluation.criterion, rel=1e-8)
    for contrast in np.eye(4)[1:]:
        # The response keeps ten digits beside an offset of 1e6.
        assert other.t_test(contrast).t == pytest.approx(one.t_test(contrast).t, rel=1e-7)
        assert other.t_test(contrast).df == pytest.approx(one.t_test(contrast).df, rel=1e-6)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", ["Penicillin", "sleepstudy"])
def test_statsmodels_agrees_where_it_converges(name, method):
    from statsmodels.regression.mixed_linear_model import MixedLM

    answer, table = PUBLISHED[name][method], pd.DataFrame(PUBLISHED[name]["data"])
    if name == "Penicillin":
        parts = {"plate": "0 + C(plate)", "sample": "0 + C(sample)"}
        peer = MixedLM.from_formula("diameter ~ 1", groups=np.ones(144), vc_formula=parts, data=table)
    else:
        peer = MixedLM.from_formula("Reaction ~ Days", groups="Subject", re_formula="~Days", data=table)
    theirs = peer.fit(reml=method == "reml", method=["lbfgs"])
    assert theirs.converged
    _, deviance = sparse_deviance(frame_of(table, answer["formula"]))
    optimum = optimise(deviance, method=method)
    # Its search stops with about 1e-5 of error in the criterion and 1e-3 in standard errors.
    assert optimum.evaluation.criterion == pytest.approx(-2.0 * theirs.llf, abs=1e-4)
    assert optimum.evaluation.criterion <= -2.0 * theirs.llf + 1e-8
    found = inference(deviance, optimum, ddf="none")
    for i, contrast in enumerate(np.eye(deviance.n_fixed)):
        test = found.t_test(contrast)
        assert test.estimate == pytest.approx(float(theirs.fe_params.iloc[i]), rel=1e-5)
        assert test.se == pytest.approx(float(theirs.bse_fe.iloc[i]), rel=1e-3)
