"""Measuring on a dask cluster of which a worker is killed: the same table as without any cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from dying_worker import die_in_job

from nwbswitch.analysis.measure import measure
from nwbswitch.schemas.cluster import ClusterExecutor

distributed = pytest.importorskip("distributed", reason="distributed is not installed")

N_SESSIONS = 6

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is that of Linux")


@pytest.fixture(scope="module")
def folder(nwb_files: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("nwb")
    for index in range(N_SESSIONS):
        animal = f"m{index // 2}"
        drug = nwb_files.KETAMINE if index % 2 else nwb_files.SALINE
        nwb_files.write_nwb(
            made / f"{index}.nwb",
            {"RoiResponseSeries": nwb_files.make_traces(3 + index, seed=index)},
            subject_id=animal,
            session_id=f"s{index % 2}",
            drugs=[drug],
        )
    return made


@pytest.fixture
def client() -> Iterator[distributed.Client]:
    """A client of a cluster with two worker processes, which are started again when they die."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.mark.parametrize("nth", [1, 2])
def test_a_killed_worker_changes_nothing(
    folder: Path, client: distributed.Client, tmp_path: Path, nth: int
) -> None:
    workers = client.run(os.getpid)
    assert len(workers) == 2
    doomed = sorted(workers)[0]
    assert client.run(die_in_job, nth, ".nwb", workers=[doomed]) == {doomed: workers[doomed]}
    if nth > 1:  # without the other worker the doomed one is sure to come to its second job
        client.retire_workers([address for address in workers if address != doomed])
    afar = measure(folder, out=tmp_path / "cells.parquet", executor=ClusterExecutor(client))
    here = measure(folder)
    assert workers[doomed] not in client.run(os.getpid).values()
    assert not Path(f"/proc/{workers[doomed]}").exists()
    assert afar.ok
    assert afar.issues == here.issues
    pd.testing.assert_frame_equal(afar.cells, here.cells, check_exact=True)
    assert len(afar.cells[["animal", "session"]].drop_duplicates()) == N_SESSIONS
    assert measure(folder, out=tmp_path / "cells.parquet").issues == here.issues
