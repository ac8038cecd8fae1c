"""OME-TIFF: axes, channels and times from OME-XML; sets of files that cannot leave their folder."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import tifffile
from format_writers.ome_tiff import (
    block,
    ome_xml,
    pixels_xml,
    write_micro_manager,
    write_pages,
    write_set,
)
from written_movie import corner_movie, written

from nwbswitch.converters.imaging.ome_tiff import OmeMovie, OmeTiffInterface
from nwbswitch.schemas.errors import InputFileError, NwbswitchError, UnsafeFileError
from nwbswitch.schemas.ome_files import ome_files

SHAPE = (4, 3, 2, 5, 6)  # T, Z, C, Y, X
STACK = np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)


def test_a_movie_of_one_plane(tmp_path: Path) -> None:
    movie = corner_movie()
    metadata = {
        "axes": "TYX",
        "TimeIncrement": 250.0,
        "TimeIncrementUnit": "ms",
        "PhysicalSizeX": 800.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.9,
        "PhysicalSizeYUnit": "µm",
    }
    tifffile.imwrite(tmp_path / "m.ome.tif", movie, ome=True, metadata=metadata, photometric="minisblack")
    interface = OmeTiffInterface(file_path=tmp_path / "m.ome.tif")
    assert interface.pixel_size_um == (pytest.approx(0.8), 0.9)
    stored = written(interface, tmp_path / "m.nwb")
    assert np.array_equal(stored.data, movie.transpose(0, 2, 1))
    assert (stored.start_s, stored.rate_hz) == (0.0, 4.0)


@pytest.mark.parametrize("order", ["".join(each) for each in permutations("CZT")])
def test_every_order_of_dimensions(tmp_path: Path, order: str) -> None:
    axes = order[::-1]
    pages = STACK.transpose(*["TZC".index(axis) for axis in axes], 3, 4).reshape(-1, 5, 6)
    pixels = pixels_xml(SHAPE, blocks="<TiffData/>", channels=["green", "red"], DimensionOrder=f"XY{order}")
    write_pages(tmp_path / "m.ome.tif", pages, ome_xml(pixels))
    with pytest.raises(InputFileError, match=r"several channels: 1 \('green'\), 2 \('red'\)"):
        OmeMovie(tmp_path / "m.ome.tif")
    movie = OmeMovie(tmp_path / "m.ome.tif", channel="Red")
    assert movie.shape.frame_shape == (5, 6, 3)
    assert np.array_equal(movie.read(1, 3), np.moveaxis(STACK[1:3, :, 1], 1, -1))
    plane = OmeMovie(tmp_path / "m.ome.tif", channel=1, plane=2)
    assert np.array_equal(plane.read(0, 4), STACK[:, 1, 0])


def test_values_are_those_of_tifffile_and_roiextractors(tmp_path: Path) -> None:
    from roiextractors import OMETiffImagingExtractor

    path = tmp_path / "m.ome.tif"
    names = {"Name": ["a", "b"]}
    tifffile.imwrite(path, STACK, ome=True, metadata={"axes": "TZCYX", "Channel": names})
    theirs = OMETiffImagingExtractor(path, sampling_frequency=5.0, channel_name="b")
    ours = OmeMovie(path, channel="b")
    assert np.array_equal(ours.read(0, 4), theirs.get_series())
    assert np.array_equal(ours.read(0, 4), np.moveaxis(tifffile.imread(path)[:, :, 1], 1, -1))


def test_a_set_of_files_with_its_times(tmp_path: Path) -> None:
    delta_t = [1.5, 1.75, 2.0, 3.0]
    paths = write_set(tmp_path, STACK, files=3, delta_t=delta_t)
    assert ome_files(paths[1]) == (paths[1], paths[0], paths[2])
    for path in paths:
        movie = OmeMovie(path, channel=2)
        assert np.array_equal(movie.read(0, 4), np.moveaxis(STACK[:, :, 1], 1, -1))
    assert movie.started == datetime(2023, 5, 1, 10, 0, 1, 500000)
    stored = written(OmeTiffInterface(file_path=paths[0], channel=2, start_s=10.0), tmp_path / "m.nwb")
    assert stored.times_s.tolist() == [11.5, 11.75, 12.0, 13.0]
    regular = OmeMovie(paths[0], channel=1, use_timestamps=False)
    assert (regular.rate_hz, regular.frame_times_s) == (None, None)


def test_a_missing_file_of_a_set_is_named(tmp_path: Path) -> None:
    paths = write_set(tmp_path, STACK, files=3)
    paths[1].unlink()
    with pytest.raises(InputFileError, match=r"one of 3 files; 'm_1\.ome\.tif' is not there"):
        OmeMovie(paths[0], channel=1)
    assert ome_files(paths[0]) == (paths[0], paths[2])


def test_a_file_that_was_renamed_is_still_itself(tmp_path: Path) -> None:
    (path,) = write_set(tmp_path, STACK, files=1)
    renamed = path.rename(tmp_path / "mouse 1.ome.tif")
    assert np.array_equal(OmeMovie(renamed, channel=1, plane=1).read(0, 4), STACK[:, 0, 0])


def test_a_companion_holds_the_description(tmp_path: Path) -> None:
    blocks = "".join(block(f"t{t}.tif", f"urn:{t}", page=None, count=None, t=t) for t in range(4))
    stack = STACK[:, :1, :1]
    pixels = pixels_xml(stack.shape, blocks=blocks)
    (tmp_path / "m.companion.ome").write_text(ome_xml(pixels), encoding="utf-8")
    for t in range(4):
        pointer = f'<OME UUID="urn:{t}"><BinaryOnly MetadataFile="m.companion.ome" UUID="urn:{t}"/></OME>'
        write_pages(tmp_path / f"t{t}.tif", stack[t, 0], pointer)
    assert np.array_equal(OmeMovie(tmp_path / "t2.tif").read(0, 4), stack[:, 0, 0])
    assert tmp_path / "m.companion.ome" in ome_files(tmp_path / "t0.tif")
    (tmp_path / "m.companion.ome").unlink()
    with pytest.raises(InputFileError, match="m.companion.ome, which is not there"):
        OmeMovie(tmp_path / "t2.tif")


def test_positions_are_images_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.tif"
    one = pixels_xml((2, 1, 1, 5, 6), blocks="<TiffData/>")
    pages = STACK.reshape(-1, 5, 6)[:4]
    write_pages(path, pages, ome_xml(one, one))
    with pytest.raises(InputFileError, match=r"several images: 1 \('Pos0'\), 2 \('Pos1'\)"):
        OmeMovie(path)
    assert np.array_equal(OmeMovie(path, image="Pos1").read(0, 2), pages[2:])
    assert np.array_equal(OmeMovie(path, image=1).read(0, 2), pages[:2])


def test_micro_manager(tmp_path: Path) -> None:
    movie = corner_movie(6)
    path = write_micro_manager(tmp_path, movie)
    ours = OmeMovie(path)
    assert np.array_equal(ours.read(0, 6), movie)
    assert ours.rate_hz == pytest.approx(20.0)
    zone = timezone(timedelta(hours=2))
    assert ours.started == datetime(2023, 5, 1, 10, 0, 0, 257000, zone)
    interface = OmeTiffInterface(file_path=path)
    started = interface.get_metadata()["NWBFile"]["session_start_time"]
    # The session starts where the times of the frames are zero.
    assert started.astimezone(UTC) == datetime(2023, 5, 1, 8, 0, 0, 250000, UTC)


def test_an_acquisition_that_was_aborted_ends_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.tif"
    blocks = "".join(block("", "", page=t, t=t) for t in range(3))
    write_pages(path, STACK.reshape(-1, 5, 6)[:3], ome_xml(pixels_xml((9, 1, 1, 5, 6), blocks=blocks)))
    assert OmeMovie(path).shape.n_frames == 3
    holes = "".join(block("", "", page=p, t=t) for p, t in ((0, 0), (1, 2)))
    write_pages(path, STACK.reshape(-1, 5, 6)[:3], ome_xml(pixels_xml((9, 1, 1, 5, 6), blocks=holes)))
    with pytest.raises(InputFileError, match="number 2 is not complete"):
        OmeMovie(path)


def test_pages_that_are_promised_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.tif"
    blocks = "".join(block("", "", page=t, t=t) for t in range(5))
    write_pages(path, STACK.reshape(-1, 5, 6)[:3], ome_xml(pixels_xml((5, 1, 1, 5, 6), blocks=blocks)))
    with pytest.raises(InputFileError, match="has 3 pages, where the OME-XML of the set promises 5"):
        OmeMovie(path)
    write_pages(path, STACK.reshape(-1, 5, 6)[:3], ome_xml(pixels_xml((3, 1, 1, 7, 6), blocks="<TiffData/>")))
    with pytest.raises(InputFileError, match="pages of 5x6, its OME-XML says 7x6"):
        OmeMovie(path)


OUTSIDE = ["../secret.ome.tif", "/etc/passwd", "sub/../../secret.ome.tif", "..\\..\\x"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_set_never_leaves_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "session"
    folder.mkdir()
    pages = STACK.reshape(-1, 5, 6)
    write_pages(tmp_path / "secret.ome.tif", pages[:1], "")
    blocks = block("m.ome.tif", "urn:0") + block(name, "urn:1", t=1)
    write_pages(
        folder / "m.ome.tif", pages[:1], ome_xml(pixels_xml((2, 1, 1, 5, 6), blocks=blocks), own="urn:0")
    )
    with pytest.raises(InputFileError, match=r"leads out of the folder|is not there"):
        OmeMovie(folder / "m.ome.tif")
    assert ome_files(folder / "m.ome.tif") == (folder / "m.ome.tif",)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "session"
    folder.mkdir()
    pages = STACK.reshape(-1, 5, 6)
    write_pages(tmp_path / "secret.tif", pages[:1], "")
    (folder / "link.tif").symlink_to(tmp_path / "secret.tif")
    blocks = block("m.ome.tif", "urn:0") + block("link.tif", "urn:1", t=1)
    write_pages(
        folder / "m.ome.tif", pages[:1], ome_xml(pixels_xml((2, 1, 1, 5, 6), blocks=blocks), own="urn:0")
    )
    with pytest.raises(UnsafeFileError, match=r"'link\.tif', which leads out"):
        OmeMovie(folder / "m.ome.tif")
    pointer = '<OME><BinaryOnly MetadataFile="../secret.tif" UUID="urn:0"/></OME>'
    write_pages(folder / "b.ome.tif", pages[:1], pointer)
    with pytest.raises(UnsafeFileError, match="leads out"):
        OmeMovie(folder / "b.ome.tif")


def test_a_billion_laughs_are_not_told(tmp_path: Path) -> None:
    entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    text = ome_xml(
        pixels_xml((3, 1, 1, 5, 6), blocks="<TiffData/>", channels=["&a9;"]),
        head=f"<!DOCTYPE lolz [{entities}]>",
    )
    path = tmp_path / "m.ome.tif"
    write_pages(path, STACK.reshape(-1, 5, 6)[:3], text)
    start = time.perf_counter()
    with pytest.raises(UnsafeFileError, match="document type declaration"):
        OmeMovie(path)
    assert ome_files(path) == (path,)
    assert time.perf_counter() - start < 5


def test_tifffile_never_sees_the_xml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.ome.tif"
    tifffile.imwrite(
        path, STACK[:, 0, 0], ome=True, metadata={"axes": "TYX"}, compression="lzw", photometric="minisblack"
    )
    for name in ("ome_metadata", "series"):
        monkeypatch.setattr(
            tifffile.TiffFile, name, property(lambda self: pytest.fail("tifffile parsed the XML"))
        )
    assert np.array_equal(OmeMovie(path).read(0, 4), STACK[:, 0, 0])


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"SizeT": "999999999", "SizeZ": "999999"}, "declares"),
        ({"SizeT": "-4"}, "SizeT=-4"),
        ({"SizeC": "x"}, "cannot be used"),
        ({"DimensionOrder": "XYCCT"}, "order of dimensions"),
    ],
)
def test_sizes_are_checked_before_they_are_believed(
    tmp_path: Path, attributes: dict[str, str], words: str
) -> None:
    text = ome_xml(pixels_xml((3, 1, 1, 5, 6), blocks="<TiffData/>", DimensionOrder="XYCZT"))
    for key, value in attributes.items():
        before = text[text.index(f'{key}="') :].split('"')[1]
        text = text.replace(f'{key}="{before}"', f'{key}="{value}"')
    write_pages(tmp_path / "m.ome.tif", STACK.reshape(-1, 5, 6)[:3], text)
    with pytest.raises(InputFileError, match=words):
        OmeMovie(tmp_path / "m.ome.tif")


def test_plain_tiffs_are_sent_to_their_format(shared: Path) -> None:
    with pytest.raises(InputFileError, match="format: tiff_movie"):
        OmeMovie(shared / "data/two_photon_mouse_treadmill/movie.tif")


@pytest.mark.parametrize("seed", range(120))
def test_damage_of_any_kind_is_an_error_in_words(tmp_path: Path, seed: int) -> None:
    paths = write_set(tmp_path, STACK[:, :1], files=2, delta_t=[0, 1, 2, 3])
    raw = bytearray(paths[0].read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, min(len(raw), 3000), rng.integers(1, 20)):
        raw[place] = rng.integers(0, 256)
    paths[0].write_bytes(raw)
    try:
        movie = OmeMovie(paths[0], channel=1)
        values = movie.read(0, movie.shape.n_frames)
    except NwbswitchError as error:
        refusal = str(error)
    else:
        refusal = ""
        assert values.shape[1:] == movie.shape.frame_shape
    assert refusal == "" or str(tmp_path) in refusal
