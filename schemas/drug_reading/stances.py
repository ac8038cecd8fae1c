"""Whether a sentence says that a substance was given in this session, and as what."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nwbswitch.schemas.drug_log import Role
from nwbswitch.schemas.drug_reading import cues
from nwbswitch.schemas.drug_reading.attributes import Found
from nwbswitch.schemas.drug_reading.claims import Stance
from nwbswitch.schemas.drug_reading.evidence import MentionReason
from nwbswitch.schemas.drug_reading.kinds import TESTED, Kind
from nwbswitch.schemas.drug_reading.moments import Clock
from nwbswitch.schemas.drug_reading.places import Scope
from nwbswitch.schemas.drug_reading.quantities import Measure

_WINDOW = 60
_SEDATIVES = frozenset(
    (
        "ketamine",
        "S-ketamine",
        "medetomidine",
        "dexmedetomidine",
        "midazolam",
        "fentanyl",
        "clonidine",
        "diazepam",
    )
)
_PERIOPERATIVE = frozenset(("dexamethasone", "atropine", "atipamezole"))
_DRUNK = re.compile(r"\b(?:drinking|tap|fish|system|holding|embryo)[ -]$", re.IGNORECASE)
_SHORT_WORDS = 8
_IN_MILLIMOLAR = re.compile(r"\b(?:in|containing) \(?mM\b")


@dataclass(frozen=True, slots=True)
class Setting:
    """What surrounds a sentence."""

    scope: Scope
    is_surgical: bool
    """Whether the statement speaks of surgery anywhere."""
    n_words: int
    """Words of the statement."""
    is_keywords: bool = False
    is_anaesthetised: bool = False
    """Whether the statement speaks of anaesthesia anywhere."""
    is_timed: bool = False
    """Whether the file gives times for it."""


Judgement = tuple[Stance, MentionReason | None] | None
"""Stance and reason; None for a word that says nothing of drugs."""


def judge(
    text: str,
    found: Sequence[Found],
    each: Found,
    role: Role | None,
    setting: Setting,
    *,
    follows_given: bool,
) -> Judgement:
    """Return what a sentence says about one of its substances.

    ``follows_given`` tells that the substance before it in the sentence was given.
    """
    name, kind = each.name, each.name.known.kind
    left, right = left_of(text, found, each), text[name.end : name.end + _WINDOW]
    ingredient = _as_ingredient(text, each, left, right)
    if (
        ingredient is None
        and kind in (Kind.ENDOGENOUS, Kind.SOLUTE)
        and not _is_strict(text, each, left, right)
    ):
        return None
    steps = (
        ingredient,
        _as_negated(each, left, right),
        _as_other_use(text, each, role, setting),
        _as_topic(each, left, right),
    )
    for judgement in steps:
        if judgement is not None:
            return None if judgement[1] is MentionReason.SOLUTION and kind is not Kind.CONTROL else judgement
    if follows_given and not setting.is_keywords:
        return Stance.GIVEN, None
    return _as_given(text, each, left, right, setting)


def left_of(text: str, found: Sequence[Found], each: Found) -> str:
    """Return what stands before a substance, up to the one before it."""
    ends = [one.name.end for one in found if one.name.end <= each.name.start]
    return text[max(0, each.name.start - _WINDOW, *ends) : each.name.start]


def role_of(text: str, found: Sequence[Found], each: Found) -> Role | None:
    """Return what a substance was given for where the sentence tells; None where it does not."""
    name, kind = each.name, each.name.known.kind
    left = left_of(text, found, each)
    around = text[max(0, name.start - _WINDOW) : name.end + 40]
    if cues.PRETREATED.search(left) or re.match(r"[ _-]pre-?treat", text[name.end :], re.IGNORECASE):
        return Role.ANTAGONIST
    if kind is Kind.ANAESTHETIC:
        return Role.ANAESTHETIC
    names = {one.name.known.name for one in found if not one.is_solvent}
    if name.known.name in _SEDATIVES and not cues.SUBANAESTHETIC.search(text):
        mixed = bool(names & {"xylazine", "acepromazine", "medetomidine"} - {name.known.name})
        if mixed or cues.ANAESTHESIA.search(around):
            return Role.ANAESTHETIC
    if kind is Kind.ANALGESIC or (cues.ANALGESIA.search(around) and kind is Kind.DRUG):
        return Role.ANALGESIC
    return None


def _as_ingredient(text: str, each: Found, left: str, right: str) -> Judgement:
    """Judge solvents, ingredients of solutions, and what rinses, fills or rewards."""
    name, kind = each.name, each.name.known.kind
    aside = (Stance.ASIDE, MentionReason.SOLUTION)
    if each.is_solvent or (name.known.name == "water" and _DRUNK.search(left)):
        return aside
    if kind is Kind.LABEL:
        return Stance.ASIDE, MentionReason.LABEL
    strict = cues.STRICT_BEFORE.search(left) or cues.STRICT_AFTER.match(right)
    if kind in (Kind.CONTROL, Kind.SOLUTE, Kind.ENDOGENOUS) and not strict:
        written = text[name.start : name.end].casefold()
        if written in ("nacl", "sodium chloride") and not re.search(r"(?:0\.9 ?%|isotonic) ?$", left):
            return aside
        if cues.SOLUTION.search(text) or cues.PERFUSION.search(text):
            return aside
    if _IN_MILLIMOLAR.search(text) and {quantity.unit for quantity in each.quantities} <= {"mmol/L"}:
        return aside
    return None


def _as_negated(each: Found, left: str, right: str) -> Judgement:
    if cues.NEGATED_BEFORE.search(left) or cues.NEGATED_AFTER.match(right) or cues.LABELLED_NO.match(right):
        return Stance.ASIDE, MentionReason.NOT_GIVEN
    if cues.WASHED_OUT.search(left[-30:]) or cues.WASHED_OUT.search(right[:30]):
        return Stance.ASIDE, MentionReason.WASHED_OUT
    timed = any(moment.clock in (Clock.SESSION, Clock.DAYTIME) for moment in each.moments)
    if each.is_anchor or each.has_dose or timed:
        return None
    if cues.BOTH_SIDES.search(left):
        return None
    if cues.NOT_YET_BEFORE.search(left) or cues.NOT_YET_AFTER.match(right):
        return Stance.ASIDE, MentionReason.NOT_YET
    return None


def _as_other_use(text: str, each: Found, role: Role | None, setting: Setting) -> Judgement:
    """Judge lesions, surgery, gene induction and chronic treatment."""
    name, kind = each.name, each.name.known.kind
    around = text[max(0, name.start - 50) : name.end + 60]
    if cues.OF_OTHERS.match(text[name.end : name.end + 90]):
        return Stance.ASIDE, MentionReason.ALTERNATIVE
    if kind is Kind.LESION and not (each.has_dose and cues.ACUTE.search(around)):
        return Stance.ASIDE, MentionReason.LESION
    if kind is Kind.INDUCER:
        return Stance.ASIDE, MentionReason.INDUCTION
    if setting.scope is Scope.SURGERY or kind is Kind.SURGICAL:
        return Stance.ASIDE, MentionReason.SURGERY
    if _is_surgical(text, each, role, setting):
        return Stance.ASIDE, MentionReason.SURGERY
    if kind in TESTED and cues.CHRONIC.search(around) and not cues.ACUTE.search(text):
        return Stance.ASIDE, MentionReason.CHRONIC
    return None


def _is_surgical(text: str, each: Found, role: Role | None, setting: Setting) -> bool:
    surgery, recording = _distances(text, each, cues.SURGERY), _distances(text, each, cues.RECORDING)
    if each.name.known.name in _PERIOPERATIVE:
        habit = setting.is_anaesthetised and each.name.known.name != "atipamezole"
        return bool(surgery) or setting.is_surgical or habit
    if role in (Role.ANAESTHETIC, Role.ANALGESIC):
        if cues.HANDLING.search(text):
            return True
        if cues.PERFUSION.search(text) and not recording:
            return True
        if surgery and (cues.AWAKE.search(text) or cues.OPERATED_UNDER.search(text[: each.name.start])):
            return True
        if surgery and recording:
            return min(surgery) <= min(recording)
        return bool(surgery) or (setting.is_surgical and not recording)
    if each.name.known.kind in (Kind.CONTROL, Kind.SOLUTE):
        return bool(surgery) and not cues.GROUP_AFTER.match(text[each.name.end :])
    return bool(cues.SURGICAL_ACT.search(text)) and not recording


def _distances(text: str, each: Found, cue: re.Pattern[str]) -> list[int]:
    """Return how many characters lie between a substance and each cue."""
    start, end = each.name.start, each.name.end
    return [max(start - match.end(), match.start() - end, 0) for match in cue.finditer(text)]


def _as_topic(each: Found, left: str, right: str) -> Judgement:
    if each.has_dose or each.is_timed:
        return None
    if cues.TOPIC_BEFORE.search(left) or cues.TOPIC_AFTER.match(right):
        if each.name.known.kind in (Kind.ENDOGENOUS, Kind.SOLUTE):
            return Stance.ASIDE, MentionReason.SOLUTION
        return Stance.TOPIC, MentionReason.TOPIC
    return None


def _is_strict(text: str, each: Found, left: str, right: str) -> bool:
    """Return whether a text says in so many words that something found in every brain was given."""
    if cues.STRICT_BEFORE.search(left) or cues.STRICT_AFTER.match(right):
        return True
    measures = (Measure.DOSE, Measure.CONCENTRATION)
    dosed = any(quantity.measure in measures and quantity.unit for quantity in each.quantities)
    return dosed and bool(cues.GIVEN_NEAR.search(text)) and not cues.SOLUTION.search(text)


def _as_given(text: str, each: Found, left: str, right: str, setting: Setting) -> Judgement:
    given, topic = (Stance.GIVEN, None), (Stance.TOPIC, MentionReason.TOPIC)
    stated = each.has_dose or each.is_timed
    match setting.scope:
        case Scope.PHARMACOLOGY:
            return given
        case Scope.NAME:
            return given if setting.is_timed or cues.GIVEN_NEAR.search(text) else topic
        case Scope.SLICES:
            is_drug = each.name.known.kind not in (Kind.ENDOGENOUS, Kind.SOLUTE)
            return given if each.has_dose and is_drug else None
        case Scope.ANIMAL:
            timed = any(moment.clock in (Clock.SESSION, Clock.SINCE) for moment in each.moments)
            return given if timed or cues.ASSIGNED.search(text) else topic
        case Scope.STUDY:
            if setting.is_keywords:
                return topic
            said = cues.STRICT_BEFORE.search(left) or cues.STRICT_AFTER.match(right)
            said = said or re.search(r"\b(?:received?|got|given|treated|dosed)\b", text, re.IGNORECASE)
            said = said or re.match(r"[ -](?:administration|treatment|infusion)", right, re.IGNORECASE)
            return given if stated or said else topic
        case _:
            if stated or setting.n_words <= _SHORT_WORDS or each.name.known.kind is Kind.ANAESTHETIC:
                return given
            said = cues.GIVEN_NEAR.search(text) or cues.AFTER_BEFORE.search(left)
            is_control = each.name.known.kind is Kind.CONTROL and right.startswith(" control")
            return given if said or is_control else topic
