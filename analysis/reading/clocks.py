"""Clocks of series: when each frame was taken, and which frames lie in a window."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.arrays import Arrays, Part
from nwbswitch.analysis.access.stored_array import StoredArray
from nwbswitch.analysis.reading.outline import Clock

Floats = NDArray[np.float64]

TIME_TOLERANCE_S = 1e-6
"""Frames this close before an edge belong after it: times are sums of rounded numbers."""


def frame_times(clock: Clock, arrays: Arrays, frames: slice) -> Floats:
    """Return the times of a run of frames on the session clock, shape (frames,), s.

    ``frames`` has no step; its ends are cut to those of the recording. Stamps are read only for these
    frames, so that memory follows the run, not the recording.
    """
    first, last, _ = frames.indices(clock.n_frames)
    if last <= first:
        return np.empty(0)
    if clock.stamps is None:
        return clock.start_s + np.arange(first, last) / clock.rate_hz
    (stamps,) = arrays.read_many([_run(clock.stamps, clock.n_frames, first, last)])
    return _seconds(stamps, clock)


def frames_between(clock: Clock, arrays: Arrays, start_s: float, stop_s: float) -> slice:
    """Return the frames that begin from ``start_s`` until before ``stop_s``, s on the session clock.

    An empty slice lies where such frames would be. Of stamps only the two runs of `Clock.knot_frames` in
    which the edges lie are read, together.
    """
    edges_s = (start_s - TIME_TOLERANCE_S, max(start_s, stop_s) - TIME_TOLERANCE_S)
    if clock.stamps is None:
        first, last = (_regular_frame(clock, edge_s) for edge_s in edges_s)
        return slice(first, last)
    runs = [_knot_run(clock, edge_s) for edge_s in edges_s]
    wanted = [
        _run(clock.stamps, clock.n_frames, first, last) for first, last in dict.fromkeys(runs) if last > first
    ]
    read = iter(arrays.read_many(wanted) if wanted else [])
    times = {
        run: _seconds(next(read), clock) if run[1] > run[0] else np.empty(0) for run in dict.fromkeys(runs)
    }
    first, last = (
        run[0] + int(np.searchsorted(times[run], edge_s)) for run, edge_s in zip(runs, edges_s, strict=True)
    )
    return slice(first, last)


def _regular_frame(clock: Clock, edge_s: float) -> int:
    """Return the first frame at or after a time, by the same rounding as `frame_times`."""
    guess = math.ceil(min(max((edge_s - clock.start_s) * clock.rate_hz, 0.0), float(clock.n_frames)))
    around = np.arange(max(guess - 2, 0), min(guess + 3, clock.n_frames))
    if not around.size:
        return guess
    return int(around[0]) + int(np.searchsorted(clock.start_s + around / clock.rate_hz, edge_s))


def _knot_run(clock: Clock, edge_s: float) -> tuple[int, int]:
    """Return the frames among which the first one at or after a time is, or the one before which it is."""
    if not clock.knots_s:
        return 0, clock.n_frames
    after = int(np.searchsorted(np.asarray(clock.knots_s), edge_s))
    if after == 0:
        return 0, 0
    return (after - 1) * clock.knot_frames + 1, min(after * clock.knot_frames, clock.n_frames)


def _run(stamps: StoredArray, n_frames: int, first: int, last: int) -> Part:
    """Return the part of stamps, which some writers store as a row or a column, for a run of frames."""
    long = next((axis for axis, length in enumerate(stamps.shape) if length == n_frames), 0)
    return stamps, tuple(
        slice(first, last) if axis == long else slice(0, 1) for axis in range(len(stamps.shape))
    )


def _seconds(stamps: NDArray[np.generic], clock: Clock) -> Floats:
    return np.asarray(stamps, dtype=np.float64).ravel() * clock.conversion_s + clock.offset_s
