"""NWB files of traces as other people write them, built group by group: quick, and as odd as wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

SEGMENTATION = "processing/ophys/ImageSegmentation/PlaneSegmentation"


@dataclass
class Traces:
    """One series of traces and what its writer says of it."""

    path: str
    data: Any
    rate_hz: float | None = 10.0
    start_s: float = 0.0
    stamps: Any = None
    rois: Sequence[int] | None = None
    segmentation: str | None = SEGMENTATION
    container: str = ""
    """Type of the group that holds it; by default by that group's name."""
    kind: str = "RoiResponseSeries"
    unit: str = "n.a."
    description: str = "no description"
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Further attributes of the data, e.g. conversion."""


def make_traces(n_frames: int, n_rois: int, seed: int = 0) -> np.ndarray:
    """Return traces (frames, ROIs); each ROI has a level of its own, so that axes cannot be mixed up."""
    rng = np.random.default_rng(seed)
    level = 100.0 * (1 + np.arange(n_rois))
    return level * (1 + 0.02 * rng.standard_normal((n_frames, n_rois)))


def write_file(
    path: Path,
    traces: Sequence[Traces] = (),
    *,
    n_rois: int | Mapping[str, int] = 3,
    planes: Mapping[str, str] | None = None,
    imaging_rate_hz: float | None = None,
    indicator: str = "GCaMP6f",
    columns: Mapping[str, Any] | None = None,
    windows: Sequence[tuple[str, float, float]] = (("baseline", 0, 20), ("drug", 30, 50)),
    subject_id: str = "m1",
    version: str = "2.5.0",
) -> Path:
    """Write a file and return its path.

    Parameters
    ----------
    path
        The file.
    traces
        Its series.
    n_rois
        Rows of each plane segmentation that series name, for all or by path.
    planes
        Name of the imaging plane of each segmentation; by default one for each.
    imaging_rate_hz, indicator
        What imaging planes state.
    columns
        Further columns of all plane segmentations.
    windows
        Rows of our table of analysis windows.
    subject_id, version
        What the file states.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as nwb:
        nwb.attrs.update(nwb_version=version, neurodata_type="NWBFile", namespace="core")
        nwb["session_start_time"] = "2024-03-02T10:00:00+01:00"
        nwb["timestamps_reference_time"] = "2024-03-02T10:00:00+01:00"
        nwb["session_description"] = "A test."
        nwb["general/session_id"] = "s1"
        if subject_id:
            nwb["general/subject/subject_id"] = subject_id
            nwb["general/subject/species"] = "Mus musculus"
        segmentations = dict.fromkeys(each.segmentation for each in traces if each.segmentation)
        for number, where in enumerate(segmentations):
            count = n_rois if isinstance(n_rois, int) else n_rois[where]
            plane = (planes or {}).get(where, f"plane{number}")
            _segmentation(nwb, where, count, plane, imaging_rate_hz, indicator, columns or {})
        for each in traces:
            add_traces(nwb, each)
        if windows:
            _windows(nwb, windows)
    return path


def add_traces(nwb: h5py.File, traces: Traces) -> h5py.Group:
    """Write one series into an open file."""
    group = nwb.create_group(traces.path)
    group.attrs.update(neurodata_type=traces.kind, description=traces.description, comments="")
    holder = group.parent
    if traces.container or holder.name.rpartition("/")[2] in ("Fluorescence", "DfOverF"):
        holder.attrs["neurodata_type"] = traces.container or holder.name.rpartition("/")[2]
    elif "neurodata_type" not in holder.attrs and holder.name.count("/") == 2:
        holder.attrs["neurodata_type"] = "ProcessingModule"
    data = group.create_dataset("data", data=traces.data)
    data.attrs.update({"unit": traces.unit, "conversion": 1.0, "offset": 0.0, **traces.attributes})
    if traces.stamps is not None:
        group["timestamps"] = np.asarray(traces.stamps)
        group["timestamps"].attrs.update(unit="seconds", interval=1)
    elif traces.rate_hz is not None:
        group["starting_time"] = float(traces.start_s)
        group["starting_time"].attrs.update(rate=float(traces.rate_hz), unit="seconds")
    if traces.segmentation is not None:
        n_rows = nwb[traces.segmentation]["id"].shape[0]
        rois = np.arange(n_rows) if traces.rois is None else np.asarray(traces.rois)
        group["rois"] = rois
        group["rois"].attrs.update(
            neurodata_type="DynamicTableRegion", table=nwb[traces.segmentation].ref, description="r"
        )
    return group


def _segmentation(
    nwb: h5py.File,
    where: str,
    n_rois: int,
    plane: str,
    rate_hz: float | None,
    indicator: str,
    columns: Mapping[str, Any],
) -> None:
    table = nwb.create_group(where)
    table.attrs.update(neurodata_type="PlaneSegmentation", colnames=list(columns), description="ROIs")
    table.parent.attrs["neurodata_type"] = "ImageSegmentation"
    table["id"] = np.arange(n_rois)
    for name, values in columns.items():
        table[name] = values
        table[name].attrs.update(neurodata_type="VectorData", description=name)
    imaging = nwb.require_group(f"general/optophysiology/{plane}")
    imaging.attrs["neurodata_type"] = "ImagingPlane"
    if "indicator" not in imaging:
        imaging["indicator"] = indicator
        imaging["location"] = "VISp"
        if rate_hz is not None:
            imaging["imaging_rate"] = float(rate_hz)
    table["imaging_plane"] = h5py.SoftLink(imaging.name)


def _windows(nwb: h5py.File, windows: Sequence[tuple[str, float, float]]) -> None:
    table = nwb.create_group("intervals/analysis_epochs")
    table.attrs.update(neurodata_type="TimeIntervals", colnames=["start_time", "stop_time", "window"])
    table["window"] = [name for name, _, _ in windows]
    table["start_time"] = [float(start) for _, start, _ in windows]
    table["stop_time"] = [float(stop) for _, _, stop in windows]
