"""Bytes of a file on a web server, asked for by ranges and never of two versions of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nwbswitch.analysis.access.byte_ranges import check_ranges, cut, planned, wasted
from nwbswitch.analysis.access.byte_source import ByteRange
from nwbswitch.analysis.access.connections import connections
from nwbswitch.analysis.access.http_answer import (
    DENIED,
    PASSING,
    REDIRECTS,
    PassingTroubleError,
    RefusedAnswerError,
    Version,
    body,
    check_encoding,
    connection_trouble,
    dismiss,
    plain_tag,
    retry_after_s,
    stated_length,
    stated_span,
    unsatisfied_total,
)
from nwbswitch.analysis.access.http_limits import ByteStatistics, HttpLimits
from nwbswitch.analysis.access.http_route import Location, Route, redirected
from nwbswitch.schemas.errors import InputFileError, UnavailableError
from nwbswitch.schemas.version import __version__

if TYPE_CHECKING:
    import urllib3

HEAD_BYTES = 1 << 16
"""Asked for when the length of a file is not known beforehand."""
WHOLE_BYTES = 16 << 20
"""Files up to here are taken whole from servers that do not know ranges."""
MAX_REDIRECTS = 5
MAX_RENEWALS = 2
_LOAD = "Download the file and read it from the disk."


class _DeniedError(Exception):
    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(str(status))


class HttpBytes:
    """A file on a web server; threads may share it, and it may be sent to another process.

    Every answer must state the range that was asked for, the length of the file and its version (ETag or
    Last-Modified), all as in the first answer. Broken and passing failures are tried again, with growing
    pauses or when the server says; an address that has expired is looked up anew.

    Parameters
    ----------
    locate
        Returns where the file is; called with True when what it returned before has expired.
    name
        What messages call the file.
    size
        Length in bytes, when known; else `Location` or the first answer tells it.
    limits
        How patient and how polite requests are.

    Raises
    ------
    InputFileError
        From every method, when the file changed, is refused, is not there, or cannot be had in the given
        time; with a server that knows no ranges (for files above `WHOLE_BYTES`) or no versions.
    """

    def __init__(
        self,
        locate: Callable[[bool], Location],
        *,
        name: str,
        size: int | None = None,
        limits: HttpLimits | None = None,
    ) -> None:
        self._locate = locate
        self._name = name
        self._size = size
        self._limits = limits or HttpLimits()
        self._version = Version()
        self._prepare()

    def _prepare(self) -> None:
        self.statistics = ByteStatistics()
        self._turn = threading.RLock()
        self._stops: set[threading.Event] = set()
        self._route: Route | None = None
        self._head = b""

    def __getstate__(self) -> dict[str, Any]:
        kept = ("_locate", "_name", "_size", "_limits", "_version")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    @property
    def name(self) -> str:
        """What messages call the file."""
        return self._name

    @property
    def size(self) -> int:
        """Length of the file, bytes; asks the server where it is not known yet."""
        if self._size is None:
            with self._turn:
                self._size = self._current().location.size
                if self._size is None:
                    self._head = self._fetch((0, HEAD_BYTES))
        assert self._size is not None
        return self._size

    @property
    def version(self) -> str:
        """ETag without quotes, or else the date of the last change, as the server states it."""
        with self._turn:
            if not self._version:
                self._fetch((0, 1))
        return plain_tag(self._version.etag) or self._version.modified

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``."""
        return self.read_many([(offset, length)])[0]

    def read_many(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Return the bytes of every range, in the order given; neighbours are asked for together."""
        check_ranges(ranges, size=self.size, name=self._name)
        head = self._head
        rest = [each for each in ranges if sum(each) > len(head)]
        asked = planned(rest)
        self.statistics.add(wasted_bytes=wasted(rest, asked))
        parts = iter(cut(rest, asked, self._fetch_all(asked)))
        return [
            next(parts) if offset + length > len(head) else head[offset : offset + length]
            for offset, length in ranges
        ]

    def close(self) -> None:
        """End what waits for another try."""
        with self._turn:
            for stop in self._stops:
                stop.set()

    # ---- one request, until it is answered ------------------------------------------------------------

    def _fetch_all(self, asked: Sequence[ByteRange]) -> list[bytes]:
        if len(asked) < 2:
            return [self._fetch(span) for span in asked]
        threads = connections().threads(self._limits.at_once)
        with self._stopping() as stop:
            answers = [threads.submit(self._retried, span, stop) for span in asked]
            try:
                return [answer.result() for answer in answers]
            finally:
                for answer in answers:
                    answer.cancel()

    def _fetch(self, span: ByteRange) -> bytes:
        with self._stopping() as stop:
            return self._retried(span, stop)

    @contextmanager
    def _stopping(self) -> Iterator[threading.Event]:
        """Yield what tells requests that nobody waits for them any more."""
        stop = threading.Event()
        with self._turn:
            self._stops.add(stop)
        try:
            yield stop
        finally:
            stop.set()
            with self._turn:
                self._stops.discard(stop)

    def _retried(self, span: ByteRange, stop: threading.Event) -> bytes:
        limits = self._limits
        began_s = time.monotonic()
        tries = 0
        while True:
            tries += 1
            try:
                return self._renewed(span, stop)
            except RefusedAnswerError as error:
                kind = UnavailableError if error.passing else InputFileError
                raise kind(self._name, error.problem, error.remedy) from None
            except PassingTroubleError as error:
                trouble = error
            asked_s = trouble.wait_s
            wait_s = limits.pause_before(tries + 1) if asked_s is None else asked_s
            took_s = time.monotonic() - began_s
            if tries >= limits.tries or took_s + wait_s > limits.patience_s or stop.wait(wait_s):
                raise UnavailableError(
                    self._name,
                    f"could not be read: {trouble.reason} (tried {tries} times in {took_s:.1f} s).",
                    "Try again later." if asked_s is None else f"Try again in {asked_s:.0f} s.",
                ) from None
            self.statistics.add(retries=1)

    def _renewed(self, span: ByteRange, stop: threading.Event) -> bytes:
        """Ask at the present address, and at new ones when it has expired."""
        renewals = 0
        while True:
            route = self._current()
            try:
                return self._asked(route, span, stop)
            except _DeniedError as error:
                if renewals == MAX_RENEWALS:
                    raise _denied(error.status) from None
                renewals += self._renew(route)

    def _current(self) -> Route:
        with self._turn:
            if self._route is None:
                self._route = Route(self._locate(False))
            return self._route

    def _renew(self, stale: Route) -> bool:
        """Look the address up anew, unless another thread just did."""
        with self._turn:
            if self._route is not stale:
                return False
            self._route = Route(self._locate(True))
            return True

    def _asked(self, route: Route, span: ByteRange, stop: threading.Event) -> bytes:
        """Ask once, following redirects."""
        url = route.direct or route.location.url
        for _ in range(MAX_REDIRECTS + 1):
            with self._answer(url, route, span, stop) as response:
                if response.status not in REDIRECTS:
                    found = self._used(response, span)
                    self._remember(route, url)
                    return found
                target = response.headers.get("Location", "")
                dismiss(response)
            url = redirected(url, target)
        raise RefusedAnswerError(f"is redirected more than {MAX_REDIRECTS} times.")

    def _remember(self, route: Route, url: str) -> None:
        with self._turn:
            if self._route is route and route.direct != url:
                self._route = replace(route, direct=url)

    @contextmanager
    def _answer(
        self, url: str, route: Route, span: ByteRange, stop: threading.Event
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Yield the answer of one host, whose place among its requests is held until the body is read."""
        import urllib3

        limits = self._limits
        headers = {
            "User-Agent": f"nwbswitch/{__version__}",
            **route.headers_for(url),
            "Accept-Encoding": "identity",
            "Range": f"bytes={span[0]}-{sum(span) - 1}",
        }
        if self._version.is_strong and url == route.direct:
            headers["If-Match"] = self._version.etag
        gate = connections().gate(url, at_once=limits.at_once, interval_s=limits.interval_s)
        with gate.passing(stop), connection_trouble():
            if stop.is_set():
                raise PassingTroubleError("nobody waits for it any more")
            self.statistics.add(requests=1)
            response = (
                connections()
                .manager(url)
                .request(
                    "GET",
                    url,
                    headers=headers,
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    decode_content=False,
                    timeout=urllib3.Timeout(connect=limits.connect_s, read=limits.silence_s),
                )
            )
            try:
                wait_s = retry_after_s(response.headers) if response.status in (429, 503) else None
                if wait_s is not None:
                    gate.rest(min(wait_s, limits.patience_s))
                yield response
            finally:
                response.close()

    # ---- what an answer says --------------------------------------------------------------------------

    def _used(self, response: urllib3.BaseHTTPResponse, span: ByteRange) -> bytes:
        """Return the bytes of an answer after everything that it says of them has been checked."""
        status, headers = response.status, response.headers
        if status in DENIED:
            dismiss(response)
            raise _DeniedError(status)
        if status in PASSING:
            dismiss(response)
            raise PassingTroubleError(f"the server answers {status}", retry_after_s(headers))
        if status == 412:
            raise _changed()
        if status == 416:
            self._check_size(unsatisfied_total(headers))
            return b""
        if status not in (200, 206):
            raise RefusedAnswerError(f"cannot be read: the server answers {status}.")
        check_encoding(headers)
        self._check_version(Version.of(headers))
        if status == 200:
            return self._whole(response)[span[0] : sum(span)]
        stated = stated_span(headers)
        size = self._check_size(stated.total)
        stop = min(sum(span), size)
        if stated.start != span[0] or stated.stop > stop:
            raise RefusedAnswerError("is sent with other bytes than those that were asked for.")
        if stated.stop < stop:
            raise PassingTroubleError("the answer holds fewer bytes than were asked for")
        return self._body(response, stop - span[0])

    def _whole(self, response: urllib3.BaseHTTPResponse) -> bytes:
        """Return and keep the whole of a small file."""
        length = stated_length(response.headers)
        if length is None or length > WHOLE_BYTES:
            raise RefusedAnswerError("is on a server that does not send parts of files.", _LOAD)
        self._check_size(length)
        self._head = self._body(response, length)
        return self._head

    def _body(self, response: urllib3.BaseHTTPResponse, length: int) -> bytes:
        found = body(response, length, deadline_s=self._limits.deadline_s(time.monotonic(), length))
        self.statistics.add(n_bytes=length)
        return found

    def _check_size(self, total: int | None) -> int:
        with self._turn:
            if self._size is None and total is not None:
                self._size = total
            if self._size is None or self._size != total:
                raise _changed(f"it should have {self._size} bytes and has {total}")
            return self._size

    def _check_version(self, version: Version) -> None:
        if not version:
            raise RefusedAnswerError("is on a server that does not say which version it sends.", _LOAD)
        with self._turn:
            wanted = self._route.location.etag if self._route else ""
            if not self._version:
                stated = version.modified if " " in wanted else plain_tag(version.etag)
                if wanted and stated != plain_tag(wanted):
                    raise _changed("" if stated else "its server does not say which version it is")
                self._version = version
            elif not self._version.same(version):
                raise _changed()


def _changed(how: str = "") -> RefusedAnswerError:
    more = f" ({how})" if how else ""
    return RefusedAnswerError(
        f"changed while it was read, or is not the version that was listed{more}.",
        "Look it up again.",
        passing=True,
    )


def _denied(status: int) -> RefusedAnswerError:
    if status in (401, 403):
        return RefusedAnswerError(
            f"may not be read: the server answers {status}.", "What is not public needs a key."
        )
    return RefusedAnswerError(f"is not there: the server answers {status}.")
