"""Times of frames that are hardly seconds since the start of the session, and what would settle them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nwbswitch.analysis.reading.stamps import StampFacts
from nwbswitch.schemas.overrides import FILL_IN, TimeUnit

MIN_RATE_HZ = 0.01
MIN_SURE_RATE_HZ = 0.1
"""Stamps further apart than 10 s may be s, or smaller units of a usual rate."""
MAX_RATE_HZ = 1000.0
MAX_START_S = 1e8
"""Three years after the start of the session: stamps that large are dates."""
MAX_LENGTH_S = 172_800.0
"""Two days: no recording under a microscope is longer."""
SAME_RATE = 0.01
"""Share by which two rates of one recording may differ."""
_UNITS = ((1e3, TimeUnit.MS), (1e6, TimeUnit.US))


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why times are doubted, and the fields of an override that would settle it."""

    problem: str
    settled_by: dict[str, Any]


def doubt_of_rate(rate_hz: float, n_frames: int, imaging_rate_hz: float | None) -> Doubt | None:
    """Return why a stated rate cannot be frames per second, or None."""
    stated = f"The rate is {rate_hz:g} Hz"
    known = FILL_IN if imaging_rate_hz is None else imaging_rate_hz
    if imaging_rate_hz is not None:
        if rate_hz < 1 < imaging_rate_hz and _alike(1 / rate_hz, imaging_rate_hz):
            problem = f"{stated}, one over the {imaging_rate_hz:g} Hz of the imaging plane: a period?"
            return Doubt(problem, {"rate_hz": known})
        for factor, _ in _UNITS:
            if _alike(rate_hz / factor, imaging_rate_hz) or _alike(rate_hz * factor, imaging_rate_hz):
                problem = f"{stated}, the imaging plane states {imaging_rate_hz:g} Hz."
                return Doubt(problem, {"rate_hz": known})
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        return Doubt(f"{stated}, which no imaging has.", {"rate_hz": known})
    if n_frames / rate_hz > MAX_LENGTH_S:
        problem = f"{stated}, so that {n_frames} frames would take {n_frames / rate_hz / 3600:.0f} hours."
        return Doubt(problem, {"rate_hz": known})
    return None


def doubt_of_stamps(
    facts: StampFacts, imaging_rate_hz: float | None, reference_s: float | None
) -> Doubt | None:
    """Return why stamps cannot be seconds since the start of the session, or None.

    ``reference_s`` is the start of the session in seconds since 1970.
    """
    rate_hz = 1 / facts.median_step
    stated = f"Time stamps step by {facts.median_step:g}, which in s would be {rate_hz:g} Hz"
    if facts.counts_frames and (imaging_rate_hz is None or not _alike(rate_hz, imaging_rate_hz)):
        problem = f"Time stamps are whole numbers from {facts.first:g} on: they look like counts of frames."
        known = FILL_IN if imaging_rate_hz is None else imaging_rate_hz
        return Doubt(problem, {"timestamps_unit": TimeUnit.FRAMES.value, "rate_hz": known})
    unit, factor = _unit(facts, imaging_rate_hz)
    settled: dict[str, Any] = {} if unit is TimeUnit.S else {"timestamps_unit": unit.value}
    if abs(facts.first) / factor > MAX_START_S:
        start_s: Any = FILL_IN
        if reference_s is not None and abs(facts.first / factor - reference_s) < MAX_LENGTH_S:
            start_s = round(facts.first / factor - reference_s, 6)
        problem = f"The first time stamp is {facts.first:.10g}: a date, not s since the start of the session?"
        return Doubt(problem, {**settled, "start_s": start_s})
    if unit is not TimeUnit.S:
        known = "" if imaging_rate_hz is None else f", and the imaging plane states {imaging_rate_hz:g} Hz"
        return Doubt(f"{stated}{known}: they look like {unit}.", settled)
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ or facts.last - facts.first > MAX_LENGTH_S:
        hours = (facts.last - facts.first) / 3600
        return Doubt(f"{stated}, over {hours:.3g} hours.", {"timestamps_unit": FILL_IN})
    return None


def doubt_of_unit(facts: StampFacts, unit: TimeUnit, unit_s: float) -> Doubt | None:
    """Return why stamps cannot count what the file or the overrides state, of ``unit_s`` s each, or None."""
    step_s, length_s = facts.median_step * unit_s, (facts.last - facts.first) * unit_s
    if 1 / MAX_RATE_HZ <= step_s <= 1 / MIN_RATE_HZ and length_s <= MAX_LENGTH_S:
        return None
    problem = f"Time stamps in {unit} would be {step_s:g} s apart, over {length_s / 3600:.3g} hours."
    return Doubt(problem, {"timestamps_unit": FILL_IN})


def rates_differ(rate_hz: float, imaging_rate_hz: float | None) -> str:
    """Return what is to be said of a clock that runs unlike its imaging plane; empty where they agree."""
    if imaging_rate_hz is None or abs(rate_hz / imaging_rate_hz - 1) <= SAME_RATE:
        return ""
    said = f"Frames come at {rate_hz:.6g} Hz, the imaging plane states {imaging_rate_hz:.6g} Hz"
    ratio = imaging_rate_hz / rate_hz
    if ratio > 1.5 and abs(ratio / round(ratio) - 1) <= SAME_RATE:
        said += f", {round(ratio)} times as many, as with {round(ratio)} planes in turn or frames averaged"
    return f"{said}."


def _unit(facts: StampFacts, imaging_rate_hz: float | None) -> tuple[TimeUnit, float]:
    """Return the unit that makes sense of stamps where seconds do not, and how many of it are a second."""
    rate_hz = 1 / facts.median_step
    if imaging_rate_hz is not None:
        for factor, unit in _UNITS:
            if _alike(rate_hz * factor, imaging_rate_hz):
                return unit, factor
        if _alike(rate_hz, imaging_rate_hz):
            return TimeUnit.S, 1.0
    length = facts.last - facts.first
    if rate_hz >= MIN_SURE_RATE_HZ and length <= MAX_LENGTH_S:
        return TimeUnit.S, 1.0
    for factor, unit in _UNITS:
        if 1.0 <= rate_hz * factor <= MAX_RATE_HZ and length / factor <= MAX_LENGTH_S:
            return unit, factor
    return TimeUnit.S, 1.0


def _alike(one_hz: float, other_hz: float) -> bool:
    """Whether two rates are of one size: within a third, since rates are rounded and planes share one."""
    return 0.75 < one_hz / other_hz < 4 / 3
