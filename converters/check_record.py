"""What a check found, kept beside the results, so that unchanged files are not checked twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nwbswitch.schemas.files import sha256_file, write_json
from nwbswitch.schemas.issues import Issue, Place, Severity
from nwbswitch.schemas.provenance import record, same_work


def check_work(files: Sequence[Path]) -> dict[str, Any]:
    """Return the provenance record of checking ``files``: their digests and the versions that check."""
    return record(
        command="check",
        parameters={},
        inputs={path.as_posix(): sha256_file(path) if path.is_file() else "no file" for path in files},
        seed=None,
    )


def may_be_replaced(out: Path) -> bool:
    """Return whether ``out`` is free, or was written by a check."""
    if not out.exists():
        return True
    try:
        held = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else None
    except (OSError, ValueError):
        return False
    return isinstance(held, dict) and held.keys() == {"provenance", "issues"}


def write_findings(out: Path, issues: Sequence[Issue], work: dict[str, Any]) -> None:
    """Write the findings and the work they came from as JSON."""
    write_json(out, {"provenance": work, "issues": [each.as_dict() for each in issues]})


def read_findings(out: Path, work: dict[str, Any]) -> tuple[Issue, ...] | None:
    """Return the findings kept in ``out`` if the same work by the same libraries made them, else None."""
    try:
        held = json.loads(out.read_text(encoding="utf-8"))
        same = same_work(held["provenance"], work)
        if not same or held["provenance"].get("libraries") != work["libraries"]:
            return None
        return tuple(_issue(each) for each in held["issues"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _issue(held: dict[str, Any]) -> Issue:
    place = Place(Path(held["file"]) if held["file"] else None, held["line"], held["item"])
    return Issue(held["code"], Severity(held["severity"]), held["message"], place, held["remedy"])
