"""Trials and stimuli of a table as time intervals of the NWB file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hdmf.common import VectorData
from pydantic import FilePath
from pynwb import NWBFile
from pynwb.epoch import TimeIntervals

from nwbswitch.converters.behavior.event_interface import EventInterface, Floats
from nwbswitch.converters.behavior.trial_table import (
    RESERVED,
    EventRows,
    KeptColumn,
    TimeColumns,
    read_events,
)
from nwbswitch.converters.timing import STUB_SAMPLES
from nwbswitch.schemas.streams_trials import TableColumn

STIMULUS = "stimulus"


class TrialsInterface(EventInterface):
    """Trials of a table.

    Parameters
    ----------
    file_path : FilePath
        CSV or Excel.
    start_column : str
        Column with the starts.
    stop_column : str, optional
        Column with the ends.
    duration_column : str, optional
        Column with durations in place of ends.
    duration_s : float, optional
        Duration of every row, s.
    time_scale : float
        Factor that turns times into s.
    columns : list of dict, optional
        Columns to keep: column, name, unit and description; all by default.
    sheet : str, optional
        Sheet of an Excel file.
    start_s : float
        Time of the zero of the table, s.
    metadata_key : str
        Name of the stream.
    """

    display_name = "Trials"
    keywords = ("behavior", "trials")
    associated_suffixes = (".csv", ".xlsx")
    info = "Reads trials from CSV or Excel."

    def __init__(
        self,
        *,
        file_path: FilePath,
        start_column: str,
        stop_column: str | None = None,
        duration_column: str | None = None,
        duration_s: float | None = None,
        time_scale: float = 1.0,
        columns: list[dict[str, Any]] | None = None,
        sheet: str | None = None,
        start_s: float = 0.0,
        metadata_key: str = "trials",
    ) -> None:
        """Read the table."""
        super().__init__(
            file_path=file_path,
            start_column=start_column,
            stop_column=stop_column,
            duration_column=duration_column,
            duration_s=duration_s,
            time_scale=time_scale,
            columns=columns,
            sheet=sheet,
            start_s=start_s,
            metadata_key=metadata_key,
        )
        self.metadata_key = metadata_key
        kept = None if columns is None else [TableColumn.model_validate(each) for each in columns]
        where = TimeColumns(start_column, stop_column, duration_column, duration_s, time_scale)
        self.rows: EventRows = read_events(Path(file_path), where, kept=kept, sheet=sheet)
        self.set_own_events(self.rows.starts_s + start_s, self.rows.stops_s + start_s, Path(file_path))

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add the table of trials.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives it; a second one goes beside it under the name of the stream.
        metadata : dict
            Not used: all there is to say comes with the table.
        stub : bool
            Take the first 100 rows only.
        """

        def table(name: str) -> TimeIntervals:
            times = (self.starts, self.stops)
            return interval_table(name, "Trials, one row each.", times, self.rows.columns, stub=stub)

        add_trials(nwbfile, self.metadata_key, table)


class StimuliInterface(EventInterface):
    """Sensory stimuli of a table, with what they evoked where the table says so.

    Parameters
    ----------
    file_path : FilePath
        CSV or Excel.
    start_column : str
        Column with the onsets.
    stimulus : str
        What was given, e.g. air puff.
    stimulus_column : str, optional
        Column that says which stimulus was given.
    stop_column : str, optional
        Column with the ends.
    duration_column : str, optional
        Column with durations in place of ends.
    duration_s : float, optional
        Duration of every stimulus, s.
    time_scale : float
        Factor that turns times into s.
    columns : list of dict, optional
        Columns to keep, e.g. a response: column, name, unit and description; all by default.
    sheet : str, optional
        Sheet of an Excel file.
    start_s : float
        Time of the zero of the table, s.
    metadata_key : str
        Name of the stream, and of the table.
    """

    display_name = "Stimuli"
    keywords = ("behavior", "stimulus", "sensory")
    associated_suffixes = (".csv", ".xlsx")
    info = "Reads sensory stimuli and responses from CSV or Excel."

    def __init__(
        self,
        *,
        file_path: FilePath,
        start_column: str,
        stimulus: str = "",
        stimulus_column: str | None = None,
        stop_column: str | None = None,
        duration_column: str | None = None,
        duration_s: float | None = None,
        time_scale: float = 1.0,
        columns: list[dict[str, Any]] | None = None,
        sheet: str | None = None,
        start_s: float = 0.0,
        metadata_key: str = "stimuli",
    ) -> None:
        """Read the table."""
        super().__init__(
            file_path=file_path,
            start_column=start_column,
            stimulus=stimulus,
            stimulus_column=stimulus_column,
            stop_column=stop_column,
            duration_column=duration_column,
            duration_s=duration_s,
            time_scale=time_scale,
            columns=columns,
            sheet=sheet,
            start_s=start_s,
            metadata_key=metadata_key,
        )
        if bool(stimulus) == (stimulus_column is not None):
            raise ValueError("give stimulus, or stimulus_column")
        self.metadata_key = metadata_key
        kept = None if columns is None else [TableColumn.model_validate(each) for each in columns]
        where = TimeColumns(start_column, stop_column, duration_column, duration_s, time_scale)
        rows = read_events(
            Path(file_path),
            where,
            kept=kept,
            sheet=sheet,
            named=stimulus_column,
            reserved=RESERVED | {STIMULUS},
        )
        given = [stimulus] * len(rows.starts_s) if rows.names is None else rows.names
        self.columns = (KeptColumn(STIMULUS, "What was given.", given), *rows.columns)
        self.set_own_events(rows.starts_s + start_s, rows.stops_s + start_s, Path(file_path))

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add the table of stimuli to the intervals.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives the table under the name of the stream.
        metadata : dict
            Not used: all there is to say comes with the table.
        stub : bool
            Take the first 100 rows only.
        """
        text = "Sensory stimuli, one row each, with what they evoked where it was measured."
        times = (self.starts, self.stops)
        nwbfile.add_time_intervals(interval_table(self.metadata_key, text, times, self.columns, stub=stub))


def interval_table(
    name: str,
    description: str,
    times: tuple[Floats, Floats],
    columns: tuple[KeptColumn, ...],
    *,
    stub: bool,
) -> TimeIntervals:
    """Return rows with their starts and ends, s, as a table of intervals."""
    stop = STUB_SAMPLES if stub else None
    data = [
        VectorData(name="start_time", description="Start, s.", data=times[0][:stop]),
        VectorData(name="stop_time", description="End, s.", data=times[1][:stop]),
    ]
    for column in columns:
        data.append(VectorData(name=column.name, description=column.description, data=column.values[:stop]))
    return TimeIntervals(
        name=name, description=description, columns=data, colnames=[each.name for each in data]
    )


def add_trials(nwbfile: NWBFile, name: str, table: Callable[[str], TimeIntervals]) -> None:
    """Add a table as the trials of the file, or beside them under ``name`` when there are some."""
    if nwbfile.trials is None:
        nwbfile.trials = table("trials")
    else:
        nwbfile.add_time_intervals(table(name))
