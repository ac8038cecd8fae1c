"""A recording that is open for measuring: what it holds, and a reader of its samples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from nwbswitch.analysis.access.array_reader import ArrayReader
from nwbswitch.analysis.access.arrays import Arrays
from nwbswitch.analysis.access.byte_cache import ByteCache
from nwbswitch.analysis.access.byte_source import ByteSource
from nwbswitch.analysis.access.cached_bytes import CachedBytes
from nwbswitch.analysis.access.hdf5_bytes import open_hdf5_bytes
from nwbswitch.analysis.archive_instances import unsigned_url
from nwbswitch.analysis.reading.movement import Movement, find_movement
from nwbswitch.analysis.reading.outline import Outline
from nwbswitch.analysis.reading.outline_cache import keep_outline, kept_outline
from nwbswitch.analysis.reading.outlining import outline_of
from nwbswitch.analysis.sources import Source, digest_of, file_stamp, find_sources, open_source
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import issue
from nwbswitch.schemas.overrides import Override, Overrides, load_overrides


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording; its samples can be read while it is open."""

    source: Source
    outline: Outline
    arrays: Arrays
    data: ByteSource

    def movement(self) -> Movement | None:
        """Return the speed of the animal, None where the file holds none; found anew at every call."""
        with open_hdf5_bytes(self.data) as nwb:
            return find_movement(nwb, name=self.source.name)


@contextmanager
def open_recording(
    source: Source | Path | str,
    *,
    overrides: Overrides | Path | str | None = None,
    instance: str = "dandi",
    cache: ByteCache | None = None,
) -> Iterator[Recording]:
    """Open an NWB file, near or far, for reading.

    Parameters
    ----------
    source
        A source as `nwbswitch.analysis.sources.find_sources` gives it, or what names one.
    overrides
        What is stated of sources, or the file that states it, see `nwbswitch.schemas.overrides`.
    instance
        Archive that ``dandi:`` means: a name that the DANDI client knows, or the URL of its API.
    cache
        Where outlines are kept, and the bytes of far files. With a kept outline only the samples that are
        asked for are read.

    Raises
    ------
    UnsafeFileError
        For a file that could read other files or exhaust memory.
    InputFileError
        When the file is not there, is damaged, is not NWB 2, or changes while it is read.
    IssuesError
        When ``source`` names no recording or several.
    StudyError
        When ``overrides`` is a file with mistakes.
    """
    settled = load_overrides(overrides) if isinstance(overrides, Path | str) else overrides
    source = source if isinstance(source, Source) else _only_source(source, instance)
    override = (settled or Overrides()).for_source(source.name)
    with ExitStack() as stack:
        data = open_source(source)
        stack.callback(data.close)
        identity = "" if cache is None else identity_of(source)
        if cache is not None and identity and source.path is None:
            data = CachedBytes(data, cache, identity)
        outline = _outline(data, source.name, override, cache if identity else None, identity)
        yield Recording(source, outline, stack.enter_context(ArrayReader(data)), data)


def identity_of(source: Source) -> str:
    """Return what names this version of the file of a source; empty where its server does not tell versions.

    Raises
    ------
    InputFileError
        When a server that has to be asked does not answer.
    """
    # An archive may state what it likes, also the ids and digests of another one's assets.
    archive = "" if source.instance is None else f"{source.instance.api_url} "
    if source.asset_id and source.etag:
        return f"asset {archive}{source.asset_id} {source.etag}"
    if source.path is not None and not source.digest:
        stamp = file_stamp(source.path)
        return "" if stamp is None else "file {} {} {}".format(*stamp)
    digest = source.digest or digest_of(source)
    kind, _, version = digest.partition(":")
    if kind != "version":
        return f"digest {archive}{digest}"
    # Two files may have one ETag, or one date, where only the whole address tells them apart.
    return f"address {unsigned_url(source.url)} {version}" if version else ""


def _outline(
    data: ByteSource, name: str, override: Override, cache: ByteCache | None, identity: str
) -> Outline:
    if cache is not None:
        kept = kept_outline(cache, identity, name=name, override=override)
        if kept is not None:
            return kept
    with open_hdf5_bytes(data) as nwb:
        outline = outline_of(nwb, name=name, override=override)
    if cache is not None:
        keep_outline(cache, identity, outline, name=name, override=override)
    return outline


def _only_source(given: Path | str, instance: str) -> Source:
    found = find_sources(given, instance=instance)
    if len(found) != 1:
        problem = f"{given} names {len(found)} recordings, where one is opened."
        raise IssuesError([issue("source-form", problem, remedy="Name one file, or use find_sources.")])
    return found[0]
