"""The options of ``nwbswitch switch``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from nwbswitch.analysis.simulation.count_studies import SCENARIOS, cells_table, simulate_study
from nwbswitch.cli_analysis import switch


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    study = simulate_study(SCENARIOS["switch"], n_animals=2, n_neurons=20, window_s=300, rng=rng)
    cells_table(study).to_parquet(tmp_path / "cells.parquet")
    return tmp_path / "cells.parquet"


def test_resamples_limits_and_workers_are_used(cells: Path) -> None:
    out = cells.parent / "estimates.csv"
    options = ["--resamples", "50", "--k", "5", "--k", "9", "--workers", "2", "--interval", "basic"]
    done = CliRunner().invoke(switch, [str(cells), "-o", str(out), *options])
    assert done.exit_code == 0, done.output
    table = pd.read_csv(out)
    assert set(table.loc[table["estimand"] == "tau_c", "k"]) == {5, 9}
    session = table[(table["level"] == "session") & (table["estimand"] == "G")]
    assert len(session) == 8
    assert session["ci_low"].notna().all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "e.parq"], "written as .csv or .parquet, not as 'e.parq'"),
        (["--resamples", "5"], "at least 39"),
        (["--k", "0"], "--k"),
    ],
)
def test_wrong_options_are_wrong_usage(cells: Path, options: list[str], words: str) -> None:
    given = [str(cells.parent / each) if each == "e.parq" else each for each in options]
    done = CliRunner().invoke(switch, [str(cells), *given])
    assert done.exit_code == 2
    assert words in done.output
    assert [path.name for path in cells.parent.iterdir()] == ["cells.parquet"]
