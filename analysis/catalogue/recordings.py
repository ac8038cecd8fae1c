"""The files of dandisets that a question is about, as the catalogue has them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from nwbswitch.analysis.archive_facts import Asset
from nwbswitch.analysis.catalogue.facts import FACTS, RecordingFacts
from nwbswitch.analysis.catalogue.filters import Filters
from nwbswitch.analysis.catalogue.mentions import TextMention
from nwbswitch.analysis.catalogue.modalities import Modality, from_words
from nwbswitch.analysis.catalogue.store import Catalogue
from nwbswitch.analysis.catalogue.versions import AskedVersion

_FROM_CHOSEN = """
FROM (
    SELECT asset.id AS chosen, version.id AS version, min(label = 'draft')
    FROM membership JOIN version ON version.id = membership.version JOIN asset ON asset.id = membership.asset
    WHERE membership.version IN (SELECT value FROM json_each(?1)) AND created >= ?2
        AND (?3 = '' OR asset.species = '' OR asset.species = ?3)
        AND (?4 = '' OR asset.modalities = '' OR instr(asset.modalities, ?4))
    GROUP BY version.dandiset, asset.path
)
JOIN asset ON asset.id = chosen
LEFT JOIN scan ON scan.content = asset.content AND scan.path = asset.path
    AND scan.reader IN (SELECT value FROM json_each(?5))
"""
"""Files that may have what is asked for, once for each path of a dandiset.

Of a path that both the published version and the draft hold, the published file is taken: of the row with
the least value of ``min()`` SQLite takes the other columns too. No name of a modality is part of another.
"""


@dataclass(frozen=True, slots=True)
class Recording:
    """One file of a dandiset, and what is known of it."""

    row: int
    dandiset: str
    version: str
    asset_id: str
    path: str
    is_zarr: bool
    subject_id: str
    """This and the next three as the archive states them."""
    species: str
    session_id: str
    modalities: frozenset[Modality]
    mentions: tuple[TextMention, ...]
    """Where the archive's texts about it name the drug."""
    facts: RecordingFacts | None
    """None when it was not read."""
    refused: str
    """Why it could not be read; empty when it was, or was not tried."""

    @property
    def animal(self) -> str:
        """As the file states it, or else the archive."""
        return (self.facts.subject_id if self.facts else "") or self.subject_id


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file that was not read yet."""

    content: str
    asset: Asset
    """Without the facts of its metadata."""
    is_named: bool
    """Whether the archive's texts about it name the drug."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Files that may have what is asked for beside the drug."""

    n_files: int
    n_read: int
    n_refused: int
    n_zarr: int


def count_files(
    catalogue: Catalogue, versions: Sequence[AskedVersion], filters: Filters, *, readers: Sequence[str]
) -> Counts:
    """Return how many files there are, and what became of them."""
    row = catalogue.rows(
        "SELECT count(*), coalesce(sum(scan.refused = ''), 0), coalesce(sum(scan.refused != ''), 0), "
        f"coalesce(sum(is_zarr), 0) {_FROM_CHOSEN}",
        _values(versions, filters, readers),
    )[0]
    return Counts(*row)


def waiting_files(
    catalogue: Catalogue, versions: Sequence[AskedVersion], filters: Filters, *, readers: Sequence[str]
) -> list[Waiting]:
    """Return the files that were not tried yet, those first that the archive names after the drug."""
    labels = {each.row: each for each in versions}
    rows = catalogue.rows(
        "SELECT version, asset.content, asset_id, asset.path, size_bytes, created, modified, "  # noqa: S608
        "is_open, etag, sha256, content_url, EXISTS (SELECT 1 FROM asset_mention WHERE asset = chosen "
        f"AND substance IN (SELECT value FROM json_each(?6))) {_FROM_CHOSEN} "
        "WHERE scan.id IS NULL AND NOT is_zarr",
        (*_values(versions, filters, readers), json.dumps(filters.drug.all)),
    )
    found = [_waiting(labels[row[0]], *row[1:]) for row in rows]
    return sorted(found, key=lambda each: (not each.is_named, each.asset.dandiset, each.asset.path))


def recordings_of(
    catalogue: Catalogue, versions: Sequence[AskedVersion], filters: Filters, *, readers: Sequence[str]
) -> list[Recording]:
    """Return all files that may have what is asked for, by dandiset and path.

    Parameters
    ----------
    catalogue
        The catalogue.
    versions
        Those whose files are wanted.
    filters
        What is asked for; only what the archive says of a file is compared.
    readers
        Versions of what reads files; what others read counts as not read.
    """
    labels = {each.row: each for each in versions}
    rows = catalogue.rows(
        "SELECT version, asset.id, asset_id, asset.path, is_zarr, subject_id, species, session_id, "
        f"modalities, facts, refused {_FROM_CHOSEN}",
        _values(versions, filters, readers),
    )
    mentioned = _asset_mentions(catalogue, filters.drug.all, labels)
    found = [_recording(labels[row[0]], mentioned.get(row[1], ()), *row[1:]) for row in rows]
    return sorted(found, key=lambda each: (each.dandiset, each.path))


def _values(versions: Sequence[AskedVersion], filters: Filters, readers: Sequence[str]) -> tuple[str, ...]:
    return (
        json.dumps([each.row for each in versions]),
        filters.since,
        filters.species or "",
        filters.modality.value if filters.modality else "",
        json.dumps(list(readers)),
    )


def _recording(
    version: AskedVersion,
    mentions: tuple[TextMention, ...],
    row: int,
    asset_id: str,
    path: str,
    is_zarr: int,
    subject_id: str,
    species: str,
    session_id: str,
    modalities: str,
    facts: str | None,
    refused: str | None,
) -> Recording:
    return Recording(
        row,
        version.dandiset,
        version.label,
        asset_id,
        path,
        bool(is_zarr),
        subject_id,
        species,
        session_id,
        from_words(modalities),
        mentions,
        FACTS.validate_json(facts) if facts else None,
        refused or "",
    )


def _waiting(
    version: AskedVersion,
    content: str,
    asset_id: str,
    path: str,
    size: int,
    created: str,
    modified: str,
    is_open: int,
    etag: str,
    sha256: str,
    content_url: str,
    is_named: int,
) -> Waiting:
    asset = Asset(
        dandiset=version.dandiset,
        version=version.label,
        asset_id=asset_id,
        path=path,
        size=size,
        created=datetime.fromisoformat(created),
        modified=datetime.fromisoformat(modified),
        is_zarr=False,
        is_open=bool(is_open),
        etag=etag,
        sha256=sha256,
        content_url=content_url,
    )
    return Waiting(content, asset, bool(is_named))


def _asset_mentions(
    catalogue: Catalogue, names: Iterable[str], versions: Iterable[int]
) -> dict[int, tuple[TextMention, ...]]:
    rows = catalogue.rows(
        "SELECT asset, substance, place, quote FROM asset_mention "
        "WHERE substance IN (SELECT value FROM json_each(?1)) AND asset IN "
        "(SELECT asset FROM membership WHERE version IN (SELECT value FROM json_each(?2)))",
        (json.dumps(list(names)), json.dumps(list(versions))),
    )
    found: dict[int, list[TextMention]] = {}
    for asset, *mention in rows:
        found.setdefault(asset, []).append(TextMention(*mention))
    return {asset: tuple(each) for asset, each in found.items()}
