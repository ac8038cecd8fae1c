"""Pieces of a recording: what is read and worked on at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.activity.blocks import Block, blocks_of, edges_of
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.analysis.reading.outline import WindowSpan
from nwbswitch.schemas.epochs import Window


@dataclass(frozen=True, slots=True)
class Piece:
    """A core, whose frames are counted, and what is read around it; s on the session clock."""

    start_s: float
    core_start_s: float
    core_stop_s: float
    stop_s: float

    def holds(self, spans: Sequence[WindowSpan]) -> bool:
        """Return whether any of the spans reaches into the core."""
        return any(span.start_s < self.core_stop_s and span.stop_s > self.core_start_s for span in spans)


@dataclass(frozen=True, slots=True)
class Plan:
    """What of a recording is measured, and in which portions of time."""

    windows: tuple[WindowSpan, ...]
    blocks: tuple[Block, ...]
    pieces: tuple[Piece, ...]
    edges_s: NDArray[np.float64]
    """Start and stop of every block, shape (blocks, 2)."""
    baseline: tuple[WindowSpan, ...]
    """What the noise is measured in: the baseline, or without one the pseudo baseline."""


def plan_of(windows: Sequence[WindowSpan], begin_s: float, end_s: float, recipe: Recipe) -> Plan:
    """Return the plan for a recording that lasts from ``begin_s`` to ``end_s``."""
    pieces = pieces_of(windows, begin_s, end_s, recipe)
    baseline: tuple[WindowSpan, ...] = ()
    for wanted in (Window.BASELINE, Window.PSEUDO_BASELINE):
        spans = tuple(span for span in windows if span.window is wanted)
        if not baseline and any(piece.holds(spans) for piece in pieces):
            baseline = spans
    blocks = blocks_of(windows, recipe.block_s)
    return Plan(tuple(windows), blocks, pieces, edges_of(blocks), baseline)


def pieces_of(
    windows: Sequence[WindowSpan], begin_s: float, end_s: float, recipe: Recipe
) -> tuple[Piece, ...]:
    """Return pieces whose cores hold every window once, however windows overlap.

    Windows with their margins are merged where they meet, and cut to the recording; what is longer than
    `Recipe.piece_s` is cut into cores of equal length. Each piece sees the margin around its core too, but
    nothing beyond the margins of the windows. The rule knows nothing of files and memory, so that numbers
    depend on recording, windows and recipe alone.

    Parameters
    ----------
    windows
        Analysis windows.
    begin_s, end_s
        The recording.
    recipe
        For ``margin_s`` and ``piece_s``.
    """
    margin_s = recipe.margin_s
    stretches: list[tuple[float, float]] = []
    for span in sorted(windows, key=lambda each: each.start_s):
        if max(span.start_s, begin_s) >= min(span.stop_s, end_s):
            continue
        start_s, stop_s = max(span.start_s - margin_s, begin_s), min(span.stop_s + margin_s, end_s)
        if stretches and start_s <= stretches[-1][1]:
            before_s, until_s = stretches.pop()
            start_s, stop_s = before_s, max(stop_s, until_s)
        stretches.append((start_s, stop_s))
    pieces = []
    for start_s, stop_s in stretches:
        n = max(1, math.ceil((stop_s - start_s) / recipe.piece_s))
        for index in range(n):
            first_s, last_s = (start_s + (stop_s - start_s) * (index + more) / n for more in (0, 1))
            read_s = max(first_s - margin_s, start_s), min(last_s + margin_s, stop_s)
            piece = Piece(read_s[0], first_s, last_s, read_s[1])
            if piece.holds(windows):
                pieces.append(piece)
    return tuple(pieces)
