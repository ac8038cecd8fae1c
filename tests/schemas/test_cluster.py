"""The loop over sessions on a dask cluster: same results, progress, errors in words."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path

import pytest
from dying_worker import die, value_then_die

from nwbswitch.schemas import cluster, progress
from nwbswitch.schemas.cluster import ClusterExecutor, connected
from nwbswitch.schemas.errors import MissingExtraError, NwbswitchError
from nwbswitch.schemas.jobs import run_jobs
from nwbswitch.schemas.progress import job_progress


def halve(number: int) -> int:
    report = job_progress()
    for done in (1, 2):
        report(done * 10**9, 2 * 10**9)
        time.sleep(0.3)
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


def test_no_scheduler_is_no_executor() -> None:
    with connected(None) as executor:
        assert executor is None


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"distributed.*nwbswitch\[cluster\]"), connected("tcp://a:1"):
        pass


@pytest.fixture(params=["in this process", "processes"], scope="module")
def address(request) -> Iterator[str]:
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=request.param == "processes",
        dashboard_address=None,
        protocol="tcp",
        silence_logs=50,
    ) as made:
        yield made.scheduler_address


def test_jobs_on_a_cluster_keep_order_and_failures_and_tell_how_far_they_are(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    with connected(address) as executor:
        assert isinstance(executor, ClusterExecutor)
        outcomes = run_jobs(halve, [4, 3, 2], label="halve", executor=executor)
        assert [each.value for each in outcomes] == [2, None, 1]
        assert outcomes[1].reason == "ValueError: 3 is odd"
    shown = capsys.readouterr().err
    assert "halve 3/3" in shown
    assert "4 50 % of 2.00 GB" in shown


def test_the_same_job_twice_is_done_twice(address: str, tmp_path: Path) -> None:
    with connected(address) as executor:
        for _ in range(2):
            run_jobs(_note, [str(tmp_path / "notes")], label="x", executor=executor, quiet=True)
    assert (tmp_path / "notes").read_text() == "xx"


def _note(path: str) -> None:
    with Path(path).open("a") as stream:
        stream.write("x")


def test_an_executor_is_shut_down_like_any_other(address: str) -> None:
    with connected(address) as executor:
        assert executor is not None
        slow = [executor.submit(halve, number) for number in (4, 4, 4, 4)]
        executor.shutdown(wait=True, cancel_futures=True)
        assert all(each.done() for each in slow)
        assert any(each.cancelled() for each in slow)
        with pytest.raises(RuntimeError, match="shut down"):
            executor.submit(halve, 2)
    with connected(address) as executor:
        assert executor is not None
        with executor:
            last = executor.submit(halve, 4)
    assert last.result(timeout=0) == 2


@pytest.fixture
def mortal(request) -> Iterator[str]:
    """A cluster of one worker process, started again when it dies; jobs may die so many times."""
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    dask = pytest.importorskip("dask")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": request.param}),
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as made,
    ):
        yield made.scheduler_address


@pytest.mark.parametrize("mortal", [0], indirect=True)
def test_a_worker_that_dies_in_each_try_is_told_in_words(mortal: str) -> None:
    with connected(mortal) as executor:
        (outcome,) = run_jobs(die, [0], label="die", executor=executor, quiet=True)
        assert isinstance(outcome.error, NwbswitchError)
        assert outcome.reason.startswith("the worker of the cluster that did this ended 1 time before")
        assert "Memory may have run out" in outcome.reason
        (outcome,) = run_jobs(halve, [4], label="halve", executor=executor, quiet=True)
        assert outcome.value == 2


@pytest.mark.parametrize("mortal", [3], indirect=True)
def test_a_result_whose_worker_died_is_made_again(mortal: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with connected(mortal) as executor:
        (outcome,) = run_jobs(value_then_die, [str(mark)], label="x", executor=executor, quiet=True)
        assert outcome.value == 7
        assert run_jobs(halve, [4], label="halve", executor=executor, quiet=True)[0].value == 2
    assert mark.exists()


class _Begun:
    """A call on a cluster that ended in one way."""

    def __init__(self, end: object) -> None:
        self._end = end

    def __await__(self) -> Generator[None, None, object]:
        yield from ()
        if isinstance(self._end, BaseException):
            raise self._end
        return self._end


@pytest.mark.parametrize("end", [3, ValueError("odd"), CancelledError("gone")])
@pytest.mark.parametrize("given_up", [False, True])
def test_every_end_of_a_call_reaches_its_caller(end: object, given_up: bool) -> None:
    future: Future[object] = Future()
    if given_up:
        future.cancel()
    asyncio.run(cluster._hand_on(_Begun(end), future))
    assert future.done()
    if given_up or isinstance(end, CancelledError):
        assert future.cancelled()
    elif isinstance(end, ValueError):
        assert future.exception(timeout=0) is end
    else:
        assert future.result(timeout=0) == end


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="distributed is not installed")
    monkeypatch.setattr(cluster, "_CONNECT_S", 1)
    for wrong in ("tcp://127.0.0.1:1", "nonsense://a"):
        with pytest.raises(NwbswitchError, match="no dask scheduler answers"), connected(wrong):
            pass


_SCRIPT = """
import sys, time
from nwbswitch.schemas.cluster import connected
from nwbswitch.schemas.jobs import run_jobs
with connected(sys.argv[1]) as executor:
    print(flush=True)
    run_jobs(time.sleep, [15, 15], label="x", executor=executor, quiet=True)
"""


def test_ctrl_c_returns(address: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    try:
        _, error = process.communicate(timeout=10)
    finally:
        process.kill()
    assert b"KeyboardInterrupt" in error
