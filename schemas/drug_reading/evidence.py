"""What a file states about drugs, value by value, with where it stands and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.issues import Issue


class Confidence(StrEnum):
    """How sure a value is."""

    STATED = "stated"
    """In a field made for it: our drug log, or an override."""
    READ = "read"
    """In words that leave one reading."""
    INFERRED = "inferred"
    """From names and tokens, or joined from several places."""
    UNRESOLVED = "unresolved"
    """Something was given, and the file does not say what, how much or when."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing a file says that may be about a drug, before it is understood."""

    place: str
    """Path of the object or attribute inside the file, e.g. ``/general/pharmacology``."""
    text: str
    times_s: tuple[float, ...] = ()
    """Times that belong to it, s on the session clock: rows of an interval table, stamps of a series."""
    stops_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """One value of one administration, and where it comes from."""

    administration: int
    """Which one, from 0; -1 for a value that could not be assigned."""
    field: str
    """Field of `Administration`, e.g. ``dose``."""
    value: str
    place: str
    quote: str
    """The words it was read from, shortened."""
    confidence: Confidence


class MentionReason(StrEnum):
    """Why a substance that a file names is not among its administrations."""

    SURGERY = "given for surgery"
    LESION = "made a lesion or a disease model"
    INDUCTION = "switches a gene on or off"
    CHRONIC = "chronic treatment without times"
    SOLUTION = "ingredient of a solution"
    LABEL = "tracer, dye or substrate of an indicator"
    NOT_GIVEN = "said not to be given"
    NOT_YET = "given after what is recorded"
    WASHED_OUT = "given before and washed out"
    TOPIC = "topic of the study"
    ALTERNATIVE = "one of several treatments of the study"
    CONTRADICTED = "contradicted by another place"


@dataclass(frozen=True, slots=True)
class Mention:
    """A substance that the file names and that is not among the administrations, and why."""

    substance: str
    why: MentionReason
    place: str
    quote: str
    times_s: tuple[float, ...] = ()
    """When it was given, s on the session clock, to half a day where the file gives dates."""


@dataclass(frozen=True, slots=True)
class DrugReading:
    """The drugs of one recording session as its file states them.

    A time that is not known is stored as 0 with the reason in ``missing["timestamp_s"]``.
    """

    administrations: tuple[Administration, ...]
    evidence: tuple[Evidence, ...]
    issues: tuple[Issue, ...]
    """Contradictions and what is unresolved, each with its place and what settles it."""
    mentions: tuple[Mention, ...] = ()
