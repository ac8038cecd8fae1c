"""Tests of terms against lmerTest (tests/reference/inference.R), and what they must not depend on."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from row_tree import deviance_function

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.inference.anova import Anova, anova, term_contrasts
from nwbswitch.analysis.inference.inference import inference
from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.analysis.mixed.frame_model import model_of
from nwbswitch.analysis.mixed.model_frame import model_frame
from nwbswitch.analysis.mixed.optimum import optimise
from nwbswitch.schemas.errors import FitError

REFERENCE = json.loads((Path(__file__).resolve().parents[1] / "reference" / "inference.json").read_text())
DRUGS = ["saline", "low", "high"]
# lmerTest takes a factor that is coded by all its levels for no variable of its term, and adjusts the term
# for nothing; ours adjusts it for all terms that do not contain it.
DIFFERENT = {("y ~ sex * epoch + drug:depth + (epoch | animal)", "II", "drug:depth")}


def data_of(name: str) -> pd.DataFrame:
    table = pd.DataFrame(REFERENCE["data"][name])
    if "drug" in table:
        table["drug"] = pd.Categorical(table["drug"], categories=DRUGS)
    return table


def fitted(table: pd.DataFrame, formula: str, method: str = "reml"):
    frame = model_frame(table, read_formula(formula))
    tree = deviance_function(frame)
    return model_of(frame, tree), tree, optimise(tree, method=method)


CASES = [(each["data"], each["answers"]) for each in REFERENCE["models"] if "anova" in each["answers"]]


@pytest.mark.parametrize(
    ("data", "answers"),
    [pytest.param(*case, id=f"{case[1]['formula']} {case[1]['method']}") for case in CASES],
)
def test_all_types_and_both_degrees_of_freedom_are_those_of_lmer_test(data, answers):
    model, tree, optimum = fitted(data_of(data), answers["formula"], answers["method"])
    n_compared = 0
    for kind, by_ddf in answers["anova"].items():
        for ddf, rows in by_ddf.items():
            found = anova(model, inference(tree, optimum, ddf=ddf), type=kind)
            assert [each.term for each in found.tests] == [row["term"] for row in rows]
            for test, row in zip(found.tests, rows, strict=True):
                if (answers["formula"], kind, test.term) in DIFFERENT:
                    continue
                # lme4 ends its search with about 1e-7 of error in the variances; F inherits it.
                assert test.f == pytest.approx(row["f"], rel=2e-6)
                assert test.sum_sq == pytest.approx(row["sum_sq"], rel=2e-6)
                assert test.mean_sq == pytest.approx(row["mean_sq"], rel=2e-6)
                assert test.num_df == row["num_df"]
                assert test.den_df == pytest.approx(row["den_df"], rel=1e-5)
                assert test.p == pytest.approx(row["p"], rel=1e-5)
                n_compared += 1
    assert n_compared >= 6


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    n = 240
    table = pd.DataFrame({"animal": np.repeat(np.arange(24), 10), "x": rng.normal(50.0, 2.0, n)})
    table["cond"] = rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1])
    table["sex"] = np.where(table["animal"] % 3 == 0, "f", "m")
    table["y"] = rng.normal(size=24)[table["animal"]] + 0.3 * (table["cond"] == "b") + rng.normal(size=n)
    return table


def contrasts(table: pd.DataFrame, text: str, kind: str = "III") -> dict[str, list[list[float]]]:
    frame = model_frame(table, read_formula(text))
    tree = deviance_function(frame)
    found = term_contrasts(model_of(frame, tree), tree.scaling.fixed, type=kind)
    return {":".join(term): np.round(rows, 9).tolist() for term, rows in found.items()}


def test_a_main_effect_averages_over_the_levels_it_is_crossed_with(table):
    found = contrasts(table, "y ~ cond*sex + x + (1|animal)")
    # (Intercept), condb, condc, sexm, x, condb:sexm, condc:sexm
    assert found["cond"] == [[0, 1, 0, 0, 0, 0.5, 0], [0, 0, 1, 0, 0, 0, 0.5]]
    third = round(1 / 3, 9)
    assert found["sex"] == [[0, 0, 0, 1, 0, third, third]]
    assert found["x"] == [[0, 0, 0, 0, 1, 0, 0]]
    assert found["cond:sex"] == [[0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 1]]


def test_a_factor_crossed_with_a_number_is_tested_where_the_number_is_zero(table):
    found = contrasts(table, "y ~ sex*x + (1|animal)")
    assert found["sex"] == [[0, 1, 0, 0]]
    assert found["x"] == [[0, 0, 1, 0.5]]


def test_without_an_intercept_all_levels_are_tested(table):
    assert contrasts(table, "y ~ 0 + sex + x + (1|animal)")["sex"] == [[1, 0, 0], [0, 1, 0]]


# lmerTest 3.1-3, crossover of inference.json, levels as in DRUGS: options(contrasts = c(k, "contr.poly"));
# anova(lmer(formula, d, control = lmerControl(optCtrl = list(xtol_abs=1e-12, ftol_abs=1e-12))), type = 3).
# Both k, contr.treatment and contr.sum, give these to 1e-7: term, num_df, den_df, F.
WITHOUT_INTERCEPT = {
    "y ~ 0 + drug*sex + (1|animal)": [
        ("drug", 3, 10.914554, 9.576867),
        ("sex", 1, 4.924692, 0.72806990),
        ("drug:sex", 2, 211.792187, 16.825822),
    ],
    "y ~ 0 + depth*drug*sex + (1|animal)": [
        ("depth", 1, 204.487288, 16.4287934),
        ("drug", 3, 46.199125, 0.96234438),
        ("sex", 1, 14.378671, 4.0906794e-4),
        ("depth:drug", 2, 205.931716, 1.09758560),
        ("depth:sex", 1, 204.487288, 0.48659378),
        ("drug:sex", 2, 205.443217, 0.70848162),
        ("depth:drug:sex", 2, 205.931716, 0.84341874),
    ],
}


@pytest.mark.parametrize("coding", ["treatment", "sum"])
@pytest.mark.parametrize("formula", WITHOUT_INTERCEPT)
def test_without_an_intercept_type_three_is_that_of_lmer_test_in_any_coding(formula, coding):
    found = fit(data_of("crossover"), formula, contrasts=coding).anova(ddf="satterthwaite")
    terms, num_df, den_df, f = zip(*WITHOUT_INTERCEPT[formula], strict=True)
    assert found["term"].tolist() == list(terms)
    assert found["num_df"].tolist() == list(num_df)
    # The search of lme4 leaves 1e-7 in the variances; an F near zero is the square of a difference near zero.
    assert found["den_df"].to_numpy() == pytest.approx(den_df, rel=2e-6)
    assert found["f"].to_numpy() == pytest.approx(f, rel=2e-6, abs=1e-8)


def test_a_missing_margin_without_an_intercept_is_averaged_over_whatever_level_is_first(table):
    formula = "y ~ 0 + cond + cond:sex + (1|animal)"
    assert contrasts(table, formula)["cond"][0] == [1, 0, 0, 0.5, 0, 0]
    first = fit(table, formula).anova()
    table["sex"] = pd.Categorical(table["sex"], categories=["m", "f"])
    assert np.allclose(first["f"], fit(table, formula).anova()["f"], rtol=1e-8)


def test_type_one_is_sequential_and_type_two_adjusts_for_what_does_not_contain_the_term(table):
    first = contrasts(table, "y ~ cond + sex + (1|animal)", "I")
    X = model_frame(table, read_formula("y ~ cond + sex + (1|animal)")).fixed.matrix
    # Without sex in the model, cond has this share of the effect of sex.
    regression = np.linalg.lstsq(X[:, :3], X[:, 3], rcond=None)[0]
    assert first["cond"][1] == pytest.approx([0, 0, 1, regression[2]], abs=1e-9)
    assert first["sex"] == [[0, 0, 0, 1]]
    assert contrasts(table, "y ~ cond + sex + (1|animal)", "II")["cond"] == [[0, 1, 0, 0], [0, 0, 1, 0]]


def test_tests_do_not_depend_on_the_reference_level(table):
    first = fit(table, "y ~ cond*sex + x + (1|animal)").anova()
    table["cond"] = pd.Categorical(table["cond"], categories=["c", "a", "b"])
    table["sex"] = pd.Categorical(table["sex"], categories=["m", "f"])
    second = fit(table, "y ~ cond*sex + x + (1|animal)").anova()
    assert first["term"].tolist() == second["term"].tolist()
    assert np.allclose(first["f"], second["f"], rtol=1e-8)
    assert np.allclose(first["den_df"], second["den_df"], rtol=1e-7)


def test_types_agree_in_a_balanced_design():
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"animal": np.repeat(np.arange(8), 6), "epoch": np.tile(["a", "b", "c"], 16)})
    table["arm"] = np.where(table["animal"] < 4, "drug", "saline")
    table["y"] = rng.normal(size=8)[table["animal"]] + rng.normal(size=48)
    model, tree, optimum = fitted(table, "y ~ arm*epoch + (1|animal)")
    own = inference(tree, optimum)
    tables = [anova(model, own, type=kind).table() for kind in (1, 2, 3)]
    for other in tables[1:]:
        assert np.allclose(tables[0]["f"], other["f"], rtol=1e-9)
        assert np.allclose(other["den_df"], [6.0, 36.0, 36.0], rtol=1e-6)


def test_a_model_of_the_intercept_has_no_tests(table):
    found = fit(table, "y ~ 1 + (1|animal)").anova()
    assert found.empty
    assert found.columns.tolist() == ["term", "sum_sq", "mean_sq", "num_df", "den_df", "f", "p"]


def test_other_types_are_refused(table):
    model, tree, optimum = fitted(table, "y ~ cond + (1|animal)")
    with pytest.raises(ValueError, match="available are I, II, III"):
        anova(model, inference(tree, optimum), type="IV")


def test_a_term_of_too_many_cells_is_refused(table, monkeypatch):
    model, tree, optimum = fitted(table, "y ~ cond*sex + (1|animal)")
    monkeypatch.setattr("nwbswitch.analysis.inference.estimable_functions.MAX_CELLS", 5)
    with pytest.raises(FitError, match="cond:sex have 6 combinations"):
        anova(model, inference(tree, optimum))
    model, tree, optimum = fitted(table, "y ~ 0 + cond*sex + (1|animal)")
    with pytest.raises(FitError, match="have 6 combinations"):
        anova(model, inference(tree, optimum))


def test_an_anova_tells_itself_in_words_and_json(table):
    model, tree, optimum = fitted(table, "y ~ cond*sex + (1|animal)")
    found = anova(model, inference(tree, optimum), type="II")
    assert isinstance(found, Anova)
    text = found.summary()
    assert "Type II" in text
    assert "kenward-roger" in text
    assert "cond:sex" in text
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["tests"][0]["term"] == "cond"


def test_joined_degrees_of_freedom_do_not_depend_on_the_coding(table):
    # As in lmerTest, whose rows of type III are differences from the first level in any coding.
    tests = [
        fit(table, "y ~ cond*sex + (1|animal)", contrasts=coding).anova(type="III", ddf="satterthwaite")
        for coding in ("treatment", "sum")
    ]
    assert np.allclose(tests[0]["f"], tests[1]["f"], rtol=1e-7)
    assert np.allclose(tests[0]["den_df"], tests[1]["den_df"], rtol=1e-6)


def test_an_unknown_coding_is_refused(table):
    with pytest.raises(ValueError, match="available are treatment, sum"):
        fit(table, "y ~ cond + (1|animal)", contrasts="helmert")


def test_a_coverage_in_percent_is_refused(table):
    with pytest.raises(ValueError, match="level is 95; it must be between 0 and 1"):
        fit(table, "y ~ cond + (1|animal)").table(level=95)
