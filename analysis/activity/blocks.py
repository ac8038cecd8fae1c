"""Blocks of analysis windows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.reading.clocks import TIME_TOLERANCE_S
from nwbswitch.analysis.reading.outline import WindowSpan
from nwbswitch.schemas.epochs import Window
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import issue

Floats = NDArray[np.float64]

MAX_BLOCKS = 1_000_000
MAX_CELLS = 50_000_000
"""Neurons of one table times blocks: some GB of sums."""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a window, s on the session clock."""

    window: Window
    number: int
    """Counts on over the parts of a window that comes in several."""
    start_s: float
    stop_s: float


def blocks_of(windows: Sequence[WindowSpan], block_s: float) -> tuple[Block, ...]:
    """Return the blocks of all windows; they count from the start of each, and its last may be shorter.

    Raises
    ------
    IssuesError
        As `blocks_in`.
    """
    blocks: list[Block] = []
    counted: dict[Window, int] = {}
    for span, n_blocks in zip(windows, blocks_in(windows, block_s), strict=True):
        first = counted.get(span.window, 0)
        counted[span.window] = first + n_blocks
        for index in range(n_blocks):
            start_s = span.start_s + index * block_s
            blocks.append(Block(span.window, first + index, start_s, min(start_s + block_s, span.stop_s)))
    return tuple(blocks)


def blocks_in(windows: Sequence[WindowSpan], block_s: float) -> list[int]:
    """Return the number of blocks in each window.

    Raises
    ------
    IssuesError
        As `require_few`.
    """
    lengths = [(span.stop_s - span.start_s) / block_s for span in windows]
    require_few(sum(max(length, 1.0) for length in lengths))
    return [max(1, math.ceil(length - TIME_TOLERANCE_S)) for length in lengths]


def require_few(n_blocks: float, n_neurons: int = 1) -> None:
    """Raise unless so many blocks, for each of so many neurons, fit in memory.

    Raises
    ------
    IssuesError
        When they do not.
    """
    if n_blocks <= MAX_BLOCKS and n_blocks * n_neurons <= MAX_CELLS:
        return
    problem = f"The analysis windows have {n_blocks:.4g} blocks"
    problem += f" for each of {n_neurons} neurons." if n_neurons > 1 else "."
    remedy = f"Up to {MAX_BLOCKS} blocks and {MAX_CELLS} rows are measured: ask for longer blocks."
    raise IssuesError([issue("wrong-value", problem, remedy=remedy)])


def edges_of(blocks: Sequence[Block]) -> Floats:
    """Return start and stop of every block, shape (blocks, 2), s."""
    return np.array([(block.start_s, block.stop_s) for block in blocks], dtype=np.float64).reshape(-1, 2)


def frames_between_edges(time_s: Floats, edges_s: Floats) -> Iterator[tuple[int, slice]]:
    """Yield the number of every block that holds frames, and these frames; ``time_s`` increases."""
    first, last = np.searchsorted(time_s, edges_s.T - TIME_TOLERANCE_S)
    for index in np.flatnonzero(last > first):
        yield int(index), slice(int(first[index]), int(last[index]))


def frames_of(time_s: Floats, start_s: float, stop_s: float) -> slice:
    """Return the frames that begin from ``start_s`` until before ``stop_s``; ``time_s`` increases."""
    first, last = np.searchsorted(time_s, np.array([start_s, stop_s]) - TIME_TOLERANCE_S)
    return slice(int(first), int(last))
