"""The words of the report: the headline, the facts beside it and the methods."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nwbswitch.analysis.verdicts.verdict import MIN_ANIMALS

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
    "reshuffle": "reshuffled the network: which neurons are active was dealt anew, beyond nothing "
    "but not a switch",
    "partial": "remapped part of the network: some neurons changed, others kept their activity",
    "stable": "left the pattern of activity stable",
    "not_separable": "changed which neurons are active, but these ROIs cannot tell a reshuffle from a switch",
    "undecided": "did something that these data cannot decide",
    "not_enough_animals": "was given to too few animals for a verdict",
}


def headline(result: Mapping[str, Any]) -> str:
    """Return one sentence with what every arm shows, the tested arms first."""
    arms: Mapping[str, Any] = result["arms"]
    reference = result["reference"]
    tested = [name for name in arms if name != reference and name != "none"]
    if "none" not in arms and all(arm["verdict"] == "not_enough_animals" for arm in arms.values()):
        n = max(arm["n_animals"] for arm in arms.values())
        return f"Too few animals for a verdict on {' and '.join(tested or arms)} ({n}; {MIN_ANIMALS} needed)."
    parts = [f"{name} {_did(arms[name])}{_evidence(arms[name])}" for name in tested]
    if reference in arms and tested:
        control = arms[reference]
        failed = " (a negative control failed)" if any(_failed(arms[name]) for name in tested) else ""
        if control["contrast"] == "drug":
            parts.append(f"under {reference} it was {VERDICT_WORDS[control['verdict']]}{failed}")
        else:
            parts.append(f"{reference} {_did(control)}{failed}")
    elif reference in arms:
        parts.append(f"{reference} {_did(arms[reference])}")
    if "none" in arms and not parts:
        words = VERDICT_WORDS[arms["none"]["verdict"]]
        parts.append(
            "No drug was given, so all there is to see is the pseudo-injection inside the recording (N1): "
            + words
        )
    return _capital("; ".join(parts)) + "."


def reason(step: Mapping[str, Any]) -> str:
    """Return one step of the rule as a sentence."""
    words = VERDICT_WORDS.get(step["rule"], step["rule"])
    if step["held"]:
        answer = "Yes"
    elif step["rule"] in ("not_enough_animals", "undecided"):
        answer = "No"
    else:
        answer = "No, this does not all hold"
    return f"{_capital(typeset(words))}? {answer}: {typeset(step['sentence'])}."


def typeset(text: str) -> str:
    """Return text with the signs of print: ρ*, τ_c, ± and a true minus before a digit, none before zero."""
    text = re.sub(r"-(?=0\.0+(?!\d))", "", text)
    signs = text.replace("rho*", "ρ*").replace("tau_c", "τ_c").replace("+-", "±")
    return re.sub(r"(?<![\w.])-(?=\d)", "\u2212", signs)


def failed_controls(result: Mapping[str, Any]) -> list[str]:
    """Return the sentence of every failed negative control."""
    return [
        typeset(control["sentence"])
        for arm in result["arms"].values()
        for control in arm["controls"].values()
        if control["outcome"] == "failed"
    ]


def methods(result: Mapping[str, Any], measured: Mapping[str, Any], version: str) -> list[str]:
    """Return the methods as paragraphs to put into a paper.

    Parameters
    ----------
    result
        Content of ``result.json``.
    measured
        Parameters of `measure`; may be empty when the cells table does not state them.
    version
        Version of nwbswitch.
    """
    limits = ", ".join(str(k) for k in result["tau_c_limits"]) or "none"
    reference = result["reference"] or "the pseudo-injection of the same recording"
    dealt = any(arm["design"] == "between" for arm in result["arms"].values())
    exact = "sign flips over animals" + (", between groups relabellings of animals," if dealt else ",")
    return [
        _measuring(measured, version),
        f"Estimates concern {result['cell_type']} neurons. G is the log2 ratio of population event "
        "rates. R_act and R_sil are the log2 responses of the top 25 % and bottom 50 % of neurons, "
        "selected on one interleaved half of the baseline and compared with the other half; SW is "
        "their difference. rho* is the correlation of square-root rates before and after, corrected "
        f"for attenuation by split-half covariances; M is the loss of rho* against {reference}. tau_c "
        f"is the conditional Kendall correlation (detection limits: {limits}).",
        "The animal is the unit: values are ratios of sums over animals with a jackknife over animals "
        f"and t intervals. P values are from exact {exact} given only where the number of "
        f"animals supports them. The equivalence margin was {result['margin']:g}; the seed was "
        f"{result['seed']}. The primary test is that of M; all other tests are exploratory.",
        "Negative controls: N1 compares a pseudo-injection inside the baseline at the same lag between "
        "arms, N2 the reference arm with its own pseudo-injection. A failed control turns the verdict "
        "into undecided.",
    ]


def _measuring(measured: Mapping[str, Any], version: str) -> str:
    names = ("threshold_sd", "neuropil_coefficient", "block_s")
    if any(name not in measured for name in names):
        return (
            f"Estimates were made with nwbswitch {version}. The table of cells does not say how activity "
            "was measured; state it here."
        )
    threshold, neuropil, block = (measured[name] for name in names)
    return (
        f"Activity was measured with nwbswitch {version}. An event is an upward crossing, lasting at "
        f"least 0.4 s, of {threshold:g} times the noise of a neuron's baseline in dF/F, one absolute "
        f"level per neuron for all windows (neuropil coefficient {neuropil:g}). Events and exposure "
        f"were summed in blocks of {block:g} s."
    )


def signed(value: float) -> str:
    """Return a number with two decimals, a true minus sign and no negative zero."""
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "\u2212")


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


def _did(arm: Mapping[str, Any]) -> str:
    if arm["verdict"] == "undecided" and arm["contrast"] != "drug":
        return "was recorded without a drug window"
    return _DID[arm["verdict"]]


def _failed(arm: Mapping[str, Any]) -> bool:
    return any(control["outcome"] == "failed" for control in arm["controls"].values())


def _evidence(arm: Mapping[str, Any]) -> str:
    rho = arm["estimands"].get("rho_star", {})
    of_drug = arm["contrast"] == "drug" and arm["verdict"] != "not_enough_animals"
    if not of_drug or rho.get("ci_low") is None:
        return ""
    return f" (ρ* = {signed(rho['estimate'])}, 95 % CI {signed(rho['ci_low'])} to {signed(rho['ci_high'])})"
