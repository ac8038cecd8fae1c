"""The command annotate, from files without a drug log to measured arms, cell types and identities."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import pandas as pd
import pytest

import nwbswitch
from nwbswitch.converters.convert import convert
from nwbswitch.converters.simulate import simulate_study

EPOCHS = """window,start_s,stop_s,relative_to
baseline,-660,-60,administration
drug,60,660,administration
pseudo_baseline,0,600,
pseudo_drug,720,1320,
"""
DROPPED = ("events", "intervals/analysis_epochs", "general/pharmacology", "general/external_resources")
TABLE = "processing/ophys/ImageSegmentation/PlaneSegmentation"


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nwbswitch", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated study, converted, and its files as they would be without anything about drugs and cells."""
    folder = tmp_path_factory.mktemp("study")
    simulate_study(folder, animals=1, neurons=5, movies=0)
    assert convert(folder / "study.yaml", folder / "nwb").ok
    nwbswitch.measure([folder / "nwb"], out=folder / "wanted/cells.parquet")
    rows = ["subject_id,session_id,roi,tracking_id"]
    for path in sorted((folder / "nwb").rglob("*.nwb")):
        with h5py.File(path, "r+") as file:
            names = [file[name].asstr()[()] for name in ("general/subject/subject_id", "general/session_id")]
            identities = file[f"{TABLE}/tracking_id"].asstr()[()].tolist()
            rows += [",".join([*names, str(roi), each]) for roi, each in enumerate(identities)]
            file[f"{TABLE}/tracking_id"][...] = ""
            file[f"{TABLE}/cell_type"][...] = "unknown"
            for name in DROPPED:
                del file[name]
    (folder / "tracking.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "epochs.csv").write_text(EPOCHS, encoding="utf-8")
    (folder / "types.yaml").write_text(
        "source: driver_line\nline: Camk2a-Cre; Ai94\ncell_type: excitatory\n", encoding="utf-8"
    )
    return folder


def test_annotated_files_pass_the_check_and_are_measured_as_before(study: Path) -> None:
    files = sorted((study / "nwb").rglob("*.nwb"))
    command = ["annotate", *files, "--drug-log", study / "raw/drug_log.csv", "--epochs", study / "epochs.csv"]
    command += ["--cell-types", study / "types.yaml", "--tracking", study / "tracking.csv"]
    planned = _run(*command, "--dry-run", "--json")
    assert planned.returncode == 0, planned.stderr
    assert {each["status"] for each in json.loads(planned.stdout)["files"]} == {"planned"}
    done = _run(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 annotated\n")
    assert "drug log of 1 row added" in done.stdout
    assert _run(*command).stdout == "2 unchanged\n"

    checked = _run("check", study / "nwb", "--json")
    assert checked.returncode == 0, checked.stdout
    found = [each["code"] for each in json.loads(checked.stdout)["issues"] if each["severity"] != "note"]
    assert not found

    measured = _run("measure", study / "nwb", "-o", study / "measured/cells.parquet")
    assert measured.returncode == 0, measured.stderr
    cells, wanted = (
        pd.read_parquet(study / name) for name in ("measured/cells.parquet", "wanted/cells.parquet")
    )
    assert set(cells["arm"]) == {"saline", "ketamine"}
    assert set(cells["cell_type"]) == {"excitatory"}
    kept = ["animal", "session", "arm", "window", "neuron", "tracking_id", "block", "n_events", "cell_type"]
    assert cells[kept].equals(wanted[kept])

    other = study / "other.csv"
    other.write_text((study / "raw/drug_log.csv").read_text(encoding="utf-8").replace("1380", "1381"))
    refused = _run("annotate", *files, "--drug-log", other)
    assert refused.returncode == 2
    assert "--overwrite" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_mistakes_are_told_in_words(study: Path, tmp_path: Path) -> None:
    path = sorted((study / "nwb").rglob("*.nwb"))[0]
    assert _run("annotate", path).returncode == 2
    assert "nothing to add" in _run("annotate", path).stderr
    log = tmp_path / "log.csv"
    log.write_text("subject_id,session_id,timestamp_s,substance\nSIM09,day1,9,saline\n")
    done = _run("annotate", path, "--drug-log", log, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["ok"] is False
    assert "Did you mean 'SIM09'?" in done.stderr
    done = _run("annotate", path, "--drug-log", tmp_path / "none.csv")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_the_face_hands_annotate_on() -> None:
    assert nwbswitch.annotate.__name__ == "annotate"
