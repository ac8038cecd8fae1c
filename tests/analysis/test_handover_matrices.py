"""Any neurons and any frames of a matrix, as h5py reads them, in the unit of the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from recorded import FileArrays, stored_array

from nwbswitch.analysis.handover import matrices
from nwbswitch.analysis.handover.matrices import read_matrix, unit_dtype
from nwbswitch.analysis.reading.outline import ActivityKind, Trace

N_FRAMES, N_ROIS = 103, 17
COLUMNS: dict[str, Sequence[int]] = {
    "all": range(N_ROIS),
    "one": [16],
    "far apart": [0, 16],
    "any order": [9, 2, 11, 3],
    "none": [],
}


@pytest.fixture
def file(tmp_path: Path) -> Iterator[h5py.File]:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        yield file


def trace_of(dataset: h5py.Dataset, *, time_first: bool = True, **scale: float) -> Trace:
    return Trace(stored_array(dataset), ActivityKind.RAW, time_first, **scale)


@pytest.mark.parametrize("columns", list(COLUMNS.values()), ids=list(COLUMNS))
@pytest.mark.parametrize("frames", [slice(0, N_FRAMES), slice(29, 71), slice(40, 40)])
@pytest.mark.parametrize("time_first", [True, False])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f4", ">f8", "<u1"])
def test_numbers_are_those_of_h5py(
    file: h5py.File,
    monkeypatch: pytest.MonkeyPatch,
    dtype: str,
    time_first: bool,
    frames: slice,
    columns: Sequence[int],
) -> None:
    monkeypatch.setattr(matrices, "BLOCK_BYTES", 300)
    values = np.random.default_rng(1).integers(0, 99, (N_FRAMES, N_ROIS)).astype(dtype)
    data = values if time_first else values.T
    file.create_dataset("d", data=data, chunks=(10, 3) if time_first else (3, 10))
    arrays = FileArrays(file)
    trace = trace_of(file["d"], time_first=time_first, conversion=0.25, offset=-3.0)
    found = read_matrix(trace, arrays, frames=frames, columns=np.array(columns, np.int64))
    np.testing.assert_array_equal(found, values[frames][:, list(columns)].astype(float) * 0.25 - 3.0)
    assert found.dtype == np.float64
    plain = read_matrix(
        trace_of(file["d"], time_first=time_first), arrays, frames=frames, columns=np.arange(3)
    )
    np.testing.assert_array_equal(plain, values[frames][:, :3])
    assert plain.dtype == (values.dtype.newbyteorder("=") if values.dtype.kind == "f" else np.float64)


def test_one_trace_may_have_one_dimension(file: h5py.File) -> None:
    file["d"] = np.arange(30, dtype=np.int32)
    found = read_matrix(
        trace_of(file["d"], conversion=2.0), FileArrays(file), frames=slice(5, 8), columns=np.array([0])
    )
    assert found.tolist() == [[10.0], [12.0], [14.0]]


def test_chunks_of_which_nothing_is_wanted_are_not_read(file: h5py.File) -> None:
    file.create_dataset("d", data=np.zeros((N_FRAMES, N_ROIS)), chunks=(10, 3))
    arrays = FileArrays(file)
    columns = np.array([16, 0, 4, 1])
    read_matrix(trace_of(file["d"]), arrays, frames=slice(20, 30), columns=columns)
    assert [part for _, part in arrays.read] == [
        (slice(20, 30), slice(0, 5)),
        (slice(20, 30), slice(16, 17)),
    ]


def test_blocks_end_where_chunks_end_and_stay_small(file: h5py.File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrices, "BLOCK_BYTES", 25 * N_ROIS * 8)
    file.create_dataset("d", data=np.zeros((N_FRAMES, N_ROIS)), chunks=(10, 3))
    arrays = FileArrays(file)
    read_matrix(trace_of(file["d"]), arrays, frames=slice(7, N_FRAMES), columns=np.arange(N_ROIS))
    spans = [(part[0].start, part[0].stop) for _, part in arrays.read]
    assert spans == [(7, 20), (20, 40), (40, 60), (60, 80), (80, 100), (100, N_FRAMES)]


@pytest.mark.parametrize(
    ("dtype", "scale", "wanted"),
    [("<f4", {}, "f4"), (">f4", {}, "f4"), ("<f4", {"offset": 1.0}, "f8"), ("<i2", {}, "f8")],
)
def test_what_needs_no_computing_stays_as_it_is(
    file: h5py.File, dtype: str, scale: dict[str, Any], wanted: str
) -> None:
    file["d"] = np.zeros((4, 2), dtype)
    assert unit_dtype(trace_of(file["d"], **scale)) == np.dtype(wanted)
