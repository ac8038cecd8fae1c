"""Which of several series of the same ROIs is measured, where the user did not say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from nwbswitch.analysis.reading.kinds import Meaning, Role
from nwbswitch.analysis.reading.outline import Clock
from nwbswitch.analysis.reading.series import Series
from nwbswitch.analysis.reading.stored_values import dataset_at, numbers_of
from nwbswitch.analysis.reading.traces import Layout
from nwbswitch.schemas.issues import Issue

SAME_START_S = 1e-3
"""Series of one recording begin within this time of each other, s."""

Rank = tuple[int, int]


@dataclass(slots=True)
class Candidate:
    """One series that may be measured, and what was found about it so far."""

    series: Series
    meaning: Meaning
    layout: Layout | None
    """None where its shape cannot be understood."""
    clock: Clock | None = None
    """None where it is not known yet, or cannot be."""
    problems: list[Issue] = field(default_factory=list)
    """Findings that matter only if it is measured."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is measured of one plane segmentation."""

    candidates: tuple[Candidate, ...]
    ambiguous: tuple[tuple[Candidate, ...], ...]
    """Groups of candidates that nothing tells apart."""


def rank_of(candidate: Candidate, neuropils: Sequence[Candidate]) -> Rank | None:
    """Return the order in which kinds are measured, lowest first; None for what is not measured unasked.

    Raw fluorescence with its neuropil, then without neuropil, then of unknown neuropil, then dF/F, then
    demixed. Of two raw ones that which is called so comes first.
    """
    match candidate.meaning.role:
        case Role.RAW:
            has_neuropil = any(same_frames(candidate, each) for each in neuropils)
            subtracted = candidate.meaning.neuropil_subtracted
            kind = 1 if subtracted else 0 if has_neuropil else 2
            return kind, 0 if candidate.meaning.is_stated else 1
        case Role.DFF:
            return 3, 0
        case Role.DEMIXED:
            return 4, 0
        case _:
            return None


def chosen_of(candidates: Sequence[Candidate], neuropils: Sequence[Candidate]) -> Chosen:
    """Return what is measured of candidates of one plane segmentation whose clocks are known.

    Candidates compete when they share ROIs and time; the best rank wins, and of one rank none does.
    """
    ranked = [(rank, each) for each in candidates if (rank := rank_of(each, neuropils)) is not None]
    ranked.sort(key=lambda pair: (pair[0], pair[1].series.path))
    winners: list[tuple[Rank, list[Candidate]]] = []
    for rank, each in ranked:
        rivals = [pair for pair in winners if any(compete(each, other) for other in pair[1])]
        equal = [pair for pair in rivals if pair[0] == rank]
        if not rivals:
            winners.append((rank, [each]))
        elif equal:
            equal[0][1].append(each)
    alone = tuple(group[0] for _, group in winners if len(group) == 1)
    return Chosen(alone, tuple(tuple(group) for _, group in winners if len(group) > 1))


def compete(one: Candidate, other: Candidate) -> bool:
    """Whether two series tell of the same ROIs at the same time; what is not known may be the same."""
    layouts = (one.layout, other.layout)
    if None not in layouts and not share_rows(one, other):
        return False
    if one.clock is None or other.clock is None:
        return True
    return one.clock.start_s < other.clock.stop_s and other.clock.start_s < one.clock.stop_s


def share_rows(one: Candidate, other: Candidate) -> bool:
    """Whether two series are known to have ROIs in common."""
    if one.layout is None or other.layout is None:
        return False
    return np.intersect1d(one.layout.rows, other.layout.rows).size > 0


def same_frames(one: Candidate, other: Candidate) -> bool:
    """Whether two series have the same ROIs, as many frames, and begin together."""
    if one.layout is None or other.layout is None or one.layout.n_frames != other.layout.n_frames:
        return False
    if not np.array_equal(one.layout.rows, other.layout.rows):
        return False
    begins = [_begin(each.series) for each in (one, other)]
    return None in begins or abs(float(begins[0] or 0) - float(begins[1] or 0)) <= SAME_START_S


def _begin(series: Series) -> float | None:
    """Return the time of the first frame as the series states it, in its own unit."""
    stamps = dataset_at(series.group, "timestamps")
    if stamps is not None and stamps.size and stamps.dtype.kind in "iuf":
        return float(stamps[(0,) * stamps.ndim])
    start = numbers_of(dataset_at(series.group, "starting_time"))
    return start[0] if len(start) == 1 else None
