"""One-photon movies of Inscopix (.isxd): the frames that were stored, each at its own time.

The layout is that of ``MosaicMovieFile`` in Inscopix's isxcore (https://github.com/inscopix/isxcore): frames
one after the other, uncompressed, little-endian; in recordings of the acquisition box each between a header
and a footer line, whose pixels hold the box's time stamp counter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import FilePath

from nwbswitch.converters.imaging.inscopix_footer import (
    MovieFooter,
    movie_footer,
    read_footer,
    start_of,
    stored_frames,
)
from nwbswitch.converters.imaging.joined_movie import JoinedMovie
from nwbswitch.converters.imaging.movie import MAX_FRAME_BYTES, MovieShape
from nwbswitch.converters.imaging.movie_interface import MovieInterface
from nwbswitch.converters.imaging.raw_frames import open_raw, read_into
from nwbswitch.converters.imaging.stated_times import in_order
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError
from nwbswitch.schemas.stream_base import Parts

LINE_BYTES = 2560 * 2
"""A header or footer line of a frame."""
COUNTER_BYTE = 1272 * 2
"""Where the time stamp counter begins in a header line: 8 pixels of 16 bits, a byte of it in bits 4 to 11 of
each, the lowest first; it counts us."""
FIRST_TIMED_VERSION = (1, 1, 1)
"""Acquisition software whose headers hold the counter."""

_DTYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype(np.uint16),
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
}


class InscopixMovie:
    """The stored frames of an .isxd movie; dropped, cropped and blank ones leave gaps between times.

    Times count from the start of the recording as the file states it, which may lie before the first frame.

    Parameters
    ----------
    path
        The .isxd file.
    use_timestamps
        Whether to take times from the counter in the headers of frames, where they have one.

    Raises
    ------
    InputFileError
        When the file is cut short or damaged, holds no movie, or holds several planes that alternate.
    UnsafeFileError
        When a frame would not fit into memory.
    """

    frame_times_s: NDArray[np.float64] | None

    def __init__(self, path: Path, *, use_timestamps: bool = True) -> None:
        self.path = Path(path)
        footer, data_bytes = read_footer(self.path)
        self.footer = found = movie_footer(self.path, footer)
        _refuse_planes(self.path, found)
        dtype = _DTYPES.get(found.data_type)
        if dtype is None:
            raise InputFileError(
                self.path, f"has pixels of type {found.data_type} (3 is colour), not grey values."
            )
        if not 1e-6 < found.timing_info.period.value < 1e6:
            raise InputFileError(self.path, f"states {found.timing_info.period.value:g} s per frame.")
        self._index = stored_frames(self.path, found.timing_info)
        pixels = found.spacing_info.num_pixels
        self.shape = MovieShape(len(self._index), pixels.y, pixels.x, dtype)
        if self.shape.frame_bytes > MAX_FRAME_BYTES:
            raise UnsafeFileError(self.path, f"declares frames of {self.shape.frame_bytes} bytes.")
        self._line = LINE_BYTES if found.file_version > 0 and found.has_frame_header_footer else 0
        self._record = self.shape.frame_bytes + 2 * self._line
        self._check_length(data_bytes)
        self._stream = open_raw(self.path)
        try:
            self._set_times(use_timestamps=use_timestamps)
        except BaseException:
            self._stream.close()
            raise

    def _check_length(self, data_bytes: int) -> None:
        stored = len(self._index)
        if not stored:
            raise InputFileError(self.path, "holds no frame; all were dropped or cropped.")
        if not stored * self._record <= data_bytes < (stored + 1) * self._record:
            raise InputFileError(
                self.path,
                f"holds {data_bytes // self._record} frames of {self._record} bytes, its footer states "
                f"{stored}.",
                "The file is damaged or cut short; copy it again.",
            )

    def _set_times(self, *, use_timestamps: bool) -> None:
        index, period_s = self._index, self.footer.timing_info.period.value
        self.rate_hz: float = 1 / period_s
        gaps = bool(index[0]) or bool((np.diff(index) != 1).any())
        self.frame_times_s = np.asarray(index * period_s, np.float64) if gaps else None
        if use_timestamps and self._line and _has_counter(self.footer):
            counts = self._counters()
            # As in isxcore, a counter that did not run (all zero, for example) tells nothing.
            if len(counts) > 1 and counts[0] < counts[-1]:
                since_first_s = in_order(
                    self.path, (counts - counts[0]).astype(np.int64) * 1e-6, otherwise="the nominal period"
                )
                self.rate_hz = float((index[-1] - index[0]) / since_first_s[-1])
                self.frame_times_s = index[0] * period_s + since_first_s
        start = start_of(self.path, self.footer.timing_info)
        first_s = 0.0 if self.frame_times_s is None else float(self.frame_times_s[0])
        self.started = None if start is None else start + timedelta(seconds=first_s)

    def _counters(self) -> NDArray[np.uint64]:
        pixels = np.empty((len(self._index), 8), "<u2")
        for number, row in enumerate(pixels):
            read_into(self._stream, self.path, number * self._record + COUNTER_BYTE, row)
        parts = ((pixels >> 4) & 0xFF).astype(np.uint64)
        counts: NDArray[np.uint64] = (parts << (8 * np.arange(8, dtype=np.uint64))).sum(
            axis=1, dtype=np.uint64
        )
        return counts

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start`` to ``stop``, (frames, height, width)."""
        shape = self.shape
        stored = shape.dtype.newbyteorder("<")
        frames = np.empty((stop - start, shape.height, shape.width), stored)
        if not self._line:
            read_into(self._stream, self.path, start * self._record, frames)
        else:
            for place, number in enumerate(range(start, stop)):
                read_into(self._stream, self.path, number * self._record + self._line, frames[place])
        return frames.astype(shape.dtype, copy=False)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _refuse_planes(path: Path, footer: MovieFooter) -> None:
    # De-interleaved movies keep the block of the microscope, and have the focus of their plane under idps.
    extra = footer.extra_properties or {}
    microscope, own = extra.get("microscope"), extra.get("idps")
    planes = microscope.get("multiplane") if isinstance(microscope, dict) else None
    if not isinstance(planes, dict) or not planes.get("enabled"):
        return
    if not (isinstance(own, dict) and "efocus" in own):
        raise InputFileError(
            path,
            "is a multiplane recording, whose frames are of several planes in turn.",
            "De-interleave it in Inscopix Data Processing, and give each plane as a stream of its own.",
        )


def _has_counter(footer: MovieFooter) -> bool:
    producer = (footer.extra_properties or {}).get("producer")
    version = producer.get("version") if isinstance(producer, dict) else None
    numbers = re.match(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})", version) if isinstance(version, str) else None
    return numbers is not None and tuple(map(int, numbers.groups())) >= FIRST_TIMED_VERSION


class InscopixInterface(MovieInterface):
    """Inscopix one-photon movie; stored as (frames, x, y), frames that were not recorded left out.

    Parameters
    ----------
    file_path : FilePath or list of FilePath
        The .isxd file; several with parts continuous or runs.
    use_timestamps : bool
        Take the times of frames from the counter in their headers where they have one; else from the nominal
        period. Gaps are kept in either case.
    rate_hz : float, optional
        Frame rate, Hz; must agree with the file.
    start_s : float
        Time at which the recording began, s.
    parts : str
        How several files follow each other: single, continuous or runs.
    part_start_s : list of float
        Start of each run, s; by default as the files state it.
    metadata_key : str
        Key of this movie in metadata["Ophys"]["MicroscopySeries"].
    """

    photons = 1
    display_name = "Inscopix movie"
    associated_suffixes = (".isxd",)
    info = "Reads one-photon movies of Inscopix (.isxd), frame by frame."

    def __init__(
        self,
        *,
        file_path: FilePath | list[FilePath],
        use_timestamps: bool = True,
        rate_hz: float | None = None,
        start_s: float = 0.0,
        parts: Parts = "single",
        part_start_s: Sequence[float] = (),
        metadata_key: str = "movie",
    ) -> None:
        """Read the footers, and the time of each frame where frames have one."""
        super().__init__(
            partial(InscopixMovie, use_timestamps=use_timestamps),
            paths=file_path,
            rate_hz=rate_hz,
            start_s=start_s,
            parts=parts,
            part_start_s=part_start_s,
            metadata_key=metadata_key,
            source={
                "file_path": file_path,
                "use_timestamps": use_timestamps,
            },
        )
        if parts == "continuous" and isinstance(self.movie, JoinedMovie):
            self._refuse_gaps(self.movie)

    def _refuse_gaps(self, joined: JoinedMovie) -> None:
        for path, movie in zip(joined.paths, joined.movies, strict=True):
            if movie.frame_times_s is not None:
                self.close()
                raise InputFileError(
                    path,
                    "has frames at times of their own, which parts: continuous would lose.",
                    "Give parts: runs; the files state when each begins.",
                )
