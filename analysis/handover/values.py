"""What is handed over of a recording, read once: samples in the unit of the file, times in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.arrays import Arrays
from nwbswitch.analysis.handover.matrices import read_matrix, unit_dtype
from nwbswitch.analysis.handover.point_times import n_times, observed_spans, read_times
from nwbswitch.analysis.handover.selection import (
    Choice,
    Matrix,
    Recorded,
    Rows,
    check_size,
    chosen_columns,
    chosen_parts,
    neuron_columns,
    shared_tables,
    wanted_matrices,
)
from nwbswitch.analysis.reading.clocks import frame_times, frames_between
from nwbswitch.analysis.reading.outline import Plane, Points


@dataclass(frozen=True, slots=True)
class PlaneValues:
    """Part of a plane."""

    plane: Plane
    time_s: NDArray[np.float64]
    """(frames,)"""
    rows: Rows
    """(n,) rows of the plane segmentation."""
    neurons: dict[str, NDArray[Any]]
    """(n,) each."""
    matrices: dict[Matrix, NDArray[Any]]
    """(frames, n) each."""


@dataclass(frozen=True, slots=True)
class PointValues:
    """Part of a table of spikes or events."""

    points: Points
    rows: Rows
    """(n,) rows of the table."""
    neurons: dict[str, NDArray[Any]]
    """(n,) each."""
    times_s: tuple[NDArray[np.float64], ...]
    """Sorted times of each row."""
    observed_s: tuple[tuple[float, float], ...]
    """When all were recorded, inside the span; empty where the file does not say."""


@dataclass(frozen=True, slots=True)
class RecordingValues:
    """Part of a recording."""

    planes: dict[str, PlaneValues]
    points: dict[str, PointValues]
    left_out: tuple[str, ...]
    """What could not be handed over, in words."""


def read_values(recording: Recorded, choice: Choice, *, value_bytes: int = 0) -> RecordingValues:
    """Return the part of a recording that is wanted.

    Parameters
    ----------
    recording
        Open while this runs.
    choice
        What is wanted.
    value_bytes
        What each sample takes beside itself where it goes, for the check of the size.

    Raises
    ------
    ValueError
        As `chosen_parts`, `chosen_columns` and `check_size`.
    InputFileError
        When samples cannot be read.
    """
    arrays = recording.arrays
    parts = chosen_parts(recording.outline, choice)
    shared = shared_tables(recording.outline.points)
    split = {
        name
        for name, part in parts.items()
        if choice.rois == "all" and isinstance(part, Points) and part.times.object_path in shared
    }
    columns = {
        name: chosen_columns(name, part, "accepted" if name in split else choice.rois)
        for name, part in parts.items()
    }
    frames = {name: _frames(part, arrays, choice) for name, part in parts.items() if isinstance(part, Plane)}
    left_out = [f"{name}: units that are not accepted." for name in parts if name in split]
    sizes = {}
    for name, part in parts.items():
        if isinstance(part, Points):
            sizes[name] = (8 + value_bytes) * n_times(part, columns[name])
            continue
        n = max(frames[name].stop - frames[name].start, 0) * len(columns[name])
        kept = wanted_matrices(part, choice)
        sizes[name] = sum(n * (unit_dtype(each).itemsize + value_bytes) for each in kept.values())
        if not n:
            left_out.append(f"{name}: no {'frames in the span' if len(columns[name]) else 'neurons'}.")
        left_out += [
            f"{name}: {matrix}, which differ in shape from the traces."
            for matrix in choice.matrices
            if getattr(part, matrix) is not None and matrix not in kept
        ]
    check_size(sizes, choice.max_bytes)
    return RecordingValues(
        {
            name: _plane_values(part, arrays, columns[name], frames[name], choice)
            for name, part in parts.items()
            if isinstance(part, Plane) and frames[name].stop > frames[name].start and len(columns[name])
        },
        {
            name: _point_values(part, arrays, columns[name], choice)
            for name, part in parts.items()
            if isinstance(part, Points)
        },
        tuple(left_out),
    )


def _frames(plane: Plane, arrays: Arrays, choice: Choice) -> slice:
    n_frames = min(plane.clock.n_frames, plane.traces.n_frames)
    if choice.start_s is None and choice.stop_s is None:
        return slice(0, n_frames)
    found = frames_between(plane.clock, arrays, *choice.span_s)
    return slice(found.start, min(found.stop, n_frames))


def _plane_values(plane: Plane, arrays: Arrays, columns: Rows, frames: slice, choice: Choice) -> PlaneValues:
    rows = plane.rows[columns]
    return PlaneValues(
        plane,
        frame_times(plane.clock, arrays, frames),
        rows,
        neuron_columns(plane.neurons, rows),
        {
            name: read_matrix(trace, arrays, frames=frames, columns=columns)
            for name, trace in wanted_matrices(plane, choice).items()
        },
    )


def _point_values(points: Points, arrays: Arrays, rows: Rows, choice: Choice) -> PointValues:
    return PointValues(
        points,
        rows,
        neuron_columns(points.neurons, rows),
        tuple(read_times(points, arrays, rows, choice.span_s)),
        observed_spans(points, choice.span_s),
    )
