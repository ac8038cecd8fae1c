"""Caches that somebody prepared: folders that lead elsewhere, and what other archives put under one's ids."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from archive_server import ArchiveServer
from ophys_file import Traces, make_traces, write_file
from range_server import Answer, RangeServer, Request

from nwbswitch.analysis.access.byte_cache import ByteCache
from nwbswitch.analysis.reading.recording import open_recording
from nwbswitch.analysis.sources import Source, find_sources

DATA = make_traces(600, 3)
SERIES = "processing/ophys/Fluorescence/RoiResponseSeries"


def recording_file(path: Path, *, times: float = 1.0) -> Path:
    return write_file(path, [Traces(SERIES, (times * DATA).astype(DATA.dtype), stamps=np.arange(600) / 10)])


def traces_of(source: Source, cache: ByteCache) -> np.ndarray:
    with open_recording(source, cache=cache) as recording:
        (plane,) = recording.outline.planes
        (values,) = recording.arrays.read_many([(plane.traces.array, (slice(0, 600), slice(0, 3)))])
    return values


@pytest.fixture
def treasure(tmp_path: Path) -> Path:
    """Files of the user three folders deep, as entries of a cache lie."""
    folder = tmp_path / "home"
    for number in range(3):
        path = folder / "ab" / f"{number:062x}" / f"thesis-{number}.tex"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 100_000)
    return folder


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="folders have no owner here")
def test_a_cache_that_is_a_link_is_not_used_and_nothing_behind_it_is_deleted(
    treasure: Path, tmp_path: Path
) -> None:
    cache = ByteCache(tmp_path / "cache", 200_000)
    cache.folder.mkdir()
    (cache.folder / "bytes-1").symlink_to(treasure)
    treasure.chmod(0o755)
    cache.keep_ranges("k", [(0, b"abc")])
    assert "link" in cache.trouble
    assert treasure.stat().st_mode & 0o777 == 0o755
    assert cache.size() == 0
    cache.clear()
    assert len(list(treasure.rglob("*.tex"))) == 3


@pytest.mark.parametrize("level", ["group", "shelf"])
def test_links_inside_a_cache_are_not_followed_when_room_is_made(
    treasure: Path, tmp_path: Path, level: str
) -> None:
    cache = ByteCache(tmp_path / "cache", 50_000)
    cache.keep_ranges("k", [(0, bytes(8000))])
    root = cache.folder / "bytes-1"
    if level == "group":
        (root / "ff").symlink_to(treasure / "ab")
    else:
        (root / "ff").mkdir()
        (root / "ff" / ("0" * 62)).symlink_to(next((treasure / "ab").iterdir()))
    for number in range(10):
        cache.keep_ranges(f"k{number}", [(0, bytes(8000))])
    assert not cache.trouble
    assert 0 < cache.size() <= 50_000
    assert len(list(treasure.rglob("*.tex"))) == 3


def test_files_of_others_in_the_folder_are_not_deleted(tmp_path: Path) -> None:
    cache = ByteCache(tmp_path / "cache", 50_000)
    cache.keep_ranges("k", [(0, bytes(8000))])
    (shelf,) = {path.parent for path in cache.folder.rglob("*.ranges")}
    own = [shelf / "notes.txt", shelf / "data.ranges.bak", cache.folder / "bytes-1" / "data" / "a" / "b"]
    own[-1].parent.mkdir(parents=True)
    for path in own:
        path.write_bytes(bytes(60_000))
    for number in range(10):
        cache.keep_ranges(f"k{number}", [(0, bytes(8000))])
    cache.clear()
    assert all(path.is_file() for path in own)
    assert cache.size() == 0


def test_an_archive_cannot_put_its_bytes_in_the_place_of_anothers(tmp_path: Path) -> None:
    """Two archives state one asset: the same ids, ETag, path and dandiset, with other bytes."""
    cache = ByteCache(tmp_path / "cache")
    paths = [recording_file(tmp_path / f"{n}.nwb", times=n) for n in (1, 2)]
    found = []
    for path in paths:
        with ArchiveServer() as server:
            server.add_dandiset("000123")
            asset = server.add_asset("000123", "sub-a/a.nwb", path)
            assert asset.blob is not None
            asset.blob.etag = "0" * 32 + "-1"
            asset.asset_id, asset.blob.sha256 = "11111111-2222-4333-8444-555555555555", "ab" * 32
            server.assets[asset.asset_id] = asset
            server.store.put(asset.blob.key, path, etag=asset.blob.etag)
            (source,) = find_sources("dandi:000123", instance=server.api_url)
            assert source.etag == asset.blob.etag
            found.append(traces_of(source, cache))
    np.testing.assert_array_equal(found[0], DATA)
    np.testing.assert_array_equal(found[1], (2 * DATA).astype(DATA.dtype))


def test_files_that_differ_in_the_query_of_their_address_only_are_told_apart(tmp_path: Path) -> None:
    """A download script may give all its files one ETag."""
    cache = ByteCache(tmp_path / "cache")
    contents = {
        f"id={n}": recording_file(tmp_path / f"{n}.nwb", times=n).read_bytes().ljust(1 << 16, b"\0")
        for n in (1, 2)
    }
    assert len({len(each) for each in contents.values()}) == 1

    def answer(request: Request) -> Answer:
        body = contents[request.query]
        first, last = map(int, request.headers["range"].removeprefix("bytes=").split("-"))
        last = min(last, len(body) - 1)
        headers = {"ETag": '"1"', "Content-Range": f"bytes {first}-{last}/{len(body)}"}
        return Answer(206, body[first : last + 1], headers)

    with RangeServer() as server:
        server.route("/download", answer)
        for n in (1, 2, 1):
            (source,) = find_sources(f"{server.url}/download?id={n}")
            np.testing.assert_array_equal(traces_of(source, cache), (n * DATA).astype(DATA.dtype))
