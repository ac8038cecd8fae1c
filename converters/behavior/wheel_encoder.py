"""A rotary encoder whose running count was sampled."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import FilePath

from nwbswitch.converters.behavior.signal_file import SignalFile
from nwbswitch.converters.behavior.turning import joined_counts, path_of
from nwbswitch.converters.behavior.wheel_interface import WheelInterface, sample_timing, whole_numbers
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.streams_signals import Wheel


class WheelEncoderInterface(WheelInterface):
    """Quadrature counts of a wheel.

    Parameters
    ----------
    file_path : FilePath
        CSV, HDF5, MATLAB or NumPy file.
    count : str
        Column, dataset or variable with the running count.
    channel : int, optional
        Channel, from 0, of an array with two dimensions.
    counts_per_turn : float
        Counts of one turn.
    counter_bits : int, optional
        Bits of a counter that starts again at its end.
    wheel : dict
        radius_cm, reversed and speed_window_s.
    time_column : str, optional
        Column, dataset or variable with the times.
    time_channel : int, optional
        Which of its channels they are, where it has two dimensions.
    time_scale : float
        Factor that turns them into s.
    rate_hz : float, optional
        Samples per second when they have no times.
    frame_column : str, optional
        Column with the number of the imaging frame of each sample.
    first_frame : int
        Number of the first frame in frame_column, 0 or 1.
    start_s : float
        Time of the first sample, or of the zero of the times, s.
    metadata_key : str
        Name of the stream; the series are called <name>_position and <name>_speed.
    """

    display_name = "Wheel encoder"
    associated_suffixes = (".csv", ".h5", ".mat", ".npy")
    info = "Reads the running count of a rotary encoder and derives path and speed."

    def __init__(
        self,
        *,
        file_path: FilePath,
        count: str,
        counts_per_turn: float,
        channel: int | None = None,
        counter_bits: Literal[8, 16, 24, 32] | None = None,
        wheel: dict[str, Any] | None = None,
        time_column: str | None = None,
        time_channel: int | None = None,
        time_scale: float = 1.0,
        rate_hz: float | None = None,
        frame_column: str | None = None,
        first_frame: Literal[0, 1] = 0,
        start_s: float = 0.0,
        metadata_key: str = "wheel",
    ) -> None:
        """Read the counts."""
        super().__init__(
            file_path=file_path,
            count=count,
            counts_per_turn=counts_per_turn,
            channel=channel,
            counter_bits=counter_bits,
            wheel=wheel,
            time_column=time_column,
            time_channel=time_channel,
            time_scale=time_scale,
            rate_hz=rate_hz,
            frame_column=frame_column,
            first_frame=first_frame,
            start_s=start_s,
            metadata_key=metadata_key,
        )
        if not counts_per_turn > 0:
            raise ValueError(f"counts_per_turn must be positive, not {counts_per_turn}")
        self.wheel = Wheel.model_validate(wheel or {})
        self.metadata_key = metadata_key
        self.counts_per_turn = counts_per_turn
        path = Path(file_path)
        file = SignalFile(path, [each for each in (count, time_column, frame_column) if each])
        try:
            values = whole_numbers(path, count, file.signal(count, channel).read())
            if counter_bits is not None and np.ptp(values) >= 2**counter_bits:
                raise InputFileError(
                    path,
                    f"{count} goes from {values.min():g} to {values.max():g}, beyond {counter_bits} bits.",
                    "Correct counter_bits, or leave it out if the count never starts again.",
                )
            self.counts: NDArray[np.float64] = joined_counts(values, counter_bits)
            self.set_own_timing(
                sample_timing(
                    file,
                    len(values),
                    time_column=time_column,
                    time_channel=time_channel,
                    time_scale=time_scale,
                    rate_hz=rate_hz,
                    start_s=start_s,
                ),
                path,
            )
            if frame_column is not None:
                self.frame_numbers, self.first_frame = file.signal(frame_column).read(), first_frame
                self.frame_lines = file.lines
        finally:
            file.close()

    def keep(self, samples: slice) -> None:
        """Leave out all other samples."""
        self.counts = self.counts[samples]

    def path_and_unit(self) -> tuple[NDArray[np.float64], str]:
        """Return the path from the first sample on."""
        return path_of((self.counts - self.counts[0]) / self.counts_per_turn, self.wheel)

    def source_words(self) -> str:
        """Return the calibration."""
        radius = "" if self.wheel.radius_cm is None else f", radius {self.wheel.radius_cm:g} cm"
        return f"From a rotary encoder of {self.counts_per_turn:g} counts a turn{radius}."
