"""Bytes of a file on a disk, refused when the file changes while it is read."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from nwbswitch.analysis.access.byte_ranges import check_ranges
from nwbswitch.analysis.access.byte_source import ByteRange
from nwbswitch.schemas.errors import InputFileError

_Stamp = tuple[int, int, int, int]


class LocalBytes:
    """A file that is open for reading; threads may share it.

    Raises
    ------
    InputFileError
        When it is not there, is no file, cannot be read, or was changed or replaced since it was opened.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise InputFileError(self.path, "is not there." if not self.path.exists() else "is not a file.")
        try:
            self._stream = self.path.open("rb", buffering=0)
        except OSError as error:
            raise InputFileError(self.path, f"cannot be read: {error.strerror}.") from error
        self._stamp = _stamp(os.fstat(self._stream.fileno()))
        self._turn = threading.Lock()

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    @property
    def size(self) -> int:
        """Length of the file, bytes."""
        return self._stamp[0]

    @property
    def changed_ns(self) -> int:
        """Time of its last change."""
        return self._stamp[1]

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``."""
        return self.read_many([(offset, length)])[0]

    def read_many(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Return the bytes of every range, in the order given."""
        check_ranges(ranges, size=self.size, name=self.name)
        try:
            found = [self._read(offset, length) for offset, length in ranges]
        except OSError as error:
            raise InputFileError(self.path, f"cannot be read: {error.strerror or error}.") from error
        self.check_unchanged()
        return found

    def check_unchanged(self) -> None:
        """Refuse the file when another one, or another version, stands at its path.

        Raises
        ------
        InputFileError
            Saying so.
        """
        try:
            now = _stamp(self.path.stat())
        except OSError as error:
            raise InputFileError(self.path, "is no longer there; it was being read.") from error
        if now != self._stamp:
            raise InputFileError(
                self.path, "changed while it was read.", "Read it again when nothing writes to it."
            )

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _read(self, offset: int, length: int) -> bytes:
        pieces: list[bytes] = []
        while length > 0 and (piece := self._piece(offset, length)):
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        if length > 0:
            self.check_unchanged()
            raise InputFileError(self.path, f"ends early, at byte {offset}.")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _piece(self, offset: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._stream.fileno(), length, offset)
        with self._turn:  # where files have no reading at a place, such as Windows
            self._stream.seek(offset)
            return self._stream.read(length)


def _stamp(found: os.stat_result) -> _Stamp:
    return found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev
