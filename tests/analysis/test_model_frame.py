import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.formulas.coding import design
from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.model_frame import ModelFrame, model_frame
from nwbswitch.schemas.errors import FitError, FormulaError


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n = 48
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.normal(size=n),
            "arm": np.tile(["saline", "ketamine", "LSD"], n // 3),
            "ok": np.tile([True, False], n // 2),
            "dose": np.tile([1, 10, 3, 10], n // 4),
            "animal": np.repeat([f"a{i}" for i in range(6)], n // 6),
            "session": np.tile(np.repeat(["s1", "s2"], 4), 6),
        }
    )


def framed(table: pd.DataFrame, text: str, where: str | None = None) -> ModelFrame:
    return model_frame(table, read_formula(text), where=where)


@pytest.mark.parametrize(
    ("terms", "names"),
    [
        ("arm", ["(Intercept)", "armketamine", "armsaline"]),
        ("0 + arm", ["armLSD", "armketamine", "armsaline"]),
        ("ok:x", ["(Intercept)", "okFALSE:x", "okTRUE:x"]),
        ("ok*x", ["(Intercept)", "okTRUE", "x", "okTRUE:x"]),
        ("factor(dose)", ["(Intercept)", "factor(dose)3", "factor(dose)10"]),
        ("ok + ok:arm", [
            "(Intercept)", "okTRUE", "okFALSE:armketamine", "okTRUE:armketamine", "okFALSE:armsaline",
            "okTRUE:armsaline",
        ]),
    ],
)  # fmt: skip
def test_columns_are_coded_and_named_as_in_r(table, terms, names):
    assert list(framed(table, f"y ~ {terms} + (1|animal)").fixed.names) == names


def test_a_categorical_keeps_its_order_and_loses_unused_levels(table):
    table["arm"] = pd.Categorical(table["arm"], categories=["saline", "none", "LSD", "ketamine"])
    assert framed(table, "y ~ arm + (1|animal)").fixed.names == ("(Intercept)", "armLSD", "armketamine")


def test_sum_coding_sums_to_zero_over_levels(table):
    frame = framed(table, "y ~ arm + (1|animal)")
    coded = design(frame.fixed.terms, frame.variables, frame.n_rows, contrasts="sum")
    per_level = [
        coded.matrix[np.asarray(table["arm"] == arm)][0, 1:] for arm in ("LSD", "ketamine", "saline")
    ]
    assert np.array_equal(np.sum(per_level, axis=0), np.zeros(2))


def test_levels_run_from_the_innermost_group_outwards(table):
    frame = framed(table, "y ~ x + (1|animal/session)")
    assert [level.names for level in frame.levels] == [("session:animal",), ("animal",)]
    assert [level.n_groups for level in frame.levels] == [12, 6]
    inner, outer = frame.levels
    assert np.array_equal(inner.parent[inner.codes], outer.codes)
    assert inner.labels[inner.codes[0]] == "s1:a0"


def test_two_names_of_one_grouping_are_one_level(table):
    table["mouse"] = table["animal"].str.upper()
    frame = framed(table, "y ~ x + (1|animal) + (0 + x|mouse)")
    assert [level.names for level in frame.levels] == [("animal", "mouse")]


def test_missing_rows_are_counted_and_nothing_is_changed(table):
    table.loc[[0, 5], "y"] = np.nan
    table.loc[5, "x"] = np.nan
    table.loc[7, "animal"] = None
    before = table.copy(deep=True)
    frame = framed(table, "y ~ x + (1|animal)", where="ok")
    pd.testing.assert_frame_equal(table, before)
    assert (frame.n_missing, frame.n_excluded, frame.n_rows) == (1, 24, 23)
    assert 0 not in frame.rows
    assert frame.rows.size == 23


def test_a_number_can_be_an_effect_and_a_group(table):
    frame = framed(table, "y ~ dose + (1|dose)")
    assert frame.fixed.names == ("(Intercept)", "dose")
    assert frame.levels[0].n_groups == 3


@pytest.mark.parametrize(
    ("text", "where", "error", "words"),
    [
        ("y ~ x + (1|animal)", "x > 99", FitError, "holds for no row"),
        ("y ~ x + I(2 * x) + (1|animal)", None, FitError, "I(2 * x) is a combination"),
        ("y ~ arm + (1|animal)", "arm == 'LSD'", FormulaError, "only the value 'LSD'"),
        ("y ~ x + (1|animal)", "animal == 'a1'", FitError, "one level"),
        ("y ~ xx + (1|animal)", None, FormulaError, "Did you mean 'x'"),
        ("y ~ x + (1|anmal)", None, FormulaError, "Did you mean 'animal'"),
        ("arm ~ x + (1|animal)", None, FormulaError, "not a number"),
        ("I(0 * x) ~ x + (1|animal)", None, FitError, "nothing varies"),
        ("y ~ x + (1|animal) + (1|session)", None, FitError, "'animal' and 'session' are crossed"),
        ("log(I(0 * x)) ~ x + (1|animal)", None, FitError, "infinite in 48 of 48 rows, first in row 1"),
        ("y ~ I(1/(0 * x)) + (1|animal)", None, FitError, "infinite"),
        ("y ~ log(-1 - abs(x)) + (1|animal)", None, FitError, "every row misses a value"),
        ("y ~ x + (1|x)", None, FitError, "as many levels as there are rows"),
        ("y ~ x + (arm*x*ok|animal/session)", None, FitError, "random effects for 48 rows"),
        ("y ~ 0 + (1|animal)", None, FitError, "no fixed effect"),
    ],
)
def test_what_cannot_be_fitted_is_said_in_one_sentence(table, text, where, error, words):
    with pytest.raises(error) as caught:
        framed(table, text, where)
    assert words in str(caught.value)


def test_an_empty_table_and_a_wrong_type_are_refused(table):
    with pytest.raises(FitError, match="no rows"):
        framed(table.iloc[:0], "y ~ x + (1|animal)")
    with pytest.raises(TypeError, match="DataFrame"):
        model_frame([1, 2], read_formula("y ~ x + (1|animal)"))


def test_infinite_values_name_the_row(table):
    table.loc[11, "y"] = np.inf
    with pytest.raises(FitError, match=r"'y' is infinite in 1 of 48 rows, first in row 12\."):
        framed(table, "y ~ x + (1|animal)")
