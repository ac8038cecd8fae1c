"""How fast the animal moves: a series of speed in an open NWB file, found by its words and unit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nwbswitch.analysis.access.stored_array import StoredArray
from nwbswitch.analysis.access.stored_dataset import stored_array
from nwbswitch.analysis.reading.clock_reader import ClockReader
from nwbswitch.analysis.reading.outline import Clock
from nwbswitch.analysis.reading.stored_values import (
    dataset_at,
    neurodata_type,
    numbers_of,
    text_of,
    typed_groups,
)
from nwbswitch.schemas.issues import Issue
from nwbswitch.schemas.overrides import Activity

if TYPE_CHECKING:
    import h5py

TYPES = frozenset({"TimeSeries", "SpatialSeries"})
TOPS = ("processing", "acquisition", "analysis")
_SPEED = re.compile(r"speed|velocity|running")
_ANIMAL = re.compile(r"run|wheel|treadmill|locomot|ball|walk|animal|mouse|body")
_OTHER = re.compile(r"angular|rotation|pupil|eye|whisk|lick|tongue|paw|stimulus|visual|grating|confidence")
_CM_PER_S = {"cm": 1.0, "centimeter": 1.0, "centimetre": 1.0, "m": 100.0, "meter": 100.0, "metre": 100.0,
             "mm": 0.1, "millimeter": 0.1, "millimetre": 0.1, "inch": 2.54, "in": 2.54}  # fmt: skip
_UNIT = re.compile(r"\s*([a-z]+?)s?\s*(?:/|per|\*|\.)?\s*(?:s|sec|second)s?(?:\^?-1)?\s*")
MAX_SAMPLES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Movement:
    """A series of speed, one number per sample."""

    array: StoredArray
    clock: Clock
    cm_per_s_per_unit: float
    """What one stored unit is, cm/s; samples times this, plus ``offset_cm_per_s``, are the speed."""
    offset_cm_per_s: float = 0.0

    @property
    def object_path(self) -> str:
        """Path of the series in the file."""
        return self.array.object_path


def find_movement(nwb: h5py.File, *, name: str) -> Movement | None:
    """Return the speed of the animal, or None where no series says that it is one in a unit of speed.

    Of several, those whose words are of running come first, then those of fewer samples per second: what a
    lab smoothed is nearer to what it means by speed.

    Parameters
    ----------
    nwb
        An open file that the guard has looked at.
    name
        What messages call it.
    """
    clocks = ClockReader(nwb, name)
    found = []
    for group in typed_groups(nwb, TYPES, tops=TOPS):
        movement = _movement(group, clocks)
        if movement is not None:
            of_animal = bool(_ANIMAL.search(_words(group)))
            found.append(((not of_animal, movement.clock.rate_hz, movement.object_path), movement))
    return min(found, key=lambda each: each[0])[1] if found else None


def _movement(group: h5py.Group, clocks: ClockReader) -> Movement | None:
    words = _words(group)
    name = str(group.name).rpartition("/")[2].casefold()
    data = dataset_at(group, "data")
    if data is None or not _SPEED.search(words) or _OTHER.search(name):
        return None
    n = data.shape[0] if data.ndim else 0
    if not (0 < n <= MAX_SAMPLES and data.size == n and data.dtype.kind in "iuf"):
        return None
    factor = cm_per_s(text_of(data.attrs.get("unit")))
    if factor is None:
        return None
    problems: list[Issue] = []
    clock = clocks.clock(group, n, stated=Activity(), imaging_rate_hz=None, found=problems)
    if clock is None:
        return None
    conversion = next(iter(numbers_of(data.attrs.get("conversion"))), 1.0)
    offset = next(iter(numbers_of(data.attrs.get("offset"))), 0.0)
    return Movement(stored_array(data), clock, conversion * factor, offset * factor)


def _words(group: h5py.Group) -> str:
    names = "/".join(_last_names(str(group.name)))
    prose = f"{text_of(group.attrs.get('description'))} {text_of(group.attrs.get('comments'))}"
    return f"{names} {neurodata_type(group)} {prose}".casefold()


def _last_names(path: str) -> Iterator[str]:
    yield from path.split("/")[-2:]


def cm_per_s(unit: str) -> float | None:
    """Return how many cm/s a unit of speed is, None for what is none."""
    match = _UNIT.fullmatch(unit.casefold().strip())
    return _CM_PER_S.get(match.group(1)) if match else None
