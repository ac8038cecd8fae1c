"""Movies of Bruker microscopes: the folder of a Prairie View TSeries with its XML and TIFF files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import DirectoryPath

from nwbswitch.converters.imaging.chosen import chosen, chosen_plane
from nwbswitch.converters.imaging.paged_movie import PagedMovie, PageFiles, Stated, TableOrder
from nwbswitch.converters.imaging.prairie_xml import (
    ABSENT,
    VOLUMETRIC,
    PrairieScan,
    frame_times_s,
    read_scan,
    scan_xml,
)
from nwbswitch.converters.imaging.stated_movie import StatedMovieInterface
from nwbswitch.converters.imaging.stated_times import in_order, measured_rate_hz
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError
from nwbswitch.schemas.path_guard import inside
from nwbswitch.schemas.stream_base import Parts


class BrukerMovie(PagedMovie):
    """One channel of a TSeries.

    Parameters
    ----------
    folder
        Holds the XML, the TIFF files and whatever else Prairie View wrote.
    channel
        Number or name; needed when there are several.
    plane
        Number of the only plane to take from volumes, counted from 1.
    use_timestamps
        Take the times of frames from the XML where it states them.

    Raises
    ------
    InputFileError
        Naming the file that is missing, or what to choose.
    """

    def __init__(
        self,
        folder: Path,
        *,
        channel: int | str | None = None,
        plane: int | None = None,
        use_timestamps: bool = True,
    ) -> None:
        self.xml = scan_xml(folder)
        scan = read_scan(self.xml)
        numbers = sorted(scan.channels)
        names = [scan.channels[number] for number in numbers]
        number = numbers[chosen(self.xml, "channel", channel, numbers=numbers, names=names)]
        rows = _rows(self.xml, scan)
        n_planes = rows.shape[1]
        rows = rows if plane is None else rows[:, [chosen_plane(self.xml, plane, n_planes)]]
        files, pages = np.array(scan.files[number])[rows], np.array(scan.pages[number])[rows]
        if (files == ABSENT).any() or (pages < 0).any():
            frame = int(np.argmax((files == ABSENT) | (pages < 0)))
            raise InputFileError(
                self.xml,
                f"names no file of channel {number} for frame {frame + 1}.",
                "Copy the folder again, or choose another channel.",
            )
        paths = _present(folder, self.xml, scan, files)
        source = PageFiles(paths)
        files = np.searchsorted(np.unique(files), files)
        try:
            times = frame_times_s(scan) if use_timestamps else None
            if times is not None:
                times = in_order(self.xml, times[rows[:, 0]], otherwise="the frame period")
            super().__init__(source, TableOrder(files, pages), stated=_stated(scan, times, n_planes))
        except BaseException:
            source.close()
            raise


def _rows(xml: Path, scan: PrairieScan) -> NDArray[np.int64]:
    """Return the frames of the XML that make up each frame (volume) of the movie, (frames, planes)."""
    cycles, sizes = np.unique(np.array(scan.cycles), return_counts=True)
    kinds = {scan.kinds[cycle] for cycle in cycles}
    unknown = kinds - set(VOLUMETRIC)
    if unknown or len({VOLUMETRIC[each] for each in kinds}) > 1:
        raise InputFileError(
            xml,
            f"holds sequences of the types {', '.join(sorted(kinds))}.",
            f"Movies have one of these: {', '.join(VOLUMETRIC)}.",
        )
    n = len(scan.cycles)
    if not VOLUMETRIC[kinds.pop()]:
        return np.arange(n, dtype=np.int64)[:, None]
    n_planes = int(sizes[0])
    # The last volume of a recording that was stopped is incomplete.
    n_volumes = len(sizes) if sizes[-1] == n_planes else len(sizes) - 1
    if n_volumes == 0 or (sizes[:n_volumes] != n_planes).any():
        odd = int(np.argmax(sizes != n_planes))
        found = f"{sizes[odd]} in cycle {cycles[odd] + 1}, {n_planes} in cycle {cycles[0] + 1}"
        raise InputFileError(
            xml,
            f"has volumes of different numbers of planes: {found}.",
            "Convert its parts as streams of their own.",
        )
    rows = np.arange(n_volumes * n_planes, dtype=np.int64).reshape(n_volumes, n_planes)
    return _by_depth(xml, scan, rows)


def _by_depth(xml: Path, scan: PrairieScan, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the planes of each volume in the order of the first one, where it was scanned the other way."""
    first = [scan.depths[row] for row in rows[0]]
    known = {depths: plane for plane, depths in enumerate(first)}
    if len(known) < len(first) or () in known:
        if scan.both_ways:
            raise InputFileError(
                xml,
                "was scanned in both directions along z, without a depth for each plane.",
                "Which plane is which cannot be told; convert it with other software first.",
            )
        return rows
    for volume in rows:
        depths = [scan.depths[row] for row in volume]
        if depths != first and set(depths) == set(known):
            volume[:] = volume[np.argsort([known[each] for each in depths])]
        elif depths != first and scan.both_ways:
            raise InputFileError(
                xml,
                f"was scanned in both directions along z, at other depths in cycle "
                f"{scan.cycles[int(volume[0])] + 1} than in the first.",
                "Which plane is which cannot be told; convert it with other software first.",
            )
    return rows


def _present(folder: Path, xml: Path, scan: PrairieScan, files: NDArray[np.int32]) -> list[Path]:
    """Return the paths of the needed TIFF files by number; each must be in the folder itself."""
    with os.scandir(folder) as entries:
        there = {entry.name: entry.is_symlink() for entry in entries}
    names = list(scan.names)
    missing = []
    used = np.unique(files)
    for number in used:
        name = names[number]
        if name != Path(name).name or "\\" in name or not name:
            raise UnsafeFileError(xml, f"names the file {name[:200]!r}, which is no file of its folder.")
        if name not in there:
            missing.append(name)
        elif there[name]:
            inside(folder, name)
    if missing:
        raise InputFileError(
            xml,
            f"names {missing[0]!r}, which is not there; {len(missing)} of {len(used)} files are missing.",
            "Copy the whole folder again.",
        )
    return [folder / names[number] for number in used]


def _stated(scan: PrairieScan, times: NDArray[np.float64] | None, n_planes: int) -> Stated:
    period = scan.settings.get("framePeriod", float("nan"))
    rate = 1 / (period * n_planes) if period > 0 else None
    rate = rate if times is None else measured_rate_hz(times, rate)
    size = tuple(scan.settings.get(f"micronsPerPixel {axis}Axis", float("nan")) for axis in "XY")
    started = scan.first_started
    if started is not None and times is not None:
        started += timedelta(seconds=float(times[0]))
    return Stated(rate, started, times, (size[0], size[1]) if size[0] > 0 and size[1] > 0 else None)


class BrukerInterface(StatedMovieInterface):
    """Prairie View TSeries of frames or volumes; stored as (frames, x, y[, plane]).

    Parameters
    ----------
    folder_path : DirectoryPath or list of DirectoryPath
        The folder of the TSeries; several with parts runs.
    channel : int or str
        Number or name of the channel, as the XML has it; needed when there are several.
    plane : int
        Number of the only plane to take from volumes, counted from 1.
    use_timestamps : bool
        Take the times of frames from the XML where it states them.
    rate_hz : float
        Frame (volume) rate, Hz; must agree where the XML states one.
    start_s : float
        Time of the first frame, s.
    parts : str
        How several folders follow each other: single, continuous or runs.
    part_start_s : list of float
        Start of each run, s, when the XML does not state them.
    metadata_key : str
        Key of this movie in metadata["Ophys"]["MicroscopySeries"].
    """

    display_name = "Bruker TSeries"
    associated_suffixes = (".xml", ".ome.tif", ".tif")
    info = "Reads one channel of a Prairie View TSeries folder: frames or volumes, of one or many cycles."

    def __init__(
        self,
        *,
        folder_path: DirectoryPath | list[DirectoryPath],
        channel: int | str | None = None,
        plane: int | None = None,
        use_timestamps: bool = True,
        rate_hz: float | None = None,
        start_s: float = 0.0,
        parts: Parts = "single",
        part_start_s: Sequence[float] = (),
        metadata_key: str = "movie",
    ) -> None:
        """Read the XML and look for the files; no image is read yet."""
        super().__init__(
            lambda folder: BrukerMovie(folder, channel=channel, plane=plane, use_timestamps=use_timestamps),
            paths=folder_path,
            rate_hz=rate_hz,
            start_s=start_s,
            parts=parts,
            part_start_s=part_start_s,
            metadata_key=metadata_key,
            source={
                "folder_path": folder_path,
                "channel": channel,
                "plane": plane,
                "use_timestamps": use_timestamps,
            },
        )
