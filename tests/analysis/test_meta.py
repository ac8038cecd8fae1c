"""`meta` against metafor (tests/reference/README.md)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.meta_analysis.influence import influence
from nwbswitch.analysis.meta_analysis.meta import meta
from nwbswitch.analysis.meta_analysis.permutation import permutation_test
from nwbswitch.analysis.meta_analysis.tau2 import Studies, generalised_q, log_likelihood
from nwbswitch.schemas.errors import FitError, FormulaError

BCG = json.loads((Path(__file__).resolve().parents[1] / "reference" / "meta_bcg.json").read_text())
KEYS = {
    "estimate": "b",
    "se": "se",
    "statistic": "stat",
    "p": "p",
    "ci_low": "ci.lb",
    "ci_high": "ci.ub",
    "tau2": "tau2",
    "tau2_se": "se.tau2",
    "i2": "I2",
    "h2": "H2",
    "q": "QE",
    "q_p": "QEp",
    "qm": "QM",
    "qm_p": "QMp",
    "pi_low": "pi.lb",
    "pi_high": "pi.ub",
}


@pytest.fixture
def trials() -> pd.DataFrame:
    table = pd.DataFrame({"yi": BCG["yi"], "vi": BCG["vi"]})
    table[["ablat", "year"]] = BCG["mods"]
    table["era"] = np.where(table["year"] < 1965, "early", "late")
    return table


@pytest.mark.parametrize("name", list(BCG["fits"]))
def test_every_estimator(trials, name):
    method, test = name.lower().split()
    found = meta(trials, effect="yi", variance="vi", method=method, test=test).as_dict()
    for ours, theirs in KEYS.items():
        expected = BCG["fits"][name].get(theirs)
        if expected is None:
            assert method == "ee"
            assert found[ours] is None
        else:
            assert found[ours] == pytest.approx(expected, rel=1e-9)


def test_q_profile_interval(trials):
    found = meta(trials, effect="yi", variance="vi")
    assert found.tau2_ci == pytest.approx(BCG["tau2_qprofile"], rel=1e-9)


@pytest.mark.parametrize(("test", "name"), [("z", "metareg"), ("knha", "metareg_knha")])
def test_meta_regression(trials, test, name):
    found = meta(trials, effect="yi", variance="vi", test=test, moderators="ablat + year")
    answer = BCG[name]
    table = found.table()
    assert table["term"].tolist() == ["(Intercept)", "ablat", "year"]
    columns = {"estimate": "b", "se": "se", "t": "stat", "p": "p", "ci_low": "ci.lb", "ci_high": "ci.ub"}
    for ours, theirs in columns.items():
        assert table[ours].tolist() == pytest.approx(answer[theirs], rel=1e-9)
    for ours in ("tau2", "tau2_se", "i2", "h2", "q", "q_p", "qm", "qm_p"):
        assert getattr(found, ours) == pytest.approx(answer[KEYS[ours]], rel=1e-9)
    assert found.r2 == pytest.approx(answer["R2"], rel=1e-9)
    assert found.as_dict()["estimate"] is None
    assert found.prediction is None


def test_small_samples_of_pymare(shared):
    folder = shared / "data" / "meta_pymare" / "tests" / "data"
    designs = pd.read_csv(folder / "metafor_small_sample.csv")
    cases = json.loads((folder / "metafor_reference.json").read_text())["cases"]
    moderators = {"intercept": None, "one": "mod1", "two": "mod1 + mod2"}
    compared = 0
    for case in cases:
        method = "ee" if case["method"] == "FE" else case["method"].lower()
        found = meta(
            designs[designs["case"] == case["design"]],
            effect="y",
            variance="v",
            method=method,
            test=case["test"],
            moderators=moderators[case["model"]],
        )
        compared += 1
        if (case["design"], case["model"], method) == ("extreme_k10", "one", "ml"):
            # Two maxima: metafor stops at the lower one, tau^2 = 0.
            assert found.tau2 == pytest.approx(0.0114415748, rel=1e-6)
            continue
        # metafor's default threshold for REML and ML is 1e-5; the others are in closed form.
        tolerance = 2e-4 if method in ("reml", "ml") else 1e-9
        assert found.tau2 == pytest.approx(
            case["tau2"], rel=tolerance, abs=2e-5 if tolerance > 1e-6 else 1e-12
        )
        assert found.table()["estimate"].tolist() == pytest.approx(case["beta"], rel=tolerance, abs=tolerance)
        assert found.table()["se"].tolist() == pytest.approx(case["se"], rel=tolerance)
    assert compared == 180


def test_t_has_the_usual_errors_and_studies_minus_coefficients(trials):
    z = meta(trials, effect="yi", variance="vi", test="z").coefficients[0]
    t = meta(trials, effect="yi", variance="vi", test="t").coefficients[0]
    assert t.se == z.se
    assert t.df == 12
    assert t.p > z.p


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_no_tau2_is_more_likely(trials, method):
    studies = Studies(trials["yi"].to_numpy(), trials["vi"].to_numpy(), np.ones((13, 1)))
    restricted = method == "reml"
    best = meta(trials, effect="yi", variance="vi", method=method).tau2
    top = log_likelihood(studies, best, restricted=restricted)
    for other in np.linspace(0.0, 3.0, 301):
        assert log_likelihood(studies, float(other), restricted=restricted) <= top + 1e-12


def test_homogeneous_studies_have_no_tau2():
    table = pd.DataFrame({"y": [0.10, 0.11, 0.09, 0.10], "v": [1.0, 2.0, 1.5, 1.0]})
    for method in ("dl", "pm", "reml", "ml", "he", "hs", "eb"):
        found = meta(table, effect="y", variance="v", method=method)
        assert found.tau2 == 0.0
    assert found.tau2_ci[0] == 0.0
    assert "12.6 %" in found.info["warnings"][0]


def test_generalised_q_falls_with_tau2(trials):
    studies = Studies(trials["yi"].to_numpy(), trials["vi"].to_numpy(), np.ones((13, 1)))
    values = [generalised_q(studies, each) for each in (0.0, 0.01, 0.1, 1.0, 10.0)]
    assert values == sorted(values, reverse=True)


def test_a_factor_is_a_moderator(trials):
    found = meta(trials, effect="yi", variance="vi", moderators="era")
    assert [each.term for each in found.coefficients] == ["(Intercept)", "eralate"]
    per_era = meta(trials, effect="yi", variance="vi", moderators="0 + era")
    assert per_era.coefficients[0].estimate == pytest.approx(found.coefficients[0].estimate, rel=1e-10)


def test_missing_studies_are_counted_and_nothing_is_changed(trials):
    trials.loc[2, "yi"] = np.nan
    trials.loc[4, "vi"] = np.nan
    before = trials.copy(deep=True)
    found = meta(trials, effect="yi", variance="vi")
    assert (found.k, found.info["n_missing"]) == (11, 2)
    pd.testing.assert_frame_equal(trials, before)


def test_json_is_plain_and_documented(trials):
    found = json.loads(json.dumps(meta(trials, effect="yi", variance="vi").as_dict(), allow_nan=False))
    expected = "estimate se ci_low ci_high statistic p tau2 i2 h2 q q_p pi_low pi_high k coefficients"
    assert set(expected.split()) <= set(found)
    assert list(found["coefficients"][0]) == ["term", "estimate", "se", "df", "t", "p", "ci_low", "ci_high"]


def test_summary_says_what_was_done(trials):
    text = meta(trials, effect="yi", variance="vi").summary()
    for words in ("13 studies", "REML", "Knapp-Hartung", "I^2 92.2 %", "prediction interval"):
        assert words in text
    assert "F(2, 10)" in meta(trials, effect="yi", variance="vi", moderators="ablat + year").summary()


@pytest.mark.parametrize(
    ("change", "arguments", "error", "words"),
    [
        ({}, {"effect": "yii"}, FormulaError, "Did you mean 'yi'"),
        ({}, {"variance": "v1"}, FormulaError, "no column 'v1'"),
        ({}, {"moderators": "yaer"}, FormulaError, "Did you mean 'year'"),
        ({}, {"moderators": "year + I(2 * year)"}, FitError, "I(2 * year) is a combination"),
        ({}, {"moderators": "factor(year) * era"}, FitError, "combination"),
        ({}, {"moderators": "(1 | era)"}, FormulaError, "random term"),
        ({}, {"moderators": "os.system(year)"}, FormulaError, "calls 'os.system'"),
        ({}, {"method": "xx"}, ValueError, "available are ee, dl"),
        ({}, {"test": "xx"}, ValueError, "available are knha"),
        ({}, {"level": 95.0}, ValueError, "between 0 and 1"),
        ({}, {"method": "genq"}, ValueError, "needs weights"),
        ({}, {"weights": "year", "weighted": False}, ValueError, "leave weights out"),
        ({}, {"weights": "yaer"}, FormulaError, "Did you mean 'year'"),
        ({}, {"weights": "yi"}, FitError, "'yi' is -0.88"),
        ({"vi": -1.0}, {}, FitError, "is -1.0 in row 1"),
        ({"vi": 0.0}, {}, FitError, "positive number"),
        ({"vi": np.inf}, {}, FitError, "positive number"),
        ({"vi": 1e-300}, {}, FitError, "change the unit"),
        ({"vi": [1e-12, *[0.1] * 12]}, {}, FitError, "1e-12 in row 1 and 0.1 in row 2"),
        ({"yi": np.inf}, {}, FitError, "infinite"),
        ({"yi": np.nan}, {}, FitError, "every row misses a value"),
    ],
)
def test_bad_input_is_said_in_one_sentence(trials, change, arguments, error, words):
    asked = {"effect": "yi", "variance": "vi", **arguments}
    with pytest.raises(error) as caught:
        meta(trials.assign(**change), **asked)
    assert words in str(caught.value)


@pytest.mark.parametrize("k", [1, 2])
def test_fewer_than_three_studies_are_listed_and_not_pooled(trials, k):
    found = meta(trials.iloc[:k], effect="yi", variance="vi", slab="year")
    assert not found.pooled
    assert found.status.startswith(f"{k} stud")
    assert found.studies["effect"].tolist() == trials["yi"].tolist()[:k]
    assert found.table().empty
    assert found.prediction is None
    as_json = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert (as_json["estimate"], as_json["p"], as_json["k"]) == (None, None, k)
    text = found.summary()
    assert "listed, not pooled" in text
    assert "1948" in text


def test_the_unit_is_said(trials):
    trials["level"] = "animal"
    found = meta(trials, effect="yi", variance="vi")
    assert found.unit == "animal"
    assert "13 animals" in found.summary()
    assert "prediction interval for a new animal" in found.summary()
    assert meta(trials, effect="yi", variance="vi", unit="slice").unit == "slice"


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"dataset": "one", "level": "arm"}, "come from one dataset (one)"),
        ({"dataset": [f"d{i // 2}" for i in range(13)], "level": "arm"}, "d3 and 2 more"),
        ({"dataset": ["a", "b"] * 6 + ["a"], "level": "animal"}, "Animals of 2 datasets"),
        ({"dataset": range(13), "level": "arm", "estimand": ["M"] * 12 + ["SW"]}, "estimand: M, SW"),
    ],
)
def test_rows_that_cannot_be_independent_are_pointed_out(trials, columns, words):
    found = meta(trials.assign(**columns), effect="yi", variance="vi")
    assert any(words in each for each in found.info["warnings"])
    assert words in found.summary()


def test_independent_rows_get_no_warning(trials):
    trials = trials.assign(dataset=range(13), level="arm", estimand="M", contrast="vs_saline")
    assert meta(trials, effect="yi", variance="vi").info["warnings"] == []


def test_very_unequal_variances_are_pointed_out(trials):
    found = meta(trials.assign(vi=[1e-9, *[0.1] * 12]), effect="yi", variance="vi")
    assert "ten million" in found.info["warnings"][0]


def test_effects_that_are_all_alike_have_no_p(trials):
    found = meta(trials.assign(yi=0.0), effect="yi", variance="vi")
    assert (found.coefficients[0].estimate, found.coefficients[0].se, found.tau2) == (0.0, 0.0, 0.0)
    assert np.isnan(found.coefficients[0].p)
    assert np.isnan(permutation_test(found, draws=3, max_exact=1).rows["p"][0])
    assert influence(found).rows["cook_d"].isna().all()
    json.dumps(found.as_dict(), allow_nan=False)
