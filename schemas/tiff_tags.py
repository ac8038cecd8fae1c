"""The header and the tags of a TIFF file, read without decoding a pixel.

Field layouts follow the TIFF 6.0 specification (Aldus 1992) and the BigTIFF design (libtiff).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

MAX_TAGS = 4096
MAX_TEXT_BYTES = 256 << 20
DESCRIPTION = 270

# Sizes of the field types of TIFF 6.0 and BigTIFF, and those that hold whole numbers.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 18: 8}
WHOLE = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_AHEAD = 2048


@dataclass(frozen=True, slots=True)
class TiffForm:
    """Byte order, whether it is a BigTIFF, and the position of the first directory."""

    order: str
    big: bool
    first: int

    @property
    def count_bytes(self) -> int:
        """Size of the number of tags."""
        return 8 if self.big else 2

    @property
    def tag_bytes(self) -> int:
        """Size of a tag."""
        return 20 if self.big else 12

    @property
    def pointer_bytes(self) -> int:
        """Size of a position in the file."""
        return 8 if self.big else 4

    @property
    def pointer(self) -> struct.Struct:
        """What unpacks a position in the file."""
        return _pointer(self.order, self.big)

    def entries(self, n_tags: int) -> struct.Struct:
        """Return what unpacks all tags of a directory: code, type, count, field; code, type, ..."""
        return _entries(self.order, self.big, n_tags)


@cache
def _pointer(order: str, big: bool) -> struct.Struct:
    return struct.Struct(order + ("Q" if big else "I"))


@cache
def _entries(order: str, big: bool, n_tags: int) -> struct.Struct:
    return struct.Struct(order + ("HHQ8s" if big else "HHI4s") * n_tags)


@dataclass(frozen=True, slots=True)
class Directory:
    """The tags of one page: code to type, count, and value or position of the values."""

    form: TiffForm
    tags: dict[int, tuple[int, int, bytes]]

    @classmethod
    def of_values(cls, form: TiffForm, values: tuple[Any, ...]) -> Directory:
        """Return the directory whose tags `TiffForm.entries` unpacked."""
        places = range(0, len(values), 4)
        return cls(form, {values[place]: values[place + 1 : place + 4] for place in places})

    def count(self, code: int) -> int:
        """Return how many values a tag has; 0 when it is absent."""
        return self.tags.get(code, (0, 0, b""))[1]

    def numbers(self, stream: FileIO, code: int) -> NDArray[np.int64]:
        """Return the whole numbers of a tag (count,); none when it is absent.

        Raises
        ------
        ValueError
            When it holds something else or lies beyond the end of the file.
        """
        if code not in self.tags:
            return np.empty(0, np.int64)
        kind, count, field = self.tags[code]
        if kind not in WHOLE:
            raise ValueError(f"tag {code} has type {kind}, which is no whole number")
        raw = self._bytes(stream, SIZES[kind] * count, field)
        return np.frombuffer(raw, f"{self.form.order}{WHOLE[kind]}").astype(np.int64)

    def text(self, stream: FileIO, code: int, *, limit: int = MAX_TEXT_BYTES) -> bytes:
        """Return up to ``limit`` bytes of a tag, without its closing zeros; b"" when it is absent.

        Raises
        ------
        ValueError
            When it lies beyond the end of the file.
        """
        if code not in self.tags:
            return b""
        kind, count, field = self.tags[code]
        return self._bytes(stream, SIZES.get(kind, 1) * count, field, limit).rstrip(b"\0")

    def _bytes(self, stream: FileIO, size: int, field: bytes, limit: int | None = None) -> bytes:
        if size <= len(field):
            return field[:size]
        (position,) = self.form.pointer.unpack(field)
        if position + size > stream.seek(0, 2):
            raise ValueError(f"values at byte {position} lie beyond the end of the file")
        stream.seek(position)
        return stream.read(size if limit is None else min(size, limit))


def read_form(path: Path, stream: FileIO) -> TiffForm:
    """Return byte order and kind of a TIFF file from its header.

    Raises
    ------
    InputFileError
        When the file is no TIFF.
    """
    stream.seek(0)
    head = stream.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order and len(head) >= 8:
        (version,) = struct.unpack(f"{order}H", head[2:4])
        if version == 42:
            return TiffForm(order, False, _pointer(order, False).unpack(head[4:8])[0])
        if version == 43 and len(head) == 16 and struct.unpack(f"{order}HH", head[4:8]) == (8, 0):
            return TiffForm(order, True, _pointer(order, True).unpack(head[8:16])[0])
    problem = "the file is empty." if not head else "it is not a TIFF file: its header is another one."
    raise InputFileError(path, problem, "Copy or export it again.")


def read_block(
    path: Path, stream: FileIO, form: TiffForm, position: int, *, page: int, size: int
) -> tuple[bytes, int]:
    """Return the bytes of a directory (and what follows it, up to 2 kB) and its number of tags.

    Raises
    ------
    InputFileError
        When it is beyond ``size``, the end of the file, or is none; ``page`` is its number in the error.
    """
    name = f"page {page} at byte {position}"
    if position >= size:
        raise damaged(path, f"{name} is beyond the end of the file")
    stream.seek(position)
    block = stream.read(_AHEAD)
    if len(block) < form.count_bytes:
        raise damaged(path, f"{name} is cut short")
    n_tags: int = struct.unpack_from(f"{form.order}{'Q' if form.big else 'H'}", block)[0]
    if not 0 < n_tags <= MAX_TAGS:
        raise damaged(path, f"{name} has {n_tags} tags")
    needed = form.count_bytes + n_tags * form.tag_bytes + form.pointer_bytes
    if len(block) < needed:
        block += stream.read(needed - len(block))
    if len(block) < needed:
        raise damaged(path, f"{name} is cut short")
    return block, n_tags


def read_directory(path: Path, stream: FileIO, form: TiffForm, position: int, *, page: int = 1) -> Directory:
    """Return the tags of the directory at ``position``, of the page with the number ``page``."""
    block, n_tags = read_block(path, stream, form, position, page=page, size=stream.seek(0, 2))
    return Directory.of_values(form, form.entries(n_tags).unpack_from(block, form.count_bytes))


def first_description(path: Path) -> bytes:
    """Return the description of the first page of a file, b"" where there is none.

    Raises
    ------
    InputFileError
        When the file is no TIFF, or damaged.
    UnsafeFileError
        When the description has more than 256 MiB.
    """
    try:
        with FileIO(path) as stream:
            form = read_form(path, stream)
            directory = read_directory(path, stream, form, form.first)
            if directory.count(DESCRIPTION) > MAX_TEXT_BYTES:
                raise UnsafeFileError(path, f"has a description of more than {MAX_TEXT_BYTES} bytes.")
            return directory.text(stream, DESCRIPTION)
    except OSError as error:
        raise InputFileError(path, f"cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise damaged(path, f"page 1: {error}") from error


def damaged(path: Path, reason: str) -> InputFileError:
    """Return the error of a file whose directories cannot be followed."""
    return InputFileError(path, f"the chain of pages is damaged: {reason}.", "Copy or export it again.")
