"""Settings of three levels become one without touching any of them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from nwbswitch.schemas.merge import merged


@pytest.mark.parametrize(
    ("base", "override", "expected"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, {"a": {"x": 1, "y": 3}}),
        ({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"c": None}}}, {"a": {"b": {"d": 2}}}),
        ({"a": 1, "b": 2}, {"b": None}, {"a": 1}),
        ({"a": 1}, {"b": None}, {"a": 1}),
        ({}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"a": {"x": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": [1, 2, 3]}, {"a": [4]}, {"a": [4]}),
        ({"spacing": [2.0, 3.0]}, {"spacing": [1.0, 1.0]}, {"spacing": [1.0, 1.0]}),
        ({"rows": [{"x": 1}]}, {"rows": [{"y": 2}]}, {"rows": [{"y": 2}]}),
        ({"a": [1]}, {"a": []}, {"a": []}),
        ({"a": {"x": 1}}, {"a": {}}, {"a": {"x": 1}}),
    ],
)
def test_mappings_merge_and_everything_else_replaces(base: Any, override: Any, expected: Any) -> None:
    before = copy.deepcopy((base, override))
    assert merged(base, override) == expected
    assert (base, override) == before


def test_nothing_mutable_is_shared() -> None:
    base: dict[str, Any] = {"a": {"list": [1, {"deep": 1}]}, "kept": [1]}
    override: dict[str, Any] = {"b": {"list": [2]}}
    result = merged(base, override)
    result["a"]["list"][1]["deep"] = 9
    result["kept"].append(9)
    result["b"]["list"].append(9)
    assert base == {"a": {"list": [1, {"deep": 1}]}, "kept": [1]}
    assert override == {"b": {"list": [2]}}


def test_the_order_of_keys_is_that_of_the_wider_level() -> None:
    assert list(merged({"b": 1, "a": 2}, {"c": 3, "a": 4})) == ["b", "a", "c"]


def test_three_levels_give_the_same_whichever_way_they_are_grouped() -> None:
    one, two, three = {"a": {"x": 1, "y": [1]}}, {"a": {"y": [2], "z": 1}}, {"a": {"z": 2}}
    assert merged(merged(one, two), three) == merged(one, merged(two, three))
