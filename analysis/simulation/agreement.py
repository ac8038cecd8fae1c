"""Whether a simulated number agrees with one that was simulated before and rounded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.estimands.counts import Floats

LIMIT_SE = 3.0
"""Largest distance that counts as agreement, in standard errors of the difference."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """One cell of a calibration table.

    Attributes
    ----------
    ours, se
        Simulated now, and its Monte-Carlo standard error.
    low, high
        What was pinned: a number, or the range that several pinned numbers span.
    pinned_se
        Monte-Carlo standard error of the pinned number; 0 when it was simulated without.
    half_unit
        Half a unit of the last digit that the pinned number was rounded to.
    """

    name: str
    ours: float
    se: float
    low: float
    high: float
    pinned_se: float
    half_unit: float

    @property
    def distance(self) -> float:
        """Distance beyond the rounding, in standard errors of the difference."""
        beyond = max(self.low - self.half_unit - self.ours, self.ours - self.high - self.half_unit, 0.0)
        spread = math.hypot(self.se, self.pinned_se)
        return beyond / spread if spread > 0 else 0.0 if beyond == 0 else math.inf

    @property
    def agrees(self) -> bool:
        """Whether the distance is at most `LIMIT_SE`; False for what is not a number."""
        return self.distance <= LIMIT_SE


def mean_and_se(values: Floats) -> tuple[float, float]:
    """Return the mean over the last axis and its standard error; repetitions without a value are left out."""
    found = values[np.isfinite(values)]
    if found.size < 2:
        return (float(found.mean()) if found.size else math.nan), math.nan
    return float(found.mean()), float(found.std(ddof=1) / math.sqrt(found.size))


def sd_and_se(values: Floats, n_pinned: int = 0) -> tuple[float, float, float]:
    """Return the standard deviation, its standard error, and that with ``n_pinned`` values instead.

    The error of a variance is sqrt((m4 - s^4) / n), with m4 the fourth central moment (Cramer 1946,
    Mathematical Methods of Statistics, 27.4, without its term in 1/n^2), and by the delta method that of s
    is this over 2 s.
    """
    found = values[np.isfinite(values)]
    sd = float(found.std(ddof=1))
    fourth = float(((found - found.mean()) ** 4).mean())
    per_value = math.sqrt(max(fourth - sd**4, 0.0)) / (2 * sd) if sd > 0 else 0.0
    return sd, per_value / math.sqrt(found.size), per_value / math.sqrt(n_pinned) if n_pinned else 0.0


def half_unit(text: str) -> float:
    """Return half a unit of the last digit of a number as it was written, e.g. 0.005 for '1.00'."""
    return 0.5 * 10.0 ** -len(text.partition(".")[2])
