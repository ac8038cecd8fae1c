"""Where a file on a web server can be had, for now, and which redirects are followed."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import urljoin

from nwbswitch.analysis.access.connections import origin
from nwbswitch.analysis.access.http_answer import RefusedAnswerError


@dataclass(frozen=True, slots=True)
class Location:
    """Where a file can be had for now."""

    url: str = field(repr=False)
    """May be signed, so that it is as good as a key: it never stands in a message."""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    """Sent to scheme, host and port of ``url`` only, not to where that redirects."""
    size: int | None = None
    """Bytes, when known beforehand; another length is refused."""
    etag: str = ""
    """Of the wanted version, when known beforehand, or its date where the server has no ETags; another one
    is refused."""


@dataclass(frozen=True, slots=True)
class Route:
    """A location, and what was learnt of it."""

    location: Location
    direct: str = field(default="", repr=False)
    """Where redirects led, once that has answered."""

    def headers_for(self, url: str) -> Mapping[str, str]:
        """Return the headers that may be sent to a URL: keys only to the host that they are for.

        Raises
        ------
        RefusedAnswerError
            When one of the addresses is none of http or https.
        """
        return self.location.headers if _origin(url) == _origin(self.location.url) else {}


def _origin(url: str) -> tuple[str, str, int]:
    try:
        return origin(url)
    except ValueError as error:
        raise RefusedAnswerError(f"cannot be read: its address is {error}.") from None


def leads_inside(url: str, there: str) -> bool:
    """Return whether an address that comes from outside leads to this machine or its network.

    What answers there may do so without asking who wants to know. Names are not looked up.

    Raises
    ------
    RefusedAnswerError
        When one of them is none of http or https.
    """
    return _is_inside(_origin(there)[1]) and not _is_inside(_origin(url)[1])


def _is_inside(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        # Where addresses are looked up, 127.1 and 2130706433 are 127.0.0.1 too.
        last = host.rpartition(".")[2]
        return last in ("localhost", "local", "internal") or last.isdigit() or last.startswith("0x")


def redirected(url: str, target: str) -> str:
    """Return where a redirect leads.

    Raises
    ------
    RefusedAnswerError
        When it leads nowhere, from an encrypted connection to an open one, or from outside to inside
        (`leads_inside`).
    """
    if not target:
        raise RefusedAnswerError("is redirected to nowhere.")
    there = urljoin(url, target)
    if leads_inside(url, there):
        raise RefusedAnswerError("is redirected to an address that is inside your own network only.")
    if (_origin(url)[0], _origin(there)[0]) == ("https", "http"):
        raise RefusedAnswerError("is redirected from an encrypted connection to an open one.")
    return there
