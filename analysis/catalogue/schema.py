"""The tables of the local catalogue, literally, and opening it: made, brought up to date, or refused."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from nwbswitch.schemas.errors import InputFileError

CATALOGUE_VERSION = 1
"""Raised with every change of `TABLES`; `MIGRATIONS` says how an older catalogue gets there."""
APPLICATION_ID = 0x6E777363
"""Marks a file as ours among SQLite files: ``nwsc``."""
BUSY_MS = 60_000
"""How long a write waits for that of another process."""
CACHE_KIB = 65_536
"""Of pages kept in memory."""

TABLES = """
CREATE TABLE instance (
    id INTEGER PRIMARY KEY,
    url TEXT NOT NULL UNIQUE,
    listed_at TEXT NOT NULL DEFAULT ''      -- when the list of dandisets was last complete
);
CREATE TABLE dandiset (
    id INTEGER PRIMARY KEY,
    instance INTEGER NOT NULL REFERENCES instance ON DELETE CASCADE,
    identifier TEXT NOT NULL,
    embargoed INTEGER NOT NULL,
    UNIQUE (instance, identifier)
);
CREATE TABLE version (
    id INTEGER PRIMARY KEY AUTOINCREMENT,   -- held while the archive is asked: never given twice
    dandiset INTEGER NOT NULL REFERENCES dandiset ON DELETE CASCADE,
    label TEXT NOT NULL,                    -- draft, or that of the newest published one
    modified TEXT NOT NULL,                 -- as the archive last said
    described TEXT NOT NULL DEFAULT '',     -- `modified` of the metadata below
    listed TEXT NOT NULL DEFAULT '',        -- `modified` of the assets
    n_assets INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    name TEXT NOT NULL,
    texts TEXT NOT NULL DEFAULT '[]',       -- JSON list of pairs: where in the metadata, what it says
    species TEXT NOT NULL DEFAULT '[]',     -- JSON list of Latin names
    modalities TEXT NOT NULL DEFAULT '',    -- words separated by spaces; empty when not known
    UNIQUE (dandiset, label)
);
CREATE TABLE version_mention (              -- substances that the texts of a version name
    version INTEGER NOT NULL REFERENCES version ON DELETE CASCADE,
    substance TEXT NOT NULL,
    place TEXT NOT NULL,
    quote TEXT NOT NULL
);
CREATE INDEX version_mention_substance ON version_mention (substance, version);
CREATE INDEX version_mention_version ON version_mention (version);
CREATE TABLE asset (                        -- NWB files only
    id INTEGER PRIMARY KEY,
    instance INTEGER NOT NULL REFERENCES instance ON DELETE CASCADE,
    asset_id TEXT NOT NULL,
    path TEXT NOT NULL,
    content TEXT NOT NULL,                  -- digest: changes with the bytes
    size_bytes INTEGER NOT NULL,
    created TEXT NOT NULL,
    modified TEXT NOT NULL,
    is_zarr INTEGER NOT NULL,
    is_open INTEGER NOT NULL,
    etag TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    content_url TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    species TEXT NOT NULL,                  -- Latin name
    session_id TEXT NOT NULL,
    texts TEXT NOT NULL,                    -- as those of a version
    modalities TEXT NOT NULL,               -- as those of a version
    UNIQUE (instance, asset_id)
);
CREATE INDEX asset_content ON asset (content, path);
CREATE TABLE membership (
    version INTEGER NOT NULL REFERENCES version ON DELETE CASCADE,
    asset INTEGER NOT NULL REFERENCES asset ON DELETE CASCADE,
    PRIMARY KEY (version, asset)
) WITHOUT ROWID;
CREATE INDEX membership_asset ON membership (asset);
CREATE TABLE asset_mention (                -- substances that the archive's texts about a file name
    asset INTEGER NOT NULL REFERENCES asset ON DELETE CASCADE,
    substance TEXT NOT NULL,
    place TEXT NOT NULL,
    quote TEXT NOT NULL
);
CREATE INDEX asset_mention_substance ON asset_mention (substance, asset);
CREATE INDEX asset_mention_asset ON asset_mention (asset);
CREATE TABLE scan (                         -- what came of reading a file; kept by its content and path
    id INTEGER PRIMARY KEY,
    content TEXT NOT NULL,
    path TEXT NOT NULL,
    reader TEXT NOT NULL,                   -- version of what read it
    refused TEXT NOT NULL,                  -- why nothing was read; empty when it was
    scanned_at TEXT NOT NULL,
    n_requests INTEGER NOT NULL,
    n_bytes INTEGER NOT NULL,
    facts TEXT NOT NULL,                    -- JSON of RecordingFacts; empty when refused
    UNIQUE (content, path)
);
CREATE TABLE substance (                    -- that a file which was read names, given or not
    name TEXT NOT NULL,
    scan INTEGER NOT NULL REFERENCES scan ON DELETE CASCADE,
    PRIMARY KEY (name, scan)
) WITHOUT ROWID;
CREATE INDEX substance_scan ON substance (scan);
CREATE TABLE vocabulary (                   -- digest of the names that mentions were looked up with
    digest TEXT NOT NULL
);
"""

MIGRATIONS: dict[int, str] = {}
"""Version to the statements that lead to the next one; where they lack, a catalogue is built anew."""

_DROPPED = ("table", "view")
_NOT_OURS = "is an SQLite file of something else."
_OTHER = "Name another file with --catalogue."


def open_catalogue(path: Path) -> sqlite3.Connection:
    """Open the catalogue, making it where there is none; its transactions are begun by hand.

    Raises
    ------
    InputFileError
        When the file is damaged, not ours, of a newer version, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # It may hold what an embargo closes to others.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from error
    except OSError as error:
        raise InputFileError(
            path, f"cannot hold the catalogue: {error.strerror or error}.", _OTHER
        ) from error
    return connection


def unusable(path: Path, error: sqlite3.DatabaseError) -> InputFileError:
    """Return the error that says what is the matter with the file of a catalogue."""
    if isinstance(error, sqlite3.OperationalError):
        return InputFileError(path, f"the catalogue cannot be used: {error}.", _OTHER)
    return InputFileError(path, f"is no catalogue, or a damaged one: {error}.", f"Remove it. {_OTHER}")


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # What a file that came from elsewhere defines must do nothing but hold values.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("BEGIN")  # one moment for all that is read: another process may be making it
    try:
        version = _version(connection, path)
    finally:
        connection.execute("COMMIT")
    # On some network file systems there is no write-ahead log; SQLite then keeps its rollback journal.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("PRAGMA foreign_keys = ON")
    if version != CATALOGUE_VERSION:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have been faster.
            _bring_up_to_date(connection, _version(connection, path))
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    _require_tables(connection, path)


def _require_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a catalogue with other tables, or with triggers and views, which could change what is kept."""
    model = sqlite3.connect(":memory:")
    try:
        _run(model, TABLES)
        wanted, held = (_defined(each) for each in (model, connection))
    finally:
        model.close()
    if set(wanted) != set(held) or any(not columns <= held[name] for name, columns in wanted.items()):
        problem = "is no catalogue as nwbswitch makes it: its tables are others."
        raise InputFileError(path, problem, f"Remove it. {_OTHER}")


def _defined(connection: sqlite3.Connection) -> dict[tuple[str, str], set[tuple[object, ...]]]:
    """Return the columns of everything that a database defines, by its kind and name."""
    found = connection.execute(
        "SELECT type, name FROM sqlite_master WHERE type != 'index' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    return {
        (kind, name): set(
            connection.execute(
                'SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?)', (name,)
            ).fetchall()
        )
        for kind, name in found
    }


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of the catalogue, 0 for an empty file."""
    mark = int(connection.execute("PRAGMA application_id").fetchone()[0])
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if mark != APPLICATION_ID:
        if mark or version or connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise InputFileError(path, _NOT_OURS, _OTHER)
        return 0
    if version > CATALOGUE_VERSION:
        problem = f"was made by a newer nwbswitch (catalogue version {version}, here {CATALOGUE_VERSION})."
        raise InputFileError(path, problem, f"Update nwbswitch. {_OTHER}")
    return version


def _bring_up_to_date(connection: sqlite3.Connection, version: int) -> None:
    while version in MIGRATIONS:
        _run(connection, MIGRATIONS[version])
        version += 1
    if version != CATALOGUE_VERSION:
        _drop_all(connection)
        _run(connection, TABLES)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {CATALOGUE_VERSION}")


def _drop_all(connection: sqlite3.Connection) -> None:
    held = connection.execute(
        "SELECT type, name FROM sqlite_master WHERE type IN (?, ?) AND name NOT LIKE 'sqlite_%'", _DROPPED
    ).fetchall()
    connection.execute("PRAGMA defer_foreign_keys = ON")
    for kind, name in held:
        quoted = str(name).replace('"', '""')
        connection.execute(f'DROP {kind} "{quoted}"')


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Execute statements inside the transaction; ``executescript`` would end it."""
    statement = ""
    for line in script.splitlines():
        statement += line.partition("--")[0] + "\n"
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
