"""What an archive says of dandisets and assets, as plain values; what is missing or malformed is empty."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

DRAFT = "draft"
NWB_SUFFIX = ".nwb"
ZARR_SUFFIX = ".zarr"
_HALVES = re.compile("[\ud800-\udfff]")
MAX_TEXT = 20_000
"""Characters of one text that are kept."""


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """The draft or a published version of a dandiset, as lists show it."""

    version: str
    name: str
    n_assets: int
    size: int
    """Bytes of all assets."""
    created: datetime
    modified: datetime

    @property
    def is_draft(self) -> bool:
        """Whether its assets can still change."""
        return self.version == DRAFT


@dataclass(frozen=True, slots=True)
class Dandiset:
    """A dandiset as lists show it."""

    identifier: str
    created: datetime
    contact: str
    is_open: bool
    """Whether everybody may read it; an embargoed one needs a key."""
    published: VersionFacts | None
    """The most recent published version."""
    draft: VersionFacts

    @property
    def newest(self) -> VersionFacts:
        """The version that is meant when none is named: the most recent published one, else the draft."""
        return self.published or self.draft

    @property
    def modified(self) -> datetime:
        """When anything of it changed last."""
        return max(self.draft.modified, self.newest.modified)


@dataclass(frozen=True, slots=True)
class DandisetFacts:
    """One version of a dandiset with what its metadata say; every tuple is in the order of the archive."""

    dandiset: Dandiset
    version: VersionFacts
    name: str
    description: str
    keywords: tuple[str, ...]
    about: tuple[str, ...]
    """Names of what it is about, such as brain regions and disorders."""
    related: tuple[str, ...]
    """Titles of publications and other resources."""
    species: tuple[str, ...]
    approaches: tuple[str, ...]
    techniques: tuple[str, ...]
    variables: tuple[str, ...]
    """Neurodata types in its files."""
    standards: tuple[str, ...]
    contributors: tuple[str, ...]
    license: tuple[str, ...]
    n_subjects: int | None
    n_files: int
    doi: str
    url: str


@dataclass(frozen=True, slots=True)
class AssetFacts:
    """What the metadata of an asset say; empty where they do not."""

    subject_ids: tuple[str, ...] = ()
    species: tuple[str, ...] = ()
    sex: tuple[str, ...] = ()
    age: tuple[str, ...] = ()
    """ISO 8601 durations."""
    genotype: tuple[str, ...] = ()
    strain: tuple[str, ...] = ()
    session_id: str = ""
    session_description: str = ""
    session_start: datetime | None = None
    keywords: tuple[str, ...] = ()
    approaches: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of a dandiset: its ``asset_id`` stands for one content and one set of metadata for ever."""

    dandiset: str
    version: str
    asset_id: str
    path: str
    size: int
    created: datetime
    modified: datetime
    is_zarr: bool
    is_open: bool
    content_type: str = ""
    etag: str = ""
    """Hex digits and a number of parts: the ETag of the object that holds it. Empty for Zarr."""
    sha256: str = ""
    """Empty until the archive has computed it."""
    content_url: str = ""
    """Where an open asset lies in the object store, without a signature."""
    facts: AssetFacts = AssetFacts()

    @property
    def digest(self) -> str:
        """What tells this content from any other: ``sha256:...``, else ``dandi-etag:...``, else empty."""
        return f"sha256:{self.sha256}" if self.sha256 else f"dandi-etag:{self.etag}" if self.etag else ""


def dandiset_facts(dandiset: Dandiset, version: VersionFacts, metadata: Mapping[str, Any]) -> DandisetFacts:
    """Return what the metadata of a version say."""
    summary = _record(metadata.get("assetsSummary"))
    n_subjects = summary.get("numberOfSubjects")
    return DandisetFacts(
        dandiset=dandiset,
        version=version,
        name=_text(metadata.get("name")) or version.name,
        description=_text(metadata.get("description")),
        keywords=_texts(metadata.get("keywords")),
        about=_names(metadata.get("about")),
        related=_names(metadata.get("relatedResource")),
        species=_names(summary.get("species")),
        approaches=_names(summary.get("approach")),
        techniques=_names(summary.get("measurementTechnique")),
        variables=_texts(summary.get("variableMeasured")),
        standards=_names(summary.get("dataStandard")),
        contributors=_names(metadata.get("contributor")),
        license=_texts(metadata.get("license")),
        n_subjects=n_subjects if isinstance(n_subjects, int) else None,
        n_files=version.n_assets,
        doi=_text(metadata.get("doi")),
        url=_text(metadata.get("url")),
    )


def asset_facts(metadata: Mapping[str, Any]) -> AssetFacts:
    """Return what the metadata of an asset say."""
    subjects = [
        each
        for each in _records(metadata.get("wasAttributedTo"))
        if each.get("schemaKey", "Participant") == "Participant"
    ]
    sessions = [
        each for each in _records(metadata.get("wasGeneratedBy")) if each.get("schemaKey") == "Session"
    ]
    session: Mapping[str, Any] = sessions[0] if len(sessions) == 1 else {}
    return AssetFacts(
        subject_ids=_each(subjects, "identifier"),
        species=_each(subjects, "species"),
        sex=_each(subjects, "sex"),
        age=_each(subjects, "age"),
        genotype=_each(subjects, "genotype"),
        strain=_each(subjects, "strain"),
        session_id=_text(session.get("identifier")),
        session_description=_text(session.get("description")),
        session_start=_time(session.get("startDate")),
        keywords=_texts(metadata.get("keywords")),
        approaches=_names(metadata.get("approach")),
        techniques=_names(metadata.get("measurementTechnique")),
        variables=tuple(
            _text(each.get("value")) if isinstance(each, Mapping) else _text(each)
            for each in _items(metadata.get("variableMeasured"))
        ),
    )


def _each(records: Iterable[Mapping[str, Any]], field: str) -> tuple[str, ...]:
    """Return what several records state in a field, each once."""
    found = (text for record in records for text in _stated(record.get(field)))
    return tuple(dict.fromkeys(text for text in found if text))


def _stated(value: Any) -> Iterator[str]:
    """Yield the texts of a value: a text, the name or value of a record, or a list of them."""
    if isinstance(value, Mapping):
        yield from (_text(value.get("name")) or _text(value.get("value")) or _text(value.get("identifier")),)
    elif isinstance(value, list):
        for each in value:
            yield from () if isinstance(each, list) else _stated(each)
    else:
        yield _text(value)


def _names(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for each in _items(value) for text in _stated(each) if text))


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for each in _items(value) if (text := _text(each))))


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _records(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in _items(value) if isinstance(each, Mapping)]


def _record(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return whole_text(value[:MAX_TEXT]).strip() if isinstance(value, str) else ""


def whole_text(text: str) -> str:
    """Return text without halves of pairs of UTF-16, which JSON can hold and no database and no file."""
    return _HALVES.sub("\ufffd", text)


def bytes_count(value: Any) -> int:
    """Return a number of bytes or of things.

    Raises
    ------
    ValueError
        When it is none that a disk could hold.
    """
    number = int(value)
    if not 0 <= number < 1 << 62:
        raise ValueError("a size that cannot be")
    return number


def _time(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(_text(value))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
