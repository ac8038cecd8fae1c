"""The animal as a file states it, in the words that DANDI uses."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from nwbswitch.analysis.reading.outline import SubjectFacts
from nwbswitch.analysis.reading.stored_values import fact, group_at, stated, text_of
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.overrides import FILL_IN, proposal
from nwbswitch.schemas.species import COMMON_NAMES, MOUSE, latin_name

if TYPE_CHECKING:
    import h5py

SEXES = {
    **dict.fromkeys(("m", "male", "males", "man", "boy"), "M"),
    **dict.fromkeys(("f", "female", "females", "woman", "girl"), "F"),
    **dict.fromkeys(("o", "other", "hermaphrodite", "intersex", "mixed"), "O"),
    **dict.fromkeys(("u", "unknown", "undetermined", "unspecified"), "U"),
}
MAX_AGE_DAYS = 40_000

_DURATION = r"P(?=\d|T\d)" + "".join(rf"(?:\d+(?:[.,]\d+)?{unit})?" for unit in "YMWD") + r"(?:T[\dHMS.,]+)?"
_AGE = re.compile(rf"{_DURATION}(?:/(?:{_DURATION})?)?")
_MOUSE_STRAINS = re.compile(
    r"\b(?:C57(?:BL)?|BALB/?c|CD-?1|FVB|129S\w*|DBA/?2|B6(?:J|N|\b)|C3H)", re.IGNORECASE
)
_RAT_STRAINS = re.compile(
    r"\b(?:Sprague[- ]?Dawley|Long[- ]?Evans|Wistar|Lister[- ]?Hooded|Fischer 344)\b", re.IGNORECASE
)
_NAMED = re.compile(r"(?:^|[_/])sub-([A-Za-z0-9+.-]+?)(?=_|\.nwb|/|$)")


def read_subject(nwb: h5py.File, *, name: str, found: list[Issue]) -> SubjectFacts:
    """Return the animal of a file.

    Species become Latin names, sexes M, F, O or U, ages stay durations of ISO 8601 or, with a finding, what
    else is written. An animal that only the file's name states is taken from there. An animal that nothing
    states is a finding of error severity, since the animal is the unit of all analyses.

    Parameters
    ----------
    nwb
        The open file.
    name
        What messages call the file; its path or address.
    found
        Receives findings.
    """
    reader = _Reader(group_at(nwb, "general/subject"), name, found)
    strain = reader.words("strain")
    species, strain = reader.species(strain)
    return SubjectFacts(
        subject_id=reader.subject_id(),
        species=species,
        sex=reader.sex(),
        age=reader.age(text_of(nwb.get("session_start_time"))),
        strain=strain,
        genotype=reader.words("genotype"),
        weight=reader.words("weight")[:40],
    )


def stated_species(nwb: h5py.File) -> str:
    """Return the Latin name of the animal's species, or an empty text."""
    species = stated(fact(group_at(nwb, "general/subject"), "species"))
    return _species(species) if species else ""


def _species(words: str) -> str:
    name = latin_name(words)
    if name not in COMMON_NAMES:
        for pattern, strain_of in ((_MOUSE_STRAINS, MOUSE), (_RAT_STRAINS, "Rattus norvegicus")):
            if pattern.search(words):
                return strain_of
    return name


class _Reader:
    """The fields of one subject."""

    def __init__(self, subject: h5py.Group | None, name: str, found: list[Issue]) -> None:
        self.subject = subject
        self.name = name
        self.found = found

    def find(self, code: str, message: str, *, field: str, remedy: str = "") -> None:
        place = Place(self.name, item=f"/general/subject/{field}")
        self.found.append(issue(code, message, place=place, remedy=remedy))

    def words(self, field: str) -> str:
        return stated(fact(self.subject, field))

    def subject_id(self) -> str:
        inside = self.words("subject_id")
        named = list(dict.fromkeys(_NAMED.findall(self.name.replace("\\", "/"))))
        if inside:
            if named and inside not in named and _alike(inside) not in map(_alike, named):
                problem = f"The file says that the animal is {inside!r}, its name says {named[-1]!r}."
                self.find("name-differs", problem, field="subject_id")
            return inside
        if len(named) == 1:
            problem = f"Only the file's name says which animal it is from: {named[0]!r}."
            self.find("proposed-value", problem, field="subject_id")
            return str(named[0])
        problem = "Neither the file nor its name says which animal it is from; the animal is the unit."
        remedy = proposal(self.name, {"subject_id": FILL_IN})
        self.find("missing-value", problem, field="subject_id", remedy=remedy)
        return ""

    def species(self, strain: str) -> tuple[str, str]:
        """Return species and strain; a strain that stands in place of the species is one."""
        words = self.words("species")
        if not words and not self.words("subject_id"):
            return "", strain
        if not words:
            problem = "The species is not stated; names of brain areas are taken for those of the mouse."
            self.find("not-stated", problem, field="species")
            return "", strain
        species = _species(words)
        if species in COMMON_NAMES and latin_name(words) not in COMMON_NAMES:
            problem = f"In place of the species stands the strain {words!r} of {species}."
            self.find("proposed-value", problem, field="species")
            return species, strain or words
        if not re.fullmatch(r"[A-Z][a-z]+ [a-z]+(?: [a-z]+)*", species):
            problem = (
                f"The species {words[:80]!r} is neither a Latin nor a known common name; it is kept as it is."
            )
            self.find("unclear-value", problem, field="species")
        return species, strain

    def sex(self) -> str:
        words = text_of(fact(self.subject, "sex"))
        if not stated(words) and words.casefold() not in SEXES:
            return ""
        sex = SEXES.get(words.casefold().strip(" ."), "")
        if not sex:
            self.find("unclear-value", f"The sex is {words[:40]!r}, expected M, F, O or U.", field="sex")
        return sex

    def age(self, session_start: str) -> str:
        words = self.words("age")
        node = fact(self.subject, "age")
        reference = stated(getattr(node, "attrs", {}).get("reference") if words else None)
        if words and not _AGE.fullmatch(words):
            problem = f"The age {words[:40]!r} is no duration of ISO 8601, such as P90D; it is kept as it is."
            self.find("unclear-value", problem, field="age")
        if words:
            return f"{words} {reference}" if reference not in ("", "birth") else words
        days = self._days_since_birth(session_start)
        return "" if days is None else f"P{days}D"

    def _days_since_birth(self, session_start: str) -> int | None:
        birth, start = _date(self.words("date_of_birth")), _date(session_start)
        if birth is None or start is None:
            return None
        days = (start.date() - birth.date()).days
        if not 0 <= days <= MAX_AGE_DAYS:
            problem = (
                f"The date of birth {birth.date()} and the session {start.date()} are {days} days apart."
            )
            self.find("unclear-value", problem, field="date_of_birth")
            return None
        return days


def _alike(name: str) -> str:
    """Return a name as DANDI writes it into the names of files, where some characters are replaced."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _date(words: str) -> datetime | None:
    try:
        return datetime.fromisoformat(words)
    except ValueError:
        return None
