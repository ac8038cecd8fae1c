"""Values of NWB files that anyone may have written: their sizes first, then text and numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import h5py

MAX_TEXT_BYTES = 1 << 20
MAX_BYTES = 64 << 20
"""Values that are read in one go: those of a column of texts, which may be stored at any width."""
MAX_NESTING = 5
"""Levels of groups in which tables are looked for: module, interface, table, and two to spare."""
UNSTATED = frozenset(
    {"", "unknown", "unspecified", "not stated", "not specified", "not available", "n/a", "na", "n.a."}
    | {"none", "null", "nan", "undefined", "tbd", "missing", "no description", "no comments", "-", "--", "?"}
)
"""Words that state nothing, in lower case; `stated` returns an empty text for them."""
REPLACED = "�"
"""Stands for bytes that are not UTF-8."""
_HALVES = re.compile("[\ud800-\udfff]")


def plain(value: Any) -> str:
    """Return one value as text on one line; bytes that are not UTF-8 become `REPLACED`."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    # By halves of pairs h5py stands for bytes of attributes that are not UTF-8.
    return " ".join(_HALVES.sub(REPLACED, text).replace("\0", " ").split())


def text_of(node: Any) -> str:
    """Return a dataset, an attribute or a value as text: of several values the first, of none nothing.

    Nothing larger than `MAX_TEXT_BYTES` per value is read.
    """
    if node is None:
        return ""
    if hasattr(node, "id") and hasattr(node, "shape"):
        if not node.shape and node.shape != ():
            return ""
        if math.prod(node.shape) == 0 or node.dtype.itemsize > MAX_TEXT_BYTES:
            return ""
        node = node[(0,) * len(node.shape)]
    if isinstance(node, np.ndarray):
        node = node.ravel()[0] if node.size else ""
    elif isinstance(node, (list, tuple)):
        node = node[0] if node else ""
    if isinstance(node, np.generic):
        node = node.item()
    return plain(node) if isinstance(node, (str, bytes, bool, int, float)) else ""


def stated(node: Any) -> str:
    """Return a dataset, an attribute or a value as text, empty where it only says that it is unknown."""
    words = text_of(node)
    return "" if words.casefold().strip(" .") in UNSTATED else words


def fits(dataset: h5py.Dataset) -> bool:
    """Return whether all values of a dataset together take at most `MAX_BYTES`.

    Texts of variable length count as references to them: what they refer to is no larger than the file.
    """
    return bool(math.prod(dataset.shape or ()) * dataset.dtype.itemsize <= MAX_BYTES)


def numbers_of(node: Any, *, most: int = 16) -> tuple[float, ...]:
    """Return a small numeric dataset or attribute as numbers; empty for anything else or anything larger."""
    shape = getattr(node, "shape", ())
    if node is None or shape is None or math.prod(shape) > most:
        return ()
    if getattr(node, "dtype", np.dtype(float)).kind not in "biuf":
        return ()
    value = node[()] if hasattr(node, "id") else node
    try:
        return tuple(np.asarray(value, dtype=np.float64).ravel().tolist())
    except (TypeError, ValueError):
        return ()


def member(group: Any, path: str) -> Any:
    """Return what a path inside a group leads to, or None: also for links that lead nowhere."""
    try:
        return None if group is None else group.get(path)
    except (KeyError, ValueError, TypeError):
        return None


def group_at(group: Any, path: str) -> h5py.Group | None:
    """Return the group at a path inside a group, or None."""
    import h5py

    found = member(group, path)
    return found if isinstance(found, h5py.Group) else None


def dataset_at(group: Any, path: str) -> h5py.Dataset | None:
    """Return the dataset at a path inside a group, or None."""
    import h5py

    found = member(group, path)
    return found if isinstance(found, h5py.Dataset) and found.shape is not None else None


def fact(group: Any, name: str) -> Any:
    """Return a dataset of a group or, where it has none, the attribute of that name, or None."""
    if group is None:
        return None
    found = dataset_at(group, name)
    return group.attrs.get(name) if found is None else found


def pointed(nwb: h5py.File, reference: Any) -> Any:
    """Return the object that a reference leads to, or None."""
    import h5py

    if not isinstance(reference, h5py.Reference) or not reference:
        return None
    try:
        return nwb[reference]
    except (KeyError, ValueError, TypeError):
        return None


def neurodata_type(node: Any) -> str:
    """Return the NWB type of a group or dataset, or an empty string."""
    return text_of(node.attrs.get("neurodata_type"))


def typed_groups(
    nwb: h5py.File, types: Collection[str], *, tops: Collection[str] = ("processing", "analysis")
) -> Iterator[h5py.Group]:
    """Yield the groups of some NWB types under some top groups, in order of their names.

    Tables and series are not entered, so that far files are asked for few objects.
    """
    return _groups(nwb, tops, lambda group: neurodata_type(group) in types)


def tables_in(nwb: h5py.File, *, tops: Collection[str]) -> Iterator[h5py.Group]:
    """Yield the tables of all types under some top groups, in order of their names."""
    return _groups(nwb, tops, lambda group: "colnames" in group.attrs)


def _groups(
    nwb: h5py.File, tops: Collection[str], is_wanted: Callable[[h5py.Group], bool]
) -> Iterator[h5py.Group]:
    import h5py

    def inside(group: h5py.Group, depth: int) -> Iterator[h5py.Group]:
        for name in group:
            if group.get(name, getclass=True, getlink=True) is not h5py.HardLink:
                continue
            node = group_at(group, name)
            if node is None:
                continue
            if is_wanted(node):
                yield node
            elif depth < MAX_NESTING and "colnames" not in node.attrs and "data" not in node:
                yield from inside(node, depth + 1)

    for top in tops:
        group = group_at(nwb, top)
        if group is not None:
            yield from inside(group, 1)
