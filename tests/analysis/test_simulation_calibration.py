"""Pinned calibration values are reproduced, and what is off is told."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from nwbswitch.analysis.simulation.agreement import Agreement, half_unit, mean_and_se, sd_and_se
from nwbswitch.analysis.simulation.calibration import agreements, simulated_values
from nwbswitch.analysis.simulation.pinned_values import Pinned, read_pinned
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.worlds import World

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
GROUPS = read_pinned(REFERENCE / "calibration.json").groups
MEANS = [group for group in GROUPS if group.means]
SDS = [group for group in GROUPS if group.sds]


@pytest.mark.parametrize("group", MEANS, ids=[group.title for group in MEANS])
def test_pinned_means_are_reproduced_within_three_monte_carlo_errors(group: Pinned) -> None:
    found = simulated_values(group, repetitions=15, rng=np.random.default_rng(7), draws=5)
    cells = agreements(group, found)
    assert {cell.name for cell in cells} == set(group.means)
    assert [cell for cell in cells if not cell.agrees] == []


@pytest.mark.parametrize("group", SDS, ids=[group.title for group in SDS])
def test_pinned_spreads_are_reproduced_within_three_monte_carlo_errors(group: Pinned) -> None:
    found = simulated_values(group, repetitions=100, rng=np.random.default_rng(8), draws=5)
    cells = agreements(group, found)
    assert [cell.name for cell in cells] == [f"SD of {name}" for name in group.sds]
    assert all(cell.agrees for cell in cells), cells


def test_the_whole_published_table_is_pinned() -> None:
    table = [group for group in MEANS if group.n_neurons == 2_000 and group.window_s == 120]
    assert len(table) == 6
    assert sum(len(group.means) for group in table) == 48
    assert sum(len(group.sds) for group in SDS) == 11


def test_a_value_that_is_off_is_told() -> None:
    group = next(group for group in MEANS if group.world.value == "reshuffle")
    wrong = group.model_copy(update={"means": {"SW": ["3.1"], "rho_star": ["0.01"]}})
    found = simulated_values(wrong, repetitions=15, rng=np.random.default_rng(9), draws=5)
    assert [(cell.name, cell.agrees) for cell in agreements(wrong, found)] == [
        ("SW", False),
        ("rho_star", True),
    ]


def test_distance_is_beyond_the_rounding_and_in_errors_of_the_difference() -> None:
    cell = Agreement("SW", 2.0, 0.03, 1.8, 1.9, 0.04, 0.05)
    assert cell.distance == pytest.approx(1.0)
    assert cell.agrees
    assert not Agreement("SW", 2.11, 0.03, 1.8, 1.9, 0.04, 0.05).agrees
    assert Agreement("SW", 1.85, 0.0, 1.8, 1.9, 0.0, 0.05).distance == 0
    assert not Agreement("SW", 2.0, 0.0, 1.8, 1.9, 0.0, 0.05).agrees
    assert not Agreement("SW", math.nan, 0.1, 1.8, 1.9, 0.1, 0.05).agrees


def test_rounding_is_read_from_the_number_as_it_was_written() -> None:
    assert half_unit("1.00") == 0.005
    assert half_unit("-1.3") == 0.05
    assert half_unit("2") == 0.5


def test_errors_of_means_and_spreads() -> None:
    values = np.random.default_rng(0).normal(3, 2, 4_000)
    mean, se = mean_and_se(values)
    assert (mean, se) == (pytest.approx(3, abs=0.1), pytest.approx(2 / np.sqrt(4_000), rel=0.05))
    sd, sd_se, pinned_se = sd_and_se(values, 40)
    # of a normal sample the standard deviation has the error s / sqrt(2 n)
    assert (sd, sd_se) == (pytest.approx(2, rel=0.05), pytest.approx(2 / np.sqrt(8_000), rel=0.1))
    assert pinned_se == pytest.approx(sd_se * 10)
    assert mean_and_se(np.array([1.0, np.nan]))[0] == 1.0
    assert math.isnan(mean_and_se(np.array([1.0, np.nan]))[1])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"means": {"SW": ["about 2"]}}, "string_pattern_mismatch|pattern"),
        ({"means": {"SW": 2.8}}, "list"),
        ({"means": {"Q": ["2.8"]}}, "Unknown estimands: Q"),
        ({"n_neurons": 10**9}, "less than or equal"),
        ({"world": "turmoil"}, "world"),
        ({"more": 1}, "Extra inputs"),
    ],
)
def test_files_of_pinned_values_are_checked(tmp_path: Path, change: dict[str, object], said: str) -> None:
    group = {"world": "null", "n_neurons": 60, "window_s": 120, "repetitions": 40, "means": {}}
    path = tmp_path / "pinned.json"
    path.write_text(json.dumps({"info": {}, "groups": [group | change]}))
    with pytest.raises(InputFileError, match=said) as caught:
        read_pinned(path)
    assert str(path) in str(caught.value)


def test_files_that_are_none_or_too_long_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pinned.json"
    with pytest.raises(InputFileError, match="No pinned calibration values"):
        read_pinned(path)
    path.write_text(" " * 1_000_001)
    with pytest.raises(InputFileError, match="more than 1000000 bytes"):
        read_pinned(path)


def test_kept_errors_and_new_ones_have_one_spread() -> None:
    pinned = Pinned(
        world=World.NULL,
        n_neurons=10,
        window_s=60,
        repetitions=3,
        means={"G": ["0.5"]},
        standard_errors={"G": "1.0"},
    )
    (cell,) = agreements(pinned, {"G": np.array([4.0, 8.0])})
    # (2 x 3 + 8) / 3 is the variance of both, 3 that of the pinned repetitions
    assert (cell.ours, cell.low) == (6.0, 0.5)
    assert cell.se == pytest.approx(math.sqrt(14 / 3 / 2))
    assert cell.pinned_se == pytest.approx(math.sqrt(14 / 3 / 3))
