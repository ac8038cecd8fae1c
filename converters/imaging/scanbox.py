"""Two-photon movies of Scanbox: an .sbx file of frames and the .mat file that says how they lie in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import FilePath

from nwbswitch.converters.imaging.joined_movie import JoinedMovie
from nwbswitch.converters.imaging.movie import MovieShape
from nwbswitch.converters.imaging.movie_interface import MovieInterface
from nwbswitch.converters.imaging.raw_frames import open_raw, read_into
from nwbswitch.converters.imaging.scanbox_info import ScanboxInfo, read_info
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.stream_base import Parts


class ScanboxMovie:
    """The frames of one PMT, of all planes or of one, brighter where there was more light.

    Scanbox stores 65535 minus the brightness, little-endian, the pixels of both PMTs alternating. Columns at
    the edges that a bidirectional scan does not fill are left as they were recorded.

    Parameters
    ----------
    path
        The .sbx file.
    channel
        pmt0 or pmt1; needed when several were recorded.
    plane
        One plane, from 1; a volume of all by default.
    n_planes
        Number of planes, where the .mat file does not state one.

    Raises
    ------
    InputFileError
        When the .mat file is missing or odd, the file is cut short, or the PMT or plane is not there.
    UnsafeFileError
        When a frame would not fit into memory.
    """

    def __init__(
        self,
        path: Path,
        *,
        channel: str | None = None,
        plane: int | None = None,
        n_planes: int | None = None,
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".sbx":
            raise InputFileError(self.path, "is no .sbx file.", "Give the .sbx file, not the .mat beside it.")
        self._stream = open_raw(self.path)
        try:
            self.info = info = read_info(self.path.with_suffix(".mat"), n_planes=n_planes)
            self._pixel = _pmt_position(self.path, info, channel)
            if plane is not None and not 1 <= plane <= info.n_planes:
                raise InputFileError(
                    self.path, f"has {info.n_planes} planes, counted from 1, but no plane {plane}."
                )
            images, self.notes = _count(self.path, info)
        except BaseException:
            self._stream.close()
            raise
        self._planes: Sequence[int] = range(info.n_planes) if plane is None else (plane - 1,)
        self.shape = MovieShape(
            images // info.n_planes, info.rows, info.columns, np.dtype(np.uint16), len(self._planes)
        )
        self.rate_hz = None if info.image_rate_hz is None else info.image_rate_hz / info.n_planes

    started = None

    @property
    def frame_times_s(self) -> NDArray[np.float64] | None:
        """Times of the frames of a plane that is not the first: each volume begins with plane 1."""
        image_hz, first = self.info.image_rate_hz, self._planes[0]
        if not first or image_hz is None:
            return None
        times: NDArray[np.float64] = (np.arange(self.shape.n_frames) * self.info.n_planes + first) / image_hz
        return times

    def read(self, start: int, stop: int) -> NDArray[np.uint16]:
        """Return frames ``start`` to ``stop``, (frames, rows, columns[, planes])."""
        info = self.info
        image = np.empty((info.rows, info.columns, len(info.pmts)), "<u2")
        frames = np.empty((stop - start, info.rows, info.columns, len(self._planes)), np.uint16)
        for place, frame in enumerate(range(start, stop)):
            for position, plane in enumerate(self._planes):
                offset = (frame * info.n_planes + plane) * info.image_bytes
                read_into(self._stream, self.path, offset, image)
                np.invert(image[..., self._pixel], out=frames[place, ..., position])
        return frames[..., 0] if len(self._planes) == 1 else frames

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _pmt_position(path: Path, info: ScanboxInfo, channel: str | None) -> int:
    names = [f"pmt{number}" for number in info.pmts]
    words = " and ".join(names)
    if channel is None and len(names) > 1:
        raise InputFileError(path, f"holds {words}.", "Give channel of this stream, one of them.")
    if channel is not None and channel not in names:
        raise InputFileError(path, f"holds {words}, not {channel}.", "Correct channel, or leave it out.")
    return 0 if channel is None else names.index(channel)


def _count(path: Path, info: ScanboxInfo) -> tuple[int, tuple[str, ...]]:
    """Return how many images there are, and what is left out of them."""
    size = path.stat().st_size
    frame_bytes = info.image_bytes * info.images_per_frame
    frames, rest = divmod(size, frame_bytes)
    said = info.n_frames
    if said is None and rest:
        raise InputFileError(path, *_uneven(info, size, frame_bytes))
    if said is not None and frames + (rest > 0) < said:
        raise InputFileError(
            path, f"is cut short: it holds {frames} of {said} frames (info.max_idx).", "Copy it again."
        )
    if said is not None and frames > said:
        raise InputFileError(
            path,
            f"holds {frames} frames of {frame_bytes} bytes, info.max_idx states {said}.",
            "One of them is wrong; correct max_idx in the .mat file, or remove it.",
        )
    left_out = []
    if rest:
        left_out.append(
            f"The file ends within frame {frames + 1}, of which {rest} of {frame_bytes} bytes are there"
        )
    if frames % info.n_planes:
        left_out.append(f"the last volume has {frames % info.n_planes} of {info.n_planes} planes")
    if frames < info.n_planes:
        raise InputFileError(
            path, f"holds no whole {'volume' if info.n_planes > 1 else 'frame'}; it has {size} bytes."
        )
    note = "; ".join(left_out)
    notes = (f"{note[:1].upper()}{note[1:]}; left out.",) if note else ()
    return frames * info.images_per_frame, notes


def _uneven(info: ScanboxInfo, size: int, frame_bytes: int) -> tuple[str, str]:
    raw = info.raw_columns and frame_bytes // info.columns * info.raw_columns
    if raw and size % raw == 0:
        return (
            f"holds lines of {info.raw_columns} samples, as the first Scanbox saved them, not images.",
            "Convert them to images with the sbxread of that time.",
        )
    frames, rest = divmod(size, frame_bytes)
    return (
        f"is cut short: it ends within frame {frames + 1}, {rest} of whose {frame_bytes} bytes are there.",
        f"Copy it again; if the recording ended so, cut the file to {frames * frame_bytes} bytes.",
    )


class ScanboxInterface(MovieInterface):
    """Scanbox recording; stored as (frames, x, y[, plane]).

    Parameters
    ----------
    file_path : FilePath or list of FilePath
        The .sbx file, with its .mat file beside it; several with parts continuous or runs.
    channel : str, optional
        pmt0 or pmt1; needed when both were recorded.
    plane : int, optional
        One optotune plane, from 1; all planes as a volume by default.
    n_planes : int, optional
        Number of optotune planes, when the .mat file does not state one number.
    rate_hz : float, optional
        Frame (volume) rate, Hz; must agree with the resonant frequency and the number of lines.
    start_s : float
        Time of the first frame, s.
    parts : str
        How several files follow each other: single, continuous or runs.
    part_start_s : list of float
        Start of each run, s.
    metadata_key : str
        Key of this movie in metadata["Ophys"]["MicroscopySeries"].
    """

    display_name = "Scanbox movie"
    associated_suffixes = (".sbx", ".mat")
    info = "Reads two-photon movies of Scanbox (.sbx and .mat), frame by frame."

    def __init__(
        self,
        *,
        file_path: FilePath | list[FilePath],
        channel: str | None = None,
        plane: int | None = None,
        n_planes: int | None = None,
        rate_hz: float | None = None,
        start_s: float = 0.0,
        parts: Parts = "single",
        part_start_s: Sequence[float] = (),
        metadata_key: str = "movie",
    ) -> None:
        """Read the .mat files and count the frames."""
        super().__init__(
            partial(ScanboxMovie, channel=channel, plane=plane, n_planes=n_planes),
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
                "n_planes": n_planes,
            },
        )

    def _defaults(self) -> dict[str, str]:
        fields = super()._defaults()
        movies = self.movie.movies if isinstance(self.movie, JoinedMovie) else [self.movie]
        notes = [note for each in movies if isinstance(each, ScanboxMovie) for note in each.notes]
        return {**fields, "description": " ".join([fields["description"], *notes])}
