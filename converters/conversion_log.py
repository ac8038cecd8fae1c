"""The log of each session: what was read and written, how long it took, warnings, and why it failed."""

from __future__ import annotations

import logging
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from io import RawIOBase
from pathlib import Path
from typing import Any, TextIO

from nwbswitch.converters.conversion_record import RECORDS
from nwbswitch.schemas.study import Session


def log_path(out_dir: Path, session: Session) -> Path:
    """Return where the log of a session is kept; each run adds to it."""
    name = f"sub-{session.subject.subject_id}_ses-{session.session_id}.log"
    return out_dir / RECORDS / "logs" / name


class SessionLog:
    """Entries with times, written at once so that they outlive the process, and kept if nothing else is.

    Parameters
    ----------
    stream
        Unbuffered; without one entries are dropped.

    Attributes
    ----------
    warnings : list of str
        What was warned of so far.
    """

    def __init__(self, stream: RawIOBase | None = None) -> None:
        self.warnings: list[str] = []
        self._stream = stream
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Add one entry."""
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        # A full disk ends the session by itself, and says so.
        with self._lock, suppress(OSError):
            if self._stream is not None:
                self._stream.write(f"{stamp} {text}\n".encode(errors="backslashreplace"))

    def warn(self, text: str) -> None:
        """Add one warning, unless it was given before."""
        if text not in self.warnings:
            self.warnings.append(text)
            self.say(f"WARNING {text}")

    def failed(self, error: Exception) -> None:
        """Add the traceback of what ended the session."""
        told = "".join(traceback.format_exception(error)).rstrip()
        self.say(f"FAILED\n{told}")


@contextmanager
def session_log(path: Path | None) -> Iterator[SessionLog]:
    """Open a session's log; warnings that this thread gives while the block runs go there.

    What Python's `warnings` and `logging` (from WARNING on) tell is taken, each text once. Without a path
    the warnings are kept in memory only.
    """
    if path is None:
        log = SessionLog()
        with _heard_by(log):
            yield log
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as stream:
        log = SessionLog(stream)
        with _heard_by(log):
            try:
                yield log
            except Exception as error:
                log.failed(error)
                raise
            except BaseException:
                log.say("stopped")
                raise


class _Router(logging.Handler):
    """Hands warnings to the log of the thread that gave them, or to the only log there is."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._logs: dict[int, SessionLog] = {}
        self._count = threading.Lock()
        self._caught: AbstractContextManager[Any] | None = None
        self._usual: Any = None

    def add(self, log: SessionLog) -> None:
        with self._count:
            if not self._logs:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                self._usual = warnings.showwarning
                warnings.simplefilter("always")
                warnings.showwarning = self._show
                logging.getLogger().addHandler(self)
            self._logs[threading.get_ident()] = log

    def drop(self) -> None:
        with self._count:
            del self._logs[threading.get_ident()]
            if not self._logs and self._caught is not None:
                logging.getLogger().removeHandler(self)
                self._caught.__exit__(None, None, None)
                self._caught = None

    def _take(self, text: str) -> bool:
        logs = self._logs
        mine = logs.get(threading.get_ident()) or (next(iter(logs.values())) if len(logs) == 1 else None)
        if mine is None:
            return False
        mine.warn(text)
        return True

    def _show(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        package = "/".join(Path(filename).parts[-2:])
        if not self._take(f"{category.__name__}: {' '.join(str(message).split())} ({package}:{lineno})"):
            self._usual(message, category, filename, lineno, file, line)

    def emit(self, record: logging.LogRecord) -> None:
        self._take(f"{record.levelname} of {record.name}: {record.getMessage()}")


_ROUTER = _Router()


@contextmanager
def _heard_by(log: SessionLog) -> Iterator[None]:
    _ROUTER.add(log)
    try:
        yield
    finally:
        _ROUTER.drop()
