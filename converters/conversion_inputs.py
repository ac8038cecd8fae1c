"""Digests of input files, computed beside the writing that reads the same files."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from nwbswitch.converters.conversion_files import Input
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.files import digest, sha256_file

# How far the digest may run ahead of the writing: as much as any system keeps in its cache, so that each
# file comes from its disk, or over the network, once.
LEAD_BYTES = 256 << 20
_ENDING_S = 5.0


class FileState(BaseModel):
    """A file or folder as it was: name, size in bytes, time of its last change and SHA-256.

    A SHA-256 that is empty stands for content that nothing was copied from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path, *, name: str) -> FileState:
        """Return the present state of a file, or of a folder with all below it; reads all of it."""
        size, mtime_ns = size_and_time(path)
        return cls(name=name, size=size, mtime_ns=mtime_ns, sha256=content_digest(path))

    def at_a_glance(self, path: Path) -> bool | None:
        """Whether the content is the same, as far as size and time tell; None when it must be read."""
        if not path.exists():
            return False
        size, mtime_ns = size_and_time(path)
        if size != self.size:
            return False
        return True if mtime_ns == self.mtime_ns or not self.sha256 else None


def size_and_time(path: Path) -> tuple[int, int]:
    """Return size in bytes and time of the last change of a file, or of all files of a folder."""
    status = [each.stat() for each in _files(path)]
    return sum(each.st_size for each in status), max((each.st_mtime_ns for each in status), default=0)


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or that of the names and digests of all files of a folder."""
    if not path.is_dir():
        return sha256_file(path)
    return digest([[each.relative_to(path).as_posix(), sha256_file(each)] for each in _files(path)])


def _files(path: Path) -> list[Path]:
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


class _StoppedError(Exception):
    pass


class InputDigests:
    """States of input files, read in a thread of their own while the block runs.

    Parameters
    ----------
    inputs
        The files; what is not copied is not read.

    Raises
    ------
    InputFileError
        A file that is not there.
    """

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._inputs = tuple(inputs)
        self._before = [_state(each) for each in self._inputs]
        self._total = sum(each.size for each, one in zip(self._before, inputs, strict=True) if one.copied)
        self._allowed: float = LEAD_BYTES
        self._read = 0
        self._changed = threading.Condition()
        self._found: list[str] = []
        self._error: Exception | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="digest", daemon=True)

    @property
    def size(self) -> int:
        """Bytes to be read."""
        return self._total

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        # A server that no longer answers must not hold up the end.
        self._thread.join(_ENDING_S)

    def follow(self, done: int, total: int) -> None:
        """Let the reading go on to a little beyond the part ``done / total`` of all bytes."""
        with self._changed:
            self._allowed = LEAD_BYTES + self._total * (done / total if total else 1.0)
            self._changed.notify()

    def states(self) -> tuple[FileState, ...]:
        """Read what is left and return the state of every file.

        Raises
        ------
        InputFileError
            A file that changed meanwhile, or cannot be read.
        """
        with self._changed:
            self._allowed = float("inf")
            self._changed.notify()
        self._thread.join()
        if self._error is not None:
            raise self._error
        for one, before in zip(self._inputs, self._before, strict=True):
            if _state(one) != before:
                raise InputFileError(
                    one.path, "changed while it was read.", "Wait until it is copied, then convert again."
                )
        return tuple(
            before.model_copy(update={"sha256": sha256})
            for before, sha256 in zip(self._before, self._found, strict=True)
        )

    def _run(self) -> None:
        try:
            for each in self._inputs:
                self._found.append(sha256_file(each.path, before=self._wait) if each.copied else "")
        except _StoppedError:
            pass
        except Exception as error:
            self._error = error

    def _wait(self, n_bytes: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._read < self._allowed)
            if self._stopped:
                raise _StoppedError
            self._read += n_bytes


def _state(one: Input) -> FileState:
    if not one.path.is_file():
        raise InputFileError(one.path, "is not there.")
    size, mtime_ns = size_and_time(one.path)
    return FileState(name=one.name, size=size, mtime_ns=mtime_ns, sha256="")
