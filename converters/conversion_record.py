"""The record beside every converted file: from what it was made, and whether it still is what was made."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from nwbswitch.converters.session import facts
from nwbswitch.schemas.files import digest, sha256_file, write_json
from nwbswitch.schemas.study import Session, Study
from nwbswitch.schemas.version import __version__

RECORDS = ".nwbswitch"


class FileState(BaseModel):
    """A file as it was: name, size in bytes, modification time and SHA-256."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path, *, name: str) -> FileState:
        """Return the present state of a file; reads all of it."""
        status = path.stat()
        return cls(name=name, size=status.st_size, mtime_ns=status.st_mtime_ns, sha256=sha256_file(path))

    def still(self, path: Path) -> bool:
        """Whether the file has the same content; it is read only when size or time differ."""
        if not path.is_file():
            return False
        status = path.stat()
        if status.st_size != self.size:
            return False
        return status.st_mtime_ns == self.mtime_ns or sha256_file(path) == self.sha256


class ConversionRecord(BaseModel):
    """What one NWB file was made from; ``provenance`` holds all facts needed to make it again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    parameters: str
    inputs: tuple[FileState, ...]
    output: FileState
    identifier: str
    provenance: dict[str, Any]

    def differences(self, study: Study, session: Session, output: Path, *, stub: bool) -> list[str]:
        """Return in what way a file differs from what would be made now; empty when it is the same."""
        found = []
        if self.version != __version__:
            found.append(f"it was made by version {self.version}, this is {__version__}")
        if self.parameters != parameters_digest(study, session, stub=stub):
            found.append("the study file says something else now (or --stub differs)")
        present = dict(input_files(session))
        if present.keys() != {each.name for each in self.inputs}:
            found.append("its streams consist of other files now")
        else:
            changed = [each.name for each in self.inputs if not each.still(present[each.name])]
            found += [f"the input {name} has changed" for name in changed]
        if not self.output.still(output):
            found.append("the file was changed after it was made")
        return found


def parameters_digest(study: Study, session: Session, *, stub: bool) -> str:
    """Return the digest of everything but the input files that decides what a file holds."""
    return digest({**facts(study, session), "stub": stub})


def input_files(session: Session) -> list[tuple[str, Path]]:
    """Return name (``stream/file``) and path of every file that a session is made from."""
    found = []
    for name, stream in session.streams.items():
        for path in stream.files():
            folder = stream.paths[0]
            own = path.relative_to(folder).as_posix() if folder in path.parents else path.name
            found.append((f"{name}/{own}", path))
    return found


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
