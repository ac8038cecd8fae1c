"""Edges of a sampled line, block by block, between samples where the levels allow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class EdgeFinder:
    """Finds where a line goes from below a threshold to it or above, in blocks that follow each other.

    A line that begins high has no edge before it has been low. With hysteresis an edge counts once the line
    has left the band around the threshold upwards, after having left it downwards (a Schmitt trigger), and
    lies at the last crossing of the threshold before that.

    Parameters
    ----------
    threshold
        Level that counts as high.
    hysteresis
        Full width of the band around the threshold.
    falling
        Find the edges downwards: from above the threshold to it or below.
    """

    def __init__(self, *, threshold: float, hysteresis: float = 0.0, falling: bool = False) -> None:
        self._sign = -1.0 if falling else 1.0
        self._threshold = self._sign * threshold
        self._high = self._threshold + hysteresis / 2
        self._low = self._threshold - hysteresis / 2
        self._n_seen = 0
        self._last = np.empty(0)
        self._is_high: bool | None = None
        self._crossing = np.nan

    def edges(self, levels: NDArray[Any]) -> Floats:
        """Return the edges of the next block in samples since the first block.

        Parameters
        ----------
        levels
            Samples, shape (n,), finite.

        Returns
        -------
        Samples from the first sample of all to each edge, between two samples, shape (n_edges,).
        """
        if not len(levels):
            return np.empty(0)
        # The last sample of the block before stands in front, so that no edge falls between blocks.
        values = np.concatenate([self._last, levels.astype(np.float64)])
        if self._sign < 0:
            np.negative(values, out=values)
        first = self._n_seen - len(self._last)
        self._n_seen += len(levels)
        self._last = np.array([float(levels[-1])])
        above = values >= self._threshold
        up = np.flatnonzero(above[1:] & ~above[:-1]) + 1
        crossings = first + up - (values[up] - self._threshold) / (values[up] - values[up - 1])
        if self._high == self._low:
            return np.asarray(crossings)
        return self._after_hysteresis(values, first, crossings)

    def _after_hysteresis(self, values: Floats, first: int, crossings: Floats) -> Floats:
        high, low = values >= self._high, values < self._low
        if self._is_high is None:
            # Inside the band at the start the line counts as high: an edge must have been low before.
            self._is_high = not bool(low[0])
        rises = np.flatnonzero(high[1:] & ~high[:-1]) + 1
        falls = np.flatnonzero(low[1:] & ~low[:-1]) + 1
        where = np.concatenate([rises, falls])
        order = np.argsort(where, kind="stable")
        where, is_high = where[order], (np.arange(len(where)) < len(rises))[order]
        before = np.concatenate([[self._is_high], is_high[:-1]]) if len(where) else is_high
        triggers = first + where[is_high & ~before]
        known = np.concatenate([[self._crossing], crossings])
        edges = known[np.searchsorted(crossings, triggers, side="right")]
        if len(where):
            self._is_high = bool(is_high[-1])
        self._crossing = float(known[-1])
        return np.asarray(edges)
