"""Relative changes: what exchange of before and after alone would give."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.mixed.change_scores import ChangeCheck, change_check
from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.schemas.errors import FitError, FormulaError

FORMULA = "(after - before) / before ~ arm + (1 | animal)"


def simulated(*, effect: float = 0.0, noise: float = 0.4, seed: int = 0, n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    animal = np.repeat([f"m{i}" for i in range(12)], n)
    arm = np.where(np.arange(12 * n) < 6 * n, "drug", "saline")
    level = rng.normal(0, 0.5, 12 * n) + np.repeat(rng.normal(0, 0.2, 12), n)
    before = np.exp(level + rng.normal(0, noise, 12 * n))
    after = np.exp(level + effect * (arm == "drug") + rng.normal(0, noise, 12 * n))
    return pd.DataFrame({"animal": animal, "arm": arm, "before": before, "after": after})


def checked(data: pd.DataFrame, **options: str) -> ChangeCheck:
    model = fit(data, FORMULA, **options)
    return change_check(data, model, formula=FORMULA, before="before", after="after", **options)


def test_exchange_gives_the_mean_over_both_orders_at_the_components_of_the_fit() -> None:
    """Where all groups are alike, coefficients are means, whatever the variance components."""
    data = simulated(n=20)
    found = checked(data).table().set_index("term")
    a, b = data["after"], data["before"]
    both = ((a - b) / b + (b - a) / a) / 2
    means = both.groupby(data["arm"]).mean()
    assert found.loc["(Intercept)", "by_exchange"] == pytest.approx(means["drug"], rel=1e-9)
    assert found.loc["armsaline", "by_exchange"] == pytest.approx(means["saline"] - means["drug"], rel=1e-9)


def test_when_nothing_happened_exchange_explains_what_is_found() -> None:
    """Over 40 simulated tables the intercept is exp(noise^2) - 1 = .174, and so is the expectation."""
    found = [checked(simulated(seed=seed, n=30)).table().iloc[0] for seed in range(40)]
    estimates = np.array([each["estimate"] for each in found])
    expected = np.array([each["by_exchange"] for each in found])
    se = (estimates - expected).std(ddof=1) / np.sqrt(40)
    assert abs((estimates - expected).mean()) < 3 * se
    assert expected.mean() == pytest.approx(np.exp(0.4**2) - 1, abs=0.02)


def test_the_log_model_is_free_of_it() -> None:
    logs = [checked(simulated(seed=seed, n=30)).table().iloc[0]["log2_estimate"] for seed in range(40)]
    assert abs(np.mean(logs)) < 3 * np.std(logs, ddof=1) / np.sqrt(40)


def test_a_real_effect_is_more_than_exchange() -> None:
    row = checked(simulated(effect=1.0, noise=0.1)).table().set_index("term").loc["armsaline"]
    assert row["estimate"] < -1.4
    assert row["log2_estimate"] == pytest.approx(-1 / np.log(2), abs=0.1)
    assert row["log2_p"] < 1e-6


def test_the_correlation_with_the_baseline_is_beside_that_of_exchange() -> None:
    check = checked(simulated())
    r = 0.29 / (0.29 + 0.16)
    assert check.correlation_by_exchange == pytest.approx(-np.sqrt((1 - r) / 2), abs=0.06)
    assert check.correlation_with_baseline < check.correlation_by_exchange / 2
    assert any("exchange alone gives" in note for note in check.notes)


def test_rows_without_a_log_are_counted() -> None:
    data = simulated()
    data.loc[[3, 700], "after"] = 0.0
    check = checked(data)
    assert check.n_without_log == 2
    assert check.n_rows == len(data)
    assert any("2 rows have no log" in note for note in check.notes)


def test_a_condition_on_the_change_is_named() -> None:
    check = checked(simulated(), where="(after - before) / before < 2")
    assert any("selects noise" in note for note in check.notes)
    assert check.n_rows < 720


def test_wrong_columns_and_values_are_refused() -> None:
    data = simulated()
    model = fit(data, FORMULA)
    with pytest.raises(FormulaError, match="no column 'befor'"):
        change_check(data, model, formula=FORMULA, before="befor", after="after")
    with pytest.raises(FormulaError, match="is not a number"):
        change_check(data, model, formula=FORMULA, before="before", after="arm")
    data.loc[5, "before"] = -0.5
    with pytest.raises(FitError, match="before is -0.5 in row 6"):
        change_check(data, model, formula=FORMULA, before="before", after="after")


def test_the_table_is_not_changed_and_json_is_plain() -> None:
    data = simulated()
    before = data.copy()
    found = checked(data).as_dict()
    pd.testing.assert_frame_equal(data, before)
    assert {"coefficients", "notes", "n_rows"} <= set(found)
    assert isinstance(found["coefficients"][0]["by_exchange"], float)
