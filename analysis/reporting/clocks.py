"""What the report says of clocks: how each stream came to session time, and how well that is known."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from nwbswitch.analysis.clock_tables import doubts
from nwbswitch.analysis.reporting.blocks import Block, Bullets, Folded, Section, Table, Text
from nwbswitch.analysis.reporting.words import typeset
from nwbswitch.schemas.clock_table import ClockMethod

MAX_DOUBTS = 12
"""More doubts than this are counted, not listed."""
MAX_ROWS = 5000
"""More streams than this stay in the table to download."""
_NONE = "–"
_METHODS = {
    ClockMethod.SAME: "session clock",
    ClockMethod.OFFSET: "stated offset",
    ClockMethod.PULSES: "shared pulses",
    ClockMethod.FRAME_PULSES: "pulse per frame",
    ClockMethod.FRAME_COUNTER: "frame counter",
}


def clocks_section(clocks: pd.DataFrame | None, *, n_sessions: int) -> Section | None:
    """Return sentence, doubts and tables on clocks, or None where files say nothing of them.

    Parameters
    ----------
    clocks
        Columns of `nwbswitch.schemas.clock_table.CLOCKS`.
    n_sessions
        Recording sessions of the report.
    """
    if clocks is None:
        return None
    found = doubts(clocks)
    listed = [typeset(f"{each.place.item}: {each.message} {each.remedy}") for each in found[:MAX_DOUBTS]]
    more = len(found) - len(listed)
    blocks: list[Block] = [Text(_sentence(clocks, n_sessions, n_doubts=len(found)))]
    if listed:
        blocks.append(Bullets([*listed, f"and {more} more."] if more else listed, "bad"))
    blocks += [
        Table(
            "Ranges of offset and drift, largest jitter, and sums over recording sessions.",
            ["Stream", "Clock", "Aligned by", *_NUMBERS],
            [_summary(own) for _, own in clocks.groupby(["stream", "clock", "method"], sort=True)],
            n_words=3,
        ),
        Folded(
            "Clocks of every recording session",
            [
                Table(
                    "Clocks of every recording session.",
                    ["Animal", "Session", "Stream", "Clock", "Aligned by", *_NUMBERS[1:]],
                    [_row(row) for row in clocks.head(MAX_ROWS).to_dict("records")],
                    n_words=5,
                )
            ],
        ),
    ]
    gist = "nothing doubtful" if not found else f"{len(found)} doubtful"
    return Section("clocks", "Synchronisation", gist, blocks)


_NUMBERS = (
    "Sessions",
    "Offset (s)",
    "Drift (ppm)",
    "Jitter / max (ms)",
    "Samples",
    "Dropped",
    "Unmatched",
)


def _sentence(clocks: pd.DataFrame, n_sessions: int, *, n_doubts: int) -> str:
    stated = clocks[["dataset", "animal", "session"]].drop_duplicates().shape[0]
    noun = "recording session" if n_sessions == 1 else "recording sessions"
    verb = "says" if stated == 1 else "say"
    known = f"{stated} of {n_sessions} {noun} {verb} how the clocks of their streams were aligned."
    judged = (
        "Nothing about them is doubtful."
        if not n_doubts
        else f"{n_doubts} of their numbers {'is' if n_doubts == 1 else 'are'} doubtful:"
    )
    words = (
        "Jitter is the standard deviation of pulses around the aligned clock, or of the intervals of frame "
        "pulses, max the largest deviation; a dropped frame has no pulse of its own and was given a time "
        "between its neighbours; an unmatched pulse was missed by one system while both recorded, or is one "
        "more than there are frames."
    )
    return f"{known} {words} {judged}"


def _summary(own: pd.DataFrame) -> list[str]:
    first = own.iloc[0]
    return [
        first["stream"],
        first["clock"],
        _METHODS[ClockMethod(first["method"])],
        str(len(own)),
        _range(own["offset_s"], 2),
        _range(own["drift_ppm"], 0),
        _spread(own["jitter_ms"].max(), own["max_residual_ms"].max()),
        _count(own["n_frames"].sum()),
        _count(own["n_dropped"].sum(), of=own["n_frames"].sum()),
        _count(own["n_unmatched"].sum()),
    ]


def _row(row: dict[Any, Any]) -> list[str]:
    return [
        row["animal"],
        row["session"],
        row["stream"],
        row["clock"],
        _METHODS[ClockMethod(row["method"])],
        _fixed(row["offset_s"], 4),
        _fixed(row["drift_ppm"], 2),
        _spread(row["jitter_ms"], row["max_residual_ms"]),
        _count(row["n_frames"]),
        _count(row["n_dropped"], of=row["n_frames"]),
        _count(row["n_unmatched"]),
    ]


def _range(values: pd.Series, digits: int) -> str:
    low, high = _fixed(values.min(), digits), _fixed(values.max(), digits)
    return low if low == high else f"{low} to {high}"


def _fixed(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return _NONE
    # Adding zero takes the sign off a rounded zero.
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\u2212")


def _spread(jitter_ms: float, largest_ms: float) -> str:
    return f"{jitter_ms:.2g} / {largest_ms:.2g}" if math.isfinite(jitter_ms) else _NONE


def _count(value: float, *, of: float = 0) -> str:
    share = f" ({100 * value / of:.2g} %)" if value and of else ""
    return f"{int(value):,}".replace(",", "\u202f") + share
