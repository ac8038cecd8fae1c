"""N3: the rule under all exchanges of labels, against the rule itself applied to exchanged sessions."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest

from nwbswitch.analysis.estimands.animal_sums import AnimalSums, animal_sums
from nwbswitch.analysis.estimands.counts import DRUG, SessionCounts
from nwbswitch.analysis.estimands.primary import Layout
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, simulate_study
from nwbswitch.analysis.verdicts.contrasts import arm_estimates, difference_estimates
from nwbswitch.analysis.verdicts.controls import Outcome, inside, replicates
from nwbswitch.analysis.verdicts.permuted_labels import (
    LARGEST_SHARE,
    PermutedLabels,
    label_control,
    permuted_labels,
)

LAYOUT = Layout(0, ())


def _arms(world: str, n: int, design: str = "crossover", seed: int = 1) -> tuple[AnimalSums, AnimalSums]:
    study = simulate_study(
        SCENARIOS[world],
        n_animals=n,
        n_neurons=(20, 40),
        window_s=240,
        rng=np.random.default_rng(seed),
        design="between" if design == "between" else "crossover",
    )
    return _sums(study, "ketamine"), _sums(study, "saline")


def _sums(study: list[SessionCounts], arm: str) -> AnimalSums:
    found = animal_sums([each for each in study if each.arm == arm], DRUG, LAYOUT)
    assert found is not None
    return found


def _by_hand(arms: list[tuple[AnimalSums, AnimalSums]]) -> PermutedLabels:
    switch, remapping, values = [], [], []
    for one, two in arms:
        found = difference_estimates(one, two, permute=False).estimates
        rho, m = arm_estimates(one)["rho_star", 0], found["M", 0]
        switch.append(
            rho.interval()[1] < 0
            and not inside(rho, 0.25)
            and replicates(found["R_act", 0], found["R_sil", 0])
        )
        remapping.append(m.interval()[0] > 0 and not inside(m, 0.25))
        values.append(m.estimate)
    return PermutedLabels(np.array(switch), np.array(remapping), np.array(values), True)


def _same(found: PermutedLabels, known: PermutedLabels) -> None:
    one, two = (np.argsort(np.round(each.m, 9), kind="stable") for each in (found, known))
    assert found.complete
    assert np.allclose(found.m[one], known.m[two])
    assert found.switch.sum() == known.switch.sum() > 0
    assert found.remapping.sum() == known.remapping.sum() > 0
    assert np.allclose(np.sort(found.m[found.remapping]), np.sort(known.m[known.remapping]))


def test_within_animals_it_is_the_rule_for_every_exchange_of_sessions() -> None:
    drug, saline = _arms("switch", 6)
    difference = difference_estimates(drug, saline)
    found = permuted_labels(drug, saline, difference, margin=0.25, anatomical=True)
    exchanged = []
    for choice in product((False, True), repeat=6):
        pick = np.array(choice)[:, None]
        one = replace(drug, sums=np.where(pick, saline.sums, drug.sums))
        exchanged.append((one, replace(saline, sums=np.where(pick, drug.sums, saline.sums))))
    _same(found, _by_hand(exchanged))
    assert found.switch[0]
    # P of M is the share of arrangements at least as far from 0
    p = np.mean(np.abs(found.m) >= abs(found.m[0]) * (1 - 1e-9))
    assert difference.estimates["M", 0].p == pytest.approx(p)


def test_between_animals_it_is_the_rule_for_every_deal_of_animals() -> None:
    drug, saline = _arms("switch", 4, "between")
    found = permuted_labels(drug, saline, difference_estimates(drug, saline), margin=0.25, anatomical=True)
    rows, names = np.concatenate([drug.sums, saline.sums]), [*drug.animals, *saline.animals]
    dealt = []
    for chosen in combinations(range(8), 4):
        groups = [list(chosen), [each for each in range(8) if each not in chosen]]
        dealt.append(
            tuple(
                replace(drug, sums=rows[group], animals=tuple(names[each] for each in group))
                for group in groups
            )
        )
    _same(found, _by_hand(dealt))


def test_animals_in_both_groups_exchange_and_keep_their_covariance() -> None:
    drug, saline = _arms("switch", 8)
    kept = [0, 1, 2, 3, 4], [4, 5, 6, 7]
    one, two = (
        replace(each, sums=each.sums[rows], animals=tuple(each.animals[row] for row in rows))
        for each, rows in zip((drug, saline), kept, strict=True)
    )
    one, two = (
        replace(each, n_sessions=(1,) * len(each.animals), neurons=each.neurons[: len(each.animals)])
        for each in (one, two)
    )
    difference = difference_estimates(one, two)
    assert (difference.design, len(difference.shared)) == ("between", 1)
    found = permuted_labels(one, two, difference, margin=0.25, anatomical=True)
    assert found.m.size == 2 * 35
    known = difference.estimates["M", 0]
    assert found.m[0] == pytest.approx(known.estimate)
    assert found.remapping[0] == (known.interval()[0] > 0)
    p = np.mean(np.abs(found.m) >= abs(found.m[0]) * (1 - 1e-9))
    assert known.p == pytest.approx(p)


@pytest.mark.parametrize(("world", "design"), [("no effect", "crossover"), ("switch", "between")])
def test_it_passes_without_an_effect_and_with_one(world: str, design: str) -> None:
    drug, saline = _arms(world, 9, design)
    control = label_control(
        "ketamine", drug, saline, difference_estimates(drug, saline), margin=0.25, anatomical=True
    )
    assert control.outcome is Outcome.PASSED, control.sentence
    assert "of 257 arrangements" in control.sentence


def test_an_interval_that_relabelling_does_not_support_fails() -> None:
    """Five animals remap and one does not: t shows it, and 4 of 64 exchanges are as extreme."""
    drug, saline = _arms("no effect", 6)
    saline = replace(saline, sums=np.tile(saline.sums[0], (6, 1)))
    drug = replace(drug, sums=saline.sums.copy())
    across = LAYOUT.covariance(drug.sums)[:, 0]
    across[:5] = 0
    across[5] *= 1.1
    difference = difference_estimates(drug, saline)
    m = difference.estimates["M", 0]
    assert m.interval()[0] > 0
    assert m.p > 0.05
    control = label_control("ketamine", drug, saline, difference, margin=0.25, anatomical=True)
    assert control.outcome is Outcome.FAILED
    assert "does not support the interval of M" in control.sentence


def test_a_strong_effect_in_unequal_animals_does_not_fail() -> None:
    """Three animals hold most neurons: whatever the other five are called, intervals show the effect."""
    drug, saline = _arms("switch", 8)
    large = np.array([50.0] * 3 + [1.0] * 5)[:, None]
    drug, saline = (replace(each, sums=each.sums * large) for each in (drug, saline))
    difference = difference_estimates(drug, saline)
    found = permuted_labels(drug, saline, difference, margin=0.25, anatomical=False)
    assert found.remapping.mean() > LARGEST_SHARE
    control = label_control("ketamine", drug, saline, difference, margin=0.25, anatomical=False)
    assert control.outcome is Outcome.INCONCLUSIVE
    assert "so that the exact P decides" in control.sentence


def test_too_few_animals_are_said() -> None:
    drug, saline = _arms("no effect", 4)
    control = label_control(
        "ketamine", drug, saline, difference_estimates(drug, saline), margin=0.25, anatomical=True
    )
    assert control.outcome is Outcome.IMPOSSIBLE
    assert control.sentence == ("N3 impossible here: exchanging labels of 4 animals cannot give a P of 5 %.")


def test_what_is_not_estimable_is_inconclusive() -> None:
    drug, saline = _arms("no effect", 6)
    empty = replace(drug, sums=drug.sums.copy())
    LAYOUT.covariance(empty.sums)[:] = 0
    control = label_control(
        "ketamine", empty, saline, difference_estimates(empty, saline), margin=0.25, anatomical=True
    )
    assert control.outcome is Outcome.INCONCLUSIVE
    assert "not estimable" in control.sentence
