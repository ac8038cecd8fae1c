"""Naive fractions of the worlds are those of a new simulation, and published pairs are placed among them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nwbswitch.analysis.simulation.agreement import mean_and_se
from nwbswitch.analysis.simulation.naive_worlds import (
    NAIVE_WORLDS,
    WINDOWS_S,
    WORLDS,
    NaiveWorld,
    compatible_worlds,
    naive_values,
)

PINNED_REPETITIONS, REPETITIONS = 40, 12
# As rare in a t distribution of 11 degrees of freedom as 3 standard errors are in a normal one.
LIMIT_SE = float(stats.t.ppf(stats.norm.cdf(3), REPETITIONS - 1))
CHECKED = [row for row in NAIVE_WORLDS if row.window_s in (120, 600)]


@pytest.mark.parametrize("row", CHECKED, ids=[f"{row.world} {row.window_s:g} s" for row in CHECKED])
def test_kept_fractions_agree_with_a_new_simulation(row: NaiveWorld) -> None:
    rng = np.random.default_rng(11)
    values = naive_values(row.world, row.window_s, repetitions=REPETITIONS, rng=rng)
    kept = {
        "naive_down": (row.down_pct / 100, 0.0005),
        "naive_up": (row.up_pct / 100, 0.0005),
        "naive_p_active_after_silent": (row.p_active_after_silent, 0.0005),
        "naive_corr": (row.correlation, 0.0005),
    }
    for name, (number, rounding) in kept.items():
        mean, se = mean_and_se(values[name])
        error = se * np.sqrt(1 + REPETITIONS / PINNED_REPETITIONS)
        assert mean == pytest.approx(number, abs=LIMIT_SE * error + rounding), name


def test_every_world_is_there_for_every_window() -> None:
    assert {(row.world, row.window_s) for row in NAIVE_WORLDS} == {
        (world, window_s) for world in WORLDS for window_s in WINDOWS_S
    }
    assert len(NAIVE_WORLDS) == len(WORLDS) * len(WINDOWS_S)


def test_forty_forty_is_compatible_with_a_reshuffle_and_a_switch_alike() -> None:
    names = [each.naive.world for each in compatible_worlds(40, 40, window_s=600)]
    assert names[0] == "reshuffle"
    assert "switch" in names
    assert "no effect" not in names


def test_thirty_thirty_in_short_windows_is_compatible_with_no_effect() -> None:
    names = [each.naive.world for each in compatible_worlds(30, 30, window_s=120)]
    assert names[0] == "no effect"
    assert "drift" in names
    long = [each.naive.world for each in compatible_worlds(30, 30, window_s=1200)]
    assert "no effect" not in long


ROWS = (NaiveWorld("a", 60, 20, 20, 0.5, -0.3), NaiveWorld("b", 600, 40, 40, 0.8, -0.7))


def test_nearness_is_the_tolerance_and_two_binomial_errors() -> None:
    assert [each.naive.world for each in compatible_worlds(24, 16, window_s=60, worlds=ROWS)] == ["a"]
    assert compatible_worlds(28, 20, window_s=60, worlds=ROWS) == []
    # 2 sqrt(20 x 80 / 400) = 4 points more
    assert compatible_worlds(28, 20, window_s=60, n_neurons=400, worlds=ROWS)[0].down_off_pct == 8
    assert compatible_worlds(32, 20, window_s=60, n_neurons=400, worlds=ROWS) == []


def test_windows_between_those_of_the_table_take_the_nearest_in_the_logarithm() -> None:
    # 60 to 600: the middle is 190 s
    assert compatible_worlds(20, 20, window_s=185, worlds=ROWS)[0].naive.world == "a"
    assert compatible_worlds(40, 40, window_s=195, worlds=ROWS)[0].naive.world == "b"
    assert compatible_worlds(40, 40, window_s=9e9, worlds=ROWS)[0].naive.world == "b"
    assert compatible_worlds(40, 40, window_s=60, worlds=()) == []


def test_a_compatible_world_says_its_own_pair() -> None:
    found = compatible_worlds(41, 39, window_s=600, worlds=ROWS)
    assert str(found[0]) == "b (40 % down, 40 % up in windows of 10 min)"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"down_pct": 70.0}, "percentages of all neurons"),
        ({"up_pct": -1.0}, "percentages of all neurons"),
        ({"down_pct": float("nan")}, "percentages of all neurons"),
        ({"window_s": 0.0}, "window_s must be positive"),
        ({"window_s": float("inf")}, "window_s must be positive"),
        ({"n_neurons": 0}, "n_neurons must be at least 1"),
        ({"tolerance_pct": float("nan")}, "tolerance_pct must not be negative"),
    ],
)
def test_wrong_arguments_are_named(wrong: dict[str, float], said: str) -> None:
    arguments: dict[str, float] = {"down_pct": 40.0, "up_pct": 40.0, "window_s": 600.0} | wrong
    with pytest.raises(ValueError, match=said):
        compatible_worlds(arguments.pop("down_pct"), arguments.pop("up_pct"), **arguments)
