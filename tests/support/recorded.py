"""A recording of two planes, units and drugs in an NWB file that pynwb wrote, with its outline and content.

Nothing in it is symmetric: planes differ in clock, unit and neurons, and the traces of the first are not in
the order of its plane segmentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.arrays import Part
from nwbswitch.analysis.access.stored_array import StoredArray
from nwbswitch.analysis.reading.outline import (
    ActivityKind,
    Clock,
    NeuronTable,
    Outline,
    Plane,
    PointKind,
    Points,
    SubjectFacts,
    Trace,
    WindowSpan,
)
from nwbswitch.analysis.sources import Source
from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.drug_reading.evidence import Confidence, Evidence
from nwbswitch.schemas.epochs import Window

RATE_HZ = 5.0
START_S = 2.5
N_FRAMES = {"Upper": 400, "Lower": 300}
ROWS = {"Upper": [3, 0, 4, 1], "Lower": [0, 1, 2]}
SCALE = {"Upper": (0.5, 100.0), "Lower": (1.0, 0.0)}
"""Conversion and offset."""
SPIKES_S = ([3.0, 7.5, 7.5, 40.0], [], [1.0, 79.0])
OBSERVED_S = ((0.0, 30.0), (35.0, 80.0))
KETAMINE = Administration(
    timestamp_s=40.0,
    duration_s=0.0,
    substance="ketamine",
    stereochemistry="racemic",
    salt="hydrochloride",
    dose_basis="salt",
    dose=10.0,
    dose_unit="mg/kg",
    route="i.p.",
    body_weight_g=25.0,
    missing={"lot": "not recorded"},
)
SALINE = Administration(
    timestamp_s=-600.0,
    duration_s=30.0,
    substance="saline",
    control_kind="saline",
    route="s.c.",
    missing={"dose": "not applicable"},
)
SOURCE = Source("dandi:000001@0.1/a.nwb", dandiset="000001", version="0.1", asset_id="a-b", digest="sha256:0")
WINDOWS = (
    WindowSpan(Window.BASELINE, 5.0, 35.0),
    WindowSpan(Window.PSEUDO_BASELINE, 5.0, 20.0),
    WindowSpan(Window.PSEUDO_DRUG, 20.0, 35.0),
    WindowSpan(Window.DRUG, 45.0, 75.0),
)


def neurons(n: int) -> NeuronTable:
    """Return facts of ``n`` neurons that differ from one to the next."""
    return NeuronTable(
        accepted=tuple(row % 3 != 1 for row in range(n)),
        cell_type=tuple(("excitatory", "PV", "unknown")[row % 3] for row in range(n)),
        roi_basis=("activity",) * n,
        tracking_id=tuple(f"m1-{row}" if row else "" for row in range(n)),
        region=tuple(("RSPd", "VISp")[row % 2] for row in range(n)),
        layer=tuple("2/3" if row < 2 else "" for row in range(n)),
        depth_um=tuple(float("nan") if row == 2 else 100.0 + row for row in range(n)),
    )


def stamps_s() -> NDArray[np.float64]:
    """Return the times of the frames of the lower plane: jittered, with a gap of 9 s."""
    rng = np.random.default_rng(5)
    times_s = np.cumsum(0.2 + rng.uniform(-0.01, 0.01, N_FRAMES["Lower"]))
    times_s[150:] += 9
    return times_s


def stored() -> dict[str, dict[str, NDArray[Any]]]:
    """Return the numbers in the file of each matrix of each plane, shape (frames, traces)."""
    rng = np.random.default_rng(4)
    shape = {name: (N_FRAMES[name], len(ROWS[name])) for name in N_FRAMES}
    return {
        "Upper": {
            "traces": rng.integers(-50, 50, shape["Upper"]).astype(np.int16),
            "neuropil": rng.integers(-9, 9, shape["Upper"]).astype(np.int16),
        },
        "Lower": {
            "traces": rng.normal(1, 1, shape["Lower"]).astype(np.float32),
            "deconvolved": rng.exponential(1, shape["Lower"]).astype(np.float32),
        },
    }


@dataclass(slots=True)
class FileArrays:
    """Reads parts of an open file with h5py, and notes what was asked for."""

    file: h5py.File
    read: list[Part] = field(default_factory=list)

    def read_many(self, parts: Sequence[Part]) -> list[NDArray[Any]]:
        """Return every part as it is stored."""
        assert parts
        self.read += parts
        return [self.file[array.object_path][part] for array, part in parts]


@dataclass(frozen=True, slots=True)
class Recorded:
    """An open recording."""

    source: Source
    outline: Outline
    arrays: FileArrays


@contextmanager
def recorded(path: Path) -> Iterator[Recorded]:
    """Write the recording to a file and open it."""
    write_recorded(path)
    with h5py.File(path) as file:
        yield Recorded(SOURCE, _outline(file), FileArrays(file))


def write_recorded(path: Path) -> None:
    """Write the recording to a file."""
    from hdmf.common import VectorData
    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.epoch import TimeIntervals
    from pynwb.event import EventsTable, TimestampVectorData
    from pynwb.file import Subject
    from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel, RoiResponseSeries

    from nwbswitch.analysis.handover.drug_rows import drug_rows

    nwb = NWBFile(
        identifier="x",
        session_description="Made up.",
        session_start_time=datetime(2026, 1, 1, tzinfo=UTC),
        session_id="s1",
        keywords=["dataset:made-up"],
        subject=Subject(subject_id="m1", species="Mus musculus", sex="F", age="P90D"),
    )
    device = nwb.create_device("scope")
    module = nwb.create_processing_module("ophys", "traces")
    segmentation, fluorescence = ImageSegmentation(), Fluorescence()
    module.add(segmentation)
    module.add(fluorescence)
    for name, matrices in stored().items():
        imaging = nwb.create_imaging_plane(
            device=device,
            optical_channel=OpticalChannel(name="c", description="c", emission_lambda=510.0),
            name=f"plane{name}",
            description="p",
            excitation_lambda=920.0,
            indicator="GCaMP6s",
            location="RSPd",
        )
        table = segmentation.create_plane_segmentation(name=name, description="d", imaging_plane=imaging)
        facts = neurons(5 if name == "Upper" else 3)
        for _ in facts.accepted:
            table.add_roi(pixel_mask=[(0, 0, 1.0)])
        for column in ("accepted", "cell_type", "region", "depth_um"):
            table.add_column(column, "c", data=list(getattr(facts, column)))
        clock = {"rate": RATE_HZ, "starting_time": START_S} if name == "Upper" else {"timestamps": stamps_s()}
        conversion, offset = SCALE[name]
        for matrix, data in matrices.items():
            fluorescence.add_roi_response_series(
                RoiResponseSeries(
                    name=f"{matrix}{name}",
                    data=data,
                    rois=table.create_roi_table_region(region=ROWS[name], description="r"),
                    unit="a.u.",
                    conversion=conversion,
                    offset=offset,
                    **clock,
                )
            )
    for times_s in SPIKES_S:
        nwb.add_unit(spike_times=times_s, obs_intervals=np.array(OBSERVED_S))
    epochs = TimeIntervals(name="analysis_epochs", description="windows")
    epochs.add_column("window", "window")
    for each in WINDOWS:
        epochs.add_interval(start_time=each.start_s, stop_time=each.stop_s, window=each.window.value)
    nwb.add_time_intervals(epochs)
    rows = drug_rows((SALINE, KETAMINE))
    stamps = TimestampVectorData(
        name="timestamp", description="t", data=[float(row["timestamp"]) for row in rows]
    )
    others = [
        VectorData(name=name, description=name, data=[row[name] for row in rows])
        for name in rows[0]
        if name not in ("timestamp", "duration")
    ]
    nwb.add_events_table(
        EventsTable(name="drug_administrations", description="drugs", columns=[stamps, *others])
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)


def stored_array(dataset: h5py.Dataset, *, chunk_shape: tuple[int, ...] | None = None) -> StoredArray:
    """Return what an outline says of a dataset; where its chunks lie is left out."""
    nothing = np.empty(0, np.int64)
    chunks = chunk_shape or dataset.chunks or dataset.shape
    return StoredArray(dataset.name, dataset.shape, dataset.dtype.str, chunks, (), nothing, nothing, nothing)


def _outline(file: h5py.File) -> Outline:
    series = file["processing/ophys/Fluorescence"]

    def trace(name: str, matrix: str, kind: ActivityKind) -> Trace | None:
        if f"{matrix}{name}" not in series:
            return None
        conversion, offset = SCALE[name]
        array = stored_array(series[f"{matrix}{name}/data"], chunk_shape=(64, 1))
        return Trace(array, kind, True, conversion, offset, "a.u.")

    planes = []
    for name in N_FRAMES:
        kind = ActivityKind.RAW if name == "Upper" else ActivityKind.DFF
        traces = trace(name, "traces", kind)
        assert traces is not None
        planes.append(
            Plane(
                name=name,
                traces=traces,
                neuropil=trace(name, "neuropil", ActivityKind.RAW),
                neuropil_subtracted=False,
                deconvolved=trace(name, "deconvolved", ActivityKind.DECONVOLVED),
                clock=_clock(name, series),
                rows=np.array(ROWS[name]),
                neurons=neurons(5 if name == "Upper" else 3),
                indicator="GCaMP6s",
            )
        )
    units = Points(
        name="units",
        kind=PointKind.SPIKES,
        times=stored_array(file["units/spike_times"]),
        ends=file["units/spike_times_index"][()].astype(np.int64),
        owners=None,
        neurons=neurons(3),
        observed_start_s=tuple(start_s for start_s, _ in OBSERVED_S),
        observed_stop_s=tuple(stop_s for _, stop_s in OBSERVED_S),
    )
    return Outline(
        dataset="made-up",
        subject=SubjectFacts("m1", "Mus musculus", "F", "P90D"),
        session_id="s1",
        start_time=datetime(2026, 1, 1, tzinfo=UTC),
        simulated=True,
        administrations=(SALINE, KETAMINE),
        evidence=(
            Evidence(1, "dose", "10.0", "/events/drug_administrations/dose", "10.0", Confidence.STATED),
        ),
        windows=WINDOWS,
        planes=tuple(planes),
        points=(units,),
        issues=(),
    )


def _clock(name: str, series: h5py.Group) -> Clock:
    if name == "Upper":
        return Clock(START_S, RATE_HZ, N_FRAMES[name])
    times_s = stamps_s()
    stamps = stored_array(series[f"traces{name}/timestamps"])
    return Clock(float(times_s[0]), RATE_HZ, len(times_s), stamps, last_s=float(times_s[-1]))
