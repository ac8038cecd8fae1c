"""Addresses of dandisets and assets, as people write and copy them; nothing is asked of any server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

from nwbswitch.analysis.archive_instances import Instance, known_instances, require_dandi
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import issue

FORMS = (
    "Expected dandi:001326, dandi:001326@draft, dandi:001326@0.240101.1234/sub-*/*.nwb, "
    "or the address of a dandiset or an asset."
)
VERSION = r"draft|\d+\.\d+\.\d+"
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_WORDS = re.compile(r"(?P<archive>[\w.-]+):(?!//)(?P<rest>.*)", re.DOTALL)
_DANDISET = re.compile(
    rf"(?P<dandiset>\d{{6}})(?:@(?P<at>[^/]*)|/(?P<version>{VERSION})(?=/|$))?(?:/(?P<path>.*))?", re.DOTALL
)
_PAGE = re.compile(rf"/dandiset/(?P<dandiset>\d{{6}})(?:/(?P<version>{VERSION}))?(?:/files)?")
_OF_API = re.compile(
    rf"/dandisets/(?P<dandiset>\d{{6}})(?:/versions(?:/(?P<version>{VERSION})(?:/assets"
    rf"(?:/(?P<asset>{_UUID})(?:/download|/info)?)?)?)?)?"
)
_ASSET = re.compile(rf"/assets/(?P<asset>{_UUID})(?:/download|/info)?")
_DOI = re.compile(rf"10\.48324/dandi\.(?P<dandiset>\d{{6}})(?:/(?P<version>{VERSION}))?", re.IGNORECASE)
_IDENTIFIER = re.compile(rf"dandi:(?P<dandiset>\d{{6}})(?:/(?P<version>{VERSION}))?", re.IGNORECASE)
_RESOLVERS = {"identifiers.org": _IDENTIFIER, "doi.org": _DOI, "dx.doi.org": _DOI}
_OTHER_HOSTS = {"gui.dandiarchive.org": "dandi", "www.dandiarchive.org": "dandi"}


@dataclass(frozen=True, slots=True)
class Address:
    """A dandiset, a part of one, or an asset."""

    archive: Instance | None
    """None for the archive that is meant where none is named."""
    dandiset: str = ""
    version: str = ""
    """Empty for the newest."""
    path: str = ""
    """A path, a folder with a slash at its end, or a pattern; empty for all."""
    asset_id: str = ""
    is_prefix: bool = False
    """Whether all paths that begin with ``path`` are meant, as in an address of the API."""


def parse_address(text: str, *, archives: Sequence[Instance] = ()) -> Address | None:
    """Return what an address names, or None where it is none of an archive.

    Parameters
    ----------
    text
        As the user wrote it.
    archives
        Archives beside those that dandi knows whose addresses are recognised.

    Raises
    ------
    IssuesError
        It begins like one, but names neither a dandiset nor an asset.
    MissingExtraError
        It is one, and dandi is not installed.
    """
    lower = text.lower()
    if lower.startswith(("http://", "https://")):
        return _of_url(text, archives)
    if lower.startswith("dandi://"):
        name, _, rest = text[len("dandi://") :].partition("/")
        known = known_instances()
        if name.lower() not in known:
            _refuse(text, f"Expected one of the archives {', '.join(known)} after dandi://.")
        return _of_words(text, known[name.lower()], rest)
    if found := _DOI.fullmatch(lower.removeprefix("doi:")):
        return Address(known_instances()["dandi"], found["dandiset"], found["version"] or "")
    words = _WORDS.fullmatch(text)
    if words is None:
        return None
    name = words["archive"].lower()
    if name == "dandi":
        require_dandi()
        return _of_words(text, None, words["rest"])
    if find_spec("dandi") is None or name not in (known := known_instances()):
        return None
    return _of_words(text, known[name], words["rest"])


def _of_words(text: str, archive: Instance | None, rest: str) -> Address:
    if by_id := re.fullmatch(rf"assets/({_UUID})(?:/.*)?", rest, re.DOTALL):
        return Address(archive, asset_id=by_id[1].lower())
    found = _DANDISET.fullmatch(rest)
    if found is None:
        digits = re.match(r"\d{1,5}(?!\d)", rest)
        _refuse(text, f"A dandiset has six digits: {digits[0]:0>6}?" if digits else FORMS)
    version = found["version"] or found["at"] or ""
    if found["at"] is not None and not re.fullmatch(VERSION, version):
        _refuse(text, "Expected @draft, or a version such as @0.240101.1234.")
    return Address(archive, found["dandiset"], version, _path(text, found["path"] or ""))


def _of_url(text: str, archives: Sequence[Instance]) -> Address | None:
    parts = urlsplit(text.strip())
    host = parts.netloc.rpartition("@")[2].lower()
    if resolver := _RESOLVERS.get(host):
        found = resolver.fullmatch(unquote(parts.path).strip("/"))
        if found is None:
            return None
        return Address(known_instances()["dandi"], found["dandiset"], found["version"] or "")
    archive = _of_host(host, archives)
    if archive is None:
        return None
    if parts.fragment.startswith("/"):  # as older web pages were addressed: https://gui.../#/dandiset/...
        parts = urlsplit(parts.fragment)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    path = parts.path.rstrip("/")
    if found := _PAGE.fullmatch(path):
        location = _path(text, query.get("location", "").strip("/"))
        if location and not location.endswith(".nwb"):
            location += "/"
        return Address(archive, found["dandiset"], found["version"] or "", location)
    path = path.removeprefix("/api")
    if found := _ASSET.fullmatch(path):
        return Address(archive, asset_id=found["asset"].lower())
    if found := _OF_API.fullmatch(path):
        return _of_api(text, archive, found.groupdict(default=""), query)
    _refuse(text, FORMS)


def _of_api(text: str, archive: Instance, found: Mapping[str, str], query: Mapping[str, str]) -> Address:
    dandiset, version, asset_id = found["dandiset"], found["version"], found["asset"].lower()
    if asset_id:
        return Address(archive, dandiset, version, asset_id=asset_id)
    if "glob" in query:
        # To the API a star also means slashes.
        return Address(archive, dandiset, version, _path(text, query["glob"].replace("*", "**")))
    path = _path(text, query.get("path", ""))
    return Address(archive, dandiset, version, path, is_prefix=bool(path))


def _of_host(host: str, archives: Sequence[Instance]) -> Instance | None:
    """Return the archive whose API or web pages are at a host."""
    for each in archives:
        if host and host in (urlsplit(each.api_url).netloc, urlsplit(each.web_url).netloc):
            return each
    if find_spec("dandi") is None:
        if host == "dandiarchive.org" or host.endswith(".dandiarchive.org"):
            require_dandi()
        return None
    known = known_instances()
    if host in _OTHER_HOSTS:
        return known[_OTHER_HOSTS[host]]
    for each in known.values():
        if host in (urlsplit(each.api_url).netloc, urlsplit(each.web_url).netloc):
            return each
    return None


def _path(text: str, path: str) -> str:
    parts = path.split("/")
    if ".." in parts or "." in parts or path.startswith("/") or "//" in path:
        _refuse(text, "Expected a path as the dandiset has it, without . and .. in it.")
    return path


def _refuse(text: str, remedy: str) -> NoReturn:
    raise IssuesError([issue("source-form", f"{text!r} names no dandiset and no asset.", remedy=remedy)])
