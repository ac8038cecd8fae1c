"""Findings about drugs of a file: what is open, what is incomplete, what contradicts, and what settles it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.drug_reading.claims import Claim, Stance
from nwbswitch.schemas.drug_reading.evidence import MentionReason
from nwbswitch.schemas.drug_reading.joining import Conflict
from nwbswitch.schemas.drug_reading.kinds import Kind
from nwbswitch.schemas.drug_reading.moments import Clock
from nwbswitch.schemas.drug_reading.quantities import Measure
from nwbswitch.schemas.drug_reading.rows import Row
from nwbswitch.schemas.drug_reading.values import Clash
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.overrides import FILL_IN, proposal

_SHOWN = (
    "timestamp_s", "duration_s", "substance", "role", "control_kind", "dose", "dose_unit", "concentration",
    "concentration_unit", "route",
)  # fmt: skip
_CLASH_WORDS = {"timestamp_s": "time"}
_FIELD_WORDS = {"timestamp_s": "when it was given", "dose": "its dose", "dose_unit": "the unit of its dose"}


def open_issue(claim: Claim, others: Sequence[Claim], *, name: str, rows: Sequence[Row]) -> Issue:
    """Return the finding that something was, or may have been, given that the file does not tell."""
    if claim.candidates:
        names = " or ".join(each.name for each in claim.candidates)
        message = f"The code {claim.word!r} may stand for {names}."
    elif claim.stance is Stance.OPTION or len(others) > 1:
        names = ", ".join(each.known.name for each in others if each.known is not None)
        message = f"The text is about a study with {names}, and does not say which this session got."
    elif claim.known is not None:
        message = f"{claim.known.name} is named, but not that it was given in this session."
    elif claim.word:
        message = f"{claim.word!r} was given, which is no substance known here."
    else:
        message = "Something was given, and the file does not say what."
    place = Place(name, item=claim.place)
    row = _entry_of_claim(claim)
    return issue(
        "drug-unresolved",
        f"{message} It reads: {claim.quote!r}.",
        place=place,
        remedy=_proposal(name, [*_entries(rows), row]),
    )


def incomplete_issue(row: Row, *, name: str, rows: Sequence[Row]) -> Issue:
    """Return the finding that time or dose of an administration are not known."""
    words = " and ".join(_FIELD_WORDS[each] for each in row.open)
    claim = row.treatment.claims[0]
    given = row.administration
    noted = f" {given.notes}" if given.notes else ""
    return issue(
        "drug-incomplete",
        f"{given.substance} was given, but the file does not say {words}.{noted} It reads: {claim.quote!r}.",
        place=Place(name, item=claim.place),
        remedy=_proposal(name, _entries(rows)),
    )


def conflict_issue(conflict: Conflict, *, name: str, rows: Sequence[Row]) -> Issue:
    """Return the finding that two places contradict each other about what was given."""
    first, second = conflict.first, conflict.second
    message = f"{first.place} reads {first.quote!r}, but {second.place} reads {second.quote!r}: "
    message += "they cannot both be right about the drug of this session, and neither was taken."
    named = [each for each in (second, first) if each.known is not None and each.stance is Stance.GIVEN]
    entry = _entry_of_claim(named[0]) | {"substance": FILL_IN, "timestamp_s": FILL_IN}
    for field in ("role", "control_kind", "dose", "dose_unit"):
        entry.pop(field, None)
    place = Place(name, item=f"{first.place}, {second.place}")
    return issue("drug-contradiction", message, place=place, remedy=_proposal(name, [*_entries(rows), entry]))


def clash_issue(clash: Clash, substance: str, *, name: str, rows: Sequence[Row]) -> Issue:
    """Return the finding that two places state different values of one field."""
    first, second = clash.first, clash.second
    message = (
        f"The {_CLASH_WORDS.get(clash.field, clash.field)} of {substance} is {first.words} in {first.place} "
        f"({first.quote!r}) and {second.words} in {second.place} ({second.quote!r}); neither was taken."
    )
    place = Place(name, item=f"{first.place}, {second.place}")
    return issue("drug-contradiction", message, place=place, remedy=_proposal(name, _entries(rows)))


def chronic_issue(claim: Claim, *, name: str, rows: Sequence[Row]) -> Issue:
    """Return the finding that a treatment over days has no times."""
    substance = claim.known.name if claim.known is not None else claim.word
    entry = _entry_of_claim(claim) | {"timestamp_s": FILL_IN, "repeats": FILL_IN, "every_h": FILL_IN}
    return issue(
        "drug-unresolved",
        f"{substance} was given over days, and the file does not say when. It reads: {claim.quote!r}.",
        place=Place(name, item=claim.place),
        remedy=_proposal(name, [*_entries(rows), entry]),
    )


def is_chronic(claim: Claim) -> bool:
    """Return whether a claim is of a treatment over days with a drug."""
    return (
        claim.why is MentionReason.CHRONIC
        and claim.known is not None
        and claim.known.kind is not Kind.CONTROL
    )


def _proposal(name: str, entries: Sequence[dict[str, Any]]) -> str:
    return proposal(name, {"administrations": list(entries)})


def _entries(rows: Iterable[Row]) -> list[dict[str, Any]]:
    return [_entry(each.administration, each.lacks) for each in rows]


def _entry(row: Administration, lacks: Sequence[str]) -> dict[str, Any]:
    """Return a row for a file of overrides, with a mark where a value is asked for."""
    plain = row.model_dump(mode="json", exclude_defaults=True)
    entry = {key: plain[key] for key in _SHOWN if key in plain}
    entry["timestamp_s"] = row.timestamp_s
    asked = dict.fromkeys(lacks, FILL_IN)
    if "dose" in asked and "dose_unit" not in entry:
        asked["dose_unit"] = FILL_IN
    return {"timestamp_s": 0.0} | entry | asked


def _entry_of_claim(claim: Claim) -> dict[str, Any]:
    entry: dict[str, Any] = {"timestamp_s": FILL_IN, "substance": FILL_IN}
    if claim.times_s:
        entry["timestamp_s"] = claim.times_s[0]
    placed = [each for each in claim.moments if each.clock is Clock.SESSION and len(each.values) == 1]
    if placed:
        entry["timestamp_s"] = placed[0].values[0]
    if len(claim.candidates) == 1:
        entry["substance"] = claim.candidates[0].name
    elif claim.known is not None and claim.stance is not Stance.OPTION:
        entry["substance"] = claim.known.name
    elif claim.word and not claim.candidates:
        entry["substance"] = claim.word
    doses = [each for each in claim.quantities if each.measure is Measure.DOSE]
    if doses:
        entry["dose"] = doses[0].value if doses[0].value is not None else FILL_IN
        entry["dose_unit"] = doses[0].unit or FILL_IN
    else:
        entry |= {"dose": FILL_IN, "dose_unit": FILL_IN}
    if claim.route:
        entry["route"] = claim.route
    return entry
