"""dF/F: traces without neuropil, smoothed, about and over what they are at rest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.activity.neuropil import without_neuropil
from nwbswitch.analysis.activity.resting import resting
from nwbswitch.analysis.activity.smoothing import smoothed
from nwbswitch.analysis.reading.outline import ActivityKind

Flags = NDArray[np.bool_]
Samples = NDArray[np.float32]

ROWS = 32
"""Neurons that are worked on at a time, so that what they need stays in the processor's cache."""


def become_dff(
    traces: Samples,
    neuropil: Samples | None,
    coefficients: Samples,
    spoilt: Flags,
    *,
    kind: ActivityKind,
    rate_hz: float,
    n_smooth: int,
) -> Flags:
    """Turn traces into smoothed dF/F in their place; return which neurons have positive rest throughout.

    Traces that are dF/F or lack the background already are taken about rest and not divided by it.

    Parameters
    ----------
    traces
        Shape (neurons, frames); overwritten, NaN where invalid.
    neuropil
        Shape as ``traces``, or None.
    coefficients
        Share of the neuropil in each neuron, shape (neurons,).
    spoilt
        Frames that are not valid, shape (frames,).
    kind
        What the traces are.
    rate_hz, n_smooth
        Frame rate, Hz, and frames of the moving average.
    """
    positive = np.ones(traces.shape[0], dtype=bool)
    for rows in row_blocks(traces.shape[0]):
        part = traces[rows]
        part[:, spoilt] = np.nan
        if neuropil is not None:
            part = without_neuropil(part, neuropil[rows], coefficients[rows], rate_hz)
        part = smoothed(part, n_smooth)
        rest = resting(part, rate_hz, n_smooth)
        part = part - rest
        if kind is ActivityKind.RAW:
            positive[rows] = (rest > 0).all(axis=1)
            part[~positive[rows]] = np.nan
            np.divide(part, rest, out=part, where=positive[rows][:, None])
        traces[rows] = part
    return positive


def row_blocks(n_rows: int) -> Iterator[slice]:
    """Yield all rows, `ROWS` at a time."""
    for start in range(0, n_rows, ROWS):
        yield slice(start, min(start + ROWS, n_rows))
