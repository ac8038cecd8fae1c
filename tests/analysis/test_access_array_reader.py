"""Parts of arrays by byte ranges: identical to h5py for all that it can write, and never a wrong number."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from near_files import near
from range_server import Fault, RangeServer

from nwbswitch.analysis.access import array_plan, array_reader, chunk_decoding, stored_dataset
from nwbswitch.analysis.access.array_reader import ArrayReader
from nwbswitch.analysis.access.chunk_decoding import DamagedChunkError, decoded, fletcher32
from nwbswitch.analysis.access.http_bytes import HttpBytes
from nwbswitch.analysis.access.http_limits import HttpLimits
from nwbswitch.analysis.access.http_route import Location
from nwbswitch.analysis.access.stored_array import Filter, StoredArray
from nwbswitch.analysis.access.stored_dataset import stored_array
from nwbswitch.schemas.errors import InputFileError

DTYPES = ["?", "i1", "u1", *(order + kind for order in "<>" for kind in ("i2", "u2", "i4", "u4", "i8", "u8"))]
DTYPES += [order + kind for order in "<>" for kind in ("f2", "f4", "f8")]


def random_values(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return values with all bit patterns, NaN and infinities included, of which half repeat."""
    count = math.prod(shape)
    octets = rng.integers(0, 256, count * dtype.itemsize, dtype=np.uint8)
    if dtype.kind == "b":
        octets %= 2
    octets[rng.random(octets.size) < 0.5] = 0
    return octets.view(dtype).reshape(shape)


def random_plan(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Return a creation property list: any layout, filters in any order, perhaps a fill value."""
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    if dtype.kind != "b" and rng.random() < 0.5:
        plan.set_fill_value(random_values(rng, (), dtype))
    layout = rng.choice(["chunked", "chunked", "chunked", "contiguous", "compact"])
    if layout == "compact" and math.prod(shape) * dtype.itemsize < 30_000:
        plan.set_layout(h5py.h5d.COMPACT)
    elif layout == "chunked" and shape:
        plan.set_chunk(tuple(int(rng.integers(1, max(length, 1) + 3)) for length in shape))
        filters = ["shuffle", "gzip", "fletcher32", "lzf"]
        for name in rng.permutation(filters)[: rng.integers(0, 4)]:
            if name == "shuffle":
                plan.set_shuffle()
            elif name == "gzip":
                plan.set_deflate(int(rng.integers(0, 10)))
            elif name == "fletcher32":
                plan.set_fletcher32()
            elif rng.random() < 0.3:
                plan.set_filter(h5py.h5z.FILTER_LZF, h5py.h5z.FLAG_OPTIONAL)
    return plan


def random_space(rng: np.random.Generator, shape: tuple[int, ...], plan: Any) -> Any:
    """Return a data space that can grow along some axes; HDF5 finds the chunks in other ways then."""
    if not shape:
        return h5py.h5s.create(h5py.h5s.SCALAR)
    if plan.get_layout() != h5py.h5d.CHUNKED:
        return h5py.h5s.create_simple(shape)
    grows = rng.random(len(shape)) < rng.choice([0, 0.5, 1])
    most = tuple(
        h5py.h5s.UNLIMITED if each else max(length, chunk)
        for each, length, chunk in zip(grows, shape, plan.get_chunk(), strict=True)
    )
    return h5py.h5s.create_simple(shape, most)


def random_file(path: Path, rng: np.random.Generator) -> list[str]:
    """Write datasets of all kinds, some only in part, and return their names."""
    libver = str(rng.choice(["earliest", "v108", "v110", "latest"]))
    names = []
    with h5py.File(
        path, "w", libver=(libver, "latest"), userblock_size=int(rng.choice([0, 0, 0, 512]))
    ) as file:
        for number in range(12):
            dtype = np.dtype(str(rng.choice(DTYPES)))
            shape = tuple(rng.integers(rng.random(rng.integers(0, 4)) > 0.1, 40).tolist())
            plan = random_plan(rng, shape, dtype)
            space = random_space(rng, shape, plan)
            name = f"group{number % 3}/data{number}"
            file.require_group(f"group{number % 3}")
            kind = h5py.h5t.py_create(dtype)
            low = h5py.h5d.create(file.id, name.encode(), kind, space, plan)
            dataset = h5py.Dataset(low)
            for _ in range(rng.integers(0, 4)):
                part = random_selection(rng, shape)
                size = tuple(each.stop - each.start for each in part)
                dataset[part] = random_values(rng, size, dtype)
            names.append(name)
    return names


def random_selection(rng: np.random.Generator, shape: Sequence[int]) -> tuple[slice, ...]:
    parts = []
    for length in shape:
        ends = np.sort(rng.integers(0, length + 1, 2)) if rng.random() < 0.7 else (0, length)
        parts.append(slice(int(ends[0]), int(ends[1])))
    return tuple(parts)


def read_both(
    path: Path, names: Sequence[str], selections: Sequence[tuple[slice, ...]], reader: ArrayReader
) -> None:
    """Compare what h5py reads and what comes by ranges, bit for bit."""
    with h5py.File(path) as file:
        # Of a single value h5py forgets in which order its bytes were.
        expected = [
            np.asarray(file[name][part]).astype(file[name].dtype)
            for name, part in zip(names, selections, strict=True)
        ]
        arrays = {name: stored_array(file[name]) for name in names}
    found = reader.read_many([(arrays[name], part) for name, part in zip(names, selections, strict=True)])
    for name, one, other in zip(names, expected, found, strict=True):
        assert other.dtype == np.dtype(arrays[name].dtype) == one.dtype, arrays[name]
        assert other.shape == one.shape, arrays[name]
        assert other.tobytes() == one.tobytes(), arrays[name]


@pytest.mark.parametrize("seed", range(40))
def test_any_part_of_any_array_is_as_h5py_reads_it(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path / "a.nwb"
    names = random_file(path, rng)
    for name in ("LEAST_GROUP_BYTES", "GROUP_BYTES"):
        monkeypatch.setattr(array_reader, name, int(rng.choice([50, 5000, 4 << 20])))
    monkeypatch.setattr(array_plan, "SPAN_BYTES", int(rng.choice([1, 50, 4 << 20])))
    monkeypatch.setattr(array_plan, "GAP_BYTES", int(rng.choice([0, 20, 64 << 10])))
    with h5py.File(path) as file:
        shapes = {name: file[name].shape for name in names}
    wanted = [str(name) for name in rng.choice(names, 30)]
    with ArrayReader(near(path), threads=int(rng.integers(1, 4))) as reader:
        read_both(path, wanted, [random_selection(rng, shapes[name]) for name in wanted], reader)


def test_most_random_arrays_are_read_by_ranges_alone(tmp_path: Path) -> None:
    by_ranges = []
    for seed in range(40):
        path = tmp_path / f"{seed}.nwb"
        names = random_file(path, np.random.default_rng(seed))
        with h5py.File(path) as file:
            by_ranges += [stored_array(file[name]).by_ranges for name in names]
    assert 0.4 < np.mean(by_ranges) < 0.9


def test_far_arrays_are_the_same_whatever_goes_wrong_on_the_way(tmp_path: Path) -> None:
    limits = HttpLimits(pause_s=0.01, silence_s=0.5)
    troubles = [Fault.status(500), Fault.truncated(20), Fault.reset(), Fault.status(429), Fault.short_range()]
    with RangeServer() as server:
        for seed in range(8):
            rng = np.random.default_rng(1000 + seed)
            path = tmp_path / f"{seed}.nwb"
            names = random_file(path, rng)
            url = server.add_signed(path.name, path, uses=9)
            source = HttpBytes(lambda renew, url=url: Location(url), name="a", limits=limits)
            with h5py.File(path) as file:
                shapes = {name: file[name].shape for name in names}
            server.plan(*[troubles[number] for number in rng.integers(0, len(troubles), 4)])
            wanted = [str(name) for name in rng.choice(names, 20)]
            with ArrayReader(source) as reader:
                read_both(path, wanted, [random_selection(rng, shapes[name]) for name in wanted], reader)
            assert source.statistics.n_retries


# ---- layouts ----------------------------------------------------------------------------------------------


def file_of(path: Path, data: np.ndarray, **options: Any) -> StoredArray:
    with h5py.File(path, "w") as file:
        return stored_array(file.create_dataset("group/data", data=data, **options))


class Counting:
    """Bytes of a file, and the ranges that were asked of it."""

    def __init__(self, path: Path) -> None:
        self.inner = near(path)
        self.asked: list[tuple[int, int]] = []
        self.name, self.size = self.inner.name, self.inner.size

    def read(self, offset: int, length: int) -> bytes:
        return self.read_many([(offset, length)])[0]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self.asked += ranges
        return self.inner.read_many(ranges)

    def close(self) -> None:
        self.inner.close()


def test_only_chunks_that_are_touched_are_read_and_each_once(tmp_path: Path) -> None:
    data = np.arange(100 * 60, dtype="f4").reshape(100, 60)
    array = file_of(tmp_path / "a", data, chunks=(10, 20), compression="gzip", shuffle=True)
    source = Counting(tmp_path / "a")
    parts = [(slice(5, 15), slice(0, 20)), (slice(12, 13), slice(3, 9)), (slice(0, 1), slice(19, 21))]
    found = ArrayReader(source).read_many([(array, part) for part in parts])
    for part, one in zip(parts, found, strict=True):
        assert np.array_equal(one, data[part])
    chunks = np.array([0, 1, 3])
    assert sorted(source.asked) == sorted(
        zip(array.offsets[chunks].tolist(), array.sizes[chunks].tolist(), strict=True)
    )


def test_of_an_array_without_chunks_only_the_rows_that_are_wanted(tmp_path: Path) -> None:
    data = np.arange(1000 * 300, dtype="f4").reshape(1000, 300)
    array = file_of(tmp_path / "a", data)
    source = Counting(tmp_path / "a")
    found = ArrayReader(source).read_many([(array, (slice(200, 300), slice(None)))])
    assert np.array_equal(found[0], data[200:300])
    assert source.asked == [(int(array.offsets[0]) + 200 * 1200, 100 * 1200)]


def test_of_long_rows_only_the_part_that_is_wanted(tmp_path: Path) -> None:
    data = np.arange(5 * 100_000, dtype="f4").reshape(5, 100_000)
    array = file_of(tmp_path / "a", data)
    source = Counting(tmp_path / "a")
    found = ArrayReader(source).read_many([(array, (slice(1, 4), slice(500, 600)))])
    assert np.array_equal(found[0], data[1:4, 500:600])
    assert [length for _, length in source.asked] == [400] * 3


def test_a_large_span_is_read_in_pieces(tmp_path: Path) -> None:
    data = np.random.default_rng(0).random((5000, 300))
    array = file_of(tmp_path / "a", data)
    source = Counting(tmp_path / "a")
    found = ArrayReader(source, threads=3).read_many([(array, (slice(10, 5000), slice(None)))])
    assert np.array_equal(found[0], data[10:])
    assert len(source.asked) == 3
    assert max(length for _, length in source.asked) <= array_plan.SPAN_BYTES


def test_chunks_that_were_never_written_cost_nothing(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a", "w") as file:
        dataset = file.create_dataset("d", (1000, 10), "f4", chunks=(100, 10), fillvalue=np.nan)
        dataset[200:210] = 1
        array = stored_array(dataset)
        expected = dataset[...]
    assert (array.offsets < 0).sum() == 9
    source = Counting(tmp_path / "a")
    found = ArrayReader(source).read_many([(array, (slice(None), slice(None)))])[0]
    assert np.array_equal(found, expected, equal_nan=True)
    assert len(source.asked) == 1


def test_a_dataset_that_was_made_smaller(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a", "w") as file:
        dataset = file.create_dataset("d", data=np.arange(100), chunks=(7,), maxshape=(None,))
        dataset.resize((33,))
        array = stored_array(dataset)
    assert array.grid == (5,)
    found = ArrayReader(near(tmp_path / "a")).read_many([(array, (slice(None),))])[0]
    assert np.array_equal(found, np.arange(33))


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
def test_arrays_that_grow_along_the_second_axis(libver: str, tmp_path: Path) -> None:
    """HDF5 2.0 says wrong places for their chunks, so the library itself reads them where that can be."""
    data = np.arange(33 * 19).reshape(33, 19)
    with h5py.File(tmp_path / "a", "w", libver=libver) as file:
        array = stored_array(file.create_dataset("d", data=data, chunks=(30, 10), maxshape=(33, None)))
    assert array.by_ranges == (libver == "earliest")
    found = ArrayReader(near(tmp_path / "a")).read_many([(array, (slice(None), slice(1, 19)))])[0]
    assert np.array_equal(found, data[:, 1:])


def test_filters_that_were_skipped_for_a_chunk_are_not_undone(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a", "w") as file:
        dataset = file.create_dataset(
            "d", (40,), "<i4", chunks=(10,), compression="gzip", shuffle=True, fletcher32=True
        )
        plain = np.arange(10, dtype="<i4") * 1000
        planes = plain.view(np.uint8).reshape(10, 4).T.tobytes()
        dataset[0:10] = plain
        dataset.id.write_direct_chunk((10,), plain.tobytes(), 0b111)
        dataset.id.write_direct_chunk((20,), planes, 0b110)
        dataset.id.write_direct_chunk((30,), zlib.compress(plain.tobytes()), 0b101)
        array = stored_array(dataset)
        expected = dataset[...]
    assert array.skipped.tolist() == [0, 7, 6, 5]
    found = ArrayReader(near(tmp_path / "a")).read_many([(array, (slice(3, 40),))])[0]
    assert np.array_equal(found, expected[3:])
    assert np.array_equal(found, np.tile(plain, 4)[3:])


@pytest.mark.parametrize("isal", [True, False], ids=["isal", "zlib"])
def test_both_libraries_unpack_the_same(isal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if isal:
        pytest.importorskip("isal", reason="isal is not installed")
    else:
        monkeypatch.setitem(__import__("sys").modules, "isal", None)
    chunk_decoding._inflater.cache_clear()
    data = np.random.default_rng(0).normal(size=(1000, 50)).round(2)
    array = file_of(tmp_path / "a", data, chunks=(100, 50), compression="gzip", compression_opts=9)
    try:
        reader = ArrayReader(near(tmp_path / "a"))
        assert np.array_equal(reader.read_many([(array, (slice(None), slice(None)))])[0], data)
        for spoilt in (b"", b"\x78\x01", b"nonsense" * 9, zlib.compress(b"a" * 99)[:-1]):
            with pytest.raises(DamagedChunkError):
                decoded(spoilt, [Filter.GZIP], 0, n_bytes=99, itemsize=1)
    finally:
        chunk_decoding._inflater.cache_clear()


def test_an_outline_keeps_where_arrays_lie(tmp_path: Path) -> None:
    from pydantic import TypeAdapter

    data = np.arange(10_000, dtype=">f4").reshape(1000, 10)
    array = file_of(tmp_path / "a", data, chunks=(7, 3), compression="gzip", fillvalue=np.nan)
    adapter = TypeAdapter(StoredArray)
    again = adapter.validate_json(adapter.dump_json(array))
    assert again.offsets.tolist() == array.offsets.tolist()
    found = ArrayReader(near(tmp_path / "a")).read_many([(again, (slice(3, 999), slice(2, 9)))])[0]
    assert np.array_equal(found, data[3:999, 2:9])


# ---- what byte ranges are not enough for ------------------------------------------------------------------


@pytest.mark.parametrize("far", [False, True], ids=["near", "far"])
def test_what_is_left_to_the_library_is_read_by_it(tmp_path: Path, far: bool) -> None:
    path = tmp_path / "a.nwb"
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file.create_dataset("lzf", data=rng.random((100, 20)), chunks=(10, 20), compression="lzf")
        file.create_dataset("scaled", data=rng.integers(0, 99, 500), chunks=(50,), scaleoffset=0)
        file.create_dataset("enum", data=[0, 2, 1], dtype=h5py.enum_dtype({"a": 0, "b": 1, "c": 2}))
        file.create_dataset("big fill", (50,), "i8", chunks=(10,), fillvalue=(1 << 60) + 1)
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.COMPACT)
        compact = h5py.h5d.create(
            file.id, b"compact", h5py.h5t.IEEE_F32BE, h5py.h5s.create_simple((9,)), plan
        )
        h5py.Dataset(compact)[...] = rng.random(9)
        low = h5py.h5d.create(file.id, b"bits", h5py.h5t.STD_B16LE, h5py.h5s.create_simple((9,)))
        low.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(9, dtype="<u2"), mtype=h5py.h5t.STD_B16LE)
        names = list(file)
        assert not any(stored_array(file[name]).by_ranges for name in names)
        shapes = [file[name].shape for name in names]
    with RangeServer() as server:
        url = server.add("a", path)
        source = HttpBytes(lambda renew: Location(url), name="a") if far else near(path)
        with ArrayReader(source) as reader:
            for _ in range(3):
                read_both(path, names, [random_selection(rng, shape) for shape in shapes], reader)


def test_many_tiny_chunks_are_left_to_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_dataset, "MAX_CHUNKS", 99)
    array = file_of(tmp_path / "a", np.arange(100), chunks=(1,))
    assert not array.by_ranges
    assert array.offsets.size == 0
    found = ArrayReader(near(tmp_path / "a")).read_many([(array, (slice(5, 9),))])[0]
    assert found.tolist() == [5, 6, 7, 8]


@pytest.mark.parametrize(
    "value",
    ["text", np.array(["a", "b"], dtype="S1"), np.zeros(3, dtype=[("a", "f4")]), h5py.Empty("f4"), 1 + 2j],
    ids=["text", "texts", "records", "empty", "complex"],
)
def test_what_is_not_numbers_is_refused(tmp_path: Path, value: object) -> None:
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        file["here"] = value
        with pytest.raises(InputFileError, match=r"a\.nwb: holds .* at /here where numbers are needed"):
            stored_array(file["here"])


@pytest.mark.parametrize(
    "part",
    [(slice(0, 11),), (slice(-1, 5),), (slice(5, 4),), (slice(0, 5, 2),), (), (slice(0, 1), slice(0, 1))],
)
def test_selections_outside_are_wrong_arguments(tmp_path: Path, part: tuple[slice, ...]) -> None:
    array = file_of(tmp_path / "a", np.arange(10))
    with pytest.raises(ValueError, match="part of an array|zip"):
        ArrayReader(near(tmp_path / "a")).read_many([(array, part)])


# ---- damage -----------------------------------------------------------------------------------------------

OPTIONS: dict[str, dict[str, Any]] = {
    "gzip": {"compression": "gzip"},
    "shuffle and gzip": {"compression": "gzip", "shuffle": True},
    "checksum": {"fletcher32": True},
    "all": {"compression": "gzip", "shuffle": True, "fletcher32": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_chunk_is_named_and_never_read(seed: int, options: dict[str, Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 50, (100, 30)).astype("f4")
    array = file_of(tmp_path / "a.nwb", data, chunks=(10, 30), **options)
    offset, size = int(array.offsets[4]), int(array.sizes[4])
    octets = bytearray((tmp_path / "a.nwb").read_bytes())
    # The first two bytes of a zlib stream say how it was made; most changes there are harmless.
    octets[offset + int(rng.integers(2, size))] ^= int(rng.integers(1, 256))
    (tmp_path / "a.nwb").write_bytes(octets)
    reader = ArrayReader(near(tmp_path / "a.nwb"))
    assert np.array_equal(reader.read_many([(array, (slice(0, 40), slice(None)))])[0], data[:40])
    words = rf"a\.nwb: is damaged in /group/data: .*, at byte {offset}\."
    for _ in range(2):
        with pytest.raises(InputFileError, match=words):
            reader.read_many([(array, (slice(0, 100), slice(None)))])


def test_a_chunk_that_unpacks_without_end_stops_at_its_size(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(200 << 20))
    with h5py.File(tmp_path / "a", "w") as file:
        dataset = file.create_dataset("d", (1000,), "u1", chunks=(100,), compression="gzip")
        dataset.id.write_direct_chunk((0,), bomb)
        array = stored_array(dataset)
    import tracemalloc

    tracemalloc.start()
    try:
        with pytest.raises(InputFileError, match="it unpacks to more than 100 bytes"):
            ArrayReader(near(tmp_path / "a")).read_many([(array, (slice(0, 5),))])
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def altered(array: StoredArray, **values: Any) -> StoredArray:
    import dataclasses

    return dataclasses.replace(array, **values)


def test_an_index_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    array = file_of(tmp_path / "a", np.arange(100), chunks=(10,), compression="gzip")
    reader = ArrayReader(near(tmp_path / "a"))
    everything = (slice(None),)
    for wrong, words in (
        (altered(array, offsets=array.offsets[:5]), "does not fit its shape"),
        (altered(array, sizes=array.sizes - 1000), "negative size"),
        (altered(array, offsets=array.offsets + 10_000_000), "ends early"),
        (altered(array, sizes=array.sizes * 0 + (1 << 40)), "have more than 1024 MiB"),
        (altered(array, chunk_shape=(1 << 40,), shape=(10 << 40,)), "4 GB in what is read at once"),
        (altered(array, offsets=array.offsets - 1), "is damaged in /group/data"),
        (altered(array, chunk_shape=(5,), shape=(50,)), "is damaged in /group/data"),
    ):
        with pytest.raises(InputFileError, match=words):
            reader.read_many([(wrong, everything)])


def test_the_file_of_an_outline_must_hold_the_same_arrays(tmp_path: Path) -> None:
    array = file_of(tmp_path / "a", np.arange(10), chunks=(5,), compression="lzf")
    for wrong in (
        altered(array, object_path="/nowhere"),
        altered(array, object_path="/group"),
        altered(array, shape=(5,)),
        altered(array, dtype="<f4"),
    ):
        with pytest.raises(InputFileError, match="another array|is damaged in"):
            ArrayReader(near(tmp_path / "a")).read_many([(wrong, (slice(0, 5),))])


@pytest.mark.parametrize("n_bytes", [0, 1, 2, 3, 1000, 1001, 1_500_001])
@pytest.mark.parametrize("fill", [None, 0, 255])
def test_checksums_are_those_of_hdf5(n_bytes: int, fill: int | None, tmp_path: Path) -> None:
    octets = np.random.default_rng(n_bytes).integers(0, 256, n_bytes, dtype=np.uint8)
    if fill is not None:
        octets[:] = fill
    if not n_bytes:
        assert fletcher32(b"") == 0
        return
    array = file_of(tmp_path / "a", octets, chunks=octets.shape, fletcher32=True)
    stored = near(tmp_path / "a").read(int(array.offsets[0]), int(array.sizes[0]))
    assert fletcher32(octets.tobytes()) == int.from_bytes(stored[-4:], "little")
    swapped = stored[:-4] + bytes(stored[place] for place in (-3, -4, -1, -2))
    whole, _ = decoded(swapped, [Filter.FLETCHER32], 0, n_bytes=n_bytes, itemsize=1)
    assert np.array_equal(whole, octets)
