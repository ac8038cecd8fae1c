"""Bruker TSeries: channels, cycles, volumes and times from the XML, and folders of very many files."""

from __future__ import annotations

import os
import shutil
import tracemalloc
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from format_writers.prairie import PERIOD_S, write_tseries
from written_movie import written

from nwbswitch.converters.imaging.bruker import BrukerInterface, BrukerMovie
from nwbswitch.schemas.errors import InputFileError, NwbswitchError, UnsafeFileError


def stack(n: int, channels: int = 1) -> np.ndarray:
    """Return images (n, channels, 5, 6) in which every pixel is another number."""
    return np.arange(n * channels * 30, dtype=np.uint16).reshape(n, channels, 5, 6)


@pytest.mark.parametrize("many_pages", [False, True])
def test_one_channel_of_one_plane(tmp_path: Path, many_pages: bool) -> None:
    movie = stack(8)
    folder = write_tseries(tmp_path / "TSeries-1", movie, many_pages=many_pages)
    interface = BrukerInterface(folder_path=folder)
    assert interface.pixel_size_um == (1.25, 1.5)
    assert interface.movie.started == datetime(2023, 5, 1, 14, 30, 5, 123456)
    stored = written(interface, tmp_path / "m.nwb")
    assert np.array_equal(stored.data, movie[:, 0].transpose(0, 2, 1))
    assert (stored.start_s, stored.rate_hz) == (0.0, pytest.approx(20.0))


@pytest.mark.parametrize("many_pages", [False, True])
def test_a_channel_must_be_chosen(tmp_path: Path, many_pages: bool) -> None:
    movie = stack(6, 2)
    folder = write_tseries(tmp_path / "T", movie, many_pages=many_pages, names=("Red", "Green"))
    with pytest.raises(InputFileError, match=r"several channels: 1 \('Red'\), 2 \('Green'\)"):
        BrukerMovie(folder)
    for channel in (2, "green"):
        assert np.array_equal(BrukerMovie(folder, channel=channel).read(0, 6), movie[:, 1])


@pytest.mark.parametrize("many_pages", [False, True])
def test_volumes(tmp_path: Path, many_pages: bool) -> None:
    movie = stack(12, 2)
    folder = write_tseries(
        tmp_path / "T", movie, kind="TSeries ZSeries Element", cycles=4, many_pages=many_pages
    )
    volumes = movie.reshape(4, 3, 2, 5, 6)[:, :, 1]
    ours = BrukerMovie(folder, channel=2)
    assert np.array_equal(ours.read(1, 4), np.moveaxis(volumes[1:], 1, -1))
    assert ours.rate_hz == pytest.approx(1 / (3 * PERIOD_S))
    plane = BrukerMovie(folder, channel=2, plane=2)
    assert np.array_equal(plane.read(0, 4), volumes[:, 1])
    np.testing.assert_allclose(plane.frame_times_s, PERIOD_S * (1 + 3 * np.arange(4)))
    untimed = BrukerMovie(folder, channel=1, plane=3, use_timestamps=False)
    assert untimed.rate_hz == pytest.approx(1 / (3 * PERIOD_S))


def test_an_incomplete_last_volume_is_left_out(tmp_path: Path) -> None:
    folder = write_tseries(tmp_path / "T", stack(11), kind="TSeries ZSeries Element", cycles=4)
    assert BrukerMovie(folder).shape.n_frames == 3
    text = (folder / "T.xml").read_text()
    cut = text.index('<Sequence type="TSeries ZSeries Element" cycle="2"')
    first_frame_end = text.index("</Frame>", cut) + 8
    broken = text[:cut] + text[cut:first_frame_end] + text[text.index("</Sequence>", cut) :]
    (folder / "T.xml").write_text(broken)
    with pytest.raises(InputFileError, match="1 in cycle 2, 3 in cycle 1"):
        BrukerMovie(folder)


def test_planes_are_told_by_their_depth(tmp_path: Path) -> None:
    movie = stack(9)
    folder = write_tseries(
        tmp_path / "T",
        movie,
        kind="TSeries ZSeries Element",
        cycles=3,
        both_ways=True,
        depths=(10.0, 20.0, 30.0),
    )
    volumes = np.moveaxis(movie.reshape(3, 3, 5, 6), 1, -1)
    assert np.array_equal(BrukerMovie(folder).read(0, 3), volumes)
    unknown = write_tseries(tmp_path / "U", movie, kind="TSeries ZSeries Element", cycles=3, both_ways=True)
    with pytest.raises(InputFileError, match="both directions along z"):
        BrukerMovie(unknown)


@pytest.mark.parametrize("resets", [False, True])
def test_bursts_keep_the_gaps_between_them(tmp_path: Path, resets: bool) -> None:
    folder = write_tseries(
        tmp_path / "T",
        stack(10),
        kind="TSeries Brightness Over Time Element",
        cycles=2,
        resets=resets,
        gap_s=30.0,
    )
    stored = written(BrukerInterface(folder_path=folder, start_s=2.0), tmp_path / "m.nwb")
    expected = 2 + np.arange(10) * PERIOD_S + 30 * (np.arange(10) >= 5)
    np.testing.assert_allclose(stored.times_s, expected, atol=1e-8)


def test_without_times_the_frame_period_counts(tmp_path: Path) -> None:
    folder = write_tseries(tmp_path / "T", stack(4), with_times=False)
    movie = BrukerMovie(folder)
    assert (movie.rate_hz, movie.frame_times_s) == (20.0, None)
    late = write_tseries(tmp_path / "L", stack(4), times_s=[0, 0.05, 0.04, 0.15])
    with pytest.raises(InputFileError, match="use_timestamps: false"):
        BrukerMovie(late)
    assert BrukerMovie(late, use_timestamps=False).rate_hz == 20.0


def test_runs_in_several_folders_keep_their_gap(tmp_path: Path) -> None:
    movie = stack(10)
    for run, clock in (("001", "14:30:05.1234567"), ("002", "14:35:05.6234567")):
        part = movie[:5] if run == "001" else movie[5:]
        write_tseries(tmp_path / f"TSeries-{run}", part, clock=clock)
    folders = sorted(tmp_path.glob("TSeries-*"))
    stored = written(BrukerInterface(folder_path=folders, parts="runs"), tmp_path / "m.nwb")
    assert np.array_equal(stored.data, movie[:, 0].transpose(0, 2, 1))
    expected = np.concatenate([np.arange(5) * PERIOD_S, 300.5 + np.arange(5) * PERIOD_S])
    np.testing.assert_allclose(stored.times_s, expected, atol=1e-5)


def test_a_date_of_another_country_is_not_guessed(tmp_path: Path) -> None:
    folder = write_tseries(tmp_path / "T", stack(3), date="03.05.2023 14:30:05")
    assert BrukerMovie(folder).started is None


def test_a_scan_around_midnight(tmp_path: Path) -> None:
    folder = write_tseries(tmp_path / "P", stack(3, 1), date="5/1/2023 11:59:59 PM", clock="00:00:00.5")
    assert BrukerMovie(folder).started == datetime(2023, 5, 2, 0, 0, 0, 500000)
    early = write_tseries(tmp_path / "E", stack(3, 1), date="5/2/2023 12:00:01 AM", clock="00:00:02.5")
    assert BrukerMovie(early).started == datetime(2023, 5, 2, 0, 0, 2, 500000)


def test_a_plane_of_volumes_starts_with_its_own_first_frame(tmp_path: Path) -> None:
    folder = write_tseries(tmp_path / "V", stack(12, 1), kind="TSeries ZSeries Element", cycles=4)
    first, second = (BrukerMovie(folder, plane=plane) for plane in (1, 2))
    assert second.started - first.started == timedelta(seconds=PERIOD_S)


def test_the_xml_is_found_in_a_renamed_folder(tmp_path: Path) -> None:
    folder = write_tseries(tmp_path / "T", stack(3)).rename(tmp_path / "mouse 7")
    (folder / "T_Cycle00001_VoltageRecording_001.xml").write_text("<VRecSessionEntry />")
    assert BrukerMovie(folder).shape.n_frames == 3
    shutil.copy(folder / "T.xml", folder / "U.xml")
    with pytest.raises(InputFileError, match=r"several scans: T\.xml, U\.xml"):
        BrukerMovie(folder)
    for path in folder.glob("?.xml"):
        path.unlink()
    with pytest.raises(InputFileError, match="no XML of a Prairie View scan"):
        BrukerMovie(folder)


def test_a_recording_of_voltages_is_no_movie(tmp_path: Path) -> None:
    folder = tmp_path / "cell1"
    folder.mkdir()
    sequence = '<Sequence type="VoltageRecording" cycle="1"><VoltageRecording /></Sequence>'
    (folder / "cell1.xml").write_text(f'<PVScan version="5.3">{sequence}</PVScan>')
    with pytest.raises(InputFileError, match="wheel_analog"):
        BrukerMovie(folder)


def test_a_line_scan_is_no_movie(tmp_path: Path) -> None:
    folder = write_tseries(tmp_path / "T", stack(3), kind="Linescan")
    with pytest.raises(InputFileError, match="types Linescan"):
        BrukerMovie(folder)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = write_tseries(tmp_path / "T", stack(5, 2))
    (folder / "T_Cycle00001_Ch2_000004.ome.tif").unlink()
    with pytest.raises(InputFileError, match=r"Ch2_000004.* 1 of 5 files are missing"):
        BrukerMovie(folder, channel=2)
    assert np.array_equal(BrukerMovie(folder, channel=1).read(0, 5), stack(5, 2)[:, 0])


def test_a_file_of_another_size_is_named_when_it_is_read(tmp_path: Path) -> None:
    folder = write_tseries(tmp_path / "T", stack(5))
    other = write_tseries(tmp_path / "O", np.zeros((1, 1, 7, 6), np.uint16))
    shutil.copy(other / "O_Cycle00001_Ch1_000001.ome.tif", folder / "T_Cycle00001_Ch1_000003.ome.tif")
    with pytest.raises(InputFileError, match=r"000003.*has pages of 7x6"):
        BrukerMovie(folder).read(0, 5)


@pytest.mark.parametrize("name", ["../secret.tif", "/etc/passwd", "sub/x.tif", "..\\x.tif", ""])
def test_files_outside_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    folder = write_tseries(tmp_path / "T", stack(3))
    text = (folder / "T.xml").read_text()
    (folder / "T.xml").write_text(text.replace("T_Cycle00001_Ch1_000002.ome.tif", name))
    with pytest.raises(UnsafeFileError, match="no file of its folder"):
        BrukerMovie(folder)


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = write_tseries(tmp_path / "T", stack(3))
    image = folder / "T_Cycle00001_Ch1_000002.ome.tif"
    image.rename(tmp_path / "secret.tif")
    image.symlink_to(tmp_path / "secret.tif")
    with pytest.raises(UnsafeFileError, match="leads out"):
        BrukerMovie(folder)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_values_are_those_of_roiextractors(tmp_path: Path) -> None:
    from roiextractors.extractors.tiffimagingextractors.brukertiffimagingextractor import (
        BrukerTiffImagingExtractor,
    )

    for name, options in (
        ("P", {}),
        ("M", {"many_pages": True}),
        ("V", {"kind": "TSeries ZSeries Element", "cycles": 4}),
    ):
        folder = write_tseries(tmp_path / name, stack(12, 2), **options)
        text = (folder / f"{name}.xml").read_text().replace("&#x1;", "")  # Prairie View writes it; lxml stops
        (folder / f"{name}.xml").write_text(text)
        theirs = BrukerTiffImagingExtractor(folder, channel_name="Ch2")
        ours = BrukerMovie(folder, channel="Ch2")
        assert np.array_equal(ours.read(0, ours.shape.n_frames), theirs.get_series())
        np.testing.assert_allclose(ours.frame_times_s, theirs.get_native_timestamps(), atol=1e-9)
        assert ours.rate_hz == pytest.approx(theirs.get_sampling_frequency())


@pytest.fixture(scope="module")
def many_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TSeries of 6,000 files, most of them links to one image."""
    folder = write_tseries(tmp_path_factory.mktemp("many") / "T", stack(2))
    xml = folder / "T.xml"
    text = xml.read_text()
    start, end = text.index("<Frame "), text.index("</Frame>") + 8
    frame = text[start:end]
    frames = []
    for number in range(6000):
        name = f"T_Cycle00001_Ch1_{number + 3:06d}.ome.tif"
        os.link(folder / f"T_Cycle00001_Ch1_{number % 2 + 1:06d}.ome.tif", folder / name)
        each = frame.replace("T_Cycle00001_Ch1_000001.ome.tif", name)
        frames.append(each.replace('relativeTime="0.000000000"', f'relativeTime="{number * PERIOD_S:.6f}"'))
    xml.write_text(text[:start] + "".join(frames) + text[text.rindex("</Frame>") + 8 :])
    return folder


@pytest.mark.usefixtures("few_handles")
def test_very_many_files_take_little_memory_and_few_handles(many_files: Path) -> None:
    tracemalloc.start()
    movie = BrukerMovie(many_files)
    try:
        assert movie.shape.n_frames == 6000
        for start in range(0, 3000, 500):
            block = movie.read(start, start + 500)
            assert np.array_equal(block[::2], np.broadcast_to(stack(2)[0, 0], (250, 5, 6)))
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        movie.close()
    assert peak < 12 << 20


@pytest.mark.parametrize("seed", range(80))
def test_damage_of_the_xml_is_an_error_in_words(tmp_path: Path, seed: int) -> None:
    folder = write_tseries(tmp_path / "T", stack(4))
    raw = bytearray((folder / "T.xml").read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(raw), rng.integers(1, 6)):
        raw[place] = rng.integers(0, 256)
    (folder / "T.xml").write_bytes(raw)
    try:
        movie = BrukerMovie(folder)
        values = movie.read(0, movie.shape.n_frames)
    except NwbswitchError as error:
        refusal = str(error)
    else:
        refusal = ""
        assert values.shape[1:] == (5, 6)
    assert refusal == "" or str(folder) in refusal


def test_a_document_type_is_refused(tmp_path: Path) -> None:
    folder = write_tseries(tmp_path / "T", stack(3))
    text = (folder / "T.xml").read_text()
    attack = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><PVScan notes="&a;" '
    (folder / "T.xml").write_text(text.replace("<PVScan ", attack, 1))
    with pytest.raises(UnsafeFileError, match="document type"):
        BrukerMovie(folder)
