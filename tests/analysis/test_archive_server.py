"""The stand-in for an archive satisfies dandi's own client, and answers as dandi-archive does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from archive_server import OTHER_KEY, OWNER_KEY, ArchiveServer

requests = pytest.importorskip("requests")
dandiapi = pytest.importorskip("dandi.dandiapi")

N_ASSETS = 230


@pytest.fixture(scope="module")
def archive() -> Iterator[ArchiveServer]:
    with ArchiveServer() as server:
        server.add_dandiset("000123", name="Ketamine in mice", keywords=["ketamine"])
        for number in range(N_ASSETS):
            path = f"sub-m{number}/sub-m{number}_ophys.nwb"
            server.add_asset("000123", path, b"bytes %d" % number, subject_id=f"m{number}")
        server.publish("000123", "0.240101.1234")
        server.add_asset("000123", "sub-new/sub-new_ophys.nwb.zarr", zarr_bytes=77)
        server.add_dandiset("000124", name="Secret", embargoed=True)
        server.add_asset("000124", "sub-s/sub-s_ophys.nwb", b"not yet", subject_id="s")
        server.add_dandiset("000125", name="Empty")
        yield server


@pytest.fixture
def client(archive: ArchiveServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DANDI_NO_ET", "1")
    with dandiapi.DandiAPIClient(archive.api_url) as found:
        yield found


def test_the_client_finds_the_instance_by_its_api_and_by_its_root(
    archive: ArchiveServer, client: Any
) -> None:
    from dandi.utils import get_instance

    assert get_instance(archive.url).api == archive.api_url
    assert client.api_key_env_var == archive.key_variable
    client.check_schema_version()


def test_dandisets_are_listed_without_the_embargoed_ones(client: Any) -> None:
    assert [str(each).rpartition(":")[2] for each in client.get_dandisets()] == [
        "000123/0.240101.1234",
        "000125/draft",
    ]
    assert [each.identifier for each in client.get_dandisets(draft=False)] == ["000123"]
    assert [each.identifier for each in client.get_dandisets(empty=False)] == ["000123"]
    assert [each.identifier for each in client.get_dandisets(order="-id")] == ["000125", "000123"]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ketamine", ["000123"]),
        ("KETAMINE mice", ["000123"]),
        ("ketamine saline", []),
        ('species:"mus musculus"', ["000123"]),
        ("technique:two-photon ketamine", ["000123"]),
        ("species:human", []),
    ],
)
def test_search_looks_into_metadata(client: Any, search: str, found: list[str]) -> None:
    assert [each.identifier for each in client.get_dandisets(search=search)] == found


def test_unknown_search_operators_and_orders_are_refused(client: Any) -> None:
    with pytest.raises(requests.HTTPError, match="400"):
        list(client.get_dandisets(search="drug:ketamine"))
    with pytest.raises(requests.HTTPError, match="400"):
        list(client.get_dandiset("000123", "draft").get_assets(order="size"))


def test_metadata_of_what_is_published_fit_dandis_schema(client: Any) -> None:
    dandiset = client.get_dandiset("000123")
    assert dandiset.version_id == "0.240101.1234"
    summary = dandiset.get_metadata().assetsSummary
    assert (summary.numberOfFiles, summary.numberOfSubjects) == (N_ASSETS, N_ASSETS)
    asset = dandiset.get_asset_by_path("sub-m7/sub-m7_ophys.nwb")
    metadata = asset.get_metadata()
    assert metadata.wasAttributedTo[0].identifier == "m7"
    assert metadata.contentSize == len(b"bytes 7")


def test_assets_come_in_pages_of_which_only_the_first_counts(archive: ArchiveServer, client: Any) -> None:
    before = archive.count("/assets/")
    assets = list(client.get_dandiset("000123").get_assets())
    assert len({each.identifier for each in assets}) == N_ASSETS
    assert archive.count("/assets/") - before == 3
    address = f"{archive.api_url}/dandisets/000123/versions/draft/assets/"
    pages = [requests.get(address, params={"page": page}, timeout=5).json() for page in (1, 2, 9)]
    assert [each["count"] for each in pages] == [N_ASSETS + 1, None, None]
    assert [len(each["results"]) for each in pages] == [100, 100, 0]
    assert "page=3" in pages[1]["next"]


def test_patterns_of_the_api_know_stars_only(client: Any) -> None:
    dandiset = client.get_dandiset("000123", "draft")
    assert len(list(dandiset.get_assets_by_glob("sub-m22*"))) == 11
    assert len(list(dandiset.get_assets_by_glob("SUB-M22?/*"))) == 0
    assert len(list(dandiset.get_assets_with_path_prefix("sub-m22"))) == 11
    (zarr,) = dandiset.get_assets_by_glob("*.zarr")
    assert (zarr.asset_type.name, zarr.size) == ("ZARR", 77)


def test_versions_are_listed_and_missing_ones_are_not_found(client: Any) -> None:
    dandiset = client.get_dandiset("000123")
    assert [str(each) for each in dandiset.get_versions()] == ["draft", "0.240101.1234"]
    with pytest.raises(dandiapi.NotFoundError):
        dandiset.get_version("0.240101.1235")
    with pytest.raises(dandiapi.NotFoundError):
        client.get_dandiset("000999", lazy=False)
    with pytest.raises(dandiapi.NotFoundError):
        list(client.get_dandiset("000123", "0.240101.1235").get_assets())


def test_bytes_come_from_the_object_store_at_a_signed_address(archive: ArchiveServer, client: Any) -> None:
    asset = client.get_dandiset("000123").get_asset_by_path("sub-m7/sub-m7_ophys.nwb")
    assert b"".join(asset.get_download_file_iter()(0)) == b"bytes 7"
    assert b"".join(asset.get_download_file_iter()(2)) == b"tes 7"
    signed = asset.get_content_url(regex="download", follow_redirects=1)
    assert signed.startswith(archive.store.url)
    assert "signature=" in signed
    direct = asset.get_content_url(regex=archive.store.url)
    answer = requests.get(direct, timeout=5)
    assert answer.content == b"bytes 7"
    assert answer.headers["ETag"].strip('"') == asset.get_raw_digest("dandi:dandi-etag")
    assert requests.head(signed, timeout=5).status_code == 403, "signed for GET"
    refused = requests.get(signed, headers={"Authorization": "token x"}, timeout=5)
    assert refused.status_code == 400, "as S3 refuses two kinds of authority"


def test_embargoed_dandisets_need_the_key_of_their_owner(archive: ArchiveServer, client: Any) -> None:
    dandiset = client.get_dandiset("000124", "draft")
    with pytest.raises(requests.HTTPError, match="401"):
        list(dandiset.get_assets())
    with pytest.raises(requests.HTTPError, match="401"):
        list(client.get_dandisets(embargoed=True))
    client.authenticate(OTHER_KEY)
    with pytest.raises(requests.HTTPError, match="403"):
        list(dandiset.get_assets())
    with pytest.raises(requests.HTTPError, match="401"):
        client.authenticate("0" * 40)
    client.authenticate(OWNER_KEY)
    (asset,) = dandiset.get_assets()
    assert b"".join(asset.get_download_file_iter()(0)) == b"not yet"
    assert [each.identifier for each in client.get_dandisets(embargoed=True)][1:] == ["000124", "000125"]
    assert [each.identifier for each in client.get_dandisets(embargoed=True, mine=True)] == [
        "000123",
        "000124",
        "000125",
    ]
    direct = asset.get_content_url(regex=archive.store.url)
    assert requests.get(direct, timeout=5).status_code == 403
    assert client.get("/users/me/")["username"] == "owner"


def test_zarr_assets_have_no_download(archive: ArchiveServer, client: Any) -> None:
    (zarr,) = client.get_dandiset("000123", "draft").get_assets_by_glob("*.zarr")
    answer = requests.get(f"{archive.api_url}/assets/{zarr.identifier}/download/", timeout=5)
    assert answer.status_code == 400


def test_a_replaced_asset_is_still_there_by_its_id() -> None:
    with ArchiveServer() as archive:
        archive.add_dandiset("000001")
        old = archive.add_asset("000001", "sub-1/a.nwb", b"old")
        new = archive.add_asset("000001", "sub-1/a.nwb", b"new")
        assert [each.asset_id for each in archive.dandisets["000001"].draft.assets] == [new.asset_id]
        found = requests.get(f"{archive.api_url}/assets/{old.asset_id}/download/", timeout=5)
        assert found.content == b"old"
        nested = f"{archive.api_url}/dandisets/000001/versions/draft/assets/{old.asset_id}/"
        assert requests.get(nested, timeout=5).status_code == 404


def test_addresses_without_their_last_slash_are_redirected(archive: ArchiveServer) -> None:
    answer = requests.get(f"{archive.api_url}/dandisets/000123", timeout=5)
    assert answer.history[0].status_code == 301
    assert answer.json()["identifier"] == "000123"
    assert requests.get(f"{archive.url}/server-info", timeout=5).status_code == 404


def test_failures_come_as_planned(archive: ArchiveServer) -> None:
    address = f"{archive.api_url}/info/"
    archive.fail(503, times=2, path_contains="/info/", headers={"Retry-After": "7"})
    found = [requests.get(address, timeout=5) for _ in range(3)]
    assert [each.status_code for each in found] == [503, 503, 200]
    assert found[0].headers["Retry-After"] == "7"
    archive.fail(keep_bytes=10, path_contains="/info/")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(address, timeout=5)
