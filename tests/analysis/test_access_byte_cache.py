"""The cache on the disk: right bytes or none, within its size, for one user, whatever happens to files."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import stat
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from nwbswitch.analysis.access import byte_cache
from nwbswitch.analysis.access.byte_cache import ByteCache, CacheSettings, cache_folder, user_cache
from nwbswitch.analysis.access.cached_bytes import CachedBytes
from nwbswitch.schemas.files import locked

DATA = os.urandom(200_000)


class Bytes:
    """A source in memory that counts what is asked of it."""

    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.name, self.size = "a.nwb", len(data)
        self.asked: list[tuple[int, int]] = []
        self.closed = False

    def read(self, offset: int, length: int) -> bytes:
        return self.read_many([(offset, length)])[0]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self.asked += ranges
        return [self.data[offset : offset + length] for offset, length in ranges]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def cache(tmp_path: Path) -> ByteCache:
    return ByteCache(tmp_path / "cache")


def files(cache: ByteCache, pattern: str = "*.ranges") -> list[Path]:
    return sorted(cache.folder.rglob(pattern))


RANGES = [(5, 10), (1000, 2000), (0, 0), (199_990, 10), (5, 10)]


def expected(ranges: Sequence[tuple[int, int]], data: bytes = DATA) -> list[bytes]:
    return [data[offset : offset + length] for offset, length in ranges]


# ---- ranges and texts -------------------------------------------------------------------------------------


def test_ranges_are_asked_for_once(cache: ByteCache) -> None:
    source = Bytes()
    assert CachedBytes(source, cache, "k").read_many(RANGES) == expected(RANGES)
    assert source.asked == list(dict.fromkeys(RANGES))
    again = Bytes()
    reader = CachedBytes(again, cache, "k")
    assert reader.read_many(RANGES) == expected(RANGES)
    assert reader.read(1000, 2000) == DATA[1000:3000]
    assert again.asked == [(0, 0)]
    assert reader.read_many([(5, 10), (6, 10)]) == expected([(5, 10), (6, 10)])
    assert again.asked[1:] == [(6, 10)]
    assert (reader.name, reader.size) == ("a.nwb", len(DATA))
    reader.close()
    assert again.closed


def test_another_version_has_another_key(cache: ByteCache) -> None:
    CachedBytes(Bytes(), cache, "asset etag-1").read_many(RANGES)
    other = bytes(len(DATA))
    found = CachedBytes(Bytes(other), cache, "asset etag-2").read_many(RANGES)
    assert found == expected(RANGES, other)


def test_texts_are_kept_by_name(cache: ByteCache) -> None:
    assert cache.text("k", "outline") is None
    cache.keep_text("k", "outline", '{"µ": 1}\n')
    cache.keep_text("k", "outline 2", "")
    assert cache.text("k", "outline") == '{"µ": 1}\n'
    assert cache.text("k", "outline 2") == ""
    assert cache.text("other", "outline") is None
    cache.keep_text("k", "outline", "new")
    assert ByteCache(cache.folder).text("k", "outline") == "new"


def test_clearing_leaves_nothing(cache: ByteCache) -> None:
    cache.keep_text("k", "a", "text")
    CachedBytes(Bytes(), cache, "k").read_many(RANGES)
    assert cache.size() > 0
    cache.clear()
    assert cache.size() == 0
    assert cache.text("k", "a") is None
    cache.keep_text("k", "a", "again")
    assert cache.text("k", "a") == "again"


# ---- what is on the disk ----------------------------------------------------------------------------------


def test_only_the_user_can_read_it(cache: ByteCache) -> None:
    old = os.umask(0)
    try:
        CachedBytes(Bytes(), cache, "secret asset").read_many(RANGES)
        cache.keep_text("secret asset", "outline", "text")
    finally:
        os.umask(old)
    root = cache.folder / "bytes-1"
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    for path in [*files(cache), *files(cache, "*.text")]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "secret" not in str(path)
    root.chmod(0o777)
    cache.keep_text("k", "a", "b")
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_a_folder_of_another_user_is_not_used(cache: ByteCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.keep_text("k", "a", "b")
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    stranger = ByteCache(cache.folder)
    stranger.keep_text("k", "c", "d")
    assert "another user" in stranger.trouble
    assert stranger.text("k", "c") is None
    assert stranger.text("k", "a") is None


@pytest.mark.parametrize("kept", [0, 7, 15, 20, 40, -1])
def test_truncated_entries_are_dropped(cache: ByteCache, kept: int) -> None:
    CachedBytes(Bytes(), cache, "k").read_many(RANGES)
    [path] = files(cache)
    path.write_bytes(path.read_bytes()[:kept])
    source = Bytes()
    assert CachedBytes(source, cache, "k").read_many(RANGES) == expected(RANGES)
    assert source.asked
    assert path not in files(cache)


def test_every_damaged_byte_is_found(cache: ByteCache) -> None:
    CachedBytes(Bytes(), cache, "k").read_many([(5, 10), (100, 20)])
    [path] = files(cache)
    whole = path.read_bytes()
    for place in range(len(whole)):
        spoilt = bytearray(whole)
        spoilt[place] ^= 0x10
        path.write_bytes(spoilt)
        source = Bytes()
        ranges = [(5, 10), (100, 20)]
        assert CachedBytes(source, cache, "k").read_many(ranges) == expected(ranges)
        assert source.asked, place
        assert not path.exists()
        for each in files(cache):
            each.unlink()


def test_damage_after_opening_is_found_too(cache: ByteCache) -> None:
    CachedBytes(Bytes(), cache, "k").read_many(RANGES)
    source = Bytes()
    reader = CachedBytes(source, cache, "k")
    assert reader.read(5, 10) == DATA[5:15]
    [path] = files(cache)
    path.write_bytes(b"x" * path.stat().st_size)
    assert reader.read_many(RANGES) == expected(RANGES)
    assert (1000, 2000) in source.asked


def test_entries_that_go_away_are_read_anew(cache: ByteCache) -> None:
    CachedBytes(Bytes(), cache, "k").read_many(RANGES)
    reader = CachedBytes(Bytes(), cache, "k")
    reader.read(5, 10)
    cache.clear()
    assert reader.read_many(RANGES) == expected(RANGES)
    assert reader.read_many(RANGES) == expected(RANGES)


def test_a_damaged_text_is_none(cache: ByteCache) -> None:
    for content in (b"", b"x" * 100, None):
        cache.keep_text("k", "a", "ä" * 50)
        [path] = files(cache, "*.text")
        path.write_bytes(content if content is not None else path.read_bytes()[:-1] + b"\xff")
        assert cache.text("k", "a") is None
        assert not path.exists()


def test_odd_things_in_the_folder_do_no_harm(cache: ByteCache) -> None:
    cache.keep_ranges("k", [(0, b"abc")])
    shelf = files(cache)[0].parent
    (shelf / "folder.ranges").mkdir()
    (shelf / "loop.ranges").symlink_to(shelf / "loop.ranges")
    (cache.folder / "bytes-1/ff").write_text("no folder")
    (cache.folder / "bytes-1/total").write_text("many")
    assert list(cache.ranges("k")) == [(0, 3)]
    cache.keep_ranges("k", [(3, b"def")])
    assert not cache.trouble
    assert sorted(cache.ranges("k")) == [(0, 3), (3, 3)]


# ---- size -------------------------------------------------------------------------------------------------


def on_disk(cache: ByteCache) -> int:
    return sum(path.stat().st_size for path in cache.folder.rglob("*") if path.is_file())


def test_the_size_holds_and_what_was_used_last_stays(tmp_path: Path) -> None:
    cache = ByteCache(tmp_path / "cache", 1_000_000)
    for number in range(60):
        cache.keep_ranges(f"k{number}", [(0, DATA[:30_000])])
        for path in files(cache):
            if "k0" not in path.parts:
                os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns - 10**9))
        assert on_disk(cache) <= 1_000_000
    assert not cache.trouble
    kept = [number for number in range(60) if cache.ranges(f"k{number}")]
    assert kept == list(range(60 - len(kept), 60))
    assert 20 <= len(kept) <= 32


def test_reading_keeps_an_entry_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_cache, "_TOUCH_S", -1.0)
    cache = ByteCache(tmp_path / "cache", 1_000_000)
    for number in range(60):
        cache.keep_text(f"k{number}", "a", "x" * 30_000)
        assert cache.text("k0", "a")
    assert cache.text("k1", "a") is None


def test_what_is_larger_than_the_cache_is_not_kept(tmp_path: Path) -> None:
    cache = ByteCache(tmp_path / "cache", 100_000)
    cache.keep_ranges("k", [(0, DATA[:10_000])])
    assert CachedBytes(Bytes(), cache, "big").read(0, 150_000) == DATA[:150_000]
    assert cache.ranges("k")
    assert not cache.ranges("big")
    assert not cache.trouble


def test_entries_are_counted_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ByteCache(tmp_path / "cache", 4_000_000)
    counted = []
    inner = ByteCache._prune

    def prune(self: ByteCache, needed: int) -> int:
        counted.append(needed)
        return inner(self, needed)

    monkeypatch.setattr(ByteCache, "_prune", prune)
    for number in range(400):
        cache.keep_ranges(str(number), [(0, DATA[:20_000])])
    assert on_disk(cache) <= 4_000_000
    assert 5 <= len(counted) <= 1 + 400 * 20_480 / 800_000


def fill(settings: CacheSettings, start: int) -> list[str]:
    cache = settings.open()
    for number in range(start, start + 80):
        ranges = [(number, 5000), (number + 7000, 6000)]
        reader = CachedBytes(Bytes(), cache, f"key {number % 50}")
        assert reader.read_many(ranges) == expected(ranges)
    return [cache.trouble]


def test_several_processes_share_it_within_its_size(tmp_path: Path) -> None:
    settings = CacheSettings(tmp_path / "cache", 500_000)
    cache = settings.open()
    with multiprocessing.get_context("fork").Pool(4) as pool:
        jobs = [pool.apply_async(fill, (settings, start)) for start in (0, 10, 20, 30)]
        while not all(job.ready() for job in jobs):
            # A file may be renamed, and so be counted twice, while one looks.
            assert cache.size() <= 540_000
        assert [job.get() for job in jobs] == [[""]] * 4
    assert on_disk(cache) <= 500_000
    assert not files(cache, ".partial*")


def test_what_a_stopped_process_left_is_deleted_when_it_is_old(tmp_path: Path) -> None:
    cache = ByteCache(tmp_path / "cache", 1_000_000)
    cache.keep_ranges("k", [(0, b"abc")])
    shelf = files(cache)[0].parent
    old, new = shelf / ".partial-0a", shelf / ".partial-0b"
    for path in (old, new):
        path.write_bytes(bytes(300_000))
    os.utime(old, (0, 0))
    (cache.folder / "bytes-1/total").unlink()
    cache.keep_ranges("k", [(3, b"abc")])
    assert not old.exists()
    assert new.exists()


# ---- disks that do not do ---------------------------------------------------------------------------------


def test_a_full_disk_is_gone_on_without(cache: ByteCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.keep_ranges("k", [(0, DATA[:10])])

    def full(handle: int, data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        source = Bytes()
        reader = CachedBytes(source, cache, "k")
        assert reader.read_many([(0, 10), *RANGES]) == expected([(0, 10), *RANGES])
        assert (0, 10) not in source.asked
    assert "No space left" in cache.trouble
    assert not files(cache, ".partial*")
    assert reader.read_many(RANGES) == expected(RANGES)
    assert len(files(cache)) == 1


def test_a_folder_that_cannot_be_made_is_gone_on_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = ByteCache(tmp_path / "file" / "cache")
    assert CachedBytes(Bytes(), cache, "k").read_many(RANGES) == expected(RANGES)
    assert cache.trouble
    assert cache.text("k", "a") is None
    cache.keep_text("k", "a", "b")
    assert cache.size() == 0


def test_a_disk_that_is_read_only_is_gone_on_without(
    cache: ByteCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.keep_ranges("k", [(5, DATA[5:15])])

    def refuse(*_: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", refuse)
    source = Bytes()
    assert CachedBytes(source, cache, "k").read_many(RANGES) == expected(RANGES)
    assert (5, 10) not in source.asked
    assert "Read-only" in cache.trouble


def test_nobody_waits_long_for_another_process(cache: ByteCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_cache, "_LOCK_S", 0.05)
    cache.keep_ranges("other", [(0, b"abc")])
    with locked(cache.folder / "bytes-1/lock"):
        cache.keep_ranges("k", [(0, b"abc")])
        assert not cache.ranges("k")
        assert not cache.trouble
    cache.keep_ranges("k", [(0, b"abc")])
    assert cache.ranges("k")


# ---- where it lies ----------------------------------------------------------------------------------------


def test_the_folder_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NWBSWITCH_CACHE", str(tmp_path / "there"))
    assert cache_folder() == tmp_path / "there"
    assert user_cache() == CacheSettings(tmp_path / "there")
    for off in ("off", "", "none"):
        monkeypatch.setenv("NWBSWITCH_CACHE", off)
        assert user_cache() is None
    monkeypatch.delenv("NWBSWITCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder().is_relative_to(tmp_path)
    assert cache_folder().name == "nwbswitch"
    monkeypatch.setitem(__import__("sys").modules, "platformdirs", None)
    assert cache_folder() == tmp_path / "nwbswitch"


def test_settings_are_sent_to_other_processes(tmp_path: Path) -> None:
    settings = pickle.loads(pickle.dumps(CacheSettings(tmp_path, 5)))
    assert (settings.open().folder, settings.open().max_bytes) == (tmp_path, 5)
