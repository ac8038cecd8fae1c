"""Permutation tests against metafor's permutest, and by hand."""

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.meta_analysis.meta import meta
from nwbswitch.analysis.meta_analysis.permutation import permutation_test
from nwbswitch.schemas.errors import FitError

TOOLS = json.loads((Path(__file__).resolve().parents[1] / "reference" / "meta_tools.json").read_text())
BCG = pd.DataFrame({name: TOOLS["bcg"][name] for name in ("yi", "vi", "ablat", "year")})
FEW = BCG.iloc[np.array(TOOLS["permutest"]["rows"]) - 1]
MODELS = {
    "mean_z": {"method": "dl", "test": "z"},
    "mean_knha": {},
    "ablat_knha": {"moderators": "ablat"},
    "two_dl": {"method": "dl", "test": "z", "moderators": "ablat + year"},
}


def _fit(table, **more):
    return meta(table, effect="yi", variance="vi", **more)


@pytest.mark.parametrize("name", list(MODELS))
def test_exact_tests_are_those_of_permutest(name):
    answer = TOOLS["permutest"][name]
    found = permutation_test(_fit(FEW, **MODELS[name]))
    assert found.exact
    assert found.rows["p"].tolist() == pytest.approx(np.atleast_1d(answer["p"]), rel=1e-12)
    if "mean" in name:
        assert np.isnan(found.qm_p)
        assert found.rows["smallest_p"].tolist() == [2 / 64]
    else:
        assert found.qm_p == pytest.approx(answer["QMp"], rel=1e-12)


def test_a_factor_is_arranged_once_per_distinct_sequence():
    table = BCG.iloc[:6].assign(group=list("aaabbb"))
    found = permutation_test(_fit(table, moderators="group", method="ee", test="z"))
    assert found.n == 20
    observed = abs(_fit(table, moderators="group", method="ee", test="z").coefficients[1].t)
    count = total = 0
    for order in permutations(range(6)):
        moved = table.assign(group=[table["group"].iloc[i] for i in order])
        total += 1
        count += abs(_slope_z(moved)) >= observed - 1e-10
    assert found.rows["p"][1] == pytest.approx(count / total)


def _slope_z(table):
    w, in_b = 1 / table["vi"], table["group"] == "b"
    means = [np.average(table["yi"][part], weights=w[part]) for part in (~in_b, in_b)]
    return (means[1] - means[0]) / np.sqrt(1 / w[in_b].sum() + 1 / w[~in_b].sum())


def test_many_arrangements_are_drawn_with_the_seed():
    fit = _fit(BCG, method="dl")
    found = permutation_test(fit, draws=199, seed=3)
    assert (found.exact, found.n, found.seed) == (False, 200, 3)
    assert found.rows["p"].equals(permutation_test(fit, draws=199, seed=3).rows["p"])
    assert found.rows["p"][0] >= 1 / 200
    assert "199" not in found.summary()
    assert "200 random arrangements (seed 3)" in found.summary()
    json.dumps(found.as_dict(), allow_nan=False)


def test_with_a_true_null_p_is_uniform():
    rng = np.random.default_rng(0)
    p = []
    for _ in range(100):
        v = rng.uniform(0.05, 0.4, 6)
        table = pd.DataFrame({"yi": rng.normal(0, np.sqrt(v + 0.1)), "vi": v})
        p.append(permutation_test(_fit(table, method="dl", test="z")).rows["p"][0])
    # 100 sets: three standard errors of .05 are .065
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 0.065
    assert min(p) >= 2 / 2**6


def test_wrong_use_is_said():
    with pytest.raises(FitError, match="listed, not pooled"):
        permutation_test(_fit(BCG.iloc[:2]))
    with pytest.raises(ValueError, match="at least 1"):
        permutation_test(_fit(BCG), draws=0)
