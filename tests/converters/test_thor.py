"""ThorImage: raw files, TIFF files and OME containers; flyback frames, averages and channels."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from format_writers.thor import write_container, write_experiment, write_raw, write_tiffs
from written_movie import written

from nwbswitch.converters.imaging.movie import Movie
from nwbswitch.converters.imaging.thor import ThorInterface, open_thor
from nwbswitch.schemas.errors import InputFileError, NwbswitchError, UnsafeFileError


def opened(folder: Path, **choices: object) -> Movie:
    return open_thor(folder, **{"channel": None, "plane": None, "source": None, **choices})


def stack(n: int, channels: int = 1) -> np.ndarray:
    """Return images (n, channels, 5, 6) in which every pixel is another number."""
    return np.arange(n * channels * 30, dtype=np.uint16).reshape(n, channels, 5, 6)


def raw_folder(folder: Path, images: np.ndarray, **values: object) -> Path:
    write_experiment(folder, height=5, width=6, frames=len(images), **values)
    write_raw(folder, images)
    return folder


def test_one_channel_of_one_plane(tmp_path: Path) -> None:
    images = stack(8)
    interface = ThorInterface(folder_path=raw_folder(tmp_path / "r", images))
    assert interface.pixel_size_um == (9 / 6, 10 / 5)
    assert interface.movie.started == datetime(2026, 7, 29, 3, 52, 7, tzinfo=UTC)
    stored = written(interface, tmp_path / "m.nwb")
    assert np.array_equal(stored.data, images[:, 0].transpose(0, 2, 1))
    assert (stored.start_s, stored.rate_hz) == (0.0, 30.0)


def test_averaged_frames_come_at_a_lower_rate(tmp_path: Path) -> None:
    assert opened(raw_folder(tmp_path / "a", stack(4), averaged=6)).rate_hz == 5.0
    assert opened(raw_folder(tmp_path / "b", stack(4))).rate_hz == 30.0  # averageNum is set, but not used


def test_volumes_without_their_flyback_frames(tmp_path: Path) -> None:
    images = stack(5 * 4)
    folder = raw_folder(tmp_path / "v", images, steps=3, flyback=1)
    volumes = images.reshape(5, 4, 5, 6)[:, :3]
    movie = opened(folder)
    assert np.array_equal(movie.read(1, 4), np.moveaxis(volumes[1:4], 1, -1))
    assert movie.rate_hz == 7.5
    assert np.array_equal(opened(folder, plane=3).read(0, 5), volumes[:, 2])
    with pytest.raises(InputFileError, match="no plane 4; it has 3"):
        opened(folder, plane=4)


@pytest.mark.parametrize(
    ("channels", "mask", "in_file", "only_enabled"),
    [
        (("ChanA", "ChanB"), 0b11, 2, "1"),
        (("ChanA", "ChanB"), 0b11, 4, "0"),
        (("ChanA", "ChanB"), 0b11, 3, None),
        (("ChanA", "ChanC"), 0b101, 4, "0"),
        (("ChanA", "ChanC"), 0b101, 2, None),
        (("ChanB",), 0b10, 1, "0"),
    ],
)
def test_channels_are_where_the_digitizer_put_them(
    tmp_path: Path, channels: tuple[str, ...], mask: int, in_file: int, only_enabled: str | None
) -> None:
    images = stack(6, in_file)
    folder = raw_folder(tmp_path / "c", images, channels=channels, mask=mask, only_enabled=only_enabled)
    places = [place for place in range(4) if mask >> place & 1]
    for number, name in enumerate(channels):
        place = number if in_file == len(channels) else places[number]
        assert np.array_equal(opened(folder, channel=name).read(0, 6), images[:, place])
    if len(channels) > 1:
        with pytest.raises(InputFileError, match=r"several channels: 1 \('ChanA'\), 2"):
            opened(folder)


def test_the_size_must_fit_the_xml(tmp_path: Path) -> None:
    folder = raw_folder(tmp_path / "s", stack(8))
    file = folder / "Image_0001_0001.raw"
    whole = file.read_bytes()
    for size in (0, len(whole) // 2, len(whole) - 2, len(whole) - 60):
        file.write_bytes(whole[:size])
        with pytest.raises(InputFileError, match="8 frames of 5x6 pixels in 1 channels"):
            opened(folder)
    file.write_bytes(whole + whole)
    with pytest.raises(InputFileError, match=r"has 960 bytes.* have 480"):
        opened(folder)


def test_a_recording_that_was_stopped_has_what_it_has(tmp_path: Path) -> None:
    folder = raw_folder(tmp_path / "s", stack(11), steps=3, flyback=1, status="Stopped")
    write_experiment(folder, height=5, width=6, frames=40, steps=3, flyback=1, status="Stopped")
    assert opened(folder).shape.n_frames == 3  # two whole cycles, and a third without its flyback frame
    write_experiment(folder, height=5, width=6, frames=40, steps=3, flyback=1, status=None)
    with pytest.raises(InputFileError, match="ExperimentStatus"):
        opened(folder)


@pytest.mark.parametrize("planes", [1, 3])
def test_tiff_files_of_streaming(tmp_path: Path, planes: int) -> None:
    names = ("ChanA", "ChanB")
    images = np.arange(4 * planes * 2 * 30, dtype=np.uint16).reshape(4, planes, 2, 5, 6)
    flyback = 1 if planes > 1 else 0
    folder = write_experiment(
        tmp_path / "t", height=5, width=6, frames=4 * (planes + flyback), channels=names, steps=planes,
        flyback=flyback,
    )  # fmt: skip
    write_tiffs(folder, images, channels=names)
    movie = opened(folder, channel="ChanB")
    expected = images[:, 0, 1] if planes == 1 else np.moveaxis(images[:, :, 1], 1, -1)
    assert np.array_equal(movie.read(0, 4), expected)
    assert movie.rate_hz == (30.0 if planes == 1 else 7.5)
    assert np.array_equal(opened(folder, channel=1, plane=planes).read(1, 3), images[1:3, -1, 0])
    stored = written(ThorInterface(folder_path=folder, channel="ChanB"), tmp_path / "m.nwb")
    axes = (0, 2, 1) if planes == 1 else (0, 2, 1, 3)
    assert np.array_equal(stored.data, expected.transpose(axes))


def test_time_points_have_times_of_their_own(tmp_path: Path) -> None:
    images = stack(4)[:, None]
    folder = write_experiment(
        tmp_path / "t", height=5, width=6, frames=99, streaming=False, timepoints=4, interval_s=10
    )
    write_tiffs(folder, images)
    assert opened(folder).rate_hz == 0.1
    write_tiffs(folder, images, delta_t=[0.5, 10.5, 20.75, 31.0])
    movie = opened(folder)
    assert movie.frame_times_s.tolist() == [0.5, 10.5, 20.75, 31.0]
    assert movie.started == datetime(2026, 7, 29, 3, 52, 7, 500000, tzinfo=UTC)


def test_an_ome_container(tmp_path: Path) -> None:
    images = np.arange(4 * 3 * 2 * 30, dtype=np.uint16).reshape(4, 3, 2, 5, 6)
    folder = write_experiment(
        tmp_path / "o", height=5, width=6, frames=16, channels=("ChanA", "ChanB"), steps=3, flyback=1
    )
    write_container(folder, images)
    movie = opened(folder, channel="ChanB")
    assert np.array_equal(movie.read(0, 4), np.moveaxis(images[:, :, 1], 1, -1))
    assert (movie.rate_hz, movie.pixel_size_um) == (7.5, (1.5, 2.0))
    assert movie.started == datetime(2026, 7, 29, 3, 52, 7, tzinfo=UTC)


def test_values_are_those_of_roiextractors(tmp_path: Path) -> None:
    from roiextractors.extractors.tiffimagingextractors.thortiffimagingextractor import (
        ThorTiffImagingExtractor,
    )

    images = np.arange(6 * 2 * 30, dtype=np.uint16).reshape(6, 1, 2, 5, 6)
    folder = write_experiment(tmp_path / "o", height=5, width=6, frames=6, channels=("ChanA", "ChanB"))
    write_container(folder, images)
    path = folder / "Image_scan_1_region_0_0.tif"
    theirs = ThorTiffImagingExtractor(path, channel_name="ChanB")
    ours = opened(folder, channel="ChanB")
    assert np.array_equal(ours.read(0, 6), theirs.get_series())
    assert ours.rate_hz == theirs.get_sampling_frequency()
    assert ours.started == theirs._get_session_start_time()


def test_both_kinds_of_files_need_a_choice(tmp_path: Path) -> None:
    folder = raw_folder(tmp_path / "b", stack(4))
    write_tiffs(folder, stack(4)[:, None] + 1)
    with pytest.raises(InputFileError, match="source: tiff or raw"):
        opened(folder)
    assert opened(folder, source="raw").read(0, 1)[0, 0, 0] == 0
    assert opened(folder, source="tiff").read(0, 1)[0, 0, 0] == 1


def test_folders_that_are_incomplete_say_so(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"holds no Experiment\.xml"):
        opened(tmp_path)
    folder = write_experiment(tmp_path / "t", height=5, width=6, frames=6)
    with pytest.raises(InputFileError, match="neither TIFF files nor a raw file"):
        opened(folder)
    write_tiffs(folder, stack(5)[:, None])
    with pytest.raises(InputFileError, match="5 of 6 time points"):
        opened(folder)
    write_tiffs(folder, stack(6)[:, None])
    (folder / "ChanA_0001_0001_0001_0003.tif").unlink()
    with pytest.raises(InputFileError, match="lacks the image of plane 1 at time point 3; 1 images"):
        opened(folder)


def test_an_xml_of_another_recording_is_found_out(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "t", height=5, width=7, frames=3)
    write_tiffs(folder, stack(3)[:, None])
    with pytest.raises(InputFileError, match="has 5x6 pixels, Experiment.xml states 5x7"):
        opened(folder)


def test_numbers_that_name_no_files_are_refused(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "t", height=5, width=6, frames=3)
    write_tiffs(folder, stack(3)[:, None])
    (folder / "ChanA_0001_0001_0001_0002.tif").rename(folder / "ChanA_0001_0001_9999_99999999.tif")
    with pytest.raises(UnsafeFileError, match="numbered up to 99999999"):
        opened(folder)


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = raw_folder(tmp_path / "b", stack(4))
    (folder / "Image_0001_0001.raw").rename(tmp_path / "secret.raw")
    (folder / "Image_0001_0001.raw").symlink_to(tmp_path / "secret.raw")
    with pytest.raises(UnsafeFileError, match="leads out"):
        opened(folder)


@pytest.mark.parametrize(
    ("lsm", "size"),
    [
        ('pixelSizeUM="0.5"', (0.5, 0.5)),
        ('pixelSizeUM="2.9" pixelWidthUM="0.25" pixelHeightUM="0.5"', (0.25, 0.5)),
        ("", None),
        ('pixelSizeUM="nan"', None),
    ],
)
def test_the_pixel_size_is_the_one_of_the_field(
    tmp_path: Path, lsm: str, size: tuple[float, float] | None
) -> None:
    assert opened(raw_folder(tmp_path / "p", stack(2), lsm=lsm)).pixel_size_um == size


def test_old_dates_are_on_the_clock_of_the_microscope(tmp_path: Path) -> None:
    folder = raw_folder(tmp_path / "d", stack(2), date='<Date date="06/24/2014 10:11:12" />')
    assert opened(folder).started == datetime(2014, 6, 24, 10, 11, 12)
    assert opened(raw_folder(tmp_path / "e", stack(2), date='<Date date="06/24/2014" />')).started is None


def test_runs_keep_the_gap_that_the_xml_states(tmp_path: Path) -> None:
    images = stack(8)
    for run, seconds in ((1, 1785297127), (2, 1785297427)):
        date = f'<Date date="07/29/2026 12:52:07" uTime="{seconds}" />'
        raw_folder(tmp_path / f"run_{run}", images[4 * run - 4 : 4 * run], date=date)
    folders = [tmp_path / "run_1", tmp_path / "run_2"]
    stored = written(ThorInterface(folder_path=folders, parts="runs"), tmp_path / "m.nwb")
    assert np.array_equal(stored.data, images[:, 0].transpose(0, 2, 1))
    np.testing.assert_allclose(stored.times_s[[0, 4]], [0, 300])


@pytest.mark.parametrize("seed", range(60))
def test_damage_of_the_xml_is_an_error_in_words(tmp_path: Path, seed: int) -> None:
    folder = raw_folder(tmp_path / "f", stack(8, 2), channels=("ChanA", "ChanB"), only_enabled="1")
    raw = bytearray((folder / "Experiment.xml").read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(raw), rng.integers(1, 10)):
        raw[place] = rng.integers(0, 256)
    (folder / "Experiment.xml").write_bytes(raw)
    try:
        movie = opened(folder, channel=1)
        values = movie.read(0, movie.shape.n_frames)
    except NwbswitchError as error:
        refusal = str(error)
    else:
        refusal = ""
        assert values.shape[1:] == movie.shape.frame_shape
    assert refusal == "" or str(folder) in refusal
