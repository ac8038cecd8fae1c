"""Inscopix .isxd movies, byte by byte as ``MosaicMovieFile`` of isxcore writes them.

A file that Inscopix's own library wrote is in tests/reference/inscopix, for comparison.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

DATA_TYPES = {"uint16": 0, "float32": 1, "uint8": 2}
LINE_PIXELS = 2560
COUNTER_PIXEL = 1272


def footer_of(
    movie: np.ndarray,
    *,
    n_times: int | None = None,
    period: tuple[int, int] = (50, 1000),
    start: tuple[int, int] = (0, 1),
    utc_offset: int = 0,
    dropped: Sequence[int] = (),
    cropped: Sequence[str] = (),
    blank: Sequence[int] = (),
    headers: bool = False,
    extra: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the footer of stored frames (frames, height, width)."""
    fraction = {"den": 1, "num": 3}
    return {
        "dataType": DATA_TYPES[movie.dtype.name],
        "extraProperties": extra,
        "fileVersion": 1,
        "hasFrameHeaderFooter": headers,
        "producer": {"name": "isxcore", "version": [2, 0, 1]},
        "spacingInfo": {
            "numPixels": {"x": movie.shape[2], "y": movie.shape[1]},
            "pixelSize": {"x": fraction, "y": fraction},
            "topLeft": {"x": {"den": 1, "num": 0}, "y": {"den": 1, "num": 0}},
        },
        "timingInfo": {
            "blank": list(blank),
            "cropped": list(cropped),
            "dropped": list(dropped),
            "numTimes": len(movie) if n_times is None else n_times,
            "period": {"den": period[1], "num": period[0]},
            "start": {
                "secsSinceEpoch": {"den": start[1], "num": start[0]},
                "utcOffset": utc_offset,
            },
        },
        "type": 0,
    }


def recorded_by(version: str = "1.5.0", **more: Any) -> dict[str, Any]:
    """Return the properties that the acquisition software adds."""
    return {"producer": {"name": "Inscopix IDAS", "version": version}, **more}


def write_isxd(
    path: Path,
    movie: np.ndarray,
    *,
    counters_us: Sequence[int] | None = None,
    footer: dict[str, Any] | None = None,
    **stated: Any,
) -> Path:
    """Write the stored frames, with header and footer lines when there are counters, us."""
    footer = footer or footer_of(movie, headers=counters_us is not None, **stated)
    with path.open("wb") as stream:
        for number, frame in enumerate(movie):
            pixels = frame.astype(frame.dtype.newbyteorder("<")).tobytes()
            if counters_us is None:
                stream.write(pixels)
                continue
            header = np.full(LINE_PIXELS, 0x0A0, "<u2")
            counter = int(counters_us[number]).to_bytes(8, "little")
            header[COUNTER_PIXEL : COUNTER_PIXEL + 8] = np.frombuffer(counter, np.uint8).astype("<u2") << 4
            stream.write(header.tobytes() + pixels + np.zeros(LINE_PIXELS, "<u2").tobytes())
        text = json.dumps(footer, indent=4).encode()
        stream.write(text + b"\0" + len(text).to_bytes(8, "little"))
    return path
