"""Reads names and labels of objects with their times: ``Ketamine infusion start``, tags of epochs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from nwbswitch.schemas.drug_reading import cues
from nwbswitch.schemas.drug_reading.claims import Claim, Stance
from nwbswitch.schemas.drug_reading.codes import NO_CODES
from nwbswitch.schemas.drug_reading.evidence import Statement
from nwbswitch.schemas.drug_reading.identifiers import read_identifier
from nwbswitch.schemas.drug_reading.kinds import Kind, Known
from nwbswitch.schemas.drug_reading.lexicon import spaced
from nwbswitch.schemas.drug_reading.places import Scope
from nwbswitch.schemas.drug_reading.plain_text import plain
from nwbswitch.schemas.drug_reading.prose import read_prose

MAX_EVENTS = 100
"""Of a label with more times, they are no single administrations: the first is taken."""
_TABLE = re.compile(
    r"(?:^|[;,{]\s?|\b)[\"']?(?:drug|compound|substance|treatment|pharmacolog\w{1,4}|injected|infusate|agent|ligand|manipulation|an(?:a)?esthe\w{1,6})"
    r"(?:[_ ](?:name|type|given|administered|injected|id|condition))?s?[\"']?\s?[:=]",
    re.IGNORECASE,
)
_SHORT = 60
MAX_LABEL = 4000
"""Of the name, the label and the description of an object this much is read."""


def read_label(statement: Statement, *, own: Mapping[str, Known] = NO_CODES) -> list[Claim]:
    """Return what the name of an object, a label or a row of a table says of substances."""
    text, place = statement.text[:MAX_LABEL], statement.place
    is_table = bool(_TABLE.search(text[:400]))
    scope = Scope.PHARMACOLOGY if is_table else Scope.NAME
    claims = read_prose(text, place, scope, own=own, is_table=is_table, is_timed=bool(statement.times_s))
    named = [each for each in claims if each.known is not None or each.stance is Stance.NOTHING]
    if not named and (len(text) < _SHORT or is_table):
        coded = read_identifier(_values(text) if is_table else text, place, scope, own=own)
        claims = coded or claims
    for each in claims:
        if each.stance is Stance.GIVEN:
            _give_times(each, statement)
    return claims


def _values(text: str) -> str:
    """Return the cells of a row without the names of its columns."""
    return " ".join(part.partition(":")[2] or part for part in text.split(";"))


def _give_times(claim: Claim, statement: Statement) -> None:
    words = spaced(plain(statement.text[:MAX_LABEL]))
    times, stops = statement.times_s, statement.stops_s
    if not times or cues.LATER.search(words):
        return
    claim.is_ongoing = bool(cues.ONGOING.search(words)) or (
        claim.known is not None and claim.known.kind is Kind.ANAESTHETIC
    )
    if cues.END_WORD.search(words) and not cues.START_WORD.search(words):
        claim.stops_s, claim.is_ongoing = times, True
        return
    is_event = bool(cues.EVENT.search(words) or cues.EVENT.search(spaced(statement.place))) or not stops
    if not is_event or len(times) > MAX_EVENTS:
        first = min(range(len(times)), key=times.__getitem__)
        times, stops = (times[first],), stops[first : first + 1]
    claim.times_s = times
    claim.stops_s = stops if claim.is_ongoing else ()
