"""What is written is read back: flipped bits and damage on the disk are found."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from large_data import Chunks, with_data

from nwbswitch.converters.writing import hdf5_target
from nwbswitch.converters.writing.nwb_writer import write_nwb
from nwbswitch.schemas.errors import InputFileError


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
