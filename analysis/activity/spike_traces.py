"""Spikes as a calcium recording would show them.

Each spike train is summed with the transient of one action potential, sampled at the frame rate of the
calcium recording, and noise is added; then it goes through the same steps as measured fluorescence. So the
counts lack what calcium imaging lacks: single spikes below the noise, and spikes that follow each other
faster than the indicator decays. The same was done to compare Neuropixels with two-photon recordings by
Siegle et al. 2021 (eLife 10:e69068) and Wei et al. 2020 (PLoS Comput. Biol. 16:e1008198). Sums are linear and
the neuropil is left out.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.arrays import Arrays
from nwbswitch.analysis.activity.blocks import frames_of
from nwbswitch.analysis.activity.dff import row_blocks
from nwbswitch.analysis.activity.pieces import Piece
from nwbswitch.analysis.activity.point_runs import PointRun, point_runs
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.analysis.activity.trace_source import PieceTraces, Slab, slab_width
from nwbswitch.analysis.reading.outline import ActivityKind, Points

Floats = NDArray[np.float64]
Int64s = NDArray[np.int64]
Samples = NDArray[np.float32]

KEPT_TIMES = 4_000_000
"""Times of one portion of units kept from piece to piece, 64 MB with their rows; of more, none."""
NOISE_FRAMES = 4096
"""Frames of noise drawn together, counted from time 0, so that noise is the same however time is cut."""
FORGOTTEN = 12.0
"""Decay constants after which a spike has left nothing."""


class SpikeTraces:
    """Fluorescence that the units of a table would have shown; 1 at rest."""

    kind = ActivityKind.RAW

    def __init__(self, points: Points, arrays: Arrays, recipe: Recipe, *, name: str) -> None:
        self._points, self._arrays, self._name = points, arrays, name
        self._model = recipe.calcium
        self._recipe = recipe
        self.rows = np.flatnonzero(points.neurons.accepted)
        self._kept: tuple[slice, list[PointRun]] | None = None
        self._seed = _seed(points)

    @property
    def rate_hz(self) -> float:
        """Frame rate of the calcium recording, Hz."""
        return self._model.rate_hz

    @property
    def n_neurons(self) -> int:
        """Number of accepted units."""
        return int(self.rows.size)

    def slabs(self) -> tuple[Slab, ...]:
        """Return the accepted units, as many at a time as fit; of a ragged table also by their times."""
        observed_s = self._points.observed_stop_s[-1] - self._points.observed_start_s[0]
        width = slab_width(self.rate_hz, self._recipe, observed_s * self.rate_hz)
        slabs, first = [], 0
        while first < self.rows.size:
            last = min(first + width, self.rows.size)
            while last > first + 1 and self._n_times(first, last) > KEPT_TIMES:
                last = (first + last + 1) // 2 if last > first + 2 else first + 1
            columns = slice(int(self.rows[first]), int(self.rows[last - 1]) + 1)
            slabs.append(
                Slab(columns, self.rows[first:last] - columns.start, np.arange(first, last), n_judges=0)
            )
            first = last
        return tuple(slabs)

    def read(self, piece: Piece, slab: Slab) -> PieceTraces:
        """Return the fluorescence of one portion of the units in one piece."""
        rate_hz = self.rate_hz
        first, last = (math.ceil(edge_s * rate_hz - 1e-6) for edge_s in (piece.start_s, piece.stop_s))
        frame = np.arange(first, last)
        time_s = frame / rate_hz
        traces = self._fluorescence(slab, first, last)
        for index, unit in enumerate(self.rows[slab.rows]):
            traces[index] += self._noise(int(unit), first, last)
        spoilt = np.ones(frame.size, dtype=bool)
        observed = zip(self._points.observed_start_s, self._points.observed_stop_s, strict=True)
        for start_s, stop_s in observed:
            spoilt[frames_of(time_s, start_s, stop_s)] = False
        core = frames_of(time_s, piece.core_start_s, piece.core_stop_s)
        return PieceTraces(time_s, core, traces, None, None, spoilt)

    def _n_times(self, first: int, last: int) -> int:
        ends = self._points.ends
        if ends is None:
            return 0
        start = self.rows[first] - 1
        return int(ends[self.rows[last - 1]] - (ends[start] if start >= 0 else 0))

    def _runs(self, slab: Slab) -> Iterator[PointRun]:
        """Yield the times of the units of a portion, read once where they can be kept."""
        ends = self._points.ends
        if ends is None:
            times = slice(0, self._points.times.shape[0])
        else:
            start = slab.columns.start
            times = slice(int(ends[start - 1]) if start else 0, int(ends[slab.columns.stop - 1]))
        if times.stop - times.start > KEPT_TIMES:
            yield from point_runs(self._points, self._arrays, times, name=self._name)
            return
        if self._kept is None or self._kept[0] != times:
            self._kept = (times, list(point_runs(self._points, self._arrays, times, name=self._name)))
        yield from self._kept[1]

    def _fluorescence(self, slab: Slab, first: int, last: int) -> Samples:
        """Return 1 plus the transients of all spikes, shape (units, frames).

        The course of a transient is a difference of two exponentials, so that each is one recursion over
        frames, into which a spike between two frames comes with what it has decayed to at the later one.
        """
        from scipy.signal import lfilter

        rate_hz, transient = self.rate_hz, self._model.transient
        rise_s, decay_s = transient.constants_s
        fast_s = 1 / (1 / rise_s + 1 / decay_s)
        peak = math.exp(-transient.peak_s / decay_s) - math.exp(-transient.peak_s / fast_s)
        before = math.ceil(FORGOTTEN * decay_s * rate_hz)
        n_frames = last - first + before
        place = np.full(len(self._points.neurons.accepted), -1, dtype=np.int64)
        place[self.rows[slab.rows]] = np.arange(slab.rows.size)
        slow, fast = (np.zeros((slab.rows.size, n_frames), dtype=np.float32) for _ in range(2))
        for run in self._runs(slab):
            frame = np.ceil(run.time_s * rate_hz).astype(np.int64)
            lag_s = frame / rate_hz - run.time_s
            frame -= first - before
            wanted = (frame >= 0) & (frame < n_frames) & (place[run.row] >= 0)
            at = place[run.row[wanted]] * n_frames + frame[wanted]
            for impulses, constant_s in ((slow, decay_s), (fast, fast_s)):
                np.add.at(impulses.reshape(-1), at, np.exp(-lag_s[wanted] / constant_s).astype(np.float32))
        traces = np.empty((slab.rows.size, last - first), dtype=np.float32)
        scale = transient.amplitude_dff / peak
        for rows in row_blocks(slab.rows.size):
            late, early = (
                lfilter([scale], [1.0, -math.exp(-1 / (rate_hz * constant_s))], impulses[rows], axis=1)
                for impulses, constant_s in ((slow, decay_s), (fast, fast_s))
            )
            traces[rows] = 1 + (late - early)[:, before:]
        return traces

    def _noise(self, unit: int, first: int, last: int) -> Samples:
        """Return noise of one unit, the same at the same frame however often it is asked for."""
        if last <= first:
            return np.empty(0, dtype=np.float32)
        cells = range(first // NOISE_FRAMES, (last - 1) // NOISE_FRAMES + 1)
        noise = np.concatenate(
            [
                np.random.default_rng([*self._seed, unit, cell % 2**64]).standard_normal(
                    NOISE_FRAMES, dtype=np.float32
                )
                for cell in cells
            ]
        )
        start = first - cells[0] * NOISE_FRAMES
        return np.float32(self._model.noise_dff) * noise[start : start + last - first]


def _seed(points: Points) -> list[int]:
    """Return numbers that follow from the table and not from where its file lies."""
    digest = hashlib.sha256(f"{points.name}\0{points.times.object_path}\0{points.times.shape}".encode())
    digest.update(np.asarray(points.observed_start_s + points.observed_stop_s).tobytes())
    if points.ends is not None:
        digest.update(points.ends.astype("<i8").tobytes())
    return [int(word) for word in np.frombuffer(digest.digest(), dtype="<u4")]
