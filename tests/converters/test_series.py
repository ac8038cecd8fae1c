"""Signals of any file: values as read, units, times, and words for what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from behavior_cases import series as series_case
from pynwb import NWBFile

from nwbswitch.converters.behavior.series import SeriesInterface
from nwbswitch.converters.behavior.signal_file import SignalChunks
from nwbswitch.schemas.errors import InputFileError, TableError, UnsafeFileError

VOLT = {"name": "v", "unit": "mV"}


def added(interface: SeriesInterface) -> Any:
    nwbfile = NWBFile("test", "id", datetime(2024, 5, 1, 10, tzinfo=UTC))
    interface.add_to_nwbfile(nwbfile)
    return nwbfile.processing["behavior"]["BehavioralTimeSeries"]


def test_values_stay_and_units_are_converted(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([1, 2, 3], np.int16))
    found = added(SeriesInterface(file_path=tmp_path / "v.npy", signals=[VOLT], rate_hz=10.0))["v"]
    assert found.data.tolist() == [1, 2, 3]
    assert found.data.dtype == np.int16
    assert (found.unit, found.conversion, found.rate) == ("volts", 1e-3, 10.0)


@pytest.mark.parametrize("suffix", [".csv", ".h5", ".mat", ".npy"])
def test_the_same_signal_from_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    values, path = np.array([0.5, -1.0, 2.0]), tmp_path / f"s{suffix}"
    match suffix:
        case ".csv":
            path.write_text("v\n0.5\n-1\n2\n", encoding="utf-8")
        case ".h5":
            with h5py.File(path, "w") as file:
                file["v"] = values
        case ".mat":
            scipy.io.savemat(path, {"v": values})
        case _:
            np.save(path, values)
    interface = SeriesInterface(file_path=path, signals=[VOLT], rate_hz=10.0)
    np.testing.assert_array_equal(added(interface)["v"].data, values)
    interface.close()


@pytest.mark.parametrize("shape", [(3, 40), (40, 3)])
def test_channels_of_a_matrix(tmp_path: Path, shape: tuple[int, int]) -> None:
    matrix = np.arange(120.0).reshape(shape)
    np.save(tmp_path / "m.npy", matrix)
    signals = [{**VOLT, "channel": 1, "quantity": "left"}, {**VOLT, "channel": 2, "quantity": "right"}]
    found = added(SeriesInterface(file_path=tmp_path / "m.npy", signals=signals, rate_hz=10.0))
    expected = matrix if shape[0] == 3 else matrix.T
    np.testing.assert_array_equal(found["left"].data, expected[1])
    np.testing.assert_array_equal(found["right"].data, expected[2])


def test_long_signals_stay_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nwbswitch.converters.behavior.signal_file.MEMORY_SAMPLES", 100)
    interface = SeriesInterface(**series_case(tmp_path))
    found = added(interface)["respiration"]
    assert isinstance(found.data, SignalChunks)
    blocks = np.concatenate([block.data for block in found.data])
    np.testing.assert_allclose(blocks, np.sin(np.arange(500)))
    assert found.rate == pytest.approx(50.0)
    interface.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signals": [{"name": "analog/pressre", "unit": "V"}]}, "Did you mean 'analog/pressure'"),
        ({"signals": [{"name": "analog", "unit": "V"}]}, "no dataset 'analog'"),
        ({"signals": [{"name": "analog/pressure", "unit": "furlong"}]}, "bad-unit"),
        ({"signals": [{"name": "analog/pressure", "unit": "V", "quantity": "speed"}]}, "no unit of speed"),
        ({"time_column": "analog/pressure"}, "is not after the one before it"),
    ],
)
def test_wrong_keys_are_explained(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises((TableError, InputFileError), match=words):
        SeriesInterface(**{**series_case(tmp_path), **change})


def test_signals_of_different_length_or_name_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["v"], file["w"] = np.zeros(3), np.zeros(4)
        file["words"] = ["a", "b"]
    path = tmp_path / "d.h5"
    with pytest.raises(TableError, match="4 samples, v 3"):
        SeriesInterface(file_path=path, signals=[VOLT, {**VOLT, "name": "w"}], rate_hz=1.0)
    with pytest.raises(TableError, match="duplicate-id"):
        SeriesInterface(file_path=path, signals=[VOLT, VOLT], rate_hz=1.0)
    with pytest.raises(InputFileError, match="no numbers"):
        SeriesInterface(file_path=path, signals=[{**VOLT, "name": "words"}], rate_hz=1.0)


def test_hostile_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file["v"] = h5py.ExternalLink("elsewhere.h5", "/v")
    np.save(tmp_path / "o.npy", np.array([print], dtype=object), allow_pickle=True)
    (tmp_path / "a.xyz").write_text("1", encoding="utf-8")
    for name, error in (("e.h5", UnsafeFileError), ("o.npy", UnsafeFileError), ("a.xyz", InputFileError)):
        with pytest.raises(error):
            SeriesInterface(file_path=tmp_path / name, signals=[VOLT], rate_hz=1.0)


def test_rows_that_name_no_frame_are_left_out(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.arange(10.0))
    interface = SeriesInterface(file_path=tmp_path / "v.npy", signals=[VOLT], rate_hz=1.0)
    interface.follow_counter(np.arange(4) / 2, slice(3, 7))
    np.testing.assert_array_equal(added(interface)["v"].data, [3.0, 4.0, 5.0, 6.0])
    assert interface.n_samples == 4


@pytest.mark.parametrize("values", [np.zeros(0), np.zeros((0, 3)), h5py.Empty("f8"), np.zeros(3, complex)])
def test_datasets_without_numbers_are_refused(tmp_path: Path, values: Any) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["v"] = values
    with pytest.raises(InputFileError, match="holds no numbers"):
        SeriesInterface(file_path=tmp_path / "s.h5", signals=[VOLT], rate_hz=1.0)


@pytest.mark.parametrize(("shape", "channel"), [((9,), 1), ((9, 1), 1), ((1, 3, 9), 0), ((3, 9), 3)])
def test_channels_that_are_not_there_are_refused(
    tmp_path: Path, shape: tuple[int, ...], channel: int
) -> None:
    np.save(tmp_path / "v.npy", np.zeros(shape))
    with pytest.raises(InputFileError):
        SeriesInterface(file_path=tmp_path / "v.npy", signals=[{**VOLT, "channel": channel}], rate_hz=1.0)


def test_what_is_left_of_a_signal_is_read_when_it_is_written(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.arange(40).reshape(2, 20))
    signal = {"name": "v", "unit": "V", "channel": 1}
    interface = SeriesInterface(file_path=tmp_path / "v.npy", signals=[signal], rate_hz=1.0)
    source = interface.sources[0].part(3, 18).part(1, 12)
    assert source.n == 11
    assert source.read().tolist() == list(range(24, 35))
    assert source.read(2, 4).tolist() == [26, 27]


def test_descriptions_are_sentences(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((2, 20)))
    signals = [{**VOLT, "channel": 0}, {**VOLT, "channel": 1, "quantity": "lick_voltage"}]
    found = added(SeriesInterface(file_path=tmp_path / "v.npy", signals=signals, rate_hz=1.0))
    assert found["v_0"].description == "Signal v, channel 0 of the source."
    assert found["lick_voltage"].description == "Lick voltage."


def test_times_may_be_a_channel_of_the_array(tmp_path: Path) -> None:
    np.save(tmp_path / "wheel.npy", np.array([[1.0, 5.0], [1.5, 6.0], [2.5, 8.0]]))
    source = {
        "file_path": tmp_path / "wheel.npy",
        "signals": [{"name": "position", "channel": 1, "unit": "rad"}],
        "time_column": "times",
    }
    with pytest.raises(InputFileError, match="Give time_channel"):
        SeriesInterface(**source)
    with pytest.raises(InputFileError, match="2 channels, there is no 2"):
        SeriesInterface(**source, time_channel=2)
    interface = SeriesInterface(**source, time_channel=0, time_scale=0.1)
    np.testing.assert_allclose(interface.get_timestamps(), [0.1, 0.15, 0.25])
    assert interface.sources[0].read().tolist() == [5, 6, 8]
