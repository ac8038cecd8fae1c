"""Points of many frames pass through a temporary file and stay the same; wrong lengths are noticed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_writers.pose_files import dlc_labels, walking, write_dlc_csv, write_dlc_table
from pynwb import NWBHDF5IO

from nwbswitch.converters.behavior import pose as pose_module
from nwbswitch.converters.behavior.deeplabcut import DeepLabCutInterface
from nwbswitch.converters.behavior.lightning_pose import LightningPoseInterface
from nwbswitch.converters.behavior.pose import Pose, PoseChunks, PoseStore
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError


@pytest.mark.parametrize("limit", [0, 1 << 28])
def test_long_recordings_go_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(pose_module, "MEMORY_FRAMES", 100)
    monkeypatch.setattr(pose_module, "MEMORY_BYTES", limit)
    monkeypatch.setattr("nwbswitch.converters.behavior.deeplabcut.BLOCK_FRAMES", 70)
    points = walking(500, 3)
    path = write_dlc_table(tmp_path / "v.h5", dlc_labels(["a", "b", "c"]), points.reshape(500, 9))
    interface = DeepLabCutInterface(file_path=path, rate_hz=30.0)
    assert isinstance(interface.store.places(0), PoseChunks)
    metadata = interface.get_metadata()
    metadata["NWBFile"]["session_start_time"] = "2024-05-01T10:00:00+00:00"
    interface.run_conversion(nwbfile_path=tmp_path / "v.nwb", metadata=metadata)
    interface.close()
    with NWBHDF5IO(tmp_path / "v.nwb", "r") as io:
        module = io.read().processing["behavior"]
        for number, part in enumerate("abc"):
            np.testing.assert_array_equal(module["pose"][part].data[()], points[:, number, :2])
        np.testing.assert_array_equal(
            module["BehavioralTimeSeries"]["pose_confidence"].data[()], points[:, :, 2]
        )


def blocks(*lengths: int) -> Any:
    def iterate() -> Iterator[np.ndarray]:
        yield from (np.zeros((length, 1, 3)) for length in lengths)

    return iterate


@pytest.mark.parametrize("lengths", [(5, 4), (5, 6), ()])
def test_frames_that_come_or_go_are_noticed(lengths: tuple[int, ...]) -> None:
    store = PoseStore(Pose(Path("v"), ("nose",), 10, blocks(*lengths)))
    with pytest.raises(InputFileError, match="does not hold the 10 frames"):
        store.places(0)


@pytest.mark.parametrize(
    ("names", "n", "error"),
    [
        ((), 10, InputFileError),
        (("a",), 0, InputFileError),
        (("a", "a"), 10, InputFileError),
        (("a",), 10**12, UnsafeFileError),
    ],
)
def test_what_no_file_holds_is_refused(names: tuple[str, ...], n: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        Pose(Path("v"), names, n, blocks())


def test_lightning_pose_and_its_smoother(tmp_path: Path) -> None:
    """The smoother adds columns, which are left out."""
    coords = ("x", "y", "likelihood", "x_ens_median", "x_posterior_var")
    rows = np.random.default_rng(0).random((20, 10))
    labels = dlc_labels(["paw", "nose"], coords=coords, scorer="ensemble-kalman_tracker")
    path = write_dlc_csv(tmp_path / "v.csv", labels, rows)
    interface = LightningPoseInterface(file_path=path, rate_hz=250.0)
    assert interface.pose.keypoints == ("paw", "nose")
    np.testing.assert_array_equal(interface.store.places(1), rows[:, 5:7])
    np.testing.assert_array_equal(interface.store.confidence(), rows[:, [2, 7]])


def test_real_labels_of_lightning_pose_are_refused(shared: Path) -> None:
    path = shared / "data/lightning_pose_running_mouse/CollectedData.csv"
    with pytest.raises(InputFileError, match="labels of single frames.*trained network"):
        LightningPoseInterface(file_path=path, rate_hz=250.0)


def test_numbers_of_csv_files_are_read_to_the_last_digit(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).random((2000, 3)) * 10.0 ** np.arange(-3, 6, 3)
    path = write_dlc_csv(tmp_path / "v.csv", dlc_labels(["nose"]), rows)
    interface = LightningPoseInterface(file_path=path, rate_hz=1.0)
    np.testing.assert_array_equal(interface.store.places(0), rows[:, :2])
