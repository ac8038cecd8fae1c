"""Two-photon movies of Femtonics: one channel of a measurement unit in a .mesc file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import FilePath
from pynwb import NWBFile

from nwbswitch.converters.imaging.hdf5_frames import FrameStack, damage_named
from nwbswitch.converters.imaging.joined_movie import JoinedMovie
from nwbswitch.converters.imaging.mesc_unit import (
    check_movie,
    check_size,
    find_channel,
    find_unit,
    frame_period_s,
    measured_at,
    scaling_of,
)
from nwbswitch.converters.imaging.movie_interface import MovieInterface
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.hdf5_guard import open_hdf5
from nwbswitch.schemas.stream_base import Parts


class FemtonicsMovie:
    """One channel of one measurement unit, brighter where there was more light.

    Rows are as stored; MESc shows the first one at the bottom.

    Parameters
    ----------
    path
        The .mesc file.
    unit
        Its number, name (MUnit_3) or path (MSession_0/MUnit_3); needed when there are several.
    channel
        Its name (UG), or that of its dataset (Channel_0); needed when there are several.

    Raises
    ------
    InputFileError
        When the file is damaged, the unit or channel is not clear, or the unit is no movie.
    UnsafeFileError
        When the file reaches outside itself, or states sizes that it cannot hold or that memory cannot.
    """

    def __init__(self, path: Path, *, unit: int | str | None = None, channel: str | None = None) -> None:
        self.path = Path(path)
        with ExitStack() as files, damage_named(self.path):
            group = find_unit(self.path, files.enter_context(open_hdf5(self.path)), unit)
            check_movie(self.path, group)
            key = find_channel(self.path, group, channel)
            self._stack = FrameStack(self.path, group[key], "tyx")
            self.shape = self._stack.shape
            check_size(self.path, group, self.shape)
            self.scaling, self._inverted = scaling_of(self.path, group, key, self.shape.dtype)
            period_s, first_s = frame_period_s(self.path, group)
            self.rate_hz = None if period_s is None else 1 / period_s
            measured = measured_at(self.path, group)
            self.started = None if measured is None else measured + timedelta(seconds=first_s)
            self._files = files.pop_all()

    frame_times_s = None

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start`` to ``stop``, (frames, rows, columns)."""
        frames = self._stack.read(start, stop)
        return np.invert(frames, out=frames) if self._inverted else frames

    def close(self) -> None:
        """Close the file."""
        self._files.close()


class FemtonicsInterface(MovieInterface):
    """Femtonics movie; stored as (frames, x, y).

    Parameters
    ----------
    file_path : FilePath or list of FilePath
        The .mesc file; several with parts continuous or runs.
    unit : int or str, optional
        Measurement unit when there are several: its number, MUnit_3, or MSession_0/MUnit_3.
    channel : str, optional
        Channel when there are several: its name, e.g. UG, or Channel_0.
    rate_hz : float, optional
        Frame rate, Hz; must agree with the file.
    start_s : float
        Time of the first frame, s.
    parts : str
        How several files follow each other: single, continuous or runs.
    part_start_s : list of float
        Start of each run, s; by default as the files state it.
    metadata_key : str
        Key of this movie in metadata["Ophys"]["MicroscopySeries"].
    """

    display_name = "Femtonics movie"
    associated_suffixes = (".mesc",)
    info = "Reads a measurement unit of Femtonics .mesc files, chunk by chunk."

    def __init__(
        self,
        *,
        file_path: FilePath | list[FilePath],
        unit: int | str | None = None,
        channel: str | None = None,
        rate_hz: float | None = None,
        start_s: float = 0.0,
        parts: Parts = "single",
        part_start_s: Sequence[float] = (),
        metadata_key: str = "movie",
    ) -> None:
        """Open the files and find unit and channel."""
        super().__init__(
            partial(FemtonicsMovie, unit=unit, channel=channel),
            paths=file_path,
            rate_hz=rate_hz,
            start_s=start_s,
            parts=parts,
            part_start_s=part_start_s,
            metadata_key=metadata_key,
            source={
                "file_path": file_path,
                "unit": unit,
                "channel": channel,
            },
        )
        movies = self.movie.movies if isinstance(self.movie, JoinedMovie) else [self.movie]
        scalings = [each.scaling for each in movies if isinstance(each, FemtonicsMovie)]
        self.scaling = scalings[0]
        if len(set(scalings)) > 1:
            self.close()
            raise InputFileError(
                self.source_path,
                "and the files after it give the same values different meanings (conversion or offset).",
                "Make them streams of their own.",
            )

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add the movie to the acquisition, with what its values mean as conversion and offset.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives the series.
        metadata : dict
            As from get_metadata.
        stub : bool
            Take the first 100 frames only.
        """
        before = set(nwbfile.acquisition)
        super().add_to_nwbfile(nwbfile, metadata, stub=stub)
        for name in set(nwbfile.acquisition) - before:
            # pynwb gives both their defaults when a series is made, and lets no attribute be set twice.
            nwbfile.acquisition[name].fields.update(
                conversion=self.scaling.conversion, offset=self.scaling.offset
            )
