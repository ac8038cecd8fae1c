"""Small-study tools against metafor (tests/reference/meta_tools.R), and that they refuse few studies."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from nwbswitch.analysis.meta_analysis.funnel import funnel_data
from nwbswitch.analysis.meta_analysis.meta import meta
from nwbswitch.analysis.meta_analysis.small_study import MIN_SMALL_STUDY, egger_test, rank_test, small_study
from nwbswitch.analysis.meta_analysis.trim_and_fill import trim_and_fill
from nwbswitch.schemas.errors import FitError, FormulaError

TOOLS = json.loads((Path(__file__).resolve().parents[1] / "reference" / "meta_tools.json").read_text())
TABLES = {
    "bcg": pd.DataFrame({name: TOOLS["bcg"][name] for name in ("yi", "vi", "ablat")}),
    "smoke": pd.DataFrame(TOOLS["smoke"]),
    "tied": pd.DataFrame(TOOLS["ranktest"]["tied_data"]),
}


def _fit(name: str, **more):
    return meta(TABLES[name], effect="yi", variance="vi", **({"test": "z"} | more))


@pytest.mark.parametrize("name", list(TOOLS["regtest"]))
def test_egger(name):
    answer = TOOLS["regtest"][name]
    data, model, predictor, *rest = name.split()
    sizes = "ni" if "n" in predictor else None
    fit = _fit(data, test="knha" if rest else "z")
    found = egger_test(fit, model=model, predictor=predictor, sizes=sizes)
    assert found.statistic == pytest.approx(answer["stat"], rel=1e-8)
    assert found.p == pytest.approx(answer["p"], rel=1e-8)
    assert found.df == (answer["dfs"] or np.inf)
    for ours, theirs in (("limit", "est"), ("limit_low", "ci.lb"), ("limit_high", "ci.ub")):
        if answer[theirs] is None:
            assert np.isnan(getattr(found, ours))
        else:
            assert getattr(found, ours) == pytest.approx(answer[theirs], rel=1e-7)


@pytest.mark.parametrize("name", ["bcg", "smoke", "tied"])
def test_rank(name):
    found = rank_test(_fit(name))
    assert found.tau == pytest.approx(TOOLS["ranktest"][name]["tau"], rel=1e-9)
    assert found.p == pytest.approx(TOOLS["ranktest"][name]["p"], rel=1e-9)
    assert found.exact == (name != "tied")


@pytest.mark.parametrize("name", [each for each in TOOLS["trimfill"] if "knha" not in each])
def test_trim_and_fill(name):
    answer = TOOLS["trimfill"][name]
    data, *words = name.split()
    side = next((each for each in words if each in ("left", "right")), None)
    fit = _fit(data, method="ee" if "ee" in words else "reml")
    found = trim_and_fill(fit, side=side, estimator="R0" if "R0" in words else "L0")
    assert (found.k0, found.side, found.converged) == (answer["k0"], answer["side"], True)
    # metafor's trimfill refits REML with its default threshold, whatever the model it is given had.
    rel = 1e-9 if "ee" in words else 5e-6
    assert found.k0_se == pytest.approx(answer["se.k0"], rel=1e-9)
    if answer["p.k0"] is not None:
        assert found.p == pytest.approx(answer["p.k0"])
    one = found.fit.coefficients[0]
    assert one.estimate == pytest.approx(answer["b"], rel=rel)
    assert (one.se, one.ci_low, one.ci_high) == pytest.approx(
        (answer["se"], answer["ci.lb"], answer["ci.ub"]), rel=rel
    )
    assert found.fit.tau2 == pytest.approx(answer["tau2"], rel=10 * rel)
    ours = sorted(zip(found.fit.studies["effect"], found.fit.studies["variance"], strict=True))
    theirs = sorted(zip(answer["yi"], answer["vi"], strict=True))
    assert np.allclose(ours, theirs, rtol=10 * rel)
    assert found.imputed.sum() == sum(answer["fill"])


def test_the_test_of_the_model_is_kept_by_trim_and_fill():
    # metafor 3.8 falls back to z here; the standard error of Knapp and Hartung is the wider one.
    found = trim_and_fill(_fit("bcg", test="knha")).fit
    assert found.test == "knha"
    assert found.coefficients[0].df == 13


def test_everything_together():
    result = small_study(_fit("smoke", test="knha"))
    table = result.table().set_index("method")
    assert table.loc["Egger, lm on sei", "p"] == pytest.approx(TOOLS["regtest"]["smoke lm sei"]["p"])
    assert table.loc["trim and fill L0", "imputed"] == 7
    text = result.summary()
    assert "Small-study effects (37 studies)" in text
    assert "publication bias" not in text.lower()
    assert json.loads(json.dumps(result.as_dict(), allow_nan=False))["k"] == 37


TOOLKIT = [egger_test, rank_test, small_study, trim_and_fill, funnel_data]


@pytest.mark.parametrize("tool", TOOLKIT)
def test_fewer_than_ten_studies_are_refused_with_the_source(tool):
    assert MIN_SMALL_STUDY == 10
    tool(_fit("bcg", where="vi < 0.4"))
    few = meta(TABLES["bcg"].iloc[:9], effect="yi", variance="vi")
    with pytest.raises(FitError, match=r"from 9 studies: with fewer than 10 .* \(Sterne et al\. 2011"):
        tool(few)
    tool(meta(TABLES["bcg"].iloc[:10], effect="yi", variance="vi"))


@pytest.mark.parametrize("tool", TOOLKIT)
def test_animals_are_no_studies(tool):
    with pytest.raises(FitError, match="each row here is one animal"):
        tool(_fit("bcg", unit="animal"))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: egger_test(_fit("bcg"), model="glm"), ValueError, "available are rma, lm"),
        (lambda: egger_test(_fit("bcg"), predictor="se"), ValueError, "available are sei"),
        (lambda: egger_test(_fit("smoke"), predictor="ni"), ValueError, "needs sizes"),
        (lambda: egger_test(_fit("smoke"), predictor="ni", sizes="n"), FormulaError, "no column 'n'"),
        (lambda: egger_test(_fit("bcg"), predictor="ni", sizes="yi"), FitError, "no numbers above 0"),
        (lambda: trim_and_fill(_fit("bcg"), side="top"), ValueError, "available are left, right"),
        (lambda: trim_and_fill(_fit("bcg"), estimator="Q0"), ValueError, "available are L0, R0"),
        (lambda: trim_and_fill(_fit("bcg", moderators="ablat")), FitError, "without moderators"),
        (lambda: small_study(_fit("bcg", moderators="ablat")), FitError, "without moderators"),
        (lambda: funnel_data(_fit("bcg", moderators="ablat")), FitError, "without moderators"),
    ],
)
def test_what_cannot_be_done_is_said(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)


def test_equal_variances_have_no_asymmetry_to_test():
    table = TABLES["bcg"].assign(vi=0.1)
    fit = meta(table, effect="yi", variance="vi")
    with pytest.raises(FitError, match="the same sei"):
        egger_test(fit)
    with pytest.raises(FitError, match="the same variance"):
        rank_test(fit)


def test_a_symmetric_funnel_misses_nothing_and_a_cut_one_is_filled():
    rng = np.random.default_rng(1)
    se = rng.uniform(0.05, 0.6, 60)
    half = rng.normal(0.0, se)
    table = pd.DataFrame({"y": 0.4 + np.r_[half, -half], "v": np.r_[se, se] ** 2})
    whole = meta(table, effect="y", variance="v", method="ee")
    assert trim_and_fill(whole, side="left").k0 <= 2
    cut = table.drop(table["y"].nsmallest(12).index)
    found = trim_and_fill(meta(cut, effect="y", variance="v", method="ee"))
    assert found.side == "left"
    assert 4 <= found.k0 <= 16
    assert found.fit.coefficients[0].estimate < cut["y"].mean()


def test_the_funnel():
    fit = _fit("smoke")
    data = funnel_data(fit)
    assert data.points["se"].tolist() == pytest.approx(np.sqrt(TABLES["smoke"]["vi"]))
    assert data.centre == fit.coefficients[0].estimate
    assert data.reference == 0.0
    # 1.96 standard errors around the null: outside, two-sided P is below .05
    z = np.abs(data.points["effect"] / data.points["se"])
    assert data.points["p"].tolist() == pytest.approx(2 * norm.sf(z))
    filled = funnel_data(fit, filled=trim_and_fill(fit))
    assert filled.points["imputed"].sum() == 7
