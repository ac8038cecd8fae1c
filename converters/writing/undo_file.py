"""A file that remembers what is overwritten in it, so that a change that fails can be taken back."""

from __future__ import annotations

import os
from pathlib import Path

PAGE_BYTES = 4096


class UndoFile:
    """A file for h5py's driver for Python files; `undo` makes it what it was, byte by byte.

    Only pages that are overwritten are kept in memory. Taking back needs no room on the disk.
    """

    def __init__(self, path: Path) -> None:
        """Open the file for reading and writing.

        Raises
        ------
        OSError
            When it cannot be opened for both.
        """
        self._file = path.open("r+b", buffering=0)
        self._size = os.fstat(self._file.fileno()).st_size
        self._pages: dict[int, bytes] = {}
        self._undone = False

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place."""
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        """Return what follows; h5py takes an object that has this for a file."""
        return self._file.read(size) or b""

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill a buffer as far as the file goes."""
        view = memoryview(buffer).cast("B")
        count = 0
        while count < len(view) and (got := self._file.readinto(view[count:])):
            count += got
        return count

    def write(self, data: bytes | memoryview) -> int:
        """Write all of the data; nothing once the changes were taken back."""
        view = memoryview(data).cast("B")
        if not self._undone:
            place = self._file.tell()
            self._keep(place, place + len(view))
            self._file.seek(place)
            done = 0
            while done < len(view):
                done += self._file.write(view[done:]) or 0
        return len(view)

    def truncate(self, size: int) -> int:
        """Make the file end at ``size``."""
        if not self._undone:
            self._keep(size, self._size)
            self._file.truncate(size)
        return size

    def flush(self) -> None:
        """Nothing is held back."""

    def _keep(self, start: int, stop: int) -> None:
        for page in range(start // PAGE_BYTES, -(-min(stop, self._size) // PAGE_BYTES)):
            if page not in self._pages:
                kept = bytearray(min(PAGE_BYTES, self._size - page * PAGE_BYTES))
                self._file.seek(page * PAGE_BYTES)
                self.readinto(kept)
                self._pages[page] = bytes(kept)

    def undo(self) -> None:
        """Make the file what it was, and take no more changes."""
        self._undone = True
        for page, content in self._pages.items():
            self._file.seek(page * PAGE_BYTES)
            self._file.write(content)
        self._file.truncate(self._size)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
