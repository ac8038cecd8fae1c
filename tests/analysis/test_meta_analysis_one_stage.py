"""One stage beside two: they agree where they should, and the reasons are named where not."""

import json

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.meta_analysis.meta import meta
from nwbswitch.analysis.meta_analysis.one_stage import one_stage, within_study
from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.analysis.summaries.summarise import summarise
from nwbswitch.schemas.errors import FitError, FormulaError

FORMULA = "y ~ drug + (1 + drug | lab) + (1 | lab:animal)"


def simulated(*, labs=8, animals=10, tau=0.2, seed=3, size=None, residual=None):
    rng = np.random.default_rng(seed)
    rows = []
    for lab in range(labs):
        effect, own = 0.5 + rng.normal(0, tau), rng.normal(0, 0.3)
        n = animals if size is None else size[lab]
        sd = 0.5 if residual is None else residual[lab]
        for animal in range(n):
            level = own + rng.normal(0, 0.4) + effect * (animal % 2)
            drug = "ketamine" if animal % 2 else "_saline"
            rows += [(f"L{lab}", f"a{animal}", drug, level + rng.normal(0, sd)) for _ in range(6)]
    return pd.DataFrame(rows, columns=["lab", "animal", "drug", "y"])


def test_both_stages_agree_where_studies_are_alike():
    away, intervals = [], []
    for seed in range(4):
        found = one_stage(simulated(seed=seed, labs=6, animals=24), FORMULA, term="drugketamine", study="lab")
        table = found.table().set_index("stage")
        away.append(abs(found.difference) / table["se"]["two"])
        intervals.append((table["ci_high"] - table["ci_low"])[["one", "two"]].to_numpy())
        assert table["df"][["one", "two"]].tolist() == pytest.approx([5.0, 5.0], abs=0.5)
    # Weights differ a little, as variances of studies are pooled in one stage; with 10 animals per study it
    # was up to .6 standard errors.
    assert max(away) < 0.25
    ratio = np.array(intervals)[:, 0] / np.array(intervals)[:, 1]
    assert ratio == pytest.approx(np.ones(4), abs=0.25)


def test_in_a_balanced_design_with_known_variances_they_are_the_same():
    # One value per animal and equal arms: the effect of a study is a difference of means, with the same
    # weight for every study, so the mean is the same to rounding.
    data = simulated(seed=9).groupby(["lab", "animal", "drug"], as_index=False)["y"].mean()
    one = fit(data, "y ~ drug + (1 + drug | lab)")
    means = data.pivot_table(index="lab", columns="drug", values="y")
    effects = (means["ketamine"] - means["_saline"]).to_numpy()
    assert one.fixed[1].estimate == pytest.approx(effects.mean(), rel=1e-9)
    pooled = meta(pd.DataFrame({"y": effects, "v": 0.05}), effect="y", variance="v")
    assert pooled.coefficients[0].estimate == pytest.approx(effects.mean(), rel=1e-12)


def test_the_second_stage_is_the_meta_analysis_of_fits():
    data = simulated()
    found = one_stage(data, FORMULA, term="drugketamine", study="lab")
    rows = []
    for lab, own in data.groupby("lab"):
        row = fit(own, "y ~ drug + (1 | animal)").fixed[1]
        rows.append((lab, row.estimate, row.se))
    pooled = meta(pd.DataFrame(rows, columns=["lab", "y", "se"]), effect="y", variance="se**2").coefficients[
        0
    ]
    two = found.table().set_index("stage").loc["two"]
    assert [two["estimate"], two["se"], two["p"]] == pytest.approx(
        [pooled.estimate, pooled.se, pooled.p], rel=1e-9
    )
    one = fit(data, FORMULA).fixed[1]
    assert found.table()["ci_low"][0] == pytest.approx(one.ci_low, rel=1e-12)
    assert found.info["within"] == "y ~ 1 + drug + (1 | lab:animal)"


def test_summaries_give_the_same_as_rows(tmp_path):
    data = simulated(labs=4, animals=6)
    data = data.assign(session=data["animal"])
    paths = []
    for lab, own in data.groupby("lab"):
        paths.append(tmp_path / f"{lab}.csv")
        own.to_csv(paths[-1], index=False)
    formula = "y ~ drug + (1 + drug | lab) + (1 | lab:animal)"
    summarise(paths, formula, out=tmp_path / "sums", quiet=True)
    rows = one_stage(data, formula, term="drugketamine", study="lab")
    sums = one_stage(tmp_path / "sums", formula, term="drugketamine", study="lab")
    columns = ["estimate", "se", "ci_low"]
    assert sums.table()[columns].to_numpy()[:2] == pytest.approx(
        rows.table()[columns].to_numpy()[:2], rel=1e-5
    )
    assert sums.studies["study"].tolist() == ["L0", "L1", "L2", "L3"]


def test_reasons_are_named():
    fixed = one_stage(simulated(tau=0.4), "y ~ drug + (1 | lab/animal)", term="drugketamine", study="lab")
    assert np.isnan(fixed.tau[0])
    assert any("no variance of drugketamine between lab" in each for each in fixed.reasons)
    width = fixed.table()["ci_high"] - fixed.table()["ci_low"]
    assert width[0] < width[1]
    unequal = simulated(residual=[0.2, 0.2, 0.2, 0.2, 1.5, 1.5, 1.5, 1.5])
    found = one_stage(unequal, FORMULA, term="drugketamine", study="lab")
    assert any(
        "Residual standard deviations of studies differ by a factor of" in each for each in found.reasons
    )
    assert any("degrees of freedom" in each for each in found.reasons)


def test_a_study_that_cannot_be_fitted_alone_is_listed():
    data = simulated(labs=5, animals=8)
    data = data[(data["lab"] != "L4") | (data["drug"] == "ketamine")]
    found = one_stage(data, FORMULA, term="drugketamine", study="lab")
    assert found.studies["status"].tolist()[:4] == ["ok"] * 4
    assert "drug" in found.studies["status"][4]
    assert found.table()["n_studies"].tolist() == [5, 4, 4]
    assert "L4 could not be fitted alone" in found.summary()
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["studies"][4]["estimate"] is None
    with pytest.raises(FitError, match="2 of 3 studies can be fitted alone: listed, not pooled"):
        one_stage(data[data["lab"].isin(["L0", "L1", "L4"])], FORMULA, term="drugketamine", study="lab")


def test_the_formula_of_one_study():
    def inside(text):
        return within_study(read_formula(text), "lab")

    assert inside(FORMULA) == "y ~ 1 + drug + (1 | lab:animal)"
    assert (
        inside("log(y) ~ 0 + drug * lab + (1 | lab) + (0 + drug | animal)")
        == "log(y) ~ 0 + drug + (0 + drug | animal)"
    )
    assert inside("y ~ x + (1 + x | lab/animal/session)") == (
        "y ~ 1 + x + (1 + x | animal:lab) + (1 + x | session:animal:lab)"
    )
    with pytest.raises(FormulaError, match="within"):
        inside("y ~ x + (1 | lab)")
    with pytest.raises(FormulaError, match="no random term of 'site'"):
        one_stage(simulated(), FORMULA, term="drugketamine", study="site")
    with pytest.raises(ValueError, match="no coefficient 'drug'"):
        one_stage(simulated(labs=4), FORMULA, term="drug", study="lab")
