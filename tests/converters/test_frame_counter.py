"""Samples that count frames: each gets the time of its frame, and a counter that is none is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nwbswitch.converters.clocks.frame_counter import CountedTimes, CounterSource, counter_times
from nwbswitch.schemas.clock_table import ClockMethod, ClockQuality
from nwbswitch.schemas.errors import IssuesError

FRAMES_S = 10 + np.arange(300) / 30
SOURCE = CounterSource(Path("wheel.csv"), "frame", np.arange(2, 5000))


def counted(sample_s: NDArray[np.float64], *, first_frame: int = 0) -> NDArray[np.int64]:
    """Return the frame during which each sample is taken, as a counter shows it: it stops at the last one."""
    return np.searchsorted(FRAMES_S, sample_s + 1e-9, side="right") - 1 + first_frame


@pytest.mark.parametrize("first_frame", [0, 1])
def test_one_sample_for_each_frame(first_frame: int) -> None:
    found = counter_times(np.arange(300) + first_frame, FRAMES_S, first_frame=first_frame)
    assert np.array_equal(found.times_s, FRAMES_S)
    assert (found.kept, found.n_outside, found.n_skipped) == (slice(0, 300), 0, 0)


def test_samples_slower_than_frames() -> None:
    found = counter_times(np.arange(3, 300, 7), FRAMES_S)
    assert np.array_equal(found.times_s, FRAMES_S[3::7])
    assert found.n_skipped == 0


@pytest.mark.parametrize("rate_hz", [100.0, 250.0, 1000.0])
def test_samples_faster_than_frames(rate_hz: float) -> None:
    """Sampling began before imaging and ended after it."""
    sample_s = np.arange(8, 22, 1 / rate_hz)
    found = counter_times(counted(sample_s), FRAMES_S)
    # A frame begins up to one sample before the first that names it.
    assert np.abs(found.times_s - sample_s[found.kept]).max() <= 1.01 / rate_hz
    truth = np.flatnonzero((sample_s > FRAMES_S[0] - 1e-9) & (sample_s < FRAMES_S[-1] + 1 / 30))
    assert abs(found.kept.start - truth[0]) <= 1
    assert abs(found.kept.stop - truth[-1] - 1) <= 1
    assert found.n_outside == len(sample_s) - len(found.times_s)
    assert (np.diff(found.times_s) > 0).all()


def test_a_counter_that_begins_within_a_frame() -> None:
    sample_s = np.arange(12.34, 18, 1 / 250)
    found = counter_times(counted(sample_s, first_frame=1), FRAMES_S, first_frame=1)
    assert np.abs(found.times_s - sample_s).max() <= 1.01 / 250
    assert found.n_outside == 0


def test_frames_that_no_sample_names_are_counted() -> None:
    found = counter_times(np.delete(np.arange(300), [50, 51, 200]), FRAMES_S)
    assert found.n_skipped == 3
    assert np.array_equal(found.times_s, np.delete(FRAMES_S, [50, 51, 200]))


def test_frames_without_a_rate_of_their_own() -> None:
    irregular = FRAMES_S + np.cumsum(np.random.default_rng(0).uniform(0, 0.02, 300))
    found = counter_times(np.repeat(np.arange(300), 4), irregular)
    assert np.array_equal(found.times_s[4 - found.kept.start :: 4][:299], irregular[1:])


def test_its_row_of_the_clock_table() -> None:
    movie = ClockQuality("movie", "daq", ClockMethod.FRAME_PULSES, 1.5, 20.0, 0.2, 0.9, 300)
    found = CountedTimes(np.arange(5.0), slice(2, 7), 3, 1).quality("wheel", movie)
    assert (found.stream, found.clock, found.method) == ("wheel", "daq", ClockMethod.FRAME_COUNTER)
    assert (found.offset_s, found.drift_ppm, found.jitter_ms) == (1.5, 20.0, 0.2)
    assert (found.n_frames, found.n_dropped, found.n_unmatched) == (5, 1, 3)


@pytest.mark.parametrize(
    ("numbers", "code", "line", "words"),
    [
        ([0, 1, 1.5, 2], "bad-cell", 4, "no frame number"),
        ([0, 1, np.nan, 2], "bad-cell", 4, "no frame number"),
        ([0, 1, 2, 0, 1], "bad-cell", 5, "Frame 0 comes after frame 2"),
        ([298, 299, 300], "length-differs", 4, "frames are 0 to 299"),
        ([-2, 0, 1], "length-differs", 2, "counts from 0 or 1"),
        ([7, 7, 7, 7], "bad-cell", 2, "stays at 7"),
    ],
    ids=["fraction", "missing", "back", "beyond", "before", "still"],
)
def test_counters_that_are_none(numbers: list[float], code: str, line: int, words: str) -> None:
    with pytest.raises(IssuesError, match=words) as caught:
        counter_times(numbers, FRAMES_S, source=SOURCE)
    (found,) = caught.value.issues
    assert (found.code, found.place.line, found.place.item) == (code, line, "frame")


def test_nothing_to_count() -> None:
    with pytest.raises(ValueError, match="not be empty"):
        counter_times([], FRAMES_S)
    with pytest.raises(ValueError, match="one dimension"):
        counter_times(np.zeros((2, 2)), FRAMES_S)
