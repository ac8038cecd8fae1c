"""The main job: from nothing to a report, stopped and taken up again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from nwbswitch.schemas.files import PARTIAL
from nwbswitch.schemas.tables import CELLS, ESTIMATES


def _demo(out: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "nwbswitch", "demo", str(out), "--animals", "2", *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def _finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out, err


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Return a demo that was killed while converting, then finished; with the files found in between."""
    out = tmp_path_factory.mktemp("demo") / "out"
    process = _demo(out, "--workers", "1")
    deadline = time.monotonic() + 240
    while not list(out.glob("nwb/sub-*/sub-*.nwb")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finished = {path: path.stat().st_mtime_ns for path in out.glob("nwb/sub-*/sub-*.nwb")}
    printed, shown = _finish(_demo(out, "--workers", "2"))
    return out, finished, printed, shown


def test_it_leaves_what_it_promises(killed) -> None:
    out, _, printed, shown = killed
    assert Path(printed.strip()) == out / "report.html"
    assert len(list(out.glob("nwb/sub-*/sub-*.nwb"))) == 4
    made = ("raw/drug_log.csv", "raw/sessions.csv", "study.yaml", "analysis.yaml", "report.html")
    for name in (*made, "results/result.json", "results/record.json", "results/sessions.csv"):
        assert (out / name).is_file()
    assert CELLS.issues(pd.read_parquet(out / "results" / "cells.parquet")) == []
    assert ESTIMATES.issues(pd.read_csv(out / "results" / "estimates.csv")) == []
    assert "convert 4/4" in shown


def test_finished_sessions_are_not_made_again(killed) -> None:
    _, finished, _, _ = killed
    assert finished
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def test_nothing_half_written_stays(killed) -> None:
    out, _, _, _ = killed
    assert not [path for path in out.rglob("*") if path.name.startswith(PARTIAL)]


def test_everything_says_simulated(killed) -> None:
    out, _, _, _ = killed
    assert json.loads((out / "results" / "result.json").read_text())["simulated"] is True
    assert "SIMULATED" in (out / "report.html").read_text().upper()
    assert "SIMULATED" in (out / "analysis.yaml").read_text()
    assert "SIMULATED" in (out / "study.yaml").read_text()
    assert pd.read_parquet(out / "results" / "cells.parquet")["simulated"].all()


def test_a_third_run_finds_everything_done(killed) -> None:
    out, _, _, _ = killed
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    _finish(_demo(out))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before


def test_other_parameters_are_refused(killed) -> None:
    out, _, _, _ = killed
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    process = _demo(out, "--world", "gain")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "Traceback" not in err
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before
