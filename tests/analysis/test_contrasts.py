"""An arm against its reference: within animals, between animals, and both."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nwbswitch.analysis.estimands.animal_sums import AnimalSums, animal_sums
from nwbswitch.analysis.estimands.counts import DRUG, SessionCounts
from nwbswitch.analysis.estimands.primary import Layout, evaluate
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, simulate_study
from nwbswitch.analysis.verdicts.contrasts import ONE_ANIMAL, arm_estimates, difference_estimates

LAYOUT = Layout(3, (10,))


@pytest.fixture(scope="module")
def study() -> list[SessionCounts]:
    return simulate_study(SCENARIOS["swap"], n_animals=8, n_neurons=30, rng=np.random.default_rng(0))


def _sums(study: list[SessionCounts], arm: str, *without: str) -> AnimalSums:
    kept = [each for each in study if each.arm == arm and each.animal not in without]
    found = animal_sums(kept, DRUG, LAYOUT)
    assert found is not None
    return found


def test_the_estimate_is_the_ratio_of_sums(study: list[SessionCounts]) -> None:
    arm = _sums(study, "ketamine")
    found = arm_estimates(arm)
    total = arm.sums.sum(axis=0)
    for key, estimate in found.items():
        assert estimate.estimate == pytest.approx(float(evaluate(key, total, LAYOUT)), nan_ok=True)
        assert estimate.n_animals == 8
        assert estimate.n_neurons == 8 * 30
    assert found["naive_down", 0].estimable
    assert math.isnan(found["naive_down", 0].p)
    assert 0 < found["R_sil", 0].p <= 1


def test_within_animals_differences_are_paired_and_m_is_turned_around(study: list[SessionCounts]) -> None:
    drug, saline = _sums(study, "ketamine"), _sums(study, "saline")
    found = difference_estimates(drug, saline)
    one, two = arm_estimates(drug), arm_estimates(saline)
    assert found.design == "within"
    assert found.estimates["SW", 0].estimate == pytest.approx(one["SW", 0].estimate - two["SW", 0].estimate)
    rho, m = found.estimates["rho_star", 0], found.estimates["M", 0]
    assert (m.estimate, m.se, m.p) == (-rho.estimate, rho.se, rho.p)
    assert found.estimates["M", 0].df == 7


def test_animals_without_the_reference_are_left_out_and_counted(study: list[SessionCounts]) -> None:
    found = difference_estimates(_sums(study, "ketamine"), _sums(study, "saline", "m01", "m02"))
    assert (found.design, found.n_left_out, found.n_smaller) == ("within", 2, 6)


def test_with_few_animals_in_common_the_groups_are_compared(study: list[SessionCounts]) -> None:
    drug = _sums(study, "ketamine", "m07", "m08")
    saline = _sums(study, "saline", *(f"m0{place}" for place in range(1, 5)))
    found = difference_estimates(drug, saline)
    assert found.design == "between"
    assert (len(found.animals), len(found.others), found.n_left_out) == (6, 4, 0)
    # two animals are in both groups and exchange their sessions, the other six are dealt anew
    assert found.shared == [(4, 0), (5, 1)]
    assert found.estimates["SW", 0].estimable
    arrangements = found.estimates["SW", 0].p * 2**2 * math.comb(6, 4)
    assert arrangements == pytest.approx(round(arrangements))


def test_no_p_without_permutations(study: list[SessionCounts]) -> None:
    found = difference_estimates(_sums(study, "ketamine"), _sums(study, "saline"), permute=False)
    assert found.estimates["M", 0].estimable
    assert math.isnan(found.estimates["M", 0].p)


def test_one_animal_has_no_interval(study: list[SessionCounts]) -> None:
    others = tuple(f"m0{place}" for place in range(2, 9))
    found = arm_estimates(_sums(study, "ketamine", *others))
    assert found["G", 0].status == ONE_ANIMAL
    assert math.isfinite(found["G", 0].estimate)
