"""Times of spikes or events of chosen neurons in a span, s on the session clock."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.arrays import Arrays
from nwbswitch.analysis.reading.outline import Points

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def n_times(points: Points, rows: Rows) -> int:
    """Return how many numbers are read for these rows, before any are cut away."""
    if points.ends is None:
        return 2 * _length(points)
    starts, stops = _places(points.ends, rows)
    return int((stops - starts).sum())


def read_times(points: Points, arrays: Arrays, rows: Rows, span_s: tuple[float, float]) -> list[Floats]:
    """Return sorted times (n,) of each row, from the first edge of the span until before the second.

    Raises
    ------
    InputFileError
        When they cannot be read.
    """
    read = _owned(points, arrays, rows) if points.ends is None else _ragged(points, arrays, rows, points.ends)
    return [each[slice(*np.searchsorted(each, span_s))] for each in read]


def observed_spans(points: Points, span_s: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    """Return when all neurons were recorded inside a span; empty where the file does not say."""
    spans = zip(points.observed_start_s, points.observed_stop_s, strict=True)
    cut = [(max(start_s, span_s[0]), min(stop_s, span_s[1])) for start_s, stop_s in spans]
    return tuple(each for each in cut if each[1] > each[0])


def _length(points: Points) -> int:
    return points.times.shape[0] if points.times.shape else 0


def _places(ends: Rows, rows: Rows) -> tuple[Rows, Rows]:
    """Return where the times of these rows begin and end."""
    starts: Rows = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
    return starts[rows], ends[rows]


def _ragged(points: Points, arrays: Arrays, rows: Rows, ends: Rows) -> list[Floats]:
    spans = [slice(start, stop) for start, stop in np.stack(_places(ends, rows), axis=1).tolist()]
    filled = [each for each in spans if each.stop > each.start]
    read = iter(arrays.read_many([(points.times, (each,)) for each in filled]) if filled else [])
    return [
        np.sort(_seconds(points, next(read))) if each.stop > each.start else np.empty(0) for each in spans
    ]


def _owned(points: Points, arrays: Arrays, rows: Rows) -> list[Floats]:
    if points.owners is None:
        raise ValueError(f"{points.name} has neither ends nor owners of its times")
    whole = (slice(0, _length(points)),)
    if not _length(points):
        return [np.empty(0) for _ in rows]
    times, owners = arrays.read_many([(points.times, whole), (points.owners, whole)])
    seconds = _seconds(points, times)
    order = np.lexsort((seconds, owners))
    edges = np.searchsorted(owners[order], np.stack([rows, rows + 1]))
    return [seconds[order[start:stop]] for start, stop in edges.T]


def _seconds(points: Points, times: NDArray[np.generic]) -> Floats:
    return np.asarray(times, dtype=np.float64) * points.conversion_s
