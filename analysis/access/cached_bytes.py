"""Bytes of a file of which some are kept on the disk."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from nwbswitch.analysis.access.byte_cache import ByteCache
from nwbswitch.analysis.access.byte_source import ByteRange, ByteSource
from nwbswitch.analysis.access.cache_entry import KeptRange


class CachedBytes:
    """Another source, asked only for ranges that are not kept yet; those are kept then.

    Ranges are found again when they are asked for as before, which readers of the same parts of the same
    file do.

    Parameters
    ----------
    source
        Closed with this object.
    cache
        Where ranges are kept.
    key
        Names one version of one file, e.g. its address and ETag: other bytes must have another key.
    """

    def __init__(self, source: ByteSource, cache: ByteCache, key: str) -> None:
        self._source = source
        self._cache = cache
        self._key = key
        self._kept: dict[ByteRange, KeptRange] | None = None
        self._turn = threading.Lock()

    @property
    def name(self) -> str:
        """What messages call the file."""
        return self._source.name

    @property
    def size(self) -> int:
        """Length of the file, bytes."""
        return self._source.size

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``."""
        return self.read_many([(offset, length)])[0]

    def read_many(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Return the bytes of every range, in the order given."""
        found = self._found(ranges)
        missing = [each for each in dict.fromkeys(ranges) if each not in found]
        if missing:
            new = dict(zip(missing, self._source.read_many(missing), strict=True))
            found |= new
            self._cache.keep_ranges(self._key, [(offset, data) for (offset, _), data in new.items() if data])
        return [found[each] for each in ranges]

    def read_anew(self, offset: int, length: int) -> bytes:
        """Return bytes from the source itself, and let go of what was kept of them: it was not usable."""
        with self._turn:
            kept = (self._kept or {}).get((offset, length))
        if kept is not None:
            self._cache.drop(kept.path)
            self._forget(kept.path)
        return self._source.read(offset, length)

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _found(self, ranges: Sequence[ByteRange]) -> dict[ByteRange, bytes]:
        with self._turn:
            if self._kept is None:
                self._kept = self._cache.ranges(self._key)
            by_entry: defaultdict[Path, list[ByteRange]] = defaultdict(list)
            for each in dict.fromkeys(ranges):
                if each in self._kept:
                    by_entry[self._kept[each].path].append(each)
            wanted = {path: [self._kept[each] for each in here] for path, here in by_entry.items()}
        found: dict[ByteRange, bytes] = {}
        for path, here in by_entry.items():
            data = self._cache.bytes_of(path, wanted[path])
            if data is None:
                self._forget(path)
            else:
                found |= zip(here, data, strict=True)
        return found

    def _forget(self, path: Path) -> None:
        with self._turn:
            kept = self._kept or {}
            self._kept = {each: place for each, place in kept.items() if place.path != path}
