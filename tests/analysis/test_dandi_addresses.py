"""Addresses as people write and copy them; dandi's own parser agrees where it knows them."""

from __future__ import annotations

from typing import Any

import pytest

from nwbswitch.analysis.archive_instances import Instance, known_instances
from nwbswitch.analysis.dandi_addresses import Address, parse_address
from nwbswitch.schemas.errors import IssuesError, MissingExtraError

dandiarchive = pytest.importorskip("dandi.dandiarchive")

ID = "0d5a8f3e-6c1b-4a4e-9d2c-1f2e3d4c5b6a"
API = "https://api.dandiarchive.org/api"
WEB = "https://dandiarchive.org"
OWN = Instance("127.0.0.1:8000", "http://127.0.0.1:8000/api", "http://127.0.0.1:8085")


@pytest.mark.parametrize(
    ("text", "dandiset", "version", "path"),
    [
        ("dandi:001326", "001326", "", ""),
        ("DANDI:001326", "001326", "", ""),
        ("dandi:001326@draft", "001326", "draft", ""),
        ("DANDI:001326/0.240101.1234", "001326", "0.240101.1234", ""),
        ("dandi:001326/draft", "001326", "draft", ""),
        ("dandi:001326@0.240101.1234/sub-*/*.nwb", "001326", "0.240101.1234", "sub-*/*.nwb"),
        ("dandi:001326/0.240101.1234/sub-1/", "001326", "0.240101.1234", "sub-1/"),
        ("dandi:001326/sub-1/a.nwb", "001326", "", "sub-1/a.nwb"),
        ("dandi:001326/drafts/a.nwb", "001326", "", "drafts/a.nwb"),
        ("dandi:001326@draft/a b(1),&+.nwb", "001326", "draft", "a b(1),&+.nwb"),
    ],
)
def test_words(text: str, dandiset: str, version: str, path: str) -> None:
    assert parse_address(text) == Address(None, dandiset, version, path)


def test_words_of_other_archives() -> None:
    known = known_instances()
    assert parse_address("linc:000123@draft") == Address(known["linc"], "000123", "draft")
    assert parse_address("EMBER-DANDI:000123/sub-1/") == Address(known["ember-dandi"], "000123", "", "sub-1/")
    found = parse_address("dandi://dandi-sandbox/000123@draft/sub-1/a.nwb")
    assert found == Address(known["dandi-sandbox"], "000123", "draft", "sub-1/a.nwb")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"{WEB}/dandiset/001326", ("001326", "", "", "")),
        (f"{WEB}/dandiset/001326/", ("001326", "", "", "")),
        (f"{WEB}/dandiset/001326/draft", ("001326", "draft", "", "")),
        (f"{WEB}/dandiset/001326/0.240101.1234?search=ketamine&pos=3", ("001326", "0.240101.1234", "", "")),
        (f"{WEB}/dandiset/001326/draft/files?location=sub-1%2F", ("001326", "draft", "sub-1/", "")),
        (
            f"{WEB}/dandiset/001326/draft/files?location=sub-1%2Fses-2&page=2",
            ("001326", "draft", "sub-1/ses-2/", ""),
        ),
        (f"{WEB}/dandiset/001326/draft/files?location=", ("001326", "draft", "", "")),
        (f"{WEB}/dandiset/001326/draft/files?location=sub-1%2Fa.nwb", ("001326", "draft", "sub-1/a.nwb", "")),
        (f"{WEB}/#/dandiset/001326/draft/files?location=sub-1%2F", ("001326", "draft", "sub-1/", "")),
        ("https://gui.dandiarchive.org/#/dandiset/001326/draft", ("001326", "draft", "", "")),
        ("https://www.dandiarchive.org/dandiset/001326", ("001326", "", "", "")),
        ("https://identifiers.org/DANDI:001326/0.240101.1234", ("001326", "0.240101.1234", "", "")),
        ("https://identifiers.org/dandi:001326", ("001326", "", "", "")),
        ("https://doi.org/10.48324/dandi.001326/0.240101.1234", ("001326", "0.240101.1234", "", "")),
        ("doi:10.48324/dandi.001326/0.240101.1234", ("001326", "0.240101.1234", "", "")),
        ("10.48324/dandi.001326/0.240101.1234", ("001326", "0.240101.1234", "", "")),
        (f"{API}/dandisets/001326/", ("001326", "", "", "")),
        (f"{API}/dandisets/001326/versions/", ("001326", "", "", "")),
        (f"{API}/dandisets/001326/versions/draft", ("001326", "draft", "", "")),
        (f"{API}/dandisets/001326/versions/draft/assets/", ("001326", "draft", "", "")),
        (f"{API}/dandisets/001326/versions/draft/assets/{ID}/", ("001326", "draft", "", ID)),
        (f"{API}/dandisets/001326/versions/draft/assets/{ID}/download/", ("001326", "draft", "", ID)),
        (f"{API}/dandisets/001326/versions/draft/assets/{ID}/info/", ("001326", "draft", "", ID)),
        (
            f"{API}/dandisets/001326/versions/draft/assets/?glob=sub-1*.nwb",
            ("001326", "draft", "sub-1**.nwb", ""),
        ),
        (f"{API}/assets/{ID}/download/", ("", "", "", ID)),
        (f"{API}/assets/{ID.upper()}", ("", "", "", ID)),
        (f"dandi:assets/{ID}/sub-1/a.nwb", ("", "", "", ID)),
    ],
)
def test_addresses_of_the_archive(url: str, expected: tuple[str, str, str, str]) -> None:
    found = parse_address(url)
    assert found is not None
    assert found.archive == (None if url.startswith("dandi:") else known_instances()["dandi"])
    assert (found.dandiset, found.version, found.path, found.asset_id) == expected
    assert not found.is_prefix


def test_a_path_in_an_address_of_the_api_is_a_prefix() -> None:
    found = parse_address(f"{API}/dandisets/001326/versions/draft/assets/?path=sub-1%2F")
    assert found == Address(known_instances()["dandi"], "001326", "draft", "sub-1/", is_prefix=True)


def test_addresses_of_an_archive_that_dandi_does_not_know() -> None:
    text = f"{OWN.api_url}/dandisets/001326/versions/draft/"
    assert parse_address(text) is None
    assert parse_address(text, archives=[OWN]) == Address(OWN, "001326", "draft")
    assert parse_address(f"{OWN.web_url}/dandiset/001326", archives=[OWN]) == Address(OWN, "001326")


@pytest.mark.parametrize(
    "text",
    [
        "nwb/sub-1",
        "C:\\data\\a.nwb",
        "c:/data/a.nwb",
        "other:001326",
        "https://example.org/dandiset/001326",
        "https://dandiarchive.s3.amazonaws.com/blobs/aaa/bbb/aaabbb",
        "https://doi.org/10.1038/s41593-022-01203-5",
        "https://identifiers.org/pubmed:1",
    ],
)
def test_what_is_no_address_of_an_archive(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dandi:1326", "six digits: 001326"),
        ("dandi:0013261", "Expected dandi:001326"),
        ("dandi:", "Expected dandi:001326"),
        ("dandi:ketamine", "Expected dandi:001326"),
        ("dandi:001326@latest", "Expected @draft"),
        ("dandi:001326@", "Expected @draft"),
        ("dandi:001326@0.240101/sub-1/", "Expected @draft"),
        ("dandi:001326/../001327", "without . and"),
        ("dandi:001326//sub-1", "without . and"),
        ("dandi://nowhere/001326", "one of the archives"),
        (f"{WEB}/user/me", "Expected dandi:001326"),
        (f"{API}/info/", "Expected dandi:001326"),
        (f"{API}/dandisets/1326/", "Expected dandi:001326"),
        (f"{API}/dandisets/001326/versions/draft/assets/?path=../x", "without . and"),
    ],
)
def test_what_is_refused_and_what_was_expected(text: str, words: str) -> None:
    with pytest.raises(IssuesError, match=words) as raised:
        parse_address(text)
    assert {each.code for each in raised.value.issues} == {"source-form"}


@pytest.mark.parametrize(
    "text",
    [
        "DANDI:001326",
        "DANDI:001326/0.240101.1234",
        "dandi://dandi/001326@draft/sub-1/a.nwb",
        "dandi://dandi-sandbox/001326/sub-1/",
        f"{WEB}/dandiset/001326",
        f"{WEB}/#/dandiset/001326/draft",
        f"{WEB}/dandiset/001326/draft/files?location=sub-1%2F",
        f"{API}/dandisets/001326/versions/draft",
        f"{API}/dandisets/001326/versions/draft/assets/{ID}/download/",
        f"{API}/dandisets/001326/versions/draft/assets/?path=sub-1",
        f"{API}/assets/{ID}/download/",
    ],
)
def test_dandi_itself_reads_the_same(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(given: Any) -> Any:
        known = dandiarchive.known_instances
        if given in known:
            return known[given]
        return next(each for each in known.values() if str(given) in (*each.urls(), each.api[: -len("/api")]))

    monkeypatch.setattr(dandiarchive, "get_instance", offline)
    theirs = dandiarchive.parse_dandi_url(text)
    ours = parse_address(text)
    assert ours is not None
    archive = ours.archive or known_instances()["dandi"]
    assert archive.api_url == theirs.instance.api
    assert (ours.dandiset, ours.version) == (theirs.dandiset_id or "", theirs.version_id or "")
    assert ours.path == getattr(theirs, "path", "")
    assert ours.asset_id == getattr(theirs, "asset_id", "")


def test_without_dandi_only_its_addresses_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from nwbswitch.analysis import archive_instances, dandi_addresses

    monkeypatch.setattr(archive_instances, "find_spec", lambda name: None)
    monkeypatch.setattr(dandi_addresses, "find_spec", lambda name: None)
    for text in ("dandi:001326", f"{WEB}/dandiset/001326", "10.48324/dandi.001326/0.240101.1234"):
        with pytest.raises(MissingExtraError, match=r"nwbswitch\[dandi\]"):
            parse_address(text)
    for text in ("a.nwb", "linc:000123", "https://example.org/a.nwb"):
        assert parse_address(text) is None
