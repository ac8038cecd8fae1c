"""Counts and means against known truth: detection, false events, drift, silences and steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from activity_cases import fluorescence, measured, spans

from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.converters import simulate_traces as st
from nwbswitch.schemas.worlds import World

RATE_HZ = 5.0
INJECTION_S = 1320.0
WINDOWS = spans(("baseline", 600.0, 1200.0), ("drug", 1440.0, 2040.0))
N_BLOCKS = 70


def _counted(rows: pd.DataFrame, n: int, window: str) -> np.ndarray:
    counts = rows[rows["window"] == window].groupby("neuron")["n_events"].sum()
    return counts.reindex(range(n), fill_value=0).to_numpy()


def _true(events: st.Events, n: int, start_s: float, stop_s: float) -> np.ndarray:
    return np.bincount(events.roi[(events.time_s >= start_s) & (events.time_s < stop_s)], minlength=n)


@pytest.mark.parametrize("rate_hz", [2.0, 5.0, 7.5, 15.0, 30.0])
def test_silent_neurons_have_hardly_any_events(rate_hz):
    n = 200 if rate_hz < 15 else 60
    made, _, _ = fluorescence(np.zeros((n, 24)), rate_hz)
    rows = measured(made, rate_hz, spans(("baseline", 60.0, 360.0), ("drug", 360.0, 660.0)))
    minutes = rows["exposure_s"].sum() / 60
    assert rows["n_events"].sum() / minutes <= 0.005
    assert rows["n_negative"].sum() / minutes <= 0.005


@pytest.mark.parametrize(
    ("rate_per_min", "low", "high"),
    [(0.5, 0.9, 1.05), (2.0, 0.88, 1.0), (8.0, 0.7, 0.88), (20.0, 0.45, 0.65)],
)
def test_share_of_events_that_is_counted_falls_with_the_rate(rate_per_min, low, high):
    made, events, _ = fluorescence(np.full((60, 44), rate_per_min), RATE_HZ, seed=1)
    rows = measured(made, RATE_HZ, spans(("baseline", 0.0, 1320.0)))
    assert low < rows["n_events"].sum() / events.roi.size < high


@dataclass(frozen=True)
class _Course:
    """Event rates and rest over the recording, and how far from flat it may take counts and means."""

    before: float
    after: float
    rest: object = None
    answer: object = None
    amplitude_dff: float = 0.6
    off_events: float = 0.03
    off_dff: float = 0.002


def _bleached(time_s):
    return 0.7 ** (time_s / 600)


COURSES = {
    "bleaching": _Course(3.0, 3.0, rest=_bleached),
    "drift": _Course(3.0, 3.0, rest=lambda time_s: 1 + 0.1 * np.sin(2 * np.pi * time_s / 600)),
    "silence": _Course(6.0, 0.0),
    "awakening": _Course(0.0, 6.0),
    "bleaching and silence": _Course(6.0, 0.0, rest=_bleached),
    "much activity": _Course(18.0, 18.0, off_events=0.04, off_dff=0.004),
    "much activity and bleaching": _Course(18.0, 18.0, rest=_bleached, off_events=0.04, off_dff=0.004),
    "saturating bursts": _Course(
        12.0, 12.0, answer=lambda dff: 3 * dff / (3 + dff), amplitude_dff=3.0, off_dff=0.004
    ),
    "step at the injection": _Course(3.0, 3.0, rest=lambda time_s: np.where(time_s > INJECTION_S, 0.75, 1.0)),
}
SHARE = {0.0: 1.0, 3.0: 0.945, 6.0: 0.855, 18.0: 0.592}
"""Counted share of events at each true rate, of flat traces: 60 neurons, 20 min, GCaMP6s at 5 Hz."""
DFF_BIAS = {0.0: 0.0, 3.0: -0.004, 6.0: -0.0081, 18.0: -0.0258}


@pytest.mark.parametrize("name", COURSES)
def test_neither_drift_nor_silence_nor_steps_change_what_is_counted(name):
    course = COURSES[name]
    rates = np.full((60, N_BLOCKS), course.before)
    rates[:, round(INJECTION_S / st.BLOCK_S) :] = course.after
    made, events, dff = fluorescence(
        rates, RATE_HZ, rest=course.rest, answer=course.answer, amplitude_dff=course.amplitude_dff
    )
    rows = measured(made, RATE_HZ, WINDOWS)
    time_s = np.arange(len(made)) / RATE_HZ
    for span, rate in zip(WINDOWS, (course.before, course.after), strict=True):
        part = rows[rows["window"] == span.window]
        minutes = part["exposure_s"].sum() / 60
        true = int(_true(events, 60, span.start_s, span.stop_s).sum())
        share = part["n_events"].sum() / true if true else 1 + part["n_events"].sum() / minutes
        true_dff = dff[:, (time_s >= span.start_s) & (time_s < span.stop_s)].mean()
        bias = np.average(part["mean_dff"], weights=part["exposure_s"]) - true_dff
        expected = (SHARE[rate], DFF_BIAS[rate]) if course.answer is None else (0.54, -0.021)
        assert share == pytest.approx(expected[0], abs=course.off_events)
        assert bias == pytest.approx(expected[1], abs=course.off_dff)
        assert part["n_negative"].sum() / minutes < 0.02


def test_baseline_and_drug_are_treated_alike_under_bleaching():
    made, _, _ = fluorescence(np.full((120, N_BLOCKS), 3.0), RATE_HZ, rest=_bleached, seed=3)
    rows = measured(made, RATE_HZ, WINDOWS)
    means = rows.groupby("window")[["mean_dff", "noise", "n_events"]].mean()
    assert means.loc["drug", "mean_dff"] == pytest.approx(means.loc["baseline", "mean_dff"], abs=0.002)
    assert means.loc["drug", "noise"] == pytest.approx(means.loc["baseline", "noise"], rel=0.01)
    assert means.loc["drug", "n_events"] == pytest.approx(means.loc["baseline", "n_events"], rel=0.06)


def _recorded(world: World, seed: int = 6) -> tuple[st.Recording, np.ndarray]:
    rng = np.random.default_rng(seed)
    neurons = st.make_neurons(60, 0, rng)
    rates = st.block_rates(neurons, world, rng)
    return st.record(neurons, rates, st.treadmill_speed(st.N_FRAMES, RATE_HZ, rng), rng), rates


@pytest.mark.parametrize("world", list(World))
def test_counts_after_the_drug_follow_the_truth_in_every_world(world):
    made, rates = _recorded(world)
    rows = measured(
        np.ascontiguousarray(made.fluorescence.T),
        RATE_HZ,
        spans(("baseline", 720.0, 1320.0), ("drug", 1440.0, 2040.0)),
        neuropil=np.ascontiguousarray(made.neuropil.T),
    )
    true, counted = _true(made.events, 60, 1440, 2040), _counted(rows, 60, "drug")
    assert np.corrcoef(np.sqrt(true), np.sqrt(counted))[0, 1] > 0.93
    quiet = rates[:, -1] < 0.3
    assert counted[quiet].sum() <= true[quiet].sum() + 0.05 * 10 * quiet.sum()
    moderate = (rates[:, -1] > 0.5) & (rates[:, -1] < 6)
    assert 0.75 < counted[moderate].sum() / true[moderate].sum() < 1.05


def test_a_fitted_neuropil_coefficient_is_that_of_each_neuron():
    from nwbswitch.analysis.activity.neuropil import fitted_coefficients

    rng = np.random.default_rng(0)
    neurons = st.make_neurons(60, 0, rng)
    share = rng.uniform(0.0, 0.9, 60)
    neurons = st.Neurons(
        **{name: getattr(neurons, name) for name in neurons.__slots__ if name != "contamination"},
        contamination=share,
    )
    rates = np.full((60, 68), 3.0)
    made = st.record(neurons, rates, st.treadmill_speed(st.N_FRAMES, RATE_HZ, rng), rng)
    found, error = fitted_coefficients(
        made.fluorescence[:, 3000:6600], made.neuropil[:, 3000:6600], RATE_HZ, 1
    )
    assert abs((found - share).mean()) < 0.03
    assert (found - share).std() < 0.07
    assert np.corrcoef(found, share)[0, 1] > 0.96
    assert np.median(np.abs(found - share) / error) < 2.0


def test_fitting_takes_out_what_a_fixed_coefficient_leaves():
    rng = np.random.default_rng(1)
    n, n_frames = 40, 7200
    swing = st._fluctuation(1, n_frames, sd=30.0, constant_s=1.5, rng=rng)
    ring = 200 + swing + rng.normal(0, 2, (n, n_frames))
    share = rng.uniform(0.1, 0.4, (n, 1))
    traces = (100 + share * ring + rng.normal(0, 4, (n, n_frames))).T.astype(np.float32)
    ring = np.ascontiguousarray(ring.T.astype(np.float32))
    windows = spans(("baseline", 60.0, 660.0), ("drug", 720.0, 1380.0))
    fixed = measured(traces, RATE_HZ, windows, neuropil=ring)
    fitted = measured(traces, RATE_HZ, windows, Recipe(neuropil_coefficient="fit"), neuropil=ring)
    assert fitted["noise"].mean() < 0.5 * fixed["noise"].mean()
    assert fitted["n_events"].sum() / (fitted["exposure_s"].sum() / 60) < 0.01


def test_a_neuropil_that_hardly_fluctuates_is_reported():
    rng = np.random.default_rng(0)
    traces = (100 + rng.normal(0, 5, (3000, 6))).astype(np.float32)
    ring = np.full(traces.shape, 80.0, dtype=np.float32)
    found = []
    recipe = Recipe(neuropil_coefficient="fit")
    measured(traces, RATE_HZ, spans(("baseline", 0.0, 600.0)), recipe, neuropil=ring, issues=found)
    assert [each.code for each in found] == ["neuropil-unfitted"]
    assert "6 neurons" in found[0].message
