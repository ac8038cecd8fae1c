"""Clock tables of NWB files: gathered by measure, kept with the work they came from, doubted where due."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.clock_tables import doubts, read_clocks, read_clocks_file, write_clocks_file
from nwbswitch.analysis.measure import measure
from nwbswitch.schemas.clock_table import CLOCK_COLUMNS, CLOCKS, ClockMethod, ClockQuality
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError, UnsafeFileError
from nwbswitch.schemas.file_guard import open_hdf5

MOVIE = ClockQuality("movie", "daq", ClockMethod.FRAME_PULSES, 12.345678, -80.5, 0.2, 0.9, 1250, 1249, 1, 3)
WHEEL = ClockQuality("wheel", "session", ClockMethod.SAME, n_frames=9)


def add_table(path: Path, rows: list[ClockQuality], **changed: Any) -> Path:
    """Write the clock table into a file as pynwb lays it out; a changed column of None is left out."""
    columns = {column.name: [getattr(row, column.name) for row in rows] for column in CLOCK_COLUMNS}
    with h5py.File(path, "a") as file:
        module = file.create_group("processing/synchronization")
        module.attrs.update({"neurodata_type": "ProcessingModule", "namespace": "core", "description": "d"})
        table = module.create_group("clock_alignment")
        table.attrs.update({"neurodata_type": "DynamicTable", "namespace": "hdmf-common", "description": "d"})
        for name, values in {**columns, **changed}.items():
            if values is not None:
                text = any(isinstance(each, str) for each in values)
                data = np.array(values, dtype=h5py.string_dtype()) if text else np.asarray(values)
                table.create_dataset(name, data=data)
    return path


@pytest.fixture
def recording(nwb_files: ModuleType, tmp_path: Path) -> Path:
    """A recording at 5 Hz without a clock table."""
    traces = nwb_files.make_traces(2, n_frames=1250)
    path = tmp_path / "nwb" / "a.nwb"
    nwb_files.write_nwb(path, {"RoiResponseSeries": traces})
    return path


def clocks_in(path: Path) -> tuple[ClockQuality, ...]:
    with open_hdf5(path) as nwb:
        return read_clocks(nwb)


def same(one: ClockQuality, other: ClockQuality) -> bool:
    """Return whether two rows are the same, NaN equal to NaN."""
    return all(
        a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))
        for a, b in zip(asdict(one).values(), asdict(other).values(), strict=True)
    )


# --- one file


def test_rows_come_back(recording: Path) -> None:
    found = clocks_in(add_table(recording, [MOVIE, WHEEL]))
    assert [same(a, b) for a, b in zip(found, (MOVIE, WHEEL), strict=True)] == [True, True]


def test_the_table_that_converters_write_is_read(recording: Path, tmp_path: Path) -> None:
    """The layout is pynwb's: a core DynamicTable in the module synchronization."""
    from datetime import UTC, datetime

    from hdmf.common import DynamicTable, VectorData
    from pynwb import NWBHDF5IO, NWBFile

    start = datetime(2026, 1, 1, tzinfo=UTC)
    nwbfile = NWBFile(identifier="i", session_description="s", session_start_time=start)
    cells = {**asdict(MOVIE), "method": "frame pulses"}
    columns = [
        VectorData(name=column.name, description="d", data=[cells[column.name]]) for column in CLOCK_COLUMNS
    ]
    module = nwbfile.create_processing_module("synchronization", "d")
    module.add(DynamicTable(name="clock_alignment", description="d", columns=columns))
    with NWBHDF5IO(tmp_path / "b.nwb", "w") as io:
        io.write(nwbfile)
    assert clocks_in(tmp_path / "b.nwb") == (MOVIE,)


def test_a_file_without_a_table(recording: Path) -> None:
    assert clocks_in(recording) == ()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"drift_ppm": None}, "lacks drift_ppm"),
        ({"method": ["guessed"]}, "guessed"),
        ({"n_frames": [[1, 2]]}, "lacks n_frames"),
        ({"n_frames": [1, 2]}, "argument"),
        ({"offset_s": ["now"]}, "now"),
    ],
    ids=["missing", "method", "two dimensions", "length", "text"],
)
def test_a_table_of_another_kind_is_reported_and_cells_are_measured(
    recording: Path, changed: dict[str, Any], words: str
) -> None:
    add_table(recording, [MOVIE], **changed)
    with pytest.raises(ValueError, match=words):
        clocks_in(recording)
    result = measure(recording)
    assert result.ok
    assert result.clocks is None
    (found,) = (each for each in result.issues if each.code == "clock-table")
    assert words in found.message
    assert found.place.file == str(recording)


def test_a_table_that_is_a_dataset_or_endless(recording: Path) -> None:
    with h5py.File(recording, "a") as file:
        file["processing/synchronization/clock_alignment"] = np.zeros(3)
    with pytest.raises(ValueError, match="lacks stream"):
        clocks_in(recording)
    with h5py.File(recording, "a") as file:
        del file["processing/synchronization/clock_alignment"]
        table = file.create_group("processing/synchronization/clock_alignment")
        table.create_dataset("stream", (10_001,), dtype="i1")
    with pytest.raises(ValueError, match="10001 rows"):
        clocks_in(recording)


def test_a_table_in_another_file_is_not_followed(recording: Path, tmp_path: Path) -> None:
    with h5py.File(recording, "a") as file:
        file.create_group("processing/synchronization")["clock_alignment"] = h5py.ExternalLink("x.h5", "/t")
    with pytest.raises(UnsafeFileError):
        clocks_in(recording)


# --- all files


def test_measure_gathers_the_clocks_beside_the_cells(recording: Path, tmp_path: Path) -> None:
    add_table(recording, [MOVIE, WHEEL])
    result = measure(recording.parent, out=tmp_path / "out" / "cells.parquet")
    clocks = result.clocks
    assert clocks is not None
    assert CLOCKS.issues(clocks) == []
    assert tuple(clocks.columns) == CLOCKS.names
    assert clocks[["dataset", "animal", "session"]].to_numpy().tolist() == [["test-study", "m1", "s1"]] * 2
    assert clocks["frame_ms"].tolist() == [200.0, 200.0]
    assert set(clocks["source_digest"]) == set(result.cells["source_digest"])
    assert clocks["offset_s"].tolist() == [12.345678, 0.0]
    written = read_clocks_file(tmp_path / "out" / "clock_alignment.csv")
    pd.testing.assert_frame_equal(written, clocks)


def test_without_any_clock_table_nothing_is_written(recording: Path, tmp_path: Path) -> None:
    assert measure(recording, out=tmp_path / "out" / "cells.parquet").clocks is None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cells.parquet", "sessions.csv"]


def test_the_same_work_again_gives_the_clocks_and_mends_the_table(recording: Path, tmp_path: Path) -> None:
    add_table(recording, [MOVIE, WHEEL])
    out = tmp_path / "out" / "cells.parquet"
    first = measure(recording, out=out).clocks
    table = out.with_name("clock_alignment.csv")
    before = table.read_bytes()
    table.unlink()
    again = measure(recording, out=out).clocks
    assert first is not None
    assert again is not None
    pd.testing.assert_frame_equal(again, first)
    assert table.read_bytes() == before


def test_clocks_of_other_files_are_not_replaced(
    recording: Path, nwb_files: ModuleType, tmp_path: Path
) -> None:
    add_table(recording, [MOVIE])
    measure(recording, out=tmp_path / "out" / "cells.parquet")
    table = tmp_path / "out" / "clock_alignment.csv"
    before = table.read_bytes()
    other = nwb_files.write_nwb(
        tmp_path / "b.nwb", {"F": nwb_files.make_traces(2, n_frames=1250)}, subject_id="m2"
    )
    with pytest.raises(ExistingOutputError, match="clock_alignment"):
        measure(other, out=tmp_path / "out" / "others.parquet")
    assert table.read_bytes() == before
    measure(other, out=tmp_path / "out" / "others.parquet", overwrite=True)
    assert not table.exists()


def test_a_file_of_that_name_that_is_another_is_not_replaced(recording: Path, tmp_path: Path) -> None:
    table = tmp_path / "clock_alignment.csv"
    table.write_text("mine\n1\n")
    with pytest.raises(ExistingOutputError):
        measure(recording, out=tmp_path / "cells.parquet")
    assert table.read_text() == "mine\n1\n"


def test_doubtful_clocks_are_findings_of_measure(recording: Path) -> None:
    add_table(recording, [replace(MOVIE, drift_ppm=2000.0), replace(WHEEL, jitter_ms=101.0)])
    found = {each.code: each for each in measure(recording).issues if each.code.startswith("clock")}
    assert set(found) == {"clock-drift", "clock-jitter"}
    assert str(found["clock-drift"].place.item) == "m1/s1"


def test_doubts_go_by_the_frames_of_each_session(recording: Path) -> None:
    add_table(recording, [replace(MOVIE, jitter_ms=20.0)])
    clocks = measure(recording).clocks
    assert clocks is not None
    fast = clocks.assign(session="s2", frame_ms=33.0)
    unknown = clocks.assign(session="s3", frame_ms=float("nan"))
    found = doubts(pd.concat([clocks, fast, unknown]))
    assert [each.place.item for each in found] == ["m1/s2"]


def test_a_table_with_a_method_that_is_none(recording: Path, tmp_path: Path) -> None:
    add_table(recording, [MOVIE])
    clocks = measure(recording).clocks
    assert clocks is not None
    write_clocks_file(clocks.assign(method="guessed"), tmp_path)
    with pytest.raises(InputFileError, match="guessed"):
        read_clocks_file(tmp_path / "clock_alignment.csv")
