"""Points of SLEAP: tracks, gaps, corrections, and times that are frames divided by their rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from format_writers.pose_files import Instance, walking, write_analysis, write_slp

from nwbswitch.converters.behavior.sleap import SleapInterface
from nwbswitch.converters.clocks.clock_map import ClockMap
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

POINTS = walking(10, 2)


def instances(track: int, frames: range | list[int], *, by_hand: bool = False) -> list[Instance]:
    return [(frame, track, by_hand, POINTS[frame] + 100 * track) for frame in frames]


def opened(path: Path, **keys: Any) -> SleapInterface:
    return SleapInterface(file_path=path, **{"rate_hz": 25.0, **keys})


def places(interface: SleapInterface) -> np.ndarray:
    found = np.stack([interface.store.places(0), interface.store.places(1)], axis=1)
    interface.close()
    return found


def test_gaps_are_nan_and_both_tracks_have_the_same_frames(tmp_path: Path) -> None:
    path = write_slp(tmp_path / "v.slp", instances(0, [2, 3, 7]) + instances(1, range(10)))
    one = opened(path, track="a")
    assert one.pose.n == 10
    assert one.pose.keypoints == ("nose", "tail")
    assert one.pose.edges == ((0, 1),)
    np.testing.assert_array_equal(one.store.confidence()[[2, 3, 7]], POINTS[[2, 3, 7], :, 2])
    found = places(one)
    np.testing.assert_array_equal(found[[2, 3, 7]], POINTS[[2, 3, 7], :, :2])
    assert np.isnan(found[[0, 1, 4, 5, 6, 8, 9]]).all()
    np.testing.assert_array_equal(places(opened(path, track="b")), POINTS[:, :, :2] + 100)


def test_times_are_frames_divided_by_the_rate(tmp_path: Path) -> None:
    path = write_slp(tmp_path / "v.slp", instances(0, [0, 4, 9]), tracks=["a"])
    interface = opened(path)
    np.testing.assert_allclose(interface.get_timestamps(), np.arange(10) / 25.0)
    interface.align(ClockMap(100.0, 0.0))
    assert interface.get_timestamps()[9] == pytest.approx(100.36)
    interface.close()


def test_the_video_that_gives_the_times_may_go_on(tmp_path: Path) -> None:
    path = write_slp(tmp_path / "v.slp", instances(0, range(10)), tracks=["a"])
    interface = opened(path)
    np.testing.assert_array_equal(interface.frame_numbers, np.arange(10))
    interface.follow_counter(np.arange(10) * 0.1, slice(0, 10))
    assert interface.get_timestamps()[9] == pytest.approx(0.9)
    interface.close()


def test_what_a_person_corrected_counts(tmp_path: Path) -> None:
    corrected = [(3, 0, True, POINTS[3] + 7)]
    path = write_slp(tmp_path / "v.slp", instances(0, range(5)) + corrected, tracks=["a"])
    interface = opened(path)
    assert "1 frames were set by a person" in interface.pose.comments
    assert np.isnan(interface.store.confidence()[3]).all()
    np.testing.assert_array_equal(places(interface)[3], POINTS[3, :, :2] + 7)


def test_points_that_are_hidden_and_instances_without_track(tmp_path: Path) -> None:
    hidden = POINTS[4].copy()
    hidden[1] = np.nan
    rows = [*instances(0, range(4)), (4, 0, False, hidden), (4, -1, False, POINTS[4])]
    interface = opened(write_slp(tmp_path / "v.slp", rows, tracks=["a"]))
    assert "1 instances without a track were left out" in interface.pose.comments
    found = places(interface)
    assert np.isfinite(found[4, 0]).all()
    assert np.isnan(found[4, 1]).all()


def test_old_files_count_pixels_from_their_corner(tmp_path: Path) -> None:
    path = write_slp(tmp_path / "v.slp", instances(0, range(4)), tracks=["a"], format_id=1.0)
    np.testing.assert_array_equal(places(opened(path)), POINTS[:4, :, :2] - 0.5)


def test_videos_of_one_project_are_chosen_by_number(tmp_path: Path) -> None:
    path = write_slp(tmp_path / "v.slp", instances(0, range(4)), tracks=["a"], videos=np.array([0, 0, 1, 1]))
    with pytest.raises(InputFileError, match="2 videos: 0, 1. Name one as video"):
        opened(path)
    with pytest.raises(InputFileError, match="no video 5"):
        opened(path, video=5)
    assert np.isfinite(places(opened(path, video=1))[2:]).all()


@pytest.mark.parametrize("scattered", [False, True])
def test_points_in_any_order_of_the_file(tmp_path: Path, scattered: bool) -> None:
    rows = instances(0, range(10))
    path = write_slp(tmp_path / "v.slp", rows, tracks=["a"])
    with h5py.File(path, "r+") as file:
        old, shift = file["pred_points"][()], 5000 if scattered else 0
        new = np.zeros(len(old) + shift, old.dtype)
        # Turned round, the last instance first.
        turned = old.reshape(10, 2)[::-1].reshape(-1)
        new[:2], new[2 + shift :] = turned[:2], turned[2:]
        table = file["instances"][()]
        starts = np.arange(10)[::-1] * 2
        starts[starts > 0] += shift
        table["point_id_start"], table["point_id_end"] = starts, starts + 2
        file["instances"][...] = table
        del file["pred_points"]
        file["pred_points"] = new
    np.testing.assert_array_equal(places(opened(path)), POINTS[:, :, :2])


@pytest.mark.parametrize("standard", [False, True])
def test_analysis_files_of_both_orders(tmp_path: Path, standard: bool) -> None:
    points = walking(60, 4).reshape(2, 30, 4, 3)
    path = write_analysis(
        tmp_path / "v.h5", points, nodes=["n1", "n2", "n3", "n4"], tracks=["a", "b"], standard=standard
    )
    with pytest.raises(InputFileError, match="2 tracks: a, b"):
        opened(path)
    interface = opened(path, track="b")
    assert interface.pose.n == 30
    for node in range(4):
        np.testing.assert_array_equal(interface.store.places(node), points[1, :, node, :2])
    np.testing.assert_array_equal(interface.store.confidence(), points[1, :, :, 2])
    interface.close()


def test_tracks_without_names_are_chosen_by_number(tmp_path: Path) -> None:
    path = write_analysis(tmp_path / "v.h5", walking(20, 2).reshape(2, 10, 2, 3), nodes=["a", "b"], tracks=[])
    with pytest.raises(InputFileError, match="2 tracks: 0, 1"):
        opened(path)
    assert np.isfinite(places(opened(path, track="1"))).all()


def test_real_predictions(shared: Path) -> None:
    """neuroconv 0.10.2, given 25 Hz without a metadata_key, ends this track at 1499 * 25 = 37,475 s."""
    path = shared / "data/sleap_mice/tracks/clip.predictions.slp"
    interface = opened(path, track="male")
    assert interface.pose.keypoints == ("head", "thorax")
    assert "1448 of 1500 frames" in interface.pose.comments
    with h5py.File(path) as file:
        table, points = file["instances"][()], file["pred_points"][()]
        row = table[(table["frame_id"] == 1499) & (table["track"] == 1)][0]
        last = points[row["point_id_start"]]
    assert interface.store.places(0)[1499].tolist() == [last["x"], last["y"]]
    assert interface.store.confidence()[1499, 0] == last["score"]
    assert interface.get_timestamps()[-1] == pytest.approx(1499 / 25)
    interface.close()


def test_real_labels_and_analysis(shared: Path) -> None:
    folder = shared / "data/sleap_mice"
    interface = opened(folder / "tracks/clip.slp", track="female")
    assert len(interface.pose.keypoints) == 13
    assert interface.pose.keypoints[:2] == ("head", "thorax")
    assert (1, 0) in interface.pose.edges
    assert not interface.pose.has_confidence
    interface.close()
    analysis = opened(folder / "hdf5_format_v1/small_robot.000_small_robot_3_frame.analysis.h5")
    assert analysis.pose.keypoints == ("top", "front", "rear")
    np.testing.assert_allclose(analysis.store.places(1)[1], [384.70135498, 244.34580994])
    assert np.isnan(analysis.store.confidence()[0]).all()
    analysis.close()
    with pytest.raises(InputFileError, match="two animals in frame 0 but no tracks"):
        opened(folder / "slp_hdf5/minimal_instance.slp")


@pytest.mark.parametrize(
    ("rows", "keys", "words"),
    [
        (instances(0, range(3)) + instances(1, range(3)), {}, "2 tracks: a, b. Name one"),
        (instances(0, range(3)), {"track": "c"}, "no track 'c'"),
        (instances(0, range(3)), {"track": "b"}, "no instance of this track"),
        (instances(0, [1, 1, 2]), {"track": "a"}, "two animals in frame 1 of this track"),
    ],
)
def test_nothing_is_guessed(tmp_path: Path, rows: list[Instance], keys: dict[str, str], words: str) -> None:
    with pytest.raises(InputFileError, match=words):
        opened(write_slp(tmp_path / "v.slp", rows), **keys)


def _set(name: str, field: str, row: int, value: int) -> Any:
    def spoil(file: h5py.File) -> None:
        table = file[name][()]
        table[field][row] = value
        file[name][...] = table

    return spoil


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (_set("frames", "frame_idx", 3, 10**15), UnsafeFileError),
        (_set("frames", "frame_idx", 3, 2**64 - 1), UnsafeFileError),
        (_set("frames", "frame_id", 3, 0), InputFileError),
        (_set("instances", "frame_id", 3, 77), InputFileError),
        (_set("instances", "point_id_end", 3, 10**12), InputFileError),
        (_set("instances", "skeleton", 3, 7), InputFileError),
        (_set("instances", "instance_type", 3, 9), InputFileError),
        (lambda file: file["metadata"].attrs.__setitem__("json", "[" * 100_000), InputFileError),
        (lambda file: file["metadata"].attrs.__setitem__("json", '{"nodes": []}'), InputFileError),
        (lambda file: file["metadata"].attrs.__setitem__("format_id", 3.0), InputFileError),
        (lambda file: file.__delitem__("pred_points"), InputFileError),
        (lambda file: file.__delitem__("frames"), InputFileError),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, spoil: Any, error: type[Exception]) -> None:
    path = write_slp(tmp_path / "v.slp", instances(0, range(5)), tracks=["a"])
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(error):
        opened(path)
