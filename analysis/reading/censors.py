"""What a file says of spoilt frames: marks of frames, spans of time, and shifts of motion correction."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.stored_dataset import stored_array
from nwbswitch.analysis.reading.kinds import own_name
from nwbswitch.analysis.reading.outline import Censor, FrameMask, Shifts, SpoiltSpans
from nwbswitch.analysis.reading.series import Series, address, imaging_plane_of
from nwbswitch.analysis.reading.stored_values import (
    MAX_NESTING,
    dataset_at,
    group_at,
    neurodata_type,
    numbers_of,
    pointed,
    text_of,
)

if TYPE_CHECKING:
    import h5py

MARKED_FRAMES = ("badframes", "bad_frames", "motion_censored", "censored_frames")
"""Names of series with one number per frame, above 0 where the frame is spoilt."""
_SPOILT_TIMES = re.compile(
    r"(bad|invalid|art[ei]facts?|artefactual|artifactual|corrupt(ed)?|spoilt)"
    r"_?(times|frames|epochs|intervals|periods|segments)?"
)
"""Whole names of tables of intervals that are to be left out; those of trials are not."""
_MICROMETERS = {
    "um": 1.0, "micrometer": 1.0, "micrometers": 1.0, "micron": 1.0, "microns": 1.0, "micrometre": 1.0,
    "micrometres": 1.0, "m": 1e6, "meter": 1e6, "meters": 1e6, "metre": 1e6, "metres": 1e6, "mm": 1e3,
    "millimeter": 1e3, "millimeters": 1e3, "nm": 1e-3,
}  # fmt: skip
_PIXELS = frozenset({"px", "pixel", "pixels", "n/a", "n.a.", "na", "", "unknown", "a.u."})
IMAGE_TYPES = frozenset({"RoiResponseSeries", "TwoPhotonSeries", "OnePhotonSeries"})
TOPS = ("processing", "acquisition", "analysis", "intervals")
MAX_SPANS = 100_000
MAX_REFERENCES = 10_000


class Censors:
    """Everything in one open file that marks frames as spoilt; the file is walked through once."""

    def __init__(self, nwb: h5py.File) -> None:
        self.nwb = nwb
        self.marks: list[h5py.Group] = []
        self.tables: list[h5py.Group] = []
        self.stacks: list[h5py.Group] = []
        for node in _groups(nwb):
            name = _last(node)
            if dataset_at(node, "start_time") is not None and _SPOILT_TIMES.fullmatch(_folded(name)):
                self.tables.append(node)
            elif neurodata_type(node) == "CorrectedImageStack":
                self.stacks.append(node)
            elif dataset_at(node, "data") is not None and name.casefold().startswith(MARKED_FRAMES):
                self.marks.append(node)

    def of_plane(
        self, series: Series, *, n_frames: int, suffix: str, pixel_um: tuple[float, ...] | None
    ) -> tuple[Censor, ...]:
        """Return what marks frames of one plane as spoilt.

        Parameters
        ----------
        series
            The series that is measured.
        n_frames
            Number of its frames.
        suffix
            What names of series of this plane end in.
        pixel_um
            Size of a pixel, where the file states it.
        """
        found: list[Censor] = []
        for node in self.marks:
            data = node["data"]
            is_own = own_name(str(node.name), suffix).casefold() in MARKED_FRAMES
            if is_own and data.shape == (n_frames,) and data.dtype.kind in "biu":
                found.append(FrameMask(stored_array(data)))
        for table in self.tables:
            spans = _spans(self.nwb, table, series)
            if spans is not None:
                found.append(spans)
        for stack in self.stacks:
            shifts = _shifts(stack, series, n_frames, pixel_um)
            if shifts is not None:
                found.append(shifts)
        return tuple(found)


def _groups(nwb: h5py.File) -> Iterator[h5py.Group]:
    """Yield the groups that hold series or tables."""
    import h5py

    def inside(group: h5py.Group, depth: int) -> Iterator[h5py.Group]:
        for name in group:
            if group.get(name, getclass=True, getlink=True) is not h5py.HardLink:
                continue
            node = group_at(group, name)
            if node is None:
                continue
            yield node
            if depth < MAX_NESTING and "colnames" not in node.attrs and dataset_at(node, "data") is None:
                yield from inside(node, depth + 1)

    for top in TOPS:
        group = group_at(nwb, top)
        if group is not None:
            yield from inside(group, 1)


def _last(node: h5py.Group) -> str:
    return str(node.name).rpartition("/")[2]


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")


def _spans(nwb: h5py.File, table: h5py.Group, series: Series) -> SpoiltSpans | None:
    """Return the spans of a table that are about all series, about this one, or about imaging."""
    starts, stops = dataset_at(table, "start_time"), dataset_at(table, "stop_time")
    if starts is None or stops is None or starts.shape != stops.shape or starts.ndim != 1:
        return None
    if (
        not 0 < starts.shape[0] <= MAX_SPANS
        or starts.dtype.kind not in "iuf"
        or stops.dtype.kind not in "iuf"
    ):
        return None
    start_s, stop_s = (np.asarray(each[()], dtype=np.float64) for each in (starts, stops))
    meant = _meant(nwb, table, series, int(starts.shape[0])) & np.isfinite(start_s) & (stop_s > start_s)
    if not meant.any():
        return None
    return SpoiltSpans(tuple(start_s[meant].tolist()), tuple(stop_s[meant].tolist()), str(table.name))


def _meant(nwb: h5py.File, table: h5py.Group, series: Series, n_rows: int) -> NDArray[np.bool_]:
    """Return which rows are about a series: those that name no series, this one, or one of images."""
    references, ends = dataset_at(table, "timeseries"), dataset_at(table, "timeseries_index")
    meant = np.ones(n_rows, dtype=bool)
    if (
        references is None
        or ends is None
        or ends.shape != (n_rows,)
        or "timeseries" not in (references.dtype.names or ())
    ):
        return meant
    if references.ndim != 1 or references.shape[0] > MAX_REFERENCES:
        return meant
    own = address(series.group)
    nodes = [pointed(nwb, reference) for reference in references["timeseries"]]
    flags = [
        node is not None and (address(node) == own or neurodata_type(node) in IMAGE_TYPES) for node in nodes
    ]
    start = 0
    for row, end in enumerate(ends[()].tolist()):
        meant[row] = end <= start or any(flags[start:end])
        start = max(start, int(end))
    return meant


def _shifts(
    stack: h5py.Group, series: Series, n_frames: int, pixel_um: tuple[float, ...] | None
) -> Shifts | None:
    """Return the shifts of a corrected movie when it is of this plane, as far as the file says."""
    translation = group_at(stack, "xy_translation")
    data = dataset_at(translation, "data")
    if data is None or data.ndim != 2 or data.shape[0] != n_frames or data.shape[1] not in (2, 3):
        return None
    if data.dtype.kind not in "iuf":
        return None
    image = imaging_plane_of(series.segmentation)
    theirs = imaging_plane_of(group_at(stack, "original")) or imaging_plane_of(group_at(stack, "corrected"))
    if image is not None and theirs is not None and address(image) != address(theirs):
        return None
    return Shifts(stored_array(data), _um_per_unit(data, pixel_um))


def _um_per_unit(data: h5py.Dataset, pixel_um: tuple[float, ...] | None) -> float | None:
    """Return the micrometres that one stored number of a shift stands for, by the pixel's longer side."""
    conversion = numbers_of(data.attrs.get("conversion"))
    scale = conversion[0] if len(conversion) == 1 and math.isfinite(conversion[0]) and conversion[0] else 1.0
    unit = text_of(data.attrs.get("unit")).casefold()
    if unit in _MICROMETERS:
        return scale * _MICROMETERS[unit]
    return scale * max(pixel_um[:2]) if unit in _PIXELS and pixel_um else None
