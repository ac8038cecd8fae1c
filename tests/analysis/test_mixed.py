"""`fit` against lme4 and lmerTest (tests/reference/README.md), and what a user relies on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.inference.inference import inference
from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.analysis.mixed.optimum import optimise
from nwbswitch.analysis.mixed.prepare import prepare
from nwbswitch.analysis.mixed.result import MixedFit
from nwbswitch.schemas.errors import FormulaError

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
MODELS = json.loads((REFERENCE / "mixed_models.json").read_text())["models"]
CASES = json.loads((REFERENCE / "mixed_cases.json").read_text())
NESTED = [(name, method) for name in MODELS if name != "Penicillin" for method in ("reml", "ml")]


def cases_table() -> pd.DataFrame:
    return pd.DataFrame(CASES["data"])


def check_against(found: MixedFit, answer: dict[str, Any]) -> None:
    assert found.criterion <= answer["criterion"] + 1e-8
    assert found.criterion == pytest.approx(answer["criterion"], rel=1e-8)
    assert found.info["converged"]
    assert found.info["singular"] == answer["isSingular"]
    assert [each.term for each in found.fixed] == list(answer["beta"])
    for each in found.fixed:
        assert each.estimate == pytest.approx(answer["beta"][each.term], abs=1e-6 * each.se, rel=1e-6)
        assert each.se == pytest.approx(answer["se"][each.term], rel=1e-5)
        assert each.df == pytest.approx(answer["satterthwaite_df"][each.term], rel=1e-4)
        assert each.p == pytest.approx(answer["satterthwaite_p"][each.term], rel=1e-3)
    sigma = answer["sigma"]
    sds = {(each.group, each.term): each.sd for each in found.components}
    correlations = {(each.group, each.term_1, each.term_2): each.correlation for each in found.correlations}
    for row in answer["varcorr"]:
        if row["var2"] is None:
            # lme4 swaps the names of blocks of one group; find the block by its effect.
            group = next(g for g, t in sds if t == (row["var1"] or "") and same_group(g, row["grp"]))
            assert sds[group, row["var1"] or ""] == pytest.approx(row["sdcor"], abs=1e-5 * sigma)
        else:
            ours = correlations[row["grp"], row["var1"], row["var2"]]
            assert ours == pytest.approx(row["sdcor"], abs=1e-5)
    for test, expected in zip(found.anova().itertuples(), answer.get("anova", []), strict=False):
        assert test.term == expected["term"]
        assert test.num_df == expected["NumDF"]
        assert test.f == pytest.approx(expected["F value"], rel=2e-5)
        assert test.den_df == pytest.approx(expected["DenDF"], rel=1e-4)
        assert test.sum_sq == pytest.approx(expected["Sum Sq"], rel=2e-5)


def same_group(ours: str, lme4: str) -> bool:
    # as.data.frame writes "." for ":" when a group has several blocks.
    return ours.removesuffix(".1").replace(":", ".") == lme4.removesuffix(".1").replace(":", ".")


@pytest.mark.parametrize(("name", "method"), NESTED)
def test_published_and_simulated_sets(name, method):
    answer = MODELS[name][method]
    found = fit(pd.DataFrame(MODELS[name]["data"]), answer["formula"], method=method, ddf="satterthwaite")
    check_against(found, answer)
    assert np.allclose(found.vcov, answer["vcov"], rtol=1e-5)


@pytest.mark.parametrize(
    "answer",
    [pytest.param(case, id=f"{case['formula']} {case['method']}") for case in CASES["cases"]],
)
def test_formula_language_codings_and_depth(answer):
    found = fit(cases_table(), answer["formula"], method=answer["method"], ddf="satterthwaite")
    check_against(found, answer)
    assert len(found.anova()) == len(answer["anova"])
    assert found.aic == pytest.approx(answer["aic"], rel=1e-9)
    assert found.bic == pytest.approx(answer["bic"], rel=1e-9)


def test_crossed_groups_choose_their_engine():
    table = pd.DataFrame(MODELS["Penicillin"]["data"])
    found = fit(table, MODELS["Penicillin"]["reml"]["formula"])
    assert found.info["engine"] == "nested and crossed"
    assert found.info["engine_reason"].endswith("Few are crossed with them: sample.")
    check_against(found, MODELS["Penicillin"]["reml"])


@pytest.mark.parametrize("measure", ["eventrate", "amplitude", "frequency"])
def test_psilocybin_branches(shared, measure):
    folder = shared / "data" / "drug_table_psilocybin"
    answer = json.loads((folder / "lme4_reference.json").read_text())[f"branch {measure}"]
    change = f"({measure}_post-{measure}_pre)/{measure}_pre"
    found = fit(
        pd.read_csv(folder / "branches.csv"),
        f"{change} ~ treatment*cell_type + (1|subject/fov)",
        where=f"{change} < 8" if measure == "eventrate" else None,
        ddf="satterthwaite",
    )
    assert found.n == answer["n"]
    assert found.info["singular"] == answer["singular"]
    assert found.criterion == pytest.approx(answer["reml"], abs=1e-8)
    for each in found.fixed:
        assert each.estimate == pytest.approx(answer["fixef"][each.term], rel=1e-5, abs=1e-6 * each.se)
        assert each.se == pytest.approx(answer["se"][each.term], rel=1e-5)
    for component in found.components:
        assert component.sd == pytest.approx(answer["sd"][component.group], rel=1e-5)
    for test, row in zip(found.anova().itertuples(), answer["anova"], strict=True):
        assert test.term == row["term"]
        assert test.f == pytest.approx(row["F value"], rel=1e-5)
        assert test.den_df == pytest.approx(row["DenDF"], rel=1e-5)
        assert test.p == pytest.approx(row["Pr(>F)"], rel=1e-4)
        assert test.mean_sq == pytest.approx(row["Mean Sq"], rel=1e-5)
    if measure == "amplitude":
        assert found.info["boundary"] == ["subject: (Intercept) has variance 0"]


@pytest.fixture(scope="module")
def crossover() -> pd.DataFrame:
    return pd.DataFrame(MODELS["sim_crossover"]["data"])


FORMULA = MODELS["sim_crossover"]["reml"]["formula"]


def test_an_offset_and_a_unit_of_the_response_change_nothing_else(crossover):
    plain = fit(crossover, FORMULA)
    moved = fit(crossover.assign(y=crossover["y"] + 1e6), FORMULA)
    scaled = fit(crossover.assign(y=crossover["y"] * 1e-9), FORMULA)
    for before, after, small in zip(plain.fixed[1:], moved.fixed[1:], scaled.fixed[1:], strict=True):
        assert after.estimate == pytest.approx(before.estimate, rel=1e-7, abs=1e-8)
        assert after.se == pytest.approx(before.se, rel=1e-8)
        assert after.df == pytest.approx(before.df, rel=1e-7)
        assert small.t == pytest.approx(before.t, rel=1e-7)
    assert moved.fixed[0].estimate == pytest.approx(plain.fixed[0].estimate + 1e6, rel=1e-14)
    assert moved.criterion == pytest.approx(plain.criterion, rel=1e-10)


def test_the_scale_of_a_covariate_changes_nothing_else(crossover):
    plain = fit(crossover, FORMULA)
    stretched = fit(crossover.assign(epoch=crossover["epoch"] * 1e6), FORMULA)
    assert stretched.fixed[2].t == pytest.approx(plain.fixed[2].t, rel=1e-7)
    assert stretched.fixed[2].df == pytest.approx(plain.fixed[2].df, rel=1e-6)


def test_the_order_of_rows_and_the_names_of_groups_do_not_matter(crossover):
    plain = fit(crossover, FORMULA).as_dict()
    shuffled = crossover.sample(frac=1.0, random_state=1).reset_index(drop=True)
    shuffled["animal"] = shuffled["animal"].map(lambda name: int(name[1:]) * 37 % 101)
    other = fit(shuffled, FORMULA).as_dict()
    assert other["criterion"] == pytest.approx(plain["criterion"], rel=1e-12)
    for before, after in zip(plain["fixed"], other["fixed"], strict=True):
        assert after["estimate"] == pytest.approx(before["estimate"], rel=1e-8)
        assert after["df"] == pytest.approx(before["df"], rel=1e-7)


def test_the_data_are_not_changed(crossover):
    before = crossover.copy(deep=True)
    fit(crossover, FORMULA, where="epoch >= 0")
    pd.testing.assert_frame_equal(crossover, before)


def test_json_has_the_documented_shape(crossover):
    found = json.loads(json.dumps(fit(crossover, FORMULA).as_dict(), allow_nan=False))
    assert list(found["fixed"][0]) == ["term", "estimate", "se", "df", "t", "p", "ci_low", "ci_high"]
    assert list(found["random"][0]) == ["group", "term", "sd", "variance"]
    assert list(found["anova"][0]) == ["term", "sum_sq", "mean_sq", "num_df", "den_df", "f", "p"]
    assert [each["group"] for each in found["random"]][-1] == "Residual"
    assert {
        "engine",
        "converged",
        "singular",
        "iterations",
        "starts",
        "n_missing",
        "groups",
        "warnings",
    } <= set(found["info"])
    assert found["info"]["groups"] == {"neuron": 136, "session": 32, "animal": 8}
    assert found["n"] == 490


def test_tables_hold_what_the_fit_holds(crossover):
    found = fit(crossover, FORMULA)
    assert found.table()["term"].tolist() == ["(Intercept)", "drug", "epoch", "drug:epoch"]
    assert found.random()["group"].tolist() == [
        "neuron",
        "session",
        "session",
        "animal",
        "animal",
        "Residual",
    ]
    assert found.anova()["term"].tolist() == ["drug", "epoch", "drug:epoch"]
    low, high = found.table().loc[0, ["ci_low", "ci_high"]]
    assert low < found.fixed[0].estimate < high


def test_summary_says_what_was_done_and_found(crossover):
    text = fit(crossover.assign(y=crossover["y"].where(crossover.index > 2)), FORMULA).summary()
    for words in (
        "487 rows (3 with missing",
        "REML criterion",
        "drug:epoch",
        "Converged",
        "Residual",
        "type III",
    ):
        assert words in text


def test_without_degrees_of_freedom_tests_are_z_tests(crossover):
    found = fit(crossover, FORMULA, ddf="none")
    assert found.as_dict()["fixed"][0]["df"] is None
    assert found.fixed[3].p == pytest.approx(9.82e-6, rel=1e-2)
    assert found.fixed[3].ci_high - found.fixed[3].estimate == pytest.approx(1.959964 * found.fixed[3].se)
    assert "(z)" in found.summary()


def test_the_four_steps_can_be_taken_one_by_one(crossover):
    model, deviance, rows = prepare(crossover, read_formula(FORMULA))
    optimum = optimise(deviance, method="reml")
    found = MixedFit(model, deviance, optimum, inference(deviance, optimum), rows)
    assert found.as_dict() == fit(crossover, FORMULA).as_dict()


@pytest.mark.parametrize("arguments", [{"ddf": "between-within"}, {"method": "mle"}])
def test_unknown_choices_list_what_there_is(crossover, arguments):
    with pytest.raises(ValueError, match="available are"):
        fit(crossover, FORMULA, **arguments)


def test_a_hostile_condition_is_refused(crossover):
    with pytest.raises(FormulaError, match="not allowed"):
        fit(crossover, FORMULA, where="().__class__.__bases__[0].__subclasses__()")


def test_two_hundred_thousand_rows_and_four_levels():
    rng = np.random.default_rng(8)
    n = 200_000
    table = pd.DataFrame({"neuron": np.arange(n) // 4})
    table["session"], table["animal"], table["dataset"] = (
        table["neuron"] // 250,
        table["neuron"] // 1000,
        table["neuron"] // 10_000,
    )
    table["epoch"] = np.arange(n) % 2
    truth = {"dataset": 0.0, "animal": 0.5, "session": 0.4, "neuron": 1.0}
    table["y"] = 0.3 * table["epoch"] + rng.normal(size=n)
    for name, sd in truth.items():
        table["y"] += rng.normal(0.0, sd, table[name].nunique())[table[name]]
    found = fit(table, "y ~ epoch + (1|dataset/animal/session/neuron)")
    assert found.info["converged"]
    sds = {each.group.split(":")[0]: each.sd for each in found.components}
    assert sds["neuron"] == pytest.approx(1.0, rel=0.02)
    assert sds["session"] == pytest.approx(0.4, rel=0.2)
    assert found.fixed[1].estimate == pytest.approx(0.3, abs=5 * found.fixed[1].se)
