"""Sources of large data: how much of them is asked for at once, and what is said of those at fault."""

from __future__ import annotations

import threading

import h5py
import numpy as np
import pytest
from large_data import Chunks, Synthetic, with_data
from pynwb import TimeSeries

from nwbswitch.converters.writing.chunk_grid import BLOCK_BYTES
from nwbswitch.converters.writing.nwb_writer import write_nwb
from nwbswitch.schemas.errors import NwbswitchError


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
