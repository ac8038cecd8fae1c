"""Events of one animal in a MED-PC file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import FilePath
from pynwb import NWBFile

from nwbswitch.converters.behavior.event_interface import EventInterface
from nwbswitch.converters.behavior.event_list import add_events
from nwbswitch.converters.behavior.medpc_file import pick, read_medpc
from nwbswitch.converters.timing import STUB_SAMPLES
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.issues import nearest


class MedPcInterface(EventInterface):
    """Events that MED-PC logged; of several recordings in a file one must be picked.

    Parameters
    ----------
    file_path : FilePath
        The data file.
    events : dict
        Letters of the arrays that hold times, with what happened then.
    select : dict, optional
        Header lines that pick one recording out, e.g. {"Subject": "56"}.
    time_scale : float
        Factor that turns its times into s.
    start_s : float
        Time of the zero of MED-PC's clock, s.
    metadata_key : str
        Name of the stream, and of the table.
    """

    display_name = "MED-PC"
    keywords = ("behavior", "events", "operant")
    associated_suffixes = (".txt",)
    info = "Reads events of one animal from a data file of MED-PC."

    def __init__(
        self,
        *,
        file_path: FilePath,
        events: dict[str, str],
        select: dict[str, str] | None = None,
        time_scale: float = 1.0,
        start_s: float = 0.0,
        metadata_key: str = "medpc",
    ) -> None:
        """Read the file and pick the recording."""
        super().__init__(
            file_path=file_path,
            events=events,
            select=select,
            time_scale=time_scale,
            start_s=start_s,
            metadata_key=metadata_key,
        )
        if not events:
            raise ValueError("events must name at least one array")
        path = Path(file_path)
        self.metadata_key = metadata_key
        self.recording = pick(path, read_medpc(path), select or {})
        pairs: list[tuple[float, str]] = []
        for letter, name in events.items():
            if letter not in self.recording.arrays:
                known = list(self.recording.arrays)
                remedy = nearest(letter, known) or f"There are {', '.join(known)}."
                raise InputFileError(path, f"has no array {letter!r}.", remedy)
            times = self.recording.arrays[letter] * time_scale
            if not (np.diff(times) >= 0).all():
                raise InputFileError(
                    path,
                    f"the array {letter} ({name}) does not increase, so it holds no times.",
                    "Name the arrays that hold times of events.",
                )
            pairs += [(float(time), name) for time in times]
        if not pairs:
            raise InputFileError(path, f"the arrays {', '.join(events)} are empty.")
        pairs.sort()
        self.names = [name for _, name in pairs]
        starts = np.array([time for time, _ in pairs]) + start_s
        self.set_own_events(starts, starts, path)

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add the events as a table.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives the table under the name of the stream.
        metadata : dict
            Not used: all there is to say comes with the events.
        stub : bool
            Take the first 100 events only.
        """
        events = list(zip(self.starts.tolist(), self.names, strict=True))[: STUB_SAMPLES if stub else None]
        header = self.recording.header
        stated = ", ".join(f"{key} {header[key]}" for key in ("MSN", "Box", "Experiment") if header.get(key))
        add_events(
            nwbfile, self.metadata_key, f"Events that MED-PC logged. {stated}.".removesuffix(" ."), events,
            source="MED-PC.",
        )  # fmt: skip
