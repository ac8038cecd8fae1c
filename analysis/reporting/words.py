"""The words of the report: the headline, what became of controls and of the plan."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nwbswitch.analysis.reporting.printed_numbers import known, signed
from nwbswitch.analysis.verdicts.verdict import MIN_ANIMALS
from nwbswitch.schemas.stream_base import natural_order

VERDICT_WORDS = {
    "switch without tau_c": "switch, leaving tau_c aside",
    "switch": "switch",
    "reshuffle": "reshuffle",
    "partial": "partial remapping",
    "stable": "stable",
    "not_separable": "reshuffle or switch, not separable with these ROIs",
    "undecided": "undecided",
    "not_enough_animals": "not enough animals for a verdict",
}
_DID = {
    "switch": "switched the network: active neurons fell silent and silent ones became active",
    "reshuffle": "reshuffled the network: which neurons are active was dealt anew, which is no switch",
    "partial": "remapped part of the network: some neurons changed, others kept their activity",
    "stable": "left the pattern of activity stable",
    "not_separable": "changed which neurons are active, but these ROIs cannot tell a reshuffle from a switch",
    "undecided": "did something that these data cannot decide",
    "not_enough_animals": "was given to too few animals for a verdict",
}


MAX_TOLD = 2
"""More arms than this are told in short."""


def headline(result: Mapping[str, Any]) -> str:
    """Return one sentence with what every arm shows, the tested arms first, and every failed control.

    Of more than two tested arms it tells the verdict alone.
    """
    arms: Mapping[str, Any] = result["arms"]
    reference = result["reference"]
    controls = {reference, "none", *_controls(arms)}
    tested = sorted((name for name in arms if name not in controls), key=natural_order)
    if "none" not in arms and all(arm["verdict"] == "not_enough_animals" for arm in arms.values()):
        n = max(arm["n_animals"] for arm in arms.values())
        few = f"Too few animals for a verdict on {' and '.join(tested or arms)} ({n}; {MIN_ANIMALS} needed)"
        return few + _failure(*arms.values()) + "."
    if len(tested) > MAX_TOLD:
        named = [*tested, *([reference] if reference in arms else [])]
        return capital("; ".join(_in_short(name, arms[name]) for name in named)) + "."
    parts = [f"{name} {_did(arms[name])}{_evidence(arms[name])}{_failure(arms[name])}" for name in tested]
    if reference in arms and tested:
        control = arms[reference]
        if control["contrast"] == "drug":
            parts.append(f"under {reference} it was {verdict_words(control['verdict'])}{_failure(control)}")
        else:
            parts.append(f"{reference} {_did(control)}{_failure(control)}")
    elif reference in arms:
        parts.append(f"{reference} {_did(arms[reference])}{_failure(arms[reference])}")
    if "none" in arms and not parts:
        words = verdict_words(arms["none"]["verdict"])
        parts.append(
            "No drug was given, so all there is to see is the pseudo-injection inside the recording (N1): "
            + words
            + _failure(arms["none"])
        )
    return capital("; ".join(parts)) + "."


def _controls(arms: Mapping[str, Any]) -> set[str]:
    """Return the arms that others are compared with and that are compared with themselves only."""
    compared_with = {str(arm.get("reference")) for arm in arms.values()}
    return {name for name in compared_with & set(arms) if arms[name].get("reference") not in arms}


def verdict_words(verdict: str) -> str:
    """Return a verdict as words."""
    return VERDICT_WORDS.get(verdict, verdict.replace("_", " "))


def reason(step: Mapping[str, Any]) -> str:
    """Return one step of the rule as a sentence."""
    words = VERDICT_WORDS.get(step["rule"], step["rule"])
    if step["held"]:
        answer = "Yes"
    elif step["rule"] in ("not_enough_animals", "undecided"):
        answer = "No"
    else:
        answer = "No, this does not all hold"
    return f"{capital(typeset(words))}? {answer}: {typeset(step['sentence'])}."


def typeset(text: str) -> str:
    """Return text with the signs of print: ρ*, τ_c, ± and a true minus before a digit, none before zero."""
    text = re.sub(r"-(?=0\.0+(?!\d))", "", text)
    signs = text.replace("rho*", "ρ*").replace("rho_star", "ρ*").replace("tau_c", "τ_c").replace("+-", "±")
    return re.sub(r"(?<![\w.])-(?=\d)", "\u2212", signs)


@dataclass(frozen=True, slots=True)
class ControlTally:
    """How many negative controls there are of each outcome, and what the failed ones say."""

    passed: int
    inconclusive: int
    failed: int
    impossible: int
    failures: tuple[str, ...]

    @property
    def total(self) -> int:
        """All controls."""
        return self.passed + self.inconclusive + self.failed + self.impossible

    @property
    def sentence(self) -> str:
        """The tally in words."""
        if not self.total:
            return "No negative control could be had"
        others = [
            f"{count} {word}"
            for word, count in (
                ("passed", self.passed),
                ("inconclusive", self.inconclusive),
                ("impossible", self.impossible),
            )
            if count
        ]
        return f"{self.failed} failed of {self.total}" + (f": {', '.join(others)}" if others else "")


def counted_controls(result: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return the negative controls that count, each with its arm and its name.

    Controls of the reference arm count where they could be had: that arm cannot be compared with itself, and
    saying so is no finding.
    """
    reference = result["reference"]
    alone = set(result["arms"]) <= {reference}
    return [
        (arm, name, control)
        for arm, about in result["arms"].items()
        for name, control in about["controls"].items()
        if alone or arm != reference or control["outcome"] != "impossible"
    ]


def control_tally(result: Mapping[str, Any]) -> ControlTally:
    """Return the outcomes of the negative controls that count."""
    counted = [control for _, _, control in counted_controls(result)]
    outcomes = [control["outcome"] for control in counted]
    return ControlTally(
        passed=outcomes.count("passed"),
        inconclusive=outcomes.count("inconclusive"),
        failed=outcomes.count("failed"),
        impossible=outcomes.count("impossible"),
        failures=tuple(typeset(each["sentence"]) for each in counted if each["outcome"] == "failed"),
    )


def plan_sentence(plan: Mapping[str, Any] | None) -> str:
    """Return in one line whether the plan of the analysis was frozen before anybody knew the result."""
    if not plan or plan.get("status") == "never":
        return "Plan never frozen: this analysis was not fixed in advance."
    when = _date(plan.get("frozen_at"))
    on = f" on {when}" if when else ""
    blind = " The arms are coded." if plan.get("blinded") else ""
    if plan.get("status") == "changed":
        changes = [str(each) for each in plan.get("changes") or ()]
        shown = "; ".join(changes[:3]) + (f"; and {len(changes) - 3} more" if len(changes) > 3 else "")
        return f"Plan changed since it was frozen{on}: {shown or 'how is not stated'}.{blind}"
    earlier = len(plan.get("earlier") or ())
    again = f" It was frozen {earlier + 1} times, each time in another form." if earlier else ""
    return f"Plan frozen{on} and unchanged since.{again}{blind}"


def capital(word: str) -> str:
    """Return a word or sentence with its first letter in capitals."""
    return word[:1].upper() + word[1:]


def _date(stamp: Any) -> str:
    try:
        found = datetime.fromisoformat(str(stamp))
    except ValueError:
        return ""
    return f"{found.day} {found:%B %Y}"


def _did(arm: Mapping[str, Any]) -> str:
    if arm["verdict"] == "undecided" and arm["contrast"] != "drug":
        return "was recorded without a drug window"
    return _DID.get(arm["verdict"], verdict_words(arm["verdict"]))


def _in_short(name: str, arm: Mapping[str, Any]) -> str:
    rho = arm["estimands"].get("rho_star", {}).get("estimate")
    of_drug = arm["contrast"] == "drug" and known(rho)
    return (
        f"{name}: {verdict_words(arm['verdict'])}{f' (ρ* = {signed(rho)})' if of_drug else ''}{_failure(arm)}"
    )


def _failure(*arms: Mapping[str, Any]) -> str:
    names = {
        name: None
        for arm in arms
        for name, control in arm["controls"].items()
        if control["outcome"] == "failed"
    }
    if not names:
        return ""
    found = "a negative control failed" if len(names) == 1 else "negative controls failed"
    return f", and {found} ({', '.join(names)})"


def _evidence(arm: Mapping[str, Any]) -> str:
    rho = arm["estimands"].get("rho_star", {})
    of_drug = arm["contrast"] == "drug" and arm["verdict"] != "not_enough_animals"
    if not of_drug or not known(rho.get("ci_low")):
        return ""
    return f" (ρ* = {signed(rho['estimate'])}, 95 % CI {signed(rho['ci_low'])} to {signed(rho['ci_high'])})"
