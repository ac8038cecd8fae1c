"""Bytes of frames read from where they lie: the file is not mapped, so its pages never fill the memory."""

from __future__ import annotations

from io import FileIO
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nwbswitch.schemas.errors import InputFileError


def open_raw(path: Path) -> FileIO:
    """Open a binary file.

    Raises
    ------
    InputFileError
        When it is not there or cannot be read.
    """
    if not path.is_file():
        raise InputFileError(path, "is not there." if not path.exists() else "is not a file.")
    try:
        return FileIO(path, "r")
    except OSError as error:
        raise InputFileError(path, f"cannot be read: {error.strerror or error}.") from error


def read_into(stream: FileIO, path: Path, offset: int, out: NDArray[Any]) -> None:
    """Fill a contiguous array with the bytes from ``offset`` on.

    Raises
    ------
    InputFileError
        When the file ends before, or the disk does not give the bytes.
    """
    if not out.size:
        return
    view = memoryview(out.data).cast("B")
    done = 0
    try:
        stream.seek(offset)
        while done < len(view):
            got = stream.readinto(view[done:])
            if not got:
                raise InputFileError(
                    path,
                    f"ends at byte {offset + done}, within a frame that was there when it was opened.",
                    "It may be changing while it is read; copy it again.",
                )
            done += got
    except OSError as error:
        raise InputFileError(path, f"cannot be read: {error.strerror or error}.") from error
