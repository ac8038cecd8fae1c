"""Onset, peak and half-recovery of curves that are drawn with a ruler."""

import math

import numpy as np
import pytest

from nwbswitch.analysis.estimands.course_curves import Curve, Left, band
from nwbswitch.analysis.estimands.course_features import (
    FEATURES,
    FROM_THE_START,
    NO_BAND,
    NO_CURVE,
    NO_INTERVAL,
    NO_ONSET,
    NOT_RECOVERED,
    course_features,
)

TIMES_S = np.arange(0.0, 3001.0, 60.0)


def _curve(values, statuses=None):
    """The mean of the animals' own curves, shape (animals, times)."""
    values = np.asarray(values, dtype=float)
    n = len(values)
    left = (values.sum(axis=0) - values) / (n - 1)
    group = Left(tuple(map(str, range(n))), left, np.ones(values.shape, dtype=bool))
    mean = values.mean(axis=0)
    return Curve(mean, ("ok",) * mean.size, np.full(mean.size, float(n)), (group,))


def _tent(onset_s=600.0, peak_s=1200.0, end_s=2400.0, height=2.0):
    return np.interp(TIMES_S, [onset_s, peak_s, end_s], [0.0, height, 0.0])


def _spread(n=8, size=0.05, seed=0):
    return size * np.random.default_rng(seed).normal(size=(n, 1)) * np.ones(TIMES_S.size)


def _found(curve, rest=0.0):
    features = course_features(TIMES_S, curve, band(curve), rest=rest)
    assert tuple(each.name for each in features) == FEATURES
    return {each.name: each for each in features}


@pytest.mark.parametrize("side", [1, -1])
def test_a_tent_has_its_onset_peak_and_half_recovery(side):
    curve = _curve(side * _tent() + _spread())
    limit = band(curve).half_band[0]
    found = _found(curve)
    # The band leaves 0 where the tent, 2 per 600 s, is as high as the band is wide (and the mean is off).
    shift = curve.values[0]
    assert found["onset_s"].estimate == pytest.approx(600 + 300 * (limit - side * shift), abs=1e-6)
    assert found["peak_s"].estimate == pytest.approx(1200, abs=15)
    assert found["peak"].estimate == pytest.approx(side * 2 + shift)
    height = 2 + side * shift
    assert found["half_recovery_s"].estimate == pytest.approx(
        2400 - 600 * (height / 2 - side * shift), abs=1e-6
    )
    for feature in found.values():
        assert feature.status == "ok"
        assert feature.ci_low <= feature.estimate <= feature.ci_high


def test_intervals_are_jackknives_with_the_width_of_the_band_held():
    rng = np.random.default_rng(1)
    peaks_s = 1200 + 120 * rng.normal(size=7)
    values = np.array([_tent(peak_s=peak_s) for peak_s in peaks_s]) + _spread(7)
    curve = _curve(values)
    found = _found(curve)["half_recovery_s"]
    left = []
    for out in range(7):
        mean = np.delete(values, out, axis=0).mean(axis=0)
        top = int(np.argmax(mean))
        place = top + int(np.flatnonzero(mean[top:] <= mean[top] / 2)[0])
        share = (mean[place - 1] - mean[top] / 2) / (mean[place - 1] - mean[place])
        left.append(TIMES_S[place - 1] + 60 * share)
    se = math.sqrt(6 / 7 * ((np.array(left) - np.mean(left)) ** 2).sum())
    # 97.5 % quantile of t with 6 degrees of freedom.
    assert found.ci_high - found.estimate == pytest.approx(2.4469118511449692 * se, rel=1e-9)


def test_the_value_of_rest_need_not_be_0():
    found = _found(_curve(1 - _tent(height=1.5) + _spread()), rest=1.0)
    assert found["peak"].estimate == pytest.approx(-0.5, abs=0.05)
    assert found["onset_s"].estimate == pytest.approx(600, abs=60)


def test_a_flat_curve_has_no_onset_and_nothing_else():
    found = _found(_curve(np.random.default_rng(2).normal(size=(8, TIMES_S.size))))
    assert {each.status for each in found.values()} == {NO_ONSET}
    assert all(math.isnan(each.estimate) for each in found.values())


def test_what_has_not_come_back_is_said():
    held = np.minimum(TIMES_S / 600, 2.0) * (TIMES_S > 300)
    found = _found(_curve(held + _spread()))
    assert found["half_recovery_s"].status == NOT_RECOVERED
    assert math.isnan(found["half_recovery_s"].estimate)
    assert found["onset_s"].status == "ok"


def test_what_was_there_from_the_start_has_no_interval_of_its_onset():
    found = _found(_curve(2.0 - _tent(height=1.0) + _spread()))
    assert (found["onset_s"].estimate, found["onset_s"].status) == (0.0, FROM_THE_START)
    assert math.isnan(found["onset_s"].ci_low)


def test_an_onset_that_rests_on_one_animal_has_no_interval():
    values = _spread(size=0.4) + 0 * TIMES_S
    curve = _curve(values)
    uncertainty = band(curve)
    # Just beyond the band with all animals, not without the one that is highest.
    raised = values + (1.01 * uncertainty.half_band - curve.values) * (TIMES_S > 600)
    found = _found(_curve(raised))
    assert found["onset_s"].status == NO_INTERVAL
    assert math.isfinite(found["onset_s"].estimate)


def test_times_without_a_value_are_passed_over():
    values = _tent() + _spread()
    curve = _curve(values)
    holes = curve.values.copy()
    holes[[3, 20, 33]] = np.nan
    found = _found(Curve(holes, curve.statuses, curve.n_animals, curve.groups))
    whole = _found(curve)
    for name in FEATURES:
        assert found[name].estimate == pytest.approx(whole[name].estimate, abs=70)


def test_few_animals_or_no_values_are_said():
    few = _found(_curve(_tent() + _spread(5)))
    assert {each.status for each in few.values()} == {NO_BAND}
    curve = _curve(_tent() + _spread())
    nothing = Curve(np.full(TIMES_S.size, np.nan), curve.statuses, curve.n_animals, curve.groups)
    assert {each.status for each in _found(nothing).values()} == {NO_CURVE}
