"""Which stored pieces parts of arrays need, and where what is in them goes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from nwbswitch.analysis.access.arrays import Part
from nwbswitch.analysis.access.byte_ranges import GAP_BYTES
from nwbswitch.analysis.access.stored_array import StoredArray

Selection = tuple[slice, ...]

SPAN_BYTES = 4 << 20
"""Longest piece of an array without chunks that is read at once."""
MAX_CHUNK_BYTES = 1 << 30
"""Of one chunk, stored or not; HDF5 itself allows 4 GiB."""


@dataclass(frozen=True, slots=True)
class Use:
    """What one part takes from a piece."""

    part: int
    """Position in the parts that were asked for."""
    inside: Selection
    """Of the piece."""
    into: Selection
    """Of the part."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk, or a span of an array without chunks."""

    array: StoredArray
    offset: int
    """In the file, bytes; -1 where nothing was written, and the fill value stands for all."""
    n_bytes: int
    """As stored."""
    shape: tuple[int, ...]
    """Of the values in it."""
    skipped: int
    """Mask of filters that were not applied."""
    uses: tuple[Use, ...]

    @property
    def plain_bytes(self) -> int:
        """Bytes of the values in it."""
        return math.prod(self.shape) * np.dtype(self.array.dtype).itemsize


def checked_selection(array: StoredArray, selection: Sequence[slice]) -> Selection:
    """Return a selection with plain starts and stops.

    Raises
    ------
    ValueError
        When it has steps, another number of dimensions, or does not lie inside the array.
    """
    plain = []
    for each, length in zip(selection, array.shape, strict=True):
        start = 0 if each.start is None else int(each.start)
        stop = length if each.stop is None else int(each.stop)
        if each.step not in (None, 1) or not 0 <= start <= stop <= length:
            raise ValueError(f"{selection} is not a part of an array of shape {array.shape}")
        plain.append(slice(start, stop))
    return tuple(plain)


def planned_pieces(parts: Sequence[Part]) -> list[Piece]:
    """Return every piece that the parts need once, ordered by its place in the file; first unwritten ones.

    Parts that byte ranges are not enough for are passed over.

    Raises
    ------
    ValueError
        When the list of chunks of an array does not fit its shape, or chunks are impossibly large.
    """
    pieces: list[Piece] = []
    shared: dict[tuple[str, int], tuple[StoredArray, list[Use]]] = {}
    for number, (array, selection) in enumerate(parts):
        if not array.by_ranges or any(each.start == each.stop for each in selection):
            continue
        _check(array)
        if _is_chunked(array):
            for chunk, use in _touched(array, selection, number):
                shared.setdefault((array.object_path, chunk), (array, []))[1].append(use)
        else:
            pieces += _spans(array, selection, number)
    pieces += [_chunk(array, chunk, uses) for (_, chunk), (array, uses) in shared.items()]
    return sorted(pieces, key=lambda piece: piece.offset)


def _check(array: StoredArray) -> None:
    counts = {array.offsets.size, array.sizes.size, array.skipped.size}
    if counts != {math.prod(array.grid)}:
        raise ValueError(f"the list of chunks of {array.object_path} does not fit its shape")
    chunk_bytes = math.prod(array.chunk_shape) * np.dtype(array.dtype).itemsize
    if _is_chunked(array) and max(chunk_bytes, int(array.sizes.max())) > MAX_CHUNK_BYTES:
        raise ValueError(f"the chunks of {array.object_path} have more than {MAX_CHUNK_BYTES >> 20} MiB")
    if int(array.sizes.min()) < 0:
        raise ValueError(f"a chunk of {array.object_path} has a negative size")


def _is_chunked(array: StoredArray) -> bool:
    return array.chunk_shape != array.shape or bool(array.filters)


def _chunk(array: StoredArray, number: int, uses: Sequence[Use]) -> Piece:
    return Piece(
        array=array,
        offset=int(array.offsets[number]),
        n_bytes=int(array.sizes[number]),
        shape=array.chunk_shape,
        skipped=int(array.skipped[number]),
        uses=tuple(uses),
    )


def _touched(array: StoredArray, selection: Selection, part: int) -> Iterator[tuple[int, Use]]:
    """Yield the number of each chunk that a selection touches, and what is taken from it."""
    axes = []
    step = math.prod(array.grid)
    for each, length, n in zip(selection, array.chunk_shape, array.grid, strict=True):
        step //= n
        places = []
        for place in range(each.start // length, -(-each.stop // length)):
            base = place * length
            start, stop = max(each.start, base), min(each.stop, base + length)
            inside = slice(start - base, stop - base)
            places.append((place * step, inside, slice(start - each.start, stop - each.start)))
        axes.append(places)
    for chosen in product(*axes):
        number = sum(each[0] for each in chosen)
        yield number, Use(part, tuple(each[1] for each in chosen), tuple(each[2] for each in chosen))


def _spans(array: StoredArray, selection: Selection, part: int) -> Iterator[Piece]:
    """Yield the spans of an array without chunks that hold a selection.

    A span is whole along all but one of its last axes. Where little lies between the runs of a selection,
    the axis with gaps is read whole, and cut later.
    """
    shape = array.shape
    itemsize = np.dtype(array.dtype).itemsize
    base = int(array.offsets[0])
    if base < 0:
        whole = tuple(slice(0, each.stop - each.start) for each in selection)
        yield Piece(array, -1, 0, tuple(each.stop for each in whole), 0, (Use(part, whole, whole),))
        return
    strides = [math.prod(shape[axis + 1 :]) * itemsize for axis in range(len(shape))]
    axis = _run_axis(shape, selection, strides)
    rows = slice(0, 1) if axis < 0 else selection[axis]
    stride = strides[axis] if axis >= 0 else itemsize
    inner = selection[axis + 1 :]
    step = max(SPAN_BYTES // stride, 1)
    outer = [range(each.start, each.stop) for each in selection[: max(axis, 0)]]
    for place in product(*outer):
        start = base + sum(index * strides[level] for level, index in enumerate(place))
        before = tuple(
            slice(index - each.start, index - each.start + 1)
            for index, each in zip(place, selection, strict=False)
        )
        for row in range(rows.start, rows.stop, step):
            n = min(step, rows.stop - row)
            into_rows = slice(row - rows.start, row - rows.start + n)
            into = (*before, into_rows, *(slice(0, each.stop - each.start) for each in inner))
            inside = (*(slice(0, 1) for _ in place), slice(0, n), *inner)
            if axis < 0:
                into = inside = ()
            piece_shape = (*(1 for _ in place), n, *shape[axis + 1 :]) if axis >= 0 else ()
            yield Piece(array, start + row * stride, n * stride, piece_shape, 0, (Use(part, inside, into),))


def _run_axis(shape: tuple[int, ...], selection: Selection, strides: Sequence[int]) -> int:
    """Return the axis along which runs of a selection lie: all later axes are read whole; -1 for a scalar."""
    axis = len(shape) - 1
    while axis > 0:
        run = (selection[axis].stop - selection[axis].start) * strides[axis]
        if strides[axis - 1] - run > GAP_BYTES or strides[axis - 1] > SPAN_BYTES:
            break
        axis -= 1
    return axis
