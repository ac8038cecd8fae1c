"""Lines between clocks: forth, back, one after another, and without loss of digits."""

from __future__ import annotations

import numpy as np
import pytest

from nwbswitch.converters.clocks.clock_map import ClockMap

LINE = ClockMap(12.3456, 80e-6)


def test_without_arguments_it_is_the_same_clock() -> None:
    same = ClockMap()
    assert same.is_identity
    assert same.apply([0.0, 1.5, 1e9]).tolist() == [0.0, 1.5, 1e9]
    assert not ClockMap(0.0, 1e-9).is_identity


def test_own_time_becomes_reference_time() -> None:
    assert LINE.apply(np.array([0.0, 10_000.0])).tolist() == [12.3456, 10_013.1456]
    assert LINE.apply_one(10_000.0) == 10_013.1456
    assert LINE.apply_duration(10_000.0) == 10_000.8
    assert LINE.drift_ppm == pytest.approx(80)


def test_the_shape_of_the_times_stays_and_the_argument_is_not_changed() -> None:
    own = np.arange(6.0).reshape(2, 3)
    assert LINE.apply(own).shape == (2, 3)
    assert own.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_regular_series_stays_regular() -> None:
    start_s, rate_hz = LINE.apply_regular(5.0, 30.0)
    times = LINE.apply(5.0 + np.arange(100_000) / 30.0)
    assert start_s == times[0]
    # 1e-9 s in an hour: what rounding of 1e5 additions leaves.
    assert np.abs(start_s + np.arange(100_000) / rate_hz - times).max() < 1e-9


def test_one_line_after_another() -> None:
    outer = ClockMap(-3.0, -200e-6)
    own = np.linspace(-100, 1e5, 50)
    # 1e-10 s: the doubles of 1e5 s are 1.5e-11 s apart.
    assert np.allclose(LINE.then(outer).apply(own), outer.apply(LINE.apply(own)), rtol=0, atol=1e-10)
    assert ClockMap().then(LINE) == LINE


def test_there_and_back() -> None:
    own = np.linspace(-100, 1e5, 50)
    assert np.allclose(LINE.inverse().apply(LINE.apply(own)), own, rtol=0, atol=1e-10)


def test_seconds_since_1970_keep_their_digits() -> None:
    own = 1.7e9 + np.arange(10) * 1e-3
    line = ClockMap(-1.7e9, 0.0)
    # The doubles of 1.7e9 s are 2.4e-7 s apart, which is all that may be lost.
    assert np.abs(line.apply(own) - np.arange(10) * 1e-3).max() < 2.4e-7


@pytest.mark.parametrize(
    ("offset_s", "drift"), [(np.nan, 0.0), (0.0, np.inf), (0.0, -1.0)], ids=["nan", "inf", "standing still"]
)
def test_what_is_no_line_is_refused(offset_s: float, drift: float) -> None:
    with pytest.raises(ValueError, match="offset_s and drift must be finite|drift must be above -1"):
        ClockMap(offset_s, drift)
