import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.inference.inference import inference
from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.analysis.mixed.optimum import optimise
from nwbswitch.analysis.power.components import Components
from nwbswitch.analysis.power.simulation import Layout, Moments, NeuronCounts, draw_moments, summaries_of
from nwbswitch.analysis.summaries.reduce import reduced

COMPONENTS = Components(
    animal_intercept_sd=0.4,
    animal_slope_sd=0.25,
    animal_correlation=0.3,
    animal_response_sd=0.2,
    session_intercept_sd=0.2,
    session_slope_sd=0.15,
    session_correlation=-0.5,
    neuron_sd=0.8,
    neuron_slope_sd=0.3,
    neuron_correlation=0.4,
    residual_sd=0.6,
)


def rows_and_moments(layout: Layout, seed: int) -> tuple[pd.DataFrame, Moments]:
    """Return the rows of one experiment, and the moments of its sessions taken from them."""
    rng = np.random.default_rng(seed)
    counts = layout.neurons.draw(layout.n_sessions, rng)
    parts, means, scatter, inside = [], [], [], []
    for session, (n, animal, drug) in enumerate(zip(counts, layout.animal, layout.drug, strict=True)):
        size = (n, layout.windows, layout.rows_per_window)
        y = rng.normal(0.3 * animal, 1.0) + rng.normal(size=(n, 1, 1)) + rng.normal(0, 0.6, size)
        y += (rng.normal() + 0.5 * drug) * layout.epoch[:, None]
        window = y.mean(axis=2)
        means.append(window.mean(axis=0))
        scatter.append((window - means[-1]).T @ (window - means[-1]))
        inside.append(((y - window[:, :, None]) ** 2).sum())
        index = np.indices(size).reshape(3, -1)
        parts.append(
            pd.DataFrame(
                {
                    "y": y.ravel(),
                    "animal": animal,
                    "session": session,
                    "neuron": 1000 * session + index[0],
                    "drug": drug,
                    "epoch": layout.epoch[index[1]],
                }
            )
        )
    return pd.concat(parts), Moments(counts, np.array(means), np.array(scatter), np.array(inside))


MINIMAL = "(1 + epoch | animal) + (1 | session) + (1 | neuron)"
NEURON_SLOPES = "(1 | animal) + (1 + epoch | session) + (1 + epoch | neuron)"
UNEQUAL = Layout("crossover", 4, 3, NeuronCounts(7, 3.0, 2), windows=3, rows_per_window=2)


@pytest.mark.parametrize(
    ("layout", "bars"),
    [
        (Layout("between", 3, 2, NeuronCounts(6)), MINIMAL),
        (UNEQUAL, MINIMAL),
        (UNEQUAL, NEURON_SLOPES),
    ],
    ids=["between", "crossover", "neuron slopes"],
)
def test_a_model_of_the_moments_is_the_model_of_the_rows(layout, bars):
    # Equal to what rounding leaves of sums of some hundred terms.
    table, moments = rows_and_moments(layout, seed=3)
    text = f"y ~ drug * epoch + {bars}"
    expected = fit(table, text)
    formula = read_formula(text)
    summaries = summaries_of(moments, layout, with_slope="epoch | neuron" in bars)
    model, deviance = reduced(summaries, formula, contrasts="treatment")
    optimum = optimise(deviance, method="reml")
    assert optimum.evaluation.criterion == pytest.approx(expected.criterion, rel=1e-10)
    found = inference(deviance, optimum)
    shown = expected.table()
    assert list(shown["term"]) == list(model.names)
    np.testing.assert_allclose(found.estimates, shown["estimate"], rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diagonal(found.vcov)), shown["se"], rtol=1e-5)


def test_moments_have_the_distribution_of_the_model():
    # 20,000 sessions; tolerances are 5 Monte-Carlo standard errors.
    layout = Layout("between", 5_000, 2, NeuronCounts(5), windows=3, rows_per_window=2)
    c = COMPONENTS
    moments = draw_moments(layout, c, effect=0.7, rng=np.random.default_rng(2))
    n = layout.n_sessions
    X = np.column_stack([np.ones(3), layout.epoch])
    across = c.neuron_correlation * c.neuron_sd * c.neuron_slope_sd
    effects = np.array([[c.neuron_sd**2, across], [across, c.neuron_slope_sd**2]])
    neuron = X @ effects @ X.T + np.eye(3) * c.residual_sd**2 / 2
    scatter = moments.scatter.mean(axis=0)
    spread = np.sqrt((neuron**2 + np.outer(np.diag(neuron), np.diag(neuron))) * 4 / n)
    assert np.all(np.abs(scatter - 4 * neuron) < 5 * spread)
    inside = moments.inside / c.residual_sd**2
    assert inside.mean() == pytest.approx(15, abs=5 * np.sqrt(30 / n))
    assert inside.var() == pytest.approx(30, rel=0.05)
    drug = layout.drug == 1
    change = moments.means[:, 1] - moments.means[:, 0]
    se = np.sqrt(change.var() / 5_000)
    assert change[drug].mean() - change[~drug].mean() == pytest.approx(0.7, abs=5 * np.sqrt(2) * se)
    slope = c.animal_slope_sd**2 + c.session_slope_sd**2
    own = (c.neuron_slope_sd**2 + c.residual_sd**2) / 5
    assert change[~drug].var() == pytest.approx(slope + own, rel=0.06)
    assert change[drug].var() == pytest.approx(slope + own + c.animal_response_sd**2, rel=0.06)
    pairs = change.reshape(-1, 2)[layout.drug[::2] == 0]
    assert np.cov(pairs.T)[0, 1] == pytest.approx(c.animal_slope_sd**2, abs=0.01)
    assert moments.means[:, 0].var() == pytest.approx(0.16 + 0.04 + neuron[0, 0] / 5, rel=0.06)


def test_the_scatter_of_few_neurons_has_their_degrees_of_freedom():
    layout = Layout("between", 3_000, 1, NeuronCounts(2), windows=4)
    moments = draw_moments(layout, Components(), effect=0.0, rng=np.random.default_rng(4))
    ranks = np.linalg.matrix_rank(moments.scatter[:50], tol=1e-9)
    assert set(ranks) == {1}
    np.testing.assert_allclose(moments.scatter.mean(axis=0), np.eye(4), atol=5 * np.sqrt(2 / 6_000))


def test_sessions_of_a_crossover_alternate_and_arms_are_even():
    layout = Layout("crossover", 6, 4, NeuronCounts(10))
    drug = layout.drug.reshape(6, 4)
    assert np.all(drug.sum(axis=1) == 2)
    assert np.all(np.abs(np.diff(drug, axis=1)) == 1)
    assert drug[:, 0].sum() == 3
    between = Layout("between", 5, 3, NeuronCounts(10))
    assert between.n_animals == 10
    assert np.all(np.ptp(between.drug.reshape(10, 3), axis=1) == 0)
    assert between.drug.sum() == 15


def test_numbers_of_neurons_follow_their_distribution():
    drawn = NeuronCounts(200, 80, 20).draw(100_000, np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(200, abs=2)
    assert drawn.std() == pytest.approx(80, rel=0.02)
    assert drawn.min() >= 20
    assert set(NeuronCounts(30.4).draw(5, np.random.default_rng(0))) == {30}
    inverse = NeuronCounts(200, 80, 20).mean_inverse()
    assert inverse == pytest.approx(np.mean(1 / drawn), rel=0.02)
    assert inverse > 1 / 200


def test_drawing_costs_the_same_for_ten_million_neurons():
    few = Layout("between", 4, 2, NeuronCounts(10))
    many = Layout("between", 4, 2, NeuronCounts(10_000_000))
    for layout in (few, many):
        summaries = summaries_of(
            draw_moments(layout, COMPONENTS, effect=0.1, rng=np.random.default_rng(1)),
            layout,
            with_slope=False,
        )
        assert summaries.products is not None
        assert summaries.products.shape == (16, 3, 1, 3, 1)
        assert summaries.n_rows.sum() == 16 * layout.neurons.mean * 2
