"""Every folder of real data through the command line.

It converts to the right numbers, or is refused in words that say which file, what is wrong and what to do.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import h5py
import numpy as np
import pandas as pd
import pynwb
import pytest
import tifffile

from nwbswitch.__main__ import main

IMAGING = {
    "indicator": "GCaMP6s",
    "excitation_lambda_nm": 920,
    "emission_lambda_nm": 510,
    "region": "unknown",
}
SUBJECT = {"subject_id": "m", "species": "Mus musculus"}
IMAGING_FORMATS = {"tiff_movie", "scanimage", "suite2p"}
BPOD = "ibl_bpod_wheel"
RAW = "raw_behavior_data/_iblrig"
QC = "ibllib/tests/fixtures/qc"
OPENFIELD = "m3v1mp4DLC_resnet50_openfieldAug20shuffle1_30000"
TASK = "_iblrig_taskData.raw.jsonable"
TRIALS = "brainbox/tests/fixtures/trials_df_test.csv"


Streams = dict[str, dict[str, Any]]


def run(*arguments: object) -> tuple[int, str]:
    """Return the exit status and everything that a command prints."""
    shown = io.StringIO()
    command = ["nwbswitch", *map(str, arguments)]
    with patch.object(sys, "argv", command), redirect_stdout(shown), redirect_stderr(shown):
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), shown.getvalue()
    raise AssertionError("the command line exits with a status")


def write_study(folder: Path, root: Path, streams: Streams, **values: Any) -> Path:
    """Write a study of one session over the files below ``root``; JSON is YAML."""
    defaults: dict[str, Any] = {"description": "A recording.", "streams": streams}
    if IMAGING_FORMATS & {each["format"] for each in streams.values()}:
        defaults["imaging"] = IMAGING
    study = {
        "study": {"name": "shared", "title": "Shared data"},
        "data_root": str(root),
        "timezone": "UTC",
        "placeholders": ["subject.age", "subject.sex", "start_time"],
        "defaults": defaults,
        "subjects": [SUBJECT],
        "sessions": [{"subject_id": "m", "session_id": "a"}],
        **values,
    }
    path = folder / "study.yaml"
    path.write_text(json.dumps(study, indent=1), encoding="utf-8")
    return path


def convert(folder: Path, root: Path, streams: Streams, **values: Any) -> tuple[int, str]:
    return run("convert", write_study(folder, root, streams, **values), "-o", folder / "nwb")


def converted(folder: Path, root: Path, streams: Streams) -> h5py.File:
    """Convert one session and return its file, which is valid."""
    status, shown = convert(folder, root, streams)
    assert status == 0, shown
    (path,) = (folder / "nwb").rglob("*.nwb")
    assert pynwb.validate(path=path) == []
    return h5py.File(path)


def stored(file: h5py.File, name: str) -> Any:
    return file[name][()]


Check = Callable[[h5py.File, Path], None]


def check_treadmill(file: h5py.File, root: Path) -> None:
    movie = file["acquisition/TwoPhotonSeries"]
    assert np.array_equal(movie["data"][()].transpose(0, 2, 1), tifffile.imread(root / "movie.tif"))
    ophys = file["processing/ophys"]
    traces = np.load(root / "suite2p/plane0/F.npy")
    assert np.array_equal(ophys["Fluorescence/RoiResponseSeries/data"][()].T, traces)
    assert ophys["ImageSegmentation/PlaneSegmentation/accepted"][()].sum() == 32
    speed = file["processing/behavior/BehavioralTimeSeries/runningSpeed"]
    np.testing.assert_allclose(speed["data"], pd.read_csv(root / "covariates.csv")["runningSpeed"])
    series = (movie, ophys["Fluorescence/RoiResponseSeries"], speed)
    assert {each["starting_time"].attrs["rate"] for each in series} == {7.0}


def check_suite2p(file: h5py.File, root: Path) -> None:
    plane = root / "suite2p/plane0"
    for name, source in (("RoiResponseSeries", "F"), ("Neuropil", "Fneu"), ("Deconvolved", "spks")):
        data = stored(file, f"processing/ophys/Fluorescence/{name}/data")
        assert data.shape == (2000, 219)
        assert np.array_equal(data.T, np.load(plane / f"{source}.npy"))
    table = file["processing/ophys/ImageSegmentation/PlaneSegmentation"]
    assert np.array_equal(table["accepted"], np.load(plane / "iscell.npy")[:, 0] == 1)


def check_predictions(file: h5py.File, root: Path) -> None:
    with h5py.File(root / "tracks/clip.predictions.slp") as source:
        table, points = source["instances"][()], source["pred_points"][()]
    expected = np.full((1500, 2), np.nan)
    for row in table[table["track"] == 1]:
        point = points[row["point_id_start"]]
        expected[row["frame_id"]] = point["x"], point["y"]
    head = file["processing/behavior/pose/head"]
    np.testing.assert_array_equal(head["data"], expected)
    assert (table["track"] == 1).sum() == 1448
    assert head["starting_time"].attrs["rate"] == 25.0
    assert file["acquisition/camera/num_samples"][()] == 1500


def check_labels(file: h5py.File, root: Path) -> None:
    pose = file["processing/behavior/pose"]
    assert len(pose) == 13
    assert {each["data"].shape for each in pose.values()} == {(1500, 2)}


def check_analysis(file: h5py.File, root: Path) -> None:
    with h5py.File(root / "hdf5_format_v1/small_robot.000_small_robot_3_frame.analysis.h5") as source:
        tracks = source["tracks"][0].transpose(2, 1, 0)
        nodes = [each.decode() for each in source["node_names"]]
    for number, node in enumerate(nodes):
        np.testing.assert_array_equal(
            stored(file, f"processing/behavior/pose/{node}/data"), tracks[:, number]
        )


def check_openfield(file: h5py.File, root: Path) -> None:
    with h5py.File(root / f"{OPENFIELD}.nwb") as source:
        for part in ("snout", "leftear", "rightear", "tailbase"):
            theirs = source[f"processing/behavior/PoseEstimation/ind1_{part}/data"][()]
            np.testing.assert_array_equal(stored(file, f"processing/behavior/pose/{part}/data"), theirs)


def check_video(file: h5py.File, root: Path) -> None:
    video = file["acquisition/camera"]
    assert video["num_samples"][()] == 994
    assert video["dimension"][()].tolist() == [396, 406]
    assert video["starting_time"].attrs["rate"] == 250.0
    beside = Path(file.filename).parent / video["external_file"][0].decode()
    assert beside.read_bytes() == (root / "videos/test_vid.mp4").read_bytes()


def check_encoder(name: str, skipped: int = 0) -> Check:
    def check(file: h5py.File, root: Path) -> None:
        rows = [line.split() for line in (root / name).read_text(encoding="ascii").splitlines()][skipped:]
        numbers = np.array([row[1:3] if row[0] == "Position" else row[:2] for row in rows], dtype=float)
        numbers = numbers[np.argsort(numbers[:, 0], kind="stable")]
        angle = file["processing/behavior/Position/wheel_position"]
        np.testing.assert_allclose(angle["timestamps"], numbers[:, 0] * 1e-6)
        turns = np.asarray(angle["data"]) * angle["data"].attrs["conversion"] / (2 * np.pi)
        np.testing.assert_allclose(turns, numbers[:, 1] / 1024, atol=1e-9)

    return check


def check_bpod(name: str) -> Check:
    def check(file: h5py.File, root: Path) -> None:
        lines = (root / name / "raw_behavior_data" / TASK).read_text(encoding="utf-8").splitlines()
        trials = [json.loads(line)["behavior_data"] for line in lines]
        table = file["intervals/trials"]
        assert table["start_time"][()].tolist() == [each["Trial start timestamp"] for each in trials]
        assert table["stop_time"][()].tolist() == [each["Trial end timestamp"] for each in trials]
        n_events = sum(len(times) for each in trials for times in each["Events timestamps"].values())
        assert len(file["events/task_events/timestamp"]) == n_events

    return check


def check_trials(file: h5py.File, root: Path) -> None:
    source = pd.read_csv(root / TRIALS)
    table = file["intervals/trials"]
    np.testing.assert_array_equal(table["start_time"], source["stimOn_times"])
    np.testing.assert_array_equal(table["contrastLeft"], source["contrastLeft"])
    np.testing.assert_array_equal(table["choice"], source["choice"])


def check_wheel(file: h5py.File, root: Path) -> None:
    times, position = np.load(root / QC / "wheel.npy").T
    series = file["processing/behavior/Position/position"]
    np.testing.assert_allclose(series["timestamps"], times)
    np.testing.assert_array_equal(series["data"], position)


def check_camera_times(file: h5py.File, root: Path) -> None:
    times = stored(file, "processing/behavior/BehavioralTimeSeries/frame_time/data")
    np.testing.assert_array_equal(times, np.load(root / QC / "camera_times.npy"))


def check_volumes(file: h5py.File, root: Path) -> None:
    source = np.stack([tifffile.imread(path) for path in sorted((root / "images").glob("time*.tif"))])
    assert np.array_equal(stored(file, "acquisition/TwoPhotonSeries/data"), source.transpose(0, 3, 2, 1))


def check_slice(file: h5py.File, root: Path) -> None:
    pages = tifffile.imread(root / "multilayer_tif/test_signed.tif")
    series = file["acquisition/TwoPhotonSeries"]
    assert np.array_equal(series["data"][0], pages[1].T)
    assert file["session_start_time"][()].decode().startswith("2000-01-01")


def encoder(name: str, **keys: Any) -> Streams:
    return {"wheel": {"format": "bpod_encoder", "path": name, **keys}}


def sleap(name: str, **keys: Any) -> Streams:
    return {"pose": {"format": "sleap", "path": name, **keys}}


def array(name: str, signal: dict[str, Any], **keys: Any) -> Streams:
    return {"wheel": {"format": "series", "path": f"{QC}/{name}", "signals": [signal], **keys}}


POSITION = {"name": "position", "channel": 1, "quantity": "position", "unit": "rad"}
GE5, LT5 = "wheel/ge5/_iblrig_encoder", "wheel/lt5/_iblrig_encoder"
TRAINING = "session_training_{}/raw_behavior_data/_iblrig_encoder{}.raw.ssv"
CLIP = {
    "camera": {"format": "video", "path": "tracks/clip.mp4"},
    "pose": {
        "format": "sleap",
        "path": "tracks/clip.predictions.slp",
        "track": "male",
        "timing_of": "camera",
    },
}
TREADMILL = {
    "movie": {"format": "tiff_movie", "path": "movie.tif", "rate_hz": 7},
    "cells": {"format": "suite2p", "path": "suite2p"},
    "treadmill": {
        "format": "wheel_csv",
        "path": "covariates.csv",
        "timing_of": "movie",
        "signals": [{"column": "runningSpeed", "unit": "n/a"}],
    },
}
VOLUMES = {"format": "tiff_movie", "path": "images/time*.tif", "rate_hz": 1, "parts": "continuous"}
READ: dict[str, tuple[str, Streams, Check]] = {
    "treadmill": ("two_photon_mouse_treadmill", TREADMILL, check_treadmill),
    "suite2p": (
        "suite2p_without_ops",
        {"cells": {"format": "suite2p", "path": "suite2p", "rate_hz": 30}},
        check_suite2p,
    ),
    "sleap predictions": ("sleap_mice", CLIP, check_predictions),
    "sleap labels": ("sleap_mice", sleap("tracks/clip.slp", track="female", rate_hz=25), check_labels),
    "sleap analysis": ("sleap_mice", sleap("hdf5_format_v1/*.h5", rate_hz=30), check_analysis),
    "deeplabcut": (
        "dlc_openfield",
        {"pose": {"format": "deeplabcut", "path": "*.h5", "rate_hz": 30}},
        check_openfield,
    ),
    "video": (
        "lightning_pose_running_mouse",
        {"camera": {"format": "video", "path": "videos/test_vid.mp4"}},
        check_video,
    ),
    "encoder": (BPOD, encoder(f"{GE5}Positions.raw.ssv"), check_encoder(f"{GE5}Positions.raw.ssv")),
    "encoder of a training": (
        BPOD,
        encoder(TRAINING.format("ge5", "Positions")),
        check_encoder(TRAINING.format("ge5", "Positions")),
    ),
    "encoder that was reset": (
        BPOD,
        encoder(f"{LT5}Positions.raw.2firstsamples.ssv", skip_rows=2),
        check_encoder(f"{LT5}Positions.raw.2firstsamples.ssv", skipped=2),
    ),
    "bpod ge5": (
        BPOD,
        {"task": {"format": "bpod", "path": f"session_training_ge5/raw_behavior_data/{TASK}"}},
        check_bpod("session_training_ge5"),
    ),
    "bpod lt5": (
        BPOD,
        {"task": {"format": "bpod", "path": f"session_training_lt5/raw_behavior_data/{TASK}"}},
        check_bpod("session_training_lt5"),
    ),
    "trials": (
        BPOD,
        {
            "task": {
                "format": "trials",
                "path": TRIALS,
                "start_column": "stimOn_times",
                "stop_column": "feedback_times",
            }
        },
        check_trials,
    ),
    "wheel.npy": (BPOD, array("wheel.npy", POSITION, time_column="times", time_channel=0), check_wheel),
    "camera_times.npy": (
        BPOD,
        array("camera_times.npy", {"name": "t", "quantity": "frame_time", "unit": "s"}, rate_hz=60),
        check_camera_times,
    ),
    "volumes": ("zebrafish_volumes", {"movie": {**VOLUMES, "pages": "planes"}}, check_volumes),
    "slice of ScanImage": (
        "thunder_tiffs",
        {"movie": {"format": "scanimage", "path": "multilayer_tif/test_signed.tif", "plane": 2}},
        check_slice,
    ),
}


@pytest.mark.parametrize("name", READ)
def test_real_data_convert_to_their_numbers(shared: Path, tmp_path: Path, name: str) -> None:
    folder, streams, check = READ[name]
    root = shared / "data" / folder
    with converted(tmp_path, root, streams) as file:
        check(file, root)


def medpc(name: str = "data", **keys: Any) -> Streams:
    return {"task": {"format": "medpc", "path": name, "events": {"G": "pellet_entry"}, **keys}}


LEVERS = {"format": "trials", "start_column": "(D)PelHLON", "stop_column": "(E)PelHLOFF", "sheet": "57"}
EVENTS = "holds events of the state machine, not positions. Name the encoderPositions file."
REFUSED: dict[str, tuple[str, Streams, str, str]] = {
    "suite2p without a rate": (
        "suite2p_without_ops",
        {"cells": {"format": "suite2p", "path": "suite2p"}},
        "plane0",
        "neither times nor a rate. Give rate_hz",
    ),
    "two animals": (
        "sleap_mice",
        sleap("tracks/clip.slp", rate_hz=25),
        "clip.slp",
        "2 tracks: female, male. Name one",
    ),
    "animals without tracks": (
        "sleap_mice",
        sleap("slp_hdf5/minimal_instance.slp", rate_hz=25),
        "minimal_instance.slp",
        "two animals in frame 0 but no tracks. Track the animals",
    ),
    "labels": (
        "lightning_pose_running_mouse",
        {"pose": {"format": "lightning_pose", "path": "CollectedData.csv", "rate_hz": 250}},
        "CollectedData.csv",
        "labels of single frames, as a person sets them for training, not the points of every frame. Name",
    ),
    "pose in an NWB file": (
        "dlc_openfield",
        {"pose": {"format": "deeplabcut", "path": "*.nwb", "rate_hz": 30}},
        f"{OPENFIELD}.nwb",
        "no data frames; one is expected. Name the file",
    ),
    "encoder cut short": (
        BPOD,
        encoder(f"{LT5}Positions.raw.01.ssv"),
        "Positions.raw.01.ssv:15",
        "last line is cut short. Copy the file again",
    ),
    "training cut short": (
        BPOD,
        encoder(TRAINING.format("lt5", "Positions")),
        "Positions.raw.ssv:15",
        "last line is cut short. Copy the file again",
    ),
    "encoder with a broken line": (
        BPOD,
        encoder(f"{LT5}Positions.raw.00.ssv"),
        "Positions.raw.00.ssv:12",
        "no time and position of the encoder. The file is damaged",
    ),
    "encoder that was reset": (
        BPOD,
        encoder(f"{LT5}Positions.raw.2firstsamples.ssv"),
        "2firstsamples.ssv:3",
        "give skip_rows",
    ),
    "events of newer firmware": (BPOD, encoder(f"{GE5}Events.raw.ssv"), "Events.raw.ssv", EVENTS),
    "events": (BPOD, encoder(f"{LT5}Events.raw.00.ssv"), "Events.raw.00.ssv", EVENTS),
    "damaged events": (
        BPOD,
        encoder(f"{LT5}Events.raw.CorruptMiddle.ssv"),
        "CorruptMiddle.ssv",
        EVENTS,
    ),
    "events with a damaged time": (
        BPOD,
        encoder(f"{LT5}Events.raw.CorruptTimestamp.ssv"),
        "CorruptTimestamp.ssv",
        EVENTS,
    ),
    "trial info": (
        BPOD,
        encoder(TRAINING.format("ge5", "TrialInfo")),
        "encoderTrialInfo.raw.ssv:1",
        "or is not iblrig's encoderPositions file",
    ),
    "ambient sensor": (
        BPOD,
        {
            "task": {
                "format": "bpod",
                "path": "session_training_ge5/raw_behavior_data/_iblrig_ambientSensorData.raw.jsonable",
            }
        },
        "ambientSensorData.raw.jsonable:1",
        f"no trial of iblrig: KeyError 'behavior_data'. Name the file {TASK}",
    ),
    "channels of wheel.npy": (
        BPOD,
        array("wheel.npy", {**POSITION, "channel": None}, rate_hz=10),
        "wheel.npy",
        "shape (102, 2); one signal is wanted. Give channel",
    ),
    "times of wheel.npy": (
        BPOD,
        array("wheel.npy", POSITION, time_column="times"),
        "wheel.npy",
        "shape (102, 2); one signal is wanted. Give time_channel",
    ),
    "nine animals": (
        "medpc_med2excel",
        medpc(),
        "medpc_med2excel/data",
        "holds 9 recordings; 9 of them have what select states (nothing). Pick one by Subject: '56'",
    ),
    "array that is not there": (
        "medpc_med2excel",
        medpc(select={"Subject": "56"}, events={"AA": "x"}),
        "medpc_med2excel/data",
        "no array 'AA'",
    ),
    "workbook as MED-PC": (
        "medpc_med2excel",
        medpc("20200123.xlsx"),
        "20200123.xlsx",
        "no data file of MED-PC: there is no line 'Start Date:'. Name the text file",
    ),
    "workbook as trials": (
        "medpc_med2excel",
        {"task": {**LEVERS, "path": "20200123.xlsx"}},
        "20200123.xlsx:4 ((E)PelHLOFF)",
        "is not a number. Leave the row out, or give its time.",
    ),
    "workbook as signals": (
        "medpc_med2excel",
        {
            "task": {
                "format": "series",
                "path": "20200123.xlsx",
                "rate_hz": 1,
                "signals": [{"name": "x", "unit": "s"}],
            }
        },
        "20200123.xlsx",
        "Export it as CSV",
    ),
    "ScanImage as plain TIFF": (
        "thunder_tiffs",
        {"movie": {"format": "tiff_movie", "path": "multilayer_tif/test_signed.tif", "rate_hz": 1}},
        "test_signed.tif",
        "it is a ScanImage file. Use format: scanimage",
    ),
    "ScanImage without a whole volume": (
        "thunder_tiffs",
        {"movie": {"format": "scanimage", "path": "multilayer_tif/test_signed.tif"}},
        "test_signed.tif",
        "holds 2 pages, where a volume takes 4",
    ),
    "files of one movie": (
        "zebrafish_volumes",
        {"movie": {key: value for key, value in VOLUMES.items() if key != "parts"}},
        "study.yaml",
        "matches 20 files",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_with_a_remedy(shared: Path, tmp_path: Path, name: str) -> None:
    folder, streams, place, words = REFUSED[name]
    status, shown = convert(tmp_path, shared / "data" / folder, streams)
    assert status == 1
    (line,) = [
        each for each in shown.splitlines() if place in each and words in each and "FAILED" not in each
    ]
    assert line.index(place) < line.index(words)
    assert "Traceback" not in shown
    assert not list(tmp_path.rglob("*.nwb"))


def test_nine_animals_of_a_medpc_file_are_nine_sessions(shared: Path, tmp_path: Path) -> None:
    """The same times as in the workbook that medpc2excel made of the file."""
    root = shared / "data/medpc_med2excel"
    animals = [str(number) for number in range(55, 64)]
    sessions = [
        {
            "subject_id": f"m{each}",
            "session_id": "a",
            "streams": {"task": {"select": {"Subject": each}}},
        }
        for each in animals
    ]
    subjects = [{**SUBJECT, "subject_id": f"m{each}"} for each in animals]
    status, shown = convert(tmp_path, root, medpc(), sessions=sessions, subjects=subjects)
    assert status == 0, shown
    workbook = pd.read_excel(root / "20200123.xlsx", sheet_name=None)
    for each in animals:
        (path,) = (tmp_path / f"nwb/sub-m{each}").glob("*.nwb")
        with h5py.File(path) as file:
            times = stored(file, "events/task/timestamp")
        expected = workbook[each]["(G)PelPEnt"].dropna().to_numpy()
        np.testing.assert_allclose(times, np.sort(expected), atol=5e-4)


def test_every_tiff_converts_or_is_refused(shared: Path, tmp_path: Path) -> None:
    root = shared / "data"
    folders = ("odd_tiffs", "thunder_tiffs", "zebrafish_volumes")
    files = sorted(path for each in folders for path in (root / each).rglob("*.tif*"))
    sessions = [
        {"subject_id": "m", "session_id": f"s{number}", "file": path.relative_to(root).as_posix()}
        for number, path in enumerate(files)
    ]
    streams = {"movie": {"format": "tiff_movie", "path": "{file}", "rate_hz": 1}}
    status, shown = convert(tmp_path, root, streams, sessions=sessions)
    assert status == 1
    assert "Traceback" not in shown
    failed = {line.split(":")[1].strip(): line for line in shown.splitlines() if line.startswith("failed: ")}
    assert len(failed) == 32
    for number, path in enumerate(files):
        output = tmp_path / f"nwb/sub-m/sub-m_ses-s{number}_ophys.nwb"
        if not output.is_file():
            told = failed[f"m/s{number}"].partition(f"{path}: ")[2]
            assert len(told.split(". ")) > 1, told
            continue
        with h5py.File(output) as file:
            data = stored(file, "acquisition/TwoPhotonSeries/data")
        source = tifffile.imread(path)
        assert np.array_equal(data, source.reshape(-1, *source.shape[-2:]).transpose(0, 2, 1)), path
    assert len(list((tmp_path / "nwb").rglob("*.nwb"))) == 98
    assert pynwb.validate(path=output) == []


def drug_tables(shared: Path) -> list[Path]:
    folders = ("levodopa_tables", "drug_metadata_yaml")
    found = (path for each in folders for path in (shared / "data" / each).rglob("*"))
    return sorted(path for path in found if path.suffix in (".csv", ".xlsx", ".yaml", ".txt"))


def test_how_labs_write_drugs_down_is_no_drug_log_and_says_so(shared: Path, tmp_path: Path) -> None:
    root = shared / "data/suite2p_without_ops"
    streams = {"cells": {"format": "suite2p", "path": "suite2p", "rate_hz": 30}}
    tables = drug_tables(shared)
    assert len(tables) == 23
    for number, table in enumerate(tables):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copy(table, folder / table.name)
        status, shown = convert(folder, root, streams, drug_log=table.name)
        assert status == 1, table
        for column in ("subject_id", "session_id", "timestamp_s", "substance"):
            assert f"{table.name}:1 ({column}): There is no column '{column}'." in shown
        assert "The header must name subject_id, session_id, timestamp_s, substance." in shown
        assert "Traceback" not in shown
        assert not (folder / "nwb").exists()


LOG = """subject_id,session_id,timestamp_s,substance,stereochemistry,salt,dose_basis,dose,dose_unit,route
m,a,60,ketamine,racemic,hydrochloride,salt,10,mg/kg,i.p.
"""
NWB: dict[str, str] = {
    "nwb_old_pynwb": "",
    "nwb_old_matnwb": "test_output.nwb: pynwb cannot read it",
    "nwb_v1_silverlab": "version 1.0.5i_beta; version 2 is needed",
    "nwb_dandi000009": "",
    "nwb_peyrache_units": "",
    "dlc_openfield": "",
}
NAMES = {"nwb_old_pynwb": "*_str_pub.nwb"}
"""Annotating all ten takes long."""
NOT_ANNOTATED = {
    "S1.nwb": "cannot be read by pynwb",
    "test_output.nwb": "cannot be read by pynwb",
    "link_test.nwb": "link at /general/subject to another file",
    "test_epochs.nwb": "version 1.0.5i_beta; version 2 is needed",
}


@pytest.mark.parametrize("folder", NWB)
def test_files_of_labs_are_checked(shared: Path, folder: str) -> None:
    root = shared / "data" / folder
    status, shown = run("check", root)
    assert status == 1
    assert NWB[folder] in shown
    assert "Traceback" not in shown
    for path in root.rglob("*.nwb"):
        assert any(line.startswith("error: ") and path.name in line for line in shown.splitlines())


@pytest.mark.parametrize("folder", NWB)
def test_files_of_labs_are_annotated_or_refused(shared: Path, tmp_path: Path, folder: str) -> None:
    (tmp_path / "log.csv").write_text(LOG, encoding="utf-8")
    for source in sorted((shared / "data" / folder).rglob(NAMES.get(folder, "*.nwb"))):
        path = tmp_path / source.name
        shutil.copyfile(source, path)
        options = ("--drug-log", tmp_path / "log.csv", "--subject-id", "m", "--session-id", "a")
        status, shown = run("annotate", path, *options)
        assert "Traceback" not in shown
        if source.name in NOT_ANNOTATED:
            assert status == 1
            assert any(path.name in line and NOT_ANNOTATED[path.name] in line for line in shown.splitlines())
            assert path.read_bytes() == source.read_bytes()
            continue
        assert status == 0, shown
        with pynwb.NWBHDF5IO(path, "r", load_namespaces=True) as nwb:
            assert list(nwb.read().events["drug_administrations"]["substance"]) == ["ketamine"]


FOUND: dict[str, set[str]] = {
    "two_photon_mouse_treadmill": {"tiff_movie", "suite2p", "wheel_csv"},
    "suite2p_without_ops": {"suite2p"},
    "sleap_mice": {"sleap", "video"},
    "dlc_openfield": {"deeplabcut"},
    "lightning_pose_running_mouse": {"video"},
    BPOD: {"bpod", "bpod_encoder"},
    "odd_tiffs": {"tiff_movie"},
    "thunder_tiffs": {"tiff_movie", "scanimage"},
    "zebrafish_volumes": {"tiff_movie"},
}
NOTHING: dict[str, str] = {
    "medpc_med2excel": "pools 9 recordings of MED-PC",
    "levodopa_tables": "It holds .csv, .xlsx",
    "drug_metadata_yaml": "docs/formats.md lists what is read",
    "drug_table_psilocybin": "docs/formats.md lists what is read",
    "meta_pymare": "docs/formats.md lists what is read",
    "nwb_dandi000009": "nwbswitch annotate",
    "nwb_old_matnwb": "nwbswitch annotate",
    "nwb_old_pynwb": "nwbswitch annotate",
    "nwb_peyrache_units": "nwbswitch annotate",
    "nwb_v1_silverlab": "nwbswitch annotate",
}


def test_every_folder_is_looked_into(shared: Path) -> None:
    folders = {each.name for each in (shared / "data").iterdir() if each.is_dir()}
    assert folders - {"LICENSES"} == set(FOUND) | set(NOTHING)


@pytest.mark.parametrize("folder", FOUND)
def test_a_draft_of_real_data_converts_as_it_is(shared: Path, tmp_path: Path, folder: str) -> None:
    status, shown = run("init", shared / "data" / folder, "-o", tmp_path / "study", "--json")
    assert status == 0, shown
    result = json.loads(shown[shown.index("{\n") :])
    assert {each["format"] for session in result["sessions"] for each in session["streams"]} == FOUND[folder]
    status, shown = run("convert", tmp_path / "study/study.yaml", "-o", tmp_path / "nwb", "--stub")
    assert status == 0, shown
    assert len(list((tmp_path / "nwb").rglob("*.nwb"))) == len(result["sessions"])


@pytest.mark.parametrize("folder", NOTHING)
def test_a_folder_without_recordings_is_told_what_to_do(shared: Path, tmp_path: Path, folder: str) -> None:
    status, shown = run("init", shared / "data" / folder, "-o", tmp_path / "study")
    assert status == 1
    assert f"{folder}: holds no recording of a known format." in shown
    assert NOTHING[folder] in shown
    assert not (tmp_path / "study").exists()
