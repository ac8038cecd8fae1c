"""Encoders and voltages of wheels: path and speed with a known truth, and words for what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from behavior_cases import RATE_HZ, bpod_encoder, turning, wheel_analog, wheel_encoder
from pynwb import NWBFile

from nwbswitch.converters.behavior.bpod_encoder import BpodEncoderInterface, read_positions
from nwbswitch.converters.behavior.turning import joined_counts, joined_turns, speed_of
from nwbswitch.converters.behavior.wheel_analog import WheelAnalogInterface
from nwbswitch.converters.behavior.wheel_encoder import WheelEncoderInterface
from nwbswitch.schemas.errors import InputFileError, TableError

CIRCUMFERENCE_M = 2 * np.pi * 0.075


def series(interface: Any) -> tuple[Any, Any]:
    nwbfile = NWBFile("test", "id", datetime(2024, 5, 1, 10, tzinfo=UTC))
    interface.add_to_nwbfile(nwbfile)
    behavior = nwbfile.processing["behavior"]
    name = interface.metadata_key
    position = behavior["Position"][f"{name}_position"] if "Position" in behavior.data_interfaces else None
    return position, behavior["BehavioralTimeSeries"][f"{name}_speed"]


def test_counts_become_meters_and_speed(tmp_path: Path) -> None:
    position, speed = series(WheelEncoderInterface(**wheel_encoder(tmp_path)))
    # One count is 1/4096 of a turn, 0.115 mm.
    np.testing.assert_allclose(position.data, (turning() - turning()[0]) * CIRCUMFERENCE_M, atol=0.6e-4)
    assert (position.unit, speed.unit, speed.rate) == ("meters", "m/s", pytest.approx(RATE_HZ))
    assert speed.data[50] == pytest.approx(0.0, abs=1e-3)
    assert speed.data[250] == pytest.approx(0.4 * CIRCUMFERENCE_M, rel=0.01)
    assert speed.data[450] == pytest.approx(-0.2 * CIRCUMFERENCE_M, rel=0.01)
    assert "4096 counts a turn, radius 7.5 cm" in speed.comments


def test_a_sensor_on_the_other_side_is_reversed(tmp_path: Path) -> None:
    source = wheel_encoder(tmp_path)
    source["wheel"] = {"radius_cm": 7.5, "reversed": True}
    assert series(WheelEncoderInterface(**source))[1].data[250] < 0


def test_without_a_radius_the_path_is_an_angle(tmp_path: Path) -> None:
    position, speed = series(WheelEncoderInterface(**{**wheel_encoder(tmp_path), "wheel": {}}))
    assert (position.unit, speed.unit) == ("radians", "rad/s")
    assert speed.data[250] == pytest.approx(0.4 * 2 * np.pi, rel=0.01)


def test_an_angle_voltage_is_joined_over_turns(tmp_path: Path) -> None:
    position, speed = series(WheelAnalogInterface(**wheel_analog(tmp_path)))
    np.testing.assert_allclose(position.data, (turning() - turning()[0]) * CIRCUMFERENCE_M, atol=1e-9)
    assert speed.data[250] == pytest.approx(0.4 * CIRCUMFERENCE_M, rel=1e-6)


def test_a_tachometer_gives_speed_only(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([1.0, 1.5, 0.5]))
    tachometer = WheelAnalogInterface(
        file_path=tmp_path / "v.npy", voltage="v", cm_per_s_per_v=20.0, zero_v=1.0, rate_hz=10.0
    )
    position, speed = series(tachometer)
    assert position is None
    np.testing.assert_allclose(speed.data, [0.0, 0.1, -0.1])


def test_a_calibration_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    source = {**wheel_analog(tmp_path), "volts_per_turn": 2.5}
    with pytest.raises(InputFileError, match="beyond one turn"):
        WheelAnalogInterface(**source)
    with pytest.raises(ValueError, match="tachometer"):
        WheelAnalogInterface(**{**source, "cm_per_s_per_v": 3.0})


def test_counters_and_voltages_are_joined_where_they_start_again() -> None:
    assert joined_counts(np.array([250, 255, 3, 10, 250]), 8).tolist() == [250, 255, 259, 266, 250]
    turns = joined_turns(np.array([4.5, 0.5, 4.5]), zero_v=0.0, volts_per_turn=5.0)
    np.testing.assert_allclose(turns - turns[0], [0.0, 0.2, 0.0])


def test_speed_is_the_way_per_time_and_zero_in_silence() -> None:
    times = np.array([0.0, 1.0, 10.0, 10.01])
    # Nothing is reported from 1 s to 10 s: the wheel stood.
    speed = speed_of(np.array([0.0, 0.0, 0.01, 0.02]), times, 0.2)
    assert speed[1] == 0.0
    assert speed[2] > 0.04
    even = speed_of(np.arange(100) * 0.02, np.arange(100) / 50, 0.2)
    np.testing.assert_allclose(even, 1.0)
    assert speed_of(np.array([1.0]), np.array([0.0]), 0.2).tolist() == [0.0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"count": "counts"}, "Did you mean 'count'"),
        ({"time_column": "count"}, "is not after the one before it"),
        ({"count": "ms", "counts_per_turn": 0}, "counts_per_turn must be positive"),
    ],
)
def test_wrong_keys_are_explained(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises((TableError, InputFileError, ValueError), match=words):
        WheelEncoderInterface(**{**wheel_encoder(tmp_path), **change})


def test_a_count_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text("count\n1\n2.5\n", encoding="utf-8")
    with pytest.raises(InputFileError, match="no count"):
        WheelEncoderInterface(file_path=tmp_path / "w.csv", count="count", counts_per_turn=1024, rate_hz=10.0)


def test_bpod_positions(tmp_path: Path) -> None:
    position, speed = series(BpodEncoderInterface(**bpod_encoder(tmp_path)))
    assert position.unit == "meters"
    assert speed.data[len(speed.data) // 2] == pytest.approx(0.4 * 2 * np.pi * 0.031, rel=0.1)


def write(folder: Path, *lines: str) -> Path:
    (folder / "p.ssv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "p.ssv"


def test_the_bpod_clock_starts_again_but_a_long_rest_does_not(tmp_path: Path) -> None:
    times, _ = read_positions(write(tmp_path, "4294967000 1", "704 2", "2400000704 3"))
    np.testing.assert_allclose(np.diff(times), [0.001, 2400.0])


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["5000 1", "3000 2"], r"p\.ssv:2.*not after.*skip_rows"),
        (["5 1", "x 2"], r"p\.ssv:2.*no time and position"),
        (["5 1 2"], "no time and position"),
        (["Event 5 StateMachine 1 2019"], "encoderPositions"),
        (["Position 5 1"], "no time and position"),
        (["-5 1"], "beyond what the module counts"),
        ([""], "no positions"),
    ],
)
def test_damaged_bpod_files_are_refused_with_the_line(tmp_path: Path, lines: list[str], words: str) -> None:
    with pytest.raises((TableError, InputFileError), match=words):
        read_positions(write(tmp_path, *lines))


REAL = {
    "session_training_ge5/raw_behavior_data/_iblrig_encoderPositions.raw.ssv": (0, ""),
    "session_training_lt5/raw_behavior_data/_iblrig_encoderPositions.raw.ssv": (0, "last line is cut short"),
    "wheel/ge5/_iblrig_encoderPositions.raw.ssv": (0, ""),
    "wheel/lt5/_iblrig_encoderPositions.raw.00.ssv": (0, "no time and position"),
    "wheel/lt5/_iblrig_encoderPositions.raw.01.ssv": (0, "last line is cut short"),
    "wheel/lt5/_iblrig_encoderPositions.raw.2firstsamples.ssv": (2, "skip_rows"),
}


@pytest.mark.parametrize("name", REAL)
def test_real_bpod_positions(shared: Path, name: str) -> None:
    path, (skip_rows, refusal) = shared / "data/ibl_bpod_wheel" / name, REAL[name]
    if refusal:
        with pytest.raises(TableError, match=refusal):
            BpodEncoderInterface(file_path=path)
    if skip_rows or not refusal:
        position, speed = series(BpodEncoderInterface(file_path=path, skip_rows=skip_rows))
        assert np.isfinite(speed.data).all()
        assert len(position.data) == len(path.read_text(encoding="ascii").splitlines()) - skip_rows


def test_reports_that_overtake_each_other_are_put_in_order(tmp_path: Path) -> None:
    times, positions = read_positions(write(tmp_path, "1000 1", "1010 3", "1005 2", "1010 4", "2000 5"))
    np.testing.assert_allclose(times * 1e6, [1000, 1005, 1010, 2000])
    assert positions.tolist() == [1, 2, 4, 5]


def test_real_bpod_events_are_no_positions(shared: Path) -> None:
    files = sorted((shared / "data/ibl_bpod_wheel").rglob("_iblrig_encoderEvents*.ssv"))
    assert len(files) == 6
    for path in files:
        with pytest.raises(InputFileError, match="holds events.*encoderPositions"):
            BpodEncoderInterface(file_path=path)


def test_events_that_look_like_positions_are_told_by_their_name(tmp_path: Path) -> None:
    path = write(tmp_path, "4412 2", "4487 3")
    assert read_positions(path)[1].tolist() == [2, 3]
    renamed = path.rename(tmp_path / "_iblrig_encoderEvents.raw.ssv")
    with pytest.raises(InputFileError, match="holds events"):
        read_positions(renamed)


def test_a_count_beyond_its_bits_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "c.npy", np.array([0, 300, 5]))
    with pytest.raises(InputFileError, match="beyond 8 bits"):
        WheelEncoderInterface(
            file_path=tmp_path / "c.npy", count="c", counts_per_turn=10, counter_bits=8, rate_hz=10
        )
    # A signed counter of 16 bits.
    np.save(tmp_path / "c.npy", np.array([32766, 32767, -32768, -32767], np.int16))
    interface = WheelEncoderInterface(
        file_path=tmp_path / "c.npy", count="c", counts_per_turn=10, counter_bits=16, rate_hz=10
    )
    assert np.diff(interface.counts).tolist() == [1.0, 1.0, 1.0]


def direct_speed(path: np.ndarray, times_s: np.ndarray, window_s: float) -> np.ndarray:
    """Return the speed by looking every path up on its own, sample by sample."""

    def at(time_s: float) -> float:
        after = int(np.searchsorted(times_s, time_s, side="right"))
        if after == 0 or after == len(times_s):
            return float(path[min(after, len(path) - 1)])
        before = after - 1
        start_s = max(times_s[before], times_s[after] - window_s)
        part = max(time_s - start_s, 0.0) / (times_s[after] - start_s)
        return float(path[before] + part * (path[after] - path[before]))

    found = []
    for time_s in times_s:
        first_s = max(time_s - window_s / 2, times_s[0])
        last_s = min(time_s + window_s / 2, times_s[-1])
        found.append((at(last_s) - at(first_s)) / (last_s - first_s))
    return np.array(found)


@pytest.mark.parametrize("seed", range(8))
def test_speed_is_that_of_looking_up_each_sample(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.exponential(0.1, 400) * np.where(rng.random(400) < 0.1, 20, 1) + 1e-3
    times, path = np.cumsum(steps) - 3, np.cumsum(rng.normal(size=400))
    window_s = float(rng.uniform(0.01, 1))
    expected = direct_speed(path, times, window_s)
    np.testing.assert_allclose(speed_of(path, times, window_s), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rate_hz", [7.3, 100.0, 2000.0])
def test_speed_of_motions_with_a_known_speed(rate_hz: float) -> None:
    times = np.arange(0, 20, 1 / rate_hz)
    inner = slice(5, -5) if rate_hz < 50 else slice(int(rate_hz), -int(rate_hz))
    np.testing.assert_allclose(speed_of(3 * times, times, 0.2), 3.0, rtol=1e-9)
    # Over a symmetric window the mean speed of a constant acceleration is that of its middle.
    np.testing.assert_allclose(speed_of(times**2, times, 0.2)[inner], 2 * times[inner], rtol=1e-3)
    # A sine loses sin(x) / x of its speed, x half the window in radians.
    turned, loss = np.sin(2 * times), np.sin(0.2) / 0.2
    np.testing.assert_allclose(
        speed_of(turned, times, 0.2)[inner], 2 * loss * np.cos(2 * times)[inner], atol=0.02
    )
