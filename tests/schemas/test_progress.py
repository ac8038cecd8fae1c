"""Progress: told by jobs of every kind, shown in few plain lines or as bars."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from threading import Thread

import pytest

from nwbswitch.schemas import progress
from nwbswitch.schemas.jobs import run_jobs
from nwbswitch.schemas.progress import Step, job_progress, readable_bytes, readable_seconds, reporting


def work(number: int) -> int:
    report = job_progress()
    for done in range(1, 5):
        report(done * 10**9, 4 * 10**9)
        time.sleep(0.02)
    return number


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("kind", ["here", "processes", "threads"])
def test_jobs_of_every_kind_tell_how_far_they_are(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    executor: Executor | None = ThreadPoolExecutor(1) if kind == "threads" else None
    run_jobs(work, [1, 2], label="x", workers=2 if kind == "processes" else 1, executor=executor)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith(("x 1/2 ", "x 2/2 ")) and "done" not in line]
    assert any("x 0/2 done, " in line and " % in all" in line for line in lines)
    assert any("1 25 % of 4.00 GB" in line for line in lines)
    assert any("2 100 % of 4.00 GB" in line for line in lines)
    if executor is not None:
        executor.shutdown()


def test_lines_are_few(capsys: pytest.CaptureFixture[str]) -> None:
    run_jobs(work, [1, 2], label="x")
    assert capsys.readouterr().err.splitlines() == ["x 1/2 1", "x 2/2 2"]


@pytest.mark.usefixtures("often")
def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    run_jobs(work, [1, 2], label="x", workers=2, quiet=True)
    assert capsys.readouterr().err == ""


def test_reports_are_throttled_but_the_last_one_is_told() -> None:
    told: list[Step] = []
    with reporting(3, told.append):
        report = job_progress("frames")
    for done in range(1, 1001):
        report(done, 1000)
    assert told[0] == Step(3, 1, 1000, "frames")
    assert told[-1] == Step(3, 1000, 1000, "frames")
    assert len(told) < 20
    assert str(told[-1]) == "100 % of 1000 frames"


def test_reports_come_from_any_thread_and_go_nowhere_outside_a_job() -> None:
    told: list[Step] = []
    with reporting(0, told.append):
        thread = Thread(target=job_progress(), args=(5, 5))
        thread.start()
        thread.join()
    assert told == [Step(0, 5, 5, "B")]
    job_progress()(1, 1)
    assert len(told) == 1


def test_an_unknown_total_is_no_progress() -> None:
    assert Step(0, 5, 0, "B").fraction == 0
    assert Step(0, 9, 5, "B").fraction == 1


class Terminal(io.StringIO):
    """Text that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("workers", [1, 2])
def test_a_terminal_shows_bars(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    run_jobs(fail_last, [1, 2, 3], label="step", workers=workers)
    shown = terminal.getvalue()
    assert "step 0/3:   0%" in shown
    assert "step 3/3: 100%" in shown
    assert "3: FAILED ValueError: last" in shown
    assert "/4.00G [" in shown


def fail_last(number: int) -> int:
    work(number)
    if number == 3:
        raise ValueError("last")
    return number


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (readable_bytes, 0, "0 B"),
        (readable_bytes, 999, "999 B"),
        (readable_bytes, 1000, "1.00 kB"),
        (readable_bytes, 1_574_000_000, "1.57 GB"),
        (readable_bytes, 99_960_000, "100 MB"),
        (readable_bytes, 999_600, "1.00 MB"),
        (readable_bytes, 20e12, "20.0 TB"),
        (readable_seconds, 0.42, "0.4 s"),
        (readable_seconds, 59, "59 s"),
        (readable_seconds, 125, "2 min 5 s"),
        (readable_seconds, 1800, "30 min"),
        (readable_seconds, 12000, "3 h 20 min"),
        (readable_seconds, 200_000, "2 d 7 h"),
    ],
)
def test_numbers_are_readable(function: Callable[[float], str], value: float, text: str) -> None:
    assert function(value) == text
