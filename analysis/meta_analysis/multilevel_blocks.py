"""Rows of a meta-analysis in blocks that are independent of each other.

Rows are in one block if they share a random effect or a sampling covariance, directly or over other rows. The
covariance of all rows is block-diagonal, so every quantity of the likelihood is a sum over blocks: the
cost is the sum of the cubes of their sizes, and no matrix of all rows is formed. Blocks of one size are
stacked, so that a thousand studies of five effects are one array of shape (1000, 5, 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from nwbswitch.schemas.errors import FitError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Numbers in all blocks together, and in one stack.
MAX_NUMBERS: Final = 50_000_000
_STACK: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Stack:
    """Blocks of one size: the rows (blocks, m) they hold and their sampling covariance (blocks, m, m)."""

    rows: np.ndarray
    known: np.ndarray


def independent_blocks(known: csr_array, groups: Sequence[np.ndarray]) -> np.ndarray:
    """Return the block (rows,) of every row, numbered from 0 in the order of the first row of each.

    Parameters
    ----------
    known
        Sampling covariance of all rows, sparse (rows, rows).
    groups
        Codes (rows,) of each grouping whose members depend on each other.
    """
    from scipy.sparse import coo_array, csgraph

    n = known.shape[0]
    offset, starts, ends = n, [], []
    for codes in groups:
        starts.append(np.arange(n))
        ends.append(codes + offset)
        offset += int(codes.max()) + 1
    linked = known.tocoo()
    off = linked.data != 0.0
    starts.append(linked.coords[0][off])
    ends.append(linked.coords[1][off])
    one, other = np.concatenate(starts), np.concatenate(ends)
    graph = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(offset, offset))
    found = np.asarray(csgraph.connected_components(graph, directed=False)[1][:n])
    _, first, codes = np.unique(found, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[codes])


def stacks(known: csr_array, block: np.ndarray) -> tuple[Stack, ...]:
    """Return the blocks, those of one size together.

    Parameters
    ----------
    known
        Sampling covariance, sparse (rows, rows); zero between blocks.
    block
        Block (rows,) of every row.

    Raises
    ------
    FitError
        If the blocks are too large to be held.
    """
    sizes = np.bincount(block)
    if float(np.sum(sizes.astype(float) ** 2)) > MAX_NUMBERS:
        raise FitError(
            f"The largest of the {len(sizes)} independent blocks of rows has {int(sizes.max())} rows; their "
            f"covariances hold more than {MAX_NUMBERS:,} numbers. Pool the effects inside its studies first."
        )
    order = np.argsort(block, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)])
    position = np.empty(len(block), dtype=np.int64)
    position[order] = np.arange(len(block)) - starts[block[order]]
    entries = known.tocoo()
    own = block[entries.coords[0]]
    found = []
    for size in np.unique(sizes):
        members = np.flatnonzero(sizes == size)
        step = max(1, _STACK // int(size) ** 2)
        for first in range(0, len(members), step):
            some = members[first : first + step]
            place = np.full(len(sizes), -1)
            place[some] = np.arange(len(some))
            rows = order[starts[some][:, None] + np.arange(size)]
            dense = np.zeros((len(some), size, size))
            inside = np.flatnonzero(place[own] >= 0)
            i, j = entries.coords[0][inside], entries.coords[1][inside]
            dense[place[own[inside]], position[i], position[j]] = entries.data[inside]
            found.append(Stack(rows, dense))
    return tuple(found)


def require_positive_definite(parts: Sequence[Stack], labels: Sequence[str]) -> None:
    """Raise if the sampling covariance of a block has no inverse.

    Raises
    ------
    FitError
        It has none; the message names the rows.
    """
    for stack in parts:
        scale = np.sqrt(np.diagonal(stack.known, axis1=1, axis2=2))
        unit = stack.known / (scale[:, :, None] * scale[:, None, :])
        lowest = np.linalg.eigvalsh(unit)[:, 0]
        worst = int(np.argmin(lowest))
        if lowest[worst] < 1e-10:
            rows = [int(each) for each in stack.rows[worst]]
            named = ", ".join(labels[each] for each in rows[:6]) + (", ..." if len(rows) > 6 else "")
            raise FitError(
                f"The sampling covariance of the rows {named} is not positive definite (its correlation "
                f"matrix has the eigenvalue {lowest[worst]:.2g}). Effects that are sums of others, or more "
                "effects than animals behind them, cannot be pooled together: leave some out, or check rho."
            )
