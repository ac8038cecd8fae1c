"""From the cells table to event counts: one array of neurons x blocks per session and window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nwbswitch.analysis.estimands.cell_rows import SessionRows, rows_by_session
from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.tables import CELLS

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Places = NDArray[np.intp]
_LARGEST_SPREAD = 50
_SMALL_GRID = 100_000


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """Counts of one session in one window.

    Attributes
    ----------
    events
        Events, shape (neurons, blocks).
    negative
        Crossings of the mirrored trace, shape (neurons, blocks).
    exposure_s
        Time of valid frames, shape (neurons, blocks), s; 0 where a neuron has no such block.
    half
        Interleaved half of each block, 1 or 2, shape (blocks,).
    start_s
        Start of each block on the session clock, shape (blocks,), s; None when it is not known.
    """

    events: Floats
    negative: Floats
    exposure_s: Floats
    half: NDArray[np.int64]
    start_s: Floats | None = None


@dataclass(frozen=True, slots=True)
class HalfCounts:
    """Sums over the blocks of each interleaved half, shape (neurons, 2); exposure in s."""

    events: Floats
    exposure_s: Floats
    negative: Floats

    def of(self, chosen: Bools) -> HalfCounts:
        """Return the counts of the chosen neurons."""
        return HalfCounts(self.events[chosen], self.exposure_s[chosen], self.negative[chosen])


@dataclass(frozen=True, slots=True)
class SessionCounts:
    """Neurons of one cell type in one recording session.

    ``identity`` names each neuron, shape (neurons,): the tracking id, so that a neuron followed over
    sessions is one cluster, else a name that is unique to the session. ``rois`` are their planes and
    numbers in the file, empty when not known; ``event_bases`` what was counted, empty when not stated.
    """

    dataset: str
    animal: str
    session: str
    arm: str
    order: int
    cell_type: str
    anatomical: bool
    simulated: bool
    identity: NDArray[np.str_]
    windows: dict[str, WindowCounts]
    rois: NDArray[np.str_] = field(default_factory=lambda: np.array([], dtype=np.str_))
    event_bases: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two windows of one session that are compared."""

    name: str
    before: str
    after: str


DRUG = Contrast("drug", "baseline", "drug")
PSEUDO = Contrast("pseudo", "pseudo_baseline", "pseudo_drug")


def read_sessions(cells: pd.DataFrame) -> list[SessionCounts]:
    """Return the counts of every session and cell type, ordered by animal, session and cell type.

    See `nwbswitch.analysis.estimands.counts_reader.read_cells` for a file that is larger than memory.

    Raises
    ------
    TableError
        When the table does not fit its specification, or a neuron has a block of a window twice.
    """
    if not isinstance(cells, pd.DataFrame):
        raise TypeError(f"the cells table must be a pandas DataFrame, not {type(cells).__name__}")
    found = CELLS.issues(cells)
    if found:
        raise TableError(found)
    if cells.empty:
        raise TableError([_bad("The cells table has no rows.", "cells")])
    return [session_counts(rows) for rows in rows_by_session(cells)]


def session_counts(rows: SessionRows) -> SessionCounts:
    """Return the counts of one session and cell type from its rows in any order.

    Raises
    ------
    TableError
        When rows contradict each other.
    """
    dataset, animal, session, cell_type = rows.key
    place = f"animal {animal}, session {session}"
    for column in ("exposure_s", "n_events", "n_negative"):
        values = getattr(rows, column)
        if not np.isfinite(values).all() or (values < 0).any():
            raise TableError([_bad(f"{place}: {column} has negative or infinite values.", f"cells.{column}")])
    low = int(rows.neuron.min())
    span = int(rows.neuron.max()) - low + 1
    if span > 2**40:
        raise TableError([_bad(f"{place}: neuron numbers span {span}.", "cells.neuron")])
    rois, first, neuron = np.unique(
        rows.plane.codes.astype(np.int64) * span + (rows.neuron - low), return_index=True, return_inverse=True
    )
    tracking = rows.tracking.codes[first]
    if (tracking[neuron] != rows.tracking.codes).any():
        raise TableError([_bad(f"{place}: a neuron has two tracking ids.", "cells.tracking_id")])
    planes = rows.plane.values[rois // span]
    names = [f"{plane}/{number}" for plane, number in zip(planes, rois % span + low, strict=True)]
    known = rows.tracking.values[tracking]
    identity = np.array(
        [text or f"{session}/{name}" for text, name in zip(known, names, strict=True)], dtype=np.str_
    )
    if np.unique(identity).size < identity.size:
        raise TableError([_bad(f"{place}: two neurons share a tracking id.", "cells.tracking_id")])
    windows = {
        str(window): _window(
            rows, np.flatnonzero(rows.window.codes == code), neuron, rois.size, f"{place}, window {window}"
        )
        for code, window in enumerate(rows.window.values)
    }
    return SessionCounts(
        dataset=dataset,
        animal=animal,
        session=session,
        arm=_one(rows.arms, "arm", place),
        order=int(_one(map(str, rows.orders), "order", place)),
        cell_type=cell_type,
        anatomical=rows.anatomical,
        simulated=rows.simulated,
        identity=identity,
        windows=windows,
        rois=np.array(names, dtype=np.str_),
        event_bases=rows.event_bases,
    )


def _window(rows: SessionRows, part: Places, neuron: Places, n: int, place: str) -> WindowCounts:
    """Return the counts of the rows ``part`` of one window; ``neuron`` numbers all rows' neurons."""
    blocks, block = np.unique(rows.block[part], return_inverse=True)
    if n * blocks.size > _LARGEST_SPREAD * part.size + _SMALL_GRID:
        problem = f"{place}: {part.size} rows for {n} neurons and {blocks.size} blocks."
        raise TableError([_bad(f"{problem} Number the blocks alike for all neurons.", "cells.block")])
    cell = neuron[part] * blocks.size + block
    if np.bincount(cell, minlength=1).max() > 1:
        raise TableError([_bad(f"{place}: a neuron has the same block twice.", "cells.block")])
    half, own = np.zeros(blocks.size, dtype=np.int64), rows.half[part]
    half[block] = own
    if not np.isin(half, (1, 2)).all() or (half[block] != own).any():
        raise TableError([_bad(f"{place}: half must be 1 or 2, the same for all neurons.", "cells.half")])
    start_s = np.zeros(blocks.size)
    start_s[block] = rows.start_s[part]

    def grid(values: Floats) -> Floats:
        filled = np.zeros(n * blocks.size)
        filled[cell] = values[part]
        table = filled.reshape(n, blocks.size)
        # One row stands for all where all are the same, which halves the memory of exposures.
        return np.broadcast_to(table[0].copy(), table.shape) if (table == table[0]).all() else table

    return WindowCounts(grid(rows.n_events), grid(rows.n_negative), grid(rows.exposure_s), half, start_s)


def _one(found: Iterable[str], column: str, place: str) -> str:
    values = sorted(found)
    if len(values) > 1:
        shown = ", ".join(map(repr, values))
        raise TableError([_bad(f"{place}: {column} must be one value, found {shown}.", f"cells.{column}")])
    return values[0]


def _bad(message: str, item: str) -> Issue:
    return issue("bad-cell", message, place=Place(item=item))


def halves(window: WindowCounts, *, without: int | None = None) -> HalfCounts:
    """Return the sums over the interleaved halves, leaving out the block ``without`` if given."""
    pick = np.stack([window.half == 1, window.half == 2], axis=1).astype(float)
    if without is not None:
        pick[without] = 0
    return HalfCounts(window.events @ pick, window.exposure_s @ pick, window.negative @ pick)


def comparable(session: SessionCounts, contrast: Contrast) -> Bools | None:
    """Return which neurons have exposure in both halves of both windows, None if a window is missing."""
    if contrast.before not in session.windows or contrast.after not in session.windows:
        return None
    exposed = [halves(session.windows[name]).exposure_s for name in (contrast.before, contrast.after)]
    both: Bools = np.all(np.concatenate(exposed, axis=1) > 0, axis=1)
    return both


def half_counts(session: SessionCounts, contrast: Contrast) -> tuple[HalfCounts, HalfCounts, Bools] | None:
    """Return counts before and after, and which neurons of the session they hold; None without any."""
    chosen = comparable(session, contrast)
    if chosen is None or not chosen.any():
        return None
    before, after = (halves(session.windows[name]).of(chosen) for name in (contrast.before, contrast.after))
    return before, after, chosen


def by_animal(sessions: Iterable[SessionCounts]) -> dict[str, list[SessionCounts]]:
    """Return the sessions of each animal, animals sorted by name, sessions in the given order."""
    grouped: dict[str, list[SessionCounts]] = {}
    for session in sessions:
        grouped.setdefault(session.animal, []).append(session)
    return dict(sorted(grouped.items()))


def count_neurons(sessions: Sequence[SessionCounts]) -> int:
    """Return the number of neurons, one that is followed over sessions counted once."""
    return len({(each.animal, name) for each in sessions for name in each.identity})
