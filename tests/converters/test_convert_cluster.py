"""Conversion on a dask cluster: the same files, and nothing of a run whose client is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest

from nwbswitch.converters.convert import convert
from nwbswitch.converters.simulate import simulate_study
from nwbswitch.schemas.files import PARTIAL

distributed = pytest.importorskip("distributed", reason="distributed is not installed")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    return simulate_study(tmp_path_factory.mktemp("study"), animals=2, neurons=5, movies=2)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster.scheduler_address


def _command(study: Path, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "nwbswitch", "convert", str(study), "-o", str(out), *options]


def test_a_cluster_writes_the_same_files(study: Path, address: str, tmp_path: Path) -> None:
    afar, here = tmp_path / "afar", tmp_path / "here"
    done = subprocess.run(
        _command(study, afar, "--scheduler", address), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "convert 4/4" in done.stderr
    assert (afar / ".nwbswitch/logs/sub-SIM01_ses-day1.log").read_text().count("1 threads") == 1
    paths = convert(study, here).paths
    assert len(paths) == 4
    for path in paths:
        with h5py.File(path) as one, h5py.File(afar / path.relative_to(here)) as other:
            assert one["identifier"][()] == other["identifier"][()]
    assert [each.status for each in convert(study, afar).sessions] == ["present"] * 4


def test_workers_and_a_cluster_are_not_both_wanted(study: Path, address: str, tmp_path: Path) -> None:
    options = ("--scheduler", address, "--workers", "2")
    done = subprocess.run(_command(study, tmp_path, *options), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--workers or --scheduler" in done.stderr


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGINT])
def test_what_still_runs_after_its_client_is_gone_leaves_nothing(
    study: Path, address: str, tmp_path: Path, signal_: signal.Signals
) -> None:
    out = tmp_path / "out"
    client = subprocess.Popen(
        _command(study, out, "--scheduler", address),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(out.rglob(f"{PARTIAL}*.nwb")):
        assert client.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(client.pid, signal_)
    client.wait(10)
    result = convert(study, out)
    assert result.ok
    time.sleep(3)
    assert not list(out.rglob(f"{PARTIAL}*"))
    assert [each.status for each in convert(study, out).sessions] == ["present"] * 4
