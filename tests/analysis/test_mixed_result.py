"""`MixedFit`: every question is answered, from rows and from summaries, and looks as documented."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.analysis.mixed.group_effects import population_fit
from nwbswitch.analysis.summaries.summarise import summarise
from nwbswitch.schemas.errors import FitError, FormulaError

FORMULA = "y ~ drug * epoch + (1 + epoch | animal) + (1 | animal:neuron)"


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    index = pd.MultiIndex.from_product([range(10), range(5), ["pre", "post"], range(2)])
    found = index.to_frame(index=False, name=["animal", "neuron", "epoch", "rep"])
    found["drug"] = np.where(found["animal"] % 2, "ketamine", "saline")
    late = (found["epoch"] == "pre").to_numpy(dtype=float)
    found["w"] = rng.uniform(0.5, 2.0, len(found))
    found["y"] = rng.normal(0.0, 0.8, 10)[found["animal"]] + rng.normal(0.0, 0.6, 10)[found["animal"]] * late
    found["y"] += rng.normal(0.0, 0.7, 50)[5 * found["animal"] + found["neuron"]] + late
    found["y"] += rng.normal(size=len(found)) / np.sqrt(found["w"])
    found["animal"] = [f"m{each:02d}" for each in found["animal"]]
    return found


@pytest.fixture(scope="module")
def found(table):
    return fit(table, FORMULA)


@pytest.fixture(scope="module")
def summed(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("summed")
    table.to_parquet(folder / "cells.parquet")
    summarise([folder / "cells.parquet"], FORMULA, out=folder / "sums", quiet=True)
    return fit(folder / "sums", FORMULA)


REFERENCE = Path(__file__).resolve().parents[1] / "reference"
SETS = json.loads((REFERENCE / "mixed_models.json").read_text())["models"]
LME4 = json.loads((REFERENCE / "mixed_result.json").read_text())


@pytest.mark.parametrize("name", ["sleepstudy", "sim_crossover"])
def test_predictions_residuals_and_conditional_sds_are_those_of_lme4(name):
    # lme4 stops with about 1e-7 of error in theta; conditional values move by as much.
    data, answer = pd.DataFrame(SETS[name]["data"]), LME4[name]
    model = fit(data, SETS[name]["reml"]["formula"])
    sigma = model.components[-1].sd
    assert model.predict(data)[:20].to_numpy() == pytest.approx(answer["population"], rel=1e-6)
    fitted = model.predict(data, groups=True)[:20]
    assert np.allclose(fitted, answer["fitted"], atol=1e-5 * sigma)
    diagnostics = model.diagnostics()
    assert np.allclose(diagnostics.residuals["scaled"][:20], answer["scaled_residuals"], atol=2e-5)
    new = data.head(6).astype({answer["outer"]: str})
    new[answer["outer"]] = answer["new"]["groups"]
    for inner in {"session", "neuron"} & set(new):
        new[inner] = "another"
    assert np.allclose(model.predict(new, groups=True), answer["new"]["outermost"], atol=1e-5 * sigma)
    own = diagnostics.effects.set_index(["group", "level", "term"])["sd"]
    for row in answer["conditional_sd"]:
        ours = own[answer["outer"], row["level"], row["term"]]
        assert ours == pytest.approx(row["sd"], rel=1e-5)
    first = str(data[answer["outer"]].iloc[0])
    influence = diagnostics.influence
    without = influence[influence["level"] == first]["estimate"]
    se = model.table()["se"].to_numpy()
    assert np.all(np.abs(without.to_numpy() - answer["without_first"]) < 1e-5 * se)


def test_a_fit_shows_itself_in_one_line(found):
    assert repr(found) == (
        f"<MixedFit {FORMULA!r}: REML, 200 rows, criterion {found.criterion:.3f}, Kenward-Roger>"
    )


QUESTIONS = {
    "marginal_means": lambda each: each.marginal_means("drug", by="epoch"),
    "contrasts": lambda each: each.contrasts("drug", by="epoch", method="pairwise", adjust="holm"),
    "equivalence": lambda each: each.equivalence("drugsaline", margin=2.0),
    "robust": lambda each: each.robust(type="CR2"),
    "influence": lambda each: each.influence(),
    "permutation": lambda each: each.permutation("drug"),
    "bootstrap": lambda each: each.bootstrap(n=10, seed=1, quiet=True),
    "bootstrap_test": lambda each: each.bootstrap_test("drug:epoch", n=10, seed=1, quiet=True),
    "wild_bootstrap": lambda each: each.wild_bootstrap("drug", n=99, seed=1),
    "profile": lambda each: each.profile(terms=["sigma"]),
    "diagnostics": lambda each: each.diagnostics(),
}


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("source", ["rows", "summaries"])
def test_every_question_has_a_table_a_text_and_json(found, summed, source, name):
    answer = QUESTIONS[name](found if source == "rows" else summed)
    assert len(answer.table())
    assert len(answer.summary()) > 40
    assert json.dumps(answer.as_dict(), allow_nan=False)


@pytest.mark.parametrize(
    "name", ["marginal_means", "contrasts", "equivalence", "robust", "permutation", "wild_bootstrap"]
)
def test_summaries_answer_as_rows_do(found, summed, name):
    ours, theirs = QUESTIONS[name](found).table(), QUESTIONS[name](summed).table()
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-6, atol=1e-9)


def test_a_fit_from_summaries_says_that_it_has_no_residuals(summed):
    diagnostics = summed.diagnostics()
    assert summed.rows is None
    assert diagnostics.residuals is None
    assert any("no residuals" in note for note in diagnostics.notes)
    assert any("animal:neuron" in note for note in diagnostics.notes)
    with pytest.raises(FitError, match=r"were not kept, only sums"):
        summed.predict(pd.DataFrame({"drug": ["saline"], "epoch": ["pre"], "animal": ["m00"]}), groups=True)


def test_fitted_values_and_residuals_add_up_to_the_response(found, table):
    residuals = found.diagnostics().residuals
    assert residuals is not None
    response = table["y"].to_numpy()[residuals["row"]]
    assert np.allclose(residuals["fitted"] + residuals["residual"], response, atol=1e-12)
    assert np.allclose(found.predict(table, groups=True), residuals["fitted"], atol=1e-9)
    own = population_fit(found.deviance, found.optimum, found.rows)
    assert np.allclose(found.predict(table), own, atol=1e-9)
    sigma = found.components[-1].sd
    assert np.allclose(residuals["scaled"], residuals["residual"] / sigma, atol=1e-12)


def test_predictions_do_not_depend_on_the_coding(found, table):
    coded = fit(table, FORMULA, contrasts="sum")
    assert np.allclose(coded.predict(table), found.predict(table), atol=1e-7)
    assert np.allclose(coded.predict(table, groups=True), found.predict(table, groups=True), atol=1e-6)
    residuals = coded.diagnostics().residuals
    assert np.allclose(coded.predict(table, groups=True), residuals["fitted"], atol=1e-9)


def test_row_weights_scale_residuals(table):
    holed = table.copy()
    holed.loc[holed.index[:2], "w"] = np.nan
    weighted = fit(holed, FORMULA, weights="w")
    residuals = weighted.diagnostics().residuals
    assert residuals is not None
    assert len(residuals) == weighted.n == len(table) - 2
    expected = residuals["residual"] * np.sqrt(holed["w"].to_numpy()[residuals["row"]])
    assert np.allclose(residuals["scaled"], expected / weighted.components[-1].sd, atol=1e-12)
    assert weighted.info["missing"] == {"w": 2}
    assert weighted.info["weights"] == "w"
    assert "weights w" in weighted.summary()


def test_conditional_means_cancel_residuals(found):
    # At the mode, Z'e = Psi^-1 b: residuals summed in a neuron are its effect times sigma^2 / tau^2.
    residuals, rows = found.diagnostics().residuals, found.rows
    effects = found.effects().query("group == 'animal:neuron'").set_index("level")["estimate"]
    sums = pd.Series(residuals["residual"]).groupby(rows.levels[0].codes).sum()
    sds = {each.group: each.sd for each in found.components}
    ratio = (sds["Residual"] / sds["animal:neuron"]) ** 2
    expected = effects.loc[list(rows.levels[0].labels)].to_numpy() * ratio
    assert np.allclose(sums, expected, atol=1e-8)


def test_neurons_followed_over_sessions_look_the_same_with_either_engine():
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([range(5), range(3), range(6), range(2)])
    table = index.to_frame(index=False, name=["animal", "day", "cell", "epoch"])
    table = table[rng.random(len(table)) < 0.9].reset_index(drop=True)
    table["session"] = table["animal"].astype(str) + "-" + table["day"].astype(str)
    table["neuron"] = table["animal"].astype(str) + "/" + table["cell"].astype(str)
    table["y"] = rng.normal(size=len(table))
    for name in ("animal", "session", "neuron"):
        codes = pd.factorize(table[name])[0]
        table["y"] += rng.normal(size=codes.max() + 1)[codes]
    formula = "y ~ epoch + (1 | animal) + (1 | session) + (1 | neuron)"
    tree, sparse = (fit(table, formula, engine=engine) for engine in ("auto", "sparse"))
    assert (tree.info["engine"], sparse.info["engine"]) == ("nested and crossed", "sparse")
    keys = ["group", "level", "term"]
    ours, theirs = (each.effects().set_index(keys)["estimate"].sort_index() for each in (tree, sparse))
    pd.testing.assert_series_equal(ours, theirs, atol=1e-7)
    one, other = tree.diagnostics(), sparse.diagnostics()
    assert np.allclose(one.residuals["residual"], other.residuals["residual"], atol=1e-7)
    keys = ["level", "term"]
    shifts = [each.influence.set_index(keys)["shift"].sort_index() for each in (one, other)]
    assert np.allclose(shifts[0], shifts[1], atol=1e-5)
    assert np.allclose(tree.predict(table, groups=True), one.residuals["fitted"], atol=1e-9)


def test_a_smaller_model_is_compared_either_way_round(table):
    large, small = (
        fit(table, FORMULA, method="ml"),
        fit(table, "y ~ epoch + (1 + epoch | animal) + (1 | animal:neuron)", method="ml"),
    )
    test = large.compare(small)
    assert test == small.compare(large)
    assert test.df == 2
    assert test.statistic == pytest.approx(small.criterion - large.criterion)


def test_other_degrees_of_freedom_without_fitting_again(found, table):
    other = fit(table, FORMULA, ddf="satterthwaite")
    pd.testing.assert_frame_equal(found.table(ddf="satterthwaite"), other.table())
    pd.testing.assert_frame_equal(found.anova(type="II", ddf="satterthwaite"), other.anova(type="II"))
    assert found.ddf == "kenward-roger"


def test_intervals_of_three_kinds(found):
    wald, boot = found.confint(), found.confint(method="boot", n=60, seed=3)
    assert wald["term"].tolist() == list(found.model.names)
    assert boot["term"].tolist()[:4] == list(found.model.names)
    table = found.table(level=0.9)
    assert (found.confint(level=0.9)["ci_low"] == table["ci_low"]).all()
    assert (found.confint(level=0.9)["ci_low"] > wald["ci_low"]).all()
    with pytest.raises(ValueError, match="available are wald, profile, boot"):
        found.confint(method="exact")


def test_text_and_json_hold_the_type_of_tests_that_was_asked(table):
    unbalanced = fit(table.drop(index=range(7)), FORMULA)
    for kind in ("I", "II", "III"):
        assert unbalanced.as_dict(anova=kind)["anova"] == unbalanced.anova(type=kind).to_dict("records")
        assert f"Tests of terms (type {kind})" in unbalanced.summary(anova=kind)
    assert unbalanced.anova(type="I")["f"][0] != pytest.approx(unbalanced.anova(type="III")["f"][0])


def test_a_fit_by_ml_says_that_kenward_roger_is_of_the_fit_by_reml(table, found):
    by_ml = fit(table, FORMULA, method="ml")
    assert by_ml.info["fixed_by"] == "reml"
    assert "Fixed effects (t, Kenward-Roger; of the fit by REML)" in by_ml.summary()
    assert by_ml.table()["estimate"].to_numpy() == pytest.approx(found.table()["estimate"], abs=1e-7)
    assert "of the fit by" not in fit(table, FORMULA, method="ml", ddf="satterthwaite").summary()


def test_json_names_the_engine_and_why(found):
    values = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert values["info"]["engine"] == "nested"
    assert values["info"]["engine_reason"]
    assert values["info"]["contrasts"] == "treatment"
    assert values["ddf"] == "kenward-roger"


def test_tables_for_papers_hold_every_part(found):
    for text in (found.to_markdown(), found.to_latex()):
        for words in ("Fixed effects (t, Kenward-Roger)", "type III", "Random effects", "drugsaline"):
            assert words in text
    assert found.to_latex().count(r"\toprule") == found.to_latex().count(r"\end{tabular}") == 3


def test_a_singular_fit_is_told_in_words(table):
    text = fit(table.assign(y=np.random.default_rng(5).normal(size=len(table))), FORMULA).summary()
    assert "Singular fit: " in text
    assert "has variance 0" in text


def test_nothing_heavy_is_imported_for_a_table():
    code = (
        "import sys, nwbswitch.analysis.mixed.fit\n"
        "assert not {'matplotlib', 'h5py', 'pynwb', 'pydantic', 'pyarrow.parquet'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr


def test_a_random_slope_far_from_zero_is_named(table: pd.DataFrame) -> None:
    far = table.assign(x=table["w"] + 1e4)
    warnings = fit(far, "y ~ x + (x | animal)").info["warnings"]
    assert any("slope on x loses digits" in each and "I(x - 1000" in each for each in warnings)
    centred = fit(far, "y ~ I(x - 10001) + (I(x - 10001) | animal)")
    near = fit(table, "y ~ w + (w | animal)")
    assert not any("loses digits" in each for each in (*centred.info["warnings"], *near.info["warnings"]))
    assert centred.criterion == pytest.approx(near.criterion, rel=1e-9)


def test_results_show_themselves_as_their_text(found):
    for each in (
        found.marginal_means("drug"),
        found.contrasts("drug", by="epoch"),
        found.equivalence("epochpre", margin=1.0),
        found.permutation("drug"),
        found.robust(),
        found.wild_bootstrap("drug", n=99, seed=1),
    ):
        assert repr(each) == each.summary()


def test_long_results_show_themselves_in_one_line(found):
    coefficients = len(found.table())
    assert repr(found.inference) == (f"<Inference on {coefficients} coefficients: REML, ddf kenward-roger>")
    assert repr(found.influence()) == f"<Influence of 10 levels of animal on {coefficients} coefficients>"
    assert repr(found.diagnostics()) == f"<Diagnostics of {found!r}>"
    assert repr(found.profile(terms=["epochpre"])) == "<Profile of 1 parameters: 95 % intervals>"


def test_wrong_arguments_are_said_in_one_sentence(found, table):
    with pytest.raises(TypeError, match="other must be a linear mixed model .* not int"):
        found.compare(3)
    with pytest.raises(TypeError, match="formula must be text .* not NoneType"):
        fit(table, None)
    with pytest.raises(TypeError, match=r"n is 2\.5; it must be a whole number"):
        found.bootstrap(n=2.5, seed=1)
    levelled = table.set_axis(pd.MultiIndex.from_product([["a"], table.columns]), axis=1)
    with pytest.raises(TypeError, match=r"2 levels \(a MultiIndex\); flatten"):
        fit(levelled, FORMULA)


@pytest.mark.parametrize("formula", ["y ~ pair + (1 | animal)", "y ~ 1 + (1 | pair)"])
@pytest.mark.parametrize("engine", ["nested", "sparse"])
def test_a_column_of_lists_is_named(table, formula, engine):
    with pytest.raises(FormulaError, match="column 'pair' holds values .* such as a list"):
        fit(table.assign(pair=[[1, 2]] * len(table)), formula, engine=engine)
