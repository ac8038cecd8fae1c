"""One substance: its names, formula, salts and identifiers, and the molar mass that follows."""

from __future__ import annotations

import re
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Stereochemistry(StrEnum):
    """Which stereoisomer was given."""

    RACEMIC = "racemic"
    S = "S"
    R = "R"
    ACHIRAL = "achiral"
    UNKNOWN = "unknown"


# Abridged standard atomic weights of IUPAC (2021), g/mol; of those given as an interval the conventional
# value. Prohaska et al. (2022), Pure Appl. Chem. 94:573-600, doi:10.1515/pac-2019-0603, tables 2 and 3.
ATOMIC_WEIGHTS: dict[str, float] = {
    "H": 1.008, "Li": 6.94, "B": 10.81, "C": 12.011, "N": 14.007, "O": 15.999, "F": 18.998, "Na": 22.990,
    "Mg": 24.305, "Al": 26.982, "Si": 28.085, "P": 30.974, "S": 32.06, "Cl": 35.45, "K": 39.098, "Ca": 40.078,
    "Mn": 54.938, "Fe": 55.845, "Co": 58.933, "Cu": 63.546, "Zn": 65.38, "Se": 78.971, "Br": 79.904,
    "I": 126.90,
}  # fmt: skip


class Substance(BaseModel):
    """One substance, of the vocabulary or of a lab. Identifiers are empty unless their source is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    synonyms: tuple[str, ...] = ()
    formula: str = Field("", description="Molecular formula of the free base; empty for a mixture.")
    salts: dict[str, str] = Field(default_factory=dict, description="Salt form to formula, e.g. C2H7N.HCl.")
    stereochemistry: Stereochemistry = Field(
        Stereochemistry.UNKNOWN, description="Of the substance that the name denotes."
    )
    drug_class: str = ""
    targets: tuple[str, ...] = ()
    chebi: str = Field("", pattern=r"^(CHEBI:[0-9]+)?$")
    pubchem_cid: int | None = Field(None, gt=0)
    unii: str = ""
    cas: str = ""
    dose_mg_per_kg: tuple[float, float] | None = Field(
        None, description="Lowest and highest typical systemic dose in mice."
    )
    source: dict[str, str] = Field(default_factory=dict, description="Field to where its value was read.")
    missing: dict[str, str] = Field(default_factory=dict, description="Field to why it is empty.")

    @field_validator("formula")
    @classmethod
    def _readable(cls, formula: str) -> str:
        if formula:
            molar_mass(formula)
        return formula

    @field_validator("cas")
    @classmethod
    def _cas(cls, text: str) -> str:
        if text and not valid_cas(text):
            raise ValueError("not a CAS Registry Number: its check digit is wrong")
        return text

    @field_validator("unii")
    @classmethod
    def _unii(cls, text: str) -> str:
        if text and not valid_unii(text):
            raise ValueError("not a UNII: its check character is wrong")
        return text

    @property
    def identifiers(self) -> dict[str, str]:
        """The identifiers that are known, as text, by kind."""
        cid = "" if self.pubchem_cid is None else str(self.pubchem_cid)
        given = {"chebi": self.chebi, "pubchem_cid": cid, "unii": self.unii, "cas": self.cas}
        return {kind: value for kind, value in given.items() if value}

    @property
    def spellings(self) -> tuple[str, ...]:
        """The name and all synonyms."""
        return (self.name, *self.synonyms)


_PART = re.compile(r"([0-9]*)((?:[A-Z][a-z]?[0-9]*)+)")
_ELEMENT = re.compile(r"([A-Z][a-z]?)([0-9]*)")


def molar_mass(formula: str) -> float:
    """Return the molar mass of ``formula`` in g/mol, e.g. of ``C13H16ClNO.HCl``.

    Parts are joined by a dot and may carry a factor (``2C9H13N.H2SO4``). Atomic weights: see
    `ATOMIC_WEIGHTS`.

    Raises
    ------
    ValueError
        When the formula cannot be read or holds an element without a tabulated weight.
    """
    return sum(factor * _part_mass(part, formula) for factor, part in _parts(formula))


def base_units(formula: str) -> int:
    """Return how many molecules of the active substance one formula unit of a salt holds."""
    return _parts(formula)[0][0]


def _parts(formula: str) -> list[tuple[int, str]]:
    found = []
    for text in formula.split("."):
        match = _PART.fullmatch(text)
        if match is None or match[1].startswith("0"):
            raise ValueError(f"{formula!r} is not a molecular formula such as C13H16ClNO or C13H16ClNO.HCl")
        found.append((int(match[1] or 1), match[2]))
    return found


def _part_mass(part: str, formula: str) -> float:
    mass = 0.0
    for element, count in _ELEMENT.findall(part):
        if element not in ATOMIC_WEIGHTS:
            raise ValueError(f"{formula!r} holds {element!r}, whose atomic weight is not tabulated here")
        if count.startswith("0"):
            raise ValueError(f"{formula!r} holds {element!r} with the count {count}")
        mass += ATOMIC_WEIGHTS[element] * int(count or 1)
    return mass


def valid_cas(text: str) -> bool:
    """Return whether ``text`` is a CAS Registry Number with a right check digit.

    The last digit is the sum of the others, each times its place counted from the right, modulo 10
    (https://www.cas.org/support/documentation/chemical-substances/checkdig).
    """
    if not re.fullmatch(r"[1-9][0-9]{1,6}-[0-9]{2}-[0-9]", text):
        return False
    *digits, check = (int(each) for each in text.replace("-", ""))
    return sum(place * digit for place, digit in enumerate(reversed(digits), start=1)) % 10 == check


def valid_unii(text: str) -> bool:
    """Return whether ``text`` is a UNII with a right check character.

    Ten characters of 0-9 and A-Z, with values 0 to 35; the last is the sum of the first nine modulo 36.
    The rule was inferred from, and holds for, all identifiers of the vocabulary.
    """
    if not re.fullmatch(r"[0-9A-Z]{10}", text):
        return False
    values = [int(each, 36) for each in text]
    return sum(values[:-1]) % 36 == values[-1]
