"""Recordings that grow run by run."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
from hdmf.data_utils import GenericDataChunkIterator
from pynwb import NWBHDF5IO, NWBFile, TimeSeries, validate

from nwbswitch.converters.writing import hdf5_target
from nwbswitch.converters.writing.growth import append_nwb
from nwbswitch.converters.writing.nwb_writer import write_nwb
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError


class Chunks(GenericDataChunkIterator):
    """An array in the shape of an iterator, which may break down at a row."""

    def __init__(self, array: np.ndarray, *, broken_from: int | None = None) -> None:
        self.array, self.broken_from = array, broken_from
        super().__init__(chunk_shape=array.shape, buffer_shape=array.shape)

    def _get_data(self, selection):
        if self.broken_from is not None and selection[0].stop > self.broken_from:
            raise RuntimeError("the cable came loose")
        return self.array[selection]

    def _get_maxshape(self):
        return self.array.shape

    def _get_dtype(self):
        return self.array.dtype


def make_hdf5(path: Path, values: np.ndarray, chunks: tuple[int, ...], **options) -> None:
    options = {"compression": "gzip", "shuffle": True, "maxshape": (None, *values.shape[1:])} | options
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values, chunks=chunks, **options)


@pytest.mark.parametrize("seed", range(30))
def test_runs_appended_one_by_one_make_the_whole(tmp_path, seed):
    rng = np.random.default_rng(seed)
    rest = tuple(int(n) for n in rng.integers(1, 15, rng.integers(0, 3)))
    chunks = (int(rng.integers(1, 20)), *(int(rng.integers(1, n + 1)) for n in rest))
    dtype = rng.choice(["?", "u1", "<i2", ">i2", "<f4", "<f8"])
    runs = [rng.integers(0, 2, (int(n), *rest)).astype(dtype) for n in rng.integers(1, 50, 5)]
    if seed % 3 == 0:
        runs[0] = runs[0][:0]
    path = tmp_path / "a.h5"
    make_hdf5(path, runs[0], chunks, shuffle=bool(seed % 2))
    for run in runs[1:]:
        report = append_nwb(
            path, {"x": Chunks(run) if rng.random() < 0.5 else run}, threads=int(rng.integers(1, 4))
        )
        assert report.source_bytes == run.nbytes
        assert report.verified
    expected = np.concatenate(runs).astype(dtype)
    with h5py.File(path) as file:
        assert file["x"].dtype == expected.dtype
        assert file["x"][()].tobytes() == expected.tobytes()
    # As bytes, h5dump writes no enumerations, which is what HDF5 makes of booleans.
    if shutil.which("h5dump") and dtype != "?":
        out = tmp_path / "out.bin"
        command = ["h5dump", "-d", "x", "-b", "LE", "-o", str(out), str(path)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        assert out.read_bytes() == expected.astype(expected.dtype.newbyteorder("<")).tobytes()


@pytest.fixture
def recording(tmp_path) -> tuple[Path, np.ndarray]:
    """An NWB file with a movie at a rate, and traces with timestamps."""
    movie = np.random.default_rng(0).poisson(9, (1000, 20, 12)).astype(np.int16)
    nwbfile = NWBFile(
        session_description="A session.", identifier="id", session_start_time=datetime(2024, 5, 1, tzinfo=UTC)
    )
    nwbfile.add_acquisition(TimeSeries(name="movie", data=movie, unit="n.a.", rate=30.0))
    traces = np.arange(80_000, dtype=np.float32).reshape(20_000, 4)
    nwbfile.add_acquisition(
        TimeSeries(name="traces", data=traces, unit="n.a.", timestamps=np.arange(20_000.0))
    )
    write_nwb(nwbfile, tmp_path / "a.nwb")
    return tmp_path / "a.nwb", movie


def test_an_nwb_file_goes_on(recording):
    path, movie = recording
    before = path.stat().st_size
    run = movie[::-1][:333]
    append_nwb(path, {"/acquisition/movie/data": Chunks(run)})
    append_nwb(
        path,
        {
            "/acquisition/traces/data": np.ones((7, 4), np.float32),
            "/acquisition/traces/timestamps": np.arange(20_000.0, 20_007.0),
        },
    )
    assert path.stat().st_size < before + 2 * run.nbytes
    assert validate(path=str(path)) == []
    with NWBHDF5IO(path, "r") as io:
        read = io.read()
        np.testing.assert_array_equal(read.acquisition["movie"].data[:], np.concatenate([movie, run]))
        assert read.acquisition["traces"].timestamps[-1] == 20_006
        assert (read.acquisition["traces"].data[-7:] == 1).all()


def test_samples_without_their_timestamps_are_refused(recording):
    path, _ = recording
    content = path.read_bytes()
    with pytest.raises(ValueError, match="acquisition/traces would have 20007 samples and 20000 timestamps"):
        append_nwb(path, {"/acquisition/traces/data": np.ones((7, 4), np.float32)})
    assert path.read_bytes() == content


@pytest.mark.parametrize("broken_from", [1, 200])
def test_an_error_in_the_middle_leaves_what_was_there(recording, broken_from):
    path, movie = recording
    before = path.read_bytes()
    times = np.arange(10.0)
    with pytest.raises(RuntimeError, match="cable"):
        append_nwb(
            path,
            {
                "/acquisition/traces/data": np.ones((10, 4), np.float32),
                "/acquisition/traces/timestamps": times,
                "/acquisition/movie/data": Chunks(movie, broken_from=broken_from),
            },
        )
    assert path.read_bytes() == before
    append_nwb(path, {"/acquisition/movie/data": movie[:1]})
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["/acquisition/movie/data"][1000], movie[0])


def test_a_flipped_bit_is_found_and_undone(recording, monkeypatch):
    path, movie = recording
    before = path.read_bytes()

    def encoded(values, chunks, *, shuffle):
        values = values.copy()
        values.reshape(-1)[-1] ^= 1
        return right(values, chunks, shuffle=shuffle)

    right = hdf5_target.encoded
    monkeypatch.setattr(hdf5_target, "encoded", encoded)
    with pytest.raises(InputFileError, match="reads differently"):
        append_nwb(path, {"/acquisition/movie/data": movie[:20]})
    assert path.read_bytes() == before


def test_only_new_and_incomplete_chunks_are_read_and_written(tmp_path):
    path = tmp_path / "a.h5"
    make_hdf5(path, np.zeros((1001, 3), np.int16), (100, 2))
    with h5py.File(path) as file:
        first = file["x"].id.get_chunk_info_by_coord((900, 0)).byte_offset
    report = append_nwb(path, {"x": np.ones((150, 3), np.int16)})
    with h5py.File(path) as file:
        assert file["x"].id.get_chunk_info_by_coord((900, 0)).byte_offset == first
        assert file["x"].id.get_num_chunks() == 24
    assert report.datasets[0].shape == (1151, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compression": None, "shuffle": None}, "cannot be appended to"),
        ({"compression": "lzf"}, "cannot be appended to"),
        ({"fletcher32": True}, "cannot be appended to"),
        ({"maxshape": (12, 3)}, "limited to 12 rows"),
    ],
)
def test_datasets_that_cannot_grow_are_named(tmp_path, options, message):
    path = tmp_path / "a.h5"
    make_hdf5(path, np.zeros((10, 3), np.int16), (4, 3), **options)
    content = path.read_bytes()
    with pytest.raises(InputFileError, match=message):
        append_nwb(path, {"x": np.zeros((3, 3), np.int16)})
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((3, 4), np.int16), "shape"),
        (np.zeros((3, 3), np.int32), "int16"),
        (np.zeros((3, 3)), "int16"),
        ([[1, 2, 3]], "not list"),
        (np.zeros((0, 3), np.int16), "one row or more"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, data, message):
    path = tmp_path / "a.h5"
    make_hdf5(path, np.zeros((10, 3), np.int16), (4, 3))
    with pytest.raises(ValueError, match=message):
        append_nwb(path, {"x": data})


def test_a_file_that_is_open_elsewhere_is_refused(recording):
    path, movie = recording
    with h5py.File(path, "r") as file, pytest.raises(InputFileError, match="open in another program"):
        append_nwb(path, {"/acquisition/movie/data": movie})
    assert file.id.valid == 0


def test_missing_files_and_datasets_are_named(tmp_path):
    path = tmp_path / "a.h5"
    with pytest.raises(InputFileError, match="is not there"):
        append_nwb(path, {"x": np.zeros(3)})
    make_hdf5(path, np.zeros((10, 3), np.int16), (4, 3))
    with pytest.raises(InputFileError, match="holds no dataset y"):
        append_nwb(path, {"y": np.zeros(3)})


def test_a_file_that_reaches_outside_itself_is_refused(tmp_path):
    path = tmp_path / "a.h5"
    make_hdf5(path, np.zeros((10, 3), np.int16), (4, 3))
    with h5py.File(path, "r+") as file:
        file["other"] = h5py.ExternalLink("b.h5", "x")
    with pytest.raises(UnsafeFileError, match="link"):
        append_nwb(path, {"other": np.zeros((3, 3), np.int16)})
