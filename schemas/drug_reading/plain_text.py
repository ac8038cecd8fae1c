"""Text of unknown origin on plain characters, cut into sentences; every position stays where it was."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_CHARACTERS = 20_000
"""Of a longer text the beginning is read."""
_QUOTE = 140
_BRACKET = 200
_LONGEST_SENTENCE = 1500


def _lookalikes() -> dict[int, str]:
    table = dict.fromkeys((*range(32), *range(0x7F, 0xA1)), " ")
    table |= dict.fromkeys((0xAD, *range(0x2000, 0x2010), 0x202F, 0x205F, 0x3000, 0xFEFF), " ")
    table |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2060, 0x2070)), " ")
    table |= dict.fromkeys(range(0xD800, 0xE000), "?")
    table |= dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2015, 0x2212, 0x207B, 0x208B), "-")
    table |= dict.fromkeys((0xB5, 0x3BC), "u")
    table |= dict.fromkeys((0x2018, 0x2019, 0x2BC, 0x60, 0xB4), "'")
    table |= dict.fromkeys((0x201C, 0x201D), '"')
    table |= {0x2070 + digit: str(digit) for digit in range(4, 10)}
    table |= {0x2080 + digit: str(digit) for digit in range(10)}
    table |= {0x2070: "0", 0xB9: "1", 0xB2: "2", 0xB3: "3", 0x207A: "+", 0xD7: "x", 0x2236: ":"}
    table |= {0x22C5: "\xb7", 0x2219: "\xb7", 0x2215: "/", 0x2044: "/", 0x2248: "~", 0x223C: "~"}
    table |= {0xFF01 + offset: chr(0x21 + offset) for offset in range(94)}
    table[ord("\n")] = "\n"
    return table


_LOOKALIKES = _lookalikes()
_ESCAPED_BREAK = re.compile(r"\\r\\n(?![a-z])|\\[nr](?![a-z])")


def plain(text: str) -> str:
    """Return text of the same length with plain dashes, spaces, digits, quotes and micro signs."""
    return _ESCAPED_BREAK.sub(_line_break, text[:MAX_CHARACTERS].translate(_LOOKALIKES))


def _line_break(match: re.Match[str]) -> str:
    return "\n".rjust(len(match.group()), "\n")


def quote(text: str, start: int = 0, end: int | None = None) -> str:
    """Return a part of a text on one line, shortened, as safe to print."""
    part = text[start : len(text) if end is None else end][: 4 * _QUOTE].translate(_LOOKALIKES)
    words = " ".join(part.split())
    return words if len(words) <= _QUOTE else words[: _QUOTE - 3].rstrip() + "..."


_BREAK = re.compile(r"[.!?;](?=[\s\"'])|\n(?=[ ]*\n)|\n(?=[ ]*(?:[-*]|[0-9]{1,2}[.)])[ ])|[.;](?=\n)")
_LAST_WORD = re.compile(r"[\w.]{1,12}$")
_ROUTES = frozenset(["i.p", "i.v", "s.c", "i.m", "p.o", "i.n", "i.c.v", "i.t", "r.o", "v.o", "b.i.d", "q.d"])
_ABBREVIATIONS = frozenset((
    "e.g", "i.e", "inj", "exp", "rec", "approx", "ca", "vs", "al", "fig", "figs", "no", "min", "mins",
    "hr", "hrs", "conc", "dr", "st", "resp", "incl", "cf", "etc", "max", "temp", "vol", "wt", "b.w",
))  # fmt: skip


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each sentence of a plain text; a semicolon ends one too.

    What has no end within `_LONGEST_SENTENCE` characters is cut there.
    """
    for start, end in _whole_sentences(text):
        while end - start > _LONGEST_SENTENCE:
            cut = text.rfind(" ", start + 1, start + _LONGEST_SENTENCE)
            cut = cut if cut > start else start + _LONGEST_SENTENCE
            yield start, cut
            start = cut
        yield start, end


def _whole_sentences(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in _BREAK.finditer(text):
        mark, place = match.group(), match.start()
        if (mark == "." and not _ends_sentence(text, place)) or (
            mark == ";" and _is_in_brackets(text, start, place)
        ):
            continue
        if text[start : match.start()].strip():
            yield start, match.start()
        start = match.end()
    if text[start:].strip():
        yield start, len(text)


def _is_in_brackets(text: str, start: int, place: int) -> bool:
    near = max(start, place - _BRACKET)
    return text.count("(", near, place) > text.count(")", near, place)


def _ends_sentence(text: str, dot: int) -> bool:
    word = _LAST_WORD.search(text, max(0, dot - 12), dot)
    before = word.group().casefold().lstrip(".") if word else ""
    following = text[dot + 1 : dot + 4].lstrip("\"')] \n")
    if before in _ROUTES:
        return following[:1].isupper()
    return before not in _ABBREVIATIONS
