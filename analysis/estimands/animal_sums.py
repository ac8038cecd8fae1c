"""Sums per animal and session, and the sweep of detection limits."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.estimands.counts import Contrast, Floats, SessionCounts, by_animal, half_counts
from nwbswitch.analysis.estimands.primary import Layout, contrast_sums


@dataclass(frozen=True, slots=True)
class SessionSums:
    """Sums of one contrast in one session, shape (layout.size,)."""

    session: str
    sums: Floats
    n_neurons: int


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
    sessions
        Sums of each animal's sessions, which add up to its row.
    """

    animals: tuple[str, ...]
    sums: Floats
    layout: Layout
    n_sessions: tuple[int, ...]
    neurons: tuple[frozenset[str], ...]
    n_left_out: int
    sessions: tuple[tuple[SessionSums, ...], ...] = ()

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
    names, rows, neurons, sessions_of, left_out = [], [], [], [], 0
    for animal, own in by_animal(sessions).items():
        found: list[SessionSums] = []
        seen: set[str] = set()
        for session in sorted(own, key=lambda each: each.session):
            counts = half_counts(session, contrast)
            if counts is None:
                left_out += session.identity.size
                continue
            before, after, chosen = counts
            key = zlib.crc32(f"{animal}\n{session.session}\n{contrast.name}".encode())
            sums = contrast_sums(before, after, layout, np.random.default_rng([seed, key]))
            found.append(SessionSums(session.session, sums, int(chosen.sum())))
            seen.update(session.identity[chosen].tolist())
            left_out += int((~chosen).sum())
        if found:
            names.append(animal)
            rows.append(np.sum([each.sums for each in found], axis=0))
            neurons.append(frozenset(seen))
            sessions_of.append(tuple(found))
    if not names:
        return None
    return AnimalSums(
        animals=tuple(names),
        sums=np.stack(rows),
        layout=layout,
        n_sessions=tuple(map(len, sessions_of)),
        neurons=tuple(neurons),
        n_left_out=left_out,
        sessions=tuple(sessions_of),
    )


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
