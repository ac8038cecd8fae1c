"""Findings: severity from the catalogue, places that can be read, hints that name the nearest word."""

from __future__ import annotations

import json
import pickle
import re
from enum import StrEnum
from pathlib import Path

import pytest

from nwbswitch.schemas.issues import CATALOGUE, Place, Severity, has_errors, issue, nearest


class Colour(StrEnum):
    """A vocabulary given as an enumeration."""

    RED = "red"


@pytest.mark.parametrize("code", CATALOGUE)
def test_catalogue(code: str) -> None:
    kind = CATALOGUE[code]
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
    assert kind.meaning.endswith(".")
    assert issue(code, "x").severity is kind.severity


def test_an_unknown_code_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        issue("no-such-code", "x")


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (Place(), ""),
        (Place(Path("a.yaml")), "a.yaml"),
        (Place(Path("a.yaml"), 3), "a.yaml:3"),
        (Place(Path("a.yaml"), 3, "dose"), "a.yaml:3 (dose)"),
        (Place(Path("a.yaml"), item="dose"), "a.yaml (dose)"),
        (Place(line=3), "line 3"),
        (Place(line=3, item="dose"), "line 3 (dose)"),
        (Place(item="dose"), "dose"),
    ],
)
def test_places(place: Place, text: str) -> None:
    assert str(place) == text


def test_an_issue_as_text_as_json_and_through_a_pickle() -> None:
    found = issue("bad-cell", "It is bad.", place=Place(Path("a.csv"), 2, "dose"), remedy="Mend it.")
    assert str(found) == "error: a.csv:2 (dose): It is bad. Mend it. [bad-cell]"
    assert str(issue("bad-cell", "It is bad.")) == "error: It is bad. [bad-cell]"
    assert json.loads(json.dumps(found.as_dict())) == {
        "code": "bad-cell",
        "severity": "error",
        "message": "It is bad.",
        "file": "a.csv",
        "line": 2,
        "item": "dose",
        "remedy": "Mend it.",
    }
    assert issue("bad-cell", "x").as_dict()["file"] is None
    assert pickle.loads(pickle.dumps(found)) == found


def test_has_errors() -> None:
    error, warning = issue("bad-cell", "x"), issue("unknown-column", "x")
    assert warning.severity is Severity.WARNING
    assert has_errors([warning, error])
    assert not has_errors([warning])
    assert not has_errors([])


@pytest.mark.parametrize(
    ("word", "words", "hint"),
    [
        ("ketamin", ["saline", "ketamine"], "Did you mean 'ketamine'?"),
        ("VISP", ["VISp", "MOp"], "Did you mean 'VISp'?"),
        ("reed", list(Colour), "Did you mean 'red'?"),
        ("zzz", ["ketamine"], ""),
        ("x", [], ""),
        ("", ["ketamine"], ""),
    ],
)
def test_nearest(word: str, words: list[str], hint: str) -> None:
    assert nearest(word, words) == hint
