"""Scanbox: every version's way of saying where frames are, inverted values, planes, PMTs, cut files."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_writers.scanbox import RESONANCE_HZ, write_scanbox
from pynwb import NWBFile
from small_study import small_session, study_of
from written_movie import corner_movie, written

from nwbswitch.converters.imaging.scanbox import ScanboxInterface, ScanboxMovie
from nwbswitch.schemas.errors import InputFileError, IssuesError, UnsafeFileError
from nwbswitch.schemas.streams_binary_movies import ScanboxMovie as ScanboxStream
from nwbswitch.schemas.study import Study


def four_d(movie: np.ndarray) -> np.ndarray:
    return movie[..., None]


def two_pmts(n_frames: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65536, (n_frames, 4, 7, 2)).astype(np.uint16)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_brightness_and_rate_of_every_version(tmp_path: Path, version: int, bidirectional: bool) -> None:
    movie = corner_movie()
    path = write_scanbox(tmp_path / "m.sbx", four_d(movie), version=version, bidirectional=bidirectional)
    result = written(ScanboxInterface(file_path=path), tmp_path / "m.nwb")
    assert result.data.shape == (5, 7, 4)
    assert np.array_equal(result.data.transpose(0, 2, 1), movie)
    assert result.data[1, 6, 0] == movie[1, 0, 6]
    lines_per_cycle = 2 if bidirectional else 1
    assert result.rate_hz == pytest.approx(RESONANCE_HZ * lines_per_cycle / 4)
    assert (result.start_s, result.kind) == (0.0, "TwoPhotonSeries")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("channel", [0, 1])
def test_alternating_pmts_come_apart(tmp_path: Path, version: int, channel: int) -> None:
    movie = two_pmts()
    path = write_scanbox(tmp_path / "m.sbx", movie, pmts=(0, 1), version=version)
    frames = ScanboxMovie(path, channel=f"pmt{channel}")
    assert np.array_equal(frames.read(0, 6), movie[..., channel])
    assert np.array_equal(frames.read(2, 4), movie[2:4, ..., channel])
    assert frames.read(3, 3).shape == (0, 4, 7)
    frames.close()
    with pytest.raises(InputFileError, match=r"holds pmt0 and pmt1\. Give channel"):
        ScanboxMovie(path)


@pytest.mark.parametrize("version", [2, 3])
def test_the_second_pmt_alone_keeps_its_number(tmp_path: Path, version: int) -> None:
    movie = corner_movie()
    path = write_scanbox(tmp_path / "m.sbx", four_d(movie), pmts=(1,), version=version)
    assert np.array_equal(ScanboxMovie(path, channel="pmt1").read(0, 5), movie)
    assert np.array_equal(ScanboxMovie(path).read(0, 5), movie)
    with pytest.raises(InputFileError, match="holds pmt1, not pmt0"):
        ScanboxMovie(path, channel="pmt0")


def test_version_1_without_a_size_has_796_columns(tmp_path: Path) -> None:
    movie = np.random.default_rng(0).integers(0, 9, (3, 2, 796, 1)).astype(np.uint16)
    path = write_scanbox(tmp_path / "m.sbx", movie, version=1, without=("sz",))
    assert np.array_equal(ScanboxMovie(path).read(0, 3), movie[..., 0])


def test_raw_samples_of_the_first_scanbox_are_named(tmp_path: Path) -> None:
    path = write_scanbox(tmp_path / "m.sbx", four_d(corner_movie()), version=1, without=("sz",))
    path.write_bytes(bytes(3 * 4 * 5000 * 2))
    with pytest.raises(InputFileError, match=r"lines of 5000 samples.*sbxread"):
        ScanboxMovie(path)


@pytest.mark.parametrize("changes", [{"otwave": [0, 400, 900], "volscan": 1}, {"otwave": [0, 400, 900]}])
def test_planes_are_a_volume(tmp_path: Path, changes: dict[str, Any]) -> None:
    movie = corner_movie(13)
    without = () if "volscan" in changes else ("volscan",)
    path = write_scanbox(tmp_path / "m.sbx", four_d(movie), changes=changes, without=without)
    interface = ScanboxInterface(file_path=path)
    assert interface.movie.shape.frame_shape == (4, 7, 3)
    result = written(interface, tmp_path / "m.nwb")
    assert result.data.shape == (4, 7, 4, 3)
    assert np.array_equal(result.data.transpose(0, 3, 2, 1).reshape(12, 4, 7), movie[:12])
    assert result.rate_hz == pytest.approx(RESONANCE_HZ / 4 / 3)
    assert "The last volume has 1 of 3 planes; left out." in result.description


def test_one_plane_at_the_times_of_its_frames(tmp_path: Path) -> None:
    movie = corner_movie(12)
    path = write_scanbox(tmp_path / "m.sbx", four_d(movie), changes={"otwave": [0, 400, 900], "volscan": 1})
    result = written(ScanboxInterface(file_path=path, plane=3, start_s=10.0), tmp_path / "m.nwb")
    assert np.array_equal(result.data.transpose(0, 2, 1), movie[2::3])
    frame_hz = RESONANCE_HZ / 4
    assert result.start_s == pytest.approx(10 + 2 / frame_hz)
    assert result.rate_hz == pytest.approx(frame_hz / 3)
    assert ScanboxInterface(file_path=path, plane=1).own_timing.start_s == 0.0
    for plane in (0, 4):
        with pytest.raises(InputFileError, match=f"3 planes, counted from 1, but no plane {plane}"):
            ScanboxMovie(path, plane=plane)


def test_a_switched_off_optotune_has_no_planes(tmp_path: Path) -> None:
    changes = {"otwave": [0, 400, 900], "volscan": 0}
    path = write_scanbox(tmp_path / "m.sbx", four_d(corner_movie()), changes=changes)
    assert ScanboxMovie(path).shape.n_frames == 5


def test_tables_of_planes_that_are_none(tmp_path: Path) -> None:
    changes = {"otwave": "", "etl_table": np.array([np.ones(2), "x"], object)}
    path = write_scanbox(tmp_path / "m.sbx", four_d(corner_movie()), changes=changes, without=("volscan",))
    assert ScanboxMovie(path).shape.n_planes == 1


def test_number_of_planes_is_asked_for_when_it_is_not_clear(tmp_path: Path) -> None:
    two = {"otwave": [0, 400, 900], "etl_table": np.ones((2, 2)), "volscan": 1}
    path = write_scanbox(tmp_path / "m.sbx", four_d(corner_movie(6)), changes=two)
    with pytest.raises(InputFileError, match=r"states 2 and 3 planes.*Give n_planes"):
        ScanboxMovie(path)
    assert ScanboxMovie(path, n_planes=2).shape.n_planes == 2
    with pytest.raises(InputFileError, match="states 2 or 3 planes, the study 4"):
        ScanboxMovie(path, n_planes=4)
    write_scanbox(path, four_d(corner_movie(6)), changes={"volscan": 1})
    with pytest.raises(InputFileError, match=r"a volume scan but no planes.*Give n_planes"):
        ScanboxMovie(path)
    assert ScanboxMovie(path, n_planes=1).shape.n_frames == 6


def test_folded_frames_are_images_of_their_own(tmp_path: Path) -> None:
    movie = corner_movie(3, height=8)
    path = write_scanbox(tmp_path / "m.sbx", four_d(movie), version=3, changes={"fold_lines": 2})
    frames = ScanboxMovie(path)
    assert frames.shape.n_frames == 12
    assert np.array_equal(frames.read(0, 12), movie.reshape(12, 2, 7))
    assert frames.rate_hz == pytest.approx(RESONANCE_HZ / 2)
    write_scanbox(path, four_d(movie), version=3, changes={"fold_lines": 3})
    with pytest.raises(InputFileError, match="does not come out even"):
        ScanboxMovie(path)


def test_equals_roiextractors_where_that_reads_it(tmp_path: Path) -> None:
    from roiextractors import SbxImagingExtractor

    movie = corner_movie(9)
    for bidirectional in (False, True):
        path = write_scanbox(tmp_path / "m.sbx", four_d(movie), bidirectional=bidirectional)
        theirs = SbxImagingExtractor(str(path))
        ours = ScanboxMovie(path)
        assert np.array_equal(ours.read(0, 9), theirs.get_series(0, 9))
        assert int(ours.rate_hz or 0) == theirs.get_sampling_frequency()  # it drops the part of a hertz


def test_a_study_that_states_another_rate_is_told(tmp_path: Path) -> None:
    path = write_scanbox(tmp_path / "m.sbx", four_d(corner_movie(height=512)))
    assert ScanboxInterface(file_path=path, rate_hz=15.49).rate_hz == pytest.approx(7930 / 512)
    with pytest.raises(IssuesError, match="rate-differs"):
        ScanboxInterface(file_path=path, rate_hz=15.0)


def test_without_a_resonant_frequency_the_study_states_the_rate(tmp_path: Path) -> None:
    path = write_scanbox(tmp_path / "m.sbx", four_d(corner_movie()), without=("resfreq",))
    with pytest.raises(InputFileError, match="no frame rate"):
        ScanboxInterface(file_path=path)
    assert ScanboxInterface(file_path=path, rate_hz=20.0).get_timestamps()[-1] == pytest.approx(0.2)


# files that are cut, too long, or of other sizes


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = write_scanbox(tmp_path / "m.sbx", four_d(corner_movie()))
    whole = path.read_bytes()
    for keep in (len(whole) - 1, len(whole) // 2 + 1, 3):
        path.write_bytes(whole[:keep])
        with pytest.raises(InputFileError, match=r"cut short: it ends within frame \d.*Copy it again"):
            ScanboxMovie(path)
    path.write_bytes(b"")
    with pytest.raises(InputFileError, match="holds no whole frame"):
        ScanboxMovie(path)


def test_a_file_with_fewer_frames_than_it_says_is_refused(tmp_path: Path) -> None:
    path = write_scanbox(tmp_path / "m.sbx", four_d(corner_movie()), changes={"max_idx": 6})
    with pytest.raises(InputFileError, match="cut short: it holds 5 of 7 frames"):
        ScanboxMovie(path)
    write_scanbox(path, four_d(corner_movie()), changes={"max_idx": 3})
    with pytest.raises(InputFileError, match="holds 5 frames of 56 bytes, info.max_idx states 4"):
        ScanboxMovie(path)


def test_a_cut_last_frame_is_left_out_and_said(tmp_path: Path) -> None:
    movie = corner_movie()
    path = write_scanbox(tmp_path / "m.sbx", four_d(movie), changes={"max_idx": 5}, tail=b"\0" * 20)
    result = written(ScanboxInterface(file_path=path), tmp_path / "m.nwb")
    assert np.array_equal(result.data.transpose(0, 2, 1), movie)
    assert "The file ends within frame 6, of which 20 of 56 bytes are there; left out." in result.description


def test_a_file_that_shrinks_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = write_scanbox(tmp_path / "m.sbx", four_d(corner_movie()))
    frames = ScanboxMovie(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputFileError, match="ends at byte 100"):
        frames.read(0, 5)


BROKEN = {
    "recordsPerBuffer": ([1, 2], "recordsPerBuffer is no number"),
    "sz": ([512], r"info\.sz"),
    "channels": (7, "channels is 7"),
    "scanmode": ("uni", "scanmode is no number"),
    "resfreq": (-8000, "resonant frequency"),
    "fold_lines": (3, "does not come out even"),
}


@pytest.mark.parametrize("field", BROKEN)
def test_odd_fields_are_named(tmp_path: Path, field: str) -> None:
    value, words = BROKEN[field]
    path = write_scanbox(tmp_path / "m.sbx", four_d(corner_movie()), changes={field: value})
    with pytest.raises(InputFileError, match=words) as caught:
        ScanboxMovie(path)
    assert "m.mat" in str(caught.value)


@pytest.mark.parametrize("field", ["recordsPerBuffer", "channels", "sz"])
def test_missing_fields_are_named(tmp_path: Path, field: str) -> None:
    path = write_scanbox(tmp_path / "m.sbx", four_d(corner_movie()), without=(field,))
    with pytest.raises(InputFileError, match=field):
        ScanboxMovie(path)


@pytest.mark.parametrize("sides", [(1e9, 796), (60_000, 60_000), (512.5, 796), (np.nan, 796), (-512, 796)])
def test_sizes_are_not_believed(tmp_path: Path, sides: tuple[float, float]) -> None:
    path = write_scanbox(
        tmp_path / "m.sbx", four_d(corner_movie()), version=3, changes={"sz": np.array(sides)}
    )
    tracemalloc.start()
    with pytest.raises((InputFileError, UnsafeFileError)):
        ScanboxMovie(path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_files_that_are_not_there(tmp_path: Path) -> None:
    path = write_scanbox(tmp_path / "m.sbx", four_d(corner_movie()))
    with pytest.raises(InputFileError, match=r"Give the \.sbx file"):
        ScanboxMovie(tmp_path / "m.mat")
    (tmp_path / "m.mat").unlink()
    with pytest.raises(InputFileError, match=r"m\.mat: is not there"):
        ScanboxMovie(path)
    with pytest.raises(InputFileError, match=r"x\.sbx: is not there"):
        ScanboxMovie(tmp_path / "x.sbx")


def test_a_mat_file_of_something_else(tmp_path: Path) -> None:
    from scipy.io import savemat

    path = write_scanbox(tmp_path / "m.sbx", four_d(corner_movie()))
    savemat(path.with_suffix(".mat"), {"info": np.ones(3)})
    with pytest.raises(InputFileError, match="no struct info"):
        ScanboxMovie(path)
    savemat(path.with_suffix(".mat"), {"other": 1})
    with pytest.raises(InputFileError, match="info"):
        ScanboxMovie(path)


# several files


def write_two(folder: Path) -> tuple[list[Path], np.ndarray]:
    movie = corner_movie(9)
    parts = {"m_001.sbx": movie[:5], "m_002.sbx": movie[5:]}
    return [write_scanbox(folder / name, four_d(part)) for name, part in parts.items()], movie


def test_files_that_follow_each_other(tmp_path: Path) -> None:
    paths, movie = write_two(tmp_path)
    result = written(ScanboxInterface(file_path=paths, parts="continuous"), tmp_path / "m.nwb")
    assert np.array_equal(result.data.transpose(0, 2, 1), movie)
    assert result.rate_hz == pytest.approx(RESONANCE_HZ / 4)


def test_runs_with_gaps(tmp_path: Path) -> None:
    paths, movie = write_two(tmp_path)
    interface = ScanboxInterface(file_path=paths, parts="runs", part_start_s=[0.0, 60.0], start_s=5.0)
    result = written(interface, tmp_path / "m.nwb")
    assert np.array_equal(result.data.transpose(0, 2, 1), movie)
    period = 4 / RESONANCE_HZ
    expected = [5 + k * period for k in range(5)] + [65 + k * period for k in range(4)]
    np.testing.assert_allclose(result.times_s, expected, rtol=0, atol=1e-9)
    with pytest.raises(InputFileError, match="does not state when it began"):
        ScanboxInterface(file_path=paths, parts="runs")


def test_the_mat_file_belongs_to_the_stream(tmp_path: Path) -> None:
    paths, _ = write_two(tmp_path)
    stream = ScanboxStream(format="scanbox", path=tuple(paths), parts="continuous")
    assert [each.name for each in stream.files()] == ["m_001.sbx", "m_001.mat", "m_002.sbx", "m_002.mat"]
    (tmp_path / "m_002.mat").unlink()
    assert [each.name for each in stream.files()] == ["m_001.sbx", "m_001.mat", "m_002.sbx"]


def test_as_a_stream_of_a_study(tmp_path: Path, build: Callable[[Study], NWBFile]) -> None:
    path = write_scanbox(tmp_path / "m.sbx", two_pmts(40), pmts=(0, 1))
    stream = ScanboxStream(format="scanbox", path=path, channel="pmt1", rate_hz=7930 / 4)
    nwbfile = build(study_of(small_session(tmp_path, streams={"movie": stream}, epochs=(), drug_log=())))
    (series,) = nwbfile.acquisition.values()
    assert series.data.maxshape == (40, 7, 4)
    assert series.rate == pytest.approx(7930 / 4)


def test_reading_needs_memory_for_a_buffer_only(tmp_path: Path) -> None:
    path = write_scanbox(tmp_path / "m.sbx", np.zeros((2, 64, 64, 1), np.uint16))
    with path.open("r+b") as file:
        file.truncate(20_000 * 64 * 64 * 2)  # 164 MB of zeros, sparse
    tracemalloc.start()
    frames = ScanboxMovie(path)
    assert frames.shape.n_frames == 20_000
    assert (frames.read(19_990, 20_000) == 65535).all()
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
