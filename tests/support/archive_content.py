"""What a DANDI archive holds: dandisets, versions, assets and blobs, with metadata as DANDI writes it."""

from __future__ import annotations

import copy
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

DRAFT = "draft"
START = datetime(2024, 1, 1, tzinfo=UTC)
SPECIES = {
    "Mus musculus": ("NCBITaxon_10090", "Mus musculus - House mouse"),
    "Rattus norvegicus": ("NCBITaxon_10116", "Rattus norvegicus - Norway rat"),
    "Homo sapiens": ("NCBITaxon_9606", "Homo sapiens - Human"),
}
SEXES = {"M": ("PATO_0000384", "Male"), "F": ("PATO_0000383", "Female"), "U": ("", "Unknown")}
OBO = "http://purl.obolibrary.org/obo/"


def steady_id(*parts: object) -> str:
    """Return a version 4 UUID that is the same for the same parts."""
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


@dataclass
class Blob:
    """Bytes of an asset in the object store."""

    blob_id: str
    source: Path | bytes
    size: int
    etag: str
    sha256: str | None
    embargoed: bool = False

    @property
    def key(self) -> str:
        return f"blobs/{self.blob_id[:3]}/{self.blob_id[3:6]}/{self.blob_id}"


@dataclass
class StoredAsset:
    """An asset; one and the same may belong to several versions."""

    asset_id: str
    path: str
    created: datetime
    modified: datetime
    metadata: dict[str, Any]
    blob: Blob | None = None
    zarr_id: str | None = None
    zarr_size: int = 0
    published: bool = False

    @property
    def size(self) -> int:
        return self.blob.size if self.blob else self.zarr_size

    @property
    def embargoed(self) -> bool:
        return self.blob is not None and self.blob.embargoed


@dataclass
class StoredVersion:
    """The draft or a published version."""

    version: str
    name: str
    created: datetime
    modified: datetime
    metadata: dict[str, Any]
    assets: list[StoredAsset] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(each.size for each in self.assets)

    @property
    def status(self) -> str:
        return "Valid" if self.version == DRAFT else "Published"


@dataclass
class StoredDandiset:
    """A dandiset: the draft and what was published of it."""

    identifier: str
    created: datetime
    owner: str
    embargo_status: str = "OPEN"
    versions: dict[str, StoredVersion] = field(default_factory=dict)

    @property
    def draft(self) -> StoredVersion:
        return self.versions[DRAFT]

    @property
    def published(self) -> StoredVersion | None:
        """The most recent published version."""
        return max(
            (each for each in self.versions.values() if each.version != DRAFT),
            key=lambda each: each.modified,
            default=None,
        )


class Ticks:
    """A clock that goes one minute further each time it is read."""

    def __init__(self) -> None:
        self.now = START

    def tick(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


def asset_metadata(
    *,
    subject_id: str = "m1",
    species: str = "Mus musculus",
    sex: str = "F",
    genotype: str = "",
    strain: str = "",
    session_id: str = "s1",
    session_description: str = "A recording.",
    start: datetime = START,
    approach: Sequence[str] = ("microscopy approach; cell population imaging",),
    technique: Sequence[str] = ("two-photon microscopy technique",),
    variables: Sequence[str] = ("ImagingPlane", "PlaneSegmentation", "TwoPhotonSeries"),
    keywords: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the metadata that DANDI's client takes from an NWB file, without the fields the server adds."""
    from dandischema.consts import DANDI_SCHEMA_VERSION

    taxon, species_name = SPECIES[species]
    sex_id, sex_name = SEXES[sex]
    participant: dict[str, Any] = {
        "schemaKey": "Participant",
        "identifier": subject_id,
        "species": {"schemaKey": "SpeciesType", "identifier": OBO + taxon, "name": species_name},
        "sex": {"schemaKey": "SexType", "name": sex_name} | ({"identifier": OBO + sex_id} if sex_id else {}),
    }
    if genotype:
        participant["genotype"] = genotype
    if strain:
        participant["strain"] = {"schemaKey": "StrainType", "name": strain}
    return {
        "schemaKey": "Asset",
        "schemaVersion": DANDI_SCHEMA_VERSION,
        "encodingFormat": "application/x-nwb",
        "dateModified": start.isoformat(),
        "blobDateModified": start.isoformat(),
        "keywords": list(keywords),
        "wasGeneratedBy": [
            {
                "schemaKey": "Session",
                "identifier": session_id,
                "name": "Acquisition session",
                "description": session_description,
                "startDate": start.isoformat(),
            }
        ],
        "wasAttributedTo": [participant],
        "approach": [{"schemaKey": "ApproachType", "name": name} for name in approach],
        "measurementTechnique": [
            {"schemaKey": "MeasurementTechniqueType", "name": name} for name in technique
        ],
        "variableMeasured": [{"schemaKey": "PropertyValue", "value": name} for name in variables],
    }


def dandiset_metadata(
    *, name: str, description: str, keywords: Sequence[str], extra: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the metadata that the owner of a dandiset writes."""
    from dandischema.consts import DANDI_SCHEMA_VERSION

    return {
        "schemaKey": "Dandiset",
        "schemaVersion": DANDI_SCHEMA_VERSION,
        "name": name,
        "description": description,
        "keywords": list(keywords),
        "license": ["spdx:CC-BY-4.0"],
        "contributor": [
            {
                "schemaKey": "Person",
                "name": "Doe, Jane",
                "email": "jane@example.org",
                "roleName": ["dcite:ContactPerson", "dcite:Author"],
                "includeInCitation": True,
                "affiliation": [],
            }
        ],
        **copy.deepcopy(dict(extra)),
    }


def full_asset_metadata(asset: StoredAsset, *, api_url: str, store_url: str) -> dict[str, Any]:
    """Return the metadata of an asset as the server gives it out."""
    access = {
        "schemaKey": "AccessRequirements",
        "status": "dandi:EmbargoedAccess" if asset.embargoed else "dandi:OpenAccess",
    }
    if asset.embargoed:
        access["embargoedUntil"] = "2030-01-01"
    if asset.blob is not None:
        content, digest = asset.blob.key, {"dandi:dandi-etag": asset.blob.etag}
        if asset.blob.sha256:
            digest["dandi:sha2-256"] = asset.blob.sha256
    else:
        content = f"zarr/{asset.zarr_id}/"
        digest = {"dandi:dandi-zarr-checksum": f"{'0' * 32}-1--{asset.size}"}
    full = {
        **copy.deepcopy(asset.metadata),
        "id": f"dandiasset:{asset.asset_id}",
        "access": [access],
        "path": asset.path,
        "identifier": asset.asset_id,
        "contentUrl": [f"{api_url}/assets/{asset.asset_id}/download/", f"{store_url}/{content}"],
        "contentSize": asset.size,
        "digest": digest,
        "@context": _context(asset.metadata["schemaVersion"]),
    }
    if asset.zarr_id is not None:
        full["encodingFormat"] = "application/x-zarr"
    if asset.published:
        full |= published_by(asset.modified)
    return full


def full_version_metadata(
    dandiset: StoredDandiset, version: StoredVersion, *, api_url: str, store_url: str
) -> dict[str, Any]:
    """Return the metadata of a version as the server gives it out, with the summary of its assets."""
    from dandischema.metadata import aggregate_assets_summary

    assets = [full_asset_metadata(each, api_url=api_url, store_url=store_url) for each in version.assets]
    web = api_url.removesuffix("/api")
    access = "dandi:OpenAccess" if dandiset.embargo_status == "OPEN" else "dandi:EmbargoedAccess"
    full = {
        **copy.deepcopy(version.metadata),
        "@context": _context(version.metadata["schemaVersion"]),
        "manifestLocation": [f"{api_url}/dandisets/{dandiset.identifier}/versions/draft/assets/"],
        "name": version.name,
        "identifier": f"DANDI:{dandiset.identifier}",
        "version": version.version,
        "id": f"DANDI:{dandiset.identifier}/{version.version}",
        "repository": web,
        "url": f"{web}/dandiset/{dandiset.identifier}/{version.version}",
        "dateCreated": dandiset.created.isoformat(),
        "citation": f"Doe, Jane ({version.created.year}) {version.name} (Version {version.version}).",
        "access": [{"schemaKey": "AccessRequirements", "status": access}],
        "assetsSummary": aggregate_assets_summary(assets)
        if assets
        else {"schemaKey": "AssetsSummary", "numberOfBytes": 0, "numberOfFiles": 0},
    }
    if version.version != DRAFT:
        full |= published_by(version.created)
        full["doi"] = f"10.48324/dandi.{dandiset.identifier}/{version.version}"
    return full


def published_by(when: datetime) -> dict[str, Any]:
    """Return what publishing adds to metadata."""
    software = {
        "schemaKey": "Software",
        "id": f"urn:uuid:{steady_id('software', when)}",
        "identifier": "RRID:SCR_017571",
        "name": "DANDI API",
        "version": "0.1.0",
    }
    activity = {
        "schemaKey": "PublishActivity",
        "id": f"urn:uuid:{steady_id('publish', when)}",
        "name": "DANDI publish",
        "startDate": when.isoformat(),
        "endDate": when.isoformat(),
        "wasAssociatedWith": [software],
    }
    return {"publishedBy": activity, "datePublished": when.isoformat()}


def _context(schema_version: str) -> str:
    root = "https://raw.githubusercontent.com/dandi/schema/master/releases"
    return f"{root}/{schema_version}/context.json"
