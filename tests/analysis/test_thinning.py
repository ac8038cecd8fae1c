"""Thinned sessions: the sums are those of the thinned counts, and a gain alone changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nwbswitch.analysis.estimands.counts import DRUG, SessionCounts, half_counts
from nwbswitch.analysis.estimands.primary import contrast_sums, net_drive, state_correlation, switch_index
from nwbswitch.analysis.estimands.thinning import PLAIN, thinned_sums
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, simulate_study


@pytest.fixture(scope="module")
def saline() -> list[SessionCounts]:
    study = simulate_study(SCENARIOS["no effect"], n_animals=4, n_neurons=40, rng=np.random.default_rng(1))
    return [each for each in study if each.arm == "saline"]


def _without_naive(sums: np.ndarray) -> np.ndarray:
    kept = sums.copy()
    PLAIN.naive(kept)[...] = 0
    for part in (PLAIN.active(kept), PLAIN.silent(kept)):
        part[..., 4:] = 0
    return kept


@pytest.mark.parametrize("gain", [-1.0, 1.0])
def test_the_first_sums_are_those_of_the_untouched_sessions(saline: list[SessionCounts], gain: float) -> None:
    doubled = [*saline, replace(saline[0], session="again")]
    animals, sums = thinned_sums(doubled, DRUG, {"m01": gain, "m03": gain}, repeats=3)
    assert animals == ("m01", "m03")
    assert sums.shape == (2, 4, PLAIN.size)
    for row, animal, times in zip(sums, animals, (2, 1), strict=True):
        session = next(each for each in saline if each.animal == animal)
        before, after, _ = half_counts(session, DRUG) or pytest.fail("no windows")
        assert np.allclose(row[0], times * _without_naive(contrast_sums(before, after, PLAIN)))


@pytest.mark.parametrize(("gain", "side"), [(-2.0, "after"), (2.0, "before")])
def test_thinned_sums_are_those_of_thinned_counts(
    saline: list[SessionCounts], gain: float, side: str
) -> None:
    session = saline[0]
    before, after, _ = half_counts(session, DRUG) or pytest.fail("no windows")
    _, sums = thinned_sums([session], DRUG, {session.animal: gain}, repeats=400, seed=5)
    rng = np.random.default_rng(0)
    by_hand = []
    for _ in range(400):
        counts = after if side == "after" else before
        fewer = replace(counts, events=rng.binomial(counts.events.astype(int), 0.25).astype(float))
        pair = (before, fewer) if side == "after" else (fewer, after)
        by_hand.append(_without_naive(contrast_sums(*pair, PLAIN)))
    found, known = sums[0, 1:], np.array(by_hand)
    se = np.sqrt((found.var(axis=0) + known.var(axis=0)) / 400)
    assert (np.abs(found.mean(axis=0) - known.mean(axis=0)) <= 4.5 * se + 1e-9).all()
    assert np.allclose(found.std(axis=0), known.std(axis=0), rtol=0.3, atol=1e-9)


@pytest.mark.parametrize("gain", [-3.0, -1.7, 1.7, 3.0])
def test_a_gain_moves_g_and_neither_sw_nor_rho(saline: list[SessionCounts], gain: float) -> None:
    _, sums = thinned_sums(saline, DRUG, {each.animal: gain for each in saline}, repeats=40)
    total = sums.sum(axis=0)
    change = {
        estimand: np.mean(estimand(total[1:], PLAIN)) - estimand(total[0], PLAIN)
        for estimand in (net_drive, switch_index, state_correlation)
    }
    assert change[net_drive] == pytest.approx(gain, abs=0.03)
    assert change[switch_index] == pytest.approx(0, abs=0.1)
    assert change[state_correlation] == pytest.approx(0, abs=0.02)


def test_no_gain_changes_nothing_and_the_seed_repeats(saline: list[SessionCounts]) -> None:
    gains = {each.animal: 0.0 for each in saline}
    sums = thinned_sums(saline, DRUG, gains, repeats=2)[1]
    assert (sums[:, 1:] == sums[:, :1]).all()
    gains = dict.fromkeys(gains, -1.0)
    one, again = (thinned_sums(saline, DRUG, gains, repeats=2, seed=4)[1] for _ in range(2))
    assert (one == again).all()
    assert (one != thinned_sums(saline, DRUG, gains, repeats=2, seed=5)[1]).any()


def test_animals_without_a_gain_or_without_windows_are_not_there(saline: list[SessionCounts]) -> None:
    bare = [replace(each, windows={}) for each in saline]
    animals, sums = thinned_sums(bare, DRUG, {"m01": 1.0}, repeats=2)
    assert animals == ()
    assert sums.shape == (0, 3, PLAIN.size)
