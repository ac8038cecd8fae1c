"""Negative controls fail when something is there, and only then."""

from __future__ import annotations

import pytest

from nwbswitch.analysis.verdicts.contrasts import Difference
from nwbswitch.analysis.verdicts.controls import Check, Outcome, judge, replicates
from nwbswitch.analysis.verdicts.pooling import Estimate

ANIMALS = tuple("abcdefgh")


def _check(m: Estimate, *, r_act: float = 0.0, r_sil: float = 0.0, one_sided: bool = False) -> Check:
    estimates = {
        ("M", 0): m,
        ("R_act", 0): Estimate(r_act, 0.1, 7),
        ("R_sil", 0): Estimate(r_sil, 0.1, 7),
    }
    return Check("N1", "this against that", Difference(estimates, "within", ANIMALS, ANIMALS, 0), one_sided)


@pytest.mark.parametrize(
    ("estimate", "se", "outcome"),
    [
        (0.00, 0.05, Outcome.PASSED),
        (0.15, 0.03, Outcome.PASSED),  # P = .002, but shown to be inside the margin
        (0.00, 0.30, Outcome.INCONCLUSIVE),
        (0.40, 0.05, Outcome.FAILED),
        (-0.40, 0.05, Outcome.FAILED),
        (0.40, 0.30, Outcome.INCONCLUSIVE),
    ],
)
def test_a_control_fails_by_remapping_that_is_both_shown_and_not_small(
    estimate: float, se: float, outcome: Outcome
) -> None:
    (control,) = judge("ketamine", [_check(Estimate(estimate, se, 7))], margin=0.25)
    assert control.outcome is outcome
    assert f"M = {estimate:.2f}" in control.sentence


def test_a_one_sided_control_ignores_less_remapping_than_in_the_reference() -> None:
    (control,) = judge("ketamine", [_check(Estimate(-0.4, 0.05, 7), one_sided=True)], margin=0.25)
    assert control.outcome is Outcome.INCONCLUSIVE
    (control,) = judge("ketamine", [_check(Estimate(0.4, 0.05, 7), one_sided=True)], margin=0.25)
    assert control.outcome is Outcome.FAILED


def test_the_controls_of_an_arm_share_one_error() -> None:
    # t = 2.6 with 7 df: P = .035 alone, .07 as the smaller of two
    weak, nothing = Estimate(0.26, 0.10, 7), Estimate(0.0, 0.1, 7)
    assert judge("x", [_check(weak)], margin=0.25)[0].outcome is Outcome.FAILED
    assert judge("x", [_check(weak), _check(nothing)], margin=0.25)[0].outcome is Outcome.INCONCLUSIVE


def test_the_claimed_pattern_without_a_drug_is_a_failure() -> None:
    wide = Estimate(0.1, 0.2, 7)
    (control,) = judge("x", [_check(wide, r_act=-1.0, r_sil=1.0)], margin=0.25)
    assert control.outcome is Outcome.FAILED
    assert "falling" in control.sentence
    (control,) = judge("x", [_check(wide, r_act=1.0, r_sil=1.0)], margin=0.25)
    assert control.outcome is Outcome.INCONCLUSIVE


def test_what_cannot_be_had_is_said_and_does_not_fail() -> None:
    impossible = Check("N1", "no pseudo-injection windows", None)
    undefined = _check(Estimate(float("nan"), status="not estimable: undefined"))
    first, second = judge("x", [impossible, undefined], margin=0.25)
    assert first.outcome is Outcome.IMPOSSIBLE
    assert first.sentence == "N1 impossible here: no pseudo-injection windows."
    assert second.outcome is Outcome.INCONCLUSIVE
    assert "not estimable" in second.sentence


def test_the_pattern_needs_both_intervals() -> None:
    assert replicates(Estimate(-1, 0.1, 5), Estimate(1, 0.1, 5))
    assert not replicates(Estimate(-1, 0.1, 5), Estimate(1, 1, 5))
    assert not replicates(Estimate(-1, 0.1, 5), Estimate(float("nan"), status="lost"))
