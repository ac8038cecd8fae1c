"""Objects of an HDF5 file to which only references lead: a walk along links never meets them.

A reference in a dataset or attribute can name any object header of the file, so also one that no link names
and whose data lie in another file. Here the addresses are read as numbers, and only unknown ones are opened.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_REFERENCES = 20_000_000
MAX_OPENED = 100_000


class TooManyReferencesError(ValueError):
    """More references than any recording needs."""


def has_references(kind: Any) -> bool:
    """Tell whether there are references in values of a low-level type of h5py."""
    return next(_reference_paths(kind), None) is not None


def referred(owner: Any, values: Any, met: Collection[int]) -> Iterator[Any]:
    """Yield the objects that the references in a dataset or attribute name, without those that were met.

    Parameters
    ----------
    owner
        Low-level identifier of the dataset, or of the object that has the attribute.
    values
        Low-level identifier of the dataset or attribute.
    met
        Addresses of objects that are known.

    Raises
    ------
    TooManyReferencesError
        When there are more than `MAX_REFERENCES`, or more than `MAX_OPENED` that have to be opened.
    """
    import h5py

    kind = values.get_type()
    for path in _reference_paths(kind):
        count = values.get_space().get_simple_extent_npoints()
        if not count:
            return
        if count > MAX_REFERENCES:
            raise TooManyReferencesError
        addresses = _addresses(values, kind, path)
        if addresses is not None and all(address in met for address in np.unique(addresses).tolist()):
            continue
        if count > MAX_OPENED:
            raise TooManyReferencesError
        for reference in _objects(values, path):
            try:
                found = h5py.h5r.dereference(reference, owner) if reference else None
            except (KeyError, OSError, RuntimeError, ValueError):
                continue  # it leads to nothing, for whoever follows it too
            if found is not None:
                yield found


def _reference_paths(kind: Any, path: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Yield the places of references in a type, as positions of members of compounds."""
    import h5py

    place = kind.get_class()
    if place == h5py.h5t.REFERENCE:
        yield path
    elif place in (h5py.h5t.ARRAY, h5py.h5t.VLEN):
        yield from _reference_paths(kind.get_super(), path)
    elif place == h5py.h5t.COMPOUND:
        for position in range(kind.get_nmembers()):
            yield from _reference_paths(kind.get_member_type(position), (*path, position))


def _addresses(values: Any, kind: Any, path: tuple[int, ...]) -> NDArray[np.uint64] | None:
    """Return the addresses in object references that stand alone or in a flat compound, else nothing."""
    import h5py

    member = kind.get_member_type(path[0]) if path else kind
    if len(path) > 1 or not member.equal(h5py.h5t.STD_REF_OBJ):
        return None
    wanted: Any = h5py.h5t.STD_REF_OBJ
    if path:
        wanted = h5py.h5t.create(h5py.h5t.COMPOUND, 8)
        wanted.insert(kind.get_member_name(path[0]), 0, h5py.h5t.STD_REF_OBJ)
    found = np.zeros(values.shape, np.uint64)
    if isinstance(values, h5py.h5d.DatasetID):
        values.read(h5py.h5s.ALL, h5py.h5s.ALL, found, mtype=wanted)
    else:
        values.read(found, mtype=wanted)
    named: NDArray[np.uint64] = found[found != 0]
    return named


def _objects(values: Any, path: tuple[int, ...]) -> Iterator[Any]:
    """Yield the references one by one, whatever holds them."""
    import h5py

    found: Any = np.empty(values.shape, values.dtype)
    if isinstance(values, h5py.h5d.DatasetID):
        values.read(h5py.h5s.ALL, h5py.h5s.ALL, found)
    else:
        values.read(found)
    for position in path:
        found = found[found.dtype.names[position]]
    todo = [found]
    while todo:
        each = todo.pop()
        if isinstance(each, np.ndarray):
            todo.extend(each.ravel().tolist() if each.dtype == object else each.ravel())
        else:
            yield each
