"""Estimating equations against geepack and dense formulas, recipe in tests/reference/glmm.R."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.gee.covariance import covariance
from nwbswitch.analysis.gee.estimating import Clusters, solve
from nwbswitch.analysis.gee.families import moments
from nwbswitch.analysis.gee.fit import fit_binomial_gee, fit_counts_gee
from nwbswitch.schemas.errors import FitError, FormulaError

REFERENCE = json.loads((Path(__file__).resolve().parents[1] / "reference" / "glmm.json").read_text())
KINDS = {"robust": "robust", "bias-reduced": "bias_reduced", "kauermann-carroll": "kauermann_carroll"}
FORMULA = "events ~ drug + x"


def events() -> pd.DataFrame:
    return pd.DataFrame(REFERENCE["sets"]["events"])


def named(answer, **options):
    data = pd.DataFrame(REFERENCE["sets"][answer["data"]])
    options |= {"groups": "animal", "correlation": answer["correlation"]}
    if answer["family"] == "poisson":
        return fit_counts_gee(data, FORMULA, exposure="minutes", family="poisson", **options)
    return fit_binomial_gee(data, "cbind(yes, n - yes) ~ drug", **options)


# With weights and correlation together geepack estimates alpha from residuals without the weights.
COMPARABLE = [g for g in REFERENCE["gee"] if (g["family"], g["correlation"]) != ("binomial", "exchangeable")]


@pytest.mark.parametrize("answer", COMPARABLE, ids=lambda g: f"{g['family']}-{g['correlation']}")
@pytest.mark.parametrize("kind", KINDS)
def test_estimates_and_covariances_are_geepacks(answer, kind):
    found = named(answer, cov=kind)
    assert found.info["converged"]
    assert [each.term for each in found.fixed] == list(answer["beta"])
    np.testing.assert_allclose(
        [each.estimate for each in found.fixed], list(answer["beta"].values()), rtol=1e-9
    )
    np.testing.assert_allclose(found.vcov, answer[KINDS[kind]], rtol=1e-8)
    assert found.alpha == pytest.approx(answer["alpha"], rel=1e-8)
    if answer["family"] == "poisson":
        assert found.scale == pytest.approx(answer["scale"], rel=1e-9)


def dense(data: Clusters, beta, dispersion, scale, alpha, kind):
    """Return the covariance with n_i x n_i matrices, as the papers write it."""
    at = moments("negative-binomial", data.matrix @ beta + data.offset, data.trials, dispersion)
    terms = []
    for cluster in range(data.n_clusters):
        rows = data.codes == cluster
        D = at.slope[rows, None] * data.matrix[rows]
        root = np.sqrt(at.variance[rows])
        R = np.where(np.eye(rows.sum()) > 0, 1.0, alpha)
        terms.append((D, scale * root[:, None] * R * root, (data.response - at.mean)[rows]))
    bread = np.linalg.inv(sum(D.T @ np.linalg.solve(V, D) for D, V, _ in terms))
    meat = 0.0
    for D, V, r in terms:
        if kind == "bias-reduced":
            r = np.linalg.solve(np.eye(len(r)) - D @ bread @ D.T @ np.linalg.inv(V), r)
        u = D.T @ np.linalg.solve(V, r)
        meat = meat + np.outer(u, u)
    return bread @ meat @ bread


@pytest.mark.parametrize("correlation", ["independence", "exchangeable"])
@pytest.mark.parametrize("kind", ["bias-reduced", "robust"])
def test_negative_binomial_covariance_is_that_of_dense_matrices(correlation, kind):
    rows = events()
    matrix = np.column_stack([np.ones(len(rows)), rows["drug"] == "saline", rows["x"]]).astype(float)
    data = Clusters(
        rows["events"].to_numpy(float),
        np.ones(len(rows)),
        matrix,
        np.log(rows["minutes"].to_numpy()),
        pd.factorize(rows["animal"])[0],
    )
    found = solve(data, family="negative-binomial", correlation=correlation)
    expected = dense(data, found.coefficients, found.dispersion, found.scale, found.alpha, kind)
    np.testing.assert_allclose(covariance(found, kind=kind), expected, rtol=1e-8)
    fit = fit_counts_gee(
        rows, FORMULA, groups="animal", exposure="minutes", correlation=correlation, cov=kind
    )
    np.testing.assert_allclose(fit.vcov, expected, rtol=1e-8)
    # the dispersion makes the Pearson residuals' sum of squares rows minus coefficients
    assert fit.scale * len(rows) == pytest.approx(len(rows) - 3, rel=1e-9)
    np.testing.assert_allclose(found.scores.sum(axis=0), 0.0, atol=1e-9)


def test_counts_with_less_scatter_than_poisson_have_no_dispersion():
    rows = events().assign(events=lambda d: 4 + (np.arange(len(d)) % 2))
    found = fit_counts_gee(rows, "events ~ drug", groups="animal")
    poisson = fit_counts_gee(rows, "events ~ drug", groups="animal", family="poisson")
    assert found.dispersion == 0.0
    np.testing.assert_allclose(found.vcov, poisson.vcov, rtol=1e-10)


def test_order_scale_and_form_of_rows_change_nothing():
    rows = events()
    found = fit_counts_gee(rows, FORMULA, groups="animal", exposure="minutes")
    moved = rows.assign(x=rows["x"] * 1e5 + 1e6, animal="m" + rows["animal"].astype(str))
    other = fit_counts_gee(
        moved.sample(frac=1.0, random_state=0), FORMULA, groups="animal", exposure="minutes"
    )
    assert other.fixed[2].t == pytest.approx(found.fixed[2].t, rel=1e-6)
    assert other.fixed[1].se == pytest.approx(found.fixed[1].se, rel=1e-8)
    seconds = fit_counts_gee(rows.assign(s=60 * rows["minutes"]), FORMULA, groups="animal", exposure="s")
    assert seconds.fixed[0].estimate == pytest.approx(found.fixed[0].estimate - np.log(60))
    sessions = pd.DataFrame(REFERENCE["sets"]["between"])
    by_counts = fit_binomial_gee(sessions, "cbind(yes, n - yes) ~ drug", groups="animal")
    neurons = sessions.loc[sessions.index.repeat(sessions["n"])].reset_index(drop=True)
    neurons["silenced"] = np.concatenate(
        [np.arange(n) < yes for yes, n in zip(sessions["yes"], sessions["n"], strict=True)]
    )
    by_rows = fit_binomial_gee(neurons, "silenced ~ drug", groups="animal")
    np.testing.assert_allclose(by_rows.vcov, by_counts.vcov, rtol=1e-9)


def test_results_say_the_same_in_every_form():
    found = fit_counts_gee(events(), FORMULA, groups="animal", exposure="minutes", correlation="exchangeable")
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert set(plain["fixed"][0]) == {"term", "estimate", "se", "df", "t", "p", "ci_low", "ci_high"}
    assert plain["random"] == []
    assert plain["criterion"] is None
    assert plain["info"]["groups"] == {"animal": 10}
    assert [each.df for each in found.fixed] == [8.0, 8.0, 9.0]
    np.testing.assert_allclose(found.ratios()["ratio"], np.exp(found.table()["estimate"]))
    for part in ("Negative binomial", "exchangeable", "Mancl and DeRouen", "10 clusters"):
        assert part in found.summary()
    z = fit_counts_gee(events(), FORMULA, groups="animal", ddf="none", cov="robust")
    assert np.isinf(z.fixed[0].df)
    assert found.random().empty


@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        ({"events": 0}, {}, FitError, "0 in all"),
        ({"events": -1}, {}, FitError, "not a count"),
        ({"events": 1.5}, {}, FitError, "counts with exposure"),
        ({"events": "x"}, {}, FormulaError, "not a number"),
        ({"minutes": 0.0}, {}, FitError, "not a number above 0"),
        ({"animal": 1, "drug": lambda d: np.arange(len(d)) % 2}, {}, FitError, "one value"),
        ({"x": 1.0}, {}, FitError, "x"),
        ({"events": lambda d: d["events"] * (d["drug"] == "saline")}, {}, FitError, "drugsaline"),
        ({"drug": lambda d: d["animal"] == 1}, {}, FitError, "One cluster alone"),
        ({"animal": lambda d: np.arange(len(d))}, {"correlation": "exchangeable"}, FitError, "one row"),
        ({}, {"family": "gamma"}, ValueError, "negative-binomial, poisson"),
        ({}, {"cov": "jackknife"}, ValueError, "bias-reduced"),
        ({}, {"correlation": "ar1"}, ValueError, "exchangeable"),
        ({}, {"ddf": "satterthwaite"}, ValueError, "clusters"),
        ({}, {"groups": "rat"}, FormulaError, "rat"),
        ({}, {"exposure": "hours"}, FormulaError, "hours"),
    ],
)
def test_what_cannot_be_fitted_is_named(change, options, error, words):
    options = {"groups": "animal", "exposure": "minutes"} | options
    with pytest.raises(error, match=words):
        fit_counts_gee(events().assign(**change), FORMULA, **options)


def test_yes_no_models_name_what_is_wrong_too():
    sessions = pd.DataFrame(REFERENCE["sets"]["between"])
    with pytest.raises(FitError, match="nothing varies"):
        fit_binomial_gee(sessions.assign(yes=0), "cbind(yes, n) ~ drug", groups="animal")
    pure = sessions.assign(yes=lambda d: d["yes"] * (d["drug"] == "saline"))
    with pytest.raises(FitError, match="drugsaline up"):
        fit_binomial_gee(pure, "cbind(yes, n - yes) ~ drug", groups="animal")
    with pytest.raises(FormulaError, match="random term"):
        fit_binomial_gee(sessions, "cbind(yes, n - yes) ~ drug + (1 | animal)", groups="animal")
    missing = fit_binomial_gee(
        sessions.assign(n=sessions["n"].where(sessions.index > 1)),
        "cbind(yes, n - yes) ~ drug",
        groups="animal",
    )
    assert missing.info["n_missing"] == 2
