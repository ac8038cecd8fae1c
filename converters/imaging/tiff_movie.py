"""A movie in TIFF files, read page by page and written as a TwoPhotonSeries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import FilePath

from nwbswitch.converters.imaging.movie_interface import MovieInterface
from nwbswitch.converters.imaging.paged_movie import PagedMovie, PageFiles, RegularOrder
from nwbswitch.converters.imaging.tiff_axes import metamorph_planes, rhythm, stated_axes
from nwbswitch.converters.imaging.tiff_pages import TiffPages
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.stream_base import Parts
from nwbswitch.schemas.streams_tiff import PageMeaning


class TiffFrames(PagedMovie):
    """The frames of a TIFF movie; a context manager that closes the file.

    Parameters
    ----------
    path
        TIFF or BigTIFF with grey pages, or a stack of ImageJ or MetaMorph with one page for all images.
    pages
        Whether pages that only follow each other are frames, or the planes of one volume.
    channel, plane
        Number of the channel, and of the plane of volumes, counted from 1.

    Raises
    ------
    InputFileError
        Saying what is odd about the file: no pages, colour, pages of different shape, missing bytes,
        several channels, a compression that cannot be read.
    UnsafeFileError
        The file declares frames that its bytes cannot hold.
    """

    def __init__(
        self,
        path: Path,
        *,
        pages: PageMeaning = "frames",
        channel: int | None = None,
        plane: int | None = None,
    ) -> None:
        source = TiffPages(path)
        try:
            axes = stated_axes(source)
            total = math.prod(size for _, size in axes)
            if source.n_pages == 1:
                source.spread(max(total, metamorph_planes(source)))
                axes = axes or ((("I", source.n_pages),) if source.n_pages > 1 else ())
            elif total != source.n_pages:
                raise InputFileError(
                    source.path,
                    f"its description promises {total} images, but it holds {source.n_pages} pages.",
                    "The file may be cut short; export it again.",
                )
            found = rhythm(source, axes, meaning=pages, channel=channel, plane=plane)
            order = RegularOrder(
                found.n_frames,
                found.n_planes,
                found.first,
                found.frame_step,
                found.plane_step,
                np.array([source.n_pages], np.int64),
            )
            super().__init__(PageFiles([source.path], opened=[source]), order)
        except BaseException:
            source.close()
            raise

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start`` to ``stop``, shape (frames, height, width) or (..., planes)."""
        return super().read(start, stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class TiffMovieInterface(MovieInterface):
    """TIFF movie; stored as (frames, x, y[, plane]), the transpose of the TIFF's (y, x) pages.

    Parameters
    ----------
    file_path : FilePath or list of FilePath
        The TIFF file; several with parts continuous or runs.
    rate_hz : float
        Frame (volume) rate, Hz.
    pages : str
        frames: pages follow each other in time. planes: the pages of a file are the planes of one volume.
    channel : int
        Number of the channel where the file holds several, counted from 1.
    plane : int
        Number of the only plane to take from volumes, counted from 1.
    photons : int
        1 for a one-photon movie, else 2.
    start_s : float
        Time of the first frame, s.
    parts : str
        How several files follow each other: single, continuous or runs.
    part_start_s : list of float
        Start of each run, s.
    metadata_key : str
        Key of this movie in metadata["Ophys"]["MicroscopySeries"].
    """

    display_name = "TIFF movie"
    associated_suffixes = (".tif", ".tiff", ".stk")
    info = "Reads a movie of frames or volumes from TIFF files, page by page."

    def __init__(
        self,
        *,
        file_path: FilePath | list[FilePath],
        rate_hz: float,
        pages: PageMeaning = "frames",
        channel: int | None = None,
        plane: int | None = None,
        photons: Literal[1, 2] = 2,
        start_s: float = 0.0,
        parts: Parts = "single",
        part_start_s: Sequence[float] = (),
        metadata_key: str = "movie",
    ) -> None:
        """Examine the files; nothing is read yet."""
        super().__init__(
            lambda path: TiffFrames(path, pages=pages, channel=channel, plane=plane),
            paths=file_path,
            rate_hz=rate_hz,
            start_s=start_s,
            parts=parts,
            part_start_s=part_start_s,
            metadata_key=metadata_key,
            source={
                "file_path": file_path,
                "pages": pages,
                "channel": channel,
                "plane": plane,
                "photons": photons,
            },
        )
        self.photons = photons
