"""How far long work is: told by the jobs, shown as bars on a terminal and as few plain lines otherwise."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from nwbswitch.schemas.safe_text import safe_text

Report = Callable[[int, int], None]
"""Takes how much is done and how much there is in all."""

LINE_EVERY_S = 30.0
_TELL_EVERY_S = 0.25
_BAR = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"


@dataclass(frozen=True, slots=True)
class Step:
    """How far one job is."""

    place: int
    done: int
    total: int
    unit: str

    @property
    def fraction(self) -> float:
        """The part that is done, from 0 to 1."""
        return min(max(self.done / self.total, 0.0), 1.0) if self.total > 0 else 0.0

    def __str__(self) -> str:
        of = readable_bytes(self.total) if self.unit == "B" else f"{self.total} {self.unit}"
        return f"{100 * self.fraction:.0f} % of {of}"


_step: ContextVar[Callable[[int, int, str], None] | None] = ContextVar("step", default=None)


@contextmanager
def reporting(place: int, tell: Callable[[Step], None]) -> Iterator[None]:
    """Let what runs in this block tell by `job_progress` how far job ``place`` is."""
    token = _step.set(lambda done, total, unit: tell(Step(place, done, total, unit)))
    try:
        yield
    finally:
        _step.reset(token)


def job_progress(unit: str = "B") -> Report:
    """Return the function by which the running job tells how far it is, from any of its threads.

    Call this in the thread that runs the job. Outside `nwbswitch.schemas.jobs.run_jobs` nobody listens.

    Parameters
    ----------
    unit
        What is counted; ``B`` for bytes.
    """
    tell = _step.get()
    last_s = -_TELL_EVERY_S

    def report(done: int, total: int) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if tell is not None and (now_s - last_s >= _TELL_EVERY_S or done >= total):
            last_s = now_s
            tell(done, total, unit)

    return report


def readable_bytes(n_bytes: float) -> str:
    """Return a number of bytes with three digits and a decimal unit, e.g. ``1.57 GB``."""
    size, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if abs(size) < 999.5:
            break
        size, unit = size / 1000, larger
    if unit == "B":
        return f"{size:.0f} B"
    return f"{size:.{2 if abs(size) < 9.995 else 1 if abs(size) < 99.95 else 0}f} {unit}"


def readable_seconds(seconds: float) -> str:
    """Return a duration in words, e.g. ``3 h 20 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
    return f"{minutes} min" if minutes >= 10 else f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Progress:
    """What is shown on standard error while jobs run; all methods may be called from any thread.

    Parameters
    ----------
    label
        Name of the step.
    total
        Number of jobs.
    quiet
        Show nothing.
    """

    def __init__(self, label: str, total: int, *, quiet: bool = False) -> None:
        self._label = label
        self._total = total
        self._count = 0
        self._running: dict[int, tuple[str, Step]] = {}
        self._lock = threading.Lock()
        self._quiet = quiet
        self._begun_s = self._line_s = time.monotonic()
        self._bars = _Bars(label, total) if not quiet and sys.stderr.isatty() else None

    def advanced(self, step: Step, name: str) -> None:
        """Show how far a running job is."""
        with self._lock:
            self._running[step.place] = (name, step)
            if self._bars is not None:
                self._bars.advanced(step, name)
                self._bars.overall(self._done, self._count)
            elif not self._quiet and time.monotonic() - self._line_s >= LINE_EVERY_S:
                self._say(f"{self._label} {self._count}/{self._total} done, {self._how_far()}")

    def finished(self, place: int, name: str, reason: str) -> None:
        """Show that a job has ended, and why it failed if it did."""
        with self._lock:
            self._running.pop(place, None)
            self._count += 1
            line = f"{self._label} {self._count}/{self._total} {name}"
            line += f": FAILED {safe_text(reason)}" if reason else ""
            if self._bars is not None:
                self._bars.finished(place, line if reason else "")
                self._bars.overall(self._done, self._count)
            elif not self._quiet:
                self._say(line)

    def close(self) -> None:
        """Take the bars away."""
        with self._lock:
            if self._bars is not None:
                self._bars.close()

    @property
    def _done(self) -> float:
        return self._count + sum(step.fraction for _, step in self._running.values())

    def _how_far(self) -> str:
        part = self._done / self._total
        left_s = (time.monotonic() - self._begun_s) * (1 - part) / part if part > 0 else None
        left = "" if left_s is None else f", about {readable_seconds(left_s)} left"
        running = "; ".join(f"{name} {step}" for name, step in self._running.values())
        return f"{100 * part:.0f} % in all{left}: {running}"

    def _say(self, line: str) -> None:
        self._line_s = time.monotonic()
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class _Bars:
    """A bar for all jobs and, below it, one for each that runs."""

    def __init__(self, label: str, total: int) -> None:
        from tqdm import tqdm

        self._tqdm = tqdm
        self._label = label
        self._total = total
        self._all = tqdm(total=total, desc=f"{label} 0/{total}", file=sys.stderr, bar_format=_BAR)
        self._each: dict[int, Any] = {}

    def advanced(self, step: Step, name: str) -> None:
        bar = self._each.get(step.place)
        if bar is None:
            taken = {-each.pos for each in self._each.values()}
            bar = self._each[step.place] = self._tqdm(
                total=step.total,
                desc=f"  {name}",
                unit=step.unit,
                unit_scale=True,
                file=sys.stderr,
                leave=False,
                position=next(place for place in range(1, len(taken) + 2) if place not in taken),
            )
        bar.total = step.total
        bar.update(step.done - bar.n)

    def overall(self, done: float, count: int) -> None:
        self._all.set_description_str(f"{self._label} {count}/{self._total}", refresh=False)
        self._all.update(done - self._all.n)

    def finished(self, place: int, line: str) -> None:
        bar = self._each.pop(place, None)
        if bar is not None:
            bar.close()
        if line:
            self._all.write(line, file=sys.stderr)

    def close(self) -> None:
        for bar in self._each.values():
            bar.close()
        self._all.close()
