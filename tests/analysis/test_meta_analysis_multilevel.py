"""`multilevel` against metafor (tests/reference/meta_multilevel.R) and against dense algebra."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.meta_analysis.known_covariance import covariance_of_columns, known_covariance
from nwbswitch.analysis.meta_analysis.meta import meta
from nwbswitch.analysis.meta_analysis.multilevel import multilevel
from nwbswitch.schemas.errors import FitError, FormulaError

R = json.loads((Path(__file__).resolve().parents[1] / "reference" / "meta_multilevel.json").read_text())


def data_of(name):
    return pd.DataFrame(R[name]["data"])


@pytest.fixture(scope="module")
def schools():
    return data_of("schools")


@pytest.fixture(scope="module")
def delinquency():
    return data_of("delinquency")


@pytest.fixture(scope="module")
def periodontal():
    return data_of("periodontal")


@pytest.fixture(scope="module")
def four_levels():
    found = data_of("four_levels")
    return found.assign(lab_study=found["lab"].astype(str) + "/" + found["study"].astype(str))


def covariance(name, data):
    match name:
        case "delinquency":
            return known_covariance(data, variance="vi", cluster="study", rho=0.6)
        case "periodontal":
            return covariance_of_columns(data, cluster="trial", columns=["v1i", "v2i"])
        case "coaching":
            return known_covariance(data, variance="vi", cluster="study", rho=0.66)
        case "four_levels":
            return known_covariance(data, variance="vi", cluster="lab_study", rho=0.5)


def agrees(fit, answer, *, tolerance=1e-7):
    """Compare a fit with metafor's answers; its likelihood may be higher, which is metafor's optimiser.

    Where metafor stops short by d in its log-likelihood its estimates are off by about sqrt(d), so their
    tolerance widens by that.
    """
    rise = fit.log_likelihood - answer["ll"]
    assert rise > -1e-9
    close = tolerance + np.sqrt(max(rise, 0.0))
    se = np.atleast_1d(answer["se"])
    assert np.abs(fit.estimates - answer["b"]).max() < close * se.max()
    assert fit.table()["se"].to_numpy() == pytest.approx(se, rel=close)
    assert fit.q == pytest.approx(answer["QE"], rel=1e-9)
    assert fit.q_p == pytest.approx(answer["QEp"], rel=1e-9)
    assert fit.qm.statistic == pytest.approx(answer["QM"], rel=4 * close)
    assert fit.qm.p == pytest.approx(answer["QMp"], rel=1e-3 if rise > 1e-11 else 1e-6, abs=1e-20)
    for ours, theirs in (("aic", "aic"), ("bic", "bic"), ("aicc", "aicc")):
        assert getattr(fit, ours) == pytest.approx(answer[theirs], abs=2 * rise + 1e-9)
    if answer["ddf"] is not None:
        assert fit.ddf.tolist() == np.atleast_1d(answer["ddf"]).tolist()
        assert fit.qm.df == pytest.approx(answer["QMdf"])
        assert fit.table()["p"].tolist() == pytest.approx(np.atleast_1d(answer["p"]), rel=1e-5)
    low, high = (np.atleast_1d(answer[name]) for name in ("ci_low", "ci_high"))
    assert np.abs(fit.table()["ci_low"] - low).max() < 3 * close * se.max()
    assert np.abs(fit.table()["ci_high"] - high).max() < 3 * close * se.max()
    inner = any(part.inner_codes is not None for part in fit.model.frame.parts)
    variances = fit.components.loc[fit.components["kind"] == "variance", "estimate"]
    expected = np.atleast_1d(answer["tau2" if inner else "sigma2"])
    # Near a boundary metafor's optimiser ends beside it.
    assert variances.tolist() == pytest.approx(expected, rel=1e-6 + 10 * close, abs=1e-8)


CASES = {
    "schools reml": ("schools", ["reml"], "~ 1 | district/school", {"test": "z"}),
    "schools ml": ("schools", ["ml"], "~ 1 | district/school", {"test": "z", "method": "ml"}),
    "schools moderators": (
        "schools",
        ["moderators"],
        "~ 1 | district/school",
        {"moderators": "year10 + school"},
    ),
    "schools two levels": (
        "schools",
        ["two_levels"],
        "~ 1 | district",
        {"moderators": "factor(year > 1990) * school", "dfs": "residual"},
    ),
    "effects in studies": ("delinquency", ["independent"], "~ 1 | study/esid", {"test": "z"}),
    "correlated errors": ("delinquency", ["correlated"], "~ 1 | study/esid", {"test": "z"}),
    "correlated, moderators": (
        "delinquency",
        ["moderators"],
        "~ 1 | study/esid",
        {"moderators": "year + pubstatus"},
    ),
    "correlated, ml": (
        "delinquency",
        ["ml"],
        "~ 1 | study/esid",
        {"moderators": "deltype", "method": "ml", "test": "z"},
    ),
    "multivariate, moderators": (
        "periodontal",
        ["fits", "moderators"],
        "~ outcome | trial",
        {"moderators": "outcome * year80", "method": "ml", "dfs": "contain"},
    ),
    "arms CS": (
        "transplants",
        ["CS"],
        "~ trt | study",
        {"struct": "CS", "moderators": "trt - 1", "test": "z"},
    ),
    "arms UN at the boundary": (
        "transplants",
        ["UN"],
        "~ trt | study",
        {"moderators": "trt - 1", "test": "z"},
    ),
    "two terms, one 0": (
        "transplants",
        ["two"],
        ["~ 1 | study", "~ 1 | one"],
        {"moderators": "trt", "test": "z"},
    ),
    "known correlation, ml": (
        "coaching",
        ["ml"],
        "~ outcome | study",
        {"moderators": "outcome - 1", "method": "ml", "test": "z"},
    ),
    "known correlation, reml": (
        "coaching",
        ["reml"],
        "~ outcome | study",
        {"moderators": "outcome - 1", "test": "z"},
    ),
    "four levels": ("four_levels", ["nested"], "~ 1 | lab/study/animal", {"moderators": "x"}),
    "crossed": ("four_levels", ["crossed"], ["~ 1 | lab", "~ 1 | drug"], {"moderators": "x", "test": "z"}),
    "five levels": ("four_levels", ["five"], "~ 1 | lab/study/animal/row", {"test": "z"}),
}
for _struct in ("UN", "CS", "DIAG", "ID"):
    for _method in ("REML", "ML"):
        CASES[f"two outcomes {_struct} {_method}"] = (
            "periodontal",
            ["fits", f"{_struct} {_method}"],
            "~ outcome | trial",
            {"struct": _struct, "moderators": "outcome - 1", "method": _method.lower(), "test": "z"},
        )


@pytest.mark.parametrize("case", list(CASES))
def test_every_model_of_metafor(case, request):
    name, path, random, asked = CASES[case]
    data = request.getfixturevalue(name) if name in ("four_levels",) else data_of(name)
    answer = R[name]
    for step in path:
        answer = answer[step]
    if name in ("schools", "transplants") or path == ["independent"]:
        fit = multilevel(data, effect="yi", variance="vi", random=random, **asked)
    else:
        fit = multilevel(data, effect="yi", V=covariance(name, data), random=random, **asked)
    agrees(fit, answer)
    assert fit.info["converged"]


def test_the_stated_numbers(shared):
    answer = json.loads((shared / "reference" / "r_values.json").read_text())["meta_mv"][
        "konstantopoulos2011"
    ]
    data = pd.DataFrame(answer["data"])
    fit = multilevel(data, effect="yi", variance="vi", random="~ 1 | district/school", test="z")
    assert fit.log_likelihood == pytest.approx(answer["ll"], abs=1e-9)
    assert fit.estimates[0] == pytest.approx(answer["b"], abs=1e-7)
    assert fit.table()["se"][0] == pytest.approx(answer["se"], rel=1e-7)
    assert fit.components["estimate"].tolist() == pytest.approx(answer["sigma2"], rel=1e-7)
    assert fit.qm.statistic == pytest.approx(answer["QM"], rel=1e-6)
    interval = fit.predict()[["pi_low", "pi_high"]].to_numpy()[0]
    assert interval == pytest.approx([answer["pred"]["pi.lb"], answer["pred"]["pi.ub"]], rel=1e-7)
    contained = multilevel(data, effect="yi", variance="vi", random="~ 1 | district/school", dfs="contain")
    row, theirs = contained.coefficients[0], answer["t_contain"]
    assert (row.df, row.p) == (theirs["df"], pytest.approx(theirs["p"], rel=1e-7))
    assert [row.ci_low, row.ci_high] == pytest.approx([theirs["ci.lb"], theirs["ci.ub"]], abs=1e-8)
    for kind, df in (("CR2", "CR2"), ("CR1p", "CR1_metafor")):
        robust, expected = (
            fit.robust(cluster="district", kind=kind).table().iloc[0],
            answer["robust_district"][df],
        )
        for ours in ("se", "t", "df", "p"):
            assert robust[ours] == pytest.approx(expected[ours], rel=1e-7)


def test_predictions(schools, periodontal):
    answer = R["schools"]["reml"]["predict"]
    fit = multilevel(schools, effect="yi", variance="vi", random="~ 1 | district/school", test="z")
    columns = {"estimate": "pred", "se": "se", "ci_low": "ci_low", "ci_high": "ci_high", "pi_low": "pi_low"}
    for ours, theirs in columns.items():
        assert fit.predict()[ours][0] == pytest.approx(answer[theirs], abs=1e-7 * answer["se"])
    answer = R["schools"]["moderators"]["predict"]
    fit = multilevel(
        schools, effect="yi", variance="vi", random="~ 1 | district/school", moderators="year10 + school"
    )
    found = fit.predict(pd.DataFrame({"year10": [-1.0, 0.5], "school": [1, 4]}, index=["a", "b"]))
    assert found.index.tolist() == ["a", "b"]
    for ours, theirs in {**columns, "pi_high": "pi_high"}.items():
        assert found[ours].tolist() == pytest.approx(answer[theirs], rel=1e-6)
    answer = R["periodontal"]["fits"]["UN REML"]["predict"]
    fit = multilevel(
        periodontal,
        effect="yi",
        V=covariance("periodontal", periodontal),
        random="~ outcome | trial",
        moderators="outcome - 1",
        test="z",
    )
    found = fit.predict()
    assert found["level"].tolist() == periodontal["outcome"].tolist()
    for ours, theirs in columns.items():
        assert found[ours].tolist() == pytest.approx(answer[theirs], abs=5e-6)
    asked = fit.predict(pd.DataFrame({"outcome": ["PD"]}))
    assert asked[["estimate", "pi_low"]].to_numpy() == pytest.approx(
        found[["estimate", "pi_low"]].to_numpy()[:1]
    )
    with pytest.raises(FitError, match="XX"):
        fit.predict(pd.DataFrame({"outcome": ["XX"]}))


def test_without_moderators_every_inner_level_has_a_prediction(periodontal):
    V = covariance("periodontal", periodontal)
    fit = multilevel(periodontal, effect="yi", V=V, random="~ outcome | trial", struct="DIAG")
    found = fit.predict()
    assert found["level"].tolist() == ["AL", "PD"]
    width = found["pi_high"] - found["pi_low"]
    assert width.iloc[0] > width.iloc[1]
    assert "of AL" in fit.summary()


def test_random_effects_hat_values_and_weights(schools):
    answer = R["schools"]["reml"]
    fit = multilevel(schools, effect="yi", variance="vi", random="~ 1 | district/school", test="z")
    found = fit.ranef()
    districts = found[found["group"] == "district"]
    assert districts["estimate"].tolist() == pytest.approx(answer["ranef"]["district"]["est"], abs=1e-7)
    assert districts["se"].tolist() == pytest.approx(answer["ranef"]["district"]["se"], rel=1e-7)
    inner = found[found["group"] == "district/school"].set_index("level")
    theirs = pd.DataFrame(answer["ranef"]["school"]).set_index("label").loc[inner.index]
    assert inner["estimate"].tolist() == pytest.approx(theirs["est"].tolist(), abs=1e-7)
    assert inner["se"].tolist() == pytest.approx(theirs["se"].tolist(), rel=1e-7)
    rows = fit.rows()
    assert rows["hat"].tolist() == pytest.approx(answer["hat"], rel=1e-7)
    assert rows["weight_pct"].tolist() == pytest.approx(answer["weight"], rel=1e-7)
    both = districts.set_index("level")["estimate"][schools["district"].astype(str)].to_numpy()
    place = (schools["district"].astype(str) + "/" + schools["school"].astype(str)).tolist()
    assert rows["blup"].to_numpy() == pytest.approx(
        rows["fitted"] + both + inner["estimate"][place].to_numpy()
    )


def test_random_effects_of_two_outcomes(periodontal):
    answer = pd.DataFrame(R["periodontal"]["fits"]["UN REML"]["ranef"])
    answer[["inner", "level"]] = answer["label"].str.split(" | ", regex=False, expand=True)
    fit = multilevel(
        periodontal,
        effect="yi",
        V=covariance("periodontal", periodontal),
        random="~ outcome | trial",
        moderators="outcome - 1",
        test="z",
    )
    both = fit.ranef().merge(answer, on=["inner", "level"])
    assert len(both) == 10
    assert both["estimate"].tolist() == pytest.approx(both["est"].tolist(), abs=1e-5)
    assert both["se_x"].tolist() == pytest.approx(both["se_y"].tolist(), rel=1e-4)


def dense(fit, data, V):
    """Return coefficients and their covariance from dense matrices at the fit's components."""
    X = fit.model.frame.design.matrix
    M = np.array(V, dtype=float)
    for place, part in enumerate(fit.model.frame.parts):
        G = fit.model.covariance_of(place, fit.optimum.theta)
        inner = np.zeros(len(X), dtype=int) if part.inner_codes is None else part.inner_codes
        M += (part.codes[:, None] == part.codes) * G[inner[:, None], inner]
    W = np.linalg.inv(M)
    C = np.linalg.inv(X.T @ W @ X)
    y = data["yi"].to_numpy()
    b = C @ X.T @ W @ y
    n, p = X.shape
    e = y - X @ b
    value = (n - p) * np.log(2 * np.pi) + np.linalg.slogdet(M)[1] + np.linalg.slogdet(X.T @ W @ X)[1]
    return b, C, -0.5 * (value - np.linalg.slogdet(X.T @ X)[1] + e @ W @ e), M


def test_blocks_are_the_same_as_dense_matrices(four_levels):
    V = np.asarray(covariance("four_levels", four_levels))
    fit = multilevel(four_levels, effect="yi", V=V, random=["~ 1 | lab/study", "~ 1 | drug"], moderators="x")
    b, C, likelihood, _ = dense(fit, four_levels, V)
    assert fit.estimates == pytest.approx(b, rel=1e-9)
    assert fit.vcov == pytest.approx(C, rel=1e-9)
    assert fit.log_likelihood == pytest.approx(likelihood, abs=1e-9)
    assert fit.info["n_blocks"] == 1


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_derivatives_are_those_of_the_criterion(periodontal, method):
    from nwbswitch.analysis.meta_analysis.multilevel_likelihood import criterion, derivatives, solve

    V = covariance("periodontal", periodontal)
    fit = multilevel(periodontal, effect="yi", V=V, random="~ outcome | trial", struct="DIAG", method=method)
    data, theta = fit.model.data, np.array([1.3, 0.7, 0.2])
    gradient, second, _ = derivatives(data, solve(data, theta), method)
    step = 1e-5
    for i in range(3):
        ahead, behind = theta + step * np.eye(3)[i], theta - step * np.eye(3)[i]
        values = [criterion(data, solve(data, each), method) for each in (ahead, behind)]
        assert gradient[i] == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6)
        slopes = [derivatives(data, solve(data, each), method)[0] for each in (ahead, behind)]
        assert second[i] == pytest.approx((slopes[0] - slopes[1]) / (2 * step), rel=1e-6)


def test_one_effect_per_study_is_the_univariate_meta_analysis(shared):
    folder = shared / "data" / "meta_pymare" / "tests" / "data"
    designs = pd.read_csv(folder / "metafor_small_sample.csv")
    for case, data in designs.groupby("case"):
        data = data.assign(study=np.arange(len(data)))
        for moderators in (None, "mod1"):
            ours = multilevel(data, effect="y", variance="v", moderators=moderators, dfs="residual")
            theirs = meta(data, effect="y", variance="v", moderators=moderators, test="t")
            assert ours.components["estimate"][0] == pytest.approx(theirs.tau2, rel=1e-6, abs=1e-9), case
            columns = ["estimate", "se", "df", "p"]
            assert ours.table()[columns].to_numpy() == pytest.approx(
                theirs.table()[columns].to_numpy(), rel=1e-6
            )


def test_small_samples_of_pymare_by_reml_and_ml(shared):
    folder = shared / "data" / "meta_pymare" / "tests" / "data"
    designs = pd.read_csv(folder / "metafor_small_sample.csv")
    cases = json.loads((folder / "metafor_reference.json").read_text())["cases"]
    moderators = {"intercept": None, "one": "mod1", "two": "mod1 + mod2"}
    compared = 0
    for case in cases:
        if case["method"] not in ("REML", "ML") or case["test"] != "z":
            continue
        data = designs[designs["case"] == case["design"]]
        fit = multilevel(
            data.assign(study=np.arange(len(data))),
            effect="y",
            variance="v",
            method=case["method"].lower(),
            test="z",
            moderators=moderators[case["model"]],
        )
        compared += 1
        if (case["design"], case["model"], case["method"]) == ("extreme_k10", "one", "ML"):
            # Two maxima, of which metafor's is the lower one (tests/reference/README.md).
            assert fit.components["estimate"][0] == pytest.approx(0.0114415748, rel=1e-6)
            continue
        # metafor stops REML and ML of one tau^2 at a change of 1e-5.
        assert fit.components["estimate"][0] == pytest.approx(case["tau2"], rel=2e-4, abs=2e-5)
        assert fit.estimates == pytest.approx(case["beta"], rel=2e-4, abs=2e-4)
        assert fit.table()["se"].tolist() == pytest.approx(case["se"], rel=2e-4)
    assert compared == 24


def test_the_better_of_two_maxima_is_found():
    # By hand: three precise effects that agree and five imprecise ones around another mean.
    rng = np.random.default_rng(0)
    for _ in range(12):
        data = pd.DataFrame(
            {
                "study": range(8),
                "yi": rng.normal(0, 1, 8),
                "vi": np.exp(rng.normal(-2, 2.5, 8)),
                "x": rng.normal(size=8),
            }
        )
        fit = multilevel(data, effect="yi", variance="vi", moderators="x", method="ml")
        grid = np.r_[0.0, np.logspace(-7, 2, 400)]
        X = np.stack([np.ones(8), data["x"]], axis=1)
        best = -np.inf
        for tau2 in grid:
            w = 1 / (data["vi"].to_numpy() + tau2)
            b = np.linalg.solve(X.T @ (w[:, None] * X), X.T @ (w * data["yi"].to_numpy()))
            e = data["yi"].to_numpy() - X @ b
            best = max(best, -0.5 * (8 * np.log(2 * np.pi) - np.log(w).sum() + w @ e**2))
        assert fit.log_likelihood >= best - 1e-9


def test_i2_is_that_of_the_formula(schools):
    fit = multilevel(schools, effect="yi", variance="vi", random="~ 1 | district/school")
    w = 1 / schools["vi"].to_numpy()
    P = np.diag(w) - np.outer(w, w) / w.sum()
    typical = 55 / np.trace(P)
    sigma2 = fit.components["estimate"].to_numpy()
    assert fit.heterogeneity.total == pytest.approx(100 * sigma2.sum() / (sigma2.sum() + typical), rel=1e-9)
    shares = list(fit.heterogeneity.by_component.values())
    assert shares == pytest.approx(100 * sigma2 / (sigma2.sum() + typical), rel=1e-9)
    assert fit.heterogeneity.by_coefficient["(Intercept)"] == pytest.approx(
        100 * (1 - (1 / w.sum()) / fit.vcov[0, 0]), rel=1e-9
    )


def test_degrees_of_freedom_of_an_estimand_are_those_of_its_own_studies(periodontal):
    V = covariance("periodontal", periodontal)
    asked = {"effect": "yi", "V": V, "random": "~ outcome | trial", "moderators": "outcome - 1"}
    assert multilevel(periodontal, **asked).ddf.tolist() == [4.0, 4.0]
    assert multilevel(periodontal, **asked, dfs="contain").ddf.tolist() == [8.0, 8.0]
    assert multilevel(periodontal, **asked, dfs="residual").ddf.tolist() == [8.0, 8.0]


def test_rows_can_stand_in_any_order_and_be_left_out(periodontal):
    V = covariance("periodontal", periodontal)
    whole = multilevel(periodontal, effect="yi", V=V, random="~ outcome | trial", moderators="outcome - 1")
    order = np.random.default_rng(1).permutation(10)
    moved = multilevel(
        periodontal.iloc[order],
        effect="yi",
        V=np.asarray(V)[np.ix_(order, order)],
        random="~ outcome | trial",
        moderators="outcome - 1",
    )
    assert moved.log_likelihood == pytest.approx(whole.log_likelihood, abs=1e-9)
    assert moved.estimates == pytest.approx(whole.estimates, rel=1e-6)
    missing = periodontal.assign(yi=periodontal["yi"].where(periodontal.index != 3))
    fewer = multilevel(missing, effect="yi", V=V, random="~ outcome | trial", moderators="outcome - 1")
    assert (fewer.k, fewer.info["n_missing"]) == (9, 1)
    kept = np.delete(np.arange(10), 3)
    direct = multilevel(
        periodontal.iloc[kept],
        effect="yi",
        V=np.asarray(V)[np.ix_(kept, kept)],
        random="~ outcome | trial",
        moderators="outcome - 1",
    )
    assert fewer.log_likelihood == pytest.approx(direct.log_likelihood, abs=1e-9)


def test_groups_may_be_written_in_several_ways(schools):
    fits = [
        multilevel(schools, effect="yi", variance="vi", random=random).log_likelihood
        for random in (
            "~ 1 | district/school",
            "(1 | district/school)",
            ["~ 1 | factor(district)", "~1|district:school"],
        )
    ]
    assert fits == pytest.approx([fits[0]] * 3, abs=1e-10)


def test_units_do_not_matter(schools):
    small = schools.assign(yi=schools["yi"] * 1e-6, vi=schools["vi"] * 1e-12)
    fits = [
        multilevel(each, effect="yi", variance="vi", random="~ 1 | district/school")
        for each in (schools, small)
    ]
    assert fits[1].estimates[0] == pytest.approx(1e-6 * fits[0].estimates[0], rel=1e-7)
    assert fits[1].components["estimate"].tolist() == pytest.approx(
        [1e-12 * each for each in fits[0].components["estimate"]], rel=1e-6
    )


def test_results_are_plain_and_readable(periodontal):
    V = covariance("periodontal", periodontal)
    fit = multilevel(periodontal, effect="yi", V=V, random="~ outcome | trial", moderators="outcome - 1")
    kept = json.loads(json.dumps(fit.as_dict(), allow_nan=False))
    assert kept["estimate"] is None
    assert [each["term"] for each in kept["coefficients"]] == ["outcomeAL", "outcomePD"]
    text = fit.summary()
    assert "cor(AL, PD) | trial" in text
    assert repr(fit) == text
    one = multilevel(periodontal, effect="yi", variance="vi", random="~ 1 | trial")
    assert one.as_dict()["pi_low"] == pytest.approx(one.predict()["pi_low"][0])
    assert "prediction interval" in one.summary()


def test_what_cannot_be_fitted_is_said(schools, periodontal):
    asked = {"effect": "yi", "variance": "vi"}
    with pytest.raises(FitError, match="2 groups of 'district': listed, not pooled"):
        multilevel(schools[schools["district"].isin([11, 12])], **asked, random="~ 1 | district/school")
    with pytest.raises(FitError, match="same 56 groups"):
        multilevel(schools.assign(row=range(56)), **asked, random=["~ 1 | row", "~ 1 | district/school"])
    with pytest.raises(FormulaError, match="no column 'yy'"):
        multilevel(schools, effect="yy", variance="vi", random="~ 1 | district")
    with pytest.raises(FormulaError, match="cannot be read"):
        multilevel(schools, **asked, random="district")
    with pytest.raises(FormulaError, match="has a sum left of the bar"):
        multilevel(schools, **asked, random="~ 1 + year | district")
    with pytest.raises(TypeError, match="not int"):
        multilevel(schools, **asked, random=5)
    with pytest.raises(FormulaError, match="nests groups right of an inner factor"):
        multilevel(schools, **asked, random="~ year | district/school")
    with pytest.raises(ValueError, match="not both"):
        multilevel(schools, **asked, V=np.eye(56), random="~ 1 | district")
    with pytest.raises(ValueError, match=r"\(3, 3\)"):
        multilevel(schools, effect="yi", V=np.eye(3), random="~ 1 | district")
    with pytest.raises(FitError, match="not symmetric"):
        multilevel(schools, effect="yi", V=np.eye(56) + np.eye(56, k=1), random="~ 1 | district")
    with pytest.raises(FitError, match="not positive definite"):
        multilevel(periodontal, effect="yi", V=np.kron(np.eye(5), np.ones((2, 2))), random="~ 1 | trial")
    with pytest.raises(ValueError, match="struct is 'AR'"):
        multilevel(periodontal, **asked, random="~ outcome | trial", struct="AR")
    apart = periodontal[(periodontal["outcome"] == "PD") == (periodontal["trial"] < 3)]
    with pytest.raises(FitError, match="No trial has both AL and PD"):
        multilevel(apart, **asked, random="~ outcome | trial")
    with pytest.raises(FitError, match=r"-0\.1"):
        multilevel(schools.assign(vi=-0.1), **asked, random="~ 1 | district")
    for name, value in (("method", "mm"), ("test", "knha"), ("dfs", "kr"), ("level", 95)):
        with pytest.raises(ValueError, match=name):
            multilevel(schools, **asked, random="~ 1 | district", **{name: value})


def test_a_thousand_studies_of_five_effects():
    rng = np.random.default_rng(4)
    study = np.repeat(np.arange(1000), 5)
    data = pd.DataFrame({"study": study, "effect": np.arange(5000), "vi": rng.uniform(0.02, 0.1, 5000)})
    data["yi"] = (
        0.4
        + rng.normal(0, 0.3, 1000)[study]
        + rng.normal(0, 0.2, 5000)
        + rng.normal(size=5000) * np.sqrt(data["vi"])
    )
    fit = multilevel(data, effect="yi", variance="vi", random="~ 1 | study/effect")
    sd = fit.components["sd"].tolist()
    assert sd == pytest.approx([0.3, 0.2], abs=0.03)
    assert fit.info["largest_block"] == 5
    # Sums over blocks: one evaluation is far from a matrix of 5,000 rows.
    assert fit.info["evaluations"] < 300
