"""Matrices of traces are read the right way round, of the right ROIs and in their unit, or refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from ophys_file import SEGMENTATION, Traces, make_traces, write_file

from nwbswitch.analysis.access.array_reader import ArrayReader
from nwbswitch.analysis.access.local_bytes import LocalBytes
from nwbswitch.analysis.reading.outline import ActivityKind, Trace
from nwbswitch.analysis.reading.series import find_series
from nwbswitch.analysis.reading.traces import Layout, layout_of, trace_of
from nwbswitch.schemas.file_guard import open_hdf5
from nwbswitch.schemas.issues import Issue
from nwbswitch.schemas.overrides import Orientation

WHERE = "processing/ophys/Fluorescence/F"


def layout(path: Path, orientation: Orientation | None = None) -> tuple[Layout | None, list[Issue]]:
    found: list[Issue] = []
    with open_hdf5(path) as nwb:
        (series,) = find_series(nwb, name="a.nwb", found=found)
        return layout_of(series, orientation=orientation, name="a.nwb", found=found), found


def trace(path: Path, kind: ActivityKind = ActivityKind.RAW) -> Trace:
    with open_hdf5(path) as nwb:
        (series,) = find_series(nwb, name="a.nwb", found=[])
        how = layout_of(series, orientation=None, name="a.nwb", found=[])
        assert how is not None
        return trace_of(series, how, kind)


def write(tmp_path: Path, data: np.ndarray, **said) -> Path:
    n_rois = said.pop("n_rois", 3)
    return write_file(tmp_path / "a.nwb", [Traces(WHERE, data, **said)], n_rois=n_rois)


def codes(found: list[Issue]) -> list[str]:
    return [each.code for each in found]


def test_frames_first_as_nwb_wants(tmp_path):
    how, found = layout(write(tmp_path, make_traces(70, 3)))
    assert (how.time_first, how.n_frames, how.n_rois, found) == (True, 70, 3, [])


def test_rois_first_is_read_as_meant_and_reported(tmp_path):
    how, found = layout(write(tmp_path, make_traces(70, 3).T))
    assert (how.time_first, how.n_frames, how.n_rois) == (False, 70, 3)
    assert codes(found) == ["traces-transposed"]


def test_a_square_matrix_is_in_the_order_of_nwb_with_a_note(tmp_path):
    how, found = layout(write(tmp_path, make_traces(3, 3)))
    assert how.time_first
    assert [(each.code, each.severity) for each in found] == [("square-traces", "note")]


def test_an_orientation_that_is_stated_counts_where_shapes_do_not_tell(tmp_path):
    path = write(tmp_path, make_traces(3, 3))
    how, found = layout(path, Orientation.ROIS_FIRST)
    assert (how.time_first, found) == (False, [])
    path = write(tmp_path, make_traces(70, 3))
    how, found = layout(path, Orientation.ROIS_FIRST)
    assert how is None
    assert codes(found) == ["length-differs"]


def test_stamps_tell_where_rois_do_not(tmp_path):
    path = write(tmp_path, make_traces(3, 70), segmentation=None, stamps=np.arange(70) / 10)
    how, found = layout(path)
    assert (how.time_first, how.n_frames, how.n_rois) == (False, 70, 3)
    assert codes(found) == ["traces-transposed"]


def test_without_any_hint_more_rois_than_frames_are_asked_for(tmp_path):
    path = write(tmp_path, make_traces(3, 70), segmentation=None)
    how, found = layout(path)
    assert how is None
    assert codes(found) == ["ambiguous-activity"]
    assert "orientation: rois_first" in found[0].remedy
    assert layout(path, Orientation.FRAMES_FIRST)[0].n_rois == 70
    assert layout(write(tmp_path, make_traces(70, 3), segmentation=None))[0].n_rois == 3


def test_one_roi_in_one_dimension(tmp_path):
    how, found = layout(write(tmp_path, make_traces(70, 1)[:, 0], n_rois=1))
    assert (how.time_first, how.n_frames, how.n_rois, found) == (True, 70, 1, [])


@pytest.mark.parametrize("shape", [(70, 5), (4, 70), (70,)])
def test_a_shape_that_fits_no_way_is_an_error(tmp_path, shape):
    how, found = layout(write(tmp_path, np.zeros(shape)))
    assert how is None
    assert codes(found) == ["length-differs"]


@pytest.mark.parametrize(
    "data", [np.zeros((70, 3, 2)), np.zeros((70, 3), dtype="S4"), np.zeros((70, 3), complex)]
)
def test_what_are_no_traces_is_refused(tmp_path, data):
    how, found = layout(write(tmp_path, data))
    assert how is None
    assert codes(found)[0] in ("length-differs", "wrong-value")


@pytest.mark.parametrize("shape", [(0, 3), (70, 0)])
def test_an_empty_matrix_is_none(tmp_path, shape):
    assert layout(write(tmp_path, np.zeros(shape))) == (None, [])


@pytest.mark.parametrize(
    ("region", "n_rois", "rows"),
    [
        ([0, 5], 6, [0, 1, 2, 3, 4, 5]),  # MatNWB: first and last
        ([1, 6], 6, [0, 1, 2, 3, 4, 5]),
        (range(7), 6, [0, 1, 2, 3, 4, 5]),  # MatNWB: 0:n
        (range(1, 7), 6, [0, 1, 2, 3, 4, 5]),  # counted from 1
        ([5, 3, 1], 6, [5, 3, 1]),
    ],
)
def test_regions_of_rois(tmp_path, region, n_rois, rows):
    count = 6 if len(rows) == 6 else 3
    how, found = layout(write(tmp_path, make_traces(70, count), n_rois=n_rois, rois=list(region)))
    assert how.rows.tolist() == rows
    assert codes(found) == ([] if count == 3 else ["roi-region"])


@pytest.mark.parametrize(
    ("region", "code"),
    [
        ([0, 1, 1], "wrong-value"),
        ([0, -1, 2], "wrong-value"),
        ([0, 2, 9], "wrong-value"),
        ([0, 4], "length-differs"),
    ],
)
def test_regions_that_cannot_be_are_refused(tmp_path, region, code):
    how, found = layout(write(tmp_path, make_traces(70, 3), n_rois=6, rois=region))
    assert how is None
    assert codes(found) == [code]


@pytest.mark.parametrize("dtype", ["i2", "u1", ">i4", ">f8", "f2"])
def test_numbers_of_any_type_in_their_unit(tmp_path, dtype):
    data = np.arange(210).reshape(70, 3).astype(dtype)
    path = write(tmp_path, data, attributes={"conversion": 0.5, "offset": 7.0})
    how = trace(path)
    assert (how.conversion, how.offset) == (0.5, 7.0)
    with ArrayReader(LocalBytes(path)) as reader:
        (read,) = reader.read_many([(how.array, (slice(10, 20), slice(1, 3)))])
    np.testing.assert_array_equal(read, data[10:20, 1:3])


def test_attributes_that_matnwb_writes_as_arrays_are_numbers(tmp_path):
    path = write(
        tmp_path, make_traces(70, 3), attributes={"conversion": np.array([2.0]), "offset": np.array([[1.0]])}
    )
    assert (trace(path).conversion, trace(path).offset) == (2.0, 1.0)


@pytest.mark.parametrize(
    "attributes",
    [
        {"conversion": 0.0},
        {"conversion": np.nan},
        {"offset": np.inf},
        {"conversion": "one"},
        {"conversion": np.array([1.0, 2.0])},
    ],
)
def test_a_conversion_that_is_no_number_is_refused(tmp_path, attributes):
    how, found = layout(write(tmp_path, make_traces(70, 3), attributes=attributes))
    assert how is None
    assert codes(found) == ["wrong-value"]


def test_percents_of_dff_become_shares(tmp_path):
    path = write(tmp_path, make_traces(70, 3), unit="%", attributes={"conversion": 2.0})
    assert trace(path, ActivityKind.DFF).conversion == pytest.approx(0.02)
    assert trace(path, ActivityKind.RAW).conversion == 2.0


@pytest.mark.parametrize("what", ["table", "region", "data"])
def test_numbers_of_rois_that_would_fill_the_memory_are_refused(tmp_path, what):
    many = 1 << 40
    path = write(tmp_path, make_traces(70, 3), segmentation=None if what == "data" else SEGMENTATION)
    with h5py.File(path, "r+") as nwb:
        if what == "table":
            del nwb[f"{SEGMENTATION}/id"]
            nwb[SEGMENTATION].create_dataset("id", (many,), "i1", chunks=(1 << 20,))
        elif what == "region":
            del nwb[f"{SEGMENTATION}/id"]
            nwb[f"{WHERE}/rois"][2] = many
        else:
            del nwb[f"{WHERE}/data"]
            nwb[WHERE].create_dataset("data", (many, 2_000_000), "i1", chunks=(1 << 20, 1))
    found: list[Issue] = []
    with h5py.File(path) as nwb:  # the guard refuses two of these already
        (series,) = find_series(nwb, name="a.nwb", found=found)
        how = layout_of(series, orientation=None, name="a.nwb", found=found)
    assert how is None
    assert codes(found) == ["wrong-value"]


def test_a_region_of_references_says_nothing(tmp_path):
    path = write(tmp_path, make_traces(70, 3))
    with h5py.File(path, "r+") as nwb:
        table = nwb[f"{WHERE}/rois"].attrs["table"]
        del nwb[f"{WHERE}/rois"]
        nwb[f"{WHERE}/rois"] = ["a", "b", "c"]
        nwb[f"{WHERE}/rois"].attrs["table"] = table
    how, _ = layout(path)
    assert (how.n_rois, how.time_first) == (3, True)
    assert how.rows.tolist() == [0, 1, 2]
