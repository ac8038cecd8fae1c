"""Which page of which file holds each plane of an OME image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.imaging.ome_xml import Block, OmeImage, OmeSet
from nwbswitch.converters.imaging.tiff_pages import TiffPages
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.ome_files import named_beside

ABSENT = -1


class PlaneTable:
    """Files of a set, and file and page of each plane, both (T, Z, C); `ABSENT` where none is stated.

    Parameters
    ----------
    own
        The pages of the file that was asked.
    ome
        The set it describes.
    image
        The image of that set that is wanted.

    Raises
    ------
    InputFileError
        When a file of the set is not there, or its pages are too few.
    UnsafeFileError
        When a file outside the folder is named.
    """

    def __init__(self, own: TiffPages, ome: OmeSet, image: OmeImage) -> None:
        path = own.path
        self._path, self._ome = path, ome
        self.paths: list[Path] = [path]
        self._known: dict[str, int] = {}
        self._names = {block.file for each in ome.images for block in each.blocks}
        n_c, n_z, n_t = image.sizes
        total = n_c * n_z * n_t
        files = np.full(total, ABSENT, np.int32)
        pages = np.zeros(total, np.int32)
        steps = _steps(image)
        before = _planes_before(ome, image)
        for block in image.blocks or (Block("", "", None, (0, 0, 0), None),):
            file = self._file(block)
            start = sum(first * steps[axis] for axis, first in zip("CZT", block.first, strict=True))
            page = block.page
            if page is None:
                # Files of one image hold its planes from the first page on; images in one file follow.
                page = before if len(ome.images) > 1 and file == 0 else 0
            n_planes = block.n_planes
            if n_planes is None:
                n_planes = 1 if len(image.blocks) >= total else self._n_pages(file, own) - page
            stop = min(start + max(n_planes, 0), total)
            if start >= total or any(
                first >= size for first, size in zip(block.first, image.sizes, strict=True)
            ):
                raise InputFileError(path, f"has OME-XML that places a plane at {block.first} (C, Z, T).")
            files[start:stop] = file
            pages[start:stop] = page + np.arange(stop - start)
        self.files = _ordered(files, image)
        self.pages = _ordered(pages, image)

    def _n_pages(self, file: int, own: TiffPages) -> int:
        if file == 0:
            return own.n_pages
        pages = TiffPages(self.paths[file])
        pages.close()
        return pages.n_pages

    def _file(self, block: Block) -> int:
        """Return the number of the file of a block."""
        name = block.file
        if not name or name == self._path.name or (block.uuid and block.uuid == self._ome.uuid):
            return 0
        if name in self._known:
            return self._known[name]
        beside = named_beside(self._path, name)
        if not beside.is_file():
            if len(self._names) == 1:
                self._known[name] = 0  # a file by itself that was given another name
                return 0
            raise InputFileError(
                self._path,
                f"is one of {len(self._names)} files; {name[:200]!r} is not there.",
                "Put all files of the set into one folder.",
            )
        self._known[name] = len(self.paths)
        self.paths.append(beside)
        return self._known[name]


def _steps(image: OmeImage) -> dict[str, int]:
    sizes = dict(zip("CZT", image.sizes, strict=True))
    steps, step = {}, 1
    for axis in image.order:
        steps[axis] = step
        step *= sizes[axis]
    return steps


def _ordered(values: NDArray[np.int32], image: OmeImage) -> NDArray[np.int32]:
    """Return values in the order of the file as an array (T, Z, C)."""
    sizes = dict(zip("CZT", image.sizes, strict=True))
    slowest_first = image.order[::-1]
    shaped = values.reshape([sizes[axis] for axis in slowest_first])
    return shaped.transpose([slowest_first.index(axis) for axis in "TZC"])


def _planes_before(ome: OmeSet, image: OmeImage) -> int:
    """Return how many planes of earlier images precede those of an image in one file."""
    total = 0
    for each in ome.images:
        if each is image:
            return total
        total += int(np.prod(each.sizes))
    return total
