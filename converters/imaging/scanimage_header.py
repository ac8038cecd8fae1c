"""What a ScanImage file says of itself: channels, slices, rates and the field of view, in every version.

Keys are those of ScanImage 3.8 (``state.``), 4 and 5.0 (``scanimage.SI4.``, ``scanimage.SI5.``), 2015
(``scanimage.SI.``) and 2016 to 2023 (``SI.``, as text or as JSON), as the ScanImage BigTIFF specification
(docs.scanimage.org) and the reader that comes with ScanImage (``opentif``) take them. Only the keys that are
needed are looked for: headers with recorded waveforms have more than 100 MB.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

MAX_JSON_BYTES = 64 << 20

_GROUPS = {
    "": (
        "VERSION_MAJOR",
        "VERSION_MINOR",
        "versionMajor",
        "objectiveResolution",
        "channelsSave",
        "scanFrameRate",
        "acqNumAveragedFrames",
        "acqNumFrames",
        "fastZEnable",
        "stackNumSlices",
        "fastZNumDiscardFrames",
        "fastZDiscardFlybackFrames",
        "triggerClockTimeFirst",
        "acqModeStartTime",
    ),
    "hChannels": (
        "channelSave",
        "channelName",
    ),
    "hRoiManager": (
        "scanFrameRate",
        "scanVolumeRate",
        "mroiEnable",
        "imagingFovUm",
        "pixelsPerLine",
        "linesPerFrame",
        "linePeriod",
    ),
    "hScan2D": (
        "logAverageFactor",
        "flytoTimePerScanfield",
        "scannerType",
    ),
    "hFastZ": (
        "enable",
        "numFramesPerVolume",
        "numDiscardFlybackFrames",
        "discardFlybackFrames",
    ),
    "hStackManager": (
        "enable",
        "numSlices",
        "actualNumSlices",
        "slicesPerAcq",
        "framesPerSlice",
        "numFramesPerVolume",
        "zs",
        "numFramesPerVolumeWithFlyback",
    ),
}
"""The settings that are needed, by the object of ScanImage they belong to."""
_KEYS = frozenset(f"{group}.{name}".lstrip(".") for group, names in _GROUPS.items() for name in names)
_LINE = re.compile(r"^(?:scanimage\.)?SI[45]?\.([\w.]+) = (.*?)\s*$", re.MULTILINE)
_OLD_LINE = re.compile(r"^state\.([\w.]+)=(.*?)\s*$", re.MULTILINE)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|Inf|NaN)")
_TEXT = re.compile(r"'([^']*)'")
_RESONANT = re.compile(r"R")


@dataclass(frozen=True, slots=True)
class ScanImageHeader:
    """The settings of an acquisition.

    Attributes
    ----------
    version
        Of ScanImage.
    channels, names
        Numbers of the saved channels in the order of their pages, and their names ("" where there is none).
    n_slices, slice_frames, n_flyback
        Slices of a volume, stored frames of each slice in a row, and stored flyback frames after the last
        slice; 1, 1 and 0 for a plane.
    frame_rate_hz, volume_rate_hz
        Stored frames and volumes per second.
    pixel_size_um
        Size of a pixel along x and y, um.
    zs_um
        Depth of each slice as the stack states it, um.
    many_rois
        Whether pages hold several regions of interest.
    fly_lines
        Lines between two regions as the fly-to time says, before rounding.
    um_per_degree
        Resolution of the objective, um per degree of scan angle.
    started
        When the acquisition started, on the clock of the microscope's computer.
    """

    version: str
    channels: tuple[int, ...]
    names: tuple[str, ...]
    n_slices: int = 1
    slice_frames: int = 1
    n_flyback: int = 0
    frame_rate_hz: float | None = None
    volume_rate_hz: float | None = None
    pixel_size_um: tuple[float, float] | None = None
    zs_um: tuple[float, ...] = ()
    many_rois: bool = False
    fly_lines: float | None = None
    um_per_degree: float | None = None
    started: datetime | None = None


def read_header(path: Path, *, description: bytes, software: bytes) -> ScanImageHeader:
    """Return the header from the description and the software tag of the first page.

    Raises
    ------
    InputFileError
        When neither is of ScanImage, or what they say contradicts itself.
    """
    text = description.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    old = dict(_OLD_LINE.findall(text)) if text.startswith("state.") or "\nstate." in text[:4096] else {}
    if "acq.numberOfChannelsSave" in old:
        return _version_3(path, _Values(path, old))
    found = dict(_settings(path, software.decode("utf-8", "replace").replace("\r", "")))
    found = found or dict(_settings(path, text))
    values = _Values(path, found)
    if "hChannels.channelSave" in found:
        return _version_2015(path, values)
    if "channelsSave" in found:
        return _version_4(path, values)
    raise InputFileError(
        path, "has no header of ScanImage.", "Use format: tiff_movie or ome_tiff for other TIFF files."
    )


def _settings(path: Path, text: str) -> Iterator[tuple[str, str]]:
    """Yield the needed settings of a header in MATLAB notation, of text or of JSON."""
    if not text.lstrip().startswith("{"):
        yield from ((found[1], found[2]) for found in _LINE.finditer(text) if found[1] in _KEYS)
        return
    if len(text) > MAX_JSON_BYTES:
        raise UnsafeFileError(path, f"has a header of {len(text)} bytes of JSON.")
    try:
        stated = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputFileError(path, f"has a header that is no JSON: {str(error)[:100]}.") from error
    settings = stated.get("SI") if isinstance(stated, dict) else None
    for key in _KEYS:
        value: Any = settings
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            yield key, _matlab(value)


def _matlab(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, list):
        return "[" + " ".join(_matlab(each) for each in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class _Values:
    """Settings in MATLAB notation, read by type."""

    path: Path
    text: Mapping[str, str]

    def numbers(self, key: str) -> list[float]:
        return [float(each.lower()) for each in _NUMBER.findall(self.text.get(key, ""))]

    def number(self, *keys: str) -> float | None:
        """Return the first that is stated, finite."""
        for key in keys:
            found = self.numbers(key)
            if len(found) == 1 and math.isfinite(found[0]):
                return found[0]
        return None

    def count(self, *keys: str, default: int) -> int:
        """Return a whole number of at least 0."""
        found = self.number(*keys)
        if found is None:
            return default
        if found < 0 or found != int(found) or found > 1e9:
            raise InputFileError(self.path, f"states {keys[0]} = {found:g}, which is no count.")
        return int(found)

    def flag(self, key: str) -> bool:
        return self.text.get(key, "").strip().lower() in ("1", "true")

    def texts(self, key: str) -> list[str]:
        return _TEXT.findall(self.text.get(key, ""))


def _version_2015(path: Path, values: _Values) -> ScanImageHeader:
    """Return the header of ScanImage 2015 to 2023."""
    channels = tuple(int(each) for each in values.numbers("hChannels.channelSave"))
    names = values.texts("hChannels.channelName")
    averaged = max(values.count("hScan2D.logAverageFactor", default=1), 1)
    n_slices, slice_frames, n_flyback = _slices(path, values, averaged)
    rate, volume_rate = values.number("hRoiManager.scanFrameRate"), None
    if n_slices > 1:
        volume_rate = values.number("hRoiManager.scanVolumeRate")
    period, fly_time = (
        values.number("hRoiManager.linePeriod"),
        values.number("hScan2D.flytoTimePerScanfield"),
    )
    resonant = bool(_RESONANT.search("".join(values.texts("hScan2D.scannerType"))))
    return ScanImageHeader(
        version=_version(values, "VERSION_MAJOR", "VERSION_MINOR"),
        channels=_channels(path, channels),
        names=tuple(names[each - 1] if each <= len(names) else "" for each in channels),
        n_slices=n_slices,
        slice_frames=slice_frames,
        n_flyback=n_flyback,
        frame_rate_hz=None if rate is None else rate / averaged,
        volume_rate_hz=volume_rate,
        pixel_size_um=_pixel_size_um(values),
        zs_um=tuple(values.numbers("hStackManager.zs")),
        many_rois=values.flag("hRoiManager.mroiEnable"),
        fly_lines=fly_time / period if resonant and fly_time is not None and period else 0.0,
        um_per_degree=values.number("objectiveResolution"),
    )


def _slices(path: Path, values: _Values, averaged: int) -> tuple[int, int, int]:
    """Return slices, stored frames per slice and stored flyback frames of a volume."""
    with_flyback = values.number("hStackManager.numFramesPerVolumeWithFlyback")
    per_slice = values.number("hStackManager.framesPerSlice")
    slice_frames = 1 if per_slice is None else max(int(per_slice) // averaged, 1)
    if with_flyback is not None:
        if not values.flag("hStackManager.enable"):
            return 1, 1, 0
        n_slices = values.count("hStackManager.actualNumSlices", "hStackManager.numSlices", default=1)
        if n_slices <= 1:
            return 1, 1, 0
        frames = values.count("hStackManager.numFramesPerVolume", default=n_slices)
        n_flyback = int(with_flyback) - frames
        if n_flyback < 0 or frames % n_slices:
            raise InputFileError(
                path,
                f"states {frames} frames per volume, {with_flyback:g} with flyback, and {n_slices} slices.",
            )
        return n_slices, slice_frames, n_flyback
    if values.flag("hFastZ.enable"):
        total = values.count("hFastZ.numFramesPerVolume", default=1)
        n_flyback = (
            values.count("hFastZ.numDiscardFlybackFrames", default=0)
            if values.flag("hFastZ.discardFlybackFrames")
            else 0
        )
        if total <= n_flyback:
            raise InputFileError(path, f"states {total} frames per volume, {n_flyback} of them flyback.")
        return (total - n_flyback, 1, n_flyback) if total - n_flyback > 1 else (1, 1, n_flyback)
    n_slices = values.count("hStackManager.slicesPerAcq", "hStackManager.numSlices", default=1)
    return (n_slices, slice_frames, 0) if n_slices > 1 else (1, 1, 0)


def _version_4(path: Path, values: _Values) -> ScanImageHeader:
    """Return the header of ScanImage 4 and 5.0."""
    averaged = max(values.count("acqNumAveragedFrames", default=1), 1)
    rate = values.number("scanFrameRate")
    n_slices = max(values.count("stackNumSlices", default=1), 1)
    fast = values.flag("fastZEnable")
    discards = fast and n_slices > 1 and values.flag("fastZDiscardFlybackFrames")
    n_flyback = values.count("fastZNumDiscardFrames", default=0) if discards else 0
    frames = values.number("acqNumFrames")
    slice_frames = 1 if fast or n_slices == 1 or frames is None else max(int(frames) // averaged, 1)
    stored_rate = None if rate is None else rate / averaged
    is_volume = fast and n_slices > 1
    channels = tuple(int(each) for each in values.numbers("channelsSave"))
    return ScanImageHeader(
        version=_version(values, "versionMajor", "VERSION_MAJOR"),
        channels=_channels(path, channels),
        names=tuple("" for _ in channels),
        n_slices=n_slices,
        slice_frames=slice_frames,
        n_flyback=n_flyback,
        frame_rate_hz=stored_rate,
        volume_rate_hz=stored_rate / (n_slices + n_flyback) if stored_rate and is_volume else None,
        started=_moment(values.text.get("triggerClockTimeFirst", ""), "%d-%m-%Y %H:%M:%S.%f")
        or date_vector(values.numbers("acqModeStartTime")),
    )


def _version_3(path: Path, values: _Values) -> ScanImageHeader:
    """Return the header of ScanImage 3."""
    n_channels = values.count("acq.numberOfChannelsSave", default=1)
    saved = [number for number in range(1, 9) if values.flag(f"acq.savingChannel{number}")]
    averages = values.flag("acq.averaging")
    averaged = max(values.count("acq.numAvgFramesSave", default=1), 1) if averages else 1
    n_slices = max(values.count("acq.numberOfZSlices", default=1), 1)
    frames = values.count("acq.numberOfFrames", default=1)
    rate = values.number("acq.frameRate")
    return ScanImageHeader(
        version=_version(values, "software.version", "software.minorRev"),
        channels=_channels(path, saved if len(saved) == n_channels else range(1, n_channels + 1)),
        names=("",) * n_channels,
        n_slices=n_slices,
        slice_frames=max(frames // averaged, 1) if n_slices > 1 else 1,
        frame_rate_hz=None if rate is None else rate / averaged,
        started=_moment(values.text.get("internal.triggerTimeString", ""), "%m/%d/%Y %H:%M:%S.%f"),
    )


def _channels(path: Path, numbers: Any) -> tuple[int, ...]:
    channels = tuple(numbers)
    if not channels or len(set(channels)) < len(channels) or min(channels) < 1:
        raise InputFileError(path, f"states the saved channels {list(channels)}.", "Export the movie again.")
    return channels


def _version(values: _Values, *keys: str) -> str:
    parts = [values.text[key].strip("' ") for key in keys if key in values.text]
    return ".".join(part for part in parts if part)


def _pixel_size_um(values: _Values) -> tuple[float, float] | None:
    corners = values.numbers("hRoiManager.imagingFovUm")
    columns, lines = values.number("hRoiManager.pixelsPerLine"), values.number("hRoiManager.linesPerFrame")
    if len(corners) != 8 or not columns or not lines:
        return None
    x, y = corners[0::2], corners[1::2]
    size = ((max(x) - min(x)) / columns, (max(y) - min(y)) / lines)
    return size if min(size) > 0 and math.isfinite(sum(size)) else None


def date_vector(numbers: list[float]) -> datetime | None:
    """Return the time of a MATLAB date vector [year month day hour minute second]; None where it is unset."""
    if len(numbers) != 6 or not all(map(math.isfinite, numbers)) or not 1990 <= numbers[0] <= 9998:
        return None  # the clock of the frame grabber starts in 1601
    try:
        minute = datetime(*(int(each) for each in numbers[:5]))  # type: ignore[arg-type]
    except ValueError:
        return None
    return minute + timedelta(seconds=round(numbers[5], 6))


def _moment(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text.strip("' "), form)
    except ValueError:
        return None
