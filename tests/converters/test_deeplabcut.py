"""Points of DeepLabCut: the same numbers from every kind of file, one animal at a time; nothing is run."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pynwb
import pytest
from format_writers.pose_files import dlc_labels, walking, write_dlc_csv, write_dlc_table
from pydantic import ValidationError
from pynwb import NWBFile

from nwbswitch.converters.behavior.deeplabcut import DeepLabCutInterface
from nwbswitch.converters.writing.nwb_writer import write_nwb
from nwbswitch.schemas.errors import InputFileError, TableError, UnsafeFileError
from nwbswitch.schemas.streams_pose import DeepLabCut

REFERENCE = Path(__file__).parents[1] / "reference/deeplabcut"
REAL = "m3v1mp4DLC_resnet50_openfieldAug20shuffle1_30000"


def nwb() -> NWBFile:
    return NWBFile("test", "id", datetime(2024, 5, 1, 10, tzinfo=UTC))


def added(interface: DeepLabCutInterface) -> Any:
    nwbfile = nwb()
    interface.add_to_nwbfile(nwbfile)
    return nwbfile.processing["behavior"]


@pytest.mark.parametrize("name", ["fixed.h5", "table.h5"])
def test_tables_that_pandas_wrote(name: str) -> None:
    interface = DeepLabCutInterface(file_path=REFERENCE / name, individual="mouse2", rate_hz=10.0)
    module = added(interface)
    values = np.arange(60).reshape(4, 15) + 0.1
    assert list(module["pose"].spatial_series) == ["nose", "täil"]
    np.testing.assert_array_equal(module["pose"]["nose"].data, values[:, 6:8])
    np.testing.assert_array_equal(module["pose"]["täil"].data, values[:, 9:11])
    confidence = module["BehavioralTimeSeries"]["pose_confidence"]
    np.testing.assert_array_equal(confidence.data, values[:, [8, 11]])
    assert module["pose_keypoints"]["keypoint"].data == ["nose", "täil"]
    interface.close()


@pytest.mark.parametrize("individuals", [(), ("m1", "m2")])
@pytest.mark.parametrize("suffix", [".h5", ".csv"])
def test_the_same_points_from_every_kind_of_file(
    tmp_path: Path, suffix: str, individuals: tuple[str, ...]
) -> None:
    labels = dlc_labels(["nose", "tail"], individuals)
    points = walking(50, max(len(individuals), 1) * 2)
    points[7, 0] = np.nan
    path = tmp_path / f"v{suffix}"
    write = write_dlc_csv if suffix == ".csv" else write_dlc_table
    write(path, labels, points.reshape(50, -1))
    interface = DeepLabCutInterface(
        file_path=path, individual=individuals[0] if individuals else None, rate_hz=25.0, start_s=2.0
    )
    module = added(interface)
    for number, part in enumerate(("nose", "tail")):
        series = module["pose"][part]
        np.testing.assert_array_equal(series.data, points[:, number, :2])
        assert (series.starting_time, series.rate, series.unit, series.conversion) == (
            2.0,
            25.0,
            "pixels",
            1.0,
        )
    np.testing.assert_array_equal(module["BehavioralTimeSeries"]["pose_confidence"].data, points[:, :2, 2])
    interface.close()


def test_columns_in_any_order_and_type(tmp_path: Path) -> None:
    labels = dlc_labels(["nose", "tail"])
    order = [5, 0, 3, 2, 1, 4]
    rows = walking(20, 2).reshape(20, 6).astype(np.float32)
    path = write_dlc_table(tmp_path / "v.h5", [labels[each] for each in order], rows[:, order])
    interface = DeepLabCutInterface(file_path=path, rate_hz=1.0)
    nose = added(interface)["pose"]["nose"]
    assert nose.data.dtype == np.float32
    np.testing.assert_array_equal(nose.data, rows[:, :2])
    interface.close()


def test_pixels_become_meters_by_their_size(tmp_path: Path) -> None:
    path = write_dlc_table(tmp_path / "v.h5", dlc_labels(["nose"]), walking(9, 1).reshape(9, 3))
    interface = DeepLabCutInterface(file_path=path, rate_hz=1.0, pixel_size_mm=0.5)
    series = added(interface)["pose"]["nose"]
    assert (series.unit, series.conversion) == ("meters", 5e-4)
    interface.close()


def test_the_real_recording_is_what_dlc2nwb_made_of_it(shared: Path) -> None:
    """The same numbers; where that file counts frames as seconds, ours has times."""
    folder = shared / "data/dlc_openfield"
    interface = DeepLabCutInterface(file_path=folder / f"{REAL}.h5", rate_hz=30.0)
    module = added(interface)
    with h5py.File(folder / f"{REAL}.nwb") as file:
        theirs = file["processing/behavior/PoseEstimation"]
        for number, part in enumerate(("snout", "leftear", "rightear", "tailbase")):
            series = theirs[f"ind1_{part}"]
            np.testing.assert_array_equal(module["pose"][part].data, series["data"][()])
            confidence = module["BehavioralTimeSeries"]["pose_confidence"].data[:, number]
            np.testing.assert_array_equal(confidence, series["confidence"][()])
            assert "bottom left" in series["reference_frame"][()].decode()
            assert "upper left" in module["pose"][part].reference_frame
        assert theirs["ind1_snout/timestamps"][-1] == 2329.0
    assert interface.get_timestamps()[-1] == pytest.approx(2329 / 30)
    interface.close()


def test_two_cameras_in_one_file_stay_apart(tmp_path: Path) -> None:
    points = walking(200, 2)
    path = write_dlc_table(tmp_path / "v.h5", dlc_labels(["nose", "tail"]), points.reshape(200, 6))
    nwbfile, interfaces = nwb(), []
    for key in ("left", "right"):
        interface = DeepLabCutInterface(file_path=path, rate_hz=30.0, metadata_key=key)
        interface.set_aligned_timestamps(np.sort(np.random.default_rng(0).random(200)))
        interface.add_to_nwbfile(nwbfile)
        interfaces.append(interface)
    write_nwb(nwbfile, tmp_path / "two.nwb")
    assert pynwb.validate(path=tmp_path / "two.nwb") == []
    with h5py.File(tmp_path / "two.nwb") as file:
        behavior = file["processing/behavior"]
        assert {"left", "right", "left_keypoints", "right_keypoints"} <= set(behavior)
        # Times are stored once; the other series link to them.
        assert behavior["left/nose/timestamps"] == behavior["left/tail/timestamps"]
        assert behavior["left/nose/timestamps"] == behavior["BehavioralTimeSeries/left_confidence/timestamps"]
        assert behavior["left/nose/timestamps"] != behavior["right/nose/timestamps"]
    for interface in interfaces:
        interface.close()


@pytest.mark.parametrize(
    ("labels", "individual", "words"),
    [
        (dlc_labels(["nose"], ["m1", "m2"]), None, "2 animals: m1, m2. Name one"),
        (dlc_labels(["nose"], ["m1", "m2"]), "m3", "no individual 'm3'"),
        (dlc_labels(["nose"]), "m1", "one animal without a name"),
        (dlc_labels(["nose"], coords=("x", "y")), None, "labels of single frames"),
        (dlc_labels(["nose"], coords=("x", "y", "z")), None, "points in space"),
        (dlc_labels(["nose", "nose"]), None, "two columns 'x' of 'nose'"),
        (dlc_labels(["nose"]) + dlc_labels(["tail"], scorer="other"), None, "several networks"),
        (dlc_labels(["nose"], coords=("likelihood", "x", "w")), None, "expected x, y, likelihood"),
    ],
)
@pytest.mark.parametrize("suffix", [".h5", ".csv"])
def test_other_tables_are_refused(
    tmp_path: Path, labels: list[tuple[str, ...]], individual: str | None, words: str, suffix: str
) -> None:
    write = write_dlc_csv if suffix == ".csv" else write_dlc_table
    path = write(tmp_path / f"v{suffix}", labels, np.zeros((3, len(labels))))
    with pytest.raises(InputFileError, match=words):
        DeepLabCutInterface(file_path=path, individual=individual, rate_hz=1.0)


def test_labels_that_pandas_wrote_are_refused() -> None:
    with pytest.raises(InputFileError, match="labels of single frames"):
        DeepLabCutInterface(file_path=REFERENCE / "labels.h5", rate_hz=1.0)


def test_rows_that_are_not_all_frames_are_refused(tmp_path: Path) -> None:
    rows = walking(5, 1).reshape(5, 3)
    path = write_dlc_table(tmp_path / "v.h5", dlc_labels(["nose"]), rows, index=np.array([0, 1, 3, 4, 5]))
    with pytest.raises(InputFileError, match="frame 3 in the row of frame 2"):
        DeepLabCutInterface(file_path=path, rate_hz=1.0)
    text = write_dlc_csv(tmp_path / "v.csv", dlc_labels(["nose"]), rows).read_text(encoding="utf-8")
    (tmp_path / "v.csv").write_text(text.replace("\n2,", "\n7,"), encoding="utf-8")
    interface = DeepLabCutInterface(file_path=tmp_path / "v.csv", rate_hz=1.0)
    with pytest.raises(InputFileError, match="frame 7 in the row of frame 2"):
        interface.add_to_nwbfile(nwb())


@pytest.mark.parametrize(
    ("cell", "words"), [("1,5", r"v\.csv:6.*5 cells"), ("far", r"v\.csv:6.*'far' is not a number")]
)
def test_cells_that_are_no_numbers_are_named(tmp_path: Path, cell: str, words: str) -> None:
    lines = write_dlc_csv(tmp_path / "v.csv", dlc_labels(["nose"]), np.ones((5, 3))).read_text().splitlines()
    lines[5] = f"2,{cell},1.0,1.0"
    (tmp_path / "v.csv").write_text("\n".join(lines), encoding="utf-8")
    interface = DeepLabCutInterface(file_path=tmp_path / "v.csv", rate_hz=1.0)
    with pytest.raises(TableError, match=words):
        interface.add_to_nwbfile(nwb())


class _Runs:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return eval, ("1/0",)


def test_pickles_in_attributes_are_not_run(tmp_path: Path) -> None:
    path = write_dlc_table(tmp_path / "v.h5", dlc_labels(["nose"]), np.zeros((3, 3)))
    for value in (pickle.dumps(_Runs(), 0), pickle.dumps([("a", _Runs(), "x")] * 3, 0)):
        with h5py.File(path, "r+") as file:
            file["df_with_missing/table"].attrs["values_block_0_kind"] = np.bytes_(value)
        with pytest.raises(UnsafeFileError):
            DeepLabCutInterface(file_path=path, rate_hz=1.0)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda group: group.attrs.__setitem__("nblocks", 10**9),
        lambda group: group["block0_items_label0"].__setitem__(0, 99),
        lambda group: group["block0_items_label0"].__setitem__(0, -1),
        lambda group: group.attrs.__setitem__("block0_items_nlevels", 2),
        lambda group: group.__delitem__("block0_values"),
        lambda group: group.attrs.__setitem__("encoding", "rot13"),
        lambda group: group.attrs.__setitem__("pandas_type", "series"),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, spoil: Any) -> None:
    path = tmp_path / "v.h5"
    path.write_bytes((REFERENCE / "fixed.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        spoil(file["df_with_missing"])
    with pytest.raises(InputFileError):
        DeepLabCutInterface(file_path=path, individual="mouse1", rate_hz=1.0)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,speed\n1,2\n", encoding="utf-8")
    (tmp_path / "b.h5").write_bytes(b"no HDF5")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["tracks"] = [1]
    for name in ("a.csv", "b.h5", "c.h5", "none.csv", "none.h5"):
        with pytest.raises(InputFileError):
            DeepLabCutInterface(file_path=tmp_path / name, rate_hz=1.0)


def test_a_study_has_to_say_when_frames_were_taken() -> None:
    with pytest.raises(ValidationError, match="states no times"):
        DeepLabCut(format="deeplabcut", path=Path("v.h5"))
    assert DeepLabCut(format="deeplabcut", path=Path("v.h5"), timing_of="camera").rate_hz is None
