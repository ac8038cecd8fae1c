"""The verdict of an arm: one word from an ordered rule, with every step and its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from nwbswitch.analysis.verdicts.controls import EQUIVALENCE_LEVEL, Control, Outcome, replicates
from nwbswitch.analysis.verdicts.pooling import ALPHA, Estimate

MIN_ANIMALS = 6
MARGIN = 0.25


class Word(StrEnum):
    """What an arm shows."""

    SWITCH = "switch"
    RESHUFFLE = "reshuffle"
    PARTIAL = "partial"
    STABLE = "stable"
    NOT_SEPARABLE = "not_separable"
    UNDECIDED = "undecided"
    NOT_ENOUGH_ANIMALS = "not_enough_animals"


MEANING: dict[Word, str] = {
    Word.SWITCH: "active neurons fall silent and silent neurons become active, beyond any reshuffle",
    Word.RESHUFFLE: "activity is dealt anew between neurons, without regard to what they did before",
    Word.PARTIAL: "part of the pattern of activity is lost, part is kept",
    Word.STABLE: "the pattern of activity is kept, whatever the common gain",
    Word.NOT_SEPARABLE: "reshuffle or switch, not separable with these ROIs",
    Word.UNDECIDED: "the data decide for none of the words",
    Word.NOT_ENOUGH_ANIMALS: f"fewer than {MIN_ANIMALS} animals; estimates are shown without a verdict",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the rule looks at, for one arm.

    Attributes
    ----------
    n_animals
        Animals of the smaller side of the comparison.
    reference
        What the arm is compared with, in words; empty when there is nothing.
    rho
        rho* of the arm.
    r_act, r_sil, m
        Against the reference; None without one.
    r_sil_above_noise
        Whether R_sil stays above 0 against the reference when negative transients are taken off.
    tau
        tau_c of the arm for each detection limit.
    anatomical
        Whether all ROIs were found without regard to activity.
    controls
        The negative controls.
    """

    n_animals: int
    reference: str
    rho: Estimate | None
    r_act: Estimate | None
    r_sil: Estimate | None
    m: Estimate | None
    r_sil_above_noise: bool
    tau: dict[int, Estimate]
    anatomical: bool
    controls: Sequence[Control]


@dataclass(frozen=True, slots=True)
class Reason:
    """One step of the rule: its name, whether it held, and the numbers in a sentence."""

    rule: str
    held: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The word and why."""

    word: Word
    reasons: tuple[Reason, ...]

    @property
    def meaning(self) -> str:
        """What the word means."""
        return MEANING[self.word]


def decide(evidence: Evidence, *, margin: float = MARGIN) -> Verdict:
    """Return the verdict of one arm; the steps are tried in order and the first that holds decides.

    Parameters
    ----------
    evidence
        Estimates and controls of the arm.
    margin
        Largest correlation, and loss of correlation, that counts as none; fixed before the data are seen.
    """
    reasons: list[Reason] = []

    def step(rule: str, held: bool, sentence: str) -> bool:
        reasons.append(Reason(rule, held, sentence))
        return held

    n = evidence.n_animals
    few = f"{n} animal{'s' * (n != 1)}, {MIN_ANIMALS} needed"
    if step("not_enough_animals", n < MIN_ANIMALS, few):
        return Verdict(Word.NOT_ENOUGH_ANIMALS, tuple(reasons))
    rho, r_act, r_sil, m = evidence.rho, evidence.r_act, evidence.r_sil, evidence.m
    if rho is None or r_act is None or r_sil is None or m is None:
        step("undecided", True, f"nothing to compare with: {evidence.reference}")
        return Verdict(Word.UNDECIDED, tuple(reasons))
    held, sentence = _unusable(evidence, rho, r_act, r_sil, m)
    if step("undecided", held, sentence):
        return Verdict(Word.UNDECIDED, tuple(reasons))

    held, sentence = _anticorrelated(evidence, rho, r_act, r_sil, margin)
    if step("switch without tau_c", held, sentence):
        held, sentence = _beyond_detection(evidence)
        word = Word.SWITCH if step("switch", held, sentence) else Word.NOT_SEPARABLE
        return Verdict(word, tuple(reasons))

    low90, high90 = rho.interval(EQUIVALENCE_LEVEL)
    low95, high95 = rho.interval()
    m_low, m_high = m.interval()
    m_low90, m_high90 = m.interval(EQUIVALENCE_LEVEL)
    lost = f"M = {m.estimate:.2f} (95% CI {m_low:.2f} to {m_high:.2f})"
    order_kept, order = _order_kept(evidence)
    ordered = [
        (
            Word.RESHUFFLE,
            -margin < low90 and high90 < margin and m_low > 0 and not order_kept,
            f"rho* = {rho.estimate:.2f} (90% CI {low90:.2f} to {high90:.2f}) inside +-{margin:g}, "
            f"and {lost} above 0{order}",
        ),
        (
            Word.STABLE,
            -margin < m_low90 and m_high90 < margin,
            f"M = {m.estimate:.2f} (90% CI {m_low90:.2f} to {m_high90:.2f}) inside +-{margin:g}",
        ),
        (
            Word.PARTIAL,
            low95 > 0 and high95 < 1 and m_low > 0,
            f"rho* = {rho.estimate:.2f} (95% CI {low95:.2f} to {high95:.2f}) inside (0, 1), "
            f"and {lost} above 0",
        ),
    ]
    for word, held, sentence in ordered:
        if step(word.value, held, sentence):
            return Verdict(word, tuple(reasons))
    step("undecided", True, "none of the words is shown")
    return Verdict(Word.UNDECIDED, tuple(reasons))


def _unusable(
    evidence: Evidence, rho: Estimate, r_act: Estimate, r_sil: Estimate, m: Estimate
) -> tuple[bool, str]:
    failed = [control for control in evidence.controls if control.outcome is Outcome.FAILED]
    if failed:
        sentences = " ".join(control.sentence for control in failed)
        return True, f"negative control failed: {sentences.rstrip('.')}"
    needed = {"rho*": rho, "R_act": r_act, "R_sil": r_sil, "M": m}
    lost = [f"{name} {each.status}" for name, each in needed.items() if not each.estimable]
    if lost:
        return True, "; ".join(lost)
    return False, "no negative control failed and all estimands are estimable"


def _anticorrelated(
    evidence: Evidence, rho: Estimate, r_act: Estimate, r_sil: Estimate, margin: float
) -> tuple[bool, str]:
    low, high = rho.interval()
    low90, high90 = rho.interval(EQUIVALENCE_LEVEL)
    # Without tau_c to guard it, one in forty reshuffles would have a rho* just below 0: a correlation
    # inside the margin is none. Activity-based ROIs have tau_c, and a rho* that detection pushes down.
    none = evidence.anatomical and -margin < low90 and high90 < margin
    below = high < 0 and not none
    pattern = replicates(r_act, r_sil)
    agree = all(each.p < ALPHA for each in (rho, r_act, r_sil))
    against = f"against {evidence.reference}"
    parts = [f"rho* = {rho.estimate:.2f} (95% CI {low:.2f} to {high:.2f}, {_p_words(rho)}) below 0"]
    if high < 0 and none:
        parts[0] += (
            f", but no further than the margin (90% CI {low90:.2f} to {high90:.2f} inside +-{margin:g})"
        )
    for name, each, side in (("R_act", r_act, "below"), ("R_sil", r_sil, "above")):
        first, last = each.interval()
        parts.append(
            f"{name} = {each.estimate:.2f} (95% CI {first:.2f} to {last:.2f}, {_p_words(each)}) "
            f"{side} 0 {against}"
        )
    if below and pattern and not evidence.r_sil_above_noise:
        parts.append("but false events could make R_sil: it is not above 0 without the negative transients")
    return below and pattern and agree and evidence.r_sil_above_noise, ", ".join(parts)


def _p_words(estimate: Estimate) -> str:
    return f"permutation P {estimate.p:.3g}" if math.isfinite(estimate.p) else "no permutation P"


def _order_kept(evidence: Evidence) -> tuple[bool, str]:
    """Return whether tau_c shows that part of the order of neurons is kept, and the words for it.

    Detection that depends on activity pushes rho* down, so that a partial change can look like a
    reshuffle; tau_c is free of it.
    """
    if evidence.anatomical:
        return False, ""
    above = {k: tau for k, tau in evidence.tau.items() if tau.interval()[0] > 0}
    if not above:
        return False, ", tau_c not above 0 at any detection limit"
    k, tau = max(above.items(), key=lambda item: item[1].interval()[0])
    low, high = tau.interval()
    return (
        True,
        f", but tau_c = {tau.estimate:.2f} (95% CI {low:.2f} to {high:.2f}) at k {k} shows order kept",
    )


def _beyond_detection(evidence: Evidence) -> tuple[bool, str]:
    if evidence.anatomical:
        return True, "ROIs were found without regard to activity, tau_c is not needed"
    shown = []
    for k, tau in evidence.tau.items():
        low, high = tau.interval()
        shown.append(f"k {k}: {tau.estimate:.2f} ({low:.2f} to {high:.2f})")
    held = bool(evidence.tau) and all(tau.interval()[1] < 0 for tau in evidence.tau.values())
    return held, "tau_c (95% CI) below 0 at every detection limit: " + ("; ".join(shown) or "no limit found")
