"""What a Femtonics .mesc file says of a measurement unit, in its attributes.

A .mesc file is HDF5: ``/MSession_i/MUnit_j/Channel_k`` of (frames, rows, columns). MESc shows
``stored * ConversionLinearScale + ConversionLinearOffset``. Versions that store light inverted have scale -1
and offset 65535; later ones scale 1 and minus the counts of darkness.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbswitch.converters.imaging.hdf5_frames import is_stack, size_text
from nwbswitch.converters.imaging.movie import MovieShape
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.stream_base import natural_order

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


def _names(group: h5py.Group, pattern: re.Pattern[str]) -> list[str]:
    """Return the names that match, in natural order; names that are no text are bytes."""
    return sorted(
        (each for each in group if isinstance(each, str) and pattern.fullmatch(each)), key=natural_order
    )


def _is_group(node: Any) -> bool:
    import h5py

    return isinstance(node, h5py.Group)


def _units(handle: h5py.File) -> dict[str, h5py.Group]:
    """Return the measurement units that hold channels, by path, in the order in which they were made."""
    found = {}
    for session in _names(handle, _SESSION):
        units = handle.get(session)
        for name in _names(units, _UNIT) if _is_group(units) else ():
            group = units.get(name)
            if _is_group(group) and _channels(group):
                found[f"{session}/{name}"] = group
    return found


def _channels(group: h5py.Group) -> list[str]:
    """Return the names of the channel datasets in their order."""
    return [each for each in _names(group, _CHANNEL) if is_stack(group.get(each))]


def find_unit(path: Path, handle: h5py.File, wanted: int | str | None) -> h5py.Group:
    """Return a measurement unit: the only one, or that of a number, name or path.

    Raises
    ------
    InputFileError
        Listing the units, when it is not clear which one is meant.
    """
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


def check_movie(path: Path, group: h5py.Group) -> None:
    """Refuse a unit whose frames do not follow each other in time.

    Raises
    ------
    InputFileError
        For stacks in depth, line scans, and layers in turn.
    """
    name = str(group.name).strip("/")
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


def find_channel(path: Path, group: h5py.Group, wanted: str | None) -> str:
    """Return the name of a channel's dataset: the only one, or that of a name.

    Raises
    ------
    InputFileError
        Listing the channels, when it is not clear which one is meant.
    """
    keys = _channels(group)
    names = {key: _text(group, f"{key}_Name") or key for key in keys}
    words = ", ".join(f"{key} ({name})" if name != key else key for key, name in names.items())
    fits = [key for key in keys if wanted in (None, key, names[key])]
    if len(fits) != 1:
        raise InputFileError(
            path,
            f"{group.name} holds the channels {words}{'' if wanted is None else f', not one {wanted!r}'}.",
            "Give channel of this stream, one of them.",
        )
    return fits[0]


def check_size(path: Path, group: h5py.Group, shape: MovieShape) -> None:
    """Compare what the unit states with the size of its channel.

    Raises
    ------
    InputFileError
        When they differ.
    """
    for attribute, size in (("XDim", shape.width), ("YDim", shape.height), ("ZDim", shape.n_frames)):
        stated = _number(path, group, attribute)
        if stated is not None and stated != size:
            raise InputFileError(
                path, f"{group.name} states {attribute} {stated:g}, its channel has {size}.", "Copy it again."
            )


def scaling_of(path: Path, group: h5py.Group, key: str, dtype: np.dtype[Any]) -> tuple[Scaling, bool]:
    """Return what values mean once they grow with light, and whether they have to be inverted for that.

    Inverted values are ``max - stored``, where max is the largest number of the type.

    Raises
    ------
    InputFileError
        For a conversion that is no number or that is zero.
    """
    scale = _number(path, group, f"{key}_Conversion_ConversionLinearScale")
    offset = _number(path, group, f"{key}_Conversion_ConversionLinearOffset") or 0.0
    if scale == 0:
        raise InputFileError(path, f"{group.name} states that all values of {key} mean the same (scale 0).")
    if scale is None or scale > 0:
        return Scaling(scale or 1.0, offset), False
    if dtype.kind != "u":
        return Scaling(scale, offset), False
    return Scaling(-scale, offset + scale * int(np.iinfo(dtype).max)), True


def frame_period_s(path: Path, group: h5py.Group) -> tuple[float | None, float]:
    """Return s per frame, when it is stated together with its unit, and the time of the first frame, s.

    Raises
    ------
    InputFileError
        For a period that is no number or that no frame can have.
    """
    unit = SECONDS.get(_text(group, "ZAxisConversionUnitName").lower())
    period = _number(path, group, "ZAxisConversionConversionLinearScale")
    offset = _number(path, group, "ZAxisConversionConversionLinearOffset") or 0.0
    if unit is None or period is None:
        unit, period, offset = 1e-3, _number(path, group, "TStepInMs"), 0.0
    if period is None:
        return None, 0.0
    if not 1e-6 < period * unit < 1e6 or abs(offset * unit) > 1e6:
        raise InputFileError(path, f"{group.name} states {period * unit:g} s per frame.")
    return period * unit, offset * unit


def measured_at(path: Path, group: h5py.Group) -> datetime | None:
    """Return when the measurement began; None where the unit does not say.

    Raises
    ------
    InputFileError
        For a date that is none.
    """
    seconds = _number(path, group, "MeasurementDatePosix")
    if not seconds:
        return None
    nanoseconds = _number(path, group, "MeasurementDateNanoSecs") or 0.0
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=nanoseconds / 1000)
    except OverflowError as error:
        raise InputFileError(path, f"{group.name} states a date {seconds:g} s after 1970.") from error
