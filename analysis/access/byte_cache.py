"""Byte ranges and small texts of far files, kept on the disk up to a size; several processes share it."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from nwbswitch.analysis.access.byte_source import ByteRange
from nwbswitch.analysis.access.cache_entry import (
    KeptRange,
    kept_bytes,
    kept_ranges,
    packed,
    packed_size,
)
from nwbswitch.schemas.files import locked

T = TypeVar("T")

VARIABLE = "NWBSWITCH_CACHE"
OFF = ("", "off", "none", "0")
MAX_BYTES = 10 << 30
MAX_TEXT_BYTES = 64 << 20
PRUNED_SHARE = 0.8
"""Of the limit; the rest is room until entries are counted again."""
_FORMAT = "bytes-1"
_BLOCK_BYTES = 4096
_PARTIAL = ".partial"
_GROUP, _SHELF = re.compile(r"[0-9a-f]{2}"), re.compile(r"[0-9a-f]{62}")
_RANGES = re.compile(r"[0-9a-f]+-[0-9a-f]+\.ranges")
_ENTRY = re.compile(rf"{_RANGES.pattern}|[0-9a-f]{{32}}\.text|{re.escape(_PARTIAL)}-[0-9a-f]+")
_STALE_S = 86_400.0
_TOUCH_S = 3600.0
_LOCK_S = 5.0


def cache_folder() -> Path:
    """Return the folder for caches: of the variable ``NWBSWITCH_CACHE``, else where the system has them."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    try:
        import platformdirs
    except ImportError:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nwbswitch"
    return platformdirs.user_cache_path("nwbswitch", appauthor=False)


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Which cache to use, for jobs that are sent to other processes."""

    folder: Path
    max_bytes: int = MAX_BYTES

    def open(self) -> ByteCache:
        """Return the cache."""
        return ByteCache(self.folder, self.max_bytes)


def user_cache() -> CacheSettings | None:
    """Return the cache of this user, or nothing when ``NWBSWITCH_CACHE`` is ``off``."""
    if os.environ.get(VARIABLE, "on").strip().lower() in OFF:
        return None
    return CacheSettings(cache_folder())


class ByteCache:
    """What was read of far files, kept for the next time.

    Keys name one version of one file: an identifier or address, and an ETag or digest. Entries are written
    beside their place and renamed; their lengths and checksums are compared when they are read, and damaged
    ones are dropped. What was used longest ago goes first when the size is reached. Only the user can read
    the files. Where nothing can be written, or the disk is full, reading goes on without.

    Parameters
    ----------
    folder
        Is made when there is something to keep.
    max_bytes
        Of all entries together, those of other processes included.
    """

    def __init__(self, folder: Path | str, max_bytes: int = MAX_BYTES) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.trouble = ""
        """Why nothing is kept any more; empty while all is well."""

    # ---- texts ----------------------------------------------------------------------------------------

    def text(self, key: str, name: str) -> str | None:
        """Return a text that was kept under a key, such as the outline of a file."""
        path = self._text_path(key, name)

        def read() -> str:
            [data] = kept_bytes(path, list(kept_ranges(path).values())[:1])
            return data.decode()

        return self._read(path, read)

    def keep_text(self, key: str, name: str, text: str) -> None:
        """Keep a text under a key, in place of one of the same name."""
        data = text.encode()
        if len(data) <= MAX_TEXT_BYTES:
            self._keep(self._text_path(key, name), [(0, data)])

    # ---- ranges ---------------------------------------------------------------------------------------

    def ranges(self, key: str) -> dict[ByteRange, KeptRange]:
        """Return which ranges are kept under a key."""
        found: dict[ByteRange, KeptRange] = {}
        for path in _listed(self._shelf(key), _RANGES):
            found |= self._read(path, partial(kept_ranges, path)) or {}
        return found

    def bytes_of(self, path: Path, wanted: Sequence[KeptRange]) -> list[bytes] | None:
        """Return the bytes of ranges of one entry, or nothing when it is gone or damaged."""
        return self._read(path, partial(kept_bytes, path, wanted))

    def drop(self, path: Path) -> None:
        """Delete an entry whose ranges turned out to be damaged before they came here."""
        with suppress(OSError):
            path.unlink(missing_ok=True)

    def keep_ranges(self, key: str, ranges: Sequence[tuple[int, bytes]]) -> None:
        """Keep ranges, given by offset and bytes, together under a key."""
        name = f"{time.time_ns():x}-{secrets.token_hex(4)}.ranges"
        self._keep(self._shelf(key) / name, ranges)

    # ---- the folder -----------------------------------------------------------------------------------

    def size(self) -> int:
        """Return the bytes that all entries take on the disk."""
        return sum(cost for _, cost, _ in self._entries())

    def clear(self) -> None:
        """Delete every entry.

        Raises
        ------
        OSError
            When that is not allowed.
        """
        with self._alone():
            for _, _, path in self._entries():
                path.unlink(missing_ok=True)
            self._write_total(0)

    @property
    def _root(self) -> Path:
        return self.folder / _FORMAT

    def _shelf(self, key: str) -> Path:
        digest = _digest(key)
        return self._root / digest[:2] / digest[2:]

    def _text_path(self, key: str, name: str) -> Path:
        return self._shelf(key) / f"{_digest(name)[:32]}.text"

    def _read(self, path: Path, read: Callable[[], T]) -> T | None:
        """Return what is read of an entry; go on without one that is gone, and delete one that is damaged."""
        try:
            entry = path.stat()
            if hasattr(os, "getuid") and entry.st_uid != os.getuid():
                return None
            found = read()
            if time.time() - entry.st_mtime > _TOUCH_S:
                os.utime(path)
        except OSError:
            return None
        except ValueError:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        return found

    def _keep(self, path: Path, ranges: Sequence[tuple[int, bytes]]) -> None:
        size = packed_size(ranges)
        if self.trouble or _cost(size) > PRUNED_SHARE * self.max_bytes:
            return
        beside = path.with_name(f"{_PARTIAL}-{secrets.token_hex(8)}")
        try:
            self._make_room(beside, size)
            with beside.open("r+b", buffering=0) as stream:
                for data in packed(ranges):
                    _write(stream.fileno(), data)
            beside.replace(path)
        except BlockingIOError:
            return
        except OSError as error:
            self.trouble = f"{self.folder}: {error.strerror or error}"
            with suppress(OSError):
                beside.unlink(missing_ok=True)

    def _make_room(self, beside: Path, size: int) -> None:
        """Make an empty file of the size that an entry will have, after deleting others where needed.

        As the file counts from here on, all processes together never keep more than the limit.
        """
        self._check_root()
        with self._alone():
            total = self._read_total()
            if total is None or total + _cost(size) > self.max_bytes:
                total = self._prune(_cost(size))
            beside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
            handle = os.open(beside, flags, 0o600)
            try:
                os.truncate(handle, size)
            finally:
                os.close(handle)
            self._write_total(total + _cost(size))

    def _check_root(self) -> None:
        """Make the folder for this user alone; one that others may write to could hold anything.

        Raises
        ------
        OSError
            When that cannot be, or it is a link: what is deleted here could then be anybody's.
        """
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._root.is_symlink():
            raise PermissionError(errno.EPERM, "the folder is a link to another one")
        if hasattr(os, "getuid"):
            found = self._root.stat()
            if found.st_uid != os.getuid():
                raise PermissionError(errno.EPERM, "the folder belongs to another user")
            if found.st_mode & 0o077:
                self._root.chmod(0o700)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes and threads from counting and deleting at the same time.

        Raises
        ------
        OSError
            When another one does not come to an end.
        """
        with ExitStack() as stack:
            until_s = time.monotonic() + _LOCK_S
            while True:
                try:
                    stack.enter_context(locked(self._root / "lock"))
                    break
                except BlockingIOError:
                    if time.monotonic() > until_s:
                        raise
                    time.sleep(0.002)
            yield

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """Yield when each entry was last of use, what it takes, and its path; nothing that is not ours."""
        for group in _listed(self._root, _GROUP):
            for shelf in _listed(group, _SHELF):
                for path in _listed(shelf, _ENTRY):
                    with suppress(OSError):
                        found = path.stat(follow_symlinks=False)
                        yield found.st_mtime, _cost(found.st_size), path

    def _prune(self, needed: int) -> int:
        """Delete what was used longest ago until there is room; return what is left, bytes."""
        entries = sorted(self._entries(), key=lambda entry: entry[0])
        total = sum(cost for _, cost, _ in entries)
        limit = PRUNED_SHARE * self.max_bytes - needed
        full = total + needed > self.max_bytes
        for used_s, cost, path in entries:
            begun = path.name.startswith(_PARTIAL)
            stale = begun and time.time() - used_s > _STALE_S
            if stale or (full and total > limit and not begun):
                with suppress(OSError):
                    path.unlink()
                    total -= cost
                with suppress(OSError):
                    path.parent.rmdir()
        return total

    def _read_total(self) -> int | None:
        try:
            text = (self._root / "total").read_text("ascii")
        except (OSError, UnicodeDecodeError):
            return None
        return int(text) if text.isdigit() and len(text) < 20 else None

    def _write_total(self, total: int) -> None:
        (self._root / "total").write_text(str(total), "ascii")


def _listed(folder: Path, names: re.Pattern[str]) -> list[Path]:
    """Return what is in a folder by these names, sorted.

    Nothing when it is none or a link, or was deleted by another process.
    """
    try:
        if folder.is_symlink():
            return []
        return sorted(path for path in folder.iterdir() if names.fullmatch(path.name))
    except OSError:
        return []


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _cost(size: int) -> int:
    """Return what a file takes on a disk."""
    return -(-size // _BLOCK_BYTES) * _BLOCK_BYTES


def _write(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
