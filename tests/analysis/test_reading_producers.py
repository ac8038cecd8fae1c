"""Files as the big producers write them, by pynwb where it can: what is measured of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from ophys_file import Traces, make_traces, write_file

from nwbswitch.analysis.reading.outline import Outline, Plane
from nwbswitch.analysis.reading.outlining import outline_of
from nwbswitch.schemas.file_guard import open_hdf5
from nwbswitch.schemas.overrides import Override

N_FRAMES, N_ROIS = 60, 4
F = "processing/ophys/Fluorescence"


def read(path: Path, stated: dict | None = None) -> Outline:
    with open_hdf5(path) as nwb:
        return outline_of(nwb, name=str(path), override=Override.model_validate(stated or {}))


def errors(outline: Outline) -> list[str]:
    """Return the codes of errors, but not that other people's files have no analysis windows."""
    return [each.code for each in outline.issues if each.severity == "error" and each.code != "no-epochs"]


def parts(plane: Plane) -> list[str | None]:
    return [
        None if trace is None else trace.array.object_path.removesuffix("/data").removeprefix("/processing/")
        for trace in (plane.traces, plane.neuropil, plane.deconvolved)
    ]


class Writer:
    """A file that pynwb writes, one plane segmentation at a time."""

    def __init__(self, module: str = "ophys") -> None:
        from pynwb import NWBFile
        from pynwb.file import Subject

        self.nwb = NWBFile(
            identifier="x",
            session_description="Spontaneous activity.",
            session_start_time=datetime(2023, 5, 4, 10, tzinfo=UTC),
            session_id="day1",
            subject=Subject(subject_id="m1", species="Mus musculus", sex="F", age="P90D"),
        )
        self.module: Any = self.nwb.create_processing_module(module, "traces")
        self.device = self.nwb.create_device("scope")

    def segmentation(
        self,
        name: str = "PlaneSegmentation",
        *,
        within: str = "ImageSegmentation",
        plane: str = "ImagingPlane",
        n_rois: int = N_ROIS,
        imaging_rate: float | None = None,
        module: Any = None,
    ) -> Any:
        from pynwb.ophys import ImageSegmentation, OpticalChannel

        imaging = self.nwb.imaging_planes.get(plane) or self.nwb.create_imaging_plane(
            name=plane,
            device=self.device,
            optical_channel=OpticalChannel(name=f"c_{plane}", description="c", emission_lambda=510.0),
            description="p",
            excitation_lambda=920.0,
            indicator="GCaMP6s",
            location="VISp",
            imaging_rate=imaging_rate,
        )
        module = self.module if module is None else module
        holder = module.data_interfaces.get(within)
        if holder is None:
            holder = ImageSegmentation(name=within)
            module.add(holder)
        table = holder.create_plane_segmentation(name=name, description="ROIs", imaging_plane=imaging)
        for _ in range(n_rois):
            table.add_roi(pixel_mask=[(0, 0, 1.0)])
        return table

    def series(
        self, name: str, table: Any, *, rows: Sequence[int] | None = None, data=None, **clock: Any
    ) -> Any:
        from pynwb.ophys import RoiResponseSeries

        rows = list(range(len(table))) if rows is None else list(rows)
        data = make_traces(N_FRAMES, len(rows)) if data is None else data
        region = table.create_roi_table_region(region=rows, description="r")
        return RoiResponseSeries(name=name, data=data, rois=region, unit="NA", **(clock or {"rate": 10.0}))

    def hold(self, kind: str, name: str, *series: Any, module: Any = None) -> None:
        from pynwb import ophys

        holder = getattr(ophys, kind)(name=name)
        (self.module if module is None else module).add(holder)
        for each in series:
            holder.add_roi_response_series(each)

    def write(self, path: Path) -> Path:
        from pynwb import NWBHDF5IO

        with NWBHDF5IO(path, "w") as io:
            io.write(self.nwb)
        return path


def test_allensdk_visual_behavior(tmp_path):
    made = Writer()
    table = made.segmentation("cell_specimen_table", within="image_segmentation", imaging_rate=10.0)
    stamps = 30.0 + np.arange(N_FRAMES) / 10
    dff = made.series("traces", table, timestamps=stamps)
    made.hold("DfOverF", "dff", dff)
    for name in ("corrected_fluorescence", "neuropil_trace", "demixed_trace"):
        made.hold("Fluorescence", name, made.series("traces", table, timestamps=dff))
    events = made.series("event_detection", table, timestamps=dff)
    made.module.add(events)
    path = made.write(tmp_path / "a.nwb")
    with h5py.File(path, "r+") as nwb:
        nwb["processing/ophys/event_detection"].attrs["neurodata_type"] = "OphysEventDetection"
    outline = read(path)
    (plane,) = outline.planes
    assert parts(plane) == ["ophys/corrected_fluorescence/traces", None, "ophys/event_detection"]
    assert plane.neuropil_subtracted
    assert (plane.name, plane.clock.start_s, plane.clock.rate_hz) == (
        "cell_specimen_table",
        30.0,
        pytest.approx(10),
    )
    assert errors(outline) == []


def test_mesoscope_of_the_allen_institute(tmp_path):
    made = Writer("VISp_0")
    for number in range(2):
        name = f"VISp_{number}"
        module = made.module if number == 0 else made.nwb.create_processing_module(name, "traces")
        table = made.segmentation(
            "roi_table",
            within="image_segmentation",
            plane=name,
            n_rois=3 + number,
            imaging_rate=9.5,
            module=module,
        )
        clock = {"timestamps": np.arange(N_FRAMES) / 9.5 + 0.02 * number}
        raw = made.series("ROI_fluorescence_timeseries", table, **clock)
        made.hold("Fluorescence", "raw_timeseries", raw, module=module)
        made.hold("DfOverF", "dff_timeseries", made.series("dff_timeseries", table, **clock), module=module)
        for bare in ("neuropil_fluorescence_timeseries", "neuropil_corrected_timeseries", "event_timeseries"):
            module.add(made.series(bare, table, **clock))
    outline = read(made.write(tmp_path / "a.nwb"))
    assert [plane.traces.n_rois for plane in outline.planes] == [3, 4]
    assert parts(outline.planes[1]) == [
        "VISp_1/raw_timeseries/ROI_fluorescence_timeseries",
        "VISp_1/neuropil_fluorescence_timeseries",
        "VISp_1/event_timeseries",
    ]
    assert [plane.name for plane in outline.planes] == [
        f"VISp_{n}/image_segmentation/roi_table" for n in range(2)
    ]
    assert errors(outline) == []


def test_neuroconv_with_planes_and_channels_of_suite2p(tmp_path):
    made = Writer()
    series, ratios = [], []
    for channel, plane in (("Chan1", "Plane0"), ("Chan1", "Plane1"), ("Chan2", "Plane0")):
        key = channel + plane
        table = made.segmentation(f"PlaneSegmentation{key}", plane=f"ImagingPlane{key}", n_rois=3)
        names = ["RoiResponseSeries", "Neuropil"] + (["Deconvolved"] if channel == "Chan1" else [])
        series += [made.series(name + key, table) for name in names]
        ratios.append(made.series(f"RoiResponseSeries{key}", table))
    made.hold("Fluorescence", "Fluorescence", *series)
    made.hold("DfOverF", "DfOverF", *ratios[:2])
    outline = read(made.write(tmp_path / "a.nwb"))
    assert [plane.name for plane in outline.planes] == [
        "PlaneSegmentationChan1Plane0",
        "PlaneSegmentationChan1Plane1",
    ]
    assert parts(outline.planes[1]) == [
        f"ophys/Fluorescence/{name}Chan1Plane1" for name in ("RoiResponseSeries", "Neuropil", "Deconvolved")
    ]
    assert errors(outline) == []


def test_neuroconv_with_background_components_of_caiman(tmp_path):
    made = Writer()
    table = made.segmentation()
    background = made.segmentation("BackgroundPlaneSegmentation", n_rois=2)
    names = ("RoiResponseSeries", "Denoised", "Deconvolved", "Baseline")
    made.hold(
        "Fluorescence",
        "Fluorescence",
        *(made.series(name, table) for name in names),
        made.series("neuropil", background),
    )
    made.hold("DfOverF", "DfOverF", made.series("RoiResponseSeries", table))
    outline = read(made.write(tmp_path / "a.nwb"))
    (plane,) = outline.planes
    assert parts(plane) == ["ophys/Fluorescence/RoiResponseSeries", None, "ophys/Fluorescence/Deconvolved"]
    assert errors(outline) == []


def test_neuroconv_with_all_traces_in_one_container(tmp_path):
    made = Writer()
    table = made.segmentation()
    made.hold("Fluorescence", "Fluorescence", made.series("DfOverF", table), made.series("Denoised", table))
    (plane,) = read(made.write(tmp_path / "a.nwb")).planes
    assert (plane.traces.kind, parts(plane)[0]) == ("dff", "ophys/Fluorescence/DfOverF")


def test_exporter_of_suite2p(tmp_path):
    made = Writer()
    table = made.segmentation(n_rois=5)
    for container in ("Fluorescence", "Neuropil", "Deconvolved", "Fluorescence_chan2", "Neuropil_chan2"):
        rows = ([0, 1], [2, 3, 4])
        made.hold(
            "Fluorescence", container, *(made.series(f"plane{n}", table, rows=rows[n]) for n in range(2))
        )
    outline = read(made.write(tmp_path / "a.nwb"))
    assert [plane.rows.tolist() for plane in outline.planes] == [[0, 1], [2, 3, 4]]
    assert parts(outline.planes[1]) == [
        f"ophys/{container}/plane1" for container in ("Fluorescence", "Neuropil", "Deconvolved")
    ]
    assert errors(outline) == []


def test_exporter_of_caiman_writes_denoised_traces(tmp_path):
    made = Writer()
    table = made.segmentation(n_rois=5)
    stamps = np.arange(N_FRAMES) / 10
    made.hold(
        "Fluorescence",
        "Fluorescence",
        made.series("RoiResponseSeries", table, rows=[0, 1, 2], timestamps=stamps),
        made.series("Background_Fluorescence_Response", table, rows=[3, 4], timestamps=stamps),
    )
    path = made.write(tmp_path / "a.nwb")
    outline = read(path)
    assert outline.planes == ()
    assert errors(outline) == ["no-activity"]
    assert "RoiResponseSeries (denoised)" in outline.issues[-1].message
    (plane,) = read(path, {"activity": [{"kind": "denoised"}]}).planes
    assert (plane.traces.kind, plane.rows.tolist()) == ("denoised", [0, 1, 2])


def test_matnwb_with_first_and_last_roi_and_words_in_comments(tmp_path):
    """As MatNWB's tutorial is often copied: a region of two numbers, arrays as attributes, kinds in prose."""
    spikes = "this is the spiking data outputted from MLspike as 0 or 1"
    attributes = {"conversion": np.array([1.0]), "resolution": np.array([np.nan])}
    series = [
        Traces(f"{F}/RoiResponseSeries", make_traces(60, 4), rois=[0, 3], attributes=attributes),
        Traces(f"{F}/RoiResponseSeries2", make_traces(60, 4), rois=[0, 3], description=spikes),
    ]
    outline = read(write_file(tmp_path / "a.nwb", series, n_rois=4, windows=()))
    (plane,) = outline.planes
    assert parts(plane) == [
        "ophys/Fluorescence/RoiResponseSeries",
        None,
        "ophys/Fluorescence/RoiResponseSeries2",
    ]
    assert plane.rows.tolist() == [0, 1, 2, 3]
    assert [each.code for each in outline.issues].count("roi-region") == 2
    assert errors(outline) == []


def test_matnwb_with_traces_rois_first_and_stamps_in_a_column(tmp_path):
    stamps = 3 + np.arange(60).reshape(60, 1) / 10
    series = Traces(f"{F}/data", make_traces(60, 4).T, stamps=stamps, description="DF/F of the midline")
    outline = read(write_file(tmp_path / "a.nwb", [series], n_rois=4, windows=()))
    (plane,) = outline.planes
    assert (plane.traces.kind, plane.traces.time_first, plane.clock.n_frames) == ("dff", False, 60)
    assert errors(outline) == []


def test_a_lab_with_two_colours_is_asked_which_one_is_the_activity(tmp_path):
    """As conversions of CatalystNeuro keep the names of a lab: two channels of the same ROIs."""
    made = Writer()
    table = made.segmentation("PlaneSegmentationAxons")
    names = ("RoiResponseSeriesGreen", "RoiResponseSeriesRed")
    made.hold("Fluorescence", "Fluorescence", *(made.series(name, table) for name in names))
    path = made.write(tmp_path / "a.nwb")
    outline = read(path)
    assert errors(outline) == ["ambiguous-activity"]
    stated = {"activity": [{"series": "/processing/ophys/Fluorescence/RoiResponseSeriesGreen"}]}
    (plane,) = read(path, stated).planes
    assert parts(plane)[0] == "ophys/Fluorescence/RoiResponseSeriesGreen"


def test_microscopy_extension(tmp_path):
    """ndx-microscopy: other names of the type, of the region and of the imaging plane."""
    traces = Traces("processing/ophys/MicroscopyResponseSeriesContainer/raw", make_traces(60, 3))
    path = write_file(tmp_path / "a.nwb", [traces], windows=())
    with h5py.File(path, "r+") as nwb:
        group = nwb[traces.path]
        group.attrs["neurodata_type"] = "MicroscopyResponseSeries"
        group.move("rois", "table_region")
        table = nwb["processing/ophys/ImageSegmentation/PlaneSegmentation"]
        table.attrs["neurodata_type"] = "Segmentation2D"
        table.move("imaging_plane", "imaging_space")
    (plane,) = read(path).planes
    assert (plane.traces.n_rois, plane.indicator) == (3, "GCaMP6f")
