"""Filling an archive: dandisets, assets, published versions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from archive_content import (
    DRAFT,
    Blob,
    StoredAsset,
    StoredDandiset,
    StoredVersion,
    Ticks,
    asset_metadata,
    dandiset_metadata,
    steady_id,
)
from object_store import ObjectStore


class Shelf:
    """What an archive holds; bytes lie in its object store."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.dandisets: dict[str, StoredDandiset] = {}
        self.assets: dict[str, StoredAsset] = {}
        self._ticks = Ticks()
        self._blobs: dict[str, Blob] = {}

    def add_dandiset(
        self,
        identifier: str,
        *,
        name: str = "A dandiset",
        description: str = "Recordings.",
        keywords: Sequence[str] = (),
        embargoed: bool = False,
        owner: str = "owner",
        created: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> StoredDandiset:
        """Add an empty dandiset with a draft; ``metadata`` holds further fields of DANDI's schema."""
        when = created or self._ticks.tick()
        written = dandiset_metadata(
            name=name, description=description, keywords=keywords, extra=metadata or {}
        )
        dandiset = StoredDandiset(identifier, when, owner, "EMBARGOED" if embargoed else "OPEN")
        dandiset.versions[DRAFT] = StoredVersion(DRAFT, name, when, when, written)
        self.dandisets[identifier] = dandiset
        return dandiset

    def add_asset(
        self,
        dandiset: str,
        path: str,
        content: Path | bytes = b"",
        *,
        subject_id: str = "",
        metadata: Mapping[str, Any] | None = None,
        with_sha256: bool = True,
        zarr_bytes: int | None = None,
    ) -> StoredAsset:
        """Upload a file to the draft, in place of one at the same path, and return the asset.

        ``metadata`` replaces what `archive_content.asset_metadata` makes; with ``zarr_bytes`` it is a Zarr.
        Without ``subject_id`` it is what stands behind ``sub-`` in the path.
        """
        held = self.dandisets[dandiset]
        when = self._ticks.tick()
        named = re.search(r"sub-([^_/.]+)", path)
        subject_id = subject_id or (named[1] if named else "m1")
        written = dict(metadata) if metadata is not None else asset_metadata(subject_id=subject_id)
        asset = StoredAsset(steady_id(dandiset, path, when), path, when, when, written)
        if zarr_bytes is None:
            asset.blob = self._upload(content, with_sha256, embargoed=held.embargo_status != "OPEN")
        else:
            asset.zarr_id, asset.zarr_size = steady_id("zarr", dandiset, path), zarr_bytes
        draft = held.draft
        draft.assets = [*(each for each in draft.assets if each.path != path), asset]
        draft.modified = when
        self.assets[asset.asset_id] = asset
        return asset

    def remove_asset(self, dandiset: str, path: str) -> None:
        """Take an asset out of the draft; by its id it is still there, as in the real archive."""
        draft = self.dandisets[dandiset].draft
        draft.assets = [each for each in draft.assets if each.path != path]
        draft.modified = self._ticks.tick()

    def publish(self, dandiset: str, version: str = "0.240101.1234") -> StoredVersion:
        """Publish the draft as it is now."""
        draft = self.dandisets[dandiset].draft
        when = self._ticks.tick()
        for each in draft.assets:
            each.published = True
        published = StoredVersion(version, draft.name, when, when, dict(draft.metadata), list(draft.assets))
        self.dandisets[dandiset].versions[version] = published
        return published

    def overwrite(self, asset: StoredAsset, content: Path | bytes) -> None:
        """Put other bytes where those of an asset lie, without a word to the archive."""
        assert asset.blob is not None
        self.store.put(asset.blob.key, content, etag=_etag(content), closed=asset.blob.embargoed)

    def _upload(self, content: Path | bytes, with_sha256: bool, *, embargoed: bool) -> Blob:
        data = content if isinstance(content, bytes) else content.read_bytes()
        etag, digest = _etag(data), hashlib.sha256(data).hexdigest()
        kept = self._blobs.get(etag)
        # The same bytes are stored once, and open as soon as an open dandiset holds them.
        blob = kept or Blob(steady_id("blob", etag), content, len(data), etag, None, embargoed)
        blob.sha256 = digest if with_sha256 else blob.sha256
        blob.embargoed = blob.embargoed and embargoed
        self._blobs[etag] = blob
        self.store.put(blob.key, content, etag=etag, closed=blob.embargoed)
        return blob


def _etag(content: Path | bytes) -> str:
    """Return the ETag that S3 and DANDI give to content uploaded in one part."""
    data = content if isinstance(content, bytes) else content.read_bytes()
    return f"{hashlib.md5(hashlib.md5(data).digest()).hexdigest()}-1"
