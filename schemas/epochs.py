"""Analysis windows: which part of a recording is compared with which."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Window(StrEnum):
    """Names of analysis windows; the pseudo pair lies inside the baseline (negative control N1)."""

    BASELINE = "baseline"
    DRUG = "drug"
    WASHOUT = "washout"
    RECOVERY = "recovery"
    PSEUDO_BASELINE = "pseudo_baseline"
    PSEUDO_DRUG = "pseudo_drug"


_PSEUDO = frozenset({Window.PSEUDO_BASELINE, Window.PSEUDO_DRUG})


def must_be_apart(one: Window, other: Window) -> bool:
    """Return whether two windows may not share time: what lies in both would be compared with itself.

    The pseudo windows lie inside the baseline, so only they may share time with it. Two parts of one window
    may not share any either: it would count twice.
    """
    pair = {one, other}
    return len(pair) == 1 or not pair & _PSEUDO or Window.BASELINE not in pair


class TimeZero(StrEnum):
    """What the times of an epoch count from."""

    SESSION = "session"
    ADMINISTRATION = "administration"


class Epoch(BaseModel):
    """One analysis window in seconds, from the session start or from the first test or control row."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    window: Window
    start_s: float = Field(description="Start of the window, s.")
    stop_s: float = Field(description="End of the window, s.")
    relative_to: TimeZero = Field(
        TimeZero.SESSION,
        description="session: the session clock; administration: the first test or control administration.",
    )

    @model_validator(mode="after")
    def _forward(self) -> Epoch:
        if not self.stop_s > self.start_s:
            raise ValueError(f"stop_s must be after start_s ({self.start_s} s)")
        return self
