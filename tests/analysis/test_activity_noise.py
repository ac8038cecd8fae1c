"""Noise and moving averages."""

from __future__ import annotations

import numpy as np
import pytest
from activity_cases import fluorescence, measured, spans

from nwbswitch.analysis.activity.noise import NoiseLevel, noise_sd, sorted_median, step_sd
from nwbswitch.analysis.activity.smoothing import smoothed, smoothing_frames


def test_noise_is_that_of_the_negative_side():
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 20_001)).astype(np.float32)
    assert noise_sd(noise)[0] == pytest.approx(0.1, rel=0.03)
    noise[0, :1500] += 5
    assert noise_sd(noise)[0] == pytest.approx(0.1, rel=0.03)
    assert np.isnan(noise_sd(np.ones((1, 10), dtype=np.float32))[0])
    assert np.isnan(noise_sd(np.ones((2, 0), dtype=np.float32))).all()


def test_noise_of_odd_and_even_numbers_of_negative_frames():
    values = np.array([[-1, -2, -3, 4, 5], [-1, -2, -3, -4, np.nan]], dtype=np.float32)
    np.testing.assert_allclose(noise_sd(values), 1.4826 * np.array([2.0, 2.5]))


def test_noise_of_steps_is_that_of_frames_and_not_of_transients():
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 20_000)).astype(np.float32)
    noise[1, ::50] += 3
    np.testing.assert_allclose(step_sd(noise), 0.1, rtol=0.08)
    assert np.isnan(step_sd(noise[:, :1])).all()


def test_medians_leave_invalid_values_out():
    values = np.array([[3.0, 1.0, np.nan, 2.0], [np.nan] * 4, [1.0, 2.0, 3.0, 4.0]])
    found = sorted_median(np.sort(values, axis=1))
    np.testing.assert_array_equal(found, [2.0, np.nan, 2.5])


def test_a_baseline_in_pieces_counts_each_by_its_frames():
    rng = np.random.default_rng(0)
    level = NoiseLevel(3)
    level.add(slice(0, 2), rng.normal(0, 0.1, (2, 30_000)).astype(np.float32))
    level.add(slice(0, 2), rng.normal(0, 0.4, (2, 10_000)).astype(np.float32))
    sd = level.sd()
    np.testing.assert_allclose(sd[:2], 0.75 * 0.1 + 0.25 * 0.4, rtol=0.03)
    assert np.isnan(sd[2])


def test_a_constant_neuron_has_no_level():
    level = NoiseLevel(1)
    level.add(slice(0, 1), np.zeros((1, 100), dtype=np.float32))
    assert np.isnan(level.sd()[0])


@pytest.mark.parametrize(("rate_per_min", "most"), [(0.0, 1.03), (2.0, 1.06), (8.0, 1.15), (20.0, 1.3)])
def test_activity_hardly_inflates_the_noise(rate_per_min, most):
    traces, _, _ = fluorescence(np.full((40, 24), rate_per_min), 5.0, noise_dff=0.06)
    rows = measured(traces, 5.0, spans(("baseline", 0.0, 720.0)))
    assert 0.95 < rows["noise"].mean() / 0.06 < most


@pytest.mark.parametrize("n", [1, 2, 3, 6, 7, 40, 100])
def test_running_means_are_cut_at_the_ends_and_skip_invalid_frames(n):
    values = np.random.default_rng(0).standard_normal((2, 40)).astype(np.float32)
    whole = values.copy()
    values[0, 5:9] = np.nan
    before, after = (n - 1) // 2, n - (n - 1) // 2
    for given in (values, whole):
        for row, found in zip(given, smoothed(given, n), strict=True):
            windows = [row[max(0, i - before) : i + after] for i in range(40)]
            means = [np.nan if np.isnan(row[i]) else np.nanmean(w) for i, w in enumerate(windows)]
            np.testing.assert_allclose(found, means, atol=1e-6)


def test_averages_last_as_long_at_every_frame_rate():
    assert [smoothing_frames(rate_hz, 0.2) for rate_hz in (1.0, 5.0, 15.0, 30.0)] == [1, 1, 3, 6]
