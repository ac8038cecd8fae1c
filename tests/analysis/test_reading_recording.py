"""Recordings opened by name, near and far, and outlines that are kept so that no file is opened twice."""

from __future__ import annotations

import base64
import zlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from archive_server import ArchiveServer
from ophys_file import Traces, make_traces, write_file
from range_server import RangeServer

from nwbswitch.analysis.access.byte_cache import ByteCache
from nwbswitch.analysis.archive_instances import Instance
from nwbswitch.analysis.reading import outline_cache
from nwbswitch.analysis.reading.clocks import frames_between
from nwbswitch.analysis.reading.outline import OUTLINES
from nwbswitch.analysis.reading.outline_cache import keep_outline, kept_outline
from nwbswitch.analysis.reading.recording import identity_of, open_recording
from nwbswitch.analysis.sources import Source, find_sources
from nwbswitch.schemas.errors import InputFileError, IssuesError, UnsafeFileError
from nwbswitch.schemas.overrides import Override, Overrides, load_overrides

F = "processing/ophys/Fluorescence"
DATA = make_traces(600, 3)


@pytest.fixture
def path(tmp_path) -> Path:
    series = Traces(f"{F}/RoiResponseSeries", DATA, stamps=5 + np.arange(600) / 10)
    return write_file(tmp_path / "lab" / "a.nwb", [series])


@pytest.fixture
def cache(tmp_path) -> ByteCache:
    return ByteCache(tmp_path / "cache", 1 << 28)


def window_of(source, *, overrides: Overrides | None = None, cache: ByteCache | None = None) -> np.ndarray:
    """Return the traces of all ROIs from 10 to 20 s."""
    with open_recording(source, overrides=overrides, cache=cache) as recording:
        (plane,) = recording.outline.planes
        frames = frames_between(plane.clock, recording.arrays, 10, 20)
        (values,) = recording.arrays.read_many([(plane.traces.array, (frames, slice(0, 3)))])
    return values


@pytest.fixture
def no_library(monkeypatch):
    """Make every opening of a file by the HDF5 library fail."""

    def stop() -> None:
        def refuse(*_args, **_options):
            raise AssertionError("the HDF5 library was asked")

        monkeypatch.setattr(h5py, "File", refuse)
        monkeypatch.setattr("nwbswitch.analysis.reading.recording.open_hdf5_bytes", refuse)

    return stop


def test_a_file_by_its_path_its_name_or_as_a_source(path):
    (source,) = find_sources(path)
    for given in (path, str(path), source):
        np.testing.assert_array_equal(window_of(given), DATA[50:150])


def test_the_treadmill_of_a_real_mouse(shared, tmp_path, monkeypatch):
    pytest.importorskip("neuroconv")
    from nwbswitch.converters.convert import convert

    study = Path(__file__).resolve().parents[2] / "examples" / "treadmill" / "study.yaml"
    monkeypatch.setenv("NWBSWITCH_SHARED", str(shared))
    convert(study, tmp_path / "nwb")
    (made,) = (tmp_path / "nwb").rglob("*.nwb")
    stored = np.load(next((shared / "data" / "two_photon_mouse_treadmill").rglob("F.npy")))
    with open_recording(made) as recording:
        (plane,) = recording.outline.planes
        assert (plane.traces.n_rois, plane.traces.n_frames, plane.clock.rate_hz) == (48, 500, 7.0)
        assert sum(plane.neurons.accepted) == 32
        assert plane.traces.array.object_path == "/processing/ophys/Fluorescence/RoiResponseSeries/data"
        (values,) = recording.arrays.read_many([(plane.traces.array, (slice(100, 200), slice(0, 48)))])
    np.testing.assert_array_equal(values, stored.T[100:200])


def test_several_recordings_are_not_one(path):
    write_file(path.with_name("b.nwb"), [Traces(f"{F}/F", DATA)])
    with pytest.raises(IssuesError, match="names 2 recordings"), open_recording(path.parent):
        pass


def test_a_file_that_is_not_there_damaged_or_hostile_is_refused(path):
    with pytest.raises((InputFileError, IssuesError)), open_recording(path.with_name("c.nwb")):
        pass
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputFileError, match="a.nwb"), open_recording(path):
        pass
    path.write_bytes(whole)
    with h5py.File(path, "r+") as nwb:
        nwb["acquisition/x"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(UnsafeFileError), open_recording(path):
        pass


def test_overrides_are_those_of_the_name_of_the_source(path, tmp_path):
    file = tmp_path / "overrides.yaml"
    file.write_text("sources: [{match: lab/a.nwb, dataset: stated}, {match: b.nwb, dataset: other}]")
    for given in (load_overrides(file), file, str(file)):
        with open_recording(path, overrides=given) as recording:
            assert recording.outline.dataset == "stated"


def test_a_recording_of_another_archive(path):
    with ArchiveServer() as archive:
        archive.add_dandiset("000123")
        archive.add_asset("000123", "sub-m1/sub-m1_ophys.nwb", path)
        name = "dandi:000123@draft/sub-m1/sub-m1_ophys.nwb"
        with open_recording(name, instance=archive.api_url) as recording:
            assert recording.source.name == name
            assert recording.outline.dataset == "dandi:000123"


def test_with_a_kept_outline_the_hdf5_library_is_not_asked(path, cache, no_library):
    expected = window_of(path, cache=cache)
    no_library()
    np.testing.assert_array_equal(window_of(path, cache=cache), expected)
    np.testing.assert_array_equal(expected, DATA[50:150])


@pytest.mark.parametrize("change", ["file", "override", "name", "version", "damage"])
def test_an_outline_is_made_anew_when_anything_changed(path, cache, monkeypatch, tmp_path, change):
    with open_recording(path, cache=cache) as recording:
        before = recording.outline
    overrides = None
    given: Path = path
    if change == "file":
        with h5py.File(path, "r+") as nwb:
            nwb[f"{F}/Neuropil"] = nwb[f"{F}/RoiResponseSeries"]
            nwb["general/session_id"][()] = "s2"
    elif change == "override":
        file = tmp_path / "overrides.yaml"
        file.write_text("defaults: {dataset: stated}")
        overrides = load_overrides(file)
    elif change == "name":
        given = path.rename(path.with_name("sub-9.nwb"))
    elif change == "version":
        monkeypatch.setattr(outline_cache, "OUTLINE_VERSION", 99)
    else:
        for kept in Path(cache.folder).rglob("*.text"):
            kept.write_bytes(kept.read_bytes()[:-7] + b"damaged")
    made = []
    original = outline_cache.OUTLINES.dump_json
    monkeypatch.setattr("nwbswitch.analysis.reading.recording.keep_outline", lambda *_a, **_o: made.append(1))
    with open_recording(given, overrides=overrides, cache=cache) as recording:
        after = recording.outline
    assert made == [1]
    same = original(after) == original(before)
    assert same == (change in ("version", "damage"))


def test_a_far_file_is_read_by_ranges_and_from_the_cache_the_second_time(path, cache, no_library):
    with RangeServer() as server:
        url = server.add("lab/a.nwb", path)
        first = window_of(url, cache=cache)
        np.testing.assert_array_equal(first, DATA[50:150])
        server.clear()
        no_library()
        np.testing.assert_array_equal(window_of(url, cache=cache), first)
        assert server.n_bytes < 100_000
        (source,) = find_sources(url)
        assert source.name == url


def test_another_version_of_a_far_file_is_another_file(path, cache):
    other = path.with_name("other.nwb")
    series = Traces(f"{F}/RoiResponseSeries", 2 * DATA, stamps=5 + np.arange(600) / 10)
    write_file(other, [series])
    with RangeServer() as server:
        url = server.add("a.nwb", path)
        np.testing.assert_array_equal(window_of(url, cache=cache), DATA[50:150])
        server.replace("a.nwb", other)
        np.testing.assert_array_equal(window_of(url, cache=cache), 2 * DATA[50:150])


def test_findings_of_a_far_file_keep_its_address(path, cache):
    with RangeServer() as server:
        url = server.add("a.nwb", path)
        for _ in range(2):
            with open_recording(url, cache=cache) as recording:
                assert {str(each.place).partition(" ")[0] for each in recording.outline.issues} == {url}


OTHER = Instance("other", "https://other/api")


@pytest.mark.parametrize(
    ("source", "identity"),
    [
        (Source(name="dandi:1@draft/a", asset_id="ab", etag="e1", digest="sha256:12"), "asset ab e1"),
        (Source(name="dandi:1@draft/a", asset_id="ab", digest="sha256:12"), "digest sha256:12"),
        (
            Source(name="dandi:1@draft/a", instance=OTHER, asset_id="ab", etag="e1"),
            "asset https://other/api ab e1",
        ),
        (
            Source(name="dandi:1@draft/a", instance=OTHER, asset_id="ab", digest="sha256:12"),
            "digest https://other/api sha256:12",
        ),
        (Source(name="a.nwb", path=Path("a.nwb"), digest="12ab"), "digest 12ab"),
        (
            Source(
                name="https://h/a",
                url="https://h/a?id=1&X-Amz-Signature=1&X-Amz-Expires=2&Signature=3#x",
                digest="version:abc",
            ),
            "address https://h/a?id=1 abc",
        ),
        (
            Source(
                name="https://h.blob.core.windows.net/a",
                url="https://h.blob.core.windows.net/a?sv=1&sig=2",
                digest="version:abc",
            ),
            "address https://h.blob.core.windows.net/a abc",
        ),
        (
            Source(name="https://h/a", url="https://h/a?sv=1", digest="version:a"),
            "address https://h/a?sv=1 a",
        ),
        (
            Source(
                name="https://h/a", url="https://h/a?id=1", digest="version:Mon, 23 Nov 2026 17:00:00 GMT"
            ),
            "address https://h/a?id=1 Mon, 23 Nov 2026 17:00:00 GMT",
        ),
        (Source(name="https://h/a", url="https://h/a", digest="version:"), ""),
    ],
)
def test_what_names_a_version_of_a_file(source, identity):
    assert identity_of(source) == identity


def test_what_was_kept_is_compared_before_it_is_believed(path, cache):
    with open_recording(path) as recording:
        outline = recording.outline
    own = {"name": "a.nwb", "override": Override()}
    keep_outline(cache, "x", outline, **own)
    assert kept_outline(cache, "x", **own) is not None
    assert kept_outline(cache, "y", **own) is None
    assert kept_outline(cache, "x", name="b.nwb", override=Override()) is None
    assert kept_outline(cache, "x", name="a.nwb", override=Override(dataset="z")) is None
    entry = outline_cache._entry(**own)
    bad_json = base64.b64encode(zlib.compress(b'{"dataset": 3}')).decode()
    old = OUTLINES.dump_json(replace(outline, version=-1))
    old_text = base64.b64encode(zlib.compress(old)).decode()
    cut = base64.b64encode(zlib.compress(OUTLINES.dump_json(outline))[:-20]).decode()
    for text in ("", "no base64!", base64.b64encode(b"no zlib").decode(), bad_json, old_text, cut):
        cache.keep_text("x", entry, text)
        assert kept_outline(cache, "x", **own) is None
