"""The JSON Schema that editors read is the one that the models make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from nwbswitch.schemas.json_schema import SCHEMA_FILE, schema_text, study_schema, write_schema
from nwbswitch.schemas.study import Study
from nwbswitch.schemas.study_document import StudyHeader, SubjectEntry

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def errors(document: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(study_schema())
    return [f"{each.json_path}: {each.message}" for each in validator.iter_errors(document)]


def minimal() -> dict[str, Any]:
    return {"study": {"name": "a", "title": "b"}, "subjects": "subjects.csv", "sessions": "sessions.csv"}


def test_the_stored_schema_is_up_to_date() -> None:
    stored = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    assert stored == study_schema(), "run: python -m nwbswitch.schemas.json_schema"


def test_writing_gives_the_stored_text(tmp_path: Path) -> None:
    write_schema(tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == schema_text()


def test_the_schema_is_valid_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(study_schema())


def test_examples_follow_the_schema() -> None:
    files = sorted(EXAMPLES.rglob("study.yaml"))
    assert files
    for file in files:
        assert errors(yaml.safe_load(file.read_text(encoding="utf-8"))) == [], file
        assert file.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=")
        first = file.read_text(encoding="utf-8").splitlines()[0].partition("$schema=")[2]
        assert (file.parent / first).read_text(encoding="utf-8") == schema_text()


def test_tables_may_be_names_or_lists() -> None:
    assert errors(minimal()) == []
    inline = {
        **minimal(),
        "subjects": [{"subject_id": "a", "imaging": {"depth_um": 3}}],
        "sessions": [{"subject_id": "a", "session_id": "b", "folder": "x", "streams": {"movie": None}}],
        "drug_log": [{"subject_id": "a", "session_id": "b", "timestamp_s": 1, "substance": "ketamine"}],
    }
    assert errors(inline) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"sesions": []}, "sesions"),
        ({"defaults": {"imaging": {"dept_um": 3}}}, "defaults"),
        ({"defaults": {"streams": {"m": {"format": "tif"}}}}, "defaults"),
        ({"defaults": {"epochs": [{"window": "baselin", "start_s": 0, "stop_s": 1}]}}, "defaults"),
        ({"subjects": 3}, "subjects"),
    ],
)
def test_mistakes_are_found(change: dict[str, Any], word: str) -> None:
    found = errors({**minimal(), **change})
    assert found
    assert word in found[0]


def test_the_file_form_has_the_fields_of_the_resolved_form() -> None:
    assert set(StudyHeader.model_fields) == set(Study.model_fields) - {"sessions"}
    for name, field in StudyHeader.model_fields.items():
        assert field.is_required() == Study.model_fields[name].is_required()
        assert field.annotation == Study.model_fields[name].annotation
    from nwbswitch.schemas.study import Subject

    assert set(Subject.model_fields) <= set(SubjectEntry.model_fields)
