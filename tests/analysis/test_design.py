"""The design in one sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nwbswitch.analysis.designs.design import design_sentence
from nwbswitch.analysis.estimands.counts import SessionCounts
from nwbswitch.analysis.simulation.count_studies import Scenario, simulate_study


@pytest.fixture(scope="module")
def study() -> list[SessionCounts]:
    return simulate_study(Scenario(), n_animals=4, n_neurons=2, window_s=60, rng=np.random.default_rng(0))


def test_a_counterbalanced_crossover(study: list[SessionCounts]) -> None:
    assert design_sentence(study) == (
        "4 animals, each received ketamine and saline in counterbalanced order."
    )


def test_a_crossover_in_one_order(study: list[SessionCounts]) -> None:
    fixed = [replace(each, order=1 if each.arm == "saline" else 2) for each in study]
    assert design_sentence(fixed) == "4 animals, each received ketamine and saline in the same order."


def test_an_uneven_order_is_called_varying(study: list[SessionCounts]) -> None:
    uneven = [
        replace(each, order=1 if (each.arm == "saline") == (each.animal != "m01") else 2) for each in study
    ]
    assert design_sentence(uneven) == "4 animals, each received ketamine and saline in varying order."


def test_an_arm_that_is_always_last_is_not_counterbalanced(study: list[SessionCounts]) -> None:
    last = [replace(each, arm="MK-801", order=3) for each in study if each.arm == "saline"]
    words = "4 animals, each received MK-801, ketamine and saline in varying order."
    assert design_sentence([*study, *last]) == words


def test_one_animal_has_no_order_to_compare(study: list[SessionCounts]) -> None:
    one = [each for each in study if each.animal == "m01"]
    assert design_sentence(one) == "1 animal, received ketamine and saline."
    undrugged = [replace(each, arm="") if each.arm == "saline" else each for each in one]
    assert design_sentence(undrugged) == "1 animal, received ketamine and no drug."


def test_groups_of_animals(study: list[SessionCounts]) -> None:
    groups = [each for each in study if (each.arm == "saline") == (each.animal == "m01")]
    assert design_sentence(groups) == "4 animals: 3 received ketamine, 1 received saline."


def test_no_drug(study: list[SessionCounts]) -> None:
    assert design_sentence([replace(study[0], arm="")]) == "1 animal, no drug."
