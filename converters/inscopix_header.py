"""The description at the end of Inscopix files (.isxd): movies, cell sets and others have the same form.

Data come first, then JSON text, a NUL and the length of the text as 8 bytes; the writer is `isxcore`
(inscopix/isxcore on GitHub, ``writeJsonHeaderAtEnd`` and ``convertTimingInfoToJson``).
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

MAX_HEADER_BYTES = 64 << 20
MAX_SIDE_PX = 1 << 15
MAX_SAMPLES = 50_000_000
MAX_NESTING = 32
_LENGTH = struct.Struct("<Q")
_RANGE = re.compile(r"(\d{1,10})(?: - (\d{1,10}))?")

KINDS = {
    0: "a movie",
    1: "a cell set",
    2: "a behavioural movie",
    3: "GPIO data",
    4: "an image",
    5: "events",
    6: "metrics",
    7: "IMU data",
    8: "a vessel set",
}
"""What the number ``type`` of a description means."""


@dataclass(frozen=True, slots=True)
class InscopixTiming:
    """When the samples of a file were taken.

    ``missing`` lists the samples that were dropped, cropped or blanked, in order. Cell sets hold NaN for them;
    movies leave them out, so that ``n_samples`` counts more than the frames that are stored.
    """

    n_samples: int
    period_s: float
    started: datetime | None
    missing: NDArray[np.int64]

    @property
    def rate_hz(self) -> float:
        """Samples per second."""
        return 1 / self.period_s


@dataclass(frozen=True, slots=True)
class InscopixHeader:
    """What an .isxd file says of its data.

    ``values`` is the whole description; ``data_bytes`` the size of the data before it.
    """

    path: Path
    kind: str
    values: Mapping[str, Any]
    data_bytes: int
    height: int
    width: int
    timing: InscopixTiming

    @property
    def properties(self) -> Mapping[str, Any]:
        """What the acquisition software noted; empty where it noted nothing."""
        found = self.values.get("extraProperties")
        return found if isinstance(found, dict) else {}


def read_inscopix_header(path: Path | str, *, expected: str) -> InscopixHeader:
    """Return the description of an .isxd file.

    Parameters
    ----------
    path
        The file.
    expected
        What it must hold, one of the values of `KINDS`.

    Raises
    ------
    InputFileError
        When the file is missing, damaged, no .isxd file, or holds something else.
    UnsafeFileError
        When the description is too long or nested too deep.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            if size < _LENGTH.size + 2:
                raise _damaged(file, f"it has {size} bytes")
            stream.seek(size - _LENGTH.size)
            length = _LENGTH.unpack(stream.read(_LENGTH.size))[0]
            start = size - _LENGTH.size - 1 - length
            if start < 0:
                raise _damaged(file, f"it states a description of {length} bytes in {size}")
            if length > MAX_HEADER_BYTES:
                raise UnsafeFileError(file, f"states a description of {length} bytes.")
            stream.seek(start)
            text = stream.read(length)
    except OSError as error:
        raise InputFileError(file, f"cannot be read: {error.strerror or error}.") from error
    values = _parsed(file, text)
    kind = KINDS.get(values.get("type") if type(values.get("type")) is int else -1, "something else")
    if kind != expected:
        raise InputFileError(file, f"holds {kind}, expected {expected}.")
    try:
        pixels = values["spacingInfo"]["numPixels"]
        height, width = _whole(pixels["y"], MAX_SIDE_PX), _whole(pixels["x"], MAX_SIDE_PX)
        timing = _timing(values["timingInfo"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _damaged(file, f"its description lacks or contradicts {error}") from error
    return InscopixHeader(file, kind, values, start, height, width, timing)


def _parsed(file: Path, text: bytes) -> dict[str, Any]:
    if _depth(text) > MAX_NESTING:
        raise UnsafeFileError(file, f"nests its description more than {MAX_NESTING} deep.")
    try:
        values = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(file, f"the description at its end is no JSON ({str(error)[:80]})") from error
    if not isinstance(values, dict):
        raise _damaged(file, "the description at its end is no JSON object")
    return values


def _depth(text: bytes) -> int:
    """Return how deep brackets nest, those in texts included."""
    steps = np.zeros(len(text) + 1, np.int64)
    codes = np.frombuffer(text, np.uint8)
    steps[1:] += np.isin(codes, (ord("["), ord("{")))
    steps[1:] -= np.isin(codes, (ord("]"), ord("}")))
    return int(np.cumsum(steps).max())


def _timing(values: Mapping[str, Any]) -> InscopixTiming:
    n_samples = _whole(values["numTimes"], MAX_SAMPLES)
    period_s = _ratio(values["period"])
    if not 0 < period_s < 1e6:
        raise ValueError("period")
    missing = [_whole(each, n_samples) for name in ("dropped", "blank") for each in values.get(name) or ()]
    gone = np.zeros(n_samples + 1, bool)
    gone[np.array(missing, np.int64)] = True
    for text in values.get("cropped") or ():
        found = _RANGE.fullmatch(text)
        if found is None:
            raise ValueError("cropped")
        gone[int(found[1]) : int(found[2] or found[1]) + 1] = True
    return InscopixTiming(n_samples, period_s, _start(values.get("start")), np.flatnonzero(gone[:n_samples]))


def _start(value: Any) -> datetime | None:
    """Return when the file began; None for the placeholder 1970-01-01 of files that do not know."""
    if not isinstance(value, dict):
        return None
    since_s = _ratio(value["secsSinceEpoch"])
    if since_s <= 0:
        return None
    zone = timezone(timedelta(seconds=int(value.get("utcOffset") or 0)))
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=since_s)).astimezone(zone)


def _ratio(value: Mapping[str, Any]) -> float:
    num, den = value["num"], value["den"]
    if type(num) is not int or type(den) is not int or den == 0:
        raise ValueError("a ratio")
    return num / den


def _whole(value: Any, limit: int) -> int:
    if type(value) is not int or not 0 <= value <= limit:
        raise ValueError(f"a whole number up to {limit}")
    return value


def _damaged(file: Path, fault: str) -> InputFileError:
    return InputFileError(
        file, f"is damaged or no Inscopix file: {fault}.", "Copy it again, or export it anew."
    )
