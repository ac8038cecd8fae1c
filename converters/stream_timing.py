"""Streams on the session clock: by their own clocks, or by the frames of the stream they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from nwbswitch.converters.clocks.frame_counter import CounterSource, counter_times
from nwbswitch.converters.clocks.session_clocks import ResolvedClock, frame_timing, resolve_clocks
from nwbswitch.converters.frame_rate import RATE_TOLERANCE
from nwbswitch.converters.imaging.joined_movie import JoinedMovie
from nwbswitch.converters.registry import READERS, Kind
from nwbswitch.converters.segmentation.roi_interface import RoiInterface
from nwbswitch.converters.timed_interface import TimedInterface
from nwbswitch.converters.timing import Timing
from nwbswitch.schemas.clock_table import ClockQuality
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.stream_base import RowStream, StreamBase
from nwbswitch.schemas.study import Session


def place_in_time(session: Session, interfaces: Mapping[str, object]) -> list[ClockQuality]:
    """Align every stream with the session clock, and return how well each is.

    A stream follows, frame by frame, the one it names as timing_of; traces without one follow the movie they
    were made from when it is on the same clock, or all movies one after the other when they have as many
    frames, and rows without times the only imaging. Others have pulses for their samples, or a clock.

    Raises
    ------
    IssuesError
        Streams that contradict each other in number of frames or rate, or a clock that is not described.
    """
    timed = {name: each for name, each in interfaces.items() if isinstance(each, TimedInterface)}
    clocks = resolve_clocks(session.clocks)
    leaders = {name: _leader(session, name, timed) for name in timed}
    found: list[Issue] = []
    rows: dict[str, ClockQuality] = {}
    for name in _leaders_first(session, leaders):
        stream, interface, leader = session.streams[name], timed[name], leaders[name]
        if leader is not None and interface.frame_numbers is not None:
            timed[leader].require_times()
            rows[name] = _follow_counter(name, interface, timed[leader], stream, rows[leader])
        elif leader is not None:
            found += _disagreement(session, name, leader, timed)
            if interface.n_samples == timed[leader].n_samples:
                interface.follow(timed[leader].timing)
            rows[name] = replace(rows[leader], stream=name)
        elif _is_all_movies(session, name, timed):
            movies = _movies(session, timed)
            interface.follow(_joined([timed[each].timing for each in movies]))
            rows[name] = replace(rows[movies[0]], stream=name, n_frames=interface.n_samples)
        elif isinstance(stream, RowStream) and stream.frame_times is not None:
            rate_hz = getattr(interface, "rate_hz", None)
            frames, rows[name] = frame_timing(
                stream.frame_times,
                clocks,
                stream=name,
                n_frames=interface.n_samples,
                nominal_rate_hz=rate_hz,
            )
            interface.follow(Timing.of_times(frames.times_s))
        else:
            clock = _clock(session, clocks, stream.clock)
            interface.align(clock.map)
            rows[name] = clock.quality(name, n_frames=interface.n_samples)
    found += _joined_lengths(session, leaders, timed)
    if found:
        raise IssuesError(found)
    for interface in timed.values():
        interface.require_times()
    return list(rows.values())


def _clock(session: Session, clocks: Mapping[str, ResolvedClock], name: str) -> ResolvedClock:
    if name in clocks:
        return clocks[name]
    place = Place(item=f"{session.session_id}.clocks")
    remedy = "Add it under clocks with its offset_s."
    raise IssuesError(
        [issue("unknown-word", f"The clock {name!r} is not described.", place=place, remedy=remedy)]
    )


def _follow_counter(
    name: str, interface: TimedInterface, leader: TimedInterface, stream: StreamBase, frames: ClockQuality
) -> ClockQuality:
    """Place samples by the frames they name, and return the row of the clock table."""
    column = getattr(stream, "frame_column", None) or ""
    counted = counter_times(
        interface.frame_numbers if interface.frame_numbers is not None else (),
        leader.timing.times_s(),
        first_frame=interface.first_frame,
        source=CounterSource(interface.source_path, column, interface.frame_lines),
    )
    interface.follow_counter(counted.times_s, counted.kept)
    return counted.quality(name, frames)


def _kind(session: Session, name: str) -> Kind:
    return READERS[session.streams[name].format].kind


def _leader(session: Session, name: str, timed: Mapping[str, TimedInterface]) -> str | None:
    """Return the stream whose frames are the samples of this one; None when it has times of its own."""
    stream = session.streams[name]
    if isinstance(stream, RowStream) and (stream.timing_of is not None or stream.frame_times is not None):
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
        # Traces have the times of the movie they were made from; of two recordings none is guessed.
        roots = [each for each in imaging if _leader(session, each, timed) is None]
        return roots[0] if len(roots) == 1 else None
    return None


def _movies(session: Session, timed: Mapping[str, TimedInterface]) -> list[str]:
    """Return the movies in the order in which they began."""
    found = [each for each in timed if _kind(session, each) is Kind.MOVIE]
    return sorted(found, key=lambda each: timed[each].timing.first_s)


def _is_all_movies(session: Session, name: str, timed: Mapping[str, TimedInterface]) -> bool:
    """Whether traces were made from several movies that follow each other, taken as one."""
    stream = session.streams[name]
    if _kind(session, name) is not Kind.ROIS or stream.start_s or getattr(stream, "frame_times", None):
        return False
    movies = [timed[each] for each in _movies(session, timed)]
    ends = [each.timing.times_s()[-1] for each in movies if each.timing.placed]
    starts = [each.timing.first_s for each in movies]
    return (
        1 < len(movies) == len(ends)
        and sum(each.n_samples for each in movies) == timed[name].n_samples
        and all(start > end for end, start in zip(ends, starts[1:], strict=False))
    )


def _joined(timings: Sequence[Timing]) -> Timing:
    return Timing.of_times(np.concatenate([each.times_s() for each in timings]))


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
    return found + _runs_differ(place, name, leader, timed)


def _rate_differs(place: Place, one: str, other: str, timed: Mapping[str, TimedInterface]) -> list[Issue]:
    rates = [getattr(timed[each], "rate_hz", None) for each in (one, other)]
    if None in rates or abs(rates[0] - rates[1]) <= RATE_TOLERANCE * rates[1]:  # type: ignore[operator]
        return []
    notes = [each.rois.rate_note for each in (timed[one], timed[other]) if isinstance(each, RoiInterface)]
    message = " ".join([f"{one} has {rates[0]:g} Hz, {other} {rates[1]:g} Hz.", *filter(None, notes)])
    return [issue("rate-differs", message, place=place, remedy="Correct rate_hz of one of them.")]


def _runs_differ(place: Place, name: str, leader: str, timed: Mapping[str, TimedInterface]) -> list[Issue]:
    """Return a finding when traces were made from runs of other lengths than those of the movie."""
    traces, movie = timed[name], getattr(timed[leader], "movie", None)
    if not isinstance(traces, RoiInterface) or not isinstance(movie, JoinedMovie):
        return []
    counts = [each.shape.n_frames for each in movie.movies]
    stated = traces.rois.contradicts_runs(counts)
    if stated is None:
        return []
    message = f"{name} was made from files of {list(stated)} frames, those of {leader} have {counts}."
    remedy = "Give the files of the movie in the order in which the traces were made from them."
    return [issue("length-differs", message, place=place, remedy=remedy)]


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
        alike = [timed[movie].timing for movie in movies if timed[movie].n_samples == timed[name].n_samples]
        if alike and not any(_is_together(timed[name].timing, each) for each in alike):
            begins = f"{timed[name].timing.first_s:g} s, the movie at {alike[0].first_s:g} s"
            message = f"{name} has as many frames as the movie and other times: it begins at {begins}."
            remedy = "Give both the same clock and start_s, or name the movie as timing_of of the traces."
            found.append(issue("wrong-value", message, place=place, remedy=remedy))
        if timed[name].n_samples not in {total, *counts}:
            message = f"{name} has {timed[name].n_samples} frames, the movie has {total}."
            remedy = "Leave the movie out if the traces were made from another one."
            found.append(issue("length-differs", message, place=place, remedy=remedy))
    return found


def _is_together(one: Timing, other: Timing) -> bool:
    """Whether two timings of as many frames differ by less than half a frame at both ends."""
    half_s = 0.5 * (other.end_s - other.first_s) / max(other.n, 1)
    return abs(one.first_s - other.first_s) <= half_s and abs(one.end_s - other.end_s) <= half_s
