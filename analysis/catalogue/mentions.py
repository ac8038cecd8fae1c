"""Substances that the archive's texts name, with the words around them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from nwbswitch.schemas.drug_reading.codes import find_code
from nwbswitch.schemas.drug_reading.lexicon import find_names
from nwbswitch.schemas.drug_reading.names import known_spellings
from nwbswitch.schemas.drug_reading.plain_text import plain, quote

PATH = "path"
SESSION_ID = "session id"
IDENTIFIERS = frozenset((PATH, SESSION_ID))
"""Places whose words may be codes, such as KET for ketamine."""

Text = tuple[str, str]
"""Where in the archive's metadata, and what it says there."""

_AROUND = 50
_TOKEN = re.compile(r"[A-Za-z]+[0-9]*")
_ARTICLE = re.compile(r"\s{0,3}[:=]?\s{0,3}(?:https?://|10\.\d)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TextMention:
    """A substance that a text names."""

    substance: str
    place: str
    quote: str


def mentions(texts: Iterable[Text]) -> tuple[TextMention, ...]:
    """Return the substances that texts name, once for each place that does."""
    found: dict[tuple[str, str], TextMention] = {}
    for place, text in texts:
        for name, words in _named(text, place in IDENTIFIERS):
            found.setdefault((name, place), TextMention(name, place, words))
    return tuple(found.values())


@lru_cache(maxsize=4096)
def _named(text: str, is_identifier: bool) -> tuple[tuple[str, str], ...]:
    words = plain(text)
    found = [
        (each.known.name, _quoted(text, each.start, each.end))
        for each in find_names(words)
        if not _is_article(words, each.start, each.end)
    ]
    if is_identifier:
        # What other codes mean is found out by reading the file.
        codes = (find_code(match.group()) for match in _TOKEN.finditer(words))
        found += [(code.candidates[0].name, quote(text)) for code in codes if code is not None and code.sure]
    return tuple(dict.fromkeys(found))


def _quoted(text: str, start: int, end: int) -> str:
    """Return whole words around a part of a text."""
    first = text.rfind(" ", 0, max(0, start - _AROUND)) + 1 if start > _AROUND else 0
    last = text.find(" ", end + _AROUND)
    return quote(text, first, None if last < 0 else last)


def _is_article(text: str, start: int, end: int) -> bool:
    """Return whether DOI is the identifier of a publication, not 2,5-dimethoxy-4-iodoamphetamine."""
    word = text[start:end]
    if word.casefold() != "doi":
        return False
    in_address = text[max(0, start - 1) : start] in ("/", ".")
    return word != "DOI" or in_address or _ARTICLE.match(text, end) is not None


@lru_cache(maxsize=1)
def names_digest() -> str:
    """Return a digest of all names that are looked up: when it changes, mentions are looked up anew."""
    listed = sorted(f"{spelling}={known.name}" for spelling, known in known_spellings().items())
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()
