"""Events in whole simulated recordings, with neuropil, running and bleaching, against their truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from activity_cases import measured, spans

from nwbswitch.analysis.activity.blocks import Block, edges_of, frames_of
from nwbswitch.analysis.activity.neuropil import without_neuropil
from nwbswitch.analysis.activity.tallies import Tallies, measured_of
from nwbswitch.converters import simulate_traces as st
from nwbswitch.schemas.epochs import Window

RATE_HZ = st.RATE_HZ
LENGTH_S = st.N_FRAMES / RATE_HZ
WHOLE = spans(("pseudo_baseline", 0.0, 720.0), ("baseline", 720.0, 1320.0), ("drug", 1320.0, LENGTH_S))
"""All of the recording, each frame once."""


def _simulated(rate_per_min: np.ndarray, seed: int = 0) -> st.Recording:
    rng = np.random.default_rng(seed)
    neurons = st.make_neurons(rate_per_min.shape[0], 0, rng)
    speed = st.treadmill_speed(st.N_FRAMES, RATE_HZ, rng)
    return st.record(neurons, rate_per_min, speed, rng)


def _rows(made: st.Recording) -> pd.DataFrame:
    traces, neuropil = (np.ascontiguousarray(each.T) for each in (made.fluorescence, made.neuropil))
    return measured(traces, RATE_HZ, WHOLE, neuropil=neuropil)


def _counted(rows: pd.DataFrame, n: int) -> np.ndarray:
    return rows.groupby("neuron")["n_events"].sum().reindex(range(n), fill_value=0).to_numpy()


def test_silent_neurons_in_a_whole_simulated_recording_stay_silent():
    rates = np.full((60, 68), 3.0)
    rates[:20] = 0
    rows = _rows(_simulated(rates))
    minutes = rows.groupby("neuron")["exposure_s"].sum() / 60
    assert minutes.min() > 0.9 * LENGTH_S / 60
    assert _counted(rows, 60)[:20].sum() / minutes[:20].sum() < 0.02
    assert rows["n_negative"].sum() / minutes.sum() < 0.02


@pytest.mark.parametrize(
    ("rate_per_min", "low", "high"), [(0.5, 0.85, 1.05), (2.0, 0.82, 1.0), (8.0, 0.65, 0.9), (20.0, 0.4, 0.7)]
)
def test_share_of_events_that_is_counted_falls_with_the_rate(rate_per_min, low, high):
    made = _simulated(np.full((40, 68), rate_per_min), seed=1)
    assert low < _rows(made)["n_events"].sum() / made.events.roi.size < high


def test_counts_follow_the_truth_across_neurons():
    rates = np.random.default_rng(2).lognormal(0.3, 1.2, 60)
    made = _simulated(np.tile(rates[:, None], 68), seed=2)
    true = np.bincount(made.events.roi, minlength=60)
    assert np.corrcoef(np.sqrt(_counted(_rows(made), 60)), np.sqrt(true))[0, 1] > 0.94


def test_only_the_fluctuation_of_the_neuropil_is_removed():
    neuropil = (200 + 10 * np.sin(np.arange(1000) / 20)[None]).astype(np.float32)
    cell = np.float32(50) + np.float32(0.7) * neuropil
    corrected = without_neuropil(cell, neuropil, np.array([0.7], dtype=np.float32), RATE_HZ)
    np.testing.assert_allclose(corrected, 50 + 0.7 * 200, rtol=1e-3)


def test_a_window_beyond_the_recording_has_no_frames():
    time_s = 0.1 + np.arange(100) / 5
    assert frames_of(time_s, 2.1, 5.1) == slice(10, 25)
    assert frames_of(time_s, 50.0, 60.0) == slice(100, 100)


def test_sums_leave_invalid_frames_out():
    dff = np.array([[1.0, np.nan, 3.0, 4.0]], dtype=np.float32)
    begins = np.array([[False, False, True, True]])
    blocks = [Block(Window.BASELINE, number, 2.0 * number, 2.0 * number + 2) for number in range(3)]
    tallies = Tallies.zeros(1, 3)
    row = np.array([0])
    tallies.add(row, edges_of(blocks), np.arange(4.0), dff, begins, ~begins, 10 * dff, n_smooth=1)
    found = measured_of(tallies, np.array([True]), 1.0, with_dff=True, with_amount=True)
    np.testing.assert_array_equal(found.exposure_s, [[1, 2, 0]])
    np.testing.assert_array_equal(found.mean_dff, [[1, 3.5, np.nan]])
    np.testing.assert_array_equal(found.activity, [[10, 35, np.nan]])
    np.testing.assert_array_equal(found.n_events, [[0, 2, 0]])
