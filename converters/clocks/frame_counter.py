"""Times of samples that name the imaging frame during which they were taken."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import Place, issue

Floats = NDArray[np.float64]


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


def counter_times(
    frames: ArrayLike,
    frame_times_s: Floats,
    *,
    first_frame: int = 0,
    path: Path | None = None,
    column: str = "",
) -> CountedTimes:
    """Return the time of each sample from the number of the frame it names.

    A sample that is the first to name a frame is taken at the beginning of that frame. Samples come
    regularly: those in between are placed evenly, those before the first change and after the last one at
    the median interval. Samples that then lie before the first frame or after the end of the last one have no
    time and are left out.

    Parameters
    ----------
    frames
        Frame number of each sample, not decreasing, shape (n,).
    frame_times_s
        Beginning of each frame, s, increasing, shape (n_frames,).
    first_frame
        Number of the first frame: 0 or 1.
    path, column
        Where the numbers are, for findings.

    Raises
    ------
    IssuesError
        ``bad-cell`` for numbers that are none or go back, ``length-differs`` for a frame that is not there.
    """
    numbers = np.asarray(frames, dtype=np.float64)
    place = Place(path, item=column)
    n_frames = len(frame_times_s)
    if numbers.ndim != 1 or not len(numbers) or n_frames < 1:
        raise ValueError("frames and frame_times_s must be one-dimensional and not empty")
    _check_numbers(numbers, place)
    index = numbers.astype(np.int64) - first_frame
    # Before imaging counters stand still one below the first frame.
    outside = (index < -1) | (index >= n_frames)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        last = first_frame + n_frames - 1
        problem = f"Row {row + 1} names frame {numbers[row]:.0f}, but frames are {first_frame} to {last}."
        remedy = "Check which movie the counter belongs to and whether it counts from 0 or 1."
        raise IssuesError([issue("length-differs", problem, place=place, remedy=remedy)])
    changes = np.flatnonzero(np.concatenate([[True], np.diff(index) > 0]) & (index >= 0))
    if len(changes) and changes[0] == 0 and (len(index) > 1 and index[1] == index[0]):
        # The first sample need not be the first of its frame.
        changes = changes[1:]
    if not len(changes):
        problem = f"The counter stands still at {numbers[0]:.0f}; it does not tell when samples were taken."
        raise IssuesError([issue("bad-cell", problem, place=place, remedy="Check the column.")])
    at_s = frame_times_s[index[changes]]
    step_s = _sample_interval(changes, at_s, frame_times_s)
    rows = np.arange(len(index), dtype=np.float64)
    times: Floats = np.interp(rows, changes, at_s)
    before, after = rows < changes[0], rows > changes[-1]
    times[before] = at_s[0] - (changes[0] - rows[before]) * step_s
    times[after] = at_s[-1] + (rows[after] - changes[-1]) * step_s
    frame_s = float(np.median(np.diff(frame_times_s))) if n_frames > 1 else step_s
    # Half a sample of grace: the beginning of a frame is known no better from the counter.
    inside = (times > frame_times_s[0] - 0.5 * step_s) & (times < frame_times_s[-1] + frame_s - 1e-9)
    kept = np.flatnonzero(inside)
    first, stop = int(kept[0]), int(kept[-1]) + 1
    jumps = np.diff(index[changes])
    n_skipped = (
        int((jumps - 1).sum())
        if len(jumps) and np.median(np.diff(changes)) >= 1 and (np.median(jumps) == 1)
        else 0
    )
    return CountedTimes(times[first:stop], slice(first, stop), len(index) - (stop - first), n_skipped)


def _check_numbers(numbers: Floats, place: Place) -> None:
    wrong = np.flatnonzero(~np.isfinite(numbers) | (numbers % 1 != 0))
    back = np.flatnonzero(np.diff(numbers) < 0) + 1
    if wrong.size:
        problem = f"Row {wrong[0] + 1} holds no frame number."
    elif back.size:
        row = int(back[0])
        problem = f"Row {row + 1} names frame {numbers[row]:.0f} after {numbers[row - 1]:.0f}."
    else:
        return
    remedy = "Give time_column or rate_hz if the counter is no clock."
    raise IssuesError([issue("bad-cell", problem, place=place, remedy=remedy)])


def _sample_interval(changes: NDArray[Any], at_s: Floats, frame_times_s: Floats) -> float:
    """Return the median interval of samples between changes of the counter, s."""
    if len(changes) > 1:
        return float(np.median(np.diff(at_s) / np.diff(changes)))
    return float(np.median(np.diff(frame_times_s))) if len(frame_times_s) > 1 else 0.0
