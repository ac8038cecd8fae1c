"""Catalogues from elsewhere: with triggers, views and other tables, changed values, locked, cut."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from archive_server import ArchiveServer
from bare_nwb import add_column
from small_recording import replaced, small_recording

from nwbswitch.analysis.catalogue import schema
from nwbswitch.analysis.catalogue.facts import FACTS, facts_of
from nwbswitch.analysis.catalogue.find import find
from nwbswitch.analysis.catalogue.find_result import FindResult
from nwbswitch.analysis.catalogue.store import Catalogue
from nwbswitch.analysis.reading.recording import open_recording
from nwbswitch.schemas.errors import InputFileError, NwbswitchError


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArchiveServer]:
    path = small_recording(tmp_path_factory.mktemp("files") / "a.nwb")
    with ArchiveServer() as server:
        server.add_dandiset("000123", name="Ketamine", description="Ketamine was given.")
        server.add_asset("000123", "sub-m1/sub-m1_ophys.nwb", path)
        server.publish("000123")
        yield server


@pytest.fixture(scope="module")
def whole(server: ArchiveServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("catalogue") / "catalogue.sqlite"
    asked(server, path)
    execute(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def catalogue(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path / "catalogue.sqlite"))


def asked(server: ArchiveServer, path: Path, *, offline: bool = False) -> FindResult:
    return find("ketamine", instance=server.api_url, catalogue=path, offline=offline, quiet=True)


def execute(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for each in statements:
        connection.execute(each)
    connection.commit()
    connection.close()


FOREIGN = {
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON scan BEGIN UPDATE scan SET facts = ''; END",
    "a trigger on deletion": "CREATE TRIGGER t AFTER DELETE ON dandiset BEGIN DELETE FROM scan; END",
    "a view": "CREATE VIEW v AS SELECT * FROM asset",
    "another table": "CREATE TABLE more (x TEXT)",
    "a virtual table": "CREATE VIRTUAL TABLE v USING fts5(x)",
    "a table lost": "DROP TABLE vocabulary",
    "a column lost": "ALTER TABLE scan DROP COLUMN n_bytes",
    "a view in the place of a table": "ALTER TABLE asset_mention RENAME TO other",
}


@pytest.mark.parametrize("statement", FOREIGN.values(), ids=FOREIGN)
def test_tables_that_are_others_are_refused_and_left(
    server: ArchiveServer, catalogue: Path, statement: str
) -> None:
    execute(catalogue, statement)
    with pytest.raises(InputFileError, match="its tables are others"):
        asked(server, catalogue)
    held = sqlite3.connect(catalogue).execute("SELECT count(*) FROM scan").fetchall()
    assert held == [(1,)]


def test_a_view_that_pretends_to_be_a_table_is_refused(server: ArchiveServer, catalogue: Path) -> None:
    execute(
        catalogue,
        "ALTER TABLE vocabulary RENAME TO other",
        "CREATE VIEW vocabulary AS SELECT digest FROM other",
    )
    with pytest.raises(InputFileError, match="its tables are others"):
        asked(server, catalogue)


def test_computed_columns_are_refused(server: ArchiveServer, catalogue: Path) -> None:
    execute(
        catalogue,
        "DROP TABLE vocabulary",
        "CREATE TABLE vocabulary (digest TEXT NOT NULL GENERATED ALWAYS AS ('x') STORED, y)",
    )
    with pytest.raises(InputFileError, match="its tables are others"):
        asked(server, catalogue)


def test_functions_that_reach_out_are_not_trusted(tmp_path: Path) -> None:
    with Catalogue(tmp_path / "c.sqlite") as catalogue:
        assert catalogue.rows("PRAGMA trusted_schema") == [(0,)]


VALUES = {
    "facts that are no JSON": ("scan", "facts", "{"),
    "facts of another kind": ("scan", "facts", '{"subject_id": 5}'),
    "facts that nest": ("scan", "facts", "[" * 100_000),
    "facts without end": ("scan", "facts", json.dumps({"subject_id": "x" * 1_000_000})),
    "species that are no JSON": ("version", "species", "mouse"),
    "texts that are no JSON": ("version", "texts", "ketamine"),
    "modalities that are none": ("version", "modalities", "telepathy \x1b[2J"),
    "a name that steers": ("version", "name", "\x1b[2J\x9b"),
    "a name of bytes": ("version", "name", b"\xff\xfe"),
    "a path that leads elsewhere": ("asset", "path", "../../../etc/passwd\n\x1b[2J"),
    "a date that is none": ("version", "modified", "soon"),
    "a size in words": ("asset", "size_bytes", "many"),
    "a reader from the future": ("scan", "reader", "99.99"),
    "an address of this machine": ("asset", "content_url", "file:///etc/passwd"),
}


@pytest.mark.parametrize(("table", "column", "value"), VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("offline", [True, False])
def test_changed_values_are_refused_or_shown_safely(
    server: ArchiveServer, catalogue: Path, table: str, column: str, value: Any, offline: bool
) -> None:
    connection = sqlite3.connect(catalogue)
    connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
    connection.execute("DELETE FROM vocabulary")
    connection.commit()
    connection.close()
    try:
        result = asked(server, catalogue, offline=offline)
    except NwbswitchError as refused:
        shown = str(refused)
        assert len(shown) < 2000
    else:
        shown = result.summary()
        assert len(shown) < 20_000
    assert "\x1b" not in shown
    assert "\x9b" not in shown


def test_one_that_is_locked_for_long_is_refused_in_words(
    server: ArchiveServer, catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_MS", 100)
    other = sqlite3.connect(catalogue, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(InputFileError, match="locked"):
            asked(server, catalogue)
    finally:
        other.close()
    assert asked(server, catalogue).answers.arms


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_one_that_is_cut_is_refused_in_words(server: ArchiveServer, catalogue: Path, share: float) -> None:
    execute(catalogue, "PRAGMA wal_checkpoint(TRUNCATE)")
    whole = catalogue.read_bytes()
    catalogue.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputFileError, match="catalogue"):
        asked(server, catalogue, offline=True)


def test_what_a_file_says_a_thousand_times_is_kept_in_few_words(tmp_path: Path) -> None:
    n = 3000
    path = small_recording(tmp_path / "a.nwb")
    starts = np.arange(5000) / 50
    with h5py.File(path, "r+") as file:
        replaced(file, "units/obs_intervals", np.column_stack([starts, starts + 0.01]))
        replaced(file, "units/obs_intervals_index", [5000] * 3)
        for name in ("id", "quality", "spike_times_index", "obs_intervals_index", "spike_times"):
            del file[f"units/{name}"]
        file["units/id"] = np.arange(n)
        file["units/spike_times"] = np.arange(n) / 100
        file["units/spike_times_index"] = np.arange(1, n + 1)
        file["units/obs_intervals_index"] = np.full(n, 5000)
        add_column(file["units"], "brain_region", [f"area {number} of nowhere" for number in range(n)])
    with open_recording(path) as recording:
        facts = facts_of(recording.outline)
    assert len(FACTS.dump_json(facts)) < 300_000
    assert max(len(each.spans_s) for each in facts.activities) <= 1000
