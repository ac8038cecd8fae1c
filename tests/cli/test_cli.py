"""Commands: JSON on request, exit status, and errors in words."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from nwbswitch.analysis.simulation.count_studies import SCENARIOS, cells_table, simulate_study
from nwbswitch.cli import commands


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nwbswitch", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def sleep(tmp_path):
    rng = np.random.default_rng(1)
    subject = np.repeat(np.arange(8), 6)
    days = np.tile(np.arange(6), 8)
    y = 250 + 10 * days + rng.normal(0, 20, 8)[subject] + rng.normal(0, 10, 48)
    path = tmp_path / "sleep.csv"
    pd.DataFrame({"y": y, "days": days, "subject": subject}).to_csv(path, index=False)
    return path


def test_fit_prints_json_and_writes_it(sleep, tmp_path) -> None:
    out = tmp_path / "fit.json"
    done = _run("fit", sleep, "--formula", "y ~ days + (1 | subject)", "--json", "-o", out)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    kept = json.loads(out.read_text())
    assert kept.pop("provenance")["parameters"]["formula"] == "y ~ days + (1 | subject)"
    assert printed == kept
    assert [row["term"] for row in printed["fixed"]] == ["(Intercept)", "days"]
    assert printed["fixed"][1]["estimate"] == pytest.approx(10, abs=2.5)


def test_fit_summary_names_its_degrees_of_freedom(sleep) -> None:
    assert "Kenward-Roger" in _run("fit", sleep, "--formula", "y ~ days + (1 | subject)").stdout


@pytest.mark.parametrize(
    ("formula", "words"),
    [("y ~ dayz + (1 | subject)", "days"), ("y ~ days +", "formula"), ("y ~ days + (1 | nobody)", "nobody")],
)
def test_a_wrong_formula_is_one_message(sleep, formula, words) -> None:
    done = _run("fit", sleep, "--formula", formula)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_meta_pools(tmp_path) -> None:
    path = tmp_path / "t.csv"
    pd.DataFrame({"lab": ["a", "b", "c"], "yi": [0.1, 0.2, 0.4], "se": [0.1, 0.1, 0.2]}).to_csv(
        path, index=False
    )
    done = _run(
        "meta",
        path,
        "--effect",
        "yi",
        "--variance",
        "se**2",
        "--method",
        "ee",
        "--test",
        "z",
        "--slab",
        "lab",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["estimate"] == pytest.approx((10 + 20 + 10) / 225)  # weights 100, 100, 25
    assert [each["label"] for each in found["studies"]] == ["a", "b", "c"]


def test_switch_prints_the_verdict_and_json(tmp_path) -> None:
    rng = np.random.default_rng(2)
    cells = tmp_path / "cells.parquet"
    cells_table(simulate_study(SCENARIOS["no effect"], n_animals=2, n_neurons=10, rng=rng)).to_parquet(cells)
    done = _run("switch", cells, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["arms"]["ketamine"]["verdict"] == "not_enough_animals"
    assert "not_enough_animals" in _run("switch", cells).stdout


@pytest.mark.parametrize("option", [("--reference", "sailne"), ("--cell-type", "exitatory")])
def test_a_word_that_is_not_in_the_cells_is_one_message(tmp_path, option) -> None:
    cells = tmp_path / "cells.parquet"
    study = simulate_study(SCENARIOS["no effect"], n_animals=2, n_neurons=5, rng=np.random.default_rng(2))
    cells_table(study).to_parquet(cells)
    done = _run("switch", cells, *option)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert option[1] in done.stderr


def test_a_table_of_another_kind_is_refused(sleep) -> None:
    done = _run("switch", sleep)
    assert done.returncode == 1
    assert "missing-column" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", sorted(commands.commands))
def test_every_command_explains_itself(command) -> None:
    done = CliRunner().invoke(commands, [command, "--help"])
    assert done.exit_code == 0
    assert len(commands.commands[command].help or "") > 30


def test_fit_counts_the_rows_that_where_leaves_out(sleep) -> None:
    done = _run("fit", sleep, "--formula", "y ~ days + (1 | subject)", "--where", "days < 5", "--json")
    found = json.loads(done.stdout)
    assert (found["n"], found["info"]["n_excluded"]) == (40, 8)


def test_an_output_of_the_wrong_kind_is_wrong_usage(tmp_path) -> None:
    done = _run("measure", tmp_path, "-o", tmp_path / "cells.csv")
    assert done.returncode == 2
    assert ".parquet" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_output_below_a_file_is_one_message(sleep) -> None:
    done = _run("fit", sleep, "--formula", "y ~ days + (1 | subject)", "-o", sleep / "fit.json")
    assert done.returncode == 1
    assert "sleep.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cache_that_cannot_be_written_is_wrong_usage(tmp_path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = _run("measure", tmp_path, "-o", tmp_path / "cells.parquet", "--cache", tmp_path / "file" / "cache")
    assert done.returncode == 2
    assert "'--cache'" in done.stderr
    assert "cannot be written" in done.stderr
