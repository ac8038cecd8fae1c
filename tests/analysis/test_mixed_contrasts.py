"""Contrasts against emmeans (tests/reference/inference.R), and what they mean."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.inference.contrasts import coefficient_contrasts, contrasts, interaction_contrasts
from nwbswitch.analysis.inference.marginal_means import MarginalMeans, marginal_means, slopes
from nwbswitch.analysis.mixed.fit import fit

ANSWERS = json.loads((Path(__file__).resolve().parents[1] / "reference" / "inference.json").read_text())
CROSSOVER = "y ~ drug * epoch + sex + depth + (1 | animal) + (1 | session) + (1 | neuron)"
NAMES = {"SE": "se", "lower.CL": "ci_low", "upper.CL": "ci_high", "t.ratio": "t", "p.value": "p"}
DDF = ["kenward-roger", "satterthwaite"]


def fitted(ddf: str) -> Any:
    table = pd.DataFrame(ANSWERS["data"]["crossover"])
    table["drug"] = pd.Categorical(table["drug"], categories=["saline", "low", "high"])
    return fit(table, CROSSOVER, ddf=ddf)


@pytest.fixture(scope="module", params=DDF)
def crossover(request) -> tuple[Any, dict[str, Any]]:
    return fitted(request.param), ANSWERS["means"][request.param]


@pytest.fixture(scope="module")
def found() -> Any:
    return fitted("kenward-roger")


def means(found: Any, specs: Any, **arguments: Any) -> MarginalMeans:
    return marginal_means(found.model, found.inference, specs=specs, **arguments)


def check(found: pd.DataFrame, rows: list[dict[str, Any]]) -> None:
    expected = pd.DataFrame(rows).rename(columns=NAMES)
    assert set(expected) <= set(found)
    for name in expected:
        if isinstance(expected[name].iloc[0], str):
            assert found[name].tolist() == expected[name].tolist()
        else:
            # lme4 ends its search with about 1e-7 of error in the variances.
            room = 2e-6 * (
                expected[name].abs() + (expected["se"] if name in ("estimate", "ci_low", "ci_high") else 0)
            )
            assert np.all(np.abs(found[name] - expected[name]) <= room)


def test_pairs_within_groups_by_tukey(crossover):
    check(contrasts(means(crossover[0], "drug", by="epoch")).table(), crossover[1]["pairwise_tukey"])


@pytest.mark.parametrize("adjust", ["none", "holm", "bonferroni", "sidak", "scheffe", "fdr"])
def test_corrections(crossover, adjust):
    found = contrasts(means(crossover[0], "drug"), adjust=adjust)
    check(found.table(), crossover[1]["pairwise"][adjust])


def test_pairs_of_all_cells(crossover):
    check(contrasts(means(crossover[0], ["drug", "epoch"])).table(), crossover[1]["cells_tukey"])


@pytest.mark.parametrize(
    ("method", "key"), [("trt.vs.ctrl", "treatment"), ("eff", "eff"), ("consec", "consec"), ("poly", "poly")]
)
def test_methods(crossover, method, key):
    check(contrasts(means(crossover[0], "drug"), method=method, adjust="none").table(), crossover[1][key])


def test_polynomials_over_many_means(crossover):
    found = contrasts(means(crossover[0], ["drug", "epoch"]), method="poly").table()
    assert found["contrast"].tolist() == ["linear", "quadratic", "cubic", "quartic", "degree 5", "degree 6"]
    check(found.iloc[:4].reset_index(drop=True), crossover[1]["poly_cells"])


def test_differences_of_differences(crossover):
    cells = means(crossover[0], ["drug", "epoch"])
    found = interaction_contrasts(cells, method={"drug": "trt.vs.ctrl", "epoch": "consec"})
    check(found.table(), crossover[1]["interaction"])


@pytest.mark.parametrize("ddf", DDF)
def test_pairs_of_slopes(ddf):
    found = fit(pd.DataFrame(ANSWERS["data"]["cohort"]), "y ~ arm * dose + I(dose^2) + (1 | animal)", ddf=ddf)
    pairs = contrasts(slopes(found.model, found.inference, variable="dose", specs="arm"))
    check(pairs.table(), ANSWERS["slopes"][ddf]["pairs"])


def test_two_by_two_interaction_is_the_coefficient():
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"animal": np.repeat(np.arange(10), 6), "epoch": np.tile(["a", "b"], 30)})
    table["drug"] = np.where(table["animal"] % 2, "x", "y")
    table["r"] = rng.normal(size=10)[table["animal"]] + rng.normal(size=60)
    found = fit(table, "r ~ drug * epoch + (1 | animal)")
    own = interaction_contrasts(means(found, ["drug", "epoch"])).tests[0]
    assert own.estimate == pytest.approx(found.inference.estimates[3], rel=1e-10)
    assert own.p == pytest.approx(found.fixed[3].p, rel=1e-9)


def test_joint_test_of_pairs_is_the_type_three_test(found):
    joint = contrasts(means(found, "drug")).joint()[0]
    row = found.anova().set_index("term").loc["drug"]
    assert joint.num_df == 2
    assert joint.f == pytest.approx(row["f"], rel=1e-8)
    assert joint.den_df == pytest.approx(row["den_df"], rel=1e-8)
    interaction = interaction_contrasts(means(found, ["drug", "epoch"])).joint()[0]
    row = found.anova().set_index("term").loc["drug:epoch"]
    assert (interaction.num_df, interaction.f) == (4, pytest.approx(row["f"], rel=1e-8))
    assert len(contrasts(means(found, "drug", by="epoch")).joint()) == 3


def test_custom_contrasts_and_reference_levels(found):
    drug = means(found, "drug")
    custom = contrasts(drug, method={"active": [-1.0, 0.5, 0.5]})
    table = drug.table()["emmean"]
    assert custom.table()["estimate"][0] == pytest.approx(0.5 * (table[1] + table[2]) - table[0], rel=1e-10)
    against_low = contrasts(drug, method="trt.vs.ctrl", reference="low")
    assert against_low.table()["contrast"].tolist() == ["saline - low", "high - low"]
    assert against_low.adjust == "mvt"
    backwards = contrasts(drug, method="revpairwise").table()
    assert backwards["contrast"].tolist() == ["low - saline", "high - saline", "high - low"]
    assert np.allclose(sorted(backwards["p"]), sorted(contrasts(drug).table()["p"]), rtol=1e-9)


def test_numbers_are_labelled_with_their_name(found):
    numbers = means(found, "depth", at={"depth": [1, 2.5]})
    assert contrasts(numbers).table()["contrast"].tolist() == ["depth1 - depth2.5"]
    against = contrasts(numbers, method="trt.vs.ctrl", reference=2.5)
    assert against.table()["contrast"].tolist() == ["depth1 - depth2.5"]


def test_coefficients_by_name(found):
    weights = {"high late": {"drughigh": 1.0, "drughigh:epochlate": 1.0}, "sex": {"sexm": -1}}
    own = coefficient_contrasts(found.model, found.inference, weights, adjust="holm")
    b = dict(zip(found.model.names, found.inference.estimates, strict=True))
    assert own.table()["estimate"][0] == pytest.approx(b["drughigh"] + b["drughigh:epochlate"], rel=1e-12)
    cell = contrasts(means(found, "drug", by="epoch"), adjust="none").table()
    late = cell[(cell["epoch"] == "late") & (cell["contrast"] == "saline - high")].iloc[0]
    assert own.tests[0].p == pytest.approx(late["p"], rel=1e-8)


def test_intervals_that_hold_together_are_wider(found):
    pairs = contrasts(means(found, "drug"))
    wide, narrow = pairs.table(), pairs.table(adjust="none")
    assert np.all(wide["ci_high"] - wide["ci_low"] > narrow["ci_high"] - narrow["ci_low"])
    low = pairs.table(level=0.5, adjust="none")
    assert np.all(low["ci_high"] - low["ci_low"] < narrow["ci_high"] - narrow["ci_low"])


def test_many_steps_are_corrected_by_sidak(found):
    steps = means(found, "depth", at={"depth": np.arange(40.0)})
    own = contrasts(steps, method="consec")
    assert own.adjust == "sidak"
    assert len(own.table()) == 39


def test_text_and_json(found):
    pairs = contrasts(means(found, "drug", by="epoch"))
    assert "tukey method, families of 3 contrasts" in pairs.summary()
    assert "method" not in contrasts(means(found, "sex")).summary()
    plain = json.loads(json.dumps(pairs.as_dict(), allow_nan=False))
    assert list(plain["contrasts"][0]) == [
        "contrast", "epoch", "estimate", "se", "df", "ci_low", "ci_high", "t", "p"
    ]  # fmt: skip
    z = fitted("none")
    assert json.loads(json.dumps(contrasts(means(z, "drug")).as_dict()))["contrasts"][0]["df"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "helmert"}, "available are pairwise"),
        ({"method": {"one": [1.0, -1.0]}}, "one number for each of the 3 means"),
        ({"method": {"none": [0.0, 0.0, 0.0]}}, "contrast 'none': A contrast of nothing but zeros"),
        ({"method": {}}, "No contrast is given"),
        ({"reference": "low"}, "belongs to the method"),
        ({"method": "trt.vs.ctrl", "reference": "vehicle"}, "the means are those of saline, low, high"),
        ({"method": "eff", "adjust": "tukey"}, "use 'mvt'"),
        ({"adjust": "hsd"}, "available are none"),
    ],
)
def test_contrasts_that_do_not_exist(found, arguments, words):
    with pytest.raises(ValueError, match=words):
        contrasts(means(found, "drug"), **arguments)


def test_one_mean_has_nothing_to_be_compared_with(found):
    with pytest.raises(ValueError, match="There is one mean"):
        contrasts(means(found, "drug", at={"drug": "low"}))


def test_interactions_need_two_factors_each_with_a_method(found):
    with pytest.raises(ValueError, match="two or more factors"):
        interaction_contrasts(means(found, "drug"))
    with pytest.raises(ValueError, match="method must name each of drug, epoch"):
        interaction_contrasts(means(found, ["drug", "epoch"]), method={"drug": "pairwise"})


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"a": {"drughihg": 1.0}}, "Did you mean 'drughigh'"),
        ({"a": {"drughigh": np.inf}}, "'a'.*finite"),
        ({"a": {}}, "'a'.*nothing but zeros"),
        ({}, "No contrast is given"),
    ],
)
def test_coefficients_that_do_not_exist(found, weights, words):
    with pytest.raises(ValueError, match=words):
        coefficient_contrasts(found.model, found.inference, weights)
