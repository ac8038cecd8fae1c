"""The loop over sessions: order kept, failures kept apart, any executor, plain progress."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from nwbswitch.schemas.errors import InputFileError, IssuesError
from nwbswitch.schemas.issues import issue
from nwbswitch.schemas.jobs import Outcome, run_jobs


class StubbornError(Exception):
    """Pickles, but cannot be unpickled: its constructor needs two arguments."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def halve(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


def stubborn(number: int) -> int:
    if number == 1:
        raise StubbornError("not", "portable")
    return number


def closure(number: int) -> object:
    return (lambda: number) if number == 1 else number


def vanish(number: int) -> int:
    os._exit(3)


def broken_file(path: str) -> str:
    raise InputFileError(path, "is damaged.")


def process_id(_: int) -> int:
    return os.getpid()


def interrupt(number: int) -> int:
    if number == 1:
        raise KeyboardInterrupt
    return number


def test_outcomes_keep_order_and_failures(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = run_jobs(halve, [4, 3, 2], label="halve")
    assert [each.item for each in outcomes] == [4, 3, 2]
    assert [each.value for each in outcomes] == [2, None, 1]
    assert outcomes[1].reason == "ValueError: 3 is odd"
    assert [each.reason for each in outcomes if each.value] == ["", ""]
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == ["halve 1/3 4", "halve 2/3 3: FAILED ValueError: 3 is odd", "halve 3/3 2"]


def test_quiet_and_describe(capsys: pytest.CaptureFixture[str]) -> None:
    run_jobs(halve, [4], label="halve", quiet=True)
    assert capsys.readouterr().err == ""
    run_jobs(halve, [4], label="halve", describe=lambda item: f"item {item}")
    assert capsys.readouterr().err == "halve 1/1 item 4\n"


def test_nothing_to_do() -> None:
    assert run_jobs(halve, [], label="halve", workers=3) == []
    with ThreadPoolExecutor(1) as pool:
        assert run_jobs(halve, [], label="halve", executor=pool) == []


def test_processes_give_the_same_as_one_process() -> None:
    items = [8, 3, 2, 8]
    alone = run_jobs(halve, items, label="halve", quiet=True)
    many = run_jobs(halve, items, label="halve", workers=2, quiet=True)
    assert [(each.item, each.value, each.reason) for each in many] == [
        (each.item, each.value, each.reason) for each in alone
    ]


def test_an_error_that_cannot_travel_does_not_take_the_others_along() -> None:
    outcomes = run_jobs(stubborn, [0, 1, 2, 3], label="x", workers=2, quiet=True)
    assert [each.value for each in outcomes] == [0, None, 2, 3]
    assert "StubbornError: not portable" in outcomes[1].reason


def test_a_value_that_cannot_travel_is_that_jobs_failure() -> None:
    outcomes = run_jobs(closure, [0, 1, 2], label="x", workers=2, quiet=True)
    assert [each.value for each in outcomes] == [0, None, 2]
    assert "local object" in outcomes[1].reason


def test_a_foreign_executor_is_used_and_left_open() -> None:
    with ThreadPoolExecutor(2) as pool:
        outcomes = run_jobs(halve, [2, 3], label="x", executor=pool, quiet=True)
        assert [each.value for each in outcomes] == [1, None]
        assert pool.submit(halve, 6).result() == 3


def test_one_item_stays_in_this_process() -> None:
    assert run_jobs(process_id, [1], label="x", workers=4, quiet=True)[0].value == os.getpid()


@pytest.mark.parametrize("threads", [False, True])
def test_an_interrupt_is_not_swallowed(threads: bool) -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(KeyboardInterrupt):
        run_jobs(interrupt, [0, 1, 2], label="x", executor=pool if threads else None, quiet=True)


def test_our_own_errors_are_told_without_their_class() -> None:
    (outcome,) = run_jobs(broken_file, ["a.tif"], label="x", quiet=True)
    assert outcome.reason == "a.tif: is damaged."


def several_findings(item: str) -> None:
    found = ["note", "error", "error"]
    codes = {"note": "not-stated", "error": "no-epochs"}
    raise IssuesError(
        [issue(codes[each], f"{each} {n}.", remedy="Do.\nx: 1") for n, each in enumerate(found)]
    )


def test_the_line_of_a_job_says_one_reason(capsys: pytest.CaptureFixture[str]) -> None:
    run_jobs(several_findings, ["a"], label="x")
    assert capsys.readouterr().err.splitlines() == ["x 1/1 a: FAILED error 1. (and 1 more)"]


@pytest.mark.parametrize("workers", [0, -1])
def test_workers_must_be_positive(workers: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        run_jobs(halve, [1], label="x", workers=workers)


def test_outcomes_can_be_pickled() -> None:
    outcome = Outcome("a", value=1)
    assert pickle.loads(pickle.dumps(outcome)) == outcome


def test_a_worker_that_dies_is_explained() -> None:
    outcomes = run_jobs(vanish, [1, 2, 3], label="die", workers=2, quiet=True)
    assert len(outcomes) == 3
    assert all("__main__" in each.reason and "fewer workers" in each.reason for each in outcomes)


@pytest.mark.parametrize("workers", [1, 2])
def test_values_can_be_put_away_as_they_come_in(workers: int) -> None:
    put_away = {}

    def receive(outcome: Outcome[int, int]) -> Outcome[int, int]:
        put_away[outcome.item] = outcome.value
        return Outcome(outcome.item, error=outcome.error)

    outcomes = run_jobs(halve, [2, 3, 4], label="x", workers=workers, receive=receive, quiet=True)
    assert put_away == {2: 1, 3: None, 4: 2}
    assert [each.value for each in outcomes] == [None, None, None]
    assert [bool(each.error) for each in outcomes] == [False, True, False]
