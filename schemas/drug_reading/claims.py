"""What one place says of one substance, before the places are brought together."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from nwbswitch.schemas.drug_log import Role
from nwbswitch.schemas.drug_reading.evidence import MentionReason
from nwbswitch.schemas.drug_reading.kinds import Known
from nwbswitch.schemas.drug_reading.moments import Moment
from nwbswitch.schemas.drug_reading.places import Scope
from nwbswitch.schemas.drug_reading.quantities import Quantity
from nwbswitch.schemas.substance import Stereochemistry


class Stance(StrEnum):
    """Whether a text says that a substance was given."""

    GIVEN = "given"
    OPTION = "option"
    """One of several treatments, of which the text does not say which."""
    TOPIC = "topic"
    """Named, without a word of it being given here."""
    ASIDE = "aside"
    """Not part of the drug experiment of this session: surgery, lesion, ingredient, negated."""
    NOTHING = "nothing"
    """No drug was given."""


@dataclass(slots=True, eq=False)
class Claim:
    """What one sentence or name says of one substance."""

    place: str
    scope: Scope
    quote: str
    known: Known | None
    """None for a substance that is not named, or by a word that is not known."""
    stance: Stance
    why: MentionReason | None = None
    is_inferred: bool = False
    """Read from a token or a name rather than in words."""
    word: str = ""
    """How the text names it."""
    candidates: tuple[Known, ...] = ()
    """What a code may stand for."""
    role: Role | None = None
    quantities: list[Quantity] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    anchors: dict[int, str] = field(default_factory=dict)
    """Of a moment, by its start, the substance that it counts from."""
    route: str = ""
    route_quote: str = ""
    salt: str = ""
    stereochemistry: Stereochemistry | None = None
    vehicle: str = ""
    day: str = ""
    times_s: tuple[float, ...] = ()
    stops_s: tuple[float, ...] = ()
    is_ongoing: bool = False
    """Whether the spans of ``times_s`` to ``stops_s`` are how long it was given."""
    has_given_word: bool = False
