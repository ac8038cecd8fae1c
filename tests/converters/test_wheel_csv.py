"""Wheel tables: SI units, clocks, and the line of every bad cell."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pynwb import NWBHDF5IO, NWBFile

from nwbswitch.converters.behavior.signal_table import read_columns
from nwbswitch.converters.behavior.wheel_csv import WheelCsvInterface
from nwbswitch.schemas.errors import InputFileError, TableError, UnsafeFileError

SPEED = {"column": "speed", "quantity": "speed", "unit": "cm/s"}


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "wheel.csv"
    path.write_text(text, encoding="utf-8")
    return path


def behavior(interface: WheelCsvInterface, tmp_path: Path, *, stub: bool = False) -> NWBFile:
    nwbfile = NWBFile("test", "id", datetime(2024, 5, 1, 10, tzinfo=UTC))
    interface.add_to_nwbfile(nwbfile, interface.get_metadata(), stub=stub)
    with NWBHDF5IO(tmp_path / "w.nwb", "w") as io:
        io.write(nwbfile)
    return nwbfile


def test_speed_gets_si_units_by_conversion(tmp_path: Path) -> None:
    path = table(tmp_path, "t,speed\n0.0,10\n0.5,20\n1.0,\n")
    interface = WheelCsvInterface(file_path=path, signals=[SPEED], time_column="t", start_s=-2.0)
    series = behavior(interface, tmp_path).processing["behavior"]["BehavioralTimeSeries"]["speed"]
    assert series.unit == "m/s"
    assert series.conversion == pytest.approx(0.01)
    assert (series.starting_time, series.rate) == (-2.0, 2.0)
    np.testing.assert_array_equal(series.data[:], [10, 20, np.nan])


def test_irregular_times_are_kept_and_shifted(tmp_path: Path) -> None:
    path = table(tmp_path, "t,speed\n0.0,1\n0.5,2\n1.1,3\n")
    interface = WheelCsvInterface(file_path=path, signals=[SPEED], time_column="t", start_s=10.0)
    series = behavior(interface, tmp_path).processing["behavior"]["BehavioralTimeSeries"]["speed"]
    assert series.rate is None
    np.testing.assert_allclose(series.timestamps[:], [10.0, 10.5, 11.1])


def test_unknown_unit_is_said(tmp_path: Path) -> None:
    path = table(tmp_path, "corridor/x\n1\n2\n")
    signal = {"column": "corridor/x", "quantity": "position", "unit": "n/a"}
    interface = WheelCsvInterface(file_path=path, signals=[signal], rate_hz=7.0)
    series = behavior(interface, tmp_path).processing["behavior"]["Position"]["corridor_x"]
    assert (series.unit, series.conversion) == ("n.a.", 1.0)
    assert "does not state the unit" in series.comments


def test_angle_becomes_radian(tmp_path: Path) -> None:
    path = table(tmp_path, "w\n1\n2\n")
    signal = {"column": "w", "quantity": "speed", "unit": "deg/s"}
    interface = WheelCsvInterface(file_path=path, signals=[signal], rate_hz=7.0)
    assert interface.units["w"][:2] == ("rad/s", pytest.approx(np.pi / 180))


def test_stub(tmp_path: Path) -> None:
    path = table(tmp_path, "speed\n" + "1\n" * 300)
    interface = WheelCsvInterface(file_path=path, signals=[SPEED], rate_hz=7.0)
    nwbfile = behavior(interface, tmp_path, stub=True)
    assert len(nwbfile.processing["behavior"]["BehavioralTimeSeries"]["speed"].data[:]) == 100


def test_missing_column_names_the_nearest(tmp_path: Path) -> None:
    path = table(tmp_path, "t,runningSpeed\n0,1\n")
    with pytest.raises(TableError, match=r"wheel\.csv:1.*runingspeed.*Did you mean 'runningSpeed'"):
        WheelCsvInterface(file_path=path, signals=[SPEED | {"column": "runingspeed"}], time_column="t")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("t,speed\n0,1\n1,fast\n", r"wheel\.csv:3 \(speed\).*'fast'"),
        ("t,speed\n0,1\n1,1_0\n", r"wheel\.csv:3 \(speed\).*'1_0'"),
        ("t,speed\n0,1\n1,inf\n", r"wheel\.csv:3 \(speed\).*'inf'"),
        ("t,speed\n0,1\n\n0,2\n", r"wheel\.csv:4 \(t\).*not after"),
        ("t,speed\n0,1\n,2\n", r"wheel\.csv:3 \(t\).*missing"),
    ],
)
def test_bad_cells_have_a_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(TableError, match=words):
        WheelCsvInterface(file_path=table(tmp_path, text), signals=[SPEED], time_column="t")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no column"),
        (b"speed\n", "no rows"),
        (b"speed\n1,2\n", "line 2 has 2 cells"),
        (b"speed\n\xff\xfe\n", "UTF-8"),
        (b"speed,speed\n1,2\n", "several columns"),
        (b'speed\n"1\n', "not a CSV table"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "wheel.csv"
    path.write_bytes(content)
    with pytest.raises((InputFileError, TableError), match=words):
        WheelCsvInterface(file_path=path, signals=[SPEED], rate_hz=1.0)


def test_sizes_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(tmp_path, "speed\n" + "1\n" * 100)
    with pytest.raises(UnsafeFileError, match="has 206 bytes"):
        read_columns(path, ["speed"], max_bytes=100)
    monkeypatch.setattr("nwbswitch.converters.behavior.signal_table.MAX_LINE_CHARACTERS", 10)
    with pytest.raises(UnsafeFileError, match="line 2"):
        read_columns(table(tmp_path, "speed\n" + "1" * 50), ["speed"])


def test_neither_time_nor_rate(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="neither times nor a rate"):
        WheelCsvInterface(file_path=table(tmp_path, "speed\n1\n"), signals=[SPEED]).require_times()


def test_wrong_dimension(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="bad-unit"):
        WheelCsvInterface(
            file_path=table(tmp_path, "speed\n1\n"), signals=[SPEED | {"unit": "mg/kg"}], rate_hz=1.0
        )


def test_real_table(shared: Path) -> None:
    interface = WheelCsvInterface(
        file_path=shared / "data/two_photon_mouse_treadmill/covariates.csv",
        signals=[
            {"column": "runningSpeed", "unit": "n/a"},
            {"column": "corridorPosition", "quantity": "position", "unit": "n/a"},
        ],
        rate_hz=7.0,
    )
    assert interface.n_samples == 500
    np.testing.assert_allclose(interface.columns["runningSpeed"][:2], [18.2, 18.69])


def test_a_table_with_nul_characters_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_bytes(b"time,speed\n1,2\n\0,3\n")
    with pytest.raises(InputFileError, match="line 3 holds a NUL"):
        read_columns(tmp_path / "w.csv", ["speed"])
