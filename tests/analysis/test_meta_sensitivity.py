"""Leave-one-out, cumulative, influence and Baujat against metafor (tests/reference/meta_tools.R)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.meta_analysis.cumulative import cumulative
from nwbswitch.analysis.meta_analysis.influence import baujat, influence
from nwbswitch.analysis.meta_analysis.leave_one_out import leave_one_out
from nwbswitch.analysis.meta_analysis.meta import meta
from nwbswitch.schemas.errors import FitError, FormulaError

TOOLS = json.loads((Path(__file__).resolve().parents[1] / "reference" / "meta_tools.json").read_text())
BCG = pd.DataFrame({name: TOOLS["bcg"][name] for name in ("yi", "vi", "ablat", "year", "author", "weights")})
# metafor stops REML when tau^2 changes by less than 1e-14: an absolute error where numbers are near 0.
# R holds the year uncentred, which costs the regressions three more digits.
NEAR = {"rel": 1e-9, "abs": 1e-11}


def _fit(table: pd.DataFrame = BCG, **more):
    return meta(table, effect="yi", variance="vi", slab="author", **({"test": "z"} | more))


@pytest.mark.parametrize("test", ["z", "knha"])
def test_leave_one_out(test):
    answer = TOOLS["leave1out"][test]
    found = leave_one_out(_fit(test=test)).table()
    names = {
        "estimate": "estimate", "se": "se", "statistic": "zval" if test == "z" else "tval", "p": "pval",
        "ci_low": "ci.lb", "ci_high": "ci.ub", "q": "Q", "q_p": "Qp", "tau2": "tau2", "i2": "I2", "h2": "H2",
    }  # fmt: skip
    for ours, theirs in names.items():
        assert found[ours].tolist() == pytest.approx(answer[theirs], **NEAR)
    assert set(found["k"]) == {12}


@pytest.mark.parametrize("test", ["z", "knha"])
def test_cumulative(test):
    answer = TOOLS["cumul"][test]
    found = cumulative(_fit(test=test), by="year").table()
    names = {
        "estimate": "estimate", "se": "se", "statistic": "zval" if test == "z" else "tval", "p": "pvals",
        "ci_low": "ci.lb", "ci_high": "ci.ub", "q": "Q", "q_p": "Qp", "tau2": "tau2", "i2": "I2", "h2": "H2",
    }  # fmt: skip
    for ours, theirs in names.items():
        theirs = "pval" if theirs not in answer else theirs
        assert found[ours].tolist() == pytest.approx(answer[theirs], rel=1e-9, abs=1e-10)
    assert found["k"].tolist() == list(range(1, 14))
    assert found["value"].tolist() == sorted(BCG["year"])


@pytest.mark.parametrize("name", ["z", "knha", "mods", "mods_knha"])
def test_influence(name):
    answer = TOOLS["influence"][name]
    fit = _fit(test="knha" if "knha" in name else "z", moderators="ablat + year" if "mods" in name else None)
    result = influence(fit)
    found = result.table()
    names = {
        "rstudent": "rstudent", "dffits": "dffits", "cook_d": "cook.d", "cov_r": "cov.r",
        "tau2_del": "tau2.del", "q_del": "QE.del", "hat": "hat", "weight": "weight",
    }  # fmt: skip
    for ours, theirs in names.items():
        assert found[ours].tolist() == pytest.approx(answer[theirs], rel=1e-8, abs=1e-9), ours
    for term, theirs in zip(fit.terms, answer["dfbs"], strict=True):
        assert result.dfbetas[term].tolist() == pytest.approx(answer["dfbs"][theirs], rel=1e-8, abs=1e-9)
    assert found["influential"].tolist() == answer["marked"]


@pytest.mark.parametrize(("name", "method"), [("bcg", "reml"), ("ee", "ee")])
def test_baujat(name, method):
    found = baujat(_fit(method=method))
    assert found["heterogeneity"].tolist() == pytest.approx(TOOLS["baujat"][name]["x"], rel=1e-9)
    assert found["influence"].tolist() == pytest.approx(TOOLS["baujat"][name]["y"], rel=1e-9)


def test_leaving_a_lab_out_leaves_all_its_studies_out():
    table = BCG.assign(lab=["a", "b", "c"] * 4 + ["a"])
    fit = _fit(table)
    found = leave_one_out(fit, by="lab").table()
    assert found["label"].tolist() == ["a", "b", "c"]
    assert found["k"].tolist() == [8, 9, 9]
    for row in found.itertuples():
        rest = _fit(table[table["lab"] != row.label])
        assert row.estimate == pytest.approx(rest.coefficients[0].estimate, rel=1e-12)
        assert row.tau2 == pytest.approx(rest.tau2, rel=1e-12, abs=1e-15)


def test_with_moderators_every_term_has_a_row_and_what_cannot_be_told_apart_says_so():
    table = BCG.assign(only=[1.0] + [0.0] * 12)
    found = leave_one_out(_fit(table, moderators="ablat + only")).table()
    assert found["term"].tolist() == ["(Intercept)", "ablat", "only"] * 13
    lost = found[found["label"] == "Aronson"]
    assert set(lost["status"]) == {"12 of 13 left: not every coefficient can be told apart"}
    assert lost["estimate"].isna().all()
    assert (found["status"] == "ok").sum() == 36
    result = influence(_fit(table, moderators="ablat + only"))
    assert np.isnan(result.rows["dffits"][0])
    assert np.isfinite(result.rows["dffits"][1:]).all()
    assert np.isnan(baujat(_fit(table, moderators="ablat + only"))["influence"][0])


def test_influence_with_own_weights_is_what_deletion_gives():
    fit = _fit(weights="weights", method="dl")
    found = influence(fit).table()
    full = fit.coefficients[0]
    for i in range(13):
        rest = _fit(BCG.drop(index=i), weights="weights", method="dl").coefficients[0]
        assert found["cook_d"][i] == pytest.approx(
            ((full.estimate - rest.estimate) / full.se) ** 2, rel=1e-10
        )
        assert found["cov_r"][i] == pytest.approx((rest.se / full.se) ** 2, rel=1e-10)


def test_cumulative_by_text_and_by_dates():
    dates = pd.to_datetime(BCG["year"].astype(str) + "-03-01")
    by_date = cumulative(_fit(BCG.assign(date=dates)), by="date").table()
    by_year = cumulative(_fit(), by="year").table()
    assert by_date["estimate"].tolist() == by_year["estimate"].tolist()
    json.dumps(cumulative(_fit(BCG.assign(date=dates)), by="date").as_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: leave_one_out(_fit(BCG.iloc[:2])), FitError, "listed, not pooled"),
        (lambda: influence(_fit(BCG.iloc[:2])), FitError, "listed, not pooled"),
        (lambda: baujat(_fit(BCG.iloc[:2])), FitError, "listed, not pooled"),
        (lambda: cumulative(_fit(BCG.iloc[:2]), by="year"), FitError, "listed, not pooled"),
        (lambda: leave_one_out(_fit(), by="labb"), FormulaError, "no column 'labb'"),
        (lambda: leave_one_out(_fit(BCG.assign(lab="one")), by="lab"), FitError, "nothing is left"),
        (
            lambda: leave_one_out(_fit(BCG.assign(lab=[None, *"abcdefghijkl"])), by="lab"),
            FitError,
            "'Aronson'",
        ),
        (lambda: cumulative(_fit(moderators="ablat"), by="year"), FitError, "without moderators"),
        (lambda: cumulative(_fit(BCG.assign(when=[1, "x"] * 6 + [2])), by="when"), FitError, "no order"),
    ],
)
def test_what_cannot_be_done_is_said(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)


def test_results_are_text_and_plain_values():
    for found in (leave_one_out(_fit()), cumulative(_fit(), by="year"), influence(_fit())):
        text = found.summary()
        assert "Aronson" in text
        assert "nan" not in text
        json.dumps(found.as_dict(), allow_nan=False)
