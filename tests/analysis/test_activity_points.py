"""Spikes and events of the lab: counted where they were observed, in one pass and flat memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from activity_cases import HeldArrays, MadeArrays, neuron_table, spans, spiking, stored

from nwbswitch.analysis.activity import point_runs
from nwbswitch.analysis.activity.points import measure_points
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.analysis.reading.outline import PointKind, Points
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.tables import CELLS

WINDOWS = spans(
    ("baseline", 100.0, 190.0),
    ("drug", 250.0, 340.0),
    ("pseudo_baseline", 100.0, 145.0),
    ("drug", 400.0, 445.0),
)
EVERYWHERE = ((0.0, 1000.0),)


@pytest.fixture(scope="module")
def trains() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.sort(rng.random(n) * 500) for n in (400, 0, 3, 2500, 90)]


def _rows(
    trains, observed=EVERYWHERE, recipe: Recipe | None = None, windows=WINDOWS, **about
) -> pd.DataFrame:
    points, arrays = spiking(trains, observed, **about)
    return measure_points(points, windows, arrays, recipe or Recipe(), name="x.nwb", issues=[])


def test_spikes_are_counted_in_their_blocks(trains):
    rows = _rows(trains)
    assert len(rows) == 5 * (3 + 3 + 2 + 2)
    for row in rows.itertuples():
        train = trains[row.neuron]
        stop_s = min(row.start_s + 30, {"pseudo_baseline": 145.0}.get(row.window, 1e9))
        stop_s = min(stop_s, 445.0) if row.start_s >= 400 else stop_s
        assert row.n_events == ((train >= row.start_s) & (train < stop_s)).sum()
        assert row.exposure_s == pytest.approx(stop_s - row.start_s)
    drug = rows[(rows["neuron"] == 0) & (rows["window"] == "drug")]
    assert drug["block"].tolist() == [0, 1, 2, 3, 4]
    assert drug["start_s"].tolist() == [250, 280, 310, 400, 430]


def test_rows_are_those_of_a_cells_table(trains):
    rows = _rows(trains, region=("VISp", "VISl", "CA1", "VISp", "VISp"))
    full = rows.assign(dataset="d", animal="a", session="s", arm="", order=1, source="x", source_digest="y")
    assert CELLS.issues(full.assign(simulated=False)) == []
    assert rows.loc[rows["neuron"] == 2, "region"].unique().tolist() == ["CA1"]
    assert rows[["noise", "mean_dff", "activity"]].isna().all(axis=None)
    assert (rows["n_negative"] == 0).all()
    assert (rows["modality"] == "spikes").all()
    assert (rows["event_basis"] == "spikes").all()


def test_events_of_the_lab_are_calcium(trains):
    for recipe in (Recipe(), Recipe(spikes="as_calcium")):
        rows = _rows(trains, kind=PointKind.EVENTS, recipe=recipe)
        assert (rows["modality"] == "calcium").all()
        assert (rows["event_basis"] == "file_events").all()


@pytest.mark.parametrize("run_times", [1, 7, 400, 1 << 19])
def test_ragged_and_flat_tables_give_the_same_however_they_are_read(trains, monkeypatch, run_times):
    expected = _rows(trains)
    monkeypatch.setattr(point_runs, "RUN_TIMES", run_times)
    pd.testing.assert_frame_equal(_rows(trains), expected)
    pd.testing.assert_frame_equal(_rows(trains, flat=True), expected)


def test_only_what_was_observed_counts(trains):
    rows = _rows(trains, observed=((0.0, 150.0), (160.0, 280.0)))
    first = rows[(rows["neuron"] == 3) & (rows["window"] == "baseline")]
    assert first["start_s"].tolist() == [100, 130, 160]
    assert first["exposure_s"].tolist() == pytest.approx([30.0, 20.0, 30.0])
    train = trains[3]
    assert first["n_events"].tolist()[1] == ((train >= 130) & (train < 150)).sum()
    drug = rows[(rows["neuron"] == 3) & (rows["window"] == "drug")]
    assert drug["exposure_s"].tolist() == [30.0]


def test_units_that_are_not_accepted_have_no_rows(trains):
    rows = _rows(trains, accepted=(True, True, False, False, True))
    assert sorted(set(rows["neuron"])) == [0, 1, 4]
    assert rows.loc[rows["neuron"] == 1, "n_events"].sum() == 0


def test_times_in_other_units_and_out_of_order_count_too(trains):
    expected = _rows(trains)
    points, arrays = spiking([train[::-1] for train in trains], EVERYWHERE)
    arrays.arrays["times"] = (
        np.concatenate([np.random.default_rng(0).permutation(each) for each in trains]) * 30_000
    )
    points = replace(points, conversion_s=1 / 30_000, in_order=False)
    rows = measure_points(points, WINDOWS, arrays, Recipe(), name="x", issues=[])
    pd.testing.assert_frame_equal(rows, expected)


def test_times_that_are_no_numbers_count_nowhere(trains):
    points, arrays = spiking(trains, EVERYWHERE)
    arrays.arrays["times"][:50] = np.nan
    rows = measure_points(points, WINDOWS, arrays, Recipe(), name="x", issues=[])
    kept = arrays.arrays["times"][50:400]
    assert (
        rows.loc[(rows["neuron"] == 0) & (rows["window"] == "baseline"), "n_events"].sum()
        == ((kept >= 100) & (kept < 190)).sum()
    )


def test_windows_beyond_what_was_observed_are_reported(trains):
    found = []
    points, arrays = spiking(trains, ((0.0, 300.0),))
    rows = measure_points(points, WINDOWS, arrays, Recipe(), name="x.nwb", issues=found)
    assert [each.code for each in found] == ["epoch-outside-recording"] * 2
    assert "x.nwb" in str(found[0])
    assert rows["exposure_s"].min() > 14


def test_a_table_that_says_nothing_of_when_it_was_recorded_has_no_rows(trains):
    found = []
    points, arrays = spiking(trains, ())
    rows = measure_points(points, WINDOWS, arrays, Recipe(), name="x", issues=found)
    assert rows.empty
    assert [each.code for each in found] == ["suspect-times"]


def test_a_table_without_neurons_has_no_rows():
    points, arrays = spiking([np.zeros(0)], EVERYWHERE)
    points = replace(points, ends=points.ends[:0], neurons=neuron_table(0))
    assert measure_points(points, WINDOWS, arrays, Recipe(), name="x", issues=[]).empty


def test_indices_that_do_not_fit_are_refused(trains):
    points, arrays = spiking(trains, EVERYWHERE)
    for ends in (points.ends[:-1], points.ends[::-1], points.ends + 1):
        with pytest.raises(InputFileError, match=r"x\.nwb.*do not fit"):
            measure_points(replace(points, ends=ends), WINDOWS, arrays, Recipe(), name="x.nwb", issues=[])
    flat, held = spiking(trains, EVERYWHERE, flat=True)
    held.arrays["owners"][5] = 77
    with pytest.raises(InputFileError, match="rows 0 to 77 of a table of 5"):
        measure_points(flat, WINDOWS, held, Recipe(), name="x.nwb", issues=[])
    short = replace(flat, owners=stored("owners", (3,), "<i8"))
    with pytest.raises(InputFileError, match="do not fit"):
        measure_points(short, WINDOWS, held, Recipe(), name="x.nwb", issues=[])


def test_memory_does_not_grow_with_the_number_of_spikes():
    n_units = 50
    tile = np.linspace(0.0, 500.0, 100_003)
    peaks = []
    for n_times in (1_200_000, 12_000_000):
        points = Points(
            name="units",
            kind=PointKind.SPIKES,
            times=stored("times", (n_times,), "<f8"),
            ends=np.linspace(0, n_times, n_units + 1).astype(np.int64)[1:],
            owners=None,
            neurons=neuron_table(n_units),
            observed_start_s=(0.0,),
            observed_stop_s=(500.0,),
        )
        arrays = MadeArrays(times=tile)
        tracemalloc.start()
        rows = measure_points(points, WINDOWS, arrays, Recipe(), name="x", issues=[])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert arrays.n_bytes == 8 * n_times
        assert rows["n_events"].sum() == pytest.approx(n_times * (90 + 90 + 45 + 45) / 500, rel=0.01)
    assert peaks[1] < 1.05 * peaks[0]


def test_each_time_is_read_once(trains, monkeypatch):
    monkeypatch.setattr(point_runs, "RUN_TIMES", 500)
    points, arrays = spiking(trains, EVERYWHERE, flat=True)
    assert isinstance(arrays, HeldArrays)
    measure_points(points, WINDOWS, arrays, Recipe(), name="x", issues=[])
    runs = [
        [(array.object_path, where[0].start, where[0].stop) for array, where in parts]
        for parts in arrays.asked
    ]
    assert [run[0][1] for run in runs] == [0, 500, 1000, 1500, 2000, 2500]
    assert all([part[0] for part in run] == ["times", "owners"] for run in runs)
