"""The design in one sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nwbswitch.analysis.counts import SessionCounts
from nwbswitch.analysis.design import design_sentence
from nwbswitch.analysis.simulate_counts import Scenario, simulate_study


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


def test_groups_of_animals(study: list[SessionCounts]) -> None:
    groups = [each for each in study if (each.arm == "saline") == (each.animal == "m01")]
    assert design_sentence(groups) == "4 animals: 3 received ketamine, 1 received saline."


def test_no_drug(study: list[SessionCounts]) -> None:
    assert design_sentence([replace(study[0], arm="")]) == "1 animal, no drug."
