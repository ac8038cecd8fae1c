"""Frames spoilt by motion: those that were moved far from where the second before was."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.activity.noise import sorted_median

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

BEFORE_S = 1.0


def moved_frames(shift_um: Floats, rate_hz: float, max_shift_um: float) -> Flags:
    """Return which frames were moved by more than ``max_shift_um`` from the median of the second before.

    Motion correction puts frames back as a whole, but a frame that moved by much did so while it was
    scanned, which bends it. Slow drift and a new posture are no such motion: the median follows them within
    a second. The first second is compared with itself. Frames without a number are taken as moved.

    Parameters
    ----------
    shift_um
        Shift along each axis, shape (frames, axes), um.
    rate_hz
        Frame rate, Hz.
    max_shift_um
        Largest distance, um.
    """
    n_frames, n_axes = shift_um.shape
    n = max(1, round(BEFORE_S * rate_hz))
    n_seconds = -(-n_frames // n)
    padded = np.full((n_seconds * n, n_axes), np.nan)
    padded[:n_frames] = shift_um
    seconds = padded.reshape(n_seconds, n, n_axes).transpose(0, 2, 1)
    usual = sorted_median(np.sort(seconds, axis=2))
    before = np.repeat(np.concatenate([usual[:1], usual[:-1]]), n, axis=0)[:n_frames]
    known = np.where(np.isnan(before), shift_um, before)
    distance = np.sqrt(((shift_um - known) ** 2).sum(axis=1))
    moved: Flags = ~(distance <= max_shift_um)
    return moved
