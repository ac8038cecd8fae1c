"""The door to archives of the DANDI kind: what they hold, and where its bytes are."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from types import TracebackType
from typing import Any, Self

from nwbswitch.analysis.access.http_route import Location, leads_inside
from nwbswitch.analysis.archive_connection import INTERVAL_S, Manners, NotInArchiveError, answered, connect
from nwbswitch.analysis.archive_facts import (
    MAX_TEXT,
    Asset,
    Dandiset,
    DandisetFacts,
    VersionFacts,
    asset_facts,
    bytes_count,
    dandiset_facts,
    whole_text,
)
from nwbswitch.analysis.archive_instances import Instance, instance_of, require_safe
from nwbswitch.schemas.errors import InputFileError, UnavailableError
from nwbswitch.schemas.issues import nearest

PAGE_SIZE = 100
_DANDISET = re.compile(r"\d{6}")
_VERSION = re.compile(r"draft|\d{1,9}\.\d{1,9}\.\d{1,9}")
_ASSET_ID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ETAG = re.compile(r"[0-9a-f]{32}(?:-\d{1,5})?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
LISTINGS = 3
"""How often a draft that changes while it is listed is listed."""


class Archive:
    """One archive, by its read API; threads may share it.

    Nothing is asked before it is needed. The API key is looked up when the archive first asks for one.

    Parameters
    ----------
    instance
        Which archive.
    interval_s
        Least time between the beginnings of two requests.

    Raises
    ------
    InputFileError
        From every method, when the archive does not answer, may not be read, or does not have what is asked
        for (`NotInArchiveError`).
    MissingExtraError
        dandi is not installed.
    """

    def __init__(self, instance: Instance, *, interval_s: float = INTERVAL_S) -> None:
        self.instance = instance
        self._client: Any
        self._manners: Manners
        self._client, self._manners = connect(instance, interval_s=interval_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.session.close()

    def listed(
        self, *, since: datetime | date | None = None, search: str = "", embargoed: bool = False
    ) -> Iterator[Dandiset]:
        """Yield the dandisets that are not empty, in the order in which they were made.

        Parameters
        ----------
        since
            Only those of which anything changed since then; a date begins at midnight UTC.
        search
            Only those whose metadata hold these words, in the words of the archive's own search.
        embargoed
            Also those that only you may read; needs an API key.
        """
        first = _moment(since)
        with answered(self.instance, self._manners, "the list of dandisets"):
            # An archive takes an empty search and none alike; what is not asked for is left to its default.
            found = self._client.get_dandisets(
                empty=False, embargoed=embargoed or None, search=search or None, order="id"
            )
            for each in found:
                dandiset = _dandiset(each)
                if first is None or dandiset.modified >= first:
                    yield dandiset

    def dandisets(
        self, *, since: datetime | date | None = None, search: str = "", embargoed: bool = False
    ) -> Iterator[DandisetFacts]:
        """Yield what `listed` does with its metadata: one more request for each."""
        for each in self.listed(since=since, search=search, embargoed=embargoed):
            yield self.described(each)

    def dandiset(self, identifier: str) -> Dandiset:
        """Return a dandiset by its six digits."""
        with answered(self.instance, self._manners, f"dandiset {identifier}"):
            return _dandiset(self._client.get_dandiset(identifier, lazy=False))

    def described(self, dandiset: Dandiset, version: VersionFacts | None = None) -> DandisetFacts:
        """Return the metadata of a version of a dandiset, by default of its newest."""
        version = version or dandiset.newest
        with answered(self.instance, self._manners, f"{dandiset.identifier}@{version.version}"):
            remote = self._client.get_dandiset(dandiset.identifier, version.version)
            return dandiset_facts(dandiset, version, remote.get_raw_metadata())

    def versions(self, identifier: str) -> list[VersionFacts]:
        """Return the versions of a dandiset, the draft first, then the published ones from old to new."""
        with answered(self.instance, self._manners, f"dandiset {identifier}"):
            found = [_version(each) for each in self._client.get_dandiset(identifier).get_versions()]
        return sorted(found, key=lambda each: (not each.is_draft, each.created))

    def version(self, identifier: str, version: str = "") -> tuple[Dandiset, VersionFacts]:
        """Return a dandiset and one of its versions, by default the newest (`Dandiset.newest`).

        Raises
        ------
        NotInArchiveError
            There is no such dandiset or version; the message names the versions that there are.
        """
        dandiset = self.dandiset(identifier)
        for each in (dandiset.published, dandiset.draft):
            if each is not None and version in ("", each.version):
                return dandiset, each
        versions = self.versions(identifier)
        for each in versions:
            if each.version == version:
                return dandiset, each
        names = [each.version for each in versions]
        remedy = nearest(version, names, cutoff=0.8) or f"There are {', '.join(names)}."
        raise NotInArchiveError(f"{identifier}@{version}", "is no version of the dandiset.", remedy)

    def assets(self, identifier: str, version: str = "", *, glob: str = "", prefix: str = "") -> list[Asset]:
        """Return the assets of a version by path, each once, as they were at one moment.

        Parameters
        ----------
        identifier, version
            Six digits, and a version or nothing for the newest.
        glob
            Only paths that match as the archive understands it: ``*`` also matches slashes, nothing else is
            special, and case does not count.
        prefix
            Only paths that begin like this, where case does not count either; the asset at this very path
            alone where there is one.

        Raises
        ------
        NotInArchiveError
            There is no such dandiset or version.
        InputFileError
            The draft changed each time that it was listed.
        """
        dandiset, found = self.version(identifier, version)
        name = f"{identifier}@{found.version}"
        for _ in range(LISTINGS):
            with answered(self.instance, self._manners, name):
                assets, n_pages = self._listed_assets(dandiset, found, glob, prefix)
            if n_pages < 2 or not found.is_draft:
                return assets
            dandiset = self.dandiset(identifier)
            if dandiset.draft.modified == found.modified:
                return assets
            found = dandiset.draft
        problem = "changed each time that its assets were listed."
        raise UnavailableError(name, problem, "Try again when nobody uploads, or name a published version.")

    def _listed_assets(
        self, dandiset: Dandiset, version: VersionFacts, glob: str, prefix: str
    ) -> tuple[list[Asset], int]:
        """Return assets and how many pages they came on: a draft may change between two pages."""
        # The order must be of something that no two assets share, else pages may overlap.
        wanted = {"order": "path", "metadata": "true", "glob": glob or None, "path": prefix or None}
        address = f"/dandisets/{dandiset.identifier}/versions/{version.version}/assets/"
        found = {}
        n_listed = 0
        for each in self._client.paginate(address, PAGE_SIZE, wanted):
            asset = _asset(each, dandiset, version)
            found[asset.asset_id] = asset
            n_listed += 1
        return sorted(found.values(), key=lambda each: each.path), -(-n_listed // PAGE_SIZE)

    def asset(self, identifier: str, version: str, asset_id: str) -> Asset:
        """Return one asset of a version by its id."""
        dandiset, found = self.version(identifier, version)
        name = f"asset {asset_id} of {identifier}@{found.version}"
        with answered(self.instance, self._manners, name):
            address = f"/dandisets/{identifier}/versions/{found.version}/assets/{asset_id}/info/"
            return _asset(self._client.get(address), dandiset, found)

    def asset_by_id(self, asset_id: str) -> Asset:
        """Return an asset by its id alone, of whatever dandiset."""
        with answered(self.instance, self._manners, f"asset {asset_id}"):
            return _asset(self._client.get(f"/assets/{asset_id}/info/"), None, None)

    def asset_metadata(self, asset_id: str) -> dict[str, Any]:
        """Return all metadata of an asset as the archive has them."""
        with answered(self.instance, self._manners, f"asset {asset_id}"):
            metadata = self._client.get_asset(asset_id).get_raw_metadata()
            return dict(metadata)

    def signed_url(self, asset_id: str) -> str:
        """Return where the bytes of an asset can be read for some hours, without a key."""
        with answered(self.instance, self._manners, f"asset {asset_id}"):
            answer = self._client.get(f"/assets/{asset_id}/download/", json_resp=False, allow_redirects=False)
            url = str(answer.headers["Location"])
        require_safe(url)
        if leads_inside(self.instance.api_url, url):
            problem = f"the archive {self.instance.name} says that it is inside your own network."
            raise InputFileError(f"asset {asset_id}", problem)
        return url

    def locate(self, asset: Asset) -> AssetPlace:
        """Return what tells `HttpBytes` where an asset is."""
        return AssetPlace(
            self.instance, asset.asset_id, asset.size, asset.etag, asset.content_url if asset.is_open else ""
        )


@dataclass(frozen=True, slots=True)
class AssetPlace:
    """Where the bytes of an asset are; it holds no key, and may be sent to another process.

    An open asset is read where it lies in the object store, without asking the archive; one that is not, or
    that is not found there, at an address that the archive signs.
    """

    instance: Instance
    asset_id: str
    size: int | None
    etag: str
    content_url: str = field(default="", repr=False)

    def __call__(self, renew: bool) -> Location:
        """Return the place; with ``renew``, another than the one that was refused."""
        if self.content_url and not renew:
            require_safe(self.content_url)
            if leads_inside(self.instance.api_url, self.content_url):
                problem = f"the archive {self.instance.name} says that it is inside your own network."
                raise InputFileError(f"asset {self.asset_id}", problem)
            url = self.content_url
        else:
            url = shared_archive(self.instance).signed_url(self.asset_id)
        return Location(url, size=self.size, etag=f'"{self.etag}"' if self.etag else "")


def open_archive(instance: str = "dandi", *, interval_s: float = INTERVAL_S) -> Archive:
    """Return the archive with a name that dandi knows, or at an address.

    Raises
    ------
    IssuesError
        There is no archive of that name, or the address is not https (or http on this machine).
    MissingExtraError
        dandi is not installed.
    """
    return Archive(instance_of(instance), interval_s=interval_s)


_SHARED: dict[tuple[int, Instance], Archive] = {}
_SHARING = threading.Lock()


def shared_archive(instance: Instance) -> Archive:
    """Return the archive that all readers of this process share."""
    with _SHARING:
        key = os.getpid(), instance
        if key not in _SHARED:
            _SHARED[key] = Archive(instance)
        return _SHARED[key]


def _matching(form: re.Pattern[str], value: Any) -> str:
    """Return an identifier, which becomes a part of addresses, names and commands.

    Raises
    ------
    ValueError
        When it has another form than those of archives.
    """
    if not form.fullmatch(text := str(value)):
        raise ValueError("an identifier of another form")
    return text


def _digest(form: re.Pattern[str], value: Any) -> str:
    """Return a digest, or nothing for what is none: then the file is told by another."""
    return value if isinstance(value, str) and form.fullmatch(value) else ""


def _moment(since: datetime | date | None) -> datetime | None:
    if since is None:
        return None
    if not isinstance(since, datetime):
        since = datetime(since.year, since.month, since.day)
    return since if since.tzinfo else since.replace(tzinfo=UTC)


def _version(found: Any) -> VersionFacts:
    return VersionFacts(
        version=_matching(_VERSION, found.identifier),
        name=whole_text(str(found.name)[:MAX_TEXT]),
        n_assets=bytes_count(found.asset_count),
        size=bytes_count(found.size),
        created=found.created.astimezone(UTC),
        modified=found.modified.astimezone(UTC),
    )


def _dandiset(found: Any) -> Dandiset:
    published = found.most_recent_published_version
    return Dandiset(
        identifier=_matching(_DANDISET, found.identifier),
        created=found.created.astimezone(UTC),
        contact=whole_text(str(found.contact_person)[:MAX_TEXT]),
        is_open=found.embargo_status.value == "OPEN",
        published=None if published is None else _version(published),
        draft=_version(found.draft_version),
    )


def _asset(found: dict[str, Any], dandiset: Dandiset | None, version: VersionFacts | None) -> Asset:
    """Return an asset from what the API says of it."""
    metadata = found["metadata"]
    digests = metadata.get("digest") or {}
    access = [each.get("status") for each in metadata.get("access") or []]
    is_open = dandiset.is_open if dandiset else "dandi:EmbargoedAccess" not in access
    # The first address is that of the API, the second that of the object store.
    urls = [each for each in metadata.get("contentUrl") or [] if "/download/" not in each]
    return Asset(
        dandiset=dandiset.identifier if dandiset else "",
        version=version.version if version else "",
        asset_id=_matching(_ASSET_ID, found["asset_id"]),
        path=whole_text(str(found["path"])),
        size=bytes_count(found["size"]),
        created=datetime.fromisoformat(found["created"]).astimezone(UTC),
        modified=datetime.fromisoformat(found["modified"]).astimezone(UTC),
        is_zarr=found.get("zarr") is not None,
        is_open=is_open,
        content_type=str(metadata.get("encodingFormat") or ""),
        etag=_digest(_ETAG, digests.get("dandi:dandi-etag")),
        sha256=_digest(_SHA256, digests.get("dandi:sha2-256")),
        content_url=str(urls[0]) if urls and found.get("zarr") is None else "",
        facts=asset_facts(metadata),
    )
