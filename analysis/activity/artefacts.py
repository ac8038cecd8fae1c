"""Artefacts of the microscope: frames at which most traces jump together and back, or stand still.

Closed shutters, blanked detectors, stray light and photostimulation show in all traces of a plane at once,
with sharp edges. Neurons that fire together do not look like that: calcium rises within a frame or two but
decays over the time constant of the indicator, and never falls below rest. Hence three rules, each of which
wants more than half of the traces:

- *Stood still*: 95 % of the traces repeat the frame before exactly, as blanked and repeated frames do.
- *Dip*: a jump down and later one up, between which the traces lie below what is around. At any frame rate.
- *Flash*: a jump up and later one down, between which the traces stay up, and after which less is left than
  half of what calcium would leave after one frame, were its decay as fast as that of the fastest indicator,
  jGCaMP8f: 67 ms to half (Zhang et al. 2023, Nature 615:884-891). Below some 4.5 Hz so little would be left
  that the two cannot be told apart, and flashes are not looked for.

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
MOST = 0.5
STILL_SHARE = 0.95
JUMP_SD = 5.0
"""A jump is this many SDs of the trace's own steps between frames."""
AWAY_SD = 3.0
"""Between its edges an artefact lies this many SDs of one frame away from what is around, in the median."""
LONGEST_S = 30.0
AROUND_S = 10.0
"""On either side of a dip, what it is compared with."""
FASTEST_DECAY_S = 0.067 / math.log(2)
LEAST_LEFT = 0.1
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
    sd = _step_sd(traces)
    usable = np.isfinite(sd) & (sd > 0)
    if usable.sum() < MIN_JUDGES or traces.shape[1] < 3:
        return found
    traces, limit = traces[usable], (JUMP_SD * sd[usable]).astype(np.float32)[:, None]
    steps = np.diff(traces, axis=1)
    still = (steps == 0).mean(axis=0) >= STILL_SHARE
    found[1:] |= still
    found[:-1] |= still
    up, down = ((sign * steps > limit).mean(axis=0) > MOST for sign in (np.float32(1), np.float32(-1)))
    frame_sd = (sd[usable] / math.sqrt(2)).astype(np.float32)
    longest, around = round(LONGEST_S * rate_hz), max(3, round(AROUND_S * rate_hz))
    left = math.exp(-1 / (rate_hz * FASTEST_DECAY_S))
    for start, stop in _pairs(down, up, longest):
        if _is_dip(traces, frame_sd, start, stop, around):
            found[start:stop] = True
    if left >= LEAST_LEFT:
        for start, stop in _pairs(up, down, longest):
            if _is_flash(traces, frame_sd, start, stop, left):
                found[start:stop] = True
    wider = found.copy()
    wider[1:] |= found[:-1]
    wider[:-1] |= found[1:]
    return wider


def _step_sd(traces: Samples) -> Floats:
    """Return the SD of each trace's steps from one frame to the next, shape (traces,)."""
    n_bins = max(1, traces.shape[1] // BIN_FRAMES)
    binned = traces[:, : n_bins * (traces.shape[1] // n_bins)].reshape(traces.shape[0], n_bins, -1)
    return math.sqrt(2) * sorted_median(np.sort(step_sd(binned), axis=1))


def _pairs(first: Flags, second: Flags, longest: int) -> list[tuple[int, int]]:
    """Return, for every jump of one kind, the frame after it and that after the next jump of the other."""
    starts, stops = np.flatnonzero(first) + 1, np.flatnonzero(second) + 1
    following = np.searchsorted(stops, starts, side="right")
    pairs = []
    for start, index in zip(starts, following, strict=True):
        if index < stops.size and stops[index] - start <= longest:
            pairs.append((int(start), int(stops[index])))
    return pairs


def _is_dip(traces: Samples, frame_sd: Samples, start: int, stop: int, around: int) -> bool:
    beside = np.concatenate(
        [traces[:, max(0, start - around) : start], traces[:, stop : stop + around]], axis=1
    )
    rest = sorted_median(np.sort(beside, axis=1))[:, None]
    below = np.nanmedian((traces[:, start:stop] - rest) / frame_sd[:, None], axis=0)
    return bool((below < -AWAY_SD).all())


def _is_flash(traces: Samples, frame_sd: Samples, start: int, stop: int, left: float) -> bool:
    before = traces[:, start - 1]
    above = np.nanmedian((traces[:, start:stop] - before[:, None]) / frame_sd[:, None], axis=0)
    if not (above > AWAY_SD).all():
        return False
    height = traces[:, stop - 1] - before
    high = height > JUMP_SD * frame_sd
    share = (traces[:, stop] - before)[high] / height[high]
    return bool(high.any() and np.nanmedian(share) < left / 2)
