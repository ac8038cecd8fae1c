"""Patterns of paths: ``*`` within one folder, ``**`` over folders, ``?`` and ``[...]`` for one character."""

from __future__ import annotations

import re
from functools import lru_cache

MAGIC = frozenset("*?[")


def has_pattern(path: str) -> bool:
    """Tell whether a path holds a character that makes it a pattern."""
    return not MAGIC.isdisjoint(path)


def matches_pattern(path: str, pattern: str) -> bool:
    """Tell whether a path with forward slashes matches a pattern; case counts."""
    return _compiled(pattern).fullmatch(path) is not None


def wider_pattern(pattern: str) -> str:
    """Return a pattern of stars, which match slashes too, for all paths that match the one given and more."""
    starred = re.sub(r"\*\*/", "*", pattern)
    starred = re.sub(r"\[!?\]?[^\]]*\]", "*", starred)
    return re.sub(r"\*+", "*", starred.replace("?", "*").replace("[", "*"))


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*+|\?|\[!?\]?[^\]]*\])", pattern)
    return re.compile("".join(_translated(part) for part in parts), re.DOTALL)


def _translated(part: str) -> str:
    if part == "**/":
        return r"(?:.*/)?"
    if part.startswith("**"):
        return r".*"
    if part == "*":
        return r"[^/]*"
    if part == "?":
        return r"[^/]"
    if len(part) > 2 and part.startswith("[") and part.endswith("]"):
        negated = part[1] == "!"
        inside = re.escape(part[2:-1] if negated else part[1:-1]).replace(r"\-", "-")
        return f"(?!/)[{'^' if negated else ''}{inside}]"
    return re.escape(part)
