"""The record beside every converted file: from what it was made, and whether it still is what was made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from nwbswitch.converters.conversion_files import Input
from nwbswitch.converters.conversion_inputs import FileState, content_digest, size_and_time
from nwbswitch.schemas.files import write_json
from nwbswitch.schemas.provenance import record as provenance
from nwbswitch.schemas.version import __version__

RECORDS = ".nwbswitch"
_MOST_CHANGES = 6
_LONGEST_VALUE = 40


class ConversionRecord(BaseModel):
    """What one NWB file was made from; ``provenance`` holds all facts needed to make it again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    inputs: tuple[FileState, ...]
    output: FileState
    identifier: str
    provenance: dict[str, Any]

    @classmethod
    def of(
        cls, stated: dict[str, Any], inputs: tuple[FileState, ...], output: FileState, identifier: str
    ) -> ConversionRecord:
        """Return the record of a file that was made now."""
        digests = {each.name: each.sha256 for each in inputs}
        made = provenance(command="convert", parameters={}, inputs=digests, seed=None)
        return cls(
            version=__version__,
            inputs=inputs,
            output=output,
            identifier=identifier,
            # Plain values as they are, to be compared with those of a later run.
            provenance={**made, "parameters": stated},
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a file differs from what would be made now, and what must be read to tell.

    ``unread`` are those states whose size still fits, but not the time, each with its path.
    """

    differences: tuple[str, ...]
    unread: tuple[tuple[FileState, Path], ...] = ()

    @property
    def same(self) -> bool:
        """Whether the file is what would be made."""
        return not self.differences and not self.unread


def compare(
    made: ConversionRecord, stated: dict[str, Any], inputs: tuple[Input, ...], output: Path
) -> Comparison:
    """Compare a file with what would be made now, by its record and without reading any content."""
    found = []
    if _series(made.version) != _series(__version__):
        found.append(f"it was made by version {made.version}, this is {__version__}")
    changed = list(changes(made.provenance.get("parameters"), stated))
    found += changed[:_MOST_CHANGES]
    if len(changed) > _MOST_CHANGES:
        found.append(f"{len(changed) - _MOST_CHANGES} more differences")
    known = {each.name: each for each in made.inputs}
    present = {each.name: each.path for each in inputs}
    found += [f"the input {name} is new" for name in present.keys() - known.keys()]
    found += [f"the input {name} is no longer one" for name in known.keys() - present.keys()]
    pairs = [(state, present[name]) for name, state in known.items() if name in present]
    glances = [(state, path, state.at_a_glance(path)) for state, path in pairs]
    found += [f"the input {state.name} has changed" for state, _, same in glances if same is False]
    unread = [(state, path) for state, path, same in glances if same is None]
    own = made.output.at_a_glance(output)
    if own is False:
        found.append("the file was changed after it was made")
    elif own is None:
        unread.append((made.output, output))
    return Comparison(tuple(found), tuple(unread) if not found else ())


def _series(version: str) -> tuple[str, ...]:
    """Return the part of a version that a change of what files hold would change."""
    return tuple(version.split(".")[:2])


def changes(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Yield what differs between two JSON-like values, e.g. ``subject.weight_g was 25 and is 26``."""
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            here = f"{place}.{key}" if place else str(key)
            if key not in new:
                yield f"{_name(here)} is gone"
            elif key not in old:
                yield f"{_name(here)} is new"
            else:
                yield from changes(old[key], new[key], here)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from changes(one, other, f"{place}[{index}]")
    elif isinstance(old, list) and isinstance(new, list):
        yield f"{_name(place)} had {len(old)} entries and has {len(new)}"
    else:
        before, after = _texts(old, new)
        yield f"{_name(place)} was {before} and is {after}"


def _name(place: str) -> str:
    return place.removeprefix("session.")


def _texts(old: Any, new: Any) -> tuple[str, str]:
    """Return two values in words; of long ones the stretch in which they differ."""
    texts = [json.dumps(value, ensure_ascii=False) for value in (old, new)]
    start = 0
    if max(map(len, texts)) > _LONGEST_VALUE:
        same = takewhile(lambda pair: pair[0] == pair[1], zip(*texts, strict=False))
        start = max(len(list(same)) - _LONGEST_VALUE // 2, 0)
    one, other = (_cut(text, start) for text in texts)
    return one, other


def _cut(text: str, start: int) -> str:
    text = f"...{text[start:]}" if start else text
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def settled(
    made: ConversionRecord, unread: tuple[tuple[FileState, Path], ...]
) -> tuple[ConversionRecord, tuple[str, ...]]:
    """Read what a comparison left unread; return the record with the times of now, and what differs."""
    found: list[str] = []
    times: dict[str, int] = {}
    for state, path in unread:
        time_ns = size_and_time(path)[1]
        if content_digest(path) == state.sha256:
            times[state.name] = time_ns
        elif state is made.output or state == made.output:
            found.append("the file was changed after it was made")
        else:
            found.append(f"the input {state.name} has changed")

    def renewed(state: FileState) -> FileState:
        return state.model_copy(update={"mtime_ns": times.get(state.name, state.mtime_ns)})

    fresh = {"inputs": tuple(map(renewed, made.inputs)), "output": renewed(made.output)}
    return made.model_copy(update=fresh), tuple(found)


def record_path(out_dir: Path, relative: Path) -> Path:
    """Return where the record of an output is kept: out of the way of an upload."""
    return out_dir / RECORDS / relative.with_suffix(".json")


def write_record(path: Path, record: ConversionRecord) -> None:
    """Write a record whole."""
    write_json(path, record.model_dump(mode="json"))


def read_record(path: Path) -> ConversionRecord | None:
    """Return a record, or nothing when there is none that can be read."""
    try:
        return ConversionRecord.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None


def now() -> str:
    """Return the time in UTC as ISO 8601 text."""
    return datetime.now(UTC).isoformat(timespec="seconds")
