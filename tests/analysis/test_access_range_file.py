"""Files over byte ranges: every byte right, few requests, bounded memory, and no failure overlooked."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

import h5py
import numpy as np
import pytest

from nwbswitch.analysis.access import range_file
from nwbswitch.analysis.access.range_file import AFTER_BYTES, BLOCK_BYTES, HEAD_BYTES, RangeFile
from nwbswitch.schemas.errors import InputFileError

DATA = os.urandom(3_000_001)


class Counting:
    """Bytes in memory that note what is asked of them, and fail when told to."""

    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.name, self.size = "a.nwb", len(data)
        self.calls: list[list[tuple[int, int]]] = []
        self.broken = False

    def read(self, offset: int, length: int) -> bytes:
        return self.read_many([(offset, length)])[0]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self.calls.append(list(ranges))
        if self.broken:
            raise InputFileError(self.name, "could not be read.")
        assert all(0 <= offset < offset + length <= self.size for offset, length in ranges)
        return [self.data[offset : offset + length] for offset, length in ranges]

    def close(self) -> None:
        pass

    @property
    def n_bytes(self) -> int:
        return sum(length for call in self.calls for _, length in call)


def read_at(file: RangeFile, place: int, length: int) -> bytes:
    file.seek(place)
    return file.read(length)


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 700_000, 800_000, 3_000_001])
def test_any_read_is_right(size: int) -> None:
    source = Counting(DATA[:size])
    file = RangeFile(source)
    rng = np.random.default_rng(size)
    for _ in range(300):
        place = int(rng.integers(0, size + 1))
        length = int(rng.choice([0, 1, 50, 5000, 100_000, 700_000]))
        assert read_at(file, place, length) == source.data[place : place + length]
        assert file.tell() == min(place + length, size)
    assert file.seek(0, io.SEEK_END) == size
    assert file.read(10) == b""
    assert file.seek(-1, io.SEEK_CUR) == size - 1
    assert file.read() == source.data[-1:]
    assert file.seek(size + 100) == size + 100
    assert file.read(5) == b""
    with pytest.raises(ValueError, match="before the beginning"):
        file.seek(-1)


def test_head_and_tail_come_together_and_small_files_whole() -> None:
    source = Counting()
    file = RangeFile(source)
    read_at(file, 8, 8)
    read_at(file, len(DATA) - 100, 100)
    read_at(file, HEAD_BYTES - 10, 10)
    assert [len(call) for call in source.calls] == [2]
    small = Counting(DATA[:300_000])
    read_at(RangeFile(small), 8, 8)
    assert small.calls == [[(0, 300_000)]]


def test_what_lies_around_is_read_along_and_more_where_reading_goes_on() -> None:
    source = Counting()
    file = RangeFile(source)
    read_at(file, 0, 8)
    for place in range(1_000_000, 2_500_000, 1000):
        read_at(file, place, 100)
    assert len(source.calls) <= 7
    assert source.n_bytes < len(DATA)
    assert read_at(file, 990_000, 100) == DATA[990_000:990_100]
    assert len(source.calls) <= 7


def test_large_reads_pass_without_being_kept() -> None:
    source = Counting()
    file = RangeFile(source)
    assert read_at(file, 1, 2_000_000) == DATA[1:2_000_001]
    assert source.calls == [[(1, 2_000_000)]]


def test_places_that_are_known_are_read_together() -> None:
    source = Counting()
    file = RangeFile(source)
    places = [(place, 500) for place in range(900_000, 2_600_000, 300_000)]
    assert not file.has(places[0])
    assert file.prefetch([*places, (len(DATA) + 5, 10), (-5, 10), (5, 0)], [(1_900_000, 10)])
    assert all(map(file.has, [*places, (1_900_000, 10), (len(DATA) - 5, 10), (len(DATA) + 5, 10)]))
    n_calls = len(source.calls)
    assert n_calls <= 2
    for place, length in places:
        assert read_at(file, place, length) == DATA[place : place + length]
    assert len(source.calls) == n_calls


def test_of_very_many_places_only_they_are_read() -> None:
    source = Counting()
    file = RangeFile(source)
    places = [(place, 500) for place in range(600_000, 2_600_000, 16 * BLOCK_BYTES // 3)]
    assert len(places) > range_file.MAX_WINDOWS
    file.prefetch(places, [])
    assert source.n_bytes <= len(places) * 2 * BLOCK_BYTES
    for place, length in places:
        assert read_at(file, place, length) == DATA[place : place + length]


def test_of_places_that_stand_alone_only_they_are_read() -> None:
    source = Counting()
    file = RangeFile(source)
    assert file.prefetch([], [(1_000_000, 500), (2_000_000, 500)])
    assert source.n_bytes <= 4 * BLOCK_BYTES
    assert len(source.calls) == 1


def test_reading_ahead_comes_to_an_end() -> None:
    source = Counting(bytes(40 << 20))
    file = RangeFile(source, max_bytes=8 << 20)
    rounds = 0
    while file.prefetch([], [(rounds << 20, 1 << 20)]):
        rounds += 1
    assert rounds == 4
    assert source.n_bytes == 4 << 20


def test_memory_is_bounded() -> None:
    source = Counting(os.urandom(20 << 20))
    file = RangeFile(source, max_bytes=1 << 20)
    rng = np.random.default_rng(0)
    for _ in range(500):
        place = int(rng.integers(0, source.size))
        assert read_at(file, place, 300) == source.data[place : place + 300]
    assert sum(map(len, file._blocks.values())) <= (4 << 20) + AFTER_BYTES
    assert not file.prefetch([(0, source.size)], [])
    assert sum(map(len, file._blocks.values())) <= (4 << 20) + AFTER_BYTES


def test_a_failure_stays_known() -> None:
    source = Counting()
    file = RangeFile(source)
    read_at(file, 0, 8)
    file.check()
    source.broken = True
    with pytest.raises(InputFileError, match="could not be read"):
        read_at(file, 1_500_000, 8)
    source.broken = False
    assert read_at(file, 1_500_000, 8) == DATA[1_500_000:1_500_008]
    with pytest.raises(InputFileError, match="could not be read"):
        file.check()


def test_h5py_reads_and_names_it() -> None:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as made:
        made["group/data"] = np.arange(1000)
    with h5py.File(RangeFile(Counting(stream.getvalue())), "r") as file:
        assert np.array_equal(file["group/data"][...], np.arange(1000))
        assert file.filename == "a.nwb"
