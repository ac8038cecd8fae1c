"""Layers of the cortex as files write them."""

from __future__ import annotations

import re

LAYERS = ("1", "2/3", "4", "5", "6", "6a", "6b")
"""Layers of the isocortex in the Allen CCF."""

_LAYER_WORDS = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:cortical[ _])?layers?[ _:=-]*|lamina[ _]|(?-i:[Ll](?=\d)|L(?=[IV]+\b)))"
    r"(?P<layer>23|\d[ab]?(?:\s*[/&+,-]\s*\d[ab]?|\s+and\s+\d[ab]?)*|[IV]+(?:\s*[/-]\s*[IV]+)?[ab]?)(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_BARE_LAYER = re.compile(r"(?<=\s)(2/3|6a|6b)(?=$|[\s,;.)])")
_ROMAN = {"I": "1", "II": "2", "III": "3", "IV": "4", "V": "5", "VI": "6"}


def without_layer(text: str) -> tuple[str, str]:
    """Return a text without what it says about layers, and the layer where it is one."""
    found = [layer_of(match["layer"]) for match in _LAYER_WORDS.finditer(text)]
    rest = _LAYER_WORDS.sub(" ", text)
    found += [layer_of(match[1]) for match in _BARE_LAYER.finditer(rest)]
    rest = _BARE_LAYER.sub(" ", rest)
    return " ".join(rest.split()), found[0] if len(set(found)) == 1 else ""


def layer_of(words: str, *, in_acronym: bool = False) -> str:
    """Return a layer as the framework numbers it, or an empty text for several and for none of them."""
    plain = re.sub(r"\s*(?:[-&+,/]|and)\s*", "/", words.strip(), flags=re.IGNORECASE)
    parts = [_ROMAN.get(part.upper(), part.casefold()) for part in plain.split("/")]
    joined = "/".join(parts)
    if joined in LAYERS or (in_acronym and joined in ("2", "3")):
        return joined
    # Layer 2 and layer 3 alone are parts of 2/3; 5a and 5b are not told apart there.
    return {"2": "2/3", "3": "2/3", "23": "2/3", "5a": "5", "5b": "5"}.get(joined, "")


def only_layer(*layers: str) -> str:
    """Return the layer that all who name one agree about, else an empty text."""
    found = {layer for layer in layers if layer}
    return found.pop() if len(found) == 1 else ""
