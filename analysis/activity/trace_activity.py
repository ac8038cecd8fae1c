"""From traces to tallies: rest, noise and events, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.activity.artefacts import artefacts
from nwbswitch.analysis.activity.blocks import frames_of, require_few
from nwbswitch.analysis.activity.crossings import crossings, frames_above, rises_from_zero
from nwbswitch.analysis.activity.deconvolution import jumps
from nwbswitch.analysis.activity.dff import become_dff, row_blocks
from nwbswitch.analysis.activity.neuropil import FALLBACK, MAX_ERROR, fitted_coefficients
from nwbswitch.analysis.activity.noise import NoiseLevel
from nwbswitch.analysis.activity.pieces import Piece, Plan
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.analysis.activity.smoothing import smoothed, smoothing_frames
from nwbswitch.analysis.activity.tallies import Tallies
from nwbswitch.analysis.activity.trace_source import PieceTraces, Slab, TraceSource, read_ahead
from nwbswitch.analysis.activity.valid_frames import CensoredShares
from nwbswitch.analysis.reading.outline import ActivityKind

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Samples = NDArray[np.float32]

KEPT_VALUES = 32_000_000
"""Values of the baseline kept until the level is known, 128 MB; what is beyond them is read again."""
GAP = 1.5
"""A step in time longer than this many frames is a gap."""


@dataclass(slots=True)
class TraceActivity:
    """What is measured of the traces of one source; grows portion by portion."""

    tallies: Tallies
    usable: Flags
    """Neurons with noise and, where traces are divided by it, positive fluorescence at rest."""
    shares: CensoredShares = field(default_factory=CensoredShares)
    n_unfitted: int = 0
    """Neurons whose neuropil coefficient could not be fitted."""


def measure_traces(source: TraceSource, plan: Plan, recipe: Recipe, decay_s: float | None) -> TraceActivity:
    """Return sums per neuron and block.

    Each portion of neurons goes through the pieces of the baseline first, which give its level, and then
    through all others. Of a baseline that is too long to be kept, the rest is read a second time.

    Parameters
    ----------
    source
        Traces.
    plan
        Windows, blocks and pieces.
    recipe
        Parameters.
    decay_s
        Decay constant, s; needed for deconvolution only.

    Raises
    ------
    IssuesError
        When neurons times blocks are too many.
    """
    require_few(len(plan.blocks), source.n_neurons)
    activity = TraceActivity(
        Tallies.zeros(source.n_neurons, len(plan.blocks)), np.ones(source.n_neurons, dtype=bool)
    )
    spoilt_by_piece: dict[Piece, Flags] = {}
    for slab in source.slabs():
        portion = _Portion(source, slab, plan, recipe, decay_s, activity, spoilt_by_piece)
        if source.kind is ActivityKind.DECONVOLVED:
            portion.count_deconvolved()
        else:
            portion.count_events()
    return activity


class _Portion:
    """Some neurons on their way through all pieces."""

    def __init__(
        self,
        source: TraceSource,
        slab: Slab,
        plan: Plan,
        recipe: Recipe,
        decay_s: float | None,
        activity: TraceActivity,
        spoilt_by_piece: dict[Piece, Flags],
    ) -> None:
        self.source, self.slab, self.plan, self.recipe = source, slab, plan, recipe
        self.decay_s, self.activity, self.spoilt_by_piece = decay_s, activity, spoilt_by_piece
        self.n_smooth = smoothing_frames(source.rate_hz, recipe.smooth_s)
        self.coefficients: Samples | None = None

    def count_events(self) -> None:
        """Find the level of every neuron at baseline, and count events by it in all pieces."""
        noise = NoiseLevel(self.slab.rows.size)
        kept: list[tuple[Piece, PieceTraces]] = []
        n_kept = 0
        for piece, given in self._dff([each for each in self.plan.pieces if each.holds(self.plan.baseline)]):
            inside = np.zeros(given.time_s.size, dtype=bool)
            for span in self.plan.baseline:
                inside[frames_of(given.time_s, span.start_s, span.stop_s)] = True
            inside[: given.core.start] = inside[given.core.stop :] = False
            for rows in row_blocks(self.slab.rows.size):
                noise.add(rows, given.traces[rows][:, inside][:, :: self.n_smooth])
            n_kept += given.traces.size * (1 if given.deconvolved is None else 2)
            if n_kept <= KEPT_VALUES:
                kept.append((piece, given))
        level = self.recipe.threshold_sd * noise.sd()
        self.activity.usable[self.slab.rows] &= np.isfinite(level)
        done = {piece for piece, _ in kept}
        for _, given in kept:
            self._tally(given, level.astype(np.float32))
        kept.clear()
        for _, given in self._dff([each for each in self.plan.pieces if each not in done]):
            self._tally(given, level.astype(np.float32))

    def count_deconvolved(self) -> None:
        """Count the transients of traces that were deconvolved elsewhere."""
        for piece, given in read_ahead(self._read, self.plan.pieces):
            if not given.time_s.size:
                continue
            self._mark_spoilt(piece, given)
            traces = given.traces
            traces[:, given.spoilt] = np.nan
            begins = rises_from_zero(traces, breaks=self._breaks(given))
            self._add(given, begins, np.zeros_like(begins), traces)

    def _read(self, piece: Piece) -> PieceTraces:
        return self.source.read(piece, self.slab)

    def _dff(self, pieces: Sequence[Piece]) -> Iterator[tuple[Piece, PieceTraces]]:
        """Yield every piece with its traces turned into dF/F."""
        rate_hz = self.source.rate_hz
        for piece, given in read_ahead(self._read, pieces):
            if not given.time_s.size:
                continue
            self._mark_spoilt(piece, given)
            if self.coefficients is None:
                self.coefficients = self._coefficients(given)
            positive = become_dff(
                given.traces,
                given.neuropil,
                self.coefficients,
                given.spoilt,
                kind=self.source.kind,
                rate_hz=rate_hz,
                n_smooth=self.n_smooth,
            )
            self.activity.usable[self.slab.rows] &= positive
            yield piece, replace(given, neuropil=None)

    def _mark_spoilt(self, piece: Piece, given: PieceTraces) -> None:
        """Add artefacts to what the file marks; the first portion of neurons tells them for all."""
        if piece not in self.spoilt_by_piece:
            spoilt = given.spoilt.copy()
            if self.source.kind is not ActivityKind.DECONVOLVED:
                spoilt |= artefacts(given.traces[: self.slab.n_judges], self.source.rate_hz)
            missing = np.isnan(given.traces).all(axis=0)
            self.spoilt_by_piece[piece] = spoilt
            core = given.core
            self.activity.shares.add(self.plan.windows, given.time_s[core], (spoilt | missing)[core])
        given.spoilt[:] = self.spoilt_by_piece[piece]

    def _coefficients(self, given: PieceTraces) -> Samples:
        """Return the share of the neuropil in each neuron, from the first piece of the baseline if fitted."""
        coefficient = self.recipe.neuropil_coefficient
        if coefficient != "fit":
            return np.full(self.slab.rows.size, coefficient, dtype=np.float32)
        fitted = np.full(self.slab.rows.size, FALLBACK, dtype=np.float32)
        if given.neuropil is None:
            return fitted
        for rows in row_blocks(self.slab.rows.size):
            pair = [given.traces[rows].copy(), given.neuropil[rows].copy()]
            for each in pair:
                each[:, given.spoilt] = np.nan
            cell, ring = (smoothed(each, self.n_smooth) for each in pair)
            slope, error = fitted_coefficients(cell, ring, self.source.rate_hz, self.n_smooth)
            known = error <= MAX_ERROR
            fitted[rows] = np.where(known, slope, FALLBACK)
            self.activity.n_unfitted += int((~known).sum())
        return fitted

    def _breaks(self, given: PieceTraces) -> Flags:
        return np.diff(given.time_s, prepend=given.time_s[:1]) > GAP / self.source.rate_hz

    def _tally(self, given: PieceTraces, level: Samples) -> None:
        begins, mirrored = (np.zeros(given.traces.shape, dtype=bool) for _ in range(2))
        amount = given.deconvolved
        breaks = self._breaks(given)
        rate_hz = self.source.rate_hz
        if self.recipe.events == "deconvolution":
            assert self.decay_s is not None
            amount = np.empty_like(given.traces)
            for rows in row_blocks(level.size):
                found, below = (
                    jumps(
                        sign * given.traces[rows],
                        level[rows],
                        rate_hz=rate_hz,
                        decay_s=self.decay_s,
                        n_smooth=self.n_smooth,
                        breaks=breaks,
                    )
                    for sign in (np.float32(1), np.float32(-1))
                )
                begins[rows], mirrored[rows], amount[rows] = found.begins, below.begins, found.size
        else:
            n_above = frames_above(rate_hz, self.recipe.min_above_s)
            for rows in row_blocks(level.size):
                dff = given.traces[rows]
                begins[rows] = crossings(dff, level[rows], n_above, breaks=breaks)
                mirrored[rows] = crossings(-dff, level[rows], n_above, breaks=breaks)
        self._add(given, begins, mirrored, amount)

    def _add(self, given: PieceTraces, begins: Flags, mirrored: Flags, amount: Samples | None) -> None:
        core = given.core
        self.activity.tallies.add(
            self.slab.rows,
            self.plan.edges_s,
            given.time_s[core],
            given.traces[:, core],
            begins[:, core],
            mirrored[:, core],
            None if amount is None else amount[:, core],
            self.n_smooth,
        )
