"""Moving averages of traces, so that recordings of different frame rates become alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


def smoothing_frames(rate_hz: float, smooth_s: float) -> int:
    """Return the number of frames in a moving average of ``smooth_s``."""
    return max(1, round(smooth_s * rate_hz))


def smoothed(traces: Samples, n: int) -> Samples:
    """Return the mean of the valid frames among the ``n`` around each, shape (neurons, frames).

    Invalid frames (NaN) stay invalid; near the ends the window is cut, not padded.
    """
    if n == 1 or not traces.shape[1]:
        return traces
    valid = ~np.isnan(traces)
    if valid.all():
        count = _window_sums(np.ones((1, traces.shape[1]), dtype=np.float32), n)
        return _window_sums(traces, n) / count
    total = _window_sums(np.where(valid, traces, np.float32(0)), n)
    count = _window_sums(valid.astype(np.float32), n)
    mean = np.full_like(traces, np.nan)
    return np.divide(total, count, out=mean, where=valid)


def _window_sums(values: Samples, n: int) -> Samples:
    """Return sums over ``n`` frames around each, from sums over 1, 2, 4, ... frames."""
    n_frames, before = values.shape[1], (n - 1) // 2
    power = np.zeros((values.shape[0], n_frames + n - 1), dtype=np.float32)
    power[:, before : before + n_frames] = values
    total = np.zeros((values.shape[0], n_frames), dtype=np.float32)
    done, size = 0, 1
    while True:
        if n & size:
            total += power[:, done : done + n_frames]
            done += size
        if 2 * size > n:
            return total
        power = power[:, :-size] + power[:, size:]
        size *= 2
