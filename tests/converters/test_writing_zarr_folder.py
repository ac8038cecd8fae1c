"""The same file as Zarr."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import numpy as np
import pytest
from hdmf.common import DynamicTable, VectorData
from hdmf.data_utils import GenericDataChunkIterator
from pynwb import NWBFile, TimeSeries

from nwbswitch.converters.writing.nwb_writer import write_nwb
from nwbswitch.schemas.errors import InputFileError, MissingExtraError


class Chunks(GenericDataChunkIterator):
    """An array in the shape of an iterator."""

    def __init__(self, array: np.ndarray, **options) -> None:
        self.array = array
        super().__init__(**options)

    def _get_data(self, selection):
        return self.array[selection]

    def _get_maxshape(self):
        return self.array.shape

    def _get_dtype(self):
        return self.array.dtype


MOVIE = np.random.default_rng(0).poisson(40, (50, 33, 41)).astype(np.int16)
TRACES = np.random.default_rng(1).normal(size=(3000, 40)).astype(">f4")


@pytest.fixture
def nwbfile() -> NWBFile:
    made = NWBFile(
        session_description="A session.", identifier="id", session_start_time=datetime(2024, 5, 1, tzinfo=UTC)
    )
    movie = Chunks(MOVIE, chunk_shape=(8, 20, 41), buffer_shape=(16, 33, 41))
    labels = [f"event {index}" for index in range(20_000)]
    made.add_scratch(
        DynamicTable(
            name="events",
            description="Events.",
            columns=[VectorData(name="label", description="A text.", data=labels)],
        )
    )
    made.add_acquisition(TimeSeries(name="movie", data=movie, unit="n.a.", rate=30.0))
    made.add_acquisition(TimeSeries(name="traces", data=TRACES, unit="n.a.", timestamps=np.arange(3000) / 30))
    return made


def test_a_zarr_folder_reads_back(nwbfile, tmp_path):
    hdmf_zarr = pytest.importorskip("hdmf_zarr", reason="hdmf-zarr is not installed")
    seen = []
    report = write_nwb(
        nwbfile, tmp_path / "a.nwb.zarr", backend="zarr", threads=2, progress=lambda *done: seen.append(done)
    )
    assert {"/acquisition/movie/data", "/acquisition/traces/data"} <= {each.name for each in report.datasets}
    assert (report.codec, report.verified) == ("zarr", True)
    assert seen[-1] == (report.source_bytes,) * 2
    assert nwbfile.container_source is None
    with hdmf_zarr.NWBZarrIO(str(tmp_path / "a.nwb.zarr"), "r") as io:
        read = io.read()
        np.testing.assert_array_equal(read.acquisition["movie"].data[:], MOVIE)
        np.testing.assert_array_equal(read.acquisition["traces"].data[:], TRACES)
        assert read.acquisition["traces"].timestamps[30] == 1
        assert read.scratch["events"]["label"].data[19_999] == "event 19999"
    write_nwb(nwbfile, tmp_path / "a.nwb")


def test_a_flipped_bit_is_found(nwbfile, tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    pytest.importorskip("hdmf_zarr", reason="hdmf-zarr is not installed")
    write = zarr.Array.__setitem__

    def flipped(self, part, values):
        if self.name == "/acquisition/movie/data" and part[0].start == 16:
            values = values.copy()
            values[0, 0, 0] ^= 1
        write(self, part, values)

    monkeypatch.setattr(zarr.Array, "__setitem__", flipped)
    with pytest.raises(
        InputFileError, match=r"chunk at \(16, .* of /acquisition/movie/data reads differently"
    ):
        write_nwb(nwbfile, tmp_path / "a.nwb.zarr", backend="zarr")


def test_without_hdmf_zarr_the_extra_is_named(nwbfile, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "hdmf_zarr", None)
    with pytest.raises(MissingExtraError, match=r"nwbswitch\[zarr\]"):
        write_nwb(nwbfile, tmp_path / "a.nwb.zarr", backend="zarr")
    assert not (tmp_path / "a.nwb.zarr").exists()
