"""Events by deconvolution against known truth, and what it does at starts, holes and gaps."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from activity_cases import fluorescence, measured, spans

from nwbswitch.analysis.activity.deconvolution import jumps
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.converters.simulate_traces import DECAY_S
from nwbswitch.schemas.errors import IssuesError, MissingExtraError

pytest.importorskip("oasis", reason="the extra deconvolve is not installed")

RATE_HZ = 5.0
WINDOWS = spans(("baseline", 60.0, 360.0), ("drug", 360.0, 660.0))
DECONVOLVED = Recipe(events="deconvolution", decay_s=DECAY_S)
HOW = {"rate_hz": RATE_HZ, "decay_s": 1.0, "n_smooth": 1}


def _course(*starts: int, n_frames: int = 60, height: float = 1.0) -> np.ndarray:
    frame = np.arange(n_frames)
    course = np.zeros(n_frames, dtype=np.float32)
    for start in starts:
        course[start:] += height * np.exp(-(frame[start:] - start) / RATE_HZ).astype(np.float32)
    return course


def _found(trace: np.ndarray, **more: object) -> list[int]:
    level = np.array([0.4], dtype=np.float32)
    return np.flatnonzero(jumps(trace[None], level, **HOW, **more).begins[0]).tolist()


def test_jumps_are_found_on_the_decay_of_others():
    assert _found(_course(10, 14, 30)) == [10, 14, 30]
    sizes = jumps(_course(10, 14)[None], np.array([0.4], dtype=np.float32), **HOW).size[0]
    assert sizes[[10, 14]] == pytest.approx([1.0, 1.0], abs=1e-3)
    assert sizes.sum() == pytest.approx(2.0, abs=1e-3)


def test_jumps_below_the_level_are_none():
    assert _found(_course(10, height=0.39)) == []


def test_a_rise_over_two_samples_is_one_event():
    assert _found(_course(10, 11, height=0.6)) == [10]


def test_what_is_under_way_at_the_start_or_after_a_hole_is_no_event():
    assert _found(_course(0)) == []
    holed = _course(10, 30)
    holed[[9, 10, 11]] = np.nan
    assert _found(holed) == [30]
    gap = np.zeros(60, dtype=bool)
    gap[10] = True
    assert _found(_course(10, 30), breaks=gap) == [30]
    assert _found(np.full(60, np.nan, dtype=np.float32)) == []


def test_neurons_without_a_level_have_no_events():
    found = jumps(_course(10)[None], np.array([np.nan], dtype=np.float32), **HOW)
    assert not found.begins.any()


@pytest.mark.parametrize(
    ("rate_per_min", "low", "high"),
    [(0.5, 0.93, 1.05), (2.0, 0.92, 1.03), (8.0, 0.86, 0.97), (20.0, 0.75, 0.9)],
)
@pytest.mark.parametrize("rate_hz", [5.0, 30.0])
def test_share_of_events_that_is_counted(rate_per_min, low, high, rate_hz):
    n = 60 if rate_hz == 5.0 else 20
    made, events, _ = fluorescence(np.full((n, 24), rate_per_min), rate_hz, seed=1)
    rows = measured(made, rate_hz, spans(("baseline", 0.0, 720.0)), DECONVOLVED)
    assert low < rows["n_events"].sum() / events.roi.size < high
    assert (rows["event_basis"] == "deconvolution").all()


@pytest.mark.parametrize("rate_hz", [5.0, 30.0])
def test_silent_neurons_stay_silent(rate_hz):
    made, _, _ = fluorescence(np.zeros((60, 24)), rate_hz)
    rows = measured(made, rate_hz, WINDOWS, DECONVOLVED)
    minutes = rows["exposure_s"].sum() / 60
    assert rows["n_events"].sum() / minutes <= 0.002
    assert rows["n_negative"].sum() / minutes <= 0.002


def test_activity_is_the_sum_of_jumps_per_second():
    made, _, _ = fluorescence(np.full((40, 24), 2.0), RATE_HZ, seed=2)
    rows = measured(made, RATE_HZ, WINDOWS, DECONVOLVED)
    per_event = rows["activity"].mean() * 60 / (60 * rows["n_events"].sum() / rows["exposure_s"].sum())
    assert 0.6 < per_event < 1.0


def test_the_level_is_that_of_the_baseline_in_every_window():
    made, _, _ = fluorescence(np.zeros((20, 24)), RATE_HZ)
    made[1800:] += np.random.default_rng(0).normal(0, 20, made[1800:].shape).astype(np.float32)
    rows = measured(made, RATE_HZ, WINDOWS, DECONVOLVED)
    noisy = rows[rows["window"] == "drug"]
    assert noisy["n_events"].sum() > 100
    assert noisy["n_negative"].sum() > 100


def test_the_decay_is_that_of_the_indicator_unless_it_is_given():
    made, _, _ = fluorescence(np.full((10, 24), 4.0), RATE_HZ)
    by_indicator = measured(made, RATE_HZ, WINDOWS, Recipe(events="deconvolution"), indicator="AAV-GCaMP6s")
    assert by_indicator["n_events"].sum() > 100
    with pytest.raises(IssuesError, match="decay of the indicator.*'OGB-1'"):
        measured(made, RATE_HZ, WINDOWS, Recipe(events="deconvolution"), indicator="OGB-1")


def test_without_the_package_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "oasis.oasis_methods", None)
    made, _, _ = fluorescence(np.zeros((2, 24)), RATE_HZ)
    with pytest.raises(MissingExtraError, match=r"nwbswitch\[deconvolve\]"):
        measured(made, RATE_HZ, WINDOWS, DECONVOLVED)


def test_the_optimum_is_that_of_the_whole_problem():
    """Without a least jump the solution is the projection on all courses, found by least squares too."""
    from scipy.optimize import nnls

    rng = np.random.default_rng(0)
    trace = _course(10, 25, 40) + 0.1 * rng.standard_normal(60).astype(np.float32)
    keep = math.exp(-1 / RATE_HZ)
    lags = np.subtract.outer(np.arange(60), np.arange(60))
    courses = np.where(lags >= 0, keep ** np.maximum(lags, 0), 0.0)
    expected = nnls(courses, trace.astype(np.float64))[0]
    found = jumps(trace[None], np.zeros(1, dtype=np.float32), **HOW).size[0]
    np.testing.assert_allclose(found[1:], expected[1:], atol=1e-4)
