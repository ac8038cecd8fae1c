"""Worker processes that are killed in the middle of a job, at the same place every time."""

from __future__ import annotations

import os
import signal
import threading
from itertools import count
from pathlib import Path
from typing import Any

from nwbswitch.schemas import jobs


def die_in_job(nth: int, suffix: str) -> int:
    """Have this process killed in its ``nth`` job while a file with this suffix is open; return its id.

    The job never ends: should no such file be opened, the process is killed where the job would return.
    """
    usual = jobs._attempt
    begun = count(1)

    def attempt(function: Any, item: Any) -> Any:
        if next(begun) == nth:
            threading.Thread(target=_kill_when_open, args=(suffix,), daemon=True).start()
            usual(function, item)
            die()
        return usual(function, item)

    jobs._attempt = attempt
    return os.getpid()


def _kill_when_open(suffix: str) -> None:
    while True:
        for each in Path("/proc/self/fd").iterdir():
            try:
                is_open = each.readlink().suffix == suffix
            except FileNotFoundError:  # the handle that lists them
                continue
            if is_open:
                die()


def die(_: object = None) -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def value_then_die(mark: str) -> int:
    """Return 7; the first time, by which there is no ``mark``, the process is killed just afterwards."""
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return 7
    threading.Timer(0.02, die).start()
    return 7
