"""What is asked for: a drug, and what recordings of it must have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from nwbswitch.analysis.catalogue.drug_names import DrugNames, drug_names
from nwbswitch.analysis.catalogue.facts import Given
from nwbswitch.analysis.catalogue.modalities import Modality
from nwbswitch.schemas.issues import nearest
from nwbswitch.schemas.species import asked_species
from nwbswitch.schemas.vocabularies import canonical, spellings

_DANDISET = re.compile(r"(?:dandi:)?([0-9]{6})", re.IGNORECASE)
_SINCE = re.compile(r"([0-9]{4})(?:-([0-9]{2}))?(?:-([0-9]{2}))?")


@dataclass(frozen=True, slots=True)
class Filters:
    """A question, with every word checked; None or empty where nothing is asked for."""

    drug: DrugNames
    species: str | None = None
    """Latin name."""
    modality: Modality | None = None
    region: str | None = None
    """Allen acronym."""
    since: str = ""
    """ISO 8601 date."""
    route: str | None = None
    """Word of the vocabulary."""
    dose_min: float | None = None
    """mg/kg."""
    dose_max: float | None = None
    """mg/kg."""
    dandisets: tuple[str, ...] = ()
    embargoed: bool = False
    """Whether embargoed dandisets count too."""

    @property
    def asks_dose(self) -> bool:
        """Whether only some doses are asked for."""
        return self.dose_min is not None or self.dose_max is not None

    def takes(self, given: Given) -> bool:
        """Return whether an administration is one of those asked for."""
        if given.substance not in self.drug.all or (self.route and given.route != self.route):
            return False
        if not self.asks_dose:
            return True
        dose = given.dose_mg_per_kg
        low, high = self.dose_min or 0.0, float("inf") if self.dose_max is None else self.dose_max
        return dose is not None and low <= dose <= high

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            **asdict(self),
            "modality": self.modality.value if self.modality else None,
            "since": self.since or None,
        }

    def words(self) -> str:
        """Return the question on one line."""
        parts = [
            self.drug.name,
            self.species or "",
            self.modality.value if self.modality else "",
            self.region or "",
            f"since {self.since}" if self.since else "",
            self.route or "",
            f"from {self.dose_min:g} mg/kg" if self.dose_min is not None else "",
            f"to {self.dose_max:g} mg/kg" if self.dose_max is not None else "",
            " ".join(self.dandisets),
        ]
        return ", ".join(part for part in parts if part)


def read_filters(
    drug: str,
    *,
    species: str | None = None,
    modality: str | None = None,
    region: str | None = None,
    since: str | date | None = None,
    route: str | None = None,
    dose_min: float | None = None,
    dose_max: float | None = None,
    dandisets: Iterable[str] = (),
    embargoed: bool = False,
) -> Filters:
    """Return the question that these words ask.

    Raises
    ------
    ValueError
        When a word is not known; the message names the nearest one.
    """
    for name, dose in (("dose_min", dose_min), ("dose_max", dose_max)):
        if dose is not None and not 0 <= dose < float("inf"):
            raise ValueError(f"{name} is {dose:g}, expected mg/kg from 0")
    if dose_min is not None and dose_max is not None and dose_min > dose_max:
        raise ValueError(f"dose_min {dose_min:g} is above dose_max {dose_max:g}")
    return Filters(
        drug=drug_names(drug),
        species=asked_species(species) if species else None,
        modality=_modality(modality) if modality else None,
        region=_word("regions", "brain region", region) if region else None,
        since=_since(since) if since else "",
        route=_word("routes", "route", route) if route else None,
        dose_min=dose_min,
        dose_max=dose_max,
        dandisets=tuple(dict.fromkeys(map(_identifier, dandisets))),
        embargoed=embargoed,
    )


def _modality(word: str) -> Modality:
    try:
        return Modality(word.casefold())
    except ValueError:
        words = ", ".join(each.value for each in Modality)
        raise ValueError(f"no modality {word!r} is known, expected one of {words}") from None


def _word(vocabulary: str, what: str, word: str) -> str:
    found = canonical(vocabulary, word)
    if found is None:
        known = [each for listed in spellings(vocabulary).values() for each in listed]
        hint = nearest(word, known) or "Its words are listed in the documentation."
        raise ValueError(f"no {what} {word!r} is known. {hint}")
    return found


def _since(given: str | date) -> str:
    if isinstance(given, date):
        return given.isoformat()[:10]
    match = _SINCE.fullmatch(given.strip())
    try:
        if match is None:
            raise ValueError
        year, month, day = (int(part or 1) for part in match.groups())
        return date(year, month, day).isoformat()
    except ValueError:
        message = f"since is {given!r}, expected a year, month or day such as 2023, 2023-05 or 2023-05-04"
        raise ValueError(message) from None


def _identifier(given: str) -> str:
    match = _DANDISET.fullmatch(given.strip())
    if match is None:
        raise ValueError(f"{given!r} is no dandiset, expected six digits such as 001326")
    return match[1]
