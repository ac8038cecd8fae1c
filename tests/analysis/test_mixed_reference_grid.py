"""The reference grid: which values it holds, and what it refuses."""

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.formulas.expressions import columns_used
from nwbswitch.analysis.inference.reference_grid import reference_grid
from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.analysis.mixed.model import Model


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(9)
    n = 160
    table = pd.DataFrame({"animal": np.arange(n) // 10, "dose": np.round(rng.uniform(0.5, 4.0, n), 2)})
    table["arm"] = rng.choice(["drug", "saline"], n)
    table["blocked"] = rng.choice([True, False], n)
    table["step"] = rng.integers(1, 4, n)
    table["my depth"] = rng.normal(3.0, 1.0, n)
    table["y"] = rng.normal(size=16)[table["animal"]] + 0.2 * table["dose"] + rng.normal(size=n)
    return table


def model_of(table: pd.DataFrame, formula: str) -> Model:
    return fit(table, formula, ddf="none").model


def test_factors_have_all_levels_and_numbers_their_mean(table):
    grid = reference_grid(model_of(table, "y ~ arm * dose + factor(step) + blocked + (1 | animal)"))
    assert {axis.name: axis.values for axis in grid.axes} == {
        "arm": ("drug", "saline"),
        "dose": (pytest.approx(table["dose"].mean(), rel=1e-12),),
        "factor(step)": ("1", "2", "3"),
        "blocked": ("FALSE", "TRUE"),
    }
    assert grid.matrix.shape == (12, 7)


def test_rows_are_those_of_the_model_matrix(table):
    model = model_of(table, "y ~ arm * dose + (1 | animal)")
    grid = reference_grid(model, at={"dose": [1, 2]})
    # (Intercept), armsaline, dose, armsaline:dose; the last axis is fastest.
    assert grid.matrix.tolist() == [[1, 0, 1, 0], [1, 0, 2, 0], [1, 1, 1, 1], [1, 1, 2, 2]]


def test_a_computed_number_follows_its_column(table):
    model = model_of(table, "y ~ dose + I(dose^2) + (1 | animal)")
    mean = float(table["dose"].mean())
    assert reference_grid(model).matrix[0] == pytest.approx([1.0, mean, mean**2], rel=1e-12)
    assert reference_grid(model, at={"dose": 2}).matrix.tolist() == [[1.0, 2.0, 4.0]]


def test_a_computed_number_alone_stands_at_its_own_mean_or_follows_a_given_column(table):
    model = model_of(table, "y ~ arm + log(dose) + (1 | animal)")
    own = float(np.log(table["dose"]).mean())
    assert reference_grid(model).matrix[0, 2] == pytest.approx(own, rel=1e-12)
    assert reference_grid(model, at={"dose": 1.0}).matrix[0, 2] == 0.0
    assert reference_grid(model, at={"log(dose)": 0.5}).matrix[0, 2] == 0.5


def test_a_number_scaled_by_all_rows_stands_at_its_own_mean(table):
    model = model_of(table, "y ~ dose + I(dose^2) + scale(step) + (1 | animal)")
    grid = reference_grid(model)
    assert grid.matrix[0, 3] == pytest.approx(0.0, abs=1e-12)
    mean = float(table["dose"].mean())
    assert grid.matrix[0, :3] == pytest.approx([1.0, mean, mean**2], rel=1e-12)


def test_names_in_backticks_are_found_by_column(table):
    model = model_of(table, "y ~ `my depth` + (1 | animal)")
    assert reference_grid(model, at={"my depth": 2.5}).matrix.tolist() == [[1.0, 2.5]]


def test_levels_of_number_and_truth_factors_are_given_as_such(table):
    model = model_of(table, "y ~ factor(step) + blocked + (1 | animal)")
    grid = reference_grid(model, at={"factor(step)": [3, 1], "blocked": True})
    assert [axis.values for axis in grid.axes] == [("3", "1"), ("TRUE",)]
    assert grid.matrix.tolist() == [[1, 0, 1, 1], [1, 0, 0, 1]]


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ({"amr": ["drug"]}, "at names 'amr'.*Did you mean 'arm'"),
        ({"arm": ["drgu"]}, "'arm' has no level 'drgu'.*Did you mean 'drug'"),
        ({"dose": ["high"]}, "'dose' is a number"),
        ({"dose": [np.nan]}, "'dose' is a number"),
        ({"dose": []}, "one or more different values"),
        ({"arm": ["drug", "drug"]}, "one or more different values"),
    ],
)
def test_values_that_do_not_fit_are_named(table, at, words):
    with pytest.raises(ValueError, match=words):
        reference_grid(model_of(table, "y ~ arm + dose + (1 | animal)"), at=at)


def test_a_number_that_is_shown_needs_values(table):
    with pytest.raises(ValueError, match=r"say at which values, e.g. at=\{'dose': \[0, 1\]\}"):
        reference_grid(model_of(table, "y ~ arm + dose + (1 | animal)"), shown=["dose"])


def test_a_computed_number_that_is_not_finite_is_refused(table):
    model = model_of(table, "y ~ arm + log(dose) + (1 | animal)")
    with pytest.raises(ValueError, match=r"'log\(dose\)' is not finite"):
        reference_grid(model, at={"dose": 0.0})


def test_a_grid_that_is_too_large_is_refused_before_it_is_made(table):
    model = model_of(table, "y ~ arm + dose + (1 | animal)")
    with pytest.raises(ValueError, match="which is too large"):
        reference_grid(model, at={"dose": np.arange(5_000_000.0)})


def test_an_unknown_axis_is_named_with_what_there_is(table):
    grid = reference_grid(model_of(table, "y ~ arm + dose + (1 | animal)"))
    with pytest.raises(ValueError, match="'epoch' is no variable of the fixed effects; these are arm, dose"):
        grid.axis("epoch")


def test_columns_used_by_a_text():
    assert columns_used("log(`my dose` + a) * b**2 - a") == ("my dose", "a", "b")
    assert columns_used("I(x**2)") == ("x",)
    assert columns_used("2.0") == ()
