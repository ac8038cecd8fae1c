"""Frame times as files state them: in order, and whether they bear out the stated rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.frame_rate import RATE_TOLERANCE
from nwbswitch.schemas.errors import InputFileError


def in_order(path: Path, times_s: NDArray[np.float64], *, otherwise: str) -> NDArray[np.float64]:
    """Return frame times (n,), s, that are finite and increase from frame to frame.

    Raises
    ------
    InputFileError
        Naming the first frame without a time, or that does not come after the one before it;
        ``otherwise`` says what is taken with use_timestamps: false.
    """
    unknown = np.flatnonzero(~np.isfinite(times_s))
    if len(unknown):
        raise InputFileError(
            path,
            f"states no time for frame {int(unknown[0]) + 1}.",
            f"With use_timestamps: false {otherwise} is taken instead.",
        )
    late = np.flatnonzero(~(np.diff(times_s) > 0))
    if len(late):
        frame = int(late[0]) + 1
        raise InputFileError(
            path,
            f"states {times_s[frame]:g} s for frame {frame + 1} and {times_s[frame - 1]:g} s before it.",
            f"With use_timestamps: false {otherwise} is taken instead.",
        )
    return times_s


def measured_rate_hz(times_s: NDArray[np.float64], stated_hz: float | None) -> float | None:
    """Return the stated rate if frame times (n,) have it, else theirs: settings may be out of date."""
    if len(times_s) < 2:
        return stated_hz
    measured = float(1 / np.median(np.diff(times_s)))
    return stated_hz if stated_hz and abs(measured - stated_hz) <= RATE_TOLERANCE * stated_hz else measured
