"""NWB files that say what was given in the ways in which public files do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

START = datetime(2024, 5, 1, 10, tzinfo=UTC)


def write_file(
    path: Path,
    *,
    build: Callable[[Any], None] | None = None,
    subject: dict[str, Any] | None = None,
    **fields: Any,
) -> Path:
    """Write an NWB file with these fields; ``build`` adds objects to it."""
    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.file import Subject

    texts: dict[str, Any] = {"session_description": "A recording.", "identifier": "5f1c", **fields}
    nwbfile = NWBFile(session_start_time=START, **texts)
    animal = {"subject_id": "m12", "species": "Mus musculus", "sex": "F", "age": "P90D", **(subject or {})}
    nwbfile.subject = Subject(**animal)
    if build is not None:
        build(nwbfile)
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path


def series(name: str, times_s: list[float], *, description: str = "no description") -> Callable[[Any], None]:
    """Return what adds a TimeSeries with these stamps."""

    def build(nwbfile: Any) -> None:
        from pynwb import TimeSeries

        nwbfile.add_acquisition(
            TimeSeries(
                name=name, data=[1.0] * len(times_s), unit="n.a.", timestamps=times_s, description=description
            )
        )

    return build


def intervals(
    name: str, rows: list[tuple[float, float]], *, description: str = "Times.", **columns: list[Any]
) -> Callable[[Any], None]:
    """Return what adds a table of intervals with these columns."""

    def build(nwbfile: Any) -> None:
        from pynwb.epoch import TimeIntervals

        table = TimeIntervals(name=name, description=description)
        for column in columns:
            table.add_column(column, f"The {column}.")
        for index, (start, stop) in enumerate(rows):
            cells = {column: values[index] for column, values in columns.items()}
            table.add_interval(start_time=float(start), stop_time=float(stop), **cells)
        nwbfile.add_time_intervals(table)

    return build


def tagged_epochs(rows: list[tuple[float, float, str]]) -> Callable[[Any], None]:
    """Return what adds epochs with tags."""

    def build(nwbfile: Any) -> None:
        for start, stop, tag in rows:
            nwbfile.add_epoch(float(start), float(stop), [tag])

    return build


def annotations(name: str, labels: list[str], times_s: list[float]) -> Callable[[Any], None]:
    """Return what adds a series of annotations."""

    def build(nwbfile: Any) -> None:
        from pynwb.misc import AnnotationSeries

        nwbfile.add_acquisition(AnnotationSeries(name=name, data=labels, timestamps=times_s))

    return build


def events(name: str, times_s: list[float], **columns: list[Any]) -> Callable[[Any], None]:
    """Return what adds a core table of events."""

    def build(nwbfile: Any) -> None:
        from hdmf.common import VectorData
        from pynwb.event import EventsTable, TimestampVectorData

        held = [TimestampVectorData(name="timestamp", description="Times, s.", data=times_s)]
        held += [VectorData(name=key, description=key, data=values) for key, values in columns.items()]
        nwbfile.add_events_table(
            EventsTable(name=name, description="Events.", columns=held, colnames=[each.name for each in held])
        )

    return build


def drug_log(*rows: dict[str, Any]) -> Callable[[Any], None]:
    """Return what adds our own drug log, as converting does."""

    def build(nwbfile: Any) -> None:
        from nwbswitch.converters.drug_log import DrugLogInterface

        DrugLogInterface(administrations=list(rows)).add_to_nwbfile(nwbfile)

    return build


def all_of(*builds: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return what does several of these."""

    def build(nwbfile: Any) -> None:
        for each in builds:
            each(nwbfile)

    return build
