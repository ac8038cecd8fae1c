"""How two descriptions differ, in words."""

from __future__ import annotations

from typing import Any

import pytest

from nwbswitch.converters.conversion_record import changes


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({"a": 1}, {"a": 1}, []),
        (
            {"session": {"subject": {"weight_g": 25.0}}},
            {"session": {"subject": {"weight_g": 26.0}}},
            ["subject.weight_g was 25.0 and is 26.0"],
        ),
        ({"study": {"title": "A"}}, {"study": {"title": "B"}}, ['study.title was "A" and is "B"']),
        ({"a": {"b": 1}}, {"a": {"c": 1}}, ["a.b is gone", "a.c is new"]),
        ({"a": [{"d": 1}, 2]}, {"a": [{"d": 3}, 2]}, ["a[0].d was 1 and is 3"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a had 1 entries and has 2"]),
        ({"a": None}, {"a": {"b": 1}}, ['a was null and is {"b": 1}']),
        ({"a": "x" * 90}, {"a": "µ"}, [f'a was "{"x" * 36}... and is "µ"']),
        (
            {"a": "x" * 90 + "23 min"},
            {"a": "x" * 90 + "24 min"},
            [f'a was ...{"x" * 19}23 min" and is ...{"x" * 19}24 min"'],
        ),
        (None, {"a": 1}, [' was null and is {"a": 1}']),
    ],
)
def test_changes_are_named_by_their_place(old: Any, new: Any, told: list[str]) -> None:
    assert list(changes(old, new)) == told
