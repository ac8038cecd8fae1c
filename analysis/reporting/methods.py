"""The methods of an analysis as text to put into a paper, with the works it cites."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nwbswitch.analysis.reporting.words import typeset

REFERENCES = {
    "anscombe": "Anscombe FJ (1948) The transformation of Poisson, binomial and negative-binomial data. "
    "Biometrika 35:246-254.",
    "bates": "Bates D, Mächler M, Bolker B, Walker S (2015) Fitting linear mixed-effects models using lme4. "
    "J Stat Softw 67(1).",
    "cichon": "Cichon J et al. (2022) Ketamine triggers a switch in excitatory neuronal activity across "
    "neocortex. Nature Neuroscience 26:39-52. doi:10.1038/s41593-022-01203-5.",
    "kenward": "Kenward MG, Roger JH (1997) Small sample inference for fixed effects from restricted maximum "
    "likelihood. Biometrics 53:983.",
    "knapp": "Knapp G, Hartung J (2003) Improved tests for a random effects meta-regression with a single "
    "covariate. Stat Med 22:2693-2710.",
    "viechtbauer": "Viechtbauer W (2010) Conducting meta-analyses in R with the metafor package. "
    "J Stat Softw 36(3).",
}


def methods(
    result: Mapping[str, Any],
    measured: Mapping[str, Any],
    version: str,
    *,
    pooled: bool = False,
    modelled: bool = False,
) -> list[str]:
    """Return the methods as paragraphs.

    Parameters
    ----------
    result
        Content of ``result.json``.
    measured
        Parameters of `measure`; may be empty when the cells table does not state them.
    version
        Version of nwbswitch.
    pooled, modelled
        Whether effects were pooled, and a mixed model was fitted.
    """
    limits = ", ".join(str(k) for k in result["tau_c_limits"]) or "none"
    reference = result["reference"] or "the pseudo-injection of the same recording"
    dealt = any(arm.get("design") == "between" for arm in result["arms"].values())
    exact = "sign flips over animals" + (", between groups relabellings of animals," if dealt else ",")
    names = sorted({name for arm in result["arms"].values() for name in arm["controls"]})
    controls = "; ".join(f"{name} {_CONTROLS[name]}" for name in names if name in _CONTROLS)
    paragraphs = [
        "The question is whether a drug silences active neurons and turns on silent ones, as reported for "
        "ketamine (Cichon et al. 2022), or whether it scales, reshuffles or spares the pattern of activity.",
        _measuring(measured, version),
        f"Estimates concern {result['cell_type']} neurons. G is the log2 ratio of population event "
        "rates. R_act and R_sil are the log2 responses of the top 25 % and bottom 50 % of neurons, "
        "selected on one interleaved half of the baseline and compared with the other half; SW is "
        "their difference. rho* is the correlation of square-root rates before and after (square roots "
        "stabilise the variance of counts: Anscombe 1948), corrected for attenuation by split-half "
        f"covariances; M is the loss of rho* against {reference}. tau_c is the conditional Kendall "
        f"correlation (detection limits: {limits}).",
        "The animal is the unit: values are ratios of sums over animals with a jackknife over animals "
        f"and t intervals. P values are from exact {exact} given only where the number of "
        f"animals supports them. The equivalence margin was {result['margin']:g}; the seed was "
        f"{result['seed']}. The primary test is that of M; all other tests are exploratory unless a role is "
        "stated beside them.",
        (f"Negative controls: {controls}. " if controls else "No negative control could be had. ")
        + "A failed control turns the verdict into undecided.",
    ]
    if modelled:
        paragraphs.append(
            "Mixed models were fitted as in lme4 (Bates et al. 2015); where stated, with Kenward and Roger's "
            "(1997) standard errors and degrees of freedom."
        )
    if pooled:
        paragraphs.append(
            "Effects were pooled by random-effects meta-analysis with the conventions of metafor "
            "(Viechtbauer 2010) and, where stated, Knapp and Hartung's (2003) intervals."
        )
    return [typeset(paragraph) for paragraph in paragraphs]


def references(*, pooled: bool = False, modelled: bool = False) -> list[str]:
    """Return the works that `methods` cites, in the order of the alphabet."""
    keys = {"anscombe", "cichon"}
    keys |= {"bates", "kenward"} if modelled else set()
    keys |= {"knapp", "viechtbauer"} if pooled else set()
    return [REFERENCES[key] for key in sorted(keys)]


_CONTROLS = {
    "N1": "compares a pseudo-injection inside the baseline at the same lag between arms",
    "N2": "the reference arm with its own pseudo-injection",
    "N3": "permutes the labels of arms",
    "N4": "takes ROIs of a static marker, which cannot respond",
    "N5": "thins the more active window to the other's mean rate, which must leave the pattern as it is",
}


def _measuring(measured: Mapping[str, Any], version: str) -> str:
    names = ("threshold_sd", "neuropil_coefficient", "block_s")
    if any(name not in measured for name in names):
        return (
            f"Estimates were made with nwbswitch {version}. The table of cells does not say how activity "
            "was measured; state it here."
        )
    threshold, neuropil, block = (measured[name] for name in names)
    share = f"{neuropil:g}" if isinstance(neuropil, int | float) else "fitted to each neuron"
    return (
        f"Activity was measured with nwbswitch {version}. An event is an upward crossing, lasting at "
        f"least 0.4 s, of {threshold:g} times the noise of a neuron's baseline in dF/F, one absolute "
        f"level per neuron for all windows (neuropil coefficient {share}). Events and exposure "
        f"were summed in blocks of {block:g} s."
    )
