"""A results folder recognises work that is done and refuses to replace other work."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.runs.results_folder import estimate_switch, read_json, save_result, table_work
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, cells_table, simulate_study
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError


@pytest.fixture
def cells(tmp_path):
    rng = np.random.default_rng(5)
    table = cells_table(simulate_study(SCENARIOS["switch"], n_animals=3, n_neurons=20, rng=rng))
    table.to_parquet(tmp_path / "cells.parquet")
    return tmp_path / "cells.parquet"


def test_switch_leaves_estimates_result_and_rates(cells) -> None:
    out = cells.parent / "estimates.csv"
    estimate_switch(cells, out, seed=2)
    result = json.loads((cells.parent / "result.json").read_text())
    assert result["simulated"] is True
    assert result["arms"]["ketamine"]["verdict"] == "not_enough_animals"
    assert result["provenance"]["seed"] == 2
    assert set(result["arms"]["ketamine"]["estimands"]["rho_star"]) >= {"estimate", "ci_low", "ci_high", "p"}
    assert set(pd.read_csv(out)["arm"]) == {"ketamine", "saline"}
    assert len(pd.read_parquet(cells.parent / "rates.parquet")) == 3 * 2 * 20 * 2 * 2


def test_the_same_work_again_changes_nothing(cells) -> None:
    out = cells.parent / "estimates.csv"
    estimate_switch(cells, out)
    before = {path: path.stat().st_mtime_ns for path in cells.parent.iterdir()}
    estimate_switch(cells, out)
    assert {path: path.stat().st_mtime_ns for path in cells.parent.iterdir()} == before


def test_other_parameters_are_refused_and_nothing_is_lost(cells) -> None:
    out = cells.parent / "estimates.csv"
    estimate_switch(cells, out)
    before = {path: path.read_bytes() for path in cells.parent.iterdir()}
    with pytest.raises(ExistingOutputError, match="--overwrite"):
        estimate_switch(cells, out, margin=0.1)
    assert {path: path.read_bytes() for path in cells.parent.iterdir()} == before
    estimate_switch(cells, out, margin=0.1, overwrite=True)
    assert read_json(cells.parent / "result.json")["margin"] == 0.1


def test_estimates_as_parquet_hold_the_same(cells) -> None:
    for name in ("estimates.csv", "estimates.parquet"):
        estimate_switch(cells, cells.parent / name, k=[5], draws=5, overwrite=True)
    csv = pd.read_csv(cells.parent / "estimates.csv", keep_default_na=False, na_values=[""])
    parquet = pd.read_parquet(cells.parent / "estimates.parquet")
    assert list(csv) == list(parquet)
    np.testing.assert_allclose(csv["estimate"], parquet["estimate"], rtol=1e-9)  # 10 digits in the CSV


@pytest.mark.parametrize("name", ["estimates.parq", "estimates.xlsx", "estimates"])
def test_other_kinds_of_table_are_refused_before_any_work(tmp_path, name) -> None:
    with pytest.raises(ValueError, match=r"\.csv or \.parquet"):
        estimate_switch(tmp_path / "no_such_cells.parquet", tmp_path / name)


def test_all_that_changes_numbers_is_in_the_record(cells) -> None:
    out = cells.parent / "estimates.csv"
    estimate_switch(cells, out, k=[20, 5], resamples=50, draws=5)
    made = read_json(cells.parent / "result.json")["provenance"]["parameters"]
    assert made["k"] == [5, 20]
    assert (made["resamples"], made["interval"], made["draws"]) == (50, "percentile", 5)
    estimate_switch(cells, out, k=[5, 20], resamples=50, draws=5, workers=2)
    with pytest.raises(ExistingOutputError):
        estimate_switch(cells, out, k=[5, 20], resamples=51, draws=5)


def test_nothing_is_written_without_an_output(cells) -> None:
    estimate_switch(cells)
    assert [path.name for path in cells.parent.iterdir()] == ["cells.parquet"]


def test_a_result_of_the_same_work_stays_and_of_other_work_is_refused(tmp_path) -> None:
    path, table = tmp_path / "x.json", tmp_path / "t.csv"
    table.write_text("a")
    work = table_work("fit", table, {"formula": "y ~ x"})
    save_result(path, {"a": float("nan")}, work=work, overwrite=False)
    before = path.stat().st_mtime_ns
    save_result(path, {"a": 5}, work=work, overwrite=False)
    assert path.stat().st_mtime_ns == before
    assert read_json(path)["a"] is None
    table.write_text("b")
    other = table_work("fit", table, {"formula": "y ~ x"})
    with pytest.raises(ExistingOutputError):
        save_result(path, {"a": 1}, work=other, overwrite=False)
    save_result(path, {"a": 1}, work=other, overwrite=True)
    assert read_json(path)["a"] == 1


@pytest.mark.parametrize("content", ["[1]", "{", "\x00"])
def test_damaged_json_is_named(tmp_path, content) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputFileError, match="x.json"):
        read_json(tmp_path / "x.json")
