"""Crossings of a level: what counts, what does not, and how often noise does it."""

from __future__ import annotations

import numpy as np
import pytest
from activity_cases import FRAME

from nwbswitch.analysis.activity.crossings import crossings, frames_above, rises_from_zero
from nwbswitch.analysis.activity.dff import become_dff
from nwbswitch.analysis.activity.noise import noise_sd
from nwbswitch.analysis.activity.smoothing import smoothing_frames
from nwbswitch.analysis.reading.outline import ActivityKind

NAN = float("nan")


def _begins(values: list[float], *, n_above: int = 2, breaks: np.ndarray | None = None) -> list[int]:
    trace = np.array([values], dtype=np.float32)
    found = crossings(trace, np.ones(1, dtype=np.float32), n_above, breaks=breaks)
    return np.flatnonzero(found[0]).tolist()


def test_an_event_begins_where_the_trace_crosses_and_stays():
    assert _begins([0, 0, 2, 2, 2, 0, 0, 0]) == [2]
    assert _begins([0, 0, 2, 0, 2, 2, 0, 0]) == [4]
    assert _begins([0, 1, 1, 0, 0, 0]) == [1]
    assert _begins([0, 0, 0, 0, 0, 2]) == []
    assert _begins([2, 2]) == []


def test_a_transient_whose_beginning_was_not_seen_does_not_count():
    assert _begins([2, 2, 2, 0, 0, 2, 2, 0]) == [5]
    assert _begins([0, NAN, 2, 2, 2, 0, 2, 2, 0]) == [6]
    assert _begins([0, 0, 2, NAN, 2, 2, 0, 0]) == []


def test_a_gap_in_time_hides_what_crosses_over_it():
    gap = np.zeros(8, dtype=bool)
    gap[2] = True
    assert _begins([0, 0, 2, 2, 2, 0, 0, 0], breaks=gap) == []
    assert _begins([0, 2, 2, 2, 2, 0, 0, 0], breaks=gap) == []
    assert _begins([0, 0, 0, 2, 2, 0, 0, 0], breaks=gap) == [3]


@pytest.mark.parametrize("n_above", [2, 3, 5, 12, 13])
def test_any_length_of_stay_is_the_same_as_looking_at_every_frame(n_above):
    trace = np.repeat(np.random.default_rng(n_above).standard_normal((4, 60)), 8, axis=1).astype(np.float32)
    found = crossings(trace, np.full(4, 0.5, dtype=np.float32), n_above)
    expected = np.zeros_like(found)
    for row in range(4):
        for frame in range(1, trace.shape[1] - n_above + 1):
            stays = (trace[row, frame : frame + n_above] >= 0.5).all()
            expected[row, frame] = stays and trace[row, frame - 1] < 0.5
    np.testing.assert_array_equal(found[:, :-1], expected[:, :-1])


def test_a_crossing_lasts_two_frames_or_as_long_as_was_asked():
    assert [frames_above(rate_hz, 0.4) for rate_hz in (2.0, 5.0, 7.5, 30.0)] == [2, 2, 3, 12]


def test_runs_of_positive_frames_count_once_from_where_they_begin():
    trace = np.array([[1, 0, 2, 3, 0, NAN, 4, 0, 5]], dtype=np.float32)
    assert np.flatnonzero(rises_from_zero(trace)[0]).tolist() == [2, 8]
    gap = np.zeros(9, dtype=bool)
    gap[8] = True
    assert np.flatnonzero(rises_from_zero(trace, breaks=gap)[0]).tolist() == [2]


def _white(n: int, *, seconds: float, rate_hz: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((n, round(seconds * rate_hz)), dtype=np.float32)
    traces = np.float32(FRAME) * (1 + np.float32(0.06 * np.sqrt(rate_hz / 5)) * noise)
    n_smooth = smoothing_frames(rate_hz, 0.2)
    become_dff(
        traces,
        None,
        np.zeros(n, dtype=np.float32),
        np.zeros(traces.shape[1], dtype=bool),
        kind=ActivityKind.RAW,
        rate_hz=rate_hz,
        n_smooth=n_smooth,
    )
    return traces


@pytest.mark.parametrize("rate_hz", [2.0, 5.0, 7.5, 15.0, 30.0])
def test_white_noise_gives_almost_no_events_at_any_frame_rate(rate_hz):
    dff = _white(60, seconds=1020, rate_hz=rate_hz)
    level = (3 * noise_sd(dff)).astype(np.float32)
    n_above = frames_above(rate_hz, 0.4)
    found = sum(crossings(sign * dff, level, n_above).sum() for sign in (np.float32(1), np.float32(-1)))
    assert found / 2 / 60 / 17 <= 0.004


def test_a_bare_crossing_would_invent_an_event_every_other_minute():
    dff = _white(20, seconds=900, rate_hz=5.0)
    above = dff >= 3 * noise_sd(dff)[:, None]
    bare = (above[:, 1:] & ~above[:, :-1]).sum() / 20 / 15
    assert 0.3 < bare < 0.5
