"""Signals of Facemap: names that can be found, places in the frame, and no path of the lab."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pynwb
import pytest
from format_writers.pose_files import (
    facemap_proc,
    walking,
    write_facemap_keypoints,
    write_facemap_proc,
)
from pynwb import NWBFile

from nwbswitch.converters.behavior.facemap import FacemapInterface
from nwbswitch.converters.behavior.facemap_keypoints import FacemapKeypointsInterface
from nwbswitch.converters.writing.nwb_writer import write_nwb
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError


def added(interface: Any, nwbfile: NWBFile | None = None) -> Any:
    nwbfile = nwbfile or NWBFile("test", "id", datetime(2024, 5, 1, 10, tzinfo=UTC))
    interface.add_to_nwbfile(nwbfile)
    return nwbfile.processing["behavior"]


def of(tmp_path: Path, proc: dict[str, Any], **keys: Any) -> FacemapInterface:
    path = write_facemap_proc(tmp_path / "v_proc.npy", proc)
    return FacemapInterface(file_path=path, rate_hz=30.0, **keys)


def test_signals_have_names_that_tell_what_they_are(tmp_path: Path) -> None:
    proc = facemap_proc(200)
    module = added(of(tmp_path, proc, components=2))
    pupil, series = module["PupilTracking"], module["BehavioralTimeSeries"]
    assert set(pupil.time_series) == {"face_pupil_area", "face_pupil_area_smooth"}
    assert set(series.time_series) == {
        "face_motion_energy",
        "face_motion_energy_region1",
        "face_motion_svd",
        "face_motion_svd_region1",
        "face_blink_area",
        "face_running",
    }
    np.testing.assert_array_equal(pupil["face_pupil_area"].data, proc["pupil"][0]["area"])
    np.testing.assert_array_equal(series["face_motion_energy_region1"].data, proc["motion"][1])
    np.testing.assert_array_equal(series["face_motion_svd"].data, proc["motSVD"][0][:, :2])
    assert series["face_motion_energy"].rate == 30.0


def test_places_are_x_and_y_in_the_video_frame(tmp_path: Path) -> None:
    """Facemap keeps (y, x), for the pupil within its region, which begins at x = 50 and y = 20."""
    proc = facemap_proc(200)
    module = added(of(tmp_path, proc, pixel_size_mm=0.02))
    position = module["EyeTracking"]["face_pupil_position"]
    np.testing.assert_allclose(position.data, proc["pupil"][0]["com"][:, ::-1] + [50, 20])
    assert (position.unit, position.conversion) == ("meters", 2e-5)
    area = module["PupilTracking"]["face_pupil_area"]
    assert (area.unit, area.conversion) == ("m2", pytest.approx(4e-10))
    running = module["BehavioralTimeSeries"]["face_running"]
    np.testing.assert_array_equal(running.data, proc["running"][0][:, ::-1])


def test_two_pupils_and_no_whole_video(tmp_path: Path) -> None:
    proc = facemap_proc(200, pupils=2)
    proc["motion"][0], proc["motSVD"][0] = np.zeros(0, np.float32), np.zeros((0, 1), np.float32)
    module = added(of(tmp_path, proc, components=500))
    assert {"face_pupil_area_1", "face_pupil_area_2"} <= set(module["PupilTracking"].time_series)
    second = module["EyeTracking"]["face_pupil_position_2"]
    np.testing.assert_allclose(second.data, proc["pupil"][1]["com"][:, ::-1] + [50, 21])
    series = module["BehavioralTimeSeries"].time_series
    assert "face_motion_energy" not in series
    assert series["face_motion_svd_region1"].data.shape == (200, 6)


def test_nothing_of_the_lab_gets_into_the_file(tmp_path: Path) -> None:
    nwbfile = NWBFile("test", "id", datetime(2024, 5, 1, 10, tzinfo=UTC))
    for key in ("left", "right"):
        added(of(tmp_path, facemap_proc(200), metadata_key=key), nwbfile)
    write_nwb(nwbfile, tmp_path / "v.nwb")
    assert pynwb.validate(path=tmp_path / "v.nwb") == []
    assert b"Jane" not in (tmp_path / "v.nwb").read_bytes()
    with h5py.File(tmp_path / "v.nwb") as file:
        assert "left_pupil_area" in file["processing/behavior/PupilTracking"]
        assert "right_pupil_area" in file["processing/behavior/PupilTracking"]


def _spoilt(key: str, value: Any) -> dict[str, Any]:
    return {**facemap_proc(200), key: value}


@pytest.mark.parametrize(
    ("proc", "words"),
    [
        (_spoilt("motion", [np.zeros(200), np.zeros(199)]), r"signals of \[199, 200\] frames"),
        (_spoilt("rois", None), "1 pupils for 0 regions"),
        (_spoilt("pupil", [{"area": np.zeros(200)}]), "KeyError: 'com'"),
        (_spoilt("pupil", [{"area": np.zeros(200), "com": np.zeros((200, 3))}]), "an array of shape"),
        (_spoilt("motion", ["words"]), "is no .*_proc.npy file"),
        ({"filenames": []}, "lacks motion, pupil or rois"),
        (
            {**facemap_proc(200), "motion": [], "pupil": [], "blink": [], "running": [], "rois": []},
            "no signal",
        ),
    ],
)
def test_other_dictionaries_are_refused(tmp_path: Path, proc: dict[str, Any], words: str) -> None:
    with pytest.raises(InputFileError, match=words):
        of(tmp_path, proc)


class _Runs:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return eval, ("1/0",)


def test_the_pickle_is_not_run(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFileError):
        of(tmp_path, {**facemap_proc(200), "sbin": _Runs()})


def test_keypoints(tmp_path: Path) -> None:
    points = walking(50, 2).astype(np.float32)
    path = write_facemap_keypoints(tmp_path / "v_FacemapPose.h5", ["eye(back)", "nose(tip)"], points)
    interface = FacemapKeypointsInterface(file_path=path, rate_hz=30.0)
    module = added(interface)
    np.testing.assert_array_equal(module["face"]["nose(tip)"].data, points[:, 1, :2])
    np.testing.assert_array_equal(module["BehavioralTimeSeries"]["face_confidence"].data, points[:, :, 2])
    interface.close()


def _add_tail(file: h5py.File, values: list[Any]) -> None:
    for coord in ("x", "y", "likelihood"):
        file[f"Facemap/tail/{coord}"] = values


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda file: file.__delitem__("Facemap"), "no group Facemap"),
        (lambda file: file.__delitem__("Facemap/nose/x"), "no x, y and likelihood of nose"),
        (lambda file: file.__setitem__("Facemap/tail/x", np.zeros(3)), "no x, y and likelihood of tail"),
        (lambda file: _add_tail(file, [1.0]), "different length"),
        (lambda file: _add_tail(file, ["a"] * 9), "no numbers"),
    ],
)
def test_damaged_keypoints_are_refused(tmp_path: Path, spoil: Any, words: str) -> None:
    path = write_facemap_keypoints(tmp_path / "v.h5", ["nose"], walking(9, 1))
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(InputFileError, match=words):
        FacemapKeypointsInterface(file_path=path, rate_hz=30.0)
