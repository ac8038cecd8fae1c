"""The table of clocks in an NWB file: what every stream's time rests on, and how well it is known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.tables import Column, TableSpec

MODULE_NAME = "synchronization"
MODULE_DESCRIPTION = "How the clocks of the acquisition systems lead to session time."
TABLE_NAME = "clock_alignment"
TABLE_DESCRIPTION = (
    "One row per stream of data: the clock it was recorded on, how that clock was brought to session time, "
    "and how well. Session time = offset_s + own time * (1 + drift_ppm / 1e6). NaN: unknown or inapplicable."
)

MAX_DRIFT_PPM = 1000.0
"""Quartz keeps 100 ppm, resonators of microcontroller boards mostly 1000; more is often a wrong rate."""
MAX_JITTER_FRAMES = 0.5
"""With more than half a frame of jitter, a sample is as likely given to the frame beside its own."""
MAX_DROPPED_SHARE = 0.001
"""Frame clocks lose no pulses; one in a thousand (2 s in half an hour) is a fault of the line."""
MAX_UNMATCHED_SHARE = 0.01
"""Lines lose no pulses either, but a system may while it is busy; one in a hundred is a fault."""


class ClockMethod(StrEnum):
    """How the time of a stream leads to session time."""

    SAME = "same clock"
    OFFSET = "offset"
    PULSES = "pulses"
    FRAME_PULSES = "frame pulses"
    FRAME_COUNTER = "frame counter"


@dataclass(frozen=True, slots=True)
class ClockQuality:
    """How the time of one stream leads to session time, and how well; one row of the table."""

    stream: str
    clock: str
    method: ClockMethod
    offset_s: float = 0.0
    drift_ppm: float = 0.0
    jitter_ms: float = math.nan
    max_residual_ms: float = math.nan
    n_frames: int = 0
    n_pulses: int = 0
    n_dropped: int = 0
    n_unmatched: int = 0


CLOCK_COLUMNS: tuple[Column, ...] = (
    Column("stream", "str", "Stream of data, as the study file names it."),
    Column("clock", "str", "Clock of the stream; 'session' is the clock of this file."),
    Column("method", "str", f"How that clock was brought to session time: {', '.join(ClockMethod)}."),
    Column("offset_s", "float", "Session time at which the clock reads zero.", "s", nullable=True),
    Column("drift_ppm", "float", "How much slower than session time it runs.", "ppm", nullable=True),
    Column(
        "jitter_ms",
        "float",
        "Standard deviation of pulses around the aligned clock; of the frame intervals for frame pulses.",
        "ms",
        nullable=True,
    ),
    Column("max_residual_ms", "float", "Largest such deviation.", "ms", nullable=True),
    Column("n_frames", "int", "Frames or samples of the stream that were given a time; 0 if not counted."),
    Column("n_pulses", "int", "Pulses that have a partner, or a frame; 0 without pulses."),
    Column("n_dropped", "int", "Frames whose pulse was lost and whose time was filled in."),
    Column(
        "n_unmatched",
        "int",
        "Pulses that one system missed while both recorded; surplus frame pulses; samples outside frames.",
    ),
)

CLOCKS = TableSpec(
    "clocks",
    "one stream of one recording session",
    (
        Column("dataset", "str", "Data set."),
        Column("animal", "str", "Subject identifier."),
        Column("session", "str", "Session identifier."),
        *CLOCK_COLUMNS,
        Column("frame_ms", "float", "Frame interval of the imaging of this session.", "ms", nullable=True),
        Column("source", "str", "File the row was read from."),
        Column("source_digest", "str", "SHA-256 of that file."),
    ),
)
"""What `nwbswitch measure` writes beside the cells table."""


def read_clock_table(nwbfile: Any) -> tuple[ClockQuality, ...]:
    """Return the rows of the clock table of an NWB file that pynwb has opened; empty without one.

    Raises
    ------
    ValueError
        For a table that lacks a column or holds a method that is none.
    """
    module = (nwbfile.processing or {}).get(MODULE_NAME)
    table = None if module is None else module.data_interfaces.get(TABLE_NAME)
    if table is None:
        return ()
    return clock_rows({str(name): list(table[name][:]) for name in table.colnames})


def clock_rows(columns: dict[str, list[Any]]) -> tuple[ClockQuality, ...]:
    """Return rows from columns by name; columns that are not known are left out.

    Raises
    ------
    ValueError
        For columns that are missing, of unequal length, or hold what they cannot.
    """
    missing = [column.name for column in CLOCK_COLUMNS if column.name not in columns]
    if missing:
        raise ValueError(f"the table {TABLE_NAME} lacks {', '.join(missing)}")
    try:
        cells = zip(*(columns[column.name] for column in CLOCK_COLUMNS), strict=True)
        return tuple(_row(each) for each in cells)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"the table {TABLE_NAME} holds {error}") from error


def _row(cells: Sequence[Any]) -> ClockQuality:
    kinds = {"str": str, "float": float, "int": int}
    values = {
        column.name: kinds[column.dtype](cell) for column, cell in zip(CLOCK_COLUMNS, cells, strict=True)
    }
    return ClockQuality(**{**values, "method": ClockMethod(str(values["method"]))})


def clock_issues(
    rows: Iterable[ClockQuality], *, frame_s: float | None = None, place: Place | None = None
) -> list[Issue]:
    """Return what is doubtful about the clocks of a recording.

    Parameters
    ----------
    rows
        The clock table.
    frame_s
        Frame interval of the imaging, s, against which jitter is judged; without it it is not.
    place
        Where the table is.
    """
    where = place or Place()
    found = []
    for row in rows:
        name = f"The clock {row.clock!r} of {row.stream!r}"
        if abs(row.drift_ppm) > MAX_DRIFT_PPM:
            problem = f"{name} drifts {row.drift_ppm:.0f} ppm, {abs(row.drift_ppm) * 3.6e-3:.1f} s an hour."
            remedy = "Check rate_hz and scale; a clock that bad should be aligned by pulses."
            found.append(issue("clock-drift", problem, place=where, remedy=remedy))
        if frame_s is not None and row.jitter_ms > 1000 * MAX_JITTER_FRAMES * frame_s:
            problem = f"{name} jitters by {row.jitter_ms:.3g} ms; a frame has {1000 * frame_s:.3g} ms."
            remedy = "Look for bounces and for time stamps made by software."
            found.append(issue("clock-jitter", problem, place=where, remedy=remedy))
        if row.n_dropped > MAX_DROPPED_SHARE * row.n_frames:
            problem = (
                f"{row.n_dropped} of {row.n_frames} frames of {row.stream!r} have no pulse of their own."
            )
            remedy = "Their times are interpolated; look at the line."
            found.append(issue("frames-dropped", problem, place=where, remedy=remedy))
        if row.method is ClockMethod.PULSES and row.n_unmatched > MAX_UNMATCHED_SHARE * row.n_pulses:
            problem = f"{name} was aligned by {row.n_pulses} pulses; {row.n_unmatched} have no partner."
            remedy = "Look at both lines; a contact that bounces needs min_interval_s."
            found.append(issue("pulses-unmatched", problem, place=where, remedy=remedy))
    return found
