"""Movies in OME-TIFF, of any number of files; those of Micro-Manager are among them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import FilePath

from nwbswitch.converters.imaging.chosen import chosen, chosen_plane
from nwbswitch.converters.imaging.ome_planes import ABSENT, PlaneTable
from nwbswitch.converters.imaging.ome_xml import OmeImage, read_ome
from nwbswitch.converters.imaging.paged_movie import PagedMovie, PageFiles, Stated, TableOrder
from nwbswitch.converters.imaging.stated_movie import StatedMovieInterface
from nwbswitch.converters.imaging.stated_times import in_order, measured_rate_hz
from nwbswitch.converters.imaging.tiff_pages import TiffPages
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.stream_base import Parts

_MICRO_MANAGER = 51123
"""Tag with the metadata of a page, as JSON (micro-manager.org, Micro-Manager File Formats)."""
_MAX_CHECKED_FILES = 64


class OmeMovie(PagedMovie):
    """One channel of an image of an OME-TIFF set.

    Parameters
    ----------
    path
        One file of the set, or the only one; the others are looked for in its folder and nowhere else.
    channel
        Number (from 1) or name; needed when there are several.
    plane
        Number of the only plane to take, counted from 1.
    image
        Number (from 1) or name of the image, e.g. a position; needed when there are several.
    use_timestamps
        Take the times of frames from the file where it states them.

    Raises
    ------
    InputFileError
        Saying what to choose, which file is missing or what contradicts the pages.
    """

    def __init__(
        self,
        path: Path,
        *,
        channel: int | str | None = None,
        plane: int | None = None,
        image: int | str | None = None,
        use_timestamps: bool = True,
    ) -> None:
        own = TiffPages(path)
        try:
            ome = read_ome(own.path, own.text())
            names = [each.name for each in ome.images]
            it = ome.images[chosen(path, "image", image, numbers=range(1, len(names) + 1), names=names)]
            if (it.height, it.width) != (own.height, own.width):
                raise InputFileError(
                    path,
                    f"has pages of {own.height}x{own.width}, its OME-XML says {it.height}x{it.width}.",
                    "Export the movie again.",
                )
            n_c, n_z, _ = it.sizes
            c = chosen(path, "channel", channel, numbers=range(1, n_c + 1), names=it.channels)
            zs = list(range(n_z)) if plane is None else [chosen_plane(path, plane, n_z)]
            table = PlaneTable(own, ome, it)
            files, pages = table.files[:, zs, c], table.pages[:, zs, c]
            n_frames = _present(path, files, it)
            source = PageFiles(table.paths, opened=[own])
            order = TableOrder(np.ascontiguousarray(files[:n_frames]), np.ascontiguousarray(pages[:n_frames]))
            _check_pages(source, order)
            times = _times(path, it, source, order, zs[0], c) if use_timestamps else None
            super().__init__(source, order, stated=_stated(it, times))
        except BaseException:
            own.close()
            raise


def _present(path: Path, files: NDArray[np.int32], image: OmeImage) -> int:
    """Return the number of time points; those that were never taken end the movie."""
    there = (files != ABSENT).all(axis=1)
    n_frames = len(there) if there.all() else int(np.argmin(there))
    if n_frames == 0 or (files[n_frames:] != ABSENT).any():
        raise InputFileError(
            path,
            f"has OME-XML of {image.sizes[2]} time points, of which number {n_frames + 1} is not complete.",
            "Copy the whole set, or export it again.",
        )
    return n_frames


def _check_pages(source: PageFiles, order: TableOrder) -> None:
    """Raise when a page that the XML promises is not in its file; many files are checked when read."""
    for number in np.unique(order.files)[:_MAX_CHECKED_FILES]:
        last = int(order.pages[order.files == number].max())
        pages = source[int(number)]
        if last >= pages.n_pages:
            raise InputFileError(
                pages.path,
                f"has {pages.n_pages} pages, where the OME-XML of the set promises {last + 1}.",
                "The file may be cut short; copy or export it again.",
            )


def _times(
    path: Path, image: OmeImage, source: PageFiles, order: TableOrder, z: int, c: int
) -> NDArray[np.float64] | None:
    """Return the time of the first plane of each frame, s; None where they are not stated."""
    times = None if image.times_s is None else image.times_s[: order.n_frames, z, c]
    if times is None and source.first.has(_MICRO_MANAGER):
        times = _elapsed_s(source, order)
    if times is None or len(times) < 2 or np.isnan(times).any() or not np.diff(times).any():
        return None
    return in_order(path, times, otherwise="the time increment or rate_hz")


def _elapsed_s(source: PageFiles, order: TableOrder) -> NDArray[np.float64] | None:
    """Return the times that Micro-Manager writes into each page, s."""
    times = np.empty(order.n_frames)
    for frame, (file, page) in enumerate(zip(order.files[:, 0], order.pages[:, 0], strict=True)):
        try:
            stated = json.loads(source[int(file)].text(int(page), code=_MICRO_MANAGER))
            times[frame] = float(stated["ElapsedTime-ms"]) * 1e-3
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
    return times


def _stated(image: OmeImage, times: NDArray[np.float64] | None) -> Stated:
    rate = None if image.interval_s is None else 1 / image.interval_s
    started = image.started
    if times is not None:
        rate = measured_rate_hz(times, rate)
        started = None if started is None else started + timedelta(seconds=float(times[0]))
    return Stated(rate, started, times, image.pixel_size_um)


class OmeTiffInterface(StatedMovieInterface):
    """OME-TIFF movie of frames or volumes; stored as (frames, x, y[, plane]).

    Parameters
    ----------
    file_path : FilePath or list of FilePath
        The file, or one file of a set; several with parts continuous or runs.
    channel : int or str
        Number (from 1) or name of the channel; needed when there are several.
    plane : int
        Number of the only plane to take from volumes, counted from 1.
    image : int or str
        Number (from 1) or name of the image, e.g. a position; needed when there are several.
    use_timestamps : bool
        Take the times of frames from the file where it states them.
    rate_hz : float
        Frame (volume) rate, Hz, when the file states none; must agree where it does.
    start_s : float
        Time from which the frame times of the file count, s.
    parts : str
        How several files or sets follow each other: single, continuous or runs.
    part_start_s : list of float
        Start of each run, s.
    metadata_key : str
        Key of this movie in metadata["Ophys"]["MicroscopySeries"].
    """

    display_name = "OME-TIFF movie"
    associated_suffixes = (".ome.tif", ".ome.tiff", ".tif", ".tiff")
    info = "Reads one channel of an OME-TIFF set, whose axes its OME-XML states."

    def __init__(
        self,
        *,
        file_path: FilePath | list[FilePath],
        channel: int | str | None = None,
        plane: int | None = None,
        image: int | str | None = None,
        use_timestamps: bool = True,
        rate_hz: float | None = None,
        start_s: float = 0.0,
        parts: Parts = "single",
        part_start_s: Sequence[float] = (),
        metadata_key: str = "movie",
    ) -> None:
        """Read the descriptions; no image is read yet."""
        super().__init__(
            lambda path: OmeMovie(
                path, channel=channel, plane=plane, image=image, use_timestamps=use_timestamps
            ),
            paths=file_path,
            rate_hz=rate_hz,
            start_s=start_s,
            parts=parts,
            part_start_s=part_start_s,
            metadata_key=metadata_key,
            source={
                "file_path": file_path,
                "channel": channel,
                "plane": plane,
                "image": image,
                "use_timestamps": use_timestamps,
            },
        )
