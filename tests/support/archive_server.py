"""The read API of a DANDI archive on loopback, answering as dandi-archive does, for the real dandi client.

    with ArchiveServer() as archive:
        archive.add_dandiset("000123", name="Ketamine", keywords=["ketamine"])
        archive.add_asset("000123", "sub-m1/sub-m1_ophys.nwb", Path("local.nwb"), subject_id="m1")
        archive.publish("000123", "0.240101.1234")
        client = DandiAPIClient(archive.api_url)

Requests are counted by ``archive.count(...)`` and, those for bytes, by ``archive.store.count(...)``; both
fail on demand with ``fail(...)``, e.g. ``archive.fail(503, times=2, path_contains="/assets/")``.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from archive_answers import (
    Refused,
    dandiset_json,
    flag,
    json_answer,
    listed_version_json,
    matches,
    newest,
    ordered,
    page,
    short_dandiset_json,
    time_text,
    version_json,
    whole,
)
from archive_content import (
    StoredAsset,
    StoredDandiset,
    StoredVersion,
    full_asset_metadata,
    full_version_metadata,
)
from archive_shelf import Shelf
from loopback import Answer, Heard, Loopback
from object_store import ObjectStore

OWNER_KEY = "0123456789abcdef0123456789abcdef01234567"
"""The API key of the user who owns the dandisets that name no other owner."""
OTHER_KEY = "fedcba9876543210fedcba9876543210fedcba98"
"""The API key of a user who owns nothing."""

_VERSION = r"(?P<version>0\.\d{6}\.\d{4}|draft)"
_ASSET = r"(?P<asset>[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})"
_DANDISET = r"(?P<dandiset>\d{6})"
_OF_VERSION = rf"/dandisets/{_DANDISET}/versions/{_VERSION}"
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="api"'}
_NO_KEY = "Authentication credentials were not provided."
_NOT_YOURS = "You do not have permission to perform this action."


class ArchiveServer(Shelf, Loopback):
    """An archive at ``api_url`` and its object store ``store``, while the ``with`` block runs."""

    def __init__(self, *, delay_s: float = 0.0, web_url: str = "http://127.0.0.1:1") -> None:
        Loopback.__init__(self, delay_s=delay_s)
        Shelf.__init__(self, ObjectStore(latency_s=delay_s))
        self.web_url = web_url
        self.users = {OWNER_KEY: "owner", OTHER_KEY: "other"}
        self.cli_minimal_version = "0.74.0"
        self.before_page: Callable[[int], None] = lambda page: None
        """Called with the number of each page before it is made: what is listed may change meanwhile."""

    @property
    def api_url(self) -> str:
        """What the dandi client calls the archive by."""
        return f"{self.url}/api"

    @property
    def key_variable(self) -> str:
        """The environment variable in which dandi looks for the API key of this archive."""
        return f"{self.url.removeprefix('http://').upper()}_API_KEY"

    def __enter__(self) -> Self:
        self.store.__enter__()
        return Loopback.__enter__(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        Loopback.__exit__(self, kind, error, trace)
        self.store.__exit__(kind, error, trace)

    # ---- what it answers

    def answer(self, request: Heard) -> Answer:
        """Return what dandi-archive would answer."""
        path = request.path
        if not path.endswith("/") and _route(f"{path}/") is not None:
            query = f"?{urlencode(request.query)}" if request.query else ""
            return Answer(301, headers={"Location": f"{path}/{query}"})
        route = _route(path)
        if route is None:
            return Answer(404, b"<h1>Not Found</h1>", {"Content-Type": "text/html; charset=utf-8"})
        view, parts = route
        try:
            if request.method not in ("GET", "HEAD"):
                raise Refused(405, {"detail": f'Method "{request.method}" not allowed.'})
            self._user(request)
            if request.method == "HEAD" and view in _GET_ONLY:
                raise Refused(405, {"detail": 'Method "HEAD" not allowed.'})
            found = view(self, request, parts)
        except Refused as refused:
            found = json_answer(refused.body, refused.status, refused.headers)
        answer = found if isinstance(found, Answer) else json_answer(found)
        if len(answer.body) >= 200 and "gzip" in request.headers.get("accept-encoding", ""):
            headers = {**answer.headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
            answer = Answer(answer.status, gzip.compress(answer.body, 1), headers)
        return answer

    def _user(self, request: Heard) -> str | None:
        given = request.headers.get("authorization", "")
        if not given:
            return None
        scheme, _, key = given.partition(" ")
        if scheme.lower() != "token" or key not in self.users:
            raise Refused(401, {"detail": "Invalid token."}, _CHALLENGE)
        return self.users[key]

    def _require_user(self, request: Heard) -> str:
        user = self._user(request)
        if user is None:
            raise Refused(401, {"detail": _NO_KEY}, _CHALLENGE)
        return user

    def _dandiset(self, request: Heard, parts: Mapping[str, str]) -> StoredDandiset:
        dandiset = self.dandisets.get(parts["dandiset"])
        if dandiset is None:
            raise Refused(404, {"detail": "Not found."})
        self._user(request)
        if dandiset.embargo_status != "OPEN" and self._require_user(request) != dandiset.owner:
            raise Refused(403, {"detail": _NOT_YOURS})
        return dandiset

    def _version(self, request: Heard, parts: Mapping[str, str]) -> tuple[StoredDandiset, StoredVersion]:
        dandiset = self._dandiset(request, parts)
        if parts["version"] not in dandiset.versions:
            raise Refused(404, {"detail": "Not found."})
        return dandiset, dandiset.versions[parts["version"]]

    def _asset(self, request: Heard, parts: Mapping[str, str]) -> StoredAsset:
        """Return an asset by its id, of a version where the address names one."""
        if "version" in parts:
            _, version = self._version(request, parts)
            asset = next((each for each in version.assets if each.asset_id == parts["asset"]), None)
        else:
            asset = self.assets.get(parts["asset"])
        if asset is None:
            raise Refused(404, {"detail": "Not found."})
        if "version" not in parts and asset.embargoed:
            user = self._require_user(request)
            holders = [
                each
                for each in self.dandisets.values()
                if any(asset in version.assets for version in each.versions.values())
            ]
            if user not in {each.owner for each in holders}:
                raise Refused(403, {"detail": _NOT_YOURS})
        return asset

    def _metadata(self, asset: StoredAsset) -> dict[str, Any]:
        return full_asset_metadata(asset, api_url=self.api_url, store_url=self.store.bucket_url)

    def _version_metadata(self, dandiset: StoredDandiset, version: StoredVersion) -> dict[str, Any]:
        return full_version_metadata(dandiset, version, api_url=self.api_url, store_url=self.store.bucket_url)

    def _listed_asset(self, asset: StoredAsset, *, metadata: bool) -> dict[str, Any]:
        listed = {
            "asset_id": asset.asset_id,
            "blob": asset.blob.blob_id if asset.blob else None,
            "zarr": asset.zarr_id,
            "path": asset.path,
            "size": asset.size,
            "created": time_text(asset.created),
            "modified": time_text(asset.modified),
        }
        return listed | ({"metadata": self._metadata(asset)} if metadata else {})

    # ---- views, one for each address

    def info(self, request: Heard, parts: Mapping[str, str]) -> Any:
        from dandischema.consts import ALLOWED_INPUT_SCHEMAS, DANDI_SCHEMA_VERSION

        return {
            "cli-minimal-version": self.cli_minimal_version,
            "cli-requires-python": ">=3.10",
            "cli-bad-versions": [],
            "instance_config": {
                "instance_name": "DANDI",
                "instance_identifier": "RRID:SCR_017571",
                "instance_url": self.web_url,
                "doi_prefix": "10.48324",
                "licenses": ["spdx:CC-BY-4.0", "spdx:CC0-1.0"],
            },
            "schema_version": DANDI_SCHEMA_VERSION,
            "schema_url": f"{self.api_url}/schemas/?model=Dandiset",
            "allowed_schema_versions": list(ALLOWED_INPUT_SCHEMAS),
            "version": "0.13.0",
            "services": {
                "api": {"url": self.api_url},
                "webui": {"url": self.web_url},
                "jupyterhub": {"url": "https://hub.example.org"},
            },
        }

    def token(self, request: Heard, parts: Mapping[str, str]) -> Any:
        user = self._require_user(request)
        return next(key for key, name in self.users.items() if name == user)

    def me(self, request: Heard, parts: Mapping[str, str]) -> Any:
        user = self._require_user(request)
        return {"admin": False, "username": user, "name": user.title(), "status": "APPROVED"}

    def list_dandisets(self, request: Heard, parts: Mapping[str, str]) -> Any:
        user, query = self._user(request), request.query
        search = query.get("search", "")
        draft, empty = (flag(query, name, default=True) for name in ("draft", "empty"))
        if query.get("user", "me") != "me":
            raise Refused(400, {"user": [f'"{query["user"]}" is not a valid choice.']})
        embargoed = flag(query, "embargoed", default=False)
        if embargoed and user is None:
            message = (
                "Authentication credentials must be provided when attempting to access embargoed dandisets"
            )
            raise Refused(401, message)
        found = [
            each
            for each in self.dandisets.values()
            if (each.embargo_status == "OPEN" or (embargoed and each.owner == user))
            and (query.get("user") != "me" or each.owner == user)
            and (draft or each.published is not None)
            and (empty or newest(each).assets)
            and (
                not search
                or matches(search, [self._version_metadata(each, of) for of in each.versions.values()])
            )
        ]
        self.before_page(whole(query.get("page", "1"), 0))
        return page(
            request,
            self.url + request.path,
            ordered(found, query.get("ordering", "")),
            _listed_dandiset,
            lazy=False,
        )

    def one_dandiset(self, request: Heard, parts: Mapping[str, str]) -> Any:
        return dandiset_json(self._dandiset(request, parts), version_json)

    def list_versions(self, request: Heard, parts: Mapping[str, str]) -> Any:
        dandiset = self._dandiset(request, parts)
        order = request.query.get("order", "created")
        if order not in ("created", "-created"):
            raise Refused(
                400, {"order": [f"Select a valid choice. {order} is not one of the available choices."]}
            )
        versions = sorted(
            dandiset.versions.values(), key=lambda each: each.created, reverse=order.startswith("-")
        )

        def of_dandiset(version: StoredVersion) -> dict[str, Any]:
            return {**version_json(version), "dandiset": short_dandiset_json(dandiset)}

        return page(request, self.url + request.path, versions, of_dandiset, lazy=False)

    def version_metadata(self, request: Heard, parts: Mapping[str, str]) -> Any:
        return self._version_metadata(*self._version(request, parts))

    def version_info(self, request: Heard, parts: Mapping[str, str]) -> Any:
        dandiset, version = self._version(request, parts)
        return {
            **version_json(version),
            "dandiset": short_dandiset_json(dandiset),
            "asset_validation_errors": [],
            "version_validation_errors": [],
            "metadata": self._version_metadata(dandiset, version),
            "contact_person": "Doe, Jane",
        }

    def list_assets(self, request: Heard, parts: Mapping[str, str]) -> Any:
        query = request.query
        self.before_page(whole(query.get("page", "1"), 0))
        _, version = self._version(request, parts)
        metadata, zarr = (flag(query, name, default=False) for name in ("metadata", "zarr"))
        prefix, pattern = query.get("path", ""), query.get("glob")
        found = [each for each in version.assets if each.path.casefold().startswith(prefix.casefold())]
        found = [each for each in version.assets if prefix and each.path == prefix] or found
        found = [each for each in found if each.zarr_id or not zarr]
        if pattern:
            # Only the star means anything, it crosses folders, and case does not count.
            wanted = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.IGNORECASE)
            found = [each for each in found if wanted.fullmatch(each.path)]
        order = query.get("order", "created")
        if order.removeprefix("-") not in ("created", "modified", "path"):
            raise Refused(
                400, {"order": [f"Select a valid choice. {order} is not one of the available choices."]}
            )
        found.sort(key=lambda each: getattr(each, order.removeprefix("-")), reverse=order.startswith("-"))
        return page(
            request,
            self.url + request.path,
            found,
            lambda each: self._listed_asset(each, metadata=metadata),
            lazy=True,
        )

    def asset_metadata(self, request: Heard, parts: Mapping[str, str]) -> Any:
        return self._metadata(self._asset(request, parts))

    def asset_info(self, request: Heard, parts: Mapping[str, str]) -> Any:
        return self._listed_asset(self._asset(request, parts), metadata=True)

    def download(self, request: Heard, parts: Mapping[str, str]) -> Any:
        asset = self._asset(request, parts)
        if asset.blob is None:
            raise Refused(400, "Unable to provide download link for zarr assets.")
        url = self.store.sign(asset.blob.key)
        return Answer(302, headers={"Location": url, "Content-Type": "text/html; charset=utf-8"})


View = Callable[[ArchiveServer, Heard, Mapping[str, str]], Any]

ROUTES: tuple[tuple[str, View], ...] = (
    ("/info/", ArchiveServer.info),
    ("/auth/token/", ArchiveServer.token),
    ("/users/me/", ArchiveServer.me),
    ("/dandisets/", ArchiveServer.list_dandisets),
    (rf"/dandisets/{_DANDISET}/", ArchiveServer.one_dandiset),
    (rf"/dandisets/{_DANDISET}/versions/", ArchiveServer.list_versions),
    (rf"{_OF_VERSION}/", ArchiveServer.version_metadata),
    (rf"{_OF_VERSION}/info/", ArchiveServer.version_info),
    (rf"{_OF_VERSION}/assets/", ArchiveServer.list_assets),
    (rf"(?:{_OF_VERSION})?/assets/{_ASSET}/", ArchiveServer.asset_metadata),
    (rf"(?:{_OF_VERSION})?/assets/{_ASSET}/info/", ArchiveServer.asset_info),
    (rf"(?:{_OF_VERSION})?/assets/{_ASSET}/download/", ArchiveServer.download),
)
_GET_ONLY = (ArchiveServer.info, ArchiveServer.token, ArchiveServer.me)
_ROUTES = tuple((re.compile(f"/api{pattern}"), view) for pattern, view in ROUTES)


def _route(path: str) -> tuple[View, dict[str, str]] | None:
    for pattern, view in _ROUTES:
        if found := pattern.fullmatch(path):
            return view, {name: value for name, value in found.groupdict().items() if value is not None}
    return None


def _listed_dandiset(dandiset: StoredDandiset) -> dict[str, Any]:
    return dandiset_json(dandiset, listed_version_json)
