"""Effects of groups, predictions and leverage against models with V written out."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from dense_deviance import DenseDeviance, dense
from dense_models import nested_table

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.cluster_leverage import cluster_leverage, conditional_sd
from nwbswitch.analysis.mixed.group_effects import (
    block_effects,
    effects_table,
    level_effects,
    population_fit,
)
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.model_frame import ModelFrame, model_frame
from nwbswitch.analysis.mixed.optimum import Optimum, optimise, psi_of
from nwbswitch.analysis.mixed.prediction import group_prediction, population_prediction
from nwbswitch.analysis.mixed.variance_table import residual_variance, variance_components
from nwbswitch.schemas.errors import FitError

FORMULA = "y ~ arm + x + (1 + x | animal) + (1 | animal:session) + (1 | animal:session:neuron)"


@dataclass
class Fitted:
    model: Model
    deviance: DenseDeviance
    optimum: Optimum
    rows: ModelFrame
    table: pd.DataFrame

    @property
    def parts(self):
        return self.model, self.deviance, self.optimum

    @property
    def estimates(self):
        scaling = self.deviance.scaling
        b = self.optimum.evaluation.coefficients
        return scaling.offset + scaling.scale * np.linalg.solve(scaling.fixed, b)


class WithoutNeurons(DenseDeviance):
    """An engine that kept only sums over its innermost groups."""

    def effects(self, psi, coefficients):
        return (None, *super().effects(psi, coefficients)[1:])


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    table = nested_table(animals=6)
    table["arm"] = np.where(table["animal"] % 2, "drug", "saline")
    frame = model_frame(table, read_formula(FORMULA))
    model, deviance = dense(frame)
    return Fitted(model, deviance, optimise(deviance, method="reml"), frame, table)


def brute_force(fitted: Fitted) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Residuals of the population, and per level Z and G = Psi sigma^2 in the model's units."""
    sds = {(each.group, each.term): each.sd for each in variance_components(*fitted.parts)}
    assert len(sds) == 5
    sigma2 = residual_variance(fitted.deviance, fitted.optimum)
    Z, G = [], []
    for position, level in enumerate(fitted.rows.levels):
        Z.append(np.concatenate([block.matrix for block in level.blocks], axis=1))
        sizes = fitted.deviance.scaling.effect_scales[position]
        psi = psi_of(fitted.deviance, fitted.optimum.theta)[position]
        G.append(sigma2 * psi / np.outer(sizes, sizes))
    return fitted.rows.response - fitted.rows.fixed.matrix @ fitted.estimates, Z, G


def test_effects_are_the_conditional_means(fitted):
    residual, Z, G = brute_force(fitted)
    V = residual_variance(fitted.deviance, fitted.optimum) * np.eye(len(residual))
    codes = [level.codes for level in fitted.rows.levels]
    for each, own, code in zip(Z, G, codes, strict=True):
        V += (code[:, None] == code) * (each @ own @ each.T)
    weighted = np.linalg.solve(V, residual)
    table = effects_table(*fitted.parts).set_index(["group", "level", "term"])["estimate"]
    compared = 0
    for level, each, own, code in zip(fitted.rows.levels, Z, G, codes, strict=True):
        for position, label in enumerate(level.labels):
            expected = own @ each[code == position].T @ weighted[code == position]
            for term, value in zip(level.blocks[0].names, expected, strict=True):
                assert table[level.blocks[0].label, label, term] == pytest.approx(value, abs=1e-9)
                compared += 1
    assert compared == len(table)


def test_innermost_effects_follow_from_the_rows(fitted):
    whole = level_effects(*fitted.parts, None)
    lacking = WithoutNeurons(
        **{name: getattr(fitted.deviance, name) for name in DenseDeviance.__dataclass_fields__}
    )
    assert level_effects(fitted.model, lacking, fitted.optimum, None)[0] is None
    found = level_effects(fitted.model, lacking, fitted.optimum, fitted.rows)
    for ours, expected in zip(found, whole, strict=True):
        assert np.allclose(ours, expected, atol=1e-9)
    assert len(effects_table(fitted.model, lacking, fitted.optimum)) < len(
        effects_table(fitted.model, lacking, fitted.optimum, fitted.rows)
    )


def test_predictions_on_the_rows_of_the_fit_are_its_fitted_values(fitted):
    own = fitted.table.iloc[fitted.rows.rows]
    population = population_prediction(fitted.model, fitted.estimates, own)
    assert np.allclose(population, population_fit(fitted.deviance, fitted.optimum, fitted.rows), atol=1e-12)
    residual, Z, _ = brute_force(fitted)
    effects = level_effects(*fitted.parts, None)
    total = np.zeros(len(residual))
    for level, each, values in zip(fitted.rows.levels, Z, effects, strict=True):
        total += (each * values[level.codes]).sum(axis=1)
    assert np.allclose(group_prediction(fitted.model, block_effects(*fitted.parts), own), total, atol=1e-12)


def test_one_row_of_one_arm_is_predicted_with_the_coding_of_the_fit(fitted):
    new = pd.DataFrame(
        {"arm": ["saline"], "x": [2.0], "animal": [99], "session": [0], "neuron": [0]}, index=[7]
    )
    expected = fitted.estimates @ [1.0, 1.0, 2.0]
    found = population_prediction(fitted.model, fitted.estimates, new)
    assert found.index.tolist() == [7]
    assert found[7] == pytest.approx(expected, rel=1e-12)
    assert group_prediction(fitted.model, block_effects(*fitted.parts), new)[7] == 0.0


def test_a_missing_value_is_predicted_as_missing(fitted):
    new = fitted.table.head(3).astype({"x": float})
    new.loc[new.index[0], "x"] = np.nan
    new.loc[new.index[1], "arm"] = None
    assert population_prediction(fitted.model, fitted.estimates, new).isna().tolist() == [True, True, False]
    assert group_prediction(fitted.model, block_effects(*fitted.parts), new).isna().tolist() == [
        True,
        False,
        False,
    ]


def test_a_level_that_the_model_does_not_know_is_named(fitted):
    new = fitted.table.head(2).assign(arm="LSD")
    with pytest.raises(FitError, match="'arm' has the level 'LSD'.*it knows drug, saline"):
        population_prediction(fitted.model, fitted.estimates, new)


def test_leverage_is_the_part_of_the_information_and_sums_to_p(fitted):
    found = cluster_leverage(fitted.deviance, fitted.optimum)
    assert found["leverage"].sum() == pytest.approx(fitted.deviance.n_fixed)
    V = fitted.deviance.V(psi_of(fitted.deviance, fitted.optimum.theta))
    X = fitted.rows.fixed.matrix
    inverse = np.linalg.inv(X.T @ np.linalg.solve(V, X))
    for position, label in enumerate(found["level"]):
        own = np.flatnonzero(fitted.rows.levels[-1].codes == position)
        assert fitted.rows.levels[-1].labels[position] == label
        information = X[own].T @ np.linalg.solve(V[np.ix_(own, own)], X[own])
        assert found["leverage"][position] == pytest.approx(np.trace(information @ inverse), rel=1e-9)


def test_conditional_sd_of_the_outermost_effects(fitted):
    found = conditional_sd(*fitted.parts)
    assert found is not None
    _, Z, G = brute_force(fitted)
    V = fitted.deviance.V(psi_of(fitted.deviance, fitted.optimum.theta))
    V *= residual_variance(fitted.deviance, fitted.optimum)
    for position, label in enumerate(fitted.rows.levels[-1].labels):
        own = np.flatnonzero(fitted.rows.levels[-1].codes == position)
        inside = Z[-1][own].T @ np.linalg.solve(V[np.ix_(own, own)], Z[-1][own])
        expected = np.sqrt(np.maximum(np.diagonal(G[-1] - G[-1] @ inside @ G[-1]), 0.0))
        assert np.allclose(found[found["level"] == label]["sd"], expected, atol=1e-8)


def test_an_effect_outside_the_fixed_effects_has_no_conditional_sd(fitted):
    frame = model_frame(fitted.table, read_formula("y ~ arm + (1 + x | animal)"))
    model, deviance = dense(frame)
    assert conditional_sd(model, deviance, optimise(deviance, method="reml")) is None
