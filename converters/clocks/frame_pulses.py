"""Times of movie frames from the pulses that the microscope sent for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.clocks.alignment import Alignment
from nwbswitch.converters.clocks.clock_map import ClockMap
from nwbswitch.converters.clocks.pulses import PulseTrain
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import issue
from nwbswitch.schemas.study_clocks import FrameTimes

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

GAP_INTERVALS = 1.5
"""An interval longer than this many usual ones has room for a lost pulse."""
SHORT_INTERVALS = 0.5
"""An interval shorter than this many usual ones ends with a bounce or begins with a late pulse."""
WHOLE_WITHIN = 0.25
"""Lost pulses leave a whole number of intervals; a gap further from one than this is a pause."""
RATE_WITHIN = 0.02
"""Nominal frame rates are rounded and scanners run a little off; more is another line or another division."""
_SHOWN_GAPS = 3


@dataclass(frozen=True, slots=True)
class FrameAlignment:
    """Times of all frames on the session clock, and how well they are known."""

    times_s: Floats
    """Beginning of each frame, increasing, shape (n_frames,), s."""
    quality: Alignment
    """``map`` is that of the clock the pulses were recorded on; jitter is that of the frame intervals."""
    gaps_s: Floats
    """Beginning of each pause between frames that was left as it is, s."""


@dataclass(frozen=True, slots=True)
class _Gaps:
    """Gaps of a train: the pulse before each, and how many usual intervals it has."""

    rows: Rows
    intervals: Floats
    usual_s: float

    @property
    def lost(self) -> Rows:
        """Pulses that are missing in each gap."""
        return np.asarray(np.round(self.intervals).astype(np.int64) - 1)

    @property
    def are_whole(self) -> bool:
        """Whether every gap has a whole number of usual intervals."""
        return bool((np.abs(self.intervals - np.round(self.intervals)) <= WHOLE_WITHIN).all())


def align_frames(
    pulses: PulseTrain,
    n_frames: int,
    source: FrameTimes,
    *,
    clock_map: ClockMap = ClockMap(),  # noqa: B008, a frozen value
    nominal_rate_hz: float | None = None,
) -> FrameAlignment:
    """Return the time of every frame of a movie from one pulse, or a fixed number of them, per frame.

    Parameters
    ----------
    pulses
        The pulses on the clock that recorded them, see `nwbswitch.converters.clocks.pulses.read_pulses`.
    n_frames
        Frames of the movie.
    source
        What the study says: first pulse, pulses per frame, where surplus may be, what gaps are.
    clock_map
        From that clock to the session.
    nominal_rate_hz
        Frame rate that the movie states; the pulses must agree with it.

    Raises
    ------
    IssuesError
        ``pulses-differ``: too many or too few pulses, with counts, gaps and what to do. ``rate-differs``:
        pulses that are not those of this movie.
    """
    if n_frames < 1:
        raise ValueError(f"n_frames must be at least 1, not {n_frames}")
    needed = n_frames * source.pulses_per_frame
    times = pulses.times_s[source.start_index :]
    if len(times) < min(needed, 2):
        _refuse(pulses, source, needed, "There are too few to know their rate.", "Check threshold and edge.")
    if (np.diff(times) <= 0).any():
        _refuse(pulses, source, needed, "Some come at the same time.", "Give min_interval_s.")
    gaps = _gaps(times)
    _check_rate(pulses, source, gaps.usual_s, nominal_rate_hz)
    _check_bounces(pulses, source, needed, gaps.usual_s)
    is_filled = np.zeros(len(times), dtype=bool)
    if gaps.rows.size and _needs_filling(pulses, source, times, gaps, needed):
        times, is_filled = _filled(times, gaps)
    first, stop = _cut(pulses, source, times, needed)
    times, is_filled = times[first:stop], is_filled[first:stop]
    frames = times[:: source.pulses_per_frame]
    session_s = clock_map.apply(frames)
    steps = np.diff(times)
    steps = steps[steps <= GAP_INTERVALS * gaps.usual_s] - gaps.usual_s
    n_found = int((~is_filled).sum())
    quality = Alignment(
        map=clock_map,
        n_matched=n_found,
        n_unmatched_own=len(pulses.times_s) - n_found,
        n_unmatched_reference=int(is_filled.sum()),
        jitter_ms=float(1000 * steps.std(ddof=1)) if len(steps) > 1 else math.nan,
        max_residual_ms=float(1000 * np.abs(steps).max()) if len(steps) > 1 else math.nan,
        interval_ms=float(1000 * gaps.usual_s * source.pulses_per_frame) if gaps.usual_s else math.nan,
        n_dropped=int(is_filled[:: source.pulses_per_frame].sum()),
    )
    return FrameAlignment(session_s, quality, session_s[_gaps(frames).rows])


def _gaps(times_s: Floats) -> _Gaps:
    if len(times_s) < 2:
        return _Gaps(np.empty(0, dtype=np.int64), np.empty(0), 0.0)
    steps = np.diff(times_s)
    usual_s = float(np.median(steps))
    rows = np.flatnonzero(steps > GAP_INTERVALS * usual_s)
    intervals = steps[rows] / usual_s
    # A pulse that was timed late takes from the interval behind it what it gives to the one before.
    behind = np.append(steps, usual_s)[rows + 1] / usual_s
    intervals += np.where(behind < SHORT_INTERVALS, behind - 1, 0)
    wide = intervals > GAP_INTERVALS
    return _Gaps(rows[wide], intervals[wide], usual_s)


def _check_rate(
    pulses: PulseTrain, source: FrameTimes, usual_s: float, nominal_rate_hz: float | None
) -> None:
    if nominal_rate_hz is None or not usual_s:
        return
    rate_hz = 1 / (usual_s * source.pulses_per_frame)
    if abs(rate_hz / nominal_rate_hz - 1) <= RATE_WITHIN:
        return
    division = rate_hz * source.pulses_per_frame / nominal_rate_hz
    whole = round(division)
    likely = whole >= 1 and abs(division / whole - 1) <= RATE_WITHIN
    found = issue(
        "rate-differs",
        f"The pulses make {rate_hz:.5g} frames a second ({source.pulses_per_frame} per frame), the movie "
        f"states {nominal_rate_hz:.5g} Hz.",
        place=pulses.place,
        remedy=f"Give pulses_per_frame: {whole}." if likely else "Check the line and its rate_hz.",
    )
    raise IssuesError([found])


def _needs_filling(pulses: PulseTrain, source: FrameTimes, times: Floats, gaps: _Gaps, needed: int) -> bool:
    """Return whether gaps are lost pulses to be filled in; refuse when nobody can know."""
    decided = len(times) == needed and source.extra == "none"
    if decided or source.missing == "none":
        return False
    n_lost = int(gaps.lost.sum())
    if source.missing == "refuse":
        _refuse(
            pulses,
            source,
            needed,
            f"{len(gaps.rows)} gaps have room for {n_lost} pulses ({_where(times, gaps)}).",
            "Give missing: interpolate if those pulses were lost, or missing: none if the imaging paused.",
        )
    if not gaps.are_whole:
        _refuse(
            pulses,
            source,
            needed,
            f"A gap is no whole number of intervals ({_where(times, gaps)}): imaging may have paused there.",
            "Give missing: none if it did, and a session for each part if pulses were lost as well.",
        )
    if n_lost > source.max_missing * needed:
        _refuse(
            pulses,
            source,
            needed,
            f"{n_lost} are lost, more than {100 * source.max_missing:g} % ({_where(times, gaps)}).",
            "Look at the line; raise max_missing if times between its pulses will do.",
        )
    return True


def _filled(times_s: Floats, gaps: _Gaps) -> tuple[Floats, NDArray[np.bool_]]:
    """Return times with those of lost pulses evenly in their gaps, and which ones these are."""
    numbers = np.arange(len(times_s))
    numbers[1:] += np.cumsum(np.bincount(gaps.rows, gaps.lost, len(times_s) - 1).astype(np.int64))
    is_filled = np.ones(int(numbers[-1]) + 1, dtype=bool)
    is_filled[numbers] = False
    return np.interp(np.arange(len(is_filled)), numbers, times_s), is_filled


def _check_bounces(pulses: PulseTrain, source: FrameTimes, needed: int, usual_s: float) -> None:
    """Refuse pulses between two that are one usual interval apart: no scanner makes them.

    A pulse that was only timed late also has a short interval behind it, but a long one before it.
    """
    steps = np.diff(pulses.times_s[source.start_index :])
    before, behind = np.append(0.0, steps[:-1]), np.append(steps[1:], 0.0)
    is_short = (steps < SHORT_INTERVALS * usual_s) & (before <= GAP_INTERVALS * usual_s)
    bounces = np.flatnonzero(is_short & (steps + behind < (1 + WHOLE_WITHIN) * usual_s))
    if bounces.size:
        when_s = pulses.times_s[source.start_index + int(bounces[0]) + 1]
        _refuse(
            pulses,
            source,
            needed,
            f"{bounces.size} stand between two that are one interval apart, the first at {when_s:.3f} s.",
            f"Give min_interval_s: {SHORT_INTERVALS * usual_s:.3g} where contacts bounce, or hysteresis.",
        )


def _cut(pulses: PulseTrain, source: FrameTimes, times: Floats, needed: int) -> tuple[int, int]:
    """Return the first pulse that is used and the one after the last."""
    surplus = len(times) - needed
    if surplus < 0:
        _refuse(
            pulses,
            source,
            needed,
            f"{-surplus} are missing, and no gap between pulses shows where: the line may have been recorded "
            "too late or ended too early.",
            "Check the number of frames and pulses_per_frame.",
        )
    if surplus and source.extra == "none":
        _refuse(
            pulses,
            source,
            needed,
            f"{surplus} are too many.",
            "Say where they are with extra: before or extra: after, or give start_index.",
        )
    first = surplus if source.extra == "before" else 0
    return first, first + needed


def _where(times: Floats, gaps: _Gaps) -> str:
    shown = [f"{lost} at {times[row]:.3f} s" for row, lost in zip(gaps.rows, gaps.lost, strict=True)][
        :_SHOWN_GAPS
    ]
    more = len(gaps.rows) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _refuse(pulses: PulseTrain, source: FrameTimes, needed: int, problem: str, remedy: str) -> NoReturn:
    n = len(pulses.times_s)
    first = f" from number {source.start_index} on" if source.start_index else ""
    per_frame = f" ({source.pulses_per_frame} per frame)" if source.pulses_per_frame > 1 else ""
    bounced = f" ({pulses.n_bounces} bounces left out)" if pulses.n_bounces else ""
    message = f"It holds {n} pulses{bounced}, {needed} are needed{first}{per_frame}. {problem}"
    raise IssuesError([issue("pulses-differ", message, place=pulses.place, remedy=remedy)])
