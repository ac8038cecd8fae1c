"""Two-photon movies of Femtonics: one channel of a measurement unit in a .mesc file.

A .mesc file is HDF5: ``/MSession_i/MUnit_j/Channel_k`` of (frames, rows, columns), with all that is known in
attributes of the unit. MESc shows ``stored * ConversionLinearScale + ConversionLinearOffset``. Versions that
store light inverted have scale -1 and offset 65535; later ones scale 1 and minus the counts of darkness.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import FilePath
from pynwb import NWBFile

from nwbswitch.converters.imaging.hdf5_frames import FrameStack, is_stack, size_text
from nwbswitch.converters.imaging.joined_movie import JoinedMovie
from nwbswitch.converters.imaging.movie_interface import MovieInterface
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.hdf5_guard import open_hdf5
from nwbswitch.schemas.stream_base import Parts, natural_order

if TYPE_CHECKING:
    import h5py

MAX_TEXT = 200
MAX_LISTED = 20
SECONDS = {"ms": 1e-3, "s": 1.0, "us": 1e-6, "µs": 1e-6, "μs": 1e-6}
DEPTH_ROLE = 3
"""``ZAxisGeomRole`` of a stack in depth; 0 is time."""
STILL_METHODS = {2: "a z-stack", 6: "a line scan"}
"""``MethodType`` of units whose third dimension is not the time of frames."""

_UNIT = re.compile(r"MUnit_\d+")
_SESSION = re.compile(r"MSession_\d+")
_CHANNEL = re.compile(r"Channel_(\d+)")


@dataclass(frozen=True, slots=True)
class Scaling:
    """What pixel values mean: value * conversion + offset."""

    conversion: float = 1.0
    offset: float = 0.0


class FemtonicsMovie:
    """One channel of one measurement unit, brighter where there was more light.

    Rows are as stored; MESc shows the first one at the bottom.

    Parameters
    ----------
    path
        The .mesc file.
    unit
        Its number, name (MUnit_3) or path (MSession_0/MUnit_3); needed when there are several.
    channel
        Its number or name (UG); needed when there are several.

    Raises
    ------
    InputFileError
        When the file is damaged, the unit or channel is not clear, or the unit is no movie.
    UnsafeFileError
        When the file reaches outside itself, or states sizes that it cannot hold or that memory cannot.
    """

    def __init__(
        self, path: Path, *, unit: int | str | None = None, channel: int | str | None = None
    ) -> None:
        self.path = Path(path)
        with ExitStack() as files:
            group = _unit(self.path, files.enter_context(open_hdf5(self.path)), unit)
            self.unit = str(group.name).strip("/")
            _refuse_still(self.path, self.unit, group)
            key = _channel(self.path, group, channel)
            self._stack = FrameStack(self.path, group[key], "tyx")
            self.shape = self._stack.shape
            _check_size(self.path, self.unit, group, self._stack)
            self.scaling, self._inverted = _scaling(self.path, group, key, self.shape.dtype)
            self._period_s, offset_s = _frame_times(self.path, self.unit, group)
            self.rate_hz = None if self._period_s is None else 1 / self._period_s
            began = _began(self.path, group)
            self.started = None if began is None else began + timedelta(seconds=offset_s)
            self._files = files.pop_all()

    frame_times_s = None

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start`` to ``stop``, (frames, rows, columns)."""
        frames = self._stack.read(start, stop)
        return np.invert(frames, out=frames) if self._inverted else frames

    def close(self) -> None:
        """Close the file."""
        self._files.close()


def _number(path: Path, group: h5py.Group, name: str) -> float | None:
    value = group.attrs.get(name)
    if value is None:
        return None
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "uif" or not np.isfinite(array).all():
        raise InputFileError(path, f"has no number in the attribute {name} of {group.name}.")
    return float(array.ravel()[0])


def _text(group: h5py.Group, name: str) -> str:
    """Return a text, which MESc writes as an array of character codes that ends with zero."""
    value = group.attrs.get(name)
    if isinstance(value, bytes | str):
        return (value.decode("utf-8", "replace") if isinstance(value, bytes) else value).strip()[:MAX_TEXT]
    codes = np.asarray(() if value is None else value).ravel()[:MAX_TEXT]
    if codes.dtype.kind not in "ui":
        return ""
    return "".join(chr(code) for code in codes.tolist() if 0 < code < 0xD800).strip()


def _is_group(node: Any) -> bool:
    import h5py

    return isinstance(node, h5py.Group)


def _units(handle: h5py.File) -> dict[str, h5py.Group]:
    """Return the measurement units that hold channels, by path, in the order in which they were made."""
    found = {}
    for session in sorted(filter(_SESSION.fullmatch, handle), key=natural_order):
        units = handle.get(session)
        for name in sorted(filter(_UNIT.fullmatch, units), key=natural_order) if _is_group(units) else ():
            group = units.get(name)
            if _is_group(group) and _channels(group):
                found[f"{session}/{name}"] = group
    return found


def _channels(group: h5py.Group) -> list[str]:
    """Return the names of the channel datasets in their order."""
    names = sorted(filter(_CHANNEL.fullmatch, group), key=natural_order)
    return [each for each in names if is_stack(group.get(each))]


def _unit(path: Path, handle: h5py.File, wanted: int | str | None) -> h5py.Group:
    units = _units(handle)
    listed = [_describe(name, group) for name, group in list(units.items())[:MAX_LISTED]]
    words = "; ".join(listed) + (f"; and {len(units) - MAX_LISTED} more" if len(units) > MAX_LISTED else "")
    if not units:
        raise InputFileError(path, "holds no measurement unit with channels (MSession_0/MUnit_0/Channel_0).")
    if wanted is None:
        fits = list(units)
        problem = f"holds {len(units)} measurement units: {words}."
    else:
        key = f"MUnit_{wanted}" if isinstance(wanted, int) or wanted.isdecimal() else wanted.strip("/")
        fits = [name for name in units if key in (name, name.partition("/")[2])]
        problem = f"has {len(fits) or 'no'} measurement unit {wanted!r}; it has: {words}."
    if len(fits) != 1:
        raise InputFileError(path, problem, "Give unit of this stream, one of them, e.g. MSession_0/MUnit_1.")
    return units[fits[0]]


def _describe(name: str, group: h5py.Group) -> str:
    comment = _text(group, "Comment")[:40]
    return f"{name} ({size_text(group[_channels(group)[0]])}{f', {comment}' if comment else ''})"


def _refuse_still(path: Path, name: str, group: h5py.Group) -> None:
    method = _number(path, group, "MethodType")
    kind = STILL_METHODS.get(int(method)) if method is not None else None
    unit_name = _text(group, "ZAxisConversionUnitName").lower()
    if _number(path, group, "ZAxisGeomRole") == DEPTH_ROLE or unit_name in {"µm", "μm", "um"}:
        kind = "a z-stack"
    if kind is not None:
        raise InputFileError(path, f"{name} is {kind}, not a movie.", "Give unit of this stream.")
    layers = _number(path, group, "Slices")
    if layers is not None and layers > 1:
        raise InputFileError(
            path,
            f"{name} holds {layers:g} layers in turn.",
            "Export each layer from MESc, and give it as a stream of its own.",
        )


def _channel(path: Path, group: h5py.Group, wanted: int | str | None) -> str:
    keys = _channels(group)
    names = {key: _text(group, f"{key}_Name") or key for key in keys}
    words = ", ".join(f"{key} ({name})" if name != key else key for key, name in names.items())
    if wanted is None:
        fits = keys
    else:
        number = f"Channel_{wanted}"
        fits = [key for key in keys if wanted in (key, names[key]) or key == number]
    if len(fits) != 1:
        raise InputFileError(
            path,
            f"{group.name} holds the channels {words}{'' if wanted is None else f', not one {wanted!r}'}.",
            "Give channel of this stream, one of them.",
        )
    return fits[0]


def _check_size(path: Path, name: str, group: h5py.Group, stack: FrameStack) -> None:
    shape = stack.shape
    for attribute, size in (("XDim", shape.width), ("YDim", shape.height), ("ZDim", shape.n_frames)):
        stated = _number(path, group, attribute)
        if stated is not None and stated != size:
            raise InputFileError(
                path, f"{name} states {attribute} {stated:g}, its channel has {size}.", "Copy it again."
            )


def _scaling(path: Path, group: h5py.Group, key: str, dtype: np.dtype[Any]) -> tuple[Scaling, bool]:
    """Return what values mean once they grow with light, and whether they have to be inverted for that."""
    scale = _number(path, group, f"{key}_Conversion_ConversionLinearScale")
    offset = _number(path, group, f"{key}_Conversion_ConversionLinearOffset") or 0.0
    if scale == 0:
        raise InputFileError(path, f"{group.name} states that all values of {key} mean the same (scale 0).")
    if scale is None or scale > 0:
        return Scaling(scale or 1.0, offset), False
    if dtype.kind != "u":
        return Scaling(scale, offset), False
    return Scaling(-scale, offset + scale * int(np.iinfo(dtype).max)), True


def _frame_times(path: Path, name: str, group: h5py.Group) -> tuple[float | None, float]:
    """Return s per frame, when it is stated together with its unit, and the time of the first frame, s."""
    unit = SECONDS.get(_text(group, "ZAxisConversionUnitName").lower())
    period = _number(path, group, "ZAxisConversionConversionLinearScale")
    offset = _number(path, group, "ZAxisConversionConversionLinearOffset") or 0.0
    if unit is None or period is None:
        unit, period, offset = 1e-3, _number(path, group, "TStepInMs"), 0.0
    if period is None:
        return None, 0.0
    if not 1e-6 < period * unit < 1e6 or abs(offset * unit) > 1e6:
        raise InputFileError(path, f"{name} states {period * unit:g} s per frame.")
    return period * unit, offset * unit


def _began(path: Path, group: h5py.Group) -> datetime | None:
    seconds = _number(path, group, "MeasurementDatePosix")
    if not seconds:
        return None
    nanoseconds = _number(path, group, "MeasurementDateNanoSecs") or 0.0
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=nanoseconds / 1000)
    except OverflowError as error:
        raise InputFileError(path, f"{group.name} states a date {seconds:g} s after 1970.") from error


class FemtonicsInterface(MovieInterface):
    """Femtonics movie; stored as (frames, x, y).

    Parameters
    ----------
    file_path : FilePath or list of FilePath
        The .mesc file; several with parts continuous or runs.
    unit : int or str, optional
        Measurement unit when there are several: its number, MUnit_3, or MSession_0/MUnit_3.
    channel : int or str, optional
        Channel when there are several: its number or its name, e.g. UG.
    rate_hz : float, optional
        Frame rate, Hz; must agree with the file.
    start_s : float
        Time of the first frame, s.
    parts : str
        How several files follow each other: single, continuous or runs.
    part_start_s : list of float
        Start of each run, s; by default as the files state it.
    metadata_key : str
        Key of this movie in metadata["Ophys"]["MicroscopySeries"].
    """

    display_name = "Femtonics movie"
    associated_suffixes = (".mesc",)
    info = "Reads a measurement unit of Femtonics .mesc files, chunk by chunk."

    def __init__(
        self,
        *,
        file_path: FilePath | list[FilePath],
        unit: int | str | None = None,
        channel: int | str | None = None,
        rate_hz: float | None = None,
        start_s: float = 0.0,
        parts: Parts = "single",
        part_start_s: Sequence[float] = (),
        metadata_key: str = "movie",
    ) -> None:
        """Open the files and find unit and channel."""
        super().__init__(
            partial(FemtonicsMovie, unit=unit, channel=channel),
            paths=file_path,
            rate_hz=rate_hz,
            start_s=start_s,
            parts=parts,
            part_start_s=part_start_s,
            metadata_key=metadata_key,
            source={
                "file_path": file_path,
                "unit": unit,
                "channel": channel,
                "rate_hz": rate_hz,
                "start_s": start_s,
                "parts": parts,
                "part_start_s": part_start_s,
                "metadata_key": metadata_key,
            },
        )
        movies = self.movie.movies if isinstance(self.movie, JoinedMovie) else [self.movie]
        scalings = [each.scaling for each in movies if isinstance(each, FemtonicsMovie)]
        self.scaling = scalings[0]
        if len(set(scalings)) > 1:
            self.close()
            raise InputFileError(
                self.source_path,
                "and the files after it give the same values different meanings (conversion or offset).",
                "Make them streams of their own.",
            )

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add the movie to the acquisition, with what its values mean as conversion and offset.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives the series.
        metadata : dict
            As from get_metadata.
        stub : bool
            Take the first 100 frames only.
        """
        before = set(nwbfile.acquisition)
        super().add_to_nwbfile(nwbfile, metadata, stub=stub)
        for name in set(nwbfile.acquisition) - before:
            # pynwb gives both their defaults when a series is made, and lets no attribute be set twice.
            nwbfile.acquisition[name].fields.update(
                conversion=self.scaling.conversion, offset=self.scaling.offset
            )
