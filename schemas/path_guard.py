"""Paths that stay where they must: below one folder, also after links are followed."""

from __future__ import annotations

from pathlib import Path

from nwbswitch.schemas.errors import UnsafeFileError

_SHOWN = 200


def inside(root: Path | str, path: Path | str) -> Path:
    """Return ``path``, taken relative to ``root``, as an absolute path without links; it may not exist yet.

    Raises
    ------
    UnsafeFileError
        When the path leaves ``root`` by ``..``, as an absolute path or through a symbolic link, or is none.
    """
    folder = Path(root).resolve()
    if "\0" in str(path):
        raise UnsafeFileError(str(path).replace("\0", "\\0"), "is not a path: it holds a NUL byte.")
    try:
        found = (folder / path).resolve()
        found.exists()
    except RuntimeError as error:
        raise UnsafeFileError(path, "cannot be followed: its links form a circle.") from error
    except OSError as error:
        raise UnsafeFileError(str(path)[:_SHOWN], f"cannot be used: {error.strerror or error}.") from error
    if not found.is_relative_to(folder):
        raise UnsafeFileError(
            path,
            f"leads out of the folder {folder}.",
            "Name a file below that folder, without links out of it.",
        )
    return found
