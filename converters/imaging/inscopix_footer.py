"""The JSON text at the end of an .isxd file, which says what the bytes before it are.

Its length is in the last 8 bytes, after a zero byte (``readJsonHeaderAtEnd`` of Inscopix's isxcore,
https://github.com/inscopix/isxcore). Frames that were dropped, cropped or left blank are listed and not
stored; times and pixel sizes are fractions.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from nwbswitch.converters.imaging.raw_frames import open_raw, read_into
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

MAX_FOOTER_BYTES = 64 << 20
MAX_TIMES = 50_000_000
"""Frames of a movie, stored or not: a month at 20 Hz, and what a table of them takes in memory."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""A start before this is the zero of the clock, which Inscopix writes where no start is known."""

_TAIL_BYTES = 9
_KINDS = (
    "a movie",
    "a cell set",
    "a behavioral movie",
    "GPIO data",
    "an image",
    "events",
    "metrics",
    "IMU data",
    "a vessel set",
    "an nVision movie",
)
_RANGE = re.compile(r"\s*(\d{1,12})\s*(?:-\s*(\d{1,12})\s*)?")


class FooterPart(BaseModel):
    """A part of a footer; what is not named here is left unread."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class Fraction(FooterPart):
    """A number as numerator and denominator."""

    num: int = Field(ge=-(1 << 63), lt=1 << 63)
    den: int = Field(gt=0, lt=1 << 63)

    @property
    def value(self) -> float:
        """The number."""
        return self.num / self.den


class Moment(FooterPart):
    """A point in time; ``utc_offset`` is in s."""

    secs_since_epoch: Fraction
    utc_offset: int = Field(0, ge=-86_399, le=86_399)


class TimingInfo(FooterPart):
    """Number and times of frames; indices count all frames, stored or not."""

    num_times: int = Field(ge=1, le=MAX_TIMES)
    period: Fraction
    start: Moment | None = None
    dropped: tuple[int, ...] = ()
    blank: tuple[int, ...] = ()
    cropped: tuple[str, ...] = ()


class PixelCounts(FooterPart):
    """Columns (x) and rows (y)."""

    x: int = Field(ge=1, le=1 << 16)
    y: int = Field(ge=1, le=1 << 16)


class SpacingInfo(FooterPart):
    """Size of a frame."""

    num_pixels: PixelCounts


class MovieFooter(FooterPart):
    """What an .isxd file says of a movie."""

    type: int
    data_type: int
    file_version: int = 0
    has_frame_header_footer: bool = False
    timing_info: TimingInfo
    spacing_info: SpacingInfo
    extra_properties: dict[str, Any] | None = None


def read_footer(path: Path) -> tuple[dict[str, Any], int]:
    """Return the footer of an .isxd file and the number of bytes before it.

    Raises
    ------
    InputFileError
        When the file is missing, cut short or damaged.
    UnsafeFileError
        When the footer states more bytes than are read.
    """
    with open_raw(path) as stream:
        size = path.stat().st_size
        problem = "has no footer at its end"
        if size > _TAIL_BYTES:
            length = np.empty(1, "<u8")
            read_into(stream, path, size - 8, length)
            problem = f"states a footer of {int(length[0])} bytes in a file of {size}"
        if size <= _TAIL_BYTES or not 2 <= int(length[0]) <= size - _TAIL_BYTES:
            raise InputFileError(
                path, f"{problem}.", "It is cut short or no .isxd file; copy it again, or repair it in IDPS."
            )
        if int(length[0]) > MAX_FOOTER_BYTES:
            raise UnsafeFileError(path, f"{problem}; at most {MAX_FOOTER_BYTES} are read.")
        begin = size - _TAIL_BYTES - int(length[0])
        text = np.empty(int(length[0]), np.uint8)
        read_into(stream, path, begin, text)
    try:
        footer = json.loads(text.tobytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputFileError(
            path, f"has a damaged footer: {str(error)[:200]}.", "Copy it again, or repair it in IDPS."
        ) from error
    if not isinstance(footer, dict):
        raise InputFileError(path, "has a footer that is no JSON object.")
    return footer, begin


def movie_footer(path: Path, footer: dict[str, Any]) -> MovieFooter:
    """Return what the footer says of a movie.

    Raises
    ------
    InputFileError
        When the file holds something else, or the footer lacks what is needed to find the frames.
    """
    kind = footer.get("type")
    if kind != 0:
        known = isinstance(kind, int) and 0 < kind < len(_KINDS)
        words = _KINDS[int(kind)] if known and kind else f"of the unknown type {str(kind)[:20]}"
        raise InputFileError(path, f"is {words}, not a movie.")
    try:
        return MovieFooter.model_validate(footer)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputFileError(path, f"has a damaged footer: {place}: {first['msg']}.") from error


def stored_frames(path: Path, timing: TimingInfo) -> NDArray[np.int64]:
    """Return the indices (n,) of the frames that are stored, those of all frames being 0, 1, 2, …

    Raises
    ------
    InputFileError
        When a frame is said to be missing that is not one of the movie's.
    """
    is_stored = np.ones(timing.num_times, dtype=bool)
    for each in (*timing.dropped, *timing.blank):
        if not 0 <= each < timing.num_times:
            raise _beyond(path, each, timing)
        is_stored[each] = False
    for text in timing.cropped:
        match = _RANGE.fullmatch(text)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if not first <= last < timing.num_times:
            raise _beyond(path, text, timing)
        is_stored[first : last + 1] = False
    return np.flatnonzero(is_stored)


def _beyond(path: Path, what: int | str, timing: TimingInfo) -> InputFileError:
    return InputFileError(
        path, f"lists {str(what)[:40]!r} as missing of its {timing.num_times} frames, which cannot be."
    )


def start_of(path: Path, timing: TimingInfo) -> datetime | None:
    """Return when the recording began; None where the file does not know.

    Raises
    ------
    InputFileError
        For a date that is none.
    """
    if timing.start is None:
        return None
    seconds = timing.start.secs_since_epoch
    whole, rest = divmod(seconds.num, seconds.den)
    zone = timezone(timedelta(seconds=timing.start.utc_offset))
    try:
        found = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=whole + rest / seconds.den)
        return None if found < EARLIEST else found.astimezone(zone)
    except OverflowError as error:
        raise InputFileError(path, f"states a start {whole} s after 1970.") from error
