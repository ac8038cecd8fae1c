"""Worker processes: one that dies takes its own job along only, and all can be ended at once."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from nwbswitch.schemas.workers import WorkerEndedError, WorkerPool, tell_main


def add(one: int, two: int = 0) -> int:
    return one + two


def pid() -> int:
    return os.getpid()


def die(exit_code: int) -> None:
    if exit_code < 0:
        os.kill(os.getpid(), -exit_code)
        time.sleep(60)
    os._exit(exit_code)


def tell(count: int) -> int:
    for number in range(count):
        tell_main(number)
    return count


def ignore_interrupts() -> bool:
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def sleep(mark: str) -> None:
    Path(mark).touch()
    time.sleep(60)


def much() -> bytes:
    return bytes(30_000_000)


class Unreadable:
    """Pickles, but cannot be read again."""

    def __reduce__(self) -> tuple[object, ...]:
        return int, ("no number",)


def unreadable() -> Unreadable:
    return Unreadable()


def test_calls_and_their_values() -> None:
    with WorkerPool(2) as pool:
        futures = [pool.submit(add, number, two=1) for number in range(5)]
        assert [each.result(60) for each in futures] == [1, 2, 3, 4, 5]
        assert len(pool.submit(much).result(60)) == 30_000_000
    with pytest.raises(RuntimeError, match="no more work"):
        pool.submit(pid)


def test_a_process_serves_many_calls_until_the_end() -> None:
    with WorkerPool(1) as pool:
        first = pool.submit(pid).result(60)
        assert first != os.getpid()
        assert pool.submit(pid).result(60) == first
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


@pytest.mark.parametrize("exit_code", [0, 3, -signal.SIGKILL, -signal.SIGSEGV])
def test_a_process_that_dies_takes_one_job_along(exit_code: int) -> None:
    with WorkerPool(1) as pool:
        before, lost, after = pool.submit(pid), pool.submit(die, exit_code), pool.submit(pid)
        error = lost.exception(60)
        assert isinstance(error, WorkerEndedError)
        assert error.exit_code == exit_code
        assert after.result(60) != before.result(60)


def test_what_jobs_tell_is_heard_in_order() -> None:
    heard: list[int] = []
    with WorkerPool(1, listen=heard.append) as pool:
        assert pool.submit(tell, 100).result(60) == 100
    assert heard == list(range(100))
    assert tell_main(1) is False


def test_a_listener_that_fails_does_not_end_the_job() -> None:
    def fail(message: object) -> None:
        raise RuntimeError

    with WorkerPool(1, listen=fail) as pool:
        assert pool.submit(tell, 3).result(60) == 3
        assert pool.submit(add, 1).result(60) == 1


def test_what_cannot_travel_fails_alone() -> None:
    with WorkerPool(1) as pool:
        with pytest.raises(Exception, match="pickle|local object"):
            pool.submit(lambda: 1).result(60)
        with pytest.raises(ValueError, match="no number"):
            pool.submit(unreadable).result(60)
        with pytest.raises(ValueError, match="no number"):
            pool.submit(add, Unreadable()).result(60)  # type: ignore[arg-type]
        assert pool.submit(add, 1).result(60) == 1


def test_workers_do_not_hear_ctrl_c() -> None:
    with WorkerPool(1) as pool:
        assert pool.submit(ignore_interrupts).result(60)


def test_all_are_ended_at_once(tmp_path: Path) -> None:
    pool = WorkerPool(2)
    running = [pool.submit(sleep, str(tmp_path / name)) for name in "ab"]
    waiting = pool.submit(pid)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    started = time.monotonic()
    pool.kill()
    assert time.monotonic() - started < 5
    assert all(isinstance(each.exception(5), WorkerEndedError) for each in running)
    assert waiting.cancelled()


def test_processes_that_are_sending_are_ended_too() -> None:
    """A pool whose queues are shared waits for good for the rest of a result of a process that is gone."""
    for round_ in range(6):
        pool = WorkerPool(2)
        pool.submit(pid).result(60)
        futures = [pool.submit(much) for _ in range(40)]
        time.sleep(0.03 * round_)
        started = time.monotonic()
        pool.kill()
        assert time.monotonic() - started < 5
        assert all(each.cancelled() or each.done() for each in futures)


def test_processes_that_are_only_starting_are_ended_too() -> None:
    for delay_s in (0, 0.02, 0.1):
        pool = WorkerPool(3)
        futures = [pool.submit(pid) for _ in range(3)]
        time.sleep(delay_s)
        started = time.monotonic()
        pool.kill()
        assert time.monotonic() - started < 5
        assert all(each.cancelled() or each.done() for each in futures)
