"""Curves over time: jackknife by brute force, statuses as everywhere, and bands that hold."""

import math

import numpy as np
import pytest

from nwbswitch.analysis.estimands.course_curves import (
    COURSES,
    NO_BLOCKS,
    ONE_ANIMAL,
    AnimalCourses,
    Curve,
    Left,
    arm_curve,
    band,
    degrees_of_freedom,
    difference_curve,
    influence,
    interval_status,
)
from nwbswitch.analysis.estimands.course_sums import LAYOUT
from nwbswitch.analysis.estimands.primary import ESTIMANDS, OK, status

T95_DF5 = 2.570581835636314


def _courses(seed, n=6, times=5, names=None, rate=20.0):
    """Random sums that are possible: counts over exposures, and covariances of reliable states."""
    rng = np.random.default_rng(seed)
    sums = np.zeros((n, times, LAYOUT.size))
    LAYOUT.drive(sums)[:] = rng.uniform(0.5, 1.5, (n, times, 4)) * [rate, 300, rate, 300]
    for chosen in (LAYOUT.active(sums), LAYOUT.silent(sums)):
        chosen[..., :4] = rng.uniform(0.5, 1.5, (n, times, 1, 2, 4)) * [rate, 300, rate, 300]
    LAYOUT.covariance(sums)[:] = rng.uniform(0.8, 1.2, (n, times, 7)) * [1, 2, 2, 3, 3, 3, 3]
    animals = tuple(names or (f"m{i}" for i in range(n)))
    return AnimalCourses(animals, sums, np.ones((n, times), dtype=bool))


@pytest.mark.parametrize("estimand", COURSES)
def test_every_time_is_a_ratio_of_sums_with_a_jackknife(estimand):
    courses = _courses(0)
    curve = arm_curve(courses, estimand)
    found = band(curve)
    function = ESTIMANDS[estimand]
    for time in range(5):
        total = courses.sums[:, time].sum(axis=0)
        left = np.array([float(function(total - own, LAYOUT)) for own in courses.sums[:, time]])
        se = math.sqrt(5 / 6 * ((left - left.mean()) ** 2).sum())
        assert curve.values[time] == pytest.approx(float(function(total, LAYOUT)))
        assert found.se[time] == pytest.approx(se)
        assert found.half_interval[time] == pytest.approx(T95_DF5 * se)
    assert (found.half_band >= found.half_interval).all()
    assert interval_status(curve, found) == ("ok",) * 5


@pytest.mark.parametrize("estimand", COURSES)
def test_statuses_are_those_of_the_estimates(estimand):
    courses = _courses(1, n=3, times=40, rate=4.0)
    LAYOUT.covariance(courses.sums)[:, :, 1] *= np.random.default_rng(2).uniform(0, 1, (3, 40))
    found = arm_curve(courses, estimand).statuses
    total = courses.sums.sum(axis=0)
    assert list(found) == [status(estimand, each, LAYOUT) for each in total]
    assert len(set(found)) == 2


def test_an_animal_that_is_not_there_changes_nothing():
    courses = _courses(3)
    courses.present[2, 1:3] = False
    courses.sums[2, 1:3] = 0
    found, without = (arm_curve(each, "G") for each in (courses, courses.of(["m0", "m1", "m3", "m4", "m5"])))
    assert found.n_animals.tolist() == [6, 5, 5, 6, 6]
    np.testing.assert_allclose(found.values[1:3], without.values[1:3])
    np.testing.assert_allclose(band(found).se[1:3], band(without).se[1:3])
    assert band(found).df.tolist() == [5, 4, 4, 5, 5]


def test_nobody_there_is_said():
    courses = _courses(4)
    courses.present[:, 2] = False
    courses.sums[:, 2] = 0
    curve = arm_curve(courses, "rho_star")
    assert curve.statuses[2] == NO_BLOCKS
    assert math.isnan(curve.values[2])
    assert math.isnan(band(curve).half_band[2])


def test_within_animals_an_animal_leaves_both_arms_and_both_must_be_there():
    one, two = _courses(5), _courses(6)
    two.present[1, 3] = False
    two.sums[1, 3] = 0
    curve = difference_curve(one, two, "SW", within=True)
    function = ESTIMANDS["SW"]
    others = [0, 2, 3, 4, 5]

    def value(time, animals):
        a, b = (each.sums[animals, time].sum(axis=0) for each in (one, two))
        return float(function(a, LAYOUT) - function(b, LAYOUT))

    assert curve.values[0] == pytest.approx(value(0, list(range(6))))
    assert curve.values[3] == pytest.approx(value(3, others))
    left = np.array([value(3, [i for i in others if i != out]) for out in others])
    assert band(curve).se[3] == pytest.approx(math.sqrt(4 / 5 * ((left - left.mean()) ** 2).sum()))
    assert curve.n_animals.tolist() == [6, 6, 6, 5, 6]


def test_between_animals_variances_add_and_shared_animals_covary():
    one, two = _courses(7), _courses(8, names=[f"n{i}" for i in range(6)])
    apart = difference_curve(one, two, "G", within=False)
    ses = [band(arm_curve(each, "G")).se for each in (one, two)]
    np.testing.assert_allclose(band(apart).se, np.hypot(*ses))
    v, w = ses[0] ** 2, ses[1] ** 2
    np.testing.assert_allclose(degrees_of_freedom(apart.groups), (v + w) ** 2 / (v**2 / 5 + w**2 / 5))
    assert apart.n_animals.tolist() == [12] * 5
    same = AnimalCourses(one.animals, two.sums, two.present)
    shared = difference_curve(one, same, "G", within=False)
    within = difference_curve(one, same, "G", within=True)
    np.testing.assert_allclose(shared.values, within.values)
    # Leaving an animal out of both at once is, but for curvature, leaving it out of either.
    np.testing.assert_allclose(band(shared).se, band(within).se, rtol=1e-6)
    assert shared.n_animals.tolist() == [6] * 5


def _curve_of(values):
    """A curve that is a mean of the animals' own curves, shape (animals, times)."""
    n = len(values)
    left = (values.sum(axis=0) - values) / (n - 1)
    group = Left(tuple(map(str, range(n))), left, np.ones(values.shape, dtype=bool))
    return Curve(values.mean(axis=0), (OK,) * values.shape[1], np.full(values.shape[1], float(n)), (group,))


def test_the_influence_of_a_mean_is_the_deviation_from_it():
    values = np.random.default_rng(9).normal(size=(7, 4))
    curve = _curve_of(values)
    np.testing.assert_allclose(
        influence(curve.groups), (values - values.mean(axis=0)) / math.sqrt(7 * 6), atol=1e-12
    )
    np.testing.assert_allclose(band(curve).se, values.std(axis=0, ddof=1) / math.sqrt(7))


@pytest.mark.parametrize("n_animals", [6, 9])
def test_the_band_holds_over_all_times_in_95_percent_of_studies(n_animals):
    """Smooth noise around 0 at 40 times: 400 studies have a standard error of .011."""
    rng = np.random.default_rng(10)
    inside = pointwise = 0
    for _ in range(400):
        noise = rng.normal(size=(n_animals, 44))
        values = np.lib.stride_tricks.sliding_window_view(noise, 5, axis=1).mean(axis=-1)
        curve = _curve_of(values + 0.3 * rng.normal(size=(n_animals, 1)))
        found = band(curve)
        inside += bool((np.abs(curve.values) <= found.half_band).all())
        pointwise += bool((np.abs(curve.values) <= found.half_interval).all())
    assert 0.92 <= inside / 400 <= 0.99
    assert pointwise / 400 < 0.75


def test_fewer_than_six_animals_have_no_band_and_one_no_interval():
    values = np.random.default_rng(11).normal(size=(5, 4))
    found = band(_curve_of(values))
    assert np.isfinite(found.half_interval).all()
    assert np.isnan(found.half_band).all()
    alone = arm_curve(_courses(12, n=1, rate=100.0), "G")
    assert interval_status(alone, band(alone)) == (ONE_ANIMAL,) * 5
