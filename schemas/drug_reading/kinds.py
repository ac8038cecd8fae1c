"""What substances named in files usually are: drug, control, anaesthetic, lesion agent, ingredient."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a substance usually is in a neuroscience experiment, before a text says more."""

    DRUG = "drug"
    LIGAND = "ligand"
    """Of an engineered receptor or a luminescent opsin."""
    BLOCKER = "blocker"
    """Blocks another substance when both are given."""
    CONTROL = "control"
    ANAESTHETIC = "anaesthetic"
    ANALGESIC = "analgesic"
    SURGICAL = "surgical"
    """Antibiotics, antidotes and the like."""
    LESION = "lesion"
    INDUCER = "inducer"
    """Switches a gene on or off."""
    ENDOGENOUS = "endogenous"
    """Found in every brain or solution: counts as given only where a text says so in so many words."""
    SOLUTE = "solute"
    LABEL = "label"


TESTED = frozenset((Kind.DRUG, Kind.LIGAND, Kind.BLOCKER, Kind.ENDOGENOUS))
"""Kinds whose effect an experiment may test."""

VOLATILE = frozenset(("isoflurane", "sevoflurane", "halothane", "desflurane", "enflurane", "nitrous oxide"))
"""Inhaled, and dosed in %."""


@dataclass(frozen=True, slots=True)
class Known:
    """A substance as the reader knows it; ``name`` is the vocabulary's where that holds it."""

    name: str
    kind: Kind
