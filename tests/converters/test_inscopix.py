"""Inscopix movies: what was stored, when, and what a damaged footer is answered with.

``tests/reference/inscopix`` holds two movies that Inscopix's own library wrote (isx 2.1.0 from PyPI,
``isx.Movie.write``): 12 frames of 3 x 5 pixels at 50 ms from 2023-11-14 22:13:20.25 UTC, offset 3600 s;
frames 0 and 3 dropped, 5 and 6 cropped; pixel k of frame i is k + 100 i. The library reads what the writer
of these tests makes with the same pixels, times and counters.
"""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_writers.inscopix import footer_of, recorded_by, write_isxd
from pynwb import NWBFile
from small_study import small_session, study_of
from written_movie import corner_movie, written

from nwbswitch.converters.imaging.inscopix import InscopixInterface, InscopixMovie
from nwbswitch.schemas.errors import InputFileError, IssuesError, UnsafeFileError
from nwbswitch.schemas.streams_binary_movies import InscopixMovie as InscopixStream
from nwbswitch.schemas.study import Study

REFERENCE = Path(__file__).parents[1] / "reference/inscopix"
START = datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC)
STATED_START = (int(START.timestamp() * 1000), 1000)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_movie_of_inscopix_own_library(tmp_path: Path, dtype: str) -> None:
    stored = [1, 2, 4, 7, 8, 9, 10, 11]
    expected = np.stack([np.arange(15).reshape(3, 5) + 100 * i for i in stored]).astype(dtype)
    interface = InscopixInterface(file_path=REFERENCE / f"{dtype}.isxd")
    assert interface.movie.started == START + timedelta(seconds=0.05)
    assert interface.get_metadata()["NWBFile"]["session_start_time"] == START
    result = written(interface, tmp_path / "m.nwb")
    assert result.kind == "OnePhotonSeries"
    assert result.data.dtype == dtype
    assert np.array_equal(result.data.transpose(0, 2, 1), expected)
    np.testing.assert_allclose(result.times_s, np.array(stored) * 0.05, rtol=0, atol=1e-12)


def test_orientation_and_rate(tmp_path: Path) -> None:
    movie = corner_movie()
    path = write_isxd(tmp_path / "m.isxd", movie, start=STATED_START, utc_offset=-25_200)
    interface = InscopixInterface(file_path=path, start_s=2.0)
    assert interface.movie.started == START
    assert interface.movie.started.utcoffset() == timedelta(hours=-7)
    result = written(interface, tmp_path / "m.nwb")
    assert result.data.shape == (5, 7, 4)
    assert result.data[1, 6, 0] == movie[1, 0, 6]
    assert np.array_equal(result.data.transpose(0, 2, 1), movie)
    assert (result.start_s, result.rate_hz, result.times_s) == (2.0, 20.0, None)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_every_type_of_pixel(tmp_path: Path, dtype: str) -> None:
    movie = (np.random.default_rng(0).random((6, 5, 8)) * 255).astype(dtype)
    frames = InscopixMovie(write_isxd(tmp_path / "m.isxd", movie))
    assert np.array_equal(frames.read(0, 6), movie)
    assert np.array_equal(frames.read(4, 5), movie[4:5])
    assert frames.read(3, 3).shape == (0, 5, 8)


@pytest.mark.parametrize("seconds", [(0, 1), (12_345, 1000)])
def test_no_start_is_not_1970(tmp_path: Path, seconds: tuple[int, int]) -> None:
    interface = InscopixInterface(file_path=write_isxd(tmp_path / "m.isxd", corner_movie(), start=seconds))
    assert interface.movie.started is None
    assert "session_start_time" not in interface.get_metadata()["NWBFile"]


def test_missing_frames_leave_gaps_not_zeros(tmp_path: Path) -> None:
    movie = corner_movie(6) + 1
    stated: dict[str, Any] = {"n_times": 12, "dropped": [4], "cropped": ["0 - 2", "11"], "blank": [8]}
    path = write_isxd(tmp_path / "m.isxd", movie, start=STATED_START, **stated)
    interface = InscopixInterface(file_path=path)
    result = written(interface, tmp_path / "m.nwb")
    assert np.array_equal(result.data.transpose(0, 2, 1), movie)
    np.testing.assert_allclose(result.times_s, np.array([3, 5, 6, 7, 9, 10]) * 0.05, atol=1e-12)
    first = START + timedelta(seconds=0.15)
    assert interface.movie.started == first
    assert interface.get_metadata()["NWBFile"]["session_start_time"] == START


def test_frames_dropped_within_a_cropped_range_count_once(tmp_path: Path) -> None:
    path = write_isxd(tmp_path / "m.isxd", corner_movie(), n_times=9, dropped=[2, 3], cropped=["1 - 4"])
    assert InscopixMovie(path).shape.n_frames == 5


# frames between header and footer lines


def write_counted(path: Path, counters_us: list[int], *, version: str = "1.5.0", **stated: Any) -> np.ndarray:
    movie = corner_movie(len(counters_us))
    write_isxd(path, movie, counters_us=counters_us, extra=recorded_by(version), **stated)
    return movie


def test_frames_are_timed_by_the_counter(tmp_path: Path) -> None:
    since_first = [0, 50_100, 100_050, 200_300]
    movie = write_counted(
        tmp_path / "m.isxd", [(1 << 40) + each for each in since_first], n_times=6, dropped=[0, 4]
    )
    interface = InscopixInterface(file_path=tmp_path / "m.isxd")
    assert interface.rate_hz == pytest.approx(4 / 0.2003)
    result = written(interface, tmp_path / "m.nwb")
    assert np.array_equal(result.data.transpose(0, 2, 1), movie)
    np.testing.assert_allclose(result.times_s, 0.05 + np.array(since_first) * 1e-6, atol=1e-9)
    nominal = InscopixInterface(file_path=tmp_path / "m.isxd", use_timestamps=False)
    assert nominal.rate_hz == 20.0
    np.testing.assert_allclose(nominal.get_timestamps(), np.array([1, 2, 3, 5]) * 0.05)


@pytest.mark.parametrize(
    ("counters", "version"), [([0, 0, 0], "1.5.0"), ([5, 60, 3], "1.5.0"), ([0, 9, 20], "1.1.0")]
)
def test_a_counter_that_tells_nothing_is_not_used(tmp_path: Path, counters: list[int], version: str) -> None:
    write_counted(tmp_path / "m.isxd", counters, version=version)
    frames = InscopixMovie(tmp_path / "m.isxd")
    assert (frames.rate_hz, frames.frame_times_s) == (20.0, None)


def test_a_counter_that_goes_back_is_refused(tmp_path: Path) -> None:
    write_counted(tmp_path / "m.isxd", [0, 100_000, 50_000, 150_000])
    with pytest.raises(InputFileError, match=r"states 0.05 s for frame 3 and 0.1 s.*use_timestamps: false"):
        InscopixMovie(tmp_path / "m.isxd")
    assert InscopixMovie(tmp_path / "m.isxd", use_timestamps=False).rate_hz == 20.0


def test_planes_in_turn_are_refused_and_single_ones_read(tmp_path: Path) -> None:
    settings = {"multiplane": {"enabled": True, "planes": [{}, {}]}}
    path = write_isxd(tmp_path / "m.isxd", corner_movie(), extra=recorded_by(microscope=settings))
    with pytest.raises(InputFileError, match=r"multiplane.*De-interleave"):
        InscopixMovie(path)
    separated = recorded_by(microscope=settings, idps={"efocus": 440})
    assert InscopixMovie(write_isxd(path, corner_movie(), extra=separated)).shape.n_frames == 5
    off = recorded_by(microscope={"multiplane": {"enabled": False}})
    assert InscopixMovie(write_isxd(path, corner_movie(), extra=off)).shape.n_frames == 5


def test_a_study_that_states_another_rate_is_told(tmp_path: Path) -> None:
    path = write_isxd(tmp_path / "m.isxd", corner_movie())
    assert InscopixInterface(file_path=path, rate_hz=20.0).rate_hz == 20.0
    with pytest.raises(IssuesError, match="rate-differs"):
        InscopixInterface(file_path=path, rate_hz=10.0)


# several files


def test_runs_begin_when_the_files_say(tmp_path: Path) -> None:
    movie = corner_movie(9)
    later = ((STATED_START[0] + 60_000), 1000)
    paths = [
        write_isxd(tmp_path / "r1.isxd", movie[:5], start=STATED_START),
        write_isxd(tmp_path / "r2.isxd", movie[5:], start=later, n_times=6, dropped=[0, 2]),
    ]
    result = written(InscopixInterface(file_path=paths, parts="runs", start_s=1.0), tmp_path / "m.nwb")
    assert np.array_equal(result.data.transpose(0, 2, 1), movie)
    expected = [1 + k * 0.05 for k in range(5)] + [61 + k * 0.05 for k in (1, 3, 4, 5)]
    np.testing.assert_allclose(result.times_s, expected, atol=1e-9)


def test_gaps_are_not_lost_in_continuous_files(tmp_path: Path) -> None:
    movie = corner_movie(9)
    whole = [write_isxd(tmp_path / f"{name}.isxd", movie) for name in "ab"]
    result = written(InscopixInterface(file_path=whole, parts="continuous"), tmp_path / "m.nwb")
    assert (len(result.data), result.rate_hz) == (18, 20.0)
    gap = write_isxd(tmp_path / "c.isxd", movie, n_times=10, dropped=[4])
    with pytest.raises(InputFileError, match=r"c\.isxd.*parts: runs"):
        InscopixInterface(file_path=[whole[0], gap], parts="continuous")


def test_as_a_stream_of_a_study(tmp_path: Path, build: Callable[[Study], NWBFile]) -> None:
    path = write_isxd(tmp_path / "m.isxd", corner_movie(40), n_times=41, dropped=[3])
    stream = InscopixStream(format="inscopix", path=path)
    nwbfile = build(study_of(small_session(tmp_path, streams={"movie": stream}, epochs=(), drug_log=())))
    (series,) = nwbfile.acquisition.values()
    assert series.neurodata_type == "OnePhotonSeries"
    assert len(series.timestamps) == 40


# damaged and hostile files


def with_footer(path: Path, text: bytes, *, length: int | None = None) -> Path:
    path.write_bytes(
        bytes(70) + text + b"\0" + (len(text) if length is None else length).to_bytes(8, "little")
    )
    return path


@pytest.mark.parametrize("keep", [0, 5, 9, 100, 1000, -1, -9])
def test_a_cut_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = write_isxd(tmp_path / "m.isxd", corner_movie())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputFileError, match="footer"):
        InscopixMovie(path)


def test_frames_that_are_not_there_are_noticed(tmp_path: Path) -> None:
    movie = corner_movie()
    for said in (4, 6):
        footer = footer_of(movie, n_times=said)
        with pytest.raises(InputFileError, match=f"holds 5 frames of 56 bytes, its footer states {said}"):
            InscopixMovie(write_isxd(tmp_path / "m.isxd", movie, footer=footer))
    with pytest.raises(InputFileError, match="all were dropped"):
        InscopixMovie(write_isxd(tmp_path / "m.isxd", movie, cropped=["0 - 4"]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{" * 100_000, "damaged footer"),
        (b"[" * 100_000 + b"]" * 100_000, "damaged footer"),
        (b'{"type": 0', "damaged footer"),
        (b"\xff\xfe{}", "damaged footer"),
        (b'{"type": ' + b"9" * 5000 + b"}", "damaged footer"),
        (b"[1, 2]", "no JSON object"),
        (b"{}", "unknown type None"),
        (b'{"type": 1}', "is a cell set, not a movie"),
        (b'{"type": -1}', "unknown type -1"),
        (b'{"type": 0, "dataType": 0}', "timingInfo"),
    ],
)
def test_odd_footers_are_named(tmp_path: Path, text: bytes, words: str) -> None:
    with pytest.raises(InputFileError, match=words):
        InscopixMovie(with_footer(tmp_path / "m.isxd", text))


def test_a_footer_longer_than_the_file_is_not_read(tmp_path: Path) -> None:
    for length in (1 << 63, 1 << 40, 1000, 0):
        with pytest.raises(InputFileError, match="states a footer of"):
            InscopixMovie(with_footer(tmp_path / "m.isxd", b"{}", length=length))
    path = tmp_path / "m.isxd"
    with path.open("wb") as file:
        file.truncate(200 << 20)
        file.seek(0, 2)
        file.write((150 << 20).to_bytes(8, "little"))
    with pytest.raises(UnsafeFileError, match="at most"):
        InscopixMovie(path)


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "pixels": (lambda f: f["spacingInfo"]["numPixels"].update(x=1 << 40), "numPixels.x"),
    "memory": (lambda f: f["spacingInfo"]["numPixels"].update(x=60_000, y=60_000), "declares frames"),
    "times": (lambda f: f["timingInfo"].update(numTimes=10**15), "numTimes"),
    "no period": (lambda f: f["timingInfo"]["period"].update(num=0), "0 s per frame"),
    "zero": (lambda f: f["timingInfo"]["period"].update(den=0), "period.den"),
    "colour": (lambda f: f.update(dataType=3), "type 3"),
    "dropped": (lambda f: f["timingInfo"].update(dropped=[99]), "'99' as missing of its 5 frames"),
    "cropped": (lambda f: f["timingInfo"].update(cropped=["3 - 99"]), "'3 - 99' as missing"),
    "words": (lambda f: f["timingInfo"].update(cropped=["all"]), "'all' as missing"),
    "date": (lambda f: f["timingInfo"]["start"]["secsSinceEpoch"].update(num=10**18), "states a start"),
    "offset": (lambda f: f["timingInfo"]["start"].update(utcOffset=10**9), "utcOffset"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_numbers_of_the_footer_are_not_believed(tmp_path: Path, name: str) -> None:
    change, words = CHANGES[name]
    footer = footer_of(corner_movie())
    change(footer)
    path = write_isxd(tmp_path / "m.isxd", corner_movie(), footer=footer)
    tracemalloc.start()
    with pytest.raises(InputFileError, match=words):
        InscopixMovie(path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_properties_of_any_form_are_left_unread(tmp_path: Path) -> None:
    for extra in (None, {}, {"producer": 3, "microscope": []}, {"producer": {"version": "x.y"}}):
        path = write_isxd(tmp_path / "m.isxd", corner_movie(), extra=extra)
        assert InscopixMovie(path).shape.n_frames == 5


def test_opening_reads_the_footer_only(tmp_path: Path) -> None:
    footer = json.dumps(footer_of(np.empty((0, 512, 512), np.uint16), n_times=2000), indent=4).encode()
    path = tmp_path / "m.isxd"
    with path.open("wb") as file:
        file.truncate(2000 * 512 * 512 * 2)  # 1 GB of zeros, sparse
        file.seek(0, 2)
        file.write(footer + b"\0" + len(footer).to_bytes(8, "little"))
    tracemalloc.start()
    frames = InscopixMovie(path)
    assert frames.read(1999, 2000).shape == (1, 512, 512)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
