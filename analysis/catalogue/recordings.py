"""Which dandisets a question is about, and the recordings in them, as the catalogue has them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from nwbswitch.analysis.archive_facts import DRAFT, Asset
from nwbswitch.analysis.catalogue.facts import FACTS, RecordingFacts
from nwbswitch.analysis.catalogue.filters import Filters
from nwbswitch.analysis.catalogue.mentions import TextMention
from nwbswitch.analysis.catalogue.modalities import Modality, from_words
from nwbswitch.analysis.catalogue.store import Catalogue


@dataclass(frozen=True, slots=True)
class AskedVersion:
    """A version of a dandiset that passes what is asked for, as far as the archive describes it."""

    row: int
    dandiset: str
    label: str
    name: str
    is_listed: bool
    """Whether its files are in the catalogue as they are now."""
    mentions: tuple[TextMention, ...]
    """Where its texts name the drug."""
    is_candidate: bool
    """Whether anything says that it may hold the drug."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One file of a dandiset, and what is known of it."""

    row: int
    asset: Asset
    """Without the facts of its metadata."""
    content: str
    subject_id: str
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
    def is_tried(self) -> bool:
        """Whether it was read or refused."""
        return self.facts is not None or bool(self.refused)

    @property
    def animal(self) -> str:
        """As the file states it, or else the archive."""
        return (self.facts.subject_id if self.facts else "") or self.subject_id


def count_dandisets(catalogue: Catalogue, instance: int) -> tuple[int, str]:
    """Return how many dandisets the catalogue holds of an archive, and when they were listed last."""
    return (
        int(catalogue.rows("SELECT count(*) FROM dandiset WHERE instance = ?", (instance,))[0][0]),
        str(catalogue.rows("SELECT listed_at FROM instance WHERE id = ?", (instance,))[0][0]),
    )


def count_undescribed(catalogue: Catalogue, instance: int) -> int:
    """Return how many dandisets the archive has listed and never described."""
    rows = catalogue.rows(
        "SELECT count(*) FROM dandiset WHERE instance = ? "
        "AND id NOT IN (SELECT dandiset FROM version WHERE described != '')",
        (instance,),
    )
    return int(rows[0][0])


def known_species(catalogue: Catalogue) -> list[str]:
    """Return the Latin names of all species in the catalogue."""
    rows = catalogue.rows("SELECT DISTINCT value FROM version, json_each(version.species)")
    return [str(name) for (name,) in rows]


def asked_versions(
    catalogue: Catalogue, instance: int, filters: Filters, *, deep: bool
) -> list[AskedVersion]:
    """Return the versions that pass, by dandiset, the published one before the draft.

    What a version does not say of itself (its species, say) does not exclude it. A version is a candidate
    when a text of its dandiset names the drug, a file is known to hold it, or it was asked for by number.
    """
    names = json.dumps(filters.drug.all)
    rows = catalogue.rows(
        "SELECT version.id, identifier, label, name, listed = modified, species, modalities, modified "
        "FROM version JOIN dandiset ON dandiset.id = version.dandiset "
        "WHERE instance = ? AND described != '' ORDER BY identifier, label = 'draft'",
        (instance,),
    )
    passing = [row for row in rows if _passes(filters, *row[1:2], *row[5:])]
    found = _version_mentions(catalogue, names)
    holding = _holding(catalogue, instance, names)
    asked = frozenset(filters.dandisets)
    named = {row[1] for row in passing if found.get(row[0]) or row[0] in holding or row[1] in asked}
    return [
        AskedVersion(
            row, identifier, label, name, bool(listed), found.get(row, ()), deep or identifier in named
        )
        for row, identifier, label, name, listed, *_ in passing
    ]


def _passes(filters: Filters, identifier: str, species: str, modalities: str, modified: str) -> bool:
    stated = json.loads(species)
    return (
        (not filters.dandisets or identifier in filters.dandisets)
        and (filters.species is None or not stated or filters.species in stated)
        and (filters.modality is None or not modalities or filters.modality in from_words(modalities))
        and modified >= filters.since
    )


def _version_mentions(catalogue: Catalogue, names: str) -> dict[int, tuple[TextMention, ...]]:
    rows = catalogue.rows(
        "SELECT version, substance, place, quote FROM version_mention "
        "WHERE substance IN (SELECT value FROM json_each(?))",
        (names,),
    )
    found: dict[int, list[TextMention]] = {}
    for version, *mention in rows:
        found.setdefault(version, []).append(TextMention(*mention))
    return {version: tuple(each) for version, each in found.items()}


def _holding(catalogue: Catalogue, instance: int, names: str) -> frozenset[int]:
    """Return the versions with a file that holds the drug, or that the archive names after it."""
    rows = catalogue.rows(
        "SELECT DISTINCT version FROM membership WHERE asset IN ("
        " SELECT asset FROM asset_mention WHERE substance IN (SELECT value FROM json_each(?1))"
        " UNION SELECT asset.id FROM administration JOIN scan ON scan.id = administration.scan"
        " JOIN asset ON asset.content = scan.content AND asset.path = scan.path"
        " WHERE substance IN (SELECT value FROM json_each(?1)) AND asset.instance = ?2)",
        (names, instance),
    )
    return frozenset(row for (row,) in rows)


def recordings_of(
    catalogue: Catalogue, versions: Sequence[AskedVersion], filters: Filters, *, reader: str
) -> list[Recording]:
    """Return the files of versions that pass as far as the archive describes them, by dandiset and path.

    Of a path that both the published version and the draft hold, the published file is taken.

    Parameters
    ----------
    catalogue
        The catalogue.
    versions
        Those of one dandiset must be together.
    filters
        What is asked for.
    reader
        Version of what reads files; what another one read counts as not read.
    """
    labels = {each.row: each for each in versions}
    rows = catalogue.rows(
        "SELECT membership.version, asset.id, asset_id, asset.path, asset.content, size_bytes, created, "
        "modified, is_zarr, is_open, etag, sha256, content_url, subject_id, species, session_id, modalities, "
        "refused, facts FROM membership JOIN asset ON asset.id = membership.asset "
        "LEFT JOIN scan ON scan.content = asset.content AND scan.path = asset.path AND scan.reader = ?2 "
        "WHERE membership.version IN (SELECT value FROM json_each(?1)) AND created >= ?3",
        (json.dumps(list(labels)), reader, filters.since),
    )
    mentioned = _asset_mentions(catalogue, filters.drug.all, labels)
    chosen: dict[tuple[str, str], Recording] = {}
    for row in sorted(rows, key=lambda each: labels[each[0]].label == DRAFT):
        version = labels[row[0]]
        recording = _recording(version, row[1:], mentioned.get(row[1], ()))
        if _fits(filters, recording):
            chosen.setdefault((version.dandiset, recording.asset.path), recording)
    return [chosen[key] for key in sorted(chosen)]


def _recording(version: AskedVersion, row: Sequence[object], mentions: tuple[TextMention, ...]) -> Recording:
    (
        number, asset_id, path, content, size, created, modified, is_zarr, is_open, etag, sha256, content_url,
        subject_id, species, session_id, modalities, refused, facts,
    ) = row  # fmt: skip
    asset = Asset(
        dandiset=version.dandiset,
        version=version.label,
        asset_id=str(asset_id),
        path=str(path),
        size=int(str(size)),
        created=datetime.fromisoformat(str(created)),
        modified=datetime.fromisoformat(str(modified)),
        is_zarr=bool(is_zarr),
        is_open=bool(is_open),
        etag=str(etag),
        sha256=str(sha256),
        content_url=str(content_url),
    )
    return Recording(
        row=int(str(number)),
        asset=asset,
        content=str(content),
        subject_id=str(subject_id),
        species=str(species),
        session_id=str(session_id),
        modalities=from_words(str(modalities)),
        mentions=mentions,
        facts=FACTS.validate_json(str(facts)) if facts else None,
        refused=str(refused or ""),
    )


def _fits(filters: Filters, recording: Recording) -> bool:
    """Return whether a file may be asked for, as far as the archive describes it."""
    return (filters.species is None or not recording.species or recording.species == filters.species) and (
        filters.modality is None or not recording.modalities or filters.modality in recording.modalities
    )


def _asset_mentions(
    catalogue: Catalogue, names: Iterable[str], versions: Collection[int]
) -> dict[int, tuple[TextMention, ...]]:
    rows = catalogue.rows(
        "SELECT asset_mention.asset, substance, place, quote FROM asset_mention "
        "JOIN membership ON membership.asset = asset_mention.asset "
        "WHERE substance IN (SELECT value FROM json_each(?1)) "
        "AND version IN (SELECT value FROM json_each(?2)) "
        "GROUP BY asset_mention.asset, substance, place",
        (json.dumps(list(names)), json.dumps(list(versions))),
    )
    found: dict[int, list[TextMention]] = {}
    for asset, *mention in rows:
        found.setdefault(asset, []).append(TextMention(*mention))
    return {asset: tuple(each) for asset, each in found.items()}
