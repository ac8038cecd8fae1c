"""Counts of spikes or events per row and block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.arrays import Arrays
from nwbswitch.analysis.activity.blocks import Block, blocks_in, edges_of, require_few
from nwbswitch.analysis.activity.point_runs import point_runs
from nwbswitch.analysis.reading.clocks import TIME_TOLERANCE_S
from nwbswitch.analysis.reading.outline import Points, WindowSpan

Floats = NDArray[np.float64]
Int64s = NDArray[np.int64]


def counts_in_blocks(
    points: Points, windows: Sequence[WindowSpan], block_s: float, arrays: Arrays, *, name: str
) -> Int64s:
    """Return how many times of each row lie in each block, shape (rows, blocks), in one pass over them.

    Blocks are those of `nwbswitch.analysis.activity.blocks.blocks_of`.

    Raises
    ------
    IssuesError
        When rows times blocks are too many.
    """
    n_rows = len(points.neurons.accepted)
    n_blocks = blocks_in(windows, block_s)
    require_few(sum(n_blocks), n_rows)
    counts = [np.zeros((n_rows, n), dtype=np.int64) for n in n_blocks]
    if not windows:
        return np.zeros((n_rows, 0), dtype=np.int64)
    n_times = points.times.shape[0] if points.ends is None else int(points.ends.max(initial=0))
    for run in point_runs(points, arrays, slice(0, n_times), name=name):
        for span, n, count in zip(windows, n_blocks, counts, strict=True):
            since_s = run.time_s - (span.start_s - TIME_TOLERANCE_S)
            inside = (since_s >= 0) & (since_s < span.stop_s - span.start_s)
            block = np.minimum((since_s[inside] / block_s).astype(np.int64), n - 1)
            found = np.bincount(run.row[inside] * n + block, minlength=n_rows * n)
            count += found.reshape(n_rows, n)
    return np.concatenate(counts, axis=1)


def observed_s(points: Points, blocks: Sequence[Block]) -> Floats:
    """Return for how long each block was observed, shape (blocks,), s."""
    edges_s = edges_of(blocks)
    total_s = np.zeros(len(blocks))
    for start_s, stop_s in zip(points.observed_start_s, points.observed_stop_s, strict=True):
        overlap_s = np.minimum(edges_s[:, 1], stop_s) - np.maximum(edges_s[:, 0], start_s)
        total_s += np.maximum(overlap_s, 0.0)
    return total_s
