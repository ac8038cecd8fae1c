"""From counts and voltages of a wheel sensor to its path, and from the path to speed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.streams_signals import Wheel

Floats = NDArray[np.float64]
TURN_RAD = 2 * np.pi


def joined_counts(counts: NDArray[Any], bits: int | None) -> Floats:
    """Return a running count without the jumps of a counter of ``bits`` bits, shape (n,).

    A step of more than half the counter's range is taken as its end, as `numpy.unwrap` does for angles; a
    wheel that turns further between two samples cannot be followed.
    """
    values: Floats = np.asarray(counts, dtype=np.float64)
    return values if bits is None else np.unwrap(values, period=2.0**bits)


def joined_turns(volts: NDArray[Any], *, zero_v: float, volts_per_turn: float) -> Floats:
    """Return the path in turns of a sensor whose voltage starts again every turn, shape (n,)."""
    return np.unwrap((np.asarray(volts, dtype=np.float64) - zero_v) / volts_per_turn, period=1.0)


def path_of(turns: Floats, wheel: Wheel) -> tuple[Floats, str]:
    """Return the path of the animal (n,) and its unit: meters with a radius, else radians."""
    angle = turns * TURN_RAD * (-1 if wheel.reversed else 1)
    return (angle, "radians") if wheel.radius_cm is None else (angle * wheel.radius_cm / 100, "meters")


def speed_of(path: Floats, times_s: Floats, window_s: float) -> Floats:
    """Return the speed at each sample (n,): the way within ``window_s`` around it, per second.

    Between samples the path is a straight line where samples are closer than the window; over longer gaps,
    as of encoders that only report changes, it stays where it was until just before the next sample. At both
    ends the window is cut to the recording.
    """
    if len(path) < 2:
        return np.zeros(len(path))
    gaps = np.flatnonzero(np.diff(times_s) > window_s) + 1
    # A wheel that reports nothing has not moved: the last position holds until one window before the next.
    held_s = np.maximum(times_s[gaps] - window_s, times_s[gaps - 1])
    grid_s = np.insert(times_s, gaps, held_s)
    grid = np.insert(path, gaps, path[gaps - 1])
    first = np.maximum(times_s - window_s / 2, times_s[0])
    last = np.minimum(times_s + window_s / 2, times_s[-1])
    way: Floats = np.interp(last, grid_s, grid) - np.interp(first, grid_s, grid)
    speed: Floats = way / (last - first)
    return speed
