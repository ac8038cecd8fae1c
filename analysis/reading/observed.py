"""When units were recorded: spans of time, unit by unit where the file says so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nwbswitch.analysis.reading.columns import Table
from nwbswitch.analysis.reading.ragged import ragged_ends
from nwbswitch.analysis.reading.stored_values import dataset_at, group_at, neurodata_type, numbers_of

if TYPE_CHECKING:
    import h5py

Spans = tuple[tuple[float, float], ...]
"""Starts and stops, s, in order and apart."""
MAX_INTERVALS = 2_000_000
MAX_GROUPS = 8
ELECTRICAL = "ElectricalSeries"


@dataclass(frozen=True, slots=True)
class Observed:
    """Rows that were recorded during the same spans."""

    rows: frozenset[int]
    spans: Spans


def observed_rows(table: Table, *, fallback: Spans) -> tuple[Observed, ...]:
    """Return groups of rows with the spans in which they were recorded; rows without any are in none.

    Parameters
    ----------
    table
        Table of units.
    fallback
        What holds for all rows where the table has no usable ``obs_intervals``.
    """
    everyone = (Observed(frozenset(range(table.n_rows)), fallback),)
    if dataset_at(table.group, "obs_intervals") is None:
        return everyone
    by_row = _spans_by_row(table)
    if by_row is None:
        return everyone
    groups: dict[Spans, set[int]] = {}
    for row, spans in enumerate(by_row):
        groups.setdefault(spans, set()).add(row)
    unseen = groups.pop((), set())
    if unseen:
        problem = f"{len(unseen)} of {table.n_rows} units have no observation interval; they are left out."
        table.find("suspect-times", problem, column="obs_intervals")
    if len(groups) <= MAX_GROUPS:
        return tuple(Observed(frozenset(rows), spans) for spans, rows in groups.items())
    common = next(iter(groups))
    for spans in groups:
        common = overlap(common, spans)
    problem = (
        f"Units were observed during {len(groups)} different sets of intervals; what they share is used."
    )
    table.find("suspect-times", problem, column="obs_intervals")
    return (Observed(frozenset(row for rows in groups.values() for row in rows), common),)


def _spans_by_row(table: Table) -> list[Spans] | None:
    stored = table.group["obs_intervals"]
    is_pairs = stored.ndim == 2 and stored.shape[1] == 2 and stored.dtype.kind in "iuf"
    if not is_pairs or stored.shape[0] > MAX_INTERVALS:
        problem = f"The observation intervals have the shape {stored.shape}, expected (intervals, 2)."
        table.find("unusable-column", problem, column="obs_intervals")
        return None
    ends = ragged_ends(table, "obs_intervals")
    if ends is None:
        return None
    values = stored[()].astype(np.float64)
    spoilt = int((~(values[:, 1] > values[:, 0])).sum())
    if spoilt:
        problem = f"{spoilt} of {values.shape[0]} observation intervals have no extent; they are left out."
        table.find("suspect-times", problem, column="obs_intervals")
    known: dict[bytes, Spans] = {}
    found = []
    for part in np.split(values, ends[:-1])[: table.n_rows]:
        key = part.tobytes()
        if key not in known:
            known[key] = joined([(float(start), float(stop)) for start, stop in part if stop > start])
        found.append(known[key])
    return found


def joined(spans: list[tuple[float, float]]) -> Spans:
    """Return spans in order, those that touch or overlap as one."""
    found: list[tuple[float, float]] = []
    for start, stop in sorted(each for each in spans if math.isfinite(each[0]) and math.isfinite(each[1])):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return tuple(found)


def overlap(some: Spans, others: Spans) -> Spans:
    """Return the spans that two lists of spans share."""
    found = []
    left = right = 0
    while left < len(some) and right < len(others):
        start, stop = max(some[left][0], others[right][0]), min(some[left][1], others[right][1])
        if stop > start:
            found.append((start, stop))
        if some[left][1] < others[right][1]:
            left += 1
        else:
            right += 1
    return tuple(found)


def recorded_span(nwb: h5py.File) -> Spans:
    """Return the span in which all electrical series under acquisition were recorded, where they say so."""
    acquisition = group_at(nwb, "acquisition")
    spans = []
    for name in acquisition if acquisition is not None else ():
        series = group_at(acquisition, name)
        if series is not None and neurodata_type(series) == ELECTRICAL:
            span = series_span(series)
            if span is not None:
                spans.append(span)
    start = max((each[0] for each in spans), default=math.nan)
    stop = min((each[1] for each in spans), default=math.nan)
    return ((start, stop),) if stop > start else ()


def series_span(series: h5py.Group) -> tuple[float, float] | None:
    """Return first and last time of a series by its rate or its stamps, or None."""
    data = dataset_at(series, "data")
    if data is None or not data.shape or not data.shape[0]:
        return None
    stamps = dataset_at(series, "timestamps")
    if stamps is not None:
        if stamps.ndim != 1 or stamps.dtype.kind not in "iuf" or not stamps.shape[0]:
            return None
        first, last = float(stamps[0]), float(stamps[-1])
    else:
        starting = dataset_at(series, "starting_time")
        start = numbers_of(starting)
        rate = () if starting is None else numbers_of(starting.attrs.get("rate"))
        if len(start) != 1 or len(rate) != 1 or not rate[0] > 0:
            return None
        first, last = start[0], start[0] + data.shape[0] / rate[0]
    return (first, last) if math.isfinite(first) and math.isfinite(last) and last > first else None


def session_end_s(nwb: h5py.File) -> float:
    """Return the latest time that tables of intervals and electrical series know, s; NaN without any."""
    intervals = group_at(nwb, "intervals")
    latest = [stop for _, stop in recorded_span(nwb)]
    for name in intervals if intervals is not None else ():
        stops = dataset_at(intervals, f"{name}/stop_time")
        if stops is not None and stops.ndim == 1 and stops.shape[0] and stops.dtype.kind in "iuf":
            latest.append(float(stops[-1]))
    finite = [each for each in latest if math.isfinite(each)]
    return max(finite, default=math.nan)
