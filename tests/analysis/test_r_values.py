"""Every mixed model of the shared reference values: lme4, lmerTest and pbkrtest, full digits.

Tolerances: the criterion 1e-8 relative and never above R's by more; fixed effects 1e-6 of their standard
error; standard errors and standard deviations 1e-5; degrees of freedom 1e-4. lme4's theta carries about 1e-7
of optimiser error and lmerTest differentiates numerically, so tighter would test R.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nwbswitch import fit

SETS = ("sleepstudy", "Pastes", "Penicillin", "sim_between", "sim_crossover")
EACH = pytest.mark.parametrize(
    ("name", "method"), [(name, method) for name in SETS for method in ("reml", "ml")]
)


@pytest.fixture(scope="module")
def values(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "reference" / "r_values.json").read_text())["lmm"]


def test_no_set_is_forgotten(values):
    assert set(values) == set(SETS)


@EACH
def test_criterion_effects_and_components(values, name, method):
    answer = values[name][method]
    found = fit(pd.DataFrame(values[name]["data"]), answer["formula"], method=method, ddf="satterthwaite")
    assert found.criterion == pytest.approx(answer["criterion"], rel=1e-8)
    assert found.criterion <= answer["criterion"] + 1e-8
    assert found.info["singular"] == answer["isSingular"]
    table = found.table().set_index("term")
    assert list(table.index) == list(answer["beta"])
    for term, row in table.iterrows():
        assert row["estimate"] == pytest.approx(answer["beta"][term], rel=1e-6, abs=1e-6 * row["se"])
        assert row["se"] == pytest.approx(answer["se"][term], rel=1e-5)
        assert row["df"] == pytest.approx(answer["satterthwaite_df"][term], rel=1e-4)
        assert row["p"] == pytest.approx(answer["satterthwaite_p"][term], rel=1e-3)
    assert np.allclose(found.vcov, answer["vcov"], rtol=1e-5)
    sds = found.random().set_index(["group", "term"])["sd"]
    compared = 0
    for row in answer["varcorr"]:
        if row["var2"] is None:
            ours = sds[row["grp"], row["var1"] or ""]
            assert ours == pytest.approx(row["sdcor"], abs=1e-5 * answer["sigma"])
            compared += 1
    assert compared == len(sds)


@pytest.mark.parametrize("name", SETS)
def test_kenward_roger(values, name):
    answer = values[name]["reml"]
    found = fit(pd.DataFrame(values[name]["data"]), answer["formula"])
    table = found.table().set_index("term")
    assert list(table.index) == list(answer["kr_df"])
    for term, row in table.iterrows():
        assert row["se"] == pytest.approx(answer["kr_se"][term], rel=1e-5)
        assert row["df"] == pytest.approx(answer["kr_df"][term], rel=1e-4)


@EACH
def test_conditional_means(values, name, method):
    answer = values[name][method]
    effects = fit(pd.DataFrame(values[name]["data"]), answer["formula"], method=method).effects()
    compared = 0
    for group, rows in answer["ranef"].items():
        own = effects[effects["group"] == group].set_index(["level", "term"])["estimate"]
        for row in rows:
            for term, value in row.items():
                if term not in ("level", "_row"):
                    assert own[str(row["level"]), term] == pytest.approx(value, abs=2e-5 * answer["sigma"])
                    compared += 1
    assert compared == len(effects)
