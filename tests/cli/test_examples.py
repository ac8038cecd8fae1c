"""The examples of the documentation, run on the recordings they name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]


def _run(shared: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nwbswitch", *map(str, arguments)]
    environment = {**os.environ, "NWBSWITCH_SHARED": str(shared)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def treadmill(shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("treadmill")
    study = ROOT / "examples" / "treadmill" / "study.yaml"
    results = folder / "results"
    shown = _run(shared, "convert", study, "-o", folder / "nwb").stderr
    checked = json.loads(_run(shared, "check", folder / "nwb", "--json").stdout)
    _run(shared, "measure", folder / "nwb", "-o", results / "cells.parquet", "--block-s", "6")
    switch = ["switch", results / "cells.parquet", "-o", results / "estimates.csv", "--json"]
    result = json.loads(_run(shared, *switch).stdout)
    page = _run(shared, "report", results, "-o", folder / "report.html").stdout.strip()
    return folder, shown, checked, result, Path(page).read_text()


def test_the_file_has_no_error_and_nothing_critical(treadmill) -> None:
    _, _, checked, _, _ = treadmill
    assert checked["ok"] is True
    assert len(checked["files"]) == 1
    assert not [each for each in checked["issues"] if each["severity"] == "error"]


def test_movie_rate_traces_and_speed_are_those_of_the_source(treadmill, shared) -> None:
    import tifffile

    folder, *_ = treadmill
    source = shared / "data" / "two_photon_mouse_treadmill"
    with h5py.File(next((folder / "nwb").rglob("*.nwb"))) as file:
        movie = next(
            each for each in file["acquisition"].values() if each.attrs["neurodata_type"] == "TwoPhotonSeries"
        )
        np.testing.assert_array_equal(
            movie["data"][:].transpose(0, 2, 1), tifffile.imread(source / "movie.tif")
        )
        assert movie["starting_time"].attrs["rate"] == 7.0
        traces = file["processing/ophys/Fluorescence/RoiResponseSeries"]
        np.testing.assert_array_equal(traces["data"][:].T, np.load(source / "suite2p/plane0/F.npy"))
        assert traces["starting_time"].attrs["rate"] == 7.0
        assert traces["starting_time"][()] == movie["starting_time"][()] == 0.0
        found = []
        file["processing/behavior"].visititems(
            lambda name, each: found.append(each) if name.endswith("runningSpeed/data") else None
        )
        speed = pd.read_csv(source / "covariates.csv")["runningSpeed"]
        np.testing.assert_allclose(found[0][:], speed)


def test_what_the_source_does_not_state_is_marked(treadmill) -> None:
    folder, shown, *_ = treadmill
    assert "subject.age is not stated by the source" in shown
    with h5py.File(next((folder / "nwb").rglob("*.nwb"))) as file:
        text = file["session_description"][()].decode() + file["general/notes"][()].decode()
        assert "placeholder" in text.lower()
        for name in ("subject.age", "subject.sex", "start_time"):
            assert name in text
        assert file["general/subject/age"][()].decode() == "P0D/"


def test_without_a_drug_there_is_the_pseudo_injection_and_no_verdict(treadmill) -> None:
    _, _, _, result, page = treadmill
    assert result["arms"]["none"]["verdict"] == "not_enough_animals"
    assert result["arms"]["none"]["contrast"] == "pseudo"
    assert "No drug was given" in page
    assert "1 animal, 6 needed" in page
    assert "blocks of 6 s" in page


RESPONSES = {
    "event rate": "branch eventrate",
    "amplitude": "branch amplitude",
    "frequency": "branch frequency",
}


@pytest.fixture(scope="module")
def psilocybin(shared, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("psilocybin")
    _run(shared, "run", ROOT / "examples/psilocybin/analysis.yaml", "-o", folder / "out")
    return folder / "out"


@pytest.mark.parametrize("name", RESPONSES)
def test_the_psilocybin_plan_gives_the_numbers_of_lme4(shared, psilocybin, name) -> None:
    table = shared / "data" / "drug_table_psilocybin"
    expected = json.loads((table / "lme4_reference.json").read_text())[RESPONSES[name]]
    found = json.loads((psilocybin / f"models/{name}.json").read_text())

    def same(value: float, reference: float) -> None:
        assert value == pytest.approx(reference, rel=1e-4, abs=1e-12)

    assert found["n"] == expected["n"]
    same(found["criterion"], expected["reml"])
    assert found["info"]["singular"] is expected["singular"]
    for row in found["fixed"]:
        same(row["estimate"], expected["fixef"][row["term"]])
        same(row["se"], expected["se"][row["term"]])
    assert {row["term"] for row in found["fixed"]} == set(expected["fixef"])
    for row, reference in zip(found["anova"], expected["anova"], strict=True):
        assert row["term"] == reference["term"]
        same(row["f"], reference["F value"])
        same(row["den_df"], reference["DenDF"])
    for row in found["random"]:
        same(row["sd"], expected["sd"][row["group"]])


def test_regression_to_the_mean_is_computed_beside_the_answer(psilocybin, shared) -> None:
    check = json.loads((psilocybin / "models/event rate.json").read_text())["change"]
    rows = {each["term"]: each for each in check["coefficients"]}
    interaction = rows["treatmentsaline:cell_typePT"]
    assert interaction["estimate"] == pytest.approx(-0.20644, abs=1e-4)
    assert interaction["by_exchange"] == pytest.approx(-0.0459, abs=1e-3)
    assert interaction["log2_p"] == pytest.approx(0.0171, abs=1e-3)
    table = pd.read_csv(shared / "data/drug_table_psilocybin/branches.csv")
    table = table[(table["eventrate_post"] - table["eventrate_pre"]) / table["eventrate_pre"] < 8]
    change = table["eventrate_post"] - table["eventrate_pre"]
    assert check["correlation_with_baseline"] == pytest.approx(change.corr(table["eventrate_pre"]), rel=1e-9)
    page = (psilocybin / "report.html").read_text()
    assert "Does psilocybin change event rates of dendrites" in page
    assert "treatment × cell_type P = 0.0061" in page
    assert "By exchange alone" in page


def test_the_plan_is_repeated_with_the_same_numbers(psilocybin, shared) -> None:
    again = _run(shared, "run", "--repeat", psilocybin / "record.json", "-o", psilocybin.with_name("again"))
    assert "The same numbers as recorded, in 3 files." in again.stdout
