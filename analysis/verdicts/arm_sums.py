"""The sums of one arm, and what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass

from nwbswitch.analysis.estimands.animal_sums import AnimalSums
from nwbswitch.analysis.estimands.counts import DRUG, PSEUDO, Contrast, SessionCounts

OWN_PSEUDO = "its own pseudo-injection"


@dataclass(frozen=True, slots=True)
class ArmSums:
    """Sessions of one arm and cell type, and their sums per animal.

    Attributes
    ----------
    drug, pseudo
        Sums of the two contrasts; None when no session has the windows.
    static
        Counts of ROIs with a static marker in the sessions of the arm.
    """

    arm: str
    sessions: tuple[SessionCounts, ...]
    drug: AnimalSums | None
    pseudo: AnimalSums | None
    static: tuple[SessionCounts, ...] = ()


@dataclass(frozen=True, slots=True)
class Compared:
    """What an arm is compared with: its name, sums per animal, their sessions and windows."""

    name: str
    sums: AnimalSums
    sessions: tuple[SessionCounts, ...]
    static: tuple[SessionCounts, ...]
    contrast: Contrast

    @property
    def is_arm(self) -> bool:
        """Whether it is another arm, not the pseudo-injection of the same one."""
        return self.name != OWN_PSEUDO


def compared_with(own: ArmSums, reference: ArmSums | None) -> Compared | None:
    """Return the drug windows of the reference, else the arm's own pseudo-injection, else None."""
    if own.drug is None:
        return None
    if reference is not None and reference.drug is not None:
        return Compared(reference.arm, reference.drug, reference.sessions, reference.static, DRUG)
    if own.pseudo is not None:
        return Compared(OWN_PSEUDO, own.pseudo, own.sessions, own.static, PSEUDO)
    return None
