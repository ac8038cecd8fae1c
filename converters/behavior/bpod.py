"""Trials, states and events of Bpod."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import FilePath
from pynwb import NWBFile
from pynwb.epoch import TimeIntervals

from nwbswitch.converters.behavior.bpod_session import read_bpod
from nwbswitch.converters.behavior.event_interface import EventInterface
from nwbswitch.converters.behavior.event_list import add_events
from nwbswitch.converters.behavior.trial_table import KeptColumn
from nwbswitch.converters.behavior.trials import add_trials, interval_table
from nwbswitch.converters.clocks.clock_map import ClockMap
from nwbswitch.converters.timing import STUB_SAMPLES


class BpodInterface(EventInterface):
    """Trials of Bpod with the visits to its states and its events.

    Parameters
    ----------
    file_path : FilePath
        SessionData in a .mat file, or iblrig's _iblrig_taskData.raw.jsonable.
    start_s : float
        Time of the zero of Bpod's clock, s.
    metadata_key : str
        Name of the stream; tables are called <name>_states and <name>_events.
    """

    display_name = "Bpod"
    keywords = ("behavior", "trials", "state machine")
    associated_suffixes = (".mat", ".jsonable")
    info = "Reads trials, states and events that Bpod recorded."

    def __init__(self, *, file_path: FilePath, start_s: float = 0.0, metadata_key: str = "bpod") -> None:
        """Read the trials."""
        super().__init__(file_path=file_path, start_s=start_s, metadata_key=metadata_key)
        self.metadata_key = metadata_key
        self.trials = read_bpod(Path(file_path))
        # States and events are moved with the clock that the trials are moved with.
        self._clock = ClockMap()
        self._start_s = start_s
        starts = np.array([trial.start_s for trial in self.trials]) + start_s
        self.set_own_events(
            starts, np.array([trial.stop_s for trial in self.trials]) + start_s, Path(file_path)
        )

    def align(self, clock: ClockMap) -> None:
        """Place trials, states and events on the session clock."""
        super().align(clock)
        self._clock = clock

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add the trials, a table of visits to states, and a table of events.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives them.
        metadata : dict
            Not used: all there is to say comes with the trials.
        stub : bool
            Take the first 100 trials only.
        """
        n_trials = min(len(self.trials), STUB_SAMPLES) if stub else len(self.trials)
        columns: tuple[KeptColumn, ...] = (
            KeptColumn("trial", "Number of the trial, from 1.", np.arange(1, len(self.trials) + 1)),
        )
        types = np.array([trial.trial_type for trial in self.trials])
        if np.isfinite(types).any():
            columns += (KeptColumn("trial_type", "Type of the trial, as Bpod numbers it.", types),)

        def table(name: str) -> TimeIntervals:
            times = (self.starts, self.stops)
            return interval_table(name, "Trials of Bpod.", times, columns, stub=stub)

        add_trials(nwbfile, self.metadata_key, table)
        self._add_states(nwbfile, n_trials, stub=stub)
        events = [
            (self._session_s(time, index), name)
            for index, trial in enumerate(self.trials[:n_trials])
            for name, time in trial.events
        ]
        if events:
            text = "Events of Bpod's state machine, e.g. licks and timers."
            add_events(
                nwbfile, f"{self.metadata_key}_events", text, events[: STUB_SAMPLES if stub else None],
                source="Bpod.",
            )  # fmt: skip

    def _add_states(self, nwbfile: NWBFile, n_trials: int, *, stub: bool) -> None:
        visits = [
            (self._session_s(first, index), self._session_s(last, index), name, index + 1)
            for index, trial in enumerate(self.trials[:n_trials])
            for name, first, last in trial.states
        ][: STUB_SAMPLES if stub else None]
        if not visits:
            return
        times = np.array([each[0] for each in visits]), np.array([each[1] for each in visits])
        columns = (
            KeptColumn("state", "State of the state machine.", [each[2] for each in visits]),
            KeptColumn("trial", "Number of the trial, from 1.", np.array([each[3] for each in visits])),
        )
        text = "Visits to the states of Bpod's state machine."
        nwbfile.add_time_intervals(
            interval_table(f"{self.metadata_key}_states", text, times, columns, stub=False)
        )

    def _session_s(self, time_s: float, trial: int) -> float:
        """Return the session time of a time on Bpod's clock, moved like the start of its trial."""
        own = self._clock.apply_one(time_s + self._start_s)
        start = self._clock.apply_one(self.trials[trial].start_s + self._start_s)
        return own + float(self.starts[trial]) - start
