"""Videos of the animal: the NWB file refers to them and says when each frame was taken."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import FilePath
from pynwb import NWBFile

from nwbswitch.converters.behavior.pose_interface import camera_timing
from nwbswitch.converters.behavior.signals import NOT_AVAILABLE, plain_name
from nwbswitch.converters.behavior.video_facts import VideoFacts, video_facts
from nwbswitch.converters.behavior.video_placing import external_names, fingerprint, place_video
from nwbswitch.converters.timed_interface import TimedInterface
from nwbswitch.converters.timing import STUB_SAMPLES, Timing
from nwbswitch.schemas.errors import InputFileError

RATE_TOLERANCE = 1e-3
"""Rates count as equal within this part: cameras round theirs."""


class VideoInterface(TimedInterface):
    """A video in one file, or in several that follow each other; no picture is decoded or stored.

    Parameters
    ----------
    file_path : FilePath or list of FilePath
        AVI, MP4 or QuickTime.
    rate_hz : float, optional
        Frames per second; by default the times that the video states.
    description : str
        What the camera saw.
    placing : str
        How `place_beside` brings the video beside the NWB file: link, copy or none.
    start_s : float
        Time of the first frame, s.
    metadata_key : str
        Name of the stream.
    """

    display_name = "Video"
    keywords = ("behavior", "video", "camera")
    associated_suffixes = (".avi", ".mp4", ".m4v", ".mov")
    info = "Refers to a video after checking the number of its frames."

    def __init__(
        self,
        *,
        file_path: FilePath | list[FilePath],
        rate_hz: float | None = None,
        description: str = "",
        placing: Literal["link", "copy", "none"] = "link",
        start_s: float = 0.0,
        metadata_key: str = "video",
    ) -> None:
        """Check the index of each file."""
        super().__init__(
            file_path=file_path,
            rate_hz=rate_hz,
            description=description,
            placing=placing,
            start_s=start_s,
            metadata_key=metadata_key,
        )
        if placing not in ("link", "copy", "none"):
            raise ValueError(f"placing must be link, copy or none, not {placing!r}")
        paths = [Path(each) for each in file_path] if isinstance(file_path, list) else [Path(file_path)]
        self.facts = [video_facts(path) for path in paths]
        self.rate_hz, self.description, self.placing = rate_hz, description, placing
        self.metadata_key = metadata_key
        self._names: list[tuple[Path, Any]] = []
        first = self.facts[0]
        for each in self.facts[1:]:
            if (each.width, each.height) != (first.width, first.height):
                raise InputFileError(each.path, f"has other frames than {first.path.name}.")
        stated = _stated_timing(self.facts, start_s)
        timing = stated if rate_hz is None else camera_timing(stated.n, start_s, rate_hz)
        if (
            rate_hz is not None
            and stated.rate_hz
            and abs(stated.rate_hz - rate_hz) > RATE_TOLERANCE * rate_hz
        ):
            warnings.warn(
                f"{first.path} states {stated.rate_hz:g} frames per second; rate_hz, {rate_hz:g}, counts.",
                stacklevel=2,
            )
        self.set_own_timing(timing, first.path)

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add an ImageSeries that refers to the video, beside the NWB file.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives the series as acquisition.
        metadata : dict
            Not used: all there is to say comes with the stream.
        stub : bool
            Take the times of the first 100 frames only.
        """
        from pynwb.image import ImageSeries

        self.require_times()
        paths = [each.path for each in self.facts]
        names = external_names(nwbfile, self.metadata_key, paths)
        self._names = list(zip(paths, names, strict=True))
        counts = [each.n_frames for each in self.facts]
        series = ImageSeries(
            name=plain_name(self.metadata_key),
            description=f"{self.description or 'Video of the animal.'} {_words(self.facts)}",
            unit=NOT_AVAILABLE,
            format="external",
            external_file=[str(name) for name in names],
            starting_frame=np.cumsum([0, *counts[:-1]]).astype(np.int32),
            dimension=[self.facts[0].width, self.facts[0].height],
            comments=" ".join(_identity(path, name.name) for path, name in self._names),
            **self._times(STUB_SAMPLES if stub else self.n_samples),
        )
        nwbfile.add_acquisition(series)

    def _times(self, stop: int) -> dict[str, Any]:
        """Return times as arguments of a series without data of its own, which states its length besides."""
        fields = self.timing.series_fields(stop)
        return fields if "timestamps" in fields else {**fields, "num_samples": min(stop, self.n_samples)}

    def place_beside(self, nwb_path: Path | str) -> None:
        """Bring the video to where the NWB file, which must be made, looks for it.

        Raises
        ------
        ExistingOutputError
            Another video is there.
        """
        for source, name in self._names:
            place_video(source, Path(nwb_path).parent / name, self.placing)


def _stated_timing(facts: list[VideoFacts], start_s: float) -> Timing:
    """Return the times that the videos state; of several files only rates can be joined."""
    n = sum(each.n_frames for each in facts)
    if len(facts) == 1 and facts[0].times_s is not None:
        try:
            return Timing.of_times(facts[0].times_s + start_s)
        except ValueError as error:
            raise InputFileError(
                facts[0].path, "states one time for several frames.", "Give rate_hz or frame_times."
            ) from error
    rates = [each.rate_hz for each in facts if each.rate_hz]
    if len(rates) < len(facts) or max(rates) - min(rates) > RATE_TOLERANCE * max(rates):
        return Timing(n, float(start_s))
    return Timing(n, float(start_s), rates[0])


def _words(facts: list[VideoFacts]) -> str:
    """Return what the videos hold, as a sentence."""
    first, n = facts[0], sum(each.n_frames for each in facts)
    n_empty = sum(each.n_empty for each in facts)
    words = f"{n} frames of {first.width} x {first.height} pixels, {first.codec} in {first.container}"
    words += f", {len(facts)} files" if len(facts) > 1 else ""
    words += f"; {n_empty} frames repeat the one before" if n_empty else ""
    words += f"; the video states {first.rate_hz:.6g} frames per second" if first.rate_hz else ""
    return f"{words}."


def _identity(path: Path, name: str) -> str:
    size, digest = fingerprint(path)
    return f"{name}: {size} bytes, SHA-256 of its first and last MiB {digest}."
