"""The clocks of a session as lines to session time, each resolved once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nwbswitch.converters.clocks.alignment import Alignment, align_pulses
from nwbswitch.converters.clocks.clock_map import ClockMap
from nwbswitch.converters.clocks.frame_pulses import FrameAlignment, align_frames
from nwbswitch.converters.clocks.pulses import read_pulses
from nwbswitch.schemas.clock_table import ClockMethod, ClockQuality
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.study_clocks import SESSION_CLOCK, Clock, FrameTimes


@dataclass(frozen=True, slots=True)
class ResolvedClock:
    """A clock, the line that leads from it to session time, and the alignment it rests on, if on pulses."""

    name: str
    map: ClockMap
    method: ClockMethod
    alignment: Alignment | None = None

    def quality(self, stream: str, *, n_frames: int = 0) -> ClockQuality:
        """Return the row of the clock table for a stream on this clock."""
        found = self.alignment
        if found is None:
            return ClockQuality(
                stream, self.name, self.method, self.map.offset_s, self.map.drift_ppm, n_frames=n_frames
            )
        return ClockQuality(
            stream,
            self.name,
            self.method,
            self.map.offset_s,
            self.map.drift_ppm,
            jitter_ms=found.jitter_ms,
            max_residual_ms=found.max_residual_ms,
            n_frames=n_frames,
            n_pulses=found.n_matched,
            n_unmatched=found.n_missed,
        )


def resolve_clocks(clocks: Mapping[str, Clock]) -> dict[str, ResolvedClock]:
    """Return every clock of a session with its line to session time; pulses are read.

    The session's own clock is among them. A clock whose reference is another clock goes through it; jitter is
    then that of the last step.

    Raises
    ------
    IssuesError
        A clock called session, a reference that is no clock, clocks that refer to each other in a circle,
        pulses that do not fit.
    InputFileError
        Pulses that cannot be read.
    """
    if SESSION_CLOCK in clocks:
        problem = f"{SESSION_CLOCK!r} is the clock of the file, which needs no description."
        place, remedy = Place(item=f"clocks.{SESSION_CLOCK}"), "Give the clock another name."
        raise IssuesError([issue("wrong-value", problem, place=place, remedy=remedy)])
    resolved = {SESSION_CLOCK: ResolvedClock(SESSION_CLOCK, ClockMap(), ClockMethod.SAME)}
    for name in clocks:
        _resolve(name, clocks, resolved, ())
    return resolved


def frame_timing(
    source: FrameTimes,
    clocks: Mapping[str, ResolvedClock],
    *,
    stream: str,
    n_frames: int,
    nominal_rate_hz: float | None = None,
) -> tuple[FrameAlignment, ClockQuality]:
    """Return the session times of a movie's frames from its pulses, and the row of the clock table.

    Raises
    ------
    IssuesError, InputFileError
        As `align_frames` and `read_pulses` do; ``unknown-word`` for a clock that is not described.
    """
    clock = clocks.get(source.clock)
    if clock is None:
        raise IssuesError([_unknown(source.clock, clocks, Place(source.path))])
    found = align_frames(
        read_pulses(source), n_frames, source, clock_map=clock.map, nominal_rate_hz=nominal_rate_hz
    )
    quality = ClockQuality(
        stream,
        clock.name,
        ClockMethod.FRAME_PULSES,
        clock.map.offset_s,
        clock.map.drift_ppm,
        jitter_ms=found.quality.jitter_ms,
        max_residual_ms=found.quality.max_residual_ms,
        n_frames=n_frames,
        n_pulses=found.quality.n_matched,
        n_dropped=found.quality.n_dropped,
        n_unmatched=found.quality.n_unmatched_own,
    )
    return found, quality


def _resolve(
    name: str, clocks: Mapping[str, Clock], resolved: dict[str, ResolvedClock], seen: tuple[str, ...]
) -> ResolvedClock:
    if name in resolved:
        return resolved[name]
    if name in seen:
        circle = " -> ".join((*seen[seen.index(name) :], name))
        problem = f"The clocks refer to each other in a circle: {circle}."
        remedy = f"Align one of them to {SESSION_CLOCK}."
        raise IssuesError([issue("wrong-value", problem, place=Place(item=f"clocks.{name}"), remedy=remedy)])
    clock = clocks[name]
    if clock.reference_clock not in clocks and clock.reference_clock not in resolved:
        place = Place(item=f"clocks.{name}.reference_clock")
        raise IssuesError([_unknown(clock.reference_clock, {**resolved, **clocks}, place)])
    outer = _resolve(clock.reference_clock, clocks, resolved, (*seen, name))
    if clock.pulses is not None and clock.reference is not None:
        alignment = align_pulses(
            read_pulses(clock.pulses),
            read_pulses(clock.reference),
            extra=clock.extra,
            max_residual_ms=clock.max_residual_ms,
        )
        found = ResolvedClock(name, alignment.map.then(outer.map), ClockMethod.PULSES, alignment)
    else:
        own = ClockMap(clock.offset_s, clock.drift_ppm / 1e6)
        found = ResolvedClock(name, own.then(outer.map), ClockMethod.OFFSET)
    resolved[name] = found
    return found


def _unknown(name: str, known: Mapping[str, object], place: Place) -> Issue:
    remedy = nearest(name, known) or f"Clocks of this session: {', '.join(known)}."
    return issue("unknown-word", f"The clock {name!r} is not described.", place=place, remedy=remedy)
