"""Streams of rows with a start and perhaps an end: trials, stimuli, states, events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.clocks.clock_map import ClockMap
from nwbswitch.converters.timed_interface import TimedInterface
from nwbswitch.converters.timing import Timing

Floats = NDArray[np.float64]


class EventInterface(TimedInterface):
    """Rows with starts and ends; the ends move with the starts when the clock does."""

    own_stops: Floats
    stops: Floats

    def set_own_events(self, starts_s: Floats, stops_s: Floats, source_path: Path) -> None:
        """Take starts and ends, s, each (n,), in order of starts."""
        self.own_stops = self.stops = stops_s
        self.set_own_timing(Timing(len(starts_s), timestamps=starts_s), source_path)

    @property
    def starts(self) -> Floats:
        """Start of every row (n,) on the session clock, s."""
        return self.timing.times_s()

    def align(self, clock: ClockMap) -> None:
        """Place starts and ends on the session clock."""
        super().align(clock)
        self.stops = clock.apply(self.own_stops)

    def set_aligned_timestamps(self, aligned_timestamps: NDArray[Any]) -> None:
        """Take the start of every row (n,) on the session clock, s; durations stay."""
        durations = self.stops - self.starts
        super().set_aligned_timestamps(aligned_timestamps)
        self.stops = self.starts + durations

    def set_aligned_starting_time(self, aligned_starting_time: float) -> None:
        """Shift all times by ``aligned_starting_time``, s."""
        super().set_aligned_starting_time(aligned_starting_time)
        self.stops = self.stops + aligned_starting_time
