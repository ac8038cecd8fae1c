"""Features of a time course: when it begins, where it is strongest and when half of it is gone.

Onset is the first time at which the simultaneous band leaves the value of rest, so that a curve of noise has
an onset in 5 % of studies however many times it has. The peak is the value farthest from rest from the onset
on, on the side of the onset; it is the largest of noisy values and so a little too far out. Half-recovery is
the first time after it at which the curve is back half way. Times between two windows are interpolated
linearly, the time of the peak by the parabola through it and its neighbours. Intervals are jackknives over
animals (Efron and Tibshirani 1993, eq. 11.5) with the half-width of the band held; times have the resolution
of the steps and the blur of the width of the sliding window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.estimands.counts import Floats
from nwbswitch.analysis.estimands.course_curves import (
    MIN_ANIMALS,
    Band,
    Curve,
    Left,
    degrees_of_freedom,
    influence,
)
from nwbswitch.analysis.estimands.primary import OK

FEATURES = ("onset_s", "peak_s", "peak", "half_recovery_s")
NO_CURVE = "not estimable: no time has a value"
NO_BAND = f"not estimable: a simultaneous band needs >= {MIN_ANIMALS} animals"
NO_ONSET = "no onset: the simultaneous band never leaves the value of no change"
FROM_THE_START = "at or before the first window"
NOT_RECOVERED = "not recovered by the end of the recording"
NO_INTERVAL = "no interval: not there without one of the animals"


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature with its interval; NaN where there is none, and why in ``status``."""

    name: str
    estimate: float
    ci_low: float
    ci_high: float
    status: str


def course_features(times_s: Floats, curve: Curve, uncertainty: Band, *, rest: float) -> list[Feature]:
    """Return the features of one pooled curve, in the order of `FEATURES`.

    Parameters
    ----------
    times_s
        Centres of the sliding windows, shape (times,).
    curve, uncertainty
        The curve and its band.
    rest
        Its value where nothing changes.
    """
    limit = uncertainty.half_band
    if not np.isfinite(curve.values).any():
        return _none(NO_CURVE)
    if not (np.isfinite(limit) & np.isfinite(curve.values)).any():
        return _none(NO_BAND)
    found = _features(times_s, curve.values - rest, limit)
    if not math.isfinite(found[0]):
        return _none(NO_ONSET)
    # Where an animal is not there, the curve without it is the curve.
    left = [
        Left(
            group.animals,
            np.array([_without(times_s, curve, group, i, limit, rest) for i in range(len(group.animals))]),
            np.tile(np.asarray(group.present.any(axis=1))[:, None], len(FEATURES)),
        )
        for group in curve.groups
    ]
    rows, df = influence(left), degrees_of_freedom(left)
    first = float(times_s[np.isfinite(curve.values) & np.isfinite(limit)][0])
    features = []
    for place, name in enumerate(FEATURES):
        value = float(found[place])
        se = math.sqrt(float((rows[:, place] ** 2).sum()))
        low = high = math.nan
        if not math.isfinite(value):
            word = NOT_RECOVERED
        elif name == "onset_s" and value <= first:
            word = FROM_THE_START
        elif not math.isfinite(se):
            word = NO_INTERVAL
        else:
            word, half = OK, _t_quantile(float(df[place])) * se
            low, high = value - half, value + half
        shift = rest if name == "peak" else 0.0
        features.append(Feature(name, value + shift, low + shift, high + shift, word))
    return features


def _none(word: str) -> list[Feature]:
    return [Feature(name, math.nan, math.nan, math.nan, word) for name in FEATURES]


def _without(times_s: Floats, curve: Curve, group: Left, place: int, limit: Floats, rest: float) -> Floats:
    values = np.where(group.present[place], group.values[place], curve.values)
    return _features(times_s, np.where(np.isfinite(curve.values), values, np.nan) - rest, limit)


def _features(times_s: Floats, change: Floats, limit: Floats) -> Floats:
    """Return onset, time and size of the peak and half-recovery; NaN from the first that is not there."""
    found = np.full(len(FEATURES), math.nan)
    known = np.isfinite(change)
    times_s, change, limit = times_s[known], change[known], limit[known]
    beyond = np.abs(change) - limit
    outside = np.flatnonzero(beyond > 0)
    if not outside.size:
        return found
    start = int(outside[0])
    side = math.copysign(1.0, change[start])
    found[0] = times_s[start]
    height = side * change
    if start and math.isfinite(beyond[start - 1]):
        found[0] = _crossing(times_s, height - limit, start)
    top = start + int(np.argmax(height[start:]))
    found[1], found[2] = _summit(times_s, height, top), change[top]
    below = np.flatnonzero(height[top:] <= height[top] / 2)
    if below.size:
        found[3] = _crossing(times_s, height - height[top] / 2, top + int(below[0]))
    return found


def _summit(times_s: Floats, height: Floats, top: int) -> float:
    """Return when the parabola through the highest value and its neighbours is highest."""
    if not 0 < top < height.size - 1:
        return float(times_s[top])
    before, after = times_s[top] - times_s[top - 1], times_s[top + 1] - times_s[top]
    rise, fall = (height[top] - height[top - 1]) / before, (height[top] - height[top + 1]) / after
    if rise + fall <= 0:
        return float(times_s[top])
    # Slopes of the parabola at the middles of the two steps; its top is where the slope is 0.
    share = rise / (rise + fall)
    return float(times_s[top] - before / 2 + share * (before + after) / 2)


def _crossing(times_s: Floats, values: Floats, place: int) -> float:
    """Return when the line from the value before ``place`` to that at it is at 0."""
    before, after = float(values[place - 1]), float(values[place])
    share = before / (before - after)
    return float(times_s[place - 1] + share * (times_s[place] - times_s[place - 1]))


def _t_quantile(df: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, 0.975))
