"""Valid frames: what the file marks as spoilt, and how much of each window is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.arrays import Part
from nwbswitch.analysis.access.stored_array import StoredArray
from nwbswitch.analysis.activity.blocks import frames_of
from nwbswitch.analysis.activity.motion import moved_frames
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.analysis.reading.clocks import TIME_TOLERANCE_S
from nwbswitch.analysis.reading.outline import Censor, FrameMask, Plane, Shifts, SpoiltSpans, WindowSpan
from nwbswitch.schemas.epochs import Window
from nwbswitch.schemas.issues import Issue, Place, issue

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

MUCH_SHARE = 0.05
"""Share of censored frames, or difference between windows, from which it is reported."""
PAIRS = ((Window.BASELINE, Window.DRUG), (Window.PSEUDO_BASELINE, Window.PSEUDO_DRUG))


def usable_censors(plane: Plane, place: Place, issues: list[Issue]) -> tuple[Censor, ...]:
    """Return what tells spoilt frames of a plane, and report what of it cannot be used."""
    usable: list[Censor] = []
    for censor in plane.censors:
        if not isinstance(censor, SpoiltSpans) and censor.array.shape[:1] != (plane.traces.n_frames,):
            problem = (
                f"{censor.array.object_path} has shape {censor.array.shape} "
                f"for {plane.traces.n_frames} frames; it was not used."
            )
            remedy = "Give one number per frame."
            issues.append(issue("length-differs", problem, place=place, remedy=remedy))
        elif isinstance(censor, Shifts) and censor.um_per_unit is None:
            problem = f"{censor.array.object_path} holds shifts in pixels of unknown size."
            remedy = "Frames spoilt by motion were not left out; state the size of a pixel."
            issues.append(issue("motion-unknown", problem, place=place, remedy=remedy))
        else:
            usable.append(censor)
    return tuple(usable)


def censor_parts(censors: Sequence[Censor], frames: slice) -> list[Part]:
    """Return the parts of arrays that tell which of some frames are spoilt, in the order of ``censors``."""
    return [_rows(each.array, frames) for each in censors if not isinstance(each, SpoiltSpans)]


def spoilt_frames(
    censors: Sequence[Censor],
    values: Sequence[NDArray[Any]],
    time_s: Floats,
    rate_hz: float,
    recipe: Recipe,
) -> Flags:
    """Return which frames are spoilt, shape (frames,).

    Parameters
    ----------
    censors
        As `usable_censors` returns them.
    values
        What `censor_parts` names, as it was read.
    time_s
        Time of each frame, s.
    rate_hz
        Frame rate, Hz.
    recipe
        For ``max_shift_um``.
    """
    spoilt = np.zeros(time_s.size, dtype=bool)
    read = iter(values)
    for censor in censors:
        match censor:
            case FrameMask():
                marks = next(read).reshape(time_s.size, -1)
                spoilt |= (np.nan_to_num(marks.astype(np.float64), nan=1.0) > 0).any(axis=1)
            case Shifts():
                shift = next(read).reshape(time_s.size, -1).astype(np.float64)
                spoilt |= moved_frames(shift * (censor.um_per_unit or 1.0), rate_hz, recipe.max_shift_um)
            case SpoiltSpans():
                starts_s, stops_s = np.asarray(censor.start_s) - 1 / rate_hz, np.asarray(censor.stop_s)
                near = (starts_s < time_s[-1:]) & (stops_s > time_s[:1])
                for start_s, stop_s in zip(starts_s[near], stops_s[near], strict=True):
                    spoilt[frames_of(time_s, start_s + 2 * TIME_TOLERANCE_S, stop_s)] = True
    return spoilt


class CensoredShares:
    """How many frames of each window are there, and how many of them are not valid."""

    def __init__(self) -> None:
        self._frames: dict[Window, int] = {}
        self._censored: dict[Window, int] = {}

    def add(self, windows: Sequence[WindowSpan], time_s: Floats, censored: Flags) -> None:
        """Take in the frames of one core."""
        for span in windows:
            inside = frames_of(time_s, span.start_s, span.stop_s)
            for counts, n in (
                (self._frames, inside.stop - inside.start),
                (self._censored, int(censored[inside].sum())),
            ):
                counts[span.window] = counts.get(span.window, 0) + n

    def shares(self) -> dict[Window, float]:
        """Return the share of frames that are not valid, of windows that have frames."""
        return {window: self._censored[window] / n for window, n in self._frames.items() if n}

    def report(self, place: Place, issues: list[Issue]) -> None:
        """Report windows that lost many frames, and pairs of windows that lost unequally many.

        Motion often differs with the drug, and what is lost is then no random sample of either window.
        """
        shares = self.shares()
        much = [f"{share:.0%} of {window}" for window, share in shares.items() if share > MUCH_SHARE]
        if much:
            problem = f"Frames left out for motion, artefacts or missing values: {', '.join(much)}."
            remedy = "They left both events and exposure; look at what spoilt them."
            issues.append(issue("frames-censored", problem, place=place, remedy=remedy))
        for before, after in PAIRS:
            if before in shares and after in shares and abs(shares[after] - shares[before]) > MUCH_SHARE:
                problem = (
                    f"{shares[before]:.0%} of the frames of {before} were left out "
                    f"and {shares[after]:.0%} of {after}."
                )
                remedy = "What spoils frames differs between the windows: compare them on matched behaviour."
                issues.append(issue("censoring-differs", problem, place=place, remedy=remedy))


def _rows(array: StoredArray, frames: slice) -> Part:
    return array, (frames, *(slice(0, length) for length in array.shape[1:]))
