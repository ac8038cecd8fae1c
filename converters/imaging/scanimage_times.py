"""When the pages of ScanImage files were taken, as their descriptions state it."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.imaging.scanimage_header import date_vector
from nwbswitch.converters.imaging.tiff_pages import TiffPages
from nwbswitch.schemas.errors import InputFileError

_TIME = re.compile(rb'(?:frameTimestamps_sec"?|Frame Timestamp\(s\))\s*[=:]\s*([-+0-9.eE]+)')
_EPOCH = re.compile(rb'\bepoch"?\s*[=:]\s*\[([^\]]*)\]')
_NUMBERS = re.compile(r"[-+0-9.eE]+")


class Stamps:
    """Collects the time of each page, and the moment from which times count."""

    def __init__(self) -> None:
        self.times = array("d")
        self.epoch: datetime | None = None
        self.epoch_text = b""
        self._absent = False

    def __call__(self, description: bytes) -> None:
        if self._absent:
            return
        found = _TIME.search(description)
        if not self.times:
            epoch = _EPOCH.search(description)
            self.epoch_text = epoch[1] if epoch else b""
            self.epoch = date_vector(
                [float(each) for each in _NUMBERS.findall(self.epoch_text.decode("ascii", "replace"))]
            )
            self._absent = found is None
        if found is not None:
            self.times.append(float(found[1]))
        elif self.times:
            self.times.append(float("nan"))


def page_times(opened: Sequence[TiffPages], stamps: Sequence[Stamps]) -> NDArray[np.float64] | None:
    """Return the time of every page since the start of the acquisition, s; None where files state none."""
    blocks: list[NDArray[np.float64]] = []
    zero = stamps[0].epoch
    for pages, own in zip(opened, stamps, strict=True):
        times = np.array(own.times, dtype=np.float64)
        if len(times) != pages.n_pages or not times.any():
            return None
        if zero is not None and own.epoch is not None:
            times += (own.epoch - zero).total_seconds()
        if blocks and times[0] < blocks[-1][-1]:
            raise InputFileError(
                pages.path,
                f"begins at {times[0]:g} s, before the file before it ends at {blocks[-1][-1]:g} s.",
                "Files of different acquisitions are parts: runs.",
            )
        blocks.append(times)
    return np.concatenate(blocks)
