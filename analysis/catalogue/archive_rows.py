"""What archives say of dandisets and files, put into the catalogue and taken out of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from nwbswitch.analysis.archive_facts import Asset, Dandiset, DandisetFacts, VersionFacts
from nwbswitch.analysis.archive_instances import Instance
from nwbswitch.analysis.catalogue.mentions import PATH, SESSION_ID, Text, mentions, names_digest
from nwbswitch.analysis.catalogue.modalities import stated_modalities, to_words
from nwbswitch.analysis.catalogue.store import Catalogue
from nwbswitch.schemas.species import latin_name


@dataclass(frozen=True, slots=True)
class Task:
    """A version that the archive has to be asked about."""

    row: int
    """Of the table of versions."""
    dandiset: Dandiset
    version: VersionFacts

    @property
    def name(self) -> str:
        """Dandiset and version."""
        return f"{self.dandiset.identifier}@{self.version.version}"


def moment(when: datetime) -> str:
    """Return a time as the catalogue keeps it: UTC, so that text sorts as time does."""
    return when.astimezone(UTC).isoformat(timespec="microseconds")


def instance_row(catalogue: Catalogue, instance: Instance) -> int:
    """Return the row of an archive, made where there is none."""
    with catalogue.writing() as connection:
        connection.execute(
            "INSERT INTO instance (url) VALUES (?) ON CONFLICT (url) DO NOTHING", (instance.api_url,)
        )
        found = connection.execute("SELECT id FROM instance WHERE url = ?", (instance.api_url,)).fetchone()
    return int(found[0])


def take_listing(
    catalogue: Catalogue, instance: int, listed: Sequence[Dandiset], *, embargoed: bool = False
) -> None:
    """Bring the catalogue to what an archive lists: what is new is added, what is gone is removed.

    Embargoed dandisets stay when ``embargoed`` says that they were not listed.
    """
    now = moment(datetime.now(UTC))
    with catalogue.writing() as connection:
        kept = {each.identifier for each in listed}
        held = connection.execute(
            "SELECT id, identifier FROM dandiset WHERE instance = ? AND (NOT embargoed OR ?)",
            (instance, embargoed),
        )
        gone = [(row,) for row, identifier in held.fetchall() if identifier not in kept]
        connection.executemany("DELETE FROM dandiset WHERE id = ?", gone)
        for each in listed:
            _take_dandiset(connection, instance, each)
        _remove_orphans(connection, instance)
        connection.execute("UPDATE instance SET listed_at = ? WHERE id = ?", (now, instance))


def _take_dandiset(connection: sqlite3.Connection, instance: int, listed: Dandiset) -> None:
    row = connection.execute(
        "INSERT INTO dandiset (instance, identifier, embargoed) VALUES (?, ?, ?) "
        "ON CONFLICT (instance, identifier) DO UPDATE SET embargoed = excluded.embargoed RETURNING id",
        (instance, listed.identifier, not listed.is_open),
    ).fetchone()[0]
    versions = _versions(listed)
    connection.execute(
        "DELETE FROM version WHERE dandiset = ? AND label NOT IN (SELECT value FROM json_each(?))",
        (row, _json([each.version for each in versions])),
    )
    for each in versions:
        connection.execute(
            "INSERT INTO version (dandiset, label, modified, n_assets, size_bytes, name) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (dandiset, label) DO UPDATE SET modified = "
            "excluded.modified, n_assets = excluded.n_assets, size_bytes = excluded.size_bytes, "
            "name = excluded.name",
            (row, each.version, moment(each.modified), each.n_assets, each.size, each.name),
        )


def _versions(listed: Dandiset) -> list[VersionFacts]:
    """Return the versions that are looked into: the newest published one and the draft."""
    return [each for each in (listed.published, listed.draft) if each is not None]


def _remove_orphans(connection: sqlite3.Connection, instance: int) -> None:
    connection.execute(
        "DELETE FROM asset WHERE instance = ? AND id NOT IN (SELECT asset FROM membership)", (instance,)
    )


def undescribed(catalogue: Catalogue, instance: int, listed: Iterable[Dandiset]) -> list[Task]:
    """Return the versions whose metadata the catalogue does not have as they are now."""
    rows = catalogue.rows(
        "SELECT identifier, label, version.id FROM version JOIN dandiset ON dandiset.id = version.dandiset "
        "WHERE instance = ? AND described != modified",
        (instance,),
    )
    wanted = {(identifier, label): row for identifier, label, row in rows}
    return [
        Task(wanted[each.identifier, version.version], each, version)
        for each in listed
        for version in _versions(each)
        if (each.identifier, version.version) in wanted
    ]


def take_description(catalogue: Catalogue, task: Task, facts: DandisetFacts) -> None:
    """Put the metadata of a version into the catalogue."""
    texts = _version_texts(facts)
    species = sorted({latin_name(each) for each in facts.species if each})
    with catalogue.writing() as connection:
        if not _is_there(connection, task):
            return
        connection.execute(
            "UPDATE version SET described = ?, name = ?, texts = ?, species = ?, modalities = ? WHERE id = ?",
            (
                moment(task.version.modified),
                facts.name,
                _json(texts),
                _json(species),
                to_words(stated_modalities(approaches=facts.approaches, variables=facts.variables)),
                task.row,
            ),
        )
        _note(connection, "version", task.row, texts)


def _is_there(connection: sqlite3.Connection, task: Task) -> bool:
    """Return whether no other process has removed the version while the archive was asked."""
    return connection.execute("SELECT 1 FROM version WHERE id = ?", (task.row,)).fetchone() is not None


def _version_texts(facts: DandisetFacts) -> list[Text]:
    return [
        (place, text)
        for place, text in (
            ("name", facts.name),
            ("description", facts.description),
            ("keywords", "; ".join(facts.keywords)),
            ("about", "; ".join(facts.about)),
            ("related resources", "; ".join(facts.related)),
        )
        if text
    ]


def take_assets(catalogue: Catalogue, instance: int, task: Task, assets: Iterable[Asset]) -> None:
    """Put the NWB files of a version into the catalogue, in place of those it had."""
    with catalogue.writing() as connection:
        if not _is_there(connection, task):
            return
        connection.execute("DELETE FROM membership WHERE version = ?", (task.row,))
        for each in assets:
            row = _take_asset(connection, instance, each)
            connection.execute(
                "INSERT INTO membership (version, asset) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (task.row, row),
            )
        _remove_orphans(connection, instance)
        connection.execute(
            "UPDATE version SET listed = ? WHERE id = ?", (moment(task.version.modified), task.row)
        )


_TAKE_ASSET = """
INSERT INTO asset (
    instance, asset_id, path, content, size_bytes, created, modified, is_zarr, is_open, etag, sha256,
    content_url, subject_id, species, session_id, texts, modalities
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (instance, asset_id) DO UPDATE SET
    path = excluded.path, content = excluded.content, size_bytes = excluded.size_bytes,
    created = excluded.created, modified = excluded.modified, is_zarr = excluded.is_zarr,
    is_open = excluded.is_open, etag = excluded.etag, sha256 = excluded.sha256,
    content_url = excluded.content_url, subject_id = excluded.subject_id, species = excluded.species,
    session_id = excluded.session_id, texts = excluded.texts, modalities = excluded.modalities
RETURNING id
"""


def _take_asset(connection: sqlite3.Connection, instance: int, asset: Asset) -> int:
    facts = asset.facts
    texts: list[Text] = [
        (place, text)
        for place, text in (
            ("session description", facts.session_description),
            ("keywords", "; ".join(facts.keywords)),
        )
        if text
    ]
    modalities = stated_modalities(path=asset.path, approaches=facts.approaches, variables=facts.variables)
    values = (
        instance,
        asset.asset_id,
        asset.path,
        asset.etag or asset.digest or asset.asset_id,
        asset.size,
        moment(asset.created),
        moment(asset.modified),
        asset.is_zarr,
        asset.is_open,
        asset.etag,
        asset.sha256,
        asset.content_url,
        "; ".join(facts.subject_ids),
        latin_name(facts.species[0]) if len(facts.species) == 1 else "",
        facts.session_id,
        _json(texts),
        to_words(modalities),
    )
    row = int(connection.execute(_TAKE_ASSET, values).fetchone()[0])
    _note(connection, "asset", row, [(PATH, asset.path), (SESSION_ID, facts.session_id), *texts])
    return row


_FORGET = {
    "version": "DELETE FROM version_mention WHERE version = ?",
    "asset": "DELETE FROM asset_mention WHERE asset = ?",
}
_NOTE = {
    "version": "INSERT INTO version_mention (version, substance, place, quote) VALUES (?, ?, ?, ?)",
    "asset": "INSERT INTO asset_mention (asset, substance, place, quote) VALUES (?, ?, ?, ?)",
}


def _note(connection: sqlite3.Connection, owner: str, row: int, texts: Iterable[Text]) -> None:
    """Write down which substances the texts of a version or a file name."""
    connection.execute(_FORGET[owner], (row,))
    noted = [(row, each.substance, each.place, each.quote) for each in mentions(texts)]
    connection.executemany(_NOTE[owner], noted)


def look_up_names(catalogue: Catalogue) -> None:
    """Look all texts through again when the names that they are looked through for have changed."""
    digest = names_digest()
    if catalogue.rows("SELECT digest FROM vocabulary") == [(digest,)]:
        return
    with catalogue.writing() as connection:
        for row, texts in connection.execute("SELECT id, texts FROM version").fetchall():
            _note(connection, "version", row, _texts(texts))
        found = connection.execute("SELECT id, path, session_id, texts FROM asset").fetchall()
        for row, path, session_id, texts in found:
            _note(connection, "asset", row, [(PATH, path), (SESSION_ID, session_id), *_texts(texts)])
        connection.execute("DELETE FROM vocabulary")
        connection.execute("INSERT INTO vocabulary (digest) VALUES (?)", (digest,))


def _texts(stored: str) -> list[Text]:
    return [(place, text) for place, text in json.loads(stored)]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
