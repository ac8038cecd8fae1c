"""When frames were taken: runs and windows of frames, and clocks that are checked before they are used."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from ophys_file import Traces, make_traces, write_file

from nwbswitch.analysis.access.array_reader import ArrayReader
from nwbswitch.analysis.access.arrays import Part
from nwbswitch.analysis.access.local_bytes import LocalBytes
from nwbswitch.analysis.access.stored_dataset import stored_array
from nwbswitch.analysis.reading.clock_reader import ClockReader
from nwbswitch.analysis.reading.clocks import frame_times, frames_between
from nwbswitch.analysis.reading.outline import KNOT_FRAMES, Clock
from nwbswitch.analysis.reading.stamps import BadStamp, look_at
from nwbswitch.schemas.file_guard import open_hdf5
from nwbswitch.schemas.issues import Issue
from nwbswitch.schemas.overrides import Activity

WHERE = "processing/ophys/Fluorescence/F"
N = 3 * KNOT_FRAMES + 17


class Counted:
    """Arrays that count how many values were read."""

    def __init__(self, path: Path) -> None:
        self.reader = ArrayReader(LocalBytes(path))
        self.n_values = 0
        self.n_calls = 0

    def read_many(self, parts: list[Part]) -> list[np.ndarray]:
        found = self.reader.read_many(parts)
        self.n_calls += 1
        self.n_values += sum(each.size for each in found)
        return found


def write(
    tmp_path: Path, *, rate_hz=10.0, start_s=0.0, stamps=None, n=70, imaging_rate_hz=None, unit=None
) -> Path:
    n = n if stamps is None else len(stamps)
    traces = Traces(WHERE, make_traces(n, 3), rate_hz=rate_hz, start_s=start_s, stamps=stamps)
    path = write_file(tmp_path / "a.nwb", [traces], imaging_rate_hz=imaging_rate_hz)
    if unit is not None:
        with h5py.File(path, "r+") as nwb:
            nwb[f"{WHERE}/timestamps"].attrs["unit"] = unit
    return path


def clock(path: Path, *, imaging_rate_hz=None, n=None, **stated) -> tuple[Clock | None, list[Issue]]:
    found: list[Issue] = []
    with open_hdf5(path) as nwb:
        n = n or nwb[f"{WHERE}/data"].shape[0]
        read = ClockReader(nwb, "a.nwb").clock(
            nwb[WHERE], n, stated=Activity(**stated), imaging_rate_hz=imaging_rate_hz, found=found
        )
    return read, found


def codes(found: list[Issue]) -> list[str]:
    return [each.code for each in found]


def stated_in(issue: Issue) -> dict:
    (entry,) = yaml.safe_load(issue.remedy.partition("overrides:\n")[2])["sources"]
    (activity,) = entry["activity"]
    activity.pop("series")
    return activity


# ---- frames and times --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jittered(tmp_path_factory) -> tuple[Path, np.ndarray, Clock]:
    rng = np.random.default_rng(1)
    stamps = 50.0 + np.cumsum(rng.uniform(0.05, 0.15, N))
    stamps[KNOT_FRAMES + 5 :] += 400.0
    path = write(tmp_path_factory.mktemp("clock"), stamps=stamps)
    return path, stamps, clock(path)[0]


def test_times_of_a_run_of_frames(jittered):
    path, stamps, own = jittered
    arrays = Counted(path)
    np.testing.assert_array_equal(frame_times(own, arrays, slice(100, 130)), stamps[100:130])
    assert arrays.n_values == 30
    np.testing.assert_array_equal(frame_times(own, arrays, slice(N - 3, N + 10)), stamps[-3:])
    assert frame_times(own, arrays, slice(5, 5)).size == 0
    regular = Clock(-3.0, 5.0, 100)
    np.testing.assert_allclose(frame_times(regular, arrays, slice(98, 200)), -3.0 + np.array([98, 99]) / 5)


def edges_of(times: np.ndarray) -> list[float]:
    inner = [
        times[k] + shift for k in (0, 1, KNOT_FRAMES, KNOT_FRAMES + 5, N - 1) for shift in (-0.01, 0.0, 0.01)
    ]
    return [-1e6, times[0] - 1, *inner, times[KNOT_FRAMES + 4] + 100, times[-1] + 1, 1e9]


def test_frames_of_windows_are_those_of_a_search_through_all_times(jittered):
    path, stamps, own = jittered
    edges = edges_of(stamps)
    for start in edges:
        for stop in edges:
            expected = np.searchsorted(stamps, [start - 1e-6, max(start, stop) - 1e-6])
            found = frames_between(own, Counted(path), start, stop)
            assert [found.start, found.stop] == expected.tolist()


def test_a_window_reads_two_short_runs_of_stamps_at_once(jittered):
    path, stamps, own = jittered
    arrays = Counted(path)
    frames_between(own, arrays, stamps[100], stamps[-100])
    assert arrays.n_calls == 1
    assert arrays.n_values <= 2 * KNOT_FRAMES


def test_without_knots_all_stamps_are_searched(jittered):
    path, stamps, own = jittered
    bare = replace(own, knots_s=())
    frames = frames_between(bare, Counted(path), stamps[9000], stamps[9100])
    assert (frames.start, frames.stop) == (9000, 9100)


@pytest.mark.parametrize("rate_hz", [5.0, 1 / 3, 29.97, 30.00003])
def test_frames_of_regular_clocks_agree_with_their_times(rate_hz, tmp_path):
    own = Clock(-7.3, rate_hz, 4000)
    times = -7.3 + np.arange(4000) / rate_hz
    for start in (-100.0, -7.3, 0.0, float(times[1234]), float(times[-1]), 1e7):
        for stop in (-50.0, float(times[1300]), float(times[-1]), 1e8):
            expected = np.searchsorted(times, [start - 1e-6, max(start, stop) - 1e-6])
            found = frames_between(own, None, start, stop)
            assert [found.start, found.stop] == expected.tolist()


@pytest.mark.parametrize("shape", [(70, 1), (1, 70)])
def test_stamps_in_a_row_or_a_column(tmp_path, shape):
    stamps = 2.0 + np.arange(70) / 10
    path = write(tmp_path, stamps=stamps)
    with h5py.File(path, "r+") as nwb:
        del nwb[f"{WHERE}/timestamps"]
        nwb[f"{WHERE}/timestamps"] = stamps.reshape(shape)
    own, found = clock(path)
    assert found == []
    np.testing.assert_array_equal(frame_times(own, Counted(path), slice(3, 9)), stamps[3:9])
    assert frames_between(own, Counted(path), 2.5, 3.0) == slice(5, 10)


# ---- reading clocks ----------------------------------------------------------------------------------------


def test_a_rate_and_a_start(tmp_path):
    own, found = clock(write(tmp_path, rate_hz=7.5, start_s=-3.0))
    assert (own.start_s, own.rate_hz, own.n_frames, own.stop_s) == (
        -3.0,
        7.5,
        70,
        pytest.approx(-3 + 70 / 7.5),
    )
    assert found == []


def test_stamps_count_before_a_rate(tmp_path):
    path = write(tmp_path, stamps=10 + np.arange(70) / 5)
    with h5py.File(path, "r+") as nwb:
        nwb[f"{WHERE}/starting_time"] = 0.0
        nwb[f"{WHERE}/starting_time"].attrs["rate"] = 100.0
    own, found = clock(path)
    assert (own.start_s, own.last_s, found) == (10.0, 10 + 69 / 5, [])
    assert own.rate_hz == pytest.approx(5)


@pytest.mark.parametrize("rate_hz", [0.0, np.nan, -5.0])
def test_a_rate_that_is_none_is_an_error_with_what_settles_it(tmp_path, rate_hz):
    path = write(tmp_path, rate_hz=rate_hz)
    own, found = clock(path, imaging_rate_hz=12.0)
    assert own is None
    assert codes(found) == ["wrong-value"]
    own, found = clock(path, **stated_in(found[0]))
    assert (own.rate_hz, found) == (12.0, [])


def test_without_any_clock_a_rate_and_a_start_are_asked_for(tmp_path):
    path = write(tmp_path, rate_hz=None)
    assert codes(clock(path)[1]) == ["wrong-value"]
    own, found = clock(path, rate_hz=5.0)
    assert own is None
    assert codes(found) == ["suspect-clock"]
    assert clock(path, rate_hz=5.0, start_s=2.0)[0] == Clock(2.0, 5.0, 70)


@pytest.mark.parametrize(
    ("change", "frame"),
    [((0, np.nan), 0), ((0, np.inf), 0), ((40, np.nan), 40), ((40, 1.0), 40), ((69, 6.8), 69), ((1, 0.0), 1)],
)
def test_the_first_bad_stamp_is_named(tmp_path, change, frame):
    stamps = np.arange(70) / 10
    stamps[change[0]] = change[1]
    own, found = clock(write(tmp_path, stamps=stamps))
    assert own is None
    assert codes(found) == ["wrong-value"]
    assert f"at frame {frame} " in found[0].message


def test_too_few_and_too_many_stamps_are_an_error(tmp_path):
    path = write(tmp_path, stamps=np.arange(70) / 10)
    for n in (69, 71):
        own, found = clock(path, n=n)
        assert own is None
        assert codes(found) == ["length-differs"]


def test_other_stamps_may_be_stated(tmp_path):
    path = write(tmp_path, stamps=np.arange(71) / 10)
    with h5py.File(path, "r+") as nwb:
        nwb["acquisition/sync/timestamps"] = 5 + np.arange(70) / 4
    for where in ("/acquisition/sync", "acquisition/sync/timestamps"):
        own, found = clock(path, n=70, timestamps=where)
        assert (own.start_s, own.rate_hz, found) == (5.0, 4.0, [])
    assert codes(clock(path, n=70, timestamps="/nothing")[1]) == ["override-unused"]


# ---- doubts ------------------------------------------------------------------------------------------------

EVEN = np.arange(700) / 10


@pytest.mark.parametrize(
    ("stamps", "imaging_rate_hz", "settled_by", "start_s", "rate_hz"),
    [
        (EVEN * 1000, 10.0, {"timestamps_unit": "ms"}, 0.0, 10.0),
        (EVEN * 1000, None, {"timestamps_unit": "ms"}, 0.0, 10.0),
        (EVEN * 1e6, None, {"timestamps_unit": "us"}, 0.0, 10.0),
        (np.arange(700), 10.0, {"timestamps_unit": "frames", "rate_hz": 10.0}, 0.0, 10.0),
        (np.arange(700) + 1, None, {"timestamps_unit": "frames", "rate_hz": "FILL IN"}, 0.1, 10.0),
        (1709370000.0 + 30 + EVEN, None, {"start_s": 30.0}, 30.0, 10.0),
        (1709370030000 + 1000 * EVEN, 10.0, {"timestamps_unit": "ms", "start_s": 30.0}, 30.0, 10.0),
        (5e8 + EVEN, None, {"start_s": "FILL IN"}, 4.0, 10.0),
    ],
)
def test_stamps_that_are_hardly_seconds(tmp_path, stamps, imaging_rate_hz, settled_by, start_s, rate_hz):
    path = write(tmp_path, stamps=stamps)
    own, found = clock(path, imaging_rate_hz=imaging_rate_hz)
    assert own is None
    assert codes(found) == ["suspect-clock"]
    assert stated_in(found[0]) == settled_by
    fill = {"rate_hz": 10.0, "start_s": 4.0}
    stated = {key: fill[key] if value == "FILL IN" else value for key, value in settled_by.items()}
    own, found = clock(path, imaging_rate_hz=imaging_rate_hz, **stated)
    assert codes(found) == []
    assert (own.start_s, own.rate_hz) == (pytest.approx(start_s), pytest.approx(rate_hz))
    times = frame_times(own, Counted(path), slice(0, 700))
    np.testing.assert_allclose(times, start_s + EVEN, atol=1e-6)
    assert frames_between(own, Counted(path), start_s + 20, start_s + 30) == slice(200, 300)


@pytest.mark.parametrize(
    ("stamps", "imaging_rate_hz"),
    [
        (EVEN, None),
        (EVEN, 10.0),
        (np.arange(700) / 1.0, 1.0),
        (np.arange(700) * 20.0, 0.05),
        (EVEN * 2.001 - 50, None),
        (np.arange(700) / 900, None),
    ],
)
def test_stamps_that_are_seconds_are_not_doubted(tmp_path, stamps, imaging_rate_hz):
    assert codes(clock(write(tmp_path, stamps=stamps), imaging_rate_hz=imaging_rate_hz)[1]) == []


def test_a_unit_that_is_stated_ends_the_doubt(tmp_path):
    path = write(tmp_path, stamps=np.arange(700) * 20.0)
    assert codes(clock(path)[1]) == ["suspect-clock"]
    own, found = clock(path, timestamps_unit="s")
    assert (own.rate_hz, found) == (pytest.approx(0.05), [])


def test_a_unit_that_the_file_states_is_converted(tmp_path):
    own, found = clock(write(tmp_path, stamps=EVEN * 1000, unit="milliseconds"))
    assert own.rate_hz == pytest.approx(10)
    assert codes(found) == ["stamps-in-unit"]


@pytest.mark.parametrize(
    ("rate_hz", "imaging_rate_hz", "settled_by"),
    [
        (0.033333, 30.0, {"rate_hz": 30.0}),
        (0.005, None, {"rate_hz": "FILL IN"}),
        (30000.0, None, {"rate_hz": "FILL IN"}),
        (0.0301, 30.1, {"rate_hz": 30.1}),
        (30000.0, 30.0, {"rate_hz": 30.0}),
    ],
)
def test_rates_that_are_hardly_frames_per_second(tmp_path, rate_hz, imaging_rate_hz, settled_by):
    own, found = clock(write(tmp_path, rate_hz=rate_hz), imaging_rate_hz=imaging_rate_hz)
    assert own is None
    assert codes(found) == ["suspect-clock"]
    assert stated_in(found[0]) == settled_by


def test_a_start_that_is_a_date_is_doubted(tmp_path):
    path = write(tmp_path, start_s=1.7e9)
    assert codes(clock(path)[1]) == ["suspect-clock"]
    assert clock(path, start_s=3.0)[0].start_s == 3.0


@pytest.mark.parametrize("stamps", [None, np.arange(70) / 10])
def test_another_rate_than_that_of_the_imaging_plane_is_a_warning_with_both(tmp_path, stamps):
    own, found = clock(write(tmp_path, stamps=stamps), imaging_rate_hz=30.0)
    assert own.rate_hz == pytest.approx(10)
    assert [(each.code, each.severity) for each in found] == [("imaging-rate-differs", "warning")]
    assert "10 Hz" in found[0].message
    assert "30 Hz" in found[0].message
    assert "3 planes" in found[0].message
    assert clock(write(tmp_path, stamps=stamps), imaging_rate_hz=10.05)[1] == []


def test_gaps_and_jitter_are_a_note(tmp_path):
    stamps = np.arange(700) / 10
    stamps[300:] += 20
    stamps[500:] += 0.2
    _, found = clock(write(tmp_path, stamps=stamps))
    assert [(each.code, each.severity) for each in found] == [("uneven-frames", "note")]
    assert "2 gaps, the first after frame 299, the longest of 20.1 s" in found[0].message
    jitter = np.arange(700) / 10 + 0.02 * (np.arange(700) % 2)
    _, found = clock(write(tmp_path, stamps=jitter))
    assert "off time" in found[0].message


# ---- in a stream -------------------------------------------------------------------------------------------


def test_millions_of_stamps_are_checked_in_flat_memory(tmp_path):
    n = 10_000_000
    with h5py.File(tmp_path / "a.h5", "w") as file:
        stamps = file.create_dataset(
            "t", (n,), "f8", chunks=(100_000,), compression="gzip", compression_opts=1
        )
        for start in range(0, n, 1_000_000):
            stamps[start : start + 1_000_000] = np.arange(start, start + 1_000_000) / 30
        tracemalloc.start()
        facts = look_at(stamps)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 80 << 20
        assert (facts.n, facts.n_gaps, facts.first) == (n, 0, 0.0)
        assert 1 / facts.median_step == pytest.approx(30)
        assert len(facts.knots) == -(-n // KNOT_FRAMES)
        assert facts.knots[-1] == stamps[(len(facts.knots) - 1) * KNOT_FRAMES]
        stamps[7_654_321] = 0.0
        found = look_at(stamps)
    assert isinstance(found, BadStamp)
    assert found.frame == 7_654_321


def test_stamps_that_several_series_share_are_looked_at_once(tmp_path, monkeypatch):
    path = write(tmp_path, stamps=np.arange(70) / 10)
    looks = []
    monkeypatch.setattr(
        "nwbswitch.analysis.reading.clock_reader.look_at", lambda stamps: looks.append(1) or look_at(stamps)
    )
    with open_hdf5(path) as nwb:
        nwb_stamps = stored_array(nwb[f"{WHERE}/timestamps"])
        reader = ClockReader(nwb, "a.nwb")
        for _ in range(2):
            own = reader.clock(nwb[WHERE], 70, stated=Activity(), imaging_rate_hz=None, found=[])
            assert own.stamps.offsets.tolist() == nwb_stamps.offsets.tolist()
    assert looks == [1]
