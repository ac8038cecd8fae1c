"""Equivalence tests against emmeans (tests/reference/inference.R), by hand, and in a simulation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, t

from nwbswitch.analysis.inference.contrasts import coefficient_contrasts, contrasts
from nwbswitch.analysis.inference.equivalence import equivalence, two_one_sided
from nwbswitch.analysis.inference.hypothesis import TTest
from nwbswitch.analysis.inference.marginal_means import marginal_means
from nwbswitch.analysis.mixed.fit import fit

ANSWERS = json.loads((Path(__file__).resolve().parents[1] / "reference" / "inference.json").read_text())


def fitted(ddf: str) -> Any:
    table = pd.DataFrame(ANSWERS["data"]["crossover"])
    table["drug"] = pd.Categorical(table["drug"], categories=["saline", "low", "high"])
    formula = "y ~ drug * epoch + sex + depth + (1 | animal) + (1 | session) + (1 | neuron)"
    return fit(table, formula, ddf=ddf)


@pytest.fixture(scope="module")
def drug() -> Any:
    found = fitted("kenward-roger")
    return contrasts(marginal_means(found.model, found.inference, specs="drug"), adjust="none")


@pytest.mark.parametrize("ddf", ["kenward-roger", "satterthwaite"])
def test_p_is_that_of_emmeans(ddf):
    found = fitted(ddf)
    pairs = contrasts(marginal_means(found.model, found.inference, specs="drug"), adjust="none")
    for test, row in zip(
        equivalence(pairs, margin=0.8).tests, ANSWERS["means"][ddf]["equivalence"], strict=True
    ):
        assert test.p == pytest.approx(row["p.value"], rel=1e-5)
        # emmeans shows the statistic of the nearer margin.
        nearer = test.t_high if test.p_high > test.p_low else -test.t_low
        assert nearer == pytest.approx(row["t.ratio"], rel=1e-5)


def test_by_hand():
    found = two_one_sided(TTest(0.3, 0.2, 10.0, 1.5, 0.16), low=-0.5, high=1.0)
    assert found.p_low == pytest.approx(t.sf(4.0, 10.0), rel=1e-12)
    assert found.p_high == pytest.approx(t.cdf(-3.5, 10.0), rel=1e-12)
    assert found.p == found.p_high
    half = t.ppf(0.95, 10.0) * 0.2
    assert (found.ci_low, found.ci_high) == pytest.approx((0.3 - half, 0.3 + half), rel=1e-12)
    assert found.verdict == "equivalent"


@pytest.mark.parametrize("estimate", [-1.2, -0.4, 0.0, 0.35, 0.9])
@pytest.mark.parametrize("df", [1.0, 6.5, np.inf])
def test_the_verdict_is_that_of_the_interval(estimate, df):
    for se in (0.05, 0.2, 0.4):
        found = two_one_sided(TTest(estimate, se, df, estimate / se, 0.5), low=-0.5, high=0.5)
        inside = found.ci_low > -0.5 and found.ci_high < 0.5
        assert (found.verdict == "equivalent") == inside


def test_without_degrees_of_freedom_tails_are_normal():
    found = two_one_sided(TTest(0.0, 0.1, np.inf, 0.0, 1.0), low=-3.0, high=3.0)
    assert found.p == pytest.approx(norm.sf(30.0), rel=1e-9)
    assert found.p > 0.0


def test_alpha_widens_or_narrows(drug):
    strict, loose = equivalence(drug, margin=0.8, alpha=0.01), equivalence(drug, margin=0.8, alpha=0.2)
    assert [each.p for each in strict.tests] == [each.p for each in loose.tests]
    assert strict.tests[0].verdict == "not shown"
    assert loose.tests[0].verdict == "equivalent"


def test_means_and_coefficients_can_be_tested():
    found = fitted("kenward-roger")
    means = marginal_means(found.model, found.inference, specs="drug", by="sex")
    assert equivalence(means, margin=(0.0, 3.0)).table().columns[:2].tolist() == ["drug", "sex"]
    own = coefficient_contrasts(found.model, found.inference, {"sexm": {"sexm": 1.0}})
    assert equivalence(own, margin=5.0).tests[0].verdict == "equivalent"


def test_text_and_json(drug):
    found = equivalence(drug, margin=0.8)
    text = found.summary()
    assert "90 % CI" in text
    assert "'not shown' is no evidence of a difference" in text
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain["tests"][0]["contrast"] == "saline - low"
    assert plain["tests"][0]["verdict"] == "equivalent"


@pytest.mark.parametrize("margin", [0.0, -1.0, np.nan, np.inf, (1.0, -1.0), (0.0, 1.0, 2.0)])
def test_what_is_no_margin_is_refused(drug, margin):
    with pytest.raises(ValueError, match="margin"):
        equivalence(drug, margin=margin)


def test_a_margin_must_be_given(drug):
    with pytest.raises(TypeError, match="margin"):
        equivalence(drug)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 5.0])
def test_alpha_is_a_small_probability(drug, alpha):
    with pytest.raises(ValueError, match="between 0 and 0.5"):
        equivalence(drug, margin=1.0, alpha=alpha)


def test_at_the_margin_five_percent_are_called_equivalent():
    rng = np.random.default_rng(8)
    n, df = 4000, 10.0
    estimates, variances = rng.normal(0.5, 0.1, n), 0.01 * rng.chisquare(df, n) / df
    calls = [
        two_one_sided(TTest(e, float(np.sqrt(v)), df, 0.0, 1.0), low=-0.5, high=0.5).verdict == "equivalent"
        for e, v in zip(estimates, variances, strict=True)
    ]
    assert np.mean(calls) == pytest.approx(0.05, abs=4.0 * np.sqrt(0.05 * 0.95 / n))
