"""Movies of ScanImage, from version 3.8 to the BigTIFF files of 2023."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import FilePath

from nwbswitch.converters.imaging.chosen import chosen, chosen_plane
from nwbswitch.converters.imaging.paged_movie import (
    Crop,
    ListedOrder,
    PagedMovie,
    PageFiles,
    RegularOrder,
    Stated,
)
from nwbswitch.converters.imaging.raw_frames import open_raw
from nwbswitch.converters.imaging.scanimage_fields import Region, crops, read_regions
from nwbswitch.converters.imaging.scanimage_header import ScanImageHeader, read_header
from nwbswitch.converters.imaging.scanimage_times import Stamps, page_times
from nwbswitch.converters.imaging.stated_movie import StatedMovieInterface
from nwbswitch.converters.imaging.stated_times import in_order, measured_rate_hz
from nwbswitch.converters.imaging.tiff_directory import read_page_table
from nwbswitch.converters.imaging.tiff_pages import TiffPages, reading
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.stream_base import Parts

_SOFTWARE, _ARTIST = 305, 315
_Order = RegularOrder | ListedOrder


class ScanImageMovie(PagedMovie):
    """One channel of one acquisition in one or several files.

    Pages come in the order channel, frame of a slice, slice, volume; flyback frames end a volume. An
    incomplete last volume is left out.

    Parameters
    ----------
    paths
        The files in the order in which they were written.
    channel
        Number or name of a saved channel; needed when there are several.
    plane
        Number of the only slice to take, counted from 1.
    slice_frame
        Which of several frames of each slice makes up the volumes, counted from 1.
    roi
        Number (from 1) or name of a region of interest; needed when there are several.
    use_timestamps
        Take the times of frames from the files where they state them.

    Raises
    ------
    InputFileError
        Naming the file and what to choose.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        channel: int | str | None = None,
        plane: int | None = None,
        slice_frame: int | None = None,
        roi: int | str | None = None,
        use_timestamps: bool = True,
    ) -> None:
        opened: list[TiffPages] = []
        stamps: list[Stamps] = []
        try:
            for path in paths:
                stamps.append(Stamps())
                opened.append(TiffPages(path, note=stamps[-1] if use_timestamps else None))
            first = opened[0]
            self.header = _header(first)
            for each in opened[1:]:
                _check_same(each, self.header, first)
            files = PageFiles(paths, opened=opened)
            ends = np.cumsum([each.n_pages for each in opened])
            place = chosen(
                first.path, "channel", channel, numbers=self.header.channels, names=self.header.names
            )
            order, planes = _order(first.path, self.header, ends, place, plane, slice_frame)
            cuts, pixel_size_um = _cuts(first, self.header, planes, roi)
            times = page_times(opened, stamps) if use_timestamps else None
            stated = _stated(first.path, self.header, order, times, stamps[0].epoch)
            super().__init__(files, order, stated=replace(stated, pixel_size_um=pixel_size_um), crops=cuts)
        except BaseException:
            for each in opened:
                each.close()
            raise


def _header(pages: TiffPages) -> ScanImageHeader:
    return read_header(pages.path, description=pages.text(), software=pages.text(code=_SOFTWARE))


def _check_same(pages: TiffPages, header: ScanImageHeader, first: TiffPages) -> None:
    own = _header(pages)
    for field in ("channels", "n_slices", "slice_frames", "n_flyback", "many_rois"):
        mine, expected = getattr(own, field), getattr(header, field)
        if mine != expected:
            raise InputFileError(
                pages.path,
                f"was taken with {field} = {mine}, {first.path.name} with {expected}.",
                "Files of one movie belong to one acquisition; make the others a stream of their own.",
            )


def _order(
    path: Path, header: ScanImageHeader, ends: NDArray[Any], place: int, plane: int | None, frame: int | None
) -> tuple[_Order, tuple[int, ...]]:
    """Return the order of the wanted pages, and which slices they are."""
    n_channels, n_frames = len(header.channels), header.slice_frames
    slice_step = n_channels * n_frames
    cycle = slice_step * header.n_slices + n_channels * header.n_flyback
    total = int(ends[-1])
    slices = range(header.n_slices) if plane is None else [chosen_plane(path, plane, header.n_slices)]
    if frame is not None and not 1 <= frame <= n_frames:
        raise InputFileError(
            path, f"has {n_frames} frames per slice, not a frame {frame}.", f"slice_frame: 1 to {n_frames}."
        )
    if len(slices) > 1 and n_frames > 1 and frame is None:
        raise InputFileError(
            path,
            f"has {n_frames} frames of each of {header.n_slices} slices in a row.",
            f"Choose slice_frame: 1 to {n_frames}, or one slice with plane: 1 to {header.n_slices}.",
        )
    first = place + slices[0] * slice_step
    if n_frames > 1 and frame is None:
        cycles = np.arange(total // cycle + 1, dtype=np.int64)[:, None]
        pages = (first + cycles * cycle + np.arange(n_frames) * n_channels).ravel()
        listed = ListedOrder(pages[pages < total, None], ends)
        return _not_empty(path, listed, header, total, cycle), tuple(slices)
    first += 0 if frame is None else (frame - 1) * n_channels
    last = first + (len(slices) - 1) * slice_step
    found = (total - 1 - last) // cycle + 1 if total > last else 0
    order = RegularOrder(found, len(slices), first, cycle, slice_step, ends)
    return _not_empty(path, order, header, total, cycle), tuple(slices)


def _not_empty(path: Path, order: _Order, header: ScanImageHeader, total: int, cycle: int) -> _Order:
    if order.n_frames:
        return order
    raise InputFileError(
        path,
        f"holds {total} pages, where a volume takes {cycle}: {len(header.channels)} channels, "
        f"{header.n_slices} slices of {header.slice_frames} frames, {header.n_flyback} flyback frames.",
        "The recording ended before its first volume; a single slice can be had with plane.",
    )


def _cuts(
    pages: TiffPages, header: ScanImageHeader, slices: Sequence[int], roi: int | str | None
) -> tuple[tuple[Crop, ...], tuple[float, float] | None]:
    """Return the part of the page that belongs to the wanted region for each slice, and its pixel size."""
    if not header.many_rois:
        if roi is not None:
            raise InputFileError(pages.path, "has no regions of interest of its own.", "Leave out roi.")
        return (), header.pixel_size_um
    regions = read_regions(pages.path, pages.text(code=_ARTIST))
    names = [each.name for each in regions]
    region = regions[chosen(pages.path, "roi", roi, numbers=range(1, len(regions) + 1), names=names)]
    zs = header.zs_um[: header.n_slices] or (0.0,)
    if len(zs) < header.n_slices:
        raise InputFileError(
            pages.path, f"states {len(zs)} depths for {header.n_slices} slices.", "Copy the file again."
        )
    every = crops(
        pages.path,
        regions,
        region,
        zs_um=zs,
        page_height=pages.height,
        page_width=pages.width,
        fly_lines=header.fly_lines,
    )
    found = tuple(crop for crop in (every[number] for number in slices) if crop is not None)
    sizes = {(each.height, each.width) for each in found}
    if len(found) < len(slices) or len(sizes) > 1:
        there = [str(number + 1) for number in slices if every[number] is not None]
        raise InputFileError(
            pages.path,
            f"does not scan the region {region.name!r} in the same size at every depth.",
            f"Choose one plane: {', '.join(there)}.",
        )
    return found, _region_pixels(header, region, zs[slices[0]])


def _region_pixels(header: ScanImageHeader, region: Region, z_um: float) -> tuple[float, float] | None:
    field = region.at(z_um)
    if field is None or not header.um_per_degree:
        return None
    across, down = field.size_degrees
    return across * header.um_per_degree / field.width, down * header.um_per_degree / field.height


def _stated(
    path: Path,
    header: ScanImageHeader,
    order: _Order,
    stamped_s: NDArray[np.float64] | None,
    epoch: datetime | None,
) -> Stated:
    """Return rate, start and frame times: as stamped, or as the settings say."""
    cycle = header.n_slices * header.slice_frames + header.n_flyback
    rate = header.frame_rate_hz
    if cycle > 1 and isinstance(order, RegularOrder):
        rate = header.volume_rate_hz or (rate / cycle if rate else None)
    pages = order.numbers(0, order.n_frames)[:, 0]
    times = None
    if stamped_s is not None:
        times = in_order(path, stamped_s[pages], otherwise="the frame rate")
        rate = measured_rate_hz(times, rate)
    elif isinstance(order, ListedOrder) and rate:
        times = (pages // len(header.channels)) / rate
    started = header.started
    if epoch is not None:
        started = epoch + timedelta(seconds=0.0 if times is None else float(times[0]))
    return Stated(rate_hz=rate, started=started, frame_times_s=times)


def _apart(files: Sequence[Path]) -> list[list[Path]]:
    return [[file] for file in files]


def _together(files: Sequence[Path]) -> list[list[Path]]:
    return [list(files)]


def _runs(files: Sequence[Path]) -> list[list[Path]]:
    """Return files that follow each other in one acquisition together: they count from the same moment."""
    found: list[list[Path]] = []
    last = b""
    for file in files:
        stamps = Stamps()
        with reading(file, step="open it"), open_raw(file) as stream:
            read_page_table(file, stream, note=stamps, limit=1)
        if found and stamps.epoch is not None and stamps.epoch_text == last:
            found[-1].append(file)
        else:
            found.append([file])
        last = stamps.epoch_text
    return found


class ScanImageInterface(StatedMovieInterface):
    """ScanImage movie of frames or volumes; stored as (frames, x, y[, plane]).

    Parameters
    ----------
    file_path : FilePath or list of FilePath
        The TIFF file; several with parts continuous (files of one acquisition) or runs (of several).
    channel : int or str
        Number or name of the saved channel; needed when there are several.
    plane : int
        Number of the only slice to take from volumes, counted from 1.
    slice_frame : int
        Which of several frames of each slice makes up the volumes, counted from 1.
    roi : int or str
        Number (from 1) or name of the region of interest; needed when there are several.
    use_timestamps : bool
        Take the times of frames from the files where they state them.
    rate_hz : float
        Frame (volume) rate, Hz; must agree where the files state one.
    start_s : float
        Time from which the frame times of the files count, s.
    parts : str
        How several files follow each other: single, continuous or runs.
    part_start_s : list of float
        Start of each run, s.
    metadata_key : str
        Key of this movie in metadata["Ophys"]["MicroscopySeries"].
    """

    display_name = "ScanImage movie"
    associated_suffixes = (".tif", ".tiff")
    info = "Reads one channel of a ScanImage recording: planes, volumes or regions of interest."

    def __init__(
        self,
        *,
        file_path: FilePath | list[FilePath],
        channel: int | str | None = None,
        plane: int | None = None,
        slice_frame: int | None = None,
        roi: int | str | None = None,
        use_timestamps: bool = True,
        rate_hz: float | None = None,
        start_s: float = 0.0,
        parts: Parts = "single",
        part_start_s: Sequence[float] = (),
        metadata_key: str = "movie",
    ) -> None:
        """Index the pages; no image is read yet."""
        files = [Path(each) for each in (file_path if isinstance(file_path, list | tuple) else [file_path])]
        runs = {"runs": _runs, "continuous": _together}.get(parts, _apart)(files)
        by_first = {run[0]: run for run in runs}
        super().__init__(
            lambda first: ScanImageMovie(
                by_first[first],
                channel=channel,
                plane=plane,
                slice_frame=slice_frame,
                roi=roi,
                use_timestamps=use_timestamps,
            ),
            paths=list(by_first),
            rate_hz=rate_hz,
            start_s=start_s,
            parts=parts,
            part_start_s=part_start_s,
            metadata_key=metadata_key,
            source={
                "file_path": file_path,
                "channel": channel,
                "plane": plane,
                "slice_frame": slice_frame,
                "roi": roi,
                "use_timestamps": use_timestamps,
            },
        )
