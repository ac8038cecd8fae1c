"""Recordings as objects of pynapple, beside what pynapple reads from the same file by itself."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded import KETAMINE, ROWS, SALINE, SPIKES_S, WINDOWS, Recorded, neurons, recorded, stamps_s, stored

from nwbswitch.analysis.handover.drug_rows import administrations_of
from nwbswitch.analysis.handover.pynapple_objects import to_pynapple
from nwbswitch.schemas.errors import MissingExtraError

nap = pytest.importorskip("pynapple")

# What other tests left open may be collected during one of these.
pytestmark = pytest.mark.filterwarnings("error", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recorded]:
    with recorded(tmp_path / "a.nwb") as recording:
        yield recording


@pytest.fixture
def theirs(recording: Recorded, tmp_path: Path) -> Iterator[Any]:
    """What pynapple reads."""
    file = nap.load_file(tmp_path / "a.nwb", lazy_loading=False)
    yield file
    file.close()


def test_traces_are_in_their_unit_on_the_session_clock(recording: Recorded, theirs: Any) -> None:
    found = to_pynapple(recording)
    upper, lower = found.traces["Upper"], found.traces["Lower"]
    np.testing.assert_array_equal(upper.values, stored()["Upper"]["traces"] / 2 + 100)
    np.testing.assert_array_equal(lower.values, stored()["Lower"]["traces"])
    np.testing.assert_allclose(lower.t, stamps_s(), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(upper.t, theirs["tracesUpper"].t)
    assert upper.columns.tolist() == ROWS["Upper"]
    assert list(found.neuropil) == ["Upper"]
    assert list(found.deconvolved) == ["Lower"]
    # pynapple hands over the integers of the file.
    np.testing.assert_array_equal(theirs["tracesUpper"].values, stored()["Upper"]["traces"])


@pytest.mark.parametrize("rois", ["all", "accepted", [1, 3]])
def test_facts_of_neurons_stay_with_their_traces(recording: Recorded, rois: Any) -> None:
    frame = to_pynapple(recording, names=["Upper"], rois=rois).traces["Upper"]
    facts = neurons(5)
    excitatory = frame[:, frame.cell_type == "excitatory"]
    assert excitatory.columns.tolist() == [
        row for row in frame.columns if facts.cell_type[row] == "excitatory"
    ]
    for row in excitatory.columns:
        column = ROWS["Upper"].index(row)
        own = excitatory[:, excitatory.columns.tolist().index(row)]
        np.testing.assert_array_equal(own.values, stored()["Upper"]["traces"][:, column] / 2 + 100)
        assert excitatory.depth_um[row] == facts.depth_um[row]
        assert excitatory.tracking_id[row] == facts.tracking_id[row]


def test_units_are_counted_in_the_time_they_were_observed(recording: Recorded, theirs: Any) -> None:
    units = to_pynapple(recording).units["units"]
    assert [units[row].t.tolist() for row in units.index] == [list(each) for each in SPIKES_S]
    assert units.time_support.values.tolist() == [[0.0, 30.0], [35.0, 80.0]]
    np.testing.assert_allclose(units.rates, [4 / 75, 0, 2 / 75])
    assert units.region.tolist() == ["RSPd", "VISp", "RSPd"]
    chosen = to_pynapple(recording, names=["units"], rois=[2, 0], start_s=5.0, stop_s=60.0)
    group = chosen.units["units"]
    assert group.index.tolist() == [0, 2]
    assert group.cell_type.tolist() == ["excitatory", "unknown"]
    assert group.time_support.values.tolist() == [[5.0, 30.0], [35.0, 60.0]]
    np.testing.assert_allclose(group.rates, [3 / 50, 0])
    # pynapple counts from the first spike of any unit to the last one.
    np.testing.assert_allclose(theirs["units"].rates, [4 / 78, 0, 2 / 78])


def test_units_of_unknown_observation_keep_all_times(recording: Recorded) -> None:
    units = replace(recording.outline.points[0], observed_start_s=(), observed_stop_s=())
    outline = replace(recording.outline, planes=(), points=(units,))
    group = to_pynapple(replace(recording, outline=outline)).units["units"]
    assert [group[row].t.tolist() for row in group.index] == [list(each) for each in SPIKES_S]
    cut = to_pynapple(replace(recording, outline=outline), start_s=2.0, stop_s=8.0).units["units"]
    assert cut.time_support.values.tolist() == [[2.0, 8.0]]


def test_times_that_pynapple_cuts_away_are_told(recording: Recorded) -> None:
    units = replace(recording.outline.points[0], observed_start_s=(5.0,), observed_stop_s=(50.0,))
    outline = replace(recording.outline, points=(units,))
    found = to_pynapple(replace(recording, outline=outline), names=["units"])
    assert found.left_out == ("units: 3 times outside the observed spans.",)
    assert sum(len(found.units["units"][row]) for row in (0, 1, 2)) == 3


def test_windows_that_overlap_stay_apart(recording: Recorded, tmp_path: Path) -> None:
    found = to_pynapple(recording)
    assert {name: each.values.tolist() for name, each in found.windows.items()} == {
        each.window.value: [[each.start_s, each.stop_s]] for each in WINDOWS
    }
    assert found.windows["drug"].window.tolist() == ["drug"]
    part = found.traces["Upper"].restrict(found.windows["drug"])
    assert part.t[0] == pytest.approx(45.1)
    assert part.t[-1] == pytest.approx(74.9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = nap.load_file(tmp_path / "a.nwb")
        joined = file["analysis_epochs"]
        file.close()
    # pynapple joins windows that overlap and drops their names.
    assert joined.values.tolist() == [[5.0, 35.0], [45.0, 75.0]]
    assert list(joined.metadata.columns) == []


def test_drugs_come_through_with_dose_and_route(recording: Recorded, theirs: Any) -> None:
    drugs = to_pynapple(recording).drugs
    assert drugs is not None
    assert [drugs[index].t.tolist() for index in drugs.index] == [[-600.0], [40.0]]
    table = drugs.metadata
    assert table["substance"].tolist() == ["saline", "ketamine"]
    assert table.loc[1, ["dose", "dose_unit", "route"]].tolist() == [10.0, "mg/kg", "i.p."]
    assert administrations_of(table.drop(columns="rate").to_dict("records")) == (SALINE, KETAMINE)
    tests = drugs[drugs.control_kind == "none"]
    assert tests.index.tolist() == [1]
    # pynapple does not see tables of events.
    assert not any("drug" in name for name in theirs)


def test_a_recording_without_drugs_or_windows(recording: Recorded) -> None:
    outline = replace(recording.outline, administrations=(), windows=())
    found = to_pynapple(replace(recording, outline=outline), names=["Lower"], start_s=30.0, stop_s=30.5)
    assert found.drugs is None
    assert found.windows == {}
    assert found.units == {}


def test_a_missing_package_is_named(recording: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynapple", None)
    with pytest.raises(MissingExtraError, match=r"nwbswitch\[handover\]"):
        to_pynapple(recording)
