"""Where traces come from, piece by piece and some neurons at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.arrays import Arrays, Part
from nwbswitch.analysis.activity.blocks import frames_of
from nwbswitch.analysis.activity.pieces import Piece
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.analysis.activity.valid_frames import censor_parts, spoilt_frames
from nwbswitch.analysis.reading.clocks import frame_times, frames_between
from nwbswitch.analysis.reading.outline import ActivityKind, Censor, Plane, Trace

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Samples = NDArray[np.float32]

SLAB_VALUES = 32_000_000
"""Values of one matrix that are worked on at a time: 128 MB, e.g. 1,000 traces at 30 Hz."""
MAX_JUDGES = 256
"""Most traces that are asked about artefacts: the first accepted ones."""


@dataclass(frozen=True, slots=True)
class Slab:
    """Some neighbouring traces of a matrix."""

    columns: slice
    chosen: NDArray[np.int64]
    """Those of them that are measured, counted from the first of ``columns``."""
    rows: NDArray[np.int64]
    """Where these stand among all traces that are measured."""
    n_judges: int
    """How many of them, from the first on, tell artefacts of the whole plane."""


@dataclass(frozen=True, slots=True)
class PieceTraces:
    """The traces of one slab in one piece; matrices have shape (neurons, frames)."""

    time_s: Floats
    core: slice
    """Frames that are counted; the others tell what fluorescence at rest is."""
    traces: Samples
    neuropil: Samples | None
    deconvolved: Samples | None
    spoilt: Flags


class TraceSource(Protocol):
    """Traces of neurons on one clock."""

    @property
    def rate_hz(self) -> float:
        """Frame rate, Hz."""
        ...

    @property
    def kind(self) -> ActivityKind:
        """What the traces are."""
        ...

    @property
    def n_neurons(self) -> int:
        """Number of traces that are measured."""
        ...

    def slabs(self) -> tuple[Slab, ...]:
        """Return all traces that are measured, in portions that fit in memory."""
        ...

    def read(self, piece: Piece, slab: Slab) -> PieceTraces:
        """Return the traces of one portion in one piece."""
        ...


class PlaneTraces:
    """The accepted traces of an imaging plane, read through `Arrays`."""

    def __init__(
        self,
        plane: Plane,
        arrays: Arrays,
        recipe: Recipe,
        *,
        censors: Sequence[Censor],
        with_neuropil: bool,
    ) -> None:
        self._plane, self._arrays, self._recipe = plane, arrays, recipe
        self._censors = tuple(censors)
        self._neuropil = plane.neuropil if with_neuropil else None
        self._deconvolved = plane.deconvolved if recipe.events == "crossing" else None
        self._accepted = np.asarray(plane.neurons.accepted, dtype=bool)[plane.rows]

    @property
    def rate_hz(self) -> float:
        """Frame rate, Hz."""
        return self._plane.clock.rate_hz

    @property
    def kind(self) -> ActivityKind:
        """What the traces are."""
        return self._plane.traces.kind

    @property
    def n_neurons(self) -> int:
        """Number of accepted traces."""
        return int(self._accepted.sum())

    @property
    def rows(self) -> NDArray[np.int64]:
        """Row of the plane segmentation of each accepted trace."""
        return np.asarray(self._plane.rows[self._accepted])

    def slabs(self) -> tuple[Slab, ...]:
        """Return the accepted traces, as many at a time as fit, between borders of chunks where they can be.

        All of them at once where that fits: then every chunk is unpacked once in each piece. A chunk is
        parted only where it is more than twice as wide as what fits.
        """
        trace = self._plane.traces
        width = slab_width(self.rate_hz, self._recipe, trace.n_frames)
        first_columns = width
        chunk = _chunk_width(trace)
        if chunk <= 2 * width:
            width = -(-width // chunk) * chunk
        slabs, done = [], 0
        for start in range(0, trace.n_rois, width):
            columns = slice(start, min(start + width, trace.n_rois))
            chosen = np.flatnonzero(self._accepted[columns])
            if chosen.size:
                judges = int((start + chosen < first_columns).sum())
                rows = done + np.arange(chosen.size)
                slabs.append(Slab(columns, chosen, rows, min(judges, MAX_JUDGES)))
            done += chosen.size
        return tuple(slabs)

    def read(self, piece: Piece, slab: Slab) -> PieceTraces:
        """Return one portion of the traces in one piece; all matrices are asked for together."""
        clock = self._plane.clock
        frames = frames_between(clock, self._arrays, piece.start_s, piece.stop_s)
        time_s = frame_times(clock, self._arrays, frames)
        if not time_s.size:
            nothing = np.empty((slab.chosen.size, 0), dtype=np.float32)
            return PieceTraces(time_s, slice(0, 0), nothing, None, None, np.empty(0, dtype=bool))
        matrices = (self._plane.traces, self._neuropil, self._deconvolved)
        wanted = [trace for trace in matrices if trace is not None]
        parts = [_part(trace, frames, slab.columns) for trace in wanted]
        values = self._arrays.read_many(parts + censor_parts(self._censors, frames))
        marks = values[len(wanted) :]
        del values[len(wanted) :]
        traces, neuropil, deconvolved = (
            None if trace is None else _matrix(values.pop(0), trace, slab.chosen) for trace in matrices
        )
        assert traces is not None
        core = frames_of(time_s, piece.core_start_s, piece.core_stop_s)
        spoilt = spoilt_frames(self._censors, marks, time_s, self.rate_hz, self._recipe)
        return PieceTraces(time_s, core, traces, neuropil, deconvolved, spoilt)


def slab_width(rate_hz: float, recipe: Recipe, n_frames: float) -> int:
    """Return how many traces of a whole piece fit in `SLAB_VALUES`: a matter of rate and recipe alone."""
    longest = min(n_frames, (recipe.piece_s + 2 * recipe.margin_s) * rate_hz)
    return max(1, int(SLAB_VALUES // max(longest, 1)))


Item = TypeVar("Item")
Value = TypeVar("Value")


def read_ahead(read: Callable[[Item], Value], items: Sequence[Item]) -> Iterator[tuple[Item, Value]]:
    """Yield every item with what ``read`` returns for it; the next one is read in the meantime."""
    if not items:
        return
    with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:
        coming = pool.submit(read, items[0])
        for index, item in enumerate(items):
            value = coming.result()
            if index + 1 < len(items):
                coming = pool.submit(read, items[index + 1])
            yield item, value
            del value


def _chunk_width(trace: Trace) -> int:
    shape = trace.array.chunk_shape
    return max(1, shape[1 if trace.time_first else 0]) if len(shape) == 2 else 1


def _part(trace: Trace, frames: slice, columns: slice) -> Part:
    if len(trace.array.shape) == 1:
        return trace.array, (frames,)
    return trace.array, (frames, columns) if trace.time_first else (columns, frames)


def _matrix(value: NDArray[Any], trace: Trace, chosen: NDArray[np.int64]) -> Samples:
    """Return traces in the unit of the file, shape (neurons, frames): data x conversion + offset.

    What is infinite, or beyond single precision, is missing.
    """
    by_neuron = value[None] if value.ndim == 1 else value.T if trace.time_first else value
    if chosen.size < by_neuron.shape[0]:
        by_neuron = by_neuron[chosen]
    matrix = np.empty(by_neuron.shape, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        if trace.conversion == 1 and trace.offset == 0:
            matrix[:] = by_neuron
        else:
            np.multiply(by_neuron, trace.conversion, out=matrix, casting="unsafe")
            matrix += np.float32(trace.offset)
    infinite = np.isinf(matrix)
    if infinite.any():
        matrix[infinite] = np.nan
    return matrix
