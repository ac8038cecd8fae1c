"""Profile likelihood intervals against lme4, on both engines, at the boundary and inside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dense_deviance import dense_model, model_of
from row_tree import deviance_function

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.model_frame import model_frame
from nwbswitch.analysis.mixed.optimum import Optimum, optimise
from nwbswitch.analysis.resampling.profile import Profile, profile
from nwbswitch.analysis.trees.tree import Tree

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
ANSWERS = json.loads((REFERENCE / "robust_and_profile.json").read_text())["profiles"]


def fitted(name: str, *, method: str = "reml") -> tuple[Model, Tree, Optimum]:
    answer = ANSWERS[name]
    frame = model_frame(pd.DataFrame(answer["data"]), read_formula(answer["formula"]))
    tree = deviance_function(frame)
    return model_of(frame), tree, optimise(tree, method=method)


@pytest.fixture(scope="module")
def sleep() -> Profile:
    return profile(*fitted("sleepstudy"))


def check(found: Profile, name: str, renamed: dict[str, str]) -> None:
    answer = ANSWERS[name]
    table = found.table().set_index("term")
    assert list(table.index) == [renamed.get(term, term) for term in answer["terms"]]
    for term, low, high in zip(answer["terms"], answer["low"], answer["high"], strict=True):
        row = table.loc[renamed.get(term, term)]
        width = row["ci_high"] - row["ci_low"]
        # lme4 reads its limits from a spline: 1e-4 of the interval's width.
        assert row["ci_low"] == pytest.approx(low, abs=1e-4 * width)
        assert row["ci_high"] == pytest.approx(high, abs=1e-4 * width)


def test_intercepts_slopes_and_their_correlation(sleep):
    names = {
        ".sig01": "sd_(Intercept)|Subject",
        ".sig02": "cor_Days.(Intercept)|Subject",
        ".sig03": "sd_Days|Subject",
        ".sigma": "sigma",
    }
    check(sleep, "sleepstudy", names)
    assert (sleep.table()["note"] == "").all()


def test_uncorrelated_slopes():
    names = {".sig01": "sd_(Intercept)|Subject", ".sig02": "sd_Days|Subject.1", ".sigma": "sigma"}
    check(profile(*fitted("sleep_uncorrelated")), "sleep_uncorrelated", names)


def test_two_levels():
    names = {
        ".sig01": "sd_(Intercept)|sample",
        ".sig02": "sd_(Intercept)|batch",
        ".sigma": "sigma",
    }
    found = profile(*fitted("Pastes"))
    check(found, "Pastes", names)
    batch = found.table().set_index("term").loc["sd_(Intercept)|batch"]
    assert batch["ci_low"] == 0.0
    assert "boundary" in batch["note"]


def test_a_variance_of_zero():
    model, tree, optimum = fitted("Dyestuff2", method="ml")
    found, answer = profile(model, tree, optimum), ANSWERS["Dyestuff2"]
    batch, sigma, mean = found.intervals
    assert batch.ci_high == pytest.approx(answer["high"][0], rel=1e-4)
    assert mean.ci_high == pytest.approx(answer["high"][2], rel=1e-4)
    assert mean.ci_low == pytest.approx(answer["low"][2], rel=1e-4)
    assert (batch.term, batch.estimate, batch.ci_low) == ("sd_(Intercept)|Batch", 0.0, 0.0)
    assert batch.note == "the interval reaches a variance of 0, the boundary"
    # lme4 gives 0 and NA as the limits of sigma. Here a grid over the other variance says what they are.
    assert (answer["low"][1], answer["high"][1]) == (0.0, None)
    for limit in (sigma.ci_low, sigma.ci_high):
        precision = (tree.scaling.scale / limit) ** 2
        on_grid = min(
            tree.evaluate([np.array([[psi]])], method="ml", precision=precision).criterion
            for psi in np.linspace(0.0, 1.0, 2001)
        )
        assert on_grid - optimum.evaluation.criterion == pytest.approx(1.959964**2, abs=1e-4)


def test_correlation_with_an_effect_of_variance_zero_is_undefined():
    rng = np.random.default_rng(3)
    rows = pd.DataFrame({"g": np.repeat(list("abcdefgh"), 12), "x": np.tile(np.arange(12.0), 8)})
    rows["y"] = rng.normal(size=96) + np.repeat(rng.normal(size=8), 12)
    model, deviance = dense_model(rows, "y ~ x + (x | g)")
    optimum = optimise(deviance, method="ml")
    found = profile(model, deviance, optimum, points=3).table().set_index("term")
    assert found.loc["sd_x|g", "ci_low"] == 0.0
    if found.loc["sd_x|g", "estimate"] == 0.0:
        assert np.isnan(found.loc["cor_x.(Intercept)|g", "ci_low"])
    else:
        assert found.loc["cor_x.(Intercept)|g", "note"].endswith("boundary")


@pytest.mark.parametrize("engine", ["nested", "sparse"])
def test_crossed_groups(engine):
    answer = ANSWERS["Penicillin"]
    found = fit(pd.DataFrame(answer["data"]), answer["formula"], engine=engine)
    names = {".sig01": "sd_(Intercept)|plate", ".sig02": "sd_(Intercept)|sample", ".sigma": "sigma"}
    check(profile(found.model, found.deviance, found.optimum), "Penicillin", names)


def test_a_correlation_whose_effect_may_vanish_has_a_plateau():
    cases = json.loads((REFERENCE / "mixed_cases.json").read_text())
    found = fit(pd.DataFrame(cases["data"]), "y ~ cond + x + (x | lab:animal) + (1 | lab:animal:session)")
    term = "cor_x.(Intercept)|lab:animal"
    curves = profile(found.model, found.deviance, found.optimum, terms=[term], points=13)
    interval, curve = curves.intervals[0], curves.curves[0]
    assert (interval.ci_low, interval.ci_high) == (-1.0, 1.0)
    assert interval.note.endswith("the boundary")
    assert np.all(np.diff(curve.zeta) > -1e-4)
    # Without the variance of the intercepts the correlation does not matter.
    plateau = curve.zeta[curve.values > 0.3]
    assert len(plateau) > 3
    assert np.ptp(plateau) < 1e-4


def test_engines_agree(sleep):
    answer = ANSWERS["sleepstudy"]
    model, deviance = dense_model(pd.DataFrame(answer["data"]), answer["formula"])
    optimum = optimise(fitted("sleepstudy")[1], method="ml")
    terms = ["cor_Days.(Intercept)|Subject"]
    found = profile(model, deviance, optimum, terms=terms, points=2).intervals[0]
    expected = next(each for each in sleep.intervals if each.term == terms[0])
    assert (found.ci_low, found.ci_high) == pytest.approx((expected.ci_low, expected.ci_high), abs=1e-5)


def test_curves_rise_through_zero_at_the_estimate(sleep):
    for curve, interval in zip(sleep.curves, sleep.intervals, strict=True):
        assert len(curve.values) >= 7
        assert np.all(np.diff(curve.zeta) > 0.0)
        assert curve.zeta[curve.values == interval.estimate] == pytest.approx([0.0])
        at_limit = np.interp([interval.ci_low, interval.ci_high], curve.values, curve.zeta)
        assert at_limit == pytest.approx([-1.959964, 1.959964], abs=1e-5)


def test_one_term_another_level_and_the_forms_of_the_result():
    model, tree, optimum = fitted("sleepstudy", method="ml")
    wide = profile(model, tree, optimum, terms=["Days"], level=0.99)
    narrow = profile(model, tree, optimum, terms=["Days"], level=0.5)
    assert wide.intervals[0].ci_low < narrow.intervals[0].ci_low < narrow.intervals[0].ci_high
    assert "99 % profile" in wide.summary()
    assert json.loads(json.dumps(wide.as_dict()))["intervals"][0]["term"] == "Days"
    assert list(wide.zeta_table().columns) == ["parameter", "value", "zeta", "estimate"]


def test_wrong_arguments_are_named():
    model, tree, optimum = fitted("sleepstudy", method="ml")
    with pytest.raises(ValueError, match="no parameter 'Dys'; available are sd_"):
        profile(model, tree, optimum, terms=["Dys"])
    with pytest.raises(ValueError, match="between 0 and 1"):
        profile(model, tree, optimum, level=95)
