"""Every number of the shared reference values for the univariate meta-analysis, and PyMARE's own data.

1e-9 relative throughout, but for trim and fill after REML, where metafor refits with its default threshold.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.meta_analysis.effect_sizes import effect_sizes
from nwbswitch.analysis.meta_analysis.influence import influence
from nwbswitch.analysis.meta_analysis.leave_one_out import leave_one_out
from nwbswitch.analysis.meta_analysis.meta import meta
from nwbswitch.analysis.meta_analysis.multilevel import multilevel
from nwbswitch.analysis.meta_analysis.small_study import egger_test, rank_test
from nwbswitch.analysis.meta_analysis.trim_and_fill import trim_and_fill

METHODS = ("DL", "HE", "HS", "SJ", "ML", "REML", "EB", "PM")
FITS = [f"{name} {test}" for name in METHODS for test in ("z", "knha")] + ["EE z"]
FIELDS = {
    "tau2": "tau2", "tau2_se": "se.tau2", "i2": "I2", "h2": "H2", "q": "QE", "q_p": "QEp", "qm": "QM",
    "qm_p": "QMp", "r2": "R2",
}  # fmt: skip
COLUMNS = {"estimate": "b", "se": "se", "t": "stat", "p": "p", "ci_low": "ci.lb", "ci_high": "ci.ub"}


@pytest.fixture(scope="module")
def bcg(shared: Path) -> dict:
    return json.loads((shared / "reference" / "r_values.json").read_text())["meta"]["bcg"]


@pytest.fixture
def trials(bcg) -> pd.DataFrame:
    table = pd.DataFrame({"yi": bcg["yi"], "vi": bcg["vi"], "slab": bcg["slab"]})
    table[["ablat", "year"]] = bcg["metareg"]["mods"]
    return table


def _fit(trials, **more):
    return meta(trials, effect="yi", variance="vi", slab="slab", **more)


def _check(found, answer, rel):
    table = found.table()
    for ours, theirs in COLUMNS.items():
        assert table[ours].tolist() == pytest.approx(np.atleast_1d(answer[theirs]), rel=rel)
    for ours, theirs in FIELDS.items():
        expected = answer.get(theirs)
        value = getattr(found, ours)
        if expected is None or expected == {}:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(expected, rel=rel)
    statistics = found.fit_statistics().set_index("criterion")
    assert statistics.loc["reml"].tolist() == pytest.approx(answer["ll"], rel=rel)
    assert statistics.loc["ml"].tolist() == pytest.approx(answer["llml"], rel=rel)
    assert np.allclose(found.vcov, answer["vb"], rtol=rel, atol=0)
    if answer.get("ddf") is not None:
        assert set(table["df"]) == {answer["ddf"]}


def test_no_fit_is_forgotten(bcg):
    assert set(bcg["fits"]) == set(FITS)
    data = {"source", "yi", "vi", "slab"}
    tools = {"leave1out", "influence", "egger_rma", "egger_lm", "ranktest", "trimfill"}
    assert set(bcg) == data | tools | {"fits", "tau2_qprofile", "tau2_qprofile_PM", "metareg", "metareg_knha"}


@pytest.mark.parametrize("name", FITS)
def test_fit(bcg, trials, name):
    method, test = name.lower().split()
    found = _fit(trials, method=method, test=test)
    answer = bcg["fits"][name]
    _check(found, answer, rel=1e-9)
    if method == "ee":
        assert found.prediction is None
    else:
        expected = answer["pred"]["pi.lb"], answer["pred"]["pi.ub"]
        assert found.prediction == pytest.approx(expected, rel=1e-9)
    if method in ("pm", "eb"):
        assert found.tau2 == pytest.approx(0.3180685, abs=5e-8)


@pytest.mark.parametrize(("name", "method"), [("tau2_qprofile", "reml"), ("tau2_qprofile_PM", "pm")])
def test_q_profile_of_every_measure_of_heterogeneity(bcg, trials, name, method):
    answer = bcg[name]["ci"] if isinstance(bcg[name], dict) else bcg[name]
    found = _fit(trials, method=method).heterogeneity()
    assert found["quantity"].tolist() == ["tau2", "tau", "i2", "h2"]
    assert np.allclose(found[["estimate", "ci_low", "ci_high"]], answer, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", ["metareg", "metareg_knha"])
def test_meta_regression(bcg, trials, name):
    found = _fit(trials, moderators="ablat + year", test="knha" if "knha" in name else "z")
    _check(found, bcg[name], rel=1e-9)


def test_leave_one_out(bcg, trials):
    found = leave_one_out(_fit(trials, test="z")).table()
    for ours, theirs in {"estimate": "estimate", "se": "se", "tau2": "tau2", "q": "QE"}.items():
        assert found[ours].tolist() == pytest.approx(bcg["leave1out"][theirs], rel=1e-9)
    assert found["label"].tolist() == bcg["slab"]


def test_influence(bcg, trials):
    found = influence(_fit(trials, test="z")).table()
    names = {
        "rstudent": "rstudent", "dffits": "dffits", "cook_d": "cook.d", "cov_r": "cov.r",
        "tau2_del": "tau2.del", "q_del": "QE.del", "hat": "hat", "weight": "weight",
    }  # fmt: skip
    for ours, theirs in names.items():
        assert found[ours].tolist() == pytest.approx(bcg["influence"][theirs], rel=1e-9), ours


def test_small_study_tools(bcg, trials):
    fit = _fit(trials, test="z")
    mixed, classical, rank = egger_test(fit), egger_test(fit, model="lm"), rank_test(fit)
    assert (mixed.statistic, mixed.p) == pytest.approx(
        (bcg["egger_rma"]["z"], bcg["egger_rma"]["p"]), rel=1e-9
    )
    assert mixed.limit == pytest.approx(bcg["egger_rma"]["est_limit"], rel=1e-9)
    answer = bcg["egger_lm"]
    assert (classical.statistic, classical.df, classical.p, classical.limit) == pytest.approx(
        (answer["t"], answer["df"], answer["p"], answer["limit"]), rel=1e-9
    )
    assert (rank.tau, rank.p) == pytest.approx((bcg["ranktest"]["tau"], bcg["ranktest"]["p"]), rel=1e-9)
    filled = trim_and_fill(fit)
    assert (filled.k0, filled.side) == (bcg["trimfill"]["k0"], bcg["trimfill"]["side"])
    # metafor's trimfill refits REML with its default threshold of 1e-5, whatever the model it is given had.
    one = filled.fit.coefficients[0]
    assert (one.estimate, one.se) == pytest.approx((bcg["trimfill"]["b"], bcg["trimfill"]["se"]), rel=1e-6)


@pytest.fixture(scope="module")
def pymare(shared: Path) -> Path:
    return shared / "data" / "meta_pymare"


def test_tests_and_intervals_of_small_samples(pymare):
    folder = pymare / "tests" / "data"
    designs = pd.read_csv(folder / "metafor_small_sample.csv")
    cases = json.loads((folder / "metafor_reference.json").read_text())["cases"]
    models = {"intercept": None, "one": "mod1", "two": "mod1 + mod2"}
    for case in cases:
        method = "ee" if case["method"] == "FE" else case["method"].lower()
        if (case["design"], case["model"], method) == ("extreme_k10", "one", "ml"):
            continue  # two maxima; metafor stops at the lower one (tests/reference/README.md)
        own = designs[designs["case"] == case["design"]]
        found = meta(
            own, effect="y", variance="v", method=method, test=case["test"], moderators=models[case["model"]]
        ).table()
        # metafor's own threshold for REML and ML is 1e-5; P and limits of the closed forms are exact.
        rel = 2e-3 if method in ("reml", "ml") else 1e-8
        assert found["p"].tolist() == pytest.approx(case["pval"], rel=rel)
        assert found["ci_low"].tolist() == pytest.approx(case["ci_lb"], rel=rel, abs=rel)
        assert found["ci_high"].tolist() == pytest.approx(case["ci_ub"], rel=rel, abs=rel)
        expected = np.inf if case["dof"] is None else case["dof"]
        assert set(found["df"]) == {expected}


def test_brain_images_from_means_to_the_pooled_effect(pymare):
    table = pd.read_csv(pymare / "resources" / "datasets" / "michael2013.tsv", sep="\t")
    columns = {
        "m1i": "Brain_m", "sd1i": "Brain_s", "n1i": "Brain_n",
        "m2i": "No_brain_m", "sd2i": "No_brain_s", "n2i": "No_brain_n",
    }  # fmt: skip
    sizes = effect_sizes(table, measure="MD", columns=columns, slab="Study")
    assert sizes.effects["yi"].tolist() == pytest.approx(table["yi"].tolist(), abs=1e-12)
    # The file's variances are those of equal variances in the two groups.
    pooled = effect_sizes(table, measure="MD", columns=columns, vtype="HO").effects
    given = table["vi"].to_numpy()
    assert min(np.max(np.abs(found["vi"] / given - 1.0)) for found in (sizes.effects, pooled)) < 1e-10
    fit = meta(sizes.effects, effect="yi", variance="vi", slab="label", method="dl", test="z")
    # Michael et al. (2013, Psychonomic Bulletin and Review) report a pooled difference of .07 [.00, .14].
    assert fit.coefficients[0].estimate == pytest.approx(0.07, abs=0.005)
    assert (fit.coefficients[0].ci_low, fit.coefficients[0].ci_high) == pytest.approx((0.0, 0.14), abs=0.01)
    assert fit.k == 12


def test_coverage_in_the_designs_of_the_stan_validation(pymare):
    """The designs and the coverage asked for apply to any engine; priors and divergences are Stan's alone."""
    given = json.loads((pymare / "tests" / "data" / "stan_validation.json").read_text())
    repetitions, rng = 5, np.random.default_rng(20260818)
    covered, deviations = [], []
    for cell in given["cells"]:
        config, beta = cell["config"], np.array(cell["true_beta"])
        n_groups, spread = int(config["n_groups"]), float(config["sigma_scale"])
        for _ in range(repetitions):
            sizes = rng.integers(1, 6, n_groups)
            if config["group_size"] != "unequal":
                sizes = np.full(n_groups, int(config["group_size"]))
            group = np.repeat(np.arange(n_groups), sizes)
            X = rng.normal(size=(len(group), len(beta)))
            X[:, 0] = 1.0
            v = 0.1 * spread**2 * rng.uniform(0.5, 1.5, len(group))
            common = rng.normal(0.0, np.sqrt(float(config["tau2"])), n_groups)[group]
            table = pd.DataFrame(X, columns=[f"x{i}" for i in range(len(beta))])
            table = table.assign(y=X @ beta + common + rng.normal(0.0, np.sqrt(v)), v=v, group=group)
            right = " + ".join(["0", *table.columns[: len(beta)]])
            found = multilevel(
                table, effect="y", variance="v", random="~ 1 | group", moderators=right
            ).table()
            covered += ((found["ci_low"] <= beta) & (beta <= found["ci_high"])).tolist()
            deviations += ((found["estimate"] - beta) / found["se"]).tolist()
    # Three binomial standard errors above; below what the file asks of each design.
    slack = 3.0 * np.sqrt(0.95 * 0.05 / len(covered))
    assert given["thresholds"]["min_coverage"] <= np.mean(covered) <= 0.95 + slack
    assert abs(np.mean(deviations)) < 3.5 / np.sqrt(len(deviations))
