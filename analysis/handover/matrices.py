"""Windows of matrices of traces in their unit: any rows of neurons, any run of frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.arrays import Arrays
from nwbswitch.analysis.reading.outline import Trace

Columns = NDArray[np.int64]

BLOCK_BYTES = 64 << 20
"""Samples as stored that are in memory beside what is handed over."""


def unit_dtype(trace: Trace) -> np.dtype[Any]:
    """Return the type of a matrix in its unit: as stored where nothing is computed, else float64."""
    stored = np.dtype(trace.array.dtype)
    return stored.newbyteorder("=") if _in_unit(trace) and stored.kind == "f" else np.dtype(np.float64)


def read_matrix(trace: Trace, arrays: Arrays, *, frames: slice, columns: Columns) -> NDArray[Any]:
    """Return traces in their unit, data times conversion plus offset, shape (frames, columns).

    Parameters
    ----------
    trace, arrays
        The matrix and what reads it.
    frames
        A run of frames inside the recording, without a step.
    columns
        (n,) positions of the traces in the matrix, in the order in which they are wanted.
    """
    first, last, _ = frames.indices(trace.n_frames)
    values = np.empty((max(last - first, 0), len(columns)), unit_dtype(trace))
    if not values.size:
        return values
    runs = list(_runs(trace, columns))
    for start, stop in _blocks(trace, first, last, sum(run.stop - run.start for run, _ in runs)):
        parts = [(trace.array, _part(trace, slice(start, stop), run)) for run, _ in runs]
        for (run, wanted), found in zip(runs, arrays.read_many(parts), strict=True):
            block = found.T if not trace.time_first and found.ndim == 2 else found.reshape(stop - start, -1)
            picked = block[:, columns[wanted] - run.start]
            if not _in_unit(trace):
                picked = picked.astype(np.float64) * trace.conversion + trace.offset
            values[start - first : stop - first, wanted] = picked
    return values


def _in_unit(trace: Trace) -> bool:
    return trace.conversion == 1 and trace.offset == 0


def _part(trace: Trace, frames: slice, run: slice) -> tuple[slice, ...]:
    if len(trace.array.shape) == 1:
        return (frames,)
    return (frames, run) if trace.time_first else (run, frames)


def _runs(trace: Trace, columns: Columns) -> Iterator[tuple[slice, Columns]]:
    """Yield runs of traces that are read in one piece, with the places of those that are wanted.

    Between two runs lies at least one whole chunk that nothing is wanted of.
    """
    width = trace.array.chunk_shape[1 if trace.time_first else 0] if len(trace.array.shape) == 2 else 1
    order = np.argsort(columns, kind="stable")
    ordered = columns[order]
    apart = np.flatnonzero(np.diff(ordered // max(width, 1)) > 1) + 1
    for wanted in np.split(order, apart):
        yield slice(int(columns[wanted[0]]), int(columns[wanted[-1]]) + 1), wanted


def _blocks(trace: Trace, first: int, last: int, n_columns: int) -> Iterator[tuple[int, int]]:
    """Yield runs of frames that fill a block, ending where chunks end."""
    row_bytes = n_columns * np.dtype(trace.array.dtype).itemsize
    chunk = trace.array.chunk_shape[0 if trace.time_first or len(trace.array.shape) == 1 else 1]
    step = max(BLOCK_BYTES // row_bytes // max(chunk, 1), 1) * max(chunk, 1)
    step = min(step, max(BLOCK_BYTES // row_bytes, 1)) if chunk * row_bytes > 4 * BLOCK_BYTES else step
    start = first
    while start < last:
        stop = min((start // step + 1) * step, last)
        yield start, stop
        start = stop
