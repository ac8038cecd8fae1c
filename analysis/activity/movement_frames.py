"""Frames that are left out for movement: all moving ones, or as many as make two windows alike.

Drugs change how much animals move, and neurons follow movement. What is left after this is compared at
like movement; what the drug does only while the animal moves is lost with it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.arrays import Arrays
from nwbswitch.analysis.reading.clocks import frame_times, frames_between
from nwbswitch.analysis.reading.movement import Movement
from nwbswitch.analysis.reading.outline import SpoiltSpans, WindowSpan
from nwbswitch.schemas.epochs import Window

Floats = NDArray[np.float64]
Spans = list[tuple[float, float]]

STILL_CM_PER_S = 1.0
"""Speed below which an animal counts as still: below what encoders and balls show of postural shifts."""
PAD_S = 1.0
"""Time around movement that counts with it: a calcium transient outlasts what caused it."""
BIN_S = 1.0
STRATA_CM_PER_S = (STILL_CM_PER_S, 2.0, 4.0, 8.0, 16.0)
"""Edges of the strata of speed within which two windows are matched."""
RUN_S = 600.0
PAIRS = ((Window.BASELINE, Window.DRUG), (Window.PSEUDO_BASELINE, Window.PSEUDO_DRUG))


def left_out_for_movement(
    movement: Movement,
    windows: Sequence[WindowSpan],
    arrays: Arrays,
    *,
    frames: Literal["still", "matched"],
    session: str,
) -> SpoiltSpans:
    """Return the spans of time that are left out.

    Parameters
    ----------
    movement
        The animal's speed.
    windows
        Analysis windows; only they are read.
    arrays
        Reads its samples.
    frames
        ``still`` leaves out all that lies within `PAD_S` of movement; ``matched`` leaves out bins of
        `BIN_S` until both windows of the pair have the same distribution of speed.
    session
        Name of the session, which with the bins alone decides which of them go.
    """
    if frames == "still":
        spans = [span for each in windows for span in _moving(movement, each, arrays)]
    else:
        spans = _unmatched(movement, windows, arrays, session)
    joined = _joined(spans)
    starts, stops = zip(*joined, strict=True) if joined else ((), ())
    return SpoiltSpans(tuple(starts), tuple(stops), movement.object_path)


def _moving(movement: Movement, window: WindowSpan, arrays: Arrays) -> Spans:
    """Return where the animal moves in a window, or where its speed is not known."""
    speed, known = _binned(movement, window.start_s - PAD_S, window.stop_s + PAD_S, arrays)
    starts = window.start_s - PAD_S + BIN_S * np.arange(speed.size)
    inside = (starts > window.start_s - BIN_S) & (starts < window.stop_s)
    moving = (~known & inside) | (speed >= STILL_CM_PER_S)
    return [(start - PAD_S, start + BIN_S + PAD_S) for start in starts[moving].tolist()]


def _unmatched(movement: Movement, windows: Sequence[WindowSpan], arrays: Arrays, session: str) -> Spans:
    """Return the bins that one window has more of than the other, stratum by stratum of speed."""
    there = {each.window for each in windows}
    pair = next((each for each in PAIRS if set(each) <= there), None)
    if pair is None:
        return []
    strata: dict[Window, NDArray[np.int64]] = {}
    starts: dict[Window, Floats] = {}
    spans: Spans = []
    for window in pair:
        parts, times = [], []
        for each in (one for one in windows if one.window is window):
            speed, known = _binned(movement, each.start_s, each.stop_s, arrays)
            bins = each.start_s + BIN_S * np.arange(speed.size)
            spans += [(start, start + BIN_S) for start in bins[~known].tolist()]
            parts.append(np.searchsorted(STRATA_CM_PER_S, speed[known], side="right"))
            times.append(bins[known])
        strata[window], starts[window] = np.concatenate(parts), np.concatenate(times)
    sizes = {window: max(each.size, 1) for window, each in strata.items()}
    for stratum in range(len(STRATA_CM_PER_S) + 1):
        counts = {window: int((strata[window] == stratum).sum()) for window in pair}
        share = min(counts[window] / sizes[window] for window in pair)
        for window in pair:
            kept = round(share * sizes[window])
            own = starts[window][strata[window] == stratum]
            rng = np.random.default_rng(zlib.crc32(f"{session}\n{window}\n{stratum}".encode()))
            gone = rng.permutation(own.size)[kept:]
            spans += [(start, start + BIN_S) for start in own[gone].tolist()]
    return spans


def _binned(
    movement: Movement, start_s: float, stop_s: float, arrays: Arrays
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the mean absolute speed in bins, shape (bins,), cm/s, and in which bins it is known."""
    n = max(1, int(np.ceil((stop_s - start_s) / BIN_S - 1e-9)))
    total, count = np.zeros(n), np.zeros(n)
    run_start = start_s
    while run_start < stop_s:
        run_stop = min(run_start + RUN_S, stop_s)
        frames = frames_between(movement.clock, arrays, run_start, run_stop)
        if frames.stop > frames.start:
            part = (frames, *(slice(0, length) for length in movement.array.shape[1:]))
            (values,) = arrays.read_many([(movement.array, part)])
            speed = np.abs(
                values.reshape(-1).astype(np.float64) * movement.cm_per_s_per_unit + movement.offset_cm_per_s
            )
            times = frame_times(movement.clock, arrays, frames)
            place = np.clip(((times - start_s) / BIN_S).astype(np.int64), 0, n - 1)
            finite = np.isfinite(speed)
            total += np.bincount(place[finite], speed[finite], minlength=n)
            count += np.bincount(place[finite], minlength=n)
        run_start = run_stop
    known = count > 0
    return np.where(known, total / np.maximum(count, 1), 0.0), known


def _joined(spans: Spans) -> Spans:
    """Return spans in order, those that touch as one."""
    found: Spans = []
    for start, stop in sorted(spans):
        if found and start <= found[-1][1] + 1e-9:
            found[-1] = (found[-1][0], max(found[-1][1], stop))
        else:
            found.append((start, stop))
    return found


def without_spans(
    start_s: Sequence[float], stop_s: Sequence[float], spoilt: SpoiltSpans
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return what is left of sorted spans of time when others are taken out."""
    starts: list[float] = []
    stops: list[float] = []
    for begin, end in zip(start_s, stop_s, strict=True):
        at = begin
        for first, last in zip(spoilt.start_s, spoilt.stop_s, strict=True):
            if last <= at or first >= end:
                continue
            if first > at:
                starts.append(at)
                stops.append(first)
            at = max(at, last)
        if at < end:
            starts.append(at)
            stops.append(end)
    return tuple(starts), tuple(stops)
