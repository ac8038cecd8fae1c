"""Reads sentences: what each says of which substance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from nwbswitch.schemas.drug_log import Role
from nwbswitch.schemas.drug_reading import cues
from nwbswitch.schemas.drug_reading.attributes import Found, Loose, read_sentence
from nwbswitch.schemas.drug_reading.claims import Claim, Stance
from nwbswitch.schemas.drug_reading.codes import NO_CODES, find_code
from nwbswitch.schemas.drug_reading.evidence import MentionReason
from nwbswitch.schemas.drug_reading.kinds import TESTED, Kind, Known
from nwbswitch.schemas.drug_reading.lexicon import NameSpan, find_names, spaced
from nwbswitch.schemas.drug_reading.moments import Clock
from nwbswitch.schemas.drug_reading.places import Scope
from nwbswitch.schemas.drug_reading.plain_text import plain, quote, sentences
from nwbswitch.schemas.drug_reading.quantities import Measure, find_tuples
from nwbswitch.schemas.drug_reading.stances import Setting, judge, role_of
from nwbswitch.schemas.substance import Stereochemistry
from nwbswitch.schemas.substances import find_substance, salt_name

_CODE = re.compile(r"(?<![\w-])[A-Z][A-Z0-9]{1,6}(?![\w-])")
_DOSED_CODE = re.compile(r"(?<![\w-])[A-Za-z][A-Za-z0-9]{1,6}(?=\s?[(:,]?\s?[0-9.]{1,6}\s?(?:mg|ug|mcg|%))")
_TOKEN = re.compile(r"[^\W_][\w-]{0,30}")
_SALT = re.compile(
    r"[ -](hydrochloride|HCl|hydrobromide|HBr|maleate|tartrate|sulfate|sulphate|citrate|fumarate)\b", re.I
)
_WORD_BEFORE = re.compile(r"([A-Za-z][\w+,-]{2,40}(?: [0-9A-Z-]{1,6})?)\s?[(\[,:]?\s?(?:at |dose |of )?$")
_WORD_AFTER = re.compile(r"\s?(?:of\s)?([A-Za-z][\w+-]{3,40})")
_SHORT = 300
_FRAGMENT = 6
"""A sentence of so few words without a name goes with the one before it."""
_COMMON = frozenset((
    "dose", "doses", "drug", "injection", "injected", "inject", "administered", "administration",
    "given", "received", "compound", "solution", "agonist", "antagonist", "concentration", "mice",
    "mouse", "rats", "animal", "animals", "treated", "treatment", "with", "and", "the", "for", "was",
    "were", "body", "weight", "bolus", "subcutaneously", "intraperitoneally", "intraperitoneal",
    "intravenous", "subcutaneous", "intravenously", "daily", "then", "infusion", "rate", "per", "from",
    "after", "before", "volume", "level", "levels", "injections", "session", "vehicle", "group",
    "inhibitor", "blocker", "cohort", "day", "week", "acute", "low", "high", "single", "systemic",
    "systemically", "dosage",
))  # fmt: skip


def read_prose(
    text: str,
    place: str,
    scope: Scope,
    *,
    own: Mapping[str, Known] = NO_CODES,
    is_table: bool = False,
    is_timed: bool = False,
) -> list[Claim]:
    """Return what a text says of substances, sentence by sentence.

    Parameters
    ----------
    text : str
        Any text, however hostile; of a very long one the beginning is read.
    place : str
        Where it stands.
    scope : Scope
        What texts of that place are about.
    own : mapping
        The lab's own codes in lower case, and what they stand for.
    is_table : bool
        Whether it is a row of a table about drugs, in which numbers in brackets are doses.
    is_timed : bool
        Whether the file gives times for what is named.
    """
    whole = spaced(plain(text)) if scope is Scope.NAME or len(text) < _SHORT else plain(text)
    if is_table:
        whole = whole.replace(";", ",")
    if scope is Scope.VIRUS or cues.EMPTY.match(whole[:40]):
        return []
    if scope in (Scope.SESSION, Scope.NAME) and len(whole) < _SHORT:
        doses = find_tuples(whole.strip())
        if doses and doses[0].end - doses[0].start == len(whole.strip()):
            return [Claim(place, scope, quote(whole), None, Stance.GIVEN, quantities=doses)]
    names = find_names(whole)
    gives = cues.UNNAMED.search(whole) is not None
    names = _with_codes(whole, names, scope, gives or is_table, own)
    if not names and not gives and scope is not Scope.PHARMACOLOGY and not cues.NOTHING_GIVEN.search(whole):
        return []
    setting = Setting(
        scope=scope,
        is_surgical=bool(cues.SURGERY.search(whole)),
        n_words=len(whole.split()),
        is_keywords=place.endswith("keywords"),
        is_anaesthetised=bool(cues.ANAESTHESIA.search(whole)),
        is_timed=is_timed,
    )
    claims: list[Claim] = []
    loose: list[tuple[str, Loose]] = []
    for start, end in sentences(whole):
        part = whole[start:end]
        mine = [_moved(name, start) for name in names if start <= name.start and name.end <= end]
        found, rest = read_sentence(part, mine, with_tuples=is_table or len(part) < 120)
        claims += _claims(part, found, place, setting)
        loose.append((part, rest))
    _give_loose(claims, loose, is_table=is_table)
    _mark_options(whole, claims, setting)
    claims += _without_names(loose, claims, place, setting)
    return claims


def _moved(name: NameSpan, start: int) -> NameSpan:
    return replace(name, start=name.start - start, end=name.end - start)


def _with_codes(
    text: str, names: list[NameSpan], scope: Scope, gives: bool, own: Mapping[str, Known]
) -> list[NameSpan]:
    """Add sure codes in capitals where a text is short or speaks of giving, and the lab's own everywhere."""
    if own:
        spans = {(each.start, each.end) for each in names}
        mine = [
            NameSpan(match.start(), match.end(), own[match.group().casefold()], is_code=True)
            for match in _TOKEN.finditer(text)
            if match.group().casefold() in own and match.span() not in spans
        ]
        names = sorted([*names, *mine], key=lambda each: each.start)
    if scope in (Scope.STUDY, Scope.SURGERY, Scope.SLICES) or not (gives or len(text) < 80):
        return names
    taken = [(each.start, each.end) for each in names]
    added = []
    for match in (*_CODE.finditer(text[:2000]), *_DOSED_CODE.finditer(text[:2000])):
        code = find_code(match.group())
        free = not any(start < match.end() and match.start() < end for start, end in taken)
        if code is not None and code.sure and free:
            taken.append(match.span())
            added.append(NameSpan(match.start(), match.end(), code.candidates[0], is_code=True))
    return sorted([*names, *added], key=lambda each: each.start)


def _claims(text: str, found: Sequence[Found], place: str, setting: Setting) -> list[Claim]:
    claims: list[Claim] = []
    for each in found:
        role = role_of(text, found, each)
        follows = bool(claims) and claims[-1].stance is Stance.GIVEN
        judgement = judge(text, found, each, role, setting, follows_given=follows)
        if judgement is None:
            continue
        stance, why = judgement
        if stance is Stance.GIVEN and claims and claims[-1].why is MentionReason.CHRONIC and not each.moments:
            stance, why = Stance.ASIDE, MentionReason.CHRONIC
        claims.append(_claim(text, each, place, setting, stance, why, role))
    options = _options(text, found)
    if setting.scope is Scope.STUDY:
        listed = (each for each in found for one in each.quantities if one.value is None and not one.is_range)
        options |= {each.name.known.name for each in listed if not each.moments}
    for claim in claims:
        undecided = claim.stance is Stance.GIVEN or (claim.stance is Stance.TOPIC and not setting.is_keywords)
        if undecided and claim.known is not None and claim.known.name in options:
            claim.stance, claim.why = Stance.OPTION, MentionReason.ALTERNATIVE
    return claims


def _claim(
    text: str,
    each: Found,
    place: str,
    setting: Setting,
    stance: Stance,
    why: MentionReason | None,
    role: Role | None,
) -> Claim:
    known = _composed(each)
    claim = Claim(place, setting.scope, quote(text), known, stance, why)
    claim.word = text[each.name.start : each.name.end]
    claim.role = role
    claim.is_inferred = setting.scope in (Scope.STUDY, Scope.NAME, Scope.HINT) or (
        each.name.is_code
        and (known.name.casefold() != claim.word.casefold() and find_substance(claim.word) is None)
    )
    claim.quantities, claim.moments, claim.anchors = each.quantities, each.moments, each.anchors
    routes = list(dict.fromkeys(route.route for route in each.routes if route.route))
    if len(routes) == 1:
        claim.route = routes[0]
        claim.route_quote = next(text[one.start : one.end] for one in each.routes if one.route)
    substance = find_substance(known.name)
    salt = _SALT.match(text, each.name.end)
    if salt and substance is not None:
        claim.salt = salt_name(substance, salt[1]) or ""
    if cues.RACEMIC.search(text[max(0, each.name.start - 10) : each.name.end + 28]):
        claim.stereochemistry = Stereochemistry.RACEMIC
    parts = each.parts if known.kind is Kind.CONTROL else []
    claim.vehicle = _mixture(text, [*each.solvents, *(one for one in parts if one.known != known)])
    days = [moment for moment in each.moments if moment.clock is Clock.DAY]
    claim.day = f"day {days[0].values[0]:g}" if days else ""
    claim.has_given_word = bool(cues.UNNAMED.search(text))
    return claim


def _composed(each: Found) -> Known:
    """Return what a control is: saline where its vehicle is nothing but saline."""
    names = {each.name.known.name, *(part.known.name for part in each.parts)}
    if each.parts and names <= {"saline", "vehicle"}:
        return Known("saline", Kind.CONTROL)
    return Known("vehicle", Kind.CONTROL) if "vehicle" in names else each.name.known


def _mixture(text: str, names: Sequence[NameSpan]) -> str:
    """Return a solvent in the words of the text, from its share of the mixture on."""
    if not names:
        return ""
    start, end = min(each.start for each in names), max(each.end for each in names)
    share = re.search(r"[0-9.,]{1,5} ?% ?(?:\w+[ -])?$", text[:start])
    return " ".join(text[share.start() if share else start : end].split())


def _options(text: str, found: Sequence[Found]) -> set[str]:
    """Return the substances of a sentence that are alternatives: joined by ``or``, ``versus`` or a slash."""
    options: set[str] = set()
    tested = [
        each for each in found if not each.is_solvent and each.name.known.kind in (*TESTED, Kind.CONTROL)
    ]
    for one, other in pairwise(tested):
        kinds = {one.name.known.kind, other.name.known.kind}
        between = text[one.name.end : other.name.start]
        slash = between.strip() == "/" and Kind.CONTROL in kinds
        if (
            (slash or cues.OR_BETWEEN.search(between))
            and Kind.BLOCKER not in kinds
            and one.name.known != other.name.known
        ):
            options |= {one.name.known.name, other.name.known.name}
    for each in tested:
        control = each.name.known.kind is Kind.CONTROL
        if control and cues.OR_BEFORE.search(text[max(0, each.name.start - 40) : each.name.start]):
            options.add(each.name.known.name)
    return options


def _mark_options(text: str, claims: list[Claim], setting: Setting) -> None:
    """Turn drug and control of a text about groups or several days into options."""
    given = [
        each
        for each in claims
        if (
            each.stance in (Stance.GIVEN, Stance.OPTION)
            or (each.stance is Stance.TOPIC and not setting.is_keywords)
        )
        and each.known is not None
        and each.known.kind in (*TESTED, Kind.CONTROL)
        and each.role in (None, Role.TEST, Role.ANTAGONIST)
    ]
    names = {each.known.name for each in given if each.known is not None}
    kinds = {each.known.kind is Kind.CONTROL for each in given if each.known is not None}
    if len(names) < 2:
        return
    days = {match[1] for match in cues.DAY_NUMBER.finditer(text)}
    groups = bool(cues.GROUPS.search(text)) or len(days) > 1
    timed = all(each.moments for each in given)
    untold = kinds == {True, False} and not timed and not cues.SEQUENCE.search(text)
    untold = untold and (bool(cues.PLURAL.search(text)) or setting.scope is Scope.STUDY)
    some = any(each.stance is Stance.OPTION for each in given)
    if (groups and (kinds == {True, False} or some)) or untold:
        for each in given:
            each.stance, each.why = Stance.OPTION, MentionReason.ALTERNATIVE


def _give_loose(claims: list[Claim], loose: Sequence[tuple[str, Loose]], *, is_table: bool) -> None:
    """Give doses and times of sentences without a name to the only substance of the text."""
    given = [each for each in claims if each.stance is Stance.GIVEN and each.known is not None]
    tested = [each for each in given if each.known is not None and each.known.kind in (*TESTED, Kind.CONTROL)]
    if len({each.known.name for each in tested if each.known is not None}) != 1:
        return
    claim = tested[-1]
    for text, rest in loose:
        is_about = (
            is_table
            or len(text.split()) <= _FRAGMENT
            or cues.UNNAMED.search(text)
            or cues.LIST_WORD.search(text)
        )
        if cues.SURGERY.search(text) or not is_about:
            continue
        if cues.OTHER_GIVING.search(text):
            continue
        if not claim.quantities:
            claim.quantities = [each for each in rest.quantities if each.measure is not Measure.PERCENT]
        if not any(each.clock is not Clock.DAY for each in claim.moments):
            claim.moments = [*claim.moments, *rest.moments]
        routes = {each.route for each in rest.routes if each.route}
        if not claim.route and len(routes) == 1:
            claim.route = routes.pop()
            claim.route_quote = quote(text)


def _without_names(
    loose: Sequence[tuple[str, Loose]], claims: list[Claim], place: str, setting: Setting
) -> list[Claim]:
    """Return what was given without a known name, and that nothing was given."""
    found: list[Claim] = []
    if setting.scope not in (Scope.PHARMACOLOGY, Scope.SESSION, Scope.NAME):
        return found
    named = [each for each in claims if each.stance is not Stance.ASIDE]
    for text, rest in loose:
        nothing = cues.NOTHING_GIVEN.search(text) and not cues.SURGERY.search(text)
        if not named and nothing and not cues.OTHER_GIVING.search(text):
            found.append(Claim(place, setting.scope, quote(text), None, Stance.NOTHING))
        elif not named and not claims and _gives_unnamed(text, rest, setting):
            claim = Claim(place, setting.scope, quote(text), None, Stance.GIVEN)
            claim.quantities = [each for each in rest.quantities if each.measure is not Measure.PERCENT]
            claim.moments, claim.word = rest.moments, _unknown_word(text, rest)
            routes = {each.route for each in rest.routes if each.route}
            claim.route = routes.pop() if len(routes) == 1 else ""
            claim.has_given_word = bool(cues.UNNAMED.search(text))
            found.append(claim)
    return found


def _gives_unnamed(text: str, rest: Loose, setting: Setting) -> bool:
    if cues.OTHER_GIVING.search(text) or cues.SURGERY.search(text) or setting.is_surgical:
        return False
    if setting.scope is Scope.NAME:
        return setting.is_timed and bool(cues.UNNAMED.search(text))
    dosed = any(each.unit.endswith("/kg") for each in rest.quantities)
    if setting.scope is Scope.PHARMACOLOGY:
        return not cues.SOLUTION.search(text) and "mM" not in text
    return bool(cues.UNNAMED.search(text) and rest.moments) or dosed


def _unknown_word(text: str, rest: Loose) -> str:
    """Return the word beside a dose that may be the name of the drug."""
    doses = [each for each in rest.quantities if each.unit.endswith("/kg")]
    if not doses:
        return ""
    for match in (_WORD_AFTER.match(text, doses[0].end), _WORD_BEFORE.search(text[: doses[0].start])):
        if match is not None and match[1].casefold() not in _COMMON:
            return match[1]
    return ""
