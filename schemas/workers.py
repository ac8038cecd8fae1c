"""Worker processes, each with a pipe of its own: one that dies takes nothing along but its own job.

The pool of the standard library shares its queues among the workers. A worker that is killed while it holds
a queue's lock or has written half a result leaves the others, and the main process, waiting for good.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import Any, TypeVar

Value = TypeVar("Value")
_Call = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...], dict[str, Any]]

_ENDING_S = 5.0
_tell_main: Callable[[Any], None] | None = None


class WorkerEndedError(RuntimeError):
    """A worker process ended before its job was done; ``exit_code`` is negative for a signal."""

    def __init__(self, exit_code: int | None) -> None:
        self.exit_code = exit_code
        super().__init__(f"a worker process ended with status {exit_code} before its work was done")


def tell_main(message: Any) -> bool:
    """Send a message from a job in a worker to its pool's ``listen``; False when this is no worker."""
    if _tell_main is None:
        return False
    _tell_main(message)
    return True


class WorkerPool(Executor):
    """Processes that take one job after another; a process that dies is replaced for the next job.

    Parameters
    ----------
    count
        Number of processes; each is started when it has something to do.
    listen
        Called, in a thread, with every message that a job sends by `tell_main`.
    """

    def __init__(self, count: int, *, listen: Callable[[Any], None] = lambda message: None) -> None:
        self._listen = listen
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._processes: set[BaseProcess] = set()
        self._lock = threading.Lock()
        self._killed = False
        self._closed = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"worker-{index}", daemon=True)
            for index in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., Value], /, *args: Any, **kwargs: Any) -> Future[Value]:
        """Queue a call; what it returns, raises or dies of arrives in the future."""
        if self._closed:
            raise RuntimeError("the pool takes no more work")
        future: Future[Value] = Future()
        self._calls.put((future, fn, args, kwargs))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work and end the processes when what was submitted is done."""
        self._closed = True
        if cancel_futures:
            self._cancel_queued()
        for _ in self._threads:
            self._calls.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def kill(self) -> None:
        """End every process at once, whatever it does; unfinished jobs fail with WorkerEndedError."""
        self._closed = True
        with self._lock:
            self._killed = True
            for process in self._processes:
                process.kill()
        self._cancel_queued()
        for _ in self._threads:
            self._calls.put(None)
        deadline = time.monotonic() + _ENDING_S
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))

    def _cancel_queued(self) -> None:
        while not self._calls.empty():
            call = self._calls.get()
            if call is not None:
                call[0].cancel()

    def _serve(self) -> None:
        """Hand calls to one process after another until there are no more; runs in a thread."""
        _block_interrupts()
        process: BaseProcess | None = None
        pipe: Connection | None = None
        while (call := self._calls.get()) is not None:
            future, function, args, kwargs = call
            if not future.set_running_or_notify_cancel():
                continue
            try:
                message = pickle.dumps((function, args, kwargs))
                if process is None or pipe is None:
                    process, pipe = self._start()
                pipe.send_bytes(message)
                value, error = self._answer(pipe)
            except (EOFError, OSError) as ended:
                if process is None or pipe is None:
                    future.set_exception(ended)
                    continue
                future.set_exception(WorkerEndedError(self._end(process, pipe)))
                process = pipe = None
            except Exception as failure:
                future.set_exception(failure)
            else:
                if error is None:
                    future.set_result(value)
                else:
                    future.set_exception(error)
        if process is not None and pipe is not None:
            self._end(process, pipe)

    def _start(self) -> tuple[BaseProcess, Connection]:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs,))
        try:
            process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        with self._lock:
            self._processes.add(process)
            if self._killed:
                process.kill()
        return process, ours

    def _answer(self, pipe: Connection) -> tuple[Any, Exception | None]:
        while True:
            kind, content = pickle.loads(pipe.recv_bytes())  # noqa: S301 (from our own process)
            if kind == "message":
                # What listens only shows progress: its failure must not end the job.
                with suppress(Exception):
                    self._listen(content)
            else:
                return (content, None) if kind == "value" else (None, content)

    def _end(self, process: BaseProcess, pipe: Connection) -> int | None:
        """Close the pipe, which ends an idle process, and return its exit code."""
        pipe.close()
        process.join(_ENDING_S)
        if process.is_alive():
            process.kill()
            process.join(_ENDING_S)
        with self._lock:
            self._processes.discard(process)
        return process.exitcode


def _block_interrupts() -> None:
    """Let the main process alone hear Ctrl-C; processes started from this thread inherit the mask."""
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _work(pipe: Connection) -> None:
    """Do what the pipe asks for until it is closed; runs in a worker process."""
    global _tell_main
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    lock = threading.Lock()

    def send(kind: str, content: Any) -> None:
        message = pickle.dumps((kind, content))
        with lock:
            pipe.send_bytes(message)

    _tell_main = lambda content: send("message", content)  # noqa: E731
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            _answer_one(pipe.recv_bytes(), send)


def _answer_one(message: bytes, send: Callable[[str, Any], None]) -> None:
    try:
        function, args, kwargs = pickle.loads(message)  # noqa: S301 (from our own process)
        send("value", function(*args, **kwargs))
    except Exception as error:
        send("error", _portable(error))


def _portable(error: Exception) -> Exception:
    """Return an exception, or a plain one with its text when it cannot be pickled and read again."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (made in this line)
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _end_with_parent() -> None:
    """End this process when its parent has died: nobody would hear of what it does."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
