"""What answers of web servers say: versions, spans, wishes to wait, and troubles of connections in words."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from urllib3 import exceptions

from nwbswitch.analysis.access.http_answer import (
    PassingTroubleError,
    RefusedAnswerError,
    StatedSpan,
    Version,
    check_encoding,
    connection_trouble,
    plain_tag,
    retry_after_s,
    stated_length,
    stated_span,
    unsatisfied_total,
)

SECRET = "http://host/file?signature=secret"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (exceptions.ReadTimeoutError(None, SECRET, "x"), PassingTroubleError, "not answer in time"),
        (exceptions.ConnectTimeoutError(SECRET), PassingTroubleError, "not answer in time"),
        (TimeoutError(SECRET), PassingTroubleError, "not answer in time"),
        (exceptions.NewConnectionError(None, SECRET), PassingTroubleError, "cannot be reached"),
        (exceptions.NameResolutionError("host", None, OSError()), PassingTroubleError, "cannot be reached"),
        (exceptions.ProxyError(SECRET, OSError()), PassingTroubleError, "proxy"),
        (exceptions.ProtocolError(SECRET), PassingTroubleError, "connection broke"),
        (exceptions.IncompleteRead(3, 4), PassingTroubleError, "connection broke"),
        (ConnectionResetError(SECRET), PassingTroubleError, "connection broke"),
        (exceptions.SSLError(SECRET), PassingTroubleError, "encrypted connection broke"),
        (exceptions.SSLError("CERTIFICATE_VERIFY_FAILED"), RefusedAnswerError, "certificate is refused"),
        (exceptions.LocationParseError(SECRET), RefusedAnswerError, "address is damaged"),
    ],
)
def test_errors_of_connections_are_said_without_addresses(
    error: Exception, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words) as raised, connection_trouble():
        raise error
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_our_own_errors_pass() -> None:
    with pytest.raises(KeyError), connection_trouble():
        raise KeyError


@pytest.mark.parametrize(
    ("stated", "wait_s"),
    [("", None), ("7", 7), ("0", 0), ("-3", 0), ("1.5", 1.5), ("nan", None), ("soon", None), ("1e9", 1e9)],
)
def test_wishes_to_wait_in_seconds(stated: str, wait_s: float | None) -> None:
    assert retry_after_s({"Retry-After": stated} if stated else {}) == wait_s


def test_wishes_to_wait_until_a_date() -> None:
    soon = formatdate(time.time() + 30, usegmt=True)
    assert 27 < (retry_after_s({"Retry-After": soon}) or 0) <= 30
    assert retry_after_s({"Retry-After": "Mon, 01 Jan 2001 00:00:00 GMT"}) == 0
    assert retry_after_s({"Retry-After": "Mon, 01 Jan 2001 00:00:00"}) == 0


def test_versions_are_compared_by_tag_then_by_date() -> None:
    strong = Version.of({"ETag": ' "a" ', "Last-Modified": "d"})
    assert (strong.etag, strong.is_strong, bool(strong)) == ('"a"', True, True)
    assert strong.same(Version('W/"a"', "other"))
    assert not strong.same(Version('"b"', "d"))
    assert not strong.same(Version("", "d"))
    assert not Version('W/"a"').is_strong
    assert Version("", "d").same(Version('"a"', "d"))
    assert not Version("", "d").same(Version("", "e"))
    assert not Version()
    assert plain_tag('W/"a-5"') == plain_tag('"a-5"') == plain_tag("a-5") == "a-5"


def test_spans_lengths_and_encodings() -> None:
    assert stated_span({"Content-Range": "bytes 2-5/10"}) == StatedSpan(2, 6, 10)
    for wrong in ("", "bytes 2-5/*", "bytes 5-2/10", "bytes 2-10/10", "bytes=2-5/10", "bytes 2-5/10, 6-7/10"):
        with pytest.raises(RefusedAnswerError):
            stated_span({"Content-Range": wrong})
    assert unsatisfied_total({"Content-Range": "bytes */0"}) == 0
    assert unsatisfied_total({"Content-Range": "bytes 0-1/2"}) is None
    assert stated_length({"Content-Length": "12"}) == 12
    for wrong in ("", "-1", "1e3", "9" * 30, "\u0661"):
        assert stated_length({"Content-Length": wrong}) is None
    for fine in ({}, {"Content-Encoding": ""}, {"Content-Encoding": " Identity"}):
        check_encoding(fine)
    for coded in ("gzip", "identity, br"):
        with pytest.raises(RefusedAnswerError, match="sent encoded"):
            check_encoding({"Content-Encoding": coded})
