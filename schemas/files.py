"""Files that appear whole or not at all, and digests that tell one content from another."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from filecmp import cmp
from pathlib import Path, PurePath
from typing import Any

from nwbswitch.schemas.errors import InputFileError

_CHUNK = 1 << 20
PARTIAL = ".partial-"
_PARTIAL_NAME = re.compile(rf"{re.escape(PARTIAL)}[0-9a-f]{{8}}-.+")
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def replaced(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` on success, remove it on any error.

    What is made there may be a file or a folder. A file that is there with the same bytes stays as it is,
    date included.

    The suffix is kept (``sub-a.nwb`` is written as ``.partial-1f3a5b7c-sub-a.nwb``), since some writers
    choose their format by it. Missing parent folders are made.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(final)
    try:
        yield partial
        _to_disk(partial)
        if final.is_dir() or partial.is_dir():
            _swap(partial, final)
        elif not (final.is_file() and cmp(partial, final, shallow=False)):
            partial.replace(final)
    except OSError as error:
        # A full disk is told without the file.
        error.filename = error.filename or str(final)
        raise
    finally:
        _remove(partial)


def _partial(final: Path) -> Path:
    return final.with_name(f"{PARTIAL}{secrets.token_hex(4)}-{final.name}")


def _to_disk(path: Path) -> None:
    for each in (each for each in path.rglob("*") if each.is_file()) if path.is_dir() else (path,):
        with each.open("rb+") as stream:
            os.fsync(stream.fileno())


def _swap(partial: Path, final: Path) -> None:
    """Rename, where a folder is in the way or is what is renamed; a kill in between leaves no ``final``."""
    old = _partial(final)
    if final.exists():
        final.rename(old)
    try:
        partial.rename(final)
    except BaseException:
        if old.exists():
            old.rename(final)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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
    for parent, folders, files in os.walk(folder):
        left = [name for name in folders if _PARTIAL_NAME.fullmatch(name)]
        for name in left:
            shutil.rmtree(Path(parent, name), ignore_errors=True)
        for name in files:
            if name.startswith(PARTIAL):
                Path(parent, name).unlink(missing_ok=True)
        # A Zarr store holds one file per chunk, and nothing of ours.
        folders[:] = [name for name in folders if name not in left and not name.endswith(".zarr")]


def free_bytes(folder: Path | str) -> int:
    """Return the free space, in bytes, of the disk that holds a folder or will hold it."""
    there = Path(folder).absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


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


def sha256_file(path: Path | str, *, before: Callable[[int], None] = lambda n_bytes: None) -> str:
    """Return the SHA-256 of a file's bytes as hex digits, reading 1 MiB at a time.

    Parameters
    ----------
    path
        The file.
    before
        Called with the number of bytes that are read next; it may wait, or raise to stop.

    Raises
    ------
    InputFileError
        When it is no regular file: a device or a pipe may never end.
    """
    if not Path(path).is_file():
        raise InputFileError(path, "is not a file." if Path(path).exists() else "is not there.")
    digest_ = hashlib.sha256()
    with Path(path).open("rb", buffering=0) as stream:
        before(_CHUNK)
        while chunk := stream.read(_CHUNK):
            digest_.update(chunk)
            before(_CHUNK)
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
