"""Negative controls fail when something is there, and only then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nwbswitch.analysis.verdicts.contrasts import Difference
from nwbswitch.analysis.verdicts.controls import (
    Check,
    Control,
    Outcome,
    Quantity,
    inside,
    judge,
    remapping_check,
    replicates,
)
from nwbswitch.analysis.verdicts.pooling import Estimate

ANIMALS = tuple("abcdefgh")
LOST = Estimate(float("nan"), status="not estimable: undefined")


def _check(m: Estimate, *, r_act: float = 0.0, r_sil: float = 0.0, one_sided: bool = False) -> Check:
    estimates = {
        ("M", 0): m,
        ("R_act", 0): Estimate(r_act, 0.1, 7),
        ("R_sil", 0): Estimate(r_sil, 0.1, 7),
    }
    difference = Difference(estimates, "within", ANIMALS, ANIMALS, 0)
    return remapping_check("N1", "this against that", difference, margin=0.25, one_sided=one_sided)


def _outcome(check: Check, *others: Check) -> Outcome:
    return judge("ketamine", [check, *others])[0].outcome


@pytest.mark.parametrize(
    ("estimate", "se", "outcome"),
    [
        (0.00, 0.05, Outcome.PASSED),
        (0.15, 0.03, Outcome.PASSED),  # P = .002, but shown to be inside the margin
        (0.00, 0.30, Outcome.INCONCLUSIVE),
        (0.40, 0.05, Outcome.FAILED),
        (-0.40, 0.05, Outcome.FAILED),
        (0.40, 0.30, Outcome.INCONCLUSIVE),
        (0.20, 0.05, Outcome.INCONCLUSIVE),  # P = .005, but a drift smaller than the margin
    ],
)
def test_a_control_fails_by_remapping_that_is_both_shown_and_not_small(
    estimate: float, se: float, outcome: Outcome
) -> None:
    (control,) = judge("ketamine", [_check(Estimate(estimate, se, 7))])
    assert control.outcome is outcome
    assert f"M = {estimate:.2f}" in control.sentence
    assert control.m == Estimate(estimate, se, 7)


def test_a_one_sided_control_ignores_less_remapping_than_in_the_reference() -> None:
    assert _outcome(_check(Estimate(-0.4, 0.05, 7), one_sided=True)) is Outcome.INCONCLUSIVE
    assert _outcome(_check(Estimate(0.4, 0.05, 7), one_sided=True)) is Outcome.FAILED


def test_the_controls_of_an_arm_share_one_error() -> None:
    # t = 2.6 with 7 df: P = .035 alone, .07 as the smaller of two
    weak, nothing = Estimate(0.26, 0.10, 7), Estimate(0.0, 0.1, 7)
    assert _outcome(_check(weak)) is Outcome.FAILED
    assert _outcome(_check(weak), _check(nothing)) is Outcome.INCONCLUSIVE
    two = Check("N5", "x", (Quantity.within(0.25, "SW", weak), Quantity.within(0.25, "M", nothing)))
    assert _outcome(two) is Outcome.INCONCLUSIVE
    # what cannot be had spends none of it
    assert _outcome(_check(weak), Check("N2", "there is no reference"), _check(LOST)) is Outcome.FAILED


def test_the_claimed_pattern_without_a_drug_is_a_failure() -> None:
    wide = Estimate(0.1, 0.2, 7)
    (control,) = judge("x", [_check(wide, r_act=-1.0, r_sil=1.0)])
    assert control.outcome is Outcome.FAILED
    assert "falling" in control.sentence
    assert _outcome(_check(wide, r_act=1.0, r_sil=1.0)) is Outcome.INCONCLUSIVE


def test_what_cannot_be_had_is_said_and_does_not_fail() -> None:
    impossible = remapping_check("N1", "no pseudo-injection windows", None, margin=0.25)
    first, second = judge("x", [impossible, _check(LOST)])
    assert first.outcome is Outcome.IMPOSSIBLE
    assert first.sentence == "N1 impossible here: no pseudo-injection windows."
    assert first.finding == "impossible here: no pseudo-injection windows"
    assert first.m is None
    assert second.outcome is Outcome.INCONCLUSIVE
    assert "not estimable" in second.sentence


def test_a_number_that_is_not_needed_may_be_missing() -> None:
    small = Quantity.within(0.05, "events/min", Estimate(0.0, 0.01, 7))
    for needed, outcome in ((False, Outcome.PASSED), (True, Outcome.INCONCLUSIVE)):
        lost = replace(small, name="G", estimate=LOST, needed=needed)
        check = Check("N4", "x", (small, lost), absent="shows nothing")
        (control,) = judge("x", [check])
        assert control.outcome is outcome
        assert "G not estimable: undefined" in control.sentence


def test_the_pattern_needs_both_intervals() -> None:
    assert replicates(Estimate(-1, 0.1, 5), Estimate(1, 0.1, 5))
    assert not replicates(Estimate(-1, 0.1, 5), Estimate(1, 1, 5))
    assert not replicates(Estimate(-1, 0.1, 5), Estimate(float("nan"), status="lost"))


def test_inside_is_two_one_sided_tests() -> None:
    # 90 % interval of 0.1 with SE 0.05 and 7 df: 0.005 to 0.195
    assert inside(Estimate(0.1, 0.05, 7), 0.2)
    assert not inside(Estimate(0.1, 0.05, 7), 0.19)
    assert not inside(LOST, 10.0)


def test_a_finding_is_the_sentence_for_use_in_another() -> None:
    control = Control("N2", "x", Outcome.FAILED, "N2 (saline) shows remapping: M = 1.")
    assert control.finding == "(saline) shows remapping: M = 1"
