"""Any signals that were sampled together, from CSV, HDF5, MATLAB or NumPy files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import FilePath
from pynwb import NWBFile

from nwbswitch.converters.behavior.signal_file import OneSignal, SignalFile
from nwbswitch.converters.behavior.signals import MeasuredSignal, add_signal, nwb_unit
from nwbswitch.converters.behavior.wheel_interface import sample_timing
from nwbswitch.converters.timed_interface import TimedInterface
from nwbswitch.converters.timing import STUB_SAMPLES
from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.issues import Place, issue
from nwbswitch.schemas.stored_names import series_name
from nwbswitch.schemas.streams_signals import NamedSignal


class SeriesInterface(TimedInterface):
    """Signals of one file; values stay as read, long ones are read chunk by chunk.

    Parameters
    ----------
    file_path : FilePath
        CSV, HDF5, MATLAB or NumPy file.
    signals : list of dict
        name (column, dataset or variable), channel, quantity, unit (UCUM) and description of each.
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
        Name of the stream.
    """

    display_name = "Time series"
    keywords = ("behavior", "signal", "analog")
    associated_suffixes = (".csv", ".h5", ".mat", ".npy")
    info = "Reads named signals of a CSV, HDF5, MATLAB or NumPy file."

    def __init__(
        self,
        *,
        file_path: FilePath,
        signals: list[dict[str, Any]],
        time_column: str | None = None,
        time_channel: int | None = None,
        time_scale: float = 1.0,
        rate_hz: float | None = None,
        frame_column: str | None = None,
        first_frame: Literal[0, 1] = 0,
        start_s: float = 0.0,
        metadata_key: str = "series",
    ) -> None:
        """Open the file and check that all signals are there and equally long."""
        super().__init__(
            file_path=file_path,
            signals=signals,
            time_column=time_column,
            time_channel=time_channel,
            time_scale=time_scale,
            rate_hz=rate_hz,
            frame_column=frame_column,
            first_frame=first_frame,
            start_s=start_s,
            metadata_key=metadata_key,
        )
        path = Path(file_path)
        self.signals = tuple(NamedSignal.model_validate(signal) for signal in signals)
        if not self.signals:
            raise ValueError("signals must name at least one")
        self.units = [nwb_unit(path, each.name, each.unit, each.quantity) for each in self.signals]
        self.names = series_names(path, self.signals)
        names = [each.name for each in self.signals] + [each for each in (time_column, frame_column) if each]
        self.file = SignalFile(path, names)
        try:
            self.sources: list[OneSignal] = [
                self.file.signal(each.name, each.channel) for each in self.signals
            ]
            self._span = slice(0, self.sources[0].n)
            for each, source in zip(self.signals, self.sources, strict=True):
                if source.n != self.sources[0].n:
                    first = f"{self.signals[0].name} {self.sources[0].n}"
                    problem = f"{each.name} has {source.n} samples, {first}."
                    remedy = "Make a stream of its own of signals that were sampled apart."
                    raise TableError([issue("length-differs", problem, place=Place(path), remedy=remedy)])
            timing = sample_timing(
                self.file,
                self.sources[0].n,
                time_column=time_column,
                time_channel=time_channel,
                time_scale=time_scale,
                rate_hz=rate_hz,
                start_s=start_s,
            )
            self.set_own_timing(timing, path)
            if frame_column is not None:
                self.frame_numbers = self.file.signal(frame_column).read()
                self.first_frame = first_frame
                self.frame_lines = self.file.lines
        except BaseException:
            self.file.close()
            raise

    def keep(self, samples: slice) -> None:
        """Leave out all other samples."""
        first, stop, _ = samples.indices(self.n_samples)
        self.sources = [source.part(first, stop) for source in self.sources]

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add one series per signal to the behavior module.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives the series.
        metadata : dict
            Not used: all there is to say comes with the signals.
        stub : bool
            Take the first 100 samples only.
        """
        self.require_times()
        stop = STUB_SAMPLES if stub else None
        for signal, name, unit, source in zip(
            self.signals, self.names, self.units, self.sources, strict=True
        ):
            measured = MeasuredSignal(
                name=name,
                data=source.data(stop),
                unit=unit[0],
                conversion=unit[1],
                description=signal.description or _description(signal),
                comments=unit[2],
                is_position=signal.quantity == "position",
            )
            add_signal(nwbfile, measured, self.timing, stop=stop)

    def close(self) -> None:
        """Close the file; call it after the NWB file is written."""
        self.file.close()


def _description(signal: NamedSignal) -> str:
    channel = "" if signal.channel is None else f", channel {signal.channel}"
    if not signal.quantity:
        return f"Signal {signal.name}{channel} of the source."
    words = signal.quantity.replace("_", " ")
    return f"{words[:1].upper()}{words[1:]}."


def series_names(path: Path, signals: tuple[NamedSignal, ...]) -> list[str]:
    """Return the name of each series: what the signal measures, else what the file calls it.

    Raises
    ------
    TableError
        ``duplicate-id`` for two of the same name.
    """
    names = [series_name(each) for each in signals]
    for name, count in Counter(names).items():
        if count > 1:
            remedy = "Give each signal a quantity of its own, e.g. pupil_area_left."
            problem = f"Two signals would be called {name!r}."
            raise TableError([issue("duplicate-id", problem, place=Place(path), remedy=remedy)])
    return names
