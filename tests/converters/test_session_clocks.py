"""The clocks of a session: stated, found from pulses, one after another, and never in a circle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nwbswitch.converters.clocks.clock_map import ClockMap
from nwbswitch.converters.clocks.session_clocks import frame_timing, resolve_clocks
from nwbswitch.schemas.clock_table import ClockMethod
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.study_clocks import Clock, FrameTimes, PulseSource

RATE_HZ = 10_000.0


@pytest.fixture
def pulses(tmp_path: Path) -> dict[str, PulseSource]:
    """The same 200 pulses in a camera's table (ms) and on a line of the acquisition board."""
    import h5py

    camera_s = np.cumsum(np.random.default_rng(0).uniform(0.2, 0.6, 200))
    board_s = 12.3456 + camera_s * (1 + 80e-6)
    line = np.zeros(int(board_s[-1] * RATE_HZ) + 1000, dtype=np.int16)
    for sample in np.ceil(board_s * RATE_HZ).astype(int):
        line[sample : sample + 50] = 5000
    with h5py.File(tmp_path / "daq.h5", "w") as file:
        file.create_dataset("ttl", data=line, compression="gzip")
    (tmp_path / "camera.csv").write_text("\n".join(["ms", *(f"{1000 * each:.3f}" for each in camera_s)]))
    return {
        "camera": PulseSource(path=tmp_path / "camera.csv", column="ms", scale=0.001),
        "daq": PulseSource(
            path=tmp_path / "daq.h5", dataset="ttl", kind="levels", rate_hz=RATE_HZ, threshold=2500
        ),
    }


def test_the_session_clock_is_always_there() -> None:
    (clock,) = resolve_clocks({}).values()
    assert (clock.name, clock.map, clock.method) == ("session", ClockMap(), ClockMethod.SAME)


def test_a_stated_offset_and_drift() -> None:
    clock = resolve_clocks({"treadmill": Clock(offset_s=0.35, drift_ppm=20)})["treadmill"]
    assert clock.map == ClockMap(0.35, 20e-6)
    row = clock.quality("wheel", n_frames=7)
    assert (row.stream, row.clock, row.method) == ("wheel", "treadmill", ClockMethod.OFFSET)
    assert (row.offset_s, row.n_frames, row.n_pulses) == (0.35, 7, 0)
    assert row.drift_ppm == pytest.approx(20)
    assert np.isnan(row.jitter_ms)


def test_a_clock_found_from_pulses(pulses: dict[str, PulseSource]) -> None:
    clock = resolve_clocks({"camera": Clock(pulses=pulses["camera"], reference=pulses["daq"])})["camera"]
    # Samples of 0.1 ms: 0.03 ms of jitter, 200 pulses in 80 s: the offset is known to some microseconds.
    assert clock.map.offset_s == pytest.approx(12.3456, abs=2e-5)
    assert clock.map.drift_ppm == pytest.approx(80, abs=0.5)
    row = clock.quality("eye")
    assert (row.method, row.n_pulses, row.n_unmatched) == (ClockMethod.PULSES, 200, 0)
    assert row.jitter_ms == pytest.approx(0.1 / np.sqrt(12), rel=0.3)


def test_a_clock_behind_another_clock(pulses: dict[str, PulseSource]) -> None:
    clocks = {
        "eye": Clock(offset_s=1.0, reference_clock="camera"),
        "camera": Clock(pulses=pulses["camera"], reference=pulses["daq"], reference_clock="daq"),
        "daq": Clock(offset_s=-2.0),
    }
    found = resolve_clocks(clocks)
    assert found["eye"].map.apply_one(5.0) == pytest.approx(-2 + 12.3456 + 6 * (1 + 80e-6), abs=5e-5)
    assert found["daq"].map == ClockMap(-2.0)


def test_clocks_in_a_circle() -> None:
    clocks = {
        "a": Clock(reference_clock="b"),
        "b": Clock(reference_clock="c"),
        "c": Clock(reference_clock="b"),
    }
    with pytest.raises(IssuesError, match="circle: b -> c -> b"):
        resolve_clocks(clocks)


def test_the_session_clock_cannot_be_moved() -> None:
    with pytest.raises(IssuesError, match="Give the clock another name"):
        resolve_clocks({"session": Clock(offset_s=1.0)})


def test_a_reference_that_is_no_clock() -> None:
    with pytest.raises(IssuesError, match="Did you mean 'daq'") as caught:
        resolve_clocks({"daq": Clock(), "eye": Clock(reference_clock="dac")})
    assert caught.value.issues[0].place.item == "clocks.eye.reference_clock"


def test_frames_on_another_clock(tmp_path: Path) -> None:
    np.save(tmp_path / "frames.npy", np.arange(100) / 30)
    source = FrameTimes(path=tmp_path / "frames.npy", clock="daq", extra="after")
    clocks = resolve_clocks({"daq": Clock(offset_s=1.5, drift_ppm=100)})
    found, row = frame_timing(source, clocks, stream="movie", n_frames=98, nominal_rate_hz=30)
    assert found.times_s == pytest.approx(1.5 + np.arange(98) / 30 * 1.0001)
    assert (row.stream, row.clock, row.method) == ("movie", "daq", ClockMethod.FRAME_PULSES)
    assert (row.n_frames, row.n_pulses, row.n_dropped, row.n_unmatched) == (98, 98, 0, 2)
    assert row.offset_s == 1.5


def test_frames_on_a_clock_that_is_not_described(tmp_path: Path) -> None:
    np.save(tmp_path / "frames.npy", np.arange(100) / 30)
    with pytest.raises(IssuesError, match="Clocks of this session: session, camera"):
        frame_timing(
            FrameTimes(path=tmp_path / "frames.npy", clock="xy"),
            resolve_clocks({"camera": Clock()}),
            stream="movie",
            n_frames=100,
        )
