"""The JSON Schema of the study file, for editors that complete and check as one writes.

``python -m nwbswitch.schemas.json_schema`` writes it to ``schemas/json``; a test fails when it is outdated.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from nwbswitch.schemas.files import replaced
from nwbswitch.schemas.study_document import StudyDocument

SCHEMA_FILE = Path(__file__).parent / "json" / "study.schema.json"
_TITLE = "nwbswitch study"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def study_schema() -> dict[str, Any]:
    """Return the JSON Schema of what a lab writes: templates as text, tables as text or lists."""
    return {"$schema": _DIALECT, **_without_titles(StudyDocument.model_json_schema()), "title": _TITLE}


def _without_titles(schema: Any, *, names: bool = False) -> Any:
    """Return a schema without the titles that pydantic makes from field names; ``names`` are kept."""
    if isinstance(schema, dict):
        kept = {key: each for key, each in schema.items() if names or key != "title"}
        inside = {"properties", "$defs"}
        return {key: _without_titles(each, names=not names and key in inside) for key, each in kept.items()}
    return [_without_titles(each) for each in schema] if isinstance(schema, list) else schema


def schema_text() -> str:
    """Return the schema as it is stored."""
    return json.dumps(study_schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write_schema(path: Path = SCHEMA_FILE) -> None:
    """Write the schema, whole or not at all."""
    with replaced(path) as partial:
        partial.write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    write_schema(Path(sys.argv[1]) if len(sys.argv) > 1 else SCHEMA_FILE)
