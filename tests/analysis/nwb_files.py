"""Small NWB files with known content, written by pynwb, for tests that read recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

WINDOWS = (
    ("pseudo_baseline", 0.0, 60.0),
    ("pseudo_drug", 60.0, 120.0),
    ("baseline", 60.0, 120.0),
    ("drug", 180.0, 240.0),
)
KETAMINE: dict[str, Any] = {
    "timestamp": 150.0,
    "substance": "ketamine",
    "role": "test",
    "control_kind": "none",
    "dose": 10.0,
    "dose_unit": "mg/kg",
}
SALINE: dict[str, Any] = {
    "timestamp": 150.0,
    "substance": "saline",
    "role": "vehicle",
    "control_kind": "saline",
    "dose": float("nan"),
    "dose_unit": "",
}


def write_nwb(
    path: Path,
    series: Mapping[str, np.ndarray],
    *,
    container: str = "Fluorescence",
    columns: Mapping[str, Sequence[Any]] | None = None,
    rate_hz: float = 5.0,
    start_s: float = 0.0,
    timestamps: np.ndarray | None = None,
    conversion: float = 1.0,
    offset: float = 0.0,
    windows: Sequence[tuple[str, float, float]] | None = WINDOWS,
    drugs: Sequence[Mapping[str, Any]] = (KETAMINE,),
    keywords: Sequence[str] = ("dataset:test-study",),
    subject_id: str | None = "m1",
    session_id: str = "s1",
    start_time: datetime = datetime(2026, 1, 1, tzinfo=UTC),
    description: str = "A test.",
    censored: np.ndarray | None = None,
) -> Path:
    """Write one plane with the named series, each (frames, ROIs), and return the path."""
    from hdmf.common import VectorData
    from pynwb import NWBHDF5IO, NWBFile, TimeSeries
    from pynwb.event import EventsTable, TimestampVectorData
    from pynwb.file import Subject
    from pynwb.ophys import DfOverF, Fluorescence, ImageSegmentation, OpticalChannel, RoiResponseSeries

    nwb = NWBFile(
        identifier="x",
        session_description=description,
        session_start_time=start_time,
        session_id=session_id,
        keywords=list(keywords),
        subject=subject_id and Subject(subject_id=subject_id, species="Mus musculus", sex="U", age="P90D"),
    )
    plane = nwb.create_imaging_plane(
        device=nwb.create_device("scope"),
        optical_channel=OpticalChannel(name="c", description="c", emission_lambda=510.0),
        name="plane",
        description="p",
        excitation_lambda=920.0,
        indicator="GCaMP6s",
        location="RSPd",
    )
    module = nwb.create_processing_module("ophys", "traces")
    if series:
        segmentation = ImageSegmentation()
        module.add(segmentation)
        table = segmentation.create_plane_segmentation(name="Cells", description="d", imaging_plane=plane)
        n_rois = next(iter(series.values())).shape[1]
        for _ in range(n_rois):
            table.add_roi(pixel_mask=[(0, 0, 1.0)])
        for name, values in (columns or {}).items():
            table.add_column(name, "c", data=list(values))
        group = {"Fluorescence": Fluorescence, "DfOverF": DfOverF}[container]()
        module.add(group)
        clock = (
            {"rate": rate_hz, "starting_time": start_s} if timestamps is None else {"timestamps": timestamps}
        )
        for name, data in series.items():
            region = table.create_roi_table_region(region=list(range(n_rois)), description="all")
            group.add_roi_response_series(
                RoiResponseSeries(
                    name=name,
                    data=data,
                    rois=region,
                    unit="a.u.",
                    conversion=conversion,
                    offset=offset,
                    **clock,
                )
            )
    if censored is not None:
        module.add(TimeSeries(name="bad_frames", data=censored, unit="n/a", rate=rate_hz))
    if windows is not None:
        from pynwb.epoch import TimeIntervals

        epochs = TimeIntervals(name="analysis_epochs", description="windows")
        epochs.add_column("window", "window")
        for window, begin_s, stop_s in windows:
            epochs.add_interval(start_time=begin_s, stop_time=stop_s, window=window)
        nwb.add_time_intervals(epochs)
    if drugs:
        stamps = TimestampVectorData(
            name="timestamp", description="t", data=[float(row["timestamp"]) for row in drugs]
        )
        names = [name for name in drugs[0] if name != "timestamp"]
        nwb.add_events_table(
            EventsTable(
                name="drug_administrations",
                description="drugs",
                columns=[
                    stamps,
                    *(
                        VectorData(name=name, description=name, data=[row[name] for row in drugs])
                        for name in names
                    ),
                ],
            )
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    return path


def make_traces(
    n_rois: int = 4, *, n_frames: int = 1200, seed: int = 0, events_at: Sequence[int] = (330, 430, 950)
) -> np.ndarray:
    """Return fluorescence (frames, ROIs): rest 100, noise 2 %, large transients of ROI 0 at given frames."""
    rng = np.random.default_rng(seed)
    traces = 100 * (1 + 0.02 * rng.standard_normal((n_frames, n_rois)))
    decay = np.exp(-np.arange(60) / 1.5)
    for frame in events_at:
        traces[frame : frame + 60, 0] += 100 * decay[: n_frames - frame]
    return traces
