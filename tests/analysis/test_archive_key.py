"""Keys of archives: where they are found, and that they go nowhere else than to their archive."""

from __future__ import annotations

import io
import logging
import pickle
import traceback
from collections.abc import Iterator

import pytest
from archive_server import OWNER_KEY, ArchiveServer

from nwbswitch.analysis import archive as archive_module
from nwbswitch.analysis.archive import open_archive
from nwbswitch.analysis.archive_instances import instance_of
from nwbswitch.analysis.archive_key import find_key, key_variable, keyring_service
from nwbswitch.analysis.sources import find_sources, open_source
from nwbswitch.schemas.errors import InputFileError

dandiapi = pytest.importorskip("dandi.dandiapi")


class Held:
    """A keyring that holds one password."""

    def __init__(self, service: str, password: str) -> None:
        self.service, self.password = service, password
        self.asked: list[tuple[str, str]] = []

    def get_password(self, service: str, username: str) -> str | None:
        self.asked.append((service, username))
        return self.password if service == self.service else None


class Asks(Held):
    """A keyring in a file with a password of its own, which it asks for."""

    keyring_key = "asked for"

    def get_password(self, service: str, username: str) -> str | None:
        raise AssertionError("it would ask in the terminal")


class Broken(Held):
    """A keyring that cannot be used here."""

    def get_password(self, service: str, username: str) -> str | None:
        raise RuntimeError("no desktop")


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests away from the keyring of whoever runs them."""
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND", raising=False)
    monkeypatch.setattr("keyring.core.load_config", lambda: None)
    use(monkeypatch, Held("nothing", ""))
    monkeypatch.setattr(archive_module, "_SHARED", {})


def use(monkeypatch: pytest.MonkeyPatch, backend: object) -> None:
    monkeypatch.setattr("keyring.core._keyring_backend", backend)


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with ArchiveServer() as running:
        running.add_dandiset("000124", embargoed=True)
        running.add_asset("000124", "sub-s/sub-s_ophys.nwb", b"not yet")
        yield running


@pytest.mark.parametrize("name", ["dandi", "dandi-sandbox", "ember-dandi-sandbox", "linc"])
def test_names_are_those_of_dandi(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANDI_NO_ET", "1")
    client = dandiapi.DandiAPIClient(dandi_instance=dandiapi.DandiInstance(name, None, "https://x.org/api"))
    assert key_variable(name) == client.api_key_env_var
    assert keyring_service(name) == client._get_keyring_ids()[1]


def test_names_of_archives_by_address_are_those_of_dandi(server: ArchiveServer) -> None:
    assert key_variable(instance_of(server.api_url).name) == server.key_variable


def test_the_environment_goes_before_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held("dandi-api-dandi", "from the ring".replace(" ", "-"))
    use(monkeypatch, held)
    found = find_key("dandi")
    assert found is not None
    assert (found.text, found.place) == ("from-the-ring", "the keyring (dandi-api-dandi)")
    assert held.asked == [("dandi-api-dandi", "key")]
    monkeypatch.setenv("DANDI_API_KEY", " from-outside\n")
    found = find_key("dandi")
    assert found is not None
    assert (found.text, found.place) == ("from-outside", "the environment variable DANDI_API_KEY")
    assert "from-outside" not in repr(found)
    assert find_key("dandi-sandbox") is None


def test_keyrings_that_ask_or_fail_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Asks("dandi-api-dandi", "x"))
    assert find_key("dandi") is None
    use(monkeypatch, Broken("dandi-api-dandi", "x"))
    assert find_key("dandi") is None

    class Chain(Held):
        backends = (
            Asks("dandi-api-dandi", "x"),
            Broken("dandi-api-dandi", "x"),
            Held("dandi-api-dandi", "third"),
        )

    use(monkeypatch, Chain("nothing", ""))
    found = find_key("dandi")
    assert found is not None
    assert found.text == "third"


def test_a_keyring_that_is_set_but_not_installed_is_no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "not.there.Keyring")
    assert find_key("dandi") is None


def test_the_encrypted_file_keyring_is_one_that_asks() -> None:
    alt = pytest.importorskip("keyrings.alt.file")
    assert hasattr(alt.EncryptedKeyring, "keyring_key")
    assert not hasattr(alt.PlaintextKeyring, "keyring_key")


def test_what_cannot_be_a_key_is_refused_without_showing_it(
    server: ArchiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(server.key_variable, "abc\ndef123")
    with open_archive(server.api_url) as archive, pytest.raises(InputFileError, match="never has") as raised:
        archive.assets("000124")
    assert "def123" not in str(raised.value)


def test_a_key_that_is_set_later_is_found(server: ArchiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_archive(server.api_url) as archive:
        with pytest.raises(InputFileError, match="with an API key"):
            archive.assets("000124")
        monkeypatch.setenv(server.key_variable, "0" * 40)
        with pytest.raises(InputFileError, match="does not accept"):
            archive.assets("000124")
        monkeypatch.setenv(server.key_variable, OWNER_KEY)
        assert len(archive.assets("000124")) == 1


def test_the_key_from_the_keyring_opens_what_is_embargoed(
    server: ArchiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = server.url.removeprefix("http://")
    use(monkeypatch, Held(f"dandi-api-{name}", OWNER_KEY))
    (source,) = find_sources("dandi:000124", instance=server.api_url)
    assert open_source(source).read(0, 7) == b"not yet"


def test_the_key_stays_with_its_archive(server: ArchiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """No log record, error, source or request to another host holds it, whatever goes wrong."""
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.setFormatter(logging.Formatter("%(message)s %(args)s %(exc_info)s"))
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    for name in ("", "dandi", "urllib3", "requests"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    logging.getLogger("dandi").manager._clear_cache()  # type: ignore[attr-defined]
    import tenacity

    monkeypatch.setattr(tenacity, "wait_exponential", lambda **_: tenacity.wait_none())
    monkeypatch.setenv(server.key_variable, OWNER_KEY)
    (source,) = find_sources("dandi:000124@draft/sub-s/", instance=server.api_url)
    texts = [repr(source), str(source), source.name, source.url]
    far = open_source(source)
    assert far.read(0, 3) == b"not"
    server.store.expire()
    assert far.read(3, 4) == b" yet"
    texts += [repr(far), repr(getattr(far, "_locate", None))]
    assert OWNER_KEY.encode() not in pickle.dumps((source, far))
    archive = archive_module.shared_archive(instance_of(server.api_url))
    texts += [repr(archive), repr(vars(archive))]
    for status, body in (
        (500, f"META: Authorization: token {OWNER_KEY}"),
        (403, OWNER_KEY),
        (400, OWNER_KEY),
    ):
        server.fail(status, times=12, body=body, path_contains="/dandisets/")
        with pytest.raises(InputFileError) as raised:
            archive.dandiset("000124")
        texts += ["".join(traceback.format_exception(raised.value)), repr(raised.value)]
        assert raised.value.__cause__ is None
        pickle.loads(pickle.dumps(raised.value))
        server.faults.clear()
    assert any("authorization" in each.headers for each in server.heard), "it was used"
    assert "GET" in said.getvalue(), "something was logged"
    for text in [*texts, said.getvalue()]:
        assert OWNER_KEY not in text
    for each in server.store.log:
        assert "authorization" not in each.request.headers
        assert OWNER_KEY not in f"{each.request}"
    assert len(server.store.log) >= 2


def test_the_key_is_not_sent_where_the_archive_redirects(
    server: ArchiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(server.key_variable, OWNER_KEY)
    with open_archive(server.api_url) as archive, ArchiveServer() as other:
        archive.assets("000124")
        server.fail(302, path_contains="/dandisets/", headers={"Location": f"{other.api_url}/info/"})
        with pytest.raises(InputFileError):
            archive.dandiset("000124")
        assert other.count("/info/") == 1
        assert not any("authorization" in each.headers for each in other.heard)


def test_pages_of_another_host_are_asked_without_the_key(
    server: ArchiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(server.key_variable, OWNER_KEY)
    with open_archive(server.api_url) as archive, ArchiveServer() as other:
        archive.assets("000124")
        page = f'{{"count": 200, "next": "{other.api_url}/dandisets/?cursor=2", "results": []}}'
        server.fail(200, path_contains="/dandisets/", body=page)
        assert list(archive.listed()) == []
        assert other.count("/dandisets/") == 1
        assert not any("authorization" in each.headers for each in other.heard)


def test_signed_addresses_must_be_safe(server: ArchiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from nwbswitch.schemas.errors import IssuesError

    monkeypatch.setenv(server.key_variable, OWNER_KEY)
    with open_archive(server.api_url) as archive:
        (asset,) = archive.assets("000124")
        for address in ("http://example.org/x", "file:///etc/passwd", "ftp://example.org/x", "//example.org"):
            server.fail(302, path_contains="/download/", headers={"Location": address})
            with pytest.raises(IssuesError, match="is not a safe address"):
                archive.signed_url(asset.asset_id)
