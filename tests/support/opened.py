"""Samples, times and marks of an open recording, whole, for comparison with what was written."""

from __future__ import annotations

import numpy as np

from nwbswitch.analysis.reading.clocks import frame_times
from nwbswitch.analysis.reading.outline import FrameMask, Plane, Trace
from nwbswitch.analysis.reading.recording import Recording


def samples(recording: Recording, trace: Trace, rois: slice = slice(None)) -> np.ndarray:
    """Return traces in the unit of the file, shape (ROIs, frames)."""
    whole = tuple(slice(0, length) for length in trace.array.shape)
    (values,) = recording.arrays.read_many([(trace.array, whole)])
    values = values.astype(float) * trace.conversion + trace.offset
    if values.ndim == 1:
        return values[None]
    return (values.T if trace.time_first else values)[rois]


def times_s(recording: Recording, plane: Plane) -> np.ndarray:
    """Return the time of each frame on the session clock, shape (frames,)."""
    return frame_times(plane.clock, recording.arrays, slice(0, plane.clock.n_frames))


def marked_frames(recording: Recording, plane: Plane) -> np.ndarray:
    """Return which frames any mark of the plane spoils, shape (frames,)."""
    masks = [each.array for each in plane.censors if isinstance(each, FrameMask)]
    read = recording.arrays.read_many([(mask, (slice(0, plane.clock.n_frames),)) for mask in masks])
    return np.any(np.stack([*read, np.zeros(plane.clock.n_frames)]) > 0, axis=0)
