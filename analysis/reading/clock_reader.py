"""Clocks of series in an open NWB file, checked in a stream; what cannot be seconds is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nwbswitch.analysis.access.stored_dataset import stored_array
from nwbswitch.analysis.reading.clock_doubts import (
    MAX_START_S,
    Doubt,
    doubt_of_rate,
    doubt_of_stamps,
    doubt_of_unit,
    rates_differ,
)
from nwbswitch.analysis.reading.outline import Clock
from nwbswitch.analysis.reading.stamps import BadStamp, StampFacts, look_at
from nwbswitch.analysis.reading.stored_values import dataset_at, group_at, numbers_of, text_of
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.overrides import FILL_IN, Activity, TimeUnit, proposal

if TYPE_CHECKING:
    import h5py

_SECONDS = {TimeUnit.S: 1.0, TimeUnit.MS: 1e-3, TimeUnit.US: 1e-6}
_UNIT_WORDS = {
    "ms": TimeUnit.MS,
    "msec": TimeUnit.MS,
    "millisecond": TimeUnit.MS,
    "milliseconds": TimeUnit.MS,
    "us": TimeUnit.US,
    "microsecond": TimeUnit.US,
    "microseconds": TimeUnit.US,
}
"""Units that files state of time stamps; NWB wants seconds, and all other words are taken for these."""
_UNEVEN_SHARE = 0.01


@dataclass(slots=True)
class ClockReader:
    """Clocks of the series of one open file; stamps that several series share are looked at once."""

    nwb: h5py.File
    name: str
    looked_at: dict[str, StampFacts | BadStamp] = field(default_factory=dict)

    def clock(
        self,
        series: h5py.Group,
        n_frames: int,
        *,
        stated: Activity,
        imaging_rate_hz: float | None,
        found: list[Issue],
    ) -> Clock | None:
        """Return the clock of a series, or None with an error among the findings.

        Parameters
        ----------
        series
            A group with ``timestamps``, or ``starting_time`` and its rate.
        n_frames
            Number of frames.
        stated
            What the overrides say of it.
        imaging_rate_hz
            The frame rate that the imaging plane states, Hz.
        found
            Receives findings.
        """
        ask = _Asking(self.name, str(series.name), found)
        if stated.rate_hz is not None and stated.timestamps_unit is not TimeUnit.FRAMES:
            start_s = _start_s(series) if stated.start_s is None else stated.start_s
            if start_s is None:
                ask.unsure(
                    "The overrides state its rate, but nothing says when it starts.", {"start_s": FILL_IN}
                )
                return None
            return Clock(start_s, stated.rate_hz, n_frames)
        stamps = self._stamps(series, stated, ask)
        if stamps is None and not stated.timestamps:
            return _regular(series, n_frames, stated, imaging_rate_hz, ask)
        return None if stamps is None else self._stamped(stamps, n_frames, stated, imaging_rate_hz, ask)

    def _stamps(self, series: h5py.Group, stated: Activity, ask: _Asking) -> h5py.Dataset | None:
        if not stated.timestamps:
            return dataset_at(series, "timestamps")
        stamps = dataset_at(self.nwb, stated.timestamps)
        if stamps is None:
            stamps = dataset_at(group_at(self.nwb, stated.timestamps), "timestamps")
        if stamps is None:
            problem = f"The overrides name the time stamps {stated.timestamps}, which the file does not hold."
            ask.find("override-unused", problem)
        return stamps

    def _stamped(
        self,
        stamps: h5py.Dataset,
        n_frames: int,
        stated: Activity,
        imaging_rate_hz: float | None,
        ask: _Asking,
    ) -> Clock | None:
        if stamps.dtype.kind not in "iuf" or max(stamps.shape, default=0) != stamps.size:
            ask.find("wrong-value", f"Its timestamps are {stamps.dtype} of shape {stamps.shape}.")
            return None
        if stamps.size != n_frames:
            ask.unsure(
                f"It has {stamps.size} timestamps for {n_frames} frames.",
                {"rate_hz": imaging_rate_hz or FILL_IN, "start_s": FILL_IN},
                code="length-differs",
            )
            return None
        if n_frames < 2:
            ask.find("wrong-value", "It has one frame only.")
            return None
        facts = self._facts(stamps)
        if isinstance(facts, BadStamp):
            problem = f"Its timestamps do not increase: at frame {facts.frame} comes {facts.value:.10g}"
            after = f" after {facts.before:.10g}" if facts.frame else ""
            settled = {"rate_hz": imaging_rate_hz or FILL_IN, "start_s": FILL_IN}
            ask.unsure(f"{problem}{after}.", settled, code="wrong-value")
            return None
        unit = stated.timestamps_unit or _unit_of_file(stamps, ask)
        doubt = _doubt(facts, unit, stated, imaging_rate_hz, _reference_s(self.nwb))
        if doubt is not None:
            ask.unsure(doubt.problem, doubt.settled_by)
            return None
        conversion_s = (
            1 / (stated.rate_hz or 1.0) if unit is TimeUnit.FRAMES else _SECONDS[unit or TimeUnit.S]
        )
        offset_s = 0.0 if stated.start_s is None else stated.start_s - facts.first * conversion_s
        clock = Clock(
            start_s=facts.first * conversion_s + offset_s,
            rate_hz=float(1 / (facts.median_step * conversion_s)),
            n_frames=n_frames,
            stamps=stored_array(stamps),
            conversion_s=conversion_s,
            offset_s=offset_s,
            knots_s=tuple(knot * conversion_s + offset_s for knot in facts.knots),
            last_s=facts.last * conversion_s + offset_s,
        )
        _note_uneven(facts, conversion_s, ask)
        ask.note_rate(clock.rate_hz, imaging_rate_hz)
        return clock

    def _facts(self, stamps: h5py.Dataset) -> StampFacts | BadStamp:
        key = str(stamps.name)
        if key not in self.looked_at:
            self.looked_at[key] = look_at(stamps)
        return self.looked_at[key]


@dataclass(frozen=True, slots=True)
class _Asking:
    """Findings about the clock of one series."""

    name: str
    path: str
    found: list[Issue]

    def find(self, code: str, problem: str, remedy: str = "") -> None:
        self.found.append(issue(code, problem, place=Place(self.name, item=self.path), remedy=remedy))

    def unsure(self, problem: str, settled_by: dict[str, Any], *, code: str = "suspect-clock") -> None:
        stated = [{"series": self.path, **settled_by}]
        self.find(code, problem, proposal(self.name, {"activity": stated}))

    def note_rate(self, rate_hz: float, imaging_rate_hz: float | None) -> None:
        problem = rates_differ(rate_hz, imaging_rate_hz)
        if problem:
            self.find("imaging-rate-differs", problem, "The traces' own clock is used.")


def _regular(
    series: h5py.Group, n_frames: int, stated: Activity, imaging_rate_hz: float | None, ask: _Asking
) -> Clock | None:
    start = _starting_time(series)
    rates = () if start is None else numbers_of(start.attrs.get("rate"))
    rate_hz = rates[0] if len(rates) == 1 else 0.0
    settled: dict[str, Any] = {"rate_hz": imaging_rate_hz or FILL_IN}
    if not (math.isfinite(rate_hz) and rate_hz > 0):
        problem = f"Its rate is {rate_hz:g} Hz and it has no timestamps."
        ask.unsure(problem, settled, code="wrong-value")
        return None
    doubt = doubt_of_rate(rate_hz, n_frames, imaging_rate_hz)
    if doubt is not None:
        ask.unsure(doubt.problem, doubt.settled_by)
        return None
    start_s = _start_s(series) if stated.start_s is None else stated.start_s
    if start_s is None:
        ask.unsure("Its starting time is no number.", {"start_s": FILL_IN}, code="wrong-value")
        return None
    if abs(start_s) > MAX_START_S:
        ask.unsure(f"It starts at {start_s:.10g} s: a date?", {"start_s": FILL_IN})
        return None
    ask.note_rate(rate_hz, imaging_rate_hz)
    return Clock(start_s, rate_hz, n_frames)


def _doubt(
    facts: StampFacts,
    unit: TimeUnit | None,
    stated: Activity,
    imaging_rate_hz: float | None,
    reference_s: float | None,
) -> Doubt | None:
    """Return what is doubted of stamps beyond what the overrides or the file state of their unit."""
    if unit is None:
        doubt = doubt_of_stamps(facts, imaging_rate_hz, reference_s)
        is_dated = doubt is not None and set(doubt.settled_by) == {"start_s"}
        return None if is_dated and stated.start_s is not None else doubt
    if unit is TimeUnit.FRAMES:
        return None
    doubt = doubt_of_unit(facts, unit, _SECONDS[unit])
    if doubt is not None or stated.start_s is not None:
        return doubt
    first_s = facts.first * _SECONDS[unit]
    if abs(first_s) > MAX_START_S:
        start_s = FILL_IN if reference_s is None else round(first_s - reference_s, 6)
        settled: dict[str, Any] = {"timestamps_unit": unit.value, "start_s": start_s}
        return Doubt(f"The first time stamp is {facts.first:.10g} {unit}: a date?", settled)
    return None


def _unit_of_file(stamps: h5py.Dataset, ask: _Asking) -> TimeUnit | None:
    """Return the unit that the file states of its stamps where it is not the s that NWB wants."""
    word = text_of(stamps.attrs.get("unit")).casefold().strip(" .")
    unit = _UNIT_WORDS.get(word)
    if unit is not None:
        ask.find("stamps-in-unit", f"Its timestamps are in {word}, which they state; NWB wants s.")
    return unit


def _note_uneven(facts: StampFacts, conversion_s: float, ask: _Asking) -> None:
    said = []
    if facts.n_gaps:
        longest_s = facts.longest_step * conversion_s
        said.append(
            f"{facts.n_gaps} gaps, the first after frame {facts.first_gap}, the longest of {longest_s:.3g} s"
        )
    if facts.uneven_share > _UNEVEN_SHARE:
        said.append(
            f"{100 * facts.uneven_share:.2g} % of the frames come a tenth of a frame or more off time"
        )
    if said:
        ask.find("uneven-frames", f"{'; '.join(said)}.", "Frames are placed by their own times.")


def _starting_time(series: h5py.Group) -> h5py.Dataset | None:
    return dataset_at(series, "starting_time")


def _start_s(series: h5py.Group) -> float | None:
    """Return the starting time that a series states, s."""
    start = numbers_of(_starting_time(series))
    return start[0] if len(start) == 1 and math.isfinite(start[0]) else None


def _reference_s(nwb: h5py.File) -> float | None:
    """Return the date that times count from, s since 1970."""
    for name in ("timestamps_reference_time", "session_start_time"):
        try:
            moment = datetime.fromisoformat(text_of(dataset_at(nwb, name)))
        except ValueError:
            continue
        return moment.timestamp() if moment.tzinfo else None
    return None
