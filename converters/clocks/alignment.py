"""Two clocks aligned by pulses that both systems saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.clocks.clock_map import ClockMap
from nwbswitch.converters.clocks.line_fit import MIN_SCALE_S, residuals, robust_line, robust_scale
from nwbswitch.converters.clocks.pulse_matching import (
    CLEARLY_BETTER,
    MAX_CHANCE,
    MAX_DRIFT,
    MAX_SPREAD,
    MIN_COMPARED,
    MIN_MATCHED,
    MIN_RUN,
    Matching,
    match_by_intervals,
)
from nwbswitch.converters.clocks.pulses import PulseTrain
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import issue
from nwbswitch.schemas.study_clocks import Surplus

Floats = NDArray[np.float64]

_SHIFTED = 2000
_PART = 0.2

MAX_RESIDUAL_MS = 20.0
"""Hardware clocks agree within 1 ms, time stamps of Windows programs come in steps of 15.6 ms; a pulse
further away than this is another pulse."""
MAX_RESIDUAL_INTERVALS = 0.25
"""Nor may a pulse be further from its partner than this share of the interval: its neighbour could be
meant."""
MAX_OUTLIERS = 0.01
"""Share of pulses that may be mistimed where trains of equal number are taken one by one."""
MAX_SHIFT = 5
"""Pulses by which trains of equal number are shifted against each other to see whether that fits better."""
REGULAR_WITHIN = 0.02
"""Intervals within this share of their median are alike: pulses of a frame clock or a metronome."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """How one clock leads to another, and how well the pulses agree."""

    map: ClockMap
    n_matched: int
    n_unmatched_own: int
    n_unmatched_reference: int
    jitter_ms: float
    """Standard deviation of the residuals of partners, ms; NaN below three pulses."""
    max_residual_ms: float
    """Largest residual of partners, ms; NaN below three pulses."""
    interval_ms: float
    """Median interval of the own pulses, ms; NaN for a single one."""
    n_missed: int = 0
    """Pulses of either system without a partner while both recorded."""
    n_dropped: int = 0
    """Frames whose pulse was lost; for frame pulses only."""

    @property
    def offset_s(self) -> float:
        """Reference time at which the own clock reads zero, s."""
        return self.map.offset_s

    @property
    def drift_ppm(self) -> float:
        """Drift of the own clock, parts per million."""
        return self.map.drift_ppm

    @property
    def n_unmatched(self) -> int:
        """Pulses of either system without a partner."""
        return self.n_unmatched_own + self.n_unmatched_reference


def align_pulses(
    own: PulseTrain,
    reference: PulseTrain,
    *,
    extra: Surplus = "none",
    max_residual_ms: float = MAX_RESIDUAL_MS,
) -> Alignment:
    """Return the line from one clock to another through the pulses that both systems saw.

    Trains of equal number are taken one by one when they then fit a line; one pulse gives the offset alone.
    Else partners are found by their intervals, which must tell them apart. Nothing is guessed: regular pulses
    of unequal number are refused unless ``extra`` says where the surplus is.

    Parameters
    ----------
    own, reference
        The pulses as each system timed them.
    extra
        End at which one train may go on longer than the other: none, before, after.
    max_residual_ms
        Largest distance of partners after alignment.

    Raises
    ------
    IssuesError
        ``pulses-differ``: with the counts, what was found, and what to do.
    """
    a, b = own.times_s, reference.times_s
    if not len(a) or not len(b):
        _refuse(own, reference, "One of the systems saw none.", "Look at threshold, edge and channel.")
    limit_s = max_residual_ms / 1000
    n = min(len(a), len(b))
    aligned = None
    if len(a) == len(b):
        aligned = _one_by_one(a, b, limit_s)
    elif extra != "none":
        aligned = _one_by_one(*((a[:n], b[:n]) if extra == "after" else (a[-n:], b[-n:])), limit_s)
    if aligned is None:
        aligned = _by_intervals(own, reference, limit_s)
    line, rows, others = aligned
    return _result(line, a, b, rows, others)


Found = tuple[ClockMap, Floats, Floats]


def _one_by_one(own_s: Floats, reference_s: Floats, limit_s: float) -> Found | None:
    """Return the line and the partners when pulses of the same number fit each other."""
    line = robust_line(own_s, reference_s)
    if abs(line.drift) > MAX_DRIFT:
        return None
    if len(own_s) < 3:
        return line, own_s, reference_s
    interval_s = float(np.median(np.diff(reference_s)))
    close = np.abs(residuals(line, own_s, reference_s)) <= min(limit_s, MAX_RESIDUAL_INTERVALS * interval_s)
    far = np.flatnonzero(~close)
    in_a_row = len(far) >= MIN_RUN and bool((far[MIN_RUN - 1 :] - far[: 1 - MIN_RUN] == MIN_RUN - 1).any())
    if len(far) > MAX_OUTLIERS * len(own_s) or in_a_row:
        return None
    if _fits_better_shifted(own_s, reference_s, line):
        return None
    return line, own_s[close], reference_s[close]


def _fits_better_shifted(own_s: Floats, reference_s: Floats, line: ClockMap) -> bool:
    """Return whether the trains fit far better with one of them some pulses later.

    So it is when each system missed pulses at another end and the intervals still tell pulses apart.
    """
    if len(own_s) < MIN_COMPARED + MAX_SHIFT:
        return False
    own, reference = own_s[:_SHIFTED], reference_s[:_SHIFTED]
    here = max(robust_scale(residuals(line, own, reference)), MIN_SCALE_S)
    for shift in range(1, MAX_SHIFT + 1):
        for a, b in ((own[shift:], reference[:-shift]), (own[:-shift], reference[shift:])):
            if robust_scale(residuals(robust_line(a, b), a, b)) < here / CLEARLY_BETTER:
                return True
    return False


def _by_intervals(own: PulseTrain, reference: PulseTrain, limit_s: float) -> Found:
    a, b = own.times_s, reference.times_s
    if min(len(a), len(b)) < MIN_MATCHED:
        problem = f"Fewer than {MIN_MATCHED} are aligned only when both have as many and they fit."
        remedy = "Look at threshold, edge and channel, or cut one of the trains with extra: before or after."
        _refuse(own, reference, problem, remedy)
    regular = is_regular(a) and is_regular(b)
    found = match_by_intervals(a, b, limit_s=limit_s, thorough=not regular)
    if found is None or not (found.is_sound and found.is_unique):
        _refuse(own, reference, *_why_not(found, regular=regular))
    return found.map, a[found.own], b[found.reference]


def _why_not(found: Matching | None, *, regular: bool) -> tuple[str, str]:
    """Return why an assignment is not taken, and what to do."""
    if regular:
        return (
            "They come regularly, so that their intervals do not tell which pulse is missing or too many.",
            "Cut one of the trains, say with extra: before or after where the surplus is, or correct "
            "threshold, hysteresis and min_interval_s.",
        )
    if found is None:
        return (
            "No stretch of intervals is found in both.",
            "Check that both are the same line, the same edge, and in s (scale, rate_hz).",
        )
    if found.chance > MAX_CHANCE or found.spread > MAX_SPREAD or found.share < _PART:
        return (
            f"{len(found.own)} fit each other at most, which unrelated pulses may as well.",
            "Check that both are the same line and the same edge, with the right rate_hz or scale.",
        )
    if not found.is_unique:
        return (
            f"{len(found.own)} pulses fit each other, but another assignment explains "
            f"{100 * found.rival_share:.0f} % as many.",
            "Give pulses with irregular intervals, or say with extra where the surplus is.",
        )
    if found.broken_at_s is not None:
        return (
            f"{len(found.own)} pulses fit each other, but those from {found.broken_at_s:.3f} s of the "
            "reference on do not: one of the clocks jumped or stopped.",
            "Make a session of each part.",
        )
    return (
        f"Only {len(found.own)} of them fit each other.",
        "Check that both are the same line and the same edge; give min_interval_s if contacts bounced.",
    )


def is_regular(times_s: Floats) -> bool:
    """Return whether nine of ten intervals are alike."""
    steps = np.diff(times_s)
    if len(steps) < 2:
        return True
    middle = float(np.median(steps))
    return bool((np.abs(steps - middle) <= REGULAR_WITHIN * middle).mean() >= 0.9)


def _result(line: ClockMap, a: Floats, b: Floats, rows: Floats, others: Floats) -> Alignment:
    left = residuals(line, rows, others)
    few = len(rows) < 3
    mapped, edge_s = line.apply(a), max(float(np.abs(left).max()), MIN_SCALE_S)
    start_s, stop_s = max(mapped[0], b[0]) - edge_s, min(mapped[-1], b[-1]) + edge_s
    shared = sum(int(((each >= start_s) & (each <= stop_s)).sum()) for each in (mapped, b))
    return Alignment(
        map=line,
        n_matched=len(rows),
        n_unmatched_own=len(a) - len(rows),
        n_unmatched_reference=len(b) - len(rows),
        jitter_ms=float("nan") if few else float(1000 * left.std(ddof=2)),
        max_residual_ms=float("nan") if few else float(1000 * np.abs(left).max()),
        interval_ms=float(1000 * np.median(np.diff(a))) if len(a) > 1 else float("nan"),
        n_missed=shared - 2 * len(rows),
    )


def _refuse(own: PulseTrain, reference: PulseTrain, problem: str, remedy: str) -> NoReturn:
    a, b = own.times_s, reference.times_s
    message = f"It holds {_extent(a)}, {reference.place} {_extent(b)}. {problem}"
    raise IssuesError([issue("pulses-differ", message, place=own.place, remedy=remedy)])


def _extent(times_s: Floats) -> str:
    return f"{len(times_s)} pulses in {times_s[-1] - times_s[0]:.6g} s" if len(times_s) else "no pulses"
