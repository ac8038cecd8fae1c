"""TIFF movies: orientation, laziness, and words for every odd file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from pynwb import NWBFile

from nwbswitch.converters.imaging.tiff_movie import TiffFrames, TiffMovieInterface
from nwbswitch.converters.writing.nwb_writer import write_nwb
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError


def empty_file() -> NWBFile:
    return NWBFile("test", "id", datetime(2024, 5, 1, 10, tzinfo=UTC))


def written(interface: TiffMovieInterface, path: Path, *, stub: bool = False) -> np.ndarray:
    nwbfile = empty_file()
    interface.add_to_nwbfile(nwbfile, interface.get_metadata(), stub=stub)
    write_nwb(nwbfile, path)
    interface.close()
    with h5py.File(path) as file:
        data = file["acquisition/TwoPhotonSeries/data"]
        assert data.compression == "gzip"
        assert data.shuffle == (data.dtype.itemsize > 1)
        return data[:]


def test_asymmetric_movie_is_transposed(tmp_path: Path) -> None:
    movie = np.zeros((3, 5, 8), dtype=np.int16)
    movie[1, 4, 0] = 7  # frame 1, bottom row, left column
    tifffile.imwrite(tmp_path / "m.tif", movie, photometric="minisblack")
    stored = written(TiffMovieInterface(file_path=tmp_path / "m.tif", rate_hz=5.0), tmp_path / "m.nwb")
    assert stored.shape == (3, 8, 5)
    assert stored[1, 0, 4] == 7
    assert np.array_equal(stored.transpose(0, 2, 1), movie)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", ">u2"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"bigtiff": True}, {"tile": (16, 16)}])
def test_every_kind_of_page_reads_back(tmp_path: Path, dtype: str, options: dict[str, object]) -> None:
    movie = np.random.default_rng(0).integers(0, 200, (4, 20, 33)).astype(dtype)
    tifffile.imwrite(tmp_path / "m.tif", movie, photometric="minisblack", **options)
    with TiffFrames(tmp_path / "m.tif") as frames:
        assert np.array_equal(frames.read(0, 4), movie)
        assert np.array_equal(frames.read(2, 3), movie[2:3])


def test_imagej_stack_with_one_page_for_all_frames(tmp_path: Path) -> None:
    movie = np.arange(6 * 4 * 5, dtype=np.uint16).reshape(6, 4, 5)
    tifffile.imwrite(tmp_path / "m.tif", movie, imagej=True, metadata={"axes": "TYX"})
    path = tmp_path / "m.tif"
    with tifffile.TiffFile(path) as file:
        second = file.pages[1].offset
        pointer = file.pages[0].offset + 2 + 12 * len(file.pages[0].tags)
    raw = bytearray(path.read_bytes())
    assert int.from_bytes(raw[pointer : pointer + 4], "big" if raw[:2] == b"MM" else "little") == second
    raw[pointer : pointer + 4] = bytes(4)  # what ImageJ writes beyond 4 GB: one page only
    path.write_bytes(raw)
    with TiffFrames(path) as frames:
        assert frames.shape.n_frames == 6
        assert np.array_equal(frames.read(1, 6), movie[1:])


def test_movie_larger_than_the_buffer_is_never_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nwbswitch.converters.imaging.movie.CHUNK_BYTES", 4000)
    monkeypatch.setattr("nwbswitch.converters.imaging.movie.BUFFER_BYTES", 20_000)
    movie = np.random.default_rng(1).integers(0, 9, (103, 20, 30)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "m.tif", movie, photometric="minisblack")
    interface = TiffMovieInterface(file_path=tmp_path / "m.tif", rate_hz=5.0)
    asked = []
    read = interface.movie.read
    monkeypatch.setattr(interface.movie, "read", lambda a, b: (asked.append(b - a), read(a, b))[1])
    stored = written(interface, tmp_path / "m.nwb")
    assert np.array_equal(stored.transpose(0, 2, 1), movie)
    assert max(asked) * 600 <= 20_000


def test_stub_takes_the_first_frames(tmp_path: Path) -> None:
    movie = np.random.default_rng(1).integers(0, 9, (130, 4, 6)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "m.tif", movie, photometric="minisblack")
    stored = written(
        TiffMovieInterface(file_path=tmp_path / "m.tif", rate_hz=5.0), tmp_path / "m.nwb", stub=True
    )
    assert np.array_equal(stored, movie[:100].transpose(0, 2, 1))


def test_starts_at_its_clock(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", np.zeros((3, 4, 5), np.uint8), photometric="minisblack")
    nwbfile = empty_file()
    interface = TiffMovieInterface(file_path=tmp_path / "m.tif", rate_hz=5.0, start_s=12.5)
    interface.add_to_nwbfile(nwbfile)
    interface.close()
    series = nwbfile.acquisition["TwoPhotonSeries"]
    assert (series.starting_time, series.rate) == (12.5, 5.0)
    assert list(series.dimension) == [5, 4]


def test_equals_neuroconv_on_the_same_movie(shared: Path, tmp_path: Path) -> None:
    from neuroconv.datainterfaces import TiffImagingInterface

    path = shared / "data/two_photon_mouse_treadmill/movie.tif"
    theirs = TiffImagingInterface(file_paths=[path], sampling_frequency=7.0)
    metadata = theirs.get_metadata()
    metadata["NWBFile"]["session_start_time"] = datetime(2024, 5, 1, tzinfo=UTC)
    theirs.run_conversion(nwbfile_path=tmp_path / "theirs.nwb", metadata=metadata)
    with h5py.File(tmp_path / "theirs.nwb") as file:
        (series,) = file["acquisition"].values()
        expected = series["data"][:]
    ours = written(TiffMovieInterface(file_path=path, rate_hz=7.0), tmp_path / "ours.nwb")
    assert ours.dtype == expected.dtype
    assert np.array_equal(ours, expected)


def test_real_movie_keeps_every_value(shared: Path, tmp_path: Path) -> None:
    path = shared / "data/two_photon_mouse_treadmill/movie.tif"
    stored = written(TiffMovieInterface(file_path=path, rate_hz=7.0), tmp_path / "m.nwb")
    source = tifffile.imread(path)
    assert stored.shape == (500, 64, 64)
    assert stored.transpose(0, 2, 1).tobytes() == source.tobytes()


ODD = {
    "odd_tiffs/hopper.tif": "samples per pixel",
    "odd_tiffs/images/minisblack-2c-8b-alpha.tiff": "samples per pixel",
    "odd_tiffs/images/seq/seq-1c-8b-palette-89b39bc3.tiff": "palette",
    "odd_tiffs/multipage-mmap.tiff": "differ in shape",
    "odd_tiffs/seek_too_large.tif": "no pages|damaged",
    "odd_tiffs/total-pages-zero.tif": "bits per pixel",
    "odd_tiffs/oom-225817ca0f8c663be7ab4b9e717b02c661e66834.tif": "corrupted",
    "odd_tiffs/crash-2020-10-test.tif": "differ|damaged",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_say_what_is_wrong(shared: Path, name: str) -> None:
    path = shared / "data" / name
    with pytest.raises(InputFileError, match=ODD[name]) as caught, TiffFrames(path) as frames:
        frames.read(0, 1)
    assert str(path) in str(caught.value)


def test_every_odd_file_is_read_or_refused_in_words(shared: Path) -> None:
    files = sorted(
        path for set_ in ("odd_tiffs", "thunder_tiffs") for path in (shared / "data" / set_).rglob("*.tif*")
    )
    assert len(files) > 90
    read, problems = 0, []
    for path in files:
        try:
            with TiffFrames(path) as frames:
                values = frames.read(0, frames.shape.n_frames)
        except InputFileError as error:
            problems.append(error.problem)
            continue
        read += 1
        assert np.array_equal(np.squeeze(values), np.squeeze(tifffile.imread(path)))
    assert read > 30
    assert len(problems) > 40
    assert all(len(problem) > 10 and "unpack" not in problem for problem in problems)


def test_truncated_movie_is_refused(shared: Path, tmp_path: Path) -> None:
    whole = (shared / "data/two_photon_mouse_treadmill/movie.tif").read_bytes()
    for keep in (0.1, 0.5, 0.9, 0.999):
        path = tmp_path / f"cut{keep}.tif"
        path.write_bytes(whole[: int(len(whole) * keep)])
        with pytest.raises(InputFileError), TiffFrames(path) as frames:
            frames.read(0, 500)


def test_pages_of_other_shape_in_the_middle_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "m.tif") as writer:
        for index in range(9):
            writer.write(np.zeros((4, 6 if index == 5 else 5), np.uint8), contiguous=False)
    with pytest.raises(InputFileError, match=r"differ|page 6"), TiffFrames(tmp_path / "m.tif") as frames:
        frames.read(0, 9)


def test_circular_chain_of_pages_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    with tifffile.TiffWriter(path) as writer:
        for _ in range(3):
            writer.write(np.zeros((4, 5), np.uint8), contiguous=False, photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        first, last = file.pages[0], file.pages[2]
        pointer, target = last.offset + 2 + 12 * len(last.tags), first.offset
    raw = bytearray(path.read_bytes())
    raw[pointer : pointer + 4] = target.to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(InputFileError, match="chain of pages is damaged"):
        TiffFrames(path)


def test_two_channels_are_refused(tmp_path: Path) -> None:
    stack = np.zeros((4, 2, 5, 6), np.uint16)
    tifffile.imwrite(tmp_path / "m.tif", stack, imagej=True, metadata={"axes": "TCYX"})
    with pytest.raises(InputFileError, match="C=2"):
        TiffFrames(tmp_path / "m.tif")


def test_a_frame_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8), compression="zlib", photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+") as file:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages[0].tags[tag].overwrite(60_000)
    with pytest.raises(UnsafeFileError, match="declares"):
        TiffFrames(path)


@pytest.mark.parametrize("content", [b"", b"II*\0", b"not a tiff at all", b"II*\0\x08\0\0\0\0\0"])
def test_what_is_no_tiff_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.tif"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=r"m\.tif"):
        TiffFrames(path)


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "m.tif").touch()
    with pytest.raises(InputFileError, match=r"m\.tif: the file is empty\."):
        TiffFrames(tmp_path / "m.tif")
