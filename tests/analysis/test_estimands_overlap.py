"""Overlap against statsmodels, loops from the definition, and worlds whose truth is known."""

import itertools
import math

import numpy as np
import pytest
from counted_windows import of_counts, value, world_pairs

from nwbswitch.analysis.estimands.families import family_sums
from nwbswitch.analysis.estimands.overlap import (
    EMPTY_TABLE,
    NO_CEILING,
    OVERLAP,
    log_odds_ratio,
    log_odds_variance,
    overlap_status,
)
from nwbswitch.schemas.worlds import World

NAMES = tuple(OVERLAP.estimands)


def _random_pairs(seed=0, sizes=(30, 45)):
    rng = np.random.default_rng(seed)
    return [
        tuple(of_counts(rng.poisson(rng.gamma(0.7, 0.5, (n, 1)), (n, 4))) for _ in range(2)) for n in sizes
    ]


def _states(window):
    """Active (at least 0.5 events/min) in each half, written out."""
    found = []
    for (
        events,
        exposure,
    ) in zip(window.events, window.exposure_s, strict=True):
        own = []
        for half in (1, 2):
            n = sum(e for e, h in zip(events, window.half, strict=True) if h == half)
            t = sum(e for e, h in zip(exposure, window.half, strict=True) if h == half)
            own.append(n / (t / 60) >= 0.5)
        found.append(own)
    return found


def _cells(pairs_of_states):
    """The mean 2 x 2 table over pairs of readings, (active, active), (active, silent), ..."""
    cells = np.zeros((2, 2))
    for readings in pairs_of_states:
        for before, after in readings:
            cells[int(not before), int(not after)] += 1 / len(readings)
    return cells


def _tables(before, after, kind):
    b, p = _states(before), _states(after)
    if kind == "across":
        return _cells([list(itertools.product(x, y)) for x, y in zip(b, p, strict=True)])
    own = b if kind == "before" else p
    return _cells([[(x[0], x[1]), (x[1], x[0])] for x in own])


@pytest.mark.parametrize("kind", ["across", "before", "after"])
def test_the_odds_ratio_and_its_variance_are_statsmodels(kind):
    from statsmodels.stats.contingency_tables import StratifiedTable

    pairs = _random_pairs()
    sums = sum(family_sums(OVERLAP, *pair) for pair in pairs)
    expected = StratifiedTable([_tables(*pair, kind) for pair in pairs])
    assert float(log_odds_ratio(sums, kind)) == pytest.approx(expected.logodds_pooled, abs=1e-12)
    assert math.sqrt(log_odds_variance(sums, kind)) == pytest.approx(expected.logodds_pooled_se, abs=1e-12)


def test_dice_is_counted():
    pairs = _random_pairs(1)
    both = sizes = chance = 0.0
    for pair in pairs:
        (a, b), (c, d) = _tables(*pair, "across")
        both += a
        sizes += 2 * a + b + c
        chance += (a + b) * (a + c) / (a + b + c + d)
    assert value(OVERLAP, "overlap_dice", pairs) == pytest.approx(2 * both / sizes)
    assert value(OVERLAP, "overlap_dice_chance", pairs) == pytest.approx(2 * chance / sizes)


def test_windows_with_the_same_counts_overlap_as_far_as_the_ceiling():
    (before, _), *_ = _random_pairs(2)
    # Before x after then compares each half with itself too, so it is above the halves of one window.
    assert value(OVERLAP, "overlap_dice", [(before, before)]) > value(
        OVERLAP, "overlap_dice_ceiling", [(before, before)]
    )


@pytest.mark.parametrize(
    ("world", "expected", "within"), [(World.NULL, 1.0, 0.04), (World.RESHUFFLE, 0.0, 0.04)]
)
def test_the_ratio_is_1_where_nothing_changes_and_0_where_rates_are_dealt_anew(world, expected, within):
    pairs, _ = world_pairs(world, np.random.default_rng(0), n_neurons=3000)
    assert value(OVERLAP, "overlap_ratio", pairs) == pytest.approx(expected, abs=within)


def test_a_switch_overlaps_less_than_chance():
    pairs, _ = world_pairs(World.SWITCH, np.random.default_rng(1), n_neurons=500)
    assert value(OVERLAP, "overlap_log_or", pairs) < -2
    dice, chance = (value(OVERLAP, name, pairs) for name in ("overlap_dice", "overlap_dice_chance"))
    assert dice < chance - 0.05


def test_noise_alone_makes_populations_look_apart():
    """After two minutes a fifth of the active seem to be others; the ceiling says the same."""
    pairs, _ = world_pairs(World.NULL, np.random.default_rng(2), n_neurons=2000, minutes=2)
    found, ceiling = (value(OVERLAP, name, pairs) for name in ("overlap_dice", "overlap_dice_ceiling"))
    assert found < 0.85
    assert found == pytest.approx(ceiling, abs=0.01)


def test_undefined_is_said():
    always = family_sums(OVERLAP, of_counts(np.full((9, 4), 5)), of_counts(np.full((9, 4), 5)))
    assert overlap_status("overlap_log_or", always) == EMPTY_TABLE
    assert overlap_status("overlap_dice", always) == "ok"
    rng = np.random.default_rng(3)
    # Two events in four blocks, at random: no half knows what the other says.
    noise = [of_counts(rng.multinomial(1, [0.25] * 4, 400)) for _ in range(2)]
    assert overlap_status("overlap_ratio", family_sums(OVERLAP, *noise)) in (NO_CEILING, EMPTY_TABLE)
