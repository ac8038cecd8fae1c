"""Imaging planes: which of a file's series is the activity of which ROIs, on which clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nwbswitch.analysis.reading.censors import Censors
from nwbswitch.analysis.reading.clock_reader import ClockReader
from nwbswitch.analysis.reading.outline import Plane
from nwbswitch.analysis.reading.plane_names import named
from nwbswitch.analysis.reading.segmentation_activity import FileReading, SegmentationActivity, listed
from nwbswitch.analysis.reading.series import Series, address, find_series, imaging_plane_of, series_at
from nwbswitch.analysis.reading.stated_activity import is_about
from nwbswitch.analysis.reading.stored_values import group_at
from nwbswitch.schemas.issues import Issue
from nwbswitch.schemas.overrides import Override, proposal

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True, slots=True)
class FoundPlanes:
    """The planes of a file, and the traces that it holds but that are not measured unasked."""

    planes: tuple[Plane, ...]
    unused: tuple[str, ...]


def read_planes(nwb: h5py.File, *, name: str, override: Override, found: list[Issue]) -> FoundPlanes:
    """Return the planes that are measured.

    Series are found by type and belong together by the plane segmentation that their ROIs are in. Measured
    is raw fluorescence with its neuropil, else raw fluorescence, else dF/F, else demixed traces; denoised
    and deconvolved ones only where the overrides ask for them.

    Parameters
    ----------
    nwb
        An open file that the guard has looked at.
    name
        What messages call it.
    override
        What is stated of it.
    found
        Receives findings; an error says what cannot be measured before it is settled.
    """
    reading = FileReading(nwb, name, override, found, ClockReader(nwb, name), Censors(nwb))
    by_segmentation: dict[str, list[Series]] = {}
    for series in find_series(nwb, name=name, found=found):
        by_segmentation.setdefault(series.segmentation_path, []).append(series)
    _take_stated(reading, by_segmentation)
    measured: list[tuple[Plane, Series]] = []
    for path, members in sorted(by_segmentation.items()):
        measured += SegmentationActivity(reading, path, members).measured()
    _warn_of_shared_images(reading, measured)
    return FoundPlanes(tuple(named(measured)), tuple(reading.unused))


def _take_stated(reading: FileReading, by_segmentation: dict[str, list[Series]]) -> None:
    """Add series that only the overrides name; report planes and series that are not there."""
    known = {series.path for members in by_segmentation.values() for series in members}
    for entry in reading.override.activity:
        if entry.plane and not any(is_about(entry, path) for path in by_segmentation):
            problem = f"The overrides name the plane {entry.plane!r}, which has no traces in the file."
            reading.find("override-unused", problem, entry.plane, listed(by_segmentation))
        if not entry.series or entry.series in known:
            continue
        group = group_at(reading.nwb, entry.series)
        series = group and series_at(reading.nwb, group, name=reading.name, found=reading.found)
        if series is None or series.data is None:
            problem = "The overrides name this series, which the file does not hold."
            reading.find("override-unused", problem, entry.series, listed(known))
            continue
        known.add(entry.series)
        members = by_segmentation.setdefault(series.segmentation_path, [])
        same = [each for each in members if address(each.group) == address(series.group)]
        holders = same[0].holders if same else series.holders
        members[:] = [each for each in members if each not in same]
        members.append(replace(series, path=entry.series, holders=holders))


def _warn_of_shared_images(reading: FileReading, measured: Sequence[tuple[Plane, Series]]) -> None:
    """Report segmentations of one image whose ROIs may be the same cells, found twice."""
    by_image: dict[int, dict[str, float]] = {}
    for plane, series in measured:
        image = imaging_plane_of(series.segmentation)
        if image is not None:
            depths_um = by_image.setdefault(address(image), {})
            depths_um[series.segmentation_path] = float(np.median(plane.neurons.depth_um))
    for depths_um in by_image.values():
        paths = sorted(depths_um)
        # Depths that differ tell planes apart; NaN differs from itself.
        at_depths = {depth_um for depth_um in depths_um.values() if depth_um == depth_um}
        if len(paths) > 1 and len(at_depths) < len(paths):
            problem = f"{', '.join(paths)} state the same imaging plane, and all are measured."
            leave = [{"plane": path, "leave_out": True} for path in paths[1:]]
            remedy = "If they hold the same cells, keep one. " + proposal(reading.name, {"activity": leave})
            reading.find("planes-share-image", problem, paths[0], remedy)
