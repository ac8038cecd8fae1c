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


def test_both_compressions_make_a_zlib_stream(codec, request):
    assert codec.name == request.node.callspec.params["codec"]
    data = np.arange(10_000, dtype=np.uint8)
    assert zlib.decompress(codec.compress(data)) == data.tobytes()
    assert codec.crc32(data) == zlib.crc32(data)


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
