"""A straight line from the time of one clock to that of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class ClockMap:
    """Reference time = offset_s + own time * (1 + drift); without arguments, the same clock.

    Attributes
    ----------
    offset_s
        Reference time at which the own clock reads zero, s.
    drift
        Seconds that the own clock loses per own second: 1e-6 is 1 ppm.
    """

    offset_s: float = 0.0
    drift: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.offset_s) and np.isfinite(self.drift)):
            raise ValueError(f"offset_s and drift must be finite, not {self.offset_s} and {self.drift}")
        if self.drift <= -1:
            raise ValueError(f"drift must be above -1, not {self.drift}: time would stand still or go back")

    @property
    def drift_ppm(self) -> float:
        """Drift in parts per million."""
        return self.drift * 1e6

    @property
    def is_identity(self) -> bool:
        """Whether both clocks are the same."""
        return self.offset_s == 0 and self.drift == 0

    def apply(self, times_s: ArrayLike) -> NDArray[np.float64]:
        """Return reference times of own times, s, same shape."""
        own: NDArray[np.float64] = np.asarray(times_s, dtype=np.float64)
        # Not own * (1 + drift): a drift of 1e-9 would lose half its digits in the sum.
        result: NDArray[np.float64] = own + (self.offset_s + own * self.drift)
        return result

    def apply_one(self, time_s: float) -> float:
        """Return the reference time of one own time, s."""
        return float(time_s + (self.offset_s + time_s * self.drift))

    def apply_regular(self, start_s: float, rate_hz: float) -> tuple[float, float]:
        """Return start, s, and rate, Hz, on the reference clock of a regular series on the own one."""
        return self.apply_one(start_s), rate_hz / (1 + self.drift)

    def apply_duration(self, duration_s: float) -> float:
        """Return how long an own duration is on the reference clock, s."""
        return float(duration_s + duration_s * self.drift)

    def then(self, outer: ClockMap) -> ClockMap:
        """Return the map that applies this one first and ``outer`` to its result."""
        drift = self.drift + outer.drift + self.drift * outer.drift
        return ClockMap(outer.apply_one(self.offset_s), drift)

    def inverse(self) -> ClockMap:
        """Return the map from reference time back to own time."""
        return ClockMap(-self.offset_s / (1 + self.drift), -self.drift / (1 + self.drift))

    def as_dict(self) -> dict[str, Any]:
        """Return offset and drift as plain JSON values."""
        return {"offset_s": self.offset_s, "drift": self.drift}
