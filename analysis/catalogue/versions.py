"""Which dandisets a question is about, as far as the archive describes them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from nwbswitch.analysis.catalogue.filters import Filters
from nwbswitch.analysis.catalogue.mentions import TextMention
from nwbswitch.analysis.catalogue.modalities import from_words
from nwbswitch.analysis.catalogue.store import Catalogue
from nwbswitch.schemas.issues import Issue, Place, issue


@dataclass(frozen=True, slots=True)
class AskedVersion:
    """A version of a dandiset that passes what is asked for beside the drug."""

    row: int
    dandiset: str
    label: str
    name: str
    is_listed: bool
    """Whether its files are in the catalogue as they are now."""
    mentions: tuple[TextMention, ...]
    """Where its texts name the drug."""
    speaks: bool
    """Whether a text or a file of its dandiset names the drug, or it was asked for by number."""


def asked_versions(catalogue: Catalogue, instance: int, filters: Filters) -> list[AskedVersion]:
    """Return the versions that pass, by dandiset, the published one before the draft.

    What a version does not say of itself (its species, say) does not exclude it.
    """
    names = json.dumps(filters.drug.all)
    rows = catalogue.rows(
        "SELECT version.id, identifier, label, name, listed = modified, species, modalities, modified "
        "FROM version JOIN dandiset ON dandiset.id = version.dandiset "
        "WHERE instance = ? AND described != '' AND (NOT embargoed OR ?) "
        "ORDER BY identifier, label = 'draft'",
        (instance, filters.embargoed),
    )
    passing = [row for row in rows if _passes(filters, row[1], *row[5:])]
    found = _mentions(catalogue, names)
    holding = _holding(catalogue, names)
    asked = frozenset(filters.dandisets)
    named = {row[1] for row in passing if row[0] in found or row[0] in holding or row[1] in asked}
    return [
        AskedVersion(row, dandiset, label, name, bool(listed), found.get(row, ()), dandiset in named)
        for row, dandiset, label, name, listed, *_ in passing
    ]


def count_dandisets(catalogue: Catalogue, instance: int) -> int:
    """Return how many dandisets the catalogue holds of an archive."""
    return int(catalogue.rows("SELECT count(*) FROM dandiset WHERE instance = ?", (instance,))[0][0])


def unknown_dandisets(catalogue: Catalogue, instance: int, filters: Filters) -> list[Issue]:
    """Return a finding for each dandiset that is asked for by its number and not in the catalogue."""
    rows = catalogue.rows(
        "SELECT identifier FROM dandiset WHERE instance = ? AND (NOT embargoed OR ?)",
        (instance, filters.embargoed),
    )
    known = {identifier for (identifier,) in rows}
    problem = "The archive lists no such dandiset."
    remedy = "One that is embargoed is listed with --embargoed and an API key of its owner."
    return [
        issue("archive-unread", problem, place=Place(item=f"dandiset {each}"), remedy=remedy)
        for each in filters.dandisets
        if each not in known
    ]


def listed_at(catalogue: Catalogue, instance: int) -> str:
    """Return when the dandisets of an archive were listed last, ISO 8601; empty for never."""
    return str(catalogue.rows("SELECT listed_at FROM instance WHERE id = ?", (instance,))[0][0])


def count_undescribed(catalogue: Catalogue, instance: int, filters: Filters) -> int:
    """Return how many dandisets that might be asked for the archive has listed and never described."""
    rows = catalogue.rows(
        "SELECT identifier FROM dandiset WHERE instance = ? AND (NOT embargoed OR ?) "
        "AND id NOT IN (SELECT dandiset FROM version WHERE described != '')",
        (instance, filters.embargoed),
    )
    return sum(not filters.dandisets or identifier in filters.dandisets for (identifier,) in rows)


def known_species(catalogue: Catalogue) -> list[str]:
    """Return the Latin names of all species in the catalogue."""
    rows = catalogue.rows("SELECT DISTINCT value FROM version, json_each(version.species)")
    return [str(name) for (name,) in rows]


def _passes(filters: Filters, dandiset: str, species: str, modalities: str, modified: str) -> bool:
    stated = json.loads(species)
    return (
        (not filters.dandisets or dandiset in filters.dandisets)
        and (filters.species is None or not stated or filters.species in stated)
        and (filters.modality is None or not modalities or filters.modality in from_words(modalities))
        and modified >= filters.since
    )


def _mentions(catalogue: Catalogue, names: str) -> dict[int, tuple[TextMention, ...]]:
    rows = catalogue.rows(
        "SELECT version, substance, place, quote FROM version_mention "
        "WHERE substance IN (SELECT value FROM json_each(?))",
        (names,),
    )
    found: dict[int, list[TextMention]] = {}
    for version, *mention in rows:
        found.setdefault(version, []).append(TextMention(*mention))
    return {version: tuple(each) for version, each in found.items()}


def _holding(catalogue: Catalogue, names: str) -> frozenset[int]:
    """Return the versions with a file that names the drug, or that the archive names after it."""
    # CROSS JOIN keeps SQLite from going through all files.
    rows = catalogue.rows(
        "SELECT DISTINCT membership.version FROM asset_mention "
        "CROSS JOIN membership ON membership.asset = asset_mention.asset "
        "WHERE substance IN (SELECT value FROM json_each(?1)) "
        "UNION SELECT DISTINCT membership.version FROM substance CROSS JOIN scan ON scan.id = substance.scan "
        "CROSS JOIN asset ON asset.content = scan.content AND asset.path = scan.path "
        "CROSS JOIN membership ON membership.asset = asset.id "
        "WHERE substance.name IN (SELECT value FROM json_each(?1))",
        (names,),
    )
    return frozenset(row for (row,) in rows)
