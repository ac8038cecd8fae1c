"""Resampled sums of sessions, which add up to those of an animal: neurons by name, blocks of time.

The neurons of an animal are its clusters: one that is followed over sessions leaves all of them at once in
the jackknife, and counts equally often in all of them in the bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.estimands.block_resamples import block_resamples
from nwbswitch.analysis.estimands.counts import Contrast, Floats, SessionCounts, half_counts
from nwbswitch.analysis.estimands.primary import Layout, contrast_sums
from nwbswitch.analysis.estimands.weighted_sums import sums_without_one, weighted_sums


@dataclass(frozen=True, slots=True)
class Resamples:
    """Sums of one session, or of sessions of one animal, and how they vary.

    Attributes
    ----------
    neurons
        Names of the neurons that contribute, shape (neurons,).
    full
        Sums, shape (layout.size,).
    without_one
        Sums without each neuron, shape (neurons, layout.size).
    drawn
        Bootstrap over neurons, shape (resamples, layout.size).
    blocks
        The same for the covariances behind rho* when blocks of time are resampled: with all blocks, shape
        (3,), without one block of one session, one array per session, and bootstrap (resamples, 3).
    """

    neurons: NDArray[np.str_]
    full: Floats
    without_one: Floats
    drawn: Floats
    blocks: Floats
    blocks_without_one: tuple[Floats, ...]
    blocks_drawn: Floats


def session_resamples(
    session: SessionCounts,
    contrast: Contrast,
    layout: Layout,
    weights: NDArray[np.uint8],
    *,
    seed: int = 0,
) -> Resamples | None:
    """Return the resampled sums of one session; None when it has no neuron with both windows.

    Parameters
    ----------
    layout
        Without draws.
    weights
        How often each neuron of the session counts (see `neuron_weights`), shape (neurons, resamples).
    seed
        Of the draws of blocks.
    """
    counts = half_counts(session, contrast)
    blocks = block_resamples(session, contrast, resamples=weights.shape[1], seed=seed)
    if counts is None or blocks is None:
        return None
    before, after, chosen = counts
    return Resamples(
        neurons=session.identity[chosen],
        full=contrast_sums(before, after, layout),
        without_one=sums_without_one(before, after, layout),
        drawn=weighted_sums(before, after, weights[chosen], layout),
        blocks=blocks.full,
        blocks_without_one=(blocks.without_one,),
        blocks_drawn=blocks.drawn,
    )


class ResampleSums:
    """Resampled sums of several sessions of one animal, added up one after the other."""

    def __init__(self) -> None:
        self._parts: list[Resamples] = []
        self._drawn: tuple[Floats, Floats] | None = None

    def add(self, part: Resamples) -> None:
        """Add a session; of its draws only the sum is kept."""
        drawn = (part.drawn, part.blocks_drawn)
        if self._drawn is not None:
            drawn = (self._drawn[0] + part.drawn, self._drawn[1] + part.blocks_drawn)
        self._drawn = drawn
        self._parts.append(replace(part, drawn=part.drawn[:0], blocks_drawn=part.blocks_drawn[:0]))

    def total(self) -> Resamples | None:
        """Return the sums of all sessions; None without any."""
        if self._drawn is None:
            return None
        held = self._parts
        if len(held) == 1:
            return replace(held[0], drawn=self._drawn[0], blocks_drawn=self._drawn[1])
        names, place = np.unique(np.concatenate([each.neurons for each in held]), return_inverse=True)
        full = np.sum([each.full for each in held], axis=0)
        blocks = np.sum([each.blocks for each in held], axis=0)
        without = np.tile(full, (names.size, 1))
        start = 0
        for each in held:
            without[place[start : start + each.neurons.size]] -= each.full - each.without_one
            start += each.neurons.size
        return Resamples(
            neurons=names,
            full=full,
            without_one=without,
            drawn=self._drawn[0],
            blocks=blocks,
            blocks_without_one=tuple(
                blocks - each.blocks + own for each in held for own in each.blocks_without_one
            ),
            blocks_drawn=self._drawn[1],
        )
