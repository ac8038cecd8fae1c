"""Series of traces in an open NWB file, found by type wherever they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.reading.imaging import PLANE_LINKS
from nwbswitch.analysis.reading.kinds import Words, own_name
from nwbswitch.analysis.reading.stored_values import (
    MAX_NESTING,
    dataset_at,
    fact,
    group_at,
    member,
    neurodata_type,
    numbers_of,
    pointed,
    text_of,
)
from nwbswitch.schemas.issues import Issue, Place, issue

if TYPE_CHECKING:
    import h5py

SERIES_TYPES = frozenset({"RoiResponseSeries", "MicroscopyResponseSeries"})
REGIONS = ("rois", "table_region")
"""What series call the region of their ROIs: in core NWB and in ndx-microscopy."""
SEGMENTATION_TYPE = "PlaneSegmentation"
TOPS = ("acquisition", "processing", "analysis")
MASKS = ("pixel_mask", "image_mask", "voxel_mask")
MAX_ROIS = 1_000_000

Address = int


@dataclass(frozen=True, slots=True)
class Series:
    """One series of traces, wherever links lead to it from."""

    group: h5py.Group
    data: h5py.Dataset | None
    """None where it has no numbers."""
    path: str
    holders: tuple[tuple[str, str], ...]
    """Name and type of each group that holds it, the one it is stored in first."""
    segmentation: h5py.Group | None
    region: NDArray[np.int64] | None
    """Rows of the plane segmentation as the series states them; None where it does not."""

    @property
    def segmentation_path(self) -> str:
        """Path of the plane segmentation, empty where the series names none."""
        return "" if self.segmentation is None else str(self.segmentation.name)

    def words(self, suffix: str) -> Words:
        """Return what the writer said of it; ``suffix`` only names its plane."""
        attributes = self.group.attrs
        unit = "" if self.data is None else text_of(self.data.attrs.get("unit"))
        prose = f"{text_of(attributes.get('description'))} {text_of(attributes.get('comments'))}"
        return Words(
            names=(own_name(self.path, suffix), *(name for name, _ in self.holders)),
            types=(neurodata_type(self.group), *(kind for _, kind in self.holders)),
            unit=unit,
            prose=prose,
        )


@dataclass(frozen=True, slots=True)
class _Occurrence:
    """One name that leads to a series."""

    group: h5py.Group
    is_linked: bool
    holder: tuple[str, str]


def address(node: Any) -> Address:
    """Return what identifies an object of a file, whatever name led to it."""
    import h5py

    low, high = h5py.h5g.get_objinfo(node.id).objno
    return int(low) | int(high) << 32


def find_series(nwb: h5py.File, *, name: str, found: list[Issue]) -> list[Series]:
    """Return every series of traces of ROIs, in order of their paths; one that is linked is there once.

    A series is one by its type, or by holding ``data`` and a region of ROIs, as types of extensions do.
    """
    places: dict[Address, list[_Occurrence]] = {}
    met: set[Address] = set()
    for top in TOPS:
        start = group_at(nwb, top)
        if start is not None:
            _walk(start, 1, places, met)
    series = []
    for occurrences in places.values():
        ordered = sorted(occurrences, key=lambda each: each.is_linked)
        holders = tuple(dict.fromkeys(each.holder for each in ordered))
        each = series_at(nwb, ordered[0].group, holders, name=name, found=found)
        if each is not None:
            series.append(each)
    return sorted(series, key=lambda each: each.path)


def series_at(
    nwb: h5py.File,
    group: h5py.Group,
    holders: tuple[tuple[str, str], ...] = (),
    *,
    name: str,
    found: list[Issue],
) -> Series | None:
    """Return one group as a series, or None with a finding where its traces are not those of imaged ROIs."""
    path = str(group.name)
    rois = _rois(group)
    table = None if rois is None else pointed(nwb, rois.attrs.get("table"))
    if table is not None and not _is_segmentation(table):
        kind = neurodata_type(table) or "a group without a type"
        problem = f"Its traces belong to {kind} at {table.name}, not to ROIs of an imaging plane."
        found.append(issue("activity-left-out", problem, place=Place(name, item=path)))
        return None
    return Series(
        group=group,
        data=dataset_at(group, "data"),
        path=path,
        holders=holders or (_holder(group.parent),),
        segmentation=table,
        region=_region(rois),
    )


def table_rows(segmentation: h5py.Group | None) -> int | None:
    """Return the number of rows of a plane segmentation, or None where it does not say."""
    ids = dataset_at(segmentation, "id")
    return int(ids.shape[0]) if ids is not None and len(ids.shape) == 1 else None


def _walk(group: h5py.Group, depth: int, places: dict[Address, list[_Occurrence]], met: set[Address]) -> None:
    """Note every series below a group; of soft links only those that lead to a series matter."""
    import h5py

    for name in group:
        is_linked = not isinstance(group.get(name, getlink=True), h5py.HardLink)
        node = group_at(group, name)
        if node is None:
            continue
        key = address(node)
        if _is_series(node):
            places.setdefault(key, []).append(_Occurrence(node, is_linked, _holder(group)))
        elif not is_linked and key not in met and depth < MAX_NESTING and not _is_leaf(node):
            met.add(key)
            _walk(node, depth + 1, places, met)


def _holder(group: h5py.Group) -> tuple[str, str]:
    """Return name and type of a container; a processing module's name says nothing of one series."""
    kind = neurodata_type(group)
    is_container = kind not in ("", "ProcessingModule", "NWBFile")
    return (str(group.name).rpartition("/")[2], kind) if is_container else ("", "")


def _is_series(node: h5py.Group) -> bool:
    if neurodata_type(node) in SERIES_TYPES:
        return True
    rois = _rois(node)
    return rois is not None and "table" in rois.attrs and "data" in node


def _rois(group: h5py.Group) -> h5py.Dataset | None:
    found = (dataset_at(group, name) for name in REGIONS)
    return next((rois for rois in found if rois is not None), None)


def _is_leaf(node: h5py.Group) -> bool:
    held = (dataset_at(node, name) for name in ("data", "timestamps"))
    return "colnames" in node.attrs or any(each is not None for each in held)


def _is_segmentation(table: Any) -> bool:
    if neurodata_type(table) == SEGMENTATION_TYPE:
        return True
    return any(member(table, each) is not None for each in (*PLANE_LINKS, *MASKS))


def _region(rois: h5py.Dataset | None) -> NDArray[np.int64] | None:
    if rois is None or rois.dtype.kind not in "iu" or not 0 < len(rois.shape) <= 2 or rois.size > MAX_ROIS:
        return None
    return np.asarray(rois[()], dtype=np.int64).ravel()


def imaging_plane_of(owner: h5py.Group | None) -> h5py.Group | None:
    """Return the imaging plane that a plane segmentation or a movie names."""
    planes = (group_at(owner, link) for link in PLANE_LINKS)
    return next((plane for plane in planes if plane is not None), None)


def imaging_rate_hz(segmentation: h5py.Group | None) -> float | None:
    """Return the frame rate that the imaging plane states, Hz; None where it states none that can be."""
    said = numbers_of(fact(imaging_plane_of(segmentation), "imaging_rate"))
    return said[0] if len(said) == 1 and np.isfinite(said[0]) and said[0] > 0 else None
