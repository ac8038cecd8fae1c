"""Likelihood-ratio tests against lme4 (tests/reference/inference.R), refusals, and the boundary."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from nwbswitch.analysis.inference.likelihood_ratio import likelihood_ratio
from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.schemas.errors import FitError

ANSWERS = json.loads((Path(__file__).resolve().parents[1] / "reference" / "inference.json").read_text())


def table_of(formula: str) -> pd.DataFrame:
    return pd.DataFrame(ANSWERS["data"]["cohort" if "dose" in formula else "crossover"])


@pytest.mark.parametrize(
    "answer", ANSWERS["likelihood_ratio"], ids=lambda each: f"{each['large']} {each['method']}"
)
def test_statistic_df_and_p_are_those_of_lme4(answer):
    table = table_of(answer["small"])
    models = [fit(table, answer[size], method=answer["method"], ddf="none") for size in ("small", "large")]
    found = likelihood_ratio(*models)
    assert found.method == answer["method"]
    assert found.statistic == pytest.approx(answer["statistic"], rel=1e-6)
    assert found.df == answer["df"]
    assert found.p == pytest.approx(answer["p"], rel=1e-5)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(21)
    n = 240
    table = pd.DataFrame(
        {"animal": np.arange(n) // 20, "session": np.arange(n) // 5, "x": rng.normal(size=n)}
    )
    table["drug"] = np.where(table["animal"] % 2, "a", "b")
    table["y"] = rng.normal(size=12)[table["animal"]] + rng.normal(size=n)
    return table


def ml(table: pd.DataFrame, formula: str) -> Any:
    return fit(table, formula, method="ml", ddf="none")


def test_one_variance_is_half_a_point_at_zero(table):
    found = likelihood_ratio(ml(table, "y ~ x + (1|animal)"), ml(table, "y ~ x + (1|animal) + (1|session)"))
    assert found.mixture == ((0.5, 0), (0.5, 1))
    half = 0.5 * chi2.sf(found.statistic, 1) + (0.5 if found.statistic == 0.0 else 0.0)
    assert found.p_mixture == pytest.approx(half, rel=1e-9)
    assert "boundary" in found.note


def test_a_slope_with_its_covariance_mixes_one_and_two(table):
    found = likelihood_ratio(ml(table, "y ~ x + (1|animal)"), ml(table, "y ~ x + (x|animal)"))
    assert found.mixture == ((0.5, 1), (0.5, 2))
    expected = 0.5 * chi2.sf(found.statistic, 1) + 0.5 * chi2.sf(found.statistic, 2)
    assert found.p_mixture == pytest.approx(expected, rel=1e-9)


def test_a_variance_and_a_fixed_effect_at_once(table):
    found = likelihood_ratio(ml(table, "y ~ x + (1|animal)"), ml(table, "y ~ x + drug + (1|animal/session)"))
    assert found.df == 2
    assert found.mixture == ((0.5, 1), (0.5, 2))


def test_a_covariance_alone_is_not_on_a_boundary(table):
    found = likelihood_ratio(ml(table, "y ~ x + (x||animal)"), ml(table, "y ~ x + (x|animal)"))
    assert (found.df, found.mixture, found.note) == (1, None, "")


def test_two_variances_have_no_simple_mixture(table):
    found = likelihood_ratio(ml(table, "y ~ x + (1|animal)"), ml(table, "y ~ x + (x||animal) + (1|session)"))
    assert (found.df, found.mixture, found.p_mixture) == (2, None, None)
    assert "parametric bootstrap" in found.note


def test_fixed_effects_have_no_boundary(table):
    found = likelihood_ratio(ml(table, "y ~ 1 + (1|animal)"), ml(table, "y ~ x + drug + (1|animal)"))
    assert (found.df, found.mixture, found.note) == (2, None, "")


def refused(small: Any, large: Any, words: str) -> None:
    with pytest.raises(FitError, match=words):
        likelihood_ratio(small, large)


def test_models_that_cannot_be_compared(table):
    small, large = ml(table, "y ~ x + (1|animal)"), ml(table, "y ~ x + drug + (1|animal)")
    refused(large, small, "not nested: drug is a fixed effect of the small model only")
    refused(ml(table, "y ~ x + (1|session)"), large, r"not nested: .*\| session")
    refused(small, small, "nothing to test")
    refused(ml(table.iloc[:-3], "y ~ x + (1|animal)"), large, "237 and 240 rows")
    refused(ml(table.assign(y=table["y"] ** 2), "y ~ x + (1|animal)"), large, "other rows or values")
    refused(ml(table, "exp(y) ~ x + (1|animal)"), large, "other responses, 'exp\\(y\\)' and 'y'")
    refused(fit(table, "y ~ x + (1|animal)", ddf="none"), large, "by reml, the other by ml")
    refused(
        fit(table, "y ~ x + (1|animal)", ddf="none"), fit(table, "y ~ x + drug + (1|animal)", ddf="none"),
        "different fixed effects",
    )  # fmt: skip


def test_restricted_criteria_of_the_same_fixed_effects_are_compared(table):
    small, large = (
        fit(table, f"y ~ x + {bars}", ddf="none") for bars in ("(1|animal)", "(1|animal/session)")
    )
    found = likelihood_ratio(small, large)
    assert found.method == "reml"
    assert found.df == 1


def test_an_offset_of_the_response_does_not_make_other_rows(table):
    moved = table.assign(y=table["y"] + 1e6)
    found = likelihood_ratio(ml(moved, "y ~ x + (1|animal)"), ml(moved, "y ~ x + drug + (1|animal)"))
    plain = likelihood_ratio(ml(table, "y ~ x + (1|animal)"), ml(table, "y ~ x + drug + (1|animal)"))
    assert found.statistic == pytest.approx(plain.statistic, rel=1e-5, abs=1e-6)


def test_text_table_and_json(table):
    found = likelihood_ratio(ml(table, "y ~ x + (1|animal)"), ml(table, "y ~ x + (x|animal)"))
    assert "mixture P" in found.summary()
    assert "-2 log-likelihood" in found.summary()
    assert found.table()["df"].tolist()[1] == 2.0
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain["mixture"] == [[0.5, 1], [0.5, 2]]


def test_a_larger_model_that_fits_worse_is_refused(table):
    from dataclasses import replace

    small, large = ml(table, "y ~ x + (1|animal)"), ml(table, "y ~ x + (x|animal)")
    worse = replace(large.optimum.evaluation, criterion=small.criterion + 1.0)
    refused(small, replace(large, optimum=replace(large.optimum, evaluation=worse)), "fits worse")
