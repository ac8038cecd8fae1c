"""A look at the times of spikes or events before they are measured: order, sign, unit and first and last."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import h5py

Floats = NDArray[np.float64]
Int64s = NDArray[np.int64]

WHOLE = 1 << 21
"""Up to this many times all are looked at; of more, parts, so that far files are asked for little."""
BLOCK = 1 << 18
N_PARTS = 6
PART = 1 << 13
N_BUSIEST = 4
"""Rows with the most times, whose first and last times are looked at in long tables."""


@dataclass(frozen=True, slots=True)
class TimesSeen:
    """What times look like; in the unit in which they are stored."""

    n_seen: int
    is_complete: bool
    n_backwards: int
    """Steps back in time within a row."""
    n_missing: int
    """Not a number, or infinite."""
    n_negative: int
    all_whole: bool
    """Whether all that were seen are whole numbers, and more than a few."""
    first: float
    last: float


def look_at_times(times: h5py.Dataset, ends: Int64s | None) -> TimesSeen:
    """Look at times, block by block in flat memory.

    Parameters
    ----------
    times
        One-dimensional dataset of numbers.
    ends
        Where the times of each row end; None where times need no order.
    """
    count = int(times.shape[0])
    if count <= WHOLE:
        spans = [(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
    else:
        starts = np.linspace(0, count - PART, N_PARTS).astype(np.int64)
        spans = [(int(start), int(start) + PART) for start in starts] + _edges(ends, count)
    tally = _Tally(ends)
    for start, stop in spans:
        tally.add(times[start:stop], start)
    return tally.seen(is_complete=count <= WHOLE)


def _edges(ends: Int64s | None, count: int) -> list[tuple[int, int]]:
    """Return the spans of the first and last times of the busiest rows."""
    if ends is None:
        return [(0, 1), (count - 1, count)]
    starts = np.concatenate([[0], ends[:-1]])
    busiest = np.argsort(ends - starts, kind="stable")[::-1][:N_BUSIEST]
    inner = [(int(starts[row]), int(ends[row])) for row in busiest if ends[row] > starts[row]]
    return [(at, at + 1) for first, last in inner for at in (first, last - 1)]


class _Tally:
    def __init__(self, ends: Int64s | None) -> None:
        self.ends = ends
        self.n_seen = self.n_backwards = self.n_missing = self.n_negative = 0
        self.all_whole = True
        self.first, self.last = math.inf, -math.inf
        self.before: tuple[int, float] | None = None

    def add(self, values: NDArray[Any], start: int) -> None:
        """Add a run of times that begins at ``start``."""
        numbers = np.asarray(values, dtype=np.float64)
        usable = np.isfinite(numbers)
        self.n_seen += numbers.size
        self.n_missing += int((~usable).sum())
        self.n_negative += int((numbers < 0).sum())
        if usable.any():
            self.first = min(self.first, float(numbers[usable].min()))
            self.last = max(self.last, float(numbers[usable].max()))
            self.all_whole &= bool((numbers[usable] == np.floor(numbers[usable])).all())
        if self.ends is not None:
            self.n_backwards += self._backwards(numbers, start)

    def _backwards(self, numbers: Floats, start: int) -> int:
        """Count steps back, those between rows apart; also the one from the run before."""
        assert self.ends is not None
        if self.before is not None and self.before[0] == start:
            numbers, start = np.concatenate([[self.before[1]], numbers]), start - 1
        if not numbers.size:
            return 0
        self.before = (start + numbers.size, float(numbers[-1]))
        back = np.diff(numbers) < 0
        first, last = np.searchsorted(self.ends, (start + 1, start + numbers.size))
        borders = self.ends[first:last]
        back[borders - start - 1] = False
        return int(back.sum())

    def seen(self, *, is_complete: bool) -> TimesSeen:
        return TimesSeen(
            n_seen=self.n_seen,
            is_complete=is_complete,
            n_backwards=self.n_backwards,
            n_missing=self.n_missing,
            n_negative=self.n_negative,
            all_whole=self.all_whole and self.n_seen - self.n_missing > 20,
            first=self.first if self.first <= self.last else math.nan,
            last=self.last if self.first <= self.last else math.nan,
        )
