"""Which negative controls an arm can have, and what they say."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from nwbswitch.analysis.estimands.counts import DRUG
from nwbswitch.analysis.verdicts.arm_sums import OWN_PSEUDO, ArmSums, Compared
from nwbswitch.analysis.verdicts.contrasts import Difference, difference_estimates
from nwbswitch.analysis.verdicts.controls import Check, Control, Outcome, judge, remapping_check
from nwbswitch.analysis.verdicts.gain_thinning import thinning_check
from nwbswitch.analysis.verdicts.permuted_labels import label_control
from nwbswitch.analysis.verdicts.static_markers import static_check, static_sums

TESTED = ("R_act", "R_sil", "rho_star")
"""Estimands that the controls N1 and N2 look at."""
_NO_PSEUDO = "no pseudo-injection windows; the baseline must be at least twice the lag"


@dataclass(frozen=True, slots=True)
class Controlled:
    """An arm whose controls are asked for.

    Attributes
    ----------
    reference
        The arm it should be compared with; None when it has none.
    compared, difference
        What it is compared with, and their difference; None when there is nothing.
    pseudo_difference
        Difference of the pseudo-injections of arm and reference.
    is_reference
        Whether other arms are compared with it, and it with none.
    beyond
        What the reference is compared with in turn, when it is a drug arm itself; else empty.
    """

    own: ArmSums
    reference: ArmSums | None
    compared: Compared | None
    difference: Difference | None
    pseudo_difference: Difference | None
    is_reference: bool
    beyond: str = ""

    @property
    def against(self) -> ArmSums | None:
        """The reference arm, when it is what the arm is compared with."""
        return self.reference if self.compared is not None and self.compared.is_arm else None

    @property
    def no_reference(self) -> str:
        """Why there is no reference arm."""
        if self.is_reference:
            return "this arm is the reference"
        return f"{self.reference.arm} has no drug window" if self.reference else "there is no reference arm"


def arm_controls(
    arm: Controlled, wanted: Collection[str], *, margin: float, anatomical: bool, seed: int = 0
) -> tuple[Control, ...]:
    """Return the wanted controls of an arm in the order of their names."""
    checks = []
    if "N1" in wanted:
        checks.append(_pseudo_injection(arm, margin))
    if "N2" in wanted:
        checks.append(_reference(arm, margin))
    if "N4" in wanted:
        checks.append(_static(arm, seed))
    if "N5" in wanted:
        checks.append(_thinning(arm, margin, seed))
    found = list(judge(arm.own.arm, checks))
    if "N3" in wanted:
        found.append(_labels(arm, margin=margin, anatomical=anatomical, seed=seed))
    return tuple(sorted(found, key=lambda each: each.name))


def _pseudo_injection(arm: Controlled, margin: float) -> Check:
    if arm.against is not None:
        what = f"pseudo-injection in the baseline of {arm.own.arm} against that of {arm.against.arm} sessions"
        if arm.pseudo_difference is None:
            what = _NO_PSEUDO
        return remapping_check("N1", what, arm.pseudo_difference, margin=margin)
    if arm.own.pseudo is None:
        return Check("N1", _NO_PSEUDO)
    return Check("N1", f"{arm.no_reference}, and the pseudo-injection is what it is compared with")


def _reference(arm: Controlled, margin: float) -> Check:
    reference = arm.against
    if reference is None:
        return Check("N2", arm.no_reference)
    if arm.beyond:
        return Check("N2", f"{reference.arm} is compared with {arm.beyond} itself, and may have an effect")
    if reference.drug is None or reference.pseudo is None:
        return Check("N2", f"{reference.arm} sessions have {_NO_PSEUDO}")
    own = difference_estimates(reference.drug, reference.pseudo, names=TESTED, permute=False)
    what = f"{reference.arm} against {OWN_PSEUDO}"
    return remapping_check("N2", what, own, margin=margin, one_sided=True)


def _labels(arm: Controlled, *, margin: float, anatomical: bool, seed: int) -> Control:
    drug, compared, difference = arm.own.drug, arm.compared, arm.difference
    if arm.against is None or drug is None or compared is None or difference is None:
        sentence = f"N3 impossible here: {arm.no_reference}, and one arm has no labels to exchange."
        return Control("N3", arm.own.arm, Outcome.IMPOSSIBLE, sentence)
    return label_control(
        arm.own.arm, drug, compared.sums, difference, margin=margin, anatomical=anatomical, seed=seed
    )


def _static(arm: Controlled, seed: int) -> Check:
    if not arm.own.static:
        return Check("N4", "no static-marker ROIs")
    if arm.compared is None:
        return Check("N4", "nothing to compare static-marker ROIs with")
    drug = static_sums(arm.own.static, DRUG, seed=seed)
    other = static_sums(arm.compared.static, arm.compared.contrast, seed=seed)
    return static_check(drug, other, arm=arm.own.arm, of=arm.compared.name)


def _thinning(arm: Controlled, margin: float, seed: int) -> Check:
    if arm.is_reference:
        return Check("N5", f"{arm.no_reference}, which is thinned for the others")
    if arm.own.drug is None or arm.compared is None or arm.difference is None:
        return Check("N5", "there is nothing without the drug to thin")
    of = f"{arm.compared.name} sessions" if arm.compared.is_arm else "the pseudo-injection"
    return thinning_check(
        arm.own.drug,
        arm.compared.sums,
        arm.compared.sessions,
        arm.compared.contrast,
        arm.difference,
        margin=margin,
        of=of,
        seed=seed,
    )
