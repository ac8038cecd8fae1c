"""Reads the drugs of a recording session from what its file says, wherever and however it says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from nwbswitch.schemas.drug_log import Role
from nwbswitch.schemas.drug_reading.claims import Claim
from nwbswitch.schemas.drug_reading.codes import own_codes
from nwbswitch.schemas.drug_reading.evidence import (
    Confidence,
    DrugReading,
    Evidence,
    Mention,
    MentionReason,
    Statement,
)
from nwbswitch.schemas.drug_reading.findings import (
    chronic_issue,
    clash_issue,
    conflict_issue,
    incomplete_issue,
    is_chronic,
    open_issue,
)
from nwbswitch.schemas.drug_reading.identifiers import MAX_IDENTIFIER, read_identifier
from nwbswitch.schemas.drug_reading.joining import Conflict, Joined, Treatment, joined
from nwbswitch.schemas.drug_reading.kinds import Known
from nwbswitch.schemas.drug_reading.labels import MAX_LABEL, read_label
from nwbswitch.schemas.drug_reading.places import Scope, scope_of
from nwbswitch.schemas.drug_reading.plain_text import MAX_CHARACTERS, quote
from nwbswitch.schemas.drug_reading.prose import read_prose
from nwbswitch.schemas.drug_reading.rows import Row, rows_of
from nwbswitch.schemas.drug_reading.values import Values, times_told, values_of
from nwbswitch.schemas.issues import Issue, Place, issue

_SHORT = 60


def read_drugs(
    statements: Sequence[Statement],
    *,
    name: str,
    session_start: datetime | None = None,
    codes: Mapping[str, str] | None = None,
) -> DrugReading:
    """Return what was given in a session, value by value with its evidence.

    Nothing is guessed: of places that contradict each other none is taken, a text about several treatments
    names none, and each such case is a finding with the lines of an override that settles it.

    Parameters
    ----------
    statements : sequence of Statement
        What the file says, see `nwbswitch.analysis.reading.drug_places.drug_statements`.
    name : str
        The source's name, for findings.
    session_start : datetime, optional
        Turns dates and times of day into seconds on the session clock.
    codes : mapping, optional
        The lab's own codes and the substances they stand for, e.g. ``{"RSK": "ketamine"}``.
    """
    claims = _claims(statements, own_codes(codes or {}))
    found = joined(claims)
    _time_the_untimed(found)
    values = [values_of(each, session_start=session_start) for each in found.treatments]
    rows = rows_of(found.treatments, values)
    issues = _issues(found, values, rows, name)
    issues += _cut_short(statements, name)
    return DrugReading(
        administrations=tuple(row.administration for row in rows),
        evidence=(*(each for row in rows for each in row.evidence), *_open_evidence(found)),
        issues=tuple(issues),
        mentions=_mentions(found, session_start),
    )


def _cut_short(statements: Sequence[Statement], name: str) -> Iterator[Issue]:
    """Yield a finding for each text that was too long to be read whole."""
    limits = {Scope.NAME: MAX_LABEL, Scope.IDENTIFIER: MAX_IDENTIFIER, Scope.HINT: MAX_IDENTIFIER}
    for each in statements:
        most = limits.get(scope_of(each.place), MAX_CHARACTERS)
        if len(each.text) > most:
            message = f"The text has {len(each.text):,} characters, of which the first {most:,} were read."
            yield issue("drug-unresolved", message, place=Place(name, item=each.place))


def _claims(statements: Sequence[Statement], own: Mapping[str, Known]) -> list[Claim]:
    """Read every statement; equal texts of a scope are read once."""
    found: list[Claim] = []
    known: dict[tuple[Scope, str, tuple[float, ...]], list[Claim]] = {}
    for each in statements:
        scope = scope_of(each.place)
        key = (scope, each.text, each.times_s)
        if key not in known:
            known[key] = _read(each, scope, own)
        found += [replace(claim, place=each.place) for claim in known[key]]
    return found


def _read(statement: Statement, scope: Scope, own: Mapping[str, Known]) -> list[Claim]:
    text, place = statement.text, statement.place
    if scope in (Scope.IDENTIFIER, Scope.HINT):
        return read_identifier(text, place, scope, own=own)
    if scope is Scope.NAME:
        return read_label(statement, own=own)
    claims = read_prose(text, place, scope, own=own)
    if not claims and scope in (Scope.SESSION, Scope.PHARMACOLOGY) and len(text) < _SHORT:
        claims = [each for each in read_identifier(text, place, scope) if each.candidates]
    return claims


def _time_the_untimed(found: Joined) -> None:
    """Join times without a name to the one drug without a time."""
    timed = [each for each in found.unnamed if each.times_s or each.moments]
    tested = [each for each in found.treatments if each.role not in (Role.ANAESTHETIC, Role.ANALGESIC)]
    if len(tested) == 1 and not _has_time(tested[0]):
        for each in found.unnamed:
            tested[0].claims.append(replace(each, known=tested[0].known, is_inferred=True))
        return
    if not tested and not found.conflicts:
        telling = timed or [each for each in found.unnamed if each.has_given_word or each.word]
        found.open += [] if found.open else telling[:1]
    elif len(tested) > 1 and any(not _has_time(each) for each in tested):
        found.open += timed[:1]


def _has_time(treatment: Treatment) -> bool:
    return any(claim.times_s or claim.moments or claim.anchors for claim in treatment.claims)


def _issues(found: Joined, values: Sequence[Values], rows: Sequence[Row], name: str) -> list[Issue]:
    issues = [conflict_issue(each, name=name, rows=rows) for each in _distinct(found)]
    offered = [each for each in found.open if each.known is not None]
    reported: set[str] = set()
    for each in found.open:
        group = "offered" if each.known is not None else f"{each.place}: {each.word}"
        if group not in reported:
            reported.add(group)
            issues.append(open_issue(each, offered if each.known else [each], name=name, rows=rows))
    for treatment, value in zip(found.treatments, values, strict=True):
        issues += [clash_issue(clash, treatment.known.name, name=name, rows=rows) for clash in value.clashes]
    clashing = {
        (id(treatment), clash.field)
        for treatment, value in zip(found.treatments, values, strict=True)
        for clash in value.clashes
    }
    for row in rows:
        row.open = [each for each in row.lacks if (id(row.treatment), each) not in clashing]
    incomplete = {id(row.treatment): row for row in reversed(rows) if row.open}
    issues += [incomplete_issue(row, name=name, rows=rows) for row in incomplete.values()]
    chronic = {each.known: each for each in found.mentioned if is_chronic(each)}
    given = {each.known for each in found.treatments}
    issues += [
        chronic_issue(each, name=name, rows=rows) for known, each in chronic.items() if known not in given
    ]
    return issues


def _distinct(found: Joined) -> list[Conflict]:
    """Return one conflict for each pair of places."""
    pairs = {frozenset((each.first.place, each.second.place)): each for each in reversed(found.conflicts)}
    return list(pairs.values())[::-1]


def _open_evidence(found: Joined) -> list[Evidence]:
    """Return what could not be assigned, as evidence of no administration."""
    evidence = []
    for each in found.open:
        word = each.known.name if each.known is not None else each.word
        evidence.append(Evidence(-1, "substance", word, each.place, each.quote, Confidence.UNRESOLVED))
        evidence += [
            Evidence(-1, "timestamp_s", f"{time:g}", each.place, each.quote, Confidence.UNRESOLVED)
            for time in each.times_s[:10]
        ]
    return evidence


def _mentions(found: Joined, session_start: datetime | None) -> tuple[Mention, ...]:
    mentions: dict[tuple[str, MentionReason, str], Mention] = {}
    for each in (*found.mentioned, *found.open):
        if each.known is None:
            continue
        why = each.why or MentionReason.TOPIC
        times = times_told(each, session_start=session_start)
        mention = Mention(each.known.name, why, each.place, quote(each.quote), times)
        mentions.setdefault((mention.substance, why, mention.place), mention)
    return tuple(mentions.values())
