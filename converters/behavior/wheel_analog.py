"""A wheel sensor that gives a voltage: a tachometer, or an angle that starts again every turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import FilePath

from nwbswitch.converters.behavior.signal_file import SignalFile
from nwbswitch.converters.behavior.turning import joined_turns, path_of
from nwbswitch.converters.behavior.wheel_interface import WheelInterface, sample_timing
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.streams_signals import Wheel

Floats = NDArray[np.float64]
TURN_MARGIN = 0.1
"""An angle beyond a turn by more than this part of it: the calibration does not fit the voltage."""


class WheelAnalogInterface(WheelInterface):
    """The voltage of a wheel sensor.

    Parameters
    ----------
    file_path : FilePath
        CSV, HDF5, MATLAB or NumPy file.
    voltage : str
        Column, dataset or variable with the voltage, V.
    channel : int, optional
        Channel, from 0, of an array with two dimensions.
    cm_per_s_per_v : float, optional
        Of a tachometer: speed per volt, cm/s.
    zero_v : float
        Voltage at rest or at angle zero, V.
    volts_per_turn : float, optional
        Of an angle sensor: volts of one turn, V.
    wheel : dict
        radius_cm, reversed and speed_window_s.
    rate_hz : float, optional
        Samples per second when they have no times.
    time_column : str, optional
        Column, dataset or variable with the times.
    time_channel : int, optional
        Which of its channels they are, where it has two dimensions.
    time_scale : float
        Factor that turns them into s.
    start_s : float
        Time of the first sample, or of the zero of the times, s.
    metadata_key : str
        Name of the stream; the series are called <name>_position and <name>_speed.
    """

    display_name = "Wheel voltage"
    associated_suffixes = (".csv", ".h5", ".mat", ".npy")
    info = "Reads the voltage of a tachometer or angle sensor and calibrates it."

    def __init__(
        self,
        *,
        file_path: FilePath,
        voltage: str,
        channel: int | None = None,
        cm_per_s_per_v: float | None = None,
        zero_v: float = 0.0,
        volts_per_turn: float | None = None,
        wheel: dict[str, Any] | None = None,
        rate_hz: float | None = None,
        time_column: str | None = None,
        time_channel: int | None = None,
        time_scale: float = 1.0,
        start_s: float = 0.0,
        metadata_key: str = "wheel",
    ) -> None:
        """Read the voltage."""
        super().__init__(
            file_path=file_path,
            voltage=voltage,
            channel=channel,
            cm_per_s_per_v=cm_per_s_per_v,
            zero_v=zero_v,
            volts_per_turn=volts_per_turn,
            wheel=wheel,
            rate_hz=rate_hz,
            time_column=time_column,
            time_channel=time_channel,
            time_scale=time_scale,
            start_s=start_s,
            metadata_key=metadata_key,
        )
        if (cm_per_s_per_v is None) == (volts_per_turn is None):
            raise ValueError("give cm_per_s_per_v of a tachometer, or volts_per_turn of an angle sensor")
        self.wheel = Wheel.model_validate(wheel or {})
        self.metadata_key = metadata_key
        self.cm_per_s_per_v, self.zero_v, self.volts_per_turn = cm_per_s_per_v, zero_v, volts_per_turn
        path = Path(file_path)
        file = SignalFile(path, [each for each in (voltage, time_column) if each])
        try:
            self.volts: Floats = file.signal(voltage, channel).read().astype(np.float64)
            timing = sample_timing(
                file,
                len(self.volts),
                time_column=time_column,
                time_channel=time_channel,
                time_scale=time_scale,
                rate_hz=rate_hz,
                start_s=start_s,
            )
        finally:
            file.close()
        self.set_own_timing(timing, path)
        if not np.isfinite(self.volts).all():
            raise InputFileError(path, f"{voltage} holds values that are no voltage.")
        self._check_calibration(path)

    def _check_calibration(self, path: Path) -> None:
        if self.volts_per_turn is None:
            return
        turns = (self.volts - self.zero_v) / self.volts_per_turn
        low, high = float(turns.min()), float(turns.max())
        if low < -TURN_MARGIN or high > 1 + TURN_MARGIN:
            raise InputFileError(
                path,
                f"goes from {self.volts.min():g} to {self.volts.max():g} V, which is beyond one turn "
                f"({self.zero_v:g} to {self.zero_v + self.volts_per_turn:g} V).",
                "Correct zero_v and volts_per_turn.",
            )

    def path_and_unit(self) -> tuple[Floats, str] | None:
        """Return the path of an angle sensor from the first sample on."""
        if self.volts_per_turn is None:
            return None
        turns = joined_turns(self.volts, zero_v=self.zero_v, volts_per_turn=self.volts_per_turn)
        return path_of(turns - turns[0], self.wheel)

    def measured_speed(self) -> tuple[Floats, str]:
        """Return the speed of a tachometer, or that which follows from the angle."""
        if self.cm_per_s_per_v is None:
            return super().measured_speed()
        sign = -1 if self.wheel.reversed else 1
        return sign * (self.volts - self.zero_v) * self.cm_per_s_per_v / 100, "m/s"

    def source_words(self) -> str:
        """Return the calibration."""
        if self.cm_per_s_per_v is not None:
            return f"From a tachometer: {self.cm_per_s_per_v:g} cm/s per V above {self.zero_v:g} V."
        radius = "" if self.wheel.radius_cm is None else f", radius {self.wheel.radius_cm:g} cm"
        return f"From an angle sensor: {self.volts_per_turn:g} V a turn from {self.zero_v:g} V{radius}."
