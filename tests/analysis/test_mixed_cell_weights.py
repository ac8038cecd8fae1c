"""Counts of rows from X'X against counts from the rows."""

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.inference.cell_weights import cell_counts
from nwbswitch.analysis.mixed.fit import fit

FACTORS = ["arm", "epoch", "sex"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(12)
    n = 300
    table = pd.DataFrame({"animal": np.arange(n) // 15, "x": rng.normal(size=n)})
    table["arm"] = rng.choice(["a", "b"], n, p=[0.7, 0.3])
    table["epoch"] = rng.choice(["base", "early", "late"], n, p=[0.2, 0.3, 0.5])
    table["sex"] = rng.choice(["f", "m"], n)
    table["y"] = rng.normal(size=20)[table["animal"]] + rng.normal(size=n)
    return table


def counts(table: pd.DataFrame, formula: str, factors: list[str]) -> np.ndarray:
    found = fit(table, formula, ddf="none")
    return cell_counts(found.model, found.inference.design_root, factors)


@pytest.mark.parametrize(
    ("formula", "factors"),
    [
        ("y ~ arm + epoch + sex + x + (1 | animal)", ["epoch"]),
        ("y ~ arm + epoch + sex + x + (1 | animal)", ["sex", "epoch"]),
        ("y ~ 0 + arm + epoch + sex + (1 | animal)", ["epoch", "arm"]),
        ("y ~ arm * epoch + sex + x + (1 | animal)", FACTORS),
        ("y ~ arm * epoch * sex * x + (1 | animal)", ["sex", "arm", "epoch"]),
        ("y ~ 0 + arm:epoch + x + (1 | animal)", ["arm", "epoch"]),
    ],
)
def test_counts_are_those_of_the_rows(table, formula, factors):
    codes = [pd.factorize(table[name], sort=True)[0] for name in factors]
    expected = np.zeros([code.max() + 1 for code in codes])
    np.add.at(expected, tuple(codes), 1.0)
    assert np.array_equal(counts(table, formula, factors), expected)


def test_no_factor_has_all_rows(table):
    assert counts(table, "y ~ arm + (1 | animal)", []) == 300.0


def test_what_x_does_not_tell_is_refused(table):
    with pytest.raises(ValueError, match=r'main effects.*Use weights="equal"'):
        counts(table, "y ~ arm + epoch + sex + (1 | animal)", FACTORS)
