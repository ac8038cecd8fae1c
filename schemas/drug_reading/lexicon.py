"""Finds substances in text: names in any spelling, abbreviations where they are written as such."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from nwbswitch.schemas.drug_reading.codes import MIXTURES
from nwbswitch.schemas.drug_reading.kinds import Kind, Known
from nwbswitch.schemas.drug_reading.names import known_spellings

_PIECE = re.compile(r"[^\W\d_]+|\d+")
_GAP = re.compile(r"[\s_]|-|,\s?|\)-?|-?\([+±-]\)-?|\s?-\s?")
_JOINT = re.compile(
    r"(?<=[a-z]{2})(?=[A-Z][a-z])|(?<=[A-Z]{3})(?=[A-Z][a-z]{2})|(?<=[a-z]{3})(?=[A-Z]{2,6}(?![A-Za-z]))"
)
_WORD = re.compile(r"[A-Za-z]{4,}+")
_LONGEST_CODE = 6
_SERIES = re.compile(r"-[0-9]+(?![0-9.,]|\s?(?:[mun]g|%|[munp]M))")
"""Makes another word of a code, as in ``KX-7``."""


@dataclass(frozen=True, slots=True)
class NameSpan:
    """A substance found in a text."""

    start: int
    end: int
    known: Known
    is_code: bool = False
    """Whether it is written as an abbreviation."""


@dataclass(frozen=True, slots=True)
class _Phrase:
    pieces: tuple[str, ...]
    exact: tuple[str, ...]
    """The pieces as an abbreviation must be written; empty where case does not matter."""
    known: tuple[Known, ...]


def find_names(text: str) -> list[NameSpan]:
    """Return the substances that a plain text names, in order; the longest name wins."""
    index = _index()
    found: list[NameSpan] = []
    pieces = [(match.start(), match.end(), match.group()) for match in _PIECE.finditer(text)]
    place = 0
    while place < len(pieces):
        phrases = index.get(pieces[place][2].casefold())
        step = 1
        if phrases is not None:
            for phrase in phrases:
                if _stands_at(phrase, pieces, place, text):
                    step = len(phrase.pieces)
                    start, end = pieces[place][0], pieces[place + step - 1][1]
                    start = _with_sign(text, start)
                    found += [NameSpan(start, end, known, bool(phrase.exact)) for known in phrase.known]
                    break
        place += step
    return found


def spaced(text: str) -> str:
    """Return a plain text with ``KetamineInjection``, ``CNOInjection`` and ``before_CNO`` in words."""
    words = text.replace("_", " ")
    return _WORD.sub(_apart, words)


def _apart(match: re.Match[str]) -> str:
    word = match.group()
    if word[1:].islower() or find_names(word):
        return word
    return _JOINT.sub(" ", word)


def _with_sign(text: str, start: int) -> int:
    """Return the start of a name including a bracket of its stereochemistry, as in ``(S)-ketamine``."""
    return start - 1 if start and text[start - 1] == "(" and ")" in text[start : start + 6] else start


def _stands_at(phrase: _Phrase, pieces: Sequence[tuple[int, int, str]], place: int, text: str) -> bool:
    last = place + len(phrase.pieces) - 1
    if last >= len(pieces):
        return False
    for offset, word in enumerate(phrase.pieces[1:], start=1):
        if pieces[place + offset][2].casefold() != word:
            return False
        gap = text[pieces[place + offset - 1][1] : pieces[place + offset][0]]
        if gap and not _GAP.fullmatch(gap):
            return False
        if gap.isspace() and phrase.pieces[offset - 1] in ("s", "r"):
            return False
    if phrase.exact and any(pieces[place + offset][2] != word for offset, word in enumerate(phrase.exact)):
        return False
    if phrase.exact and _SERIES.match(text, pieces[last][1]):
        return False
    return _is_apart(text, pieces[place][0], pieces[last][1])


def _is_apart(text: str, start: int, end: int) -> bool:
    before = text[start - 1] if start else " "
    after = text[end] if end < len(text) else " "
    if re.match(r"\s?[:(]?\s?(?:https?|10\.[0-9])|\.org|\.gov", text[end : end + 8]):
        return False
    possessive = before == "'" and start > 1 and text[start - 2].isalnum()
    return not (before.isalnum() or after.isalnum() or possessive)


@lru_cache(maxsize=1)
def _index() -> dict[str, tuple[_Phrase, ...]]:
    """Return all phrases by their first piece, longest first."""
    found: dict[str, list[_Phrase]] = {}
    words: dict[str, tuple[Known, ...]] = {word: (known,) for word, known in known_spellings().items()}
    for word, names in MIXTURES.items():
        words[word] = tuple(Known(name, Kind.ANAESTHETIC) for name in names)
    for word, known in words.items():
        pieces = tuple(_PIECE.findall(word))
        exact = pieces if len(pieces) == 1 and _is_code(pieces[0]) else ()
        phrase = _Phrase(tuple(map(str.casefold, pieces)), exact, known)
        found.setdefault(phrase.pieces[0], []).append(phrase)
    return {
        first: tuple(sorted(phrases, key=lambda each: -len(each.pieces))) for first, phrases in found.items()
    }


def _is_code(word: str) -> bool:
    """Return whether a spelling is an abbreviation, which counts only in its own case."""
    return word.isalpha() and len(word) <= _LONGEST_CODE and sum(map(str.isupper, word)) > len(word) / 2
