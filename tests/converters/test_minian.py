"""Minian folders: arrays oriented by the names of their dimensions, and Zarr that is looked through first."""

from __future__ import annotations

import json
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from format_writers.minian import write_group, write_minian
from roi_truth import HEIGHT, N_FRAMES, WIDTH, column, roi_truth, stored_masks, stored_traces, write

from nwbswitch.converters.segmentation.minian import MinianInterface
from nwbswitch.schemas.errors import InputFileError, MissingExtraError, UnsafeFileError

TRUTH = roi_truth()


def minian(path: Path, **options: Any) -> MinianInterface:
    return MinianInterface(folder_path=write_minian(path / "minian", **options), rate_hz=5.0)


@pytest.mark.parametrize("around", [False, True])
def test_masks_and_traces_reach_the_file(tmp_path: Path, around: bool) -> None:
    folder = write_minian(tmp_path / "minian", with_yra=True)
    interface = MinianInterface(folder_path=tmp_path if around else folder, rate_hz=5.0)
    with h5py.File(write(interface, tmp_path / "m.nwb")) as file:
        np.testing.assert_allclose(stored_masks(file, (HEIGHT, WIDTH)), TRUTH.masks)
        np.testing.assert_array_equal(stored_traces(file, "Demixed"), TRUTH.raw)
        np.testing.assert_array_equal(stored_traces(file, "Denoised"), TRUTH.denoised)
        np.testing.assert_array_equal(stored_traces(file, "Deconvolved"), TRUTH.deconvolved)
        assert (stored_traces(file, "Baseline") == 0.5).all()
        assert column(file, "unit_id") == [2, 5, 11]
        assert column(file, "accepted") == [True] * 3
        image = file["processing/ophys/SegmentationImages/max_projection"]
        np.testing.assert_allclose(image[:].T, TRUTH.masks.sum(axis=0))
        assert len(file["processing/ophys/ImageSegmentation/PlaneSegmentation/id"]) == 3


def test_dimensions_are_told_by_name_and_not_by_order(tmp_path: Path) -> None:
    folder = write_minian(tmp_path / "minian")
    axes = {
        "unit_id": np.array([2, 5, 11]),
        "frame": np.arange(N_FRAMES),
        "height": np.arange(HEIGHT),
        "width": np.arange(WIDTH),
    }
    for name in ("A", "C"):
        shutil.rmtree(folder / f"{name}.zarr")
    turned = TRUTH.masks.transpose(2, 0, 1)
    write_group(folder / "A.zarr", "A", ("width", "unit_id", "height"), turned, (4, 2, 6), axes)
    write_group(folder / "C.zarr", "C", ("frame", "unit_id"), TRUTH.denoised.T, (50, 2), axes)
    interface = MinianInterface(folder_path=folder, rate_hz=5.0)
    with h5py.File(write(interface, tmp_path / "m.nwb")) as file:
        np.testing.assert_allclose(stored_masks(file, (HEIGHT, WIDTH)), TRUTH.masks)
        np.testing.assert_array_equal(stored_traces(file, "Denoised"), TRUTH.denoised)


def test_roiextractors_finds_the_same(tmp_path: Path) -> None:
    from roiextractors import MinianSegmentationExtractor

    # It fails on other numbers of units, and wants a group around the arrays, which Minian does not write.
    folder = write_minian(tmp_path / "minian", units=(0, 1, 2))
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    theirs = MinianSegmentationExtractor(folder, sampling_frequency=5.0)
    ids = [each for each in theirs.get_roi_ids() if not isinstance(each, str)]
    np.testing.assert_allclose(theirs.get_roi_image_masks(roi_ids=ids).transpose(2, 0, 1), TRUTH.masks)
    np.testing.assert_array_equal(theirs.get_traces(name="denoised").T, TRUTH.denoised)
    np.testing.assert_array_equal(theirs.get_traces(name="deconvolved").T, TRUTH.deconvolved)


def test_times_of_the_miniscope(tmp_path: Path) -> None:
    frames = np.arange(N_FRAMES) + 10
    folder = write_minian(tmp_path / "minian", frames=frames)
    times_ms = np.cumsum(np.r_[12, np.where(np.arange(399) == 100, 90, 33)])
    table = tmp_path / "timeStamps.csv"
    rows = [f"{number},{time},0" for number, time in enumerate(times_ms)]
    table.write_text("\n".join(["Frame Number,Time Stamp (ms),Buffer Index", *rows]) + "\n")
    interface = MinianInterface(folder_path=folder, timestamps={"path": str(table)}, start_s=100.0)
    np.testing.assert_allclose(interface.get_timestamps(), 100 + times_ms[frames] / 1000)
    interface.require_times()
    table.write_text("Frame Number,Time Stamp (ms)\n10,300\n")
    with pytest.raises(InputFileError, match="no row for frame 11 of Minian, and 299 in all"):
        MinianInterface(folder_path=folder, timestamps={"path": str(table)})


def test_rows_that_minian_skipped_are_in_the_description(tmp_path: Path) -> None:
    rois = minian(tmp_path, rows=[10, 12, 14, 16, 18, 20]).rois
    assert rois.pixel_note == "Minian kept of the video rows from 10 in steps of 2."


def test_a_folder_without_the_arrays(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no A.zarr and C.zarr in it"):
        MinianInterface(folder_path=tmp_path)


def test_without_zarr_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_minian(tmp_path / "minian")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingExtraError, match=r"nwbswitch\[zarr\]"):
        MinianInterface(folder_path=folder, rate_hz=5.0)


def change(file: Path, **values: Any) -> None:
    stated = json.loads(file.read_text())
    file.write_text(json.dumps(stated | values))


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"compressor": {"id": "zlib", "level": 1}}, UnsafeFileError, "compressed by zlib"),
        ({"compressor": "blosc"}, UnsafeFileError, "only Blosc is read"),
        ({"filters": [{"id": "pickle"}]}, UnsafeFileError, "has filters"),
        ({"dtype": "|O"}, InputFileError, "expected numbers"),
        ({"dtype": [["a", "<f8"]]}, InputFileError, "expected numbers"),
        ({"dtype": "<f4"}, UnsafeFileError, "the array wants"),
        ({"zarr_format": 3}, InputFileError, "version 3, not 2"),
        ({"shape": [3, 1 << 40]}, UnsafeFileError, "chunks of"),
        ({"shape": [3, -1]}, UnsafeFileError, "states the shape"),
        ({"chunks": [0, 300]}, UnsafeFileError, "in chunks of"),
        ({"chunks": [1, 1 << 40]}, UnsafeFileError, "chunks of"),
        ({"shape": [4, N_FRAMES]}, InputFileError, "lacks 1 of its 4 chunks"),
        ({"chunks": [1, 150]}, UnsafeFileError, "the array wants"),
    ],
)
def test_metadata_that_contradict_the_chunks_are_refused(
    tmp_path: Path, values: dict[str, Any], error: type[InputFileError], words: str
) -> None:
    folder = write_minian(tmp_path / "minian")
    change(folder / "C.zarr/C/.zarray", **values)
    with pytest.raises(error, match=words):
        MinianInterface(folder_path=folder, rate_hz=5.0)


def test_chunks_are_looked_at_before_they_are_unpacked(tmp_path: Path) -> None:
    folder = write_minian(tmp_path / "minian")
    chunk = folder / "C.zarr/C/1.0"
    data = bytearray(chunk.read_bytes())
    whole = bytes(data)
    data[4:8] = struct.pack("<I", (1 << 31) - 1)
    chunk.write_bytes(data)
    with pytest.raises(UnsafeFileError, match=r"1\.0.*states 2147483647 bytes"):
        MinianInterface(folder_path=folder, rate_hz=5.0)
    chunk.write_bytes(whole[:-5])
    with pytest.raises(UnsafeFileError, match="the array wants 2400"):
        MinianInterface(folder_path=folder, rate_hz=5.0)
    chunk.unlink()
    with pytest.raises(InputFileError, match="lacks 1 of its 3 chunks"):
        MinianInterface(folder_path=folder, rate_hz=5.0)
    outside = tmp_path / "outside"
    outside.write_bytes(whole)
    chunk.symlink_to(outside)
    with pytest.raises(UnsafeFileError, match="leads out of the folder"):
        MinianInterface(folder_path=folder, rate_hz=5.0)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("C.zarr/C/.zarray", "[1]", "no JSON object"),
        ("C.zarr/C/.zarray", "{", "no JSON"),
        ("C.zarr/C/.zarray", "[" * 100_000, "no JSON"),
        ("C.zarr/C/.zattrs", "{}", "does not name its dimensions"),
        ("C.zarr/C/.zattrs", '{"_ARRAY_DIMENSIONS": ["unit_id", 3]}', "does not name its dimensions"),
        ("C.zarr/C/.zattrs", '{"_ARRAY_DIMENSIONS": ["unit_id", "x"]}', "has the dimensions unit_id, x"),
        ("A.zarr/A/.zattrs", '{"_ARRAY_DIMENSIONS": ["unit_id", "height", "x"]}', "has the dimensions"),
    ],
)
def test_damaged_metadata_are_refused(tmp_path: Path, file: str, content: str, words: str) -> None:
    folder = write_minian(tmp_path / "minian")
    (folder / file).write_text(content)
    with pytest.raises(InputFileError, match=words):
        MinianInterface(folder_path=folder, rate_hz=5.0)


def test_arrays_of_another_run_are_refused(tmp_path: Path) -> None:
    folder = write_minian(tmp_path / "minian")
    other = write_minian(tmp_path / "other", units=(1, 2, 3))
    shutil.rmtree(folder / "S.zarr")
    shutil.copytree(other / "S.zarr", folder / "S.zarr")
    with pytest.raises(InputFileError, match="holds the units .1, 2, 3., A.zarr .2, 5, 11."):
        MinianInterface(folder_path=folder, rate_hz=5.0)
