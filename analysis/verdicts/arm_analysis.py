"""One arm from counts to verdict: its estimates, its difference from the reference, its controls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.estimands.animal_sums import AnimalSums, animal_sums, detection_limits
from nwbswitch.analysis.estimands.counts import DRUG, PSEUDO, Contrast, SessionCounts
from nwbswitch.analysis.estimands.primary import Key, Layout, silent_response_above_noise
from nwbswitch.analysis.verdicts.contrasts import Difference, arm_estimates, difference_estimates
from nwbswitch.analysis.verdicts.controls import Check, Control, judge
from nwbswitch.analysis.verdicts.pooling import Estimate, jackknife, jackknife_between
from nwbswitch.analysis.verdicts.verdict import Evidence, Verdict, decide

NO_DRUG = "none"
"""Name of the arm of recordings without any administration."""
REFERENCES = ("saline", "vehicle")
OWN_PSEUDO = "its own pseudo-injection"
_NO_PSEUDO = "no pseudo-injection windows; the baseline must be at least twice the lag"


@dataclass(frozen=True, slots=True)
class ArmResult:
    """Everything about one arm and cell type.

    Attributes
    ----------
    drug, pseudo
        Sums per animal of the two contrasts; None when no session has the windows.
    drug_estimates, pseudo_estimates
        Pooled estimates by name and detection limit.
    reference
        The arm it is compared with, `OWN_PSEUDO`, or empty.
    difference, pseudo_difference
        Against the reference, in the drug windows and in the pseudo-injection.
    compared, compared_sessions, compared_contrast
        What ``difference`` takes away: sums per animal, their sessions and which windows.
    """

    arm: str
    sessions: tuple[SessionCounts, ...]
    drug: AnimalSums | None
    pseudo: AnimalSums | None
    drug_estimates: dict[Key, Estimate]
    pseudo_estimates: dict[Key, Estimate]
    reference: str
    difference: Difference | None
    pseudo_difference: Difference | None
    compared: AnimalSums | None
    compared_sessions: tuple[SessionCounts, ...]
    compared_contrast: Contrast
    controls: tuple[Control, ...]
    verdict: Verdict

    @property
    def layout(self) -> Layout | None:
        """Layout of the sums; None when no session has a pair of windows."""
        sums = self.drug or self.pseudo
        return sums.layout if sums else None

    @property
    def contrast_name(self) -> str:
        """Name of the difference in tables: vs_<reference>, or vs_pseudo."""
        return "vs_pseudo" if self.reference == OWN_PSEUDO else f"vs_{self.reference}"

    @property
    def n_animals(self) -> int:
        """Animals that contribute to the arm."""
        sums = self.drug or self.pseudo
        return len(sums.animals) if sums else 0


def arm_key(session: SessionCounts) -> str:
    """Return the arm of a session, `NO_DRUG` when nothing was given."""
    return session.arm or NO_DRUG


def find_reference(arms: Sequence[str], wanted: str | None) -> str | None:
    """Return the reference arm: the wanted one, else saline, else vehicle, else None.

    Raises
    ------
    ValueError
        When the wanted arm is not there.
    """
    if wanted is not None:
        if wanted not in arms:
            raise ValueError(f"no arm {wanted!r} in these cells; the arms are {', '.join(sorted(arms))}")
        return wanted
    return next((name for name in REFERENCES if name in arms), None)


def analyse_arms(
    sessions: Sequence[SessionCounts],
    *,
    reference: str | None,
    margin: float,
    limits: Sequence[int] | None,
    draws: int,
    seed: int,
) -> dict[str, ArmResult]:
    """Return the result of every arm of one cell type, arms sorted by name.

    Parameters
    ----------
    sessions
        Sessions of one cell type.
    reference
        Name of the reference arm, None when there is none.
    limits
        Detection limits of tau_c; None derives them from the data (see `detection_limits`).
    """
    by_arm: dict[str, list[SessionCounts]] = {}
    for session in sessions:
        by_arm.setdefault(arm_key(session), []).append(session)
    if limits is None:
        limits = detection_limits(sessions, DRUG) or detection_limits(sessions, PSEUDO)
    layout = Layout(draws, tuple(limits))
    drug = {arm: animal_sums(own, DRUG, layout, seed=seed) for arm, own in by_arm.items()}
    pseudo = {arm: animal_sums(own, PSEUDO, layout, seed=seed) for arm, own in by_arm.items()}
    control = (
        None
        if reference is None
        else _ReferenceSums(reference, tuple(by_arm[reference]), drug[reference], pseudo[reference])
    )
    return {
        arm: _analyse(arm, tuple(own), drug[arm], pseudo[arm], control, margin=margin, seed=seed)
        for arm, own in sorted(by_arm.items())
    }


@dataclass(frozen=True, slots=True)
class _ReferenceSums:
    arm: str
    sessions: tuple[SessionCounts, ...]
    drug: AnimalSums | None
    pseudo: AnimalSums | None


def _analyse(
    arm: str,
    sessions: tuple[SessionCounts, ...],
    drug: AnimalSums | None,
    pseudo: AnimalSums | None,
    reference: _ReferenceSums | None,
    *,
    margin: float,
    seed: int,
) -> ArmResult:
    if reference is not None and reference.arm == arm:
        reference = None
        own_role = "the pseudo-injection is what this arm is compared with"
    else:
        what = f"{reference.arm} has no drug window" if reference else "there is no reference arm"
        own_role = f"{what}, and the pseudo-injection takes its place"
    difference = pseudo_difference = None
    compared: AnimalSums | None = None
    words, compared_sessions, compared_contrast = "", sessions, PSEUDO
    if drug is not None and reference is not None and reference.drug is not None:
        words, compared = reference.arm, reference.drug
        compared_sessions, compared_contrast = reference.sessions, DRUG
    elif drug is not None and pseudo is not None:
        words, compared = OWN_PSEUDO, pseudo
    checks: list[Check] = []
    if drug is not None and compared is not None:
        difference = difference_estimates(drug, compared, seed=seed)
    if reference is not None and words == reference.arm:
        if pseudo is not None and reference.pseudo is not None:
            pseudo_difference = difference_estimates(pseudo, reference.pseudo, permute=False)
        checks = _checks(arm, reference, pseudo_difference)
    elif drug is not None:
        checks = [Check("N1", own_role if pseudo is not None else _NO_PSEUDO, None)]
    controls = judge(arm, checks, margin=margin)
    drug_estimates = arm_estimates(drug, seed=seed) if drug else {}
    evidence = Evidence(
        n_animals=_n_animals(drug, pseudo, difference),
        reference=words or ("no reference arm and no pseudo-injection" if drug else "no drug window"),
        rho=drug_estimates.get(("rho_star", 0)),
        r_act=difference.estimates["R_act", 0] if difference else None,
        r_sil=difference.estimates["R_sil", 0] if difference else None,
        m=difference.estimates["M", 0] if difference else None,
        r_sil_above_noise=_above_noise(drug, compared, difference),
        tau={k: each for (name, k), each in drug_estimates.items() if name == "tau_c"},
        anatomical=all(session.anatomical for session in sessions),
        controls=controls,
    )
    return ArmResult(
        arm=arm,
        sessions=sessions,
        drug=drug,
        pseudo=pseudo,
        drug_estimates=drug_estimates,
        pseudo_estimates=arm_estimates(pseudo, seed=seed) if pseudo else {},
        reference=words,
        difference=difference,
        pseudo_difference=pseudo_difference,
        compared=compared,
        compared_sessions=compared_sessions,
        compared_contrast=compared_contrast,
        controls=controls,
        verdict=decide(evidence, margin=margin),
    )


def _checks(arm: str, reference: _ReferenceSums, pseudo_difference: Difference | None) -> list[Check]:
    what = f"pseudo-injection in the baseline of {arm} against that of {reference.arm} sessions"
    first = Check("N1", what if pseudo_difference else _NO_PSEUDO, pseudo_difference)
    if reference.drug is None or reference.pseudo is None:
        return [first, Check("N2", f"{reference.arm} sessions have {_NO_PSEUDO}", None)]
    own = difference_estimates(reference.drug, reference.pseudo, permute=False)
    second = Check("N2", f"{reference.arm} against {OWN_PSEUDO}", own, one_sided=True)
    return [first, second]


def _n_animals(drug: AnimalSums | None, pseudo: AnimalSums | None, difference: Difference | None) -> int:
    if difference is not None:
        return difference.n_smaller
    sums = drug or pseudo
    return len(sums.animals) if sums else 0


def _above_noise(drug: AnimalSums | None, compared: AnimalSums | None, difference: Difference | None) -> bool:
    """Return whether R_sil against the reference stays above 0 without the negative transients."""
    if drug is None or compared is None or difference is None:
        return False
    layout = drug.layout
    one, two = drug.rows(difference.animals), compared.rows(difference.others)

    def response(sums: np.ndarray) -> np.ndarray:
        return silent_response_above_noise(sums[..., 0, :], layout)

    if difference.design == "within":
        both = np.concatenate([one, two], axis=1)
        found = jackknife(lambda sums: response(sums) - response(sums[..., 1:, :]), both)
    else:
        found = jackknife_between(response, one, two, [])
    estimate = Estimate(*found)
    return math.isfinite(estimate.estimate) and estimate.interval()[0] > 0
