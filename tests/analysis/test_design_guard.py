import dataclasses

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.formulas.coding import Coded, coded
from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.design_guard import (
    full_formula,
    missing_slopes,
    row_variation,
    unit_variation,
)
from nwbswitch.analysis.mixed.model import BlockFacts, LevelFacts, Model
from nwbswitch.analysis.summaries.unit_summaries import (
    SUMMARY_VERSION,
    Definition,
    InnerEffect,
    LocalColumn,
    UnitSummaries,
)


def design(*, crossed: bool) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([range(6), range(4), range(5), range(2), range(2)])
    table = index.to_frame(index=False, name=["animal", "visit", "cell", "epoch", "rep"])
    table["session"] = table["animal"] * 10 + table["visit"]
    table["neuron"] = table["session"] * 10 + table["cell"]
    table["drug"] = (table["visit"] if crossed else table["animal"]) % 2
    table["y"] = rng.normal(size=len(table))
    return table


def grouped(table, formula):
    """Return per level, innermost first, its name, codes and labels; levels are told apart by size."""
    names = dict.fromkeys(bar.group_name for bar in formula.random)
    found = []
    for name in names:
        keys = table[list(reversed(name.split(":")))].astype(str).agg(":".join, axis=1)
        codes, labels = pd.factorize(keys, sort=True)
        found.append((name, codes, tuple(labels)))
    return sorted(found, key=lambda each: -len(each[2]))


def facts(table, text):
    """Return the model and what varies where, from rows."""
    formula = read_formula(text)
    levels = grouped(table, formula)
    model = Model(
        formula=formula,
        names=(),
        terms=formula.fixed,
        term_of=np.empty(0, dtype=np.int64),
        contrasts="treatment",
        variables={},
        levels=tuple(
            LevelFacts(
                (name,),
                len(labels),
                labels,
                tuple(
                    BlockFacts(name, name, (), bar.terms) for bar in formula.random if bar.group_name == name
                ),
            )
            for name, _, labels in levels
        ),
        n_rows=len(table),
        n_missing=0,
        n_excluded=0,
    )
    variables = {name: coded(formula.variables[name], table) for term in formula.fixed for name in term}
    return model, row_variation([codes for _, codes, _ in levels], variables)


def slopes_asked_for(warnings):
    return [each.partition("no random slope ")[2].partition(": add it")[0] for each in warnings]


CASES = [
    (False, "(1 + epoch|animal) + (1|session) + (1|neuron)", []),
    (False, "(1|animal) + (1|session) + (1|neuron)", ["(epoch | animal)"]),
    (
        True,
        "(1 + epoch|animal) + (1|session) + (1|neuron)",
        ["(epoch | session)", "(drug:epoch | animal)"],
    ),
    (True, "(1 + epoch|animal) + (1 + epoch|session) + (1|neuron)", ["(drug:epoch | animal)"]),
    (True, "(1 + epoch + drug:epoch|animal) + (1 + epoch|session) + (1|neuron)", []),
]


@pytest.mark.parametrize(("crossed", "random", "expected"), CASES)
def test_the_slopes_of_the_design_are_asked_for(crossed, random, expected):
    warnings = missing_slopes(*facts(design(crossed=crossed), f"y ~ drug*epoch + {random}"))
    assert slopes_asked_for(warnings) == expected
    assert all("drug:epoch may reject too often" in each for each in warnings)
    if expected[:1] == ["(epoch | session)"]:
        assert "44 %" in warnings[0]
        assert "70 %" in warnings[0]
        assert "15.5 %" in warnings[1]


@pytest.mark.parametrize(("crossed", "random", "expected"), CASES)
def test_the_full_formula_needs_nothing_more(crossed, random, expected):
    table, text = design(crossed=crossed), f"y ~ drug*epoch + {random}"
    full = full_formula(*facts(table, text))
    if not expected:
        assert full == text
    assert missing_slopes(*facts(table, full)) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "log(y + 1) ~ drug*epoch + (1 + epoch|animal) + (1|session) + (1|neuron)",
            "log(y + 1) ~ drug*epoch + (1 + epoch + drug:epoch | animal) + (1 + epoch | session)"
            " + (1 | neuron)",
        ),
        (
            "y ~ (1|neuron) + (1|session) + drug + epoch + drug:epoch + (0 + epoch|animal)",
            "y ~ drug + epoch + drug:epoch + (1 | neuron) + (1 + epoch | session)"
            " + (0 + epoch + drug:epoch | animal)",
        ),
        (
            "y ~ drug*epoch + (1 + epoch||animal) + (1 + epoch|session) + (1|neuron)",
            "y ~ drug*epoch + (1 | animal) + (0 + epoch | animal) + (1 + epoch | session) + (1 | neuron)"
            " + (0 + drug:epoch | animal)",
        ),
        (
            "y ~ drug*epoch + (1 + epoch|animal/visit)",
            "y ~ drug*epoch + (1 + epoch + drug:epoch | animal) + (1 + epoch | visit:animal)",
        ),
    ],
)
def test_missing_slopes_join_the_bar_of_their_group(text, expected):
    assert full_formula(*facts(design(crossed=True), text)) == expected
    assert missing_slopes(*facts(design(crossed=True), expected)) == ()


def test_an_effect_between_groups_needs_no_slope():
    assert missing_slopes(*facts(design(crossed=False), "y ~ drug + (1|animal/session)")) == ()


def test_crossed_groups_are_asked_one_by_one():
    table = design(crossed=True)
    table["stimulus"] = np.arange(len(table)) // 2 % 7
    asked = slopes_asked_for(missing_slopes(*facts(table, "y ~ epoch + (1|animal) + (1|stimulus)")))
    assert asked == ["(epoch | stimulus)", "(epoch | animal)"]


@pytest.mark.parametrize(
    ("random", "expected"),
    [
        ("(1 + epoch|animal) + (1 + epoch|session) + (1|neuron)", []),
        ("(1 + epoch|animal) + (1|session) + (1|neuron)", ["(epoch | session)", "(drug:epoch | animal)"]),
    ],
)
def test_one_session_per_animal_and_arm_carries_the_response_of_the_animal(random, expected):
    table = design(crossed=True)
    model, variation = facts(table[table["visit"] < 2].reset_index(drop=True), f"y ~ drug*epoch + {random}")
    assert slopes_asked_for(missing_slopes(model, variation)) == expected
    units = unit_variation(summed(table[table["visit"] < 2], drug_inside=False), names_of(model))
    assert slopes_asked_for(missing_slopes(model, units)) == expected


def names_of(model):
    return [level.names for level in model.levels]


def factor(name, values):
    codes, levels = pd.factorize(np.asarray(values), sort=True)
    return Coded(name, np.zeros(len(codes), dtype=bool), codes=codes, levels=tuple(map(str, levels)))


def summed(table, *, drug_inside, inner_effects=("1",), keep_slopes=False, columns=("epoch",)):
    """Return cross-products of sessions, written row by row from their definition."""
    local = [*columns, *(["drug"] if drug_inside else [])]
    units = sorted(table["session"].unique())
    effects = tuple(
        InnerEffect("neuron", name, () if name == "1" else (name,), ((LocalColumn(), 1.0),))
        for name in inner_effects
    )
    m = len(local) + 2
    centres, within, kinds, cells = [], [], [], []
    for unit, session in enumerate(units):
        own = table[table["session"] == session]
        W = np.column_stack([np.ones(len(own)), own[local], own["y"]])
        centre = np.r_[0.0, W[:, 1:].mean(axis=0)]
        centres.append(centre)
        total = np.zeros((m, m))
        for neuron in own["neuron"].unique():
            rows = (own["neuron"] == neuron).to_numpy()
            w = W[rows] - centre
            z = np.column_stack(
                [np.ones(rows.sum()) if name == "1" else own[name][rows] for name in inner_effects]
            )
            A, D = z.T @ z, w.T @ z
            total += w.T @ w - D @ np.linalg.pinv(A) @ D.T
            if not any(np.array_equal(A, each) for each in kinds):
                kinds.append(A)
            cells.append((unit, next(i for i, each in enumerate(kinds) if np.array_equal(A, each)), D))
        within.append(total)
    products = np.array([np.einsum("ik,jl->ikjl", D, D) for _, _, D in cells])
    first = table.groupby("session").first()
    return UnitSummaries(
        definition=Definition(SUMMARY_VERSION, "y", "neuron", "session", effects, "", ""),
        columns=(LocalColumn(), *(LocalColumn(numbers=(name,)) for name in local)),
        levels={},
        groups={"session": factor("session", units), "animal": factor("animal", first["animal"])},
        values={} if drug_inside else {"drug": factor("drug", first["drug"])},
        n_rows=table.groupby("session").size().to_numpy(),
        centres=np.array(centres),
        within=np.array(within),
        kinds=np.array(kinds, dtype=float),
        cell_unit=np.array([unit for unit, _, _ in cells]),
        cell_kind=np.array([kind for _, kind, _ in cells]),
        cell_count=np.ones(len(cells)),
        products=None if keep_slopes else products,
        slopes=np.array([D for _, _, D in cells]) if keep_slopes else None,
        n_missing=0,
        n_excluded=0,
    )


@pytest.mark.parametrize("keep_slopes", [False, True])
@pytest.mark.parametrize(("crossed", "random", "expected"), CASES)
def test_units_say_what_rows_say(crossed, random, expected, keep_slopes):
    table = design(crossed=crossed)
    model, rows = facts(table, f"y ~ drug*epoch + {random}")
    units = unit_variation(summed(table, drug_inside=False, keep_slopes=keep_slopes), names_of(model))
    assert [each.n_groups for each in units.levels] == [each.n_groups for each in rows.levels]
    assert [each.varying for each in units.levels] == [each.varying for each in rows.levels]
    assert [each.inside for each in units.levels] == [each.inside for each in rows.levels]
    assert slopes_asked_for(missing_slopes(model, units)) == expected


@pytest.mark.parametrize("inner_effects", [("1",), ("1", "epoch"), ("epoch",)])
@pytest.mark.parametrize("keep_slopes", [False, True])
@pytest.mark.parametrize("ranges", [False, True])
def test_what_is_constant_in_a_neuron_is_told_from_what_varies_in_it(inner_effects, keep_slopes, ranges):
    table = design(crossed=True)
    table["drug"] = 3.7 + 1e3 * (table["cell"] % 2)  # differs between the neurons of a session
    summaries = summed(table, drug_inside=True, inner_effects=inner_effects, keep_slopes=keep_slopes)
    if ranges:
        limits = {name: (table[name].min(), table[name].max()) for name in ("epoch", "drug")}
        summaries = dataclasses.replace(summaries, ranges=limits)
    variation = unit_variation(summaries, [("neuron",), ("session",), ("animal",)])
    told = frozenset(["epoch"]) if "1" in inner_effects else frozenset(["epoch", "drug"])
    assert variation.levels[0].varying == told
    assert variation.levels[1].varying == variation.levels[2].varying == frozenset(["epoch", "drug"])


def test_a_slope_of_the_neuron_that_is_constant_in_it_does_not_vary():
    table = design(crossed=True)
    table["epoch"] = table["cell"] % 2
    summaries = summed(table, drug_inside=False, inner_effects=("1", "epoch"))
    assert unit_variation(summaries, [("neuron",), ("session",)]).levels[0].varying == frozenset()


def test_combinations_are_counted_where_points_are_fine_enough():
    _, rows = facts(design(crossed=True), "y ~ drug*epoch + (1|animal) + (1|session) + (1|neuron)")
    assert rows.combinations(2, ["drug"]) == 12
    assert rows.combinations(2, ["drug", "epoch"]) == 24
    units = unit_variation(
        summed(design(crossed=True), drug_inside=False), [("neuron",), ("session",), ("animal",)]
    )
    assert units.combinations(2, ["drug"]) == 12
    assert units.combinations(2, ["epoch"]) is None
    assert units.combinations(0, ["drug"]) is None


def test_what_varies_is_read_from_units_at_once_however_many_neurons():
    table = design(crossed=True)
    small = summed(table, drug_inside=False)
    many = dataclasses.replace(small, cell_count=small.cell_count * 1e6)
    variation = unit_variation(many, [("neuron",), ("session",), ("animal",)])
    assert variation.levels[0].n_groups == 120_000_000
    assert [each.n_groups for each in variation.levels[1:]] == [24, 6]
