"""The clock table in an NWB file: written, read by anyone, checked."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pynwb
import pytest
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.testing.mock.ophys import mock_TwoPhotonSeries

from nwbswitch.converters.clocks.clock_rules import clocks_agree
from nwbswitch.converters.clocks.sync_table import add_clock_table, clock_table
from nwbswitch.converters.rules import Recording
from nwbswitch.schemas.clock_table import CLOCK_COLUMNS, ClockMethod, ClockQuality, read_clock_table

MOVIE = ClockQuality(
    "movie",
    "daq",
    ClockMethod.FRAME_PULSES,
    offset_s=12.3456,
    drift_ppm=80.0,
    jitter_ms=0.2,
    max_residual_ms=0.9,
    n_frames=54_000,
    n_pulses=53_998,
    n_dropped=2,
    n_unmatched=3,
)
WHEEL = ClockQuality("wheel", "session", ClockMethod.SAME, n_frames=1000)


@pytest.fixture
def nwbfile() -> NWBFile:
    """A file with 5 Hz imaging."""
    made = NWBFile(
        session_description="s", identifier="i", session_start_time=datetime(2026, 1, 1, tzinfo=UTC)
    )
    mock_TwoPhotonSeries(name="movie", data=np.zeros((10, 2, 2)), rate=5.0, nwbfile=made)
    return made


def written(nwbfile: NWBFile, path: Path) -> Path:
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path


def test_the_table_survives_a_file(nwbfile: NWBFile, tmp_path: Path) -> None:
    add_clock_table(nwbfile, [MOVIE, WHEEL])
    path = written(nwbfile, tmp_path / "a.nwb")
    assert list(pynwb.validate(path=str(path))) == []
    with NWBHDF5IO(path, "r") as io:
        first, second = read_clock_table(io.read())
    assert first == MOVIE
    assert replace(second, jitter_ms=0, max_residual_ms=0) == replace(WHEEL, jitter_ms=0, max_residual_ms=0)
    assert math.isnan(second.jitter_ms)


def test_it_is_a_plain_core_table_that_says_what_it_holds(nwbfile: NWBFile, tmp_path: Path) -> None:
    import h5py

    add_clock_table(nwbfile, [MOVIE])
    with h5py.File(written(nwbfile, tmp_path / "a.nwb")) as file:
        table = file["processing/synchronization/clock_alignment"]
        assert table.attrs["neurodata_type"] == "DynamicTable"
        assert table.attrs["namespace"] == "hdmf-common"
        assert list(table.attrs["colnames"]) == [column.name for column in CLOCK_COLUMNS]
        assert table["drift_ppm"].attrs["description"].endswith("Unit: ppm.")
        assert table["n_frames"].dtype.kind == "i"
        assert table["offset_s"].dtype.kind == "f"


def test_a_module_that_is_there_is_used(nwbfile: NWBFile) -> None:
    module = nwbfile.create_processing_module(name="synchronization", description="Of another program.")
    module.add(TimeSeries(name="sync", data=[0.0], unit="V", rate=1.0))
    add_clock_table(nwbfile, [MOVIE])
    assert set(module.data_interfaces) == {"sync", "clock_alignment"}


def test_without_rows_nothing_is_added(nwbfile: NWBFile) -> None:
    add_clock_table(nwbfile, [])
    assert "synchronization" not in nwbfile.processing
    assert read_clock_table(nwbfile) == ()
    assert list(clocks_agree(Recording(nwbfile))) == []


def test_good_clocks_pass(nwbfile: NWBFile) -> None:
    add_clock_table(nwbfile, [MOVIE, WHEEL])
    assert list(clocks_agree(Recording(nwbfile))) == []


def test_jitter_is_judged_by_the_frames_of_the_file(nwbfile: NWBFile) -> None:
    # A frame of 5 Hz has 200 ms.
    add_clock_table(nwbfile, [replace(MOVIE, jitter_ms=99.0), replace(WHEEL, jitter_ms=101.0)])
    (found,) = clocks_agree(Recording(nwbfile))
    assert (found.code, str(found.severity)) == ("clock-jitter", "warning")
    assert "'wheel'" in found.message
    assert found.place.item == "/processing/synchronization/clock_alignment"


def test_jitter_is_judged_by_timestamps_too(nwbfile: NWBFile) -> None:
    mock_TwoPhotonSeries(
        name="fast", data=np.zeros((10, 2, 2)), rate=None, timestamps=np.arange(10) / 100, nwbfile=nwbfile
    )
    add_clock_table(nwbfile, [replace(MOVIE, jitter_ms=6.0)])
    assert [found.code for found in clocks_agree(Recording(nwbfile))] == ["clock-jitter"]


def test_a_table_of_another_program_is_a_finding(nwbfile: NWBFile) -> None:
    module = nwbfile.create_processing_module(name="synchronization", description="Of another program.")
    table = clock_table([replace(MOVIE, method="guessed")])  # type: ignore[arg-type]
    module.add(table)
    (found,) = clocks_agree(Recording(nwbfile))
    assert (found.code, str(found.severity)) == ("clock-table", "warning")
    assert "guessed" in found.message
