"""A web server on loopback that answers byte ranges, and fails in the ways that are planned.

::

    with RangeServer(latency_s=0.05) as server:
        url = server.add("a.nwb", path_or_bytes)          # plain, for ever
        signed = server.add_signed("b.nwb", content, lifetime_s=5, uses=20)
        server.plan(Fault.status(503), Fault.truncated(100))     # for the next two requests of content
        server.replace("a.nwb", other_bytes)              # another version under the same URL
        server.at_request(3, lambda: server.replace("a.nwb", other_bytes))     # ... in mid-read
        server.route("/api/", answer)                     # answers of one's own: Request -> Answer
        server.log, server.n_requests, server.n_bytes, server.clear()

``add_signed`` returns a URL that redirects to another, which works for a while and then answers 403, as
storage behind an archive does; following the first URL again gives a fresh one. Every answer has an ETag
made from the content, ``If-Match`` and ``If-Range`` are honoured. As a program, it serves a folder in a
process of its own and tells what it sent at ``/~counts``: see `served_folder`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import secrets
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote, urlsplit

PIECE_BYTES = 1 << 18


class Trouble(StrEnum):
    """What can be wrong with an answer."""

    STATUS = "status"
    TRUNCATED = "truncated"
    RESET = "reset"
    SLOW = "slow"
    STALLED = "stalled"
    SHIFTED = "shifted"
    OTHER_TOTAL = "other total"
    SHORT_RANGE = "short range"
    WHOLE = "whole"
    ENCODED = "encoded"
    NO_VERSION = "no version"
    OTHER_VERSION = "other version"


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one answer."""

    trouble: Trouble
    number: float = 0
    retry_after: str = ""

    @classmethod
    def status(cls, code: int, *, retry_after: float | str | None = None) -> Self:
        """Answer with this status and a short text, for 429 and 503 perhaps with ``Retry-After``."""
        return cls(Trouble.STATUS, code, "" if retry_after is None else str(retry_after))

    @classmethod
    def truncated(cls, after: int = 10) -> Self:
        """Close the connection after so many bytes of the body."""
        return cls(Trouble.TRUNCATED, after)

    @classmethod
    def reset(cls) -> Self:
        """Reset the connection before any answer."""
        return cls(Trouble.RESET)

    @classmethod
    def slow(cls, bytes_per_s: float) -> Self:
        """Send the body at this speed."""
        return cls(Trouble.SLOW, bytes_per_s)

    @classmethod
    def stalled(cls, seconds: float) -> Self:
        """Say nothing for a while, then close the connection."""
        return cls(Trouble.STALLED, seconds)

    @classmethod
    def shifted(cls) -> Self:
        """Answer with the bytes from one byte later on, and say so in ``Content-Range``."""
        return cls(Trouble.SHIFTED)

    @classmethod
    def other_total(cls) -> Self:
        """Say that the file is one byte longer."""
        return cls(Trouble.OTHER_TOTAL)

    @classmethod
    def short_range(cls) -> Self:
        """Answer with the first half of the range, and say so in ``Content-Range``."""
        return cls(Trouble.SHORT_RANGE)

    @classmethod
    def whole(cls) -> Self:
        """Answer 200 with the whole file."""
        return cls(Trouble.WHOLE)

    @classmethod
    def encoded(cls) -> Self:
        """Say that the body is encoded by gzip."""
        return cls(Trouble.ENCODED)

    @classmethod
    def no_version(cls) -> Self:
        """Leave ETag and Last-Modified out."""
        return cls(Trouble.NO_VERSION)

    @classmethod
    def other_version(cls) -> Self:
        """Give the ETag of another version."""
        return cls(Trouble.OTHER_VERSION)


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked."""

    method: str
    path: str
    """Without the query."""
    query: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a route answers."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, value: object, status: int = 200) -> Self:
        """Answer with JSON."""
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


@dataclass(slots=True)
class Exchange:
    """A request and what became of it."""

    request: Request
    status: int = 0
    n_bytes: int = 0
    """Of the body, as sent."""
    span: tuple[int, int] | None = None
    """First and last byte of the file that were sent."""


@dataclass(slots=True)
class _Content:
    data: bytes | Path
    etag: str
    changed: str

    @property
    def size(self) -> int:
        return len(self.data) if isinstance(self.data, bytes) else self.data.stat().st_size

    def read(self, start: int, length: int) -> bytes:
        if isinstance(self.data, bytes):
            return self.data[start : start + length]
        with self.data.open("rb") as stream:
            stream.seek(start)
            return stream.read(length)


def _content(data: bytes | Path, etag: str | None) -> _Content:
    if etag is None:
        seed = data if isinstance(data, bytes) else f"{data}{data.stat().st_mtime_ns}".encode()
        etag = f'"{hashlib.sha256(seed).hexdigest()[:32]}"'
    return _Content(data, etag, formatdate(usegmt=True))


@dataclass(slots=True)
class _Signed:
    name: str
    ends: float
    uses: float


class RangeServer:
    """A server in threads of this process, from entering the context to leaving it.

    Parameters
    ----------
    latency_s
        Wait before every answer.
    ranges
        Whether ranges are honoured; if not, every answer is 200 with the whole file.
    validators
        Which of ``etag`` and ``last-modified`` are sent.
    host
        Loopback has several names: ``127.0.0.1`` and ``localhost`` are different hosts to a client.
    """

    def __init__(
        self,
        *,
        latency_s: float = 0.0,
        ranges: bool = True,
        validators: tuple[str, ...] = ("etag", "last-modified"),
        host: str = "127.0.0.1",
    ) -> None:
        self.latency_s = latency_s
        self.ranges = ranges
        self.validators = validators
        self.host = host
        self.log: list[Exchange] = []
        self._lock = threading.RLock()
        self._contents: dict[str, _Content] = {}
        self._lifetimes: dict[str, tuple[float, float]] = {}
        self._signed: dict[str, _Signed] = {}
        self._faults: deque[Fault] = deque()
        self._due: list[tuple[int, Callable[[], None]]] = []
        self._routes: list[tuple[str, Callable[[Request], Answer]]] = []
        self._n_content = 0
        self._at_once = 0
        self.most_at_once = 0
        """Largest number of requests that were under way together."""

    # ---- what is served -------------------------------------------------------------------------------

    def add(self, name: str, content: bytes | Path, *, etag: str | None = None) -> str:
        """Serve bytes or a file under this name; return its URL."""
        with self._lock:
            self._contents[name] = _content(content, etag)
        return f"{self.url}/files/{quote(name)}"

    def add_signed(
        self,
        name: str,
        content: bytes | Path,
        *,
        lifetime_s: float = 3600.0,
        uses: float = float("inf"),
        etag: str | None = None,
    ) -> str:
        """Serve under a URL that redirects to one that expires after a time or a number of requests."""
        self.add(name, content, etag=etag)
        self._lifetimes[name] = (lifetime_s, uses)
        return f"{self.url}/signed/{quote(name)}"

    def sign(self, name: str) -> str:
        """Return a fresh signed URL for content that was added."""
        lifetime_s, uses = self._lifetimes.get(name, (3600.0, float("inf")))
        key = secrets.token_hex(8)
        with self._lock:
            self._signed[key] = _Signed(name, time.monotonic() + lifetime_s, uses)
        return f"{self.url}/files/{quote(name)}?signature={key}"

    def expire(self) -> None:
        """Let every signed URL that was given out expire now."""
        with self._lock:
            for each in self._signed.values():
                each.ends = 0.0

    def replace(self, name: str, content: bytes | Path, *, etag: str | None = None) -> None:
        """Serve another version under the same name."""
        with self._lock:
            self._contents[name] = _content(content, etag)

    def etag(self, name: str) -> str:
        """Return the ETag of what is served under a name now, with its quotes."""
        return self._contents[name].etag

    def route(self, prefix: str, answer: Callable[[Request], Answer]) -> None:
        """Let a function answer every request whose path begins with ``prefix``; first come, first served."""
        self._routes.append((prefix, answer))

    # ---- what goes wrong ------------------------------------------------------------------------------

    def plan(self, *faults: Fault) -> None:
        """Let the next requests of content meet these, one each."""
        with self._lock:
            self._faults.extend(faults)

    def at_request(self, number: int, action: Callable[[], None]) -> None:
        """Do something just before request ``number`` of content, from 1, counted since the last `clear`."""
        with self._lock:
            self._due.append((number, action))

    # ---- what was asked -------------------------------------------------------------------------------

    @property
    def n_requests(self) -> int:
        """Number of requests, redirects included."""
        return len(self.log)

    @property
    def n_bytes(self) -> int:
        """Bytes of bodies sent."""
        return sum(each.n_bytes for each in self.log)

    def clear(self) -> None:
        """Forget the log, what was planned and the count of requests."""
        with self._lock:
            self.log.clear()
            self._faults.clear()
            self._due.clear()
            self._n_content = 0
            self.most_at_once = 0

    # ---- running --------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Beginning of every URL, without a slash at the end."""
        return f"http://{self.host}:{self._server.server_address[1]}"

    # ---- for the handler ------------------------------------------------------------------------------

    def _begin(self, request: Request) -> Exchange:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            exchange = Exchange(request)
            self.log.append(exchange)
        if self.latency_s:
            time.sleep(self.latency_s)
        return exchange

    def _end(self) -> None:
        with self._lock:
            self._at_once -= 1

    def _next_fault(self) -> Fault | None:
        with self._lock:
            self._n_content += 1
            due = [action for number, action in self._due if number == self._n_content]
        for action in due:
            action()
        with self._lock:
            return self._faults.popleft() if self._faults else None

    def _find(self, name: str, signature: str | None) -> _Content | int:
        """Return content, or the status that says why not."""
        with self._lock:
            if name not in self._contents:
                return 404
            if name in self._lifetimes or signature is not None:
                signed = self._signed.get(signature or "")
                if signed is None or signed.name != name or signed.ends < time.monotonic():
                    return 403
                signed.uses -= 1
                if signed.uses < 0:
                    return 403
            return self._contents[name]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients go away; that is no error of the server."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: RangeServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(length) if length else b""
        request = Request(self.command, unquote(parts.path), parts.query, headers, body)
        exchange = self.owner._begin(request)
        try:
            for prefix, answer in self.owner._routes:
                if request.path.startswith(prefix):
                    found = answer(request)
                    self._send(exchange, found.status, found.body, found.headers)
                    return
            if request.path.startswith("/signed/"):
                target = self.owner.sign(request.path.removeprefix("/signed/"))
                self._send(exchange, 302, b"", {"Location": target})
            elif request.path.startswith("/files/"):
                self._send_content(exchange, request.path.removeprefix("/files/"), parts.query)
            else:
                self._send(exchange, 404, b"there is nothing here", {})
        finally:
            self.owner._end()

    def _send(self, exchange: Exchange, status: int, body: bytes, headers: dict[str, str]) -> None:
        exchange.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            exchange.n_bytes = len(body)

    def _send_content(self, exchange: Exchange, name: str, query: str) -> None:
        fault = self.owner._next_fault()
        trouble = fault.trouble if fault else None
        number = fault.number if fault else 0
        if trouble == Trouble.RESET:
            self._reset(exchange)
            return
        if trouble == Trouble.STALLED:
            time.sleep(number)
            self.close_connection = True
            return
        if fault and trouble == Trouble.STATUS:
            extra = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            self._send(exchange, int(number), b"as planned", extra)
            return
        signature = re.fullmatch(r"signature=(\w+)", query)
        content = self.owner._find(name, signature and signature[1])
        if isinstance(content, int):
            self._send(exchange, content, b"not for you", {})
            return
        headers = {"Accept-Ranges": "bytes" if self.owner.ranges else "none"}
        if trouble != Trouble.NO_VERSION:
            if "etag" in self.owner.validators:
                headers["ETag"] = '"another"' if trouble == Trouble.OTHER_VERSION else content.etag
            if "last-modified" in self.owner.validators:
                headers["Last-Modified"] = content.changed
        asked = exchange.request.headers
        if "if-match" in asked and asked["if-match"] not in ("*", content.etag):
            self._send(exchange, 412, b"", headers)
            return
        size = content.size
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.get("range", ""))
        whole = not self.owner.ranges or trouble == Trouble.WHOLE
        if whole or not span or asked.get("if-range", content.etag) != content.etag:
            self._send_body(exchange, fault, 200, content, (0, size - 1), headers)
            return
        first, last = int(span[1]), min(int(span[2] or size - 1), size - 1)
        if first > last:
            self._send(exchange, 416, b"", headers | {"Content-Range": f"bytes */{size}"})
            return
        if trouble == Trouble.SHIFTED:
            first, last = first + 1, last + 1
        if trouble == Trouble.SHORT_RANGE:
            last = (first + last) // 2
        total = size + (trouble == Trouble.OTHER_TOTAL)
        headers["Content-Range"] = f"bytes {first}-{last}/{total}"
        self._send_body(exchange, fault, 206, content, (first, last), headers)

    def _send_body(
        self,
        exchange: Exchange,
        fault: Fault | None,
        status: int,
        content: _Content,
        span: tuple[int, int],
        headers: dict[str, str],
    ) -> None:
        trouble = fault.trouble if fault else None
        exchange.status = status
        exchange.span = span
        length = span[1] - span[0] + 1
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if trouble == Trouble.ENCODED:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command == "HEAD":
            return
        if not fault and isinstance(content.data, Path):
            self._send_file(exchange, content.data, span[0], length)
            return
        left = length
        if fault and trouble == Trouble.TRUNCATED:
            left = min(left, int(fault.number))
            self.close_connection = True
        piece = PIECE_BYTES
        if fault and trouble == Trouble.SLOW:
            piece = max(int(fault.number / 20), 1)
        at = span[0]
        with suppress(ConnectionError):
            while left > 0 and (data := content.read(at, min(left, piece))):
                self.wfile.write(data)
                exchange.n_bytes += len(data)
                at += len(data)
                left -= len(data)
                if trouble == Trouble.SLOW:
                    time.sleep(0.05)
            return
        self.close_connection = True

    def _send_file(self, exchange: Exchange, path: Path, start: int, length: int) -> None:
        with path.open("rb") as stream:
            try:
                exchange.n_bytes += self.connection.sendfile(stream, start, length)
            except ConnectionError:
                self.close_connection = True

    def _reset(self, exchange: Exchange) -> None:
        exchange.status = 0
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


# ---- a process of its own ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServedFolder:
    """A folder that another process serves."""

    url: str

    def file(self, name: str) -> str:
        """Return the URL of a file."""
        return f"{self.url}/files/{quote(name)}"

    def counts(self, *, clear: bool = True) -> tuple[int, int]:
        """Return the numbers of requests and of bytes sent since they were cleared."""
        with urllib.request.urlopen(f"{self.url}/~counts{'?clear' if clear else ''}") as answer:
            found = json.load(answer)
        return found["requests"], found["bytes"]


@contextmanager
def served_folder(folder: Path, *, latency_s: float = 0.0) -> Iterator[ServedFolder]:
    """Serve the files of a folder from a process of its own, so that it takes no time of this one."""
    command = [sys.executable, __file__, str(folder), "--latency", str(latency_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield ServedFolder(process.stdout.readline().strip())
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a folder by byte ranges until the input ends.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency", type=float, default=0.0)
    options = parser.parse_args()
    with RangeServer() as server:
        for path in sorted(options.folder.rglob("*")):
            if path.is_file():
                server.add(path.relative_to(options.folder).as_posix(), path)

        def counts(request: Request) -> Answer:
            own = server.log.pop()
            found = {"requests": server.n_requests, "bytes": server.n_bytes}
            if request.query == "clear":
                server.clear()
            else:
                server.log.append(own)
            return Answer.of_json(found)

        server.route("/~counts", counts)
        server.latency_s = options.latency
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
