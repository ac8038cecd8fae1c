"""Broken assumptions do to simulated counts what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from nwbswitch.analysis.estimands.counts import SessionCounts
from nwbswitch.analysis.simulation.count_studies import simulate_study
from nwbswitch.analysis.simulation.optics import Optics, mixed_counts, share_seen
from nwbswitch.analysis.simulation.rate_paths import slow_process
from nwbswitch.analysis.simulation.scenarios import BROKEN, SCENARIOS, Scenario, broken, kept
from nwbswitch.schemas.worlds import World


def _sessions(scenario: Scenario, *, n_neurons: int = 2_000, seed: int = 0) -> dict[str, SessionCounts]:
    rng = np.random.default_rng(seed)
    study = simulate_study(scenario, n_animals=1, n_neurons=n_neurons, window_s=600, rng=rng)
    return {session.arm: session for session in study}


def _total(session: SessionCounts, window: str) -> np.ndarray:
    return np.asarray(session.windows[window].events.sum(axis=1))


def test_every_broken_assumption_stands_in_three_worlds() -> None:
    for name in BROKEN:
        for words, world in (
            ("no effect", World.NULL),
            ("reshuffle", World.RESHUFFLE),
            ("switch", World.SWITCH),
        ):
            assert SCENARIOS[f"{words}, {name}"] == replace(BROKEN[name], world=world)
    with pytest.raises(ValueError, match="no assumption 'dust'; there are 'false events', "):
        broken("dust", World.NULL)


def test_an_assumption_that_is_kept_leaves_what_it_is_not_about() -> None:
    assert kept("false events", World.SWITCH) == Scenario(World.SWITCH)
    assert kept("bleaching", World.NULL) == Scenario(signal_to_noise=6.0)
    assert kept("neurons differ in signal to noise", World.NULL) == Scenario()
    assert kept("z-shift, 20 % of ROIs in each plane only", World.NULL) == Scenario(min_events=20)


def test_the_reference_has_nothing_that_the_drug_does() -> None:
    scenario = Scenario(
        World.SWITCH,
        reference_world=World.DRIFT,
        pseudo_world=World.GAIN,
        false_events_per_min=1.0,
        false_events_in_drug_only=True,
        lost_share=0.1,
        peak_after_drug=0.5,
        fluctuation_log_sd=1.0,
    )
    assert scenario.of_reference().changed() == {
        "world": World.DRIFT,
        "reference_world": World.DRIFT,
        "fluctuation_log_sd": 1.0,
        "false_events_in_drug_only": True,
    }
    both = Scenario(lost_share=0.1, shift="both", false_events_per_min=1.0).of_reference()
    assert (both.lost_share, both.false_events_per_min) == (0.1, 1.0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"lost_share": 1.2}, "lost_share must be from 0 to 1, not 1.2"),
        ({"lost_share": 0.6, "shifted_share": 0.6}, "gained_share must be from 0 to 1"),
        ({"censored_before_drug": 0.6}, "censored_before_drug must be from 0 to 0.5"),
        ({"peak_after_drug": 0.0}, "peak_after_drug must be positive"),
        ({"drive_tau_s": float("nan")}, "drive_tau_s must be positive"),
    ],
)
def test_impossible_scenarios_are_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Scenario(**wrong)


def test_a_shift_gives_rois_another_neuron_or_none_with_the_drug_only() -> None:
    found = _sessions(Scenario(lost_share=0.3, gained_share=0.2, shifted_share=0.1))
    drug, saline = found["ketamine"], found["saline"]
    # neurons of fewer than 20 events before may be silent after by chance
    busy = _total(drug, "baseline") >= 20
    lost = _total(drug, "drug")[busy] == 0
    # 0.3 of those that are not gained, of which none was busy before
    assert lost.mean() == pytest.approx(0.3 / 0.8, abs=0.05)
    gained = (_total(drug, "baseline") == 0) & (_total(drug, "drug") >= 20)
    assert (_total(drug, "pseudo_baseline")[gained] == 0).mean() > 0.95
    assert gained.sum() > 100
    assert not ((_total(saline, "baseline") == 0) & (_total(saline, "drug") >= 40)).any()


def test_a_shift_in_both_arms_is_in_both() -> None:
    found = _sessions(replace(BROKEN["z-shift in both arms"], shifted_share=0.0, lost_share=1.0))
    assert all(
        _total(session, "drug").sum() == 0 < _total(session, "baseline").sum() for session in found.values()
    )


def test_a_complete_shift_leaves_no_correlation() -> None:
    drug = _sessions(BROKEN["z-shift, all other neurons"])["ketamine"]
    before, after = (np.sqrt(_total(drug, window)) for window in ("baseline", "drug"))
    assert abs(np.corrcoef(before, after)[0, 1]) < 4 / np.sqrt(before.size)


def test_longer_drug_windows_have_more_blocks_in_both_arms() -> None:
    for session in _sessions(BROKEN["unequal durations"], n_neurons=500).values():
        assert session.windows["baseline"].events.shape == (500, 20)
        assert session.windows["drug"].events.shape == (500, 60)
        assert session.windows["drug"].half.tolist() == [1, 2] * 30
        assert session.windows["drug"].exposure_s.sum(axis=1).max() == 1800


def test_movement_takes_time_away_in_all_windows_but_that_of_the_drug() -> None:
    found = _sessions(BROKEN["unequal exposure"])
    for arm, window, share in (
        ("ketamine", "baseline", 0.7),
        ("ketamine", "drug", 1.0),
        ("saline", "drug", 0.7),
    ):
        counts = found[arm].windows[window]
        assert counts.exposure_s.mean() / 30 == pytest.approx(share, abs=0.15)
        assert np.ptp(counts.exposure_s, axis=0).max() == 0, "all neurons of a plane lose the same frames"
        # mean rate 3 per min, whatever the exposure; its CV of 1.8 over 2,000 neurons is 4 %
        rate = 60 * counts.events.sum() / counts.exposure_s.sum()
        assert rate == pytest.approx(3.0, rel=0.15)


def test_common_drive_makes_neurons_go_together() -> None:
    def pairs(scenario: Scenario) -> float:
        events = _sessions(scenario, n_neurons=200)["saline"].windows["baseline"].events
        busy = events[events.sum(axis=1) > 40]
        return float(np.corrcoef(busy)[np.triu_indices(len(busy), 1)].mean())

    assert pairs(Scenario(drive_log_sd=1.0, drive_coupling_sd=0.2)) > pairs(Scenario()) + 0.1


def test_slow_processes_are_stationary_and_forget_with_their_time_constant() -> None:
    log = slow_process(20_000, np.array([0.0, 300.0, 900.0]), 2.0, 600.0, np.random.default_rng(0))
    assert log.std(axis=0) == pytest.approx([2.0] * 3, rel=0.02)
    assert np.corrcoef(log.T)[0] == pytest.approx([1, np.exp(-0.5), np.exp(-1.5)], abs=0.02)


def test_the_share_of_events_above_the_level_is_that_of_the_gamma_distribution() -> None:
    optics = Optics(signal_to_noise=np.array([3.0, 6.0, 60.0]))
    shape = 1 / 0.35**2
    expected = stats.gamma.sf(3 / (0.5 * np.array([3.0, 6.0, 60.0])), shape, scale=1 / shape)
    assert share_seen(Scenario(), optics, 0.5) == pytest.approx(expected)
    assert share_seen(Scenario(), Optics(), 0.5).tolist() == [1.0]


def test_bleaching_takes_events_from_window_to_window_and_less_calcium_with_the_drug_only() -> None:
    bleached = _sessions(BROKEN["bleaching"])
    for session in bleached.values():
        falling = [_total(session, window).sum() for window in ("pseudo_baseline", "baseline", "drug")]
        assert falling[0] > 1.03 * falling[1] > 1.06 * falling[2]
    changed = _sessions(BROKEN["less calcium per spike"])
    ratio = {
        arm: _total(each, "drug").sum() / _total(each, "baseline").sum() for arm, each in changed.items()
    }
    assert ratio["saline"] == pytest.approx(1, abs=0.06)
    assert ratio["ketamine"] < 0.7


def test_contaminated_rois_have_part_of_the_events_of_one_other() -> None:
    events = np.array([[40.0, 0.0], [0.0, 60.0], [7.0, 7.0]])
    optics = Optics(neighbour=np.array([1, -1, -1]))
    rng = np.random.default_rng(0)
    draws = np.array(
        [mixed_counts(events, Scenario(mixed_from_neighbour=0.25), optics, rng) for _ in range(400)]
    )
    assert draws[:, 1:].std(axis=0).max() == 0
    assert draws[:, 0, 0].tolist() == [40.0] * 400
    assert draws[:, 0, 1].mean() == pytest.approx(15, abs=4 * np.sqrt(60 * 0.25 * 0.75 / 400))
    assert mixed_counts(events, Scenario(), Optics(), rng) is events


def test_a_tenth_of_the_rois_is_contaminated_the_same_in_both_sessions() -> None:
    found = _sessions(replace(BROKEN["contaminated ROIs"], mixed_from_neighbour=1.0))
    plain = _sessions(Scenario())
    extra = {
        arm: _total(found[arm], "baseline").sum() / _total(plain[arm], "baseline").sum() for arm in found
    }
    assert extra["saline"] == pytest.approx(1.1, abs=0.12)
    assert extra["ketamine"] == pytest.approx(1.1, abs=0.12)
