"""Body parts found by Lightning Pose, in its .csv files."""

from __future__ import annotations

from pathlib import Path

from pydantic import FilePath

from nwbswitch.converters.behavior.pose_csv import read_pose_csv
from nwbswitch.converters.behavior.pose_interface import PoseInterface


class LightningPoseInterface(PoseInterface):
    """Points of one animal; positions and likelihoods stay as read.

    Parameters
    ----------
    file_path : FilePath
        The .csv with the predictions for a video.
    rate_hz : float, optional
        Frames of the video per second.
    pixel_size_mm : float, optional
        Side of a pixel in the plane of the animal, mm.
    start_s : float
        Time of the first frame, s.
    metadata_key : str
        Name of the stream.
    """

    display_name = "Lightning Pose"
    associated_suffixes = (".csv",)
    info = "Reads body parts from a file that Lightning Pose wrote for a video."

    def __init__(
        self,
        *,
        file_path: FilePath,
        rate_hz: float | None = None,
        pixel_size_mm: float | None = None,
        start_s: float = 0.0,
        metadata_key: str = "pose",
    ) -> None:
        """Open the file."""
        super().__init__(
            file_path=file_path,
            rate_hz=rate_hz,
            pixel_size_mm=pixel_size_mm,
            start_s=start_s,
            metadata_key=metadata_key,
        )
        self.take(
            read_pose_csv(Path(file_path), individual=None, software="Lightning Pose"),
            rate_hz=rate_hz,
            start_s=start_s,
            pixel_size_mm=pixel_size_mm,
            metadata_key=metadata_key,
        )
