"""Routes of administration as people write them, with the words of the vocabulary."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RouteSpan:
    """A route found in a text."""

    start: int
    end: int
    route: str
    """Word of the vocabulary of routes; empty for one that it does not hold."""
    sure: bool
    """False for a bare abbreviation, which counts only beside a dose or an injection."""


_SPELLED: dict[str, str] = {
    "i.p.": r"i\.\s?p\b\.?|intra-?peritoneal(?:ly)?|into the peritoneum",
    "s.c.": r"s\.\s?c\b\.?|sub-?cutaneous(?:ly)?|subcut\b|s\.\s?q\b\.?|subq\b",
    "i.v.": r"i\.\s?v\b\.?|intra-?venous(?:ly)?|tail[ -]vein|(?:jugular|saphenous|femoral) (?:vein"
    r"|catheter)",
    "i.m.": r"i\.\s?m\b\.?|intra-?muscular(?:ly)?",
    "oral gavage": r"(?:oral )?gavaged?|i\.\s?g\b\.?|intra-?gastric(?:ally)?",
    "p.o.": r"p\.\s?o\b\.?|per os|oral(?:ly)?|(?:in|via) (?:the |their )?(?:drinking water|food|chow"
    r"|diet)|by mouth",
    "i.n.": r"i\.\s?n\b\.?|intra-?nasal(?:ly)?|nasal spray",
    "inhaled": r"inhal(?:ed|ation(?:al)?|ing)|vapou?ri[sz]ed|(?:via|through|by) (?:a )?(?:nose ?cone"
    r"|face ?mask)",
    "i.c.v.": r"i\.\s?c\.\s?v\b\.?|intra-?cerebro-?ventricular(?:ly)?|intra-?ventricular(?:ly)?"
    r"|into the (?:left |right |lateral )*ventricles?",
    "i.t.": r"i\.\s?t\b\.|intra-?thecal(?:ly)?",
    "retro-orbital": r"retro-?orbital(?:ly)?|r\.\s?o\b\.|retro-orbital sinus",
    "transdermal": r"trans-?dermal(?:ly)?",
    "topical": r"topical(?:ly)?|epidural(?:ly)?|onto the (?:cortex|dura|brain|cortical surface)"
    r"|to the (?:cortical|brain|exposed) surface",
    "local infusion": r"micro-?(?:infus|inject)(?:ed|ions?)|intra-?(?:cerebral|cortical|cranial|parenchymal"
    r"|striatal|hippocampal|accumbens|[a-z]{2,4}(?= (?:infus|inject)))(?:ly)?"
    r"|local(?:ly)? (?:infus|inject|appli|deliver)[a-z]*|(?:infus|inject|deliver)ed locally"
    r"|(?:infus|inject)(?:ed|ions?) (?:bilaterally |unilaterally )?(?:directly )?into\b(?! (?:the )?"
    r"(?:lateral |left |right )*(?:ventric|peri|tail|jugular|vein|muscle|brain slice))|(?:through"
    r"|via) (?:an? |the )?(?:guide |infusion |implanted )*cannulae?"
    r"|pressure[- ]inject(?:ed|ions?)|iontophore[a-z]+|puffed",
    "": r"bath[- ]appli[a-z]+|bath[- ]perfus[a-z]+|added to the (?:bath|perfusate|acsf)|superfus(?:ed|ion)"
    r"|wash(?:ed)?[- ]?in\b|intra-?(?:carotid|arterial)|\bICA\b",
}
_BARE: dict[str, str] = {
    "i.p.": "ip|IP|Ip",
    "s.c.": "sc|SC|sq|SQ",
    "i.v.": "iv|IV",
    "i.m.": "im|IM",
    "p.o.": "po|PO",
    "i.c.v.": "icv|ICV",
    "oral gavage": "ig",
}
_WORDS = tuple(_SPELLED)
_BARE_WORDS = tuple(_BARE)
_ROUTE = re.compile(
    r"(?<!\w)(?:(?i:"
    + "|".join(rf"(?P<s{number}>(?:{pattern})(?!\w))" for number, pattern in enumerate(_SPELLED.values()))
    + ")|"
    + "|".join(
        rf"(?<![.-])(?P<b{number}>(?:{pattern})(?![\w-]))" for number, pattern in enumerate(_BARE.values())
    )
    + ")"
)


def find_routes(text: str) -> list[RouteSpan]:
    """Return the routes that a plain text names, in order."""
    found = []
    for match in _ROUTE.finditer(text):
        group = match.lastgroup or ""
        sure, number = group[0] == "s", int(group[1:])
        word = (_WORDS if sure else _BARE_WORDS)[number]
        found.append(RouteSpan(match.start(), match.end(), word, sure))
    return found


def route_words() -> frozenset[str]:
    """Return the words of the vocabulary that are looked for."""
    return frozenset(word for word in (*_SPELLED, *_BARE) if word)
