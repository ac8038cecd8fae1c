"""Naive fractions, written out, and what they are where nothing happened."""

import numpy as np
import pytest
from counted_windows import of_counts, value, world_pairs

from nwbswitch.analysis.estimands.counts import halves
from nwbswitch.analysis.estimands.families import family_sums
from nwbswitch.analysis.estimands.naive import NAIVE, naive_status
from nwbswitch.analysis.estimands.primary import UNDEFINED
from nwbswitch.schemas.worlds import World


def _pair(seed, n=35):
    rng = np.random.default_rng(seed)
    return tuple(of_counts(rng.poisson(rng.gamma(0.7, 0.6, (n, 1)), (n, 4))) for _ in (0, 1))


def _changes(pairs, kind):
    """Rates per min of every neuron in the halves that are compared."""
    for pair in pairs:
        b, p = (60 * each.events / each.exposure_s for each in map(halves, pair))
        wanted = [(b[:, h], p[:, k]) for h in (0, 1) for k in (0, 1)]
        if kind == "within_baseline":
            wanted = [(b[:, 0], b[:, 1]), (b[:, 1], b[:, 0])]
        for x, y in wanted:
            yield from zip(x, y, strict=True)


@pytest.mark.parametrize("kind", ["halves", "within_baseline"])
def test_fractions_are_counted(kind):
    pairs = [_pair(0), _pair(1, 50)]
    every = list(_changes(pairs, kind))
    down = sum(1.5 * y < x for x, y in every) / len(every)
    up = sum(y > 1.5 * x for x, y in every) / len(every)
    silent = [(x, y) for x, y in every if x < 0.5]
    woken = sum(y >= 0.5 for _, y in silent) / len(silent)
    assert value(NAIVE, f"naive_down_{kind}", pairs) == pytest.approx(down, abs=1e-12)
    assert value(NAIVE, f"naive_up_{kind}", pairs) == pytest.approx(up, abs=1e-12)
    assert value(NAIVE, f"naive_p_active_after_silent_{kind}", pairs) == pytest.approx(woken, abs=1e-12)


def test_the_correlation_is_that_of_all_changes_of_one_session():
    pair = _pair(2)
    states = np.array(
        [
            [np.sqrt((n + 3 / 8) / t) for n, t in zip(*each, strict=True)]
            for each in (
                (halves(pair[0]).events.T.ravel(), halves(pair[0]).exposure_s.T.ravel()),
                (halves(pair[1]).events.T.ravel(), halves(pair[1]).exposure_s.T.ravel()),
            )
        ]
    ).reshape(2, 2, -1)
    b = np.concatenate([states[0, h] for h in (0, 1) for _ in (0, 1)])
    p = np.concatenate([states[1, k] for _ in (0, 1) for k in (0, 1)])
    expected = np.corrcoef(p - b, b)[0, 1]
    assert value(NAIVE, "naive_corr_halves", [pair]) == pytest.approx(expected, abs=1e-10)


def test_the_excess_is_the_difference():
    pairs = [_pair(3), _pair(4)]
    for name in ("down", "up", "p_active_after_silent", "corr"):
        halves_, within, excess = (
            value(NAIVE, f"naive_{name}_{kind}", pairs) for kind in ("halves", "within_baseline", "excess")
        )
        assert excess == pytest.approx(halves_ - within, abs=1e-12)


@pytest.mark.parametrize("minutes", [2, 10])
def test_nothing_happened_gives_changes_that_the_baseline_gives_too(minutes):
    pairs, _ = world_pairs(World.NULL, np.random.default_rng(5), n_neurons=1500, minutes=minutes)
    assert value(NAIVE, "naive_down_within_baseline", pairs) > 0.2
    for name in ("down", "up", "p_active_after_silent", "corr"):
        # 9,000 neurons: standard errors of about .005.
        assert value(NAIVE, f"naive_{name}_excess", pairs) == pytest.approx(0, abs=0.02)


def test_a_switch_has_an_excess():
    pairs, _ = world_pairs(World.SWITCH, np.random.default_rng(6), n_neurons=300)
    assert value(NAIVE, "naive_down_excess", pairs) > 0.1
    assert value(NAIVE, "naive_p_active_after_silent_excess", pairs) > 0.4


def test_a_fraction_of_no_neuron_is_undefined():
    busy = family_sums(NAIVE, *(of_counts(np.full((9, 4), 5.0)) for _ in range(2)))
    assert naive_status("naive_p_active_after_silent_halves", busy) == UNDEFINED
    assert naive_status("naive_down_halves", busy) == "ok"
