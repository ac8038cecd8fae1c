"""What the interfaces of all movie formats share: one clock, one series in the acquisition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from neuroconv.utils import DeepDict
from pynwb import NWBFile
from pynwb.ophys import OnePhotonSeries, TwoPhotonSeries

from nwbswitch.converters.clocks.clock_map import ClockMap
from nwbswitch.converters.frame_rate import agreed_rate_hz
from nwbswitch.converters.imaging.imaging_plane import (
    PLANE_KEY,
    default_plane_metadata,
    entry,
    imaging_plane,
    with_ophys,
)
from nwbswitch.converters.imaging.joined_movie import JoinedMovie, open_movie, run_timing
from nwbswitch.converters.imaging.movie import Movie, MovieChunks
from nwbswitch.converters.timed_interface import TimedInterface
from nwbswitch.converters.timing import STUB_SAMPLES, Timing
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.stream_base import Parts


class MovieInterface(TimedInterface):
    """A movie; stored as (frames, x, y[, plane]), the transpose of the (y, x) images that readers give.

    A subclass passes how one file is opened, and its arguments as ``source``.

    Parameters
    ----------
    open_one
        Opens the movie of one file.
    paths
        One file, or several with ``parts`` continuous or runs.
    rate_hz
        Frame rate, Hz, as the study states it; must agree with the files where they state one.
    start_s
        Time of the first frame on the movie's clock, s.
    parts, part_start_s
        How several files follow each other, and where runs start, s.
    metadata_key
        Key of this movie in metadata["Ophys"]["MicroscopySeries"].
    source
        The other arguments of the subclass; neuroconv keeps all of them.
    """

    photons: int = 2
    keywords: ClassVar[tuple[str, ...]] = ("microscopy", "movie", "calcium imaging")

    def __init__(
        self,
        open_one: Callable[[Path], Movie],
        *,
        paths: Path | str | Sequence[Path | str],
        rate_hz: float | None,
        start_s: float,
        parts: Parts,
        part_start_s: Sequence[float],
        metadata_key: str,
        source: Mapping[str, Any],
    ) -> None:
        if rate_hz is not None and not rate_hz > 0:
            raise ValueError(f"rate_hz must be positive, not {rate_hz}")
        super().__init__(
            **source,
            rate_hz=rate_hz,
            start_s=start_s,
            parts=parts,
            part_start_s=part_start_s,
            metadata_key=metadata_key,
        )
        files = [Path(paths)] if isinstance(paths, Path | str) else [Path(each) for each in paths]
        self.metadata_key = metadata_key
        self.movie = open_movie(files, open_one, parts=parts)
        try:
            self.rate_hz = _rate_hz(files[0], self.movie.rate_hz, rate_hz)
            self.set_own_timing(self._timing(files[0], start_s, parts, part_start_s), files[0])
            self._take_facts(self.movie)
        except BaseException:
            self.movie.close()
            raise

    def _take_facts(self, movie: Movie) -> None:
        """Take what else the files of a movie state; when that cannot be, they are closed."""

    def _timing(self, file: Path, start_s: float, parts: Parts, part_start_s: Sequence[float]) -> Timing:
        n_frames = self.movie.shape.n_frames
        if parts == "runs" and isinstance(self.movie, JoinedMovie):
            timing = run_timing(self.movie, self.rate_hz, part_start_s)
        elif self.movie.frame_times_s is not None:
            try:
                timing = Timing.of_times(self.movie.frame_times_s)
            except ValueError as error:
                raise InputFileError(file, f"states frame times that cannot be used: {error}.") from error
        else:
            timing = Timing(n_frames, 0.0, self.rate_hz)
        return timing.on(ClockMap(start_s))

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.movie.shape.n_frames

    def get_metadata_schema(self) -> dict[str, Any]:
        """Return neuroconv's base schema with the imaging plane and the series."""
        return with_ophys(super().get_metadata_schema(), "MicroscopySeries")

    def get_metadata(self) -> DeepDict:
        """Return the default names, and the session start where the file states it with a UTC offset."""
        metadata = super().get_metadata()
        own = default_plane_metadata()
        own["Ophys"]["MicroscopySeries"] = {self.metadata_key: self._defaults()}
        started = self.movie.started
        if started is not None and started.tzinfo is not None:
            first_s = timedelta(seconds=self.own_timing.first_s)
            own["NWBFile"] = {"session_start_time": started - first_s}
        metadata.deep_update(DeepDict(own))
        return metadata

    def _defaults(self) -> dict[str, str]:
        kind, name = ("Two", "TwoPhotonSeries") if self.photons == 2 else ("One", "OnePhotonSeries")
        axes = "frames, x, y" if self.movie.shape.n_planes == 1 else "frames, x, y, plane"
        return {
            "name": name,
            "description": f"{kind}-photon movie as acquired, stored as ({axes}).",
            "imaging_plane_metadata_key": PLANE_KEY,
        }

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add the movie to the acquisition.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives the series.
        metadata : dict
            As from get_metadata.
        stub : bool
            Take the first 100 frames only.
        """
        metadata = self.get_metadata() if metadata is None else metadata
        fields = entry(metadata, "MicroscopySeries", self.metadata_key, self._defaults())
        n_frames = min(self.n_frames, STUB_SAMPLES) if stub else self.n_frames
        shape = self.movie.shape
        planes = [] if shape.n_planes == 1 else [shape.n_planes]
        nwbfile.add_acquisition(
            (TwoPhotonSeries if self.photons == 2 else OnePhotonSeries)(
                name=fields["name"],
                description=fields["description"],
                data=MovieChunks(self.movie, n_frames=n_frames),
                unit="n.a.",
                comments="Pixel values as delivered by the microscope; one image of the source is (y, x).",
                imaging_plane=imaging_plane(nwbfile, metadata, key=fields["imaging_plane_metadata_key"]),
                dimension=[shape.width, shape.height, *planes],
                **self.timing.series_fields(n_frames),
            )
        )

    def close(self) -> None:
        """Close the files; call it after the NWB file is written."""
        self.movie.close()


def _rate_hz(file: Path, own_hz: float | None, stated_hz: float | None) -> float:
    """Return the rate of a movie, which has to have one."""
    remedy = "Correct rate_hz in the study file, or leave it out."
    rate_hz = agreed_rate_hz(file, own_hz, stated_hz, says="The file states", remedy=remedy)
    if rate_hz is None:
        raise InputFileError(file, "states no frame rate.", "Give rate_hz of this stream in the study file.")
    return float(rate_hz)
