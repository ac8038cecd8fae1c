"""What became of every session of a study that was converted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nwbswitch.schemas.issues import Issue, Place, has_errors

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["converted", "present", "planned", "failed"]


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What a session's file would hold: arm, files by stream, and windows as (name, start, stop) in s."""

    arm: str
    streams: tuple[tuple[str, Path], ...]
    windows: tuple[tuple[str, float, float], ...]

    def __str__(self) -> str:
        streams = ", ".join(f"{name} {_from_here(path)}" for name, path in self.streams)
        windows = ", ".join(f"{name} {start:g}-{stop:g} s" for name, start, stop in self.windows)
        return "; ".join((self.arm or "no drug", streams or "no streams", windows or "no windows"))

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain JSON values."""
        return {
            "arm": self.arm,
            "streams": {name: str(path) for name, path in self.streams},
            "windows": [
                {"window": name, "start_s": start, "stop_s": stop} for name, start, stop in self.windows
            ],
        }


def _from_here(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


@dataclass(frozen=True, slots=True)
class SessionResult:
    """What became of one session: its file, the reason when there is none, and the plan of a dry run."""

    subject_id: str
    session_id: str
    path: Path
    status: Status
    reason: str = ""
    seconds: float = 0.0
    size_bytes: int = 0
    issues: tuple[Issue, ...] = ()
    plan: SessionPlan | None = None

    @property
    def name(self) -> str:
        """Subject and session."""
        return f"{self.subject_id}/{self.session_id}"

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
            **({} if self.plan is None else {"plan": self.plan.as_dict()}),
        }


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """The outcome of every session, in the order of the study, and what deserves attention in it."""

    sessions: tuple[SessionResult, ...]
    out_dir: Path
    warnings: tuple[Issue, ...] = ()

    @property
    def issues(self) -> list[Issue]:
        """The warnings about the study, and all findings of all sessions."""
        return [*self.warnings, *(each for session in self.sessions for each in session.issues)]

    @property
    def ok(self) -> bool:
        """Whether no session failed."""
        return not has_errors(self.issues)

    @property
    def paths(self) -> list[Path]:
        """The NWB files that are there now."""
        return [each.path for each in self.sessions if each.status in ("converted", "present")]

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
        }

    def summary(self) -> str:
        """Return how many sessions ended in which way, and one line per failure and per planned session."""
        counts: dict[str, int] = {}
        for each in self.sessions:
            counts[each.status] = counts.get(each.status, 0) + 1
        lines = [", ".join(f"{n} {status}" for status, n in counts.items()) + f" in {self.out_dir}"]
        for each in self.sessions:
            if each.status == "failed":
                lines += [f"failed: {each.name}: {_told(found, each.name)}" for found in each.issues]
            elif each.plan is not None:
                lines.append(
                    f"{each.status}: {each.name}: {each.plan} -> {each.path.relative_to(self.out_dir)}"
                )
        return "\n".join(lines)


def _told(found: Issue, name: str) -> str:
    """Return a finding without its severity, and without its place when that is the session itself."""
    place = Place() if found.place == Place(item=name) else found.place
    return str(replace(found, place=place)).removeprefix(f"{found.severity}: ")
