"""Files as ScanImage writes them, from version 3.8 to the BigTIFF of 2023.

The layout of the BigTIFF, with a static header behind the file header and 18 tags per page, follows the
ScanImage BigTIFF specification (docs.scanimage.org, Appendix); the keys are those of files of 2016 to 2023.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

MAGIC = 0x07030301


def settings(
    *,
    channels: Sequence[int] = (1,),
    slices: int = 1,
    flyback: int = 0,
    slice_frames: int = 1,
    averaged: int = 1,
    rate_hz: float = 30.0,
    shape: tuple[int, int] = (6, 8),
    rois: bool = False,
    zs: Sequence[float] = (0,),
    fly_to_s: float = 0.0,
    style: int = 2023,
) -> dict[str, str]:
    """Return the settings of an acquisition in MATLAB notation; ``style`` is the year of the version."""
    cycle = slices * slice_frames + flyback
    saved = str(channels[0]) if len(channels) == 1 else f"[{';'.join(map(str, channels))}]"
    depths = str(zs[0]) if len(zs) == 1 else f"[{' '.join(map(str, zs))}]"
    stack = "true" if slices > 1 else "false"
    found = {
        "LINE_FORMAT_VERSION": "1",
        "TIFF_FORMAT_VERSION": "4",
        "VERSION_MAJOR": str(style),
        "VERSION_MINOR": "1",
        "acqState": "'grab'",
        "hChannels.channelName": "{'Channel 1' 'Channel 2' 'Channel 3' 'Channel 4'}",
        "hChannels.channelSave": saved,
        "hChannels.channelsActive": saved,
        "hRoiManager.imagingFovUm": "[-45 -30;45 -30;45 30;-45 30]",
        "hRoiManager.linePeriod": "6.30874e-05",
        "hRoiManager.linesPerFrame": str(shape[0]),
        "hRoiManager.mroiEnable": "true" if rois else "false",
        "hRoiManager.pixelsPerLine": str(shape[1]),
        "hRoiManager.scanFramePeriod": str(1 / rate_hz),
        "hRoiManager.scanFrameRate": str(rate_hz),
        "hRoiManager.scanVolumeRate": str(rate_hz / cycle),
        "hScan2D.bidirectional": "true",
        "hScan2D.flytoTimePerScanfield": str(fly_to_s),
        "hScan2D.logAverageFactor": str(averaged),
        "hScan2D.logFramesPerFile": "Inf",
        "hScan2D.scannerType": "'RGG'",
        "hStackManager.framesPerSlice": str(slice_frames * averaged) if slices > 1 else "Inf",
        "hStackManager.numSlices": str(slices),
        "hStackManager.stackMode": "'fast'" if slice_frames == 1 else "'slow'",
        "hStackManager.zs": depths,
        "objectiveResolution": "15",
        "extTrigEnable": "false",
    }
    if style >= 2020:
        found |= {
            "hFastZ.enable": "false",
            "hStackManager.actualNumSlices": str(slices),
            "hStackManager.enable": stack,
            "hStackManager.numFramesPerVolume": str(slices * slice_frames),
            "hStackManager.numFramesPerVolumeWithFlyback": str(cycle),
        }
    else:
        fast = slices > 1 and slice_frames == 1
        found |= {
            "hFastZ.discardFlybackFrames": "true" if flyback else "false",
            "hFastZ.enable": "true" if fast else "false",
            "hFastZ.numDiscardFlybackFrames": str(flyback),
            "hFastZ.numFramesPerVolume": str(cycle),
            "hStackManager.slicesPerAcq": str(slices),
        }
    return found


def matlab(values: dict[str, str], prefix: str = "SI.") -> str:
    """Return settings as the text of a header."""
    return "\n".join(f"{prefix}{key} = {value}" for key, value in sorted(values.items())) + "\n"


def region(name: str, sizes: Sequence[tuple[int, int]], zs: Sequence[float], **more: Any) -> dict[str, Any]:
    """Return a region of interest with a scanfield (width, height) at each depth, as its JSON has it."""
    fields = [
        {"centerXY": [0, 0], "sizeXY": [2.0, 1.0], "pixelResolutionXY": list(size), "enable": 1}
        for size in sizes
    ]
    one = len(fields) == 1
    return {
        "ver": 1,
        "classname": "scanimage.mroi.Roi",
        "name": name,
        "scanfields": fields[0] if one else fields,
        "zs": zs[0] if one else list(zs),
        "discretePlaneMode": 0,
        "enable": 1,
        **more,
    }


def regions(*rois: dict[str, Any]) -> str:
    """Return the JSON of the artist tag."""
    group = {"ver": 1, "classname": "scanimage.mroi.RoiGroup", "rois": list(rois)}
    return json.dumps({"RoiGroups": {"imagingRoiGroup": group, "photostimRoiGroups": None}}, indent=2)


def frame_text(
    number: int, time_s: float, epoch: str = "[2023  5  1 10  0 25.045]", *, as_json: bool = False
) -> str:
    """Return the description of a frame."""
    fields = {
        "frameNumbers": number,
        "acquisitionNumbers": 1,
        "frameNumberAcquisition": number,
        "frameTimestamps_sec": f"{time_s:.9f}",
        "acqTriggerTimestamps_sec": "-0.000087000",
        "nextFileMarkerTimestamps_sec": "-1.000000000",
        "endOfAcquisition": 0,
        "endOfAcquisitionMode": 0,
        "dcOverVoltage": 0,
        "epoch": epoch,
    }
    if as_json:
        fields["epoch"] = "[" + ",".join(epoch.strip("[]").split()) + "]"
        return "{\n" + ",\n".join(f'  "{key}": {value}' for key, value in fields.items()) + "\n}\n"
    lines = [f"{key} = {value}" for key, value in fields.items()]
    return "\n".join([*lines, "auxTrigger0 = []", "I2CData = {}"]) + "\n"


def write_big(
    path: Path,
    pages: np.ndarray,
    values: dict[str, str],
    *,
    roi_json: str = "",
    texts: Sequence[str] | None = None,
    as_json: bool = False,
) -> None:
    """Write pages (n, height, width) as a ScanImage BigTIFF with the settings ``values``.

    ``texts`` are the descriptions of the pages; by default those of frames at the rate of the settings.
    """
    n_channels = len(values["hChannels.channelSave"].replace(";", " ").split())
    period_s = float(values["hRoiManager.scanFramePeriod"]) * int(values["hScan2D.logAverageFactor"])
    if texts is None:
        texts = [
            frame_text(i // n_channels + 1, (i // n_channels) * period_s, as_json=as_json)
            for i in range(len(pages))
        ]
    header = json.dumps({"SI": nested(values)}) if as_json else matlab(values)
    fixed, rois = header.encode() + b"\0", roi_json.encode() + b"\0"
    with path.open("wb") as file:
        first = 32 + len(fixed) + len(rois)
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, first))
        file.write(struct.pack("<IIII", MAGIC, 4, len(fixed), len(rois)) + fixed + rois)
        position = first
        for number, (page, text) in enumerate(zip(pages, texts, strict=True)):
            description = text.encode() + b"\0"
            directory = 8 + 18 * 20 + 8
            data = position + directory + len(description)
            following = data + page.nbytes if number + 1 < len(pages) else 0
            signed = {"i": 2, "u": 1}[page.dtype.kind]
            tags = [
                (256, 4, 1, page.shape[1]),
                (257, 4, 1, page.shape[0]),
                (258, 3, 1, page.dtype.itemsize * 8),
                (259, 3, 1, 1),
                (262, 3, 1, 1),
                (270, 2, len(description), position + directory),
                (273, 16, 1, data),
                (274, 3, 1, 1),
                (277, 3, 1, 1),
                (278, 4, 1, page.shape[0]),
                (279, 16, 1, page.nbytes),
                (282, 5, 1, struct.unpack("<Q", struct.pack("<II", 72, 1))[0]),
                (283, 5, 1, struct.unpack("<Q", struct.pack("<II", 72, 1))[0]),
                (284, 3, 1, 1),
                (296, 3, 1, 3),
                (305, 2, len(fixed), 32),
                (315, 2, len(rois), 32 + len(fixed)),
                (339, 3, 1, signed),
            ]
            file.write(struct.pack("<Q", 18) + b"".join(struct.pack("<HHQQ", *tag) for tag in tags))
            file.write(struct.pack("<Q", following) + description + page.astype(page.dtype, "C").tobytes())
            position = following


def nested(values: dict[str, str]) -> dict[str, Any]:
    """Return settings as the nested values of a JSON header."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        *outer, last = key.split(".")
        target = found
        for part in outer:
            target = target.setdefault(part, {})
        target[last] = _plain(value)
    return found


def _plain(value: str) -> Any:
    if value in ("true", "false"):
        return value == "true"
    if value.startswith("["):
        rows = [[_plain(each) for each in row.split()] for row in value.strip("[]").split(";")]
        return [row[0] for row in rows] if all(len(row) == 1 for row in rows) else rows
    if value.startswith(("'", "{")):
        texts = value.strip("{}").split("'")[1::2]
        return texts if value.startswith("{") else texts[0]
    try:
        return int(value) if value.lstrip("-").isdigit() else float(value)
    except ValueError:
        return value


def write_classic(path: Path, pages: np.ndarray, texts: Sequence[str], *, software: str = "") -> None:
    """Write pages as the classic TIFF of ScanImage 3 to 2015: a description with everything in each page."""
    with tifffile.TiffWriter(path) as writer:
        for page, text in zip(pages, texts, strict=True):
            writer.write(
                page,
                description=text,
                software=software or False,
                metadata=None,
                contiguous=False,
                photometric="minisblack",
                rowsperstrip=2,
            )


def version_3(
    *, channels: int = 1, slices: int = 1, frames: int = 4, rate_hz: float = 4.0, averaged: int = 1
) -> str:
    """Return a description of ScanImage 3.8."""
    lines = {
        "configName": "'setup'",
        "software.version": "3.8",
        "software.minorRev": "0",
        "acq.numberOfChannelsSave": channels,
        "acq.savingChannel1": int(channels > 0),
        "acq.savingChannel2": 0,
        "acq.savingChannel3": int(channels > 1),
        "acq.savingChannel4": 0,
        "acq.numberOfZSlices": slices,
        "acq.numberOfFrames": frames * averaged,
        "acq.averaging": int(averaged > 1),
        "acq.numAvgFramesSave": averaged,
        "acq.frameRate": rate_hz,
        "acq.linesPerFrame": 6,
        "acq.pixelsPerLine": 8,
        "internal.triggerTimeString": "'10/9/2017 16:57:07.967'",
    }
    return "\r".join(f"state.{key}={value}" for key, value in lines.items()) + "\r"


def version_4(
    number: int, *, channels: str = "1", slices: int = 1, discards: int = 0, rate_hz: float = 28.4217
) -> str:
    """Return a description of ScanImage 4."""
    lines = {
        "acqNumAveragedFrames": 1,
        "acqNumFrames": 1,
        "channelsSave": channels,
        "fastZDiscardFlybackFrames": "true" if discards else "false",
        "fastZEnable": int(slices > 1),
        "fastZNumDiscardFrames": discards,
        "scanFrameRate": rate_hz,
        "stackNumSlices": slices,
        "versionMajor": "4.1",
    }
    body = "\n".join(f"scanimage.SI4.{key} = {value}" for key, value in lines.items())
    started = "scanimage.SI4.triggerClockTimeFirst = '17-07-2013 17:16:09.149'"
    return f"Frame Tag = {number:08d}\\n{body}\\n\\n{started}\\n"


def version_5(number: int, time_s: float, *, channels: str = "1") -> str:
    """Return a description of ScanImage 5.0."""
    head = (
        f"Frame Number = {number:16d}\nFrame Timestamp(s) = {time_s:25.9f}\n"
        "Acq Trigger Timestamp(s) =              -0.000083300\n"
        "Next File Marker Timestamp(s) =    230584300921.369320000\nDC Overvoltage = 0\n"
    )
    lines = {
        "VERSION_MAJOR": 5,
        "acqModeStartTime": "[2015 6 3 17 2 50.833]",
        "acqNumAveragedFrames": 1,
        "channelsSave": channels,
        "scanFrameRate": 30,
        "stackNumSlices": 1,
    }
    return head + "\n".join(f"scanimage.SI5.{key} = {value}" for key, value in lines.items()) + "\n"
