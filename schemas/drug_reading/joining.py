"""Brings together what all places say: what was given in this session, what contradicts, what stays open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from nwbswitch.schemas.drug_log import Role
from nwbswitch.schemas.drug_reading.claims import Claim, Stance
from nwbswitch.schemas.drug_reading.evidence import MentionReason
from nwbswitch.schemas.drug_reading.kinds import TESTED, Kind, Known
from nwbswitch.schemas.drug_reading.places import Scope
from nwbswitch.schemas.substances import find_substance

_OF_SESSION = (
    Scope.PHARMACOLOGY, Scope.SESSION, Scope.IDENTIFIER, Scope.NAME, Scope.ANIMAL, Scope.SLICES,
)  # fmt: skip
_FORM_OF = {
    "S-ketamine": "ketamine",
    "R-ketamine": "ketamine",
    "dextroamphetamine": "amphetamine",
    "D-AP5": "AP5",
}
_BESIDES = (Role.ANAESTHETIC, Role.ANALGESIC)


@dataclass(slots=True)
class Treatment:
    """One substance that was given, with all that is said of it."""

    known: Known
    role: Role | None
    claims: list[Claim]
    """Those about this session."""
    details: list[Claim] = field(default_factory=list)
    """Those about the study, which may add dose and route."""
    is_inferred: bool = False


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two places that cannot both be right about which drug was given."""

    first: Claim
    second: Claim


@dataclass(slots=True)
class Joined:
    """What all places say together."""

    treatments: list[Treatment] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    open: list[Claim] = field(default_factory=list)
    """What was given without its name being known, or may have been given."""
    unnamed: list[Claim] = field(default_factory=list)
    """Times and doses of something whose name may stand elsewhere."""
    mentioned: list[Claim] = field(default_factory=list)
    nothing: list[Claim] = field(default_factory=list)


def joined(claims: Sequence[Claim]) -> Joined:
    """Return what was given in the session; contradicting places cancel each other."""
    found = Joined()
    _resolve_codes(claims, found)
    given = [each for each in claims if each.stance is Stance.GIVEN and each.known is not None]
    options = [each for each in claims if each.stance is Stance.OPTION and each.known is not None]
    topics = [each for each in claims if each.stance is Stance.TOPIC]
    found.mentioned = [each for each in claims if each.stance is Stance.ASIDE and each.known is not None]
    found.nothing = [each for each in claims if each.stance is Stance.NOTHING]
    found.unnamed = [
        each for each in claims if each.stance is Stance.GIVEN and each.known is None and not each.candidates
    ]
    besides = [each for each in given if _is_beside(each)]
    tested = [each for each in given if not _is_beside(each)]
    mine = [each for each in tested if each.scope in _OF_SESSION]
    study = [each for each in tested if each.scope is Scope.STUDY]
    hints = [each for each in tested if each.scope is Scope.HINT]
    mine = _without_conflicts(mine, claims, found)
    if not mine and not found.conflicts:
        mine = _chosen(study, options, hints, found)
    _add_treatments(mine, [*options, *study], found)
    _add_treatments(besides, [], found)
    chosen = {each.known.name for each in found.treatments}
    left = [each for each in (*options, *study) if each.known is not None and each.known.name not in chosen]
    if found.treatments or found.conflicts:
        found.mentioned += left
    chronic = [each for each in found.mentioned if each.why is MentionReason.CHRONIC]
    known = {each.known.name for each in (*given, *options, *chronic) if each.known is not None}
    rest = [each for each in topics if each.known is not None and each.known.name not in chosen | known]
    has_test = any(each.role not in _BESIDES for each in found.treatments)
    if has_test or found.open or found.conflicts or found.nothing:
        found.mentioned += rest
    else:
        found.open += _first_of_each(
            each for each in rest if _is_tested(each) and each.scope is not Scope.NAME
        )
        found.mentioned += [each for each in rest if each.scope is Scope.NAME]
    return found


def _is_beside(each: Claim) -> bool:
    """Return whether a substance is anaesthesia or pain relief beside the experiment."""
    return each.role in _BESIDES or (each.known is not None and each.known.kind is Kind.ANALGESIC)


def _is_tested(each: Claim) -> bool:
    kinds = (Kind.DRUG, Kind.LIGAND, Kind.BLOCKER)
    if each.known is None or each.known.kind not in kinds:
        return False
    return not each.word.isupper() or find_substance(each.word) is not None


def _first_of_each(claims: Iterable[Claim]) -> list[Claim]:
    return list({each.known: each for each in reversed(list(claims))}.values())[::-1]


def _resolve_codes(claims: Sequence[Claim], found: Joined) -> None:
    """Give a code its substance where the rest of the file names just one that it may stand for."""
    spoken = {each.known.name for each in claims if each.known is not None}
    unnamed = any(each.known is None and not each.candidates for each in claims)
    for each in claims:
        if each.known is not None or not each.candidates:
            continue
        fitting = [known for known in each.candidates if known.name in spoken]
        if len(fitting) == 1:
            each.known, each.is_inferred = fitting[0], True
        elif each.quantities or each.times_s or each.scope in (Scope.PHARMACOLOGY, Scope.SESSION) or unnamed:
            found.open.append(each)


def _without_conflicts(mine: list[Claim], claims: Sequence[Claim], found: Joined) -> list[Claim]:
    """Return the claims that no other place contradicts; note the contradictions."""
    sources: dict[str, list[Claim]] = {}
    for each in mine:
        sources.setdefault("names" if each.scope is Scope.NAME else each.place, []).append(each)
    for (_, first), (_, second) in combinations(sources.items(), 2):
        pair = _conflict(first, second)
        if pair is not None:
            found.conflicts.append(Conflict(*pair))
    spoken = (Scope.PHARMACOLOGY, Scope.SESSION)
    denied = [each for each in claims if each.why is MentionReason.NOT_GIVEN and each.scope in spoken]
    nothing = [each for each in found.nothing if each.scope in spoken]
    for each in {(each.known, each.place): each for each in reversed(mine)}.values():
        against = [*(no for no in denied if no.known == each.known), *nothing]
        found.conflicts += [Conflict(no, each) for no in against if no.place != each.place]
    if not found.conflicts:
        return mine
    wrong = {id(claim) for each in found.conflicts for claim in (each.first, each.second)}
    names = {each.known for each in mine if id(each) in wrong}
    kept = []
    for each in mine:
        if each.known in names:
            each.why = MentionReason.CONTRADICTED
            found.mentioned.append(each)
        else:
            kept.append(each)
    return kept


def _conflict(first: Sequence[Claim], second: Sequence[Claim]) -> tuple[Claim, Claim] | None:
    """Return two claims of two places that cannot both hold, if there are such."""
    parts = []
    for claims in (first, second):
        controls = _of_kind(claims, Kind.CONTROL)
        parts.append((controls, _of_kind(claims, *(kind for kind in Kind if kind is not Kind.CONTROL))))
    (controls, drugs), (other_controls, other_drugs) = parts
    if controls and not drugs and other_drugs and not other_controls:
        return controls[0], other_drugs[0]
    if other_controls and not other_drugs and drugs and not controls:
        return drugs[0], other_controls[0]
    pairs = ((drugs, other_drugs), (controls, other_controls))
    for position, (ours, theirs) in enumerate(pairs):
        if position == 0:
            ours, theirs = (_main_drugs(each) for each in (ours, theirs))
        names, others = (_forms(each) for each in (ours, theirs))
        generic = position == 1 and "vehicle" in names | others
        if names and others and not names & others and not generic:
            return ours[0], theirs[0]
    return None


def _of_kind(claims: Iterable[Claim], *kinds: Kind) -> list[Claim]:
    return [each for each in claims if each.known is not None and each.known.kind in kinds]


def _main_drugs(claims: Iterable[Claim]) -> list[Claim]:
    drugs = _of_kind(claims, Kind.DRUG, Kind.ENDOGENOUS)
    return [each for each in drugs if each.role is not Role.ANTAGONIST]


def _forms(claims: Iterable[Claim]) -> set[str]:
    """Return the names with the general form of each, so that S-ketamine does not contradict ketamine."""
    names = {each.known.name for each in claims if each.known is not None}
    return names | {_FORM_OF[name] for name in names if name in _FORM_OF}


def _chosen(study: list[Claim], options: list[Claim], hints: list[Claim], found: Joined) -> list[Claim]:
    """Return what texts about the study say of this session; several treatments stay open."""
    offered = [*options, *study]
    hinted = {each.known for each in hints}
    fitting = {each.known for each in offered} & hinted
    if len(fitting) == 1:
        claims = [each for each in offered if each.known in fitting]
        for each in (*claims, *hints):
            each.is_inferred = True
        return [each for each in (*hints, *claims) if each.known in fitting]
    kinds = {each.known.kind is Kind.CONTROL for each in offered if each.known is not None}
    if options or len(kinds) > 1:
        found.open += _first_of_each(offered)
        return []
    for each in study:
        each.is_inferred = True
    return study


def _add_treatments(mine: Sequence[Claim], details: Sequence[Claim], found: Joined) -> None:
    general = {
        _FORM_OF[each.known.name] for each in mine if each.known is not None and each.known.name in _FORM_OF
    }
    special = {_FORM_OF.get(each.known.name): each.known for each in mine if each.known is not None}
    by_name: dict[str, Treatment] = {}
    for each in mine:
        known = each.known
        if known is None:
            continue
        if known.name in general:
            known = special[known.name]
        treatment = by_name.get(known.name)
        if treatment is None:
            treatment = by_name[known.name] = Treatment(known, each.role, [])
        treatment.claims.append(each)
        treatment.role = treatment.role or each.role
    for treatment in by_name.values():
        mine_too = set(map(id, treatment.claims))
        treatment.details = [
            each for each in details if each.known == treatment.known and id(each) not in mine_too
        ]
        treatment.is_inferred = all(each.is_inferred for each in treatment.claims)
    _merge_controls(by_name)
    found.treatments += by_name.values()


def _merge_controls(by_name: dict[str, Treatment]) -> None:
    """Let ``vehicle`` of one place and the vehicle's name of another be one control."""
    others = [
        each for each in by_name.values() if each.known.kind is Kind.CONTROL and each.known.name != "vehicle"
    ]
    generic = by_name.get("vehicle")
    if generic is None or len(others) != 1:
        return
    places = {each.place for each in generic.claims} & {each.place for each in others[0].claims}
    if not places:
        others[0].claims += by_name.pop("vehicle").claims


def role_in(treatment: Treatment, treatments: Sequence[Treatment]) -> Role:
    """Return what a substance was given for, beside the others."""
    if treatment.role is not None:
        return treatment.role
    kind = treatment.known.kind
    fixed = {
        Kind.CONTROL: Role.VEHICLE,
        Kind.SOLUTE: Role.VEHICLE,
        Kind.ANAESTHETIC: Role.ANAESTHETIC,
        Kind.ANALGESIC: Role.ANALGESIC,
    }
    if kind in fixed:
        return fixed[kind]
    drugs = [
        each
        for each in treatments
        if each is not treatment and each.known.kind in TESTED - {kind} and each.role in (None, Role.TEST)
    ]
    if kind is Kind.LIGAND and any(each.known.kind is Kind.DRUG for each in drugs):
        return Role.ACTUATOR_LIGAND
    anaesthetised = any(each.role is Role.ANAESTHETIC for each in treatments)
    if kind is Kind.BLOCKER and (drugs or anaesthetised):
        return Role.ANTAGONIST
    return Role.TEST
