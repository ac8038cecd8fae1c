import numpy as np
import pytest
from scipy import stats

from nwbswitch.analysis.power.analytic import analytic_power, gains
from nwbswitch.analysis.power.components import Components
from nwbswitch.analysis.power.simulation import Layout, NeuronCounts, draw_moments

COMPONENTS = Components(
    animal_intercept_sd=0.4,
    animal_slope_sd=0.25,
    session_intercept_sd=0.2,
    session_slope_sd=0.15,
    neuron_sd=0.8,
    residual_sd=0.6,
)


def test_the_published_power_between_animals():
    layout = Layout("between", 6, 2, NeuronCounts(200))
    check = analytic_power(layout, COMPONENTS, effect=0.4, alpha=0.05)
    assert check.power == pytest.approx(0.624, abs=5e-4)
    assert check.df == 10
    se = np.sqrt(2 / 6 * (0.25**2 + 0.15**2 / 2 + 2 * 0.6**2 / (2 * 200)))
    assert check.ncp == pytest.approx(0.4 / se)
    assert check.animal_share + check.session_share + check.neuron_share == pytest.approx(1)
    few = analytic_power(Layout("between", 6, 2, NeuronCounts(20)), COMPONENTS, effect=0.4, alpha=0.05)
    assert few.power == pytest.approx(0.54, abs=5e-3)
    assert analytic_power(layout, COMPONENTS, effect=-0.4, alpha=0.05).power == check.power


def test_without_an_effect_power_is_the_level():
    for kind in ("between", "crossover"):
        check = analytic_power(Layout(kind, 5, 2, NeuronCounts(50)), COMPONENTS, effect=0.0, alpha=0.01)
        assert check.power == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("kind", "sessions", "rows_per_window"),
    [("between", 1, 3), ("between", 5, 1), ("crossover", 4, 3), ("crossover", 5, 1)],
)
def test_the_formula_is_the_t_test_of_the_animals_means(kind, sessions, rows_per_window):
    # 2,000 experiments: power to 5 Monte-Carlo standard errors.
    components = Components(
        animal_slope_sd=0.25 if kind == "between" else 5.0,
        animal_response_sd=0.0 if kind == "between" else 0.3,
        session_slope_sd=0.3,
        neuron_sd=1.0,
        neuron_slope_sd=0.5,
        residual_sd=0.6,
    )
    layout = Layout(kind, 6, sessions, NeuronCounts(8), windows=3, rows_per_window=rows_per_window)
    check = analytic_power(layout, components, effect=0.45, alpha=0.05)
    rng, rejected = np.random.default_rng(1), 0
    drug = layout.drug.reshape(layout.n_animals, sessions) == 1
    for _ in range(2_000):
        means = draw_moments(layout, components, effect=0.45, rng=rng).means
        change = (means[:, 1:].mean(axis=1) - means[:, 0]).reshape(layout.n_animals, sessions)
        if kind == "between":
            animals = change.mean(axis=1)
            p = stats.ttest_ind(animals[drug[:, 0]], animals[~drug[:, 0]]).pvalue
        else:
            own = [each[d].mean() - each[~d].mean() for each, d in zip(change, drug, strict=True)]
            p = stats.ttest_1samp(own, 0.0).pvalue
        rejected += p < 0.05
    se = np.sqrt(check.power * (1 - check.power) / 2_000)
    assert rejected / 2_000 == pytest.approx(check.power, abs=5 * se)


def test_animals_before_neurons():
    layout = Layout("between", 6, 2, NeuronCounts(200))
    more = gains(layout, COMPONENTS, effect=0.4, alpha=0.05)
    now = analytic_power(layout, COMPONENTS, effect=0.4, alpha=0.05).power
    assert now < more.neurons < more.endless_neurons < more.sessions < more.animals
    assert more.endless_neurons == pytest.approx(0.633, abs=1e-3)


def test_one_animal_has_no_test():
    check = analytic_power(Layout("crossover", 1, 2, NeuronCounts(20)), COMPONENTS, effect=0.4, alpha=0.05)
    assert np.isnan(check.power)
    assert check.df == 0
