"""Rows of a cells table as numbers: short codes for text, one set of arrays per session and cell type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.issues import Place, issue
from nwbswitch.schemas.tables import CELLS, TableSpec

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]
Texts = NDArray[np.object_]
SessionKey = tuple[str, str, str, str]
"""Data set, animal, session and cell type."""

MAX_TEXT = 1000
_LARGEST_CODE = 2**62
KEYS = ("dataset", "animal", "session", "cell_type")
_TEXTS = (*KEYS, "plane", "tracking_id", "roi_basis", "arm", "window")
_NUMBERS = ("neuron", "order", "block", "half", "start_s", "exposure_s", "n_events", "n_negative")
NEEDED = TableSpec(
    CELLS.name,
    CELLS.row,
    tuple(
        column for column in CELLS.columns if column.name in (*_TEXTS, *_NUMBERS, "simulated", "event_basis")
    ),
)
"""The columns that estimates are made from."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of text: sorted distinct values, and which of them each row holds."""

    values: Texts
    codes: Codes

    def of(self, rows: slice | Ints) -> Coded:
        """Return these rows, with the values that occur in them."""
        codes = self.codes[rows]
        if self.values.size > 4 * codes.size:
            used, own = np.unique(codes, return_inverse=True)
            return Coded(self.values[used], own.astype(np.int32))
        there = np.bincount(codes, minlength=self.values.size) > 0
        return Coded(self.values[there], (np.cumsum(there) - 1)[codes].astype(np.int32))


@dataclass(frozen=True, slots=True)
class SessionRows:
    """Rows of one session and cell type; arrays have shape (rows,).

    ``arms``, ``orders`` and ``event_bases`` are the values found, of which there should be one.
    """

    key: SessionKey
    arms: frozenset[str]
    orders: frozenset[int]
    event_bases: frozenset[str]
    anatomical: bool
    simulated: bool
    plane: Coded
    tracking: Coded
    window: Coded
    neuron: Ints
    block: Ints
    half: Ints
    start_s: NDArray[np.float64]
    exposure_s: NDArray[np.float64]
    n_events: NDArray[np.float64]
    n_negative: NDArray[np.float64]


def rows_by_session(frame: pd.DataFrame) -> Iterator[SessionRows]:
    """Yield the rows of every session and cell type, sorted by `KEYS`.

    Parameters
    ----------
    frame
        Rows that fit `NEEDED`; columns of text may be categories.
    """
    keys = [_coded(frame[name]) for name in KEYS]
    texts = {name: _coded(frame[name]) for name in ("plane", "tracking_id", "window", "arm", "roi_basis")}
    basis = _coded(frame["event_basis"]) if "event_basis" in frame else None
    numbers = {name: pd.to_numeric(frame[name]).to_numpy(dtype=np.float64) for name in _NUMBERS[4:]}
    whole = {name: _whole(frame[name]) for name in _NUMBERS[:4]}
    simulated = frame["simulated"].to_numpy(dtype=bool)
    group, firsts = _groups(keys)
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group, minlength=len(firsts)))
    for place, (first, end) in enumerate(zip(firsts, ends, strict=True)):
        start = 0 if place == 0 else ends[place - 1]
        rows = order[start:end]
        plane, tracking, window, arm, roi_basis = (each.of(rows) for each in texts.values())
        yield SessionRows(
            key=_key(keys, first),
            arms=frozenset(map(str, arm.values)),
            orders=frozenset(np.unique(whole["order"][rows]).tolist()),
            event_bases=frozenset() if basis is None else frozenset(map(str, basis.of(rows).values)) - {""},
            anatomical=set(roi_basis.values) == {"anatomical"},
            simulated=bool(simulated[rows].any()),
            plane=plane,
            tracking=tracking,
            window=window,
            neuron=whole["neuron"][rows],
            block=whole["block"][rows],
            half=whole["half"][rows],
            start_s=numbers["start_s"][rows],
            exposure_s=numbers["exposure_s"][rows],
            n_events=numbers["n_events"][rows],
            n_negative=numbers["n_negative"][rows],
        )


def rows_per_session(frame: pd.DataFrame) -> Counter[SessionKey]:
    """Return how many rows each session and cell type has; only `KEYS` are needed."""
    keys = [_coded(frame[name]) for name in KEYS]
    group, firsts = _groups(keys)
    sizes = np.bincount(group, minlength=len(firsts)).tolist()
    return Counter({_key(keys, first): size for first, size in zip(firsts, sizes, strict=True)})


def _key(keys: Sequence[Coded], row: int) -> SessionKey:
    dataset, animal, session, cell_type = (str(each.values[each.codes[row]]) for each in keys)
    return dataset, animal, session, cell_type


def _groups(keys: Sequence[Coded]) -> tuple[Ints, Ints]:
    """Return the group of each row, groups sorted by key, and the first row of each."""
    group, n_groups = np.zeros(keys[0].codes.size, dtype=np.int64), 1
    for key in keys:
        if n_groups * key.values.size > _LARGEST_CODE:
            distinct, group = np.unique(group, return_inverse=True)
            n_groups = distinct.size
        group = group * key.values.size + key.codes
        n_groups *= key.values.size
    _, firsts, group = np.unique(group, return_index=True, return_inverse=True)
    return group, firsts


def _coded(values: pd.Series) -> Coded:
    if isinstance(values.dtype, pd.CategoricalDtype):
        held = values.cat.codes.to_numpy()
        texts = np.append(values.cat.categories.to_numpy(dtype=object), "")
        held = np.where(held < 0, texts.size - 1, held)
    else:
        held, uniques = pd.factorize(values, use_na_sentinel=True)
        texts = np.append(np.asarray(uniques, dtype=object), "")
        held = np.where(held < 0, texts.size - 1, held)
    distinct, place = _sorted_texts(texts)
    return Coded(distinct, place[held].astype(np.int32))


def _sorted_texts(texts: Texts) -> tuple[Texts, Ints]:
    """Return the distinct texts sorted, and the place of each; of any length without a grid of letters."""
    words = list(map(str, texts))
    longest = max(map(len, words))
    if longest > MAX_TEXT:
        problem = f"A name of {longest} characters; at most {MAX_TEXT} are read."
        raise TableError([issue("bad-cell", problem, place=Place(item="cells"))])
    distinct = sorted(set(words))
    places = {word: place for place, word in enumerate(distinct)}
    found = np.fromiter((places[word] for word in words), dtype=np.int64, count=len(words))
    return np.array(distinct, dtype=object), found


def _whole(values: pd.Series) -> Ints:
    return np.asarray(pd.to_numeric(values).to_numpy(), dtype=np.int64)


def joined_rows(parts: Sequence[SessionRows]) -> SessionRows:
    """Return the rows of one session that came in several parts."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return SessionRows(
        key=first.key,
        arms=frozenset().union(*(each.arms for each in parts)),
        orders=frozenset().union(*(each.orders for each in parts)),
        event_bases=frozenset().union(*(each.event_bases for each in parts)),
        anatomical=all(each.anatomical for each in parts),
        simulated=any(each.simulated for each in parts),
        plane=_joined([each.plane for each in parts]),
        tracking=_joined([each.tracking for each in parts]),
        window=_joined([each.window for each in parts]),
        neuron=np.concatenate([each.neuron for each in parts]),
        block=np.concatenate([each.block for each in parts]),
        half=np.concatenate([each.half for each in parts]),
        start_s=np.concatenate([each.start_s for each in parts]),
        exposure_s=np.concatenate([each.exposure_s for each in parts]),
        n_events=np.concatenate([each.n_events for each in parts]),
        n_negative=np.concatenate([each.n_negative for each in parts]),
    )


def _joined(parts: Sequence[Coded]) -> Coded:
    values, place = _sorted_texts(np.concatenate([each.values for each in parts]))
    starts = np.cumsum([0, *(each.values.size for each in parts)])
    codes = [place[start + each.codes] for start, each in zip(starts, parts, strict=False)]
    return Coded(values, np.concatenate(codes).astype(np.int32))
