"""Closed vocabularies: routes, cell types and brain regions, each with synonyms and sources."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

VOCABULARIES: dict[str, str] = {
    "routes": "routes.yaml",
    "cell_types": "cell_types.yaml",
    "regions": "regions.yaml",
}


class Word(BaseModel):
    """One entry: the word that is stored, its full name, other spellings and an identifier."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    word: str = Field(min_length=1)
    name: str = Field(min_length=1, description="Full name; also accepted as a synonym.")
    synonyms: tuple[str, ...] = ()
    parent: str = Field("", description="Word of what contains it, where the vocabulary is a tree.")
    genes: tuple[str, ...] = Field((), description="Genes whose driver lines label it, by which to ask.")
    identifier: str = Field("", description="Identifier in the vocabulary's ontology; empty if unconfirmed.")
    term: str = Field("", description="The same thing in the vocabulary's external standard.")
    source: str = Field("", description="Where identifier and term were read.")
    missing: str = Field("", description="Why there is no identifier.")


def vocabulary_text(file_name: str) -> str:
    """Return the text of a vocabulary file of this package."""
    return files("nwbswitch.schemas").joinpath("vocabularies", file_name).read_text(encoding="utf-8")


@lru_cache(maxsize=8)
def vocabulary(name: str) -> Mapping[str, Any]:
    """Return the document of the vocabulary ``name``: its sources, words and whatever else it states."""
    # libyaml, where PyYAML was built with it, is as safe and eight times faster.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document: Mapping[str, Any] = yaml.load(vocabulary_text(VOCABULARIES[name]), loader)  # noqa: S506
    return document


@lru_cache(maxsize=8)
def entries(name: str) -> dict[str, Word]:
    """Return the vocabulary ``name`` as a mapping from stored word to entry.

    Raises
    ------
    ValueError
        When there is no such vocabulary.
    """
    if name not in VOCABULARIES:
        raise ValueError(f"there is no vocabulary {name!r}; there are {', '.join(VOCABULARIES)}")
    document = vocabulary(name)
    sources: dict[str, str] = document["sources"]
    found = [
        Word(**{**item, "source": sources.get(item.get("source", ""), "")}) for item in document["words"]
    ]
    return {each.word: each for each in found}


def words(name: str) -> tuple[str, ...]:
    """Return the stored words of the vocabulary ``name``, in its order."""
    return tuple(entries(name))


def canonical(name: str, word: str) -> str | None:
    """Return the stored word for ``word`` or one of its synonyms in any case, or None."""
    return _index(name).get(_folded(word))


def spellings(name: str) -> dict[str, tuple[str, ...]]:
    """Return all accepted spellings of every stored word."""
    return {
        each.word: tuple(dict.fromkeys((each.word, each.name, *each.synonyms)))
        for each in entries(name).values()
    }


@lru_cache(maxsize=8)
def _index(name: str) -> dict[str, str]:
    return {_folded(each): word for word, known in spellings(name).items() for each in known}


def _folded(word: str) -> str:
    return " ".join(word.casefold().split())
