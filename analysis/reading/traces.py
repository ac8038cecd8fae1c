"""Matrices of traces: which axis is time, which ROIs they are of, and in which unit they count."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.stored_dataset import stored_array
from nwbswitch.analysis.reading.kinds import PERCENT
from nwbswitch.analysis.reading.outline import ActivityKind, Trace
from nwbswitch.analysis.reading.series import MAX_ROIS, Series, table_rows
from nwbswitch.analysis.reading.stored_values import dataset_at, text_of
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.overrides import Orientation, proposal

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True, slots=True)
class Layout:
    """How the matrix of a series is to be read."""

    time_first: bool
    n_frames: int
    rows: NDArray[np.int64]
    """Row of the plane segmentation of each trace."""
    conversion: float
    offset: float

    @property
    def n_rois(self) -> int:
        """Number of traces."""
        return int(self.rows.size)


def layout_of(
    series: Series, *, orientation: Orientation | None, name: str, found: list[Issue]
) -> Layout | None:
    """Return how a series is read; None without numbers, or with an error among the findings.

    The number of ROIs tells which axis is time, then the number of time stamps; a matrix that fits both
    ways is in NWB's order, frames first.
    """
    data = series.data
    if data is None or 0 in data.shape:
        return None
    place = Place(name, item=series.path)
    shape = tuple(int(length) for length in data.shape)
    if len(shape) not in (1, 2):
        problem = f"It has {len(shape)} dimensions; traces have two."
        found.append(issue("length-differs", problem, place=place))
        return None
    if data.dtype.kind not in "iuf":
        found.append(issue("wrong-value", f"It holds {data.dtype}, not numbers.", place=place))
        return None
    scale = _scale(data, place, found)
    matrix = shape if len(shape) == 2 else (shape[0], 1)
    rows = _rows(series, matrix, place, found)
    if rows is None or scale is None:
        return None
    time_first = _time_first(series, matrix, rows, orientation, name, found)
    if time_first is None:
        return None
    n_frames, n_rois = matrix if time_first else matrix[::-1]
    if n_rois > MAX_ROIS:
        problem = f"It is of {n_rois} ROIs, more than the {MAX_ROIS} that are read."
        found.append(issue("wrong-value", problem, place=place))
        return None
    rows = np.arange(n_rois, dtype=np.int64) if rows.size == 0 else rows
    return Layout(time_first, n_frames, rows, *scale)


def trace_of(series: Series, layout: Layout, kind: ActivityKind) -> Trace:
    """Return the matrix of a series, with the places of its chunks; percents become shares of one."""
    assert series.data is not None
    unit = text_of(series.data.attrs.get("unit"))
    share = 0.01 if kind is ActivityKind.DFF and unit.casefold() in PERCENT else 1.0
    return Trace(
        array=stored_array(series.data),
        kind=kind,
        time_first=layout.time_first,
        conversion=layout.conversion * share,
        offset=layout.offset * share,
        unit=unit,
    )


def _scale(data: h5py.Dataset, place: Place, found: list[Issue]) -> tuple[float, float] | None:
    """Return conversion and offset."""
    numbers = []
    for name, default in (("conversion", 1.0), ("offset", 0.0)):
        value = np.asarray(data.attrs.get(name, default)).ravel()
        is_number = value.dtype.kind in "iuf" and value.size == 1
        number = float(value[0]) if is_number else math.nan
        if not math.isfinite(number) or (name == "conversion" and number == 0):
            shown = str(data.attrs.get(name))[:60]
            problem = f"Its {name} is {shown}, expected a number{' other than 0' if number == 0 else ''}."
            found.append(issue("wrong-value", problem, place=place, remedy="The file has to be mended."))
            return None
        numbers.append(number)
    return numbers[0], numbers[1]


def _rows(
    series: Series, matrix: tuple[int, int], place: Place, found: list[Issue]
) -> NDArray[np.int64] | None:
    """Return the rows of a series' ROIs, none where it does not state them, or None where they cannot be."""
    region, n_rows = series.region, table_rows(series.segmentation)
    most = max(n_rows or 0, min(matrix), 0 if region is None else int(region.max(initial=0)) + 1)
    if most > MAX_ROIS:
        problem = f"It is of {most} ROIs, more than the {MAX_ROIS} that are read."
        found.append(issue("wrong-value", problem, place=place))
        return None
    if region is None:
        return np.empty(0, dtype=np.int64)
    if region.size in matrix:
        if np.unique(region).size != region.size or region.min() < 0:
            problem = "Its region of ROIs names a row twice, or one before the first."
            found.append(issue("wrong-value", problem, place=place))
            return None
        if n_rows is None or region.max() < n_rows:
            return region
        if np.array_equal(region, 1 + np.arange(n_rows)):
            problem = f"Its region of ROIs counts the {n_rows} rows of the table from 1, not from 0."
            remedy = "Read as all of them; mend the file."
            found.append(issue("roi-region", problem, place=place, remedy=remedy))
            return region - 1
        problem = f"Its region names row {region.max()} of a table with {n_rows} rows."
        found.append(issue("wrong-value", problem, place=place))
        return None
    shown = f"shape {matrix} for {region.size} ROIs"
    if n_rows is not None and matrix.count(n_rows) == 1 and _means_all(region, n_rows):
        problem = f"It has {shown}, but its region goes from the first to the last of {n_rows} ROIs."
        remedy = "Read as all of them; mend the file."
        found.append(issue("roi-region", problem, place=place, remedy=remedy))
        return np.arange(n_rows, dtype=np.int64)
    found.append(issue("length-differs", f"It has {shown}.", place=place))
    return None


def _means_all(region: NDArray[np.int64], n_rows: int) -> bool:
    """Whether a region gives first and last row only, or counts one row too many or too few, from 0 or 1."""
    ends = region.size == 2 and region[0] in (0, 1) and region[1] == n_rows - 1 + region[0]
    counts = region.size > 0 and np.array_equal(region, region[0] + np.arange(region.size))
    return bool(ends or (counts and region[0] in (0, 1) and abs(region.size - n_rows) == 1))


def _time_first(
    series: Series,
    matrix: tuple[int, int],
    rows: NDArray[np.int64],
    orientation: Orientation | None,
    name: str,
    found: list[Issue],
) -> bool | None:
    """Return whether frames come first."""
    place = Place(name, item=series.path)
    assert series.data is not None
    if len(series.data.shape) == 1:
        return True
    if orientation is not None:
        time_first = orientation is Orientation.FRAMES_FIRST
        if rows.size and matrix[1 if time_first else 0] != rows.size:
            problem = f"It has shape {matrix} for {rows.size} ROIs, which is not {orientation}."
            found.append(issue("length-differs", problem, place=place))
            return None
        return time_first
    by_rois = [not rows.size or matrix[1] == rows.size, not rows.size or matrix[0] == rows.size]
    n_stamps = _n_stamps(series)
    by_stamps = [
        each and (n_stamps is None or n_stamps == n) for each, n in zip(by_rois, matrix, strict=True)
    ]
    if by_rois == [True, True] and sum(by_stamps) == 1:
        by_rois = by_stamps
    if by_rois == [False, True]:
        problem = f"The traces of shape {matrix} are stored ROIs first; NWB wants frames first."
        found.append(issue("traces-transposed", problem, place=place, remedy="Read as meant; mend the file."))
        return False
    if by_rois == [True, True] and (rows.size or matrix[0] == matrix[1]):
        problem = f"Its shape {matrix} does not tell which axis is time; NWB's order is taken, frames first."
        found.append(issue("square-traces", problem, place=place))
    elif by_rois == [True, True] and matrix[1] > matrix[0]:
        problem = f"Nothing says whether its shape {matrix} is frames by ROIs or ROIs by frames."
        stated = [{"series": series.path, "orientation": Orientation.ROIS_FIRST.value}]
        remedy = proposal(name, {"activity": stated})
        found.append(issue("ambiguous-activity", problem, place=place, remedy=remedy))
        return None
    return True


def _n_stamps(series: Series) -> int | None:
    stamps = dataset_at(series.group, "timestamps")
    return None if stamps is None else int(stamps.size)
