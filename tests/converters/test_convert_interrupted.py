"""Conversions that are killed, interrupted or run out of disk leave finished files only, and resume.

NWBSWITCH_ROUNDS sets how often each is tried at a random moment.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from pynwb import NWBHDF5IO

from nwbswitch.converters.convert import convert
from nwbswitch.schemas.files import PARTIAL

ROUNDS = int(os.environ.get("NWBSWITCH_ROUNDS", "2"))
SESSIONS = ("d1", "d2", "d3", "d4")
SHAPE = (400, 96, 112)

STUDY = """
study: {name: interrupted, title: A study that is interrupted}
timezone: UTC
defaults:
  description: A movie and nothing else.
  imaging: {indicator: GCaMP6s, excitation_lambda_nm: 920, emission_lambda_nm: 510, region: VISp}
  streams:
    movie: {format: tiff_movie, path: "{session_id}.tif", rate_hz: 30}
subjects:
  - {subject_id: m1, species: Mus musculus, sex: F, age: P90D}
sessions:
"""


def _movie(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 4000, SHAPE).astype(np.int16)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("interrupted")
    for number, name in enumerate(SESSIONS):
        tifffile.imwrite(folder / f"{name}.tif", _movie(number), photometric="minisblack")
    rows = [
        f"  - {{subject_id: m1, session_id: {name}, start_time: 2026-01-0{k + 1}T10:00}}"
        for k, name in enumerate(SESSIONS)
    ]
    (folder / "study.yaml").write_text(STUDY + "\n".join(rows) + "\n", encoding="utf-8")
    return folder / "study.yaml"


def _start(study: Path, out: Path, *options: str, **more) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "nwbswitch", "convert", str(study), "-o", str(out), *options]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, **more
    )


@pytest.fixture(scope="module")
def seconds(study, tmp_path_factory) -> float:
    """Return how long a whole conversion takes."""
    started = time.monotonic()
    assert _start(study, tmp_path_factory.mktemp("whole") / "out", "--workers", "2").wait(120) == 0
    return time.monotonic() - started


def _finished(out: Path) -> Iterator[Path]:
    yield from (path for path in out.rglob("*.nwb") if not path.name.startswith(PARTIAL))


def _check(path: Path) -> None:
    """Raise unless a file holds what its session holds."""
    name = path.name.split("_ses-")[1].split("_")[0]
    with h5py.File(path) as file:
        stored = file["acquisition/TwoPhotonSeries/data"][:]
    assert np.array_equal(stored.transpose(0, 2, 1), _movie(SESSIONS.index(name)))
    with NWBHDF5IO(path, "r") as io:
        assert io.read().session_id == name


def _resume(study: Path, out: Path) -> None:
    """Go on with a conversion and check that it made nothing again and left nothing behind."""
    before = {path: path.stat().st_mtime_ns for path in _finished(out)}
    result = convert(study, out)
    assert result.ok
    statuses = {each.path: each.status for each in result.sessions}
    assert {path: statuses[path] for path in before} == dict.fromkeys(before, "present")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(_finished(out))) == len(SESSIONS)
    for path in set(_finished(out)) - set(before):
        _check(path)
    assert not [path for path in out.rglob("*") if path.name.startswith(PARTIAL)]


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_run_that_is_killed_goes_on_from_its_finished_files(study, seconds, tmp_path, round_) -> None:
    random_ = random.Random(f"kill {round_}")
    out = tmp_path / "out"
    process = _start(study, out, "--workers", str(random_.choice([1, 2, 2, 3])))
    time.sleep(random_.uniform(0.35, 1.0) * seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    for path in _finished(out):
        _check(path)
    _resume(study, out)


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_workers_end_with_the_process_that_started_them(study, seconds, tmp_path, round_) -> None:
    random_ = random.Random(f"orphan {round_}")
    out = tmp_path / "out"
    process = _start(study, out, "--workers", "2")
    time.sleep(random_.uniform(0.35, 1.0) * seconds)
    process.kill()
    process.wait(10)
    deadline = time.monotonic() + 10
    while _group_is_alive(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    _resume(study, out)


def _group_is_alive(group: int) -> bool:
    """Tell whether a process of a group runs that is no zombie."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, found = status.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(found) == group and state != "Z":
            return True
    return False


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_an_interrupted_run_returns_at_once_and_leaves_nothing_half_written(
    study, seconds, tmp_path, round_
) -> None:
    random_ = random.Random(f"interrupt {round_}")
    out = tmp_path / "out"
    process = _start(study, out, "--workers", str(random_.choice([1, 2, 2, 3])))
    time.sleep(random_.uniform(0.05, 1.0) * seconds)
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert not [path for path in out.rglob("*") if path.name.startswith(PARTIAL)]
    for path in _finished(out):
        _check(path)
    _resume(study, out)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_full_disk_leaves_finished_files_only(study, tmp_path, workers) -> None:
    out = tmp_path / "out"

    def limit() -> None:
        # A file may grow to 3 MB, a session needs 6: writes beyond that fail as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))

    assert _start(study, out, "--workers", workers, preexec_fn=limit).wait(120) == 1
    assert list(_finished(out)) == []
    assert not [path for path in out.rglob("*") if path.name.startswith(PARTIAL)]
    told = (out / ".nwbswitch" / "convert.json").read_text()
    assert told.count("cannot be written: File too large") >= len(SESSIONS)
    _resume(study, out)
