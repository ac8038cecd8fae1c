"""Archives that change or fail between two questions, or in the middle of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_server import ArchiveServer
from drug_archive import DrugArchive, ask, calm, held, ketamine, read_files, saline, write_template
from range_server import Fault

from nwbswitch.analysis import archive as archive_module
from nwbswitch.analysis.catalogue import find as find_module
from nwbswitch.analysis.catalogue import scans
from nwbswitch.schemas.errors import InputFileError

pytest.importorskip("dandi.dandiapi")


@pytest.fixture(autouse=True)
def _calm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "_SHARED", {})
    calm(monkeypatch)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_template(tmp_path_factory.mktemp("template") / "template.nwb")


@pytest.fixture
def small(template: Path, tmp_path: Path) -> Iterator[DrugArchive]:
    """An archive that a test may change."""
    with ArchiveServer() as server:
        world = DrugArchive(server, tmp_path, template)
        server.add_dandiset("000001", name="Ketamine")
        for animal in range(3):
            world.put("000001", f"a{animal}", holds="ketamine", drugs=[ketamine()])
        yield world


def test_a_file_that_changed_is_read_again_and_no_other(small: DrugArchive, tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    assert len(held(ask(small, path))) == 3
    small.server.store.clear()
    small.put("000001", "a1", drugs=[saline()])
    small.put("000001", "a9", drugs=[ketamine()])
    result = ask(small, path)
    assert {key[1][:6] for key in held(result)} == {"sub-a0", "sub-a2", "sub-a9"}
    assert len(set(read_files(small))) == 2


def test_a_file_that_moved_with_its_content_is_another_one(small: DrugArchive, tmp_path: Path) -> None:
    ask(small, tmp_path / "c.sqlite")
    small.server.remove_asset("000001", "sub-a0/sub-a0_ses-s1_ophys.nwb")
    result = ask(small, tmp_path / "c.sqlite")
    assert len(held(result)) == 2


def test_the_published_file_is_taken_before_the_draft(small: DrugArchive, tmp_path: Path) -> None:
    small.server.publish("000001", "0.240101.0001")
    small.put("000001", "a1", drugs=[saline()])
    small.put("000001", "a9", drugs=[ketamine()])
    assets = ask(small, tmp_path / "c.sqlite").assets.set_index("subject")
    assert assets["version"].to_dict() == {
        "a0": "0.240101.0001", "a1": "0.240101.0001", "a2": "0.240101.0001", "a9": "draft"
    }  # fmt: skip


def test_a_server_in_trouble_leaves_files_for_the_next_run(small: DrugArchive, tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    small.server.store.plan(*[Fault.status(403)] * 100)
    small.server.fail(500, times=1000, path_contains="/download/")
    result = ask(small, path)
    assert [each.code for each in result.issues] == ["archive-unread"] * 3
    assert result.coverage.waiting.n_files == 3
    assert result.ok
    small.server.faults.clear()
    small.server.store.clear()
    assert len(held(ask(small, path))) == 3


def test_a_store_that_is_down_is_not_asked_on_and_on(
    small: DrugArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "MAX_FAILURES", 2)
    small.put("000001", "a4", drugs=[ketamine()])
    small.server.store.plan(*[Fault.status(403)] * 100)
    small.server.fail(500, times=1000, path_contains="/download/")
    result = ask(small, tmp_path / "c.sqlite")
    assert len(result.issues) == 3
    assert "2 more files were not read" in result.issues[-1].message
    assert result.coverage.waiting.n_files == 4


def test_a_missing_key_is_told_and_is_no_silence(small: DrugArchive, tmp_path: Path) -> None:
    ask(small, tmp_path / "c.sqlite")
    with pytest.raises(InputFileError, match="API key"):
        ask(small, tmp_path / "c.sqlite", embargoed=True)


def test_a_silent_archive_is_an_error_and_the_answer_is_older(small: DrugArchive, tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    small.server.fail(500, times=10_000)
    with pytest.raises(InputFileError, match="500"):
        ask(small, path)
    small.server.faults.clear()
    ask(small, path)
    small.server.fail(500, times=10_000)
    result = ask(small, path)
    assert not result.ok
    assert [each.code for each in result.issues] == ["archive-silent"]
    assert len(held(result)) == 3


def test_a_newer_nwbswitch_tries_what_an_older_one_refused(
    small: DrugArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.server.add_asset("000001", "sub-b/sub-b_ophys.nwb", b"this is no HDF5 file at all")
    assert ask(small, tmp_path / "c.sqlite").coverage.n_refused == 1
    small.server.store.clear()
    ask(small, tmp_path / "c.sqlite")
    assert read_files(small) == []
    monkeypatch.setattr(scans, "REFUSER", "a newer one")
    monkeypatch.setattr(find_module, "READERS", (scans.READER, "a newer one"))
    assert ask(small, tmp_path / "c.sqlite").coverage.n_refused == 1
    assert len(set(read_files(small))) == 1


def test_rescan_reads_again(small: DrugArchive, tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    ask(small, path)
    small.server.store.clear()
    result = ask(small, path, rescan=True)
    assert len(set(read_files(small))) == 3
    assert len(held(result)) == 3
