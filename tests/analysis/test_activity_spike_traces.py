"""Spikes thinned to what calcium imaging shows, held against a calcium simulation that shares no code."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from activity_cases import measured, spans, spiking

from nwbswitch.analysis.activity import spike_traces
from nwbswitch.analysis.activity.pieces import Piece
from nwbswitch.analysis.activity.points import measure_points
from nwbswitch.analysis.activity.recipe import CalciumModel, Recipe
from nwbswitch.analysis.activity.spike_traces import SpikeTraces
from nwbswitch.analysis.activity.trace_source import Slab
from nwbswitch.analysis.activity.transients import GCAMP6S, TRANSIENTS, Transient
from nwbswitch.converters import simulate_traces as st
from nwbswitch.schemas.errors import IssuesError

LENGTH_S = 1260.0
WINDOWS = spans(("baseline", 30.0, 630.0), ("drug", 630.0, 1230.0))
OBSERVED = ((0.0, LENGTH_S),)
QUIET = CalciumModel(noise_dff=1e-4, rate_hz=20.0)


def _rows(trains, model: CalciumModel, windows=WINDOWS, observed=OBSERVED, **about) -> pd.DataFrame:
    points, arrays = spiking(trains, observed, **about)
    recipe = Recipe(spikes="as_calcium", calcium=model)
    return measure_points(points, windows, arrays, recipe, name="x", issues=[])


def _like_the_simulator() -> Transient:
    """Return the transient with the constants of `nwbswitch.converters.simulate_traces`."""
    peak_s = st.RISE_S * math.log1p(st.DECAY_S / st.RISE_S)
    time_s = np.linspace(0, 3, 3_000_001)
    course = (1 - np.exp(-time_s / st.RISE_S)) * np.exp(-time_s / st.DECAY_S)
    half_s = time_s[np.flatnonzero((time_s > peak_s) & (course <= course.max() / 2))[0]]
    return Transient("simulated", 0.23, peak_s, float(half_s - peak_s))


def _bursts(rate_per_min: float, spikes: int, n: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    trains = []
    for _ in range(n):
        starts = rng.random(rng.poisson(rate_per_min * LENGTH_S / 60)) * (LENGTH_S - 1)
        trains.append(np.sort((starts[:, None] + 0.01 * np.arange(spikes)).ravel()))
    return trains


@pytest.mark.parametrize(("rate_hz", "n"), [(5.0, 100), (15.0, 50)])
def test_detection_is_that_of_a_calcium_recording_of_the_same_spikes(rate_hz, n):
    """Two recordings of 40 neurons differ by 0.02 (SD) in the share of single spikes that they show."""
    noise_dff = 0.06 * math.sqrt(rate_hz / 5)
    model = CalciumModel(transient=_like_the_simulator(), noise_dff=noise_dff, rate_hz=rate_hz)
    for spikes in (1, 2, 4):
        for rate_per_min in (2.0, 10.0):
            trains = _bursts(rate_per_min, spikes, n, seed=spikes)
            times = np.concatenate(trains)
            roi = np.repeat(np.arange(n), [train.size for train in trains])
            events = st.Events(roi, times, np.full(times.size, 0.23))
            n_frames = round(LENGTH_S * rate_hz)
            dff = st.calcium(events, n, n_frames=n_frames, rate_hz=rate_hz)
            dff += noise_dff * np.random.default_rng(9).standard_normal(dff.shape)
            imaged = measured((100 * (1 + dff)).T.astype(np.float32), rate_hz, WINDOWS)
            thinned = _rows(trains, model)
            n_bursts = times.size / spikes * 1200 / LENGTH_S
            found = [each["n_events"].sum() / n_bursts for each in (imaged, thinned)]
            assert found[1] == pytest.approx(found[0], abs=0.03)


@pytest.mark.parametrize("rate_hz", [5.0, 12.3])
def test_traces_are_those_of_a_calcium_simulation_of_the_same_spikes(rate_hz):
    trains = _bursts(6.0, 3, 5, seed=0)
    roi = np.repeat(np.arange(5), [train.size for train in trains])
    events = st.Events(roi, np.concatenate(trains), np.full(roi.size, 0.23))
    expected = st.calcium(events, 5, n_frames=round(LENGTH_S * rate_hz), rate_hz=rate_hz)
    model = CalciumModel(transient=_like_the_simulator(), noise_dff=1e-9, rate_hz=rate_hz)
    np.testing.assert_allclose(_traces(trains, model, 0.0, LENGTH_S) - 1, expected, atol=1e-5)


def test_detection_falls_with_spikes_per_burst_as_in_recordings_of_populations():
    """Huang et al. 2021 (eLife 10:e51675): of single spikes often under 10 % are seen, of pairs 20-30 %."""
    found = []
    for spikes in (1, 2, 3, 5):
        trains = _bursts(2.0, spikes, 40, seed=0)
        n_bursts = sum(train.size for train in trains) / spikes * 1200 / LENGTH_S
        found.append(_rows(trains, CalciumModel())["n_events"].sum() / n_bursts)
    assert found[0] < 0.1
    assert 0.15 < found[1] < 0.45
    assert 0.75 < found[2] < found[3]
    assert found[3] > 0.9


def test_bursts_merge_as_they_do_in_calcium():
    starts = np.arange(40.0, 1220.0, 20.0)
    bursts = (starts[:, None] + np.linspace(0, 0.2, 6)).ravel()
    pairs = (starts[:, None] + np.array([0.0, 0.3])).ravel()
    apart = (starts[:, None] + np.array([0.0, 5.0])).ravel()
    model = CalciumModel(noise_dff=0.02, rate_hz=20.0)
    counts = _rows([bursts, pairs, apart], model).groupby("neuron")["n_events"].sum()
    np.testing.assert_allclose(counts, [starts.size, starts.size, 2 * starts.size], atol=2)


def test_silent_units_have_no_events():
    rows = _rows([np.zeros(0)] * 60, CalciumModel(rate_hz=10.0))
    minutes = rows["exposure_s"].sum() / 60
    assert rows["n_events"].sum() / minutes <= 0.004
    assert rows["n_negative"].sum() / minutes <= 0.004


def test_rows_say_what_they_are():
    rows = _rows(_bursts(3.0, 4, 3, seed=0), CalciumModel())
    assert (rows["modality"] == "spikes").all()
    assert (rows["event_basis"] == "spikes_as_calcium").all()
    assert rows[["noise", "mean_dff", "activity"]].isna().all(axis=None)
    assert set(rows["exposure_s"].round(6)) == {30.0}


def _traces(trains, model: CalciumModel, start_s: float, stop_s: float, **about) -> np.ndarray:
    points, arrays = spiking(trains, OBSERVED, **about)
    source = SpikeTraces(points, arrays, Recipe(calcium=model), name="x")
    (slab,) = source.slabs()
    return source.read(Piece(start_s, start_s, stop_s, stop_s), slab).traces


@pytest.mark.parametrize("transient", TRANSIENTS.values(), ids=lambda each: each.indicator)
def test_one_spike_has_the_published_course(transient):
    model = replace(QUIET, transient=transient, rate_hz=500.0)
    trace = _traces([np.array([10.0])], model, 9.0, 14.0)[0] - 1
    time_s = 9.0 + np.arange(trace.size) / 500 - 10.0
    assert trace.max() == pytest.approx(transient.amplitude_dff, rel=0.02)
    assert time_s[trace.argmax()] == pytest.approx(transient.peak_s, abs=0.01)
    later = np.interp(transient.peak_s + transient.half_decay_s, time_s, trace)
    assert later == pytest.approx(transient.amplitude_dff / 2, rel=0.03)
    assert np.abs(trace[time_s < 0]).max() < 0.001


def test_spikes_add_up_wherever_they_lie_between_frames():
    rise_s, decay_s = GCAMP6S.constants_s
    spikes = np.array([99.91, 100.333, 100.35, 103.7])
    time_s = np.arange(2000, 2200) / 20
    since_s = np.maximum(time_s[:, None] - spikes, 0)
    course = (1 - np.exp(-since_s / rise_s)) * np.exp(-since_s / decay_s)
    peak = (1 - math.exp(-GCAMP6S.peak_s / rise_s)) * math.exp(-GCAMP6S.peak_s / decay_s)
    expected = 0.23 * (course / peak).sum(axis=1)
    for flat in (False, True):
        trace = _traces([np.array([50.0]), spikes], QUIET, 100.0, 110.0, flat=flat)[1]
        np.testing.assert_allclose(trace - 1, expected, atol=1e-3)


def test_noise_is_the_same_however_time_is_cut_and_differs_between_units():
    model = CalciumModel(rate_hz=20.0)
    whole = _traces([np.zeros(0)] * 3, model, 0.0, 1000.0)
    part = _traces([np.zeros(0)] * 3, model, 400.0, 700.0)
    np.testing.assert_array_equal(part, whole[:, 8000:14_000])
    assert abs(np.corrcoef(whole)[0, 1]) < 0.05
    assert (whole - 1).std() == pytest.approx(0.27, rel=0.02)
    before = _traces([np.zeros(0)], model, -100.0, 0.0)
    assert abs(np.corrcoef(before[0], whole[0, :2000])[0, 1]) < 0.1


def test_units_keep_their_numbers_whatever_is_read_beside_them(monkeypatch):
    trains = _bursts(4.0, 3, 12, seed=1)
    whole = _rows(trains, CalciumModel())
    monkeypatch.setattr(spike_traces, "KEPT_TIMES", 700)
    pd.testing.assert_frame_equal(_rows(trains, CalciumModel()), whole)
    monkeypatch.setattr(spike_traces, "KEPT_TIMES", 0)
    pd.testing.assert_frame_equal(_rows(trains, CalciumModel()), whole)


def test_portions_hold_few_enough_times_each(monkeypatch):
    monkeypatch.setattr(spike_traces, "KEPT_TIMES", 250)
    points, arrays = spiking([np.full(n, 5.0) for n in (100, 100, 100, 400, 10, 10)], OBSERVED)
    slabs = SpikeTraces(points, arrays, Recipe(), name="x").slabs()
    assert [slab.rows.tolist() for slab in slabs] == [[0, 1], [2], [3], [4, 5]]
    assert all(isinstance(slab, Slab) and slab.n_judges == 0 for slab in slabs)


def test_what_was_not_observed_leaves_exposure():
    rows = _rows(_bursts(4.0, 4, 3, seed=1), CalciumModel(), observed=((0.0, 200.0), (220.0, LENGTH_S)))
    lost = rows[(rows["window"] == "baseline") & (rows["neuron"] == 0)]
    assert lost["exposure_s"].sum() == pytest.approx(580.0, abs=0.1)


def test_units_without_accepted_neighbours_keep_their_rows():
    trains = _bursts(6.0, 4, 4, seed=1)
    rows = _rows(trains, CalciumModel(), accepted=(False, True, False, True))
    assert sorted(set(rows["neuron"])) == [1, 3]
    whole = _rows(trains, CalciumModel())
    pd.testing.assert_frame_equal(
        rows.reset_index(drop=True), whole[whole["neuron"].isin([1, 3])].reset_index(drop=True)
    )


def test_without_a_baseline_there_is_no_level():
    with pytest.raises(IssuesError, match="no-epochs"):
        _rows(_bursts(4.0, 4, 3, seed=1), CalciumModel(), windows=spans(("drug", 30.0, 90.0)))
