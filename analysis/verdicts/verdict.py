"""The verdict of an arm: one word from an ordered rule, with every step and its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from nwbswitch.analysis.estimands.pairing import ENOUGH_ANIMALS
from nwbswitch.analysis.verdicts.controls import EQUIVALENCE_LEVEL, Control, Outcome, replicates
from nwbswitch.analysis.verdicts.pooling import ALPHA, Estimate

MIN_ANIMALS = ENOUGH_ANIMALS
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
    """The word and why.

    Attributes
    ----------
    without_controls
        The word that the estimates alone would have; ``word`` is another one when a control failed.
    controls
        The negative controls that were looked at.
    """

    word: Word
    reasons: tuple[Reason, ...]
    without_controls: Word
    controls: tuple[Control, ...] = ()

    @property
    def meaning(self) -> str:
        """What the word means."""
        return MEANING[self.word]

    @property
    def failed(self) -> tuple[Control, ...]:
        """The negative controls that failed."""
        return tuple(each for each in self.controls if each.outcome is Outcome.FAILED)

    @property
    def downgraded(self) -> bool:
        """Whether a failed control took the word away that the estimates would have had."""
        return self.word is not self.without_controls

    @property
    def decided(self) -> bool:
        """Whether the word says what the arm shows, rather than why nothing can be said."""
        return self.word not in (Word.NOT_ENOUGH_ANIMALS, Word.UNDECIDED)

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, the negative controls in it."""
        why = self.meaning if self.decided else self.reasons[-1].sentence
        if self.word is Word.NOT_ENOUGH_ANIMALS and self.failed:
            why += f"; and {_failures(self.failed)}"
        if self.failed:
            return f"{self.word}: {why}"
        told = ", ".join(
            f"{_and(names)} {words}"
            for outcome, words in _TOLD.items()
            if (names := [each.name for each in self.controls if each.outcome is outcome])
        )
        return f"{self.word}: {why}" + (f" (negative controls: {told})" if told else "")


_TOLD = {
    Outcome.PASSED: "passed",
    Outcome.INCONCLUSIVE: "inconclusive",
    Outcome.IMPOSSIBLE: "impossible here",
}


def _failures(failed: Sequence[Control]) -> str:
    return _and([f"{each.name} failed: {each.finding}" for each in failed])


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def decide(evidence: Evidence, *, margin: float = MARGIN) -> Verdict:
    """Return the verdict of one arm; the steps are tried in order and the first that holds decides.

    A failed negative control makes it undecided, whatever the estimates say; `Verdict.without_controls`
    keeps what they say.

    Parameters
    ----------
    evidence
        Estimates and controls of the arm.
    margin
        Largest correlation, and loss of correlation, that counts as none; fixed before the data are seen.
    """
    word, reasons = _without_controls(evidence, margin)
    controls = tuple(evidence.controls)
    failed = [control for control in controls if control.outcome is Outcome.FAILED]
    if not failed or word is Word.NOT_ENOUGH_ANIMALS:
        return Verdict(word, tuple(reasons), word, controls)
    read = f"{reasons[-1].sentence}; and" if word is Word.UNDECIDED else f"the estimates read as {word}, but"
    reasons = [reasons[0], Reason("undecided", True, f"{read} {_failures(failed)}")]
    return Verdict(Word.UNDECIDED, tuple(reasons), word, controls)


def _without_controls(evidence: Evidence, margin: float) -> tuple[Word, list[Reason]]:
    reasons: list[Reason] = []

    def step(rule: str, held: bool, sentence: str) -> bool:
        reasons.append(Reason(rule, held, sentence))
        return held

    n = evidence.n_animals
    few = f"{n} animal{'s' * (n != 1)}, {MIN_ANIMALS} needed"
    if step("not_enough_animals", n < MIN_ANIMALS, few):
        return Word.NOT_ENOUGH_ANIMALS, reasons
    rho, r_act, r_sil, m = evidence.rho, evidence.r_act, evidence.r_sil, evidence.m
    if rho is None or r_act is None or r_sil is None or m is None:
        step("undecided", True, f"nothing to compare with: {evidence.reference}")
        return Word.UNDECIDED, reasons
    held, sentence = _unusable(rho, r_act, r_sil, m)
    if step("undecided", held, sentence):
        return Word.UNDECIDED, reasons

    held, sentence = _anticorrelated(evidence, rho, r_act, r_sil, margin)
    if step("switch without tau_c", held, sentence):
        held, sentence = _beyond_detection(evidence)
        word = Word.SWITCH if step("switch", held, sentence) else Word.NOT_SEPARABLE
        return word, reasons

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
            return word, reasons
    step("undecided", True, "none of the words is shown")
    return Word.UNDECIDED, reasons


def _unusable(rho: Estimate, r_act: Estimate, r_sil: Estimate, m: Estimate) -> tuple[bool, str]:
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
