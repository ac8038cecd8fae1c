"""Real recordings convert to their numbers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pynwb
import pytest
import tifffile
from shared_runs import (
    BPOD,
    CLIP,
    GE5,
    LT5,
    OPENFIELD,
    POSITION,
    QC,
    SUBJECT,
    TASK,
    TRAINING,
    TREADMILL,
    TRIALS,
    VOLUMES,
    Streams,
    array,
    convert,
    converted,
    encoder,
    medpc,
    sleap,
    stored,
)

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
