"""Tests, weights, fit statistics and predictions of `meta` against metafor (tests/reference/meta_tools.R)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.meta_analysis.meta import meta
from nwbswitch.analysis.meta_analysis.meta_result import MetaFit

TOOLS = json.loads((Path(__file__).resolve().parents[1] / "reference" / "meta_tools.json").read_text())
BCG = pd.DataFrame({name: TOOLS["bcg"][name] for name in ("yi", "vi", "ablat", "year", "weights")})
# In closed form 1e-9. REML and ML 1e-8: metafor steps until tau^2 changes by less than 1e-14, and its
# standard errors carry the rounding of X'WX with an uncentred year.
REL = 1e-9


def _fit(name: str, **more: object) -> MetaFit:
    method, test, *words = name.split()
    given = dict(more)
    if "weights" in words:
        given["weights"] = "weights"
    if "unweighted" in words:
        given["weighted"] = False
    if "mods" in words:
        given["moderators"] = "ablat + year" if len(TOOLS["fits"][name]["b"]) == 3 else "ablat"
    return meta(BCG, effect="yi", variance="vi", method=method.lower(), test=test, **given)


@pytest.mark.parametrize("name", list(TOOLS["fits"]))
def test_every_field(name):
    answer = TOOLS["fits"][name]
    found = _fit(name)
    table = found.table()
    columns = {"estimate": "b", "se": "se", "t": "stat", "p": "p", "ci_low": "ci.lb", "ci_high": "ci.ub"}
    for ours, theirs in columns.items():
        assert table[ours].tolist() == pytest.approx(np.atleast_1d(answer[theirs]), rel=REL)
    keys = {"tau2": "tau2", "i2": "I2", "h2": "H2", "q": "QE", "q_p": "QEp", "qm": "QM", "qm_p": "QMp"}
    for ours, theirs in keys.items():
        assert getattr(found, ours) == pytest.approx(answer[theirs], rel=REL)
    for ours, theirs in (("tau2_se", "se.tau2"), ("r2", "R2")):
        if answer[theirs] is None:
            assert np.isnan(getattr(found, ours))
        else:
            assert getattr(found, ours) == pytest.approx(answer[theirs], rel=REL)
    assert np.allclose(found.vcov, answer["vb"], rtol=REL, atol=0)
    statistics = found.fit_statistics().set_index("criterion")
    assert statistics.loc["reml"].tolist() == pytest.approx(answer["ll"], rel=REL)
    assert statistics.loc["ml"].tolist() == pytest.approx(answer["llml"], rel=REL)


def test_predictions_of_a_regression():
    found = meta(BCG, effect="yi", variance="vi", moderators="ablat + year")
    answer = TOOLS["predict"]
    at = np.array([[1, 10, 1940], [1, 33.5, 1970], [1, 60, 1980]], dtype=float)
    table = found.predict(at)
    names = {
        "estimate": "pred",
        "se": "se",
        "ci_low": "ci.lb",
        "ci_high": "ci.ub",
        "pi_low": "pi.lb",
        "pi_high": "pi.ub",
    }
    for ours, theirs in names.items():
        assert table[ours].tolist() == pytest.approx(answer[theirs], rel=1e-8)
    with pytest.raises(ValueError, match="expected \\(Intercept\\), ablat, year"):
        found.predict(at[:, :2])
    with pytest.raises(ValueError, match="no estimate to predict from: 2 studies"):
        meta(BCG.iloc[:2], effect="yi", variance="vi").predict(np.ones((1, 1)))


@pytest.mark.parametrize(
    ("moderators", "level", "name"), [("ablat + year", 0.95, "mods"), (None, 0.8, "low_level")]
)
def test_q_profile_with_moderators_and_at_other_levels(moderators, level, name):
    found = meta(
        BCG, effect="yi", variance="vi", moderators=moderators, level=level, test="z"
    ).heterogeneity()
    answer = np.array(TOOLS["qprofile"][name])
    # tau^2 itself is from metafor's scoring (1e-10); the limits are roots of the same equation.
    assert np.allclose(found[["estimate", "ci_low", "ci_high"]], answer, rtol=1e-9, atol=0)
