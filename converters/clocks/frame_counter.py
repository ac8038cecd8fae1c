"""Times of samples that name the imaging frame during which they were taken."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nwbswitch.schemas.clock_table import ClockMethod, ClockQuality
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import Place, issue

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CountedTimes:
    """Times of the samples that were taken while frames were."""

    times_s: Floats
    """Increasing, shape (n_kept,), s."""
    kept: slice
    """Samples that have a time; those before the first frame and after the last one have none."""
    n_outside: int
    """Samples without a time."""
    n_skipped: int
    """Frames that no sample names, where samples come at least as often as frames; else 0."""

    def quality(self, stream: str, frames: ClockQuality) -> ClockQuality:
        """Return the row of the clock table of the samples, given that of the frames they count."""
        return ClockQuality(
            stream,
            frames.clock,
            ClockMethod.FRAME_COUNTER,
            frames.offset_s,
            frames.drift_ppm,
            jitter_ms=frames.jitter_ms,
            max_residual_ms=frames.max_residual_ms,
            n_frames=len(self.times_s),
            n_dropped=self.n_skipped,
            n_unmatched=self.n_outside,
        )


@dataclass(frozen=True, slots=True)
class CounterSource:
    """Where the frame numbers of samples are, for findings."""

    path: Path | None = None
    column: str = ""
    lines: Rows | None = None
    """Line of the file of each sample, shape (n,)."""

    def place(self, row: int) -> Place:
        """Return the place of one sample."""
        return Place(self.path, None if self.lines is None else int(self.lines[row]), self.column)


def counter_times(
    frames: ArrayLike,
    frame_times_s: Floats,
    *,
    first_frame: int = 0,
    source: CounterSource = CounterSource(),
) -> CountedTimes:
    """Return the time of each sample from the number of the frame it names.

    The first sample that names a frame is taken at the beginning of that frame. Samples come regularly: those
    between are placed evenly, those before the first change of the counter and after the last one at the
    median interval. Samples that then lie before the first frame or after the last one have no time.

    Parameters
    ----------
    frames
        Frame number of each sample, not decreasing, shape (n,).
    frame_times_s
        Beginning of each frame, increasing, shape (n_frames,), s.
    first_frame
        Number of the first frame, 0 or 1. Before imaging a counter may stand one below it.
    source
        Where the numbers are.

    Raises
    ------
    IssuesError
        ``bad-cell`` for numbers that are none, go back or never change; ``length-differs`` for a frame that
        is not there.
    """
    numbers = np.asarray(frames, dtype=np.float64)
    if numbers.ndim != 1 or not len(numbers) or not len(frame_times_s):
        raise ValueError("frames and frame_times_s must have one dimension and not be empty")
    index = _indices(numbers, len(frame_times_s), first_frame, source)
    changes = _changes(index)
    if not len(changes):
        problem = f"The counter stays at {numbers[0]:.0f}, so that it does not tell when samples were taken."
        raise IssuesError([issue("bad-cell", problem, place=source.place(0), remedy="Check the column.")])
    at_s = frame_times_s[index[changes]]
    step_s = _interval(changes, at_s, frame_times_s)
    rows = np.arange(len(index))
    times: Floats = np.interp(rows, changes, at_s)
    before, after = rows < changes[0], rows > changes[-1]
    times[before] = at_s[0] - (changes[0] - rows[before]) * step_s
    times[after] = at_s[-1] + (rows[after] - changes[-1]) * step_s
    frame_s = float(np.median(np.diff(frame_times_s))) if len(frame_times_s) > 1 else step_s
    # The counter tells the beginning of a frame to one sample only.
    begin_s, end_s = frame_times_s[0] - 0.5 * step_s, frame_times_s[-1] + frame_s
    first, stop = (int(row) for row in np.searchsorted(times, [begin_s, end_s - 1e-9]))
    n_outside = len(index) - (stop - first)
    return CountedTimes(times[first:stop], slice(first, stop), n_outside, _skipped(index[changes]))


def _indices(numbers: Floats, n_frames: int, first_frame: int, source: CounterSource) -> Rows:
    """Return the frame of each sample, counted from 0; -1 before the first one."""
    wrong = np.flatnonzero(~np.isfinite(numbers) | (numbers % 1 != 0))
    back = np.flatnonzero(np.diff(numbers) < 0) + 1
    outside = np.flatnonzero((numbers < first_frame - 1) | (numbers >= first_frame + n_frames))
    if wrong.size:
        row, code, problem = int(wrong[0]), "bad-cell", "There is no frame number."
        remedy = "Leave the row out of the table."
    elif back.size:
        row, code = int(back[0]), "bad-cell"
        problem = f"Frame {numbers[row]:.0f} comes after frame {numbers[row - 1]:.0f}."
        remedy = "Make a table of each run, or give time_column or rate_hz if the counter is no clock."
    elif outside.size:
        row, code = int(outside[0]), "length-differs"
        last = first_frame + n_frames - 1
        problem = f"Frame {numbers[row]:.0f} is none of this movie, whose frames are {first_frame} to {last}."
        remedy = "Check which movie the counter belongs to and whether it counts from 0 or 1."
    else:
        return np.asarray(numbers.astype(np.int64) - first_frame)
    raise IssuesError([issue(code, problem, place=source.place(row), remedy=remedy)])


def _changes(index: Rows) -> Rows:
    """Return the samples that are the first of their frame."""
    changes = np.flatnonzero(np.diff(index) > 0) + 1
    # The very first sample is one for sure only when every sample names a frame of its own.
    if index[0] >= 0 and len(changes) >= (len(index) - 1) / 2:
        changes = np.concatenate([[0], changes])
    return np.asarray(changes)


def _interval(changes: Rows, at_s: Floats, frame_times_s: Floats) -> float:
    """Return the median interval of samples, s."""
    if len(changes) > 1:
        return float(np.median(np.diff(at_s) / np.diff(changes)))
    return float(np.median(np.diff(frame_times_s))) if len(frame_times_s) > 1 else 0.0


def _skipped(named: Rows) -> int:
    """Return how many frames lie between those that samples name, when nearly every one is named."""
    jumps = np.diff(named)
    return int((jumps - 1).sum()) if len(jumps) and np.median(jumps) == 1 else 0
