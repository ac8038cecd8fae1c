"""A chunk as stored is what HDF5's filters would undo."""

from __future__ import annotations

import sys
import zlib

import numpy as np
import pytest

from nwbswitch.converters.writing import chunk_codec


@pytest.fixture(params=["isa-l", "zlib"])
def codec(request, monkeypatch) -> chunk_codec.Codec:
    chunk_codec.codec.cache_clear()
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)
    else:
        pytest.importorskip("isal", reason="isal is not installed")
    yield chunk_codec.codec()
    chunk_codec.codec.cache_clear()


@pytest.mark.parametrize("stored", [0, 1, 65_535, 65_536, 200_000])
@pytest.mark.parametrize("size", [0, 1, 200_000])
def test_streams_are_zlib_streams(codec, request, size, stored):
    assert codec.name == request.node.callspec.params["codec"]
    data = np.random.default_rng(0).integers(0, 9, size).astype(np.uint8)
    packed = chunk_codec.stream(data, stored=min(stored, size))
    assert zlib.decompress(packed) == data.tobytes()
    assert codec.crc32(packed) == zlib.crc32(packed)


def test_noise_is_stored_and_the_rest_is_compressed(codec):
    rng = np.random.default_rng(0)
    movie = rng.normal(2000, 300, (8, 256, 256)).astype(np.int16)
    low, high = chunk_codec.shuffled(movie)
    assert chunk_codec.is_noise(low)
    assert not chunk_codec.is_noise(high)
    packed = chunk_codec.encoded(movie, movie.shape, shuffle=True)
    assert packed.count(low[100_000:100_500].tobytes()) == 1
    everything = zlib.compress(chunk_codec.shuffled(movie), 1)
    assert len(packed) < 1.05 * len(everything)


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: np.arange(1 << 20, dtype=np.uint8),
        lambda rng: np.tile(rng.integers(0, 256, 5000).astype(np.uint8), 200),
        lambda rng: np.where(np.arange(1 << 20) < 1 << 18, rng.integers(0, 256, 1 << 20), 7).astype(np.uint8),
        lambda rng: rng.integers(0, 256, 1000).astype(np.uint8),
    ],
    ids=["ramp", "repeated pattern", "noise in one part only", "few"],
)
def test_what_can_be_compressed_is_not_taken_for_noise(codec, make):
    assert not chunk_codec.is_noise(make(np.random.default_rng(0)))


@pytest.mark.parametrize("dtype", ["?", "i1", "<i2", ">i2", "<f4", "<f8", "<c16"])
@pytest.mark.parametrize("shape", [(5, 7), (4, 7), (1, 1)])
def test_undoing_compression_and_shuffle_gives_the_values_and_zeros_behind_them(codec, dtype, shape):
    values = np.random.default_rng(1).integers(0, 2, shape).astype(dtype)
    chunks = (5, 7)
    size = values.dtype.itemsize
    octets = np.frombuffer(zlib.decompress(chunk_codec.encoded(values, chunks, shuffle=True)), np.uint8)
    full = np.ascontiguousarray(octets.reshape(size, 35).T).view(dtype).reshape(chunks)
    np.testing.assert_array_equal(full[: shape[0], : shape[1]], values)
    assert not full[shape[0] :].any()
    assert not full[:, shape[1] :].any()
    plain = np.frombuffer(zlib.decompress(chunk_codec.encoded(values, chunks, shuffle=False)), dtype)
    np.testing.assert_array_equal(plain.reshape(chunks), full)
