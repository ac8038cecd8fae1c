"""Femtonics .mesc: which unit and channel, what values mean, when it began, and what is no movie."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from format_writers.femtonics import add_unit, mesc_text, write_mesc
from pynwb import NWBFile
from small_study import small_session, study_of
from written_movie import corner_movie, written

from nwbswitch.converters.imaging.femtonics import FemtonicsInterface, FemtonicsMovie
from nwbswitch.schemas.errors import InputFileError, IssuesError, UnsafeFileError
from nwbswitch.schemas.streams_binary_movies import FemtonicsMovie as FemtonicsStream
from nwbswitch.schemas.study import Study

START = datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC)


def test_orientation_rate_start_and_zero_of_values(tmp_path: Path) -> None:
    movie = corner_movie()
    path = write_mesc(tmp_path / "m.mesc", {"UG": movie}, chunks=(2, 4, 7), compression="gzip")
    interface = FemtonicsInterface(file_path=path)
    assert interface.movie.started == START
    assert interface.get_metadata()["NWBFile"]["session_start_time"] == START
    result = written(interface, tmp_path / "m.nwb")
    assert result.data.shape == (5, 7, 4)
    assert result.data[1, 6, 0] == movie[1, 0, 6]
    assert np.array_equal(result.data.transpose(0, 2, 1), movie)
    assert result.rate_hz == pytest.approx(1000 / 32.3)
    assert (result.attributes["conversion"], result.attributes["offset"]) == (1.0, -786.0)


@pytest.mark.parametrize(
    ("scale", "offset", "dtype"), [(-1.0, 65535.0, "u2"), (-0.5, 40_000.0, "u2"), (-1.0, 255.0, "u1")]
)
def test_inverted_values_grow_with_light(tmp_path: Path, scale: float, offset: float, dtype: str) -> None:
    stored = corner_movie().astype(dtype)
    path = write_mesc(tmp_path / "m.mesc", {"UG": stored}, scale=scale, offset=offset)
    result = written(FemtonicsInterface(file_path=path), tmp_path / "m.nwb")
    assert result.data.dtype == stored.dtype
    values = result.data * result.attributes["conversion"] + result.attributes["offset"]
    np.testing.assert_allclose(values.transpose(0, 2, 1), stored * scale + offset)
    assert result.attributes["conversion"] > 0
    assert np.array_equal(result.data.transpose(0, 2, 1), np.iinfo(dtype).max - stored)


def test_equals_roiextractors_where_values_are_not_inverted(tmp_path: Path) -> None:
    from roiextractors import FemtonicsImagingExtractor

    path = write_mesc(tmp_path / "m.mesc", {"UG": corner_movie(), "UR": corner_movie() + 1})
    for name in ("UG", "UR"):
        theirs = FemtonicsImagingExtractor(path, channel_name=name)
        ours = FemtonicsMovie(path, channel=name)
        assert np.array_equal(ours.read(0, 5), theirs.get_series(0, 5))
        assert ours.rate_hz == pytest.approx(theirs.get_sampling_frequency(), rel=1e-12)
        assert ours.started == theirs._get_session_start_time()


def test_sizes_may_be_arrays_of_one(tmp_path: Path) -> None:
    changes = {
        "ZDim": np.array([5], np.uint64),
        "MeasurementDatePosix": np.array([1_700_000_000], np.uint64),
        "ZAxisConversionConversionLinearScale": np.array([20.0]),
        "ZAxisConversionUnitName": b"ms",
    }
    movie = FemtonicsMovie(write_mesc(tmp_path / "m.mesc", {"UG": corner_movie()}, changes=changes))
    assert (movie.started, movie.rate_hz) == (START, pytest.approx(50.0))


# which unit, which channel


def write_units(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        add_unit(file, "MSession_0/MUnit_0", {"UG": corner_movie(1)}, comment="snapshot")
        add_unit(file, "MSession_0/MUnit_2", {"UG": corner_movie(3), "UR": corner_movie(3) + 1})
        add_unit(file, "MSession_0/MUnit_10", {"UG": corner_movie(4)}, comment="ketamine")
        file.create_group("MSession_0/MUnit_11")
        file.create_group("MSession_0/Other")
    return path


def test_several_units_are_listed(tmp_path: Path) -> None:
    path = write_units(tmp_path / "m.mesc")
    with pytest.raises(InputFileError, match="3 measurement units") as caught:
        FemtonicsMovie(path)
    words = str(caught.value)
    assert (
        words.index("MUnit_0 (1x4x7 uint16, snapshot)") < words.index("MUnit_2 (3x") < words.index("MUnit_10")
    )
    assert "MUnit_11" not in words
    for unit in (10, "10", "MUnit_10", "MSession_0/MUnit_10", "/MSession_0/MUnit_10"):
        assert FemtonicsMovie(path, unit=unit).shape.n_frames == 4
    for unit in (1, 11, "MUnit_1", "ketamine"):
        with pytest.raises(InputFileError, match=f"has no measurement unit {unit!r}"):
            FemtonicsMovie(path, unit=unit)


def test_a_unit_number_of_two_measurement_sessions_is_not_clear(tmp_path: Path) -> None:
    path = write_units(tmp_path / "m.mesc")
    with h5py.File(path, "a") as file:
        add_unit(file, "MSession_1/MUnit_2", {"UG": corner_movie(6)})
    with pytest.raises(InputFileError, match="has 2 measurement unit 2; it has"):
        FemtonicsMovie(path, unit=2, channel="UG")
    assert FemtonicsMovie(path, unit="MSession_1/MUnit_2").shape.n_frames == 6


def test_several_channels_are_listed(tmp_path: Path) -> None:
    path = write_units(tmp_path / "m.mesc")
    with pytest.raises(InputFileError, match=r"channels Channel_0 \(UG\), Channel_1 \(UR\)\. Give channel"):
        FemtonicsMovie(path, unit=2)
    for channel in ("UR", "Channel_1"):
        assert FemtonicsMovie(path, unit=2, channel=channel).read(0, 1)[0, 0, 0] == 1
    with pytest.raises(InputFileError, match=r"not one 'UB'"):
        FemtonicsMovie(path, unit=2, channel="UB")


# time


def changed(folder: Path, **changes: Any) -> Path:
    return write_mesc(folder / "m.mesc", {"UG": corner_movie()}, changes=changes)


def test_units_of_time(tmp_path: Path) -> None:
    for unit, rate_hz in (("ms", 20.0), ("s", 0.02), ("µs", 20_000.0)):
        path = changed(
            tmp_path,
            ZAxisConversionConversionLinearScale=50.0,
            ZAxisConversionUnitName=mesc_text(unit, np.int16),
        )
        assert FemtonicsMovie(path).rate_hz == pytest.approx(rate_hz)


def test_a_step_without_its_unit_is_no_rate(tmp_path: Path) -> None:
    path = changed(tmp_path, ZAxisConversionUnitName=None)
    with pytest.raises(InputFileError, match="no frame rate"):
        FemtonicsInterface(file_path=path)
    assert FemtonicsInterface(file_path=path, rate_hz=30.96).rate_hz == 30.96
    assert FemtonicsMovie(changed(tmp_path, ZAxisConversionUnitName=None, TStepInMs=25.0)).rate_hz == 40.0


def test_the_first_frame_may_come_later(tmp_path: Path) -> None:
    path = changed(tmp_path, ZAxisConversionConversionLinearOffset=500.0)
    assert FemtonicsMovie(path).started == START + timedelta(seconds=0.5)


@pytest.mark.parametrize("date", [None, np.uint64(0)])
def test_no_date_is_not_1970(tmp_path: Path, date: Any) -> None:
    path = changed(tmp_path, MeasurementDatePosix=date)
    assert FemtonicsMovie(path).started is None


def test_a_study_that_states_another_rate_is_told(tmp_path: Path) -> None:
    path = changed(tmp_path)
    with pytest.raises(IssuesError, match="rate-differs"):
        FemtonicsInterface(file_path=path, rate_hz=15.0)


# several files


def test_runs_begin_when_the_files_say(tmp_path: Path) -> None:
    movie = corner_movie(9)
    paths = [
        write_mesc(tmp_path / "a.mesc", {"UG": movie[:5]}),
        write_mesc(tmp_path / "b.mesc", {"UG": movie[5:]}, began=(1_700_000_090, 500_000_000)),
    ]
    result = written(FemtonicsInterface(file_path=paths, parts="runs"), tmp_path / "r.nwb")
    assert np.array_equal(result.data.transpose(0, 2, 1), movie)
    assert result.times_s is not None
    np.testing.assert_allclose(result.times_s[[0, 4, 5, 8]], [0, 0.1292, 90.25, 90.25 + 0.0969])
    assert result.attributes["offset"] == -786.0
    continuous = written(FemtonicsInterface(file_path=paths, parts="continuous"), tmp_path / "c.nwb")
    assert (len(continuous.data), continuous.times_s) == (9, None)


def test_files_whose_values_mean_different_things_are_not_joined(tmp_path: Path) -> None:
    paths = [write_mesc(tmp_path / f"{k}.mesc", {"UG": corner_movie()}, offset=-700.0 - k) for k in (1, 2)]
    with pytest.raises(InputFileError, match="different meanings"):
        FemtonicsInterface(file_path=paths, parts="continuous")


def test_as_a_stream_of_a_study(tmp_path: Path, build: Callable[[Study], NWBFile]) -> None:
    path = write_units(tmp_path / "m.mesc")
    stream = FemtonicsStream(format="femtonics", path=path, unit=2, channel="UR")
    nwbfile = build(study_of(small_session(tmp_path, streams={"movie": stream}, epochs=(), drug_log=())))
    (series,) = nwbfile.acquisition.values()
    assert (series.data.maxshape, series.offset) == ((3, 7, 4), -786.0)


# what is no movie, damaged, or hostile


STILL: dict[str, tuple[dict[str, Any], str]] = {
    "role": ({"ZAxisGeomRole": np.uint32(3)}, "is a z-stack"),
    "step": ({"ZAxisConversionUnitName": mesc_text("µm", np.int16)}, "is a z-stack"),
    "method": ({"MethodType": 2}, "is a z-stack"),
    "line": ({"MethodType": 6}, "is a line scan"),
    "layers": ({"Slices": 4}, "holds 4 layers in turn"),
}


@pytest.mark.parametrize("name", STILL)
def test_what_is_no_movie_is_said(tmp_path: Path, name: str) -> None:
    changes, words = STILL[name]
    with pytest.raises(InputFileError, match=words):
        FemtonicsMovie(changed(tmp_path, **changes))


ODD: dict[str, tuple[dict[str, Any], str]] = {
    "size": ({"ZDim": np.uint64(7)}, "states ZDim 7, its channel has 5"),
    "text": ({"ZAxisConversionConversionLinearScale": "fast"}, "no number"),
    "list": ({"ZDim": np.ones(3)}, "no number"),
    "infinite": ({"ZAxisConversionConversionLinearScale": np.inf}, "no number"),
    "zero": ({"ZAxisConversionConversionLinearScale": 0.0}, "0 s per frame"),
    "scale": ({"Channel_0_Conversion_ConversionLinearScale": 0.0}, "scale 0"),
    "date": ({"MeasurementDatePosix": 1e18}, "states a date"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_attributes_are_named(tmp_path: Path, name: str) -> None:
    changes, words = ODD[name]
    with pytest.raises(InputFileError, match=words):
        FemtonicsMovie(changed(tmp_path, **changes))


def test_texts_of_any_form_are_harmless(tmp_path: Path) -> None:
    changes = {"Channel_0_Name": np.full(50_000 // 8, 1 << 40), "Comment": np.ones(3), "Slices": np.uint64(1)}
    assert FemtonicsMovie(changed(tmp_path, **changes)).shape.n_frames == 5


def test_files_without_units_cut_or_reaching_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "m.mesc"
    with h5py.File(path, "w") as file:
        file.create_group("MSession_0/MUnit_0")
        file["MSession_1"] = h5py.SoftLink("/nowhere")
    with pytest.raises(InputFileError, match="no measurement unit with channels"):
        FemtonicsMovie(path)
    whole = write_mesc(path, {"UG": corner_movie()}).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputFileError, match="cannot be opened as HDF5"):
        FemtonicsMovie(path)
    with h5py.File(path, "w") as file:
        file.create_group("MSession_0/MUnit_0")["Channel_0"] = h5py.ExternalLink("other.h5", "x")
    with pytest.raises(UnsafeFileError, match="another file"):
        FemtonicsMovie(path)
