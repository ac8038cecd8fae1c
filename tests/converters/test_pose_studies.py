"""Poses and videos of a whole recording session: found in a raw folder, timed by each other, converted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from format_writers.pose_files import (
    dlc_labels,
    walking,
    write_analysis,
    write_dlc_csv,
    write_dlc_table,
    write_slp,
)
from format_writers.video_files import write_avi, write_mp4

from nwbswitch.cli import commands
from nwbswitch.converters.survey.sightings import survey
from nwbswitch.schemas.errors import NwbswitchError

POINTS = walking(40, 2)
STUDY = """
study: {name: poses, title: Poses}
timezone: UTC
data_root: raw
subjects: [{subject_id: m1, species: Mus musculus, sex: M, age: P90D}]
sessions:
  - subject_id: m1
    session_id: s1
    start_time: 2024-05-01T10:00:00+00:00
    description: Open field.
    streams:
      top: {format: video, path: top.mp4, start_s: 3}
      body: {format: sleap, path: v.slp, track: a, timing_of: top}
      face: {format: deeplabcut, path: v.h5, timing_of: top, pixel_size_mm: 0.1}
"""


def convert(folder: Path, text: str = STUDY) -> Any:
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    arguments = ["convert", str(folder / "study.yaml"), "-o", str(folder / "nwb")]
    return CliRunner().invoke(commands, arguments, standalone_mode=False)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A video of uneven frames, and two animals in it, the first of them up to frame 29."""
    folder = tmp_path / "raw"
    folder.mkdir()
    durations = [512] * 20 + [1024] * 20
    write_mp4(folder / "top.mp4", [5] * 40, durations=durations)
    rows = [(frame, 0, False, POINTS[frame]) for frame in range(5, 30)]
    write_slp(folder / "v.slp", rows, tracks=["a"])
    write_dlc_table(folder / "v.h5", dlc_labels(["nose"]), POINTS[:, :1].reshape(40, 3))
    return folder


def test_poses_take_the_times_of_their_video(raw: Path, tmp_path: Path) -> None:
    assert convert(tmp_path).return_value == 0
    (path,) = (tmp_path / "nwb").rglob("*.nwb")
    times = 3 + np.cumsum([0] + [512] * 20 + [1024] * 19) / 12800
    with h5py.File(path) as file:
        behavior = file["processing/behavior"]
        np.testing.assert_allclose(file["acquisition/top/timestamps"], times)
        np.testing.assert_allclose(behavior["face/nose/timestamps"], times)
        np.testing.assert_allclose(behavior["body/nose/timestamps"], times[:30])
        np.testing.assert_array_equal(behavior["body/nose/data"][5:], POINTS[5:30, 0, :2])
        assert file["acquisition/top/external_file"][0] == b"sub-m1_ses-s1_image/top.mp4"


def test_a_pose_of_another_video_is_refused(raw: Path, tmp_path: Path) -> None:
    write_dlc_table(raw / "v.h5", dlc_labels(["nose"]), POINTS[:39, :1].reshape(39, 3))
    result = convert(tmp_path)
    assert result.return_value == 1 or isinstance(result.exception, NwbswitchError)
    assert "face has 39 samples for 40 frames of top" in f"{result.output}{result.exception}"
    assert not list((tmp_path / "nwb").rglob("*.nwb"))


def sighted(folder: Path) -> list[tuple[str, str, dict[str, Any]]]:
    return [(each.format, each.path.name, dict(each.keys)) for each in survey(folder).sightings]


def test_every_animal_of_a_file_is_a_recording(tmp_path: Path) -> None:
    labels = dlc_labels(["nose"], ["m1", "m2"])
    write_dlc_table(tmp_path / "a.h5", labels, np.zeros((3, 6)))
    write_dlc_csv(tmp_path / "b.csv", labels, np.zeros((3, 6)))
    write_slp(tmp_path / "c.slp", [(0, track, False, POINTS[0]) for track in (0, 1)])
    write_analysis(tmp_path / "d.h5", POINTS.reshape(2, 20, 2, 3), nodes=["x", "y"], tracks=["a", "b"])
    animals = [{"individual": "m1"}, {"individual": "m2"}]
    tracks = [{"track": "a"}, {"track": "b"}]
    assert sighted(tmp_path) == [
        *[("deeplabcut", "a.h5", each) for each in animals],
        *[("deeplabcut", "b.csv", each) for each in animals],
        *[("sleap", "c.slp", each) for each in tracks],
        *[("sleap", "d.h5", each) for each in tracks],
    ]


def test_labels_and_drawn_videos_are_no_recordings(tmp_path: Path) -> None:
    two = ("x", "y")
    write_dlc_table(tmp_path / "CollectedData.h5", dlc_labels(["nose"], coords=two), np.zeros((3, 2)))
    write_dlc_csv(tmp_path / "CollectedData.csv", dlc_labels(["nose"], coords=two), np.zeros((3, 2)))
    write_avi(tmp_path / "v_labeled.avi", [5, 5])
    write_avi(tmp_path / "v.avi", [5, 5])
    assert sighted(tmp_path) == [("video", "v.avi", {})]


def test_real_files_are_recognised(shared: Path) -> None:
    folder = shared / "data"
    assert [each[0] for each in sighted(folder / "dlc_openfield")] == ["deeplabcut"]
    assert [each[0] for each in sighted(folder / "lightning_pose_running_mouse")] == ["video"]
    found = sighted(folder / "sleap_mice")
    assert sorted(each[0] for each in found) == ["sleap"] * 6 + ["video"]
    assert ("sleap", "clip.slp", {"track": "male"}) in found
