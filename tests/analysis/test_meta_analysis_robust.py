"""Cluster-robust tests against clubSandwich and robumeta, and by brute force."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.meta_analysis.known_covariance import covariance_of_columns, known_covariance
from nwbswitch.analysis.meta_analysis.meta import meta
from nwbswitch.analysis.meta_analysis.multilevel import multilevel
from nwbswitch.analysis.meta_analysis.robust import robust_meta
from nwbswitch.analysis.meta_analysis.robust_correlated import correlated_effects
from nwbswitch.schemas.errors import FitError, FormulaError

R = json.loads((Path(__file__).resolve().parents[1] / "reference" / "meta_multilevel.json").read_text())
# Answers rest on R's variance components, which are off by 1e-9 to 1e-8 (tests/reference/README.md); those
# of two outcomes, where metafor stops at a slope, by 4e-7.
CLOSE = 1e-7


def fits():
    schools, delinquency = (pd.DataFrame(R[name]["data"]) for name in ("schools", "delinquency"))
    V = known_covariance(delinquency, variance="vi", cluster="study", rho=0.6)
    coaching = pd.DataFrame(R["coaching"]["data"])
    C = known_covariance(coaching, variance="vi", cluster="study", rho=0.66)
    four = pd.DataFrame(R["four_levels"]["data"])
    four["block"] = four["lab"].astype(str) + "/" + four["study"].astype(str)
    F = known_covariance(four, variance="vi", cluster="block", rho=0.5)
    school = {"effect": "yi", "variance": "vi"}
    return {
        "one mean": (
            multilevel(schools, **school, random="~ 1 | district/school"),
            "district",
            ("schools", "reml"),
        ),
        "moderators": (
            multilevel(schools, **school, random="~ 1 | district/school", moderators="year10 + school"),
            "district",
            ("schools", "moderators"),
        ),
        "interaction": (
            multilevel(schools, **school, random="~ 1 | district", moderators="factor(year > 1990) * school"),
            "district",
            ("schools", "two_levels"),
        ),
        "correlated": (
            multilevel(
                delinquency, effect="yi", V=V, random="~ 1 | study/esid", moderators="year + pubstatus"
            ),
            "study",
            ("delinquency", "moderators"),
        ),
        "two outcomes": (
            multilevel(coaching, effect="yi", V=C, random="~ outcome | study", moderators="outcome - 1"),
            "study",
            ("coaching", "reml"),
        ),
        "four levels": (
            multilevel(four, effect="yi", V=F, random="~ 1 | lab/study/animal", moderators="x"),
            "lab",
            ("four_levels", "nested"),
        ),
    }


@pytest.fixture(scope="module")
def fitted():
    return fits()


@pytest.mark.parametrize(
    "name", ["one mean", "moderators", "interaction", "correlated", "two outcomes", "four levels"]
)
def test_every_kind_is_that_of_clubsandwich(fitted, name):
    fit, cluster, (data, model) = fitted[name]
    answer = R[data][model]["robust"]
    for kind in ("CR0", "CR1", "CR1p", "CR2"):
        found = fit.robust(cluster=cluster, kind=kind)
        assert found.table()["se"].to_numpy() == pytest.approx(np.atleast_1d(answer[kind]["se"]), rel=CLOSE)
    assert found.vcov == pytest.approx(
        np.atleast_2d(answer["CR2"]["vcov"]), rel=1e-5, abs=CLOSE * found.vcov.max()
    )
    table = found.table()
    for ours, theirs in (("df", "df"), ("t", "t"), ("p", "p")):
        assert table[ours].tolist() == pytest.approx(np.atleast_1d(answer["CR2"][theirs]), rel=1e-6)
    if "HTZ" in answer:
        tested = {"two outcomes": [0, 1], "four levels": [0, 1]}.get(name, list(range(1, len(table))))
        joint = found.f_test(np.eye(len(table))[tested])
        assert joint.f == pytest.approx(answer["HTZ"]["f"], rel=1e-6)
        assert joint.den_df == pytest.approx(answer["HTZ"]["den_df"], rel=1e-6)
        assert joint.p == pytest.approx(answer["HTZ"]["p"], rel=1e-6)


def test_two_outcomes_of_the_same_patients():
    data = pd.DataFrame(R["periodontal"]["data"])
    V = covariance_of_columns(data, cluster="trial", columns=["v1i", "v2i"])
    found = multilevel(data, effect="yi", V=V, random="~ outcome | trial", moderators="outcome - 1").robust()
    answer = R["periodontal"]["fits"]["UN REML"]["robust"]
    assert found.cluster == "trial"
    assert found.table()["se"].tolist() == pytest.approx(answer["CR2"]["se"], rel=1e-6)
    assert found.ddf.tolist() == pytest.approx(answer["CR2"]["df"], rel=1e-6)
    assert found.moderators().den_df == pytest.approx(answer["HTZ"]["den_df"], rel=1e-6)


def test_univariate_fits():
    data = pd.DataFrame(R["delinquency"]["data"])
    answer = R["delinquency"]["univariate"]
    fit = meta(data, effect="yi", variance="vi", moderators="year + pubstatus", method="dl")
    for kind in ("CR0", "CR1", "CR1p", "CR2"):
        found = robust_meta(fit, cluster="study", kind=kind)
        assert found.table()["se"].tolist() == pytest.approx(answer["robust"][kind]["se"], rel=1e-9)
    assert found.ddf.tolist() == pytest.approx(answer["robust"]["CR2"]["df"], rel=1e-9)
    assert found.moderators().p == pytest.approx(answer["robust"]["HTZ"]["p"], rel=1e-9)
    by_labels = robust_meta(fit, cluster=data["study"].tolist())
    assert by_labels.vcov == pytest.approx(found.vcov)
    with pytest.raises(FormulaError, match="no column 'lab'"):
        robust_meta(fit, cluster="lab")
    with pytest.raises(FitError, match="listed"):
        robust_meta(meta(data.head(2), effect="yi", variance="vi"), cluster="study")
    own = meta(data, effect="yi", variance="vi", weights="esid")
    with pytest.raises(FitError, match="without weights"):
        robust_meta(own, cluster="study")


def brute_force(fit, codes):
    """Return the CR2 map of effects to adjusted scores, from dense matrices."""
    frame, theta = fit.model.frame, fit.optimum.theta
    M = frame.known.toarray()
    for place, part in enumerate(frame.parts):
        inner = np.zeros(fit.k, dtype=int) if part.inner_codes is None else part.inner_codes
        M += (part.codes[:, None] == part.codes) * fit.model.covariance_of(place, theta)[
            inner[:, None], inner
        ]
    X = frame.design.matrix
    W = np.linalg.inv(M)
    C = np.linalg.inv(X.T @ W @ X)
    H = X @ C @ X.T @ W
    maps = []
    for code in range(codes.max() + 1):
        mine = codes == code
        D = np.linalg.cholesky(M[np.ix_(mine, mine)]).T
        left = (np.eye(fit.k) - H)[mine]
        values, vectors = np.linalg.eigh(D @ left @ M @ left.T @ D.T)
        A = D.T @ (vectors / np.sqrt(values)) @ vectors.T @ D
        maps.append(C @ X[mine].T @ W[np.ix_(mine, mine)] @ A @ left)
    return maps, M, C


def test_cr2_by_brute_force_is_unbiased_with_these_degrees_of_freedom(fitted):
    fit = fitted["four levels"][0]
    codes = fit.model.frame.parts[0].codes
    maps, M, C = brute_force(fit, codes)
    y = fit.model.frame.effect
    found = fit.robust(cluster="lab")
    assert found.vcov == pytest.approx(sum(np.outer(each @ y, each @ y) for each in maps), rel=1e-8)
    assert sum(each @ M @ each.T for each in maps) == pytest.approx(C, rel=1e-8)
    for row in np.eye(2):
        Omega = np.array([[row @ one @ M @ other.T @ row for other in maps] for one in maps])
        df = np.trace(Omega) ** 2 / np.sum(Omega**2)
        assert found.t_test(row).df == pytest.approx(df, rel=1e-8)
    half = np.linalg.inv(np.linalg.cholesky(C))
    total = 0.0
    for s in range(2):
        for t in range(2):
            across = {
                (a, b): np.array([[half[a] @ one @ M @ other.T @ half[b] for other in maps] for one in maps])
                for a in (s, t)
                for b in (s, t)
            }
            total += np.sum(across[s, s] * across[t, t]) + np.sum(across[s, t] * across[s, t].T)
    eta = 2 * 3 / total
    assert found.f_test(np.eye(2)).den_df == pytest.approx(eta - 1, rel=1e-8)


def test_a_coefficient_of_one_cluster_has_no_test():
    data = pd.DataFrame(R["delinquency"]["data"])
    first = data["study"] == data["study"].iloc[0]
    fit = multilevel(
        data.assign(first=first.astype(float)),
        effect="yi",
        variance="vi",
        random="~ 1 | study/esid",
        moderators="first",
    )
    found = fit.robust(cluster="study")
    table = found.table()
    assert np.isfinite(table["p"][0])
    assert table[["se", "df", "p"]].iloc[1].isna().all()
    assert any("without study 1" in note for note in found.notes())
    assert "without study 1" in found.f_test(np.array([[0.0, 1.0]])).reason
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["n_clusters"] == 17


def test_clusters_that_are_not_independent_are_refused(fitted):
    fit = fitted["four levels"][0]
    with pytest.raises(FitError, match="coarser cluster"):
        fit.robust(cluster="lab/study")
    with pytest.raises(ValueError, match="no random group"):
        fit.robust(cluster="drug")
    with pytest.raises(ValueError, match="3 cluster labels"):
        fit.robust(cluster=["a", "b", "c"])
    with pytest.raises(ValueError, match="CR9"):
        fit.robust(kind="CR9")
    assert fit.robust().cluster == "lab"


def test_correlated_effects_are_those_of_robumeta(shared):
    folder = shared / "data" / "meta_pymare" / "tests" / "data"
    data = pd.read_csv(folder / "robumeta_correlated_effects.csv")
    cases = json.loads((folder / "robumeta_reference.json").read_text())["cases"]
    moderators = {"intercept": None, "within": "within", "both": "within + between"}
    for case in cases:
        found = correlated_effects(
            data,
            effect="effect",
            variance=case["variances"],
            study="study",
            rho=case["rho"],
            sensitivity=(),
            moderators=moderators[case["model"]],
        )
        assert found.tau2 == pytest.approx(case["tau2"], rel=1e-9)
        table = found.table()
        assert table["estimate"].tolist() == pytest.approx(case["beta"], rel=1e-9)
        assert table["se"].tolist() == pytest.approx(case["se"], rel=1e-9)
        assert table["df"].tolist() == pytest.approx(case["dof"], rel=1e-9)
    assert len(cases) == 24


def test_sensitivity_to_rho_is_reported(shared):
    folder = shared / "data" / "meta_pymare" / "tests" / "data"
    data = pd.read_csv(folder / "robumeta_correlated_effects.csv")
    asked = {"effect": "effect", "variance": "var_within_study", "study": "study"}
    found = correlated_effects(data, **asked)
    assert found.sensitivity["rho"].tolist() == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert found.sensitivity["(Intercept) se"].notna().all()
    assert "tau^2" in found.summary()
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["rho"] == 0.8
    with pytest.raises(ValueError, match="rho"):
        correlated_effects(data, **asked, rho=1.2)
