"""The plan of an analysis: what it may state, and what is said of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nwbswitch.schemas.analysis_plan import changes, load_plan
from nwbswitch.schemas.errors import StudyError
from nwbswitch.schemas.json_schema import PLAN_FILE, plan_schema

PLAN = """
name: crossover
sources: nwb
switch: {margin: 0.2, k: 20}
models:
  - {name: rates, formula: "sqrt_rate ~ arm * window + (1 | animal)", ddf: none}
robustness: {window_s: [300, 600]}
seed: 7
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "analysis.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_not_stated_has_its_default(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path, PLAN))
    assert plan.seed == 7
    assert plan.switch.margin == 0.2
    assert plan.switch.k == (20,)
    assert plan.measure.threshold_sd == 3
    assert plan.time_courses is not None
    assert plan.models[0].ddf == "none"
    (study,) = plan.studies
    assert (study.name, study.sources) == ("crossover", ("nwb",))


def test_the_digest_is_of_what_is_stated_not_of_how(tmp_path: Path) -> None:
    first = load_plan(written(tmp_path, PLAN)).digest
    again = load_plan(written(tmp_path, PLAN.replace("sources: nwb", "sources: [nwb]   # the files")))
    other = load_plan(written(tmp_path, PLAN.replace("seed: 7", "seed: 8")))
    assert again.digest == first
    assert other.digest != first


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("sources: nwb", "sorces: nwb", 3, "Did you mean 'sources'?"),
        ("margin: 0.2", "margin: 2", 4, "less than 1"),
        ("name: crossover", "name: ../up", 2, "a name has letters"),
        ("name: crossover", "name: 'up '", 2, "ends with no blank or dot"),
        ("name: crossover", "name: NUL.txt", 2, "Windows has no file"),
        ("window_s: [300, 600]", "roi_sets: [detected_0]", 7, "such as detected_20"),
        ("k: 20", "primary: SW", 4, "Expected 'M'"),
        ("ddf: none", "ddf: z", 6, "kenward-roger"),
        ("seed: 7", "seed: -1", 8, "seed"),
        ("sources: nwb", "datasets: [{name: a}]", 3, "sources is not given"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    with pytest.raises(StudyError) as caught:
        load_plan(written(tmp_path, PLAN.replace(old, new)))
    assert any(each.place.line == line for each in caught.value.issues)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: x", "nothing to do"),
        ("name: x\nsources: a\ndatasets: [{name: b, sources: c}]", "not both"),
        ("name: x\nmodels: [{name: m, formula: y ~ x}]", "has no table"),
        ("name: x\ndatasets: [{name: A, sources: c}, {name: a, sources: d}]", "two datasets are called 'a'"),
        ("- 1", "no mapping"),
        (f"name: x\nsources: a\nrobustness: {{threshold_sd: {list(range(1, 2100))}}}", "2102 specifications"),
        (f"name: x\nsources: a\nrobustness: {{k: {list(range(1, 500))}, crossed: true}}", "at most 2000"),
        ("name: x\noverrides: o.yaml\ndatasets: [{name: A, sources: c}]", "belong to sources"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        load_plan(written(tmp_path, text))


def test_changes_are_told_key_by_key() -> None:
    then = {"a": {"b": 1, "c": [1, 2]}, "d": "x"}
    now = {"a": {"b": 2, "c": [1, 3]}, "d": "x", "e": None}
    assert changes(then, now) == ["a.b: 1 before, 2 now", "a.c: [1, 2] before, [1, 3] now"]
    assert changes(now, now) == []


def test_the_stored_schema_is_that_of_the_model() -> None:
    stored = json.loads(PLAN_FILE.read_text(encoding="utf-8"))
    assert stored == plan_schema(), "run: python -m nwbswitch.schemas.json_schema"
