"""The ordered rule, word by word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nwbswitch.analysis.verdicts.controls import Control, Outcome
from nwbswitch.analysis.verdicts.pooling import Estimate
from nwbswitch.analysis.verdicts.verdict import MEANING, Evidence, Word, decide

LOST = Estimate(float("nan"), status="not estimable: split-half reliability below .3")


def _estimate(value: float, se: float = 0.04, p: float = 0.001) -> Estimate:
    return Estimate(value, se, 7, p)


SWITCH = Evidence(
    n_animals=8,
    reference="saline",
    rho=_estimate(-0.5),
    r_act=_estimate(-3),
    r_sil=_estimate(2),
    m=_estimate(1.5),
    r_sil_above_noise=True,
    tau={20: _estimate(-0.4), 40: _estimate(-0.3)},
    anatomical=False,
    controls=(Control("N1", "ketamine", Outcome.PASSED, "N1 passed."),),
)
RESHUFFLE = replace(
    SWITCH, rho=_estimate(0.02), m=_estimate(1.0), tau={20: _estimate(0.0), 40: _estimate(0.01)}
)
FAILED = Control("N2", "ketamine", Outcome.FAILED, "N2 shows remapping.")
OPEN = Control("N2", "ketamine", Outcome.INCONCLUSIVE, "N2 is open.")
IMPOSSIBLE = Control("N1", "ketamine", Outcome.IMPOSSIBLE, "N1 impossible here.")


@pytest.mark.parametrize(
    ("evidence", "word"),
    [
        (SWITCH, Word.SWITCH),
        (replace(SWITCH, n_animals=6), Word.SWITCH),
        (replace(SWITCH, n_animals=5), Word.NOT_ENOUGH_ANIMALS),
        (replace(SWITCH, n_animals=5, controls=(FAILED,)), Word.NOT_ENOUGH_ANIMALS),
        (replace(SWITCH, controls=(FAILED,)), Word.UNDECIDED),
        (replace(SWITCH, controls=(OPEN, IMPOSSIBLE)), Word.SWITCH),
        (replace(SWITCH, rho=LOST), Word.UNDECIDED),
        (replace(SWITCH, r_sil=LOST), Word.UNDECIDED),
        (replace(SWITCH, m=None, r_act=None, r_sil=None), Word.UNDECIDED),
        # tau_c must hold over the whole sweep, unless ROIs are anatomical
        (replace(SWITCH, tau={20: _estimate(-0.4), 40: _estimate(0.0)}), Word.NOT_SEPARABLE),
        (replace(SWITCH, tau={20: _estimate(-0.4), 40: LOST}), Word.NOT_SEPARABLE),
        (replace(SWITCH, tau={}), Word.NOT_SEPARABLE),
        (replace(SWITCH, tau={}, anatomical=True), Word.SWITCH),
        # every part of the claim is needed
        (replace(SWITCH, r_act=_estimate(-0.05)), Word.UNDECIDED),
        (replace(SWITCH, r_sil=_estimate(2, p=0.06)), Word.UNDECIDED),
        (replace(SWITCH, r_sil=_estimate(2, p=float("nan"))), Word.UNDECIDED),
        (replace(SWITCH, r_sil_above_noise=False), Word.UNDECIDED),
        # a rho* that is below 0 by less than the margin is a reshuffle where tau_c does not guard it
        (replace(SWITCH, rho=_estimate(-0.12), anatomical=True), Word.RESHUFFLE),
        (replace(SWITCH, rho=_estimate(-0.12)), Word.SWITCH),
        (RESHUFFLE, Word.RESHUFFLE),
        (replace(RESHUFFLE, rho=_estimate(0.02, se=0.2)), Word.UNDECIDED),
        # detection pushes rho* down: what tau_c shows to be kept is no reshuffle
        (replace(RESHUFFLE, tau={20: _estimate(0.0), 40: _estimate(0.2)}), Word.UNDECIDED),
        (replace(RESHUFFLE, tau={40: _estimate(0.2)}, anatomical=True), Word.RESHUFFLE),
        (replace(RESHUFFLE, m=_estimate(0.02)), Word.STABLE),
        (replace(RESHUFFLE, rho=_estimate(0.95), m=_estimate(0.1)), Word.STABLE),
        (replace(RESHUFFLE, rho=_estimate(0.5), m=_estimate(0.45)), Word.PARTIAL),
        (replace(RESHUFFLE, rho=_estimate(0.95), m=_estimate(0.3)), Word.UNDECIDED),
        (replace(RESHUFFLE, rho=_estimate(0.5, se=0.3), m=_estimate(0.45)), Word.UNDECIDED),
    ],
)
def test_the_rule_in_its_order(evidence: Evidence, word: Word) -> None:
    verdict = decide(evidence)
    assert verdict.word is word, [each.sentence for each in verdict.reasons]
    assert verdict.reasons[-1].held or word is Word.NOT_SEPARABLE
    assert verdict.meaning == MEANING[word]


def test_every_step_gives_its_numbers() -> None:
    reasons = decide(RESHUFFLE).reasons
    assert [each.rule for each in reasons] == [
        "not_enough_animals",
        "undecided",
        "switch without tau_c",
        "reshuffle",
    ]
    assert "rho* = 0.02 (90% CI -0.06 to 0.10) inside +-0.25" in reasons[-1].sentence
    assert "M = 1.00" in reasons[-1].sentence


def test_the_margin_is_an_argument_fixed_beforehand() -> None:
    assert decide(RESHUFFLE, margin=0.05).word is Word.UNDECIDED


def test_a_failed_control_downgrades_in_the_same_sentence() -> None:
    verdict = decide(replace(SWITCH, controls=(FAILED, OPEN)))
    assert verdict.word is Word.UNDECIDED
    assert verdict.without_controls is Word.SWITCH
    assert verdict.downgraded
    assert verdict.failed == (FAILED,)
    told = "the estimates read as switch, but N2 failed: shows remapping"
    assert verdict.reasons[-1].sentence == told
    assert verdict.sentence == f"undecided: {told}"
    both = decide(replace(RESHUFFLE, controls=(FAILED, replace(FAILED, name="N5", sentence="N5 (x) y."))))
    assert both.sentence == (
        "undecided: the estimates read as reshuffle, but N2 failed: shows remapping and N5 failed: (x) y"
    )


def test_what_is_undecided_anyway_also_names_the_failed_control() -> None:
    verdict = decide(replace(SWITCH, rho=LOST, controls=(FAILED,)))
    assert (verdict.word, verdict.without_controls) == (Word.UNDECIDED, Word.UNDECIDED)
    assert not verdict.downgraded
    assert verdict.sentence == f"undecided: rho* {LOST.status}; and N2 failed: shows remapping"
    few = decide(replace(SWITCH, n_animals=4, controls=(FAILED,)))
    assert few.sentence == "not_enough_animals: 4 animals, 6 needed; and N2 failed: shows remapping"


def test_the_sentence_says_which_controls_stand_behind_it() -> None:
    passed = SWITCH.controls[0]
    verdict = decide(replace(SWITCH, controls=(passed, OPEN, IMPOSSIBLE)))
    assert verdict.sentence == (
        f"switch: {MEANING[Word.SWITCH]} (negative controls: N1 passed, N2 inconclusive, N1 impossible here)"
    )
    assert decide(replace(SWITCH, controls=())).sentence == f"switch: {MEANING[Word.SWITCH]}"
    assert (
        "nothing to compare with: no drug window"
        in decide(replace(SWITCH, m=None, reference="no drug window", controls=())).sentence
    )
