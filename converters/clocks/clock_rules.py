"""Rules of the check for clocks: their table can be read, and nothing in it is doubtful."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from nwbswitch.schemas.clock_table import (
    MODULE_NAME,
    TABLE_NAME,
    clock_issues,
    read_clock_table,
)
from nwbswitch.schemas.issues import Issue, Place, issue

if TYPE_CHECKING:
    from nwbswitch.converters.rules import Recording

IMAGING_TYPES = ("RoiResponseSeries", "TwoPhotonSeries", "OnePhotonSeries", "MicroscopySeries")
_STAMPS = 1000


def clocks_agree(recording: Recording) -> Iterator[Issue]:
    """The clock table, where there is one, shows clocks that fit the frames."""
    place = Place(item=f"/processing/{MODULE_NAME}/{TABLE_NAME}")
    try:
        rows = read_clock_table(recording.nwbfile)
    except ValueError as error:
        yield issue("clock-table", f"It cannot be read: {error}.", place=place, remedy="Convert again.")
        return
    if rows:
        yield from clock_issues(rows, frame_s=_frame_s(recording), place=place)


def _frame_s(recording: Recording) -> float | None:
    """Return the shortest frame interval of the imaging in a file, s, or None without imaging."""
    found = []
    for series in recording.nwbfile.objects.values():
        if type(series).__name__ not in IMAGING_TYPES:
            continue
        if series.rate:
            found.append(1 / float(series.rate))
        elif series.timestamps is not None and len(series.timestamps) > 1:
            found.append(float(np.median(np.diff(series.timestamps[:_STAMPS]))))
    return min(found, default=None)
