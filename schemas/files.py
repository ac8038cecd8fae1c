"""Files that appear whole or not at all, and digests that tell one content from another."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from filecmp import cmp
from pathlib import Path, PurePath
from typing import Any

from nwbswitch.schemas.errors import InputFileError

_CHUNK = 1 << 20
PARTIAL = ".partial-"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def replaced(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` on success, remove it on any error.

    A file that is there with the same bytes stays as it is, date included.

    The suffix is kept (``sub-a.nwb`` is written as ``.partial-1f3a-sub-a.nwb``), since some writers choose
    their format by it. Missing parent folders are made.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f"{PARTIAL}{secrets.token_hex(4)}-{final.name}")
    try:
        yield partial
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        if not (final.is_file() and cmp(partial, final, shallow=False)):
            partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)


def require_writable(path: Path | str) -> None:
    """Raise unless ``path`` can be written: asked before long work, so that none is done in vain.

    Raises
    ------
    InputFileError
        If the folder, or the nearest one that is there, may not be written or is a file.
    """
    folder = Path(path).absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise InputFileError(path, f"cannot be written: {folder} is a file.", "Choose another name.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputFileError(path, f"cannot be written: no permission in {folder}.", "Choose another folder.")


def remove_partials(folder: Path) -> None:
    """Remove what a killed run left below ``folder``."""
    for leftover in folder.rglob(f"{PARTIAL}*"):
        if leftover.is_file():
            leftover.unlink(missing_ok=True)


@contextmanager
def locked(path: Path | str) -> Iterator[None]:
    """Hold the file ``path`` for this process alone; the system lets go of it however the process ends.

    The file stays, empty. On a file system without locks nothing is held.

    Raises
    ------
    BlockingIOError
        When another process holds it.
    OSError
        When the file cannot be made.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("ab") as stream:
        try:
            _lock(stream.fileno())
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from error
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def sha256_file(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes as hex digits, reading 1 MiB at a time.

    Raises
    ------
    InputFileError
        When it is no regular file: a device or a pipe may never end.
    """
    if not Path(path).is_file():
        raise InputFileError(path, "is not a file." if Path(path).exists() else "is not there.")
    digest_ = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest_.update(chunk)
    return digest_.hexdigest()


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON-like value, independent of the order of keys.

    Raises
    ------
    TypeError
        For an object whose text would not tell it from others or differs between runs.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return JSON values for what `json` does not know, without loss."""
    if isinstance(value, PurePath | date):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON-like value")


def write_json(path: Path | str, value: Any) -> None:
    """Write a value as readable JSON, atomically; NaN and infinities become null."""
    with replaced(path) as partial:
        # Names of files may hold bytes that are no UTF-8; JSON writes them as the same escapes.
        partial.write_text(to_json(value) + "\n", encoding="utf-8", errors="backslashreplace")


def to_json(value: Any) -> str:
    """Return a value as readable JSON; NaN and infinities become null, NumPy scalars plain numbers."""
    return json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        return _finite(value.tolist())
    return value
