"""Where the pages of a TIFF file are: its chain of directories, read without decoding a pixel.

tifffile keeps an object per page, which takes minutes and gigabytes for the half million pages of an hour of
imaging; here a page takes 26 bytes and some microseconds. Field layouts follow the TIFF 6.0 specification
(Aldus 1992) and the BigTIFF design (libtiff).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

MAX_PAGES = 10_000_000
MAX_TAGS = 4096
IN_PIECES = -1
"""Start of a page whose pixels are not stored in one strip."""

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _DESCRIPTION = 256, 257, 258, 259, 262, 270
_FILL_ORDER, _SAMPLES, _STRIP_OFFSETS, _STRIP_BYTES = 266, 277, 273, 279
_PREDICTOR, _TILE_WIDTH, _TILE_OFFSETS, _TILE_BYTES, _SAMPLE_FORMAT = 317, 322, 324, 325, 339
_LAYOUT = (
    _WIDTH,
    _LENGTH,
    _BITS,
    _COMPRESSION,
    _PHOTOMETRIC,
    _FILL_ORDER,
    _SAMPLES,
    _PREDICTOR,
    _TILE_WIDTH,
    _SAMPLE_FORMAT,
)
_DEFAULTS = {_BITS: 1, _COMPRESSION: 1, _FILL_ORDER: 1, _SAMPLES: 1, _PREDICTOR: 1, _SAMPLE_FORMAT: 1}
# Field types of TIFF 6.0 and BigTIFF that hold whole numbers or bytes, and their sizes.
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_WHOLE = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_AHEAD = 2048
_NOTE_BYTES = 2048

Note = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class PageLayout:
    """How the pixels of a page are stored; a tag that is absent has its default, or 0."""

    width: int
    height: int
    bits: int
    compression: int
    photometric: int
    fill_order: int
    samples: int
    predictor: int
    tile_width: int
    sample_format: int

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels of a page without compression."""
        return (self.width * self.samples * self.bits + 7) // 8 * self.height


@dataclass(frozen=True, slots=True)
class PageTable:
    """The pages of a file.

    Attributes
    ----------
    order
        Byte order, ``<`` or ``>``.
    big
        Whether it is a BigTIFF.
    directories
        Position of the directory of each page (n,).
    starts, sizes
        Position and bytes of the pixels of each page (n,); `IN_PIECES` and 0 when there are several strips.
    kinds
        Number of the layout of each page (n,).
    layouts
        The layouts that occur.
    """

    order: str
    big: bool
    directories: NDArray[np.uint64]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    kinds: NDArray[np.uint16]
    layouts: tuple[PageLayout, ...]

    def __len__(self) -> int:
        return len(self.directories)


@dataclass(frozen=True, slots=True)
class Directory:
    """The tags of one page: code to type, count and value or position of the values."""

    order: str
    big: bool
    tags: dict[int, tuple[int, int, bytes]]

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
        if kind not in _WHOLE:
            raise ValueError(f"tag {code} has type {kind}, which is no whole number")
        raw = self._bytes(stream, _SIZES[kind] * count, field)
        return np.frombuffer(raw, f"{self.order}{_WHOLE[kind]}").astype(np.int64)

    def text(self, stream: FileIO, code: int, *, limit: int) -> bytes:
        """Return up to ``limit`` bytes of a tag, without its closing zeros; b"" when it is absent.

        Raises
        ------
        ValueError
            When it lies beyond the end of the file.
        """
        if code not in self.tags:
            return b""
        kind, count, field = self.tags[code]
        return self._bytes(stream, _SIZES.get(kind, 1) * count, field, limit).rstrip(b"\0")

    def _bytes(self, stream: FileIO, size: int, field: bytes, limit: int | None = None) -> bytes:
        if size <= len(field):
            return field[:size]
        (position,) = struct.unpack(f"{self.order}{'Q' if self.big else 'I'}", field)
        if position + size > _length(stream):
            raise ValueError(f"values at byte {position} lie beyond the end of the file")
        stream.seek(position)
        return stream.read(size if limit is None else min(size, limit))


def _length(stream: FileIO) -> int:
    return stream.seek(0, 2)


@dataclass(frozen=True, slots=True)
class _Form:
    """Sizes of the fields of classic TIFF or BigTIFF."""

    order: str
    big: bool
    first: int

    @property
    def count_bytes(self) -> int:
        return 8 if self.big else 2

    @property
    def tag_bytes(self) -> int:
        return 20 if self.big else 12

    @property
    def pointer_bytes(self) -> int:
        return 8 if self.big else 4


def read_form(path: Path, stream: FileIO) -> tuple[str, bool, int]:
    """Return byte order, whether it is a BigTIFF, and the position of the first directory.

    Raises
    ------
    InputFileError
        When the file is no TIFF.
    """
    head = stream.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order and len(head) >= 8:
        (version,) = struct.unpack(f"{order}H", head[2:4])
        if version == 42:
            return order, False, struct.unpack(f"{order}I", head[4:8])[0]
        if version == 43 and len(head) == 16 and struct.unpack(f"{order}HH", head[4:8]) == (8, 0):
            return order, True, struct.unpack(f"{order}Q", head[8:16])[0]
    problem = "the file is empty." if not head else "it is not a TIFF file: its header is another one."
    raise InputFileError(path, problem, "Copy or export it again.")


def read_directory(path: Path, stream: FileIO, position: int, *, order: str, big: bool) -> Directory:
    """Return the tags of the directory at ``position``."""
    form = _Form(order, big, position)
    block, n_tags = _block(path, stream, form, position, page=None)
    values = _entries(form, n_tags).unpack_from(block, form.count_bytes)
    return _directory(form, values)


def read_page_table(
    path: Path, stream: FileIO, *, note: Note | None = None, limit: int | None = None
) -> PageTable:
    """Follow the chain of directories.

    Parameters
    ----------
    path
        Name for errors.
    stream
        The open file, unbuffered.
    note
        Called with the beginning (2 kB) of the description of every page, in order.
    limit
        Stop after so many pages.

    Raises
    ------
    InputFileError
        The file is no TIFF, or its chain of pages is damaged: a page beyond the end of the file, a circle, a
        directory without tags.
    UnsafeFileError
        More pages than ten million.
    """
    stream.seek(0)
    form = _Form(*read_form(path, stream))
    return _Walk(path, stream, form, note).table(limit)


class _Walk:
    """One walk along the chain; what is the same on each page is looked up once."""

    def __init__(self, path: Path, stream: FileIO, form: _Form, note: Note | None) -> None:
        self.path, self.stream, self.form, self.note = path, stream, form, note
        self.size = _length(stream)
        self.directories = array("Q")
        self.starts = array("q")
        self.sizes = array("q")
        self.kinds = array("H")
        self.layouts: dict[PageLayout, int] = {}
        self._known: dict[tuple[Any, ...], _Pattern] = {}

    def table(self, limit: int | None) -> PageTable:
        position, highest, passed = self.form.first, -1, None
        while position and (limit is None or len(self.directories) < limit):
            if position <= highest:
                # Directories out of order are legal; only then does it take a set to tell a circle.
                passed = set(self.directories) if passed is None else passed
                if position in passed:
                    raise self._damaged(f"page {len(self.directories) + 1} is an earlier page again")
            if passed is not None:
                passed.add(position)
            highest = max(highest, position)
            if len(self.directories) >= MAX_PAGES:
                raise UnsafeFileError(self.path, f"has more than {MAX_PAGES} pages.", "Split the file.")
            position = self._page(position)
        if not self.directories:
            raise InputFileError(self.path, "the TIFF holds no pages.", "Export the movie again.")
        return PageTable(
            self.form.order,
            self.form.big,
            np.frombuffer(self.directories, np.uint64),
            np.frombuffer(self.starts, np.int64),
            np.frombuffer(self.sizes, np.int64),
            np.frombuffer(self.kinds, np.uint16),
            tuple(self.layouts),
        )

    def _page(self, position: int) -> int:
        """Take one page and return the position of the next."""
        form = self.form
        page = len(self.directories)
        block, n_tags = _block(self.path, self.stream, form, position, page=page + 1, size=self.size)
        values = _entries(form, n_tags).unpack_from(block, form.count_bytes)
        codes = values[0::4]
        pattern = self._known.get(codes)
        if pattern is None or pattern.same(values) != pattern.reference:
            pattern = self._known[codes] = _Pattern(self, values)
        start, size = pattern.strip(self, values)
        self.directories.append(position)
        self.starts.append(start)
        self.sizes.append(size)
        self.kinds.append(pattern.kind)
        if self.note is not None:
            self.note(self._description(block, position, values, pattern))
        end = form.count_bytes + n_tags * form.tag_bytes
        pointer = block[end : end + form.pointer_bytes]
        following: int = struct.unpack(f"{form.order}{'Q' if form.big else 'I'}", pointer)[0]
        if following >= self.size:
            raise self._damaged(f"page {page + 2} would be at byte {following}, the file ends at {self.size}")
        return following

    def _description(self, block: bytes, position: int, values: tuple[Any, ...], pattern: _Pattern) -> bytes:
        if pattern.described is None:
            return b""
        count, field = values[pattern.described + 2 : pattern.described + 4]
        count = min(count, _NOTE_BYTES)
        if count <= len(field):
            return bytes(field[:count])
        (there,) = struct.unpack(f"{self.form.order}{'Q' if self.form.big else 'I'}", field)
        if position <= there and there + count <= position + len(block):
            return block[there - position : there - position + count]
        if there + count > self.size:
            raise self._damaged(f"the description of page {len(self.directories)} is not there")
        self.stream.seek(there)
        return self.stream.read(count)

    def layout(self, values: tuple[Any, ...]) -> int:
        """Return the number of the layout that the tags of a page state."""
        directory = _directory(self.form, values)
        found = {}
        for code in _LAYOUT:
            try:
                numbers = directory.numbers(self.stream, code)
            except ValueError as error:
                raise self._damaged(f"page {len(self.directories) + 1}: {error}") from error
            found[code] = int(numbers[0]) if numbers.size else _DEFAULTS.get(code, 0)
        made = PageLayout(*(found[code] for code in _LAYOUT))
        if len(self.layouts) >= np.iinfo(np.uint16).max:
            raise UnsafeFileError(self.path, "has pages of too many shapes.", "A movie has equal pages.")
        return self.layouts.setdefault(made, len(self.layouts))

    def _damaged(self, reason: str) -> InputFileError:
        return _damaged(self.path, reason)


class _Pattern:
    """A directory as the last one was: where in it the tags are that vary, and what the others say."""

    def __init__(self, walk: _Walk, values: tuple[Any, ...]) -> None:
        codes = list(values[0::4])
        fields = [4 * codes.index(code) + part for code in _LAYOUT if code in codes for part in (1, 2, 3)]
        self.same = itemgetter(*fields) if len(fields) > 1 else (lambda each: ())
        self.reference = self.same(values)
        self.kind = walk.layout(values)
        self.described = 4 * codes.index(_DESCRIPTION) if _DESCRIPTION in codes else None
        tiled = _TILE_OFFSETS in codes
        pair = (_TILE_OFFSETS, _TILE_BYTES) if tiled else (_STRIP_OFFSETS, _STRIP_BYTES)
        self._at = tuple(4 * codes.index(code) if code in codes else None for code in pair)
        self._tiled = tiled
        self._whole = struct.Struct(f"{walk.form.order}{'Q' if walk.form.big else 'I'}")

    def strip(self, walk: _Walk, values: tuple[Any, ...]) -> tuple[int, int]:
        """Return position and bytes of the only strip; `IN_PIECES` and 0 where there are more, or tiles."""
        offsets, counts = self._at
        if offsets is None or counts is None or self._tiled:
            return IN_PIECES, 0
        if values[offsets + 2] != 1 or values[counts + 2] != 1:
            return IN_PIECES, 0
        return self._number(walk, values, offsets), self._number(walk, values, counts)

    def _number(self, walk: _Walk, values: tuple[Any, ...], place: int) -> int:
        kind, field = values[place + 1], values[place + 3]
        if (kind == 4 and not walk.form.big) or kind == 16:
            return int(self._whole.unpack(field)[0])
        letter = _WHOLE.get(kind)
        if letter is None or _SIZES[kind] > len(field):
            raise walk._damaged(f"page {len(walk.directories) + 1} has a position of type {kind}")
        return int(struct.unpack_from(f"{walk.form.order}{letter}", field)[0])


_ENTRIES: dict[tuple[str, bool, int], struct.Struct] = {}


def _entries(form: _Form, n_tags: int) -> struct.Struct:
    """Return what unpacks all tags of a directory: code, type, count, field; code, type, ..."""
    key = (form.order, form.big, n_tags)
    if key not in _ENTRIES:
        one = "HHQ8s" if form.big else "HHI4s"
        _ENTRIES[key] = struct.Struct(form.order + one * n_tags)
    return _ENTRIES[key]


def _block(
    path: Path, stream: FileIO, form: _Form, position: int, *, page: int | None, size: int | None = None
) -> tuple[bytes, int]:
    """Return the bytes of a directory (and what follows it, up to 2 kB) and its number of tags."""
    name = "the directory" if page is None else f"page {page}"
    if position >= (_length(stream) if size is None else size):
        raise _damaged(path, f"{name} would be at byte {position}, beyond the end of the file")
    stream.seek(position)
    block = stream.read(_AHEAD)
    if len(block) < form.count_bytes:
        raise _damaged(path, f"{name} at byte {position} is cut short")
    n_tags: int = struct.unpack_from(f"{form.order}{'Q' if form.big else 'H'}", block)[0]
    if not 0 < n_tags <= MAX_TAGS:
        raise _damaged(path, f"{name} at byte {position} has {n_tags} tags")
    needed = form.count_bytes + n_tags * form.tag_bytes + form.pointer_bytes
    if len(block) < needed:
        block += stream.read(needed - len(block))
    if len(block) < needed:
        raise _damaged(path, f"{name} at byte {position} is cut short")
    return block, n_tags


def _directory(form: _Form, values: tuple[Any, ...]) -> Directory:
    tags = {
        values[place]: (values[place + 1], values[place + 2], values[place + 3])
        for place in range(0, len(values), 4)
    }
    return Directory(form.order, form.big, tags)


def _damaged(path: Path, reason: str) -> InputFileError:
    return InputFileError(path, f"the chain of pages is damaged: {reason}.", "Copy or export it again.")
