"""Estimates of single animals and sessions: rows, intervals, and that nothing else depends on them."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.simulation.count_studies import SCENARIOS, cells_table, simulate_study
from nwbswitch.analysis.verdicts.switch import switch
from nwbswitch.analysis.verdicts.switch_result import SwitchResult
from nwbswitch.schemas.tables import ESTIMATES

KEYS = ["arm", "cell_type", "contrast", "level", "animal", "session", "estimand", "k"]
OPTIONS = {"k": [3, 8], "draws": 5, "seed": 4}
PRIMARY = ["G", "R_act", "R_sil", "SW", "rho_star", "tau_c"]


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    """Return six animals; the first has a second session under ketamine with the same neurons."""
    rng = np.random.default_rng(11)
    table = cells_table(simulate_study(SCENARIOS["switch"], n_animals=6, n_neurons=25, window_s=360, rng=rng))
    more = cells_table(simulate_study(SCENARIOS["switch"], n_animals=1, n_neurons=25, window_s=360, rng=rng))
    more = more[more["arm"] == "ketamine"].assign(session="3-ketamine", order=3)
    return pd.concat([table, more], ignore_index=True)


@pytest.fixture(scope="module")
def plain(cells: pd.DataFrame) -> SwitchResult:
    return switch(cells, **OPTIONS)


@pytest.fixture(scope="module")
def drawn(cells: pd.DataFrame) -> SwitchResult:
    return switch(cells, resamples=99, **OPTIONS)


def test_every_session_has_rows_of_its_own(plain: SwitchResult) -> None:
    table = plain.table()
    assert ESTIMATES.issues(table) == []
    assert not table.duplicated(KEYS).any()
    own = table[(table["level"] == "session") & (table["role"] != "exploratory")]
    assert set(own["contrast"]) == {"drug", "pseudo"}
    found = own[["animal", "session"]].drop_duplicates()
    assert len(found) == 13
    assert (own["n_sessions"] == 1).all()
    assert (own["n_neurons"] == 25).all()
    assert set(own["estimand"]) >= set(PRIMARY)
    assert table.loc[table["level"] != "session", "session"].eq("").all()
    assert own["ci_low"].isna().all()


def test_a_session_that_is_alone_is_its_animal(plain: SwitchResult) -> None:
    table = plain.table()
    drug = table[(table["contrast"] == "drug") & table["estimand"].isin(PRIMARY)]
    merge = ["arm", "animal", "estimand", "k"]
    levels = [drug[drug["level"] == level].set_index(merge) for level in ("session", "animal")]
    alone = levels[0][levels[0].index.get_level_values("animal") != "m01"]
    same = levels[1].loc[alone.index]
    assert np.array_equal(alone["estimate"], same["estimate"], equal_nan=True)
    assert np.array_equal(alone["se"], same["se"], equal_nan=True)
    two = levels[0].loc[("ketamine", "m01", "SW", 0)]
    assert len(two) == 2
    assert (
        two["estimate"].min()
        < levels[1].loc[("ketamine", "m01", "SW", 0), "estimate"]
        < two["estimate"].max()
    )


def test_resamples_give_intervals_to_animals_and_sessions_and_change_nothing_else(
    plain: SwitchResult, drawn: SwitchResult
) -> None:
    assert drawn.verdicts == plain.verdicts
    without, table = plain.table(), drawn.table()
    own = table["level"].isin(["animal", "session"]) & (table["role"] != "exploratory")
    changed = [column for column in table if not table[column].equals(without[column])]
    assert changed == ["ci_low", "ci_high"]
    bounds = table[own & table["estimand"].isin(PRIMARY) & table["se"].notna()]
    assert bounds["ci_low"].notna().all()
    inside = (bounds["ci_low"] <= bounds["estimate"]) & (bounds["estimate"] <= bounds["ci_high"])
    assert inside.mean() > 0.98
    width = (bounds["ci_high"] - bounds["ci_low"]) / bounds["se"]
    assert 3 < width.median() < 5  # 3.92 standard errors for a normal estimate
    assert table[~own]["ci_low"].equals(without[~own]["ci_low"])


def test_the_interval_of_m_is_that_of_rho_star_mirrored(drawn: SwitchResult) -> None:
    table = (
        drawn.animals()
        .query("arm == 'ketamine' and contrast == 'vs_saline'")
        .set_index(["estimand", "animal"])
    )
    m, rho = table.loc["M"], table.loc["rho_star"]
    assert np.allclose(m["estimate"], -rho["estimate"])
    assert np.allclose(m["ci_low"], -rho["ci_high"])
    assert np.allclose(m["ci_high"], -rho["ci_low"])
    assert m["ci_low"].notna().all()


def test_order_split_and_workers_change_no_number(cells: pd.DataFrame, drawn: SwitchResult) -> None:
    shuffled = cells.sample(frac=1, random_state=3)
    with ThreadPoolExecutor(2) as executor:
        found = switch(shuffled, resamples=99, **OPTIONS, executor=executor).table()
    pd.testing.assert_frame_equal(found, drawn.table(), rtol=1e-12)
    part = switch(cells[cells["animal"].isin(["m01", "m04"])], resamples=99, **OPTIONS).table()
    both = part.merge(drawn.table(), on=KEYS, suffixes=("", "_all"))
    both = both[both["level"].isin(["animal", "session"])]
    assert len(both) > 300
    for column in ("estimate", "se", "ci_low", "ci_high"):
        assert np.allclose(both[column], both[f"{column}_all"], rtol=1e-12, equal_nan=True), column


def test_processes_give_the_same_table(cells: pd.DataFrame, drawn: SwitchResult) -> None:
    found = switch(cells, resamples=99, **OPTIONS, workers=2).table()
    pd.testing.assert_frame_equal(found, drawn.table(), rtol=1e-12)


def test_a_file_is_read_as_its_table(cells: pd.DataFrame, drawn: SwitchResult, tmp_path: Path) -> None:
    cells.to_parquet(tmp_path / "cells.parquet", row_group_size=1000)
    found = switch(tmp_path / "cells.parquet", resamples=99, **OPTIONS)
    pd.testing.assert_frame_equal(found.table(), drawn.table())
    assert found.as_dict() == drawn.as_dict()


def test_what_was_drawn_is_told(plain: SwitchResult, drawn: SwitchResult) -> None:
    assert (drawn.as_dict()["resamples"], drawn.as_dict()["interval"]) == (99, "percentile")
    assert (plain.as_dict()["resamples"], plain.as_dict()["interval"]) == (0, None)


def test_an_animal_with_too_few_events_has_a_reason_and_no_numbers(cells: pd.DataFrame) -> None:
    silent = cells.assign(n_events=np.where(cells["animal"] == "m02", 0, cells["n_events"]))
    table = switch(silent, k=[5], draws=5, resamples=49).table()
    rows = table[
        (table["animal"] == "m02") & table["estimand"].isin(PRIMARY) & (table["role"] != "exploratory")
    ]
    assert set(rows["level"]) == {"animal", "session"}
    assert rows["status"].str.startswith("not estimable").all()
    assert rows[["estimate", "se", "ci_low", "ci_high"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resamples": 38}, "at least 39"),
        ({"resamples": -1}, "at least 39"),
        ({"resamples": 100_001}, "at most 100000"),
        ({"resamples": 50, "interval": "bca"}, "interval must be one of percentile, basic"),
        ({"workers": 0}, "workers must be at least 1"),
    ],
)
def test_wrong_arguments_are_named(cells: pd.DataFrame, options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        switch(cells[cells["animal"] == "m03"], **options)  # type: ignore[arg-type]


def test_each_arm_may_have_its_own_reference(cells: pd.DataFrame) -> None:
    three = pd.concat(
        [
            cells,
            cells[cells["arm"] == "ketamine"].assign(arm="xylazine", session="x" + cells["session"], order=9),
        ]
    )
    result = switch(three, k=[5], reference={"ketamine": "xylazine", "xylazine": "saline"}, draws=5)
    assert result.arms["ketamine"].reference == "xylazine"
    assert result.arms["xylazine"].reference == "saline"
    animals = result.animals()
    assert {"vs_xylazine", "vs_saline"} <= set(animals["contrast"])
    g = animals.query("contrast == 'vs_xylazine' and estimand == 'G'")
    assert np.allclose(g["estimate"], 0, atol=1e-12)
    assert not math.isnan(g["se"].iloc[0])
