"""What wheel sensors of every kind become: the path of the animal and its speed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pynwb import NWBFile

from nwbswitch.converters.behavior.signal_file import SignalFile
from nwbswitch.converters.behavior.signals import MeasuredSignal, add_signal
from nwbswitch.converters.behavior.turning import speed_of
from nwbswitch.converters.timed_interface import TimedInterface
from nwbswitch.converters.timing import STUB_SAMPLES, Timing
from nwbswitch.schemas.errors import InputFileError, TableError
from nwbswitch.schemas.issues import Place, issue
from nwbswitch.schemas.streams_signals import Wheel

Floats = NDArray[np.float64]


class WheelInterface(TimedInterface):
    """A wheel sensor; a subclass gives the path, or the speed where the sensor measures it."""

    keywords: ClassVar[tuple[str, ...]] = ("behavior", "wheel", "treadmill", "speed")
    wheel: Wheel
    metadata_key: str

    @abstractmethod
    def path_and_unit(self) -> tuple[Floats, str] | None:
        """Return the path (n,) and its unit; None for a sensor that measures speed only."""

    @abstractmethod
    def source_words(self) -> str:
        """Return how the path or speed follows from the source, as a sentence."""

    def measured_speed(self) -> tuple[Floats, str]:
        """Return speed (n,) and its unit, by default from the path."""
        found = self.path_and_unit()
        assert found is not None
        path, unit = found
        speed = speed_of(path, self.timing.times_s(), self.wheel.speed_window_s)
        return speed, {"meters": "m/s", "radians": "rad/s"}[unit]

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add the path to Position and the speed to BehavioralTimeSeries of the behavior module.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives the series.
        metadata : dict
            Not used: all there is to say comes with the stream.
        stub : bool
            Take the first 100 samples only.
        """
        self.require_times()
        stop = STUB_SAMPLES if stub else None
        found = self.path_and_unit()
        if found is not None:
            path = MeasuredSignal(
                f"{self.metadata_key}_position", found[0][:stop], found[1], 1.0,
                "Path of the animal on the wheel, turns joined.", self.source_words(), is_position=True,
            )  # fmt: skip
            add_signal(nwbfile, path, self.timing, stop=stop)
        speed, unit = self.measured_speed()
        how = "" if found is None else f" The way within {self.wheel.speed_window_s:g} s around each sample."
        add_signal(
            nwbfile,
            MeasuredSignal(
                f"{self.metadata_key}_speed", speed[:stop], unit, 1.0,
                f"Speed of the animal on the wheel, forward positive.{how}", self.source_words(),
            ),
            self.timing,
            stop=stop,
        )  # fmt: skip


def sample_timing(
    file: SignalFile,
    n: int,
    *,
    time_column: str | None,
    time_channel: int | None,
    time_scale: float,
    rate_hz: float | None,
    start_s: float,
) -> Timing:
    """Return the times of ``n`` samples of a signal file.

    Raises
    ------
    TableError
        Times that are missing, do not increase or are not as many as the samples.
    """
    if time_column is None:
        if rate_hz is not None and not rate_hz > 0:
            raise ValueError(f"rate_hz must be positive, not {rate_hz}")
        return Timing(n, float(start_s), rate_hz)
    times = file.signal(time_column, time_channel, key="time_channel").read().astype(np.float64) * time_scale
    if len(times) != n:
        problem = f"It has {len(times)} times in {time_column!r} for {n} samples."
        raise TableError([issue("length-differs", problem, place=Place(file.path, item=time_column))])
    missing = np.flatnonzero(~np.isfinite(times))
    backward = np.flatnonzero(~(np.diff(times) > 0)) + 1
    if missing.size or backward.size:
        row = int(missing[0] if missing.size else backward[0])
        problem = (
            "The time is missing."
            if missing.size
            else f"The time {times[row]:.10g} s is not after the one before it."
        )
        line = None if file.lines is None else int(file.lines[row])
        place = Place(file.path, line, time_column if line else f"{time_column}[{row}]")
        raise TableError([issue("bad-cell", problem, place=place)])
    return Timing.of_times(times + start_s)


def whole_numbers(path: Path, name: str, values: NDArray[Any]) -> Floats:
    """Return counts as numbers.

    Raises
    ------
    InputFileError
        For a count that is missing or no whole number.
    """
    counts: Floats = np.asarray(values, dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(counts) | (counts % 1 != 0))
    if wrong.size:
        problem = f"{name} holds {counts[wrong[0]]:g} at sample {wrong[0] + 1}, which is no count."
        raise InputFileError(path, problem, "Name the column with the running count of the encoder.")
    return counts
