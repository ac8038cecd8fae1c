"""Sums of units from rows: both ways of summing, the order of rows, and what cannot be summed."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.summaries import unit_map
from nwbswitch.analysis.summaries.row_map import sums_of_rows
from nwbswitch.analysis.summaries.unit_map import summarise_rows
from nwbswitch.analysis.summaries.unit_summaries import UnitSummaries
from nwbswitch.schemas.errors import FitError, FormulaError

FORMULAS = [
    "y ~ drug * epoch + (1 + epoch | animal) + (1 | session) + (1 | neuron)",
    "y ~ drug * cond * epoch + (1 | animal) + (cond | neuron)",
    "y ~ cond + (0 + cond | session)",
    "y ~ drug + (1 | animal/session)",
]


def table(seed: int = 4) -> pd.DataFrame:
    """Neurons in sessions in animals, a third of the rows missing, one neuron with one row."""
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([range(6), range(2), range(5), range(8)])
    found = index.to_frame(index=False, name=["a", "s", "n", "epoch"])
    found["epoch"] %= 2
    found = found[(rng.uniform(size=len(found)) < 0.7) | (found.index < 8)].reset_index(drop=True)
    found = found.drop(index=range(1, 8)).reset_index(drop=True)
    found["animal"] = "a" + found["a"].astype(str)
    found["session"] = found["animal"] + "s" + found["s"].astype(str)
    found["neuron"] = found["session"] + "n" + found["n"].astype(str)
    found["drug"] = np.where(found["a"] % 2 == 0, "ketamine", "saline")
    found["cond"] = rng.choice(["x", "y", "z"], len(found))
    found["v"] = rng.normal(size=len(found))
    found["w"] = rng.uniform(0.5, 2.0, len(found))
    found["y"] = rng.normal(size=len(found)) + rng.normal(size=6)[found["a"]]
    return found


def summed(frame: pd.DataFrame, formula: str, **options: object) -> UnitSummaries:
    return summarise_rows(frame, read_formula(formula), **options)


def same(one: UnitSummaries, other: UnitSummaries, tolerance: float = 1e-12) -> None:
    assert one.columns == other.columns
    for name in ("n_rows", "within", "centres", "kinds", "cell_unit", "cell_kind", "cell_count"):
        assert np.allclose(getattr(one, name), getattr(other, name), atol=tolerance, rtol=0.0), name
    for name in ("products", "slopes"):
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None)
        assert left is None or np.allclose(left, right, atol=tolerance, rtol=0.0)


@pytest.mark.parametrize("formula", FORMULAS)
def test_cells_and_rows_give_the_same_sums(formula, monkeypatch):
    frame = table()
    frame["epoch"] = np.where(frame["epoch"] == 0, "pre", "post")  # numbers have other references
    by_cell = summed(frame, formula)
    monkeypatch.setattr(unit_map, "sums_of_cells", sums_of_rows)
    same(by_cell, summed(frame, formula))


@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize("formula", FORMULAS)
def test_sums_are_those_of_the_rows_written_out(formula, by_row, monkeypatch):
    frame = table()
    if by_row:
        monkeypatch.setattr(unit_map, "sums_of_cells", sums_of_rows)
    found = summed(frame, formula)
    unit = found.definition.unit
    codes = found.groups[unit].codes if unit else np.zeros(1, dtype=int)
    labels = [found.groups[unit].levels[code] for code in codes] if unit else [""]
    units_of_rows = [
        ":".join(frame.iloc[i][name] for name in unit.split(":")) if unit else "" for i in frame.index
    ]
    for position, label in enumerate(labels):
        rows = frame[np.array(units_of_rows) == label]
        C = columns_of(found, rows, position)
        Z = effects_of(found, rows)
        inner = rows[found.definition.inner.split(":")].agg(":".join, axis=1)
        within, D_sum = np.zeros((C.shape[1], C.shape[1])), np.zeros((C.shape[1], Z.shape[1]) * 2)
        for group in inner.unique():
            own = np.asarray(inner == group)
            A = np.linalg.pinv(Z[own].T @ Z[own], rcond=1e-10)
            D = C[own].T @ Z[own]
            within += C[own].T @ C[own] - D @ A @ D.T
            D_sum += np.einsum("ia,jb->iajb", D, D)
        assert np.allclose(found.within[position], within, atol=1e-10)
        cells = found.cell_unit == position
        if found.products is not None:
            assert np.allclose(found.products[cells].sum(axis=0), D_sum, atol=1e-10)
        else:
            own_slopes = found.slopes[cells]
            assert np.allclose(np.einsum("gia,gjb->iajb", own_slopes, own_slopes), D_sum, atol=1e-10)


def columns_of(found: UnitSummaries, rows: pd.DataFrame, unit: int) -> np.ndarray:
    parts = []
    for column in found.columns:
        values = np.ones(len(rows))
        for name in column.numbers:
            values = values * (rows[name].to_numpy(float) - found.references[name][unit])
        for name, level in column.indicators:
            values = values * np.asarray(rows[name] == level)
        parts.append(values)
    return np.column_stack([*parts, rows["y"]]) - found.centres[unit]


def effects_of(found: UnitSummaries, rows: pd.DataFrame) -> np.ndarray:
    parts = []
    for effect in found.definition.effects:
        values = np.zeros(len(rows))
        for column, weight in effect.weights:
            product = np.full(len(rows), weight)
            for name in column.numbers:
                product = product * rows[name].to_numpy(float)
            for name, level in column.indicators:
                product = product * np.asarray(rows[name] == level)
            values += product
        parts.append(values)
    return np.column_stack(parts)


def test_numbers_and_weights_are_summed_by_rows():
    frame = table()
    found = summed(frame, "y ~ v * cond + (v | neuron) + (1 | session)", weights="w")
    assert found.slopes is not None
    assert [each.numbers for each in found.columns if not each.indicators] == [(), ("v",)]
    rows = frame[frame["session"] == "a2s1"]
    unit = found.groups["session"].levels.index("a2s1")
    w = rows["w"].to_numpy()
    assert found.references["v"][unit] == pytest.approx(rows["v"].mean())
    assert found.centres[unit, -1] == pytest.approx(np.average(rows["y"], weights=w))
    assert found.log_weights[unit] == pytest.approx(np.log(w).sum())
    C, Z = columns_of(found, rows, unit), effects_of(found, rows)
    within = C.T @ (w[:, None] * C)
    for group in rows["neuron"].unique():
        own = np.asarray(rows["neuron"] == group)
        D = C[own].T @ (w[own, None] * Z[own])
        within -= D @ np.linalg.pinv(Z[own].T @ (w[own, None] * Z[own]), rcond=1e-10) @ D.T
    assert np.allclose(found.within[unit], within, atol=1e-10)
    assert found.ranges == {"v": (frame["v"].min(), frame["v"].max())}


@pytest.mark.parametrize("formula", [*FORMULAS, "y ~ v * cond + (v | neuron) + (1 | session)"])
@pytest.mark.parametrize("by_group", [False, True])
def test_the_order_of_rows_does_not_matter(formula, by_group):
    ordered = table()
    shuffled = ordered.sample(frac=1.0, random_state=2)
    one, other = (summed(each, formula, by_group=by_group) for each in (ordered, shuffled))
    if one.slopes is not None and one.labels is not None:
        place = {label: position for position, label in enumerate(other.labels)}
        order = np.array([place[label] for label in one.labels])
        other = dataclasses.replace(other, slopes=other.slopes[order], cell_kind=other.cell_kind[order])
        assert np.allclose(one.kinds[one.cell_kind], other.kinds[other.cell_kind])
        assert np.allclose(one.slopes, other.slopes, atol=1e-12)
    assert np.allclose(one.within, other.within, atol=1e-12)
    assert np.array_equal(one.n_rows, other.n_rows)


def test_values_of_units_and_columns_inside_are_told_apart():
    found = summed(table(), FORMULAS[0], keep=["a"])
    assert found.definition.unit == "session"
    assert found.definition.inner == "neuron"
    assert set(found.values) == {"drug", "a"}
    assert found.values["drug"].levels == ("ketamine", "saline")
    assert {name for each in found.columns for name in each.numbers} == {"epoch"}
    assert list(found.groups) == ["session", "animal"]
    assert found.n_rows.sum() == len(table())


def test_a_nested_group_brings_the_variables_it_is_made_of():
    found = summed(table(), "y ~ drug + (1 | animal/s)")
    assert found.definition.inner == "s:animal"
    assert found.definition.unit == "animal"
    deeper = summed(table(), "y ~ drug + (1 | animal/s/n)")
    assert set(deeper.groups) == {"s:animal", "animal", "s"}


def test_one_level_is_summed_by_group_where_asked():
    pooled = summed(table(), "y ~ epoch + (epoch | animal)")
    single = summed(table(), "y ~ epoch + (epoch | animal)", by_group=True)
    assert pooled.n_units == 1
    assert pooled.definition.unit == ""
    assert single.n_units == 6
    assert single.definition.effects == ()
    assert single.definition.unit == "animal"
    assert np.allclose(single.kinds, np.empty((1, 0, 0)))


def test_missing_values_are_counted_by_variable():
    frame = table()
    frame.loc[[0, 5], "y"] = np.nan
    frame.loc[[5, 90, 110], "cond"] = None
    found = summed(frame, "log(y) ~ cond + (1 | animal) + (1 | neuron)", where="epoch == 0 or a > 0")
    chosen = (frame["epoch"] == 0) | (frame["a"] > 0)
    assert found.missing["cond"] == int(frame.loc[chosen, "cond"].isna().sum())
    assert found.missing["log(y)"] == int((~(frame.loc[chosen, "y"] > 0)).sum())
    assert found.n_excluded == int((~chosen).sum())
    assert found.n_rows.sum() == len(frame) - found.n_missing - found.n_excluded


@pytest.mark.parametrize(
    ("change", "formula", "error", "words"),
    [
        ({"y": 3.0}, "y ~ v + (1|animal)", FitError, "'y' is 3 in all"),
        ({"v": np.inf}, "y ~ v + (1|animal)", FitError, "'v' is infinite"),
        ({"y": 1e300}, "y ~ v + (1|animal)", FitError, "'y' has values of the size 1e+300"),
        ({"v": 1e-300}, "y ~ v + (1|animal)", FitError, "'v' has values of the size 1e-300"),
        ({"v": np.nan}, "y ~ v + (1|animal)", FitError, "every row misses a value, 'v'"),
        ({"animal": "a"}, "y ~ v + (1|animal)", FitError, "'animal' has one level"),
        ({"drug": "a"}, "y ~ drug + (1|animal)", FormulaError, "'drug' has only the value 'a'"),
        ({"y": "a"}, "y ~ drug + (1|animal)", FormulaError, "'y' is not a number"),
        ({}, "y ~ v + (1|y)", FitError, "as many levels as there are rows"),
        ({}, "y ~ v + (1|animal) + (1|cond)", FitError, "are crossed"),
        ({}, "y ~ v + (cond*epoch|neuron)", FitError, "random effects for"),
        ({}, "y ~ v + (0 + I(0*v)|neuron)", FitError, "zero in every row"),
        ({}, "y ~ nothing + (1|neuron)", FormulaError, "'nothing'"),
    ],
)
def test_what_cannot_be_summed_is_said_in_one_sentence(change, formula, error, words):
    with pytest.raises(error) as caught:
        summed(table().assign(**change), formula)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("weights", "words"), [(0.0, "not positive"), (-1.0, "not positive"), (np.inf, "infinite")]
)
def test_weights_must_be_positive_numbers(weights, words):
    frame = table()
    frame.loc[3, "w"] = weights
    with pytest.raises(FitError, match=words):
        summed(frame, "y ~ v + (1|animal)", weights="w")
    with pytest.raises(FormulaError, match="'cond' are not numbers"):
        summed(frame, "y ~ v + (1|animal)", weights="cond")


def test_a_missing_weight_leaves_its_row_out():
    frame = table()
    frame.loc[3, "w"] = np.nan
    found = summed(frame, "y ~ v + (1|animal)", weights="w")
    assert (found.n_missing, dict(found.missing)) == (1, {"w": 1})


def test_too_many_levels_are_refused_before_anything_is_made():
    n = 1_000_000
    frame = pd.DataFrame({"y": np.arange(n) % 7.0, "g": np.arange(n) % 50, "many": np.arange(n)})
    frame["text"] = frame["many"].astype(str)
    with pytest.raises(FormulaError, match=r"'factor\(many\)' has 1000000 levels"):
        summed(frame, "y ~ factor(many) + (1|g)")
    with pytest.raises(FormulaError, match=r"'text' has 1000000 levels"):
        summed(frame, "y ~ text + (1|g)")


def test_many_columns_inside_units_name_the_product():
    frame = pd.concat([table()] * 3, ignore_index=True)
    frame["i"], frame["j"] = np.arange(len(frame)) % 19, np.arange(len(frame)) % 23
    with pytest.raises(FitError, match=r"Most come from factor\(i\):factor\(j\)"):
        summed(frame, "y ~ factor(i)*factor(j) + (1|neuron)")


def test_a_variable_to_keep_must_be_constant_in_units():
    with pytest.raises(FormulaError, match="'v' varies within units"):
        summed(table(), FORMULAS[0], keep=["v"])


def test_a_part_of_the_data_may_hold_less_than_a_model():
    frame = table()
    part = frame[frame["session"] == "a1s0"].assign(y=2.0)
    found = summed(part, FORMULAS[0], partial=True)
    assert found.n_units == 1
    assert found.centres[0, -1] == 2.0
    assert np.abs(found.within[0, -1]).max() == 0.0
    with pytest.raises(FitError, match="'animal' has one level"):
        summed(part, FORMULAS[0])
