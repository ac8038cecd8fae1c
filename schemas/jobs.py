"""The one loop over recording sessions: any executor, progress, and no job that stops another."""

from __future__ import annotations

import pickle
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from typing import Generic, TypeVar, cast

from nwbswitch.schemas.errors import IssuesError, NwbswitchError
from nwbswitch.schemas.issues import Issue

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


def _in_one_line(found: Issue) -> str:
    """Return a finding without its severity and, as the job has a name, without a place but a file."""
    place = f"{found.place}: " if found.place.file else ""
    return f"{place}{found.message} {found.remedy}".strip()


def run_jobs(
    function: Callable[[Item], Value],
    items: Sequence[Item],
    *,
    label: str,
    workers: int = 1,
    executor: Executor | None = None,
    describe: Callable[[Item], str] = str,
    quiet: bool = False,
) -> list[Outcome[Item, Value]]:
    """Apply ``function`` to every item and return the outcomes in the order of the items.

    Parameters
    ----------
    function
        Picklable when ``workers`` > 1 or a remote ``executor`` is used.
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
    quiet
        Show no progress.

    Notes
    -----
    Progress is a bar on a terminal and one line per finished item otherwise, on standard error.
    An error of one job is kept in its outcome; ``KeyboardInterrupt`` cancels what has not begun
    and ends our own workers at once; what they had not finished is removed by the next run.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    progress = _Progress(label, len(items), quiet=quiet)
    if executor is None and (workers == 1 or len(items) < 2):
        outcomes = []
        for item in items:
            outcomes.append(_attempt(function, item))
            progress.finished(describe(item), outcomes[-1].reason)
        progress.close()
        return outcomes
    with _pool(executor, min(workers, len(items))) as pool:
        futures: dict[Future[Outcome[Item, Value]], int] = {}
        found: dict[int, Outcome[Item, Value]] = {}
        try:
            for place, item in enumerate(items):
                futures[pool.submit(_attempt_afar, function, item)] = place
            for future in as_completed(futures):
                place = futures[future]
                error = future.exception()
                if isinstance(error, BrokenExecutor):
                    found[place] = Outcome(items[place], error=NwbswitchError(_WORKERS_ENDED))
                elif isinstance(error, Exception):
                    found[place] = Outcome(items[place], error=error)
                elif error is not None:
                    raise error
                else:
                    afar = future.result()
                    found[place] = Outcome(items[place], value=afar.value, error=afar.error)
                progress.finished(describe(items[place]), found[place].reason)
        except BaseException:
            for future in futures:
                future.cancel()
            if executor is None:
                _end_workers()
            raise
        finally:
            progress.close()
    return [found[place] for place in range(len(items))]


def _attempt(function: Callable[[Item], Value], item: Item) -> Outcome[Item, Value]:
    try:
        return Outcome(item, value=function(item))
    except Exception as error:
        return Outcome(item, error=error)


def _attempt_afar(function: Callable[[Item], Value], item: Item) -> Outcome[Item, Value]:
    """Run a job on an executor; an error that cannot travel back is replaced by one that can.

    An exception that pickles but does not unpickle would break the whole pool, and with it all other jobs.
    """
    outcome = _attempt(function, item)
    if outcome.error is not None:
        try:
            pickle.loads(pickle.dumps(outcome.error))  # noqa: S301 (made in this line)
        except Exception:
            outcome = Outcome(item, error=RuntimeError(outcome.reason))
    return Outcome(cast("Item", None), value=outcome.value, error=outcome.error)


def _pool(executor: Executor | None, workers: int) -> AbstractContextManager[Executor]:
    if executor is not None:
        return nullcontext(executor)
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_leave_interrupts)


def _leave_interrupts() -> None:
    """Let the main process alone hear Ctrl-C: a worker that hears it in a queue can block all others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end_workers() -> None:
    for child in active_children():
        child.terminate()


class _Progress:
    def __init__(self, label: str, total: int, *, quiet: bool) -> None:
        from tqdm import tqdm

        self._quiet = quiet
        self._label = label
        self._total = total
        self._count = 0
        self._bar = (
            tqdm(total=total, desc=label, unit="session", file=sys.stderr, leave=True)
            if not quiet and sys.stderr.isatty()
            else None
        )

    def finished(self, name: str, reason: str) -> None:
        self._count += 1
        if self._quiet:
            return
        line = f"{self._label} {self._count}/{self._total} {name}" + (f": FAILED {reason}" if reason else "")
        if self._bar is None:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
            return
        if reason:
            self._bar.write(line, file=sys.stderr)
        self._bar.update()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
