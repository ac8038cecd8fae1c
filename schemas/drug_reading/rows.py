"""Makes administrations of what was brought together, with the evidence of each value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nwbswitch.schemas.drug_checks import canonical_administration
from nwbswitch.schemas.drug_log import Administration, ControlKind, MissingReason, Role
from nwbswitch.schemas.drug_reading.claims import Claim
from nwbswitch.schemas.drug_reading.evidence import Confidence, Evidence
from nwbswitch.schemas.drug_reading.joining import Treatment, role_in
from nwbswitch.schemas.drug_reading.kinds import VOLATILE, Kind
from nwbswitch.schemas.drug_reading.moments import Clock
from nwbswitch.schemas.drug_reading.plain_text import quote
from nwbswitch.schemas.drug_reading.values import Amount, Time, Value, Values
from nwbswitch.schemas.substance import Stereochemistry

UNKNOWN_TIME: MissingReason = "not recorded"
_STORED_NAME = {"sham injection": "sham"}
_CONTROL_KINDS = {"saline": ControlKind.SALINE, "sham injection": ControlKind.SHAM}


@dataclass(slots=True)
class Row:
    """One administration in the making."""

    treatment: Treatment
    administration: Administration
    evidence: list[Evidence]
    lacks: list[str] = field(default_factory=list)
    """Fields that a comparison needs and the file does not settle."""
    open: list[str] = field(default_factory=list)
    """Those of them that no other finding is about."""


def rows_of(treatments: Sequence[Treatment], values: Sequence[Values]) -> list[Row]:
    """Return the rows of all treatments in order of time, evidence counting them from 0."""
    rows: list[Row] = []
    starts = {each.known.name: _first_start(value) for each, value in zip(treatments, values, strict=True)}
    for treatment, value in zip(treatments, values, strict=True):
        times = value.times or _relative(treatment, starts)
        rows += _rows(treatment, replace_times(value, times), role_in(treatment, treatments))
    rows.sort(key=lambda row: row.administration.timestamp_s)
    for number, row in enumerate(rows):
        row.evidence = [replace(each, administration=number) for each in row.evidence]
    return rows


def replace_times(value: Values, times: list[Time]) -> Values:
    """Return the values with other times."""
    return replace(value, times=times)


def _first_start(value: Values) -> float | None:
    return float(value.times[0].start.value) if value.times else None


def _relative(treatment: Treatment, starts: dict[str, float | None]) -> list[Time]:
    """Return a time that counts from another substance whose time is known."""
    for claim in treatment.claims:
        for moment in claim.moments:
            anchor = starts.get(claim.anchors.get(moment.start, ""))
            if anchor is None or len(moment.values) != 1:
                continue
            sign = 1 if moment.clock is Clock.SINCE else -1
            start = anchor + sign * moment.values[0]
            value = Value(start, f"{start:g}", claim.place, claim.quote, Confidence.INFERRED)
            return [Time(value, moment.uncertainty_s)]
    return []


def _rows(treatment: Treatment, value: Values, role: Role) -> Iterator[Row]:
    times: list[Time | None] = [*value.times] or [None]
    doses = value.doses
    matched = len(doses) == len(times) or len(doses) == 1
    for position, time in enumerate(times):
        dose = doses[position if len(doses) == len(times) else 0] if doses and matched else None
        yield _row(treatment, value, role, time, dose)


def _row(treatment: Treatment, value: Values, role: Role, time: Time | None, dose: Amount | None) -> Row:
    fields: dict[str, Any] = {}
    evidence: list[Evidence] = []
    lacks: list[str] = []
    missing: dict[str, MissingReason] = {}

    def put(name: str, each: Value, stored: Any = None) -> None:
        fields[name] = each.value if stored is None else stored
        words = str(fields[name]) if stored is not None else _words(each)
        evidence.append(Evidence(-1, name, words, each.place, quote(each.quote), each.confidence))

    claim = _best(treatment)
    known = treatment.known
    sure = Confidence.INFERRED if treatment.is_inferred else Confidence.READ
    named = Value(_STORED_NAME.get(known.name, known.name), claim.word, claim.place, claim.quote, sure)
    put("substance", named, named.value)
    is_control = known.kind in (Kind.CONTROL, Kind.SOLUTE) and role is Role.VEHICLE
    stated = treatment.role is not None or is_control
    put("role", replace(named, confidence=sure if stated else Confidence.INFERRED), role)
    if is_control:
        put("control_kind", named, _CONTROL_KINDS.get(known.name, ControlKind.VEHICLE))
    if dose is not None:
        put("dose", dose.number)
        if dose.unit is not None:
            put("dose_unit", dose.unit)
        else:
            lacks.append("dose_unit")
    elif not is_control:
        missing["dose"] = "not recorded"
        lacks.append("dose")
        if value.dose_options is not None:
            options, unit = value.dose_options.number, value.dose_options.unit
            words = f"{options.value} {unit.value if unit is not None else ''}".strip()
            fields["notes"] = f"Dose in the file: {words}."
            evidence.append(
                Evidence(-1, "dose", words, options.place, quote(options.quote), Confidence.UNRESOLVED)
            )
    else:
        missing["dose"] = "not applicable"
    if value.concentration is not None:
        put("concentration", value.concentration.number)
        put("concentration_unit", value.concentration.unit or value.concentration.number)
    if value.rate is not None:
        put("infusion_rate", value.rate.number)
        put("infusion_rate_unit", value.rate.unit or value.rate.number)
    if value.volume_ml is not None:
        put("volume_ml", value.volume_ml)
    for name, each in value.texts.items():
        put(name, each, Stereochemistry(str(each.value)) if name == "stereochemistry" else str(each.value))
    if known.name in VOLATILE and "route" not in fields:
        put("route", replace(named, confidence=Confidence.INFERRED), "inhaled")
    if time is not None:
        put("timestamp_s", time.start)
        fields["time_uncertainty_s"] = time.uncertainty_s
        if time.duration is not None:
            put("duration_s", time.duration)
    else:
        fields["timestamp_s"] = 0.0
        missing["timestamp_s"] = UNKNOWN_TIME
        lacks.append("timestamp_s")
        evidence.append(
            Evidence(-1, "timestamp_s", "", claim.place, quote(claim.quote), Confidence.UNRESOLVED)
        )
    row = canonical_administration(Administration(**fields, missing=missing))
    return Row(treatment, row, evidence, lacks if role in _NEEDED else [])


_NEEDED = (Role.TEST, Role.VEHICLE, Role.ANTAGONIST, Role.ACTUATOR_LIGAND)


def _words(each: Value) -> str:
    return f"{each.value:.10g}" if isinstance(each.value, float) else str(each.value)


def _best(treatment: Treatment) -> Claim:
    """Return the claim that names the substance most surely."""
    return min(treatment.claims, key=lambda each: each.is_inferred)
