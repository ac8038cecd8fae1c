"""Events without duration as a core events table of the NWB file."""

from __future__ import annotations

from collections.abc import Sequence

from pynwb import NWBFile
from pynwb.event import EventsTable, TimestampVectorData


def add_events(
    nwbfile: NWBFile, name: str, description: str, events: Sequence[tuple[float, str]], *, source: str
) -> None:
    """Add events (time on the session clock, s, and what happened) as a table, in order of time."""
    from hdmf.common import VectorData

    ordered = sorted(events)
    columns = [
        TimestampVectorData(
            name="timestamp",
            description="Time of the event on the session clock, s.",
            data=[time for time, _ in ordered],
        ),
        VectorData(name="event", description="What happened.", data=[event for _, event in ordered]),
    ]
    nwbfile.add_events_table(
        EventsTable(
            name=name,
            description=description,
            source_description=source,
            columns=columns,
            colnames=[each.name for each in columns],
        )
    )
