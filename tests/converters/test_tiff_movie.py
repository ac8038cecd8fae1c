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
from nwbswitch.schemas.errors import InputFileError, MissingExtraError, UnsafeFileError


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
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib"},
        {"compression": "lzw"},
        {"compression": "zstd", "predictor": True},
        {"compression": "packbits"},
        {"bigtiff": True},
        {"tile": (16, 16)},
        {"rowsperstrip": 3},
    ],
)
def test_every_kind_of_page_reads_back(tmp_path: Path, dtype: str, options: dict[str, object]) -> None:
    movie = np.random.default_rng(0).integers(0, 200, (4, 20, 33)).astype(dtype)
    tifffile.imwrite(tmp_path / "m.tif", movie, photometric="minisblack", **options)
    with TiffFrames(tmp_path / "m.tif") as frames:
        values = frames.read(0, 4)
        assert values.dtype == frames.shape.dtype == movie.dtype.newbyteorder("=")
        assert np.array_equal(values, movie)
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
    "odd_tiffs/multipage-mmap.tiff": "palette",
    "odd_tiffs/seek_too_large.tif": "damaged",
    "odd_tiffs/total-pages-zero.tif": "bits per pixel",
    "odd_tiffs/oom-225817ca0f8c663be7ab4b9e717b02c661e66834.tif": "damaged",
    "odd_tiffs/crash-2020-10-test.tif": "damaged",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_say_what_is_wrong(shared: Path, name: str) -> None:
    path = shared / "data" / name
    with pytest.raises(InputFileError, match=ODD[name]) as caught, TiffFrames(path) as frames:
        frames.read(0, 1)
    assert str(path) in str(caught.value)


def test_every_odd_file_is_read_or_refused_in_words(shared: Path) -> None:
    sets = ("odd_tiffs", "thunder_tiffs", "zebrafish_volumes")
    files = sorted(path for each in sets for path in (shared / "data" / each).rglob("*.tif*"))
    assert len(files) > 110
    read, refused = 0, []
    for path in files:
        try:
            with TiffFrames(path) as frames:
                values = frames.read(0, frames.shape.n_frames)
        except InputFileError as error:
            refused.append(error)
            continue
        read += 1
        assert np.array_equal(np.squeeze(values), np.squeeze(tifffile.imread(path)))
    assert (read, len(refused)) == (98, 32)
    assert all(len(each.problem) > 10 and each.remedy and "unpack" not in each.problem for each in refused)


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


def test_jpeg_pages_are_decoded(tmp_path: Path) -> None:
    image = np.full((3, 16, 24), 90, np.uint8)
    tifffile.imwrite(tmp_path / "m.tif", image, compression="jpeg", photometric="minisblack")
    with TiffFrames(tmp_path / "m.tif") as frames:
        assert np.array_equal(frames.read(0, 3), image)


def test_without_the_codecs_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, np.zeros((3, 8, 8), np.uint8), compression="lzw", photometric="minisblack")

    def absent(page: object, **options: object) -> None:
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", absent)
    with TiffFrames(path) as frames:
        with pytest.raises(InputFileError, match="without compression"):
            frames.read(0, 1)
        monkeypatch.setattr("nwbswitch.converters.imaging.tiff_pages.find_spec", lambda name: None)
        with pytest.raises(MissingExtraError, match=r"imagecodecs.*nwbswitch\[convert\]"):
            frames.read(0, 1)


def hyperstack(path: Path, axes: str, **metadata: object) -> np.ndarray:
    """Write an ImageJ hyperstack of 4 frames, 3 planes and 2 channels, every pixel another number."""
    shape = [{"T": 4, "Z": 3, "C": 2, "Y": 5, "X": 6}[axis] for axis in axes]
    stack = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": axes, **metadata})
    return stack


def test_volumes_of_one_channel(tmp_path: Path) -> None:
    stack = hyperstack(tmp_path / "m.tif", "TZCYX")
    with pytest.raises(InputFileError, match=r"2 channels \(T=4, Z=3, C=2\)"):
        TiffFrames(tmp_path / "m.tif")
    with pytest.raises(InputFileError, match="no channel 3"):
        TiffFrames(tmp_path / "m.tif", channel=3)
    with TiffFrames(tmp_path / "m.tif", channel=2) as frames:
        assert frames.shape.frame_shape == (5, 6, 3)
        assert np.array_equal(frames.read(1, 3), np.moveaxis(stack[1:3, :, 1], 1, -1))
    with TiffFrames(tmp_path / "m.tif", channel=1, plane=3) as frames:
        assert np.array_equal(frames.read(0, 4), stack[:, 2, 0])
    with pytest.raises(InputFileError, match="no plane 4"):
        TiffFrames(tmp_path / "m.tif", channel=1, plane=4)


def test_one_volume_per_file_makes_a_movie_of_volumes(tmp_path: Path) -> None:
    volumes = np.arange(3 * 4 * 5 * 6, dtype=np.uint16).reshape(3, 4, 5, 6)  # (t, z, y, x)
    for number, volume in enumerate(volumes):
        tifffile.imwrite(tmp_path / f"time{number + 8}.tif", volume, photometric="minisblack")
    paths = [tmp_path / f"time{number}.tif" for number in (8, 9, 10)]
    interface = TiffMovieInterface(file_path=paths, rate_hz=2.0, pages="planes", parts="continuous")
    stored = written(interface, tmp_path / "m.nwb")
    assert stored.shape == (3, 6, 5, 4)
    assert np.array_equal(stored, volumes.transpose(0, 3, 2, 1))
    one = written(
        TiffMovieInterface(file_path=paths, rate_hz=2.0, pages="planes", plane=4, parts="continuous"),
        tmp_path / "p.nwb",
    )
    assert np.array_equal(one, volumes[:, 3].transpose(0, 2, 1))


def test_volumes_of_a_movie_are_no_single_volume(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "m.tif", np.zeros((4, 3, 5, 6), np.uint8), imagej=True, metadata={"axes": "TZYX"}
    )
    with pytest.raises(InputFileError, match="Leave out pages"):
        TiffFrames(tmp_path / "m.tif", pages="planes")


@pytest.mark.parametrize("order", ["xyczt", "xyctz"])
def test_imagej_states_the_order_of_its_pages(tmp_path: Path, order: str) -> None:
    stack = hyperstack(tmp_path / "m.tif", "TZCYX", order=order)
    with TiffFrames(tmp_path / "m.tif", channel=1, plane=2) as frames:
        pages = stack.reshape(-1, 5, 6)
        first, step = (2, 6) if order == "xyczt" else (8, 2)
        assert np.array_equal(frames.read(0, 4), pages[first::step][:4])


def test_a_stack_of_metamorph_is_more_than_its_only_page(tmp_path: Path) -> None:
    movie = np.arange(7 * 4 * 5, dtype=np.uint16).reshape(7, 4, 5)
    path = tmp_path / "m.stk"
    uic2 = (33629, 4, 7, [0] * 7, True)  # MetaMorph's own type is 5; its count is the number of images
    tifffile.imwrite(path, movie[0], extratags=[uic2], metadata=None, photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        (start,) = file.pages[0].dataoffsets
    raw = path.read_bytes()
    path.write_bytes(raw[: start + 40] + movie[1:].tobytes())
    with TiffFrames(path) as frames:
        assert np.array_equal(frames.read(0, 7), movie)
    path.write_bytes(raw[: start + 40] + movie[1:5].tobytes())
    with pytest.raises(InputFileError, match="promises 7 images"):
        TiffFrames(path)


def test_other_formats_are_called_by_name(shared: Path) -> None:
    path = shared / "data/thunder_tiffs/multilayer_tif/test_signed.tif"
    with pytest.raises(InputFileError, match="format: scanimage"):
        TiffFrames(path)


def test_xml_in_a_description_is_never_parsed(tmp_path: Path) -> None:
    laughs = '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "' + "ha" * 500 + '">'
    laughs += "".join(f'<!ENTITY {b} "{f"&{a};" * 50}">' for a, b in zip("abcdefg", "bcdefgh", strict=True))
    laughs += "]><OME>&h;</OME>"
    movie = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    tifffile.imwrite(tmp_path / "m.tif", movie, description=laughs, metadata=None, photometric="minisblack")
    with TiffFrames(tmp_path / "m.tif") as frames:
        assert np.array_equal(frames.read(0, 3), movie)


@pytest.mark.usefixtures("few_handles")
def test_more_files_than_a_process_may_open(tmp_path: Path) -> None:
    paths = [tmp_path / f"t{number}.tif" for number in range(300)]
    for number, path in enumerate(paths):
        tifffile.imwrite(path, np.full((2, 3, 4), number, np.uint16), photometric="minisblack")
    interface = TiffMovieInterface(file_path=paths, rate_hz=2.0, pages="planes", parts="continuous")
    stored = written(interface, tmp_path / "m.nwb")
    assert stored[:, 0, 0, 0].tolist() == list(range(300))
