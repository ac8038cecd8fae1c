"""Transients of calcium indicators: how fluorescence answers one action potential."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Transient:
    """The mean answer of an indicator to one action potential in mouse cortex in vivo.

    Its course is (1 - exp(-t / rise)) exp(-t / decay), scaled to ``amplitude_dff`` at its peak, with the two
    constants for which the peak comes after ``peak_s`` and half of it is left ``half_decay_s`` later.
    """

    indicator: str
    amplitude_dff: float
    """dF/F at the peak."""
    peak_s: float
    """From the action potential to the peak."""
    half_decay_s: float
    """From the peak to half of it."""

    def __post_init__(self) -> None:
        for name in ("amplitude_dff", "peak_s", "half_decay_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive, not {value!r}")
        if self.peak_s >= self.half_decay_s:
            raise ValueError(
                f"peak_s must be shorter than half_decay_s ({self.half_decay_s:g} s), not {self.peak_s:g}"
            )

    @property
    def constants_s(self) -> tuple[float, float]:
        """Rise and decay constants, s."""
        from scipy.optimize import brentq

        def left_too_much(decay_s: float) -> float:
            rise_s = _rise_s(self.peak_s, decay_s)
            late_s = self.peak_s + self.half_decay_s
            return _course(late_s, rise_s, decay_s) / _course(self.peak_s, rise_s, decay_s) - 0.5

        decay_s = float(brentq(left_too_much, 1.001 * self.peak_s, 3 * self.half_decay_s, xtol=1e-9))
        return _rise_s(self.peak_s, decay_s), decay_s


def _course(time_s: float, rise_s: float, decay_s: float) -> float:
    return -math.expm1(-time_s / rise_s) * math.exp(-time_s / decay_s)


def _rise_s(peak_s: float, decay_s: float) -> float:
    """Return the rise constant with which the course peaks after ``peak_s``: rise ln(1 + decay / rise)."""
    from scipy.optimize import brentq

    return float(
        brentq(lambda rise_s: rise_s * math.log1p(decay_s / rise_s) - peak_s, 1e-9, 1e4 * decay_s, xtol=1e-12)
    )


GCAMP6S = Transient("GCaMP6s", amplitude_dff=0.23, peak_s=0.179, half_decay_s=0.55)
TRANSIENTS: dict[str, Transient] = {
    each.indicator.lower(): each
    for each in (
        GCAMP6S,
        Transient("GCaMP6f", amplitude_dff=0.19, peak_s=0.045, half_decay_s=0.142),
        Transient("jGCaMP7f", amplitude_dff=0.21, peak_s=0.0995, half_decay_s=0.1819),
        Transient("jGCaMP8f", amplitude_dff=0.41, peak_s=0.0248, half_decay_s=0.0674),
        Transient("jGCaMP8m", amplitude_dff=0.76, peak_s=0.029, half_decay_s=0.1183),
    )
}
"""Single action potentials with cell-attached recordings in layer 2/3 of mouse V1.

Times of GCaMP6: Chen et al. 2013, Nature 499:295-300, Supplementary Table 3, as quoted by others; its peaks
are the values commonly given for that paper and were not checked against it. jGCaMP7f and 8: the table of
their makers for Zhang et al. 2023, Nature 615:884-891, as quoted by others. Sums of transients are linear
here; GCaMP6 in truth answers bursts more than linearly.
"""


def transient_of(stated: str) -> Transient | None:
    """Return the transient of the one known indicator that a file's words name, or None."""
    words = re.sub(r"[^a-z0-9]", "", stated.lower())
    named = [transient for name, transient in TRANSIENTS.items() if name.removeprefix("j") in words]
    return named[0] if len(named) == 1 else None
