"""When the samples of a stream were taken: at a constant rate, or each at a time of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.clocks.clock_map import ClockMap

STUB_SAMPLES = 100
"""How many samples a stub has of every stream."""
# Intervals count as equal when they differ by less than this part of a sample: half a thousandth of a
# sample is below what any acquisition clock resolves, and rounding of stored times stays below it.
REGULAR_WITHIN_SAMPLES = 5e-4


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of ``n`` samples: ``start_s`` and ``rate_hz``, or ``timestamps`` (n,), s.

    With neither, nothing is known yet: such a stream has to follow another one.
    """

    n: int
    start_s: float = 0.0
    rate_hz: float | None = None
    timestamps: NDArray[np.float64] | None = None

    @classmethod
    def of_times(cls, times_s: NDArray[Any]) -> Timing:
        """Return the timing of samples at ``times_s`` (n,), as a rate where they are regular.

        Raises
        ------
        ValueError
            When times are not finite or do not increase.
        """
        times = np.ascontiguousarray(times_s, dtype=np.float64)
        steps = np.diff(times)
        if not np.isfinite(times).all() or not (steps > 0).all():
            raise ValueError("times must be finite and increase")
        n = len(times)
        if n > 1:
            interval = (times[-1] - times[0]) / (n - 1)
            off = np.abs(times - (times[0] + interval * np.arange(n))).max()
            if off <= REGULAR_WITHIN_SAMPLES * interval:
                return cls(n, float(times[0]), float(1 / interval))
        return cls(n, timestamps=times)

    @property
    def placed(self) -> bool:
        """Whether the times are known."""
        return self.rate_hz is not None or self.timestamps is not None

    @property
    def first_s(self) -> float:
        """Time of the first sample, s."""
        return self.start_s if self.timestamps is None or not self.n else float(self.timestamps[0])

    @property
    def end_s(self) -> float:
        """Time at which the last sample ends, s."""
        if self.timestamps is not None:
            step = float(np.median(np.diff(self.timestamps))) if self.n > 1 else 0.0
            return float(self.timestamps[-1]) + step if self.n else self.start_s
        return self.start_s + (self.n / self.rate_hz if self.rate_hz else 0.0)

    def times_s(self) -> NDArray[np.float64]:
        """Return the time of every sample (n,), s."""
        if self.timestamps is not None:
            return self.timestamps.copy()
        if self.rate_hz is None:
            raise ValueError("the times of these samples are not known")
        return self.start_s + np.arange(self.n) / self.rate_hz

    def on(self, clock: ClockMap) -> Timing:
        """Return the same samples on the reference clock of ``clock``."""
        if self.timestamps is not None:
            return Timing(self.n, timestamps=clock.apply(self.timestamps))
        if self.rate_hz is None:
            return Timing(self.n, clock.apply_one(self.start_s))
        return Timing(self.n, *clock.apply_regular(self.start_s, self.rate_hz))

    def series_fields(self, stop: int | None = None) -> dict[str, Any]:
        """Return the times of the first ``stop`` samples as arguments of a pynwb TimeSeries."""
        if self.timestamps is not None and stop is not None and stop < self.n:
            # A part of irregular times may be regular.
            return Timing.of_times(self.timestamps[:stop]).series_fields()
        if self.timestamps is not None:
            return {"timestamps": self.timestamps}
        if self.rate_hz is None:
            raise ValueError("the times of these samples are not known")
        return {"starting_time": float(self.start_s), "rate": float(self.rate_hz)}
