"""N5: a gain alone changes nothing, and what depends on the number of events would be noticed."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from nwbswitch.analysis.estimands.animal_sums import AnimalSums, animal_sums
from nwbswitch.analysis.estimands.counts import DRUG, Floats, SessionCounts
from nwbswitch.analysis.estimands.primary import Layout, state_correlation
from nwbswitch.analysis.estimands.thinning import PLAIN, thinned_sums
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, simulate_study
from nwbswitch.analysis.verdicts.contrasts import Difference, difference_estimates
from nwbswitch.analysis.verdicts.controls import Control, Outcome, judge
from nwbswitch.analysis.verdicts.gain_thinning import SW_TOLERANCE, thinning_check
from nwbswitch.analysis.verdicts.pooling import Estimate


def _study(world: str, *, design: str = "crossover") -> list[SessionCounts]:
    rng = np.random.default_rng(3)
    return simulate_study(
        SCENARIOS[world],
        n_animals=6,
        n_neurons=40,
        rng=rng,
        design="between" if design == "between" else "crossover",
    )


def _sums(sessions: list[SessionCounts]) -> AnimalSums:
    found = animal_sums(sessions, DRUG, Layout(0, ()))
    assert found is not None
    return found


def _control(study: list[SessionCounts], *, gain: float | None = None) -> Control:
    arms = {arm: [each for each in study if each.arm == arm] for arm in ("ketamine", "saline")}
    drug, saline = _sums(arms["ketamine"]), _sums(arms["saline"])
    difference: Difference = difference_estimates(drug, saline, permute=False)
    if gain is not None:
        difference = replace(difference, estimates=difference.estimates | {("G", 0): Estimate(gain)})
    check = thinning_check(drug, saline, arms["saline"], DRUG, difference, margin=0.25, of="saline sessions")
    return judge("ketamine", [check])[0]


@pytest.mark.parametrize("world", ["no effect", "gain", "switch"])
def test_a_gain_alone_passes_whatever_else_the_drug_does(world: str) -> None:
    control = _control(_study(world))
    assert control.outcome is Outcome.PASSED, control.sentence
    assert abs(control.estimates["SW"].estimate) < SW_TOLERANCE / 2
    assert abs(control.estimates["M"].estimate) < 0.05


def test_the_gain_is_that_of_the_drug_and_said() -> None:
    sentence = _control(_study("gain")).sentence
    assert sentence.startswith("N5 (windows of saline sessions thinned by the gain of the drug, 2^-1.")
    assert "baselines of saline sessions" in _control(_study("gain", design="between"), gain=2.0).sentence


def test_groups_of_other_animals_are_thinned_by_the_pooled_gain() -> None:
    control = _control(_study("gain", design="between"))
    assert control.outcome is Outcome.PASSED
    stated = re.search(r"2\^(-[\d.]+)\)", control.sentence)
    assert stated is not None
    assert float(stated[1]) == pytest.approx(math.log2(0.3), abs=0.3)


def test_too_few_events_after_thinning_are_inconclusive_and_never_a_pass() -> None:
    control = _control(_study("no effect", design="between"), gain=-9.0)
    assert control.outcome is Outcome.INCONCLUSIVE
    assert "after thinning" in control.sentence


def test_an_unknown_gain_makes_it_impossible() -> None:
    control = _control(_study("no effect"), gain=math.nan)
    assert control.outcome is Outcome.IMPOSSIBLE
    assert control.sentence.startswith("N5 impossible here: the gain of the drug is")


def test_a_correlation_that_depends_on_the_number_of_events_would_be_noticed() -> None:
    """The plain correlation of rates falls under a gain, by more than the margin; rho* does not."""
    saline = [each for each in _study("no effect") if each.arm == "saline"]
    _, sums = thinned_sums(saline, DRUG, {each.animal: -5.6 for each in saline}, repeats=10)

    def plain(total: Floats) -> Floats:
        across, _, _, b1, b2, p1, p2 = np.moveaxis(PLAIN.covariance(total), -1, 0)
        return np.asarray(across / np.sqrt((b1 + b2) * (p1 + p2) / 4))

    found = plain(sums.sum(axis=0))
    assert found[0] > 0.8
    assert found[1:].mean() < found[0] - 0.25
    corrected = state_correlation(sums.sum(axis=0), PLAIN)
    assert corrected[1:].mean() == pytest.approx(corrected[0], abs=0.1)
