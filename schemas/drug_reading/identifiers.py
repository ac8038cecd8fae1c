"""Reads session ids and file names: ``m12_KET10_d2``, ``ses-saline``, ``RSK (3, 10, 30)``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from nwbswitch.schemas.drug_reading import cues
from nwbswitch.schemas.drug_reading.claims import Claim, Stance
from nwbswitch.schemas.drug_reading.codes import NO_CODES, find_code
from nwbswitch.schemas.drug_reading.evidence import MentionReason
from nwbswitch.schemas.drug_reading.kinds import TESTED, Kind, Known
from nwbswitch.schemas.drug_reading.lexicon import find_names, spaced
from nwbswitch.schemas.drug_reading.places import FILE_NAME, Scope
from nwbswitch.schemas.drug_reading.plain_text import plain, quote
from nwbswitch.schemas.drug_reading.quantities import Measure, Quantity, find_quantities, find_tuples
from nwbswitch.schemas.drug_reading.routes import find_routes
from nwbswitch.schemas.substances import find_substance

MAX_IDENTIFIER = 400
"""Of a longer identifier the beginning is read."""
_ANIMAL = re.compile(r"(?<![a-z0-9])sub-[^_/]*_?", re.IGNORECASE)
_DOI = re.compile(r"(?<![0-9])10\.[0-9]{4,5}[/_]")
_GLUED = re.compile(r"(pre|post|no|non|after|before|during)([a-z]{3,})", re.IGNORECASE)
_RUN = re.compile(r"[A-Za-z0-9]+(?:\.[0-9]+[A-Za-z0-9]*)*")
_CHUNK = re.compile(r"[A-Za-z]+|[0-9]+(?:\.[0-9]+)?")
_CAMEL = re.compile(r"[A-Z]{2,}(?=[a-z]{3,})|[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_NOT = frozenset(("pre", "before", "no", "non", "not", "without", "wo", "off", "minus", "prior", "undrugged"))
_NOT_BEHIND = frozenset(("pre", "before", "off", "free", "neg", "baseline"))
_NOT_YET = frozenset(("pre", "before", "prior", "baseline"))
_OPTION = frozenset(("vs", "or", "versus", "crossover"))
_UNIT = re.compile(r"(?:mg|ug|g|ng)(?:kg|_?per_?kg|/kg|-kg| kg)?|mpk", re.IGNORECASE)
_TIMES = frozenset((
    "h", "hr", "hrs", "min", "mins", "s", "sec", "d", "day", "days", "wk", "week", "weeks", "hz",
))  # fmt: skip
_TUPLE_NEAR = 24


def read_identifier(
    text: str, place: str, scope: Scope, *, own: Mapping[str, Known] = NO_CODES
) -> list[Claim]:
    """Return what the tokens of an identifier say of substances; a number is a dose only with reason.

    ``own`` holds the lab's own codes in lower case.
    """
    whole = plain(text[:MAX_IDENTIFIER])
    if _DOI.search(whole):
        return []
    if place == FILE_NAME:
        whole = _ANIMAL.sub("", re.split(r"[/\\]", whole)[-1])
        whole = re.sub(r"\.nwb$", "", whole, flags=re.IGNORECASE)
    words = _words(whole, own)
    joined = " ".join(words)
    named = _named(joined, words, own)
    claims = []
    for position, known, candidates in named:
        claim = Claim(
            place, scope, quote(text), known, Stance.GIVEN, is_inferred=True, word=words[position[0]]
        )
        claim.candidates = candidates
        before = words[position[0] - 1].casefold() if position[0] else ""
        behind = words[position[1]].casefold() if position[1] < len(words) else ""
        if before in _NOT or behind in _NOT_BEHIND:
            later = before in _NOT_YET or behind in _NOT_YET
            claim.stance = Stance.ASIDE
            claim.why = MentionReason.NOT_YET if later else MentionReason.NOT_GIVEN
        elif "washout" in (before, behind):
            claim.stance, claim.why = Stance.ASIDE, MentionReason.WASHED_OUT
        elif known is not None and known.kind in (Kind.LESION, Kind.LABEL, Kind.SURGICAL, Kind.INDUCER):
            claim.stance = Stance.ASIDE
            claim.why = MentionReason.LESION if known.kind is Kind.LESION else MentionReason.LABEL
        claim.quantities = _dose(whole, words, position, known)
        claims.append(claim)
    if len(claims) == 1 and not claims[0].quantities:
        stated = [each for each in find_quantities(spaced(whole)) if each.unit.endswith("/kg")]
        claims[0].quantities = stated if len(stated) == 1 else []
    if len(claims) == 1:
        _give_route(joined, claims[0])
    if len({each.known for each in claims}) > 1 and _OPTION & {word.casefold() for word in words}:
        for each in claims:
            if each.stance is Stance.GIVEN:
                each.stance, each.why = Stance.OPTION, MentionReason.ALTERNATIVE
    if not claims and cues.NOTHING_GIVEN.search(joined):
        claims.append(Claim(place, scope, quote(text), None, Stance.NOTHING, is_inferred=True))
    return claims


def _words(text: str, own: Mapping[str, Known]) -> list[str]:
    """Return the words of an identifier: runs of letters cut at capitals, numbers, nothing between."""
    found: list[str] = []
    for run in _RUN.findall(text):
        if run.casefold() in own:
            found.append(run)
        else:
            for chunk in _CHUNK.findall(run):
                found += _parts(chunk, own)
    return found


def _parts(chunk: str, own: Mapping[str, Known]) -> list[str]:
    """Return a run of letters as its words, one word where it is a name or a code."""
    glued = _GLUED.fullmatch(chunk)
    if glued is not None and (find_names(glued[2]) or find_code(glued[2]) is not None):
        return [glued[1], glued[2]]
    is_whole = chunk.casefold() in own or find_code(chunk) is not None or find_names(chunk)
    return [chunk] if is_whole or not chunk[0].isalpha() else _CAMEL.findall(chunk)


_Named = tuple[tuple[int, int], Known | None, tuple[Known, ...]]
"""Words from and to, the substance, or what the code may stand for."""


def _named(joined: str, words: Sequence[str], own: Mapping[str, Known]) -> list[_Named]:
    starts = [0]
    for word in words:
        starts.append(starts[-1] + len(word) + 1)
    found: list[_Named] = []
    taken: set[int] = set()
    for name in find_names(joined):
        if name.known.kind in (Kind.ENDOGENOUS, Kind.SOLUTE):
            continue
        first = next(index for index, start in enumerate(starts) if start >= name.start)
        last = next(index for index, start in enumerate(starts) if start > name.end)
        if not taken & set(range(first, last)) or (found and found[-1][0] == (first, last)):
            taken |= set(range(first, last))
            found.append(((first, last), name.known, ()))
    for index, word in enumerate(words):
        if word.casefold() in own and index not in taken:
            taken.add(index)
            found.append(((index, index + 1), own[word.casefold()], ()))
        code = find_code(word) if index not in taken and len(word) > 1 else None
        if code is None or (not code.sure and not word.isupper()):
            continue
        if code.sure:
            found.append(((index, index + 1), code.candidates[0], ()))
        else:
            found.append(((index, index + 1), None, code.candidates))
    return sorted(found, key=lambda each: each[0])


def _dose(whole: str, words: Sequence[str], position: tuple[int, int], known: Known | None) -> list[Quantity]:
    """Return the dose beside a substance: with a unit, glued on where usual, or a list in brackets."""
    lists = find_tuples(whole)
    name = words[position[0]]
    start = whole.find(name)
    near = [each for each in lists if 0 <= each.start - (start + len(name)) <= _TUPLE_NEAR]
    if near:
        return near[:1]
    number = words[position[1]] if position[1] < len(words) else ""
    after = words[position[1] + 1 : position[1] + 4]
    if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", number):
        if after and _UNIT.fullmatch(after[0]):
            return _with_unit(number, after)
        is_time = bool(after) and after[0].casefold() in _TIMES and f"{number}{after[0]}" in whole
        glued = (
            None
            if is_time
            else re.search(rf"{re.escape(words[position[1] - 1])}{re.escape(number)}(?![0-9])", whole)
        )
        if glued and _is_usual(float(number), known):
            return [Quantity(0, 0, (float(number),), False, "", Measure.DOSE)]
    if position[0] >= 2 and _UNIT.fullmatch(words[position[0] - 1].casefold()):
        return _with_unit(words[position[0] - 2], words[position[0] - 1 : position[0]])
    if position[0] >= 3 and words[position[0] - 1].casefold() == "kg":
        return _with_unit(words[position[0] - 3], words[position[0] - 2 : position[0]])
    return []


def _with_unit(number: str, unit: Sequence[str]) -> list[Quantity]:
    for count in (3, 2, 1):
        text = " ".join(unit[:count]).casefold()
        found = find_quantities(f"{number} {text}") if len(unit) >= count else []
        if found and found[0].unit and found[0].end == len(number) + 1 + len(text):
            return found
    return []


def _is_usual(number: float, known: Known | None) -> bool:
    """Return whether a bare number lies within the typical doses of the substance in mg/kg."""
    substance = find_substance(known.name) if known is not None else None
    if substance is None or substance.dose_mg_per_kg is None:
        return False
    low, high = substance.dose_mg_per_kg
    return low / 2 <= number <= high


def _give_route(joined: str, claim: Claim) -> None:
    for route in find_routes(joined):
        if not route.sure and route.route != "i.n.":
            claim.route, claim.route_quote = route.route, claim.quote
    if claim.known is not None and claim.known.kind not in (*TESTED, Kind.CONTROL):
        claim.route = ""
