"""What the Experiment.xml of ThorImage says of a recording.

The meaning of the elements is that of ThorImageLS itself, whose image review computes times and finds
frames from them: streamed frames come at ``frameRate``, divided by ``averageNum`` when frames are averaged;
with fast z every volume has ``steps`` frames and ``flybackFrames`` more; settings of modes that were not used
keep their values and mean nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree.ElementTree import Element

from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.xml_guard import read_xml

XML_NAME = "Experiment.xml"
MAX_CHANNELS = 4
_STREAMING = 1
_CAMERA = 0
_LETTERS = "ABCD"


@dataclass(frozen=True, slots=True)
class ThorExperiment:
    """A recording as it was set up.

    Attributes
    ----------
    path
        The XML.
    height, width
        Size of a frame in pixels.
    channels
        Names of the recorded channels, and their places among all (from 0).
    streamed
        Whether frames were streamed; else each time point was taken by itself.
    n_planes, n_flyback
        Planes of a volume, and flyback frames that follow them in a raw file; 1 and 0 for a plane.
    n_frames
        Frames of one channel that were asked for, flyback frames counted.
    rate_hz
        Frames (volumes) per second.
    only_enabled
        Whether raw files hold only the recorded channels; None where it is not stated.
    stopped
        Whether the recording was stopped early; None where it is not stated.
    pixel_size_um
        Size of a pixel along x and y, um.
    started
        When the recording started.
    """

    path: Path
    height: int
    width: int
    channels: tuple[tuple[str, int], ...]
    streamed: bool
    n_planes: int
    n_flyback: int
    n_frames: int
    rate_hz: float | None
    only_enabled: bool | None
    stopped: bool | None
    pixel_size_um: tuple[float, float] | None
    started: datetime | None


def read_experiment(folder: Path) -> ThorExperiment:
    """Return what the Experiment.xml of a folder says.

    Raises
    ------
    InputFileError
        When it is not there, or what it says is incomplete.
    """
    path = folder / XML_NAME
    if not path.is_file():
        raise InputFileError(
            folder, f"holds no {XML_NAME}.", "Name the folder that ThorImage wrote, with its XML and images."
        )
    values = _Values(path, read_xml(path))
    camera = values.whole("Modality", "primaryDetectorType", default=1) == _CAMERA
    height, width = (
        (values.whole("Camera", "height"), values.whole("Camera", "width"))
        if camera
        else (values.whole("LSM", "pixelY"), values.whole("LSM", "pixelX"))
    )
    if not (0 < height < 1 << 20 and 0 < width < 1 << 20):
        raise InputFileError(path, f"states frames of {height}x{width} pixels.")
    if values.whole("LSM", "ThreePhotonEnable") == 1 and values.whole("LSM", "NumberOfPlanes", default=1) > 1:
        raise InputFileError(
            path, "is of a three-photon recording with several planes side by side.", "Export it as TIFF."
        )
    mode = values.whole("CaptureMode", "mode", default=values.whole("Streaming", "enable"))
    streamed = mode == _STREAMING
    fast_z = streamed and values.whole("Streaming", "zFastEnable") == 1
    stepped = not streamed and values.whole("ZStage", "enable", default=1) == 1
    n_planes = max(values.whole("ZStage", "steps", default=1), 1) if fast_z or stepped else 1
    n_flyback = values.whole("Streaming", "flybackFrames") if fast_z else 0
    points = values.whole("Timelapse", "timepoints", default=1)
    n_frames = values.whole("Streaming", "frames", default=points) if streamed else points * n_planes
    status = values.text("ExperimentStatus", "value")
    return ThorExperiment(
        path=path,
        height=height,
        width=width,
        channels=_channels(values),
        streamed=streamed,
        n_planes=n_planes,
        n_flyback=n_flyback,
        n_frames=n_frames,
        rate_hz=_rate_hz(values, streamed=streamed, camera=camera, cycle=n_planes + n_flyback),
        only_enabled=values.flag("RawData", "onlyEnabledChannels"),
        stopped=None if not status else status.casefold() != "complete",
        pixel_size_um=None if camera else _pixel_size_um(values, height, width),
        started=_started(values),
    )


@dataclass(frozen=True, slots=True)
class _Values:
    """Attributes of the elements below the root."""

    path: Path
    root: Element

    def text(self, element: str, name: str) -> str:
        found = self.root.find(element)
        return "" if found is None else found.get(name, "").strip()

    def number(self, element: str, name: str) -> float | None:
        try:
            value = float(self.text(element, name))
        except ValueError:
            return None
        return value if math.isfinite(value) else None

    def whole(self, element: str, name: str, *, default: int = 0) -> int:
        value = self.number(element, name)
        if value is None:
            return default
        if not 0 <= value < 1e9:
            raise InputFileError(self.path, f"states {element}/{name} = {value:g}, which is no count.")
        return int(value)

    def flag(self, element: str, name: str) -> bool | None:
        text = self.text(element, name)
        return None if not text else text == "1"


def _channels(values: _Values) -> tuple[tuple[str, int], ...]:
    """Return names and places of the recorded channels; the XML names either those, or all."""
    names = [each.get("name", "") for each in values.root.findall("Wavelengths/Wavelength")]
    bits = values.whole("Wavelengths/ChannelEnable", "Set") or values.whole("LSM", "channel")
    places = [place for place in range(MAX_CHANNELS) if bits >> place & 1]
    places = places or list(range(min(max(len(names), 1), MAX_CHANNELS)))
    if len(names) != len(places):
        every = [names[place] if place < len(names) else f"Chan{_LETTERS[place]}" for place in places]
        return tuple(zip(every, places, strict=True))
    return tuple(zip(names, places, strict=True))


def _rate_hz(values: _Values, *, streamed: bool, camera: bool, cycle: int) -> float | None:
    if not streamed:
        interval = values.number("Timelapse", "intervalSec")
        return 1 / interval if interval and interval > 0 else None
    rate = values.number("LSM", "frameRate")
    if camera or not rate or rate <= 0:
        return None
    averaged = values.whole("LSM", "averageNum", default=1) if values.flag("LSM", "averageMode") else 1
    return rate / max(averaged, 1) / cycle


def _pixel_size_um(values: _Values, height: int, width: int) -> tuple[float, float] | None:
    """Return the size along x and y; pixelSizeUM is another number in newer versions, and the last resort."""
    across, down = values.number("LSM", "widthUM"), values.number("LSM", "heightUM")
    if across and down and min(across, down) > 0:
        return across / width, down / height
    one = values.number("LSM", "pixelSizeUM")
    x, y = values.number("LSM", "pixelWidthUM") or one, values.number("LSM", "pixelHeightUM") or one
    return (x, y) if x and y and min(x, y) > 0 else None


def _started(values: _Values) -> datetime | None:
    seconds = values.number("Date", "uTime")
    if seconds and 0 < seconds < 1e11:
        return datetime.fromtimestamp(seconds, UTC)
    try:
        return datetime.strptime(values.text("Date", "date"), "%m/%d/%Y %H:%M:%S")
    except ValueError:
        return None
