"""Suite2p folders: orientation, columns, rates, layouts, and pickles that are not run."""

from __future__ import annotations

import os
import pickle
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from format_writers.suite2p import HEIGHT, N_FRAMES, TRACES, WIDTH, make_plane, ops_of
from pynwb import NWBHDF5IO, NWBFile

from nwbswitch.converters.segmentation.suite2p import Suite2pInterface
from nwbswitch.schemas.errors import InputFileError, IssuesError, UnsafeFileError


def write(interface: Suite2pInterface, path: Path, *, stub: bool = False) -> Path:
    nwbfile = NWBFile("test", "id", datetime(2024, 5, 1, 10, tzinfo=UTC))
    interface.add_to_nwbfile(nwbfile, interface.get_metadata(), stub=stub)
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path


def test_masks_images_and_traces_share_their_axes(tmp_path: Path) -> None:
    plane = make_plane(tmp_path / "suite2p/plane0", ops=ops_of())
    path = write(Suite2pInterface(folder_path=tmp_path / "suite2p"), tmp_path / "s.nwb")
    with h5py.File(path) as file:
        ophys = file["processing/ophys"]
        table = ophys["ImageSegmentation/PlaneSegmentation"]
        pixels = table["pixel_mask"][:]
        assert table["pixel_mask_index"][:].tolist() == [3, 5]
        assert pixels["x"].tolist() == [25, 26, 27, 2, 3]
        assert pixels["y"].tolist() == [4, 4, 4, 10, 10]
        mean = ophys["SegmentationImages/mean_image"][:]
        assert mean.shape == (WIDTH, HEIGHT)
        assert mean[25, 4] == 9.0
        projection = ophys["SegmentationImages/max_projection"][:]
        assert projection.shape == (WIDTH, HEIGHT)
        assert projection.sum() == 2.0 * (HEIGHT - 4) * (WIDTH - 6)
        assert projection[2, 5] == 0.0
        for name, series in zip(TRACES, ("RoiResponseSeries", "Neuropil", "Deconvolved"), strict=True):
            stored = ophys["Fluorescence"][series]["data"][:]
            assert np.array_equal(stored, np.load(plane / name).T)
            assert ophys["Fluorescence"][series]["starting_time"].attrs["rate"] == 5.0


def test_columns_of_the_rois(tmp_path: Path) -> None:
    make_plane(tmp_path / "plane0", ops=ops_of(), extra={"tracking_id": "a-1"})
    interface = Suite2pInterface(
        folder_path=tmp_path, cell_type="excitatory", roi_basis="anatomical", depth_um=250.0, start_s=3.0
    )
    path = write(interface, tmp_path / "s.nwb")
    with NWBHDF5IO(path, "r") as io:
        ophys = io.read().processing["ophys"]
        table = ophys["ImageSegmentation"]["PlaneSegmentation"]
        assert table["accepted"][:].tolist() == [True, False]
        assert table["accepted"][:].dtype == bool
        assert table["cell_probability"][:].tolist() == [0.9, 0.2]
        assert list(table["cell_type"][:]) == ["excitatory"] * 2
        assert list(table["roi_basis"][:]) == ["anatomical"] * 2
        assert list(table["depth_um"][:]) == [250.0] * 2
        assert list(table["tracking_id"][:]) == ["a-1"] * 2
        assert list(table["skew"][:]) == [1.5] * 2
        assert [len(mask) for mask in table["pixel_mask"][:]] == [3, 2]
        series = ophys["Fluorescence"]["RoiResponseSeries"]
        assert series.starting_time == 3.0
        assert series.rois.table is table


def test_no_path_of_the_lab_gets_into_the_file(tmp_path: Path) -> None:
    make_plane(tmp_path / "plane0", ops=ops_of())
    path = write(Suite2pInterface(folder_path=tmp_path), tmp_path / "s.nwb")
    assert b"someone" not in path.read_bytes()
    assert str(tmp_path).encode() not in path.read_bytes()


@pytest.mark.parametrize("inner", ["suite2p/plane0", "suite2p", "plane0", "."])
def test_every_layout(tmp_path: Path, inner: str) -> None:
    make_plane(tmp_path / "data" / inner, ops=ops_of())
    assert Suite2pInterface(folder_path=tmp_path / "data").n_rois == 2


def test_settings_and_db_instead_of_ops(tmp_path: Path) -> None:
    plane = make_plane(tmp_path / "plane0")
    np.save(plane / "settings.npy", {"fs": 5.0}, allow_pickle=True)
    np.save(plane / "db.npy", {"Ly": HEIGHT, "Lx": WIDTH}, allow_pickle=True)
    interface = Suite2pInterface(folder_path=tmp_path)
    assert interface.rate_hz == 5.0
    assert interface.plane.settings["Lx"] == WIDTH


def test_without_ops_the_study_gives_the_rate(tmp_path: Path) -> None:
    make_plane(tmp_path / "plane0")
    with pytest.raises(InputFileError, match=r"neither times nor a rate.*Give rate_hz"):
        Suite2pInterface(folder_path=tmp_path).require_times()
    interface = Suite2pInterface(folder_path=tmp_path, rate_hz=6.0)
    assert interface.rate_hz == 6.0
    with h5py.File(write(interface, tmp_path / "s.nwb")) as file:
        assert "SegmentationImages" not in file["processing/ophys"]


@pytest.mark.parametrize(("fs", "fits"), [(5.0, True), (5.01, True), (1.0, False), (5.1, False)])
def test_rates_must_agree(tmp_path: Path, fs: float, fits: bool) -> None:
    make_plane(tmp_path / "plane0", ops=ops_of(fs=fs))
    if fits:
        assert Suite2pInterface(folder_path=tmp_path, rate_hz=5.0).rate_hz == 5.0
        return
    with pytest.raises(IssuesError, match="rate-differs"):
        Suite2pInterface(folder_path=tmp_path, rate_hz=5.0)


class _Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("name", ["ops.npy", "stat.npy", "F.npy", "iscell.npy", "settings.npy"])
def test_a_crafted_pickle_is_refused_and_not_run(tmp_path: Path, name: str) -> None:
    plane = make_plane(tmp_path / "plane0", ops=ops_of() if name != "settings.npy" else None)
    target = tmp_path / "bomb"
    payload = np.empty((), dtype=object)
    payload[()] = _Bomb(target)
    np.save(plane / name, payload, allow_pickle=True)
    assert pickle.dumps(_Bomb(target))  # the payload is a working pickle
    with pytest.raises(UnsafeFileError, match=name):
        write(Suite2pInterface(folder_path=tmp_path, rate_hz=5.0), tmp_path / "s.nwb")
    assert not target.exists()
    assert not (tmp_path / "s.nwb").exists()


def test_two_planes_must_be_chosen_from(tmp_path: Path) -> None:
    make_plane(tmp_path / "suite2p/plane0", ops=ops_of())
    make_plane(tmp_path / "suite2p/plane1", ops=ops_of())
    with pytest.raises(InputFileError, match=r"holds 2 planes \(plane0, plane1\)"):
        Suite2pInterface(folder_path=tmp_path / "suite2p")
    assert Suite2pInterface(folder_path=tmp_path / "suite2p/plane1").n_rois == 2


def break_files(plane: Path, what: str) -> None:
    match what:
        case "no stat":
            (plane / "stat.npy").unlink()
        case "fewer cells":
            np.save(plane / "iscell.npy", np.ones((1, 2)))
        case "shorter neuropil":
            np.save(plane / "Fneu.npy", np.ones((2, 5)))
        case "text traces":
            np.save(plane / "F.npy", np.array([["a", "b"]]))
        case "no frames":
            for name in TRACES:
                np.save(plane / name, np.ones((2, 0)))
        case "pixels outside":
            stat = [{"ypix": np.array([19]), "xpix": np.array([30]), "lam": np.ones(1)}] * 2
            np.save(plane / "stat.npy", np.array(stat, dtype=object), allow_pickle=True)
        case "no lam":
            np.save(plane / "stat.npy", np.array([{"ypix": [1], "xpix": [1]}] * 2), allow_pickle=True)
        case "no folder":
            shutil.rmtree(plane)
            plane.mkdir()
        case "truncated":
            whole = (plane / "F.npy").read_bytes()
            (plane / "F.npy").write_bytes(whole[:-10])


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("no stat", "lacks stat.npy"),
        ("fewer cells", "iscell.npy.*expected"),
        ("shorter neuropil", "Fneu.npy.*has shape"),
        ("text traces", "F.npy.*expected numbers"),
        ("no frames", "is empty"),
        ("pixels outside", "pixels outside the image"),
        ("no lam", "has no lam"),
        ("no folder", "is not a Suite2p folder"),
        ("truncated", "F.npy"),
    ],
)
def test_damaged_folders_are_refused_in_words(tmp_path: Path, what: str, words: str) -> None:
    plane = make_plane(tmp_path / "plane0", ops=ops_of())
    break_files(plane, what)
    with pytest.raises(InputFileError, match=words):
        write(Suite2pInterface(folder_path=tmp_path), tmp_path / "s.nwb")


def shared_lists(levels: int = 60) -> list[Any]:
    """A list of a few objects whose text and whose array would have 2 ** levels elements."""
    found: list[Any] = [1, 1]
    for _ in range(levels):
        found = [found, found]
    return found


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"ypix": np.array([np.nan, 1.0]), "xpix": np.array([1.0, 1.0])}, "pixels outside"),
        ({"ypix": np.array([0.5, 1.0]), "xpix": np.array([1.0, 1.0])}, "pixels outside"),
        ({"ypix": np.array([-1, 1]), "xpix": np.array([1, 1])}, "pixels outside"),
        ({"xpix": [[1, 2], [3, 4]]}, "do not fit together"),
        ({"xpix": shared_lists()}, "far more values than it brings"),
        ({"tracking_id": [1]}, "tracking_id that is no word"),
        ({"tracking_id": "a\0b"}, "tracking_id that is no word"),
        ({"tracking_id": ""}, "tracking_id that is no word"),
    ],
)
def test_rois_that_cannot_be_are_refused(tmp_path: Path, extra: dict[str, Any], words: str) -> None:
    whole = {"xpix": np.array([1, 2]), "ypix": np.array([1, 1]), "lam": np.ones(2)}
    make_plane(tmp_path / "plane0", ops=ops_of(), extra=whole | extra)
    with pytest.raises(InputFileError, match=words):
        write(Suite2pInterface(folder_path=tmp_path), tmp_path / "s.nwb")


def test_pixels_have_a_limit_when_the_image_size_is_not_stated(tmp_path: Path) -> None:
    far = {"xpix": np.array([1 << 40]), "ypix": np.array([0]), "lam": np.ones(1)}
    make_plane(tmp_path / "plane0", extra=far)
    with pytest.raises(InputFileError, match="pixels outside"):
        write(Suite2pInterface(folder_path=tmp_path, rate_hz=5.0), tmp_path / "s.nwb")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"Ly": "abc"}, "no size of an image"),
        ({"Ly": float("nan")}, "no size of an image"),
        ({"Ly": np.array([HEIGHT, HEIGHT])}, "no size of an image"),
        ({"Ly": 1 << 15, "Lx": 1 << 15}, "no size of an image"),
        ({"meanImg": np.ones((3, 3))}, "meanImg has shape"),
        ({"yrange": [1]}, "fits neither the image"),
        ({"yrange": "ab"}, "fits neither the image"),
        ({"yrange": [2 - HEIGHT, -2]}, "fits neither the image"),
        ({"yrange": [float("nan"), 1.0]}, "fits neither the image"),
        ({"fs": [5.0]}, "fs = a list"),
        ({"fs": shared_lists()}, "far more values than it brings"),
        ({"badframes": np.zeros(N_FRAMES - 1, bool)}, "badframes in its settings"),
        ({"badframes": np.full(N_FRAMES, "no")}, "badframes in its settings"),
        ({"badframes": [True] * N_FRAMES}, "badframes in its settings"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    make_plane(tmp_path / "plane0", ops=ops_of(**values))
    with pytest.raises(InputFileError, match=words):
        write(Suite2pInterface(folder_path=tmp_path), tmp_path / "s.nwb")


def test_frames_that_suite2p_found_bad_are_marked(tmp_path: Path) -> None:
    bad = np.arange(N_FRAMES) % 5 == 0
    make_plane(tmp_path / "plane0", ops=ops_of(badframes=bad))
    path = write(Suite2pInterface(folder_path=tmp_path, start_s=2.0), tmp_path / "s.nwb")
    with NWBHDF5IO(path, "r") as io:
        series = io.read().processing["ophys"]["bad_frames"]
        np.testing.assert_array_equal(series.data[:], bad)
        assert (series.starting_time, series.rate) == (2.0, 5.0)


def test_without_word_of_bad_frames_none_are_marked(tmp_path: Path) -> None:
    make_plane(tmp_path / "plane0", ops=ops_of())
    path = write(Suite2pInterface(folder_path=tmp_path), tmp_path / "s.nwb")
    with NWBHDF5IO(path, "r") as io:
        assert "bad_frames" not in io.read().processing["ophys"].data_interfaces


def test_images_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    text = np.full((HEIGHT, WIDTH), "a")
    make_plane(tmp_path / "plane0", ops=ops_of(meanImg=text, max_proj=text, version=np.ones(2)))
    with h5py.File(write(Suite2pInterface(folder_path=tmp_path), tmp_path / "s.nwb")) as file:
        assert "SegmentationImages" not in file["processing/ophys"]


def test_stub_and_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nwbswitch.converters.segmentation.rois.CHUNK_FRAMES", 8)
    monkeypatch.setattr("nwbswitch.converters.segmentation.rois.BUFFER_BYTES", 200)
    monkeypatch.setattr("nwbswitch.converters.segmentation.roi_interface.STUB_SAMPLES", 20)
    plane = make_plane(tmp_path / "plane0", ops=ops_of())
    for stub, stop in ((False, N_FRAMES), (True, 20)):
        path = write(Suite2pInterface(folder_path=tmp_path), tmp_path / f"{stub}.nwb", stub=stub)
        with h5py.File(path) as file:
            data = file["processing/ophys/Fluorescence/RoiResponseSeries/data"]
            assert data.chunks == (8, 2)
            assert np.array_equal(data[:], np.load(plane / "F.npy").T[:stop])


def test_real_folder(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/two_photon_mouse_treadmill/suite2p"
    interface = Suite2pInterface(folder_path=folder)
    assert (interface.n_rois, interface.n_frames, interface.rate_hz) == (48, 500, 7.0)
    with h5py.File(write(interface, tmp_path / "s.nwb")) as file:
        table = file["processing/ophys/ImageSegmentation/PlaneSegmentation"]
        assert table["accepted"][:].sum() == 32
        assert len(table["id"]) == 48
        assert np.array_equal(
            file["processing/ophys/Fluorescence/Neuropil/data"][:], np.load(folder / "plane0/Fneu.npy").T
        )


def test_real_folder_without_ops(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/suite2p_without_ops"
    with pytest.raises(InputFileError, match="neither times nor a rate"):
        Suite2pInterface(folder_path=folder).require_times()
    interface = Suite2pInterface(folder_path=folder, rate_hz=30.0)
    with h5py.File(write(interface, tmp_path / "s.nwb")) as file:
        assert file["processing/ophys/Fluorescence/RoiResponseSeries/data"].shape == (2000, 219)
