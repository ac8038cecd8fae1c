"""ScanImage movies: every version, channel, slice and region, and pages beyond the 65,535th."""

from __future__ import annotations

import tracemalloc
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from format_writers.scanimage import (
    frame_text,
    settings,
    version_3,
    version_4,
    version_5,
    write_big,
    write_classic,
)
from written_movie import written

from nwbswitch.converters.imaging import tiff_pages
from nwbswitch.converters.imaging.scanimage import ScanImageInterface, ScanImageMovie
from nwbswitch.schemas.errors import InputFileError, NwbswitchError


def images(n: int, height: int = 6, width: int = 8) -> np.ndarray:
    """Return pages in which every pixel is another number."""
    return np.arange(n * height * width, dtype=np.int16).reshape(n, height, width)


@pytest.mark.parametrize("style", [2016, 2023])
@pytest.mark.parametrize("as_json", [False, True])
def test_one_channel_of_one_plane(tmp_path: Path, style: int, as_json: bool) -> None:
    pages = images(20)
    write_big(tmp_path / "m.tif", pages, settings(style=style), as_json=as_json)
    movie = ScanImageMovie([tmp_path / "m.tif"])
    assert np.array_equal(movie.read(0, 20), pages)
    assert movie.rate_hz == 30.0
    assert movie.started == datetime(2023, 5, 1, 10, 0, 25, 45000)
    assert movie.pixel_size_um == (90 / 8, 60 / 6)
    np.testing.assert_allclose(movie.frame_times_s, np.arange(20) / 30, atol=1e-8)
    stored = written(ScanImageInterface(file_path=tmp_path / "m.tif"), tmp_path / "m.nwb")
    assert np.array_equal(stored.data, pages.transpose(0, 2, 1))
    assert (stored.start_s, stored.rate_hz) == (0.0, pytest.approx(30.0))


def test_a_saved_channel_must_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    write_big(path, images(20), settings(channels=(1, 3)))
    with pytest.raises(InputFileError, match=r"several channels: 1 \('Channel 1'\), 3 \('Channel 3'\)"):
        ScanImageMovie([path])
    with pytest.raises(InputFileError, match="no channel 2; it holds 1"):
        ScanImageMovie([path], channel=2)
    for name in (3, "3", "channel 3"):
        movie = ScanImageMovie([path], channel=name)
        assert np.array_equal(movie.read(0, 10), images(20)[1::2])
        assert movie.rate_hz == 30.0


@pytest.mark.parametrize("style", [2016, 2023])
def test_volumes_without_their_flyback_frames(tmp_path: Path, style: int) -> None:
    path = tmp_path / "m.tif"
    pages = images(5 * 4 * 2 + 3)  # the last volume is incomplete
    write_big(path, pages, settings(channels=(1, 2), slices=3, flyback=1, style=style))
    volumes = pages[:40].reshape(5, 4, 2, 6, 8)[:, :3, 1]
    movie = ScanImageMovie([path], channel=2)
    assert movie.shape.frame_shape == (6, 8, 3)
    assert np.array_equal(movie.read(1, 4), np.moveaxis(volumes[1:4], 1, -1))
    assert movie.rate_hz == 7.5
    np.testing.assert_allclose(movie.frame_times_s, np.arange(5) * 4 / 30, atol=1e-8)
    plane = ScanImageMovie([path], channel=2, plane=3)
    assert np.array_equal(plane.read(0, 5), volumes[:, 2])
    np.testing.assert_allclose(plane.frame_times_s[0], 2 / 30, atol=1e-8)
    stored = written(ScanImageInterface(file_path=path, channel=2), tmp_path / "v.nwb")
    assert np.array_equal(stored.data, volumes.transpose(0, 3, 2, 1))
    with pytest.raises(InputFileError, match="no plane 4; it has 3"):
        ScanImageMovie([path], channel=1, plane=4)


def test_several_frames_of_each_slice(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    pages = images(2 * 3 * 4)  # volumes, slices, frames
    write_big(path, pages, settings(slices=3, slice_frames=4))
    parts = pages.reshape(2, 3, 4, 6, 8)
    with pytest.raises(InputFileError, match="4 frames of each of 3 slices"):
        ScanImageMovie([path])
    movie = ScanImageMovie([path], slice_frame=2)
    assert np.array_equal(movie.read(0, 2), np.moveaxis(parts[:, :, 1], 1, -1))
    plane = ScanImageMovie([path], plane=2)
    assert np.array_equal(plane.read(0, 8), parts[:, 1].reshape(8, 6, 8))
    np.testing.assert_allclose(plane.frame_times_s * 30, [4, 5, 6, 7, 16, 17, 18, 19], atol=1e-6)
    untimed = ScanImageMovie([path], plane=2, use_timestamps=False)
    np.testing.assert_allclose(untimed.frame_times_s * 30, [4, 5, 6, 7, 16, 17, 18, 19])
    with pytest.raises(InputFileError, match="not a frame 5"):
        ScanImageMovie([path], slice_frame=5)


def test_averaged_frames_come_at_a_lower_rate(tmp_path: Path) -> None:
    write_big(tmp_path / "m.tif", images(9), settings(averaged=4))
    assert ScanImageMovie([tmp_path / "m.tif"]).rate_hz == 7.5
    assert ScanImageMovie([tmp_path / "m.tif"], use_timestamps=False).rate_hz == 7.5


def test_dropped_frames_leave_their_gap(tmp_path: Path) -> None:
    times = np.delete(np.arange(12) / 30, [5, 6])
    texts = [frame_text(number + 1, time) for number, time in enumerate(times)]
    write_big(tmp_path / "m.tif", images(10), settings(), texts=texts)
    stored = written(ScanImageInterface(file_path=tmp_path / "m.tif", start_s=2.0), tmp_path / "m.nwb")
    np.testing.assert_allclose(stored.times_s, 2 + times, atol=1e-8)
    ignored = written(
        ScanImageInterface(file_path=tmp_path / "m.tif", use_timestamps=False), tmp_path / "i.nwb"
    )
    assert ignored.rate_hz == pytest.approx(30)


def test_times_that_go_back_are_refused(tmp_path: Path) -> None:
    texts = [frame_text(number + 1, time) for number, time in enumerate([0, 0.1, 0.05])]
    write_big(tmp_path / "m.tif", images(3), settings(), texts=texts)
    with pytest.raises(InputFileError, match="use_timestamps: false"):
        ScanImageMovie([tmp_path / "m.tif"])
    assert ScanImageMovie([tmp_path / "m.tif"], use_timestamps=False).shape.n_frames == 3


def test_a_clock_that_was_never_set_is_no_start(tmp_path: Path) -> None:
    texts = [frame_text(number, number / 30, "[1601  1  1  0  0 25.045]") for number in (1, 2)]
    write_big(tmp_path / "m.tif", images(2), settings(), texts=texts)
    assert ScanImageMovie([tmp_path / "m.tif"]).started is None


def test_files_of_one_acquisition_share_volumes_and_clock(tmp_path: Path) -> None:
    pages, values = images(24), settings(slices=3, flyback=1)
    texts = [frame_text(number + 1, number / 30) for number in range(24)]
    paths = [tmp_path / f"m_00001_{number:05d}.tif" for number in (1, 2, 3)]
    for path, (start, stop) in zip(paths, [(0, 10), (10, 17), (17, 24)], strict=True):
        write_big(path, pages[start:stop], values, texts=texts[start:stop])
    volumes = pages.reshape(6, 4, 6, 8)[:, :3]
    interface = ScanImageInterface(file_path=paths, parts="continuous")
    assert interface.timing.rate_hz == pytest.approx(7.5)
    stored = written(interface, tmp_path / "m.nwb")
    assert np.array_equal(stored.data, volumes.transpose(0, 3, 2, 1))


def test_runs_keep_the_gap_that_the_files_state(tmp_path: Path) -> None:
    pages = images(30)
    epochs = ("[2023  5  1 10  0 25.045]", "[2023  5  1 10  1 25.545]")
    for run, epoch in enumerate(epochs):
        for part in range(3):
            numbers = range(5 * part, 5 * part + 5)
            write_big(
                tmp_path / f"m_{run + 1:05d}_{part + 1:05d}.tif",
                pages[15 * run + 5 * part :][:5],
                settings(),
                texts=[frame_text(number + 1, number / 30, epoch) for number in numbers],
            )
    paths = sorted(tmp_path.glob("*.tif"))
    stored = written(ScanImageInterface(file_path=paths, parts="runs"), tmp_path / "m.nwb")
    assert np.array_equal(stored.data, pages.transpose(0, 2, 1))
    expected = np.concatenate([np.arange(15) / 30, 60.5 + np.arange(15) / 30])
    np.testing.assert_allclose(stored.times_s, expected, atol=1e-7)
    together = ScanImageInterface(file_path=paths, parts="continuous")
    np.testing.assert_allclose(together.get_timestamps(), expected, atol=1e-7)


def test_files_of_another_acquisition_are_no_continuation(tmp_path: Path) -> None:
    paths = [tmp_path / "a.tif", tmp_path / "b.tif"]
    for path in paths:
        write_big(path, images(5), settings())
    with pytest.raises(InputFileError, match="parts: runs"):
        ScanImageInterface(file_path=paths, parts="continuous")
    write_big(paths[1], images(5), settings(slices=2))
    with pytest.raises(InputFileError, match=r"b\.tif: was taken with n_slices = 2"):
        ScanImageInterface(file_path=paths, parts="continuous")


def test_version_3(tmp_path: Path) -> None:
    path, pages = tmp_path / "m.tif", images(12)
    write_classic(path, pages, [version_3(channels=2, rate_hz=4)] * 12)
    movie = ScanImageMovie([path], channel=3)
    assert np.array_equal(movie.read(0, 6), pages[1::2])
    assert (movie.rate_hz, movie.frame_times_s) == (4.0, None)
    assert movie.started == datetime(2017, 10, 9, 16, 57, 7, 967000)
    write_classic(path, pages, [version_3(slices=3, frames=2, averaged=2)] * 12)
    assert np.array_equal(
        ScanImageMovie([path], slice_frame=1).read(0, 2),
        np.moveaxis(pages.reshape(2, 3, 2, 6, 8)[:, :, 0], 1, -1),
    )
    assert ScanImageMovie([path], plane=1).rate_hz == 2.0


def test_version_4_and_5(tmp_path: Path) -> None:
    path, pages = tmp_path / "m.tif", images(10)
    texts = [version_4(number, slices=4, discards=1) for number in range(10)]
    write_classic(path, pages, texts)
    movie = ScanImageMovie([path])
    assert np.array_equal(movie.read(0, 2), np.moveaxis(pages.reshape(2, 5, 6, 8)[:, :4], 1, -1))
    assert movie.rate_hz == pytest.approx(28.4217 / 5)
    write_classic(path, pages, [version_5(number, number / 25, channels="[1;2]") for number in range(10)])
    movie = ScanImageMovie([path], channel=2)
    assert np.array_equal(movie.read(0, 5), pages[1::2])
    assert movie.rate_hz == pytest.approx(12.5)  # measured: the settings say 30
    assert movie.started == datetime(2015, 6, 3, 17, 2, 50, 833000)


def test_version_2015_has_everything_in_each_page(tmp_path: Path) -> None:
    path, pages = tmp_path / "m.tif", images(6)
    body = "\n".join(f"scanimage.SI.{key} = {value}" for key, value in settings(style=2015).items())
    write_classic(path, pages, [frame_text(number + 1, number / 30) + body for number in range(6)])
    movie = ScanImageMovie([path])
    assert np.array_equal(movie.read(0, 6), pages)
    assert movie.header.version == "2015.1"


def test_the_real_file(shared: Path) -> None:
    path = shared / "data/thunder_tiffs/multilayer_tif/test_signed.tif"
    with pytest.raises(InputFileError, match="2 pages, where a volume takes 4"):
        ScanImageMovie([path])
    movie = ScanImageMovie([path], plane=2)
    assert movie.shape.frame_shape == (120, 120)
    assert movie.rate_hz == pytest.approx(28.4217 / 4)
    assert movie.started == datetime(2013, 7, 17, 17, 16, 9, 149000)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its files stay open
@pytest.mark.parametrize(
    "options", [{}, {"channels": (1, 2)}, {"slices": 3, "flyback": 1}, {"channels": (1, 4), "slices": 2}]
)
def test_values_are_those_of_roiextractors(tmp_path: Path, options: dict[str, object]) -> None:
    from roiextractors import ScanImageImagingExtractor

    path = tmp_path / "m_00001.tif"
    values = {key: each.replace(";", " ") for key, each in settings(**options).items()}  # it wants rows
    write_big(path, images(24), values)
    last = options.get("channels", (1,))[-1]
    name = f"Channel {last}" if "channels" in options else None
    theirs = ScanImageImagingExtractor(file_path=path, channel_name=name)
    ours = ScanImageMovie([path], channel=last)
    assert np.array_equal(ours.read(0, ours.shape.n_frames), theirs.get_series())
    assert ours.rate_hz == pytest.approx(theirs.get_sampling_frequency())


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70,000 pages of 2x2 pixels; the first pixel of each is its number."""
    path = tmp_path_factory.mktemp("long") / "m_00001.tif"
    pages = np.zeros((70_000, 2, 2), np.uint32)
    pages[:, 0, 0] = np.arange(70_000)
    texts = [f"frameNumbers = {n + 1}\nframeTimestamps_sec = {n / 30:.9f}\n" for n in range(70_000)]
    write_big(path, pages, settings(shape=(2, 2)), texts=texts)
    return path


def test_pages_beyond_65535_are_those_that_were_recorded(long_file: Path) -> None:
    from roiextractors import ScanImageImagingExtractor

    theirs = ScanImageImagingExtractor(file_path=long_file)
    wrapped = theirs.get_series(start_sample=66_000, end_sample=66_001)[0, 0, 0]
    assert wrapped == 66_000 - 65_536, "roiextractors no longer wraps around: its reader may be used again"
    movie = ScanImageMovie([long_file])
    assert movie.shape.n_frames == 70_000
    assert movie.read(65_530, 66_001)[:, 0, 0].tolist() == list(range(65_530, 66_001))
    np.testing.assert_allclose(movie.frame_times_s, np.arange(70_000) / 30, atol=1e-8)


def test_the_index_takes_few_bytes_per_page(tmp_path: Path) -> None:
    write_big(tmp_path / "m.tif", np.zeros((5000, 2, 2), np.int16), settings(shape=(2, 2)))
    tracemalloc.start()
    movie = ScanImageMovie([tmp_path / "m.tif"])
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert movie.shape.n_frames == 5000
    assert held < 5000 * 60 + 100_000
    assert peak < 5000 * 150 + 200_000


def test_a_frame_is_read_where_it_is(long_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    movie = ScanImageMovie([long_file])
    reads: list[int] = []
    monkeypatch.setattr(tiff_pages, "read_into", lambda stream, path, offset, out: reads.append(out.nbytes))
    monkeypatch.setattr(tiff_pages, "read_directory", lambda *a, **k: pytest.fail("the chain was followed"))
    movie.read(69_990, 69_993)
    assert reads == [16, 16, 16]


def test_a_stub_reads_no_further(long_file: Path, tmp_path: Path) -> None:
    stored = written(ScanImageInterface(file_path=long_file), tmp_path / "m.nwb", stub=True)
    assert stored.data[:, 0, 0].tolist() == list(range(100))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("hChannels.channelSave", "[]", "saved channels"),
        ("hChannels.channelSave", "[1;1]", "saved channels"),
        ("hStackManager.actualNumSlices", "-3", "is no count"),
        ("hStackManager.actualNumSlices", "1e300", "is no count"),
        ("hStackManager.numFramesPerVolume", "7", "7 frames per volume"),
        ("hStackManager.actualNumSlices", "90", "90 frames"),
    ],
)
def test_settings_that_contradict_themselves(tmp_path: Path, key: str, value: str, words: str) -> None:
    values = {**settings(slices=3), key: value}
    if value == "90":
        values["hStackManager.numFramesPerVolume"] = values["hStackManager.numFramesPerVolumeWithFlyback"] = (
            "90"
        )
        words = "holds 24 pages, where a volume takes 90"
    write_big(tmp_path / "m.tif", images(24), values)
    with pytest.raises(InputFileError, match=words):
        ScanImageMovie([tmp_path / "m.tif"])


def test_a_header_nested_to_death_is_refused(tmp_path: Path) -> None:
    write_big(tmp_path / "m.tif", images(2), settings(rois=True), roi_json="[" * 200_000)
    with pytest.raises(InputFileError, match="does not describe them"):
        ScanImageMovie([tmp_path / "m.tif"])


def test_a_recording_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    write_big(path, images(20), settings())
    whole = path.read_bytes()
    for keep in (0.2, 0.7, 0.999):
        path.write_bytes(whole[: int(len(whole) * keep)])
        with pytest.raises(InputFileError):
            ScanImageMovie([path]).read(0, 20)


def test_other_tiffs_are_sent_to_their_format(shared: Path) -> None:
    with pytest.raises(InputFileError, match="tiff_movie or ome_tiff"):
        ScanImageMovie([shared / "data/two_photon_mouse_treadmill/movie.tif"])


@pytest.mark.parametrize("seed", range(150))
def test_damage_of_any_kind_is_an_error_in_words(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "m.tif"
    write_big(path, images(6), settings(channels=(1, 2)))
    raw = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(raw), rng.integers(1, 30)):
        raw[place] = rng.integers(0, 256)
    path.write_bytes(raw)
    try:
        movie = ScanImageMovie([path], channel=1)
        values = movie.read(0, movie.shape.n_frames)
    except NwbswitchError as error:
        refusal = str(error)
    else:
        refusal = ""
        assert values.shape[1:] == movie.shape.frame_shape
    assert refusal == "" or str(path) in refusal
