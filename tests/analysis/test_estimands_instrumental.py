"""beta_IV is Blomqvist's slope, and the truth where a plain slope is not."""

import numpy as np
import pytest
from counted_windows import of_counts, value, world_pairs

from nwbswitch.analysis.estimands.counts import halves
from nwbswitch.analysis.estimands.families import family_sums
from nwbswitch.analysis.estimands.instrumental import (
    INSTRUMENTAL,
    blomqvist_slope,
    instrumental_slope,
    slope_status,
)
from nwbswitch.analysis.estimands.primary import UNRELIABLE, covariance_sums, root_rate
from nwbswitch.schemas.worlds import World


def _pair(seed, n=40):
    rng = np.random.default_rng(seed)
    rates = rng.gamma(1.0, 2.0, (n, 1))
    return tuple(
        of_counts(rng.poisson(rates, (n, 6)), exposure_s=rng.uniform(20, 30, (n, 6))) for _ in (0, 1)
    )


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_slope_of_blomqvist(seed):
    sums = sum(family_sums(INSTRUMENTAL, *_pair(10 * seed + part)) for part in range(3))
    assert float(blomqvist_slope(sums)) == pytest.approx(float(instrumental_slope(sums)), rel=1e-12)


def test_it_is_the_ratio_of_instrumental_covariances():
    before, after = _pair(3)
    b, p = (root_rate(each.events, each.exposure_s) for each in (halves(before), halves(after)))
    after_state = p.mean(axis=1)
    both_ways = [np.cov(b[:, h], after_state)[0, 1] for h in (0, 1)]
    expected = np.mean(both_ways) / np.cov(b.T)[0, 1]
    sums = family_sums(INSTRUMENTAL, before, after)
    assert float(instrumental_slope(sums)) == pytest.approx(expected, rel=1e-10)
    across, within, *_ = covariance_sums(halves(before), halves(after))
    assert float(instrumental_slope(sums)) == pytest.approx(across / within, rel=1e-10)


@pytest.mark.parametrize(
    ("world", "allowed"),
    # The root transform is not exact at a few events: 0.02 where rates fall, as measured.
    [(World.NULL, 0.0), (World.DRIFT, 0.0), (World.GAIN, 0.02), (World.RESHUFFLE, 0.0), (World.SWITCH, 0.03)],
)
def test_the_truth_in_the_worlds(world, allowed):
    rng = np.random.default_rng(4)
    errors = []
    for _ in range(8):
        pairs, truths = world_pairs(world, rng, n_neurons=800)
        root = [(np.sqrt(b), np.sqrt(p)) for b, p in truths]
        covariance = np.mean([np.cov(b, p)[0, 1] for b, p in root])
        truth = covariance / np.mean([np.var(b, ddof=1) for b, _ in root])
        errors.append(value(INSTRUMENTAL, "beta_iv", pairs) - truth)
    limit = 3 * np.std(errors, ddof=1) / np.sqrt(len(errors))
    assert abs(np.mean(errors)) < limit + allowed


def test_a_plain_slope_is_pulled_to_0_by_noise():
    pairs, _ = world_pairs(World.NULL, np.random.default_rng(5), n_neurons=2000, minutes=2)
    slopes = []
    for before, after in pairs:
        states = [root_rate(w.events.sum(1), w.exposure_s.sum(1)) for w in (before, after)]
        slopes.append(np.polyfit(*states, 1)[0])
    assert np.mean(slopes) < 0.9
    assert value(INSTRUMENTAL, "beta_iv", pairs) == pytest.approx(1.0, abs=0.05)


def test_halves_that_do_not_agree_have_no_slope():
    rng = np.random.default_rng(6)
    noise = family_sums(INSTRUMENTAL, *(of_counts(rng.poisson(3.0, (60, 4))) for _ in range(2)))
    alike = family_sums(INSTRUMENTAL, *(of_counts(np.ones((9, 4))) for _ in range(2)))
    assert slope_status("beta_iv", noise) == UNRELIABLE
    assert slope_status("beta_iv", alike) == UNRELIABLE
