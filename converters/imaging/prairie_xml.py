"""What the XML of a Prairie View scan says: which page of which file holds each frame, and when it was taken.

Elements and attributes are those of Prairie View 4 to 5.8: ``PVScan`` holds a ``Sequence`` per cycle, each of
``Frame`` elements with a ``File`` per channel. In a volumetric series every cycle is a volume and its frames
are the planes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError
from nwbswitch.schemas.xml_guard import iterate_xml

MAX_FRAMES = 20_000_000
ABSENT = -1
MAX_CHANNELS = 16

VOLUMETRIC = {
    "TSeries ZSeries Element": True,
    "ZSeries": True,
    "TSeries Timed Element": False,
    "TSeries Brightness Over Time Element": False,
    "BrightnessOverTime": False,
    "Single": False,
}
"""Types of sequences that are movies, and whether the frames of one are planes."""


@dataclass(slots=True)
class PrairieScan:
    """A scan as its XML states it, frame by frame in the order of the XML.

    Attributes
    ----------
    version, date
        Of Prairie View, and of the scan, as written.
    started
        Time of day of each cycle, as written.
    kinds, both_ways
        Type of each cycle, and whether any of them scanned depths in both directions.
    cycles, relative_s, absolute_s
        Cycle of each frame, and its times, s; NaN where they are not stated.
    names
        The TIFF files.
    channels
        Name of each channel by its number.
    files, pages
        File and page (from 0) of each frame, by channel; `ABSENT` where there is none.
    depths
        Positions of the axes along z of each frame of a volumetric cycle.
    settings
        Settings of the scan: "framePeriod", "micronsPerPixel XAxis", "micronsPerPixel YAxis".
    """

    version: str = ""
    date: str = ""
    started: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    both_ways: bool = False
    cycles: array[int] = field(default_factory=lambda: array("i"))
    relative_s: array[float] = field(default_factory=lambda: array("d"))
    absolute_s: array[float] = field(default_factory=lambda: array("d"))
    names: dict[str, int] = field(default_factory=dict)
    channels: dict[int, str] = field(default_factory=dict)
    files: dict[int, array[int]] = field(default_factory=dict)
    pages: dict[int, array[int]] = field(default_factory=dict)
    depths: list[tuple[float, ...]] = field(default_factory=list)
    settings: dict[str, float] = field(default_factory=dict)

    def add(self, frame: Element) -> None:
        """Take one frame."""
        place = len(self.cycles)
        self.cycles.append(len(self.kinds) - 1)
        self.relative_s.append(_number(frame.get("relativeTime")))
        self.absolute_s.append(_number(frame.get("absoluteTime")))
        for each in frame.iter("File"):
            channel = int(each.get("channel", "1"))
            if channel not in self.channels:
                self.channels[channel] = each.get("channelName", "")
                self.files[channel], self.pages[channel] = array("i"), array("i")
            if len(self.files) > MAX_CHANNELS or len(self.files[channel]) > place:
                raise ValueError(f"channel {channel} twice in a frame, or too many channels")
            for column in (self.files[channel], self.pages[channel]):
                column.extend([ABSENT] * (place - len(column)))
            self.files[channel].append(self.names.setdefault(each.get("filename", ""), len(self.names)))
            self.pages[channel].append(int(each.get("page", "1")) - 1)
        if self.kinds and VOLUMETRIC.get(self.kinds[-1]):
            self.depths.append(_depths(frame))

    @property
    def first_started(self) -> datetime | None:
        """When the first cycle began; None for a date without AM or PM: its order is not certain."""
        try:
            moment = datetime.strptime(self.date.strip(), "%m/%d/%Y %I:%M:%S %p")
        except ValueError:
            return None
        try:
            clock = time.fromisoformat(self.started[0].strip()[:15])
        except (ValueError, IndexError):
            return moment
        began = datetime.combine(moment.date(), clock)
        # The date is that of the scan; its first cycle may begin after midnight.
        return began + timedelta(days=1) if moment - began > timedelta(hours=12) else began


def scan_xml(folder: Path) -> Path:
    """Return the XML of the scan in a folder: the one called like the folder, or the only one.

    Raises
    ------
    InputFileError
        When there is none, or several.
    """
    named = folder / f"{folder.name}.xml"
    if named.is_file():
        return named
    found = [path for path in sorted(folder.glob("*.xml")) if path.is_file() and _is_scan(path)]
    if len(found) == 1:
        return found[0]
    there = ", ".join(path.name for path in found[:5])
    problem = f"holds several scans: {there}." if found else "holds no XML of a Prairie View scan."
    raise InputFileError(
        folder, problem, "Name the folder of one TSeries, with its .xml beside the TIFF files."
    )


def _is_scan(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return b"<PVScan" in stream.read(4096)
    except OSError:
        return False


def read_scan(path: Path) -> PrairieScan:
    """Return what the XML of a scan states; memory use depends on the number of frames, not on the text.

    Raises
    ------
    InputFileError
        When it is not one of a scan or holds no frames.
    UnsafeFileError
        When it has a document type or is too large.
    """
    scan = PrairieScan()
    try:
        for element in iterate_xml(path, {"Frame", "PVStateShard"}, openings={"PVScan", "Sequence"}):
            if element.tag == "PVScan":
                scan.version, scan.date = element.get("version", ""), element.get("date", "")
            elif element.tag == "Sequence":
                scan.kinds.append(element.get("type", ""))
                scan.started.append(element.get("time", ""))
                scan.both_ways |= element.get("bidirectionalZ", "").lower() == "true"
            elif element.tag == "PVStateShard":
                scan.settings = {**dict(_settings(element)), **scan.settings}
            else:
                if not len(scan.cycles):
                    scan.settings = {**dict(_settings(element)), **scan.settings}
                scan.add(element)
            if len(scan.cycles) > MAX_FRAMES:
                raise UnsafeFileError(path, f"has more than {MAX_FRAMES} frames.")
    except (ValueError, OverflowError) as error:
        raise InputFileError(path, f"has a frame that cannot be used: {str(error)[:200]}.") from error
    if not scan.channels:
        raise InputFileError(
            path,
            "has no frames with TIFF files.",
            "It is the XML of another recording; voltage recordings (CSV) are read by wheel_analog.",
        )
    for column in (*scan.files.values(), *scan.pages.values()):
        column.extend([ABSENT] * (len(scan.cycles) - len(column)))
    return scan


def frame_times_s(scan: PrairieScan) -> NDArray[np.float64] | None:
    """Return the time of each frame since the first, s; None where they are not stated.

    relativeTime begins anew with each cycle of a burst recording; then absoluteTime places the cycles.
    """
    relative, absolute = np.array(scan.relative_s), np.array(scan.absolute_s)
    cycles = np.array(scan.cycles)
    if np.isnan(relative).any() or (len(relative) > 1 and not relative.any()):
        relative = absolute
    if np.isnan(relative).any() or not np.diff(relative).any():
        return None
    firsts = np.flatnonzero(np.diff(cycles, prepend=-1))
    again = relative[firsts[1:]] <= relative[firsts[1:] - 1]
    if not again.any():
        since: NDArray[np.float64] = relative - relative[0]
        return since
    if np.isnan(absolute).any():
        return None
    starts = absolute[firsts] - absolute[0] - relative[firsts]
    since = relative + np.repeat(starts, np.diff(np.append(firsts, len(cycles))))
    return since


def _settings(element: Element) -> Iterator[tuple[str, float]]:
    for value in element.iter("PVStateValue"):
        key = value.get("key", "")
        if key == "framePeriod":
            yield key, _number(value.get("value"))
        if key == "micronsPerPixel":
            for axis in value.iter("IndexedValue"):
                yield f"{key} {axis.get('index', '')}", _number(axis.get("value"))
    for old in element.iter("Key"):  # before Prairie View 5.2
        if old.get("key", "").startswith(("framePeriod", "micronsPerPixel_")):
            yield old.get("key", "").replace("_", " "), _number(old.get("value"))


def _depths(frame: Element) -> tuple[float, ...]:
    for value in frame.iter("PVStateValue"):
        if value.get("key") == "positionCurrent":
            for axis in value.iter("SubindexedValues"):
                if axis.get("index") == "ZAxis":
                    return tuple(_number(each.get("value")) for each in axis.iter("SubindexedValue"))
    return ()


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
