"""The one loop over recording sessions: any executor, progress, and no job that stops another."""

from __future__ import annotations

import os
import pickle
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Generic, TypeVar, cast

from nwbswitch.schemas.cluster import in_words, listening, tell_cluster
from nwbswitch.schemas.errors import IssuesError, NwbswitchError
from nwbswitch.schemas.issues import Issue, Severity
from nwbswitch.schemas.progress import Progress, Step, reporting
from nwbswitch.schemas.safe_text import safe_line
from nwbswitch.schemas.workers import WorkerEndedError, WorkerPool, tell_main

Item = TypeVar("Item")
Value = TypeVar("Value")


_WORKERS_ENDED = (
    "a worker process ended before its work was done. A script that uses workers needs "
    "'if __name__ == \"__main__\":' around its calls; else memory may have run out: use fewer workers."
)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Item, Value]):
    """What became of one job: its value, or the error that ended it."""

    item: Item
    value: Value | None = None
    error: Exception | None = None

    @property
    def reason(self) -> str:
        """Why the job failed, in one line; empty when it did not."""
        if self.error is None:
            return ""
        if isinstance(self.error, IssuesError):
            return "; ".join(_in_one_line(each) for each in self.error.issues)
        if isinstance(self.error, NwbswitchError):
            return str(self.error)
        return f"{type(self.error).__name__}: {self.error}"

    @property
    def headline(self) -> str:
        """The first reason why the job failed, for the line of its progress; the others are counted."""
        if not isinstance(self.error, IssuesError):
            return self.reason
        found = self.error.issues
        first, *others = [each for each in found if each.severity is Severity.ERROR] or found
        return first.message + (f" (and {len(others)} more)" if others else "")


def _in_one_line(found: Issue) -> str:
    """Return a finding without its severity and, as the job has a name, without a place but a file."""
    place = f"{found.place}: " if found.place.file else ""
    return f"{place}{found.message} {found.remedy}".strip()


def cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_jobs(
    function: Callable[[Item], Value],
    items: Sequence[Item],
    *,
    label: str,
    workers: int = 1,
    executor: Executor | None = None,
    describe: Callable[[Item], str] = str,
    receive: Callable[[Outcome[Item, Value]], Outcome[Item, Value]] | None = None,
    quiet: bool = False,
) -> list[Outcome[Item, Value]]:
    """Apply ``function`` to every item and return the outcomes in the order of the items.

    Parameters
    ----------
    function
        Picklable when ``workers`` > 1 or a remote ``executor`` is used. It may tell how far it is by
        `nwbswitch.schemas.progress.job_progress`.
    items
        One per recording session.
    label
        Name of the step, shown with the progress.
    workers
        Number of processes; 1 runs in this process.
    executor
        Any `concurrent.futures.Executor`, e.g. that of a dask client; it is not shut down.
    describe
        Short name of an item for the progress line.
    receive
        Called in this process with each outcome as it comes in; what it returns takes its place, so that
        large values can be put away instead of being held until all jobs are done.
    quiet
        Show no progress.

    Notes
    -----
    Progress is bars on a terminal and plain lines otherwise, on standard error: one per finished item, and
    one every half minute while items run.
    An error of one job is kept in its outcome, and so is the death of its worker process. Ctrl-C cancels
    what has not begun and ends our own workers at once; what they had not finished is removed by the next
    run. What runs on an executor of the caller's cannot be ended from here.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    names = [safe_line(describe(item)) for item in items]
    progress = Progress(label, len(items), quiet=quiet)
    try:
        if executor is None and (workers == 1 or len(items) < 2):
            return _here(function, items, names, progress, receive or _as_it_is)
        return _afar(function, items, names, progress, executor, workers, receive or _as_it_is)
    finally:
        progress.close()


def _as_it_is(outcome: Outcome[Item, Value]) -> Outcome[Item, Value]:
    return outcome


def _here(
    function: Callable[[Item], Value],
    items: Sequence[Item],
    names: Sequence[str],
    progress: Progress,
    receive: Callable[[Outcome[Item, Value]], Outcome[Item, Value]],
) -> list[Outcome[Item, Value]]:
    outcomes = []
    # Code that runs in a destructor or a callback of a C library swallows exceptions, KeyboardInterrupt too.
    with _interrupts(lambda: None, at_once=True) as interrupted:

        def tell(step: Step) -> None:
            progress.advanced(step, names[step.place])

        for place, item in enumerate(items):
            with reporting(place, tell):
                outcomes.append(receive(_attempt(function, item)))
            if interrupted.is_set():
                raise KeyboardInterrupt
            progress.finished(place, names[place], outcomes[-1].headline)
    return outcomes


def _afar(
    function: Callable[[Item], Value],
    items: Sequence[Item],
    names: Sequence[str],
    progress: Progress,
    executor: Executor | None,
    workers: int,
    receive: Callable[[Outcome[Item, Value]], Outcome[Item, Value]],
) -> list[Outcome[Item, Value]]:
    """Run jobs on an executor; Ctrl-C is heard between two events only, never inside a lock of a pool."""
    events: SimpleQueue[int | None] = SimpleQueue()
    futures: dict[int, Future[Outcome[Item, Value]]] = {}
    found: dict[int, Outcome[Item, Value]] = {}

    def tell(step: Step) -> None:
        progress.advanced(step, names[step.place])

    with _interrupts(lambda: events.put(None)) as interrupted, _heard(tell, executor) as channel:
        own = WorkerPool(min(workers, len(items)), listen=tell) if executor is None else None
        pool = own if own is not None else cast("Executor", executor)
        try:
            for place, item in enumerate(items):
                futures[place] = pool.submit(_attempt_afar, function, item, place, channel)
                futures[place].add_done_callback(lambda _, place=place: events.put(place))  # type: ignore[misc]
            while len(found) < len(items):
                done = _next(events)
                if done is None:
                    raise KeyboardInterrupt
                found[done] = receive(_outcome(items[done], futures.pop(done)))
                progress.finished(done, names[done], found[done].headline)
        except BaseException:
            for future in futures.values():
                future.cancel()
            if own is not None:
                own.kill()
            raise
        if own is not None:
            own.shutdown()
        if interrupted.is_set():
            raise KeyboardInterrupt
    return [found[place] for place in range(len(items))]


def _next(events: SimpleQueue[int | None]) -> int | None:
    while True:
        try:
            # Without a time limit Windows would hear Ctrl-C only after the next event.
            return events.get(timeout=0.5)
        except Empty:
            continue


def _outcome(item: Item, future: Future[Outcome[Item, Value]]) -> Outcome[Item, Value]:
    try:
        error = future.exception()
    except CancelledError:
        error = NwbswitchError("it was cancelled before it was done.")
    if isinstance(error, BrokenExecutor | WorkerEndedError):
        return Outcome(item, error=NwbswitchError(_WORKERS_ENDED))
    if isinstance(error, Exception):
        return Outcome(item, error=in_words(error))
    if error is not None:
        raise error
    afar = future.result()
    return Outcome(item, value=afar.value, error=afar.error)


def _attempt(function: Callable[[Item], Value], item: Item) -> Outcome[Item, Value]:
    try:
        return Outcome(item, value=function(item))
    except Exception as error:
        return Outcome(item, error=error)


def _attempt_afar(
    function: Callable[[Item], Value], item: Item, place: int, channel: str
) -> Outcome[Item, Value]:
    """Run a job on an executor; an error that cannot travel back is replaced by one that can.

    An exception that pickles but does not unpickle would break the whole pool, and with it all other jobs.
    """
    with reporting(place, lambda step: _tell(channel, step)):
        outcome = _attempt(function, item)
    if outcome.error is not None:
        try:
            pickle.loads(pickle.dumps(outcome.error))  # noqa: S301 (made in this line)
        except Exception:
            outcome = Outcome(item, error=RuntimeError(outcome.reason))
    return Outcome(cast("Item", None), value=outcome.value, error=outcome.error)


_listeners: dict[str, Callable[[Step], None]] = {}


def _tell(channel: str, step: Step) -> None:
    """Send a step to the loop that waits for it: in this process, the parent's, or a cluster's client."""
    listener = _listeners.get(channel)
    if listener is not None:
        listener(step)
    elif not tell_main(step):
        tell_cluster(channel, step)


@contextmanager
def _heard(listener: Callable[[Step], None], executor: Executor | None) -> Iterator[str]:
    channel = secrets.token_hex(8)
    _listeners[channel] = listener
    try:
        with listening(executor, channel, listener):
            yield channel
    finally:
        del _listeners[channel]


@contextmanager
def _interrupts(wake: Callable[[], None], *, at_once: bool = False) -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C sets, besides calling ``wake`` and perhaps raising KeyboardInterrupt.

    A second Ctrl-C always raises. Other handlers than Python's own, and other threads than the main one, are
    left alone.
    """
    heard = threading.Event()
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or usual is not signal.default_int_handler:
        yield heard
        return

    def handle(number: int, frame: FrameType | None) -> Any:
        again = heard.is_set()
        heard.set()
        wake()
        if at_once or again:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handle)
    try:
        yield heard
    finally:
        signal.signal(signal.SIGINT, usual)
        sys.stderr.flush()
