"""Frames that leave events and exposure: marks, spans, motion, artefacts; not neurons that fire together."""

from __future__ import annotations

import numpy as np
import pytest
from activity_cases import FRAME, fluorescence, measured, spans, stored

from nwbswitch.analysis.activity.artefacts import artefacts
from nwbswitch.analysis.activity.motion import moved_frames
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.analysis.activity.transients import TRANSIENTS, Transient
from nwbswitch.analysis.reading.outline import FrameMask, Shifts, SpoiltSpans

WINDOWS = spans(("baseline", 60.0, 180.0), ("drug", 240.0, 360.0))
N_FRAMES = 2100


def _quiet(n: int = 20, n_frames: int = N_FRAMES, sd: float = 0.06, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((n_frames, n))
    return (FRAME * (1 + sd * noise)).astype(np.float32)


def _exposure(rows):
    return rows.groupby("window")["exposure_s"].sum() / rows["neuron"].nunique()


def test_marked_frames_leave_exposure():
    marks = np.zeros(N_FRAMES, dtype=np.uint8)
    marks[400:500] = 1
    found = []
    rows = measured(
        _quiet(),
        5.0,
        WINDOWS,
        others={"bad": marks},
        censors=(FrameMask(stored("bad", (N_FRAMES,), "|u1")),),
        issues=found,
    )
    assert _exposure(rows).to_dict() == pytest.approx({"baseline": 100.0, "drug": 120.0})
    assert [each.code for each in found] == ["frames-censored", "censoring-differs"]
    assert "17% of baseline" in found[0].message
    assert "0% of drug" not in found[0].message
    assert "17%" in found[1].message


def test_frames_that_touch_a_marked_span_leave_exposure():
    marked = SpoiltSpans((250.05, 900.0), (254.9, 950.0), "/intervals/invalid_times")
    found = []
    rows = measured(_quiet(), 5.0, WINDOWS, censors=(marked,), issues=found)
    assert _exposure(rows).to_dict() == pytest.approx({"baseline": 120.0, "drug": 115.0})
    assert found == []


def test_as_many_frames_lost_in_both_windows_are_no_confound():
    marked = SpoiltSpans((100.0, 300.0), (112.0, 312.0), "/intervals/invalid_times")
    found = []
    measured(_quiet(), 5.0, WINDOWS, censors=(marked,), issues=found)
    assert [each.code for each in found] == ["frames-censored"]


def test_frames_missing_in_all_neurons_count_as_lost_and_in_one_leave_its_exposure():
    traces = _quiet()
    traces[1300:1400] = np.nan
    traces[400:450, 3] = np.inf
    found = []
    rows = measured(traces, 5.0, WINDOWS, issues=found)
    by_neuron = rows.groupby(["neuron", "window"])["exposure_s"].sum()
    assert by_neuron[0, "baseline"] == pytest.approx(120.0)
    assert by_neuron[3, "baseline"] == pytest.approx(110.0)
    assert by_neuron[0, "drug"] == pytest.approx(100.0)
    assert [each.code for each in found] == ["frames-censored", "censoring-differs"]


def test_marks_that_do_not_fit_the_frames_are_reported_and_not_used():
    found = []
    marks = FrameMask(stored("bad", (N_FRAMES - 1,), "|u1"))
    rows = measured(_quiet(), 5.0, WINDOWS, censors=(marks,), issues=found)
    assert [each.code for each in found] == ["length-differs"]
    assert _exposure(rows)["drug"] == pytest.approx(120.0)


def test_frames_that_motion_moved_far_leave_exposure():
    shift = np.zeros((N_FRAMES, 2))
    shift[1300:1302, 0] = 4.0
    shift[1400:1401, 1] = -7.0
    about = {"others": {"shift": shift}}
    for um_per_unit, lost_s in ((1.0, 0.2), (1.5, 0.6)):
        censors = (Shifts(stored("shift", shift.shape, "<f8"), um_per_unit),)
        rows = measured(_quiet(), 5.0, WINDOWS, censors=censors, **about)
        assert _exposure(rows)["drug"] == pytest.approx(120.0 - lost_s)
    strict = measured(_quiet(), 5.0, WINDOWS, Recipe(max_shift_um=1.0), censors=censors, **about)
    assert _exposure(strict)["drug"] == pytest.approx(119.4)


def test_shifts_in_pixels_of_unknown_size_are_reported():
    shift = np.zeros((N_FRAMES, 2))
    shift[1300:1400] = 100.0
    found = []
    censors = (Shifts(stored("shift", shift.shape, "<f8"), None),)
    rows = measured(_quiet(), 5.0, WINDOWS, others={"shift": shift}, censors=censors, issues=found)
    assert [each.code for each in found] == ["motion-unknown"]
    assert _exposure(rows)["drug"] == pytest.approx(120.0)


def test_slow_drift_and_a_new_posture_are_no_motion_for_longer_than_a_second():
    shift = np.zeros((3000, 3))
    shift[:, 0] = np.arange(3000) / 100
    shift[1500:, 1] = 12.0
    moved = moved_frames(shift, 30.0, 5.0)
    assert set(np.flatnonzero(moved)) <= set(range(1500, 1531))
    shift[2000] = np.nan
    assert np.flatnonzero(moved_frames(shift, 30.0, 5.0)[1600:]).tolist() == [400]


def _bursting(transient: Transient, rate_hz: float, amplitude_dff: float, jitter_s: float) -> np.ndarray:
    """Return traces of 40 neurons of which four fifths fire together every 10 s, shape (neurons, frames)."""
    rng = np.random.default_rng(0)
    rise_s, decay_s = transient.constants_s
    time_s = np.arange(round(200 * rate_hz)) / rate_hz
    traces = 1 + 0.06 * np.sqrt(rate_hz / 5) * rng.standard_normal((40, time_s.size))
    for burst_s in np.arange(8.0, 195.0, 10.0) + rng.random(19):
        for neuron in np.flatnonzero(rng.random(40) < 0.8):
            since_s = np.maximum(time_s - burst_s - jitter_s * rng.standard_normal(), 0)
            course = (1 - np.exp(-since_s / rise_s)) * np.exp(-since_s / decay_s)
            traces[neuron] += amplitude_dff * rng.gamma(8, 1 / 8) * course / course.max()
    return (FRAME * traces).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [2.0, 5.0, 7.5, 15.0, 30.0])
@pytest.mark.parametrize("indicator", ["gcamp6s", "gcamp6f", "jgcamp8f"])
def test_neurons_that_fire_together_are_no_artefact(indicator, rate_hz):
    for amplitude_dff in (0.5, 1.5, 4.0):
        for jitter_s in (0.0, 0.05):
            traces = _bursting(TRANSIENTS[indicator], rate_hz, amplitude_dff, jitter_s)
            assert not artefacts(traces, rate_hz).any()


def _with_artefact(rate_hz: float, height_sd: float, length_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Return traces over which something passes every 20 s, line by line, and the frames that it touches."""
    rng = np.random.default_rng(0)
    n, n_frames = 40, round(300 * rate_hz)
    sd = 0.06 * np.sqrt(rate_hz / 5)
    traces = 1 + sd * rng.standard_normal((n, n_frames))
    touched = np.zeros(n_frames, dtype=bool)
    line = rng.random((n, 1))
    frame = np.arange(n_frames)
    for start_s in np.arange(20.0, 280.0, 20.0) + rng.random(13):
        start, stop = start_s * rate_hz, (start_s + length_s) * rate_hz
        inside = (frame + line >= start) & (frame + line < stop)
        traces += height_sd * sd * inside * (1 + 0.2 * rng.standard_normal((n, 1)))
        touched |= inside.any(axis=0)
    return (FRAME * traces).astype(np.float32), touched


@pytest.mark.parametrize(
    ("rate_hz", "height_sd"), [(2.0, -12.0), (5.0, -12.0), (5.0, 40.0), (30.0, -12.0), (30.0, 12.0)]
)
@pytest.mark.parametrize("length_s", [0.6, 5.0])
def test_flashes_and_dips_are_artefacts(rate_hz, height_sd, length_s):
    traces, touched = _with_artefact(rate_hz, height_sd, length_s)
    found = artefacts(traces, rate_hz)
    assert (found & touched).sum() > 0.75 * touched.sum()
    wider = np.convolve(touched, np.ones(3), mode="same") > 0
    assert not (found & ~wider).any()


def test_slow_recordings_cannot_tell_flashes_from_bursts_and_leave_them():
    traces, _ = _with_artefact(2.0, 40.0, 0.6)
    assert not artefacts(traces, 2.0).any()


def test_frames_that_repeat_and_blanked_frames_are_artefacts():
    traces = _quiet().T.copy()
    traces[:, 500:520] = 0.0
    traces[:, 900] = traces[:, 899]
    assert set(range(500, 520)) <= set(np.flatnonzero(artefacts(traces, 5.0)))
    assert {899, 900} <= set(np.flatnonzero(artefacts(traces, 5.0)))
    assert artefacts(traces, 5.0).sum() <= 26


def test_a_step_that_stays_is_no_artefact():
    traces = _quiet().T.copy()
    traces[:, 800:] *= 0.5
    assert not artefacts(traces, 5.0).any()


def test_few_traces_do_not_tell_artefacts():
    traces = _quiet(9).T.copy()
    traces[:, 500:520] = 0.0
    assert not artefacts(traces, 5.0).any()
    assert not artefacts(np.zeros((20, 50), dtype=np.float32), 5.0).any()


def test_flashes_leave_events_and_exposure():
    traces, touched = _with_artefact(30.0, 40.0, 0.6)
    windows = spans(("baseline", 10.0, 130.0), ("drug", 150.0, 290.0))
    rows = measured(traces.T.copy(), 30.0, windows)
    assert rows["n_events"].sum() == 0
    assert 240 - 1.3 * touched.sum() / 30 < _exposure(rows).sum() < 260 - 0.5 * touched.sum() / 30


def test_what_far_fewer_than_all_neurons_do_is_kept():
    traces, events, _ = fluorescence(np.full((40, 12), 8.0), 5.0, seed=3)
    rows = measured(traces, 5.0, spans(("baseline", 0.0, 360.0)))
    assert rows["exposure_s"].sum() == pytest.approx(40 * 360)
    assert rows["n_events"].sum() > 0.7 * events.roi.size
