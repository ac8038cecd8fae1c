"""`fit_binomial` against lme4 (tests/reference/glmm.R), and what a user relies on."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.glmm.fit import fit_binomial
from nwbswitch.schemas.errors import FitError, FormulaError

REFERENCE = json.loads((Path(__file__).resolve().parents[1] / "reference" / "glmm.json").read_text())
MODELS = REFERENCE["models"]
FORMULA = "cbind(yes, n - yes) ~ drug + (1 | animal) + (1 | session)"


def named(name: str) -> pd.DataFrame:
    return pd.DataFrame(REFERENCE["sets"][name])


def counts(model) -> tuple[np.ndarray, np.ndarray]:
    data = named(model["data"])
    if "n" in data:
        return data["yes"].to_numpy(), data["n"].to_numpy()
    if "size" in data:
        return data["incidence"].to_numpy(), data["size"].to_numpy()
    return data["silenced"].to_numpy(), np.ones(len(data))


@pytest.mark.parametrize("model", MODELS, ids=[f"{m['data']}-{i}" for i, m in enumerate(MODELS)])
def test_fits_are_those_of_lme4(model):
    nodes = model["nodes"]
    method = "laplace" if nodes == 1 else "agq"
    found = fit_binomial(named(model["data"]), model["formula"], method=method, n_quadrature=nodes)
    expected = model["log_likelihood"]
    if nodes > 1:  # with quadrature lme4 leaves out the saturated model's log-likelihood
        yes, n = counts(model)
        expected += float(binom.logpmf(yes, n, yes / n).sum())
    assert found.info["converged"]
    assert found.info["singular"] == model["singular"]
    # lme4 stops its inner steps with about 1e-8 left; ours must not be worse.
    assert found.log_likelihood >= expected - 1e-9
    assert found.log_likelihood == pytest.approx(expected, rel=1e-9)
    assert list(found.model.names) == list(model["beta"])
    for each, expected_se in zip(found.fixed, np.sqrt(np.diagonal(model["vcov"])), strict=True):
        assert each.estimate == pytest.approx(model["beta"][each.term], abs=1e-6 * each.se)
        # lme4 differentiates its deviance twice, numerically.
        assert each.se == pytest.approx(expected_se, rel=1e-5)
    sds = [row["sdcor"] for row in model["varcorr"] if row.get("var2") is None]
    np.testing.assert_allclose([each.sd for each in found.components], sds, atol=1e-6)
    for row in model["varcorr"]:
        if row.get("var2") is not None:
            ours = next(c for c in found.correlations if c.group == row["grp"])
            assert ours.correlation == pytest.approx(row["sdcor"], abs=1e-5)


def test_modes_of_random_effects_are_lme4s():
    model = MODELS[2]
    found = fit_binomial(named("between"), model["formula"]).effects()
    for group, modes in model["modes"].items():
        ours = found[found["group"] == group]
        # R sorts labels by its locale
        np.testing.assert_allclose(np.sort(ours["estimate"]), np.sort(np.ravel(modes)), atol=1e-6)


def same_fit(one, other):
    np.testing.assert_allclose([c.estimate for c in one.fixed], [c.estimate for c in other.fixed], atol=1e-8)
    np.testing.assert_allclose(one.vcov, other.vcov, rtol=1e-6)
    np.testing.assert_allclose([c.sd for c in one.components], [c.sd for c in other.components], atol=1e-8)


def test_neurons_counts_and_proportions_give_the_same_fit():
    sessions = named("between")
    by_counts = fit_binomial(sessions, FORMULA)
    by_share = fit_binomial(
        sessions.assign(share=sessions["yes"] / sessions["n"]),
        FORMULA.replace("cbind(yes, n - yes)", "share"),
        trials="n",
    )
    by_ratio = fit_binomial(sessions, FORMULA.replace("cbind(yes, n - yes)", "yes / n"), trials="n")
    neurons = sessions.loc[sessions.index.repeat(sessions["n"])].reset_index(drop=True)
    neurons["silenced"] = np.concatenate(
        [np.arange(n) < yes for yes, n in zip(sessions["yes"], sessions["n"], strict=True)]
    )
    shuffled = neurons.sample(frac=1.0, random_state=0)
    shuffled["word"] = pd.Categorical(np.where(shuffled["silenced"], "z", "a"))
    shuffled["number"] = shuffled["silenced"].astype(float)
    by_rows = fit_binomial(shuffled, FORMULA.replace("cbind(yes, n - yes)", "silenced"))
    for other in (by_share, by_ratio, by_rows):
        same_fit(by_counts, other)
    same_fit(by_rows, fit_binomial(shuffled, FORMULA.replace("cbind(yes, n - yes)", "word")))
    same_fit(by_rows, fit_binomial(shuffled, FORMULA.replace("cbind(yes, n - yes)", "number")))
    assert by_counts.criterion == pytest.approx(by_share.criterion, rel=1e-12)
    assert by_rows.n == len(neurons)
    assert by_rows.info["n_summed_rows"] == by_counts.info["n_summed_rows"] == len(sessions)
    # Rows that say yes or no each have no binomial coefficient.
    constant = binom.logpmf(sessions["yes"], sessions["n"], 0.5).sum() - np.log(0.5) * sessions["n"].sum()
    assert by_rows.log_likelihood == pytest.approx(by_counts.log_likelihood - constant, rel=1e-10)


def test_scale_of_covariates_and_order_of_rows_change_nothing():
    data = named("labs")
    formula = "cbind(yes, n - yes) ~ x + (1 | lab/animal/session)"
    found = fit_binomial(data, formula)
    moved = data.assign(x=data["x"] * 1e6 + 3e6).sample(frac=1.0, random_state=1)
    other = fit_binomial(moved, formula)
    assert other.criterion == pytest.approx(found.criterion, rel=1e-10)
    assert other.fixed[1].estimate * 1e6 == pytest.approx(found.fixed[1].estimate, rel=1e-7)
    assert other.fixed[1].t == pytest.approx(found.fixed[1].t, rel=1e-6)


def test_the_coding_of_factors_changes_coefficients_only():
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    fits = [fit_binomial(named("cbpp"), formula, contrasts=each) for each in ("treatment", "sum")]
    fits.append(fit_binomial(named("cbpp"), formula.replace("~ ", "~ 0 + ")))
    assert max(each.criterion for each in fits) - min(each.criterion for each in fits) < 1e-11
    f = [each.anova().table()["f"].item() for each in fits[:2]]
    assert f[0] == pytest.approx(f[1], rel=1e-7)


def test_t_has_clusters_minus_arms_degrees_of_freedom():
    found = fit_binomial(named("between"), FORMULA)
    assert [each.df for each in found.fixed] == [10.0, 10.0]
    z = fit_binomial(named("between"), FORMULA, ddf="none")
    assert z.fixed[1].t == found.fixed[1].t
    assert np.isinf(z.fixed[1].df)
    assert z.fixed[1].p < found.fixed[1].p
    test = found.inference.f_test(np.array([[0.0, 1.0]]))
    assert test.f == pytest.approx(found.fixed[1].t ** 2)
    assert test.p == pytest.approx(found.fixed[1].p)


def test_results_say_the_same_in_every_form():
    found = fit_binomial(named("between"), FORMULA, where="n > 12")
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert set(plain["fixed"][0]) == {"term", "estimate", "se", "df", "t", "p", "ci_low", "ci_high"}
    assert set(plain["random"][0]) == {"group", "term", "sd", "variance"}
    assert plain["criterion"] == found.criterion == -2.0 * found.log_likelihood
    assert plain["info"]["n_excluded"] == int((named("between")["n"] <= 12).sum())
    ratios = found.odds_ratios()
    np.testing.assert_allclose(ratios["odds_ratio"], np.exp(found.table()["estimate"]))
    np.testing.assert_allclose(ratios["ci_high"], np.exp(found.table()["ci_high"]))
    assert found.aic == found.criterion + 2 * 4
    text = found.summary()
    for part in ("Laplace", "drugsaline", "session", "clusters: animal", "Converged"):
        assert part in text
    wide = found.table(level=0.99)
    assert (wide["ci_high"] > found.table()["ci_high"]).all()


def test_means_contrasts_and_tests_of_terms_are_those_of_the_coefficients():
    formula = "cbind(yes, n - yes) ~ arm * epoch + (1 + epoch | animal) + (1 | session)"
    found = fit_binomial(named("crossover"), formula)
    beta = dict(zip(found.model.names, found.inference.estimates, strict=True))
    change = beta["epochdrug"] + beta["armsaline:epochdrug"]
    tested = found.contrasts("epoch", by="arm", method="revpairwise").table().set_index("arm")
    assert tested.loc["saline", "estimate"] == pytest.approx(change)
    assert tested.loc["ketamine", "estimate"] == pytest.approx(beta["epochdrug"])
    assert tested.loc["ketamine", "df"] == 9.0
    means = found.marginal_means("epoch", by="arm").table()
    first = means[(means["epoch"] == "base") & (means["arm"] == "ketamine")]
    assert first["emmean"].item() == pytest.approx(beta["(Intercept)"])
    terms = found.anova().table().set_index("term")
    assert terms.loc["arm:epoch", "f"] == pytest.approx(found.fixed[3].t ** 2)
    assert terms.loc["arm:epoch", "p"] == pytest.approx(found.fixed[3].p)


def test_missing_slopes_are_named():
    found = fit_binomial(
        named("crossover"), "cbind(yes, n - yes) ~ arm * epoch + (1 | animal) + (1 | session)"
    )
    assert any("random slope" in each for each in found.info["warnings"])
    assert "Warning" in found.summary()


def test_missing_values_are_counted():
    data = named("between")
    data.loc[[0, 5], "n"] = np.nan
    data.loc[7, "drug"] = None
    found = fit_binomial(data, FORMULA)
    assert found.info["n_missing"] == 3
    assert found.n == len(data) - 3


def test_so_few_clusters_that_nothing_is_left_is_said():
    data = named("between")
    few = data[data["animal"].isin(["a1", "a12"])]
    found = fit_binomial(few, "cbind(yes, n - yes) ~ drug + (1 | session)", where="n > 0")
    assert np.isfinite(found.fixed[1].p)  # sessions are the outermost groups of this formula
    crossed = fit_binomial(
        data, "cbind(yes, n - yes) ~ drug + n + (1 | animal)", where="animal in ['a1','a2','a12']"
    )
    assert [each.df for each in crossed.fixed] == [1.0, 1.0, 2.0]
    lone = fit_binomial(few, "cbind(yes, n - yes) ~ drug + n + (1 | animal)")
    assert lone.fixed[2].df == 1.0
    assert np.isnan(lone.fixed[1].df)
    assert np.isnan(lone.fixed[1].p)
    assert any("No degree of freedom" in each for each in lone.info["warnings"])
    assert lone.as_dict()["fixed"][1]["p"] is None


def spoilt(**columns) -> pd.DataFrame:
    return named("between").assign(**columns)


@pytest.mark.parametrize(
    ("data", "formula", "error", "words"),
    [
        (spoilt(yes=0), FORMULA, FitError, "Every outcome is no"),
        (spoilt(yes=lambda d: d["n"]), FORMULA, FitError, "Every outcome is yes"),
        (spoilt(animal="a1"), FORMULA, FitError, "one level"),
        (spoilt(yes=lambda d: d["yes"] + 0.5), FORMULA, FitError, "not a count in 24 rows: first"),
        (spoilt(yes=-1), FORMULA, FitError, "not a count"),
        (spoilt(yes=lambda d: d["n"] + 1), FORMULA, FitError, "fewer trials than yes"),
        (spoilt(yes=np.nan), FORMULA, FitError, "every row misses"),
        (spoilt(yes=np.inf), FORMULA, FitError, "infinite"),
        (spoilt(yes="x"), FORMULA.replace("n - yes", "n"), FormulaError, "not a number"),
        (spoilt(), "n ~ drug + (1 | animal)", FitError, "yes/no outcomes are 0 or 1"),
        (spoilt(), "drug ~ n + (1 | session)", FitError, "one outcome per level"),
        (spoilt(), "animal ~ n + (1 | session)", FormulaError, "12 values"),
        (spoilt(), "cbind(yes) ~ drug + (1 | animal)", FormulaError, "two counts"),
        (spoilt(), "cbind(yes, n - yes) ~ drug", FormulaError, "no random term"),
        (spoilt(), "cbind(yes, nn) ~ drug + (1 | animal)", FormulaError, "nn"),
        (spoilt(zero=0.0), "cbind(yes, n - yes) ~ drug + (0 + zero | animal)", FitError, "zero"),
        (
            spoilt(copy=lambda d: 2 * d["n"]),
            "cbind(yes, n - yes) ~ n + copy + (1 | animal)",
            FitError,
            "copy",
        ),
        (spoilt(yes=0, n=0), FORMULA, FitError, "not one trial"),
    ],
)
def test_what_cannot_be_fitted_is_named(data, formula, error, words):
    with pytest.raises(error, match=words.replace("(", r"\(")):
        fit_binomial(data, formula)


def test_trials_and_proportions_must_agree():
    data = spoilt(share=lambda d: d["yes"] / d["n"])
    with pytest.raises(FitError, match="not a whole number of 'n'"):
        fit_binomial(data.assign(share=data["share"] + 0.001), "share ~ drug + (1 | animal)", trials="n")
    with pytest.raises(FitError, match="proportion of yes"):
        fit_binomial(data, "yes ~ drug + (1 | animal)", trials="n")
    with pytest.raises(FormulaError, match="Both cbind"):
        fit_binomial(data, FORMULA, trials="n")
    with pytest.raises(FormulaError, match="cbind"):
        read_formula(FORMULA)


def test_wrong_choices_are_refused():
    data = named("between")
    with pytest.raises(ValueError, match="laplace, agq"):
        fit_binomial(data, FORMULA, method="mcmc")
    with pytest.raises(ValueError, match="clusters, none"):
        fit_binomial(data, FORMULA, ddf="kenward-roger")
    with pytest.raises(ValueError, match="1 to 100"):
        fit_binomial(data, FORMULA, n_quadrature=0)
    with pytest.raises(FitError, match="one grouping factor"):
        fit_binomial(data, FORMULA, method="agq")
    with pytest.raises(TypeError, match="must be a table"):
        fit_binomial(data.to_dict(), FORMULA)


def test_groups_of_one_outcome_each_have_no_variance():
    data = spoilt(yes=lambda d: np.where(d.index % 3 == 0, d["n"], 0))
    with pytest.raises(FitError, match="only yes or only no in every level"):
        fit_binomial(data, "cbind(yes, n - yes) ~ n + (1 | session)")


def test_some_animals_may_be_all_yes_or_all_no():
    data = spoilt(yes=lambda d: d["yes"].where(~d["animal"].isin(["a1", "a7"]), 0))
    found = fit_binomial(data, FORMULA)
    assert found.info["converged"]
    assert found.fixed[1].se < 2.0


def test_crossed_groups_have_a_limit():
    rng = np.random.default_rng(0)
    n = 12000
    data = pd.DataFrame(
        {"a": rng.integers(0, 5000, n), "b": rng.integers(0, 5000, n), "y": rng.integers(0, 2, n)}
    )
    with pytest.raises(FitError, match="crossed and have"):
        fit_binomial(data, "y ~ 1 + (1 | a) + (1 | b)")


def test_tables_of_any_kind_and_paths_give_the_same(tmp_path):
    import pyarrow as pa

    data = named("between")
    found = fit_binomial(data, FORMULA)
    data.to_csv(tmp_path / "sessions.csv", index=False)
    assert fit_binomial(tmp_path / "sessions.csv", FORMULA).criterion == found.criterion
    assert fit_binomial(pa.Table.from_pandas(data), FORMULA).criterion == found.criterion


def test_the_table_is_not_changed():
    data = named("between")
    before = data.copy(deep=True)
    fit_binomial(data, FORMULA)
    pd.testing.assert_frame_equal(data, before)
