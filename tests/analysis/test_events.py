"""Events against known truth: what is found, what is invented, and what the resting level survives."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from nwbswitch.analysis import events as ev
from nwbswitch.converters import simulate_traces as st
from nwbswitch.schemas.worlds import World

RATE_HZ = 5.0
MINUTES = st.N_FRAMES / RATE_HZ / 60
BASELINE = slice(3600, 6600)


def _white(n: int, *, seconds: float, rate_hz: float, sd: float = 0.06, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((n, round(seconds * rate_hz)))
    return 100 * (1 + sd * np.sqrt(rate_hz / RATE_HZ) * noise)


def _crossings(traces: np.ndarray, rate_hz: float, baseline: slice = slice(None)) -> tuple[np.ndarray, ...]:
    smooth = ev.smoothed(traces, rate_hz)
    rest = ev.resting(smooth, rate_hz)
    dff = (smooth - rest) / rest
    noise = ev.noise_sd(dff[:, baseline])
    level = 3 * noise
    return dff, noise, ev.crossings(dff, level, rate_hz), ev.crossings(-dff, level, rate_hz)


def _simulated(rate_per_min: np.ndarray, seed: int = 0) -> tuple[st.Neurons, st.Recording]:
    rng = np.random.default_rng(seed)
    neurons = st.make_neurons(rate_per_min.shape[0], 0, rng)
    speed = st.treadmill_speed(st.N_FRAMES, RATE_HZ, rng)
    return neurons, st.record(neurons, rate_per_min, speed, rng)


def _measured(made: st.Recording) -> tuple[np.ndarray, ...]:
    fluorescence, neuropil = made.fluorescence.astype(float), made.neuropil.astype(float)
    return _crossings(ev.without_neuropil(fluorescence, neuropil, 0.7), RATE_HZ, BASELINE)


@pytest.mark.parametrize("rate_hz", [2.0, 5.0, 7.5, 15.0, 30.0])
def test_white_noise_gives_almost_no_events_at_any_frame_rate(rate_hz):
    traces = _white(20, seconds=900, rate_hz=rate_hz)
    _, _, up, down = _crossings(traces, rate_hz)
    assert (up.sum() + down.sum()) / 2 / 20 / 15 < 0.02


def test_a_bare_crossing_would_invent_an_event_every_other_minute():
    dff, noise, *_ = _crossings(_white(20, seconds=900, rate_hz=5.0), 5.0)
    above = dff >= 3 * noise[:, None]
    bare = (above[:, 1:] & ~above[:, :-1]).sum() / 20 / 15
    assert 0.3 < bare < 0.5


def test_silent_neurons_in_a_whole_simulated_recording_stay_silent():
    rates = np.full((60, 68), 3.0)
    rates[:20] = 0
    _, made = _simulated(rates)
    _, _, up, down = _measured(made)
    assert up[:20].sum() / 20 / MINUTES < 0.02
    assert down.sum() / 60 / MINUTES < 0.02


@pytest.mark.parametrize(
    ("rate_per_min", "low", "high"), [(0.5, 0.85, 1.05), (2.0, 0.82, 1.0), (8.0, 0.65, 0.9), (20.0, 0.4, 0.7)]
)
def test_share_of_events_that_is_counted_falls_with_the_rate(rate_per_min, low, high):
    _, made = _simulated(np.full((40, 68), rate_per_min), seed=1)
    _, _, up, _ = _measured(made)
    assert low < up.sum() / made.events.roi.size < high


def test_counts_follow_the_truth_across_neurons():
    rates = np.random.default_rng(2).lognormal(0.3, 1.2, 60)
    _, made = _simulated(np.tile(rates[:, None], 68), seed=2)
    _, _, up, _ = _measured(made)
    true = np.bincount(made.events.roi, minlength=60)
    assert np.corrcoef(np.sqrt(up.sum(axis=1)), np.sqrt(true))[0, 1] > 0.94


@pytest.mark.parametrize("world", list(World))
def test_counts_after_the_drug_follow_the_truth_in_every_world(world):
    rng = np.random.default_rng(6)
    neurons = st.make_neurons(60, 0, rng)
    rates = st.block_rates(neurons, world, rng)
    made = st.record(neurons, rates, st.treadmill_speed(st.N_FRAMES, RATE_HZ, rng), rng)
    _, _, up, _ = _measured(made)
    drug = slice(7200, 10_200)
    events = made.events
    true = np.bincount(events.roi[(events.time_s >= 1440) & (events.time_s < 2040)], minlength=60)
    counted = up[:, drug].sum(axis=1)
    assert np.corrcoef(np.sqrt(true), np.sqrt(counted))[0, 1] > 0.93
    quiet = rates[:, -1] < 0.3
    assert counted[quiet].sum() <= true[quiet].sum() + 0.05 * 10 * quiet.sum()
    moderate = (rates[:, -1] > 0.5) & (rates[:, -1] < 6)
    assert 0.75 < counted[moderate].sum() / true[moderate].sum() < 1.05


@pytest.mark.parametrize(("rate_per_min", "most"), [(0.0, 1.05), (2.0, 1.06), (8.0, 1.15), (20.0, 1.3)])
def test_activity_hardly_inflates_the_noise(rate_per_min, most):
    rng = np.random.default_rng(3)
    neurons = st.make_neurons(60, 0, rng)
    dff = st.calcium(st.draw_events(np.full((60, 68), rate_per_min), neurons.amplitude_dff, rng), 60)
    truth = neurons.noise_dff
    _, noise, *_ = _crossings(
        100 * (1 + dff + truth[:, None] * rng.standard_normal(dff.shape)), RATE_HZ, BASELINE
    )
    assert 0.95 < np.median(noise / truth) < most


def test_rest_follows_bleaching_and_drift():
    frames = np.arange(10_200)
    true = 100 * (1 - 0.3 * (1 - np.exp(-frames / 3000))) * (1 + 0.05 * np.sin(frames / 1500))
    noise = np.random.default_rng(0).standard_normal((5, frames.size))
    rest = ev.resting(true * (1 + 0.05 * noise), RATE_HZ)
    assert np.abs(rest / true - 1).max() < 0.02


def test_rest_is_the_same_for_a_neuron_that_falls_silent():
    rates = np.full((20, 68), 12.0)
    rates[:, 34:] = 0
    neurons, made = _simulated(rates, seed=4)
    truth = st.calcium(made.events, 20)
    flat = 100 * (
        1 + truth + neurons.noise_dff[:, None] * np.random.default_rng(0).standard_normal(truth.shape)
    )
    rest = ev.resting(flat, RATE_HZ)
    shift = (rest[:, 2000:4500].mean(axis=1) - rest[:, 6000:].mean(axis=1)) / (100 * neurons.noise_dff)
    error_sd = (rest[:, 6000:] / 100 - 1) / neurons.noise_dff[:, None]
    assert np.abs(error_sd).max() < 0.5
    assert np.median(shift) < 0.4


def test_rest_is_not_drawn_down_by_dips():
    noise = np.random.default_rng(0).standard_normal((10, 6000))
    traces = 100 * (1 + 0.02 * noise)
    for start in range(10, 6000, 40):
        traces[:, start : start + 4] *= 0.5
    assert np.abs(ev.resting(traces, RATE_HZ) / 100 - 1).max() < 0.01


def test_only_the_fluctuation_of_the_neuropil_is_removed():
    neuropil = 200 + 10 * np.sin(np.arange(1000) / 20)[None]
    cell = np.full((1, 1000), 50.0) + 0.7 * neuropil
    corrected = ev.without_neuropil(cell, neuropil, 0.7)
    np.testing.assert_allclose(corrected, 50 + 0.7 * 200, rtol=1e-3)


def test_noise_is_that_of_the_negative_side():
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 20_001))
    assert ev.noise_sd(noise)[0] == pytest.approx(0.1, rel=0.03)
    noise[0, :1500] += 5
    assert ev.noise_sd(noise)[0] == pytest.approx(0.1, rel=0.03)
    assert np.isnan(ev.noise_sd(np.ones((1, 10))))[0]


def test_noise_of_odd_and_even_numbers_of_negative_frames():
    values = np.array([[-1.0, -2.0, -3.0, 4.0, 5.0], [-1.0, -2.0, -3.0, -4.0, np.nan]])
    np.testing.assert_allclose(ev.noise_sd(values), 1.4826 * np.array([2.0, 2.5]))


def _begins(values: list[float], **more: object) -> list[int]:
    trace = np.array([values])
    return np.flatnonzero(ev.crossings(trace, np.array([1.0]), RATE_HZ, **more)[0]).tolist()


def test_an_event_begins_where_the_trace_crosses_and_stays():
    assert _begins([0, 0, 2, 2, 2, 0, 0, 0]) == [2]
    assert _begins([0, 0, 2, 0, 2, 2, 0, 0]) == [4]
    assert _begins([0, 1, 1, 0, 0, 0]) == [1]
    assert _begins([0, 0, 0, 0, 0, 2]) == []


def test_a_transient_whose_beginning_was_not_seen_does_not_count():
    nan = float("nan")
    assert _begins([2, 2, 2, 0, 0, 2, 2, 0]) == [5]
    assert _begins([0, nan, 2, 2, 2, 0, 2, 2, 0]) == [6]
    assert _begins([0, 0, 2, nan, 2, 2, 0, 0]) == []
    gap = np.array([False, False, True, False, False, False, False, False])
    assert _begins([0, 0, 2, 2, 2, 0, 0, 0], breaks=gap) == []
    assert _begins([0, 2, 2, 2, 2, 0, 0, 0], breaks=gap) == []
    assert _begins([0, 0, 0, 2, 2, 0, 0, 0], breaks=gap) == [3]


def test_invalid_frames_do_not_reach_their_neighbours():
    traces = _white(3, seconds=300, rate_hz=15.0)
    traces[0, 100:130] = np.nan
    traces[1] = np.nan
    smooth = ev.smoothed(traces, 15.0)
    np.testing.assert_array_equal(np.isnan(smooth), np.isnan(traces))
    rest = ev.resting(smooth, 15.0)
    assert np.isfinite(rest[[0, 2]]).all()
    assert abs(rest[0, 115] - 100) < 3
    clean = ev.resting(ev.smoothed(_white(3, seconds=300, rate_hz=15.0), 15.0), 15.0)
    np.testing.assert_array_equal(clean[2], rest[2])


@pytest.mark.parametrize("n", [1, 2, 3, 6, 7, 100])
def test_running_mean_is_cut_at_the_ends(n):
    values = np.random.default_rng(0).standard_normal((2, 40))
    values[0, 5:9] = np.nan
    before, after = (n - 1) // 2, n - (n - 1) // 2
    for row, found in zip(values, ev._running_mean(values, n), strict=True):
        windows = [row[max(0, i - before) : i + after] for i in range(40)]
        expected = [w[~np.isnan(w)].mean() if not np.isnan(w).all() else np.nan for w in windows]
        np.testing.assert_allclose(found, expected)


def test_blocks_count_from_the_start_of_the_window():
    time_s = 0.1 + np.arange(100) / 5
    blocks = ev.block_slices(time_s, 2.1, 9.1, 3.0)
    assert [(block.start, block.stop) for block in blocks] == [(10, 25), (25, 40), (40, 45)]
    assert ev.block_slices(time_s, 50.0, 60.0, 30.0) == [slice(100, 100)]


def test_frames_on_an_edge_belong_after_it_in_spite_of_rounding():
    time_s = np.arange(10_200) / 7.3
    for block_s in (30.0, 7.0, 0.7):
        blocks = ev.block_slices(time_s, 0.0, 1390.0, block_s)
        assert blocks[0].start == 0
        assert all(a.stop == b.start for a, b in pairwise(blocks))
        for index in (1, len(blocks) - 2):
            assert time_s[blocks[index].start] >= index * block_s - 1e-5
            assert time_s[blocks[index].start - 1] < index * block_s


def test_sums_leave_invalid_frames_out():
    values = np.array([[1.0, np.nan, 3.0, 4.0]])
    np.testing.assert_array_equal(ev.block_sums(values, [slice(0, 2), slice(2, 4)]), [[1, 7]])
