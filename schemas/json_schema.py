"""The JSON Schemas of study files, overrides and plans, for editors that complete and check as one writes.

``python -m nwbswitch.schemas.json_schema`` writes them to ``schemas/json``; a test fails when one is old.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nwbswitch.schemas.analysis_plan import AnalysisPlan
from nwbswitch.schemas.files import replaced
from nwbswitch.schemas.overrides import OverridesDocument
from nwbswitch.schemas.study_document import StudyDocument

SCHEMA_FILE = Path(__file__).parent / "json" / "study.schema.json"
OVERRIDES_FILE = SCHEMA_FILE.with_name("overrides.schema.json")
PLAN_FILE = SCHEMA_FILE.with_name("analysis.schema.json")
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def study_schema() -> dict[str, Any]:
    """Return the JSON Schema of what a lab writes: templates as text, tables as text or lists."""
    return _titled("nwbswitch study", StudyDocument.model_json_schema())


def overrides_schema() -> dict[str, Any]:
    """Return the JSON Schema of what a reanalyst states of other people's files."""
    return _titled("nwbswitch overrides", OverridesDocument.model_json_schema())


def plan_schema() -> dict[str, Any]:
    """Return the JSON Schema of the plan of an analysis."""
    return _titled("nwbswitch analysis", AnalysisPlan.model_json_schema())


def _titled(title: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": _DIALECT, **_without_titles(schema), "title": title}


def _without_titles(schema: Any, *, names: bool = False) -> Any:
    """Return a schema without the titles that pydantic makes from field names; ``names`` are kept."""
    if isinstance(schema, dict):
        kept = {key: each for key, each in schema.items() if names or key != "title"}
        inside = {"properties", "$defs"}
        return {key: _without_titles(each, names=not names and key in inside) for key, each in kept.items()}
    return [_without_titles(each) for each in schema] if isinstance(schema, list) else schema


def schema_text(schema: dict[str, Any] | None = None) -> str:
    """Return a schema, by default that of the study file, as it is stored."""
    return json.dumps(schema or study_schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write_schema(path: Path = SCHEMA_FILE, *, schema: dict[str, Any] | None = None) -> None:
    """Write a schema, by default that of the study file, whole or not at all."""
    with replaced(path) as partial:
        partial.write_text(schema_text(schema), encoding="utf-8")


if __name__ == "__main__":
    write_schema()
    write_schema(OVERRIDES_FILE, schema=overrides_schema())
    write_schema(PLAN_FILE, schema=plan_schema())
