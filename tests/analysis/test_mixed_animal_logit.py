"""Empirical logits of animals against scipy's t and permutation tests."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nwbswitch.analysis.glmm.animal_logit import animal_logit_test
from nwbswitch.schemas.errors import FitError, FormulaError

FORMULA = "cbind(yes, n - yes) ~ arm"


def sessions(seed: int = 0, *, crossover: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"animal": np.repeat(np.arange(10), 4), "n": rng.integers(20, 60, 40)})
    by_session = np.tile([0, 1], 20) == 1
    data["arm"] = np.where(by_session if crossover else data["animal"] >= 5, "saline", "ketamine")
    data["yes"] = rng.binomial(data["n"], 0.3 + 0.2 * (data["arm"] == "saline"))
    return data


def logits(data: pd.DataFrame, arm: str) -> np.ndarray:
    sums = data[data["arm"] == arm].groupby("animal")[["yes", "n"]].sum()
    return np.log((sums["yes"] + 0.5) / (sums["n"] - sums["yes"] + 0.5)).to_numpy()


def test_between_animals_it_is_students_t_and_the_exact_permutation():
    data = sessions()
    found = animal_logit_test(data, FORMULA, animal="animal")
    one, two = logits(data, "ketamine"), logits(data, "saline")
    expected = stats.ttest_ind(two, one)
    assert found.arms == ("ketamine", "saline")
    assert not found.paired
    assert found.estimate == pytest.approx(two.mean() - one.mean())
    assert found.t == pytest.approx(expected.statistic)
    assert found.p == found.p_t == pytest.approx(expected.pvalue)
    assert found.df == 8.0
    exact = stats.permutation_test((two, one), lambda x, y: x.mean() - y.mean())
    assert found.p_permutation == pytest.approx(exact.pvalue)
    low, high = expected.confidence_interval()
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high))
    assert found.odds_ratio() == pytest.approx(tuple(np.exp([found.estimate, low, high])))


def test_within_animals_it_is_paired():
    data = sessions(crossover=True)
    found = animal_logit_test(data, FORMULA, animal="animal", method="permutation")
    one, two = logits(data, "ketamine"), logits(data, "saline")
    expected = stats.ttest_rel(two, one)
    assert found.paired
    assert found.t == pytest.approx(expected.statistic)
    assert found.p_t == pytest.approx(expected.pvalue)
    exact = stats.permutation_test((two - one,), np.mean, permutation_type="samples", n_resamples=2000)
    assert found.p == found.p_permutation == pytest.approx(exact.pvalue)


def test_animals_of_one_arm_are_left_out_of_pairs_and_counted():
    data = sessions(crossover=True)
    data = data[(data["animal"] != 3) | (data["arm"] == "saline")]
    found = animal_logit_test(data, FORMULA, animal="animal")
    assert found.df == 8.0
    assert found.n_unpaired == 1
    assert "left out" in found.summary()


def test_neurons_and_sessions_give_the_same_and_pure_animals_are_fine():
    data = sessions()
    data.loc[data["animal"] == 0, "yes"] = 0
    found = animal_logit_test(data, FORMULA, animal="animal")
    neurons = data.loc[data.index.repeat(data["n"])].reset_index(drop=True)
    neurons["silenced"] = np.concatenate(
        [np.arange(n) < yes for yes, n in zip(data["yes"], data["n"], strict=True)]
    )
    same = animal_logit_test(neurons, "silenced ~ arm", animal="animal")
    assert same.t == found.t
    share = data.assign(share=data["yes"] / data["n"])
    assert animal_logit_test(share, "share ~ arm", animal="animal", trials="n").t == found.t
    assert np.isfinite(found.t)
    assert (found.by_animal()["yes"] == 0).sum() == 1


def test_too_few_animals_for_a_permutation_have_none():
    data = sessions()
    found = animal_logit_test(data, FORMULA, animal="animal", where="animal in [0, 1, 8, 9]")
    assert np.isnan(found.p_permutation)
    assert np.isfinite(found.p)
    assert "too few animals" in found.summary()
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain["p_permutation"] is None
    assert len(plain["animals"]) == 4
    assert list(found.table()["term"]) == ["saline - ketamine"]


def test_what_cannot_be_compared_is_named():
    data = sessions()
    with pytest.raises(FitError, match="1 of animals in 'saline'"):
        animal_logit_test(data, FORMULA, animal="animal", where="animal < 6")
    with pytest.raises(FitError, match="two arms are compared"):
        animal_logit_test(data, "cbind(yes, n - yes) ~ n", animal="animal")
    with pytest.raises(FormulaError, match="one factor"):
        animal_logit_test(data, "cbind(yes, n - yes) ~ arm + n", animal="animal")
    with pytest.raises(FitError, match="same logit"):
        animal_logit_test(data.assign(yes=1, n=4), FORMULA, animal="animal")
    with pytest.raises(ValueError, match="t, permutation"):
        animal_logit_test(data, FORMULA, animal="animal", method="welch")
    with pytest.raises(FormulaError, match="rat"):
        animal_logit_test(data, FORMULA, animal="rat")
