"""Brain areas as files write them: structures of the Allen CCF, and layers of the cortex.

Acronyms hold in the case of the framework, so that words of prose are none. What fits several structures of
which none contains the others, what the framework divides and what it does not know stays as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from nwbswitch.analysis.reading.layers import layer_of, only_layer, without_layer
from nwbswitch.analysis.reading.stored_values import UNSTATED
from nwbswitch.schemas.species import MOUSE
from nwbswitch.schemas.vocabularies import canonical, entries, spellings, vocabulary

UNKNOWN = "unknown"
MAX_WORDS = 1000
"""Characters of a text that are read."""

_VOCABULARY = "regions"
_SUFFIX = re.compile(r"(.*?[A-Za-z])(\d[ab]?(?:[/-]\d[ab]?)?)")
_LAYERED = ("Isocortex", "OLF", "ENT", "PAR", "POST", "PRE")
"""Structures that the framework divides into numbered layers."""
_COORDINATE = re.compile(
    r"(?<![A-Za-z0-9])(?:AP|ML|DV|RC|A/P|M/L|D/V)\s*[:=]?\s*[-+]?\d+(?:\.\d*)?\s*(?:mm|um|µm|μm)?(?![A-Za-z0-9])"
)
_TOKEN = re.compile(r"[^\s,;:()\[\]{}|\"=]+")
_PAIRS = re.compile(r"([A-Za-z][A-Za-z _]*?)\s*:\s*([^;]*)(?:;|$)")
_AREA_KEYS = ("area", "region", "structure", "location", "subregion", "nucleus", "target")
_SIDES = frozenset(
    {"left", "right", "bilateral", "hemisphere", "ipsilateral", "contralateral", "both", "hemispheres"}
)
_FILLERS = _SIDES | frozenset(
    {
        "the",
        "of",
        "in",
        "at",
        "a",
        "and",
        "area",
        "areas",
        "region",
        "brain",
        "mouse",
        "cortex",
        "cortical",
        "adult",
    }
    | {
        "l",
        "r",
        "lh",
        "rh",
        "dorsal",
        "ventral",
        "medial",
        "lateral",
        "anterior",
        "posterior",
        "field",
        "view",
    }
)
_ELSEWHERE = frozenset({"not", "except", "excluding", "outside", "near", "adjacent", "next", "between", "or"})
"""Words after which an area is not, or not surely, the one that is meant."""
_BEFORE_CORTEX = _SIDES | frozenset({"the", "cerebral", "mouse", "in", "of", "brain", "adult"})


@dataclass(frozen=True, slots=True)
class Structure:
    """A place in the brain as it is understood, and as it was written."""

    region: str
    """Allen acronym; the words themselves where they name none; unknown where they name nothing."""
    layer: str
    """Layer of the cortex, e.g. ``2/3``; empty where none is stated, or several are."""
    stated: str
    candidates: tuple[str, ...] = ()
    """Acronyms that the words leave open."""
    is_foreign: bool = False
    """Whether it is of another animal, for which the framework is not made."""

    @property
    def is_known(self) -> bool:
        """Whether the region is a structure of the framework."""
        return not self.is_foreign and self.region in entries(_VOCABULARY) and self.region != UNKNOWN


@lru_cache(maxsize=4096)
def structure(words: str) -> Structure:
    """Return the brain structure that words of a file name.

    Parameters
    ----------
    words
        E.g. ``VISp2/3``, ``Primary visual area, layer 4``, ``left barrel cortex``, ``V1 L2/3``.
    """
    stated = " ".join(words[:MAX_WORDS].split())
    folded = stated.casefold().strip(" .")
    if folded in UNSTATED or folded in ("brain", "whole brain", "void", "outside", "out of brain"):
        return Structure(UNKNOWN, "", stated)
    exact = _exact(stated)
    if exact is not None:
        return Structure(exact[0], exact[1], stated)
    own, listed_layer = _from_pairs(stated)
    text, layer = without_layer(_COORDINATE.sub(" ", own))
    layer = layer or listed_layer
    named = _exact(text.strip(" ,;.-"))
    if named is not None:
        return Structure(named[0], layer or named[1], stated)
    found = _mentions(text)
    deepest = _deepest(found.regions)
    layer = only_layer(layer, found.layer)
    if deepest is None or found.is_unsure:
        candidates = tuple(dict.fromkeys([*found.regions, *found.open_regions]))
        return Structure(UNKNOWN if found.is_empty else own, layer, stated, candidates)
    return Structure(deepest, layer, stated)


def structure_in(words: str, *, species: str) -> Structure:
    """Return the structure that words name in a mouse; in another animal they stay as they are.

    ``species`` is a Latin name; an empty one is taken for a mouse, as most animals with such words are.
    """
    if species in ("", MOUSE):
        return structure(words)
    stated = " ".join(words[:MAX_WORDS].split())
    return Structure(stated if stated.casefold() not in UNSTATED else UNKNOWN, "", stated, is_foreign=True)


def within(region: str, ancestor: str) -> bool:
    """Return whether a region is an ancestor or a part of it; both by acronym, name or synonym.

    Words that the vocabulary does not hold lie within themselves only.
    """
    inner, outer = (canonical(_VOCABULARY, word) or word for word in (region, ancestor))
    return outer in lineage(inner) or inner.casefold() == outer.casefold()


@lru_cache(maxsize=4096)
def lineage(region: str) -> tuple[str, ...]:
    """Return a region and all that contains it, from the inside out; empty for words that are none."""
    known = entries(_VOCABULARY)
    chain: list[str] = []
    while region in known and region not in chain:
        chain.append(region)
        region = known[region].parent
    return tuple(chain)


def imaged_structure(found: Structure) -> Structure:
    """Return a structure as those mean it who image the cortex from above.

    AM, PM, LM and others are deep nuclei in the framework, and visual areas in papers about them; both
    readings stay open.
    """
    homonyms = {each["name"]: tuple(each["imaged"]) for each in vocabulary(_VOCABULARY)["homonyms"]}
    bare = next((word for word in found.stated.split() if word in homonyms), "")
    if not bare or found.is_foreign or (found.is_known and found.region != bare):
        return found
    deep = (bare,) if bare in entries(_VOCABULARY) else ()
    return Structure(UNKNOWN, found.layer, found.stated, homonyms[bare] + deep)


@dataclass(frozen=True, slots=True)
class _Found:
    regions: tuple[str, ...]
    open_regions: tuple[str, ...]
    is_unsure: bool
    is_empty: bool
    """Whether nothing but numbers, sides and words of grammar is there."""
    layer: str


def _exact(words: str) -> tuple[str, str] | None:
    """Return region and layer of a text that is one acronym, name or synonym and nothing else."""
    found = _acronym(words)
    if found is not None or words in _several():
        return found
    # Two letters in another case are as likely a word or a unit as an acronym.
    word = canonical(_VOCABULARY, words) if len(words) > 2 or not words.isalpha() else None
    return None if word is None or word == UNKNOWN else (word, "")


def _acronym(word: str) -> tuple[str, str] | None:
    """Return region and layer of an acronym or a short synonym in its own case."""
    if word in entries(_VOCABULARY):
        return word, ""
    if word in _synonyms():
        known = canonical(_VOCABULARY, word)
        return None if known is None else (known, "")
    match = _SUFFIX.fullmatch(word)
    if match is not None and set(lineage(match[1])) & set(_LAYERED):
        return match[1], layer_of(match[2], in_acronym=True)
    return None


def _from_pairs(text: str) -> tuple[str, str]:
    """Return the areas and the layer of texts such as ``brain_region: CA1; cortical_layer: N/A``."""
    pairs = [(key.strip().casefold(), value.strip(" ,.")) for key, value in _PAIRS.findall(text)]
    if len(pairs) < 2:
        return text, ""
    areas = [value for key, value in pairs if key.endswith(_AREA_KEYS) and value.casefold() not in UNSTATED]
    layers = [value for key, value in pairs if key.endswith("layer") and value.casefold() not in UNSTATED]
    return (", ".join(areas), layer_of(layers[0]) if len(layers) == 1 else "") if areas else (text, "")


def _mentions(text: str) -> _Found:
    """Return the structures that a text names beside other words."""
    tokens = [token for raw in _TOKEN.findall(text) for token in _parts(raw)]
    lower = [token.casefold() for token in tokens]
    names, several = _names(), _several_folded()
    regions: list[str] = []
    open_regions: list[tuple[str, ...]] = []
    layers: list[str] = []
    strange = False
    pending: list[str] = []
    at = 0
    while at < len(tokens):
        length = next(
            (
                size
                for size in range(min(_longest_name(), len(tokens) - at), 0, -1)
                if " ".join(lower[at : at + size]) in names or " ".join(lower[at : at + size]) in several
            ),
            0,
        )
        phrase = " ".join(lower[at : at + length])
        token = tokens[at]
        if length > 1 or (length == 1 and _is_word(token, phrase)):
            if phrase in several:
                open_regions.append(several[phrase])
            elif not (phrase in ("cortex", "neocortex") and at and lower[at - 1] not in _BEFORE_CORTEX):
                regions.append(names[phrase])
            at += length
            continue
        exact = None if token.islower() else _acronym(token)
        if token in _several():
            open_regions.append(_several()[token])
        elif exact is not None and _acronym_stands_out(token):
            regions.append(exact[0])
            layers.append(exact[1])
        elif exact is not None:
            pending.append(exact[0])
            layers.append(exact[1])
        elif lower[at] not in _FILLERS and any(letter.isalpha() for letter in token):
            strange = True
        at += 1
    if not strange:
        regions += pending
    unsure = bool(set(lower) & _ELSEWHERE)
    empty = not (strange or regions or open_regions or pending)
    settled = _deepest(regions)
    for options in open_regions:
        if settled is None or not any(within(settled, option) for option in options):
            unsure = True
    return _Found(
        tuple(dict.fromkeys(regions)),
        tuple(dict.fromkeys(option for options in open_regions for option in options)),
        unsure,
        empty,
        only_layer(*layers),
    )


def _parts(token: str) -> Iterable[str]:
    """Return a token whole where it is a structure, else cut at its slashes and dashes."""
    token = token.strip(".'`*!?<>")
    if not token:
        return ()
    if _acronym(token) is not None or token in _several():
        return (token,)
    return [part for part in re.split(r"[/_\-+&]", token) if part]


def _is_word(token: str, phrase: str) -> bool:
    """Return whether one token is a name, not an acronym in another case: thalamus, but not ``La``."""
    return len(phrase) >= 4 and (token.islower() or token.istitle() or phrase not in _acronyms_folded())


def _acronym_stands_out(token: str) -> bool:
    """Return whether an acronym of this form is hardly a word or another abbreviation in prose."""
    if token in _synonyms():
        return any(letter.isdigit() for letter in token) or len(token) > 2
    letters = sum(letter.isalpha() for letter in token)
    mixed = any(letter.islower() for letter in token) or any(letter.isdigit() for letter in token)
    return letters >= 2 and len(token) >= 3 and (mixed or token not in _CAPITALS)


_CAPITALS = frozenset(
    {
        "POST",
        "PRE",
        "SUB",
        "PAR",
        "PIN",
        "MED",
        "LAT",
        "VENT",
        "ACT",
        "CUN",
        "CUL",
        "LIN",
        "TRS",
        "PAS",
        "SPA",
    }
    | {
        "SUM",
        "SUT",
        "CAR",
        "COPY",
        "PAL",
        "MAN",
        "MY",
        "NOT",
        "NOD",
        "PER",
        "SOC",
        "SNP",
        "CEA",
        "NDB",
        "PCG",
    }
)
"""Acronyms that are words or abbreviations of other things when prose stands in capitals."""


def _deepest(regions: Iterable[str]) -> str | None:
    """Return the region that all others contain, or None when there is none."""
    different = list(dict.fromkeys(regions))
    return next(
        (each for each in different if all(other in lineage(each) for other in different)),
        None,
    )


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Return full names and synonyms of words, in lower case and without punctuation, with their acronyms."""
    found = {}
    for word, known in spellings(_VOCABULARY).items():
        for each in known[1:]:
            if word != UNKNOWN and (" " in each or len(each) > 4 or each == known[1]):
                found[" ".join(token for raw in _TOKEN.findall(each.casefold()) for token in _cut(raw))] = (
                    word
                )
    return found


def _cut(token: str) -> list[str]:
    return [part for part in re.split(r"[/_\-+&]", token.strip(".'`*!?<>")) if part]


@lru_cache(maxsize=1)
def _longest_name() -> int:
    return max(len(name.split()) for name in [*_names(), *_several_folded()])


@lru_cache(maxsize=1)
def _synonyms() -> frozenset[str]:
    """Return short synonyms, such as V1 and RSC, in their case."""
    return frozenset(
        each
        for word, known in spellings(_VOCABULARY).items()
        for each in known[2:]
        if word != UNKNOWN and " " not in each and len(each) <= 5
    )


@lru_cache(maxsize=1)
def _acronyms_folded() -> frozenset[str]:
    return frozenset(word.casefold() for word in entries(_VOCABULARY))


@lru_cache(maxsize=1)
def _several() -> dict[str, tuple[str, ...]]:
    """Return names that fit several structures, with those."""
    return {
        name: tuple(each["words"])
        for each in vocabulary(_VOCABULARY)["several"]
        for name in (each["name"], *each.get("synonyms", ()))
    }


@lru_cache(maxsize=1)
def _several_folded() -> dict[str, tuple[str, ...]]:
    return {name.casefold(): words for name, words in _several().items() if len(name) > 2}
