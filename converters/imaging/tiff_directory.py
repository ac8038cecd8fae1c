"""Where the pages of a TIFF file are: its chain of directories, followed without decoding a pixel.

tifffile keeps an object per page, which takes minutes and gigabytes for the half million pages of an hour of
imaging; here a page takes 26 bytes and some microseconds.
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
from nwbswitch.schemas.tiff_tags import (
    DESCRIPTION,
    SIZES,
    WHOLE,
    Directory,
    TiffForm,
    damaged,
    read_block,
    read_form,
)

MAX_PAGES = 10_000_000
IN_PIECES = -1
"""Start of a page whose pixels are not stored in one strip."""

_STRIP_OFFSETS, _STRIP_BYTES, _TILE_OFFSETS = 273, 279, 324
_LAYOUT = {
    256: 0,  # width
    257: 0,  # height
    258: 1,  # bits
    259: 1,  # compression
    262: 0,  # photometric interpretation
    266: 1,  # fill order
    277: 1,  # samples per pixel
    317: 1,  # predictor
    322: 0,  # width of tiles
    339: 1,  # sample format
}
"""Tags that make up a layout, in the order of `PageLayout`, and their values where they are absent."""
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
    form
        Byte order and kind of the file.
    directories
        Position of the directory of each page (n,).
    starts, sizes
        Position and bytes of the pixels of each page (n,); `IN_PIECES` and 0 when there are several strips.
    kinds
        Number of the layout of each page (n,).
    layouts
        The layouts that occur.
    """

    form: TiffForm
    directories: NDArray[np.uint64]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    kinds: NDArray[np.uint16]
    layouts: tuple[PageLayout, ...]

    def __len__(self) -> int:
        return len(self.directories)


def read_page_table(
    path: Path, stream: FileIO, *, note: Note | None = None, limit: int | None = None
) -> PageTable:
    """Follow the chain of directories.

    Parameters
    ----------
    path
        Name for errors.
    stream
        The open file.
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
    return _Walk(path, stream, read_form(path, stream), note).table(limit)


class _Walk:
    """One walk along the chain; what is the same on each page is looked up once."""

    def __init__(self, path: Path, stream: FileIO, form: TiffForm, note: Note | None) -> None:
        self.path, self.stream, self.form, self.note = path, stream, form, note
        self.size = stream.seek(0, 2)
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
                    raise damaged(self.path, f"page {len(self.directories) + 1} is an earlier page again")
            if passed is not None:
                passed.add(position)
            highest = max(highest, position)
            if len(self.directories) >= MAX_PAGES:
                raise UnsafeFileError(self.path, f"has more than {MAX_PAGES} pages.", "Split the file.")
            position = self._page(position)
        if not self.directories:
            raise InputFileError(self.path, "the TIFF holds no pages.", "Export the movie again.")
        return PageTable(
            self.form,
            np.frombuffer(self.directories, np.uint64),
            np.frombuffer(self.starts, np.int64),
            np.frombuffer(self.sizes, np.int64),
            np.frombuffer(self.kinds, np.uint16),
            tuple(self.layouts),
        )

    def _page(self, position: int) -> int:
        """Take one page and return the position of the next."""
        form = self.form
        page = len(self.directories) + 1
        block, n_tags = read_block(self.path, self.stream, form, position, page=page, size=self.size)
        values = form.entries(n_tags).unpack_from(block, form.count_bytes)
        codes = values[0::4]
        pattern = self._known.get(codes)
        if pattern is None or pattern.fixed(values) != pattern.reference:
            pattern = self._known[codes] = _Pattern(self, values)
        start, size = pattern.strip(self, values)
        self.directories.append(position)
        self.starts.append(start)
        self.sizes.append(size)
        self.kinds.append(pattern.kind)
        if self.note is not None:
            self.note(self._description(block, position, values, pattern))
        following: int = form.pointer.unpack_from(block, form.count_bytes + n_tags * form.tag_bytes)[0]
        if following >= self.size:
            raise damaged(
                self.path, f"page {page + 1} would be at byte {following}, the file ends at {self.size}"
            )
        return following

    def _description(self, block: bytes, position: int, values: tuple[Any, ...], pattern: _Pattern) -> bytes:
        if pattern.described is None:
            return b""
        count, field = values[pattern.described + 2 : pattern.described + 4]
        count = min(count, _NOTE_BYTES)
        if count <= len(field):
            return bytes(field[:count])
        (there,) = self.form.pointer.unpack(field)
        if position <= there and there + count <= position + len(block):
            return block[there - position : there - position + count]
        if there + count > self.size:
            raise damaged(self.path, f"the description of page {len(self.directories)} is not there")
        self.stream.seek(there)
        return self.stream.read(count)

    def layout(self, values: tuple[Any, ...]) -> int:
        """Return the number of the layout that the tags of a page state."""
        directory = Directory.of_values(self.form, values)
        found = []
        for code, default in _LAYOUT.items():
            try:
                numbers = directory.numbers(self.stream, code)
            except ValueError as error:
                raise damaged(self.path, f"page {len(self.directories) + 1}: {error}") from error
            found.append(int(numbers[0]) if numbers.size else default)
        if len(self.layouts) >= np.iinfo(np.uint16).max:
            raise UnsafeFileError(self.path, "has pages of too many shapes.", "A movie has equal pages.")
        return self.layouts.setdefault(PageLayout(*found), len(self.layouts))


class _Pattern:
    """A directory as the last one was: where in it the tags are that vary, and what the others say."""

    def __init__(self, walk: _Walk, values: tuple[Any, ...]) -> None:
        codes = list(values[0::4])
        fields = [4 * codes.index(code) + part for code in _LAYOUT if code in codes for part in (1, 2, 3)]
        self.fixed = itemgetter(*fields) if fields else (lambda each: ())
        self.reference = self.fixed(values)
        self.kind = walk.layout(values)
        self.described = 4 * codes.index(DESCRIPTION) if DESCRIPTION in codes else None
        self._places: tuple[int, int] | None = None
        if {_STRIP_OFFSETS, _STRIP_BYTES} <= set(codes) and _TILE_OFFSETS not in codes:
            self._places = (4 * codes.index(_STRIP_OFFSETS), 4 * codes.index(_STRIP_BYTES))

    def strip(self, walk: _Walk, values: tuple[Any, ...]) -> tuple[int, int]:
        """Return position and bytes of the only strip; `IN_PIECES` and 0 where there are more, or tiles."""
        if self._places is None:
            return IN_PIECES, 0
        offsets, counts = self._places
        if values[offsets + 2] != 1 or values[counts + 2] != 1:
            return IN_PIECES, 0
        return self._number(walk, values, offsets), self._number(walk, values, counts)

    def _number(self, walk: _Walk, values: tuple[Any, ...], place: int) -> int:
        kind, field = values[place + 1], values[place + 3]
        if kind == (16 if walk.form.big else 4):
            return int(walk.form.pointer.unpack(field)[0])
        if kind not in WHOLE or SIZES[kind] > len(field):
            raise damaged(walk.path, f"page {len(walk.directories) + 1} has a position of type {kind}")
        return int(struct.unpack_from(f"{walk.form.order}{WHOLE[kind]}", field)[0])
