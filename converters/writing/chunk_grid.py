"""Shapes of chunks and of the blocks that are read at once, and the walk over both."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

Selection = tuple[slice, ...]

# The HDF Group advises 2 to 16 MB per chunk for files that are read over a network.
CHUNK_BYTES = 4 << 20
MAX_CHUNK_BYTES = 16 << 20
# Blocks below 32 MiB come from memory that was used before; the GNU C library asks for larger ones anew.
BLOCK_BYTES = 24 << 20
MAX_ROW_BYTES = 256 << 20


def chunk_shape(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Return chunks of at most 4 MiB: whole rows of the first axis, or parts of one where a row is larger.

    Windows of time, which is the first axis in NWB, then need few chunks.
    """
    row = [max(length, 1) for length in shape[1:]]
    while math.prod(row) * itemsize > CHUNK_BYTES and max(row, default=1) > 1:
        largest = row.index(max(row))
        row[largest] = -(-row[largest] // 2)
    rows = max(CHUNK_BYTES // (math.prod(row) * itemsize), 1)
    length = max(shape[0], 1)
    # Equal parts, so that the last chunk is not mostly padding.
    return (-(-length // -(-length // rows)), *row)


def block_shape(
    shape: Sequence[int],
    chunks: Sequence[int],
    itemsize: int,
    *,
    axes: Sequence[int],
    together: Sequence[int] = (),
) -> tuple[int, ...]:
    """Return the shape of what is read at once: whole chunks of together up to 24 MiB.

    Parameters
    ----------
    axes
        Axes along which chunks are joined, in this order.
    together
        Axes that the source reads whole in any case, such as those of a frame: joined up to 256 MiB, since
        they would else be read once for each of their chunks.
    """
    block = [min(chunk, length) for chunk, length in zip(chunks, shape, strict=True)]
    for axis in axes:
        limit = MAX_ROW_BYTES if axis in together else BLOCK_BYTES
        times = limit // max(math.prod(block) * itemsize, 1)
        block[axis] = min(max(times, 1) * chunks[axis], shape[axis])
        if block[axis] < shape[axis]:
            break
    return tuple(block)


def tiles(within: Selection, tile: Sequence[int]) -> Iterator[Selection]:
    """Yield the parts of a selection of at most the shape ``tile``, last axis fastest, each once."""
    yield from product(
        *(
            [slice(start, min(start + step, part.stop)) for start in range(part.start, part.stop, step)]
            for part, step in zip(within, tile, strict=True)
        )
    )


def whole(shape: Sequence[int]) -> Selection:
    """Return the selection of everything."""
    return tuple(slice(0, length) for length in shape)


def shape_of(selection: Selection) -> tuple[int, ...]:
    """Return the shape of what a selection holds."""
    return tuple(part.stop - part.start for part in selection)


def shifted(selection: Selection, origin: Selection) -> Selection:
    """Return a selection as seen from the first element of another."""
    return tuple(
        slice(part.start - zero.start, part.stop - zero.start)
        for part, zero in zip(selection, origin, strict=True)
    )
