"""Changes that can be taken back byte by byte."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from nwbswitch.converters.writing.undo_file import PAGE_BYTES, UndoFile


@pytest.mark.parametrize("size", [0, 1, PAGE_BYTES - 1, PAGE_BYTES, 3 * PAGE_BYTES + 17])
@pytest.mark.parametrize("seed", range(5))
def test_any_changes_are_taken_back(tmp_path, size, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path / "a.bin"
    content = rng.bytes(size)
    path.write_bytes(content)
    changed = UndoFile(path)
    shadow = bytearray(content)
    for _ in range(30):
        if rng.random() < 0.2:
            end = int(rng.integers(0, 5 * PAGE_BYTES))
            changed.truncate(end)
            shadow = shadow[:end].ljust(end, b"\0")
        else:
            place, data = int(rng.integers(0, 5 * PAGE_BYTES)), rng.bytes(int(rng.integers(1, 9000)))
            changed.seek(place)
            assert changed.write(data) == len(data)
            shadow = shadow.ljust(place + len(data), b"\0")
            shadow[place : place + len(data)] = data
        assert path.read_bytes() == shadow
    changed.undo()
    changed.seek(0)
    changed.write(b"late")
    changed.truncate(0)
    changed.close()
    assert path.read_bytes() == content


def test_reading_stops_at_the_end(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abcdef")
    file = UndoFile(path)
    buffer = bytearray(10)
    file.seek(2)
    assert file.readinto(buffer) == 4
    assert buffer[:4] == b"cdef"
    file.seek(-2, 2)
    assert (file.tell(), file.read()) == (4, b"ef")
    file.close()


def test_h5py_writes_through_it(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(5000)
    content = path.read_bytes()
    for keep in (False, True):
        raw = UndoFile(path)
        with h5py.File(raw, "r+") as file:
            file["x"][:] = 7
            file["y"] = np.arange(100_000)
            if not keep:
                file.flush()
                raw.undo()
        raw.close()
        assert (path.read_bytes() == content) is not keep
    with h5py.File(path) as file:
        assert (file["x"][()] == 7).all()
        assert file["y"][-1] == 99_999
