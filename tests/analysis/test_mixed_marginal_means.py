"""Marginal means and slopes against emmeans (tests/reference/inference.R), and what they mean."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.inference.marginal_means import marginal_means, slopes
from nwbswitch.analysis.mixed.fit import fit

ANSWERS = json.loads((Path(__file__).resolve().parents[1] / "reference" / "inference.json").read_text())
CROSSOVER = "y ~ drug * epoch + sex + depth + (1 | animal) + (1 | session) + (1 | neuron)"
COHORT = "y ~ arm * dose + I(dose^2) + (1 | animal)"
NAMES = {"SE": "se", "lower.CL": "ci_low", "upper.CL": "ci_high", "t.ratio": "t", "p.value": "p"}
DDF = ["kenward-roger", "satterthwaite"]


def crossover_table() -> pd.DataFrame:
    table = pd.DataFrame(ANSWERS["data"]["crossover"])
    return table.assign(drug=pd.Categorical(table["drug"], categories=["saline", "low", "high"]))


@pytest.fixture(scope="module", params=DDF)
def crossover(request) -> tuple[Any, dict[str, Any]]:
    return fit(crossover_table(), CROSSOVER, ddf=request.param), ANSWERS["means"][request.param]


@pytest.fixture(scope="module", params=DDF)
def cohort(request) -> tuple[Any, dict[str, Any]]:
    return fit(pd.DataFrame(ANSWERS["data"]["cohort"]), COHORT, ddf=request.param), ANSWERS["slopes"][
        request.param
    ]


def check(found: pd.DataFrame, rows: list[dict[str, Any]], *, rel: float = 2e-6) -> None:
    expected = pd.DataFrame(rows).rename(columns=NAMES)
    assert set(expected) <= set(found)
    for name in expected:
        if isinstance(expected[name].iloc[0], str):
            assert found[name].tolist() == expected[name].tolist()
        else:
            # lme4 ends its search with about 1e-7 of error in the variances; P in the tail multiplies it.
            scale = expected["SE" if "SE" in expected else "se"].abs() if name.startswith("ci") else 0.0
            assert np.all(np.abs(found[name] - expected[name]) <= rel * (expected[name].abs() + scale))


def test_means_by_another_factor(crossover):
    found, answers = crossover
    means = marginal_means(found.model, found.inference, specs="drug", by="epoch")
    check(means.table(), answers["by_epoch"])
    assert means.averaged == ("sex",)
    assert means.held == {"depth": pytest.approx(crossover_table()["depth"].mean(), rel=1e-9)}


def test_means_over_all_other_factors(crossover):
    found, answers = crossover
    means = marginal_means(found.model, found.inference, specs="drug")
    check(means.table(), answers["drug"])
    check(means.table(adjust="bonferroni"), answers["adjusted_means"])


def test_means_at_given_values(crossover):
    found, answers = crossover
    at = {"depth": 3.5, "epoch": ["base", "late"]}
    check(marginal_means(found.model, found.inference, specs="sex", at=at).table(), answers["sex_at_depth"])
    numbers = marginal_means(found.model, found.inference, specs="depth", at={"depth": [1, 2, 4]})
    check(numbers.table(), answers["depths"])


@pytest.mark.parametrize("weights", ["proportional", "outer"])
def test_weights_by_rows(crossover, weights):
    found, answers = crossover
    check(
        marginal_means(found.model, found.inference, specs="drug", weights=weights).table(), answers[weights]
    )


def test_means_follow_a_square(cohort):
    found, answers = cohort
    check(marginal_means(found.model, found.inference, specs="arm").table(), answers["means"])
    at_3 = marginal_means(found.model, found.inference, specs="arm", at={"dose": 3})
    check(at_3.table(), answers["means_at_3"])


def test_slopes_are_derivatives(cohort):
    found, answers = cohort
    # emtrends takes a one-sided difference, here with a step of 1e-5, which shifts it by that times b2.
    check(
        slopes(found.model, found.inference, variable="dose", specs="arm").table(), answers["dose"], rel=1e-4
    )
    at_3 = slopes(found.model, found.inference, variable="dose", specs="arm", at={"dose": 3})
    check(at_3.table(), answers["dose_at_3"], rel=1e-4)
    b = dict(zip(found.model.names, found.inference.estimates, strict=True))
    exact = [
        b["dose"] + 6.0 * b["I(dose^2)"] + b.get(f"arm{arm}:dose", 0.0)
        for arm in ("control", "opto", "rescue")
    ]
    assert at_3.table()["dose.trend"].tolist() == pytest.approx(exact, rel=1e-9)


def test_a_slope_without_groups_is_one_number(cohort):
    found, _ = cohort
    whole = slopes(found.model, found.inference, variable="dose")
    by_arm = slopes(found.model, found.inference, variable="dose", specs="arm")
    assert len(whole.tests) == 1
    assert whole.tests[0].estimate == pytest.approx(by_arm.table()["dose.trend"].mean(), rel=1e-9)


def test_coding_does_not_change_means():
    table = crossover_table()
    first = fit(table, CROSSOVER)
    other = fit(table, CROSSOVER, contrasts="sum")
    tables = [
        marginal_means(each.model, each.inference, specs="drug", by="epoch").table()
        for each in (first, other)
    ]
    assert np.allclose(tables[0].iloc[:, 2:], tables[1].iloc[:, 2:], rtol=1e-6)
    for kind in ("I", "II", "III"):
        assert np.allclose(first.anova(type=kind)["f"], other.anova(type=kind)["f"], rtol=1e-6)


def test_text_and_json(crossover):
    found, _ = crossover
    means = marginal_means(found.model, found.inference, specs="drug", by="epoch")
    text = means.summary()
    assert "Averaged over sex, weights equal." in text
    assert "At depth = 2.6" in text
    plain = json.loads(json.dumps(means.as_dict(), allow_nan=False))
    assert plain["means"][0]["drug"] == "saline"
    assert list(plain["means"][0]) == ["drug", "epoch", "emmean", "se", "df", "ci_low", "ci_high", "t", "p"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"specs": "drgu"}, "'drgu' is no variable.*Did you mean 'drug'"),
        ({"specs": "drug", "by": "drug"}, "stands twice"),
        ({"specs": ()}, "specs is empty"),
        ({"specs": "depth"}, "say at which values"),
        ({"specs": "drug", "weights": "cells"}, "available are equal"),
        ({"specs": "drug", "at": {"epoch": "dawn"}}, "no level 'dawn'"),
    ],
)
def test_questions_that_cannot_be_answered(crossover, arguments, words):
    with pytest.raises(ValueError, match=words):
        marginal_means(crossover[0].model, crossover[0].inference, **arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"variable": "drug"}, "is a factor and has no slope"),
        ({"variable": "depth", "at": {"depth": [1, 2]}}, "taken at one value"),
        ({"variable": "deep"}, "'deep' is no variable"),
    ],
)
def test_slopes_that_do_not_exist(crossover, arguments, words):
    with pytest.raises(ValueError, match=words):
        slopes(crossover[0].model, crossover[0].inference, **arguments)


def test_a_level_outside_zero_and_one_is_refused(crossover):
    with pytest.raises(ValueError, match="level is 95"):
        marginal_means(crossover[0].model, crossover[0].inference, specs="drug").table(level=95)
