"""What became of every session of a study that was converted, or what would become of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nwbswitch.converters.conversion_size import Space
from nwbswitch.schemas.issues import Issue, Place, has_errors
from nwbswitch.schemas.progress import readable_bytes

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["converted", "present", "planned", "failed"]


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one NWB file: ``size_bytes`` is an estimate for one that is only planned.

    ``replaces`` tells how a file that is there differs from what takes its place.
    """

    path: Path
    status: Status
    size_bytes: int = 0
    replaces: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        return {
            "path": str(self.path),
            "status": self.status,
            "size_bytes": self.size_bytes,
            "replaces": list(self.replaces),
        }


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """A stream of a session: its name, its file or folder, and the bytes that would be read of it."""

    name: str
    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What a session's files would hold: arm, streams, and windows as (name, start, stop) in s."""

    arm: str
    streams: tuple[StreamPlan, ...]
    windows: tuple[tuple[str, float, float], ...]
    warnings: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """Yield one line per stream, one with the windows, and one per warning of the readers."""
        width = max((len(each.name) for each in self.streams), default=0)
        for each in self.streams:
            yield f"{each.name:{width}}  {_from_here(each.path)}  {readable_bytes(each.size_bytes)}"
        windows = ", ".join(f"{name} {start:g}-{stop:g} s" for name, start, stop in self.windows)
        yield windows or "no windows"
        yield from (f"warning: {each}" for each in self.warnings)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain JSON values."""
        return {
            "arm": self.arm,
            "streams": {each.name: str(each.path) for each in self.streams},
            "input_bytes": {each.name: each.size_bytes for each in self.streams},
            "windows": [
                {"window": name, "start_s": start, "stop_s": stop} for name, start, stop in self.windows
            ],
            "warnings": list(self.warnings),
        }


def _from_here(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


@dataclass(frozen=True, slots=True)
class SessionResult:
    """What became of one session: its files, the reason when there are none, and the plan of a dry run."""

    subject_id: str
    session_id: str
    status: Status
    files: tuple[FileResult, ...]
    reason: str = ""
    seconds: float = 0.0
    n_warnings: int = 0
    log: Path | None = None
    issues: tuple[Issue, ...] = ()
    plan: SessionPlan | None = None

    @property
    def name(self) -> str:
        """Subject and session."""
        return f"{self.subject_id}/{self.session_id}"

    @property
    def path(self) -> Path:
        """The NWB file, or the one with the processed data when there are two."""
        return self.files[-1].path

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(each.size_bytes for each in self.files)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        return {
            "subject_id": self.subject_id,
            "session_id": self.session_id,
            "path": str(self.path),
            "status": self.status,
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
            "size_bytes": self.size_bytes,
            "files": [each.as_dict() for each in self.files],
            "n_warnings": self.n_warnings,
            "log": str(self.log) if self.log else None,
            **({} if self.plan is None else {"plan": self.plan.as_dict()}),
        }


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """The outcome of every session, in the order of the study, and what deserves attention in it."""

    sessions: tuple[SessionResult, ...]
    out_dir: Path
    warnings: tuple[Issue, ...] = ()
    space: Space | None = None
    notes: tuple[str, ...] = ()

    @property
    def issues(self) -> list[Issue]:
        """The warnings about the study, and all findings of all sessions."""
        return [*self.warnings, *(each for session in self.sessions for each in session.issues)]

    @property
    def ok(self) -> bool:
        """Whether no session failed and, after a dry run, the files fit on the disk."""
        return not has_errors(self.issues) and not (self.space is not None and self.space.short)

    @property
    def paths(self) -> list[Path]:
        """The NWB files that are there now."""
        return [
            each.path
            for session in self.sessions
            for each in session.files
            if each.status in ("converted", "present")
        ]

    def table(self) -> pd.DataFrame:
        """Return one row per session."""
        import pandas as pd

        return pd.DataFrame([each.as_dict() for each in self.sessions])

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        return {
            "out_dir": str(self.out_dir),
            "ok": self.ok,
            "sessions": [each.as_dict() for each in self.sessions],
            "issues": [each.as_dict() for each in self.issues],
            "notes": list(self.notes),
            **({} if self.space is None else {"space": self.space.as_dict()}),
        }

    def summary(self) -> str:
        """Return how many sessions ended in which way, failures, the plan of a dry run, and the disk."""
        counts: dict[str, int] = {}
        for each in self.sessions:
            counts[each.status] = counts.get(each.status, 0) + 1
        lines = [", ".join(f"{n} {status}" for status, n in counts.items()) + f" in {self.out_dir}"]
        for each in self.sessions:
            if each.status == "failed":
                lines += [f"failed: {each.name}: {_told(found, each.name)}" for found in each.issues]
            elif each.plan is not None:
                lines += [f"{each.status}: {each.name}: {each.plan.arm or 'no drug'}"]
                lines += [f"    {line}" for line in each.plan.lines()]
                lines += [f"    -> {self._file(file)}" for file in each.files]
        warned = [each for each in self.sessions if each.n_warnings]
        if warned:
            logs = {str(each.log.parent) for each in warned if each.log is not None}
            lines.append(f"{len(warned)} gave warnings: see {', '.join(sorted(logs))}")
        if self.space is not None:
            lines.append(f"disk{' too small' if self.space.short else ''}: {self.space}")
        return "\n".join([*lines, *self.notes])

    def _file(self, file: FileResult) -> str:
        about = "about " if file.status == "planned" else ""
        text = f"{file.path.relative_to(self.out_dir)}, {about}{readable_bytes(file.size_bytes)}"
        text += ", present" if file.status == "present" else ""
        return text + (f", replacing one that differs: {'; '.join(file.replaces)}" if file.replaces else "")


def _told(found: Issue, name: str) -> str:
    """Return a finding without its severity, and without its place when that is the session itself."""
    place = Place() if found.place == Place(item=name) else found.place
    return str(replace(found, place=place)).removeprefix(f"{found.severity}: ")
