"""Which pulse of one system is which pulse of another, told by the intervals between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
MAX_CHANCE = 1e-3
"""Expected number of assignments of unrelated pulses that fit as well; more is no evidence."""
MAX_SPREAD = 0.5
"""Robust standard deviation of the residuals as a share of the distance searched; residuals that are spread
evenly, as those of pulses that are no partners, have 0.74."""
CHANCE = 1e-6
"""Recordings in which losses by chance may make as long a run of pulses without partners as is taken for a
clock that jumped."""
MIN_RUN = 8
"""Shortest such run: fewer are lost at once when a program hangs."""
SAME_WITHIN_S = 1e-3
"""Partners this close are partners, however well the others agree: many systems store whole milliseconds."""
CLEARLY_BETTER = 3.0
"""How many times the jitter of the best assignment another one must have not to count as a rival: estimates
from 20 pulses each differ that much by chance once in 100,000 times (F distribution)."""
MIN_COMPARED = 20
"""Pulses from which jitter is compared."""

_FINGERPRINTS = (3, 8, 16)
_MAX_TWINS = 8
_TWIN_STEP = 1e-4
_SEEDS = (4000, 1000, 300)
_NEIGHBOURS = 3
_TRIALS = 2000
_MAX_BRUTE = 4_000_000
_SCORED = 400
_MAX_LAG = 20
_RIVALS = 40
_ANCHORS = 20


@dataclass(frozen=True, slots=True)
class Matching:
    """Partners of two trains and the line between their clocks."""

    map: ClockMap
    own: Rows
    """Numbers of the own pulses that have a partner, increasing."""
    reference: Rows
    """Numbers of their partners."""
    rival_share: float = 0.0
    """Pulses that another assignment explains as well, as a share of those of this one."""
    broken_at_s: float | None = None
    """Reference time from which the trains no longer fit, when they stop fitting."""
    share: float = 1.0
    """Share with a partner, of the train with fewer pulses, while both systems recorded."""
    spread: float = 0.0
    """Robust standard deviation of the residuals as a share of the distance searched."""
    chance: float = 0.0
    """Expected number of assignments of unrelated pulses in which as many have a partner."""

    @property
    def is_unique(self) -> bool:
        """Whether no other assignment could be the true one."""
        return self.rival_share < AMBIGUOUS_SHARE

    @property
    def is_sound(self) -> bool:
        """Whether enough pulses have a partner, all along."""
        enough = len(self.own) >= MIN_MATCHED and self.share >= MIN_SHARE
        sharp = self.spread <= MAX_SPREAD and self.chance <= MAX_CHANCE
        return enough and sharp and self.broken_at_s is None


def match_by_intervals(
    own_s: Floats, reference_s: Floats, *, limit_s: float, thorough: bool = True
) -> Matching | None:
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
    thorough
        Try longer stretches where short ones do not decide, as for bar codes.
    """
    own_rows, reference_rows = _distinct(own_s), _distinct(reference_s)
    own, reference = own_s[own_rows], reference_s[reference_rows]
    if min(len(own), len(reference)) < MIN_MATCHED:
        return None
    best: Matching | None = None
    for level in range(len(_FINGERPRINTS) if thorough else 1):
        lines = _brute_lines(own, reference) if _is_small(own, reference) else _seeded(own, reference, level)
        if len(lines):
            found = _best(own, reference, lines, limit_s)
            if found is not None and (best is None or len(found.own) > len(best.own)):
                best = found
        if _is_small(own, reference) or (best is not None and best.is_sound and best.is_unique):
            break
    if best is None:
        return None
    return replace(best, own=own_rows[best.own], reference=reference_rows[best.reference])


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
    interval_s = float(max(np.median(np.diff(own)), np.median(np.diff(reference))))
    first_s, same_s = min(limit_s, 0.1 * interval_s), min(limit_s, SAME_WITHIN_S, 0.05 * interval_s)
    sample = own if len(own) <= _SCORED else own[np.linspace(0, len(own) - 1, _SCORED).astype(int)]
    scores = _scores(sample, reference, lines, first_s)
    refined: Matching | None = None
    for row in np.argsort(-scores, kind="stable")[:3]:
        found = _refined(own, reference, ClockMap(*lines[row]), first_s, same_s)
        if found is not None and (refined is None or len(found.own) > len(refined.own)):
            refined = found
    if refined is None:
        return None
    left = residuals(refined.map, own[refined.own], reference[refined.reference])
    tight_s = _tight(left, first_s, same_s)
    share, broken_at_s = _coverage(own, reference, refined)
    return replace(
        refined,
        rival_share=_rival(own, reference, refined, lines, tight_s),
        broken_at_s=broken_at_s,
        share=share,
        spread=robust_scale(left) / first_s,
        chance=_chance(own, reference, refined, tight_s),
    )


def _tight(left: Floats, first_s: float, same_s: float) -> float:
    """Return how far partners may be apart, given the residuals of those found so far."""
    return max(same_s, min(first_s, OUTLIER_MADS * robust_scale(left)))


def _scores(sample: Floats, reference: Floats, lines: Floats, within_s: float) -> Floats:
    """Return how many of the sampled pulses each line brings to within ``within_s`` of a reference pulse."""
    scores = np.zeros(len(lines))
    step = max(1, 2_000_000 // max(1, len(sample)))
    for start in range(0, len(lines), step):
        some = lines[start : start + step]
        distance = np.abs(_from_nearest(sample, reference, some))
        scores[start : start + step] = (distance <= within_s).sum(axis=1)
    return scores


def _refined(
    own: Floats, reference: Floats, line: ClockMap, first_s: float, same_s: float
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
        within_s = _tight(residuals(line, own[rows], reference[others]), first_s, same_s)
        now = partners(line, own, reference, within_s=within_s)
        same = len(now[0]) == len(rows) and bool((now[0] == rows).all() and (now[1] == others).all())
        rows, others = now
        if same:
            break
    if len(rows) < MIN_MATCHED:
        return None
    return Matching(least_squares(own[rows], reference[others]), rows, others)


def _rival(own: Floats, reference: Floats, best: Matching, lines: Floats, within_s: float) -> float:
    """Return how many pulses another line explains as well, as a share of those that the best one does."""
    random = np.random.default_rng(2)
    # All pulses between the first and the last partner, not the partners alone: another line has others.
    between = np.arange(best.own[0], best.own[-1] + 1)
    sample = own[np.sort(random.choice(between, min(_SCORED, len(between)), replace=False))]
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
    # The likeliest ones are brought to where they fit best before they are judged.
    likely = np.argsort(-_scores(sample, reference, candidates, within_s), kind="stable")[:_RIVALS]
    candidates = candidates[likely]
    for _ in range(3):
        left = _from_nearest(sample, reference, candidates)
        near = np.where(np.abs(left) <= 2 * within_s, left, np.nan)
        known = np.isfinite(near).any(axis=1)
        candidates[known, 0] -= np.nanmedian(near[known], axis=1)
    this = np.array([[best.map.offset_s, best.map.drift]])
    shares = _scores(sample, reference, candidates, within_s) / max(
        _scores(sample, reference, this, within_s)[0], 1
    )
    close = shares >= AMBIGUOUS_SHARE
    if close.any() and len(sample) >= MIN_COMPARED:
        worse = _distances(sample, reference, candidates[close]) > CLEARLY_BETTER * max(
            _distances(sample, reference, this)[0], MIN_SCALE_S
        )
        shares[np.flatnonzero(close)[worse]] = 0.0
    return float(shares.max())


def _distances(sample: Floats, reference: Floats, lines: Floats) -> Floats:
    """Return the median distance to the nearest reference pulse under each line, s."""
    return np.asarray(np.median(np.abs(_from_nearest(sample, reference, lines)), axis=1))


def _from_nearest(sample: Floats, reference: Floats, lines: Floats) -> Floats:
    """Return how much later than the nearest reference pulse each line puts each pulse, (lines, pulses)."""
    mapped = sample[None, :] * (1 + lines[:, 1:]) + lines[:, :1]
    return np.asarray(mapped - reference[_nearest(mapped, reference)])


def _chance(own: Floats, reference: Floats, found: Matching, within_s: float) -> float:
    """Return how many lines bring as many pulses to a partner when the trains are unrelated.

    Two pairs within the largest drift make a line. Each other pulse then has a partner with the probability
    of the share of time that lies within the distance searched of one, independently (binomial tail).
    """
    from scipy.stats import binom

    n_own, n_reference = len(own), len(reference)
    span_s, density_hz = own[-1] - own[0], (n_reference - 1) / (reference[-1] - reference[0])
    second = min(float(n_reference), max(1.0, 2 * MAX_DRIFT * span_s * density_hz))
    n_lines = 0.5 * n_own * (n_own - 1) * n_reference * second
    n_between = int(found.own[-1] - found.own[0]) + 1
    hit = min(1.0, 2 * within_s * density_hz)
    return float(n_lines * binom.sf(len(found.own) - 3, n_between - 2, hit))


def _coverage(own: Floats, reference: Floats, found: Matching) -> tuple[float, float | None]:
    """Return the share with a partner while both recorded, and when the trains stop fitting, if they do."""
    mapped = found.map.apply(own)
    start_s, stop_s = max(mapped[0], reference[0]) - 1e-3, min(mapped[-1], reference[-1]) + 1e-3
    both = np.flatnonzero((mapped >= start_s) & (mapped <= stop_s))
    n_reference = int(((reference >= start_s) & (reference <= stop_s)).sum())
    share = len(found.own) / max(1, min(len(both), n_reference))
    lonely = np.ones(len(own), dtype=bool)
    lonely[found.own] = False
    lonely = lonely[both]
    if not lonely.any():
        return share, None
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lonely, [False]])))
    first, last = both[edges[::2]], both[edges[1::2] - 1]
    length = max(MIN_RUN, np.log(CHANCE / len(both)) / np.log(lonely.mean())) if not lonely.all() else 0
    # Where one system did not record there is nothing to fit.
    there = np.searchsorted(reference, mapped[last], "right") - np.searchsorted(reference, mapped[first])
    broken = np.flatnonzero((last - first + 1 >= length) & (there >= length / 2))
    return share, float(mapped[first[broken[0]]]) if broken.size else None
