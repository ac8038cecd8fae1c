"""Profile likelihood intervals against metafor, a grid and the definition."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from nwbswitch.analysis.meta_analysis.known_covariance import covariance_of_columns, known_covariance
from nwbswitch.analysis.meta_analysis.meta import meta
from nwbswitch.analysis.meta_analysis.multilevel import multilevel
from nwbswitch.analysis.meta_analysis.multilevel_search import search
from nwbswitch.analysis.meta_analysis.tau2 import Studies, log_likelihood

R = json.loads((Path(__file__).resolve().parents[1] / "reference" / "meta_multilevel.json").read_text())
CUT = float(chi2.ppf(0.95, 1))


@pytest.fixture(scope="module")
def schools():
    data = pd.DataFrame(R["schools"]["data"])
    return multilevel(data, effect="yi", variance="vi", random="~ 1 | district/school")


@pytest.fixture(scope="module")
def two_outcomes():
    data = pd.DataFrame(R["periodontal"]["data"])
    V = covariance_of_columns(data, cluster="trial", columns=["v1i", "v2i"])
    return multilevel(data, effect="yi", V=V, random="~ outcome | trial", moderators="outcome - 1")


def held_at(fit, name, value):
    """Return the rise of -2 log-likelihood with a component held, searched from many starts."""
    component = next(each for each in fit.model.components if each.name == name)
    found = search(fit.model.data, fit.model.held(component, value), fit.model.method)
    return found.criterion - fit.optimum.criterion


def test_intervals_of_three_levels(schools, shared):
    found = schools.confint().set_index(["component", "kind"])
    answer = json.loads((shared / "reference" / "r_values.json").read_text())["meta_mv"][
        "konstantopoulos2011"
    ]
    for name, place in (("district", "1"), ("district/school", "2")):
        for kind, row in (("variance", 0), ("sd", 1)):
            theirs = answer["profile_ci"][place][row]
            ours = found.loc[(name, kind), ["estimate", "ci_low", "ci_high"]].tolist()
            assert ours[0] == pytest.approx(theirs[0], rel=1e-7)
            # metafor stops its root search at 1e-4 of the interval; ours are at the cut, below.
            assert ours[1:] == pytest.approx(theirs[1:], rel=2e-3)


@pytest.mark.parametrize("name", ["district", "district/school"])
def test_limits_cost_what_the_level_allows(schools, name):
    row = schools.confint(components=[name]).iloc[0]
    for limit in (row["ci_low"], row["ci_high"]):
        assert held_at(schools, name, limit) == pytest.approx(CUT, abs=1e-6)


def test_intervals_of_variances_and_a_correlation(two_outcomes):
    found = two_outcomes.confint()
    answer = R["periodontal"]["fits"]["UN REML"]["confint"]
    ours = found[found["kind"] != "sd"]
    assert ours["component"].tolist() == ["AL | trial", "PD | trial", "cor(AL, PD) | trial"]
    for (_, row), place in zip(ours.iterrows(), "123", strict=True):
        theirs = np.atleast_2d(answer[place])[0]
        # Our estimates are at the maximum, metafor's within 1e-5 of it; its root search is looser still.
        assert [row["ci_low"], row["ci_high"]] == pytest.approx(theirs[1:], rel=5e-3, abs=2e-5)
        for limit in (row["ci_low"], row["ci_high"]):
            if abs(limit) < 1.0:
                assert held_at(two_outcomes, row["component"], limit) == pytest.approx(CUT, abs=1e-5)
    assert ours["note"].tolist()[2] == "the interval reaches the boundary"


def test_one_variance_on_a_grid(shared):
    folder = shared / "data" / "meta_pymare" / "tests" / "data"
    data = pd.read_csv(folder / "metafor_small_sample.csv")
    data = data[data["case"] == "moderate_k20"].assign(study=range(20))
    fit = multilevel(data, effect="y", variance="v")
    studies = Studies(data["y"].to_numpy(), data["v"].to_numpy(), np.ones((20, 1)))
    best = log_likelihood(studies, fit.components["estimate"][0], restricted=True)
    profile = fit.profile()[0]
    cost = [2 * (best - log_likelihood(studies, each, restricted=True)) for each in (0.0, profile.ci_high)]
    assert cost[0] < CUT
    assert profile.ci_low == 0.0
    assert profile.note == "the interval reaches the boundary"
    assert cost[1] == pytest.approx(CUT, abs=1e-7)
    assert meta(data, effect="y", variance="v").tau2 == pytest.approx(profile.estimate, rel=1e-6)
    assert np.all(np.diff(profile.values) > 0)


def test_a_variance_of_0_has_an_interval_from_0():
    data = pd.DataFrame({"study": range(6), "yi": [0.1, 0.11, 0.09, 0.1, 0.12, 0.08], "vi": 0.05})
    fit = multilevel(data, effect="yi", variance="vi")
    row = fit.confint().iloc[0]
    assert (row["estimate"], row["ci_low"]) == (0.0, 0.0)
    assert row["ci_high"] > 0.0
    assert held_at(fit, "study", row["ci_high"]) == pytest.approx(CUT, abs=1e-6)
    assert fit.info["boundary"] == ["study"]


@pytest.mark.parametrize("struct", ["CS", "DIAG", "ID"])
def test_every_structure_can_be_held(struct):
    data = pd.DataFrame(R["coaching"]["data"])
    V = known_covariance(data, variance="vi", cluster="study", rho=0.66)
    fit = multilevel(
        data, effect="yi", V=V, random="~ outcome | study", struct=struct, moderators="outcome - 1"
    )
    for profile in fit.profile():
        assert profile.ci_low <= profile.estimate <= profile.ci_high
        assert profile.costs.min() > -1e-6
        bound = {"variance": (0.0, np.inf), "correlation": (-1.0, 1.0)}[profile.kind]
        for limit in (profile.ci_low, profile.ci_high):
            if limit not in bound:
                assert held_at(fit, profile.component, limit) == pytest.approx(CUT, abs=1e-5)


def test_three_levels_of_an_inner_factor():
    rng = np.random.default_rng(5)
    root = np.linalg.cholesky(np.array([[1.0, 0.6, 0.2], [0.6, 1.0, -0.2], [0.2, -0.2, 1.0]]))
    rows = [
        (f"s{study}", name, value + rng.normal(0, 0.2))
        for study in range(40)
        for name, value in zip("abc", root @ rng.normal(size=3), strict=True)
    ]
    data = pd.DataFrame(rows, columns=["study", "estimand", "yi"]).assign(vi=0.04)
    fit = multilevel(data, effect="yi", variance="vi", random="~ estimand | study", moderators="estimand - 1")
    correlations = fit.components[fit.components["kind"] == "correlation"]["estimate"].tolist()
    values = data.pivot(index="study", columns="estimand", values="yi")
    observed = np.cov(values.T.to_numpy())
    expected = observed - 0.04 * np.eye(3)
    sd = np.sqrt(np.diagonal(expected))
    # Balanced: REML is the observed covariance less the known one.
    assert correlations == pytest.approx((expected / np.outer(sd, sd))[np.triu_indices(3, 1)], abs=1e-6)
    profile = fit.profile(components=["cor(a, c) | study"])[0]
    assert profile.ci_low < correlations[1] < profile.ci_high
    assert held_at(fit, "cor(a, c) | study", profile.ci_low) == pytest.approx(CUT, abs=1e-5)
    with pytest.raises(ValueError, match="no component"):
        fit.profile(components=["rho"])
