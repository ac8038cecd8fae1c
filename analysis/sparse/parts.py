"""Independent parts of a model: rows that share no group with the rows of any other part.

Two groups belong together if a row lies in both; what hangs together so is a component (of the graph whose
nodes are the groups of all levels). V is block diagonal in components, so every sum over rows and every
trace is a sum over them. Small components are put together in parts of a size that LAPACK likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from nwbswitch.analysis.sparse.design import GroupedEffects, Rows

# Components are put together until their effects, without those of the eliminated level, are this many.
PART_SIZE: Final = 300


@dataclass(frozen=True, slots=True)
class Components:
    """The component of every row, and per level of every group; components are numbered from 0."""

    n: int
    of_rows: np.ndarray
    of_groups: tuple[np.ndarray, ...]


def components_of(levels: Sequence[GroupedEffects]) -> Components:
    """Return which groups hang together through rows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    starts = np.cumsum([0, *(level.n_groups for level in levels)])
    first = levels[0].codes
    edges = []
    for level, start in zip(levels[1:], starts[1:-1], strict=True):
        pairs = np.unique(first * level.n_groups + level.codes)
        edges.append(np.stack([pairs // level.n_groups, start + pairs % level.n_groups]))
    joined = np.concatenate(edges, axis=1) if edges else np.empty((2, 0), dtype=np.int64)
    graph = coo_array((np.ones(joined.shape[1], dtype=bool), tuple(joined)), shape=(starts[-1], starts[-1]))
    n, found = connected_components(graph, directed=False)
    of_groups = tuple(found[start:end] for start, end in pairwise(starts))
    return Components(int(n), of_groups[0][first], of_groups)


def batches_of(components: Components, levels: Sequence[GroupedEffects], eliminated: int) -> np.ndarray:
    """Return the part (components,) to which every component goes, from 0."""
    effects = np.zeros(components.n)
    for position, (level, own) in enumerate(zip(levels, components.of_groups, strict=True)):
        if position != eliminated:
            effects += np.bincount(own, minlength=components.n) * level.values.shape[1]
    found = np.empty(components.n, dtype=np.int64)
    part, filled = 0, 0.0
    for component in np.argsort(effects, kind="stable").tolist():
        if filled and filled + effects[component] > PART_SIZE:
            part, filled = part + 1, 0.0
        found[component] = part
        filled += effects[component]
    return found


def parts_of(rows: Rows, eliminated: int) -> tuple[tuple[np.ndarray, tuple[np.ndarray, ...]], ...]:
    """Return the rows of every part, and per level its groups."""
    everything = tuple(np.arange(level.n_groups) for level in rows.levels)
    all_rows = np.arange(len(rows.columns))
    others = sum(level.n_effects for i, level in enumerate(rows.levels) if i != eliminated)
    if others <= PART_SIZE:
        return ((all_rows, everything),)
    components = components_of(rows.levels)
    if components.n == 1:
        return ((all_rows, everything),)
    batches = batches_of(components, rows.levels, eliminated)
    part_of_row = batches[components.of_rows]
    order = np.argsort(part_of_row, kind="stable")
    ends = np.cumsum(np.bincount(part_of_row, minlength=int(batches.max()) + 1))
    members = [_members(batches[own]) for own in components.of_groups]
    return tuple(
        (chosen, tuple(groups[part] for groups in members))
        for part, chosen in enumerate(np.split(order, ends[:-1]))
    )


def _members(part_of_group: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(part_of_group, kind="stable")
    return np.split(order, np.cumsum(np.bincount(part_of_group))[:-1])
