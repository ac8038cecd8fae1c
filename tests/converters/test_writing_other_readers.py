"""Files that we write are the same to every other reader of HDF5."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from large_data import Chunks, with_data
from pynwb import NWBHDF5IO, validate

from nwbswitch.converters.writing import chunk_codec
from nwbswitch.converters.writing.nwb_writer import write_nwb


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
