"""Pupil, motion energy, blinks and running that Facemap found in regions of a video (*_proc.npy).

What the arrays are follows Facemap's ``process.py`` and ``pupil.py``: centres of the pupil are (y, x) within
their region, running is (y, x), and the first motion energy is that of all videos together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import FilePath
from pynwb import NWBFile

from nwbswitch.converters.behavior.pose_interface import REFERENCE_FRAME, camera_timing, camera_unit
from nwbswitch.converters.behavior.signals import plain_name
from nwbswitch.converters.nwb_modules import behavior_module, container
from nwbswitch.converters.timed_interface import TimedInterface
from nwbswitch.converters.timing import STUB_SAMPLES
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.file_guard import load_npy_dict

PUPIL, MOTION, BLINK, RUNNING = range(4)
Place = Literal["pupil", "eye", "behavior"]
_EARLY = "Facemap gives the energy of the first 499 frames one frame early."


@dataclass(frozen=True, slots=True)
class FacemapSignal:
    """One signal (n,) or (n, columns), and where in the file it goes."""

    name: str
    data: NDArray[Any]
    unit: str
    description: str
    place: Place = "behavior"
    conversion: float = 1.0
    comments: str = "no comments"


class FacemapInterface(TimedInterface):
    """Signals of the regions of one or several videos that were processed together.

    Parameters
    ----------
    file_path : FilePath
        The *_proc.npy file.
    components : int
        Singular vectors of motion and movie to keep, from the first.
    rate_hz : float, optional
        Frames of the video per second.
    pixel_size_mm : float, optional
        Side of a pixel at the eye, mm.
    start_s : float
        Time of the first frame, s.
    metadata_key : str
        Name of the stream; names of the series begin with it.
    """

    display_name = "Facemap"
    keywords = ("behavior", "pupil", "face", "motion energy")
    associated_suffixes = (".npy",)
    info = "Reads pupil, motion energy, blinks and running from a file of Facemap."

    def __init__(
        self,
        *,
        file_path: FilePath,
        components: int = 0,
        rate_hz: float | None = None,
        pixel_size_mm: float | None = None,
        start_s: float = 0.0,
        metadata_key: str = "face",
    ) -> None:
        """Read the file, which is one pickle, without running it."""
        super().__init__(
            file_path=file_path,
            components=components,
            rate_hz=rate_hz,
            pixel_size_mm=pixel_size_mm,
            start_s=start_s,
            metadata_key=metadata_key,
        )
        path = Path(file_path)
        if components < 0:
            raise ValueError(f"components must not be negative, not {components}")
        proc = load_npy_dict(path)
        if not {"motion", "pupil", "rois"} <= set(proc):
            raise InputFileError(path, "is no *_proc.npy file of Facemap: it lacks motion, pupil or rois.")
        try:
            signals = list(_signals(proc, path, components, pixel_size_mm))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise InputFileError(
                path, f"is no *_proc.npy file of Facemap ({type(error).__name__}: {str(error)[:100]})."
            ) from error
        lengths = {len(each.data) for each in signals}
        if len(lengths) != 1:
            problem = f"holds signals of {sorted(lengths)} frames." if lengths else "holds no signal."
            raise InputFileError(path, problem, "Process the video again with Facemap.")
        self.signals, self.rate_hz, self.metadata_key = tuple(signals), rate_hz, metadata_key
        self.set_own_timing(camera_timing(lengths.pop(), start_s, rate_hz), path)

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add the pupil to PupilTracking and EyeTracking and the rest to BehavioralTimeSeries.

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
        from pynwb.behavior import BehavioralTimeSeries, EyeTracking, PupilTracking, SpatialSeries

        self.require_times()
        stop = STUB_SAMPLES if stub else None
        module = behavior_module(nwbfile)
        for each in self.signals:
            fields: dict[str, Any] = {
                "name": plain_name(f"{self.metadata_key}_{each.name}"),
                "description": each.description,
                "data": each.data[:stop],
                "unit": each.unit,
                "conversion": each.conversion,
                "comments": each.comments,
                **self.timing.series_fields(stop),
            }
            if each.place == "eye":
                eye = container(module, EyeTracking)
                eye.add_spatial_series(SpatialSeries(reference_frame=REFERENCE_FRAME, **fields))
            else:
                kind = PupilTracking if each.place == "pupil" else BehavioralTimeSeries
                container(module, kind).add_timeseries(TimeSeries(**fields))


def _signals(
    proc: dict[str, Any], path: Path, components: int, pixel_size_mm: float | None
) -> Iterator[FacemapSignal]:
    regions: dict[int, list[dict[str, Any]]] = {}
    for region in proc["rois"] or ():
        regions.setdefault(int(region["rind"]), []).append(region)
    yield from _pupils(proc["pupil"], regions.get(PUPIL, []), path, pixel_size_mm)
    yield from _motion(proc, components)
    for name, trace in _numbered("blink_area", proc.get("blink")):
        yield FacemapSignal(
            name,
            _array(trace, 1),
            "n.a.",
            "Darkness of the eye in each frame, summed; low when it is closed.",
        )
    for name, trace in _numbered("running", proc.get("running")):
        yield FacemapSignal(
            name,
            _array(trace, 2, 2)[:, ::-1],
            "n.a.",
            "Shift of the surface under the animal from frame to frame (x, y), pixels.",
        )


def _pupils(
    pupils: Any, regions: list[dict[str, Any]], path: Path, pixel_size_mm: float | None
) -> Iterator[FacemapSignal]:
    pupils = list(pupils or ())
    if len(pupils) != len(regions):
        raise InputFileError(path, f"has {len(pupils)} pupils for {len(regions)} regions of pupils.")
    unit, factor = camera_unit(pixel_size_mm)
    area_unit = "pixels^2" if pixel_size_mm is None else "m2"
    for (suffix, pupil), region in zip(_numbered("", pupils), regions, strict=True):
        yield FacemapSignal(
            f"pupil_area{suffix}", _array(pupil["area"], 1), area_unit,
            "Area of the pupil: of an ellipse fitted to the dark pixels.", "pupil", factor**2,
        )  # fmt: skip
        if "area_smooth" in pupil:
            yield FacemapSignal(
                f"pupil_area_smooth{suffix}", _array(pupil["area_smooth"], 1), area_unit,
                "Area of the pupil with outliers and gaps replaced by a running median.", "pupil", factor**2,
            )  # fmt: skip
        corner = [float(np.ravel(region["xrange"])[0]), float(np.ravel(region["yrange"])[0])]
        centre = _array(pupil["com"], 2, 2)[:, ::-1] + corner
        yield FacemapSignal(
            f"pupil_position{suffix}", centre, unit, "Centre of the pupil (x, y).", "eye", factor
        )


def _motion(proc: dict[str, Any], components: int) -> Iterator[FacemapSignal]:
    """Yield energy, and vectors when they are wanted; number 0 is of the whole video, if it was computed."""
    for number, energy in enumerate(proc["motion"]):
        if np.size(energy):
            name, where = _of_region("motion_energy", number)
            yield FacemapSignal(
                name,
                _array(energy, 1),
                "n.a.",
                f"Motion energy {where}: sum of absolute differences of pixels between frames.",
                comments=_EARLY,
            )
    for key, name, what in (("motSVD", "motion_svd", "the motion"), ("movSVD", "movie_svd", "the picture")):
        for number, vectors in enumerate((proc.get(key) or ()) if components else ()):
            if np.size(vectors):
                own, where = _of_region(name, number)
                yield FacemapSignal(
                    own,
                    _array(vectors, 2)[:, :components],
                    "n.a.",
                    f"Projections of {what} {where} on its first spatial components, by frame and component.",
                )


def _of_region(name: str, number: int) -> tuple[str, str]:
    if number == 0:
        return name, "of the whole video, or of all videos together"
    return f"{name}_region{number}", f"of region {number}"


def _numbered(name: str, items: Any) -> list[tuple[str, Any]]:
    """Return items with names, numbered from 1 where there are several."""
    found = list(items if items is not None else ())
    return [(name if len(found) == 1 else f"{name}_{number}", each) for number, each in enumerate(found, 1)]


def _array(values: Any, n_axes: int, width: int | None = None) -> NDArray[Any]:
    array = np.asarray(values)
    fits = array.ndim == n_axes and (width is None or array.shape[1] == width)
    if not fits or array.dtype.kind not in "fiu":
        raise ValueError(f"an array of shape {array.shape} and type {array.dtype}")
    return array
