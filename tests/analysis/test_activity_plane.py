"""Rows of an imaging plane: right numbers for known traces, and a finding for what cannot be measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from activity_cases import HeldArrays, fluorescence, measured, neuron_table, plane_of, spans, stored

from nwbswitch.analysis.activity.plane import measure_plane
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.analysis.reading.outline import ActivityKind, Clock
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.tables import CELLS

WINDOWS = spans(
    ("baseline", 60.0, 120.0),
    ("drug", 180.0, 240.0),
    ("pseudo_baseline", 0.0, 60.0),
    ("pseudo_drug", 60.0, 120.0),
)
BLOCKS = Recipe(block_s=20.0)
EVENT_FRAMES = (330, 430, 950)
OTHERS = {"dataset", "animal", "session", "arm", "order", "source", "source_digest", "simulated", "asset_id"}
OTHERS |= {"source_version"}


@pytest.fixture(scope="module")
def traces() -> np.ndarray:
    """Four neurons of 1250 frames at 5 Hz; the first has transients at `EVENT_FRAMES`."""
    made = 100 * (1 + 0.02 * np.random.default_rng(0).standard_normal((1250, 4)))
    for frame in EVENT_FRAMES:
        made[frame : frame + 15, 0] += 60 * np.exp(-np.arange(15) / 4)
    return made.astype(np.float32)


def _codes(found) -> list[str]:
    return [each.code for each in found]


def _counts(rows: pd.DataFrame, neuron: int) -> dict[str, list[int]]:
    chosen = rows[rows["neuron"] == neuron]
    return {str(window): part["n_events"].tolist() for window, part in chosen.groupby("window")}


def test_rows_are_those_of_a_cells_table(traces):
    accepted = (True, True, False, True)
    rows = measured(traces, 5.0, WINDOWS, BLOCKS, accepted=accepted, depth_um=(1.0, 2.0, 3.0, float("nan")))
    full = rows.assign(dataset="d", animal="a", session="s", arm="ketamine", order=1)
    full = full.assign(source="x", source_digest="y", simulated=True)
    assert CELLS.issues(full) == []
    assert set(rows.columns) == set(CELLS.names) - OTHERS
    assert len(rows) == 3 * 4 * 3
    assert sorted(set(rows["neuron"])) == [0, 1, 3]
    assert rows["tracking_id"].tolist() == [f"t{neuron}" for neuron in rows["neuron"]]
    assert rows.loc[rows["neuron"] == 1, "depth_um"].unique().tolist() == [2.0]
    assert not rows.duplicated(["neuron", "window", "block"]).any()
    assert (rows["half"] == 1 + rows["block"] % 2).all()
    assert set(rows["exposure_s"]) == {20.0}
    assert rows["activity"].isna().all()
    first = rows.iloc[0]
    assert (first["plane"], first["region"], first["layer"], first["object_path"]) == (
        "cells",
        "VISp",
        "2/3",
        "F",
    )
    assert (first["modality"], first["event_basis"], first["indicator"]) == ("calcium", "crossing", "GCaMP6s")


def test_events_are_counted_in_the_block_in_which_they_begin(traces):
    rows = measured(traces, 5.0, WINDOWS, BLOCKS)
    counts = _counts(rows, 0)
    assert counts["baseline"] == [1, 1, 0]
    assert counts["pseudo_drug"] == [1, 1, 0]
    assert counts["drug"] == [1, 0, 0]
    assert counts["pseudo_baseline"] == [0, 0, 0]
    assert rows.loc[rows["neuron"] > 0, "n_events"].sum() == 0
    assert rows["n_negative"].sum() == 0
    quiet = rows[(rows["neuron"] == 0) & (rows["window"] == "pseudo_baseline")]
    assert quiet["noise"].tolist() == pytest.approx([0.02] * 3, rel=0.35)
    assert quiet["mean_dff"].abs().max() < 0.005


def test_the_level_is_that_of_the_baseline_in_every_window(traces):
    noisy = traces.copy()
    noisy[900:, 1] += np.random.default_rng(5).normal(0, 20, 350)
    rows = measured(noisy, 5.0, WINDOWS, BLOCKS)
    drug = rows[(rows["neuron"] == 1) & (rows["window"] == "drug")]
    assert drug["n_events"].sum() > 10
    assert drug["n_negative"].sum() > 10
    assert drug["noise"].min() > 0.1


def test_noise_that_falls_is_held_to_the_level_of_the_baseline_too(traces):
    traces = traces.copy()
    traces[300:600, 1] += np.random.default_rng(5).normal(0, 20, 300)
    rows = measured(traces, 5.0, spans(("baseline", 60.0, 120.0), ("drug", 180.0, 240.0)), BLOCKS)
    quieter = traces.copy()
    quieter[950:965, 1] += 40
    assert rows.loc[rows["neuron"] == 1, "n_events"].sum() == 0
    again = measured(quieter, 5.0, spans(("baseline", 60.0, 120.0), ("drug", 180.0, 240.0)), BLOCKS)
    assert again.loc[(again["neuron"] == 1) & (again["window"] == "drug"), "n_events"].sum() == 0


@pytest.mark.parametrize("scale", [3.0, 1e-3])
def test_unit_and_order_of_frames_do_not_matter(traces, scale):
    plain = measured(traces, 5.0, WINDOWS, BLOCKS)
    scaled = measured(traces, 5.0, WINDOWS, BLOCKS, conversion=scale)
    shifted = measured(traces - 40, 5.0, WINDOWS, BLOCKS, offset=40.0)
    plane = plane_of(traces.shape, 5.0, time_first=False)
    turned = measure_plane(plane, WINDOWS, HeldArrays(F=traces.T), BLOCKS, name="x", issues=[])
    whole = measured(np.round(traces * 50).astype(np.uint16), 5.0, WINDOWS, BLOCKS, conversion=0.02)
    pd.testing.assert_frame_equal(turned, plain)
    for other, rounding in ((scaled, 1e-4), (shifted, 1e-4), (whole, 0.1)):
        assert plain["n_events"].tolist() == other["n_events"].tolist()
        np.testing.assert_allclose(plain["noise"], other["noise"], rtol=rounding)


def test_neuropil_is_taken_out_unless_the_file_says_that_it_was(traces):
    swing = np.zeros((1250, 4), dtype=np.float32)
    for frame in range(20, 1200, 60):
        swing[frame : frame + 20] = 40.0
    dirty, ring = (traces + 0.7 * swing).astype(np.float32), 200 + swing
    left = measured(dirty, 5.0, WINDOWS, Recipe(block_s=20.0, neuropil_coefficient=0.0), neuropil=ring)
    without = measured(dirty, 5.0, WINDOWS, BLOCKS, neuropil=ring)
    found = []
    stated = measured(dirty, 5.0, WINDOWS, BLOCKS, neuropil=ring, subtracted=True, issues=found)
    assert left.loc[left["neuron"] == 1, "n_events"].sum() > 8
    assert without.loc[without["neuron"] == 1, "n_events"].sum() == 0
    pd.testing.assert_frame_equal(stated, left)
    assert _codes(found) == ["neuropil-subtracted"]


def test_traces_that_are_dff_are_not_divided_again(traces):
    raw = measured(traces, 5.0, WINDOWS, BLOCKS)
    dff = measured(traces / 100 - 1, 5.0, WINDOWS, BLOCKS, kind=ActivityKind.DFF)
    assert dff["n_events"].tolist() == raw["n_events"].tolist()
    np.testing.assert_allclose(dff["noise"], raw["noise"], rtol=0.02)


@pytest.mark.parametrize("kind", [ActivityKind.DEMIXED, ActivityKind.DENOISED])
def test_traces_without_background_have_events_but_no_dff(traces, kind):
    found = []
    rows = measured(traces - 99, 5.0, WINDOWS, BLOCKS, kind=kind, issues=found)
    assert _counts(rows, 0)["baseline"] == [1, 1, 0]
    assert rows[["mean_dff", "noise"]].isna().all(axis=None)
    assert _codes(found) == (["events-doubtful"] if kind is ActivityKind.DENOISED else [])


def test_traces_that_were_deconvolved_elsewhere_count_rises_from_zero(traces):
    spikes = np.zeros((1250, 4), dtype=np.float32)
    spikes[[330, 331, 335, 950], 0] = 2.0
    found = []
    rows = measured(
        spikes, 5.0, spans(("drug", 60.0, 240.0)), BLOCKS, kind=ActivityKind.DECONVOLVED, issues=found
    )
    assert rows.loc[rows["neuron"] == 0, "n_events"].tolist() == [2, 0, 0, 0, 0, 0, 1, 0, 0]
    assert rows.loc[rows["neuron"] == 0, "activity"].tolist()[0] == pytest.approx(6 / 20)
    assert (rows["event_basis"] == "deconvolved").all()
    assert rows[["mean_dff", "noise"]].isna().all(axis=None)
    assert _codes(found) == ["events-doubtful"]


def test_deconvolved_traces_of_the_file_become_activity_per_second(traces):
    spikes = np.full(traces.shape, 0.5, dtype=np.float32)
    spikes[320:330, 2] = np.nan
    rows = measured(traces, 5.0, WINDOWS, BLOCKS, deconvolved=spikes)
    assert rows.loc[rows["neuron"] < 2, "activity"].to_numpy() == pytest.approx(2.5)
    spoilt = rows[(rows["neuron"] == 2) & (rows["window"] == "baseline")]["activity"]
    assert spoilt.tolist() == pytest.approx([2.25, 2.5, 2.5])


def test_a_short_last_block_is_kept_from_half_a_block_on(traces):
    rows = measured(traces, 5.0, spans(("baseline", 0.0, 70.0), ("drug", 100.0, 165.0)), BLOCKS)
    exposure = rows[rows["neuron"] == 0].groupby("window")["exposure_s"].apply(list)
    assert exposure["baseline"] == [20, 20, 20, 10]
    assert exposure["drug"] == [20, 20, 20]
    most = measured(traces, 5.0, spans(("baseline", 0.0, 70.0)), Recipe(block_s=20.0, min_block_share=0.6))
    assert most.loc[most["neuron"] == 0, "exposure_s"].tolist() == [20, 20, 20]


def test_without_a_baseline_the_noise_is_that_of_the_pseudo_baseline(traces):
    rows = measured(traces, 5.0, WINDOWS[2:], BLOCKS)
    assert _counts(rows, 0) == {"pseudo_baseline": [0, 0, 0], "pseudo_drug": [1, 1, 0]}
    with pytest.raises(IssuesError, match="no-epochs"):
        measured(traces, 5.0, spans(("drug", 0.0, 60.0)))
    with pytest.raises(IssuesError, match=r"made\.nwb.*no-epochs"):
        measured(traces, 5.0, spans(("baseline", 900.0, 960.0)))


def test_a_window_in_two_parts_goes_on_counting(traces):
    windows = spans(("baseline", 0.0, 40.0), ("baseline", 80.0, 120.0), ("drug", 180.0, 240.0))
    baseline = measured(traces, 5.0, windows, BLOCKS).query("neuron == 1 and window == 'baseline'")
    assert baseline["block"].tolist() == [0, 1, 2, 3]
    assert baseline["start_s"].tolist() == [0, 20, 80, 100]


def test_a_window_beyond_the_recording_is_reported(traces):
    found = []
    rows = measured(traces, 5.0, spans(("baseline", 0.0, 60.0), ("drug", 220.0, 300.0)), BLOCKS, issues=found)
    assert _codes(found) == ["epoch-outside-recording"]
    drug = rows[(rows["window"] == "drug") & (rows["neuron"] == 0)]
    assert drug["exposure_s"].tolist() == [20, 10]


def test_frames_after_a_gap_keep_their_time(traces):
    stamps = np.arange(1250) / 5
    stamps[600:] += 1000.0
    clock = Clock(0.0, 5.0, 1250, stored("stamps", (1250,), "<f8"), last_s=float(stamps[-1]))
    windows = spans(("baseline", 60.0, 120.0), ("drug", 1180.0, 1240.0))
    plane = plane_of(traces.shape, 5.0, clock=clock)
    rows = measure_plane(plane, windows, HeldArrays(F=traces, stamps=stamps), BLOCKS, name="x", issues=[])
    assert _counts(rows, 0) == {"baseline": [1, 1, 0], "drug": [1, 0, 0]}


def test_windows_in_a_gap_have_no_rows(traces):
    stamps = np.arange(1250) / 5
    stamps[600:] += 5000.0
    clock = Clock(0.0, 5.0, 1250, stored("stamps", (1250,), "<f8"), last_s=float(stamps[-1]))
    windows = spans(("baseline", 0.0, 60.0), ("drug", 2000.0, 4000.0))
    plane = plane_of(traces.shape, 5.0, clock=clock)
    rows = measure_plane(plane, windows, HeldArrays(F=traces, stamps=stamps), BLOCKS, name="x", issues=[])
    assert set(rows["window"]) == {"baseline"}


def test_neurons_without_noise_or_positive_rest_are_left_out_and_counted(traces):
    odd = traces.copy()
    odd[:, 1] = 0.0
    odd[:, 2] -= 150.0
    odd[:, 3] = np.nan
    found = []
    rows = measured(odd, 5.0, WINDOWS, BLOCKS, issues=found)
    assert set(rows["neuron"]) == {0}
    assert _codes(found) == ["neuron-left-out"]
    assert "3 accepted neurons" in found[0].message


def test_a_neuron_whose_rest_is_lost_in_one_window_is_left_out_of_all(traces):
    odd = traces.copy()
    odd[850:, 2] -= 150.0
    apart = spans(("baseline", 0.0, 60.0), ("drug", 190.0, 240.0))
    found = []
    rows = measured(odd, 5.0, apart, Recipe(block_s=20.0, margin_s=10.0), issues=found)
    assert set(rows["neuron"]) == {0, 1, 3}
    assert _codes(found) == ["neuron-left-out"]


def test_traces_may_show_only_some_rows_of_their_table(traces):
    rows_of = np.array([5, 0, 3, 2])
    accepted = (True, True, False, True, True, True)
    rows = measured(traces, 5.0, WINDOWS, BLOCKS, rows=rows_of, accepted=accepted)
    assert list(dict.fromkeys(rows["neuron"])) == [5, 0, 3]
    assert _counts(rows, 5)["baseline"] == [1, 1, 0]


def test_one_trace_may_be_a_plain_list_of_numbers(traces):
    plane = plane_of((1250, 1), 5.0)
    single = plane.traces.__class__(stored("F", (1250,)), ActivityKind.RAW, time_first=True)
    plane = plane.__class__(**{name: getattr(plane, name) for name in plane.__slots__} | {"traces": single})
    rows = measure_plane(plane, WINDOWS, HeldArrays(F=traces[:, 0]), BLOCKS, name="x", issues=[])
    assert _counts(rows, 0) == _counts(measured(traces, 5.0, WINDOWS, BLOCKS), 0)


def test_no_accepted_neuron_means_no_rows(traces):
    found = []
    rows = measured(traces, 5.0, WINDOWS, BLOCKS, accepted=(False,) * 4, issues=found)
    assert rows.empty
    assert set(CELLS.names) - OTHERS == set(rows.columns)
    assert found == []


def test_rates_that_no_microscope_has_are_refused(traces):
    for rate_hz in (float("nan"), 0.0, 1e9):
        with pytest.raises(IssuesError, match="frame rate"):
            measured(traces, rate_hz, WINDOWS)


def test_nothing_that_was_given_is_changed(traces):
    before = traces.copy()
    table = neuron_table(4)
    windows = list(WINDOWS)
    measured(traces, 5.0, windows, BLOCKS)
    np.testing.assert_array_equal(traces, before)
    assert windows == WINDOWS
    assert table == neuron_table(4)


def test_counts_follow_the_truth_across_neurons():
    rates = np.random.default_rng(2).lognormal(0.3, 1.2, 60)
    made, events, _ = fluorescence(np.tile(rates[:, None], 40), 5.0, seed=2)
    rows = measured(made, 5.0, spans(("baseline", 0.0, 600.0), ("drug", 600.0, 1200.0)))
    counted = rows.groupby("neuron")["n_events"].sum().reindex(range(60), fill_value=0)
    true = np.bincount(events.roi, minlength=60)
    assert np.corrcoef(np.sqrt(counted), np.sqrt(true))[0, 1] > 0.94
