"""What became of every session of a study that was converted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nwbswitch.schemas.issues import Issue, has_errors

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["converted", "present", "planned", "failed"]


@dataclass(frozen=True, slots=True)
class SessionResult:
    """What became of one session: its file, and the reason when there is none."""

    subject_id: str
    session_id: str
    path: Path
    status: Status
    reason: str = ""
    seconds: float = 0.0
    size_bytes: int = 0
    issues: tuple[Issue, ...] = ()

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
        }


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """The outcome of every session, in the order of the study."""

    sessions: tuple[SessionResult, ...]
    out_dir: Path

    @property
    def issues(self) -> list[Issue]:
        """All findings of all sessions."""
        return [each for session in self.sessions for each in session.issues]

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
        """Return how many sessions ended in which way, and one line per failure."""
        counts: dict[str, int] = {}
        for each in self.sessions:
            counts[each.status] = counts.get(each.status, 0) + 1
        lines = [", ".join(f"{n} {status}" for status, n in counts.items()) + f" in {self.out_dir}"]
        lines += [
            f"failed: {each.subject_id}/{each.session_id}: {each.reason}"
            for each in self.sessions
            if each.status == "failed"
        ]
        return "\n".join(lines)
