"""Fluorescence at rest: follows bleaching and slow drift, and neither transients nor silences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.activity.noise import sorted_median, step_sd

Floats = NDArray[np.float64]
Samples = NDArray[np.float32]

CELL_S = 3.0
"""Length of the cells in which the estimate is one number, s."""
BIN_CELLS = 10
"""Cells in a bin of the first guess: 30 s."""
DENSEST_SHARE = 0.3
"""Share of a bin's frames that the shortest interval holds, whose middle is the first guess."""
MEDIAN_BINS = 5
"""Neighbouring bins over which the first guess is a running median."""
GUESS_CELLS = 40
"""Cells of the running mean of the first guess, 120 s: later steps change it only smoothly."""
REST_CELLS = 60
"""Cells of the running line through resting frames, 180 s: shorter than bleaching, longer than bursts."""
CLIP_SD = 1.5
"""Frames within this many SDs of the current estimate are at rest."""
STEPS = 6
FAR = np.float32(1e30)
"""In place of invalid frames: never at rest, and 0 times it is 0."""


def resting(traces: Samples, rate_hz: float, n_smooth: int) -> Samples:
    """Return resting fluorescence F0, shape (neurons, frames), finite everywhere.

    A low percentile lies below rest by an amount that depends on how active the neuron is, which would shift
    its level when it falls silent, and follows dips. So the start is where frames lie densest: the middle of
    the shortest interval with 30 % of the frames (as the shortest half of Andrews et al. 1972, Robust
    Estimates of Location), in bins of 30 s, as a running median of five, smoothed over 120 s. Then frames
    within 1.5 SD of the estimate are taken to be at rest, and the line through them over 180 s (local linear
    regression: Fan & Gijbels 1996, ch. 3) corrects the estimate, six times. A line and not a mean, since a
    mean is off by the slope of the drift at the ends of what was read, where one side of the window is
    empty; the guess is a mean, since a line through what active neurons do there leads astray. The SD is
    that of steps between frames, which activity hardly inflates, and is fixed, so that an estimate that
    rises into the transients cannot widen its own limits.

    In simulated neurons the mean bias is 0.04 SD of the noise at 2 events per min, 0.17 at 8 and 0.4 at 18,
    in every part of a window, and in the mean over quiet neurons no frame is off by more than 0.15 SD when
    rest bleaches by 30 % in 10 min or drifts by 10 % with a period of 10 min. With a running mean over whole
    recordings it was off by 0.24 and 0.4 SD there, and by 0.65 SD beside a step. Against that, mean dF/F at
    18 events per min under bleaching is off by -0.026 at baseline and -0.027 after it, where it was -0.024
    and -0.035: alike in both windows, though a little more in the first; without drift it is off by up to
    0.001 more. A silence of any length changes nothing; what lies beyond the traces given is not known.

    Estimates stand on cells of 3 s and are joined by lines; smoothed traces are looked at once in every
    smoothing window, since the frames between say the same again.

    Parameters
    ----------
    traces
        Smoothed fluorescence, or dF/F of unknown origin, NaN where invalid.
    rate_hz
        Frame rate, Hz.
    n_smooth
        Frames in the moving average that the traces went through.
    """
    n_neurons, n_frames = traces.shape
    samples = traces[:, min(n_smooth // 2, n_frames - 1) :: n_smooth]
    per_cell = max(1, round(CELL_S * rate_hz / n_smooth))
    n_bins = max(1, samples.shape[1] // (per_cell * BIN_CELLS))
    cells_in_bin = -(-samples.shape[1] // (per_cell * n_bins))
    padded = np.full((n_neurons, n_bins * cells_in_bin * per_cell), np.nan, dtype=np.float32)
    padded[:, : samples.shape[1]] = samples
    binned = padded.reshape(n_neurons, n_bins, -1)
    estimate = _mean(_densest(binned, cells_in_bin), GUESS_CELLS)
    limit = CLIP_SD * sorted_median(np.sort(step_sd(binned), axis=1))
    padded[np.isnan(padded)] = FAR
    by_cell = np.ascontiguousarray(padded.reshape(n_neurons, -1, per_cell).transpose(0, 2, 1))
    for _ in range(STEPS):
        estimate += _correction(by_cell, estimate, limit)
    return _joined(estimate, per_cell * n_smooth, n_frames)


def _correction(by_cell: Samples, estimate: Floats, limit: Floats) -> Floats:
    """Return how far resting frames lie from the estimate, as a running line, shape (neurons, cells)."""
    distance = by_cell - estimate.astype(np.float32)[:, None]
    at_rest = np.abs(distance) <= limit.astype(np.float32)[:, None, None]
    distance *= at_rest
    total, count = distance.sum(axis=1), at_rest.sum(axis=1, dtype=np.int32)
    return _line(total.astype(np.float64), count.astype(np.float64), REST_CELLS)


def _densest(binned: Samples, cells_in_bin: int) -> Floats:
    """Return where frames lie densest, as a running median over bins, shape (neurons, cells)."""
    n_neurons, n_bins, n_samples = binned.shape
    n = max(2, round(DENSEST_SHARE * n_samples))
    middle = np.full((n_neurons, n_bins), np.nan)
    if n_samples >= n:
        ordered = np.sort(binned, axis=2)
        width = ordered[:, :, n - 1 :] - ordered[:, :, : n_samples - n + 1]
        width[np.isnan(width)] = np.inf
        first = width.argmin(axis=2)[:, :, None]
        low, high = (np.take_along_axis(ordered, index, axis=2)[:, :, 0] for index in (first, first + n - 1))
        middle = (low.astype(np.float64) + high) / 2
        few = (~np.isnan(binned)).sum(axis=2) < n_samples / 2
        middle[few & ~few.all(axis=1, keepdims=True)] = np.nan
    for row in np.flatnonzero(np.isnan(middle).any(axis=1)):
        known = np.flatnonzero(np.isfinite(middle[row]))
        middle[row] = np.interp(np.arange(n_bins), known, middle[row, known]) if known.size else 0.0
    around = np.pad(middle, ((0, 0), (MEDIAN_BINS // 2, MEDIAN_BINS // 2)), mode="edge")
    running = np.median(np.lib.stride_tricks.sliding_window_view(around, MEDIAN_BINS, axis=1), axis=2)
    position = np.clip((np.arange(n_bins * cells_in_bin) + 0.5) / cells_in_bin - 0.5, 0, n_bins - 1)
    before = np.minimum(position.astype(np.int64), max(n_bins - 2, 0))
    after = np.minimum(before + 1, n_bins - 1)
    share = position - before
    return np.asarray(running[:, before] * (1 - share) + running[:, after] * share)


def _mean(values: Floats, n_cells: int) -> Floats:
    """Return the mean of the cells within half of ``n_cells`` around each; near the ends of fewer."""
    half = n_cells // 2
    mean: Floats = _sums(values, half) / _sums(np.ones((1, values.shape[1])), half)
    return mean


def _line(total: Floats, count: Floats, n_cells: int) -> Floats:
    """Return, at each cell, the height of the line through the cells within half of ``n_cells`` around it.

    The mean where cells with frames lie too close together for a line; 0 where there are none.

    Parameters
    ----------
    total
        Sum over the frames of each cell, shape (neurons, cells).
    count
        Number of these frames.
    n_cells
        Length of the window.
    """
    n = total.shape[1]
    half = n_cells // 2
    place = np.arange(n) - (n - 1) / 2
    s0, c1, c2 = (_sums(count * power, half) for power in (1.0, place, place**2))
    t0, b1 = _sums(total, half), _sums(total * place, half)
    s1, t1 = c1 - place * s0, b1 - place * t0
    s2 = c2 - 2 * place * c1 + place**2 * s0
    known = s0 > 0.5
    mean = np.divide(t0, s0, out=np.zeros_like(t0), where=known)
    spread = s0 * s2 - s1**2
    steady = known & (spread > (s0 * half / 10) ** 2)
    np.divide(s2 * t0 - s1 * t1, spread, out=mean, where=steady)
    return mean


def _sums(values: Floats, half: int) -> Floats:
    """Return sums over the cells at most ``half`` away."""
    padded = np.pad(values, ((0, 0), (half + 1, half)))
    np.cumsum(padded, axis=1, out=padded)
    return np.asarray(padded[:, 2 * half + 1 :] - padded[:, : -2 * half - 1])


def _joined(estimate: Floats, per_cell: int, n_frames: int) -> Samples:
    """Return the estimate at every frame: lines between the borders of cells."""
    if estimate.shape[1] == 1:
        return np.repeat(estimate.astype(np.float32), n_frames, axis=1)
    border = np.empty((estimate.shape[0], estimate.shape[1] + 1))
    border[:, 1:-1] = (estimate[:, :-1] + estimate[:, 1:]) / 2
    border[:, 0] = 1.5 * estimate[:, 0] - 0.5 * estimate[:, 1]
    border[:, -1] = 1.5 * estimate[:, -1] - 0.5 * estimate[:, -2]
    share = ((np.arange(per_cell) + 0.5) / per_cell).astype(np.float32)
    start, rise = (each.astype(np.float32)[:, :, None] for each in (border[:, :-1], np.diff(border)))
    return (start + rise * share).reshape(estimate.shape[0], -1)[:, :n_frames]
