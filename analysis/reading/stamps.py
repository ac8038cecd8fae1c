"""Time stamps of frames, looked at in a stream: whether they increase, how fast, and where they jump."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.reading.outline import KNOT_FRAMES

if TYPE_CHECKING:
    import h5py

Floats = NDArray[np.float64]

SLAB_STAMPS = 1 << 20
"""Stamps read at a time, 8 MB; whole chunks, so that none is unpacked twice."""
MOST_STAMPS = 1 << 24
"""Of larger chunks only so many are taken at a time, 128 MB."""
SAMPLE_STEPS = 1 << 20
"""Steps of which the median is taken; all of them up to this number."""
GAP = 1.5
"""A step longer than this many usual ones is a gap."""
UNEVEN = 0.1
"""Share of the usual step by which an uneven one differs from it."""


@dataclass(frozen=True, slots=True)
class StampFacts:
    """What stamps are like, in their own unit."""

    n: int
    first: float
    last: float
    median_step: float
    shortest_step: float
    longest_step: float
    n_gaps: int
    first_gap: int
    """Frame before the first gap; -1 without one."""
    uneven_share: float
    """Share of the steps that are uneven without being gaps."""
    knots: tuple[float, ...]

    @property
    def counts_frames(self) -> bool:
        """Whether they are whole numbers, each one more than the last."""
        return self.shortest_step == self.longest_step == 1 and float(self.first).is_integer()


@dataclass(frozen=True, slots=True)
class BadStamp:
    """The first stamp that is no time after the one before it."""

    frame: int
    value: float
    before: float


def look_at(stamps: h5py.Dataset) -> StampFacts | BadStamp:
    """Return what stamps are like, or the first that does not increase; memory does not grow with them.

    ``stamps`` has one dimension longer than 1 at most and at least two values.
    """
    n = int(stamps.size)
    slabs = list(_slab_edges(stamps, n))
    quota = SAMPLE_STEPS if n <= SAMPLE_STEPS else max(SAMPLE_STEPS // len(slabs), 1)
    sample: list[Floats] = []
    knots: list[float] = []
    first, before = math.nan, -math.inf
    shortest, longest, usual, n_gaps, first_gap = math.inf, -math.inf, 0.0, 0, -1
    for start, stop in slabs:
        values = _read(stamps, start, stop)
        earlier = np.concatenate([[before], values[:-1]])
        bad = np.flatnonzero(~(np.isfinite(values) & (values > earlier)))
        if bad.size:
            at = int(bad[0])
            return BadStamp(start + at, float(values[at]), float(earlier[at]))
        steps = (values - earlier)[1 if start == 0 else 0 :]
        if start == 0:
            first, usual = float(values[0]), float(np.median(steps))
        gaps = np.flatnonzero(steps > GAP * usual)
        if gaps.size and first_gap < 0:
            first_gap = stop - steps.size + int(gaps[0]) - 1
        n_gaps += int(gaps.size)
        shortest, longest = min(shortest, float(steps.min())), max(longest, float(steps.max()))
        sample.append(steps[:quota].copy())
        knots += values[-start % KNOT_FRAMES :: KNOT_FRAMES].tolist()
        before = float(values[-1])
    taken = np.concatenate(sample)
    median = float(np.median(taken))
    uneven = (np.abs(taken - median) > UNEVEN * median) & (taken <= GAP * median)
    return StampFacts(
        n, first, before, median, shortest, longest, n_gaps, first_gap, float(uneven.mean()), tuple(knots)
    )


def _slab_edges(stamps: h5py.Dataset, n: int) -> Iterator[tuple[int, int]]:
    chunk = max(stamps.chunks) if stamps.chunks else 1
    slab = min(max(chunk, SLAB_STAMPS // chunk * chunk), MOST_STAMPS)
    for start in range(0, n, slab):
        yield start, min(start + slab, n)


def _read(stamps: h5py.Dataset, start: int, stop: int) -> Floats:
    """Return a run of stamps, which some writers store as a row or a column."""
    long = int(np.argmax(stamps.shape))
    part = tuple(slice(start, stop) if axis == long else slice(0, 1) for axis in range(stamps.ndim))
    return np.asarray(stamps[part], dtype=np.float64).ravel()
