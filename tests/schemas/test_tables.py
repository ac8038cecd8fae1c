"""Table specifications: what does not fit is named, what fits gets its dtype without loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.tables import CELLS, ESTIMATES, TABLES, Column, TableSpec

SPEC = TableSpec(
    "toy",
    "one thing",
    (
        Column("count", "int", "How many."),
        Column("rate_hz", "float", "Rate.", "Hz", required=False, nullable=True),
        Column("good", "bool", "Whether.", required=False),
        Column("name", "str", "Name.", required=False),
    ),
)


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"count": [1], **columns})


def test_checked_orders_types_and_keeps_the_rest() -> None:
    raw = pd.DataFrame(
        {
            "extra": ["x", "y"],
            "name": [None, "b"],
            "good": [1, 0],
            "rate_hz": [np.nan, 2],
            "count": ["1", 2.0],
        },
        index=[7, 7],
    )
    before = raw.copy(deep=True)
    typed = SPEC.checked(raw)
    assert list(typed.columns) == ["count", "rate_hz", "good", "name", "extra"]
    assert typed["count"].tolist() == [1, 2]
    assert typed["count"].dtype == np.int64
    assert typed["rate_hz"].dtype == np.float64
    assert typed["good"].tolist() == [True, False]
    assert typed["name"].tolist() == ["", "b"]
    assert typed.index.tolist() == [7, 7]
    pd.testing.assert_frame_equal(raw, before)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("count", 1.5),
        ("count", "many"),
        ("count", np.inf),
        ("count", 1e300),
        ("count", "99999999999999999999"),
        ("count", np.uint64(2**64 - 1)),
        ("count", None),
        ("count", pd.Timestamp("2026-01-01")),
        ("good", 2),
        ("good", np.inf),
        ("good", "False"),
        ("good", None),
        ("rate_hz", "fast"),
        ("rate_hz", ""),
        ("rate_hz", [1.0]),
        ("rate_hz", pd.Timestamp("2026-01-01")),
        ("rate_hz", pd.Timedelta("1s")),
        ("rate_hz", 1 + 2j),
    ],
)
def test_values_that_do_not_fit(column: str, value: Any) -> None:
    good = {"count": 3, "rate_hz": 1.0, "good": True}[column]
    table = frame().reindex([0, 1]).assign(count=[1, 2])
    dtype = None if column == "count" and value is not None else object
    table[column] = pd.Series([good, value], dtype=dtype)
    found = SPEC.issues(table, file=Path("toy.csv"))
    assert [each.code for each in found] == ["bad-cell"]
    assert str(found[0].place) == f"toy.csv (toy.{column})"
    assert "Row 2" in found[0].message
    assert "np." not in found[0].message


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("good", [True]),
        ("good", np.array([True], dtype=object)),
        ("good", [0]),
        ("good", pd.array([True], dtype="boolean")),
        ("count", pd.array([5], dtype="Int64")),
        ("count", [2**53]),
        ("count", ["12"]),
        ("rate_hz", [np.inf]),
        ("rate_hz", [None]),
        ("rate_hz", ["1e-3"]),
        ("name", [3]),
        ("name", [None]),
    ],
)
def test_values_that_fit(column: str, values: Any) -> None:
    assert SPEC.issues(frame(**{column: values})) == []
    assert len(SPEC.checked(frame(**{column: values}))) == 1


def test_all_problems_are_reported_together() -> None:
    table = pd.DataFrame({"Count": [1], "good": ["maybe"], "rate_hz": ["x"]})
    with pytest.raises(TableError) as caught:
        SPEC.checked(table)
    assert [each.code for each in caught.value.issues] == ["missing-column", "bad-cell", "bad-cell"]
    assert caught.value.issues[0].remedy == "Did you mean 'Count'?"


def test_a_repeated_column_is_named() -> None:
    table = pd.DataFrame([[1, 2]], columns=["count", "count"])
    assert [each.code for each in SPEC.issues(table)] == ["duplicate-id"]


def test_an_empty_table_keeps_its_dtypes() -> None:
    typed = SPEC.checked(pd.DataFrame({"count": [], "rate_hz": []}))
    assert len(typed) == 0
    assert typed["count"].dtype == np.int64


@pytest.mark.parametrize("spec", TABLES.values(), ids=lambda spec: spec.name)
def test_specifications_are_sound(spec: TableSpec) -> None:
    assert len(spec.names) == len(set(spec.names))
    for column in spec.columns:
        assert column.meaning.endswith("."), column.name
        assert not column.nullable or column.dtype in ("float", "str"), column.name
        for suffix, unit in (("_s", "s"), ("_um", "um"), ("_hz", "Hz")):
            assert not (column.name.endswith(suffix) and column.unit != unit), column.name


def test_the_binding_tables() -> None:
    assert {"animal", "session", "tracking_id", "arm", "window", "block", "half"} <= set(CELLS.names)
    assert {"arm", "contrast", "level", "estimand", "estimate", "status"} <= set(ESTIMATES.names)
