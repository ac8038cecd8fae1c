"""The calibration on raw traces: its pinned table, and studies that are counted from traces."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from nwbswitch.analysis.simulation.agreement import Agreement
from nwbswitch.analysis.simulation.calibration import agreements
from nwbswitch.analysis.simulation.pinned_values import Pinned, read_pinned
from nwbswitch.schemas.worlds import GAIN, World

ROOT = Path(__file__).resolve().parents[2]
TABLE = read_pinned(ROOT / "tests" / "reference" / "calibration_traces.json").groups
LONG = [group for group in TABLE if group.window_s == 600]
FRESH = [group for group in LONG if group.world in (World.GAIN, World.RESHUFFLE, World.SWITCH)]
"""Two new sessions of each take a few seconds; the program does all, with more sessions, in minutes."""


@pytest.fixture(scope="module")
def traces() -> ModuleType:
    """Return the program as a module."""
    path = ROOT / "benchmarks" / "calibration_traces.py"
    spec = importlib.util.spec_from_file_location("calibration_traces", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "calibration_traces", module)
        spec.loader.exec_module(module)
        yield module


def _of(world: World, name: str) -> tuple[float, float]:
    group = next(group for group in LONG if group.world is world)
    return float(group.means[name][0]), float(group.standard_errors[name])


@pytest.mark.parametrize("group", FRESH, ids=[group.title for group in FRESH])
def test_a_fresh_seed_agrees_with_the_pinned_table(traces: ModuleType, group: Pinned) -> None:
    job = traces.Job(group.world.value, 2, (77, list(World).index(group.world)), 600)
    cells: list[Agreement] = agreements(group, traces.simulate_world(job))
    assert {cell.name for cell in cells} == set(traces.NAMES)
    assert [cell for cell in cells if not cell.agrees] == []


def test_every_world_is_pinned_for_both_lengths_of_window() -> None:
    assert {(group.world, group.window_s) for group in TABLE} == {
        (world, window_s) for world in World for window_s in (120.0, 600.0)
    }
    assert all(
        group.source == "traces" and group.means.keys() == group.standard_errors.keys() for group in TABLE
    )


def test_merged_transients_shrink_the_response_of_active_neurons() -> None:
    active, active_se = _of(World.GAIN, "R_act")
    silent, silent_se = _of(World.GAIN, "R_sil")
    index, index_se = _of(World.GAIN, "SW")
    # at a third of the rate fewer transients merge, most in neurons that were active
    assert active > math.log2(GAIN) + 0.2
    assert silent == pytest.approx(math.log2(GAIN), abs=0.1 + 3 * silent_se)
    assert index == pytest.approx(-0.3, abs=0.1 + 3 * index_se)
    assert active_se < 0.02


def test_no_effect_stays_none_in_traces() -> None:
    for name, truth in (("G", 0.0), ("R_act", 0.0), ("R_sil", 0.0), ("SW", 0.0), ("rho_star", 1.0)):
        mean, se = _of(World.NULL, name)
        # bleaching and drift of the baseline may leave a hundredth
        assert mean == pytest.approx(truth, abs=3 * se + 0.01), name


def test_a_study_of_traces_is_a_crossover_with_all_windows(traces: ModuleType) -> None:
    truth = traces.Truth(World.SWITCH, min_events=20)
    study = traces.traced_study(truth, n_animals=2, n_neurons=12, rng=np.random.default_rng(0))
    assert [(session.animal, session.arm) for session in study] == [
        ("m01", "saline"),
        ("m01", "ketamine"),
        ("m02", "ketamine"),
        ("m02", "saline"),
    ]
    for session in study:
        assert not session.anatomical
        assert {name: window.events.shape[1] for name, window in session.windows.items()} == dict.fromkeys(
            ("pseudo_baseline", "pseudo_drug", "baseline", "drug"), 20
        )
        total = sum(session.windows[name].events.sum(axis=1) for name in ("baseline", "drug"))
        assert total.min() >= 20
        # what lies next to a window is not known at the ends of a recording
        assert session.windows["baseline"].exposure_s.min() == 30.0


def test_false_events_are_rare(traces: ModuleType) -> None:
    session = traces.traced_session(World.NULL, 100, traces.SHORT, np.random.default_rng(1))
    minutes = sum(window.exposure_s.sum() for window in session.windows.values()) / 60
    assert sum(window.negative.sum() for window in session.windows.values()) / minutes < 0.02
