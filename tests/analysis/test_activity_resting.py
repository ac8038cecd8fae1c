"""Fluorescence at rest: what it follows, what it does not, and that nothing far away changes it."""

from __future__ import annotations

import numpy as np
import pytest
from activity_cases import FRAME, fluorescence

from nwbswitch.analysis.activity.resting import resting
from nwbswitch.analysis.activity.smoothing import smoothed, smoothing_frames

RATE_HZ = 5.0
SD = 0.06
MARGIN_S = 60


def _rest(traces: np.ndarray, rate_hz: float = RATE_HZ) -> np.ndarray:
    n = smoothing_frames(rate_hz, 0.2)
    return resting(smoothed(traces.astype(np.float32), n), rate_hz, n)


def _noise(n: int, n_frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, n_frames))


@pytest.mark.parametrize("rate_hz", [2.0, 5.0, 7.3, 30.0])
def test_rest_follows_bleaching_and_drift_up_to_the_ends(rate_hz):
    time_s = np.arange(round(1020 * rate_hz)) / rate_hz
    true = FRAME * 0.7 ** (time_s / 600) * (1 + 0.05 * np.sin(2 * np.pi * time_s / 600))
    sd = 0.05 * np.sqrt(rate_hz / 5)
    rest = _rest(true * (1 + sd * _noise(20, time_s.size)), rate_hz)
    off_sd = (rest / true - 1) / 0.05
    assert np.abs(off_sd.mean(axis=0)).max() < 0.2
    inside = slice(MARGIN_S * round(rate_hz), -MARGIN_S * round(rate_hz))
    assert np.abs(off_sd[:, inside]).max() < 0.45
    assert np.abs(off_sd).max() < 1.0


@pytest.mark.parametrize(
    ("rate_per_min", "most_sd"), [(0.0, 0.02), (2.0, 0.08), (8.0, 0.25), (18.0, 0.5)], ids=str
)
def test_activity_draws_rest_up_by_little(rate_per_min, most_sd):
    traces, _, _ = fluorescence(np.full((40, 34), rate_per_min), RATE_HZ, noise_dff=SD)
    bias_sd = (_rest(traces.T) / FRAME - 1).mean() / SD
    assert -0.02 < bias_sd < most_sd


def test_rest_is_the_same_for_a_neuron_that_falls_silent():
    rates = np.full((30, 34), 12.0)
    rates[:, 17:] = 0
    traces, _, _ = fluorescence(rates, RATE_HZ, noise_dff=SD)
    error_sd = (_rest(traces.T) / FRAME - 1) / SD
    assert np.abs(error_sd[:, 3000:-300]).max() < 0.4
    assert np.median(error_sd[:, 300:2200].mean(axis=1)) < 0.4


def test_a_long_silence_changes_nothing():
    rest = _rest(FRAME * (1 + SD * _noise(10, 5100)))
    assert np.abs(rest[:, 300:-300] / FRAME - 1).max() < 0.02
    assert np.abs(rest / FRAME - 1).max() < 0.04


def test_rest_is_not_drawn_down_by_dips():
    traces = FRAME * (1 + 0.02 * _noise(10, 6000))
    for start in range(10, 6000, 40):
        traces[:, start : start + 4] *= 0.5
    assert np.abs(_rest(traces) / FRAME - 1).max() < 0.01


def test_invalid_frames_do_not_reach_their_neighbours():
    traces = (FRAME * (1 + SD * _noise(3, 4500))).astype(np.float32)
    clean = _rest(traces, 15.0)
    traces[0, 100:130] = np.nan
    traces[1] = np.nan
    rest = _rest(traces, 15.0)
    np.testing.assert_array_equal(rest[2], clean[2])
    assert np.isfinite(rest).all()
    assert abs(rest[0, 115] - FRAME) < 3
    assert (rest[1] == 0).all()


def test_neurons_do_not_depend_on_those_beside_them():
    traces, _, _ = fluorescence(np.full((40, 10), 6.0), 7.3)
    together = _rest(traces.T, 7.3)
    alone = np.concatenate([_rest(traces.T[start : start + 7], 7.3) for start in range(0, 40, 7)])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("n_frames", [40, 149, 151, 301, 2000])
def test_stretches_of_any_length_have_a_rest(n_frames):
    traces = np.full((2, n_frames), 50.0, dtype=np.float32)
    np.testing.assert_allclose(_rest(traces, 30.0), 50.0, rtol=1e-6)


def test_a_step_is_forgotten_within_its_window():
    traces = FRAME * (1 + 0.02 * _noise(10, 5100))
    traces[:, 2500:] *= 0.75
    rest = _rest(traces).mean(axis=0)
    assert abs(rest[1900] / FRAME - 1) < 0.01
    assert abs(rest[3100] / FRAME - 0.75) < 0.01
