"""Archives: those that dandi knows by name, and any other by its address."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from urllib.parse import urlsplit

from nwbswitch.schemas.errors import InputFileError, IssuesError, MissingExtraError
from nwbswitch.schemas.issues import issue, nearest

_SIGNS = r"x-amz-.*|x-goog-.*|awsaccesskeyid|googleaccessid|signature|expires|policy|key-pair-id"
"""Parameters of signatures."""
_SIGNS_OF_AZURE = r"sv|ss|srt|sr|sp|st|se|sip|spr|sig|skoid|sktid|skt|ske|sks|skv"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Instance:
    """An archive: one that dandi knows by name, or any other by its address."""

    name: str
    """As dandi calls it: of one given by its address, host and port."""
    api_url: str
    web_url: str = ""


def require_dandi() -> None:
    """Raise unless the dandi client is installed.

    Raises
    ------
    MissingExtraError
        It is not.
    """
    if find_spec("dandi") is None:
        raise MissingExtraError("dandi", "dandi")
    # dandi would ask a server of its makers for newer versions of itself.
    os.environ.setdefault("DANDI_NO_ET", "1")


def known_instances() -> Mapping[str, Instance]:
    """Return the archives that dandi knows, by name.

    Raises
    ------
    MissingExtraError
        dandi is not installed.
    """
    require_dandi()
    return _known()


@cache
def _known() -> Mapping[str, Instance]:
    from dandi.consts import known_instances as known

    return {name: Instance(name, each.api.rstrip("/"), each.gui or "") for name, each in known.items()}


def instance_of(given: str) -> Instance:
    """Return the archive with this name or address.

    An address may be that of the API, which ends in ``/api``, or that of the web pages; only of the latter,
    when dandi does not know it, the server is asked where its API is.

    Raises
    ------
    IssuesError
        dandi knows no such name, or the address is not https (or http on this machine).
    InputFileError
        Nothing at the address says where the API of an archive is.
    MissingExtraError
        dandi is not installed.
    """
    known = known_instances()
    if "://" not in given:
        name = given.strip().lower()
        if name in known:
            return known[name]
        remedy = nearest(given, known) or f"Expected one of {', '.join(known)} or an address."
        raise IssuesError(
            [issue("unknown-archive", f"{given!r} is no archive that dandi knows.", remedy=remedy)]
        )
    url = given.strip().rstrip("/")
    require_safe(url)
    for each in known.values():
        if url in (each.api_url, each.web_url):
            return each
    if urlsplit(url).path.endswith("/api"):
        return Instance(_host(url), url)
    return _asked(url)


def _asked(url: str) -> Instance:
    from dandi.utils import get_instance

    try:
        found = get_instance(url)
    except Exception as error:
        problem = "is no archive, or does not answer."
        remedy = "Expected the address of an archive's API, which ends in /api, or of its web pages."
        raise InputFileError(url, problem, remedy) from error
    require_safe(found.api)
    return Instance(_host(found.api), found.api.rstrip("/"), found.gui or "")


def require_safe(url: str) -> None:
    """Raise unless an address is https, or http on this machine, and holds no password.

    Raises
    ------
    IssuesError
        It is another.
    """
    try:
        parts = urlsplit(url)
        host, scheme = parts.hostname or "", parts.scheme.lower()
        _ = parts.port
    except ValueError:
        host = scheme = ""
    if "@" in (parts.netloc if host else ""):
        problem = "An address with a user name or password is not read: it would stand in tables and records."
        raise IssuesError([issue("source-form", f"{host}: {problem}")])
    if host and (scheme == "https" or (scheme == "http" and host in LOOPBACK)):
        return
    remedy = "Expected https://...; http:// is for servers on this machine only."
    raise IssuesError([issue("source-form", f"{plain_url(url)} is not a safe address.", remedy=remedy)])


def plain_url(url: str) -> str:
    """Return an address without what may be a secret: its query, fragment and user."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def unsigned_url(url: str) -> str:
    """Return an address without its fragment and without what signs it, which changes from day to day.

    Known are the signatures of S3 (both versions), CloudFront, Google Cloud Storage and Azure.
    """
    parts = urlsplit(url)
    is_azure = (parts.hostname or "").endswith(".core.windows.net")
    signs = re.compile(_SIGNS_OF_AZURE if is_azure else _SIGNS, re.IGNORECASE)
    kept = [each for each in parts.query.split("&") if not signs.fullmatch(each.partition("=")[0])]
    return parts._replace(query="&".join(kept), fragment="").geturl()


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port is None else f"{host}:{parts.port}"
