"""Event tables of ROIs: taken where rows surely are events of cells, else a finding."""

from __future__ import annotations

import math

import bare_nwb
import numpy as np
import pytest

from nwbswitch.analysis.reading.outline import PointKind
from nwbswitch.analysis.reading.points import find_points


@pytest.fixture
def nwb(tmp_path):
    with bare_nwb.bare_file(tmp_path / "a.nwb", species="Mus musculus", subject_id="m1") as file:
        yield file


def _find(nwb):
    found = []
    return find_points(nwb, name="a.nwb", found=found), found


def _one(nwb):
    (points,), found = _find(nwb)
    return points, found


def _codes(found):
    return [each.code for each in found if each.code != "not-stated"]


def _set(path, value):
    def edit(table):
        if path in table:
            del table[path]
        table[path] = value

    return edit


def _add_events(
    nwb, *, path="events/calcium_events", kind="EventsTable", time="timestamp", rois=(0, 2, 0), **extra
):
    segmentation = bare_nwb.add_segmentation(
        nwb, {"accepted": [1, 1, 0]}, n_rows=3, plane=bare_nwb.add_plane(nwb, location="VISp", indicator="G")
    )
    columns = {time: [1.5, 2.5, 4.5], "roi": np.asarray(rois, dtype=np.int64)} | extra
    table = bare_nwb.add_table(nwb, path, kind, columns, n_rows=3)
    table["roi"].attrs["neurodata_type"] = "DynamicTableRegion"
    table["roi"].attrs["table"] = segmentation.ref
    return table


def _add_traces(nwb):
    series = bare_nwb.typed(nwb, "processing/ophys/DfOverF/traces", "RoiResponseSeries")
    series["data"] = np.zeros((600, 3))
    series["starting_time"] = 0.0
    series["starting_time"].attrs["rate"] = 10.0
    series["rois"] = [0, 1, 2]
    series["rois"].attrs["table"] = nwb["processing/ophys/ImageSegmentation/Cells"].ref


@pytest.mark.parametrize(
    ("path", "kind", "time"),
    [
        ("events/calcium_events", "EventsTable", "timestamp"),
        ("intervals/transients", "TimeIntervals", "start_time"),
        ("processing/ophys/events", "DynamicTable", "timestamp"),
        ("processing/ophys/transients", "CalciumTransientsTable", "onset_time"),
    ],
)
def test_events_of_rois(nwb, path, kind, time):
    table = _add_events(nwb, path=path, kind=kind, time=time)
    table[time].attrs["unit"] = "seconds"
    _add_traces(nwb)
    points, found = _one(nwb)
    assert points.kind is PointKind.EVENTS
    assert points.name == path.removeprefix("processing/")
    assert points.ends is None
    assert points.times.shape == points.owners.shape == (3,)
    assert points.neurons.accepted == (True, True, False)
    assert points.neurons.region == ("VISp",) * 3
    assert (points.observed_start_s, points.observed_stop_s) == ((0,), (60,))
    assert _codes(found) == []


def test_events_without_traces_were_observed_from_first_to_last(nwb):
    _add_events(nwb)
    points, _ = _one(nwb)
    assert (points.observed_start_s, points.observed_stop_s) == ((1.5,), (4.5,))


def test_an_index_with_one_roi_per_event_is_flat(nwb):
    _add_events(nwb)["roi_index"] = [1, 2, 3]
    assert _one(nwb)[0].owners is not None


@pytest.mark.parametrize(
    ("how", "edit", "words"),
    [
        ({"rois": (0, 3, 0)}, None, "beyond the 3"),
        ({"rois": (0, -1, 0)}, None, "beyond the 3"),
        ({}, _set("roi_index", [2, 2, 3]), "several ROIs"),
        ({"path": "events/photostimulation_targets"}, None, "not whether these are events"),
        (
            {"path": "intervals/epochs_of_rois", "kind": "TimeIntervals", "time": "start_time"},
            None,
            "not whether",
        ),
        ({"path": "processing/ophys/events", "kind": "DynamicTable"}, None, "not clear"),
        (
            {"path": "processing/ophys/events", "kind": "AnnotatedEventsTable", "time": "event_times"},
            None,
            "clear",
        ),
        ({}, _set("timestamp", [1.5, math.nan, 2.5]), "no numbers"),
        ({}, _set("timestamp", [1.5, 2.5]), "2 times"),
        ({}, _set("timestamp", np.zeros((3, 2))), "expected a list"),
    ],
)
def test_tables_that_may_be_something_else_are_findings(nwb, how, edit, words):
    table = _add_events(nwb, **how)
    if edit is not None:
        edit(table)
    points, found = _find(nwb)
    assert points == ()
    assert _codes(found) == ["unusable-points"]
    assert words in found[-1].message


def test_tables_without_rois_are_none_of_our_business(nwb):
    bare_nwb.add_table(nwb, "events/licks", "EventsTable", {"timestamp": [1.0, 2.0]})
    bare_nwb.add_table(nwb, "intervals/trials", "TimeIntervals", {"start_time": [1.0], "stop_time": [2.0]})
    assert _find(nwb) == ((), [])


def test_events_as_a_matrix_are_a_note(nwb):
    series = bare_nwb.typed(nwb, "processing/ophys/event_detection", "OphysEventDetection")
    series["data"] = np.zeros((10, 3))
    points, found = _find(nwb)
    assert points == ()
    assert _codes(found) == ["activity-left-out"]
