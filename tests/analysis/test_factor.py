"""Columns of every type as factors: codes, levels, and their order."""

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.formulas.coding import coded
from nwbswitch.analysis.formulas.factor import compact, factor_of, numbered
from nwbswitch.analysis.formulas.formula import Variable


@pytest.mark.parametrize(
    ("column", "levels", "codes"),
    [
        (pd.Series(["b", "a", None, "b"], dtype="str"), ("a", "b"), [1, 0, -1, 1]),
        (
            pd.Series(["b"] * 5 + [None] * 5 + ["a"] * 5, dtype="str"),
            ("a", "b"),
            [1] * 5 + [-1] * 5 + [0] * 5,
        ),
        (pd.Series(["b", "a", None, "B"], dtype=object), ("B", "a", "b"), [2, 1, -1, 0]),
        (pd.Series(["b", 2, None, "2"], dtype=object), ("2", "b"), [1, 0, -1, 0]),
        (pd.Series([10, -3, 10, 7]), ("-3", "7", "10"), [2, 0, 2, 1]),
        (pd.Series([100, -100, 7], dtype="int8"), ("-100", "7", "100"), [2, 0, 1]),
        (pd.Series([2**63 + 4, 3], dtype="uint64"), ("3", "9223372036854775812"), [1, 0]),
        (pd.Series([10**15 + 1, 10**15 + 2]), ("1000000000000001", "1000000000000002"), [0, 1]),
        (pd.Series([0.5, np.nan, -1.0, 2.0]), ("-1", "0.5", "2"), [1, -1, 0, 2]),
        (pd.Series([3, None, 1], dtype="Int64"), ("1", "3"), [1, -1, 0]),
        (pd.Series([True, False, True]), ("FALSE", "TRUE"), [1, 0, 1]),
        (pd.Series([True, None], dtype="boolean"), ("FALSE", "TRUE"), [1, -1]),
        (
            pd.Series(pd.Categorical(["z", "a", None], categories=["z", "q", "a"])),
            ("z", "q", "a"),
            [0, 2, -1],
        ),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pd.Series) else "",
)
def test_levels_are_in_the_order_of_r(column, levels, codes):
    found = coded(Variable("v", "`v`"), pd.DataFrame({"v": column}), grouping=True)
    assert found.levels == levels
    assert found.codes.tolist() == codes
    assert found.missing.tolist() == [code < 0 for code in codes]


def test_values_that_do_not_occur_are_left_out():
    column = pd.Series(pd.Categorical(["z", "a", None], categories=["z", "q", "a"]))
    found = compact(factor_of(column))
    assert found.labels() == ("z", "a")
    assert found.codes.tolist() == [0, 1, -1]
    assert compact(factor_of(column[2:])).labels() == ()


@pytest.mark.parametrize("spread", [1, 10**12])
def test_ranks_do_not_depend_on_the_range(spread):
    values = np.array([5, -2, 5, 9, -2]) * spread
    codes, distinct = numbered(values)
    assert codes.tolist() == [1, 0, 1, 2, 0]
    assert distinct.tolist() == [-2 * spread, 5 * spread, 9 * spread]


def test_long_and_short_runs_of_text_are_the_same_factor():
    rng = np.random.default_rng(1)
    words = np.sort(rng.choice(["x", "yy", "zzz", "ü"], 200))
    for order in (np.arange(200), rng.permutation(200)):
        column = pd.Series(words[order], dtype="str")
        found = coded(Variable("v", "`v`"), pd.DataFrame({"v": column}))
        assert found.levels == ("x", "yy", "zzz", "ü")
        assert [found.levels[code] for code in found.codes] == column.tolist()
