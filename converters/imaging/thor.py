"""Movies of Thorlabs microscopes: the folder that ThorImage writes, with TIFF files or a raw file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import DirectoryPath

from nwbswitch.converters.imaging.chosen import chosen, chosen_plane
from nwbswitch.converters.imaging.movie import Movie
from nwbswitch.converters.imaging.ome_tiff import OmeMovie
from nwbswitch.converters.imaging.paged_movie import PagedMovie, PageFiles, Stated, TableOrder
from nwbswitch.converters.imaging.stated_movie import StatedMovieInterface
from nwbswitch.converters.imaging.thor_experiment import ThorExperiment, read_experiment
from nwbswitch.converters.imaging.thor_raw import ThorRawMovie
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError
from nwbswitch.schemas.path_guard import inside
from nwbswitch.schemas.stream_base import Parts
from nwbswitch.schemas.tiff_tags import first_description

Source = Literal["tiff", "raw"]

_TIFF = re.compile(r"(?P<channel>.+?)_(?P<site>\d{3,}_\d{3,})_(?P<z>\d{3,})_(?P<t>\d{3,})\.tiff?", re.I)
_RAW = re.compile(r"Image_\d+_\d+\.raw", re.I)
_DELTA_T = re.compile(rb'<Plane DeltaT="([0-9.eE+-]+)"')


def open_thor(folder: Path, *, channel: int | str | None, plane: int | None, source: Source | None) -> Movie:
    """Open the movie of a ThorImage folder.

    Raises
    ------
    InputFileError
        Saying what is missing, what does not fit the XML, or what to choose.
    """
    experiment = read_experiment(folder)
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    raw = [name for name in names if _RAW.fullmatch(name)]
    single = [name for name in names if _TIFF.fullmatch(name)]
    other = [name for name in names if re.search(r"_scan_\d+_region_\d+_\d+\.tiff?$", name, re.I)]
    there = [kind for kind, found in (("raw", raw), ("tiff", single or other)) if found]
    if source is None and len(there) != 1:
        if there:
            raise InputFileError(
                folder, "holds the recording as TIFF and as raw file.", "Choose one: source: tiff or raw."
            )
        raise InputFileError(folder, "holds neither TIFF files nor a raw file of ThorImage.")
    chosen_source = source or there[0]
    if chosen_source not in there:
        raise InputFileError(folder, f"holds no {chosen_source} files of ThorImage.", "Leave out source.")
    for name in raw if chosen_source == "raw" else (single or other):
        inside(folder, name)
    if chosen_source == "raw":
        if len(raw) > 1:
            raise InputFileError(
                folder,
                f"holds several raw files: {', '.join(raw[:5])}.",
                "Put each into a folder of its own.",
            )
        place = _place(experiment, channel)
        return ThorRawMovie(folder / raw[0], experiment, channel=place, plane=plane)
    if other and not single:
        return _container(folder, other, experiment, channel, plane)
    return ThorTiffMovie(folder, single, experiment, channel=channel, plane=plane)


def _place(experiment: ThorExperiment, channel: int | str | None) -> int:
    names = [name for name, _ in experiment.channels]
    return chosen(experiment.path, "channel", channel, numbers=range(1, len(names) + 1), names=names)


def _container(
    folder: Path,
    names: Sequence[str],
    experiment: ThorExperiment,
    channel: int | str | None,
    plane: int | None,
) -> Movie:
    """Open a BigTIFF, which is an OME-TIFF of one region; later files of a region belong to its set."""
    regions = sorted({re.sub(r"_\d+\.tiff?$", "", name, flags=re.I) for name in names})
    if len(regions) > 1:
        raise InputFileError(
            folder, f"holds several regions: {', '.join(regions[:5])}.", "Put each into a folder of its own."
        )
    return _ThorOme(folder / names[0], experiment, channel=_place(experiment, channel) + 1, plane=plane)


class _ThorOme(OmeMovie):
    """An OME-TIFF whose rate, start and pixel size are those of the Experiment.xml."""

    def __init__(self, path: Path, experiment: ThorExperiment, *, channel: int, plane: int | None) -> None:
        super().__init__(path, channel=channel, plane=plane, use_timestamps=False)
        self._stated = Stated(
            experiment.rate_hz, experiment.started, None, experiment.pixel_size_um or self.pixel_size_um
        )


class ThorTiffMovie(PagedMovie):
    """One channel of a folder with a TIFF file per image, named channel_well_site_plane_time.tif.

    Parameters
    ----------
    folder, names
        The folder and its image files; previews are not among them.
    experiment
        Its Experiment.xml.
    channel
        Name, as in the file names, or number (from 1); needed when there are several.
    plane
        Number of the only plane to take from volumes, counted from 1.

    Raises
    ------
    InputFileError
        Naming the first image that is missing, or what to choose.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        experiment: ThorExperiment,
        *,
        channel: int | str | None,
        plane: int | None,
    ) -> None:
        found = [match for match in map(_TIFF.fullmatch, names) if match]
        sites = sorted({match["site"] for match in found})
        channels = sorted({match["channel"] for match in found})
        if len(sites) > 1:
            raise InputFileError(
                folder,
                f"holds several wells or tiles: {', '.join(sites[:5])}.",
                "Put each into a folder of its own.",
            )
        name = channels[
            chosen(folder, "channel", channel, numbers=range(1, len(channels) + 1), names=channels)
        ]
        own = {(int(m["t"]), int(m["z"])): m[0] for m in found if m["channel"] == name}
        table = _grid(folder, own, experiment)
        if plane is not None:
            table = table[:, [chosen_plane(folder, plane, table.shape[1])]]
        paths = [folder / own_name for own_name in table.ravel()]
        source = PageFiles(paths)
        try:
            first = source.first
            if first.n_pages > 1:
                raise InputFileError(
                    first.path,
                    f"holds {first.n_pages} pages; ThorImage writes one image per file.",
                    "Use format: ome_tiff, or tiff_movie, for files that were joined.",
                )
            if (first.height, first.width) != (experiment.height, experiment.width):
                raise InputFileError(
                    first.path,
                    f"has {first.height}x{first.width} pixels, {experiment.path.name} states "
                    f"{experiment.height}x{experiment.width}.",
                    "The XML belongs to another recording.",
                )
            numbers = np.arange(table.size, dtype=np.int32).reshape(table.shape)
            stated = Stated(experiment.rate_hz, experiment.started, None, experiment.pixel_size_um)
            if not experiment.streamed:
                times = _delta_t([folder / each for each in table[:, 0]])
                if times is not None:
                    stated = _timed(stated, times)
            super().__init__(source, TableOrder(numbers, np.zeros_like(numbers)), stated=stated)
        except BaseException:
            source.close()
            raise


def _grid(folder: Path, own: dict[tuple[int, int], str], experiment: ThorExperiment) -> NDArray[np.str_]:
    """Return the file names by time point and plane; all must be there."""
    n_times, n_planes = max(t for t, _ in own), max(z for _, z in own)
    if n_times * n_planes > 4 * len(own) + 4:
        raise UnsafeFileError(
            folder, f"has {len(own)} images, numbered up to {n_times} in {n_planes} planes."
        )
    if n_planes != experiment.n_planes:
        raise InputFileError(
            folder,
            f"has images of {n_planes} planes, {experiment.path.name} states {experiment.n_planes}.",
            "The XML belongs to another recording.",
        )
    last_is_whole = all((n_times, z) in own for z in range(1, n_planes + 1))
    n_times -= 0 if last_is_whole or n_times == 1 else 1
    missing = [(t, z) for t in range(1, n_times + 1) for z in range(1, n_planes + 1) if (t, z) not in own]
    if missing:
        t, z = missing[0]
        raise InputFileError(
            folder,
            f"lacks the image of plane {z} at time point {t}; {len(missing)} images are missing.",
            "Copy the folder again.",
        )
    asked = experiment.n_frames // (experiment.n_planes + experiment.n_flyback)
    if experiment.stopped is False and n_times < asked:
        raise InputFileError(
            folder,
            f"holds {n_times} of {asked} time points of a recording that was completed.",
            "Copy the folder again.",
        )
    return np.array([[own[t, z] for z in range(1, n_planes + 1)] for t in range(1, n_times + 1)])


def _delta_t(paths: Sequence[Path]) -> NDArray[np.float64] | None:
    """Return when each image was taken, s, as its own description says; None where one does not."""
    times = []
    for path in paths:
        found = _DELTA_T.search(first_description(path))
        if found is None:
            return None
        times.append(float(found[1]))
    values = np.array(times)
    return values if len(values) > 1 and (np.diff(values) > 0).all() else None


def _timed(stated: Stated, times_s: NDArray[np.float64]) -> Stated:
    """Return what the XML states with the times of frames (n,), s since its date."""
    started = None if stated.started is None else stated.started + timedelta(seconds=float(times_s[0]))
    rate = float(1 / np.median(np.diff(times_s)))
    return replace(stated, frame_times_s=times_s, rate_hz=rate, started=started)


class ThorInterface(StatedMovieInterface):
    """ThorImage movie of frames or volumes; stored as (frames, x, y[, plane]).

    Parameters
    ----------
    folder_path : DirectoryPath or list of DirectoryPath
        The folder with Experiment.xml; several with parts runs.
    channel : int or str
        Name, e.g. ChanA, or number (from 1) of the channel; needed when there are several.
    plane : int
        Number of the only plane to take from volumes, counted from 1.
    source : str
        tiff or raw, where the folder holds both.
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

    display_name = "ThorImage movie"
    associated_suffixes = (".tif", ".raw", ".xml")
    info = "Reads one channel of a ThorImage folder: TIFF files or a raw file, without flyback frames."

    def __init__(
        self,
        *,
        folder_path: DirectoryPath | list[DirectoryPath],
        channel: int | str | None = None,
        plane: int | None = None,
        source: Source | None = None,
        rate_hz: float | None = None,
        start_s: float = 0.0,
        parts: Parts = "single",
        part_start_s: Sequence[float] = (),
        metadata_key: str = "movie",
    ) -> None:
        """Read the XML and look for the files; no image is read yet."""
        super().__init__(
            lambda folder: open_thor(folder, channel=channel, plane=plane, source=source),
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
                "source": source,
            },
        )
