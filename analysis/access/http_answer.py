"""What a web server answers to a request for bytes: checked headers, and a body in bounded time."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import urllib3

PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
"""Statuses after which the same request may succeed."""
DENIED = frozenset((401, 403, 404, 410))
"""Statuses of addresses that have expired, or that never were."""
REDIRECTS = frozenset((301, 302, 303, 307, 308))
_PIECE_BYTES = 1 << 18
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,19})")
_MAX_DISMISSED_BYTES = 1 << 16


class PassingTroubleError(Exception):
    """An answer that may be better next time, and when the server wants to be asked again."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        self.reason = reason
        self.wait_s = wait_s
        super().__init__(reason)


class RefusedAnswerError(Exception):
    """An answer that cannot be used, and what to do."""

    def __init__(self, problem: str, remedy: str = "", *, passing: bool = False) -> None:
        self.problem = problem
        self.remedy = remedy
        self.passing = passing
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class Version:
    """Which version of a file a server says it sends."""

    etag: str = ""
    """As sent, with its quotes."""
    modified: str = ""

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Version:
        """Return the version that an answer states."""
        return cls(headers.get("ETag", "").strip(), headers.get("Last-Modified", "").strip())

    def __bool__(self) -> bool:
        return bool(self.etag or self.modified)

    @property
    def is_strong(self) -> bool:
        """Whether equal tags mean equal bytes (RFC 9110, 8.8.1)."""
        return self.etag.startswith('"')

    def same(self, other: Version) -> bool:
        """Tell whether another answer is of this version: by the tag where there is one, else by the date."""
        return plain_tag(self.etag) == plain_tag(other.etag) if self.etag else self.modified == other.modified


def plain_tag(etag: str) -> str:
    """Return a tag without quotes and without the mark of weak ones."""
    return etag.strip().removeprefix("W/").strip('"')


@dataclass(frozen=True, slots=True)
class StatedSpan:
    """Which bytes an answer says it holds."""

    start: int
    stop: int
    total: int


def stated_span(headers: Mapping[str, str]) -> StatedSpan:
    """Return the span of an answer with status 206.

    Raises
    ------
    RefusedAnswerError
        When it states none, several, or an impossible one.
    """
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if not found:
        raise RefusedAnswerError("is sent without a usable statement of which bytes are sent.")
    first, last, total = (int(each) for each in found.groups())
    if not first <= last < total:
        raise RefusedAnswerError(f"is sent with an impossible range: {found[0]}.")
    return StatedSpan(first, last + 1, total)


def unsatisfied_total(headers: Mapping[str, str]) -> int | None:
    """Return the length of the file that an answer with status 416 states."""
    found = _UNSATISFIED.fullmatch(headers.get("Content-Range", "").strip())
    return int(found[1]) if found else None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return how long the server asks to wait, s."""
    stated = headers.get("Retry-After", "").strip()
    if not stated:
        return None
    try:
        wait_s = float(stated)
    except ValueError:
        pass
    else:
        return None if math.isnan(wait_s) else max(wait_s, 0.0)
    try:
        until = parsedate_to_datetime(stated)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max((until - datetime.now(UTC)).total_seconds(), 0.0)


def check_encoding(headers: Mapping[str, str]) -> None:
    """Refuse a body that is not the file's own bytes.

    Raises
    ------
    RefusedAnswerError
        When the body is encoded.
    """
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise RefusedAnswerError(f"is sent encoded ({encoding[:20]}), though its own bytes were asked for.")


@contextmanager
def connection_trouble() -> Iterator[None]:
    """Turn the errors of connections into ours; addresses, which may be signed, stay out of them.

    Raises
    ------
    PassingTroubleError
        For what may go away.
    RefusedAnswerError
        For certificates that are refused, and addresses that are none.
    """
    from urllib3 import exceptions

    try:
        yield
    except exceptions.SSLError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise RefusedAnswerError(
                "is not read: the server does not prove who it is (its certificate is refused)."
            ) from None
        raise PassingTroubleError("the encrypted connection broke") from None
    except exceptions.LocationValueError:
        raise RefusedAnswerError("cannot be read: its address is damaged.") from None
    except exceptions.ProxyError:
        raise PassingTroubleError("the proxy cannot be used") from None
    except exceptions.NewConnectionError:
        raise PassingTroubleError("the server cannot be reached") from None
    except (exceptions.TimeoutError, TimeoutError):
        raise PassingTroubleError("the server does not answer in time") from None
    except (exceptions.HTTPError, HTTPException, OSError):
        raise PassingTroubleError("the connection broke") from None


def body(response: urllib3.BaseHTTPResponse, length: int, *, deadline_s: float) -> bytes:
    """Return exactly ``length`` bytes of a body, before a moment of the monotonic clock.

    Raises
    ------
    PassingTroubleError
        When there are fewer, or they come too slowly.
    RefusedAnswerError
        When there are more.
    """
    pieces: list[bytes] = []
    left = length
    while left:
        piece = response.read1(min(left, _PIECE_BYTES))
        if not piece:
            raise PassingTroubleError("the answer broke off")
        pieces.append(piece)
        left -= len(piece)
        if left and time.monotonic() > deadline_s:
            raise PassingTroubleError("the answer came too slowly")
    if response.read1(1):
        raise RefusedAnswerError("is sent with more bytes than were asked for.")
    response.release_conn()
    return b"".join(pieces)


def dismiss(response: urllib3.BaseHTTPResponse) -> None:
    """Let go of an answer whose body does not matter, keeping the connection where that is cheap."""
    if 0 <= (stated_length(response.headers) or 0) <= _MAX_DISMISSED_BYTES:
        response.drain_conn()
    response.close()


def stated_length(headers: Mapping[str, str]) -> int | None:
    """Return the length of a body where it is stated."""
    stated = headers.get("Content-Length", "").strip()
    return int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 20 else None
