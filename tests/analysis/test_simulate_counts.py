"""The count simulator prints the published calibration table and makes the studies it says it makes."""

from __future__ import annotations

import numpy as np
import pytest

from nwbswitch.analysis.estimands.counts import DRUG, PSEUDO, half_counts, read_sessions
from nwbswitch.analysis.estimands.primary import ESTIMANDS, Layout, contrast_sums
from nwbswitch.analysis.simulation.count_studies import (
    SCENARIOS,
    Scenario,
    cells_table,
    simulate_counts,
    simulate_study,
)
from nwbswitch.schemas.tables import CELLS
from nwbswitch.schemas.worlds import World

# Calibration table of the estimands' definition: 2,000 neurons, windows of 2 minutes, 40 repetitions.
# One value per world in the order of World; the second number of each row is half of its last digit.
PUBLISHED = {
    "naive_down": ((0.30, 0.37, 0.67, 0.40, 0.36, 0.46), 0.005),
    "naive_up": ((0.30, 0.29, 0.07, 0.40, 0.34, 0.41), 0.005),
    "naive_p_active_after_silent": ((0.54, 0.49, 0.26, 0.81, 0.71, 0.96), 0.005),
    "naive_corr": ((-0.31, -0.29, -0.85, -0.71, -0.58, -0.84), 0.005),
    "R_act": ((0.01, 0.01, -1.74, -1.3, -0.7, -3.8), (0.005, 0.005, 0.005, 0.05, 0.05, 0.05)),
    "R_sil": ((0.00, 0.02, -1.73, 1.5, 1.2, 2.2), (0.005, 0.005, 0.005, 0.05, 0.05, 0.05)),
    "SW": ((-0.01, 0.01, 0.01, 2.8, 1.9, 5.9), (0.005, 0.005, 0.005, 0.05, 0.05, 0.05)),
    "rho_star": ((1.00, 0.86, 1.00, 0.01, 0.36, -0.52), 0.005),
}
PUBLISHED_REPETITIONS = 40
REPETITIONS = 15


@pytest.mark.parametrize(("place", "world"), list(enumerate(World)), ids=[world.value for world in World])
def test_the_published_table_is_reproduced_within_three_monte_carlo_errors(place: int, world: World) -> None:
    rng = np.random.default_rng([7, place])
    layout = Layout(5, ())
    values: dict[str, list[float]] = {name: [] for name in PUBLISHED}
    for _ in range(REPETITIONS):
        session = simulate_counts(world, n_neurons=2_000, window_s=120, rng=rng)
        counts = half_counts(session, DRUG)
        assert counts is not None
        sums = contrast_sums(counts[0], counts[1], layout, rng)
        for name, found in values.items():
            found.append(float(ESTIMANDS[name](sums, layout)))
    for name, (published, rounding) in PUBLISHED.items():
        sd = np.std(values[name], ddof=1)
        error = sd * np.sqrt(1 / REPETITIONS + 1 / PUBLISHED_REPETITIONS)
        half_digit = rounding if isinstance(rounding, float) else rounding[place]
        assert np.mean(values[name]) == pytest.approx(published[place], abs=3 * error + half_digit), name


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
