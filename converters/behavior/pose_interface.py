"""What pose files of every kind become: a Position with a series per body part, confidence and skeleton."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pynwb import NWBFile

from nwbswitch.converters.behavior.pose import Pose, PoseStore
from nwbswitch.converters.behavior.signals import plain_name
from nwbswitch.converters.nwb_modules import behavior_module, container
from nwbswitch.converters.timed_interface import TimedInterface
from nwbswitch.converters.timing import STUB_SAMPLES, Timing
from nwbswitch.schemas.errors import InputFileError

REFERENCE_FRAME = (
    "Image of the camera: x to the right, y downward, origin at the upper left corner of the video frame."
)


def camera_unit(pixel_size_mm: float | None) -> tuple[str, float]:
    """Return the unit of places in a video frame and the factor that leads to it."""
    return ("pixels", 1.0) if pixel_size_mm is None else ("meters", pixel_size_mm * 1e-3)


def camera_timing(n: int, start_s: float, rate_hz: float | None) -> Timing:
    """Return the times of ``n`` video frames, not known without a rate."""
    if rate_hz is not None and not rate_hz > 0:
        raise ValueError(f"rate_hz must be positive, not {rate_hz}")
    return Timing(n, float(start_s), rate_hz)


class PoseInterface(TimedInterface):
    """A pose file; a subclass opens it and calls `take`."""

    keywords: ClassVar[tuple[str, ...]] = ("behavior", "pose", "keypoints", "tracking")
    pose: Pose
    metadata_key: str
    rate_hz: float | None

    def take(
        self,
        pose: Pose,
        *,
        rate_hz: float | None,
        start_s: float,
        pixel_size_mm: float | None,
        metadata_key: str,
    ) -> None:
        """Keep an opened pose file and what the study says about it."""
        names = [plain_name(each) for each in pose.keypoints]
        if len(set(names)) < len(names) or "" in names:
            raise InputFileError(pose.path, f"has keypoints that cannot be told apart: {', '.join(names)}.")
        self.pose, self.store, self.names = pose, PoseStore(pose), names
        self.rate_hz, self.metadata_key = rate_hz, metadata_key
        self.unit = camera_unit(pixel_size_mm)
        self.set_own_timing(camera_timing(pose.n, start_s, rate_hz), pose.path)

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add a Position with the name of the stream, the confidence of all points, and their table.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives the processing module behavior.
        metadata : dict
            Not used: all there is to say comes with the stream.
        stub : bool
            Take the first 100 frames only.
        """
        from pynwb import TimeSeries
        from pynwb.behavior import BehavioralTimeSeries, Position, SpatialSeries

        self.require_times()
        stop = STUB_SAMPLES if stub else None
        module = behavior_module(nwbfile)
        position = Position(name=plain_name(self.metadata_key))
        times = self.timing.series_fields(stop)
        for number, (name, keypoint) in enumerate(zip(self.names, self.pose.keypoints, strict=True)):
            series = SpatialSeries(
                name=name,
                description=f"Place of {keypoint} in each video frame (x, y); NaN where it was not found.",
                data=self.store.places(number, stop),
                unit=self.unit[0],
                conversion=self.unit[1],
                reference_frame=REFERENCE_FRAME,
                comments=self.pose.comments or "no comments",
                **times,
            )
            position.add_spatial_series(series)
            if "timestamps" in times:
                # Kept once in the file; the other series link to them.
                times = {"timestamps": series if number == 0 else times["timestamps"]}
        module.add(position)
        if self.pose.has_confidence:
            confidence = TimeSeries(
                name=f"{position.name}_confidence",
                description=f"Confidence of {self.pose.software} in each point; one column per row of "
                f"{position.name}_keypoints.",
                data=self.store.confidence(stop),
                unit="1",
                comments=self.pose.comments or "no comments",
                **times,
            )
            container(module, BehavioralTimeSeries).add_timeseries(confidence)
        module.add(self._keypoint_table(position.name))

    def _keypoint_table(self, name: str) -> Any:
        from hdmf.common import DynamicTable, VectorData

        table = DynamicTable(
            name=f"{name}_keypoints",
            description=f"Points that {self.pose.software} looked for, in the order of the columns of "
            f"{name}_confidence.",
            columns=[
                VectorData(name="keypoint", description="Name of the point.", data=list(self.pose.keypoints)),
                VectorData(name="series", description=f"Name of its series in {name}.", data=self.names),
            ],
        )
        if self.pose.edges is not None:
            joined: list[list[str]] = [[] for _ in self.names]
            for source, target in self.pose.edges:
                joined[source].append(self.pose.keypoints[target])
            table.add_column(
                name="connected_to",
                description="Points at the other ends of the edges of the skeleton that begin here.",
                data=[each for row in joined for each in row] or np.array([], dtype="S1"),
                index=np.cumsum([len(row) for row in joined]),
            )
        return table

    def close(self) -> None:
        """Let go of the points; call it after the NWB file is written."""
        self.store.close()
