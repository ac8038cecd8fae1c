"""Tracked body parts, pupils and faces, as a study file describes them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from nwbswitch.schemas.stream_base import RowStream


class CameraStream(RowStream):
    """What a program found in each frame of a video; its files state no times."""

    rate_hz: float | None = Field(None, gt=0, description="Frames of the video per second.")
    pixel_size_mm: float | None = Field(
        None, gt=0, description="Side of a pixel in the plane of the animal, mm; without it, pixels."
    )

    @model_validator(mode="after")
    def _has_times(self) -> CameraStream:
        if self.rate_hz is None and self.timing_of is None and self.frame_times is None:
            raise ValueError(
                "the file states no times: give rate_hz, frame_times, or timing_of, the stream of the video"
            )
        return self


class DeepLabCut(CameraStream):
    """Body parts found by DeepLabCut: .h5 or .csv, of one animal or several."""

    format: Literal["deeplabcut"]
    individual: str | None = Field(None, description="Animal, where the file has several.")


class LightningPose(CameraStream):
    """Body parts found by Lightning Pose, or smoothed by its ensemble Kalman smoother: .csv."""

    format: Literal["lightning_pose"]


class Sleap(CameraStream):
    """Body parts found by SLEAP: .slp, or its analysis .h5."""

    format: Literal["sleap"]
    track: str | None = Field(
        None, description="Name of the animal's track, where the file has several; its number if unnamed."
    )
    video: int | None = Field(None, ge=0, description="Number of the video, from 0, where it has several.")


class FacemapKeypoints(CameraStream):
    """Points of the face found by Facemap: *_FacemapPose.h5."""

    format: Literal["facemap_keypoints"]


class Facemap(CameraStream):
    """Pupil, motion energy, blinks and running found by Facemap in regions of a video: *_proc.npy."""

    format: Literal["facemap"]
    components: int = Field(
        0, ge=0, description="Singular vectors of motion and movie to keep, from the first; Facemap has 500."
    )
