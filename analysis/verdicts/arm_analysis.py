"""One arm from counts to verdict: its estimates, its difference from the reference, its controls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.estimands.animal_sums import AnimalSums, animal_sums, detection_limits
from nwbswitch.analysis.estimands.counts import DRUG, PSEUDO, Contrast, SessionCounts
from nwbswitch.analysis.estimands.primary import Key, Layout, silent_response_above_noise
from nwbswitch.analysis.verdicts.arm_controls import TESTED, Controlled, arm_controls
from nwbswitch.analysis.verdicts.arm_sums import OWN_PSEUDO, ArmSums, compared_with
from nwbswitch.analysis.verdicts.contrasts import Difference, arm_estimates, difference_estimates
from nwbswitch.analysis.verdicts.controls import CONTROLS, Control
from nwbswitch.analysis.verdicts.pooling import Estimate, jackknife, jackknife_between
from nwbswitch.analysis.verdicts.verdict import Evidence, Verdict, decide

NO_DRUG = "none"
"""Name of the arm of recordings without any administration."""
REFERENCES = ("saline", "vehicle")


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


def reference_of(arms: Sequence[str], reference: str | Mapping[str, str] | None) -> dict[str, str]:
    """Return what each arm is compared with; arms that are not there have only their pseudo-injection.

    Parameters
    ----------
    arms
        Names of all arms.
    reference
        One reference for all other arms, a reference for each arm, or None.

    Raises
    ------
    ValueError
        When an arm is not there, or is its own reference.
    """
    if reference is None:
        return {}
    if isinstance(reference, str):
        find_reference(arms, reference)
        return {arm: reference for arm in arms if arm != reference}
    for arm, other in reference.items():
        find_reference(arms, arm)
        find_reference(arms, other)
        if arm == other:
            raise ValueError(f"arm {arm!r} cannot be its own reference; leave it out of the mapping")
    return dict(reference)


def analyse_arms(
    sessions: Sequence[SessionCounts],
    *,
    reference: str | Mapping[str, str] | None,
    margin: float,
    limits: Sequence[int] | None,
    draws: int,
    seed: int,
    controls: Sequence[str] = CONTROLS,
    static: Sequence[SessionCounts] = (),
) -> dict[str, ArmResult]:
    """Return the result of every arm of one cell type, arms sorted by name.

    Parameters
    ----------
    sessions
        Sessions of one cell type.
    reference
        Name of the reference arm of all others, the reference of each arm by its name, or None. An arm
        without a reference is compared with its own pseudo-injection.
    limits
        Detection limits of tau_c; None derives them from the data (see `detection_limits`).
    controls
        Which negative controls to run; all by default.
    static
        The same for ROIs with a static marker, for N4.

    Raises
    ------
    ValueError
        When an arm of ``reference`` is not there, or a control is not known.
    """
    unknown = sorted(set(controls) - set(CONTROLS))
    if unknown:
        raise ValueError(f"no negative control {', '.join(unknown)}; there are {', '.join(CONTROLS)}")
    by_arm = _by_arm(sessions)
    references = reference_of(sorted(by_arm), reference)
    if limits is None:
        limits = detection_limits(sessions, DRUG) or detection_limits(sessions, PSEUDO)
    layout = Layout(draws, tuple(limits))
    static_by_arm = _by_arm(static)
    arms = {
        arm: ArmSums(
            arm,
            tuple(own),
            animal_sums(own, DRUG, layout, seed=seed),
            animal_sums(own, PSEUDO, layout, seed=seed),
            tuple(static_by_arm.get(arm, ())),
        )
        for arm, own in sorted(by_arm.items())
    }
    return {
        arm: _analyse(
            own,
            arms[references[arm]] if arm in references else None,
            is_reference=arm in references.values() and arm not in references,
            beyond=references.get(references.get(arm, ""), ""),
            margin=margin,
            seed=seed,
            wanted=controls,
        )
        for arm, own in arms.items()
    }


def _by_arm(sessions: Sequence[SessionCounts]) -> dict[str, list[SessionCounts]]:
    found: dict[str, list[SessionCounts]] = {}
    for session in sessions:
        found.setdefault(arm_key(session), []).append(session)
    return found


def _analyse(
    own: ArmSums,
    reference: ArmSums | None,
    *,
    is_reference: bool,
    beyond: str,
    margin: float,
    seed: int,
    wanted: Sequence[str],
) -> ArmResult:
    drug, pseudo, compared = own.drug, own.pseudo, compared_with(own, reference)
    anatomical = all(session.anatomical for session in own.sessions)
    difference = pseudo_difference = None
    if drug is not None and compared is not None:
        difference = difference_estimates(drug, compared.sums, seed=seed)
    other = reference.pseudo if reference is not None and compared is not None and compared.is_arm else None
    if pseudo is not None and other is not None:
        pseudo_difference = difference_estimates(pseudo, other, names=TESTED, permute=False)
    controls: tuple[Control, ...] = ()
    if drug is not None:
        controlled = Controlled(own, reference, compared, difference, pseudo_difference, is_reference, beyond)
        controls = arm_controls(controlled, wanted, margin=margin, anatomical=anatomical, seed=seed)
    drug_estimates = arm_estimates(drug, seed=seed) if drug else {}
    words = compared.name if compared else ""
    evidence = Evidence(
        n_animals=_n_animals(drug, pseudo, difference),
        reference=words or ("no reference arm and no pseudo-injection" if drug else "no drug window"),
        rho=drug_estimates.get(("rho_star", 0)),
        r_act=difference.estimates["R_act", 0] if difference else None,
        r_sil=difference.estimates["R_sil", 0] if difference else None,
        m=difference.estimates["M", 0] if difference else None,
        r_sil_above_noise=_above_noise(drug, compared.sums if compared else None, difference),
        tau={k: each for (name, k), each in drug_estimates.items() if name == "tau_c"},
        anatomical=anatomical,
        controls=controls,
    )
    return ArmResult(
        arm=own.arm,
        sessions=own.sessions,
        drug=drug,
        pseudo=pseudo,
        drug_estimates=drug_estimates,
        pseudo_estimates=arm_estimates(pseudo, seed=seed) if pseudo else {},
        reference=words,
        difference=difference,
        pseudo_difference=pseudo_difference,
        compared=compared.sums if compared else None,
        compared_sessions=compared.sessions if compared else own.sessions,
        compared_contrast=compared.contrast if compared else PSEUDO,
        controls=controls,
        verdict=decide(evidence, margin=margin),
    )


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
        found = jackknife_between(response, one, two, difference.shared)
    estimate = Estimate(*found)
    return math.isfinite(estimate.estimate) and estimate.interval()[0] > 0
