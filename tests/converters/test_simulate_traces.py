"""The simulated truth must be the stated truth."""

from __future__ import annotations

import numpy as np
import pytest

from nwbswitch.converters import simulate_traces as st
from nwbswitch.schemas.worlds import BLOCK_S, World


def _one_event(time_s: float, *, rate_hz: float) -> np.ndarray:
    events = st.Events(np.array([0]), np.array([time_s]), np.array([1.0]))
    return st.calcium(events, 1, n_frames=round(20 * rate_hz), rate_hz=rate_hz)[0]


def test_transient_has_the_published_kinetics_of_gcamp6s():
    trace = _one_event(2.0, rate_hz=1000.0)
    peak = int(trace.argmax())
    half_decay_s = (np.flatnonzero(trace[peak:] < 0.5)[0]) / 1000
    assert trace.max() == pytest.approx(1.0, abs=1e-4)
    assert peak / 1000 - 2.0 == pytest.approx(0.18, abs=0.02)
    assert half_decay_s == pytest.approx(0.55, abs=0.12)
    assert np.all(trace[:2000] == 0)


def test_event_between_frames_is_sampled_exactly():
    coarse, fine = _one_event(2.013, rate_hz=5.0), _one_event(2.013, rate_hz=1000.0)
    np.testing.assert_allclose(coarse, fine[::200], atol=1e-12)


def test_counts_have_the_stated_mean_and_overdispersion():
    rate = np.full((400, 68), 6.0)
    events = st.draw_events(rate, np.ones(400), np.random.default_rng(1))
    block = (events.time_s // BLOCK_S).astype(int)
    counts = np.bincount(events.roi * 68 + block, minlength=rate.size)
    mean = 6.0 * BLOCK_S / 60
    assert counts.mean() == pytest.approx(mean, rel=0.02)
    assert counts.var() == pytest.approx(mean + 0.5 * mean**2, rel=0.05)


def test_the_world_holds_from_the_injection_on():
    neurons = st.make_neurons(60, 5, np.random.default_rng(2))
    rates = st.block_rates(neurons, World.GAIN, np.random.default_rng(3))
    injection = int(st.INJECTION_S / BLOCK_S)
    cells = neurons.accepted
    np.testing.assert_array_equal(rates[:, :injection], np.tile(neurons.rate_per_min[:, None], injection))
    np.testing.assert_allclose(rates[cells, injection:], 0.3 * rates[cells, :1] * np.ones(22))
    assert np.all(rates[~cells] == 0)
    assert (~cells).sum() == 5


@pytest.fixture(scope="module")
def recording() -> tuple[st.Neurons, st.Recording]:
    rng = np.random.default_rng(4)
    neurons = st.make_neurons(20, 3, rng)
    rates = st.block_rates(neurons, World.NULL, rng)
    speed = st.treadmill_speed(st.N_FRAMES, st.RATE_HZ, rng)
    return neurons, st.record(neurons, rates, speed, rng)


def test_traces_have_suite2ps_shape_and_type(recording):
    _, made = recording
    for traces in (made.fluorescence, made.neuropil, made.deconvolved):
        assert traces.shape == (23, st.N_FRAMES)
        assert traces.dtype == np.float32
        assert np.isfinite(traces).all()
        assert traces.min() >= 0


def test_noise_of_a_silent_neuron_is_the_stated_noise(recording):
    neurons, made = recording
    silent = int(np.argmin(np.where(neurons.accepted, np.bincount(made.events.roi, minlength=23), 10**9)))
    signal = made.fluorescence[silent] - st.NEUROPIL_COEFFICIENT * made.neuropil[silent]
    noise = np.median(np.abs(np.diff(signal))) * 1.4826 / np.sqrt(2)
    assert noise / neurons.brightness[silent] == pytest.approx(neurons.noise_dff[silent], rel=0.15)


def test_deconvolved_activity_follows_the_events(recording):
    neurons, made = recording
    n_events = np.bincount(made.events.roi, minlength=23)
    summed = made.deconvolved.sum(axis=1) / (neurons.brightness * neurons.amplitude_dff)
    assert np.corrcoef(n_events[neurons.accepted], summed[neurons.accepted])[0, 1] > 0.9


def test_running_factor_lowers_movement():
    still = st.treadmill_speed(60_000, 10.0, np.random.default_rng(5), running=np.full(60_000, 0.35))
    free = st.treadmill_speed(60_000, 10.0, np.random.default_rng(5))
    assert 0.2 < still.mean() / free.mean() < 0.6
    assert free.min() >= 0
