"""Whole NWB files: what is written is what every reader reads."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hdmf.backends.hdf5.h5_utils import H5DataIO
from hdmf.common import DynamicTable, DynamicTableRegion, VectorData, VectorIndex
from hdmf.data_utils import DataChunkIterator, GenericDataChunkIterator
from pynwb import NWBHDF5IO, NWBFile, TimeSeries, validate
from pynwb.base import Images
from pynwb.core import ScratchData
from pynwb.image import GrayscaleImage
from pynwb.ophys import Fluorescence, ImageSegmentation, ImagingPlane, OpticalChannel, PlaneSegmentation

from nwbswitch.converters.writing import chunk_codec, hdf5_target
from nwbswitch.converters.writing.chunk_grid import BLOCK_BYTES
from nwbswitch.converters.writing.nwb_writer import write_nwb
from nwbswitch.schemas.errors import InputFileError, NwbswitchError

DTYPES = ["?", "i1", "u1", "<i2", ">i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", ">f4", "<f8"]


class Chunks(GenericDataChunkIterator):
    """An array in the shape of an iterator that remembers what it was asked for."""

    def __init__(self, array: Any, **options: Any) -> None:
        self.array = array
        self.asked: list[tuple[slice, ...]] = []
        super().__init__(**options)

    def _get_data(self, selection: tuple[slice, ...]) -> np.ndarray:
        self.asked.append(selection)
        return np.array(self.array[selection])

    def _get_maxshape(self) -> tuple[int, ...]:
        return self.array.shape

    def _get_dtype(self) -> np.dtype:
        return self.array.dtype


class Synthetic(GenericDataChunkIterator):
    """A recording that is made while it is read."""

    def __init__(
        self, shape: tuple[int, ...], make: Callable[[tuple[slice, ...]], np.ndarray], dtype: str, **options
    ):
        self.shape, self.make, self.declared = shape, make, np.dtype(dtype)
        super().__init__(**options)

    def _get_data(self, selection):
        return self.make(selection)

    def _get_maxshape(self):
        return self.shape

    def _get_dtype(self):
        return self.declared


def new_file() -> NWBFile:
    return NWBFile(
        session_description="A session.", identifier="id", session_start_time=datetime(2024, 5, 1, tzinfo=UTC)
    )


def with_data(data: Any, **values: Any) -> NWBFile:
    nwbfile = new_file()
    nwbfile.add_acquisition(TimeSeries(name="x", data=data, unit="V", **({"rate": 1.0} | values)))
    return nwbfile


def imaging_plane(nwbfile: NWBFile) -> ImagingPlane:
    return nwbfile.create_imaging_plane(
        name="plane",
        optical_channel=OpticalChannel(name="green", description="Green.", emission_lambda=520.0),
        description="A plane.",
        device=nwbfile.create_device(name="microscope"),
        excitation_lambda=920.0,
        indicator="GCaMP6s",
        location="VISp",
    )


def random_array(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Any bits at all: NaN of every kind, infinities, negative zeros."""
    if dtype == "?":
        return rng.integers(0, 2, shape).astype(bool)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(rng.bytes(size), dtype).reshape(shape)


def random_layout(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return shape, chunks and buffer of up to four axes, with edges in any of them."""
    shape = tuple(int(n) for n in rng.integers(1, 30, rng.integers(1, 5)))
    chunks = tuple(int(rng.integers(1, n + 1)) for n in shape)
    buffer = tuple(
        n if rng.random() < 0.3 else min(int(c * rng.integers(1, 4)), n)
        for n, c in zip(shape, chunks, strict=True)
    )
    buffer = tuple(b if b == n or b % c == 0 else n for b, c, n in zip(buffer, chunks, shape, strict=True))
    return shape, chunks, buffer


def same_bits(found: np.ndarray, expected: np.ndarray) -> bool:
    native = expected.astype(expected.dtype.newbyteorder("="))
    return found.shape == native.shape and found.dtype == native.dtype and found.tobytes() == native.tobytes()


@pytest.mark.parametrize("threads", [1, 3])
def test_any_shape_type_and_chunking_reads_back_bit_by_bit(tmp_path, threads):
    rng = np.random.default_rng(threads)
    nwbfile = new_file()
    sources = {}
    for index in range(80):
        shape, chunks, buffer = random_layout(rng)
        array = random_array(rng, shape, DTYPES[index % len(DTYPES)])
        data = Chunks(array, chunk_shape=chunks, buffer_shape=buffer)
        nwbfile.add_scratch(ScratchData(name=f"s{index}", data=data, description="Random."))
        sources[f"/scratch/s{index}"] = (array, chunks, data)
    path = tmp_path / "a.nwb"
    report = write_nwb(nwbfile, path, threads=threads)
    assert {each.name for each in report.datasets} == set(sources)
    assert report.verified
    with h5py.File(path) as file:
        for name, (array, chunks, data) in sources.items():
            dataset = file[name]
            assert same_bits(dataset[()], array), name
            assert dataset.chunks == chunks
            assert dataset.maxshape == (None, *array.shape[1:])
            assert (dataset.compression, dataset.shuffle) == ("gzip", array.dtype.itemsize > 1)
            asked = np.zeros(array.shape, int)
            for selection in data.asked:
                asked[selection] += 1
            assert (asked == 1).all(), f"{name}: something was read twice, or not at all"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "order"), [((70_001,), "C"), ((1003, 150), "C"), ((1003, 150), "F"), ((3, 70, 401, 2), "C")]
)
def test_large_arrays_are_stored_in_chunks_of_our_choice(tmp_path, dtype, shape, order):
    array = np.asarray(random_array(np.random.default_rng(2), shape, dtype), order=order)
    nwbfile = new_file()
    nwbfile.add_scratch(ScratchData(name="s", data=array, description="Random."))
    report = write_nwb(nwbfile, tmp_path / "a.nwb")
    assert [each.name for each in report.datasets] == ["/scratch/s"]
    with h5py.File(tmp_path / "a.nwb") as file:
        assert same_bits(file["/scratch/s"][()], array)


def test_types_are_those_that_pynwb_writes(tmp_path):
    values = np.arange(20_000)

    def build() -> NWBFile:
        nwbfile = new_file()
        for dtype in ("<i2", ">u4", "<f4", ">f8"):
            nwbfile.add_acquisition(
                TimeSeries(
                    name=dtype[1:],
                    data=Chunks(values.astype(dtype), chunk_shape=(999,), buffer_shape=(1998,)),
                    unit="V",
                    timestamps=Chunks(values.astype("<f4"), chunk_shape=(999,), buffer_shape=(1998,)),
                )
            )
        return nwbfile

    with NWBHDF5IO(tmp_path / "pynwb.nwb", "w") as io:
        io.write(build())
    report = write_nwb(build(), tmp_path / "ours.nwb")
    assert len(report.datasets) == 8
    with h5py.File(tmp_path / "pynwb.nwb") as theirs, h5py.File(tmp_path / "ours.nwb") as ours:
        for each in report.datasets:
            assert ours[each.name].dtype == theirs[each.name].dtype
            assert dict(ours[each.name].attrs) == dict(theirs[each.name].attrs)
            np.testing.assert_array_equal(ours[each.name], theirs[each.name])


def test_every_kind_of_object_takes_large_data(tmp_path):
    rng = np.random.default_rng(3)
    nwbfile = new_file()
    plane = imaging_plane(nwbfile)
    table = ImageSegmentation().create_plane_segmentation(
        name="rois", description="ROIs.", imaging_plane=plane
    )
    for index in range(3000):
        table.add_roi(pixel_mask=[(index, 1, 0.5), (index, 2, 0.25)])
    quality = rng.normal(size=3000)
    table.add_column(name="quality", description="Quality.", data=quality)
    module = nwbfile.create_processing_module(name="ophys", description="Imaging.")
    segmentation = table.parent
    module.add(segmentation)
    traces = rng.normal(size=(3000, 400)).astype(np.float32)
    regions = table.create_roi_table_region(description="All.", region=list(range(3000)))
    fluorescence = Fluorescence()
    fluorescence.create_roi_response_series(
        name="raw",
        data=Chunks(traces.T, chunk_shape=(150, 1000), buffer_shape=(300, 3000)),
        rois=regions,
        unit="n.a.",
        timestamps=np.arange(400) / 7.0,
    )
    module.add(fluorescence)
    times = rng.random(30_000)
    labels = [f"event {index}" for index in range(30_000)]
    events = DynamicTable(
        name="events",
        description="Events.",
        columns=[
            VectorData(name="time", description="Time, s.", data=times),
            VectorData(name="label", description="A text.", data=labels),
        ],
    )
    module.add(events)
    image = rng.random((300, 400)).astype(np.float32)
    nwbfile.add_acquisition(Images(name="images", images=[GrayscaleImage(name="mean", data=image)]))
    path = tmp_path / "a.nwb"
    report = write_nwb(nwbfile, path)
    assert {Path(each.name).name for each in report.datasets} == {"data", "time", "mean"}
    assert validate(path=str(path)) == []
    with NWBHDF5IO(path, "r") as io:
        read = io.read()
        ophys = read.processing["ophys"]
        series = ophys["Fluorescence"]["raw"]
        np.testing.assert_array_equal(series.data[:], traces.T)
        assert series.rois[7].index[0] == 7
        np.testing.assert_array_equal(ophys["events"]["time"].data[:], times)
        assert ophys["events"]["label"].data[29_999] == "event 29999"
        np.testing.assert_array_equal(read.acquisition["images"]["mean"].data[:], image)
        rois = ophys["ImageSegmentation"]["rois"]
        assert [tuple(pixel) for pixel in rois["pixel_mask"][2999]] == [(2999, 1, 0.5), (2999, 2, 0.25)]


def test_compounds_are_compressed_by_hdf5(tmp_path):
    masks = np.zeros(20_000, [("x", "<u4"), ("y", "<u4"), ("weight", "<f4")])
    masks["x"] = np.arange(20_000)
    nwbfile = new_file()
    pixels = VectorData(name="pixel_mask", description="Pixels.", data=masks)
    index = VectorIndex(name="pixel_mask_index", data=np.arange(2000, 20_001, 2000), target=pixels)
    rois = PlaneSegmentation(
        name="rois",
        description="ROIs.",
        imaging_plane=imaging_plane(nwbfile),
        id=list(range(10)),
        columns=[pixels, index],
    )
    segmentation = ImageSegmentation(plane_segmentations=[rois])
    nwbfile.create_processing_module(name="ophys", description="Imaging.").add(segmentation)
    write_nwb(nwbfile, tmp_path / "a.nwb")
    with h5py.File(tmp_path / "a.nwb") as file:
        dataset = file["/processing/ophys/ImageSegmentation/rois/pixel_mask"]
        assert (dataset.compression, dataset.shuffle) == ("gzip", True)
        np.testing.assert_array_equal(dataset["x"], masks["x"])


def test_an_h5dataio_keeps_its_settings(tmp_path):
    array = np.arange(90_000, dtype=np.int32).reshape(300, 300)
    nwbfile = with_data(H5DataIO(array, compression="gzip", compression_opts=9, chunks=(7, 300)))
    nwbfile.add_acquisition(
        TimeSeries(
            name="y",
            data=H5DataIO(Chunks(array, chunk_shape=(10, 300), buffer_shape=(30, 300))),
            unit="V",
            rate=1.0,
        )
    )
    assert write_nwb(nwbfile, tmp_path / "a.nwb").datasets == ()
    with h5py.File(tmp_path / "a.nwb") as file:
        dataset = file["/acquisition/x/data"]
        assert (dataset.chunks, dataset.compression_opts) == ((7, 300), 9)
        np.testing.assert_array_equal(dataset, array)
        np.testing.assert_array_equal(file["/acquisition/y/data"], array)


def test_what_has_no_fixed_size_is_left_to_pynwb(tmp_path):
    rows = np.arange(60_000, dtype=np.float64).reshape(3000, 20)
    nwbfile = with_data(
        DataChunkIterator(data=iter(rows), maxshape=(None, 20), dtype=rows.dtype, buffer_size=500)
    )
    nwbfile.add_acquisition(TimeSeries(name="empty", data=np.zeros((0, 9)), unit="V", rate=1.0))
    nwbfile.add_scratch(ScratchData(name="scalar", data=3, description="A number."))
    nwbfile.add_scratch(ScratchData(name="text", data="a" * 100_000, description="A text."))
    table = DynamicTable(
        name="table",
        description="A table.",
        columns=[VectorData(name="text", description="Text.", data=np.array(["a", "bc"] * 20_000))],
    )
    nwbfile.add_scratch(table)
    region = DynamicTableRegion(name="rows", data=[0, 5], description="Rows.", table=table)
    second = DynamicTable(name="second", description="A table.", columns=[region])
    nwbfile.add_scratch(second)
    names = {each.name for each in write_nwb(nwbfile, tmp_path / "a.nwb").datasets}
    assert names == {"/scratch/table/id"} or names == set()
    with NWBHDF5IO(tmp_path / "a.nwb", "r") as io:
        read = io.read()
        np.testing.assert_array_equal(read.acquisition["x"].data[:], rows)
        assert read.acquisition["x"].data.compression == "gzip"
        assert read.acquisition["empty"].data.shape == (0, 9)
        assert read.scratch["table"]["text"].data[39_999] == "bc"
        assert read.scratch["second"]["rows"].data[1] == 5


def test_a_file_in_memory_is_left_as_it_was_and_can_be_written_again(tmp_path):
    array = np.arange(90_000, dtype=np.int32).reshape(300, 300)
    data = Chunks(array, chunk_shape=(10, 300), buffer_shape=(30, 300))
    nwbfile = with_data(data)
    nwbfile.add_acquisition(TimeSeries(name="y", data=array, unit="V", timestamps=np.arange(300.0)))

    def state() -> list[Any]:
        return [
            (
                each,
                each.container_source,
                each.modified,
                {key: id(value) for key, value in each.fields.items() if not isinstance(value, dict)},
            )
            for each in [nwbfile, *nwbfile.acquisition.values()]
        ]

    before = state()
    for name in ("a.nwb", "b.nwb"):
        write_nwb(nwbfile, tmp_path / name)
        assert state() == before
        with h5py.File(tmp_path / name) as file:
            np.testing.assert_array_equal(file["/acquisition/x/data"], array)
    with NWBHDF5IO(tmp_path / "c.nwb", "w") as io:
        io.write(nwbfile)
    with h5py.File(tmp_path / "c.nwb") as file:
        np.testing.assert_array_equal(file["/acquisition/x/data"], array)


def test_a_file_that_was_read_from_disk_is_not_written_elsewhere(tmp_path):
    write_nwb(with_data(np.arange(3.0)), tmp_path / "a.nwb")
    with NWBHDF5IO(tmp_path / "a.nwb", "r") as io, pytest.raises(ValueError, match="belongs to .*a.nwb"):
        write_nwb(io.read(), tmp_path / "b.nwb")
    assert not (tmp_path / "b.nwb").exists()


@pytest.mark.parametrize("options", [{"backend": "tar"}, {"threads": 0}])
def test_wrong_arguments_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match="must be"):
        write_nwb(with_data(np.zeros(100_000)), tmp_path / "a.nwb", **options)


def test_huge_chunks_and_buffers_are_cut_to_what_memory_holds(tmp_path):
    frame = np.arange(4096 * 4096, dtype=np.uint16).reshape(4096, 4096)
    asked = []

    def make(selection):
        asked.append(selection)
        return np.broadcast_to(frame, (6, 4096, 4096))[selection]

    shape = (6, 4096, 4096)
    data = Synthetic(shape, make, "u2", chunk_shape=shape, buffer_shape=shape)
    report = write_nwb(with_data(data), tmp_path / "a.nwb")
    assert report.datasets[0].chunks == (1, 1024, 2048)
    assert [[part.stop - part.start for part in each] for each in asked] == [[1, 4096, 4096]] * 6
    with h5py.File(tmp_path / "a.nwb") as file:
        np.testing.assert_array_equal(file["/acquisition/x/data"][5], frame)


def test_traces_are_read_in_long_runs_of_each_roi(tmp_path):
    """A (rois, frames) file on disk, stored as (frames, rois) in chunks that split the ROIs."""
    traces = np.lib.format.open_memmap(tmp_path / "F.npy", "w+", np.float32, (900, 20_000))
    traces[:] = np.arange(20_000, dtype=np.float32) + np.arange(900, dtype=np.float32)[:, None]
    traces.flush()
    mapped = np.load(tmp_path / "F.npy", mmap_mode="r")
    data = Chunks(mapped.T, chunk_shape=(500, 300), buffer_shape=(20_000, 900))
    nwbfile = with_data(data)
    nwbfile.add_acquisition(TimeSeries(name="y", data=mapped.T, unit="V", rate=1.0))
    write_nwb(nwbfile, tmp_path / "a.nwb")
    assert sum(np.prod([part.stop - part.start for part in each]) for each in data.asked) == mapped.size
    assert (
        min(np.prod([part.stop - part.start for part in each]) for each in data.asked[:-1]) * 4
        > BLOCK_BYTES / 2
    )
    with h5py.File(tmp_path / "a.nwb") as file:
        np.testing.assert_array_equal(file["/acquisition/x/data"], mapped.T)
        np.testing.assert_array_equal(file["/acquisition/y/data"], mapped.T)


def test_a_reader_that_fills_the_same_memory_again_and_again(tmp_path):
    memory = np.empty((100, 500), np.int32)

    def make(selection):
        rows = selection[0]
        memory[: rows.stop - rows.start] = np.arange(rows.start, rows.stop)[:, None]
        return memory[: rows.stop - rows.start]

    data = Synthetic((3050, 500), make, "i4", chunk_shape=(50, 500), buffer_shape=(100, 500))
    write_nwb(with_data(data), tmp_path / "a.nwb")
    with h5py.File(tmp_path / "a.nwb") as file:
        expected = np.broadcast_to(np.arange(3050)[:, None], (3050, 500))
        np.testing.assert_array_equal(file["/acquisition/x/data"], expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda part: np.zeros((1, 10), np.int16), r"delivered \(1, 10\) where \(100, 10\) was asked"),
        (lambda part: np.zeros((100, 10)), "declared int16 but delivered float64"),
    ],
)
def test_a_reader_at_fault_is_named_and_all_threads_end(tmp_path, make, message):
    data = Synthetic((1000, 10), make, "i2", chunk_shape=(50, 10), buffer_shape=(100, 10))
    with pytest.raises(NwbswitchError, match=message):
        write_nwb(with_data(data), tmp_path / "a.nwb")
    assert not [each for each in threading.enumerate() if each.name.startswith(("pack", "store"))]


def test_an_error_of_the_reader_passes_as_it_is(tmp_path):
    def make(selection):
        if selection[0].start >= 500:
            raise OSError(5, "Input/output error")
        return np.zeros((100, 10), np.int16)

    data = Synthetic((1000, 10), make, "i2", chunk_shape=(50, 10), buffer_shape=(100, 10))
    with pytest.raises(OSError, match="Input/output") as caught:
        write_nwb(with_data(data), tmp_path / "a.nwb")
    assert caught.value.filename is None
    assert not [each for each in threading.enumerate() if each.name.startswith(("pack", "store"))]


def test_progress_counts_bytes(tmp_path):
    seen = []
    data = Chunks(np.zeros((1000, 50)), chunk_shape=(90, 20), buffer_shape=(180, 50))
    write_nwb(with_data(data), tmp_path / "a.nwb", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (400_000, 400_000)
    assert seen == sorted(seen)


def test_without_isal_the_file_is_the_same_to_every_reader(tmp_path, monkeypatch):
    array = np.random.default_rng(0).integers(0, 50, (400, 300)).astype(np.int16)
    monkeypatch.setitem(sys.modules, "isal", None)
    chunk_codec.codec.cache_clear()
    try:
        assert write_nwb(with_data(array), tmp_path / "a.nwb").codec == "zlib"
    finally:
        chunk_codec.codec.cache_clear()
    with h5py.File(tmp_path / "a.nwb") as file:
        np.testing.assert_array_equal(file["/acquisition/x/data"], array)


@pytest.fixture
def faulty_memory(monkeypatch) -> None:
    """One bit of the third chunk flips before it is compressed."""
    count = []
    right = hdf5_target.encoded

    def encoded(values, chunks, *, shuffle):
        count.append(1)
        if len(count) == 3:
            values = values.copy()
            values.reshape(-1).view(np.uint8)[5] ^= 1
        return right(values, chunks, shuffle=shuffle)

    monkeypatch.setattr(hdf5_target, "encoded", encoded)


@pytest.mark.usefixtures("faulty_memory")
def test_a_flipped_bit_is_found_by_reading_back(tmp_path):
    array = np.arange(100_000, dtype=np.int32).reshape(1000, 100)
    data = Chunks(array, chunk_shape=(100, 100), buffer_shape=(300, 100))
    with pytest.raises(InputFileError, match=r"chunk at \(200, 0\) of /acquisition/x/data reads differently"):
        write_nwb(with_data(data), tmp_path / "a.nwb", threads=1)


@pytest.mark.usefixtures("faulty_memory")
def test_without_verification_it_is_not_found(tmp_path):
    array = np.arange(100_000, dtype=np.int32).reshape(1000, 100)
    data = Chunks(array, chunk_shape=(100, 100), buffer_shape=(300, 100))
    assert not write_nwb(with_data(data), tmp_path / "a.nwb", threads=1, verify=False).verified
    with h5py.File(tmp_path / "a.nwb") as file:
        assert (file["/acquisition/x/data"][()] != array).sum() == 1


@pytest.mark.parametrize("damage", ["byte", "missing chunk"])
def test_what_the_disk_changes_after_writing_is_found_in_the_closed_file(tmp_path, monkeypatch, damage):
    compare = hdf5_target.compare_stored

    def compare_after_damage(path, written):
        with h5py.File(path, "r+") as file:
            dataset = file["/acquisition/x/data"]
            info = dataset.id.get_chunk_info_by_coord((200, 0))
            if damage == "missing chunk":
                dataset.resize((200, 100))
                dataset.resize((1000, 100))
        if damage == "byte":
            with path.open("r+b") as stream:
                stream.seek(info.byte_offset + info.size // 2)
                octet = stream.read(1)
                stream.seek(-1, 1)
                stream.write(bytes([octet[0] ^ 16]))
        compare(path, written)

    monkeypatch.setattr(hdf5_target, "compare_stored", compare_after_damage)
    array = np.arange(100_000, dtype=np.int32).reshape(1000, 100)
    data = Chunks(array, chunk_shape=(100, 100), buffer_shape=(300, 100))
    with pytest.raises(InputFileError, match=r"chunk at \(200, 0\) of /acquisition/x/data reads differently"):
        write_nwb(with_data(data), tmp_path / "a.nwb")


@pytest.fixture(scope="module")
def movie_file(tmp_path_factory) -> tuple[Path, np.ndarray]:
    """A movie whose low bytes are noise, stored without compression, in chunks with edges on two axes."""
    movie = np.random.default_rng(0).normal(2000, 300, (50, 129, 131)).astype(np.int16)
    path = tmp_path_factory.mktemp("movie") / "a.nwb"
    write_nwb(with_data(Chunks(movie, chunk_shape=(16, 100, 131), buffer_shape=(32, 129, 131))), path)
    return path, movie


def test_pynwb_finds_nothing_wrong(movie_file):
    path, movie = movie_file
    assert validate(path=str(path)) == []
    with NWBHDF5IO(path, "r") as io:
        np.testing.assert_array_equal(io.read().acquisition["x"].data[:], movie)


def test_h5dump_reads_the_same(movie_file, tmp_path):
    if shutil.which("h5dump") is None:
        pytest.skip("h5dump is not installed")
    path, movie = movie_file
    out = tmp_path / "out.bin"
    command = ["h5dump", "-d", "/acquisition/x/data", "-b", "LE", "-o", str(out), str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert out.read_bytes() == movie.astype("<i2").tobytes()


def test_pytables_reads_the_same(movie_file):
    tables = pytest.importorskip("tables", reason="PyTables is not installed")
    path, movie = movie_file
    with tables.open_file(str(path)) as file:
        np.testing.assert_array_equal(file.get_node("/acquisition/x/data").read(), movie)


def test_netcdf_reads_the_same(movie_file):
    netcdf = pytest.importorskip("netCDF4", reason="netCDF4 is not installed")
    path, movie = movie_file
    with netcdf.Dataset(path) as file:
        np.testing.assert_array_equal(file["acquisition/x/data"][:], movie)


def test_pyfive_reads_the_same(movie_file):
    pyfive = pytest.importorskip("pyfive", reason="pyfive is not installed (it clashes with Zarr 2)")
    path, movie = movie_file
    with pyfive.File(path) as file:
        np.testing.assert_array_equal(file["acquisition/x/data"][:], movie)


def test_hdf5_itself_can_go_on_writing(movie_file, tmp_path):
    path, movie = movie_file
    copy = shutil.copy(path, tmp_path / "b.nwb")
    with h5py.File(copy, "r+") as file:
        dataset = file["/acquisition/x/data"]
        dataset.resize((60, 129, 131))
        dataset[49:60] = 7
    with h5py.File(copy) as file:
        np.testing.assert_array_equal(file["/acquisition/x/data"][:49], movie[:49])
        assert (file["/acquisition/x/data"][49:] == 7).all()
