"""Sums per animal, and the sampling variance of an animal's own estimate.

The variance within an animal is a delete-a-group jackknife over neurons, by tracking id so that a neuron
followed over sessions leaves all of them at once; that of rho* has beside it a jackknife over blocks of
time, which leaves one block of each window out. With at most `MAX_GROUPS` neurons each group is one neuron.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.estimands.counts import (
    Contrast,
    Floats,
    HalfCounts,
    SessionCounts,
    by_animal,
    comparable,
    half_counts,
    halves,
)
from nwbswitch.analysis.estimands.primary import (
    Key,
    Layout,
    contrast_sums,
    covariance_sums,
    evaluate,
    keys,
    pair_sums,
    state_correlation,
)

MAX_GROUPS = 100


@dataclass(frozen=True, slots=True)
class AnimalSums:
    """Sums of one contrast in one arm, one row per animal.

    Attributes
    ----------
    animals
        Names, sorted.
    sums
        Shape (animals, layout.size).
    n_sessions
        Sessions of each animal.
    neurons
        Tracking ids of each animal's neurons.
    n_left_out
        Neurons without exposure in both halves of both windows, over all animals.
    """

    animals: tuple[str, ...]
    sums: Floats
    layout: Layout
    n_sessions: tuple[int, ...]
    neurons: tuple[frozenset[str], ...]
    n_left_out: int

    def rows(self, animals: Sequence[str]) -> Floats:
        """Return the sums of these animals as one part, shape (animals, 1, layout.size)."""
        return self.sums[[self.animals.index(name) for name in animals]][:, None]


def animal_sums(
    sessions: Sequence[SessionCounts], contrast: Contrast, layout: Layout, *, seed: int = 0
) -> AnimalSums | None:
    """Return the sums of all animals that have both windows of the contrast; None when none has.

    The random ties of a session depend on the seed and the names of animal, session and contrast only,
    so that no result depends on the order or the number of sessions.
    """
    names, rows, n_sessions, neurons, left_out = [], [], [], [], 0
    for animal, own in by_animal(sessions).items():
        found: list[Floats] = []
        seen: set[str] = set()
        for session in own:
            counts = half_counts(session, contrast)
            if counts is None:
                left_out += session.identity.size
                continue
            before, after, chosen = counts
            key = zlib.crc32(f"{animal}\n{session.session}\n{contrast.name}".encode())
            found.append(contrast_sums(before, after, layout, np.random.default_rng([seed, key])))
            seen.update(session.identity[chosen].tolist())
            left_out += int((~chosen).sum())
        if found:
            names.append(animal)
            rows.append(np.sum(found, axis=0))
            n_sessions.append(len(found))
            neurons.append(frozenset(seen))
    if not names:
        return None
    return AnimalSums(tuple(names), np.stack(rows), layout, tuple(n_sessions), tuple(neurons), left_out)


def detection_limits(sessions: Sequence[SessionCounts], contrast: Contrast) -> tuple[int, ...]:
    """Return the sweep of detection limits k for tau_c.

    From the fewest events of any ROI in both windows, which is where a sharp limit of an activity-based
    detection shows, in even steps of the logarithm to twice that or the median ROI, whichever is more,
    so that a soft limit is left behind before the sweep ends.
    """
    totals = []
    for session in sessions:
        counts = half_counts(session, contrast)
        if counts is not None:
            totals.append(counts[0].events.sum(axis=1) + counts[1].events.sum(axis=1))
    if not totals:
        return ()
    every = np.concatenate(totals)
    low = max(1.0, float(every.min()))
    high = max(2 * low, float(np.median(every)))
    return tuple(sorted({round(each) for each in np.geomspace(low, high, 4)}))


def neuron_variance(
    sessions: Sequence[SessionCounts], contrast: Contrast, layout: Layout
) -> dict[Key, float]:
    """Return the jackknife variance over neurons of one animal's estimates, by name and limit.

    Parameters
    ----------
    sessions
        Sessions of one animal in one arm.
    """
    deleted = _without_groups(sessions, contrast, layout.expected())
    return {} if deleted is None else _variances(deleted, layout.expected())


def difference_variance(
    sessions: Sequence[SessionCounts],
    contrast: Contrast,
    others: Sequence[SessionCounts],
    other_contrast: Contrast,
    layout: Layout,
) -> dict[Key, float]:
    """Return the same for the difference of two arms of one animal, neurons in both counted as one."""
    names = _groups([*sessions, *others])
    layout = layout.expected()
    one = _without_groups(sessions, contrast, layout, names)
    two = _without_groups(others, other_contrast, layout, names)
    return {} if one is None or two is None else _variances(one, layout, two)


def _groups(sessions: Sequence[SessionCounts]) -> dict[str, int]:
    names = sorted({str(name) for session in sessions for name in session.identity})
    n_groups = min(len(names), MAX_GROUPS)
    order = np.random.default_rng(0).permutation(len(names)) % max(1, n_groups)
    return dict(zip(names, order.tolist(), strict=True))


def _without_groups(
    sessions: Sequence[SessionCounts],
    contrast: Contrast,
    layout: Layout,
    groups: dict[str, int] | None = None,
) -> Floats | None:
    """Return the animal's sums without each group of neurons, shape (groups, layout.size)."""
    groups = _groups(sessions) if groups is None else groups
    n_groups = max(groups.values(), default=-1) + 1
    total = np.zeros((n_groups, layout.size))
    used = False
    for session in sessions:
        counts = half_counts(session, contrast)
        if counts is None:
            continue
        used = True
        before, after, chosen = counts
        member = np.array([groups[str(name)] for name in session.identity[chosen]])
        total += _session_without(before, after, member, n_groups, layout)
    return total if used else None


def _session_without(
    before: HalfCounts, after: HalfCounts, member: np.ndarray, n_groups: int, layout: Layout
) -> Floats:
    plain = Layout(0, ())
    full = contrast_sums(before, after, plain)
    b, p = before.events.sum(axis=1), after.events.sum(axis=1)
    pairs = pair_sums(b, p, layout.limits)
    all_pairs = pairs.sum(axis=0) / 2
    rows = np.empty((n_groups, layout.size))
    for group in range(n_groups):
        out = member == group
        if not out.any():
            rows[group] = np.concatenate([full, all_pairs.ravel()])
            continue
        kept = ~out
        inside = pair_sums(b[out], p[out], layout.limits).sum(axis=0) / 2
        left = all_pairs - pairs[out].sum(axis=0) + inside
        some = contrast_sums(before.of(kept), after.of(kept), plain) if kept.any() else 0 * full
        rows[group] = np.concatenate([some, left.ravel()])
    return rows


def _variances(deleted: Floats, layout: Layout, other: Floats | None = None) -> dict[Key, float]:
    n = deleted.shape[0]
    if n < 2:
        return {}
    found = {}
    for key in keys(layout):
        with np.errstate(invalid="ignore", divide="ignore"):
            values = evaluate(key, deleted, layout)
            if other is not None:
                values = values - evaluate(key, other, layout)
        found[key] = (n - 1) / n * float(((values - values.mean()) ** 2).sum())
    return found


def time_variance(sessions: Sequence[SessionCounts], contrast: Contrast) -> float:
    """Return the jackknife variance over blocks of time of one animal's rho*.

    A block of each window is left out at a time; NaN when a session has fewer than two blocks in a half
    or rho* is undefined.
    """
    layout = Layout(0, ())
    used = [session for session in sessions if half_counts(session, contrast) is not None]
    full = np.sum([_covariances(session, contrast, None) for session in used], axis=0)
    variance = 0.0
    for session in used:
        own = _covariances(session, contrast, None)
        windows = [session.windows[contrast.before], session.windows[contrast.after]]
        n = min(window.half.size for window in windows)
        if n < 4:
            return math.nan
        left = np.stack([full - own + _covariances(session, contrast, block) for block in range(n)])
        sums = np.zeros((n, layout.size))
        layout.covariance(sums)[:] = left
        values = state_correlation(sums, layout)
        variance += (n - 1) / n * float(((values - values.mean()) ** 2).sum())
    return variance if used else math.nan


def _covariances(session: SessionCounts, contrast: Contrast, without: int | None) -> Floats:
    chosen = comparable(session, contrast)
    sides = [halves(session.windows[name], without=without) for name in (contrast.before, contrast.after)]
    exposed = np.all([each.exposure_s.min(axis=1) > 0 for each in sides], axis=0)
    kept = exposed if chosen is None else exposed & chosen
    return covariance_sums(sides[0].of(kept), sides[1].of(kept))
