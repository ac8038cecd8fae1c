"""The substances that are meant when a drug is asked for by name."""

from __future__ import annotations

from dataclasses import dataclass

from nwbswitch.schemas.drug_reading.codes import find_code
from nwbswitch.schemas.drug_reading.names import known_spellings
from nwbswitch.schemas.issues import nearest
from nwbswitch.schemas.substance import Stereochemistry, Substance
from nwbswitch.schemas.substances import substances

_ENANTIOMERS = (Stereochemistry.R, Stereochemistry.S)


@dataclass(frozen=True, slots=True)
class DrugNames:
    """What was asked for, and the names under which it is found."""

    asked: str
    name: str
    """Name in the vocabulary, or else the reader's."""
    related: tuple[str, ...] = ()
    """Names of its enantiomers, where it is a racemate or leaves this open."""
    containing: tuple[str, ...] = ()
    """Names of the racemate, where it is an enantiomer; what holds it is not found."""

    @property
    def all(self) -> tuple[str, ...]:
        """All names, that of the substance itself first."""
        return (self.name, *self.related)


def drug_names(word: str) -> DrugNames:
    """Return the names that a drug is found under.

    A name without stereochemistry stands for its enantiomers too: most papers that say ketamine mean the
    racemate, and what holds S-ketamine was given half of it. The other way round it is not so.

    Raises
    ------
    ValueError
        When the vocabulary does not hold the word; the message names the nearest one.
    """
    folded = " ".join(word.casefold().split())
    known = {spelling.casefold(): each.name for spelling, each in known_spellings().items()}
    name = known.get(folded)
    if name is None and (code := find_code(folded)) is not None and code.sure:
        name = code.candidates[0].name
    if name is None:
        own = [each for substance in substances().values() for each in substance.spellings]
        hint = (
            nearest(word, own)
            or nearest(word, known_spellings())
            or "Its names are listed in the reference of substances."
        )
        raise ValueError(f"no drug {word!r} is known. {hint}")
    vocabulary = substances()
    asked = vocabulary.get(name)
    if asked is None:
        return DrugNames(word, name)
    others = vocabulary.values()
    return DrugNames(
        word,
        name,
        tuple(each.name for each in others if _is_enantiomer(each, asked)),
        tuple(each.name for each in others if _is_enantiomer(asked, each)),
    )


def _is_enantiomer(one: Substance, of: Substance) -> bool:
    open_or_both = of.stereochemistry in (Stereochemistry.RACEMIC, Stereochemistry.UNKNOWN)
    same = bool(of.formula) and one.formula == of.formula and one.name != of.name
    return same and open_or_both and one.stereochemistry in _ENANTIOMERS
