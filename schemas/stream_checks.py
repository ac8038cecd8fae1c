"""What a stream must state beyond the types of its keys: times, clocks, units, and as many starts as runs."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.stream_base import MovieStream, RowStream, StreamBase
from nwbswitch.schemas.streams import FORMATS
from nwbswitch.schemas.streams_signals import SignalSeries, WheelAnalog, WheelEncoder
from nwbswitch.schemas.streams_wheel import WheelCsv
from nwbswitch.schemas.study_checks import NO_UNIT, SIGNAL_UNITS
from nwbswitch.schemas.study_clocks import SESSION_CLOCK
from nwbswitch.schemas.study_positions import KeyPath, Places, place_of
from nwbswitch.schemas.units import convert, parse_unit

_MAX_HEADER = 1 << 16


def stream_issues(stream: StreamBase, clocks: Iterable[str], places: Places, path: KeyPath) -> list[Issue]:
    """Return what a stream lacks or what contradicts itself in it."""
    known = list(clocks)
    found = clock_issues(stream.clock, known, places, (*path, "clock"))
    if isinstance(stream, RowStream) and stream.frame_times is not None:
        found += clock_issues(stream.frame_times.clock, known, places, (*path, "frame_times", "clock"))
    if isinstance(stream, SignalSeries | WheelEncoder | WheelAnalog):
        found += _time_issues(stream, places, path)
    if isinstance(stream, SignalSeries):
        for position, signal in enumerate(stream.signals):
            place = (*path, "signals", position, "unit")
            found += unit_issues(signal.unit, signal.quantity, places, place)
    if isinstance(stream, MovieStream) and stream.paths and all(each.exists() for each in stream.paths):
        found += _part_issues(stream, places, path)
    return found


def _time_issues(
    stream: SignalSeries | WheelEncoder | WheelAnalog, places: Places, path: KeyPath
) -> list[Issue]:
    given = [
        key
        for key in ("time_column", "rate_hz", "timing_of", "frame_times")
        if getattr(stream, key) is not None
    ]
    if not given:
        message = "The times of the samples are not given."
        remedy = (
            "Name time_column, give rate_hz if samples come at a constant rate, or timing_of if they are "
        )
        place = place_of(places, path)
        return [issue("missing-value", message, place=place, remedy=f"{remedy}frames.")]
    if "time_column" in given and "rate_hz" in given:
        message = "Both time_column and rate_hz are given; the samples have one time each."
        place = place_of(places, (*path, "rate_hz"))
        return [issue("wrong-value", message, place=place, remedy="Leave one of them out.")]
    return []


def unit_issues(unit: str, quantity: str, places: Places, path: KeyPath) -> list[Issue]:
    """Return a finding for what is no UCUM unit, or no unit of the quantity."""
    if unit == NO_UNIT:
        return []
    place = place_of(places, path)
    wanted = SIGNAL_UNITS.get(quantity, ())
    remedy = f"Write UCUM, e.g. {' or '.join(wanted) or 'V, mm2, Hz'}; {NO_UNIT!r} if the source states none."
    try:
        parse_unit(unit)
    except ValueError:
        return [issue("bad-unit", f"{unit!r} is no UCUM unit.", place=place, remedy=remedy)]
    if wanted and not any(_converts(unit, each) for each in wanted):
        return [issue("bad-unit", f"{unit!r} is no unit of {quantity}.", place=place, remedy=remedy)]
    return []


def _converts(unit: str, target: str) -> bool:
    try:
        convert(1.0, unit, target)
    except ValueError:
        return False
    return True


def _part_issues(stream: MovieStream, places: Places, path: KeyPath) -> list[Issue]:
    place = place_of(places, (*path, "part_start_s"))
    starts, n_files = stream.part_start_s, len(stream.paths)
    if starts and stream.parts != "runs":
        message = f"part_start_s goes with parts: runs, and parts is {stream.parts}."
        return [issue("wrong-value", message, place=place, remedy="Correct parts, or leave it out.")]
    if starts and len(starts) != n_files:
        message = f"part_start_s has {len(starts)} starts for {n_files} files."
        remedy = "Give one start per run, in the natural order of the file names."
        return [issue("wrong-value", message, place=place, remedy=remedy)]
    if any(later <= earlier for earlier, later in pairwise(starts)):
        message = "The starts in part_start_s do not increase."
        return [issue("wrong-value", message, place=place, remedy="Write them in the order of the runs.")]
    if n_files > 1 and stream.parts == "single":
        message = f"{n_files} files are one stream, and parts does not say how they follow each other."
        remedy = "Write parts: continuous (no gaps) or parts: runs (with gaps)."
        return [issue("missing-value", message, place=place_of(places, (*path, "path")), remedy=remedy)]
    return []


def reference_issues(clocks: Mapping[str, Any], places: Places) -> list[Issue]:
    """Return clocks whose reference is no clock, or which refer to each other in a circle."""
    found = []
    known = [SESSION_CLOCK, *clocks]
    for name, clock in clocks.items():
        place = place_of(places, ("clocks", name, "reference_clock"))
        if name == SESSION_CLOCK:
            message = f"{SESSION_CLOCK!r} is the clock of the file, which needs no description."
            found.append(issue("wrong-value", message, place=place, remedy="Give the clock another name."))
            continue
        chain = [name]
        others = set(clocks) - {SESSION_CLOCK}
        while (other := _reference(clocks.get(chain[-1]))) in others and other not in chain:
            chain.append(other)
        if other in chain:
            circle = " -> ".join((*chain[chain.index(other) :], other))
            message = f"The clocks refer to each other in a circle: {circle}."
            remedy = f"Align one of them to {SESSION_CLOCK}."
            found.append(issue("wrong-value", message, place=place, remedy=remedy))
        elif _reference(clock) not in known:
            message = f"There is no clock {_reference(clock)!r}."
            remedy = nearest(_reference(clock), known) or f"Clocks of this session: {', '.join(known)}."
            found.append(issue("unknown-word", message, place=place, remedy=remedy))
    return found


def _reference(clock: object) -> str:
    stated = clock.get("reference_clock") if isinstance(clock, dict) else None
    return stated if isinstance(stated, str) else SESSION_CLOCK


def clock_issues(clock: str, clocks: Iterable[str], places: Places, path: KeyPath) -> list[Issue]:
    """Return a finding when a stream counts on a clock that the session does not have."""
    known = [SESSION_CLOCK, *clocks]
    if clock in known:
        return []
    message = f"There is no clock {clock!r}."
    remedy = nearest(clock, known) or f"Clocks of this session: {', '.join(known)}."
    return [issue("unknown-word", message, place=place_of(places, path), remedy=remedy)]


def timing_issues(
    stream: StreamBase, name: str, streams: Mapping[str, object], places: Places, path: KeyPath
) -> list[Issue]:
    """Return a finding when a stream takes its times from one that the session does not have, or itself."""
    other = stream.timing_of if isinstance(stream, RowStream) else None
    others = [each for each, value in streams.items() if each != name and value is not None]
    if other is None:
        return []
    if other in others:
        return _follow_issues(name, other, streams, place_of(places, (*path, "timing_of")))
    message = f"There is no other stream {other!r} to take the times from."
    remedy = nearest(other, others) or f"Other streams: {', '.join(others) or 'none'}."
    return [issue("unknown-word", message, place=place_of(places, (*path, "timing_of")), remedy=remedy)]


def _follow_issues(name: str, other: str, streams: Mapping[str, object], place: Place) -> list[Issue]:
    """Return why a stream cannot take its times from another one: it has no samples, or follows this one."""
    form = _entry(streams, other, "format")
    if form in FORMATS and not issubclass(FORMATS[form], RowStream):
        message = f"{other!r} is a table of {form}, which has no samples to take the times from."
        return [issue("wrong-value", message, place=place, remedy="Name a movie, traces or a signal.")]
    chain = [name]
    while other not in chain and other:
        chain.append(other)
        other = _entry(streams, other, "timing_of")
    if other == name:
        message = f"Streams take their times from each other: {' -> '.join((*chain, other))}."
        return [issue("wrong-value", message, place=place, remedy="Correct timing_of.")]
    return []


def _entry(streams: Mapping[str, object], name: str, key: str) -> str:
    stream = streams.get(name)
    value = stream.get(key) if isinstance(stream, dict) else None
    return value if isinstance(value, str) else ""


def wheel_issues(stream: WheelCsv, file: Path | None, places: Places, path: KeyPath) -> list[Issue]:
    """Return what does not fit in a wheel stream: no times, wrong units, columns that are not there."""
    found = []
    if stream.time_column is None and stream.rate_hz is None and stream.timing_of is None:
        message = "The times of the rows are not given."
        remedy = (
            "Name time_column, give rate_hz if rows come at a constant rate, or timing_of if they are frames."
        )
        found.append(issue("missing-value", message, place=place_of(places, path), remedy=remedy))
    for position, signal in enumerate(stream.signals):
        found += unit_issues(signal.unit, signal.quantity, places, (*path, "signals", position, "unit"))
    header = _header(file) if file is not None else None
    if header is None:
        return found
    wanted: list[tuple[str | None, KeyPath]] = [(stream.time_column, (*path, "time_column"))]
    wanted += [
        (signal.column, (*path, "signals", position, "column"))
        for position, signal in enumerate(stream.signals)
    ]
    for column, where in wanted:
        if column is not None and column not in header:
            message = f"The file {file} has no column {column!r}."
            remedy = nearest(column, header) or f"Its columns: {', '.join(header)[:200]}."
            found.append(issue("missing-column", message, place=place_of(places, where), remedy=remedy))
    return found


def _header(file: Path) -> list[str] | None:
    """Return the column names of a CSV file, or None when it cannot be read as one."""
    try:
        with file.open("rb") as stream:
            line = stream.readline(_MAX_HEADER).decode("utf-8-sig")
        cells = next(iter(csv.reader([line])), None)
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    return [cell.strip() for cell in cells] if cells else None
