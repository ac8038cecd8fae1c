"""Numbers and products whose squares cannot be held are named, by either engine."""

import warnings

import numpy as np
import pandas as pd
import pytest

from nwbswitch import fit
from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.summaries.magnitudes import require_squarable, require_squarable_products
from nwbswitch.analysis.summaries.reduce import reduced
from nwbswitch.analysis.summaries.unit_map import summarise_rows
from nwbswitch.schemas.errors import FitError


def table(size: float) -> pd.DataFrame:
    """Return two numbers of one size; d is constant in every animal."""
    rng = np.random.default_rng(2)
    animal = np.repeat(np.arange(20), 10)
    x, z = rng.normal(size=(2, 200))
    y = x + z + x * z + rng.normal(size=200) + rng.normal(size=20)[animal]
    d = rng.normal(size=20)[animal]
    group = np.tile(["p", "q"], 100)
    return pd.DataFrame({"x": x * size, "z": z * size, "d": d * size, "y": y, "animal": animal, "g": group})


@pytest.mark.parametrize("engine", ["nested", "sparse"])
@pytest.mark.parametrize("size", [1e100, 1e-100])
@pytest.mark.parametrize(
    ("formula", "named"),
    [
        ("y ~ x * z + (1 | animal)", "x:z"),
        ("y ~ g * x * z + (1 | animal)", "x:z"),
        ("y ~ x * d + (1 | animal)", "x:d"),
        ("y ~ x + z + (0 + x:z | animal)", "x:z"),
    ],
)
def test_a_product_whose_squares_cannot_be_held_is_named(formula, named, size, engine):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FitError, match=f"The product '{named}'.*another unit"):
            fit(table(size), formula, engine=engine)


@pytest.mark.parametrize("engine", ["nested", "sparse"])
@pytest.mark.parametrize("size", [1e65, 1e-65])
def test_a_large_or_small_product_scales_its_coefficient(size, engine):
    formula = "y ~ x * z + (1 | animal)"
    expected = fit(table(1.0), formula, engine=engine).table()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fit(table(size), formula, engine=engine).table()
    scale = np.array([1.0, size, size, size**2])
    for name in ("estimate", "se"):
        # The searches end at 1e-8 or so in theta.
        assert found[name].to_numpy() * scale == pytest.approx(expected[name].to_numpy(), rel=1e-6)


def test_a_term_added_to_summaries_is_checked_too():
    rows = table(1e100)
    held = summarise_rows(rows, read_formula("y ~ x + (1 | animal/g)"), keep=["d"])
    with pytest.raises(FitError, match="The product 'x:d'"):
        reduced(held, read_formula("y ~ x * d + (1 | animal/g)"))


def test_zero_is_held_and_what_has_no_size_is_a_factor():
    require_squarable_products([("x", "z"), ("x", "g"), ()], {"x": 1e-130, "z": 0.0})
    require_squarable("x", 0.0)
    with pytest.raises(FitError, match="another unit"):
        require_squarable_products([("x", "g")], {"x": 1e-150})
