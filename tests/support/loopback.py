"""An HTTP server on loopback that writes down what it hears and can be told to fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Heard:
    """One request."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""


@dataclass
class Fault:
    """What goes wrong with the next ``times`` requests whose path contains ``path_contains``."""

    status: int = 0
    """Answered instead; 0 answers as usual."""
    times: int = 1
    path_contains: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = "It went wrong."
    keep_bytes: int | None = None
    """The connection breaks after so many bytes of the body."""
    wait_s: float = 0.0


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Loopback:
    """A server at ``url`` while its ``with`` block runs.

    ``heard`` lists the requests, in order; ``fail`` makes the next ones go wrong; ``delay_s`` is added to
    every answer.
    """

    def __init__(self, *, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.heard: list[Heard] = []
        self.faults: list[Fault] = []
        self.errors: list[Exception] = []
        """Mistakes of the server itself; leaving the block raises the first."""
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, request: Heard) -> Answer:
        """Return the answer to a request."""
        raise NotImplementedError

    def fail(
        self,
        status: int = 0,
        *,
        times: int = 1,
        path_contains: str = "",
        headers: Mapping[str, str] | None = None,
        body: str = "It went wrong.",
        keep_bytes: int | None = None,
        wait_s: float = 0.0,
    ) -> None:
        """Let the next requests fail: answer ``status``, break off after ``keep_bytes``, or wait."""
        self.faults.append(Fault(status, times, path_contains, headers or {}, body, keep_bytes, wait_s))

    def count(self, path_contains: str = "", method: str = "") -> int:
        """Return how many requests with that in their path were heard."""
        return sum(path_contains in each.path and method in ("", each.method) for each in self.heard)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if self.errors and error is None:
            raise self.errors[0]

    def _hear(self, request: Heard) -> Fault | None:
        with self._lock:
            self.heard.append(request)
            for fault in self.faults:
                if fault.times > 0 and fault.path_contains in request.path:
                    fault.times -= 1
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: clients hang up in the middle on purpose."""


def _handler_of(loopback: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {
                name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()
            }
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Heard(self.command, unquote(parts.path), query, headers)
            fault = loopback._hear(request)
            time.sleep(loopback.delay_s + (fault.wait_s if fault else 0))
            if fault and fault.status:
                answer = Answer(fault.status, fault.body.encode(), dict(fault.headers))
            else:
                answer = self._answered(request)
            self._send(answer, fault.keep_bytes if fault else None)

        def _answered(self, request: Heard) -> Answer:
            try:
                return loopback.answer(request)
            except Exception as error:
                loopback.errors.append(error)
                return Answer(500, repr(error).encode())

        do_HEAD = do_GET
        do_POST = do_GET

        def _send(self, answer: Answer, keep_bytes: int | None) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if not any(name.lower() == "content-length" for name in answer.headers):
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body[:keep_bytes])
            if keep_bytes is not None:
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            """Stay silent."""

    return Handler
