"""Times of spikes or events with the rows they belong to, run by run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.arrays import Arrays, Part
from nwbswitch.analysis.reading.outline import Points
from nwbswitch.schemas.errors import InputFileError

Floats = NDArray[np.float64]
Int64s = NDArray[np.int64]

RUN_TIMES = 1 << 19
"""Times read at a time: 4 MB as stored."""


@dataclass(frozen=True, slots=True)
class PointRun:
    """Some times; both arrays have shape (times,)."""

    row: Int64s
    time_s: Floats


def point_runs(points: Points, arrays: Arrays, times: slice, *, name: str) -> Iterator[PointRun]:
    """Yield the times of a part of the table that lie in what was observed, `RUN_TIMES` at a time.

    Parameters
    ----------
    points
        The table.
    arrays
        Reads its times, and their owners where it is flat.
    times
        Part of ``points.times``, without a step.
    name
        What messages call the file.

    Raises
    ------
    InputFileError
        If times belong to rows that the table of neurons does not have.
    """
    n_rows = len(points.neurons.accepted)
    starts_s, stops_s = (np.asarray(each) for each in (points.observed_start_s, points.observed_stop_s))
    for start in range(times.start, times.stop, RUN_TIMES):
        run = slice(start, min(start + RUN_TIMES, times.stop))
        parts: list[Part] = [(points.times, (run,))]
        if points.owners is not None:
            parts.append((points.owners, (run,)))
        values = arrays.read_many(parts)
        time_s = values[0].astype(np.float64) * points.conversion_s
        row = _rows(points, run) if points.owners is None else values[1].astype(np.int64)
        if row.size and not 0 <= row.min() <= row.max() < n_rows:
            problem = f"holds times of rows {row.min()} to {row.max()} of a table of {n_rows} neurons."
            raise InputFileError(name, problem, "Mend the indices of the table.")
        span = np.searchsorted(starts_s, time_s, side="right") - 1
        inside = (span >= 0) & (time_s < stops_s[np.maximum(span, 0)])
        yield PointRun(row, time_s) if inside.all() else PointRun(row[inside], time_s[inside])


def require_whole_table(points: Points, *, name: str) -> None:
    """Raise unless the ends of rows fit the times.

    Raises
    ------
    InputFileError
        If they do not.
    """
    ends = points.ends
    if ends is None:
        lengths: tuple[Any, ...] = (points.owners.shape[0] if points.owners is not None else None,)
        fits = lengths[0] == points.times.shape[0]
    else:
        fits = ends.size == len(points.neurons.accepted) and bool(
            (np.diff(ends, prepend=0) >= 0).all() and (not ends.size or ends[-1] <= points.times.shape[0])
        )
    if not fits:
        problem = f"the rows of {points.times.object_path} do not fit its {points.times.shape[0]} times."
        raise InputFileError(name, problem, "Mend its index.")


def _rows(points: Points, run: slice) -> Int64s:
    """Return the row of each time of a ragged table."""
    assert points.ends is not None
    borders = np.clip(points.ends, run.start, run.stop)
    counts = np.diff(borders, prepend=run.start)
    return np.repeat(np.arange(counts.size), counts)
