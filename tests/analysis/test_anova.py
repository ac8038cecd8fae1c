import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.anova import type_three_contrasts
from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.analysis.mixed.model_frame import model_frame


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    n = 240
    table = pd.DataFrame({"animal": np.repeat(np.arange(24), 10), "x": rng.normal(50.0, 2.0, n)})
    table["cond"] = rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1])
    table["sex"] = np.where(table["animal"] % 3 == 0, "f", "m")
    table["y"] = rng.normal(size=24)[table["animal"]] + 0.3 * (table["cond"] == "b") + rng.normal(size=n)
    return table


def contrasts(table: pd.DataFrame, text: str) -> dict[str, list[list[float]]]:
    found = type_three_contrasts(model_frame(table, read_formula(text)))
    return {":".join(term): np.round(rows, 9).tolist() for term, rows in found.items()}


def test_a_main_effect_averages_over_the_levels_it_is_crossed_with(table):
    found = contrasts(table, "y ~ cond*sex + x + (1|animal)")
    # (Intercept), condb, condc, sexm, x, condb:sexm, condc:sexm
    assert found["cond"] == [[0, 1, 0, 0, 0, 0.5, 0], [0, 0, 1, 0, 0, 0, 0.5]]
    third = round(1 / 3, 9)
    assert found["sex"] == [[0, 0, 0, 1, 0, third, third]]
    assert found["x"] == [[0, 0, 0, 0, 1, 0, 0]]
    assert found["cond:sex"] == [[0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 1]]


def test_a_factor_crossed_with_a_number_is_tested_where_the_number_is_zero(table):
    found = contrasts(table, "y ~ sex*x + (1|animal)")
    assert found["sex"] == [[0, 1, 0, 0]]
    assert found["x"] == [[0, 0, 1, 0.5]]


def test_without_an_intercept_all_levels_are_tested(table):
    assert contrasts(table, "y ~ 0 + sex + x + (1|animal)")["sex"] == [[1, 0, 0], [0, 1, 0]]


def test_tests_do_not_depend_on_the_reference_level(table):
    first = fit(table, "y ~ cond*sex + x + (1|animal)").anova()
    table["cond"] = pd.Categorical(table["cond"], categories=["c", "a", "b"])
    table["sex"] = pd.Categorical(table["sex"], categories=["m", "f"])
    second = fit(table, "y ~ cond*sex + x + (1|animal)").anova()
    assert first["term"].tolist() == second["term"].tolist()
    assert np.allclose(first["f"], second["f"], rtol=1e-8)
    # The joined degrees of freedom of several rows depend slightly on how the rows are written.
    assert np.allclose(first["den_df"], second["den_df"], rtol=1e-2)


def test_a_model_of_the_intercept_has_no_tests(table):
    found = fit(table, "y ~ 1 + (1|animal)").anova()
    assert found.empty
    assert found.columns.tolist() == ["term", "sum_sq", "mean_sq", "num_df", "den_df", "f", "p"]
