"""Bytes of files on a disk: exact, from threads, and refused when the file changes."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from near_files import near

from nwbswitch.schemas.errors import InputFileError

DATA = os.urandom(100_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "a.nwb").write_bytes(DATA)
    return tmp_path / "a.nwb"


def test_ranges_come_in_order(path: Path) -> None:
    source = near(path)
    assert (source.size, source.name) == (len(DATA), str(path))
    ranges = [(50, 10), (0, 5), (0, 0), (len(DATA), 0), (10, len(DATA) - 10)]
    assert source.read_many(ranges) == [DATA[start : start + length] for start, length in ranges]
    assert source.read(7, 3) == DATA[7:10]
    source.close()


@pytest.mark.parametrize("places", [True, False], ids=["pread", "seek"])
def test_threads_share_a_file(path: Path, places: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not places:
        monkeypatch.delattr(os, "pread")
    source = near(path)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda start: source.read(start, 100), range(0, 90_000, 77)))
    assert found == [DATA[start : start + 100] for start in range(0, 90_000, 77)]


def grow(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"x")


def rewrite(path: Path) -> None:
    os.utime(path, ns=(0, 0))


def truncate(path: Path) -> None:
    path.write_bytes(DATA[:100])


def exchange(path: Path) -> None:
    stamp = path.stat()
    path.with_name("b").write_bytes(DATA)
    os.utime(path.with_name("b"), ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    path.with_name("b").replace(path)


@pytest.mark.parametrize("change", [grow, rewrite, truncate, exchange])
def test_a_file_that_changes_is_refused(path: Path, change: object) -> None:
    assert callable(change)
    source = near(path)
    assert source.read(0, 10) == DATA[:10]
    change(path)
    for _ in range(2):
        with pytest.raises(InputFileError, match="changed while it was read"):
            source.read(200, 10)


def test_a_file_that_goes_away_is_refused(path: Path) -> None:
    source = near(path)
    path.unlink()
    with pytest.raises(InputFileError, match="no longer there"):
        source.read(0, 10)


def test_ranges_beyond_the_end_and_paths_that_are_no_files(path: Path) -> None:
    source = near(path)
    with pytest.raises(InputFileError, match="ends early: bytes 99990 to 100010"):
        source.read(99_990, 20)
    with pytest.raises(ValueError, match="byte range"):
        source.read(-1, 20)
    with pytest.raises(InputFileError, match="not there"):
        near(path.with_name("none"))
    with pytest.raises(InputFileError, match="not a file"):
        near(path.parent)
