"""ROIs of every format in a study file: several planes in one session, files that streams name besides."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from format_writers.caiman import write_caiman
from format_writers.imagej import rectangle, write_multi_measure, write_roi_set
from format_writers.minian import write_minian
from format_writers.suite2p import make_plane, ops_of
from opened import samples
from roi_truth import roi_truth

from nwbswitch.analysis.reading.recording import open_recording
from nwbswitch.converters.session import make_nwbfile
from nwbswitch.converters.session_streams import add_parts, close_parts, open_parts
from nwbswitch.converters.writing.nwb_writer import write_nwb
from nwbswitch.schemas.errors import InputFileError, IssuesError
from nwbswitch.schemas.study import Session, Study
from nwbswitch.schemas.study_file import load_study

STUDY = """
study: {name: tiny, title: A tiny study., institution: Institute}
timezone: Europe/Berlin
defaults:
  description: A session.
  imaging:
    {indicator: GCaMP6s, excitation_lambda_nm: 920, emission_lambda_nm: 510, region: VISp, depth_um: 100}
  streams: %s
  epochs:
    - {window: baseline, start_s: 0, stop_s: 3}
    - {window: drug, start_s: 3, stop_s: 6}
subjects: [{subject_id: m1, species: Mus musculus, sex: F, age: P90D}]
sessions: [{subject_id: m1, session_id: day1, start_time: "2024-05-01T10:00:00"}]
drug_log:
  - {subject_id: m1, session_id: day1, timestamp_s: 3, substance: ketamine, dose: 10, dose_unit: mg/kg,
     route: i.p., salt: hydrochloride, dose_basis: salt, stereochemistry: racemic, body_weight_g: 25}
"""


def study(folder: Path, streams: str) -> tuple[Study, Session]:
    (folder / "study.yaml").write_text(STUDY % streams)
    loaded = load_study(folder / "study.yaml").study
    return loaded, loaded.sessions[0]


def converted(folder: Path, streams: str) -> Path:
    whole, session = study(folder, streams)
    nwbfile = make_nwbfile(whole, session)
    parts = open_parts(session)
    add_parts(nwbfile, session, parts)
    write_nwb(nwbfile, folder / "day1.nwb")
    close_parts(parts)
    return folder / "day1.nwb"


def test_planes_of_suite2p_are_streams_with_depths_of_their_own(tmp_path: Path) -> None:
    for number in (0, 1):
        make_plane(tmp_path / f"suite2p/plane{number}", ops=ops_of(nplanes=2, fs=5.0), seed=number)
    path = converted(
        tmp_path,
        "{upper: {format: suite2p, path: suite2p, plane: 0, imaging: {depth_um: 150}}, "
        "events: {format: suite2p, path: suite2p, plane: 1, imaging: {depth_um: 210}}}",
    )
    with open_recording(path) as recording:
        planes = {plane.name: plane for plane in recording.outline.planes}
        assert set(planes) == {"PlaneSegmentation_upper", "PlaneSegmentation_events"}
        for number, name in enumerate(("upper", "events")):
            plane = planes[f"PlaneSegmentation_{name}"]
            folder = tmp_path / f"suite2p/plane{number}"
            np.testing.assert_array_equal(samples(recording, plane.traces), np.load(folder / "F.npy"))
            assert plane.deconvolved is not None
            np.testing.assert_array_equal(samples(recording, plane.deconvolved), np.load(folder / "spks.npy"))
            assert plane.neurons.depth_um == ((150.0, 210.0)[number],) * 2


def test_several_planes_in_one_stream_are_refused_with_what_to_write(tmp_path: Path) -> None:
    for number in (0, 1):
        make_plane(tmp_path / f"suite2p/plane{number}", ops=ops_of())
    with pytest.raises(InputFileError, match=r"holds 2 planes \(plane0, plane1\).*plane: 0, plane: 1"):
        open_parts(study(tmp_path, "{cells: {format: suite2p, path: suite2p}}")[1])


def test_files_that_a_stream_names_besides(tmp_path: Path) -> None:
    truth = roi_truth()
    write_roi_set(tmp_path / "RoiSet.zip", {f"c{each}": rectangle(each, 1, 2, 2) for each in range(3)})
    write_multi_measure(tmp_path / "Results_m1.csv", ("(c0)", "(c1)", "(c2)"), truth.raw)
    write_minian(tmp_path / "minian")
    rows = [f"{frame},{200 * frame}" for frame in range(300)]
    (tmp_path / "timeStamps.csv").write_text("\n".join(["Frame Number,Time Stamp (ms)", *rows]) + "\n")
    write_caiman(tmp_path / "cnm.hdf5")
    streams = (
        "{drawn: {format: imagej_rois, path: RoiSet.zip, image_size: [6, 9], rate_hz: 5, "
        "traces: {path: 'Results_{subject_id}.csv'}}, "
        "mini: {format: minian, path: minian, timestamps: {path: 'time*.csv'}}, "
        "cnm: {format: caiman, path: cnm.hdf5}}"
    )
    with h5py.File(converted(tmp_path, streams)) as file:
        ophys = file["processing/ophys"]
        np.testing.assert_array_equal(ophys["Fluorescence/RoiResponseSeries_drawn/data"][:].T, truth.raw)
        assert set(ophys["ImageSegmentation/PlaneSegmentation_drawn/roi_basis"][:]) == {b"anatomical"}
        assert ophys["Fluorescence/Denoised_mini/starting_time"].attrs["rate"] == pytest.approx(5.0)
        np.testing.assert_array_equal(ophys["DfOverF/RoiResponseSeries_cnm/data"][:].T, truth.dff)
    session = study(tmp_path, streams)[1]
    names = {name: [each.name for each in stream.files()] for name, stream in session.streams.items()}
    assert names["drawn"] == ["RoiSet.zip", "Results_m1.csv"]
    assert "timeStamps.csv" in names["mini"]
    assert ".zarray" in names["mini"]


def test_a_table_outside_the_study_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    write_roi_set(folder / "RoiSet.zip", {"a": rectangle(1, 1, 2, 2)})
    (tmp_path / "secret.csv").write_text("Mean1\n1\n")
    with pytest.raises(IssuesError, match="leads out of the folder|leaves its folder"):
        study(
            folder,
            "{drawn: {format: imagej_rois, path: RoiSet.zip, image_size: [6, 9], "
            "traces: {path: ../secret.csv}}}",
        )


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        ("{format: suite2p, path: s, plane: -1}", "plane"),
        ("{format: imagej_rois, path: RoiSet.zip, image_size: [6, 9]}", "traces"),
        ("{format: imagej_rois, path: RoiSet.zip, traces: {path: t.csv}}", "image_size"),
        (
            "{format: imagej_rois, path: RoiSet.zip, image_size: [6, 9], traces: {path: t.csv, kind: z}}",
            "kind",
        ),
        ("{format: minian, path: m, timestamps: {file: t.csv}}", "timestamps"),
        ("{format: extract, path: e.mat, roi_basis: guessed}", "roi_basis"),
    ],
)
def test_mistakes_in_a_stream_are_named(tmp_path: Path, stream: str, words: str) -> None:
    with pytest.raises(IssuesError, match=words):
        study(tmp_path, f"{{cells: {stream}}}")
