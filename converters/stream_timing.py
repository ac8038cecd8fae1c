"""Streams on the session clock: by their own clocks, or by the frames of the stream they belong to."""

from __future__ import annotations

from collections.abc import Mapping

from nwbswitch.converters.clocks.clock_map import ClockMap
from nwbswitch.converters.registry import READERS, Kind
from nwbswitch.converters.segmentation.roi_interface import RATE_TOLERANCE
from nwbswitch.converters.timed_interface import TimedInterface
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.stream_base import SESSION_CLOCK, RowStream
from nwbswitch.schemas.study import Session


def place_in_time(session: Session, interfaces: Mapping[str, object]) -> None:
    """Align every stream with the session clock.

    A stream follows, frame by frame, the one it names as timing_of; traces without one follow the movie they
    were made from when it is on the same clock, and rows without times the only imaging stream.

    Raises
    ------
    IssuesError
        Streams that contradict each other in number of frames or rate, or a clock that is not described.
    """
    timed = {name: each for name, each in interfaces.items() if isinstance(each, TimedInterface)}
    clocks = {name: _clock(session, session.streams[name].clock) for name in timed}
    leaders = {name: _leader(session, name, timed) for name in timed}
    found: list[Issue] = []
    for name in _leaders_first(session, leaders):
        leader = leaders[name]
        if leader is None:
            timed[name].align(clocks[name])
            continue
        found += _disagreement(session, name, leader, timed)
        if timed[name].n_samples == timed[leader].n_samples:
            timed[name].follow(timed[leader].timing)
    found += _joined_lengths(session, leaders, timed)
    if found:
        raise IssuesError(found)
    for interface in timed.values():
        interface.require_times()


def _clock(session: Session, name: str) -> ClockMap:
    if name in session.clocks:
        return ClockMap(session.clocks[name].offset_s)
    if name == SESSION_CLOCK:
        return ClockMap()
    place = Place(item=f"{session.session_id}.clocks")
    remedy = "Add it under clocks with its offset_s."
    raise IssuesError(
        [issue("unknown-word", f"The clock {name!r} is not described.", place=place, remedy=remedy)]
    )


def _kind(session: Session, name: str) -> Kind:
    return READERS[session.streams[name].format].kind


def _leader(session: Session, name: str, timed: Mapping[str, TimedInterface]) -> str | None:
    """Return the stream whose frames are the samples of this one; None when it has times of its own."""
    stream = session.streams[name]
    if isinstance(stream, RowStream) and stream.timing_of is not None:
        return stream.timing_of
    kind = _kind(session, name)
    movies = [each for each in timed if _kind(session, each) is Kind.MOVIE]
    if kind is Kind.ROIS:
        same = [
            each
            for each in movies
            if timed[each].n_samples == timed[name].n_samples
            and session.streams[each].clock == stream.clock
            and not stream.start_s
        ]
        return same[0] if len(same) == len(movies) > 0 else None
    if kind is Kind.BEHAVIOR and not timed[name].own_timing.placed:
        imaging = [each for each in timed if _kind(session, each) in (Kind.ROIS, Kind.MOVIE)]
        return imaging[-1] if imaging else None
    return None


def _leaders_first(session: Session, leaders: Mapping[str, str | None]) -> list[str]:
    ordered: list[str] = []
    waiting = list(leaders)
    while waiting:
        ready = [name for name in waiting if leaders[name] is None or leaders[name] in ordered]
        if not ready:
            place = Place(item=f"{session.subject.subject_id}/{session.session_id}")
            message = f"The streams {', '.join(waiting)} take their times from each other."
            raise IssuesError([issue("wrong-value", message, place=place, remedy="Correct timing_of.")])
        ordered += ready
        waiting = [name for name in waiting if name not in ready]
    return ordered


def _disagreement(
    session: Session, name: str, leader: str, timed: Mapping[str, TimedInterface]
) -> list[Issue]:
    place = Place(item=f"{session.subject.subject_id}/{session.session_id}")
    found = _rate_differs(place, name, leader, timed)
    if timed[name].n_samples != timed[leader].n_samples:
        message = (
            f"{name} has {timed[name].n_samples} samples for {timed[leader].n_samples} frames of {leader}."
        )
        remedy = "Give the times of this stream, or timing_of, if its samples are not those frames."
        found.append(issue("length-differs", message, place=place, remedy=remedy))
    return found


def _rate_differs(place: Place, one: str, other: str, timed: Mapping[str, TimedInterface]) -> list[Issue]:
    rates = [getattr(timed[each], "rate_hz", None) for each in (one, other)]
    if None in rates or abs(rates[0] - rates[1]) <= RATE_TOLERANCE * rates[1]:  # type: ignore[operator]
        return []
    message = f"{one} has {rates[0]:g} Hz, {other} {rates[1]:g} Hz."
    return [issue("rate-differs", message, place=place, remedy="Correct rate_hz of one of them.")]


def _joined_lengths(
    session: Session, leaders: Mapping[str, str | None], timed: Mapping[str, TimedInterface]
) -> list[Issue]:
    """Return traces without a leader whose frames are not those of all movies together."""
    movies = [name for name in timed if _kind(session, name) is Kind.MOVIE]
    place = Place(item=f"{session.subject.subject_id}/{session.session_id}")
    found: list[Issue] = []
    for name in timed:
        if _kind(session, name) is not Kind.ROIS or leaders[name] is not None or not movies:
            continue
        for movie in movies:
            found += _rate_differs(place, name, movie, timed)
        counts = {timed[movie].n_samples for movie in movies}
        total = sum(timed[movie].n_samples for movie in movies)
        if timed[name].n_samples not in {total, *counts}:
            message = f"{name} has {timed[name].n_samples} frames, the movie has {total}."
            remedy = "Leave the movie out if the traces were made from another one."
            found.append(issue("length-differs", message, place=place, remedy=remedy))
    return found
