"""Models from sums of units: equal to the likelihood of the rows, whatever the coding, scale or order."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.deviance import Deviance
from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.analysis.mixed.model_frame import ModelFrame, model_frame
from nwbswitch.analysis.mixed.prepare import prepare
from nwbswitch.analysis.mixed.result import MixedFit
from nwbswitch.analysis.summaries.reduce import reduced
from nwbswitch.analysis.summaries.unit_map import summarise_rows
from nwbswitch.schemas.errors import FitError, FormulaError

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
CASES = json.loads((REFERENCE / "mixed_cases.json").read_text())
FORMULAS = list(dict.fromkeys(case["formula"] for case in CASES["cases"]))
WEIGHTED = json.loads((REFERENCE / "mixed_weights.json").read_text())


def table() -> pd.DataFrame:
    found = pd.DataFrame(CASES["data"])
    rng = np.random.default_rng(1)
    found["k"] = rng.integers(0, 1000, len(found))
    found["rep"] = rng.integers(0, 3, len(found))
    found["dose"] = found.groupby(["lab", "animal"]).ngroup() % 4
    return found


def full_criterion(frame: ModelFrame, psi: list[np.ndarray]) -> tuple[float, np.ndarray, np.ndarray]:
    """REML criterion, coefficients and their standard errors, from the covariance matrix of all rows."""
    V = np.eye(frame.n_rows)
    for level, own in zip(frame.levels, psi, strict=True):
        Z = np.concatenate([block.matrix for block in level.blocks], axis=1)
        V += (Z @ own @ Z.T) * (level.codes[:, None] == level.codes[None, :])
    X, y = frame.fixed.matrix, frame.response
    inverse = np.linalg.inv(V)
    information = X.T @ inverse @ X
    estimates = np.linalg.solve(information, X.T @ inverse @ y)
    nu = frame.n_rows - X.shape[1]
    rest = y - X @ estimates
    sigma2 = rest @ inverse @ rest / nu
    value = np.linalg.slogdet(V)[1] + np.linalg.slogdet(information)[1]
    value += nu * (1 + np.log(2 * np.pi * sigma2))
    return value, estimates, np.sqrt(sigma2 * np.diagonal(np.linalg.inv(information)))


def agrees(frame: ModelFrame, deviance: Deviance) -> None:
    rng = np.random.default_rng(0)
    scaled, unscaled = [], []
    for sizes, scale in zip(deviance.block_sizes, deviance.scaling.effect_scales, strict=True):
        root = rng.normal(size=(sum(sizes), sum(sizes)))
        scaled.append(root @ root.T)
        unscaled.append(root @ root.T / np.outer(scale, scale))
    ours = deviance.evaluate(scaled, method="reml")
    scaling = deviance.scaling
    estimates = scaling.offset + scaling.scale * np.linalg.solve(scaling.fixed, ours.coefficients)
    criterion, expected, se = full_criterion(frame, unscaled)
    assert ours.criterion == pytest.approx(criterion, rel=1e-11)
    assert np.allclose((estimates - expected) / se, 0.0, atol=1e-9)


@pytest.mark.parametrize("by_group", [False, True])
@pytest.mark.parametrize("formula", FORMULAS)
def test_sums_hold_the_likelihood_of_the_rows(formula, by_group):
    model, tree = reduced(
        summarise_rows(table(), read_formula(formula), by_group=by_group), read_formula(formula)
    )
    frame = model_frame(table(), read_formula(formula))
    assert model.names == frame.fixed.names
    assert tree.n_rows == len(table())
    agrees(frame, tree)


@pytest.mark.parametrize("contrasts", ["treatment", "sum"])
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ sex * cond + (1|lab:animal) + (1|lab:animal:session)",
        "y ~ dose + cond + cond:sex + (1|lab:animal:session)",
        "y ~ 0 + cond * dose + (cond|lab:animal) + (1|lab:animal:session)",
        "y ~ cond + sex * dose + (1|lab:animal) + (1|lab:animal:session) + (1|lab)",
        "y ~ cond * dose + (1|lab) + (1|lab:animal:session)",
    ],
)
def test_other_models_follow_from_the_same_sums(formula, contrasts):
    summed = read_formula("y ~ cond * sex * dose + (1|lab/animal/session)".replace("lab/animal/session",
        "lab:animal:session") + " + (1|lab:animal)")  # fmt: skip
    summaries = summarise_rows(table(), summed, keep=["lab"])
    model, tree = reduced(summaries, read_formula(formula), contrasts=contrasts)
    frame = model_frame(table(), read_formula(formula), contrasts=contrasts)
    assert model.names == frame.fixed.names
    assert [level.names for level in model.levels] == [level.names for level in frame.levels]
    agrees(frame, tree)


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("y ~ x + (1|lab:animal:session) + (1|lab:animal)", "no variable 'x'; they have cond, sex"),
        ("log(y) ~ cond + (1|lab:animal:session) + (1|lab:animal)", "of the response 'y', not of 'log(y)'"),
        ("y ~ cond + (cond|lab:animal:session)", "innermost random effects (Intercept) | lab:animal:session"),
        ("y ~ cond + (1|lab:animal)", "innermost random effects"),
        ("y ~ cond + (1|lab:animal:session) + (1|lab)", "no grouping 'lab'; they have lab:animal"),
    ],
)
def test_what_was_not_summed_is_refused_by_name(formula, words):
    summed = read_formula("y ~ cond + sex + (1|lab:animal:session) + (1|lab:animal)")
    summaries = summarise_rows(table(), summed)
    stripped = {name: each for name, each in summaries.groups.items() if name != "lab"}
    with pytest.raises(FormulaError) as caught:
        reduced(replace(summaries, groups=stripped), read_formula(formula))
    assert words in str(caught.value)


def test_a_product_that_was_not_summed_is_refused_by_name():
    summed = read_formula("y ~ cond + k + (1|lab:animal)")
    summaries = summarise_rows(table(), summed)
    with pytest.raises(FormulaError, match="no product k:cond"):
        reduced(summaries, read_formula("y ~ cond * k + (1|lab:animal)"))


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("y ~ k + I(2 * k + 5) + (1|lab:animal)", r"I(2 * k + 5) is a combination"),
        ("y ~ dose + I(3 - dose) + sex + (1|lab:animal:session)", r"I(3 - dose) is a combination"),
        ("y ~ sex * I(sex == 'm') + (1|lab:animal)", "are combinations of the columns before"),
        ("y ~ factor(dose):lab + (1|lab:animal:session)", "combination"),
    ],
)
def test_columns_that_are_combinations_are_named(formula, words):
    with pytest.raises(FitError) as caught:
        prepare(table(), read_formula(formula))
    assert words in str(caught.value)


def test_a_response_that_the_fixed_effects_reproduce_is_refused():
    frame = table()
    frame["y"] = 1e6 + 2.0 * frame["x"]
    with pytest.raises(FitError, match="reproduce the response exactly"):
        prepare(frame, read_formula("y ~ x + cond + (1|lab:animal)"))


INVARIANT = [
    "y ~ k * cond + dose + (1|lab:animal) + (1|lab:animal:session:neuron)",
    "y ~ k * dose + rep + (1|lab:animal)",
    "y ~ rep * cond + sex + (1|lab:animal:session)",
    "y ~ 0 + sex + sex:k + dose + (1|lab:animal:session)",
]


def same_tests(one: MixedFit, other: MixedFit, moved: float = 0.0) -> None:
    """Terms that hold no other keep t and df; the criterion moves by log|X'X| alone."""
    assert other.criterion == pytest.approx(one.criterion + moved, rel=1e-10)
    before, after = one.table(), other.table()
    for position, name in enumerate(before["term"]):
        inside = any(name != each and set(name.split(":")) < set(each.split(":")) for each in before["term"])
        if name == "(Intercept)" or inside:
            continue
        assert after["t"][position] == pytest.approx(before["t"][position], abs=1e-8)
        assert after["df"][position] == pytest.approx(before["df"][position], rel=1e-8)


@pytest.mark.parametrize("formula", INVARIANT)
def test_an_offset_of_the_response_and_the_order_of_rows_change_nothing(formula):
    frame = table()
    plain = fit(frame, formula)
    same_tests(plain, fit(frame.assign(y=frame["y"] + 1e6), formula))
    same_tests(plain, fit(frame.sample(frac=1.0, random_state=3), formula))


@pytest.mark.parametrize(
    ("formula", "name"), [(each, name) for each in INVARIANT for name in ("k", "dose", "rep") if name in each]
)
def test_scale_and_offset_of_a_covariate_change_nothing(formula, name):
    frame = table()
    plain = fit(frame, formula)
    same_tests(plain, fit(frame.assign(**{name: frame[name] + 10**9}), formula))
    columns = sum(name in each.split(":") for each in plain.model.names)
    for scale in (1e-6, 1e6):
        same_tests(
            plain, fit(frame.assign(**{name: frame[name] * scale}), formula), 2 * columns * np.log(scale)
        )


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(case, id=f"{case['formula']} {case['weights']} {case['method']}")
        for case in WEIGHTED["cases"]
    ],
)
def test_row_weights_are_lme4s(answer):
    found = fit(
        pd.DataFrame(WEIGHTED["data"]),
        answer["formula"],
        weights=answer["weights"],
        method=answer["method"],
        ddf="satterthwaite",
    )
    assert found.criterion == pytest.approx(answer["criterion"], abs=1e-8)
    assert found.criterion <= answer["criterion"] + 1e-9
    for each in found.table().itertuples():
        assert each.estimate == pytest.approx(answer["beta"][each.term], abs=1e-6 * each.se)
        assert each.se == pytest.approx(answer["se"][each.term], rel=1e-5)
        assert each.df == pytest.approx(answer["satterthwaite_df"][each.term], rel=1e-4)
    sds = dict(zip(found.random()["group"] + found.random()["term"], found.random()["sd"], strict=True))
    for row in answer["sd"]:
        if row["var2"] is None:
            assert sds[row["grp"] + (row["var1"] or "")] == pytest.approx(row["sdcor"], rel=1e-5)


def test_weights_of_one_are_no_weights():
    frame = table().assign(w=1.0)
    plain, weighted = (fit(frame, FORMULAS[0], weights=weights) for weights in (None, "w"))
    assert weighted.criterion == pytest.approx(plain.criterion, rel=1e-12)
    assert np.allclose(weighted.vcov, plain.vcov, rtol=1e-8)


def test_labels_and_facts_are_those_of_the_rows():
    formula = read_formula("y ~ dose + k + cond + (1|lab/animal/session)")
    summaries = summarise_rows(table(), formula, by_group=True)
    model, tree = reduced(summaries, formula)
    frame = model_frame(table(), formula)
    for ours, theirs in zip(model.levels, frame.levels, strict=True):
        assert ours.names == theirs.names
        assert sorted(ours.labels) == sorted(theirs.labels)
    labels = np.array(model.levels[1].labels)
    above = np.array(model.levels[2].labels)[tree.upper[0].parent]
    assert [each.split(":")[1] for each in labels] == list(above)
    facts = model.variables["k"]
    assert (facts.minimum, facts.maximum) == (table()["k"].min(), table()["k"].max())
    assert facts.mean == pytest.approx(table()["k"].mean(), rel=1e-12)
    assert model.variables["dose"].mean == pytest.approx(table()["dose"].mean(), rel=1e-12)
    assert model.variables["cond"].levels == ("ctrl", "high", "low")


@pytest.mark.parametrize("slope", [1e2, 1e4, 1e6])
def test_a_response_that_is_nearly_explained_keeps_its_digits(slope):
    # The cross-products of such a response hold its residual to 1e-16 slope^2 only.
    frame = table()
    formula = "y ~ x + cond + (1|lab:animal) + (1|lab:animal:session:neuron)"
    plain = fit(frame, formula)
    steep = fit(frame.assign(y=frame["y"] + slope * frame["x"]), formula)
    assert steep.criterion == pytest.approx(plain.criterion, abs=1e-6 * max(1.0, slope * 1e-5))
    assert np.allclose(steep.table()["se"], plain.table()["se"], rtol=1e-8)
    assert steep.table()["estimate"][1] == pytest.approx(plain.table()["estimate"][1] + slope, rel=1e-13)


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_fit_from_sums_is_the_fit_from_rows(formula):
    plain = fit(table(), formula)
    summed = fit(summarise_rows(table(), read_formula(formula)), formula)
    assert summed.criterion == pytest.approx(plain.criterion, rel=1e-12)
    one, other = plain.table(), summed.table()
    assert np.allclose((one["estimate"] - other["estimate"]) / one["se"], 0.0, atol=1e-10)
    assert np.allclose(one["se"], other["se"], rtol=1e-9)


@pytest.mark.parametrize("by_group", [False, True])
@pytest.mark.parametrize(
    ("formula", "names"),
    [
        ("y ~ x + (1|subject) + (0 + x|mouse)", [("subject", "mouse")]),
        ("y ~ x + (1|subject) + (1|mouse) + (1|lab)", [("subject", "mouse"), ("lab",)]),
        (
            "y ~ x + (1|subject:session) + (1|subject) + (0 + x|mouse)",
            [("subject:session",), ("subject", "mouse")],
        ),
    ],
)
def test_groupings_that_are_alike_share_a_level(formula, names, by_group):
    data = table()
    data["subject"] = data["lab"] + data["animal"]
    data["mouse"] = data["subject"].str.upper()
    asked = read_formula(formula)
    model, tree = reduced(summarise_rows(data, asked, by_group=by_group), asked)
    assert [level.names for level in model.levels] == names
    agrees(model_frame(data, asked), tree)
