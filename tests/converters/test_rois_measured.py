"""What the readers of ROIs write is what measuring reads: the right traces, plane by plane."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pynwb
import pytest
from interface_cases import CASES
from opened import marked_frames, samples
from pynwb.file import Subject
from roi_truth import new_nwbfile, roi_truth

from nwbswitch.analysis.activity.plane import measure_plane
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.analysis.measure import measure
from nwbswitch.analysis.reading.outline import Plane
from nwbswitch.analysis.reading.recording import Recording, open_recording
from nwbswitch.converters.epochs import EpochsInterface
from nwbswitch.converters.registry import READERS, Kind
from nwbswitch.converters.segmentation.roi_interface import RoiInterface
from nwbswitch.converters.segmentation.rois import ArrayTraces, RoiSet, TraceKind
from nwbswitch.converters.writing.nwb_writer import write_nwb
from nwbswitch.schemas.errors import IssuesError

FORMATS = [name for name, reader in READERS.items() if reader.kind is Kind.ROIS]
MAIN = {
    "suite2p": ("Fluorescence/RoiResponseSeries", "raw"),
    "caiman": ("DfOverF/RoiResponseSeries", "dff"),
    "cnmfe": ("Fluorescence/Demixed", "demixed"),
    "extract": ("DfOverF/RoiResponseSeries", "dff"),
    "inscopix_cells": ("Fluorescence/Demixed", "demixed"),
    "minian": ("Fluorescence/Demixed", "demixed"),
    "imagej_rois": ("Fluorescence/RoiResponseSeries", "raw"),
}
WORDS = ("a", "events", "baseline_neuropil", "dff", "background", "denoised_spikes")
"""Names of streams that would be words about traces if they were read as such."""


def recorded(path: Path, interfaces: dict[str, RoiInterface]) -> Path:
    """Write ROIs with two analysis windows, named as a study names them."""
    nwbfile = new_nwbfile()
    nwbfile.subject = Subject(subject_id="m1", species="Mus musculus", sex="F", age="P90D")
    nwbfile.session_id = "s1"
    for name, interface in interfaces.items():
        fields = {"name": f"PlaneSegmentation_{name}"} if len(interfaces) > 1 else {}
        metadata = {"Ophys": {"PlaneSegmentations": {interface.metadata_key: fields}}}
        interface.add_to_nwbfile(nwbfile, metadata)
    windows = [
        {"window": "baseline", "start_s": 1.0, "stop_s": 28.0},
        {"window": "drug", "start_s": 30.0, "stop_s": 57.0},
    ]
    EpochsInterface(epochs=windows).add_to_nwbfile(nwbfile)
    write_nwb(nwbfile, path)
    for interface in interfaces.values():
        interface.close()
    return path


def measured(recording: Recording, plane: Plane) -> pd.DataFrame:
    name, windows = recording.source.name, recording.outline.windows
    recipe = Recipe(block_s=9.0)
    return measure_plane(plane, windows, recording.arrays, recipe, name=name, issues=[])


def why_not_measured(path: Path) -> set[str]:
    """Return the series that a file is said to hold in place of any that is measured."""
    with pytest.raises(IssuesError, match=r"(?s)from before denoising.*kind: denoised") as caught:
        measure(path)
    (found,) = caught.value.issues
    assert found.code == "no-activity"
    return set(re.findall(r"\w+ \(\w+\)", found.message))


def rois_of(traces: dict[TraceKind, np.ndarray], **fields: Any) -> RoiInterface:
    """Return an interface over traces in memory."""
    n_rois = len(next(iter(traces.values())))
    rois = RoiSet(
        software="Test",
        accepted=np.ones(n_rois, bool),
        accepted_by="",
        traces={kind: ArrayTraces(values) for kind, values in traces.items()},
        rate_hz=5.0,
        **fields,
    )
    return RoiInterface(
        rois,
        place=Path("x"),
        rate_hz=None,
        start_s=0.0,
        roi_basis=None,
        cell_type="excitatory",
        depth_um=None,
        metadata_key="x",
        source={},
    )


@pytest.mark.parametrize("form", FORMATS)
def test_measuring_reads_every_format(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    interface = READERS[form].load()(**CASES[form](folder))
    rois = interface.rois
    wanted, kind = MAIN[form]
    traces = rois.traces[{"raw": TraceKind.RAW, "dff": TraceKind.DFF, "demixed": TraceKind.DEMIXED}[kind]]
    expected = traces.read(slice(0, rois.n_rois), slice(0, rois.n_frames))
    with open_recording(recorded(tmp_path / "n.nwb", {form: interface})) as recording:
        (plane,) = recording.outline.planes
        assert plane.traces.array.object_path == f"/processing/ophys/{wanted}/data"
        assert plane.traces.kind == kind
        np.testing.assert_array_equal(samples(recording, plane.traces), expected)
        assert (plane.deconvolved is None) == (TraceKind.DECONVOLVED not in rois.traces)
        assert (plane.neuropil is None) == (TraceKind.NEUROPIL not in rois.traces)
        np.testing.assert_array_equal(plane.neurons.accepted, rois.accepted)
        assert set(plane.neurons.roi_basis) == {interface.roi_basis}
        cells = measured(recording, plane)
    assert set(cells["neuron"]) <= set(np.flatnonzero(rois.accepted))
    assert len(set(cells["neuron"])) > 0
    assert cells["mean_dff"].isna().all() == (kind == "demixed")
    assert cells["noise"].isna().all() == (kind == "demixed")


def test_planes_keep_their_series_whatever_the_streams_are_called(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = {
        name: {
            kind: rng.normal(100, 9, (2, 300))
            for kind in (TraceKind.RAW, TraceKind.NEUROPIL, TraceKind.DECONVOLVED)
        }
        for name in WORDS
    }
    bad = {name: np.arange(300) % (place + 7) == 0 for place, name in enumerate(WORDS)}
    interfaces = {name: rois_of(truth[name], bad_frames=bad[name]) for name in WORDS}
    with open_recording(recorded(tmp_path / "n.nwb", interfaces)) as recording:
        planes = recording.outline.planes
        assert sorted(plane.name for plane in planes) == sorted(f"PlaneSegmentation_{name}" for name in WORDS)
        for plane in planes:
            name = plane.name.removeprefix("PlaneSegmentation_")
            assert plane.traces.kind == "raw"
            assert plane.neuropil is not None
            assert plane.deconvolved is not None
            for series, kind in (
                (plane.traces, TraceKind.RAW),
                (plane.neuropil, TraceKind.NEUROPIL),
                (plane.deconvolved, TraceKind.DECONVOLVED),
            ):
                np.testing.assert_array_equal(samples(recording, series), truth[name][kind])
            np.testing.assert_array_equal(marked_frames(recording, plane), bad[name])


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(
    ("kinds", "main"),
    [
        ((TraceKind.DEMIXED, TraceKind.DFF), "dff"),
        ((TraceKind.DEMIXED, TraceKind.RAW), "raw"),
        ((TraceKind.DENOISED, TraceKind.BASELINE, TraceKind.DEMIXED), "demixed"),
        ((TraceKind.SECOND_CHANNEL, TraceKind.SECOND_CHANNEL_NEUROPIL, TraceKind.RAW), "raw"),
    ],
)
def test_the_best_traces_are_measured(
    tmp_path: Path, kinds: tuple[TraceKind, ...], main: str, several: bool
) -> None:
    rng = np.random.default_rng(0)
    traces = {kind: rng.normal(100, 9, (2, 300)) for kind in kinds}
    interfaces = {"a": rois_of(traces)} | ({"b": rois_of(traces)} if several else {})
    with open_recording(recorded(tmp_path / "n.nwb", interfaces)) as recording:
        planes = recording.outline.planes
        assert [plane.traces.kind for plane in planes] == [main] * len(interfaces)
        wanted = {"raw": TraceKind.RAW, "dff": TraceKind.DFF, "demixed": TraceKind.DEMIXED}[main]
        for plane in planes:
            np.testing.assert_array_equal(samples(recording, plane.traces), traces[wanted])
            assert plane.neuropil is None


def test_masks_that_are_not_known_are_empty(tmp_path: Path) -> None:
    path = recorded(tmp_path / "n.nwb", {"a": rois_of({TraceKind.RAW: roi_truth().raw})})
    assert pynwb.validate(path=path) == []
    with h5py.File(path) as file:
        table = file["processing/ophys/ImageSegmentation/PlaneSegmentation"]
        assert table["pixel_mask_index"][:].tolist() == [0, 0, 0]
        assert "Not known" in table["pixel_mask"].attrs["description"]


def test_denoised_traces_alone_are_refused_with_the_reason(tmp_path: Path) -> None:
    truth = roi_truth()
    traces = {TraceKind.DENOISED: truth.denoised, TraceKind.DECONVOLVED: truth.deconvolved}
    path = recorded(tmp_path / "n.nwb", {"a": rois_of(traces)})
    assert why_not_measured(path) == {"Denoised (denoised)", "Deconvolved (deconvolved)"}


def test_demixed_traces_below_zero_are_measured(tmp_path: Path) -> None:
    """Their zero is arbitrary: the same transients count the same wherever it lies."""
    rng = np.random.default_rng(0)
    traces = 0.02 * rng.standard_normal((2, 300))
    for start in (200, 260):
        traces[0, start : start + 10] += 0.8 ** np.arange(10)
    counts = []
    for zero in (-5.0, 0.0, 40.0):
        path = recorded(tmp_path / f"{zero}.nwb", {"a": rois_of({TraceKind.DEMIXED: traces + zero})})
        with open_recording(path) as recording:
            cells = measured(recording, recording.outline.planes[0])
        counts.append(cells.groupby(["neuron", "window"])["n_events"].sum().to_dict())
    assert counts[0][0, "drug"] == 2
    assert counts[0] == counts[1] == counts[2]


def test_a_file_of_another_lab_keeps_its_meaning(tmp_path: Path) -> None:
    """Only the suffix of the plane is left out of names, and a mark of bad frames without one is for all."""
    rng = np.random.default_rng(0)
    path = recorded(
        tmp_path / "n.nwb",
        {"a": rois_of({TraceKind.RAW: rng.normal(100, 9, (2, 300))}, bad_frames=np.arange(300) == 5)},
    )
    with h5py.File(path, "r+") as file:
        group = file["processing/ophys/Fluorescence"]
        group.move("RoiResponseSeries", "denoised_PlaneSegmentation")
    assert why_not_measured(path) == {"denoised_PlaneSegmentation (denoised)"}
    with h5py.File(path, "r+") as file:
        file["processing/ophys/Fluorescence"].move("denoised_PlaneSegmentation", "my_F")
        file["processing/ophys/ImageSegmentation"].move("PlaneSegmentation", "Cells")
        reference = file["processing/ophys/ImageSegmentation/Cells"].ref
        file["processing/ophys/Fluorescence/my_F/rois"].attrs["table"] = reference
    with open_recording(path) as recording:
        (plane,) = recording.outline.planes
        assert marked_frames(recording, plane).sum() == 1
        assert plane.traces.array.object_path.endswith("/my_F/data")
