"""Corrected transitions: the parts against closed forms, and the whole against the true rates."""

import numpy as np
import pytest
from counted_windows import drawn, of_counts, world_pairs

from nwbswitch.analysis.estimands.transitions import (
    FEW_BLOCKS,
    FEW_EVENTS,
    FEW_NEURONS,
    block_variation,
    count_chances,
    enough_blocks,
    joint_rates,
    rate_grid,
    rate_table,
    transitions,
)
from nwbswitch.schemas.worlds import BLOCK_GAIN_CV2, World

ALL = np.array([0])


def _found(pairs):
    return transitions(rate_table([pairs]), ALL)


def _truth(truths):
    before, after = (np.concatenate(rates) >= 0.5 for rates in zip(*truths, strict=True))
    return np.array([(before & ~after).sum() / before.sum(), (~before & after).sum() / (~before).sum()])


def test_chances_are_negative_binomial_and_poisson():
    from scipy.stats import nbinom, poisson

    grid = rate_grid(20.0)
    n, seconds, blocks = np.arange(12.0), np.full(12, 300.0), np.full(12, 10.0)
    mean = 5 * grid
    for variation in (0.0, 0.5):
        size = 10 / variation if variation else None
        exact = nbinom(size, size / (size + mean)).pmf(n[:, None]) if size else poisson(mean).pmf(n[:, None])
        found = count_chances(n, seconds, blocks, variation=variation, grid=grid)
        np.testing.assert_allclose(found, exact / exact.max(axis=1, keepdims=True), rtol=1e-9)


def test_the_grid_has_the_limit_of_silence_at_an_edge():
    grid = rate_grid(30.0)
    assert np.allclose(np.diff(np.log2(grid)), 0.5)
    assert np.sqrt(grid[grid < 0.5].max() * grid[grid >= 0.5].min()) == pytest.approx(0.5)
    assert grid.max() > 30


def test_blocks_of_one_window_give_the_variation_of_their_gain():
    rng = np.random.default_rng(0)
    rates = rng.lognormal(1.0, 0.5, (20_000, 1)) * np.ones(10)
    window, steady = drawn(rates, rng), drawn(rates, rng, gains=False)
    table = rate_table([[(window, steady)]])
    found = block_variation(table.replicates[0])
    assert found[0] == pytest.approx(BLOCK_GAIN_CV2, abs=0.03)
    assert found[1] == pytest.approx(0.0, abs=0.02)


def test_em_never_lowers_the_likelihood_and_finds_two_classes():
    rng = np.random.default_rng(1)
    grid = rate_grid(20.0)
    low, high = grid[4], grid[-4]
    before = np.repeat([low, high], 2000)
    after = np.where(rng.random(4000) < 0.25, np.where(before == low, high, low), before)
    pair = tuple(of_counts(rng.poisson(rates[:, None] / 2, (4000, 20))) for rates in (before, after))
    found, state = _found([pair])
    assert state == "ok"
    moved = [np.mean(after[before == each] != each) for each in (high, low)]
    np.testing.assert_allclose(found[:2], moved, atol=0.01)
    chances = [
        count_chances(np.arange(9.0), np.full(9, 600.0), np.full(9, 20.0), variation=0.2, grid=grid)
        for _ in range(2)
    ]
    counts = rng.integers(1, 50, (9, 9)).astype(float)
    joint = joint_rates(*chances, counts)
    assert joint.sum() == pytest.approx(1.0)
    flat = np.full_like(joint, 1 / joint.size)
    gain = [(counts * np.log(chances[0] @ each @ chances[1].T)).sum() for each in (flat, joint)]
    assert gain[1] > gain[0]


# Bias of the corrected transitions (active to silent, silent to active) that is left at 10 minutes, measured
# in 30 studies of 6 x 60 neurons: the stopped EM is a little too smooth. Naive bias beside it.
LEFT = {
    World.NULL: ((0.03, 0.15), (0.04, 0.20)),
    World.DRIFT: ((0.02, 0.04), (0.0, 0.08)),
    World.GAIN: ((0.02, 0.02), (0.02, 0.0)),
    World.RESHUFFLE: ((0.02, 0.05), (0.0, 0.0)),
    World.SWITCH: ((0.02, 0.02), (0.0, 0.0)),
}


@pytest.mark.parametrize("world", LEFT)
def test_the_truth_in_the_worlds_beside_the_naive_transitions(world):
    rng = np.random.default_rng(2)
    corrected, naive = [], []
    for _ in range(15):
        pairs, truths = world_pairs(world, rng)
        found, state = _found(pairs)
        assert state == "ok"
        corrected.append(found[:2] - _truth(truths))
        naive.append(found[2:] - _truth(truths))
    allowed, least_naive = LEFT[world]
    error = 3 * np.std(corrected, axis=0, ddof=1) / np.sqrt(len(corrected))
    assert (np.abs(np.mean(corrected, axis=0)) < np.array(allowed) + error).all()
    assert (np.abs(np.mean(naive, axis=0)) >= least_naive).all()


def test_the_naive_transitions_are_counted():
    before = of_counts([[9, 9, 9, 9]] * 12 + [[0, 0, 0, 0]] * 8)
    after = of_counts([[9, 9, 9, 9]] * 9 + [[0, 0, 0, 0]] * 9 + [[9, 9, 9, 9]] * 2)
    found, _ = _found([(before, after)])
    np.testing.assert_allclose(found[2:], [3 / 12, 2 / 8])


def test_groups_are_estimated_together_and_apart():
    rng = np.random.default_rng(3)
    pairs, _ = world_pairs(World.SWAP, rng, animals=2, n_neurons=80)
    both = rate_table([[pairs[0]], [pairs[1]]])
    assert transitions(both, np.array([0, 1]))[0] == pytest.approx(_found(pairs)[0], abs=1e-12)
    assert transitions(both, np.array([1]))[0] == pytest.approx(_found(pairs[1:])[0], abs=1e-12)


def test_fewer_than_three_blocks_are_not_enough():
    rng = np.random.default_rng(4)
    two, many = of_counts(rng.poisson(3.0, (40, 2))), of_counts(rng.poisson(3.0, (40, 6)))
    assert _found([(two, many)])[1] == FEW_BLOCKS
    assert np.isnan(_found([(two, many)])[0]).all()
    exposure = np.full((40, 6), 30.0)
    exposure[5:, 2:] = 0
    gone = of_counts(many.events * (exposure > 0), exposure_s=exposure)
    assert enough_blocks(gone, many).sum() == 5
    assert _found([(gone, many)])[1] == FEW_NEURONS


def test_silence_is_not_estimable():
    silent, busy = of_counts(np.zeros((40, 6))), of_counts(np.full((40, 6), 3.0))
    assert _found([(busy, silent)])[1] == FEW_EVENTS
    assert _found([])[1] == FEW_BLOCKS
