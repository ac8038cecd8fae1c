"""The six worlds keep the properties that the calibration of the estimands rests on."""

from __future__ import annotations

import numpy as np
import pytest

from nwbswitch.schemas import worlds
from nwbswitch.schemas.worlds import World, baseline_rates, block_gains, rates_after

N = 20_000


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


def test_baseline_rates_have_the_stated_mean_and_spread(rng: np.random.Generator) -> None:
    logs = np.log(baseline_rates(200_000, rng))
    variance = np.log1p(worlds.RATE_CV**2)
    assert logs.mean() == pytest.approx(np.log(3) - variance / 2, abs=0.01)
    assert logs.var() == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize("world", list(World))
def test_the_callers_rates_are_not_changed(world: World, rng: np.random.Generator) -> None:
    before = baseline_rates(60, rng)
    kept = before.copy()
    after = rates_after(world, before, rng)
    assert np.array_equal(before, kept)
    assert after.shape == before.shape
    assert not np.shares_memory(after, before)
    assert (after > 0).all()


@pytest.mark.parametrize("world", [World.NULL, World.GAIN, World.RESHUFFLE])
def test_worlds_without_drift_keep_or_permute_the_rates_exactly(
    world: World, rng: np.random.Generator
) -> None:
    before = baseline_rates(N, rng)
    after = rates_after(world, before, rng)
    if world is World.RESHUFFLE:
        assert np.array_equal(np.sort(after), np.sort(before))
        assert abs(np.corrcoef(np.log(after), np.log(before))[0, 1]) < 0.03
    else:
        factor = 1.0 if world is World.NULL else 0.3
        assert np.allclose(after, factor * before)


def test_drift_has_mean_one_and_log_sd_point_six(rng: np.random.Generator) -> None:
    before = baseline_rates(N, rng)
    factor = rates_after(World.DRIFT, before, rng) / before
    assert factor.mean() == pytest.approx(1, abs=0.02)
    assert np.log(factor).std() == pytest.approx(0.6, abs=0.01)


def test_switch_reverses_ranks_up_to_drift(rng: np.random.Generator) -> None:
    before = baseline_rates(N, rng)
    log_after = np.log(rates_after(World.SWITCH, before, rng))
    reversed_log = np.log(np.sort(before)[::-1][np.argsort(np.argsort(before))])
    factor = log_after - reversed_log
    assert factor.mean() == pytest.approx(-0.18, abs=0.02)
    assert abs(np.corrcoef(factor, np.log(before))[0, 1]) < 0.03


def test_swap_changes_forty_percent_and_keeps_the_rest(rng: np.random.Generator) -> None:
    before = baseline_rates(1_000, rng)
    changed = rates_after(World.SWAP, before, rng) != before
    assert changed.sum() == 400
    assert abs(np.corrcoef(changed, np.log(before))[0, 1]) < 0.1


def test_block_gains_have_mean_one_and_half_variance(rng: np.random.Generator) -> None:
    gains = block_gains((1_000, 200), rng)
    assert gains.shape == (1_000, 200)
    assert gains.mean() == pytest.approx(1, abs=0.01)
    assert gains.var() == pytest.approx(0.5, abs=0.02)


def test_every_world_says_what_it_is() -> None:
    assert set(worlds.MEANING) == set(World)
