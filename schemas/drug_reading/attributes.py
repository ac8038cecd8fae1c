"""Gives doses, routes and times of a sentence to the substances that they belong to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from nwbswitch.schemas.drug_reading import cues
from nwbswitch.schemas.drug_reading.kinds import VOLATILE, Kind
from nwbswitch.schemas.drug_reading.lexicon import NameSpan
from nwbswitch.schemas.drug_reading.moments import Clock, Moment, find_moments
from nwbswitch.schemas.drug_reading.quantities import Measure, Quantity, find_quantities, find_tuples
from nwbswitch.schemas.drug_reading.routes import RouteSpan, find_routes


@dataclass(slots=True, eq=False)
class Found:
    """One substance of a sentence with what belongs to it."""

    name: NameSpan
    is_solvent: bool = False
    solvents: list[NameSpan] = field(default_factory=list)
    """What it was dissolved in."""
    parts: list[NameSpan] = field(default_factory=list)
    """What a vehicle consists of."""
    quantities: list[Quantity] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    anchors: dict[int, str] = field(default_factory=dict)
    routes: list[RouteSpan] = field(default_factory=list)
    is_anchor: bool = False
    """Whether another administration is timed against it."""

    @property
    def is_timed(self) -> bool:
        """Whether a time or a date belongs to it."""
        return any(each.clock not in (Clock.DURATION, Clock.DAY) for each in self.moments)

    @property
    def has_dose(self) -> bool:
        """Whether a dose or a concentration belongs to it."""
        return any(each.measure is not Measure.VOLUME for each in self.quantities)


@dataclass(slots=True)
class Loose:
    """What a sentence states without naming a substance for it."""

    quantities: list[Quantity]
    moments: list[Moment]
    routes: list[RouteSpan]


_FILLER = re.compile(
    r"\s?[)\]]?\s?(?:(?:of|the|a|an|racemic|sterile|solution|i\.?p\.?|s\.?c\.?|i\.?v\.?|i\.?m\.?|bolus|injections?|doses?"
    r"|intraperitoneal(?:ly)?|subcutaneous(?:ly)?|intravenous(?:ly)?|oral|single|systemic|infusion)\s){0,4}[(\[\"']?",
    re.IGNORECASE,
)
_BEHIND = re.compile(r"[ _-]?[^\w\s;.)]{0,2}\s?(?:[\w/.-]{1,16}[ ,:]\s?){0,3}[(\[~]?", re.IGNORECASE)
_JOINED = re.compile(r"\s?(?:/|\+|-|,|&|and|plus|,\s?and|combined with|mixed with)\s?", re.IGNORECASE)
_SUPPLEMENT = re.compile(
    r"\s?(?:i\.?p\.?\s)?(?:supplement|top-?up|booster|increment|as needed|additional)", re.IGNORECASE
)
_ANOTHER = re.compile(
    r"(?:\band|\bplus|\bwith|[,;+/])\s{1,2}(?:[a-z]{2,16} )?([A-Za-z][A-Za-z0-9-]{3,30})\s?[(:]?\s?$"
)
_SAME_STILL = frozenset((
    "then", "followed", "maintenance", "maintained", "induction", "first", "second", "session",
    "sessions", "dose", "doses", "thereafter", "later", "from", "day",
))  # fmt: skip
_AWAY = re.compile(r"[;)]|\.\s[A-Z]")
_RATIO = re.compile(r"\s?[:/]\s?")
_TOGETHER = re.compile(r"\b(?:and|plus|with)\b|[+/]", re.IGNORECASE)
_APART = re.compile(
    r"\b(?:then|followed|after|before|later|reversed|at [0-9]{1,4} ?(?:s|m|h))\b|;", re.IGNORECASE
)
_INSTANTS = (Clock.SESSION, Clock.SINCE, Clock.DAYTIME)
_OF = re.compile(r"\s(?:of\s)?")
_IS = re.compile(r"\s?[(\[:,=]?\s?(?:at\s|dose\s|of\s)?")
_BOTH_SIDES = re.compile(r"\b(?:before|pre|baseline|prior) (?:and|to|&) $", re.IGNORECASE)
_FIELD = re.compile(r"\s?[:=]")
_LIST_JOINT = re.compile(r"\s?(?:and|/|,|or|,\s?and)\s?")
_SYNONYM = re.compile(r"(?: \w{2,16}){0,2}\s?[(=,]\s?")
_NEAR_ROUTE = re.compile(r"inj|infus|administ|gavage|deliver|route", re.IGNORECASE)
_GIVING = re.compile(r"inj|admin|infus|dos|treat|drug|deliver|applic|gavage", re.IGNORECASE)
_AND = re.compile(r"\b(?:and|or|but)\s$|an(?:a)?esth", re.IGNORECASE)
_MERGED = re.compile(r"[\s(:=,/-]{0,3}(?:[0-9.,]{1,5}\s?%?\s?)?(?:in|of|solution|control)?[\s(:]{0,2}")


def read_sentence(text: str, names: Sequence[NameSpan], *, with_tuples: bool) -> tuple[list[Found], Loose]:
    """Return the substances of a sentence with their doses, routes and times, and what belongs to none."""
    found = _merged(text, _with_solvents(text, names))
    owners = [each for each in found if not each.is_solvent]
    loose = Loose([], [], [])
    quantities = find_quantities(_masked(text, names))
    if with_tuples and not quantities:
        quantities = find_tuples(text)
    _give_quantities(text, owners, quantities, loose)
    _give_moments(text, owners, find_moments(text), loose)
    _share_moment(text, owners)
    _give_routes(text, owners, find_routes(text), quantities, loose)
    return found, loose


def _masked(text: str, names: Sequence[NameSpan]) -> str:
    """Return the text with letters in place of the names, so that their numbers are no quantities."""
    for name in names:
        text = text[: name.start] + "x" * (name.end - name.start) + text[name.end :]
    return text


def _with_solvents(text: str, names: Sequence[NameSpan]) -> list[Found]:
    """Mark what others were dissolved in, and give it to the substance before."""
    found: list[Found] = []
    dissolved: Found | None = None
    for name in names:
        each = Found(name)
        left, right = text[max(0, name.start - 60) : name.start], text[name.end : name.end + 24]
        drugs = [one for one in found if not one.is_solvent and one.name.known.kind is not Kind.CONTROL]
        if drugs and name.known.name == "vehicle" and _FIELD.match(right):
            each.is_solvent, dissolved = True, drugs[-1]
        elif name.known.kind in (Kind.CONTROL, Kind.SOLUTE) and not cues.GROUP_AFTER.match(right):
            last = found[-1] if found else None
            more = (
                last is not None
                and last.is_solvent
                and bool(cues.SOLVENT_MORE.match(text[last.name.end : name.start]))
            )
            ratio = (
                last is not None
                and last.name.known.kind in (Kind.SOLUTE, Kind.ENDOGENOUS)
                and bool(_RATIO.fullmatch(text[last.name.end : name.start]))
            )
            if more or ratio or cues.SOLVENT_BEFORE.search(left):
                each.is_solvent = True
                if not more and not ratio:
                    others = [one for one in found if not one.is_solvent]
                    dissolved = others[-1] if others else None
                if dissolved is not None:
                    dissolved.solvents.append(name)
        found.append(each)
    return found


def _merged(text: str, found: list[Found]) -> list[Found]:
    """Join ``vehicle (10 % DMSO in saline)`` and ``saline vehicle`` into one control."""
    merged: list[Found] = []
    for each in found:
        last = merged[-1] if merged else None
        if last is not None and _is_synonym(text, last, each):
            last.name = replace(last.name, end=each.name.end)
        elif last is not None and _is_one_control(text, last, each):
            last.parts.append(each.name)
            last.name = replace(last.name, end=each.name.end)
            if each.name.known.name == "vehicle":
                last.name = replace(last.name, known=each.name.known)
                last.parts.append(each.name)
        else:
            merged.append(each)
    return merged


def _is_synonym(text: str, first: Found, second: Found) -> bool:
    """Return whether a bracket or a sign of equality repeats a name, as in ``clozapine N-oxide (CNO``."""
    gap = text[first.name.end : second.name.start]
    return first.name.known == second.name.known and bool(_SYNONYM.fullmatch(gap))


def _is_one_control(text: str, first: Found, second: Found) -> bool:
    kinds = (first.name.known.kind, second.name.known.kind)
    if kinds[0] is not Kind.CONTROL or kinds[1] not in (Kind.CONTROL, Kind.SOLUTE) or first.is_solvent:
        return False
    if "vehicle" not in (first.name.known.name, second.name.known.name) and not first.parts:
        return False
    return bool(_MERGED.fullmatch(text[first.name.end : second.name.start]))


def _owner(text: str, owners: Sequence[Found], start: int, end: int, *, comes_first: bool) -> Found | None:
    """Return the substance that what stands from ``start`` to ``end`` belongs to."""
    before = [each for each in owners if each.name.end <= start]
    after = [each for each in owners if each.name.start >= end]
    last, following = (before[-1] if before else None), (after[0] if after else None)
    if last is not None:
        gap = text[last.name.end : start]
        if gap.count("(") > gap.count(")") and "(" in gap:
            return last
    is_next = following is not None and bool(_FILLER.fullmatch(text[end : following.name.start]))
    is_last = last is not None and bool(_BEHIND.fullmatch(text[last.name.end : start]))
    if is_next and (comes_first or not is_last):
        return following
    return last if last is not None else following


def _give_quantities(
    text: str, owners: Sequence[Found], quantities: Sequence[Quantity], loose: Loose
) -> None:
    quantities = _listed(text, quantities)
    doses = [each for each in quantities if each.measure is not Measure.VOLUME]
    first = _doses_come_first(text, owners, doses)
    for each in quantities:
        shared = _shared(text, owners, each)
        if shared:
            for one, value in zip(shared, each.values, strict=True):
                one.quantities.append(replace(each, values=(value,)))
            continue
        if len(owners) > 1 and _is_of_each(text, each):
            for one in owners:
                one.quantities.append(each)
            continue
        owner = _owner(text, owners, each.start, each.end, comes_first=first)
        if owner is None or _SUPPLEMENT.match(text, each.end) or _is_of_another(text, owner, each):
            loose.quantities.append(each)
        elif _accepts(text, owner, each):
            owner.quantities.append(each)


def _is_of_each(text: str, each: Quantity) -> bool:
    """Return whether a text gives one dose to all: ``1 mg/kg each``, ``both 1 mg/kg``."""
    before, after = text[max(0, each.start - 8) : each.start], text[each.end : each.end + 8]
    return bool(
        re.match(r"[ ,]{0,2}each\b", after) or re.search(r"\b(?:both|each|all)[ ,:]{1,2}(?:at )?$", before)
    )


def _doses_come_first(text: str, owners: Sequence[Found], doses: Sequence[Quantity]) -> bool:
    """Return whether a sentence writes ``10 mg/kg ketamine`` rather than ``ketamine 10 mg/kg``."""
    ahead = behind = 0
    for each in doses:
        ahead += any(
            _OF.fullmatch(text[each.end : one.name.start]) for one in owners if one.name.start >= each.end
        )
        behind += any(
            _IS.fullmatch(text[one.name.end : each.start]) for one in owners if one.name.end <= each.start
        )
    if ahead != behind:
        return ahead > behind
    return bool(doses and owners) and doses[0].start < owners[0].name.start


def _is_of_another(text: str, owner: Found, each: Quantity) -> bool:
    """Return whether a word that is not known stands between a quantity and a substance that has one."""
    same = [one for one in owner.quantities if one.measure is each.measure and one.end <= each.start]
    if not same:
        return False
    word = _ANOTHER.search(text[max(0, each.start - 48) : each.start])
    return word is not None and word[1].casefold() not in _SAME_STILL


def _listed(text: str, quantities: Sequence[Quantity]) -> list[Quantity]:
    """Return the quantities with ``(1 uM and 100 uM)`` in brackets as one list."""
    found: list[Quantity] = []
    for each in quantities:
        last = found[-1] if found else None
        if last is not None and last.unit == each.unit and each.value is not None and not last.is_range:
            opened = text[: last.start].rfind("(") > text[: last.start].rfind(")")
            if opened and _LIST_JOINT.fullmatch(text[last.end : each.start]):
                found[-1] = replace(last, end=each.end, values=(*last.values, *each.values))
                continue
        found.append(each)
    return found


def _accepts(text: str, owner: Found, each: Quantity) -> bool:
    """Return whether a quantity of this kind says anything of this substance."""
    if each.measure is not Measure.PERCENT:
        return True
    if owner.name.known.name in VOLATILE:
        return not re.search(r"\b(?:O2|oxygen|air|CO2|carbogen)\b", text[each.end : each.end + 8])
    gap = (
        text[each.end : owner.name.start]
        if each.end <= owner.name.start
        else text[owner.name.end : each.start]
    )
    return owner.name.known.kind is Kind.ANALGESIC and len(gap) <= 3


def _shared(text: str, owners: Sequence[Found], each: Quantity) -> list[Found]:
    """Return the substances of ``ketamine/xylazine (100/10 mg/kg)``, one for each number."""
    count = len(each.values)
    if count < 2 or each.is_range:
        return []
    run = [one for one in owners if one.name.end <= each.start][-count:]
    if len(run) < count:
        return []
    joined = all(_JOINED.fullmatch(text[one.name.end : other.name.start]) for one, other in pairwise(run))
    return run if joined and _BEHIND.fullmatch(text[run[-1].name.end : each.start]) else []


def _give_routes(
    text: str,
    owners: Sequence[Found],
    routes: Sequence[RouteSpan],
    quantities: Sequence[Quantity],
    loose: Loose,
) -> None:
    counted = [each for each in routes if each.sure or _is_route(text, each, owners, quantities)]
    loose.routes = [] if owners else list(counted)
    for each in counted:
        owner = _owner(text, owners, each.start, each.end, comes_first=False)
        if owner is not None:
            owner.routes.append(each)
    if len(counted) == 1 and _is_shared(text, owners, counted[0]):
        for one in owners:
            if not one.routes and one.name.known.name not in VOLATILE:
                one.routes.append(counted[0])


def _is_shared(text: str, owners: Sequence[Found], route: RouteSpan) -> bool:
    """Return whether the only route of a sentence is that of all its substances."""
    if re.search(r"\b(?:both|each|all)\b", text[max(0, route.start - 12) : route.start], re.IGNORECASE):
        return True
    if len({id(one.moments) for one in owners if one.moments}) > 1:
        return False
    gaps = (text[one.name.end : other.name.start] for one, other in pairwise(owners))
    return not any(_APART.search(gap) for gap in gaps)


def _is_route(text: str, each: RouteSpan, owners: Sequence[Found], quantities: Sequence[Quantity]) -> bool:
    """Return whether a bare abbreviation stands beside a dose, an injection or a substance."""
    spans = [(one.start, one.end) for one in quantities]
    spans += [(one.name.start, one.name.end) for one in owners]
    if len(text.split()) <= 2:
        return True
    near = any(-4 <= each.start - end <= 14 or -4 <= start - each.end <= 6 for start, end in spans)
    return near or bool(_NEAR_ROUTE.search(text[max(0, each.start - 24) : each.end + 16]))


def _give_moments(text: str, owners: Sequence[Found], moments: Sequence[Moment], loose: Loose) -> None:
    placed = [each for each in moments if each.clock in (Clock.SESSION, Clock.DAYTIME)]
    first = bool(placed and owners) and placed[0].start < owners[0].name.start
    for each in moments:
        if each.clock is Clock.SINCE and _BOTH_SIDES.search(text[max(0, each.start - 20) : each.start]):
            continue
        anchor = _anchor(text, owners, each)
        before = [one for one in owners if one.name.end <= each.start and one is not anchor]
        subject = before[-1] if before else None
        gap = text[subject.name.end : each.start] if subject is not None else ""
        if cues.RECORDING.search(gap) or _AND.search(gap):
            subject = None
        if anchor is not None and subject is not None and subject.name.known != anchor.name.known:
            subject.moments.append(each)
            subject.anchors[each.start] = anchor.name.known.name
            anchor.is_anchor = True
        elif anchor is not None:
            if each.clock is Clock.SINCE:
                anchor.moments.append(each)
        elif each.clock is Clock.DAY:
            for one in owners:
                if 0 <= one.name.start - each.end <= 20:
                    one.moments.append(each)
                    break
        elif each.clock is not Clock.UNTIL:
            owner = _owner(text, owners, each.start, each.end, comes_first=first)
            told = each.clock is not Clock.SINCE or bool(_GIVING.search(text[each.anchor : each.end]))
            if told and owner is not None:
                owner.moments.append(each)
            elif told:
                loose.moments.append(each)


def _share_moment(text: str, owners: Sequence[Found]) -> None:
    """Give drugs that were given together the time that stands with one of them."""
    timed = [each for each in owners if any(one.clock in _INSTANTS for one in each.moments)]
    if len(timed) != 1 or len(owners) < 2 or any(each.name.known.kind is Kind.CONTROL for each in owners):
        return
    gaps = [text[one.name.end : other.name.start] for one, other in pairwise(owners)]
    if all(_TOGETHER.search(gap) and not _APART.search(gap) for gap in gaps) and not timed[0].anchors:
        for each in owners:
            each.moments = timed[0].moments


def _anchor(text: str, owners: Sequence[Found], each: Moment) -> Found | None:
    """Return the substance that a time counts from."""
    if each.anchor < 0:
        return None
    for one in owners:
        if one.name.start >= each.anchor:
            gap = text[min(max(each.anchor, each.end), one.name.start) : one.name.start]
            close = one.name.start <= each.end or (len(gap.split()) <= 5 and not _AWAY.search(gap))
            return one if close else None
    return None
