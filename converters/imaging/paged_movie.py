"""Movies whose frames are pages of TIFF files: which page holds which plane of which frame."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.imaging.movie import MovieShape
from nwbswitch.converters.imaging.tiff_pages import TiffPages
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

MAX_VOLUME_BYTES = 2 << 30
_KEPT = 64

Numbers = NDArray[np.int64]


class PageFiles:
    """TIFF files with equal pages; each is examined when it is first needed.

    Parameters
    ----------
    paths
        The files.
    opened
        Those that are open already, kept for good; of the others the tables of the last 64 are kept.
    """

    def __init__(self, paths: Sequence[Path], *, opened: Sequence[TiffPages] = ()) -> None:
        self.paths = tuple(paths)
        self._opened = dict(enumerate(opened))
        self._recent: OrderedDict[int, TiffPages] = OrderedDict()
        self.first = self[0]
        for number in range(1, len(opened)):
            self._check(opened[number])

    def __getitem__(self, number: int) -> TiffPages:
        if number in self._opened:
            return self._opened[number]
        if number in self._recent:
            self._recent.move_to_end(number)
            return self._recent[number]
        pages = TiffPages(self.paths[number])
        if number:
            self._check(pages)
        while len(self._recent) >= _KEPT:
            self._recent.popitem(last=False)[1].close()
        self._recent[number] = pages
        return pages

    def _check(self, pages: TiffPages) -> None:
        mine, first = (_words(each) for each in (pages, self.first))
        if mine != first:
            pages.close()
            raise InputFileError(
                pages.path,
                f"has pages of {mine}, {self.first.path.name} has {first}.",
                "Files of one movie have equal pages.",
            )

    def read(self, files: Numbers, pages: Numbers, *, rows: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return images (n, height, width) by number of the file and of the page in it, both (n,)."""
        cuts = np.flatnonzero(np.diff(files)) + 1
        blocks = []
        for part in np.split(np.arange(len(files)), cuts):
            source = self[int(files[part[0]])]
            wanted = pages[part]
            if wanted.max() >= source.n_pages:
                raise InputFileError(
                    source.path,
                    f"has {source.n_pages} pages, page {wanted.max() + 1} should be there.",
                    "The file may be cut short; copy or export it again.",
                )
            blocks.append(source.read(wanted, rows=rows))
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def close(self) -> None:
        """Close all files."""
        for each in (*self._opened.values(), *self._recent.values()):
            each.close()


def _words(pages: TiffPages) -> str:
    return f"{pages.height}x{pages.width} {pages.dtype}"


class PageOrder(Protocol):
    """Where the planes of each frame are."""

    @property
    def n_frames(self) -> int:
        """Number of frames."""

    @property
    def n_planes(self) -> int:
        """Number of planes of each frame."""

    def at(self, start: int, stop: int) -> tuple[Numbers, Numbers]:
        """Return file and page of each plane of frames ``start`` to ``stop``, both (frames, planes)."""


@dataclass(frozen=True, slots=True)
class RegularOrder:
    """Pages in a fixed rhythm, counted across the files: first + frame * frame_step + plane * plane_step.

    ``ends`` are the numbers of pages up to the end of each file (files,).
    """

    n_frames: int
    n_planes: int
    first: int
    frame_step: int
    plane_step: int
    ends: Numbers

    def numbers(self, start: int, stop: int) -> Numbers:
        """Return the page of each plane of frames ``start`` to ``stop``, (frames, planes)."""
        frames = np.arange(start, stop, dtype=np.int64)[:, None]
        planes = np.arange(self.n_planes, dtype=np.int64)
        return self.first + frames * self.frame_step + planes * self.plane_step

    def at(self, start: int, stop: int) -> tuple[Numbers, Numbers]:
        """Return file and page of each plane of frames ``start`` to ``stop``, both (frames, planes)."""
        return _located(self.numbers(start, stop), self.ends)


@dataclass(frozen=True, slots=True)
class ListedOrder:
    """Pages one by one, counted across the files: (frames, planes), and the ends of the files (files,)."""

    pages: Numbers
    ends: Numbers

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self.pages.shape[0])

    @property
    def n_planes(self) -> int:
        """Number of planes of each frame."""
        return int(self.pages.shape[1])

    def numbers(self, start: int, stop: int) -> Numbers:
        """Return the page of each plane of frames ``start`` to ``stop``, (frames, planes)."""
        return self.pages[start:stop]

    def at(self, start: int, stop: int) -> tuple[Numbers, Numbers]:
        """Return file and page of each plane of frames ``start`` to ``stop``, both (frames, planes)."""
        return _located(self.numbers(start, stop), self.ends)


def _located(pages: Numbers, ends: Numbers) -> tuple[Numbers, Numbers]:
    """Return the file of each page, and its number in that file."""
    files = np.searchsorted(ends, pages, side="right")
    before = np.concatenate([[0], ends[:-1]])
    return files, pages - before[files]


@dataclass(frozen=True, slots=True)
class TableOrder:
    """Pages as a table states them: number of the file and page in it, both (frames, planes)."""

    files: NDArray[np.integer[Any]]
    pages: NDArray[np.integer[Any]]

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self.files.shape[0])

    @property
    def n_planes(self) -> int:
        """Number of planes of each frame."""
        return int(self.files.shape[1])

    def at(self, start: int, stop: int) -> tuple[Numbers, Numbers]:
        """Return file and page of each plane of frames ``start`` to ``stop``, both (frames, planes)."""
        return self.files[start:stop].astype(np.int64), self.pages[start:stop].astype(np.int64)


@dataclass(frozen=True, slots=True)
class Crop:
    """The part of each page that belongs to the movie: rows from ``top``, columns from ``left``."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Stated:
    """What files state of a movie; None where they do not.

    Attributes
    ----------
    rate_hz
        Frame (volume) rate, Hz.
    started
        When the first frame was taken.
    frame_times_s
        Time of each frame (n_frames,), s.
    pixel_size_um
        Size of a pixel along x and y, um.
    """

    rate_hz: float | None = None
    started: datetime | None = None
    frame_times_s: NDArray[np.float64] | None = None
    pixel_size_um: tuple[float, float] | None = None


class PagedMovie:
    """A movie made of pages of TIFF files.

    Parameters
    ----------
    files
        The files.
    order
        Which page holds which plane of which frame.
    stated
        What the files state besides.
    crops
        The part of a page that is used, for each plane; all of it by default.

    Raises
    ------
    UnsafeFileError
        When a frame with all its planes takes more than 2 GiB.
    """

    def __init__(
        self, files: PageFiles, order: PageOrder, *, stated: Stated | None = None, crops: Sequence[Crop] = ()
    ) -> None:
        first = files.first
        self.files = files
        self._order = order
        self._crops = tuple(crops)
        height, width = (crops[0].height, crops[0].width) if crops else (first.height, first.width)
        self.shape = MovieShape(order.n_frames, height, width, first.dtype, order.n_planes)
        self._stated = stated or Stated()
        if self.shape.frame_bytes > MAX_VOLUME_BYTES:
            raise UnsafeFileError(
                first.path,
                f"has volumes of {self.shape.frame_bytes} bytes; at most {MAX_VOLUME_BYTES} are read.",
                "Convert its planes one by one (plane: 1, 2, ...).",
            )

    @property
    def rate_hz(self) -> float | None:
        """Frame (volume) rate, Hz."""
        return self._stated.rate_hz

    @property
    def started(self) -> datetime | None:
        """When the first frame was taken."""
        return self._stated.started

    @property
    def frame_times_s(self) -> NDArray[np.float64] | None:
        """Time of each frame (n_frames,), s."""
        return self._stated.frame_times_s

    @property
    def pixel_size_um(self) -> tuple[float, float] | None:
        """Size of a pixel along x and y, um."""
        return self._stated.pixel_size_um

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start`` to ``stop``, shape (frames, height, width) or (..., planes)."""
        files, pages = self._order.at(start, stop)
        if not self._crops:
            images = self.files.read(files.ravel(), pages.ravel())
            images = images.reshape(*files.shape, *images.shape[1:])
        else:
            images = np.stack(
                [self._cut(files[:, plane], pages[:, plane], crop) for plane, crop in enumerate(self._crops)],
                axis=1,
            )
        return images[:, 0] if self.shape.n_planes == 1 else np.moveaxis(images, 1, -1)

    def _cut(self, files: Numbers, pages: Numbers, crop: Crop) -> NDArray[Any]:
        rows = self.files.read(files, pages, rows=(crop.top, crop.top + crop.height))
        return rows[:, :, crop.left : crop.left + crop.width]

    def close(self) -> None:
        """Close all files."""
        self.files.close()
