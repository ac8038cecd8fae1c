"""Known covariances against metafor's vcalc and by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.meta_analysis.known_covariance import covariance_of_columns, known_covariance
from nwbswitch.schemas.errors import FitError, FormulaError

R = json.loads((Path(__file__).resolve().parents[1] / "reference" / "meta_multilevel.json").read_text())
GROUPS = {"first": "grp1", "second": "grp2", "first_size": "n1", "second_size": "n2"}


@pytest.fixture
def differences():
    return pd.DataFrame(R["vcalc"]["data"])


def test_types_of_measures(differences):
    found = known_covariance(
        differences, variance="vi", cluster="study", type="type", rho={"within": 0.7, "between": 0.3}
    )
    assert np.asarray(found) == pytest.approx(np.array(R["vcalc"]["types"]), abs=1e-12)
    assert len(found) == 9


def test_differences_that_share_a_group(differences):
    apart = differences.drop(index=[4, 6])
    found = known_covariance(apart, variance="vi", cluster="study", **GROUPS)
    expected = np.array(R["vcalc"]["groups"])[np.ix_(apart.index, apart.index)]
    assert np.asarray(found) == pytest.approx(expected, abs=1e-12)
    both = known_covariance(differences, variance="vi", cluster="study", type="type", rho=0.4, **GROUPS)
    assert np.asarray(both) == pytest.approx(np.array(R["vcalc"]["groups_types"]), abs=1e-12)


def test_a_shared_saline_group_by_simulation():
    rng = np.random.default_rng(6)
    low, high = rng.normal(size=(4000, 5)).mean(axis=1), rng.normal(size=(4000, 7)).mean(axis=1)
    saline = rng.normal(size=(4000, 8)).mean(axis=1)
    observed = np.cov(low - saline, high - saline)
    table = pd.DataFrame(
        {
            "study": "a",
            "drug": ["low", "high"],
            "control": "saline",
            "n": [5, 7],
            "m": 8,
            "vi": np.diagonal(observed),
        }
    )
    found = np.asarray(
        known_covariance(
            table,
            variance="vi",
            cluster="study",
            first="drug",
            second="control",
            first_size="n",
            second_size="m",
        )
    )
    # The covariance of 4,000 pairs has a standard error of 2 %.
    assert found == pytest.approx(observed, rel=0.08)


def test_one_correlation_and_subgroups():
    table = pd.DataFrame(
        {"study": ["a", "a", "a", "b"], "sex": ["f", "f", "m", "f"], "vi": [1.0, 4.0, 9.0, 1.0]}
    )
    found = np.asarray(known_covariance(table, variance="vi", cluster="study", rho=0.5))
    assert found[0].tolist() == [1.0, 1.0, 1.5, 0.0]
    apart = np.asarray(known_covariance(table, variance="vi", cluster="study", rho=0.5, subgroup="sex"))
    assert apart[0].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert table["vi"].tolist() == [1.0, 4.0, 9.0, 1.0]


def test_a_covariance_that_stands_in_the_table():
    data = pd.DataFrame(R["periodontal"]["data"])
    found = np.asarray(covariance_of_columns(data, cluster="trial", columns=["v1i", "v2i"]))
    assert found[:2, :2].tolist() == [[0.0075, 0.003], [0.003, 0.0077]]
    assert not found[:2, 2:].any()
    with pytest.raises(FitError, match="trial 1 in v2i, v1i is not symmetric"):
        covariance_of_columns(
            data.assign(v1i=data["v1i"] * np.arange(1, 11)), cluster="trial", columns=["v2i", "v1i"]
        )
    with pytest.raises(FitError, match="2 effects, and V has 1"):
        covariance_of_columns(data, cluster="trial", columns=["v1i"])


def test_what_makes_no_covariance_is_said(differences):
    asked = {"variance": "vi", "cluster": "study"}
    with pytest.raises(ValueError, match="Give rho"):
        known_covariance(differences, **asked)
    with pytest.raises(ValueError, match="between -1 and 1"):
        known_covariance(differences, **asked, rho=1.0)
    with pytest.raises(ValueError, match="both groups"):
        known_covariance(differences, **asked, first="grp1")
    with pytest.raises(ValueError, match="column of types"):
        known_covariance(differences, **asked, rho=0.3, first="grp1", second="grp2")
    with pytest.raises(ValueError, match="'within' and 'between'"):
        known_covariance(differences, **asked, rho={"within": 0.5}, type="type")
    with pytest.raises(FormulaError, match="no column 'labb'"):
        known_covariance(differences, variance="vi", cluster="labb", rho=0.2)
    with pytest.raises(FitError, match="row 2"):
        known_covariance(differences.assign(vi=[1.0, 1.0, 0.0, *[1.0] * 6]), **asked, rho=0.2)
    with pytest.raises(FitError, match="cluster is missing in the row 4"):
        known_covariance(differences.assign(study=[1, 1, 1, 2, None, 2, 2, 3, 3]), **asked, rho=0.2)
    # Three effects cannot all be correlated by -.6.
    with pytest.raises(FitError, match=r"rows 1, 2, 3 is not positive definite"):
        known_covariance(differences.head(3), **asked, rho=-0.6)
    # The same comparison twice, with no other measure, is one effect.
    with pytest.raises(FitError, match="not positive definite"):
        known_covariance(differences, **asked, **GROUPS)
