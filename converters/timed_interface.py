"""Interfaces whose samples have times: neuroconv's alignment contract on top of one `Timing`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from neuroconv.basetemporalalignmentinterface import BaseTemporalAlignmentInterface
from numpy.typing import NDArray

from nwbswitch.converters.clocks.clock_map import ClockMap
from nwbswitch.converters.timing import Timing
from nwbswitch.schemas.errors import InputFileError


class TimedInterface(BaseTemporalAlignmentInterface):  # type: ignore[misc]
    """A stream whose samples have times.

    ``own_timing`` is what the files say, on the clock of the stream; ``timing`` is what will be written, on
    the session clock. A subclass calls `set_own_timing` in its constructor.
    """

    source_path: Path
    own_timing: Timing
    timing: Timing
    frame_numbers: NDArray[Any] | None = None
    """Number of the imaging frame of each sample, shape (n,), where the samples name it."""
    first_frame: int = 0
    """Number of the first frame in ``frame_numbers``."""
    frame_lines: NDArray[Any] | None = None
    """Line of the file of each of ``frame_numbers``, shape (n,), where they come from a table."""

    def set_own_timing(self, timing: Timing, source_path: Path) -> None:
        """Take the times that the files state; until the stream is aligned they are session times."""
        self.source_path = source_path
        self.own_timing = timing
        self.timing = timing

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return self.own_timing.n

    def require_times(self) -> None:
        """Raise when nothing tells when the samples were taken.

        Raises
        ------
        InputFileError
            Naming the keys of the study file that would tell.
        """
        if not self.timing.placed:
            raise InputFileError(
                self.source_path,
                "states neither times nor a rate.",
                "Give rate_hz of this stream, its column of times, or timing_of when its samples are frames.",
            )

    def align(self, clock: ClockMap) -> None:
        """Place the samples on the session clock."""
        self.timing = self.own_timing.on(clock)

    def follow(self, timing: Timing) -> None:
        """Take the times of another stream, sample by sample.

        Raises
        ------
        ValueError
            When the numbers of samples differ.
        """
        if timing.n != self.n_samples:
            raise ValueError(f"{self.n_samples} samples cannot follow {timing.n}")
        self.timing = timing

    def follow_counter(self, times_s: NDArray[np.float64], kept: slice) -> None:
        """Take times that the frame numbers gave; samples outside ``kept`` have none and are left out."""
        self.keep(kept)
        self.own_timing = self.timing = Timing.of_times(times_s)

    def keep(self, samples: slice) -> None:
        """Leave out all other samples; interfaces whose samples may name frames can."""
        if samples.indices(self.n_samples) != (0, self.n_samples, 1):
            raise ValueError(f"{type(self).__name__} cannot leave samples out")

    def get_original_timestamps(self) -> NDArray[np.float64]:
        """Return the time of every sample (n,) on the clock of the stream, s."""
        return self.own_timing.times_s()

    def get_timestamps(self) -> NDArray[np.float64]:
        """Return the time of every sample (n,) on the session clock, s."""
        return self.timing.times_s()

    def set_aligned_timestamps(self, aligned_timestamps: NDArray[Any]) -> None:
        """Take the time of every sample (n,) on the session clock, s."""
        self.follow(Timing(len(aligned_timestamps), timestamps=np.asarray(aligned_timestamps, dtype=float)))

    def set_aligned_starting_time(self, aligned_starting_time: float) -> None:
        """Shift all times by ``aligned_starting_time``, s."""
        timing = self.timing
        if timing.timestamps is not None:
            self.timing = Timing(timing.n, timestamps=timing.timestamps + aligned_starting_time)
        else:
            self.timing = Timing(timing.n, timing.start_s + aligned_starting_time, timing.rate_hz)
