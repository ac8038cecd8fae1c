"""The connection to an archive: dandi's own client, with limits, pauses and a key that goes nowhere else.

dandi's client asks up to 12 times when an archive answers 429, 500, 502, 503 or 504 or does not answer,
with pauses that grow from 1.25 s by a quarter each time (53 s in all), plus what ``Retry-After`` says. What
it lacks is added here: limits of time and size for each answer, pauses between requests, answers that break
off are asked for again, and the key is looked up only when an archive wants one.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nwbswitch.analysis.access.begun_answers import hang_up_late
from nwbswitch.analysis.access.connections import connections, origin
from nwbswitch.analysis.access.http_answer import retry_after_s
from nwbswitch.analysis.archive_instances import Instance, plain_url, require_dandi, require_safe
from nwbswitch.analysis.archive_key import ApiKey, find_key, key_variable
from nwbswitch.schemas.errors import InputFileError, UnavailableError

if TYPE_CHECKING:
    import requests

AT_ONCE = 4
"""Requests to one archive under way together, in one process."""
INTERVAL_S = 0.05
"""Least time between the beginnings of two requests to one archive, in one process."""
CONNECT_S = 10.0
SILENCE_S = 60.0
"""Longest wait for the next bytes of an answer: searches of large archives take long."""
ANSWER_S = 300.0
"""Longest time that one answer may take, and longest wait that an archive may ask for."""
MAX_ANSWER_BYTES = 64 << 20
MAX_LISTED = 10_000_000
"""Entries of one list, which come in pages."""
MAX_SAID = 200
"""Characters of an answer that are shown."""
_PIECE_BYTES = 1 << 16


class NotInArchiveError(InputFileError):
    """A dandiset, version or asset that the archive does not have."""


class GivenUpError(Exception):
    """An answer that is not waited for, or not read to its end; asking again would not help."""


class Manners:
    """Stands before the transport of `requests`, once for each connection to an archive."""

    def __init__(self, transport: Any, instance: Instance, *, interval_s: float) -> None:
        self._transport = transport
        self._instance = instance
        self._interval_s = interval_s
        self._turn = threading.Lock()
        self.key: ApiKey | None = None
        """Looked up when the archive asks for one."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Send a request to the archive; to any other host it goes without a key."""
        url = str(request.url)
        request.headers.pop("Authorization", None)
        require_safe(url)
        options = {"timeout": timeout or (CONNECT_S, SILENCE_S), "verify": verify, "cert": cert}
        options |= {"stream": True, "proxies": proxies}
        if origin(url) != origin(self._instance.api_url):
            response: requests.Response = self._transport.send(request, **options)
            return response if stream else self._read(response)
        response = self._sent(request, options)
        if response.status_code == 401 and (key := self._new_key(request)):
            response.close()
            request.headers["Authorization"] = f"token {key.text}"
            response = self._sent(request, options)
        return response if stream else self._read(response)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _sent(self, request: requests.PreparedRequest, options: dict[str, Any]) -> requests.Response:
        if self.key is not None:
            request.headers["Authorization"] = f"token {self.key.text}"
        gate = connections().gate(self._instance.api_url, at_once=AT_ONCE, interval_s=self._interval_s)
        with gate.passing(threading.Event()):
            response: requests.Response = self._transport.send(request, **options)
        wait_s = retry_after_s(response.headers) if response.status_code in (429, 503) else None
        if wait_s and wait_s > ANSWER_S:
            response.close()
            raise GivenUpError(f"asks to wait {wait_s / 60:.0f} minutes")
        if wait_s:
            gate.rest(wait_s)
        return response

    def _new_key(self, request: requests.PreparedRequest) -> ApiKey | None:
        """Return the key that is there now, unless this request was sent with it already."""
        with self._turn:
            found = find_key(self._instance.name)
            if found is None or request.headers.get("Authorization") == f"token {found.text}":
                return None
            self.key = found
            return found

    def _read(self, response: requests.Response) -> requests.Response:
        """Read an answer to its end, in bounded time and space."""
        import requests

        pieces: list[bytes] = []
        length, ends_s = 0, time.monotonic() + ANSWER_S
        try:
            for piece in response.iter_content(_PIECE_BYTES):
                pieces.append(piece)
                length += len(piece)
                if length > MAX_ANSWER_BYTES:
                    raise GivenUpError(f"answers with more than {MAX_ANSWER_BYTES >> 20} MiB")
                if time.monotonic() > ends_s:
                    raise GivenUpError(f"takes longer than {ANSWER_S:.0f} s to answer")
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError):
            raise requests.ConnectionError("the answer broke off") from None
        finally:
            response.close()
        content = b"".join(pieces)
        _require_few(content)
        if self.key is not None and response.status_code >= 400:
            # Pages about errors can show the request; dandi logs them.
            content = content.replace(self.key.text.encode(), b"(key)")
        response._content = content
        return response


def _require_few(content: bytes) -> None:
    """Raise when a list says that it goes on for ever: dandi makes plans for all its pages at once."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return
    count = value.get("count") if isinstance(value, dict) else None
    if isinstance(count, int | float) and not count <= MAX_LISTED:
        raise GivenUpError(f"lists more than {MAX_LISTED} entries")


def connect(instance: Instance, *, interval_s: float = INTERVAL_S) -> tuple[Any, Manners]:
    """Return dandi's client of an archive and what watches over its requests; nothing is asked yet.

    Raises
    ------
    IssuesError
        The archive is not reached by https and is not on this machine.
    MissingExtraError
        dandi is not installed.
    """
    require_dandi()
    require_safe(instance.api_url)
    from dandi.consts import DandiInstance
    from dandi.dandiapi import DandiAPIClient
    from requests.adapters import HTTPAdapter

    # What dandi says of failures comes back as errors; without a handler Python would print it too.
    logging.getLogger("dandi").addHandler(logging.NullHandler())
    known = DandiInstance(name=instance.name, gui=instance.web_url or None, api=instance.api_url)
    client = DandiAPIClient(dandi_instance=known)
    adapter = HTTPAdapter()
    hang_up_late(adapter.poolmanager)
    manners = Manners(adapter, instance, interval_s=interval_s)
    transport: Any = manners
    client.session.mount("https://", transport)
    client.session.mount("http://", transport)
    client.page_workers = AT_ONCE
    return client, manners


@contextmanager
def answered(instance: Instance, manners: Manners, what: str) -> Iterator[None]:
    """Turn what dandi's client raises into errors that name ``what`` was asked for and say what to do.

    Raises
    ------
    NotInArchiveError
        It is not there.
    InputFileError
        It may not be read, or the archive does not answer as it should.
    """
    import requests
    from dandi.exceptions import NotFoundError

    # Errors of dandi and requests hold the request with its key; none of them is passed on.
    try:
        yield
    except NotFoundError:
        raise NotInArchiveError(what, f"is not in the archive {instance.name}.") from None
    except requests.HTTPError as error:
        status = 0 if error.response is None else error.response.status_code
        said = "" if error.response is None else error.response.text[:MAX_SAID]
        raise _refused(instance, manners, what, status, said) from None
    except GivenUpError as error:
        raise UnavailableError(what, f"the archive {instance.name} {error}.", "Try again later.") from None
    except requests.exceptions.InvalidJSONError:
        raise _unexpected(instance, what) from None
    except requests.RequestException as error:
        kind = type(error).__name__
        problem = f"the archive {instance.name} at {plain_url(instance.api_url)} does not answer ({kind})."
        raise UnavailableError(what, problem, "Try again later.") from None
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        AssertionError,
        RecursionError,
        ArithmeticError,
    ):
        raise _unexpected(instance, what) from None


def _unexpected(instance: Instance, what: str) -> InputFileError:
    problem = f"the archive {instance.name} answers otherwise than the installed dandi client expects."
    return InputFileError(what, problem, "Update it: pip install -U dandi")


def _refused(instance: Instance, manners: Manners, what: str, status: int, said: str) -> InputFileError:
    if status == 404:
        return NotInArchiveError(what, f"is not in the archive {instance.name}.")
    if status == 401 and manners.key is None:
        remedy = f"Set the environment variable {key_variable(instance.name)} to your API key."
        return InputFileError(what, f"is read with an API key of the archive {instance.name} only.", remedy)
    if status == 401:
        place = "" if manners.key is None else manners.key.place
        problem = f"the archive {instance.name} does not accept the API key in {place}."
        return InputFileError(what, problem, "Make a new one on its web pages.")
    if status == 400:
        return InputFileError(what, f"the archive {instance.name} does not understand the request: {said}")
    if status == 403:
        remedy = "Ask its owners to add you."
        return InputFileError(what, f"may not be read by you in the archive {instance.name}.", remedy)
    return UnavailableError(what, f"the archive {instance.name} answers {status}.", "Try again later.")
