"""Artefacts of the microscope: frames at which most traces jump together and back, or stand still.

Closed shutters, blanked detectors, stray light and photostimulation show in all traces of a plane at once,
with sharp edges. Neurons that fire together do not look like that: calcium rises within a frame or two but
decays over the time constant of the indicator, and never falls below rest. Hence three rules, each of which
wants more than half of the traces:

- *Stood still*: 95 % of the traces repeat the frame before exactly, as blanked and repeated frames do.
- *Dip*: a jump down and later one up, between which the traces lie below what is usual. At any frame rate.
- *Flash*: a jump up and later one down, between which the traces stay up, and after which a quarter of the
  traces keep less, by three standard errors of that quartile, than calcium would leave after one frame, were
  its decay as fast as that of the fastest indicator, jGCaMP8f: 67 ms to half (Zhang et al. 2023, Nature
  615:884-891). A quarter, since scanning lets some of the traces fall one frame later. Below 4.8 Hz so little
  would be left that the two cannot be told apart, and flashes are not looked for.

A frame on either side goes too, as scanning shares an edge between two frames. What does not come back
within `LONGEST_S` is a step, which resting fluorescence follows, and no artefact.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.activity.noise import sorted_median, step_sd

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Samples = NDArray[np.float32]

MIN_JUDGES = 10
"""Fewest traces that can say what most of them do."""
MOST = 0.45
"""Share of traces that must jump at one frame: scanning can share an edge evenly between two frames."""
STILL_SHARE = 0.95
JUMP_SD = 3.5
"""A jump is this many SDs of the trace's own steps between frames."""
AWAY_SD = 3.0
"""Between its edges an artefact lies this many SDs of one frame away from what is usual, in the median."""
LONGEST_S = 30.0
SURE_SD = 3.0
QUARTILE_SD = 0.6745
QUARTILE_ERROR = 1.3626
"""Standard error of the quartile of n normal values, times the square root of n, in SDs."""
FASTEST_DECAY_S = 0.07
LEAST_LEFT = 0.05
"""Share of calcium that a frame must leave for a flash to be told from it."""
BIN_FRAMES = 256
"""Frames over which the SD of steps is taken, before the median of all such stretches."""


def artefacts(traces: Samples, rate_hz: float) -> Flags:
    """Return which frames are artefacts, shape (frames,); none for fewer than `MIN_JUDGES` usable traces.

    Parameters
    ----------
    traces
        Fluorescence before smoothing, shape (traces, frames), NaN where invalid.
    rate_hz
        Frame rate, Hz.
    """
    found = np.zeros(traces.shape[1], dtype=bool)
    if traces.shape[0] < MIN_JUDGES or traces.shape[1] < 3:
        return found
    sd = _step_sd(traces)
    usable = np.isfinite(sd) & (sd > 0)
    if usable.sum() < MIN_JUDGES:
        return found
    traces, limit = traces[usable], (JUMP_SD * sd[usable]).astype(np.float32)[:, None]
    steps = np.diff(traces, axis=1)
    still = (steps == 0).mean(axis=0) >= STILL_SHARE
    found[1:] |= still
    found[:-1] |= still
    up, down = ((sign * steps > limit).mean(axis=0) > MOST for sign in (np.float32(1), np.float32(-1)))
    frame_sd = (sd[usable] / math.sqrt(2)).astype(np.float32)
    usual = sorted_median(np.sort(traces[:, :: max(1, round(rate_hz))], axis=1)).astype(np.float32)
    traces = (traces - usual[:, None]) / frame_sd[:, None]
    left = math.exp(-1 / (rate_hz * FASTEST_DECAY_S))
    edges = [(int(frame) + 1, bool(up[frame])) for frame in np.flatnonzero(up | down)]
    free_from = 0
    for index, (start, rises) in enumerate(edges):
        if start < free_from:
            continue
        stop = next((frame for frame, also in edges[index + 1 :] if also is not rises), None)
        if stop is None or stop - start > LONGEST_S * rate_hz:
            continue
        if rises:
            is_one = left >= LEAST_LEFT and _is_flash(traces, start, stop, left)
        else:
            is_one = _is_dip(traces, start, stop)
        if is_one:
            found[start:stop] = True
            free_from = stop + 2
    wider = found.copy()
    wider[1:] |= found[:-1]
    wider[:-1] |= found[1:]
    return wider


def _step_sd(traces: Samples) -> Floats:
    """Return the SD of each trace's steps from one frame to the next, shape (traces,)."""
    n_bins = max(1, traces.shape[1] // BIN_FRAMES)
    binned = traces[:, : n_bins * (traces.shape[1] // n_bins)].reshape(traces.shape[0], n_bins, -1)
    return math.sqrt(2) * sorted_median(np.sort(step_sd(binned), axis=1))


def _is_dip(traces: Samples, start: int, stop: int) -> bool:
    """Return whether traces lie below what is usual, and neither before nor after; in SDs of one frame."""
    before, after = (float(np.nanmedian(traces[:, frame])) for frame in (start - 1, stop))
    between = np.nanmedian(traces[:, start:stop], axis=0)
    return bool((between < -AWAY_SD).all() and min(before, after) > between.max() / 2)


def _is_flash(traces: Samples, start: int, stop: int, left: float) -> bool:
    """Return whether traces rise from what is usual, stay up and fall to where they were."""
    before = traces[:, start - 1]
    above = np.nanmedian(traces[:, start:stop] - before[:, None], axis=0)
    usual = abs(float(np.nanmedian(before)))
    if not (above > AWAY_SD).all() or usual > above.min() / 2:
        return False
    height = traces[:, stop - 1] - before
    high = height > AWAY_SD
    share = (traces[:, stop] - before)[high] / height[high]
    share = share[np.isfinite(share)]
    if not share.size:
        return False
    noise = math.sqrt(2) / float(np.median(height[high]))
    least = left - noise * (QUARTILE_SD + SURE_SD * QUARTILE_ERROR / math.sqrt(share.size))
    return bool(np.quantile(share, 0.25) < least)
