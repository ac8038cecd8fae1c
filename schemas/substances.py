"""The vocabulary of substances: canonical names, synonyms, formulas, salts and identifiers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import yaml

from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.substance import Substance
from nwbswitch.schemas.vocabularies import vocabulary_text

_FILE = "substances.yaml"

SALT_SYNONYMS: dict[str, str] = {
    "hcl": "hydrochloride",
    "hydrochloric acid": "hydrochloride",
    "dihcl": "dihydrochloride",
    "2hcl": "dihydrochloride",
    "hydrogen maleate": "maleate",
    "hydrogen tartrate": "ditartrate",
    "bitartrate": "ditartrate",
    "na": "sodium",
    "sodium salt": "sodium",
    "hbr": "hydrobromide",
    "hemisulfate": "sulfate",
    "sulphate": "sulfate",
}


@lru_cache(maxsize=1)
def substances() -> dict[str, Substance]:
    """Return all substances by canonical name."""
    document: dict[str, Any] = yaml.safe_load(vocabulary_text(_FILE))
    keys: dict[str, str] = document["sources"]
    found = {}
    for item in document["substances"]:
        source = {
            field: "; ".join(keys[key] for key in text.split("; ")) for field, text in item["source"].items()
        }
        found[item["name"]] = Substance(**{**item, "source": source})
    return found


def find_substance(word: str) -> Substance | None:
    """Return the substance with this name or synonym, in any case, or None."""
    return _index().get(_folded(word))


def substance_of(row: Administration) -> Substance | None:
    """Return what was given: the lab's own compound where the row carries one, else the vocabulary's."""
    return row.compound or find_substance(row.substance)


def own_compound(row: Administration, own: Iterable[Substance]) -> Administration:
    """Return the row with the lab's own compound that its substance names, if it names one."""
    substance = named(row.substance, own)
    return row if substance is None else row.model_copy(update={"compound": substance})


def named(word: str, among: Iterable[Substance]) -> Substance | None:
    """Return the substance of a list with this name or synonym, in any case, or None."""
    return next((each for each in among if _folded(word) in map(_folded, each.spellings)), None)


@lru_cache(maxsize=1)
def _index() -> dict[str, Substance]:
    return {_folded(each): item for item in substances().values() for each in item.spellings}


def _folded(word: str) -> str:
    return " ".join(word.casefold().split())


def salt_name(substance: Substance, word: str) -> str | None:
    """Return the vocabulary's word for the salt form ``word`` of ``substance``, or None."""
    folded = _folded(word)
    name = SALT_SYNONYMS.get(folded, folded)
    return name if name in substance.salts else None
