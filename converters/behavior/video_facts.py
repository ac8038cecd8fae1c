"""What a video file states about its frames, checked against the file; no picture is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import InputFileError

REMUX = "Repair a copy, e.g. with ffmpeg -i damaged.avi -c copy repaired.avi, and count its frames."
PREPARE = "Convert it to MP4 or AVI, e.g. with ffmpeg -i in -c copy out.mp4."


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """Frames of a video: their number, size, codec and times."""

    path: Path
    container: str
    codec: str
    width: int
    height: int
    n_frames: int
    rate_hz: float | None
    """Frames per second that the file states; None when they are not regular."""
    times_s: NDArray[np.float64] | None = None
    """Times that the file states, from 0, when they are not regular, shape (n_frames,), s."""
    n_empty: int = 0
    """Frames without a picture of their own: players repeat the one before."""


def damaged(path: Path, what: str) -> InputFileError:
    """Return the error about a video that does not hold what it states."""
    return InputFileError(path, f"is damaged: {what}.", REMUX)


def video_facts(path: Path) -> VideoFacts:
    """Return what a video states about its frames, after its index was checked.

    Raises
    ------
    InputFileError
        A file that is missing, damaged, cut off, or in another container.
    """
    from nwbswitch.converters.behavior.video_avi import read_avi
    from nwbswitch.converters.behavior.video_mp4 import read_mp4

    try:
        with path.open("rb") as stream:
            head = stream.read(12)
            stream.seek(0)
            if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
                return read_avi(stream, path)
            if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
                return read_mp4(stream, path)
    except OSError as error:
        raise InputFileError(path, f"cannot be read: {error.strerror or error}.") from error
    raise InputFileError(path, "is neither an AVI nor an MP4 or QuickTime file.", PREPARE)
