"""Raw files of ThorImage: unsigned 16-bit little-endian, the channels of a frame one after the other."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.imaging.chosen import chosen_plane
from nwbswitch.converters.imaging.movie import MovieShape
from nwbswitch.converters.imaging.raw_frames import open_raw, read_into
from nwbswitch.converters.imaging.thor_experiment import MAX_CHANNELS, ThorExperiment
from nwbswitch.schemas.errors import InputFileError

_PIXEL = np.dtype("<u2")


class ThorRawMovie:
    """One channel of a raw file; flyback frames are left out.

    Parameters
    ----------
    path
        The file.
    experiment
        Its Experiment.xml.
    channel
        Place of the channel among the recorded ones, from 0.
    plane
        Number of the only plane to take from volumes, counted from 1.

    Raises
    ------
    InputFileError
        When the size of the file does not fit the XML.
    """

    def __init__(self, path: Path, experiment: ThorExperiment, *, channel: int, plane: int | None) -> None:
        self._experiment = experiment
        self._path = path
        self._stream = open_raw(path)
        try:
            frame = experiment.height * experiment.width * _PIXEL.itemsize
            n_channels, n_frames = _layout(path, experiment, self._stream.seek(0, 2), frame)
            place = channel if n_channels == len(experiment.channels) else experiment.channels[channel][1]
            cycle = experiment.n_planes + experiment.n_flyback
            planes = range(experiment.n_planes)
            if plane is not None:
                place_of_plane = chosen_plane(path, plane, experiment.n_planes)
                planes = range(place_of_plane, place_of_plane + 1)
            n_volumes = (n_frames - 1 - planes[-1]) // cycle + 1 if n_frames > planes[-1] else 0
            if n_volumes == 0:
                raise InputFileError(
                    path,
                    f"holds {n_frames} frames, a volume takes {cycle}.",
                    "The recording ended too early.",
                )
            self._offset = planes[0] * n_channels * frame + place * frame
            self._plane_step, self._frame_step = n_channels * frame, cycle * n_channels * frame
            self.shape = MovieShape(
                n_volumes, experiment.height, experiment.width, _PIXEL.newbyteorder("="), len(planes)
            )
        except BaseException:
            self.close()
            raise

    @property
    def rate_hz(self) -> float | None:
        """Frame (volume) rate, Hz."""
        return self._experiment.rate_hz

    @property
    def started(self) -> datetime | None:
        """When the recording started."""
        return self._experiment.started

    @property
    def pixel_size_um(self) -> tuple[float, float] | None:
        """Size of a pixel along x and y, um."""
        return self._experiment.pixel_size_um

    frame_times_s = None

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start`` to ``stop``, shape (frames, height, width) or (..., planes)."""
        shape = self.shape
        images = np.empty((stop - start, shape.n_planes, shape.height, shape.width), _PIXEL)
        if self._frame_step == images[0].nbytes and len(images):
            read_into(self._stream, self._path, self._offset + start * self._frame_step, images)
        else:
            for frame in range(start, stop):
                for plane in range(shape.n_planes):
                    offset = self._offset + frame * self._frame_step + plane * self._plane_step
                    read_into(self._stream, self._path, offset, images[frame - start, plane])
        images = images.astype(shape.dtype, copy=False)
        return images[:, 0] if shape.n_planes == 1 else np.moveaxis(images, 1, -1)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _layout(path: Path, experiment: ThorExperiment, size: int, frame: int) -> tuple[int, int]:
    """Return channels and frames of a raw file: the only ones with which its size fits the XML.

    ThorImage writes one channel when one is recorded. Of several it writes only those, or as many as the
    digitizer has, three or four.
    """
    recorded = len(experiment.channels)
    if recorded == 1 or experiment.only_enabled:
        possible = {recorded}
    elif experiment.only_enabled is None:
        possible = {recorded, 3, MAX_CHANNELS}
    else:
        possible = {3, MAX_CHANNELS}
    highest = max(place for _, place in experiment.channels)
    possible = {n for n in possible if n == recorded or n > highest}
    wanted = experiment.n_frames
    exact = sorted(n for n in possible if size == n * frame * wanted)
    if len(exact) == 1:
        return exact[0], wanted
    whole = sorted(n for n in possible if size and size % (n * frame) == 0 and size < n * frame * wanted)
    if experiment.stopped and len(whole) == 1:
        return whole[0], size // (whole[0] * frame)
    expected = " or ".join(str(n * frame * wanted) for n in sorted(possible))
    raise InputFileError(
        path,
        f"has {size} bytes; {wanted} frames of {experiment.height}x{experiment.width} pixels in {recorded} "
        f"channels, as {experiment.path.name} states, have {expected}.",
        "Copy the folder again; a recording that was stopped early says so in its XML (ExperimentStatus).",
    )
