from __future__ import annotations

import pytest
from archive_server import ArchiveServer

from nwbswitch.analysis import archive_instances
from nwbswitch.analysis.archive import open_archive
from nwbswitch.analysis.archive_instances import (
    Instance,
    instance_of,
    known_instances,
    plain_url,
    require_safe,
)
from nwbswitch.schemas.errors import InputFileError, IssuesError, MissingExtraError

consts = pytest.importorskip("dandi.consts")


def test_archives_are_those_of_dandi() -> None:
    assert {name: each.api_url for name, each in known_instances().items()} == {
        name: each.api for name, each in consts.known_instances.items()
    }
    assert instance_of("dandi") == Instance(
        "dandi", "https://api.dandiarchive.org/api", "https://dandiarchive.org"
    )
    assert instance_of(" DANDI-sandbox ").name == "dandi-sandbox"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://api.dandiarchive.org/api", "dandi"),
        ("https://api.dandiarchive.org/api/", "dandi"),
        ("https://dandiarchive.org", "dandi"),
        ("https://archive.example.org/api", "archive.example.org"),
        ("https://archive.example.org:8443/dandi/api/", "archive.example.org:8443"),
        ("http://127.0.0.1:8000/api", "127.0.0.1:8000"),
        ("http://[::1]:8000/api", "[::1]:8000"),
        ("http://localhost/api", "localhost"),
    ],
)
def test_archives_by_address_are_not_asked(address: str, name: str) -> None:
    assert instance_of(address).name == name


def test_other_addresses_are_asked_where_the_api_is() -> None:
    with ArchiveServer() as server:
        assert instance_of(server.url).api_url == server.api_url
        assert server.count("/info/") == 1


def test_an_api_elsewhere_must_be_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    with ArchiveServer() as server:
        monkeypatch.setattr(ArchiveServer, "api_url", "http://api.example.org/api")
        with pytest.raises(IssuesError, match="not a safe address"):
            instance_of(server.url)


def test_names_and_addresses_that_are_no_archive() -> None:
    with pytest.raises(IssuesError, match="Did you mean 'dandi-sandbox'"):
        instance_of("dandi-sandox")
    with pytest.raises(IssuesError, match="Expected one of dandi, "):
        instance_of("zenodo")
    with pytest.raises(IssuesError, match="not a safe address"):
        instance_of("http://archive.example.org/api")
    with pytest.raises(InputFileError, match="is no archive, or does not answer"):
        instance_of("http://127.0.0.1:9")
    with ArchiveServer() as server:
        server.fail(200, times=9, body="<html>Hello</html>")
        with pytest.raises(InputFileError, match="is no archive"):
            instance_of(server.url)


@pytest.mark.parametrize(
    "url", ["https://example.org/a.nwb?x=1", "http://localhost:8000/a", "http://[::1]/a"]
)
def test_safe_addresses(url: str) -> None:
    require_safe(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a.nwb",
        "http://127.0.0.1.example.org/a.nwb",
        "http://localhost@example.org/a.nwb",
        "https://user:secret@example.org/a.nwb",
        "https://",
        "https:///a.nwb",
        "https://example.org:99999/a",
        "file:///etc/passwd",
        "a.nwb",
    ],
)
def test_unsafe_addresses_are_refused_without_their_secrets(url: str) -> None:
    with pytest.raises(IssuesError) as raised:
        require_safe(url)
    assert "secret" not in str(raised.value)


def test_what_is_shown_of_an_address() -> None:
    assert plain_url("https://u:p@example.org:8/a%20b.nwb?sig=1#x") == "https://example.org:8/a%20b.nwb"


def test_dandi_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_instances, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'nwbswitch\[dandi\]'"):
        open_archive("dandi")


def test_nothing_is_asked_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the archive nor the makers of dandi, who would be asked for newer versions of it."""
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("no connection is needed")

    monkeypatch.delenv("DANDI_NO_ET", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with open_archive("dandi") as archive:
        assert archive.instance.name == "dandi"
