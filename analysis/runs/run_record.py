"""The record of a run: what went in, what came out and with what, so that it can be repeated."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nwbswitch.analysis.runs.results_folder import PLAN_FILE
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.files import digest
from nwbswitch.schemas.provenance import record

RECORD = "record.json"
MAX_BYTES = 100_000_000
NUMBERS = (".csv", ".json")
_SOURCE = ("dataset", "name", "digest")
_PLACES = frozenset({"source", "file"})
_NOT_NUMBERS = frozenset({"provenance", "seconds", "time", "libraries", "python", "plan", "info"})


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input of a run.

    Attributes
    ----------
    dataset
        Data set that it belongs to; empty for tables of models.
    name
        As the plan finds it, without the path of any machine.
    digest
        SHA-256 of the file, or what its archive says of its content.
    asset_id, version
        Asset and version of the dandiset; empty for a file.
    """

    dataset: str
    name: str
    digest: str
    asset_id: str = ""
    version: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by in another run."""
        return self.dataset, self.name

    def as_dict(self) -> dict[str, str]:
        """Return plain JSON values."""
        return {
            "dataset": self.dataset,
            "name": self.name,
            "digest": self.digest,
            "asset_id": self.asset_id,
            "version": self.version,
        }


def run_record(
    *,
    plan: Mapping[str, Any],
    base: str,
    blind: bool,
    status: Mapping[str, Any],
    inputs: Iterable[InputFile],
    out: Path,
    seed: int,
) -> dict[str, Any]:
    """Return the record of a finished run in ``out``, plain JSON values.

    Parameters
    ----------
    plan
        The plan with its defaults.
    base
        Folder of the plan, relative to ``out``.
    blind
        Whether the arms were coded.
    status
        Whether the plan was frozen.
    inputs
        Everything that was read.
    out
        Folder of the results.
    seed
        Of the run.
    """
    used = sorted(inputs, key=lambda each: each.key)
    made = record(
        command="run",
        parameters={"plan": plan, "blind": blind},
        inputs={"/".join(filter(None, each.key)): each.digest for each in used},
        seed=seed,
    )
    return {
        **made,
        "base": base,
        "plan_status": dict(status),
        "sources": [each.as_dict() for each in used],
        "outputs": outputs(out),
    }


def outputs(folder: Path) -> dict[str, str]:
    """Return the digest of the numbers in each table and JSON file below a folder of results."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and path.suffix in NUMBERS and not hidden and path.name not in (RECORD, PLAN_FILE):
            found[name] = digest(numbers_of(path)) if path.suffix == ".json" else _digest_of_rows(path)
    return found


def rows_of(path: Path) -> Iterator[list[str]]:
    """Yield the rows of a CSV table without the columns that tell where its sources lie on this machine."""
    with path.open(encoding="utf-8", newline="") as stream:
        kept: list[int] | None = None
        for row in csv.reader(stream):
            if kept is None:
                kept = [place for place, name in enumerate(row) if name not in _PLACES]
            yield [row[place] for place in kept if place < len(row)]


def _digest_of_rows(path: Path) -> str:
    found = hashlib.sha256()
    for row in rows_of(path):
        found.update(json.dumps(row).encode())
    return found.hexdigest()


def numbers_of(path: Path) -> Any:
    """Return the content of a JSON result without what differs between two runs of the same work."""
    return _kept(json.loads(path.read_text(encoding="utf-8")))


def _kept(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _kept(each) for name, each in value.items() if name not in _NOT_NUMBERS}
    return [_kept(each) for each in value] if isinstance(value, list) else value


def read_record(path: Path) -> dict[str, Any]:
    """Return the record of a run.

    Raises
    ------
    InputFileError
        If the file is no record of a run, or damaged.
    """
    problem = "is no record of a run of ours, or damaged."
    remedy = "Give the record.json of a folder that nwbswitch run wrote."
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputFileError(path, problem, remedy)
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputFileError(path, problem, remedy) from error
    if not isinstance(held, dict) or held.get("command") != "run":
        raise InputFileError(path, problem, remedy)
    kinds = {"parameters": dict, "sources": list, "outputs": dict, "base": str, "nwbswitch": str}
    wrong = [name for name, kind in kinds.items() if not isinstance(held.get(name), kind)]
    if wrong or not isinstance(held["parameters"].get("plan"), dict):
        raise InputFileError(path, problem, remedy)
    texts = [each.get(name) for each in held["sources"] if isinstance(each, dict) for name in _SOURCE]
    texts += held["outputs"].values()
    if len(texts) != len(_SOURCE) * len(held["sources"]) + len(held["outputs"]):
        raise InputFileError(path, problem, remedy)
    if not all(isinstance(each, str) for each in texts):
        raise InputFileError(path, problem, remedy)
    return held
