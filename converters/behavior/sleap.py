"""Body parts found by SLEAP, in its .slp and analysis files."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from pydantic import FilePath

from nwbswitch.converters.behavior.pose import Pose
from nwbswitch.converters.behavior.pose_interface import PoseInterface
from nwbswitch.converters.behavior.sleap_analysis import read_analysis
from nwbswitch.converters.behavior.sleap_labels import read_slp
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.file_guard import open_hdf5


class SleapInterface(PoseInterface):
    """Points of one animal in every frame of a video up to the last one in which any animal was found.

    Parameters
    ----------
    file_path : FilePath
        The .slp file, or the analysis .h5 file.
    track : str, optional
        Name of the animal's track, where the file has several; its number if unnamed.
    video : int, optional
        Number of the video, from 0, where the file has several.
    rate_hz : float, optional
        Frames of the video per second.
    pixel_size_mm : float, optional
        Side of a pixel in the plane of the animal, mm.
    start_s : float
        Time of the first frame, s.
    metadata_key : str
        Name of the stream.
    """

    display_name = "SLEAP"
    associated_suffixes = (".slp", ".h5")
    info = "Reads body parts of one track from a file of SLEAP."

    def __init__(
        self,
        *,
        file_path: FilePath,
        track: str | None = None,
        video: int | None = None,
        rate_hz: float | None = None,
        pixel_size_mm: float | None = None,
        start_s: float = 0.0,
        metadata_key: str = "pose",
    ) -> None:
        """Open the file and find the animal."""
        super().__init__(
            file_path=file_path,
            track=track,
            video=video,
            rate_hz=rate_hz,
            pixel_size_mm=pixel_size_mm,
            start_s=start_s,
            metadata_key=metadata_key,
        )
        self._open = ExitStack()
        try:
            self.take(
                self._pose(Path(file_path), track, video),
                rate_hz=rate_hz,
                start_s=start_s,
                pixel_size_mm=pixel_size_mm,
                metadata_key=metadata_key,
            )
        except BaseException:
            self._open.close()
            raise
        # Files end at the last frame with an animal; the video that gives the times may go on.
        self.frame_numbers = np.arange(self.pose.n) if self.pose.n > 1 else None

    def _pose(self, path: Path, track: str | None, video: int | None) -> Pose:
        file = self._open.enter_context(open_hdf5(path))
        if "tracks" in file and "node_names" in file:
            if video is not None:
                raise InputFileError(path, "is an analysis file, of one video.", "Leave video out.")
            return read_analysis(file, path, track=track)
        return read_slp(file, path, track=track, video=video)

    def close(self) -> None:
        """Close the file; call it after the NWB file is written."""
        super().close()
        self._open.close()
