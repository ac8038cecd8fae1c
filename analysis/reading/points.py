"""Spikes of units and calcium events that labs detected: times of many neurons, found by type."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.stored_dataset import stored_array
from nwbswitch.analysis.reading.acceptance import UNIT_FLAGS, accepted_rows
from nwbswitch.analysis.reading.cell_types import cell_types, propose_cell_type, report_markers
from nwbswitch.analysis.reading.columns import MAX_ROWS, Table
from nwbswitch.analysis.reading.depths import depths_of
from nwbswitch.analysis.reading.event_tables import event_points
from nwbswitch.analysis.reading.neurons import report_unstated, tracking_ids
from nwbswitch.analysis.reading.observed import MAX_INTERVALS, observed_rows, recorded_span, session_end_s
from nwbswitch.analysis.reading.outline import NeuronTable, PointKind, Points
from nwbswitch.analysis.reading.point_times import TimesSeen, look_at_times
from nwbswitch.analysis.reading.ragged import ragged_ends
from nwbswitch.analysis.reading.stored_values import dataset_at, group_at, numbers_of, typed_groups
from nwbswitch.analysis.reading.subjects import stated_species
from nwbswitch.analysis.reading.unit_places import unit_places
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.overrides import FILL_IN, Choice, proposal
from nwbswitch.schemas.roi_labels import UNKNOWN

if TYPE_CHECKING:
    import h5py

UNITS_TYPE = "Units"
MAX_TIMES = 1 << 36
LONGEST_S = 30 * 86_400.0
"""Times beyond this are no seconds of one recording session."""
UNSTATED_S = 12 * 3600.0
"""Where nothing says when the session ended, times beyond this are rather in ms."""
TOO_LATE = 20.0
"""Times this many times later than the end of the session are in another unit."""


def find_points(
    nwb: h5py.File,
    *,
    name: str,
    found: list[Issue],
    accepted: Choice | None = None,
    unit_s: float | None = None,
    accepted_rois: Choice | None = None,
) -> tuple[Points, ...]:
    """Return the units of a file and the event tables of its ROIs; tables that cannot be used are findings.

    No times are read but a look at some: of tables up to two million at all, in flat memory.

    Parameters
    ----------
    nwb
        The open file.
    name
        What messages call the file.
    found
        Receives findings.
    accepted
        Which units count, where a file of overrides says so.
    unit_s
        Seconds in one unit of the spike times, where a file of overrides says so.
    accepted_rois
        Which ROIs count in tables of their events, where a file of overrides says so.
    """
    tables = [] if group_at(nwb, "units") is None else [nwb["units"]]
    tables += typed_groups(nwb, {UNITS_TYPE})
    points: list[Points] = []
    for group in tables:
        points += _Units(nwb, group, name, found).points(accepted, unit_s)
    return (*points, *event_points(nwb, name=name, found=found, accepted=accepted_rois))


def path_name(path: str) -> str:
    """Return a short name of its own for a table: its path without the module of all modules."""
    return path.strip("/").removeprefix("processing/")


class _Units:
    """One table of units."""

    def __init__(self, nwb: h5py.File, group: h5py.Group, name: str, found: list[Issue]) -> None:
        self.nwb = nwb
        self.path = str(group.name)
        self.group = group
        self.name = name
        self.found = found

    def refuse(self, problem: str, remedy: str = "") -> None:
        place = Place(self.name, item=self.path)
        self.found.append(issue("unusable-points", problem, place=place, remedy=remedy))

    def points(self, accepted: Choice | None, unit_s: float | None) -> list[Points]:
        times = dataset_at(self.group, "spike_times")
        n_rows = self._n_rows(times)
        if n_rows is None or times is None:
            return []
        table = Table(self.nwb, self.group, n_rows, self.name, self.found)
        ends = self._ends(table, times)
        if ends is None or not self._are_times(table, times):
            return []
        if not ends.size or not ends[-1]:
            self.refuse("None of the units has a spike.")
            return []
        seen = look_at_times(times, ends)
        conversion_s = unit_s or self._unit_s(table, times, seen)
        if conversion_s is None:
            return []
        self._report(table, seen)
        neurons = self._neurons(table, accepted)
        fallback = recorded_span(self.nwb)
        if not fallback and not math.isnan(seen.first):
            fallback = ((seen.first * conversion_s, seen.last * conversion_s),)
        if dataset_at(self.group, "obs_intervals") is None:
            self._report_unstated_span(table, fallback)
        groups = observed_rows(table, fallback=fallback)
        array = stored_array(times)
        own_name = path_name(self.path)
        return [
            Points(
                name=own_name if len(groups) == 1 else f"{own_name}:{number}",
                kind=PointKind.SPIKES,
                times=array,
                ends=ends,
                owners=None,
                neurons=restricted(neurons, group.rows),
                observed_start_s=tuple(start for start, _ in group.spans),
                observed_stop_s=tuple(stop for _, stop in group.spans),
                conversion_s=conversion_s,
                in_order=not (seen.n_backwards or seen.n_missing),
            )
            for number, group in enumerate(groups, 1)
        ]

    def _n_rows(self, times: h5py.Dataset | None) -> int | None:
        """Return the number of units, or None with a finding for tables that have none or too many."""
        ids, index = dataset_at(self.group, "id"), dataset_at(self.group, "spike_times_index")
        counted = [int(each.shape[0]) for each in (ids, index) if each is not None and len(each.shape) == 1]
        if times is None:
            if any(counted):
                self.refuse(f"The table of {counted[0]} units holds no spike times.")
            return None
        if len(set(counted)) != 1:
            self.refuse(f"It names {' and '.join(map(str, counted)) or 'no'} units: its rows are unclear.")
            return None
        if counted[0] > MAX_ROWS:
            self.refuse(f"The table names {counted[0]} units; up to {MAX_ROWS} are read.")
            return None
        return counted[0]

    def _ends(self, table: Table, times: h5py.Dataset) -> NDArray[np.int64] | None:
        if dataset_at(self.group, "spike_times_index") is not None:
            ends = ragged_ends(table, "spike_times")
            if ends is not None and ends.size and 0 < ends[-1] < times.shape[0]:
                problem = f"{times.shape[0] - int(ends[-1])} spike times at the end belong to no unit."
                table.find("suspect-times", problem, column="spike_times")
            return ends
        if table.n_rows == 1 and times.ndim == 1:
            return np.array([times.shape[0]], dtype=np.int64)
        self.refuse(f"The spike times of {table.n_rows} units have no index that says which are whose.")
        return None

    def _are_times(self, table: Table, times: h5py.Dataset) -> bool:
        if times.ndim != 1 or times.dtype.kind not in "iuf" or times.shape[0] > MAX_TIMES:
            what = f"{times.dtype} of the shape {times.shape}"
            self.refuse(f"The spike times are {what}, expected a list of numbers.")
            return False
        return True

    def _unit_s(self, table: Table, times: h5py.Dataset, seen: TimesSeen) -> float | None:
        """Return 1 where times are in s, or None with a finding where they are hardly so."""
        latest_s = self._latest_s()
        most_s = UNSTATED_S if math.isnan(latest_s) else TOO_LATE * max(latest_s, 60.0)
        reason = ""
        if times.dtype.kind in "iu":
            reason = f"are whole numbers ({times.dtype})"
        elif seen.all_whole:
            reason = "are all whole numbers"
        elif seen.last > min(LONGEST_S, most_s):
            ends = "nothing says when the session ends" if math.isnan(latest_s) else ""
            reason = f"go on to {seen.last:g}, while {ends or f'the session ends at {latest_s:g} s'}"
        if not reason:
            return 1.0
        rate_hz = self._sampling_rate_hz(table, times)
        problem = f"The spike times {reason}: they hardly count seconds, and are not used."
        hint = f" The sampling rate may be {rate_hz:g} Hz." if rate_hz else ""
        stated = {"points_unit_s": 1 / rate_hz if rate_hz else FILL_IN}
        remedy = proposal(self.name, stated)
        table.find("unclear-value", problem + hint, column="spike_times", remedy=remedy)
        return None

    def _latest_s(self) -> float:
        """Return when the session ended, by the units' own intervals too where those end earlier."""
        stored = dataset_at(self.group, "obs_intervals")
        ends = [session_end_s(self.nwb)]
        is_pairs = stored is not None and stored.ndim == 2 and stored.shape[1] == 2
        if (
            stored is not None
            and is_pairs
            and stored.dtype.kind in "iuf"
            and stored.shape[0] <= MAX_INTERVALS
        ):
            stops = stored[:, 1].astype(np.float64)
            ends.append(float(stops[np.isfinite(stops)].max(initial=-math.inf)))
        return min((each for each in ends if math.isfinite(each)), default=math.nan)

    def _sampling_rate_hz(self, table: Table, times: h5py.Dataset) -> float | None:
        """Return a sampling rate that the file states, as a hint."""
        resolution = numbers_of(times.attrs.get("resolution"))
        if len(resolution) == 1 and 0 < resolution[0] < 0.01:
            return 1 / resolution[0]
        if dataset_at(self.group, "sampling_rate") is None:
            return None
        column = table.column("sampling_rate")
        if column is None or column.values.dtype.kind not in "iuf" or len(set(column.values.tolist())) != 1:
            return None
        rate_hz = float(column.values[0])
        return rate_hz if 100 <= rate_hz < 1e6 else None

    def _report(self, table: Table, seen: TimesSeen) -> None:
        among = "" if seen.is_complete else f" among {seen.n_seen} that were looked at"
        for count, what in (
            (seen.n_backwards, "spike times come before the one that precedes them; they are sorted"),
            (seen.n_missing, "spike times are no numbers; they are left out"),
            (seen.n_negative, "spike times lie before the start of the session; they are used as they are"),
        ):
            if count:
                table.find("suspect-times", f"{count} {what}{among}.", column="spike_times")

    def _report_unstated_span(self, table: Table, spans: tuple[tuple[float, float], ...]) -> None:
        if not spans:
            return
        problem = (
            f"When units were observed is not stated; taken as {spans[0][0]:.6g} to {spans[-1][1]:.6g} s, "
        )
        problem += "the extent of the electrical series or of the spikes."
        table.find("not-stated", problem, column="obs_intervals")

    def _neurons(self, table: Table, accepted: Choice | None) -> NeuronTable:
        flags = accepted_rows(table, UNIT_FLAGS, choice=accepted, key="points")
        types = cell_types(table)
        if set(types) == {UNKNOWN}:
            report_markers(table)
            propose_cell_type(self.nwb, (), found=self.found, name=self.name, item=self.path)
        places = unit_places(table, species=stated_species(self.nwb))
        neurons = NeuronTable(
            accepted=tuple(flags.tolist()),
            cell_type=types,
            roi_basis=(UNKNOWN,) * table.n_rows,
            tracking_id=tracking_ids(table),
            region=tuple(place.region for place in places),
            layer=tuple(place.layer for place in places),
            depth_um=tuple(depths_of(table).tolist()),
        )
        report_unstated(table, neurons)
        return neurons


def restricted(neurons: NeuronTable, rows: frozenset[int]) -> NeuronTable:
    """Return neurons of which only some rows stay accepted."""
    if len(rows) == len(neurons.accepted):
        return neurons
    return replace(neurons, accepted=tuple(flag and row in rows for row, flag in enumerate(neurons.accepted)))
