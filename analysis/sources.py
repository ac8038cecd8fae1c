"""Where recordings are: files, folders, patterns, dandisets and web addresses become one list of sources."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nwbswitch.analysis.access.byte_source import ByteSource
from nwbswitch.analysis.access.http_bytes import HttpBytes
from nwbswitch.analysis.access.http_route import Location
from nwbswitch.analysis.access.local_bytes import LocalBytes
from nwbswitch.analysis.archive import AssetPlace, shared_archive
from nwbswitch.analysis.archive_connection import NotInArchiveError
from nwbswitch.analysis.archive_facts import ZARR_SUFFIX, Asset
from nwbswitch.analysis.archive_instances import (
    Instance,
    instance_of,
    known_instances,
    plain_url,
    require_safe,
)
from nwbswitch.analysis.archive_sources import Listings, assets_at
from nwbswitch.analysis.dandi_addresses import Address, parse_address
from nwbswitch.analysis.local_sources import is_zarr, local_paths, same_file, unreadable_zarr
from nwbswitch.schemas.errors import InputFileError, IssuesError
from nwbswitch.schemas.files import sha256_file
from nwbswitch.schemas.issues import Issue, issue
from nwbswitch.schemas.safe_text import safe_line

FORMS = (
    "Expected a file, a folder, a pattern such as nwb/**/*.nwb, dandi:001326@draft/sub-*/*.nwb, "
    "or an address (https://...)."
)
PUBLIC_BUCKETS = {"dandiarchive": "https://dandiarchive.s3.amazonaws.com"}
"""Buckets that everybody may read, and where."""
OF_SERVER = "version:"
"""Before digests of addresses."""
FileStamp = tuple[str, int, int]
"""Absolute path, size in bytes and time of the last change, ns."""


@dataclass(frozen=True, slots=True)
class Source:
    """One recording and where it is; it holds no key, and may be sent to another process."""

    name: str
    """What tables show: the path as given, the address without its query, or
    ``dandi:001326@draft/sub-1/x.nwb``, as `safe_line` shows it. Two sources never share it."""
    path: Path | None = None
    """Of a file on disk."""
    url: str = field(default="", repr=False)
    """Of a file on a web server as it was given, which may be signed; of an open asset, its object."""
    instance: Instance | None = None
    """The archive, of an asset."""
    dandiset: str = ""
    version: str = ""
    asset_id: str = ""
    etag: str = ""
    """Of the object that holds an asset."""
    digest: str = ""
    """Of a file SHA-256 as hex digits; of an asset ``sha256:...`` or ``dandi-etag:...``; of an address
    ``version:`` and what its server calls it. Empty until it is known (`with_digest`)."""
    size: int | None = None
    """Bytes, where known."""
    changed_ns: int | None = None
    """Time of the last change of a file on disk whose digest is known: it is read as it was then, or not."""
    is_zarr: bool = False
    """Whether it is stored as Zarr: such a source is listed, and refused when it is opened."""


def find_sources(
    given: Path | str | Sequence[Path | str],
    *,
    instance: str = "dandi",
    known_digests: Mapping[FileStamp, str] | None = None,
) -> list[Source]:
    """Return every recording that is named, once, in the order given and within each item by path.

    Parameters
    ----------
    given
        Files; folders, which are searched at any depth; patterns; ``dandi:001326``, ``dandi:001326@draft``,
        ``dandi:001326@0.240101.1234/sub-*/*.nwb`` (without a version the most recent published one, else
        the draft); addresses of dandisets and assets as web pages and API have them; ``https://`` addresses
        of files, ``http://`` on this machine only; ``s3://`` of DANDI's bucket.
    instance
        The archive that ``dandi:`` means: a name that dandi knows, or an address.
    known_digests
        Digests of local files that were computed before.

    Raises
    ------
    IssuesError
        All items that are written in no known way or name no NWB file, with what is most like them.
    InputFileError
        An archive does not answer, or a folder cannot be read.
    MissingExtraError
        An archive is named, and dandi is not installed.
    """
    items = [given] if isinstance(given, str | Path) else list(given)
    issues: list[Issue] = []
    found: dict[object, Source] = {}
    listings = Listings()
    for item in items:
        try:
            for source in _sources_of(item, instance, listings):
                found.setdefault(_identity(source), source)
        except IssuesError as error:
            issues += error.issues
        except NotInArchiveError as error:
            issues.append(issue("no-source", f"{item}: {error.problem}", remedy=error.remedy))
    if not items:
        issues.append(issue("no-source", "No source is given.", remedy=FORMS))
    if issues:
        raise IssuesError(issues)
    known = known_digests or {}
    return [_known(each, known) for each in _named_apart(found.values())]


def open_source(source: Source) -> ByteSource:
    """Return the bytes of a source; the caller closes them.

    Raises
    ------
    IssuesError
        It is stored as Zarr.
    InputFileError
        It is not there, or cannot be read.
    """
    if source.is_zarr:
        raise IssuesError([unreadable_zarr(source.name)])
    if source.path is not None:
        near = LocalBytes(source.path)
        if source.changed_ns not in (None, near.changed_ns):
            near.close()
            problem, remedy = "changed since its digest was computed.", "Run the same command again."
            raise InputFileError(source.path, problem, remedy)
        return near
    return HttpBytes(_place(source), name=source.name, size=source.size)


def with_digest(source: Source, *, before: Callable[[int], None] = lambda n_bytes: None) -> Source:
    """Return a source that has its digest; a local file is read to its end for it, once per version of it.

    What cannot be opened at all, Zarr and files that are not there, keeps none: to open it says why.

    Parameters
    ----------
    source
        As found.
    before
        Called with the number of bytes that are read next; it may wait, tell how far it is, or raise.

    Raises
    ------
    InputFileError
        It cannot be read.
    """
    if source.digest or source.is_zarr or (source.path is not None and not source.path.is_file()):
        return source
    stamp = None if source.path is None else file_stamp(source.path)
    digest = digest_of(source, before=before)
    return replace(source, digest=digest, changed_ns=None if stamp is None else stamp[2])


def digest_of(source: Source, *, before: Callable[[int], None] = lambda n_bytes: None) -> str:
    """Return the digest of a source, see `Source.digest` and `with_digest`.

    Raises
    ------
    InputFileError
        It is not there, cannot be read, or changes meanwhile.
    """
    if source.digest:
        return source.digest
    if source.path is not None:
        stamp = file_stamp(source.path)
        if stamp is None or stamp not in _DIGESTS:
            found = sha256_file(source.path, before=before)
            if stamp is None or stamp != file_stamp(source.path):
                problem, remedy = "changed while it was read.", "Read it again when nothing writes to it."
                raise InputFileError(source.path, problem, remedy)
            _DIGESTS[stamp] = found
        return _DIGESTS[stamp]
    far = HttpBytes(_place(source), name=source.name, size=source.size)
    try:
        return f"{OF_SERVER}{far.version}"
    finally:
        far.close()


def file_stamp(path: Path | str) -> FileStamp | None:
    """Return what changes with a file, the key of ``known_digests``; None where it is not there."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return str(Path(path).absolute()), found.st_size, found.st_mtime_ns


_DIGESTS: dict[FileStamp, str] = {}


def _sources_of(item: Path | str, instance: str, listings: Listings) -> Iterator[Source]:
    if isinstance(item, Path) or os.path.lexists(item):
        yield from _local(item)
        return
    text = item.strip()
    if not text:
        raise IssuesError([issue("source-form", "A source without a word.", remedy=FORMS)])
    if text.lower().startswith("s3://"):
        text = _of_bucket(text)
    archives = [instance_of(instance)] if "://" in instance else []
    address = parse_address(text, archives=archives)
    if address is not None:
        yield from _in_archive(address, instance, listings)
    elif text.lower().startswith(("https://", "http://")):
        yield _at_url(text)
    elif "://" in text:
        raise IssuesError(
            [issue("source-form", f"{plain_url(text)!r} is read in no way here.", remedy=FORMS)]
        )
    else:
        yield from _local(item)


def _local(item: Path | str) -> Iterator[Source]:
    for path in local_paths(item):
        stamp = file_stamp(path)
        size = stamp[1] if stamp and not path.is_dir() else None
        yield Source(name=safe_line(str(path)), path=path, size=size, is_zarr=is_zarr(path))


def _in_archive(address: Address, instance: str, listings: Listings) -> Iterator[Source]:
    archive = shared_archive(address.archive or instance_of(instance))
    for asset in assets_at(address, archive, listings):
        yield asset_source(asset, archive.instance)


def asset_source(asset: Asset, instance: Instance) -> Source:
    """Return an asset of an archive as a source."""
    scheme = instance.name if instance.name in known_instances() else "dandi"
    place = f"{asset.dandiset}@{asset.version}" if asset.dandiset else f"assets/{asset.asset_id}"
    return Source(
        name=safe_line(f"{scheme}:{place}/{asset.path}"),
        url=asset.content_url if asset.is_open else "",
        instance=instance,
        dandiset=asset.dandiset,
        version=asset.version,
        asset_id=asset.asset_id,
        etag=asset.etag,
        digest=asset.digest,
        size=asset.size,
        is_zarr=asset.is_zarr,
    )


def _at_url(text: str) -> Source:
    require_safe(text)
    name = plain_url(text)
    path = unquote(urlsplit(name).path).rstrip("/")
    if not path:
        raise IssuesError([issue("source-form", f"{name} names no file.", remedy=FORMS)])
    return Source(name=name, url=text.partition("#")[0], is_zarr=path.lower().endswith(ZARR_SUFFIX))


def _of_bucket(text: str) -> str:
    bucket, _, key = text[len("s3://") :].partition("/")
    if bucket not in PUBLIC_BUCKETS or not key:
        remedy = f"Expected s3://{next(iter(PUBLIC_BUCKETS))}/..., or an https:// address."
        raise IssuesError([issue("source-form", f"{text!r} is no file in a known bucket.", remedy=remedy)])
    return f"{PUBLIC_BUCKETS[bucket]}/{key}"


@dataclass(frozen=True, slots=True)
class FixedPlace:
    """A file at an address that was given."""

    url: str = field(repr=False)
    version: str = ""
    """What its server called it when it was identified; another version is refused."""

    def __call__(self, renew: bool) -> Location:
        """Return the place; there is no other one when it was refused."""
        return Location(self.url, etag=self.version)


def _place(source: Source) -> Callable[[bool], Location]:
    if source.instance is None:
        return FixedPlace(source.url, source.digest.removeprefix(OF_SERVER))
    return AssetPlace(source.instance, source.asset_id, source.size, source.etag, source.url)


def _identity(source: Source) -> object:
    if source.path is not None:
        return same_file(source.path)
    return (source.instance, source.asset_id) if source.asset_id else source.url


def _named_apart(sources: Iterable[Source]) -> Iterator[Source]:
    """Yield the sources with a number behind names that others had before."""
    taken: dict[str, int] = {}
    for each in sources:
        taken[each.name] = number = taken.get(each.name, 0) + 1
        yield each if number == 1 else replace(each, name=f"{each.name} ({number})")


def _known(source: Source, digests: Mapping[FileStamp, str]) -> Source:
    stamp = None if source.path is None else file_stamp(source.path)
    if stamp is None or stamp not in digests:
        return source
    return replace(source, digest=digests[stamp], changed_ns=stamp[2])
