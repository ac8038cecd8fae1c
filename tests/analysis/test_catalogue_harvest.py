"""Filling the catalogue from an archive: once, then what changed; stopped anywhere, it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_content import asset_metadata
from archive_server import ArchiveServer

from nwbswitch.analysis import archive as archive_module
from nwbswitch.analysis.archive import Archive, open_archive
from nwbswitch.analysis.catalogue import archive_rows
from nwbswitch.analysis.catalogue.archive_rows import look_up_names
from nwbswitch.analysis.catalogue.harvest import MAX_SILENCE, Listing, update_assets, update_dandisets
from nwbswitch.analysis.catalogue.store import Catalogue
from nwbswitch.schemas.errors import InputFileError

dandiapi = pytest.importorskip("dandi.dandiapi")

TABLES = {
    "dandiset": "identifier, embargoed",
    "version": "label, modified, described, listed, n_assets, name, texts, species, modalities",
    "asset": "asset_id, path, content, created, is_zarr, subject_id, species, session_id, texts, modalities",
    "version_mention": "substance, place, quote",
    "asset_mention": "substance, place, quote",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    import tenacity

    monkeypatch.setattr(archive_module, "_SHARED", {})
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setattr(dandiapi, "sleep", lambda seconds: None)
    monkeypatch.setattr(tenacity, "wait_exponential", lambda **_: tenacity.wait_none())
    with ArchiveServer() as running:
        running.add_dandiset("000001", name="Ketamine in mice", keywords=["S-ketamine"])
        for number in range(3):
            described = asset_metadata(
                subject_id=f"m{number}", session_id="KET", session_description="Awake."
            )
            running.add_asset(
                "000001", f"sub-m{number}/sub-m{number}_ophys.nwb", b"%d" % number, metadata=described
            )
        running.publish("000001")
        running.add_asset("000001", "sub-m9/sub-m9_ophys.nwb", b"nine", subject_id="m9")
        running.add_asset("000001", "movie.tiff", b"no NWB", subject_id="m9")
        running.add_asset("000001", "sub-z/sub-z_ophys.nwb.zarr", zarr_bytes=9)
        running.add_dandiset("000002", name="Vision")
        running.add_asset("000002", "sub-a/sub-a_ophys.nwb", b"a")
        running.add_dandiset("000003", name="Empty")
        yield running


@pytest.fixture
def archive(server: ArchiveServer) -> Iterator[Archive]:
    with open_archive(server.api_url, interval_s=0.0) as opened:
        yield opened


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue(tmp_path / "c.sqlite") as opened:
        yield opened


def update(catalogue: Catalogue, archive: Archive) -> tuple[Listing, list[str]]:
    """Bring everything up to date, and return what is listed and the codes of findings."""
    look_up_names(catalogue)
    listing, issues = update_dandisets(catalogue, archive, quiet=True)
    versions = [row for (row,) in catalogue.rows("SELECT id FROM version")]
    issues += update_assets(catalogue, archive, listing, versions, quiet=True)
    return listing, [each.code for each in issues]


def content(catalogue: Catalogue) -> dict[str, list[tuple[object, ...]]]:
    return {
        table: sorted(catalogue.rows(f"SELECT {names} FROM {table}"), key=str)
        for table, names in TABLES.items()
    }


def paths(catalogue: Catalogue, label: str) -> set[str]:
    rows = catalogue.rows(
        "SELECT path FROM asset JOIN membership ON asset.id = asset JOIN version ON version.id = version "
        "WHERE label = ?",
        (label,),
    )
    return {path for (path,) in rows}


def test_drafts_and_published_versions_are_described_and_listed(
    catalogue: Catalogue, archive: Archive
) -> None:
    listing, codes = update(catalogue, archive)
    assert [each.identifier for each in listing.dandisets] == ["000001", "000002"]
    assert codes == []
    rows = catalogue.rows(
        "SELECT identifier, label, n_assets FROM version JOIN dandiset ON dandiset.id = dandiset"
    )
    assert set(rows) == {("000001", "0.240101.1234", 3), ("000001", "draft", 6), ("000002", "draft", 1)}
    assert len(paths(catalogue, "0.240101.1234")) == 3
    assert "movie.tiff" not in paths(catalogue, "draft")
    assert "sub-z/sub-z_ophys.nwb.zarr" in paths(catalogue, "draft")
    # The assets that both versions hold are there once.
    assert catalogue.rows("SELECT count(*) FROM asset") == [(6,)]
    assert ("Ketamine in mice",) in catalogue.rows("SELECT name FROM version WHERE label = 'draft'")


def test_drugs_in_texts_are_noted_with_their_place(catalogue: Catalogue, archive: Archive) -> None:
    update(catalogue, archive)
    named = set(catalogue.rows("SELECT substance, place FROM version_mention"))
    assert named == {("ketamine", "name"), ("S-ketamine", "keywords")}
    assert set(catalogue.rows("SELECT substance, place FROM asset_mention")) == {("ketamine", "session id")}


def test_what_did_not_change_is_not_asked_for_again(
    server: ArchiveServer, catalogue: Catalogue, archive: Archive
) -> None:
    update(catalogue, archive)
    before = content(catalogue)
    server.heard.clear()
    update(catalogue, archive)
    assert [each.path for each in server.heard if each.path != "/api/info/"] == ["/api/dandisets/"]
    assert content(catalogue) == before


def test_only_the_version_that_changed_is_asked_for(
    server: ArchiveServer, catalogue: Catalogue, archive: Archive
) -> None:
    update(catalogue, archive)
    server.heard.clear()
    server.add_asset("000002", "sub-b/sub-b_ophys.nwb", b"b")
    update(catalogue, archive)
    assert "sub-b/sub-b_ophys.nwb" in paths(catalogue, "draft")
    assert server.count("/dandisets/000001/") == 0
    assert server.count("/dandisets/000002/versions/draft/assets/") == 1
    assert server.count("/published") == 0


def test_what_is_gone_goes(server: ArchiveServer, catalogue: Catalogue, archive: Archive) -> None:
    update(catalogue, archive)
    server.remove_asset("000002", "sub-a/sub-a_ophys.nwb")
    server.add_asset("000002", "sub-b/sub-b_ophys.nwb", b"b")
    update(catalogue, archive)
    assert {path for path in paths(catalogue, "draft") if "sub-a" in path} == set()
    server.publish("000001", "0.250101.0000")
    del server.dandisets["000002"]
    update(catalogue, archive)
    assert {label for (label,) in catalogue.rows("SELECT label FROM version")} == {"draft", "0.250101.0000"}
    assert catalogue.rows("SELECT identifier FROM dandiset") == [("000001",)]
    orphans = "SELECT count(*) FROM asset WHERE id NOT IN (SELECT asset FROM membership)"
    assert catalogue.rows(orphans) == [(0,)]


def test_new_names_are_looked_for_in_texts_that_are_there(
    catalogue: Catalogue, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    update(catalogue, archive)
    expected = content(catalogue)
    with catalogue.writing() as connection:
        connection.execute("DELETE FROM version_mention")
        connection.execute("DELETE FROM asset_mention")
    look_up_names(catalogue)
    assert content(catalogue) != expected
    monkeypatch.setattr(archive_rows, "names_digest", lambda: "another")
    look_up_names(catalogue)
    assert content(catalogue) == expected


def test_a_passing_failure_is_tried_again(
    server: ArchiveServer, catalogue: Catalogue, archive: Archive
) -> None:
    server.fail(503, times=3, path_contains="/versions/")
    assert update(catalogue, archive)[1] == []
    assert catalogue.rows("SELECT count(*) FROM version WHERE described = ''") == [(0,)]


def test_what_cannot_be_had_is_told_and_asked_for_next_time(
    server: ArchiveServer, catalogue: Catalogue, archive: Archive
) -> None:
    server.fail(403, path_contains="/dandisets/000002/versions/draft/", times=3)
    assert update(catalogue, archive)[1] == ["archive-unread", "archive-unread"]
    server.faults.clear()
    assert update(catalogue, archive)[1] == []
    assert len(paths(catalogue, "draft")) == 6


def test_an_archive_that_falls_silent_is_not_asked_on_and_on(
    server: ArchiveServer, catalogue: Catalogue, archive: Archive
) -> None:
    for number in range(10, 60):
        server.add_dandiset(f"0000{number}")
        server.add_asset(f"0000{number}", "sub-a/sub-a_ophys.nwb", b"a")
    server.fail(500, times=10_000, path_contains="/versions/")
    _, issues = update_dandisets(catalogue, archive, quiet=True)
    asked = {each.path for each in server.heard if "/versions/" in each.path}
    assert MAX_SILENCE <= len(asked) <= MAX_SILENCE + 4
    assert len(issues) == len(asked) + 1
    assert f"{53 - len(asked)} more were not asked for" in issues[-1].message


def test_without_a_list_nothing_is_forgotten(
    server: ArchiveServer, catalogue: Catalogue, archive: Archive
) -> None:
    update(catalogue, archive)
    before = content(catalogue)
    server.fail(500, times=100)
    with pytest.raises(InputFileError, match="500"):
        update_dandisets(catalogue, archive, quiet=True)
    assert content(catalogue) == before


_HARVEST = """
import sys
from pathlib import Path
from nwbswitch.analysis.archive import open_archive
from nwbswitch.analysis.catalogue import harvest
from nwbswitch.analysis.catalogue.archive_rows import look_up_names
from nwbswitch.analysis.catalogue.store import Catalogue
with Catalogue(Path(sys.argv[1])) as catalogue, open_archive(sys.argv[2], interval_s=0.0) as archive:
    look_up_names(catalogue)
    listing, _ = harvest.update_dandisets(catalogue, archive, quiet=True)
    versions = [row for (row,) in catalogue.rows("SELECT id FROM version")]
    harvest.update_assets(catalogue, archive, listing, versions, quiet=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_at_any_point_it_goes_on_to_the_same_catalogue(
    server: ArchiveServer, catalogue: Catalogue, archive: Archive, tmp_path: Path
) -> None:
    for number in range(10, 22):
        server.add_dandiset(f"0000{number}", name=f"Ketamine {number}")
        server.add_asset(f"0000{number}", "sub-a/sub-a_ses-KET_ophys.nwb", b"a%d" % number)
    update(catalogue, archive)
    expected = content(catalogue)
    n_whole = len(server.heard)
    path = tmp_path / "killed.sqlite"
    server.heard.clear()
    kills = 0
    for n_heard in (1, 6, 14, 30):
        process = subprocess.Popen([sys.executable, "-c", _HARVEST, str(path), server.api_url])
        base = len(server.heard)
        while len(server.heard) - base < n_heard and process.poll() is None:
            time.sleep(0.001)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills
    subprocess.run([sys.executable, "-c", _HARVEST, str(path), server.api_url], check=True, timeout=60)
    with Catalogue(path) as resumed:
        assert content(resumed) == expected
    # What was had before a kill was not asked for again.
    assert len(server.heard) < n_whole + 5 * 10
