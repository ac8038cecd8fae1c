"""Straight lines between the times of two clocks, fitted so that single bad pulses do not count."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.clocks.clock_map import ClockMap

Floats = NDArray[np.float64]

OUTLIER_MADS = 6.0
"""A residual beyond this many robust standard deviations is no jitter: one in 5e8 of a normal variable."""
MAD_TO_SD = 1.4826
"""Median absolute deviation to standard deviation, for normal variables."""
MIN_SCALE_S = 1e-7
"""Residuals below 0.1 us are rounding, not jitter: times since 1970 are stored to 0.24 us."""
_ROUNDS = 10


def residuals(clock_map: ClockMap, own_s: Floats, reference_s: Floats) -> Floats:
    """Return reference minus mapped own times, s."""
    return np.asarray(reference_s - clock_map.apply(own_s))


def robust_scale(values: Floats) -> float:
    """Return the standard deviation of a normal variable with this median absolute deviation."""
    return float(MAD_TO_SD * np.median(np.abs(values - np.median(values))))


def least_squares(own_s: Floats, reference_s: Floats) -> ClockMap:
    """Return the line of least squares; through one pair without drift."""
    own_mean, reference_mean = float(own_s.mean()), float(reference_s.mean())
    own, gained = own_s - own_mean, (reference_s - own_s) - (reference_mean - own_mean)
    spread = float(own @ own)
    drift = float(own @ gained) / spread if spread else 0.0
    return ClockMap(reference_mean - own_mean - own_mean * drift, drift)


def robust_line(own_s: Floats, reference_s: Floats) -> ClockMap:
    """Return the line of least squares through all pairs but outliers.

    It starts from the median slope between each pair and the one half the train later (a Theil-Sen estimate
    from n / 2 slopes, good with up to 29 % of bad pairs), and leaves out what lies further from the line
    than `OUTLIER_MADS` robust standard deviations, until nothing changes.

    Parameters
    ----------
    own_s, reference_s
        Times of the same pulses on both clocks, in order, shape (n,).
    """
    half = len(own_s) // 2
    if half < 2:
        return least_squares(own_s, reference_s)
    span = own_s[half:] - own_s[: len(own_s) - half]
    gained = (reference_s[half:] - reference_s[: len(own_s) - half]) - span
    apart = span > 0
    drift = float(np.median(gained[apart] / span[apart])) if apart.any() else 0.0
    line = ClockMap(float(np.median(reference_s - own_s - own_s * drift)), max(drift, -0.5))
    kept = np.ones(len(own_s), dtype=bool)
    for _ in range(_ROUNDS):
        left = residuals(line, own_s, reference_s)
        limit = OUTLIER_MADS * max(robust_scale(left), MIN_SCALE_S)
        now = np.abs(left - np.median(left)) <= limit
        if (now == kept).all() and _:
            break
        kept = now
        line = least_squares(own_s[kept], reference_s[kept])
    return line
