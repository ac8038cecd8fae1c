"""The correlation of log rates from products of counts, against loops and known rates."""

import itertools

import numpy as np
import pytest
from counted_windows import of_counts, value, world_pairs

from nwbswitch.analysis.estimands.counts import halves
from nwbswitch.analysis.estimands.families import family_sums
from nwbswitch.analysis.estimands.log_rates import LOG_RATES, log_covariances, log_rate_status
from nwbswitch.analysis.estimands.primary import UNRELIABLE
from nwbswitch.schemas.worlds import World


def _pair(seed, n=25):
    rng = np.random.default_rng(seed)
    rates = rng.lognormal(1.0, 0.8, (n, 1))
    return tuple(
        of_counts(rng.poisson(rates, (n, 4)), exposure_s=rng.uniform(20, 30, (n, 4))) for _ in (0, 1)
    )


def _loops(pairs, left, right):
    """Sums over the same neuron, and over pairs of different ones over n - 1, written out."""
    same = different = 0.0
    for pair in pairs:
        rates = [60 * each.events / each.exposure_s for each in map(halves, pair)]
        x, y = (rates[w][:, h] for w, h in (left, right))
        same += sum(a * b for a, b in zip(x, y, strict=True))
        n = len(x)
        different += sum(x[i] * y[j] for i, j in itertools.permutations(range(n), 2)) / (n - 1)
    return same, different


def test_covariances_are_logs_of_ratios_of_products():
    pairs = [_pair(0), _pair(1, 31)]
    sums = sum(family_sums(LOG_RATES, *pair) for pair in pairs)
    across = np.mean([_loops(pairs, (0, h), (1, k)) for h in (0, 1) for k in (0, 1)], axis=0)
    before, after = _loops(pairs, (0, 0), (0, 1)), _loops(pairs, (1, 0), (1, 1))
    expected = [np.log(same / different) for same, different in (across, before, after)]
    np.testing.assert_allclose(log_covariances(sums), expected, rtol=1e-10)
    rho = expected[0] / np.sqrt(expected[1] * expected[2])
    assert value(LOG_RATES, "rho_log", pairs) == pytest.approx(rho, rel=1e-10)


def test_rates_that_are_jointly_log_normal_have_their_covariances():
    rng = np.random.default_rng(2)
    covariance = np.array([[0.6, 0.3], [0.3, 0.9]])
    log = rng.multivariate_normal([1.0, 0.5], covariance, 60_000)
    pair = tuple(of_counts(rng.poisson(np.exp(log[:, [w]]) / 2, (len(log), 4))) for w in (0, 1))
    found = log_covariances(family_sums(LOG_RATES, *pair))
    # Standard errors of such means of log-normal products, measured over 50 draws: .011, .013, .025.
    np.testing.assert_allclose(found, [0.3, 0.6, 0.9], atol=0.07)


@pytest.mark.parametrize("world", [World.NULL, World.DRIFT, World.GAIN, World.RESHUFFLE, World.SWITCH])
def test_the_truth_in_the_worlds(world):
    rng = np.random.default_rng(3)
    errors = []
    for _ in range(8):
        pairs, truths = world_pairs(world, rng, n_neurons=2000)
        logs = [(np.log(b), np.log(p)) for b, p in truths]
        spread = [np.mean([np.var(each[side]) for each in logs]) for side in (0, 1)]
        truth = np.mean([np.cov(*each)[0, 1] for each in logs]) / np.sqrt(spread[0] * spread[1])
        errors.append(value(LOG_RATES, "rho_log", pairs) - truth)
    assert abs(np.mean(errors)) < 3 * np.std(errors, ddof=1) / np.sqrt(len(errors)) + 0.002


def test_a_mixture_is_read_as_too_much_agreement():
    """Documented: where 40 % of neurons switch, rates are not jointly log-normal."""
    pairs, truths = world_pairs(World.SWAP, np.random.default_rng(4), n_neurons=3000)
    truth = np.mean([np.corrcoef(np.log(b), np.log(p))[0, 1] for b, p in truths])
    assert value(LOG_RATES, "rho_log", pairs) > truth + 0.2


def test_silence_and_pure_noise_are_not_estimable():
    silent = family_sums(LOG_RATES, *(of_counts(np.zeros((20, 4))) for _ in range(2)))
    rng = np.random.default_rng(5)
    noise = family_sums(LOG_RATES, *(of_counts(rng.poisson(3.0, (60, 4))) for _ in range(2)))
    one = family_sums(LOG_RATES, *(of_counts(np.full((1, 4), 3.0)) for _ in range(2)))
    assert [log_rate_status("rho_log", each) for each in (silent, noise, one)] == [UNRELIABLE] * 3
