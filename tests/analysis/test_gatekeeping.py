"""Roles of tests, and the P values that follow from them, against Holm's method by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.simulation.count_studies import SCENARIOS, cells_table, simulate_study
from nwbswitch.analysis.verdicts.gatekeeping import with_roles
from nwbswitch.analysis.verdicts.switch import switch
from nwbswitch.schemas.tables import ESTIMATES

ROW: dict[str, Any] = {
    "dataset": "d",
    "arm": "ketamine",
    "cell_type": "excitatory",
    "contrast": "vs_saline",
    "level": "arm",
    "animal": "",
    "estimand": "M",
    "k": 0,
    "estimate": 1.0,
    "se": 0.1,
    "ci_low": 0.8,
    "ci_high": 1.2,
    "df": 7.0,
    "p": 0.01,
    "n_animals": 8,
    "n_sessions": 16,
    "n_neurons": 400,
    "status": "ok",
    "simulated": True,
}


def _arm(arm: str = "ketamine", against: str = "vs_saline", **p: float) -> list[dict[str, Any]]:
    """Return the rows of a switch; an argument gives the P of an estimand."""
    found = {"M": 0.01, "rho_star": 0.02, "R_act": 0.03, "R_sil": 0.01, "tau_20": 0.02, "tau_40": 0.04} | p
    signs = {"rho_star": -0.5, "R_act": -2.0, "tau_20": -0.4, "tau_40": -0.3}
    rows = []
    for name, value in found.items():
        estimand, _, k = name.partition("_2") if name == "tau_20" else name.partition("_4")
        estimand, limit = ("tau_c", int(name[4:])) if k else (name, 0)
        contrast = "drug" if estimand in ("rho_star", "tau_c") else against
        own = {"arm": arm, "contrast": contrast, "estimand": estimand, "k": limit, "p": value}
        rows.append({**ROW, **own, "estimate": signs.get(name, 1.0)})
    return rows


def _table(*rows: dict[str, Any]) -> pd.DataFrame:
    return ESTIMATES.checked(pd.DataFrame(rows))


def _holm(table: pd.DataFrame, reference: Any = "saline", **wanted: Any) -> list[float]:
    found = with_roles(table, primary_type="excitatory", reference=reference)
    for column, value in wanted.items():
        found = found[found[column] == value]
    return [float(each) for each in found["p_holm"]]


def test_one_arm_has_one_primary_test_and_then_a_sequence() -> None:
    table = _table(*_arm())
    found = with_roles(table, primary_type="excitatory", reference="saline")
    assert found["role"].tolist() == ["primary", *["gatekeeping"] * 5]
    # M .01, rho* .02, both responses .03, tau_c .04: no step is smaller than one before it
    assert found["p_holm"].tolist() == [0.01, 0.02, 0.03, 0.03, 0.04, 0.04]
    pd.testing.assert_frame_equal(found.drop(columns=["role", "p_holm"]), table)
    assert "role" not in table
    assert not ESTIMATES.issues(found)


def test_a_step_that_does_not_hold_closes_all_after_it() -> None:
    assert _holm(_table(*_arm(rho_star=0.2))) == [0.01, 0.2, 0.2, 0.2, 0.2, 0.2]
    wrong_side = _table(*_arm())
    wrong_side.loc[1, "estimate"] = 0.5
    assert _holm(wrong_side) == [0.01, 1.0, 1.0, 1.0, 1.0, 1.0]
    # less remapping than under saline is a result of the primary test, and opens nothing
    less = _table(*_arm())
    less.loc[0, "estimate"] = -1.0
    assert _holm(less)[:2] == [0.01, 1.0]


def test_no_p_is_made_where_the_animals_give_none() -> None:
    found = with_roles(
        _table(*_arm(**dict.fromkeys(("M", "rho_star", "R_act"), math.nan))),
        primary_type="excitatory",
        reference="saline",
    )
    assert found["p_holm"].isna().all()
    assert found["role"].tolist() == ["primary", *["gatekeeping"] * 5]


def test_several_drug_arms_share_the_error() -> None:
    doses = {"low": "saline 1", "high": "saline 2"}
    rows = [*_arm("low", "vs_saline 1", M=0.03), *_arm("high", "vs_saline 2", M=0.01)]
    rows += _arm("saline 1", "vs_pseudo", M=0.001)
    table = _table(*rows)
    assert _holm(table, doses, estimand="M", role="primary") == [0.03, 0.02]
    # low: M .03, rho* .02 -> .03; high: .01, .02 -> .02; Holm over both .03 and .04, never below one before
    assert _holm(table, doses, estimand="rho_star", role="gatekeeping") == [0.04, 0.04]
    found = with_roles(table, primary_type="excitatory", reference=doses)
    assert set(found.loc[found["arm"] == "saline 1", "role"]) == {"exploratory"}


def test_secondary_estimands_share_one_error_and_the_rest_is_exploratory() -> None:
    def row(estimand: str, p: float, **other: Any) -> dict[str, Any]:
        return {**ROW, "estimand": estimand, "p": p, **other}

    table = _table(
        *_arm(),
        row("G", 0.01),
        row("SW", 0.02),
        row("G", 0.04, cell_type="PV"),
        row("SW", 0.001, cell_type="PV"),
        row("G", 0.001, cell_type="static_marker"),
        row("rho_star", 0.01),
        row("G", 0.001, contrast="drug"),
        row("naive_down", math.nan),
        row("G", math.nan, level="animal", animal="m1"),
        {**row("overlap", math.nan), "role": "exploratory"},
    ).fillna({"role": "descriptive"})
    table["role"] = table["role"].replace("", "descriptive")
    found = with_roles(table, primary_type="excitatory", reference="saline").iloc[6:]
    secondary, exploratory = ["secondary"] * 3, ["exploratory"] * 4
    assert found["role"].tolist() == [*secondary, *exploratory, "descriptive", "descriptive", "exploratory"]
    assert found["p_holm"].tolist()[:3] == pytest.approx([0.03, 0.04, 0.04])
    assert found["p_holm"].iloc[3:].isna().all()


def test_without_a_reference_arm_the_pseudo_injection_is_the_reference() -> None:
    for reference in (None, "saline"):
        found = with_roles(_table(*_arm(against="vs_pseudo")), primary_type="excitatory", reference=reference)
        assert found["role"].tolist()[0] == "primary"
        assert found["p_holm"].tolist() == [0.01, 0.02, 0.03, 0.03, 0.04, 0.04]


def test_the_table_of_a_study_has_one_primary_row() -> None:
    study = simulate_study(SCENARIOS["switch"], n_animals=7, n_neurons=20, rng=np.random.default_rng(0))
    table = switch(cells_table(study), draws=3).table()
    found = with_roles(table, primary_type="excitatory", reference="saline")
    primary = found[found["role"] == "primary"]
    assert primary[["arm", "contrast", "estimand"]].to_numpy().tolist() == [["ketamine", "vs_saline", "M"]]
    assert primary["p_holm"].item() == primary["p"].item() == pytest.approx(2 / 2**7)
    gate = found[found["role"] == "gatekeeping"]
    assert set(gate["estimand"]) == {"rho_star", "R_act", "R_sil", "tau_c"}
    tested = found[found["role"].isin(["primary", "gatekeeping", "secondary"])]
    assert (tested["p_holm"] >= tested["p"] - 1e-12).all()
    assert set(found.loc[found["level"] != "arm", "role"]) <= {"descriptive", "exploratory"}
    assert not found.loc[found["role"] == "descriptive", "p"].notna().any()
