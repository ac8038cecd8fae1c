"""From the cells table to event counts: one array of neurons x blocks per session and window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.tables import CELLS

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


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
    sessions is one cluster, else a name that is unique to the session.
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

    Raises
    ------
    TableError
        When the table does not fit its specification, or a neuron has a block of a window twice.
    """
    cells = CELLS.checked(cells)
    if cells.empty:
        raise TableError([_bad("The cells table has no rows.", "cells")])
    keys = ["dataset", "animal", "session", "cell_type"]
    return [
        _session(str(d), str(a), str(s), str(c), rows)
        for (d, a, s, c), rows in cells.groupby(keys, sort=True)
    ]


def _session(dataset: str, animal: str, session: str, cell_type: str, rows: pd.DataFrame) -> SessionCounts:
    place = f"animal {animal}, session {session}"
    codes = rows.groupby(["plane", "neuron"], sort=True).ngroup().to_numpy()
    first = np.unique(codes, return_index=True)[1]
    names = (rows["plane"] + "/" + rows["neuron"].astype(str)).to_numpy(dtype=str)[first]
    tracking = rows["tracking_id"].to_numpy(dtype=str)[first]
    identity = np.where(tracking != "", tracking, [f"{session}/{name}" for name in names])
    if len(set(identity)) < len(identity):
        raise TableError([_bad(f"{place}: two neurons share a tracking id.", "cells.tracking_id")])
    windows = {
        str(window): _window(codes[part], names.size, rows[part], f"{place}, window {window}")
        for window in rows["window"].unique()
        for part in [(rows["window"] == window).to_numpy()]
    }
    return SessionCounts(
        dataset=dataset,
        animal=animal,
        session=session,
        arm=_one(rows, "arm", place),
        order=int(_one(rows, "order", place)),
        cell_type=cell_type,
        anatomical=bool((rows["roi_basis"] == "anatomical").all()),
        simulated=bool(rows["simulated"].any()),
        identity=identity.astype(np.str_),
        windows=windows,
    )


def _window(neuron: NDArray[np.int64], n: int, rows: pd.DataFrame, place: str) -> WindowCounts:
    blocks, block = np.unique(rows["block"].to_numpy(), return_inverse=True)
    cell = neuron * blocks.size + block
    if np.unique(cell).size < cell.size:
        raise TableError([_bad(f"{place}: a neuron has the same block twice.", "cells.block")])
    half = np.zeros(blocks.size, dtype=np.int64)
    half[block] = rows["half"].to_numpy()
    if not np.isin(half, (1, 2)).all() or (half[block] != rows["half"].to_numpy()).any():
        raise TableError([_bad(f"{place}: half must be 1 or 2, the same for all neurons.", "cells.half")])

    def grid(column: str) -> Floats:
        values = rows[column].to_numpy(dtype=float)
        if not np.isfinite(values).all() or (values < 0).any():
            raise TableError([_bad(f"{place}: {column} has negative or infinite values.", f"cells.{column}")])
        filled = np.zeros(n * blocks.size)
        filled[cell] = values
        return filled.reshape(n, blocks.size)

    start_s = np.zeros(blocks.size)
    start_s[block] = rows["start_s"].to_numpy(dtype=float)
    return WindowCounts(grid("n_events"), grid("n_negative"), grid("exposure_s"), half, start_s)


def _one(rows: pd.DataFrame, column: str, place: str) -> str:
    values = rows[column].unique()
    if len(values) > 1:
        found = ", ".join(map(repr, map(str, values)))
        raise TableError([_bad(f"{place}: {column} must be one value, found {found}.", f"cells.{column}")])
    return str(values[0])


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
