from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from archive_server import OTHER_KEY, OWNER_KEY, ArchiveServer
from range_server import Fault

from nwbswitch.analysis import archive as archive_module
from nwbswitch.analysis.access.http_bytes import HttpBytes
from nwbswitch.analysis.archive import Archive, open_archive
from nwbswitch.analysis.archive_connection import NotInArchiveError
from nwbswitch.schemas.errors import InputFileError

dandiapi = pytest.importorskip("dandi.dandiapi")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    monkeypatch.setattr(archive_module, "_SHARED", {})
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    with ArchiveServer() as running:
        running.add_dandiset(
            "000123",
            name="Ketamine in mice",
            description="Two-photon imaging.",
            keywords=["ketamine", "RSP"],
            metadata={
                "about": [{"schemaKey": "Anatomy", "name": "retrosplenial area"}],
                "relatedResource": [
                    {"schemaKey": "Resource", "name": "A paper", "url": "https://example.org"}
                ],
            },
        )
        running.add_asset("000123", "sub-1/sub-1_ophys.nwb", b"one", subject_id="1")
        running.add_asset("000123", "sub-2/sub-2_ophys.nwb", b"two!", subject_id="2")
        running.publish("000123", "0.240101.1234")
        running.add_asset("000123", "sub-3/sub-3_ophys.nwb", b"three", subject_id="3", with_sha256=False)
        running.add_asset("000123", "sub-4/sub-4_ophys.nwb.zarr", zarr_bytes=99)
        running.add_dandiset("000124", name="Secret", embargoed=True)
        running.add_asset("000124", "sub-s/sub-s_ophys.nwb", b"not yet", subject_id="s")
        yield running


@pytest.fixture
def archive(server: ArchiveServer) -> Iterator[Archive]:
    with open_archive(server.api_url, interval_s=0.0) as opened:
        yield opened


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let dandi's client wait for nothing but note what it was told to."""
    import tenacity

    waited: list[float] = []
    monkeypatch.setattr(dandiapi, "sleep", waited.append)
    monkeypatch.setattr(tenacity, "wait_exponential", lambda **_: tenacity.wait_none())
    return waited


def test_a_dandiset_has_a_draft_and_a_most_recent_published_version(archive: Archive) -> None:
    found = archive.dandiset("000123")
    assert found.published is not None
    assert (found.newest.version, found.published.n_assets, found.published.size) == ("0.240101.1234", 2, 7)
    assert (found.draft.is_draft, found.draft.n_assets) == (True, 4)
    assert found.is_open
    assert found.modified == found.draft.modified > found.published.modified
    assert [each.version for each in archive.versions("000123")] == ["draft", "0.240101.1234"]


def test_what_metadata_say_of_a_dandiset(archive: Archive) -> None:
    (facts,) = archive.dandisets()
    assert facts.name == "Ketamine in mice"
    assert facts.description == "Two-photon imaging."
    assert facts.keywords == ("ketamine", "RSP")
    assert facts.about == ("retrosplenial area",)
    assert facts.related == ("A paper",)
    assert facts.species == ("Mus musculus - House mouse",)
    assert facts.techniques == ("two-photon microscopy technique",)
    assert "PlaneSegmentation" in facts.variables
    assert facts.contributors == ("Doe, Jane",)
    assert facts.license == ("spdx:CC-BY-4.0",)
    assert (facts.n_subjects, facts.n_files, facts.version.version) == (2, 2, "0.240101.1234")
    assert facts.doi.endswith("000123/0.240101.1234")
    draft = archive.described(facts.dandiset, facts.dandiset.draft)
    assert draft.n_subjects == 4


def test_dandisets_since_and_by_words(server: ArchiveServer, archive: Archive) -> None:
    server.add_dandiset("000130", name="Saline", created=datetime(2025, 6, 1, tzinfo=UTC))
    server.add_asset("000130", "sub-1/x.nwb", b"x")
    server.dandisets["000130"].draft.modified = datetime(2025, 6, 1, 12, tzinfo=UTC)
    assert [each.identifier for each in archive.listed()] == ["000123", "000130"]
    assert [each.identifier for each in archive.listed(since=date(2025, 6, 1))] == ["000130"]
    assert [each.identifier for each in archive.listed(since=datetime(2025, 6, 1, 13))] == []
    assert [each.identifier for each in archive.listed(search="ketamine species:mouse")] == ["000123"]
    with pytest.raises(InputFileError, match=r"does not understand.*Unknown search operator"):
        list(archive.listed(search="drug:ketamine"))


def test_assets_have_identity_digest_size_and_facts(server: ArchiveServer, archive: Archive) -> None:
    assets = archive.assets("000123", "draft")
    assert [each.path[:5] for each in assets] == ["sub-1", "sub-2", "sub-3", "sub-4"]
    one, _, three, zarr = assets
    stored = server.dandisets["000123"].draft.assets[0]
    assert stored.blob is not None
    assert (one.asset_id, one.size, one.etag) == (stored.asset_id, 3, stored.blob.etag)
    assert one.digest == f"sha256:{stored.blob.sha256}"
    assert one.content_url == f"{server.store.bucket_url}/{stored.blob.key}"
    assert one.facts.subject_ids == ("1",)
    assert one.facts.sex == ("Female",)
    assert one.facts.session_id == "s1"
    assert one.facts.session_start == datetime(2024, 1, 1, tzinfo=UTC)
    assert one.content_type == "application/x-nwb"
    assert three.digest == f"dandi-etag:{three.etag}", "the archive has not computed SHA-256 yet"
    assert (zarr.is_zarr, zarr.size, zarr.digest, zarr.content_url) == (True, 99, "", "")
    assert archive.asset("000123", "", one.asset_id).version == "0.240101.1234"
    assert archive.asset_by_id(three.asset_id).path == three.path
    assert archive.asset_metadata(one.asset_id)["wasAttributedTo"][0]["identifier"] == "1"


def test_assets_by_pattern_and_prefix(archive: Archive) -> None:
    assert [each.size for each in archive.assets("000123")] == [3, 4]
    assert [each.size for each in archive.assets("000123", glob="*sub-2_*")] == [4]
    assert [each.size for each in archive.assets("000123", "draft", prefix="sub-3/")] == [5]


def test_what_is_not_there_is_said_with_what_is(archive: Archive) -> None:
    with pytest.raises(NotInArchiveError, match="dandiset 000999: is not in the archive"):
        archive.dandiset("000999")
    with pytest.raises(NotInArchiveError, match=r"no version .* Did you mean '0.240101.1234'"):
        archive.assets("000123", "0.240101.1235")
    with pytest.raises(NotInArchiveError, match=r"There are draft, 0.240101.1234"):
        archive.assets("000123", "9.9.9")
    with pytest.raises(NotInArchiveError):
        archive.asset_by_id("00000000-0000-4000-8000-000000000000")


def _many(server: ArchiveServer, n_assets: int) -> None:
    server.add_dandiset("000200")
    for number in range(n_assets):
        server.add_asset("000200", f"sub-{number:03}/x.nwb", b"%d" % number)


def test_long_lists_come_in_pages_once_each(server: ArchiveServer, archive: Archive) -> None:
    _many(server, 250)
    server.publish("000200")
    before = server.count()
    assert [each.path for each in archive.assets("000200")] == [f"sub-{each:03}/x.nwb" for each in range(250)]
    assert server.count() - before == 4, "the dandiset, and three pages"


def test_a_draft_that_changes_while_it_is_listed_is_listed_again(
    server: ArchiveServer, archive: Archive
) -> None:
    _many(server, 250)

    def change(page: int) -> None:
        if page == 2:
            server.before_page = lambda page: None
            server.remove_asset("000200", "sub-000/x.nwb")

    server.before_page = change
    found = [each.path for each in archive.assets("000200", "draft")]
    assert found == [f"sub-{each:03}/x.nwb" for each in range(1, 250)], "without a gap at the page's edge"


def test_a_draft_that_never_stays_still_is_refused(server: ArchiveServer, archive: Archive) -> None:
    _many(server, 120)
    names = iter(range(1000))
    server.before_page = lambda page: server.remove_asset("000200", f"sub-{next(names):03}/x.nwb")
    with pytest.raises(InputFileError, match="changed each time"):
        archive.assets("000200", "draft")


def test_an_open_asset_is_read_without_asking_the_archive(server: ArchiveServer, archive: Archive) -> None:
    asset = archive.assets("000123")[1]
    place = pickle.loads(pickle.dumps(archive.locate(asset)))
    asked = server.count()
    far = HttpBytes(place, name="sub-2")
    assert far.read(0, 4) == b"two!"
    assert server.count() == asked
    assert (place(False).size, place(False).etag) == (4, f'"{asset.etag}"')


def test_an_address_that_expired_is_signed_anew(
    server: ArchiveServer, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(server.key_variable, OWNER_KEY)
    (asset,) = archive.assets("000124")
    far = HttpBytes(archive.locate(asset), name="sub-s")
    assert far.read(0, 3) == b"not"
    server.store.expire()
    assert far.read(4, 3) == b"yet"
    assert server.count("/download/") == 3, "once without the key, once with it, once anew"


def test_an_object_that_is_no_longer_open_is_asked_for_at_the_archive(
    server: ArchiveServer, archive: Archive
) -> None:
    asset = archive.assets("000123")[0]
    stored = server.assets[asset.asset_id].blob
    assert stored is not None
    server.store.put(stored.key, b"one", etag=stored.etag, closed=True)
    assert HttpBytes(archive.locate(asset), name="sub-1").read(0, 3) == b"one"
    assert server.count("/download/") == 1


def test_other_bytes_than_those_of_the_asset_are_refused(server: ArchiveServer, archive: Archive) -> None:
    asset = archive.assets("000123")[0]
    server.overwrite(server.assets[asset.asset_id], b"ONE")
    with pytest.raises(InputFileError, match="sub-1"):
        HttpBytes(archive.locate(asset), name="sub-1").read(0, 3)


def test_broken_answers_of_the_store_are_asked_for_again(server: ArchiveServer, archive: Archive) -> None:
    asset = archive.assets("000123")[1]
    server.store.plan(Fault.status(503), Fault.truncated(1), Fault.status(429, retry_after=0.01))
    assert HttpBytes(archive.locate(asset), name="sub-2").read(0, 4) == b"two!"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_passing_failures_are_asked_again(
    server: ArchiveServer, archive: Archive, pauses: list[float], status: int
) -> None:
    asks_to_wait = status in (429, 503)
    server.fail(status, times=1 if asks_to_wait else 3, headers={"Retry-After": "1"} if asks_to_wait else {})
    began_s = time.monotonic()
    assert archive.dandiset("000123").identifier == "000123"
    took_s = time.monotonic() - began_s
    assert server.count() == (2 if asks_to_wait else 4)
    if asks_to_wait:
        assert pauses == [1]
        assert took_s >= 1.0, "no request before the time that the archive asked for"


def test_answers_that_break_off_are_asked_for_again(
    server: ArchiveServer, archive: Archive, pauses: list[float]
) -> None:
    server.fail(times=2, keep_bytes=20, path_contains="/assets/")
    assert len(archive.assets("000123")) == 2


def test_failures_that_stay_are_reported_after_twelve_tries(
    server: ArchiveServer, archive: Archive, pauses: list[float]
) -> None:
    server.fail(500, times=100)
    with pytest.raises(InputFileError, match=r"answers 500\. Try again later"):
        archive.dandiset("000123")
    assert server.count() == 12


def test_an_archive_that_is_away_is_reported(server: ArchiveServer, pauses: list[float]) -> None:
    nobody = open_archive("http://127.0.0.1:9/api", interval_s=0.0)
    with pytest.raises(InputFileError, match=r"does not answer \(ConnectionError\)"):
        nobody.dandiset("000123")


def test_an_archive_that_asks_for_hours_is_not_waited_for(server: ArchiveServer, archive: Archive) -> None:
    server.fail(429, times=5, headers={"Retry-After": "7200"})
    with pytest.raises(InputFileError, match="asks to wait 120 minutes"):
        archive.dandiset("000123")
    assert server.count() == 1


def test_endless_and_slow_answers_are_given_up(
    server: ArchiveServer, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nwbswitch.analysis import archive_connection

    monkeypatch.setattr(archive_connection, "MAX_ANSWER_BYTES", 1000)
    with pytest.raises(InputFileError, match="more than"):
        archive.assets("000123")
    monkeypatch.undo()
    monkeypatch.setattr(archive_connection, "ANSWER_S", 0.0)
    with pytest.raises(InputFileError, match="takes longer"):
        archive.dandiset("000123")


@pytest.mark.parametrize(
    "body",
    [
        "<html>Please log in</html>",
        "[]",
        '{"identifier": "000123"}',
        '{"results": 7, "next": null}',
        "[" * 100_000,
        '{"count": 1, "next": null, "results": [{"path": "x.nwb"}]}',
    ],
)
def test_answers_of_another_form_are_no_crash(server: ArchiveServer, archive: Archive, body: str) -> None:
    server.fail(200, body=body)
    with pytest.raises(InputFileError, match="otherwise than the installed dandi client expects"):
        archive.dandiset("000123")
    server.fail(200, body=body, path_contains="/assets/")
    with pytest.raises(InputFileError, match="otherwise than"):
        archive.assets("000123")


def test_metadata_of_any_form_give_facts(server: ArchiveServer, archive: Archive) -> None:
    odd: dict[str, Any] = {
        "schemaVersion": "0.6.4",
        "encodingFormat": "application/x-nwb",
        "wasAttributedTo": [{"species": "mouse", "sex": None, "genotype": [{"alleles": []}]}, "nobody", 7],
        "wasGeneratedBy": {"not": "a list"},
        "variableMeasured": ["Units", {"value": "ElectrodeGroup"}, None],
        "approach": None,
        "keywords": ["a", 7, "a"],
    }
    server.add_asset("000123", "odd.nwb", b"odd", metadata=odd)
    (asset,) = archive.assets("000123", "draft", prefix="odd.nwb")
    assert asset.facts.species == ("mouse",)
    assert asset.facts.sex == ()
    assert asset.facts.variables[:2] == ("Units", "ElectrodeGroup")
    assert asset.facts.keywords == ("a",)
    assert asset.facts.session_start is None


def test_who_may_not_read_is_told_what_to_do(
    server: ArchiveServer, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputFileError, match=f"with an API key .* {server.key_variable}"):
        archive.assets("000124")
    monkeypatch.setenv(server.key_variable, OTHER_KEY)
    with pytest.raises(InputFileError, match="may not be read by you"):
        archive.assets("000124")
    monkeypatch.setenv(server.key_variable, "0" * 40)
    with (
        open_archive(server.api_url) as other,
        pytest.raises(InputFileError, match="does not accept the API"),
    ):
        other.assets("000124")


def test_the_key_of_the_owner_opens_what_is_embargoed(
    server: ArchiveServer, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(server.key_variable, OWNER_KEY)
    assert [each.identifier for each in archive.listed()] == ["000123"]
    assert not any("authorization" in each.headers for each in server.heard), "not sent before it is needed"
    assert [each.identifier for each in archive.listed(embargoed=True)] == ["000123", "000124"]
    (asset,) = archive.assets("000124")
    assert not asset.is_open
    assert HttpBytes(archive.locate(asset), name="sub-s").read(0, 7) == b"not yet"


def test_threads_share_an_archive(server: ArchiveServer, archive: Archive) -> None:
    from concurrent.futures import ThreadPoolExecutor

    _many(server, 150)
    server.publish("000200")
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: len(archive.assets("000200")), range(16)))
    assert found == [150] * 16


def test_requests_are_spaced(server: ArchiveServer) -> None:
    with open_archive(server.api_url, interval_s=0.1) as slow:
        began_s = time.monotonic()
        for _ in range(4):
            slow.dandiset("000123")
        assert time.monotonic() - began_s >= 0.3
