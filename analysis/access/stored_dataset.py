"""Where the chunks of a dataset of an open HDF5 file lie."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.stored_array import Filter, StoredArray
from nwbswitch.schemas.errors import InputFileError

if TYPE_CHECKING:
    import h5py

MAX_CHUNKS = 1 << 20
"""Datasets with more are left to the HDF5 library."""
MAX_ITEM_BYTES = 8
_FILTERS = {1: Filter.GZIP, 2: Filter.SHUFFLE, 3: Filter.FLETCHER32}
_EXACT_FLOAT = 1 << 53
_NONE: NDArray[np.int64] = np.empty(0, dtype=np.int64)


def stored_array(dataset: h5py.Dataset) -> StoredArray:
    """Return where the values of a dataset of numbers lie in its file.

    What byte ranges are not enough for is marked so (``by_ranges``): filters other than gzip, shuffle and
    fletcher32, values in object headers, numbers that numpy does not have as they are stored, more chunks
    than `MAX_CHUNKS`, and files that begin with something else.

    Raises
    ------
    InputFileError
        For texts, compounds, references and datasets without any values, and where the file is damaged.
    """
    try:
        return _stored(dataset)
    except (OSError, RuntimeError, ValueError, TypeError, OverflowError) as error:
        raise InputFileError(
            str(dataset.file.filename), f"is damaged in {dataset.name}: {str(error)[:200]}."
        ) from error


def _stored(dataset: h5py.Dataset) -> StoredArray:
    import h5py

    where = str(dataset.name)
    kind = np.dtype(dataset.dtype)
    if dataset.shape is None or kind.kind not in "biuf":
        what = "no values" if dataset.shape is None else f"values of the type {kind}"
        raise InputFileError(str(dataset.file.filename), f"holds {what} at {where} where numbers are needed.")
    shape = tuple(int(length) for length in dataset.shape)
    low: Any = dataset.id
    plan = low.get_create_plist()
    layout = plan.get_layout()
    filters = tuple(plan.get_filter(position)[0] for position in range(plan.get_nfilters()))
    fill_value = _fill_value(plan, kind)
    chunk_shape = tuple(int(length) for length in plan.get_chunk()) if layout == h5py.h5d.CHUNKED else shape
    left_to_library = StoredArray(
        object_path=where,
        shape=shape,
        dtype=kind.str,
        chunk_shape=chunk_shape,
        filters=(),
        offsets=_NONE,
        sizes=_NONE,
        skipped=_NONE,
        by_ranges=False,
    )
    if (
        layout not in (h5py.h5d.CHUNKED, h5py.h5d.CONTIGUOUS)
        or not set(filters) <= set(_FILTERS)
        or kind.itemsize > MAX_ITEM_BYTES
        or not low.get_type().equal(h5py.h5t.py_create(kind))
        or fill_value is None
        or dataset.file.userblock_size
        or _n_chunks(shape, chunk_shape) > MAX_CHUNKS
        or (layout == h5py.h5d.CHUNKED and _is_misplaced(dataset))
    ):
        return left_to_library
    places = _chunks(low, shape, chunk_shape) if layout == h5py.h5d.CHUNKED else _span(low, shape, kind)
    if places is None:
        return left_to_library
    offsets, sizes, skipped = places
    return StoredArray(
        object_path=where,
        shape=shape,
        dtype=kind.str,
        chunk_shape=chunk_shape,
        filters=tuple(_FILTERS[each] for each in filters),
        offsets=offsets,
        sizes=sizes,
        skipped=skipped,
        fill_value=fill_value,
    )


def _is_misplaced(dataset: h5py.Dataset) -> bool:
    """Tell whether HDF5 may say wrong places of chunks.

    Version 2.0 and before do for an extensible array, which the newer format uses for datasets that grow
    along one axis, when that is not the first: it counts chunks as if it were. Headers of version 1 belong
    to the older format, which has none.
    """
    import h5py

    growing = [axis for axis, length in enumerate(dataset.maxshape or ()) if length is None]
    return len(growing) == 1 and growing[0] > 0 and h5py.h5o.get_info(dataset.id).hdr.version > 1


def _n_chunks(shape: tuple[int, ...], chunk_shape: tuple[int, ...]) -> int:
    return math.prod(-(-length // chunk) for length, chunk in zip(shape, chunk_shape, strict=True) if chunk)


def _fill_value(plan: Any, kind: np.dtype[Any]) -> float | None:
    """Return what stands for values that were never written, or nothing when a float cannot say it."""
    import h5py

    if plan.fill_value_defined() == h5py.h5d.FILL_VALUE_UNDEFINED:
        return 0.0
    value = np.zeros((), dtype=kind)
    plan.get_fill_value(value)
    if plan.get_fill_time() == h5py.h5d.FILL_TIME_NEVER and value != 0:
        return None
    if kind.kind in "iu" and abs(int(value)) > _EXACT_FLOAT:
        return None
    return float(value)


_Places = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _span(low: Any, shape: tuple[int, ...], kind: np.dtype[Any]) -> _Places | None:
    """Return the one place of a contiguous dataset."""
    n_bytes = math.prod(shape) * kind.itemsize
    offset = low.get_offset()
    if offset is not None and low.get_storage_size() < n_bytes:
        return None
    return (
        np.array([-1 if offset is None else offset], dtype=np.int64),
        np.array([0 if offset is None else n_bytes], dtype=np.int64),
        np.zeros(1, dtype=np.int64),
    )


def _chunks(low: Any, shape: tuple[int, ...], chunk_shape: tuple[int, ...]) -> _Places:
    """Return the places of all chunks in C order of their grid."""
    grid = tuple(-(-length // chunk) for length, chunk in zip(shape, chunk_shape, strict=True))
    count = math.prod(grid)
    offsets = np.full(count, -1, dtype=np.int64)
    sizes = np.zeros(count, dtype=np.int64)
    skipped = np.zeros(count, dtype=np.int64)
    steps = [math.prod(grid[axis + 1 :]) for axis in range(len(grid))]

    def take(chunk: Any) -> None:
        number = 0
        for start, length, n, step in zip(chunk.chunk_offset, chunk_shape, grid, steps, strict=True):
            place = start // length
            if place >= n:
                return  # beyond the end of a dataset that was made smaller
            number += place * step
        offsets[number] = -1 if chunk.byte_offset is None else chunk.byte_offset
        sizes[number] = chunk.size
        skipped[number] = chunk.filter_mask

    if count:
        low.chunk_iter(take)
    return offsets, sizes, skipped
