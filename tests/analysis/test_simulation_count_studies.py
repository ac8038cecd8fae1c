"""The count simulator makes the studies it says it makes."""

from __future__ import annotations

import numpy as np
import pytest

from nwbswitch.analysis.estimands.counts import DRUG, PSEUDO, half_counts, read_sessions
from nwbswitch.analysis.estimands.primary import ESTIMANDS, Layout, contrast_sums
from nwbswitch.analysis.simulation.count_studies import (
    SCENARIOS,
    Scenario,
    cells_table,
    simulate_study,
)
from nwbswitch.schemas.tables import CELLS


def test_a_crossover_records_the_same_neurons_in_both_arms_in_counterbalanced_order() -> None:
    study = simulate_study(Scenario(), n_animals=4, rng=np.random.default_rng(0), n_neurons=10)
    assert len(study) == 8
    by_animal = [study[place : place + 2] for place in range(0, 8, 2)]
    for first, second in by_animal:
        assert first.animal == second.animal
        assert np.array_equal(first.identity, second.identity)
        assert {first.arm, second.arm} == {"saline", "ketamine"}
    assert [pair[0].arm for pair in by_animal] == ["saline", "ketamine", "saline", "ketamine"]


def test_between_animals_every_animal_has_one_session() -> None:
    study = simulate_study(
        Scenario(), n_animals=3, rng=np.random.default_rng(0), n_neurons=[5, 8], design="between"
    )
    assert len({session.animal for session in study}) == len(study) == 6
    assert [session.identity.size for session in study] == [5, 8, 5, 8, 5, 8]
    assert sorted(session.arm for session in study) == ["ketamine"] * 3 + ["saline"] * 3


def test_detection_keeps_neurons_with_enough_events_over_both_windows_only() -> None:
    study = simulate_study(
        SCENARIOS["reshuffle, detected"], n_animals=2, rng=np.random.default_rng(1), n_neurons=80
    )
    for session in study:
        total = session.windows["baseline"].events.sum(axis=1) + session.windows["drug"].events.sum(axis=1)
        assert total.min() >= 20
        assert 0 < session.identity.size < 80
        assert not session.anatomical


def test_soft_detection_keeps_some_neurons_below_the_limit_and_loses_some_above() -> None:
    rng = np.random.default_rng(2)
    study = simulate_study(SCENARIOS["reshuffle, soft detection"], n_animals=6, rng=rng, n_neurons=200)
    total = np.concatenate(
        [each.windows["baseline"].events.sum(1) + each.windows["drug"].events.sum(1) for each in study]
    )
    assert 0 < (total < 20).sum() < (total >= 20).sum()


def test_false_events_come_with_as_many_negative_transients_in_the_drug_window_of_the_drug() -> None:
    study = simulate_study(
        SCENARIOS["gain, false events"], n_animals=2, rng=np.random.default_rng(3), n_neurons=200
    )
    for session in study:
        assert session.windows["baseline"].negative.sum() == 0
        expected = 1.0 if session.arm == "ketamine" else 0.0
        assert session.windows["drug"].negative.sum(axis=1).mean() / 10 == pytest.approx(expected, abs=0.1)


def test_slow_fluctuation_lowers_the_state_correlation_alike_with_and_without_a_drug() -> None:
    rng = np.random.default_rng(4)
    layout = Layout(0, ())
    study = simulate_study(SCENARIOS["slow fluctuation"], n_animals=20, rng=rng, n_neurons=200)
    found = []
    for contrast in (DRUG, PSEUDO):
        counts = [half_counts(session, contrast) for session in study]
        total = np.sum([contrast_sums(one[0], one[1], layout) for one in counts if one], axis=0)
        found.append([float(ESTIMANDS[name](total, layout)) for name in ("rho_star", "SW")])
    (rho_drug, sw_drug), (rho_pseudo, sw_pseudo) = found
    assert 0.6 < rho_drug < 0.9
    assert sw_drug > 0.5
    assert rho_drug == pytest.approx(rho_pseudo, abs=0.05)
    assert sw_drug == pytest.approx(sw_pseudo, abs=0.15)


def test_the_cells_table_fits_its_specification_and_comes_back_as_the_same_counts() -> None:
    study = simulate_study(SCENARIOS["switch, detected"], n_animals=2, rng=np.random.default_rng(5))
    table = cells_table(study)
    assert CELLS.issues(table) == []
    assert table["simulated"].all()
    back = {(each.animal, each.session): each for each in read_sessions(table)}
    for session in study:
        same = back[session.animal, session.session]
        assert np.array_equal(same.identity, session.identity)
        for name, window in session.windows.items():
            assert np.array_equal(same.windows[name].events, window.events)
            assert np.array_equal(same.windows[name].half, window.half)


def test_part_of_the_neurons_is_found_again_and_the_others_are_new() -> None:
    rng = np.random.default_rng(6)
    study = simulate_study(Scenario(), n_animals=3, n_neurons=40, window_s=120, shared_share=0.25, rng=rng)
    for first, second in zip(study[::2], study[1::2], strict=True):
        assert first.animal == second.animal
        assert first.identity.size == second.identity.size == 40
        assert len(set(first.identity) & set(second.identity)) == 10
        assert len(set(second.identity)) == 40
    with pytest.raises(ValueError, match="shared_share must be from 0 to 1, not 1.5"):
        simulate_study(Scenario(), n_animals=1, shared_share=1.5, rng=rng)


def test_neurons_found_again_keep_their_rates_and_new_ones_do_not() -> None:
    rng = np.random.default_rng(7)
    study = simulate_study(Scenario(), n_animals=1, n_neurons=2_000, shared_share=0.5, rng=rng)
    before = [np.sqrt(session.windows["baseline"].events.sum(axis=1)) for session in study]
    same = np.corrcoef(before[0][:1_000], before[1][:1_000])[0, 1]
    new = np.corrcoef(before[0][1_000:], before[1][1_000:])[0, 1]
    assert same > 0.9
    assert abs(new) < 4 / np.sqrt(1_000)


def test_the_lag_of_the_study_stands_in_its_table() -> None:
    study = simulate_study(Scenario(), n_animals=1, n_neurons=3, window_s=60, lag_s=100, rng=_rng())
    starts = cells_table(study, lag_s=100).groupby("window")["start_s"].min()
    assert starts.to_dict() == {"pseudo_baseline": 0, "pseudo_drug": 100, "baseline": 100, "drug": 200}


def _rng() -> np.random.Generator:
    return np.random.default_rng(8)
