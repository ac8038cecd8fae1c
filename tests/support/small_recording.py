"""A small recording with a plane, units, events and windows, to be spoilt value by value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from bare_nwb import add_column, add_plane, add_segmentation, add_table, add_units, bare_file, typed

TRACES = "processing/ophys/Fluorescence/traces"
WINDOWS = "intervals/analysis_epochs"
CELLS = "processing/ophys/ImageSegmentation/Cells"
RATE_HZ = 10.0
N_FRAMES = 1200
MEASURED_BLOCK_S = 20.0
"""Two blocks of each window."""


def small_recording(path: Path, *, seed: int = 0, subject_id: str = "m1") -> Path:
    """Write 120 s of three ROIs, three units and two events, with a baseline and a drug window of 40 s."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    traces = 100 + 2 * rng.standard_normal((N_FRAMES, 3), dtype=np.float32)
    for start in (220, 700, 900):
        traces[start : start + 40] += 100 * np.exp(-np.arange(40) / 12)[:, None].astype("f4")
    with bare_file(path, species="Mus musculus", subject_id=subject_id) as nwb:
        plane = add_plane(nwb, location="VISp", indicator="GCaMP6s", imaging_rate=RATE_HZ)
        columns = {"accepted": [1, 0, 1], "cell_type": ["PV", "SST", ""]}
        cells = add_segmentation(nwb, columns, n_rows=3, plane=plane)
        series = typed(nwb, TRACES, "RoiResponseSeries")
        series.create_dataset("data", data=traces, chunks=(100, 3), compression="gzip")
        series["starting_time"] = 0.0
        series["starting_time"].attrs["rate"] = RATE_HZ
        series["rois"] = [0, 1, 2]
        series["rois"].attrs.update({"table": cells.ref, "neurodata_type": "DynamicTableRegion"})
        spikes = [np.sort(rng.uniform(0, 120, n)) for n in (40, 60, 80)]
        units = add_units(nwb, spikes, columns={"quality": ["good", "mua", "good"]})
        add_column(units, "obs_intervals", np.array([[0.0, 120.0]] * 3))
        units["obs_intervals_index"] = [1, 2, 3]
        table = add_table(
            nwb, "events/calcium_events", "EventsTable", {"timestamp": [21.5, 72.5], "roi": [0, 2]}
        )
        table["roi"].attrs["table"] = cells.ref
        windows = {"start_time": [10.0, 60.0], "stop_time": [50.0, 100.0], "window": ["baseline", "drug"]}
        add_table(nwb, WINDOWS, "TimeIntervals", windows)
    return path


def replaced(file: h5py.File, path: str, data: Any = None, **options: Any) -> h5py.Dataset:
    """Put another dataset in the place of one, with its attributes."""
    attributes = dict(file[path].attrs) if path in file else {}
    if path in file:
        del file[path]
    dataset = file.create_dataset(path, data=data, **options)
    for name, value in attributes.items():
        dataset.attrs[name] = value
    return dataset


def stamped(file: h5py.File, stamps: Any, *, unit: str = "") -> None:
    """Give the traces time stamps in the place of a rate."""
    del file[f"{TRACES}/starting_time"]
    dataset = file.create_dataset(f"{TRACES}/timestamps", data=stamps)
    if unit:
        dataset.attrs["unit"] = unit
