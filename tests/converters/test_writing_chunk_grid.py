"""Chunks, blocks and the walk over both."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nwbswitch.converters.writing.chunk_grid import (
    BLOCK_BYTES,
    CHUNK_BYTES,
    block_shape,
    chunk_shape,
    shape_of,
    shifted,
    tiles,
    whole,
)


@pytest.mark.parametrize(
    ("shape", "itemsize", "expected"),
    [
        ((36_000, 300), 4, (3273, 300)),
        ((3000, 512, 512), 2, (8, 512, 512)),
        ((36_000,), 8, (36_000,)),
        ((10, 4096, 4096), 2, (1, 1024, 2048)),
        ((5, 0, 3), 8, (5, 1, 3)),
    ],
)
def test_chunks_are_whole_rows_of_at_most_four_mebibytes(shape, itemsize, expected):
    assert chunk_shape(shape, itemsize) == expected


@pytest.mark.parametrize("seed", range(50))
def test_chunks_of_any_shape_stay_within_their_limit(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in 10 ** rng.uniform(0, 5, rng.integers(1, 5)))
    itemsize = int(rng.choice([1, 2, 4, 8, 16]))
    chunks = chunk_shape(shape, itemsize)
    assert math.prod(chunks) * itemsize <= CHUNK_BYTES
    assert all(1 <= chunk <= length for chunk, length in zip(chunks, shape, strict=True))


@pytest.mark.parametrize("seed", range(50))
def test_blocks_are_whole_chunks_or_whole_axes(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in 10 ** rng.uniform(0, 4, rng.integers(1, 5)))
    chunks = chunk_shape(shape, 4)
    axes = [int(axis) for axis in rng.permutation(len(shape))]
    block = block_shape(shape, chunks, 4, axes=axes)
    assert math.prod(block) * 4 <= BLOCK_BYTES
    for size, chunk, length in zip(block, chunks, shape, strict=True):
        assert size == length or size % chunk == 0


def test_a_frame_that_is_larger_than_a_block_is_still_read_once():
    shape = (10, 8192, 8192)
    chunks = chunk_shape(shape, 2)
    assert block_shape(shape, chunks, 2, axes=(2, 1, 0)) != (1, 8192, 8192)
    assert block_shape(shape, chunks, 2, axes=(2, 1, 0), together=(1, 2)) == (1, 8192, 8192)


@pytest.mark.parametrize("seed", range(20))
def test_tiles_cover_a_selection_once(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 12, rng.integers(1, 4)))
    tile = tuple(int(rng.integers(1, n + 3)) for n in shape)
    count = np.zeros(shape, int)
    for part in tiles(whole(shape), tile):
        count[part] += 1
        assert all(length <= size for length, size in zip(shape_of(part), tile, strict=True))
        assert all(each.start % size == 0 for each, size in zip(part, tile, strict=True))
    assert (count == 1).all()


def test_shifted_counts_from_the_origin_of_another():
    assert shifted((slice(8, 10), slice(3, 4)), (slice(8, 16), slice(0, 5))) == (slice(0, 2), slice(3, 4))
