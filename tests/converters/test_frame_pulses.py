"""Frames and their pulses: every frame gets the time of its own pulse, or the recording is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nwbswitch.converters.clocks.clock_map import ClockMap
from nwbswitch.converters.clocks.frame_pulses import FrameAlignment, align_frames
from nwbswitch.converters.clocks.pulses import PulseTrain
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.study_clocks import FrameTimes

Floats = NDArray[np.float64]

N = 3000
JITTER_S = 0.2e-3
TRUE_S: Floats = 2.5 + np.arange(N) / 30.03
PULSES_S: Floats = TRUE_S + np.random.default_rng(0).normal(0, JITTER_S, N)


def frames(pulses_s: Floats, n_frames: int = N, **keys: Any) -> FrameAlignment:
    options = {name: keys.pop(name) for name in ("clock_map", "nominal_rate_hz") if name in keys}
    source = FrameTimes(path=Path("daq.npy"), **keys)
    return align_frames(PulseTrain(source.path, "", pulses_s), n_frames, source, **options)


def refusal(pulses_s: Floats, n_frames: int = N, *, code: str = "pulses-differ", **keys: Any) -> str:
    with pytest.raises(IssuesError) as caught:
        frames(pulses_s, n_frames, **keys)
    (found,) = caught.value.issues
    assert found.code == code
    assert found.place.file == Path("daq.npy")
    assert found.remedy
    return f"{found.message} {found.remedy}"


def test_one_pulse_for_each_frame() -> None:
    found = frames(PULSES_S, nominal_rate_hz=30)
    assert np.array_equal(found.times_s, PULSES_S)
    quality = found.quality
    assert (quality.n_matched, quality.n_unmatched, quality.n_dropped) == (N, 0, 0)
    # Intervals have the jitter of two pulses; its estimate from 3000 is good to 5 / sqrt(6000).
    assert quality.jitter_ms == pytest.approx(1000 * JITTER_S * np.sqrt(2), rel=0.07)
    assert quality.interval_ms == pytest.approx(1000 / 30.03, rel=1e-3)
    assert found.gaps_s.size == 0


def test_pulses_of_another_clock_are_brought_to_the_session() -> None:
    line = ClockMap(12.3456, 80e-6)
    found = frames(PULSES_S, clock_map=line)
    assert np.array_equal(found.times_s, line.apply(PULSES_S))
    assert found.quality.drift_ppm == pytest.approx(80)


@pytest.mark.parametrize(("extra", "expected"), [("after", slice(None, 2990)), ("before", slice(10, None))])
def test_surplus_pulses_are_left_out_where_they_may_be(extra: str, expected: slice) -> None:
    found = frames(PULSES_S, 2990, extra=extra)
    assert np.array_equal(found.times_s, PULSES_S[expected])
    assert (found.quality.n_matched, found.quality.n_unmatched_own) == (2990, 10)


def test_the_number_of_the_first_pulse() -> None:
    found = frames(PULSES_S, 2000, start_index=7, extra="after")
    assert np.array_equal(found.times_s, PULSES_S[7:2007])
    assert found.quality.n_unmatched_own == 1000


def test_several_pulses_for_each_frame() -> None:
    found = frames(PULSES_S, 1000, pulses_per_frame=3, nominal_rate_hz=10)
    assert np.array_equal(found.times_s, PULSES_S[::3])
    assert found.quality.interval_ms == pytest.approx(3000 / 30.03, rel=1e-3)


def test_lost_pulses_are_filled_in_when_asked_for() -> None:
    lost = [100, 1500, 1501, 2600]
    found = frames(np.delete(PULSES_S, lost), missing="interpolate")
    # Between jittered neighbours: less than five times their jitter.
    assert np.abs(found.times_s - TRUE_S).max() < 5 * JITTER_S
    others = np.delete(np.arange(N), lost)
    assert np.array_equal(found.times_s[others], PULSES_S[others])
    assert (found.quality.n_dropped, found.quality.n_matched, found.quality.n_unmatched_own) == (4, N - 4, 0)


def test_lost_pulses_and_a_surplus() -> None:
    found = frames(np.delete(PULSES_S, [100, 2995]), 2990, missing="interpolate", extra="after")
    assert np.abs(found.times_s - TRUE_S[:2990]).max() < 5 * JITTER_S
    # One of the two lies beyond the last frame.
    assert (found.quality.n_dropped, found.quality.n_matched, found.quality.n_unmatched_own) == (1, 2989, 9)


def test_lost_pulses_that_no_frame_begins_with() -> None:
    found = frames(np.delete(PULSES_S, [301, 600]), 1000, pulses_per_frame=3, missing="interpolate")
    assert found.quality.n_dropped == 1
    assert found.quality.n_unmatched_reference == 2


def test_pauses_of_the_imaging_are_kept() -> None:
    paused = PULSES_S + 7.77 * (np.arange(N) >= 1000)
    for keys in ({}, {"missing": "none"}):
        found = frames(paused, **keys)
        assert np.array_equal(found.times_s, paused)
        assert found.gaps_s.tolist() == [paused[999]]
        assert found.quality.jitter_ms < 1
    assert np.array_equal(frames(paused, 2990, missing="none", extra="after").times_s, paused[:2990])


def test_a_late_time_stamp_is_no_lost_pulse() -> None:
    late = PULSES_S.copy()
    late[[500, 900, 2000]] += [0.025, 0.018, 0.032]
    for keys in ({}, {"missing": "interpolate"}):
        found = frames(late, **keys)
        assert np.array_equal(found.times_s, late)
        assert found.gaps_s.size == 0
    found = frames(np.delete(late, 1500), missing="interpolate")
    assert found.quality.n_dropped == 1
    assert np.abs(found.times_s - np.where(np.arange(N) == 1500, TRUE_S, late)).max() < 5 * JITTER_S


def test_a_single_frame() -> None:
    found = frames(np.array([3.0]), 1)
    assert found.times_s.tolist() == [3.0]
    assert np.isnan(found.quality.jitter_ms)


# --- refusals


def test_surplus_pulses_are_refused_unless_stated() -> None:
    said = refusal(PULSES_S, 2990)
    assert "3000 pulses, 2990 are needed" in said
    assert "10 are too many" in said
    assert "extra: before or extra: after" in said


def test_missing_pulses_are_refused_unless_to_be_filled_in() -> None:
    said = refusal(np.delete(PULSES_S, [100, 1500, 1501]))
    assert f"2 gaps have room for 3 pulses (1 at {PULSES_S[99]:.3f} s, 2 at {PULSES_S[1499]:.3f} s)" in said
    assert "missing: interpolate" in said


def test_missing_pulses_without_a_gap() -> None:
    for missing in ("refuse", "interpolate", "none"):
        said = refusal(PULSES_S[:-3], missing=missing)
        assert "3 are missing, and no gap" in said


def test_gaps_do_not_make_up_for_a_wrong_number() -> None:
    assert "1 are missing" in refusal(np.delete(PULSES_S, 100)[:-1], missing="interpolate")
    assert "1 are too many" in refusal(np.delete(PULSES_S, [100, 200]), N - 1, missing="interpolate")


def test_gaps_with_a_surplus_decide_nothing() -> None:
    """With a surplus at one end the number of pulses no longer tells whether a gap is a pause."""
    said = refusal(np.delete(PULSES_S, 100), 2990, extra="after")
    assert "missing: none if the imaging paused" in said


def test_a_pause_is_not_filled_in() -> None:
    paused = np.delete(PULSES_S + 0.4 / 30 * (np.arange(N) >= 1000), 999)
    said = refusal(paused, missing="interpolate")
    assert "no whole number of intervals" in said


def test_too_many_lost_pulses() -> None:
    kept = np.sort(np.random.default_rng(1).choice(N - 2, 2800, replace=False) + 1)
    said = refusal(PULSES_S[np.concatenate([[0], kept, [N - 1]])], missing="interpolate")
    assert "more than 1 %" in said
    filled = frames(PULSES_S[np.concatenate([[0], kept, [N - 1]])], missing="interpolate", max_missing=0.1)
    assert np.abs(filled.times_s - TRUE_S).max() < 8 * JITTER_S


def test_a_bounce_and_a_lost_pulse_do_not_cancel() -> None:
    bounced = np.sort(np.concatenate([np.delete(PULSES_S, 2000), [PULSES_S[700] + 0.004]]))
    said = refusal(bounced)
    assert f"the first at {PULSES_S[700] + 0.004:.3f} s" in said
    assert "min_interval_s: 0.016" in said


def test_pulses_of_another_rate() -> None:
    assert "pulses_per_frame: 3" in refusal(PULSES_S, 1000, code="rate-differs", nominal_rate_hz=10.01)
    said = refusal(PULSES_S, code="rate-differs", nominal_rate_hz=22)
    assert "30.03" in said
    assert "Check the line" in said


def test_too_few_and_simultaneous_pulses() -> None:
    assert "too few" in refusal(PULSES_S[:1])
    assert "same time" in refusal(np.concatenate([PULSES_S, PULSES_S[-1:]]), N + 1)
    with pytest.raises(ValueError, match="n_frames"):
        frames(PULSES_S, 0)
