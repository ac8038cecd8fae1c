"""NWB files that are written: every type, shape and kind of object reads back bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hdmf.backends.hdf5.h5_utils import H5DataIO
from hdmf.common import DynamicTable, DynamicTableRegion, VectorData, VectorIndex
from hdmf.data_utils import DataChunkIterator
from large_data import Chunks, new_file, with_data
from pynwb import NWBHDF5IO, NWBFile, TimeSeries, validate
from pynwb.base import Images
from pynwb.core import ScratchData
from pynwb.image import GrayscaleImage
from pynwb.ophys import Fluorescence, ImageSegmentation, ImagingPlane, OpticalChannel, PlaneSegmentation

from nwbswitch.converters.writing.nwb_writer import write_nwb

DTYPES = ["?", "i1", "u1", "<i2", ">i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", ">f4", "<f8"]


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


def test_progress_counts_bytes(tmp_path):
    seen = []
    data = Chunks(np.zeros((1000, 50)), chunk_shape=(90, 20), buffer_shape=(180, 50))
    write_nwb(with_data(data), tmp_path / "a.nwb", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (400_000, 400_000)
    assert seen == sorted(seen)
