"""Brings together the doses, routes and times that several places state for one substance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from nwbswitch.schemas.drug_reading.claims import Claim
from nwbswitch.schemas.drug_reading.evidence import Confidence
from nwbswitch.schemas.drug_reading.joining import Treatment
from nwbswitch.schemas.drug_reading.kinds import VOLATILE, Kind
from nwbswitch.schemas.drug_reading.moments import Clock, Moment
from nwbswitch.schemas.drug_reading.quantities import Measure, Quantity
from nwbswitch.schemas.units import convert

SAME_TIME_S = 120.0
"""Two statements of one time may differ by this, or by a tenth of the time."""
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Value:
    """One value with where it was read."""

    value: float | str
    words: str
    place: str
    quote: str
    confidence: Confidence


@dataclass(frozen=True, slots=True)
class Clash:
    """A field for which two places state different values."""

    field: str
    first: Value
    second: Value


@dataclass(frozen=True, slots=True)
class Time:
    """One time of administration on the session clock."""

    start: Value
    uncertainty_s: float | None = None
    duration: Value | None = None


@dataclass(frozen=True, slots=True)
class Amount:
    """A number and its unit, which may stand in different places."""

    number: Value
    unit: Value | None = None


@dataclass(slots=True)
class Values:
    """What is known of one treatment."""

    doses: list[Amount] = field(default_factory=list)
    """Several where the text lists several."""
    dose_options: Amount | None = None
    """A range or list that gives no single dose."""
    concentration: Amount | None = None
    volume_ml: Value | None = None
    rate: Amount | None = None
    texts: dict[str, Value] = field(default_factory=dict)
    """Route, salt, vehicle and other words by field."""
    times: list[Time] = field(default_factory=list)
    clashes: list[Clash] = field(default_factory=list)


def values_of(treatment: Treatment, *, session_start: datetime | None) -> Values:
    """Return the values of a treatment; those that contradict each other are left out and noted."""
    found = Values()
    _read_doses(treatment, found)
    for name, kind in (("concentration", Measure.CONCENTRATION), ("rate", Measure.RATE)):
        stated = _quantities(treatment.claims, kind) or _quantities(treatment.details, kind)
        if kind is Measure.CONCENTRATION and not stated and treatment.known.name not in VOLATILE:
            stated = _quantities(treatment.claims, Measure.PERCENT)
        if len({(each.values, each.unit) for _, each in stated}) == 1 and stated[0][1].value is not None:
            claim, quantity = stated[0]
            setattr(found, name, _amount(claim, quantity, quantity.value or 0.0))
    volumes = [(claim, each) for claim, each in _quantities(treatment.claims, Measure.VOLUME) if each.value]
    if len({each.value for _, each in volumes}) == 1:
        claim, quantity = volumes[0]
        litres = convert(quantity.value or 0.0, quantity.unit, "mL")
        found.volume_ml = _value(claim, litres, f"{quantity.words} {quantity.unit}")
    _read_texts(treatment, found)
    found.times = _times(treatment, found, session_start)
    return found


def _value(claim: Claim, value: float | str, words: str = "", *, inferred: bool = False) -> Value:
    confidence = Confidence.INFERRED if claim.is_inferred or inferred else Confidence.READ
    words = words or (f"{value:.10g}" if isinstance(value, float) else value)
    return Value(value, words, claim.place, claim.quote, confidence)


def _amount(
    claim: Claim,
    quantity: Quantity,
    value: float | str,
    *,
    unit_of: Claim | None = None,
    inferred: bool = False,
) -> Amount:
    """Return a number with the unit of the quantity, which may be read from another claim."""
    number = _value(claim, value, quantity.words, inferred=inferred)
    if not quantity.unit:
        return Amount(number)
    return Amount(number, _value(unit_of or claim, quantity.unit, inferred=inferred))


def _quantities(claims: Sequence[Claim], measure: Measure) -> list[tuple[Claim, Quantity]]:
    return [(claim, each) for claim in claims for each in claim.quantities if each.measure is measure]


def _doses(claims: Sequence[Claim], kind: Kind) -> list[tuple[Claim, Quantity]]:
    found = _quantities(claims, Measure.DOSE)
    inhaled = kind is Kind.ANAESTHETIC or any(
        each.known is not None and each.known.name in VOLATILE for each in claims
    )
    return found + _quantities(claims, Measure.PERCENT) if inhaled else found


def _read_doses(treatment: Treatment, found: Values) -> None:
    mine = _doses(treatment.claims, treatment.known.kind)
    theirs = _doses(treatment.details, treatment.known.kind)
    if treatment.known.kind is Kind.CONTROL:
        mine, theirs = [each for each in mine if each[1].unit], []
    stated = mine or theirs
    if not stated:
        return
    with_unit = [each for each in stated if each[1].unit]
    bare = [each for each in mine if not each[1].unit]
    if bare and not with_unit:
        with_unit = [each for each in theirs if each[1].unit]
    base, quantity = (with_unit or stated)[0]
    if bare and with_unit:
        _read_bare(bare[0], with_unit, found)
        return
    for claim, other in stated[1:]:
        if not _agree(quantity, other):
            if claim is base:
                words = ", ".join(each.words for one, each in stated if one is base)
                found.dose_options = _amount(base, quantity, words)
            else:
                first = _value(base, quantity.words, f"{quantity.words} {quantity.unit}".strip())
                second = _value(claim, other.words, f"{other.words} {other.unit}".strip())
                found.clashes.append(Clash("dose", first, second))
            return
    if quantity.value is None:
        found.dose_options = _amount(base, quantity, quantity.words)
        if not quantity.is_range:
            found.doses = [_amount(base, quantity, each) for each in quantity.values]
        return
    found.doses = [_amount(base, quantity, quantity.value, inferred=not mine)]


def _read_bare(
    bare: tuple[Claim, Quantity], with_unit: Sequence[tuple[Claim, Quantity]], found: Values
) -> None:
    """Give a dose without a unit the unit of a text that lists the same number."""
    claim, quantity = bare
    for other_claim, other in with_unit:
        if set(quantity.values) <= set(other.values):
            found.doses = [
                _amount(claim, other, each, unit_of=other_claim, inferred=True) for each in quantity.values
            ]
            if quantity.value is None:
                found.dose_options = _amount(claim, other, quantity.words, unit_of=other_claim, inferred=True)
            return
        first = _value(claim, quantity.words)
        second = _value(other_claim, other.words, f"{other.words} {other.unit}")
        found.clashes.append(Clash("dose", first, second))
        return


def _agree(first: Quantity, second: Quantity) -> bool:
    if first.unit == second.unit:
        return first.values == second.values
    if not (first.unit and second.unit) or len(first.values) != len(second.values):
        return False
    try:
        converted = [convert(value, second.unit, first.unit) for value in second.values]
    except ValueError:
        return False
    return all(
        abs(one - other) <= 1e-6 * abs(one) for one, other in zip(first.values, converted, strict=True)
    )


_TEXTS: dict[str, Callable[[Claim], str]] = {
    "route": lambda claim: claim.route,
    "salt": lambda claim: claim.salt,
    "vehicle": lambda claim: claim.vehicle,
    "stereochemistry": lambda claim: claim.stereochemistry.value if claim.stereochemistry else "",
    "prior_exposure": lambda claim: claim.day,
}


def _read_texts(treatment: Treatment, found: Values) -> None:
    for name, read in _TEXTS.items():
        stated = [(claim, read(claim)) for claim in treatment.claims if read(claim)]
        inferred = not stated
        stated = stated or [(claim, read(claim)) for claim in treatment.details if read(claim)]
        words = {text for _, text in stated}
        if not stated:
            continue
        first = _value(*stated[0], inferred=inferred)
        if len(words) == 1:
            found.texts[name] = first
        elif name == "route":
            claim, other = next(each for each in stated if each[1] != stated[0][1])
            found.clashes.append(Clash(name, first, _value(claim, other)))


def _times(treatment: Treatment, found: Values, session_start: datetime | None) -> list[Time]:
    """Return when a substance was given: as objects of the file time it, else as texts say."""
    measured = _measured(treatment)
    told = _told(treatment, session_start)
    durations = [
        (claim, moment)
        for claim in treatment.claims
        for moment in claim.moments
        if moment.clock is Clock.DURATION
    ]
    length = _value(durations[0][0], durations[0][1].values[0]) if len(durations) == 1 else None
    if not measured:
        return _agreed(told, found, length)
    for claim, starts, _ in told:
        for start in starts:
            if not any(_same(start, float(each.start.value)) for each in measured):
                first, second = _value(claim, start, f"{start:.10g} s"), measured[0].start
                found.clashes.append(Clash("timestamp_s", first, replace(second, words=f"{second.words} s")))
                return []
    return measured


def _measured(treatment: Treatment) -> list[Time]:
    timed = [claim for claim in treatment.claims if claim.times_s]
    ends = sorted(stop for claim in treatment.claims if not claim.times_s for stop in claim.stops_s)
    events = [claim for claim in timed if claim.has_given_word] or timed
    found: list[Time] = []
    for claim in events:
        for position, start in enumerate(claim.times_s):
            if any(abs(float(each.start.value) - start) <= 1.0 for each in found):
                continue
            stop = claim.stops_s[position] if position < len(claim.stops_s) else None
            later = [end for end in ends if end > start]
            stop = later[0] if stop is None and later else stop
            length = None if stop is None or stop <= start else _value(claim, stop - start)
            found.append(Time(_value(claim, start), None, length))
    return sorted(found, key=lambda each: float(each.start.value))


_Told = tuple[Claim, tuple[float, ...], float | None]


def _told(treatment: Treatment, session_start: datetime | None) -> list[_Told]:
    """Return the times of texts: claim, seconds on the session clock, uncertainty."""
    found: list[_Told] = []
    for claim in treatment.claims:
        dates: list[float] = []
        for moment in claim.moments:
            if moment.start in claim.anchors:
                continue
            seconds = _on_session_clock(moment, session_start)
            if seconds and moment.clock is Clock.DATE:
                dates += seconds
            elif seconds:
                if moment.is_inferred:
                    claim = _inferred(claim)
                found.append((claim, seconds, moment.uncertainty_s))
        if dates:
            found.append((claim, tuple(sorted(set(dates))), _DAY_S / 2))
    return found


def _inferred(claim: Claim) -> Claim:
    return replace(claim, is_inferred=True)


def _on_session_clock(moment: Moment, session_start: datetime | None) -> tuple[float, ...]:
    match moment.clock:
        case Clock.SESSION:
            return moment.values
        case Clock.SINCE:
            return tuple(-value for value in moment.values)
        case Clock.DATE if session_start is not None:
            offset = session_start.utcoffset()
            shift = offset.total_seconds() if offset is not None else 0.0
            base = session_start.timestamp() if offset is not None else _naive(session_start)
            return tuple(value - shift - base for value in moment.values)
        case Clock.DAYTIME if session_start is not None:
            begun = session_start.hour * 3600 + session_start.minute * 60 + session_start.second
            later = moment.values[0] - begun
            return (later,) if abs(later) <= _DAY_S / 2 else ()
        case _:
            return ()


def times_told(claim: Claim, *, session_start: datetime | None) -> tuple[float, ...]:
    """Return the times that the words of one claim give, s on the session clock."""
    found = [
        _on_session_clock(each, session_start) for each in claim.moments if each.start not in claim.anchors
    ]
    return tuple(sorted({second for each in found for second in each}))


def _naive(moment: datetime) -> float:
    from datetime import UTC

    return moment.replace(tzinfo=UTC).timestamp()


def _agreed(told: Sequence[_Told], found: Values, length: Value | None) -> list[Time]:
    if not told:
        return []
    claim, starts, uncertainty = told[0]
    for other_claim, others, _ in told[1:]:
        alike = len(starts) == len(others) and all(map(_same, starts, others))
        if not alike and other_claim.place == claim.place and len(told) <= 10:
            return [
                Time(_value(each, start), half, length) for each, several, half in told for start in several
            ]
        if not alike:
            first, second = _seconds(claim, starts), _seconds(other_claim, others)
            found.clashes.append(Clash("timestamp_s", first, second))
            return []
    return [Time(_value(claim, start), uncertainty, length) for start in starts]


def _seconds(claim: Claim, values: Sequence[float]) -> Value:
    return _value(claim, values[0], ", ".join(f"{value:g}" for value in values) + " s")


def _same(first: float, second: float) -> bool:
    return abs(first - second) <= max(SAME_TIME_S, 0.1 * max(abs(first), abs(second)))
