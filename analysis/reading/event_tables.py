"""Tables of calcium events that labs detected: rows that name ROIs of a segmentation and times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nwbswitch.analysis.access.stored_dataset import stored_array
from nwbswitch.analysis.reading.columns import MAX_ROWS, Table, folded
from nwbswitch.analysis.reading.neurons import roi_neurons
from nwbswitch.analysis.reading.observed import Spans, joined, overlap, series_span
from nwbswitch.analysis.reading.outline import PointKind, Points
from nwbswitch.analysis.reading.point_times import look_at_times
from nwbswitch.analysis.reading.stored_values import (
    dataset_at,
    neurodata_type,
    pointed,
    stated,
    tables_in,
    text_of,
    typed_groups,
)
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.overrides import Choice

if TYPE_CHECKING:
    import h5py

SEGMENTATION_TYPES = frozenset({"PlaneSegmentation", "MicroscopyPlaneSegmentation"})
OTHER_TABLES = SEGMENTATION_TYPES | {"Units"}
SECONDS = {"EventsTable": ("timestamp",), "TimeIntervals": ("start_time",)}
"""Columns of times that are in s by their table's type."""
TIME_COLUMNS = ("timestamp", "start_time", "event_time", "event_times", "peak_time", "onset_time", "time")
TOPS = ("events", "processing", "analysis", "intervals")
MAX_EVENTS = 50_000_000
ALLEN_EVENTS = "OphysEventDetection"
_EVENT_WORDS = re.compile(r"event|transient|calcium|spike|peak|burst", re.IGNORECASE)
_OTHER_WORDS = re.compile(r"stim|photo|opto|laser|target|ablat|drug|inject|trial", re.IGNORECASE)


def event_points(
    nwb: h5py.File, *, name: str, found: list[Issue], accepted: Choice | None = None
) -> tuple[Points, ...]:
    """Return the tables of a file whose rows are events of ROIs.

    A table is taken where one column refers to rows of one plane segmentation, one column holds times in s,
    and its name or description says that these are events of the cells, not stimuli given to them.
    Everything else that refers to ROIs and times is a finding.
    """
    points = []
    for group in tables_in(nwb, tops=TOPS):
        columns = _roi_columns(nwb, group)
        if columns and neurodata_type(group) not in OTHER_TABLES:
            made = _EventTable(nwb, group, columns, name, found).points(accepted)
            points += [] if made is None else [made]
    for group in typed_groups(nwb, {ALLEN_EVENTS}):
        problem = "Detected events are stored as a matrix of amplitudes, one per frame, not as times."
        remedy = "They are read as deconvolved activity where no other traces are there."
        place = Place(name, item=str(group.name))
        found.append(issue("activity-left-out", problem, place=place, remedy=remedy))
    return tuple(points)


def _roi_columns(nwb: h5py.File, group: h5py.Group) -> list[tuple[str, h5py.Group]]:
    """Return the columns of a table that refer to rows of a plane segmentation, with that."""
    import h5py

    found = []
    for name in group:
        dataset = dataset_at(group, name)
        table = None if dataset is None else pointed(nwb, dataset.attrs.get("table"))
        if isinstance(table, h5py.Group) and neurodata_type(table) in SEGMENTATION_TYPES:
            found.append((name, table))
    return found


@dataclass(frozen=True, slots=True)
class _EventTable:
    nwb: h5py.File
    group: h5py.Group
    columns: list[tuple[str, h5py.Group]]
    name: str
    found: list[Issue]

    def leave_out(self, problem: str) -> None:
        place = Place(self.name, item=str(self.group.name))
        remedy = "It is left out; traces of its ROIs are measured where they are there."
        self.found.append(issue("unusable-points", problem, place=place, remedy=remedy))

    def points(self, accepted: Choice | None) -> Points | None:
        times_name = self._times_name()
        if times_name is None or not self._are_events():
            return None
        (roi_name, segmentation), *others = self.columns
        if others:
            self.leave_out(f"Several columns refer to ROIs ({', '.join(each for each, _ in self.columns)}).")
            return None
        times, rois = self.group[times_name], self.group[roi_name]
        n_neurons = _length(segmentation)
        problem = self._shape_problem(roi_name, times, rois, n_neurons)
        if problem:
            self.leave_out(problem)
            return None
        seen = look_at_times(times, None)
        if seen.n_missing:
            self.leave_out(f"{seen.n_missing} of its times are no numbers.")
            return None
        spans = _observed(self.nwb, segmentation) or ((seen.first, seen.last),)
        table = Table(self.nwb, self.group, int(times.shape[0]), self.name, self.found)
        if seen.n_negative:
            table.find("suspect-times", f"{seen.n_negative} events precede the session.", column=times_name)
        return Points(
            name=str(self.group.name).strip("/").removeprefix("processing/"),
            kind=PointKind.EVENTS,
            times=stored_array(times),
            ends=None,
            owners=stored_array(rois),
            neurons=roi_neurons(
                self.nwb, segmentation, n_neurons, found=self.found, name=self.name, accepted=accepted
            ),
            observed_start_s=tuple(start for start, _ in spans),
            observed_stop_s=tuple(stop for _, stop in spans),
        )

    def _times_name(self) -> str | None:
        """Return the column of times in s, or None, with a finding where there are times of no clear unit."""
        by_type = SECONDS.get(neurodata_type(self.group), ())
        names = [name for name in self.group if folded(name) in TIME_COLUMNS and dataset_at(self.group, name)]
        sure = [name for name in names if name in by_type or _in_seconds(self.group[name])]
        if len(sure) == 1:
            return str(sure[0])
        if sure or names:
            self.leave_out(f"Which of {', '.join(sure or names)} are its times in s is not clear.")
        return None

    def _are_events(self) -> bool:
        words = f"{self.group.name} {text_of(self.group.attrs.get('description'))}"
        if _EVENT_WORDS.search(words) and not _OTHER_WORDS.search(words):
            return True
        self.leave_out("Its rows name ROIs and times, but not whether these are events of the cells.")
        return False

    def _shape_problem(self, roi_name: str, times: h5py.Dataset, rois: h5py.Dataset, n_neurons: int) -> str:
        if times.ndim != 1 or times.dtype.kind != "f" or not times.shape[0]:
            return f"Its times are {times.dtype} of the shape {times.shape}, expected a list of numbers."
        if times.shape[0] > MAX_EVENTS or n_neurons > MAX_ROWS:
            return f"It has {times.shape[0]} events of {n_neurons} ROIs, more than are read."
        if rois.shape != times.shape or rois.dtype.kind not in "iu":
            return f"It has {times.shape[0]} times, and ROIs of the shape {rois.shape}."
        index = dataset_at(self.group, f"{roi_name}_index")
        if index is not None and not _one_each(index, int(times.shape[0])):
            return "Some of its events belong to several ROIs."
        for start in range(0, int(rois.shape[0]), 1 << 20):
            part = rois[start : start + (1 << 20)]
            if part.size and not 0 <= int(part.min()) <= int(part.max()) < n_neurons:
                return f"It names ROIs beyond the {n_neurons} of its segmentation."
        return ""


def _one_each(index: h5py.Dataset, count: int) -> bool:
    """Return whether a ragged column has exactly one value per row."""
    if index.shape != (count,) or index.dtype.kind not in "iu":
        return False
    return bool((index[()].astype(np.int64) == np.arange(1, count + 1)).all())


def _in_seconds(column: h5py.Dataset) -> bool:
    unit = stated(column.attrs.get("unit")).casefold()
    return neurodata_type(column) == "TimestampVectorData" or unit in ("s", "sec", "second", "seconds")


def _length(table: h5py.Group) -> int:
    ids = dataset_at(table, "id")
    return int(ids.shape[0]) if ids is not None and len(ids.shape) == 1 else 0


def _observed(nwb: h5py.File, segmentation: h5py.Group) -> Spans:
    """Return when the ROIs of a segmentation were recorded, by the traces that refer to it."""
    spans: Spans | None = None
    for series in _series_of(nwb, segmentation):
        span = series_span(series)
        if span is not None:
            spans = joined([span]) if spans is None else overlap(spans, joined([span]))
    return spans or ()


def _series_of(nwb: h5py.File, segmentation: h5py.Group) -> Iterator[h5py.Group]:
    for series in typed_groups(nwb, {"RoiResponseSeries"}):
        region = dataset_at(series, "rois")
        table = None if region is None else pointed(nwb, region.attrs.get("table"))
        if table is not None and table.name == segmentation.name:
            yield series
