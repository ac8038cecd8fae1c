"""The file of the catalogue: made, reopened, brought up to date, shared, refused."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nwbswitch.analysis.catalogue import schema
from nwbswitch.analysis.catalogue.schema import APPLICATION_ID, CATALOGUE_VERSION
from nwbswitch.analysis.catalogue.store import Catalogue, default_catalogue, require_catalogue
from nwbswitch.schemas.errors import InputFileError


def add_instance(catalogue: Catalogue, url: str) -> None:
    with catalogue.writing() as connection:
        connection.execute("INSERT INTO instance (url) VALUES (?)", (url,))


def urls(catalogue: Catalogue) -> set[str]:
    return {url for (url,) in catalogue.rows("SELECT url FROM instance")}


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "c.sqlite"
    with Catalogue(path) as catalogue:
        add_instance(catalogue, "a")
    with Catalogue(path) as catalogue:
        assert urls(catalogue) == {"a"}
        assert catalogue.rows("PRAGMA journal_mode") == [("wal",)]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_others_on_the_machine_cannot_read_it(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    Catalogue(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_older_one_without_a_migration_is_built_anew(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    old = sqlite3.connect(path)
    old.execute("CREATE TABLE instance (something_else TEXT)")
    old.execute("CREATE TABLE gone (x TEXT REFERENCES instance)")
    old.execute("INSERT INTO instance VALUES ('x')")
    old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    old.execute(f"PRAGMA user_version = {CATALOGUE_VERSION - 1}")
    old.commit()
    old.close()
    with Catalogue(path) as catalogue:
        assert urls(catalogue) == set()
        add_instance(catalogue, "b")
        tables = {name for (name,) in catalogue.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert "gone" not in tables
    assert "substance" in tables


def test_an_older_one_with_a_migration_keeps_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.sqlite"
    with Catalogue(path) as catalogue:
        add_instance(catalogue, "a")
    monkeypatch.setattr(schema, "CATALOGUE_VERSION", CATALOGUE_VERSION + 1)
    statement = "ALTER TABLE instance ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue';"
    monkeypatch.setattr(schema, "MIGRATIONS", {CATALOGUE_VERSION: statement})
    with Catalogue(path) as catalogue:
        assert catalogue.rows("SELECT url, colour FROM instance") == [("a", "blue")]
        assert catalogue.rows("PRAGMA user_version") == [(CATALOGUE_VERSION + 1,)]


def test_a_newer_one_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with Catalogue(path) as catalogue:
        add_instance(catalogue, "a")
        catalogue.rows(f"PRAGMA user_version = {CATALOGUE_VERSION + 1}")
    with pytest.raises(InputFileError, match="newer nwbswitch"):
        Catalogue(path)
    assert sqlite3.connect(path).execute("SELECT url FROM instance").fetchall() == [("a",)]


def test_files_of_others_are_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "theirs.sqlite"
    theirs = sqlite3.connect(path)
    theirs.execute("CREATE TABLE precious (x TEXT)")
    theirs.commit()
    theirs.close()
    before = path.read_bytes()
    with pytest.raises(InputFileError, match="something else"):
        Catalogue(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"not a database, but text" * 100, b"SQLite format 3\0" + b"\xff" * 4000]
)
def test_a_damaged_file_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.sqlite"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=r"damaged|cannot be used") as caught:
        Catalogue(path)
    assert "--catalogue" in str(caught.value)


def test_a_folder_in_its_place_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="--catalogue"):
        Catalogue(tmp_path)


def test_what_fails_halfway_leaves_nothing(tmp_path: Path) -> None:
    def fail(catalogue: Catalogue) -> None:
        with catalogue.writing() as connection:
            connection.execute("INSERT INTO instance (url) VALUES ('a')")
            raise RuntimeError

    with Catalogue(tmp_path / "c.sqlite") as catalogue:
        with pytest.raises(RuntimeError):
            fail(catalogue)
        assert urls(catalogue) == set()


def test_readers_see_one_moment_while_others_write(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with Catalogue(path) as one, Catalogue(path) as other:
        with one.reading():
            assert urls(one) == set()
            add_instance(other, "a")
            assert urls(one) == set()
        assert urls(one) == {"a"}


_WRITER = """
import sys
from pathlib import Path
from nwbswitch.analysis.catalogue.store import Catalogue
with Catalogue(Path(sys.argv[1])) as catalogue:
    for number in range(20):
        with catalogue.writing() as connection:
            connection.execute("INSERT INTO instance (url) VALUES (?)", (f"{sys.argv[2]}-{number}",))
"""


def test_several_processes_make_and_write_it_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"

    def write(name: str) -> int:
        command = [sys.executable, "-c", _WRITER, str(path), name]
        return subprocess.run(command, check=False, timeout=60).returncode

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(write, "abc")) == [0, 0, 0]
    with Catalogue(path) as catalogue:
        assert len(urls(catalogue)) == 60


def test_where_it_lies_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NWBSWITCH_CACHE", str(tmp_path / "x"))
    assert default_catalogue() == tmp_path / "x" / "catalogue.sqlite"
    monkeypatch.setenv("NWBSWITCH_CACHE", "off")
    with pytest.raises(ValueError, match="--catalogue"):
        default_catalogue()


def test_offline_needs_one(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="without --offline"):
        require_catalogue(tmp_path / "none.sqlite")
