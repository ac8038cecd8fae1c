"""The wheel interface: treadmill speed, position and distance of a CSV file into the behavior module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import FilePath
from pynwb import NWBFile

from nwbswitch.converters.behavior.signal_table import read_columns
from nwbswitch.converters.behavior.signals import MeasuredSignal, add_signal, nwb_unit
from nwbswitch.converters.timed_interface import TimedInterface
from nwbswitch.converters.timing import STUB_SAMPLES, Timing
from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.issues import Place, issue
from nwbswitch.schemas.streams_wheel import Signal


class WheelCsvInterface(TimedInterface):
    """Signals of a treadmill or wheel in a CSV file.

    Parameters
    ----------
    file_path : FilePath
        The CSV file.
    signals : list of dict
        One per column: column, quantity (speed, position or distance), unit (UCUM), description.
    time_column : str, optional
        Column with the time, s, on the clock of this file.
    rate_hz : float, optional
        Rows per second when there is no time column.
    frame_column : str, optional
        Column with the number of the imaging frame of each row.
    first_frame : int
        Number of the first frame in frame_column, 0 or 1.
    start_s : float
        Time of the zero of the time column; without one, of the first row, s.
    metadata_key : str
        Name of the stream.
    """

    display_name = "Wheel CSV"
    keywords = ("behavior", "speed", "treadmill", "wheel")
    associated_suffixes = (".csv",)
    info = "Reads named columns of a CSV file with a time column or a constant row rate."

    def __init__(
        self,
        *,
        file_path: FilePath,
        signals: list[dict[str, str]],
        time_column: str | None = None,
        rate_hz: float | None = None,
        frame_column: str | None = None,
        first_frame: Literal[0, 1] = 0,
        start_s: float = 0.0,
        metadata_key: str = "wheel",
    ) -> None:
        """Read the table."""
        super().__init__(
            file_path=file_path,
            signals=signals,
            time_column=time_column,
            rate_hz=rate_hz,
            frame_column=frame_column,
            first_frame=first_frame,
            start_s=start_s,
            metadata_key=metadata_key,
        )
        self.path = Path(file_path)
        self.signals = tuple(Signal.model_validate(signal) for signal in signals)
        if not self.signals:
            raise ValueError("signals must name at least one column")
        self.units = {
            signal.column: nwb_unit(self.path, signal.column, signal.unit, signal.quantity)
            for signal in self.signals
        }
        names = [signal.column for signal in self.signals]
        names += [each for each in (time_column, frame_column) if each]
        self.columns, lines = read_columns(self.path, list(dict.fromkeys(names)))
        n_rows = len(self.columns[self.signals[0].column])
        if frame_column is not None:
            self.frame_numbers, self.first_frame = self.columns[frame_column], first_frame
            self.frame_lines = lines
        if time_column is not None:
            times = self.columns[time_column]
            _check_times(self.path, time_column, times, lines)
            self.set_own_timing(Timing.of_times(times + start_s), self.path)
        elif rate_hz is not None and not rate_hz > 0:
            raise ValueError(f"rate_hz must be positive, not {rate_hz}")
        else:
            self.set_own_timing(Timing(n_rows, float(start_s), rate_hz), self.path)

    def keep(self, samples: slice) -> None:
        """Leave out all other rows."""
        self.columns = {name: values[samples] for name, values in self.columns.items()}

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add one series per signal; values stay as read and ``conversion`` leads to SI units.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives the processing module behavior.
        metadata : dict
            Not used: all there is to say comes with the signals.
        stub : bool
            Take the first 100 rows only.
        """
        self.require_times()
        stop = STUB_SAMPLES if stub else None
        for signal in self.signals:
            unit, conversion, comments = self.units[signal.column]
            measured = MeasuredSignal(
                name=signal.column,
                data=self.columns[signal.column][:stop],
                unit=unit,
                conversion=conversion,
                description=signal.description
                or f"{signal.quantity.capitalize()} on the treadmill or wheel.",
                comments=comments,
                is_position=signal.quantity == "position",
            )
            add_signal(nwbfile, measured, self.timing, stop=stop)


def _check_times(path: Path, column: str, times: np.ndarray[Any, Any], lines: np.ndarray[Any, Any]) -> None:
    """Refuse times that are missing or do not increase."""
    missing = np.flatnonzero(np.isnan(times))
    backward = np.flatnonzero(~(np.diff(times) > 0)) + 1
    if missing.size:
        row, problem = missing[0], "The time is missing."
    elif backward.size:
        row, problem = backward[0], f"The time {times[backward[0]]:g} s is not after the one before it."
    else:
        return
    raise TableError([issue("bad-cell", problem, place=Place(path, int(lines[row]), column))])
