"""What is read for hand-over: names, neurons, spans and sizes, for every form of recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from recorded import (
    N_FRAMES,
    RATE_HZ,
    ROWS,
    SCALE,
    SPIKES_S,
    START_S,
    FileArrays,
    Recorded,
    recorded,
    stamps_s,
    stored,
    stored_array,
)
from recorded import neurons as facts_of

from nwbswitch.analysis.handover.selection import Choice, parts_by_name
from nwbswitch.analysis.handover.values import read_values
from nwbswitch.analysis.reading.outline import PointKind, Points


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recorded]:
    with recorded(tmp_path / "a.nwb") as recording:
        yield recording


def times_s(name: str) -> np.ndarray:
    return START_S + np.arange(N_FRAMES[name]) / RATE_HZ if name == "Upper" else stamps_s()


def test_everything_is_handed_over_in_units_and_seconds(recording: Recorded) -> None:
    values = read_values(recording, Choice())
    assert values.left_out == ()
    assert list(values.planes) == ["Upper", "Lower"]
    assert list(values.points) == ["units"]
    for name, plane in values.planes.items():
        np.testing.assert_allclose(plane.time_s, times_s(name), rtol=0, atol=1e-12)
        assert plane.rows.tolist() == ROWS[name]
        conversion, offset = SCALE[name]
        assert list(plane.matrices) == list(stored()[name])
        for matrix, found in plane.matrices.items():
            np.testing.assert_array_equal(found, stored()[name][matrix] * conversion + offset)
    assert [each.tolist() for each in values.points["units"].times_s] == [list(each) for each in SPIKES_S]


@pytest.mark.parametrize(("start_s", "stop_s"), [(10.0, 20.0), (None, 33.3), (41.0, None), (29.0, 40.0)])
def test_a_span_is_cut_on_the_session_clock(
    recording: Recorded, start_s: float | None, stop_s: float | None
) -> None:
    values = read_values(recording, Choice(start_s=start_s, stop_s=stop_s))
    first, last = -np.inf if start_s is None else start_s, np.inf if stop_s is None else stop_s
    for name, plane in values.planes.items():
        inside = (times_s(name) >= first - 1e-6) & (times_s(name) < last - 1e-6)
        np.testing.assert_allclose(plane.time_s, times_s(name)[inside], rtol=0, atol=1e-12)
        conversion, offset = SCALE[name]
        expected = stored()[name]["traces"][inside] * conversion + offset
        np.testing.assert_array_equal(plane.matrices["traces"], expected)
    for found, all_s in zip(values.points["units"].times_s, SPIKES_S, strict=True):
        assert found.tolist() == [each for each in all_s if first <= each < last]
    assert all(start >= first and stop <= last for start, stop in values.points["units"].observed_s)


@pytest.mark.parametrize("rois", ["accepted", [4, 3], [1]])
def test_neurons_keep_their_samples_and_facts(recording: Recorded, rois: Any) -> None:
    plane = read_values(recording, Choice(["Upper"], rois)).planes["Upper"]
    facts = facts_of(5)
    wanted = [row for row in ROWS["Upper"] if facts.accepted[row]] if rois == "accepted" else rois
    assert plane.rows.tolist() == wanted
    columns = [ROWS["Upper"].index(row) for row in wanted]
    np.testing.assert_array_equal(plane.matrices["traces"], stored()["Upper"]["traces"][:, columns] / 2 + 100)
    for name, found in plane.neurons.items():
        np.testing.assert_array_equal(found, np.array(getattr(facts, name))[wanted])


def test_only_what_is_wanted_is_read(recording: Recorded) -> None:
    read_values(recording, Choice(["Upper"], [0], 10.0, 20.0, ["traces"]))
    assert [(array.object_path, part) for array, part in recording.arrays.read] == [
        ("/processing/ophys/Fluorescence/tracesUpper/data", (slice(38, 88), slice(1, 2)))
    ]


def test_too_much_is_refused_before_anything_is_read(recording: Recorded) -> None:
    n_bytes = 2 * 400 * 4 * 8
    assert read_values(recording, Choice(["Upper"], max_bytes=n_bytes)).planes
    recording.arrays.read.clear()
    with pytest.raises(ValueError, match=r"takes 25\.6 kB \(most of it Upper\), more than.*start_s"):
        read_values(recording, Choice(["Upper"], max_bytes=n_bytes - 1))
    assert recording.arrays.read == []
    assert read_values(recording, Choice(["Upper"], [3], max_bytes=n_bytes // 4)).planes
    with pytest.raises(ValueError, match="more than"):
        read_values(recording, Choice(["Upper"], max_bytes=n_bytes), value_bytes=16)
    with pytest.raises(ValueError, match="most of it units"):
        read_values(recording, Choice(["units"], max_bytes=8 * 6 - 1))


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"names": ["Uper"]}, "Did you mean 'Upper'"),
        ({"names": ["cells"]}, "There are Upper, Lower, units"),
        ({"rois": [0, 1]}, "rows of which table.*Upper, Lower, units"),
        ({"names": ["Upper"], "rois": [2]}, "Upper has no row 2 with activity"),
        ({"names": ["Upper"], "rois": [3, 3]}, "twice"),
        ({"rois": "best"}, "'all', 'accepted' or a list"),
        ({"matrices": ["dff"]}, "not 'dff'"),
        ({"start_s": 5.0, "stop_s": 5.0}, "must come after"),
    ],
)
def test_wrong_choices_say_what_there_is(recording: Recorded, choice: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_values(recording, Choice(**choice))


def test_one_text_is_no_list_of_names() -> None:
    with pytest.raises(TypeError, match="list of names"):
        Choice("Upper")


def test_what_is_not_there_is_said(recording: Recorded) -> None:
    values = read_values(recording, Choice(start_s=60.0 + 10, stop_s=80.0))
    assert list(values.planes) == ["Upper"]
    assert values.left_out == ("Lower: no frames in the span.",)
    upper, lower = recording.outline.planes
    odd = replace(upper, neuropil=lower.deconvolved)
    outline = replace(recording.outline, planes=(odd,), points=())
    assert read_values(replace(recording, outline=outline), Choice()).left_out == (
        "Upper: neuropil, which differ in shape from the traces.",
    )
    nobody = replace(upper, neurons=replace(upper.neurons, accepted=(False,) * 5))
    outline = replace(recording.outline, planes=(nobody,), points=())
    values = read_values(replace(recording, outline=outline), Choice(rois="accepted"))
    assert not values.planes
    assert values.left_out == ("Upper: no neurons.",)


def test_units_that_were_recorded_at_other_times_are_handed_over_once(recording: Recorded) -> None:
    (units,) = recording.outline.points
    first, second = (
        replace(units, name=f"units:{number}", neurons=replace(units.neurons, accepted=accepted))
        for number, accepted in enumerate([(True, False, False), (False, False, True)], 1)
    )
    split = replace(recording, outline=replace(recording.outline, planes=(), points=(first, second)))
    values = read_values(split, Choice())
    assert {name: each.rows.tolist() for name, each in values.points.items()} == {
        "units:1": [0],
        "units:2": [2],
    }
    assert values.left_out == (
        "units:1: units that are not accepted.",
        "units:2: units that are not accepted.",
    )
    assert read_values(split, Choice(["units:2"], [1])).points["units:2"].rows.tolist() == [1]


def test_parts_of_one_name_are_told_by_their_path(recording: Recorded) -> None:
    upper, lower = recording.outline.planes
    outline = replace(recording.outline, planes=(upper, replace(lower, name="Upper")))
    assert list(parts_by_name(outline)) == [
        "/processing/ophys/Fluorescence/tracesUpper/data",
        "/processing/ophys/Fluorescence/tracesLower/data",
        "units",
    ]


def test_flat_tables_of_events_are_sorted_by_neuron_and_time(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["times"] = np.array([900, 100, 500, 300, 700])
        file["owners"] = np.array([2, 0, 2, 0, 1], np.uint8)
        points = Points(
            "events",
            PointKind.EVENTS,
            stored_array(file["times"]),
            None,
            stored_array(file["owners"]),
            facts_of(4),
            (),
            (),
            conversion_s=0.01,
        )
        with recorded(tmp_path / "a.nwb") as recording:
            outline = replace(recording.outline, planes=(), points=(points,))
        values = read_values(Recorded(recording.source, outline, FileArrays(file)), Choice(stop_s=9.0))
        assert [each.tolist() for each in values.points["events"].times_s] == [[1.0, 3.0], [7.0], [5.0], []]
        chosen = read_values(Recorded(recording.source, outline, FileArrays(file)), Choice(rois=[3, 2]))
        assert [each.tolist() for each in chosen.points["events"].times_s] == [[], [5.0, 9.0]]
        assert chosen.points["events"].neurons["tracking_id"].tolist() == ["m1-3", "m1-2"]
        assert chosen.points["events"].observed_s == ()
