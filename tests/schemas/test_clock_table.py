"""The clock table's contract: rows from columns, and what is doubtful about them."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from nwbswitch.schemas.clock_table import (
    CLOCK_COLUMNS,
    CLOCKS,
    ClockMethod,
    ClockQuality,
    clock_issues,
    clock_rows,
)
from nwbswitch.schemas.issues import Place

GOOD = ClockQuality(
    "movie",
    "daq",
    ClockMethod.PULSES,
    offset_s=1.0,
    drift_ppm=-999.0,
    jitter_ms=16.0,
    n_frames=10_000,
    n_pulses=1000,
    n_dropped=10,
    n_unmatched=10,
)


def columns_of(row: ClockQuality) -> dict[str, list[object]]:
    return {column.name: [getattr(row, column.name)] for column in CLOCK_COLUMNS}


def test_the_columns_are_those_of_a_row() -> None:
    assert [column.name for column in CLOCK_COLUMNS] == [field.name for field in fields(ClockQuality)]
    assert set(CLOCKS.names) > {column.name for column in CLOCK_COLUMNS}
    assert len(set(CLOCKS.names)) == len(CLOCKS.names)


def test_rows_come_back_from_columns() -> None:
    assert clock_rows({**columns_of(replace(GOOD, max_residual_ms=2.0)), "more": [1]}) == (
        replace(GOOD, max_residual_ms=2.0),
    )
    assert clock_rows({name: [] for name in columns_of(GOOD)}) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": ["guessed"]}, "guessed"),
        ({"offset_s": ["x"]}, "x"),
        ({"n_frames": [None]}, "clock_alignment holds"),
        ({"n_frames": [float("inf")]}, "clock_alignment holds"),
        ({"n_frames": [1, 2]}, "argument"),
        ({"n_frames": None}, "lacks n_frames"),
    ],
    ids=["method", "text", "none", "infinite", "length", "missing"],
)
def test_columns_that_are_none(change: dict[str, list[object] | None], words: str) -> None:
    columns = {name: each for name, each in {**columns_of(GOOD), **change}.items() if each is not None}
    with pytest.raises(ValueError, match=words):
        clock_rows(columns)


def test_a_clock_at_its_limits_is_not_reported() -> None:
    assert clock_issues([GOOD], frame_s=1 / 30) == []


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"drift_ppm": 1001.0}, "clock-drift", "3.6 s an hour"),
        ({"drift_ppm": -1001.0}, "clock-drift", "-1001 ppm"),
        ({"jitter_ms": 17.0}, "clock-jitter", "a frame has 33.3 ms"),
        ({"n_dropped": 11}, "frames-dropped", "11 of 10000 frames"),
        ({"n_unmatched": 11}, "pulses-unmatched", "aligned by 1000 pulses; 11 have no partner"),
    ],
)
def test_a_clock_beyond_them_is(change: dict[str, float], code: str, words: str) -> None:
    (found,) = clock_issues([replace(GOOD, **change)], frame_s=1 / 30, place=Place(item="here"))  # type: ignore[arg-type]
    assert (found.code, str(found.severity), found.place.item) == (code, "warning", "here")
    assert words in found.message
    assert found.remedy


def test_surplus_frame_pulses_and_samples_outside_imaging_are_no_fault() -> None:
    for method in (ClockMethod.FRAME_PULSES, ClockMethod.FRAME_COUNTER):
        assert clock_issues([replace(GOOD, method=method, n_unmatched=5000)]) == []


def test_jitter_is_not_judged_without_frames() -> None:
    assert clock_issues([replace(GOOD, jitter_ms=500.0)]) == []
