from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_server import OWNER_KEY, ArchiveServer
from range_server import RangeServer

from nwbswitch.analysis import archive as archive_module
from nwbswitch.analysis import sources as sources_module
from nwbswitch.analysis.sources import (
    Source,
    digest_of,
    file_stamp,
    find_sources,
    open_source,
    with_digest,
)
from nwbswitch.schemas.errors import InputFileError, IssuesError, NwbswitchError

pytest.importorskip("dandi.dandiapi")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    monkeypatch.setattr(archive_module, "_SHARED", {})
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    with ArchiveServer() as running:
        running.add_dandiset("000123")
        for animal in ("m1", "m2"):
            for session in ("a", "b"):
                path = f"sub-{animal}/sub-{animal}_ses-{session}_ophys.nwb"
                running.add_asset("000123", path, f"{animal}{session}".encode())
        running.publish("000123", "0.240101.1234")
        running.add_asset("000123", "sub-m3/sub-m3_ophys.nwb", b"only in the draft")
        running.add_asset("000123", "sub-m4/sub-m4_ophys.nwb.zarr", zarr_bytes=12)
        running.add_asset("000123", "sub-m1/video.mp4", b"a video")
        running.add_dandiset("000124", embargoed=True)
        running.add_asset("000124", "sub-s/sub-s_ophys.nwb", b"not yet")
        running.add_dandiset("000125")
        running.add_asset("000125", "sub-d/sub-d_ophys.nwb", b"draft")
        yield running


def names(server: ArchiveServer, *given: str) -> list[str]:
    return [each.name for each in find_sources(given, instance=server.api_url)]


M1 = ["sub-m1/sub-m1_ses-a_ophys.nwb", "sub-m1/sub-m1_ses-b_ophys.nwb"]
M2 = ["sub-m2/sub-m2_ses-a_ophys.nwb", "sub-m2/sub-m2_ses-b_ophys.nwb"]
M3 = ["sub-m3/sub-m3_ophys.nwb"]
M4 = ["sub-m4/sub-m4_ophys.nwb.zarr"]


@pytest.mark.parametrize(
    ("given", "version", "paths"),
    [
        ("dandi:000123", "0.240101.1234", [*M1, *M2]),
        ("DANDI:000123/draft", "draft", [*M1, *M2, *M3, *M4]),
        ("dandi:000123@draft/sub-m1", "draft", M1),
        ("dandi:000123@draft/sub-m1/", "draft", M1),
        ("dandi:000123@draft/sub-*/*_ses-a_*.nwb", "draft", [M1[0], M2[0]]),
        ("dandi:000123@draft/*.nwb", "draft", None),
        ("dandi:000123@draft/**/*.nwb", "draft", [*M1, *M2, *M3]),
        ("dandi:000123@draft/sub-m[13]/*.nwb", "draft", [*M1, *M3]),
        ("dandi:000123@draft/sub-m?/*b_ophys.nwb", "draft", [M1[1], M2[1]]),
        ("dandi:000123@0.240101.1234/" + M2[0], "0.240101.1234", [M2[0]]),
        ("dandi:000123@0.240101.1234/SUB-M2/", "0.240101.1234", None),
        ("{api}/dandisets/000123/versions/draft/assets/?path=sub-m2%2Fsub-m2_ses", "draft", M2),
        ("{api}/dandisets/000123/versions/draft/assets/?glob=*ses-a*", "draft", [M1[0], M2[0]]),
        ("{api}/dandisets/000123/", "0.240101.1234", [*M1, *M2]),
    ],
)
def test_dandisets_and_parts_of_them(
    server: ArchiveServer, given: str, version: str, paths: list[str] | None
) -> None:
    given = given.format(api=server.api_url)
    if paths is None:
        with pytest.raises(IssuesError, match="holds no asset"):
            names(server, given)
        return
    assert names(server, given) == [f"dandi:000123@{version}/{path}" for path in paths]


def test_without_a_published_version_it_is_the_draft(server: ArchiveServer) -> None:
    assert names(server, "dandi:000125") == ["dandi:000125@draft/sub-d/sub-d_ophys.nwb"]


def test_names_of_assets_find_them_again(server: ArchiveServer) -> None:
    found = find_sources("dandi:000123@draft", instance=server.api_url)
    assert find_sources([each.name for each in found], instance=server.api_url) == found
    by_id = find_sources(f"{server.api_url}/assets/{found[0].asset_id}/download/", instance=server.api_url)
    assert by_id[0].name == f"dandi:assets/{found[0].asset_id}/{M1[0]}"
    assert find_sources(by_id[0].name, instance=server.api_url) == by_id
    assert by_id[0].digest == found[0].digest


def test_many_parts_of_a_dandiset_are_found_with_few_requests(server: ArchiveServer) -> None:
    for number in range(40):
        server.add_asset("000125", f"sub-{number:02}/x.nwb", b"%d" % number)
    given = [f"dandi:000125@draft/sub-{number:02}/x.nwb" for number in range(40)]
    assert names(server, *given) == given
    assert server.count() <= 2 * 9


def test_an_asset_source_says_which_content_it_is(server: ArchiveServer) -> None:
    source = find_sources(f"dandi:000123/{M1[0]}", instance=server.api_url)[0]
    stored = server.dandisets["000123"].draft.assets[0]
    assert source.asset_id == stored.asset_id
    assert source.digest == f"sha256:{hashlib.sha256(b'm1a').hexdigest()}"
    assert (source.dandiset, source.version, source.size) == ("000123", "0.240101.1234", 3)
    assert digest_of(source) == source.digest
    assert with_digest(source) is source


def test_reading_assets_in_another_process(server: ArchiveServer) -> None:
    found = find_sources("dandi:000123@draft/sub-m[123]/*.nwb", instance=server.api_url)
    contents = []
    for source in pickle.loads(pickle.dumps(found)):
        far = open_source(source)
        contents.append(far.read(0, far.size))
        far.close()
    assert contents == [b"m1a", b"m1b", b"m2a", b"m2b", b"only in the draft"]
    assert server.count("/download/") == 0, "open assets are read where they lie"


def test_an_asset_that_was_replaced_is_still_the_one_that_was_found(server: ArchiveServer) -> None:
    source = find_sources("dandi:000125", instance=server.api_url)[0]
    server.add_asset("000125", "sub-d/sub-d_ophys.nwb", b"other")
    assert open_source(source).read(0, 5) == b"draft"
    server.overwrite(server.assets[source.asset_id], b"wrong")
    with pytest.raises(InputFileError, match="dandi:000125@draft/sub-d/sub-d_ophys.nwb"):
        open_source(source).read(0, 5)


def test_embargoed_assets_are_read_with_the_key(
    server: ArchiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputFileError, match="API key"):
        names(server, "dandi:000124")
    monkeypatch.setenv(server.key_variable, OWNER_KEY)
    (source,) = find_sources("dandi:000124", instance=server.api_url)
    assert source.url == ""
    assert OWNER_KEY.encode() not in pickle.dumps(source)
    assert open_source(source).read(0, 7) == b"not yet"


def test_zarr_is_listed_and_refused_when_opened(server: ArchiveServer, tmp_path: Path) -> None:
    (far,) = find_sources("dandi:000123@draft/sub-m4/", instance=server.api_url)
    store = tmp_path / "a.nwb.zarr"
    store.mkdir()
    (store / ".zgroup").write_text("{}")
    (near,) = find_sources(store)
    (at,) = find_sources("https://example.org/a.nwb.zarr/")
    for source in (far, near, at):
        assert source.is_zarr
        with pytest.raises(
            IssuesError, match=r"zarr/?: It is stored as Zarr; only HDF5 is read\. Export"
        ) as raised:
            open_source(source)
        assert [each.code for each in raised.value.issues] == ["zarr-source"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("dandi:000999", "dandi:000999: is not in the archive"),
        ("dandi:000123@0.240101.1235", "no version of the dandiset. Did you mean '0.240101.1234'"),
        (
            "dandi:000123@draft/sub-m1/sub-m1_ses-c_ophys.nwb",
            r"Did you mean sub-m1/sub-m1_ses-\w_ophys.nwb or",
        ),
        ("dandi:000123@draft/zzz*", r"It holds sub-m1/.* and 3 more"),
        ("dandi:000123@draft/sub-m1/video.mp4", "holds no NWB file but 1 other"),
        (
            "{api}/dandisets/000123/versions/draft/assets/00000000-0000-4000-8000-000000000000/",
            "not in the archive",
        ),
        ("{api}/assets/00000000-0000-4000-8000-000000000000/", "not in the archive"),
    ],
)
def test_what_an_archive_does_not_hold(server: ArchiveServer, given: str, words: str) -> None:
    with pytest.raises(IssuesError, match=words) as raised:
        names(server, given.format(api=server.api_url))
    assert {each.code for each in raised.value.issues} == {"no-source"}


def test_an_asset_that_is_no_nwb_file_is_named(server: ArchiveServer) -> None:
    movie = next(each for each in server.dandisets["000123"].draft.assets if each.path.endswith(".mp4"))
    with pytest.raises(IssuesError, match=rf"asset {movie.asset_id}: sub-m1/video\.mp4 is no NWB file"):
        names(server, f"{server.api_url}/assets/{movie.asset_id}/download/")


def test_an_empty_dandiset_holds_nothing(server: ArchiveServer) -> None:
    server.add_dandiset("000126")
    with pytest.raises(IssuesError, match="000126 holds no asset"):
        names(server, "dandi:000126")


# ---- files


def test_files_folders_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b/two.nwb", "b/one.nwb", "a.nwb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    found = find_sources(["b", Path("a.nwb"), "*.nwb", str(tmp_path / "b" / "two.nwb")])
    assert [each.name for each in found] == [str(Path("b/one.nwb")), str(Path("b/two.nwb")), "a.nwb"]
    assert [each.size for each in found] == [9, 9, 5]
    assert found == find_sources(["b", Path("a.nwb"), "*.nwb", str(tmp_path / "b" / "two.nwb")])
    near = open_source(found[2])
    assert near.read(0, 5) == b"a.nwb"
    near.close()


def test_digests_of_files_are_computed_once_for_each_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.nwb"
    path.write_bytes(b"first")
    (source,) = find_sources(path)
    assert source.digest == ""
    told: list[int] = []
    assert digest_of(source, before=told.append) == hashlib.sha256(b"first").hexdigest()
    assert told
    read: list[Path] = []
    monkeypatch.setattr(sources_module, "sha256_file", lambda path, before: read.append(path) or "other")
    assert with_digest(source).digest == hashlib.sha256(b"first").hexdigest()
    assert read == []
    path.write_bytes(b"second!")
    assert digest_of(source) == "other"
    stamp = file_stamp(path)
    assert stamp is not None
    (known,) = find_sources(path, known_digests={stamp: "kept"})
    assert digest_of(known) == known.digest == "kept"
    path.write_bytes(b"third, longer")
    (changed,) = find_sources(path, known_digests={stamp: "kept"})
    assert changed.digest == ""


def test_what_cannot_be_opened_has_no_digest_and_stops_nothing(server: ArchiveServer, tmp_path: Path) -> None:
    (tmp_path / "gone.nwb").symlink_to(tmp_path / "annex")
    (tmp_path / "a.nwb.zarr").mkdir()
    far = find_sources("dandi:000123@draft/sub-m4/", instance=server.api_url)
    for source in [*find_sources(tmp_path), *far]:
        assert with_digest(source) == source
        assert source.digest == ""


def test_a_file_that_changes_while_its_digest_is_computed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nwb"
    path.write_bytes(b"first")
    (source,) = find_sources(path)

    def change(n_bytes: int) -> None:
        path.write_bytes(b"second, and longer")

    with pytest.raises(InputFileError, match="changed while it was read"):
        digest_of(source, before=change)
    assert digest_of(source) == hashlib.sha256(b"second, and longer").hexdigest()


@pytest.mark.parametrize("known", [False, True])
def test_a_file_that_changes_after_its_digest_was_computed_is_not_read_under_it(
    tmp_path: Path, known: bool
) -> None:
    path = tmp_path / "a.nwb"
    path.write_bytes(b"first")
    stamp = file_stamp(path)
    assert stamp is not None
    if known:
        (source,) = find_sources(path, known_digests={stamp: "ab"})
    else:
        source = with_digest(find_sources(path)[0])
    open_source(source).close()
    path.write_bytes(b"other")
    os.utime(path, ns=(0, stamp[2] + 1))
    with pytest.raises(InputFileError, match="changed since its digest"):
        open_source(source)
    open_source(find_sources(path)[0]).close()


def test_a_missing_file_is_told_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.nwb"
    path.symlink_to(tmp_path / "annex")
    (source,) = find_sources(tmp_path)
    for read in (open_source, digest_of):
        with pytest.raises(InputFileError, match="is not there"):
            read(source)


# ---- addresses


def test_files_on_web_servers() -> None:
    with RangeServer() as web:
        url = web.add("sub 1.nwb", b"far away", etag='"v1"')
        (source,) = find_sources(f"{url}?signature=secret#top")
        assert source.name == url
        assert "secret" not in repr(source)
        (plain,) = find_sources(url)
        assert open_source(plain).read(4, 4) == b"away"
        assert with_digest(plain).digest == "version:v1"
        web.clear()
        assert plain.size is None


def test_names_of_addresses_that_differ_in_their_query_only_are_told_apart() -> None:
    found = find_sources(["https://example.org/a.nwb?v=1", "https://example.org/a.nwb?v=2"] * 2)
    assert [each.name for each in found] == ["https://example.org/a.nwb", "https://example.org/a.nwb (2)"]


def test_buckets_of_dandi_are_known() -> None:
    (source,) = find_sources("s3://dandiarchive/blobs/aaa/bbb/aaabbb")
    assert source.url == "https://dandiarchive.s3.amazonaws.com/blobs/aaa/bbb/aaabbb"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("http://example.org/a.nwb", "http:// is for servers on this machine only"),
        ("https://example.org", "names no file"),
        ("https://me:secret@example.org/a.nwb", "user name or password"),
        ("ftp://example.org/a.nwb", "Expected a file, a folder, a pattern"),
        ("file:///data/a.nwb", "Expected a file, a folder, a pattern"),
        ("s3://elsewhere/a.nwb", "Expected s3://dandiarchive/"),
        ("s3://dandiarchive", "Expected s3://dandiarchive/"),
        ("dandi:1326", "six digits: 001326"),
        ("", "without a word. Expected a file"),
        (" ", "without a word. Expected a file"),
        ("a\0b", "no such file or folder"),
    ],
)
def test_what_is_refused_and_what_was_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IssuesError, match=words) as raised:
        find_sources(given)
    assert "secret" not in str(raised.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(IssuesError) as raised:
        find_sources([tmp_path / "a.nwb", "dandi:7", "ftp://example.org/a", "https://example.org/a.nwb"])
    assert [each.code for each in raised.value.issues] == ["no-source", "source-form", "source-form"]
    with pytest.raises(IssuesError, match="No source is given"):
        find_sources([])


def test_sources_are_small_values(tmp_path: Path) -> None:
    source = Source(name="a")
    assert not hasattr(source, "__dict__")
    assert pickle.loads(pickle.dumps(source)) == source
    assert hash(source) == hash(Source(name="a"))
    with pytest.raises(AttributeError):
        source.name = "b"  # type: ignore[misc]
    assert issubclass(IssuesError, NwbswitchError)
