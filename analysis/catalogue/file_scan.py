"""Reading one file far away for the catalogue: what it tells, or why it is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from nwbswitch.analysis.access.byte_cache import CacheSettings
from nwbswitch.analysis.access.byte_source import ByteRange, ByteSource
from nwbswitch.analysis.catalogue.facts import RecordingFacts, facts_of
from nwbswitch.analysis.sources import Source, open_source
from nwbswitch.schemas.errors import InputFileError, NwbswitchError

if TYPE_CHECKING:
    from nwbswitch.analysis.reading.outline import Outline

Value = TypeVar("Value")
MAX_REASON = 500
"""Characters of the reason for a refusal that are kept."""


@dataclass(frozen=True, slots=True)
class Task:
    """A file to be read."""

    content: str
    path: str
    source: Source
    cache: CacheSettings | None = None
    """Where its outline is kept."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What reading one file told, and took."""

    facts: RecordingFacts | None
    refused: str = ""
    n_requests: int = 0
    n_bytes: int = 0


def read_file(task: Task) -> Scanned:
    """Read one file, or return why it is refused for what it holds; its outline is kept for measuring.

    Raises
    ------
    InputFileError
        When its bytes cannot be had, which says nothing about the file.
    """
    from nwbswitch.analysis.access.http_bytes import HttpBytes

    data = open_source(task.source)
    watched = _WatchedBytes(data)
    try:
        facts = facts_of(_outline(watched, task))
    except NwbswitchError as error:
        if watched.failed:
            raise
        words = f"{error.problem} {error.remedy}" if isinstance(error, InputFileError) else str(error)
        return Scanned(None, " ".join(words.split())[:MAX_REASON])
    finally:
        data.close()
    spent = data.statistics if isinstance(data, HttpBytes) else None
    return Scanned(facts, "", spent.n_requests, spent.n_bytes) if spent else Scanned(facts)


def _outline(data: ByteSource, task: Task) -> Outline:
    from nwbswitch.analysis.access.hdf5_bytes import open_hdf5_bytes
    from nwbswitch.analysis.reading.outline_cache import keep_outline, kept_outline
    from nwbswitch.analysis.reading.outlining import outline_of
    from nwbswitch.analysis.reading.recording import identity_of
    from nwbswitch.schemas.overrides import Override

    name, nothing_stated = task.source.name, Override()
    identity = identity_of(task.source)
    cache = task.cache.open() if task.cache is not None and identity else None
    if cache is not None:
        kept = kept_outline(cache, identity, name=name, override=nothing_stated)
        if kept is not None:
            return kept
    with open_hdf5_bytes(data) as nwb:
        outline = outline_of(nwb, name=name)
    if cache is not None:
        keep_outline(cache, identity, outline, name=name, override=nothing_stated)
    return outline


class _WatchedBytes:
    """Other bytes, and whether they could be had: the HDF5 library may take a failed read for bad content."""

    def __init__(self, data: ByteSource) -> None:
        self._data = data
        self.failed = False

    @property
    def name(self) -> str:
        return self._data.name

    @property
    def size(self) -> int:
        return self._had(lambda: self._data.size)

    def read(self, offset: int, length: int) -> bytes:
        return self._had(lambda: self._data.read(offset, length))

    def read_many(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        return self._had(lambda: self._data.read_many(ranges))

    def close(self) -> None:
        self._data.close()

    def _had(self, ask: Callable[[], Value]) -> Value:
        try:
            return ask()
        except InputFileError:
            self.failed = True
            raise
