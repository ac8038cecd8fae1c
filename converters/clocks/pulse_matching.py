"""Which pulse of one system is which pulse of another, told by the intervals between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.clocks.clock_map import ClockMap
from nwbswitch.converters.clocks.line_fit import (
    MIN_SCALE_S,
    OUTLIER_MADS,
    least_squares,
    residuals,
    robust_line,
    robust_scale,
)

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

MAX_DRIFT = 0.01
"""Ceramic resonators of microcontroller boards keep 0.5 %, quartz 0.01 %; more is a wrong rate or unit."""
MIN_MATCHED = 5
"""Two pulses make a line; three more that fit it are no chance."""
AMBIGUOUS_SHARE = 0.9
"""A second assignment that explains this share of the pulses of the best one could be the true one: lost
pulses are rarely more than one in ten."""
MIN_SHARE = 0.5
"""Share of the pulses, of the train with fewer, that must have a partner while both systems recorded."""
MIN_SPAN_SHARE = 0.3
"""The same in each tenth of that time; less says that a clock jumped or stopped."""
_SPANS = 10
_MIN_IN_SPAN = 8

_FINGERPRINTS = (3, 8, 16)
_MAX_TWINS = 8
_TWIN_STEP = 1e-4
_SEEDS = (4000, 1000, 300)
_NEIGHBOURS = 3
_TRIALS = 2000
_MAX_BRUTE = 4_000_000
_SCORED = 400
_MAX_LAG = 20
_ANCHORS = 20


@dataclass(frozen=True, slots=True)
class Matching:
    """Partners of two trains and the line between their clocks."""

    map: ClockMap
    own: Rows
    """Numbers of the own pulses that have a partner, increasing."""
    reference: Rows
    """Numbers of their partners."""
    rival_share: float
    """Pulses that the second best assignment explains, as a share of those of this one."""
    broken_at_s: float | None = None
    """Reference time from which the trains no longer fit, when they stop fitting."""
    share: float = 1.0
    """Share with a partner, of the train with fewer pulses, while both systems recorded."""

    @property
    def is_unique(self) -> bool:
        """Whether no other assignment could be the true one."""
        return self.rival_share < AMBIGUOUS_SHARE

    @property
    def is_sound(self) -> bool:
        """Whether enough pulses have a partner, all along."""
        return len(self.own) >= MIN_MATCHED and self.share >= MIN_SHARE and self.broken_at_s is None


def match_by_intervals(own_s: Floats, reference_s: Floats, *, limit_s: float) -> Matching | None:
    """Return the assignment that explains most pulses, or None when there is none.

    Short stretches of pulses are recognised by the ratios of their intervals, which neither offset nor drift
    change; two of them that lie apart make a line, and the line that brings most pulses to a partner wins.
    Time is n log n.

    Parameters
    ----------
    own_s, reference_s
        Times on both clocks, in order, shapes (n,) and (m,).
    limit_s
        Largest distance of partners after alignment.
    """
    own_rows, reference_rows = _distinct(own_s), _distinct(reference_s)
    own, reference = own_s[own_rows], reference_s[reference_rows]
    if min(len(own), len(reference)) < MIN_MATCHED:
        return None
    best: Matching | None = None
    for level in range(len(_FINGERPRINTS)):
        lines = _brute_lines(own, reference) if _is_small(own, reference) else _seeded(own, reference, level)
        if len(lines):
            found = _best(own, reference, lines, limit_s)
            if found is not None and (best is None or len(found.own) > len(best.own)):
                best = found
        if _is_small(own, reference) or (best is not None and best.is_sound and best.is_unique):
            break
    if best is None:
        return None
    return Matching(
        best.map,
        own_rows[best.own],
        reference_rows[best.reference],
        best.rival_share,
        best.broken_at_s,
        best.share,
    )


def partners(
    clock_map: ClockMap, own_s: Floats, reference_s: Floats, *, within_s: float
) -> tuple[Rows, Rows]:
    """Return the numbers of pulses that are each other's nearest and at most ``within_s`` apart."""
    mapped = clock_map.apply(own_s)
    there, back = _nearest(mapped, reference_s), _nearest(reference_s, mapped)
    rows = np.arange(len(own_s))
    mutual = (back[there] == rows) & (np.abs(mapped - reference_s[there]) <= within_s)
    return np.asarray(rows[mutual]), np.asarray(there[mutual])


def _distinct(times_s: Floats) -> Rows:
    """Return the numbers of pulses that are later than the one before them."""
    return np.flatnonzero(np.concatenate([[True], np.diff(times_s) > 0]))


def _nearest(values: Floats, targets: Floats) -> Rows:
    right = np.clip(np.searchsorted(targets, values), 1, max(1, len(targets) - 1))
    left = right - 1
    right = np.minimum(right, len(targets) - 1)
    return np.where(values - targets[left] <= targets[right] - values, left, right)


def _is_small(own: Floats, reference: Floats) -> bool:
    n, m = len(own), len(reference)
    return n * (n - 1) // 2 * (m * (m - 1) // 2) <= _MAX_BRUTE


def _brute_lines(own: Floats, reference: Floats) -> Floats:
    """Return (offset, drift) of every line through two own and two reference pulses, shape (n, 2)."""
    i, k = np.triu_indices(len(own), 1)
    j, m = np.triu_indices(len(reference), 1)
    drift = (reference[m] - reference[j])[None, :] / (own[k] - own[i])[:, None] - 1
    pair, other = np.nonzero(np.abs(drift) <= MAX_DRIFT)
    slope = drift[pair, other]
    offset = reference[j[other]] - own[i[pair]] * (1 + slope)
    return np.column_stack([offset, slope])


def _seeded(own: Floats, reference: Floats, level: int) -> Floats:
    """Return lines through pairs of stretches whose intervals look alike, shape (n, 2)."""
    from scipy.spatial import cKDTree

    size = _FINGERPRINTS[level]
    own_marks, own_at = _fingerprints(own, size)
    reference_marks, reference_at = _fingerprints(reference, size)
    if not len(own_at) or not len(reference_at):
        return np.empty((0, 2))
    random = np.random.default_rng(0)
    if len(own_at) > _SEEDS[level]:
        chosen = np.sort(random.choice(len(own_at), _SEEDS[level], replace=False))
        own_marks, own_at = own_marks[chosen], own_at[chosen]
    n_neighbours = min(_NEIGHBOURS, len(reference_at))
    _, hits = cKDTree(reference_marks).query(own_marks, k=n_neighbours)
    i = np.repeat(own_at, n_neighbours)
    j = reference_at[np.reshape(hits, -1)]
    span = size + 1
    drift = (reference[j + span] - reference[j]) / (own[i + span] - own[i]) - 1
    # Over one stretch jitter adds to drift: what is clearly another scale is no match.
    alike = np.abs(drift) <= 5 * MAX_DRIFT
    i, j = i[alike], j[alike]
    if not len(i):
        return np.empty((0, 2))
    first, second = random.integers(0, len(i), (2, 20 * _TRIALS))
    apart = own[i[second]] - own[i[first]]
    useful = np.abs(apart) > 0
    first, second, apart = first[useful], second[useful], apart[useful]
    slope = (reference[j[second]] - reference[j[first]]) / apart - 1
    kept = np.flatnonzero(np.abs(slope) <= MAX_DRIFT)[:_TRIALS]
    offset = reference[j[first[kept]]] - own[i[first[kept]]] * (1 + slope[kept])
    return np.column_stack([offset, slope[kept]])


def _fingerprints(times_s: Floats, size: int) -> tuple[Floats, Rows]:
    """Return the logarithms of ``size`` ratios of successive intervals, and the pulse each begins at.

    Stretches that look the same in many places, as all do in regular pulses, tell nothing and are left out.
    """
    if len(times_s) < size + 2:
        return np.empty((0, size)), np.empty(0, dtype=np.int64)
    ratios = np.diff(np.log(np.diff(times_s)))
    marks = np.lib.stride_tricks.sliding_window_view(ratios, size)
    weights = np.random.default_rng(1).integers(1, 1 << 62, size, dtype=np.int64)
    keys = (np.round(marks / _TWIN_STEP).astype(np.int64) * weights).sum(axis=1)
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    rare = np.flatnonzero(counts[inverse] <= _MAX_TWINS)
    return np.ascontiguousarray(marks[rare]), rare


def _best(own: Floats, reference: Floats, lines: Floats, limit_s: float) -> Matching | None:
    """Return the line with most partners, made better by them, and how close the next one comes."""
    first_s = min(limit_s, 0.1 * float(max(np.median(np.diff(own)), np.median(np.diff(reference)))))
    sample = own if len(own) <= _SCORED else own[np.linspace(0, len(own) - 1, _SCORED).astype(int)]
    scores = _scores(sample, reference, lines, first_s)
    refined: Matching | None = None
    for row in np.argsort(-scores, kind="stable")[:3]:
        found = _refined(own, reference, ClockMap(*lines[row]), first_s, limit_s)
        if found is not None and (refined is None or len(found.own) > len(refined.own)):
            refined = found
    if refined is None:
        return None
    left = residuals(refined.map, own[refined.own], reference[refined.reference])
    tight_s = min(first_s, OUTLIER_MADS * max(robust_scale(left), MIN_SCALE_S))
    rival = _rival(own, reference, refined, lines, tight_s)
    share, broken_at_s = _coverage(own, reference, refined)
    return Matching(refined.map, refined.own, refined.reference, rival, broken_at_s, share)


def _scores(sample: Floats, reference: Floats, lines: Floats, within_s: float) -> Floats:
    """Return how many of the sampled pulses each line brings to within ``within_s`` of a reference pulse."""
    scores = np.zeros(len(lines))
    step = max(1, 2_000_000 // max(1, len(sample)))
    for start in range(0, len(lines), step):
        some = lines[start : start + step]
        mapped = sample[None, :] * (1 + some[:, 1:]) + some[:, :1]
        distance = np.abs(mapped - reference[_nearest(mapped, reference)])
        scores[start : start + step] = (distance <= within_s).sum(axis=1)
    return scores


def _refined(
    own: Floats, reference: Floats, line: ClockMap, first_s: float, limit_s: float
) -> Matching | None:
    """Return the matching that follows from a first line by fitting and matching again."""
    within_s = first_s
    rows, others = partners(line, own, reference, within_s=within_s)
    for _ in range(8):
        if len(rows) < MIN_MATCHED:
            return None
        line = robust_line(own[rows], reference[others])
        if not abs(line.drift) <= MAX_DRIFT:
            return None
        left = residuals(line, own[rows], reference[others])
        within_s = min(first_s, OUTLIER_MADS * max(robust_scale(left), MIN_SCALE_S))
        now = partners(line, own, reference, within_s=within_s)
        same = len(now[0]) == len(rows) and bool((now[0] == rows).all() and (now[1] == others).all())
        rows, others = now
        if same:
            break
    if len(rows) < MIN_MATCHED:
        return None
    line = least_squares(own[rows], reference[others])
    rows, others = partners(line, own, reference, within_s=limit_s)
    return Matching(line, rows, others, 0.0)


def _rival(own: Floats, reference: Floats, best: Matching, lines: Floats, within_s: float) -> float:
    """Return how many pulses the best other line explains, as a share of those that the best one does."""
    random = np.random.default_rng(2)
    chosen = random.choice(len(best.own), min(_SCORED, len(best.own)), replace=False)
    sample = own[np.sort(best.own[chosen])]
    anchors = random.choice(len(best.own), min(_ANCHORS, len(best.own)), replace=False)
    lags = np.concatenate([np.arange(-_MAX_LAG, 0), np.arange(1, _MAX_LAG + 1)])
    target = best.reference[anchors][:, None] + lags
    inside = (target >= 0) & (target < len(reference))
    shift = (reference[np.clip(target, 0, len(reference) - 1)] - reference[best.reference[anchors]][:, None])[
        inside
    ]
    others = np.column_stack([best.map.offset_s + shift, np.full(len(shift), best.map.drift)])
    candidates = np.concatenate([others, lines])
    middle = float(np.median(sample))
    away = np.abs(middle * (1 + candidates[:, 1]) + candidates[:, 0] - best.map.apply_one(middle))
    candidates = candidates[away > 2 * within_s]
    if not len(candidates):
        return 0.0
    own_score = _scores(sample, reference, np.array([[best.map.offset_s, best.map.drift]]), within_s)[0]
    return float(_scores(sample, reference, candidates, within_s).max() / max(own_score, 1))


def _coverage(own: Floats, reference: Floats, found: Matching) -> tuple[float, float | None]:
    """Return the share with a partner while both recorded, and when the trains stop fitting, if they do."""
    mapped = found.map.apply(own)
    start, stop = max(mapped[0], reference[0]), min(mapped[-1], reference[-1])
    edges = np.linspace(start, stop, _SPANS + 1)
    edges[0], edges[-1] = edges[0] - 1e-3, edges[-1] + 1e-3
    matched = np.histogram(reference[found.reference], edges)[0]
    fewer = np.minimum(np.histogram(mapped, edges)[0], np.histogram(reference, edges)[0])
    share = float(matched.sum() / max(1, fewer.sum()))
    broken = np.flatnonzero((fewer >= _MIN_IN_SPAN) & (matched < MIN_SPAN_SHARE * fewer))
    return share, float(edges[broken[0]]) if broken.size else None
