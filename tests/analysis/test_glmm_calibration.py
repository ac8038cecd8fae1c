"""Simulated sessions have the design they are asked for; tests hold their level on a small number of sets."""

import numpy as np

from nwbswitch.analysis.glmm.calibration import (
    COUNT_TESTS,
    TESTS,
    SessionDesign,
    p_values,
    rejection_rates,
    simulated_neurons,
    simulated_sessions,
)


def test_sessions_have_the_moments_of_the_design():
    design = SessionDesign(4000, neurons_mean=40.0, effect=0.7)
    data = simulated_sessions(design, np.random.default_rng(0))
    assert len(data) == 16000
    assert data["n"].min() == 10
    # E max(10, N) of the negative binomial, size 4 and mean 40: 40.5
    assert abs(data["n"].mean() - 40.5) < 0.6
    logit = np.log((data["yes"] + 0.5) / (data["n"] - data["yes"] + 0.5))
    means = logit.groupby(data["arm"]).median()
    assert abs(means["drug"] - means["control"] - 0.7) < 0.05
    assert data.groupby("animal")["arm"].nunique().max() == 1


def test_the_same_seed_gives_the_same_rates():
    one = rejection_rates(SessionDesign(3), n_sets=3, seed=5)
    assert one.equals(rejection_rates(SessionDesign(3), n_sets=3, seed=5))
    assert list(one["test"]) == list(TESTS)


def test_t_tests_hold_their_level_and_neuron_tests_do_not():
    rates = rejection_rates(SessionDesign(4), n_sets=25, seed=1).set_index("test")["rejected"]
    assert rates["chi-square over neurons"] > 0.25
    # 25 sets: .05 has a Monte-Carlo SE of .044
    for test in ("GLMM Laplace t", "GEE bias-reduced t", "animal-logit t"):
        assert rates[test] <= 0.2


def test_a_large_effect_is_found_by_all():
    data = simulated_sessions(SessionDesign(8, effect=3.0), np.random.default_rng(2))
    assert max(p_values(data).values()) < 0.01


def test_counts_have_the_rates_of_the_design_and_tests_of_animals_hold_their_level():
    data = simulated_neurons(SessionDesign(300, effect=0.5), np.random.default_rng(3))
    sums = data.groupby("arm")[["events", "minutes"]].sum()
    rate = sums["events"] / sums["minutes"]
    # E exp(N(0, .6^2 + .3^2)) = exp(.225)
    assert abs(rate["control"] / (0.5 * np.exp(0.225)) - 1.0) < 0.1
    assert abs(np.log(rate["drug"] / rate["control"]) - 0.5) < 0.15
    rates = rejection_rates(SessionDesign(4), n_sets=10, seed=1, outcome="counts")
    assert list(rates["test"]) == list(COUNT_TESTS)
    found = rates.set_index("test")["rejected"]
    assert found["neurons as clusters, z"] > 0.3
    assert found["GEE bias-reduced t"] <= 0.2
