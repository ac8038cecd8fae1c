"""Species as files and archives name them: Latin names, common names and numbers of the NCBI taxonomy."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nwbswitch.schemas.issues import nearest

COMMON_NAMES: dict[str, tuple[str, tuple[str, ...]]] = {
    "Mus musculus": ("10090", ("mouse", "mice", "house mouse")),
    "Rattus norvegicus": ("10116", ("rat", "rats", "norway rat", "brown rat")),
    "Homo sapiens": ("9606", ("human", "humans")),
    "Macaca mulatta": ("9544", ("rhesus monkey", "rhesus macaque", "rhesus")),
    "Macaca fascicularis": ("9541", ("crab-eating macaque", "cynomolgus monkey")),
    "Macaca nemestrina": ("9545", ("pig-tailed macaque",)),
    "Callithrix jacchus": ("9483", ("marmoset", "common marmoset")),
    "Danio rerio": ("7955", ("zebrafish", "zebra fish")),
    "Drosophila melanogaster": ("7227", ("fruit fly", "fly")),
    "Caenorhabditis elegans": ("6239", ("c. elegans", "roundworm")),
    "Mustela putorius furo": ("9669", ("ferret",)),
    "Meriones unguiculatus": ("10047", ("gerbil", "mongolian gerbil")),
    "Taeniopygia guttata": ("59729", ("zebra finch",)),
    "Tupaia belangeri": ("37347", ("tree shrew",)),
    "Sus scrofa": ("9823", ("pig", "wild boar")),
    "Ovis aries": ("9940", ("sheep",)),
    "Felis catus": ("9685", ("cat", "domestic cat")),
    "Oryctolagus cuniculus": ("9986", ("rabbit",)),
}
"""Latin name to the number of the taxon (NCBI Taxonomy) and common names."""

MOUSE = "Mus musculus"
_BY_COMMON_NAME = {common: name for name, (_, names) in COMMON_NAMES.items() for common in names}
_TAXON = re.compile(r"(?:ncbitaxon[_:]|ncbi:txid|txid)?([0-9]+)/?", re.IGNORECASE)
_LATIN = re.compile(r"[A-Z][a-z]+ [a-z]+(?: [a-z]+)?")


def latin_name(stated: str) -> str:
    """Return the Latin name of a species as it is stated, or what was stated where it is not known.

    Takes what DANDI writes (``Mus musculus - House mouse``), addresses of the taxonomy, common names and
    names of subspecies (``Mus musculus domesticus`` is a mouse).
    """
    words = " ".join(stated.split(" - ")[0].split())
    common = by_common_name(words)
    if common is not None:
        return common
    folded = words.casefold()
    taxon = _TAXON.fullmatch(folded.rpartition("/")[2] or folded.rstrip("/").rpartition("/")[2])
    for name, (number, _) in COMMON_NAMES.items():
        if taxon is not None and taxon[1] == number:
            return name
        if f"{folded} ".startswith(f"{name.casefold()} "):
            return name
    return words


def by_common_name(words: str) -> str | None:
    """Return the Latin name of the species of this common name; None where it is none of the known."""
    return _BY_COMMON_NAME.get(" ".join(words.casefold().split()))


def asked_species(word: str) -> str:
    """Return the Latin name of the species that is asked for; what looks like one is taken as it is.

    Raises
    ------
    ValueError
        When it is neither a known name nor a Latin one; the message names the nearest one.
    """
    name = latin_name(word)
    if name in COMMON_NAMES or _LATIN.fullmatch(name):
        return name
    raise _unknown(word, ())


def require_species(name: str, held: Iterable[str]) -> None:
    """Raise unless a species is well known or among those that the catalogue holds.

    Raises
    ------
    ValueError
        When it is neither; the message names the nearest one.
    """
    listed = list(held)
    if name not in COMMON_NAMES and name not in listed:
        raise _unknown(name, listed)


def _unknown(word: str, held: Iterable[str]) -> ValueError:
    hint = nearest(word, [*COMMON_NAMES, *_BY_COMMON_NAME, *held]) or "Give its Latin name."
    return ValueError(f"no species {word!r} is known. {hint}")
