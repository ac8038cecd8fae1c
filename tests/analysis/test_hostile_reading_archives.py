"""Archives that lie: sizes, identifiers, texts, addresses and lists that no archive has."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from archive_server import ArchiveServer
from loopback import Answer, Heard
from small_recording import MEASURED_BLOCK_S, small_recording

from nwbswitch.analysis import archive_connection
from nwbswitch.analysis.access.byte_cache import CacheSettings
from nwbswitch.analysis.access.http_answer import RefusedAnswerError
from nwbswitch.analysis.access.http_route import leads_inside, redirected
from nwbswitch.analysis.archive import AssetPlace
from nwbswitch.analysis.archive_instances import Instance
from nwbswitch.analysis.catalogue.find import find
from nwbswitch.analysis.measure import measure
from nwbswitch.analysis.sources import find_sources
from nwbswitch.schemas.errors import InputFileError, NwbswitchError

Edit = Callable[[Any], None]
STEERING = "\x1b[2J\x9b31m\u202e\ud800"


class LyingServer(ArchiveServer):
    """An archive whose JSON is changed on the way out."""

    change: Callable[[str, Any], None] = staticmethod(lambda path, value: None)

    def answer(self, request: Heard) -> Answer:
        plain = Heard(request.method, request.path, request.query, {**request.headers, "accept-encoding": ""})
        answer = super().answer(plain)
        if "json" not in answer.headers.get("Content-Type", ""):
            return answer
        value = json.loads(answer.body)
        self.change(request.path, value)
        return Answer(answer.status, json.dumps(value).encode(), answer.headers)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LyingServer]:
    with LyingServer() as server:
        server.add_dandiset("000123", name="Ketamine", description="Ketamine was given.")
        path = small_recording(tmp_path / "a.nwb")
        server.add_asset("000123", "sub-m1/sub-m1_ophys.nwb", path)
        server.publish("000123")
        yield server


def lie(server: LyingServer, edit: Edit, *, of: str) -> None:
    """Change every asset, version or dandiset in what is answered."""

    def change(path: str, value: Any) -> None:
        if path.endswith("/info/") and of == "asset" and "/assets/" in path:
            edit(value)
        found = value.get("results", []) if isinstance(value, dict) else []
        for each in found:
            if of == "asset" and "asset_id" in each:
                edit(each)
            if of == "dandiset" and "draft_version" in each:
                edit(each)
        if of == "list" and isinstance(value, dict) and "results" in value:
            edit(value)
        if of == "metadata" and isinstance(value, dict) and "assetsSummary" in value:
            edit(value)

    server.change = change  # type: ignore[method-assign]


ASSETS: dict[str, Edit] = {
    "a size without end": lambda asset: asset.update(size=10**30),
    "a size below nothing": lambda asset: asset.update(size=-5),
    "a size that is infinite": lambda asset: asset.update(size=float("inf")),
    "a size in words": lambda asset: asset.update(size="9" * 5000),
    "another size": lambda asset: asset.update(size=asset["size"] + 1),
    "an id that leads elsewhere": lambda asset: asset.update(asset_id="../../users/me"),
    "no metadata": lambda asset: asset.update(metadata=None),
    "a date before all": lambda asset: asset.update(created="0001-01-01T00:00:00+23:59"),
    "addresses that are none": lambda asset: asset["metadata"].update(contentUrl=[5, {}]),
    "a file of this machine": lambda asset: asset["metadata"].update(contentUrl=["file:///etc/passwd"]),
    "an open connection": lambda asset: asset["metadata"].update(contentUrl=["http://example.org/a.nwb"]),
    "a password": lambda asset: asset["metadata"].update(contentUrl=["https://a:b@example.org/a.nwb"]),
    "another etag": lambda asset: asset["metadata"].update(
        digest={"dandi:dandi-etag": "0" * 32 + "-1", "dandi:sha2-256": "0" * 64}
    ),
}


@pytest.mark.parametrize("edit", ASSETS.values(), ids=ASSETS)
def test_assets_that_cannot_be_are_refused(server: LyingServer, tmp_path: Path, edit: Edit) -> None:
    lie(server, edit, of="asset")
    with pytest.raises(NwbswitchError):
        measure(
            "dandi:000123",
            block_s=MEASURED_BLOCK_S,
            instance=server.api_url,
            cache=CacheSettings(tmp_path / "cache"),
        )


@pytest.mark.parametrize("etag", [5, None, ["a"], "x" * 100_000, 'a"\r\nX: b', STEERING])
def test_digests_that_are_none_tell_nothing(server: LyingServer, etag: Any) -> None:
    digest = {"dandi:dandi-etag": etag, "dandi:sha2-256": etag}
    lie(server, lambda asset: asset["metadata"].update(digest=digest), of="asset")
    (source,) = find_sources("dandi:000123", instance=server.api_url)
    assert (source.etag, source.digest) == ("", "")


DANDISETS: dict[str, Edit] = {
    "an identifier that leads elsewhere": lambda each: each.update(identifier="../000124"),
    "an identifier of two lines": lambda each: each.update(identifier="000123\nrm -rf"),
    "a version that is an option": lambda each: each["draft_version"].update(version="--overwrite"),
    "a size without end": lambda each: each["draft_version"].update(size=10**30),
    "assets below nothing": lambda each: each["draft_version"].update(asset_count=-1),
}


@pytest.mark.parametrize("edit", DANDISETS.values(), ids=DANDISETS)
def test_dandisets_that_cannot_be_are_refused(server: LyingServer, tmp_path: Path, edit: Edit) -> None:
    lie(server, edit, of="dandiset")
    with pytest.raises(InputFileError, match="answers otherwise"):
        find("ketamine", instance=server.api_url, catalogue=tmp_path / "c.sqlite", quiet=True)


@pytest.mark.parametrize("count", [10**12, 1e300, float("inf")])
def test_lists_without_end_are_not_begun(server: LyingServer, count: float) -> None:
    lie(server, lambda page: page.update(count=count), of="list")
    with pytest.raises(InputFileError, match="entries|otherwise"):
        find_sources("dandi:000123", instance=server.api_url)


def test_answers_that_nest_without_end_are_refused(server: LyingServer, monkeypatch: Any) -> None:
    deep = b"[" * 200_000
    monkeypatch.setattr(
        LyingServer, "answer", lambda *_: Answer(200, deep, {"Content-Type": "application/json"})
    )
    with pytest.raises(InputFileError, match="answers otherwise"):
        find_sources("dandi:000123", instance=server.api_url)


def test_a_large_answer_is_given_up(server: LyingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_connection, "MAX_ANSWER_BYTES", 1000)
    with pytest.raises(InputFileError, match="MiB"):
        find_sources("dandi:000123", instance=server.api_url)


HOSTILE_TEXTS = {
    "steering": f"ketamine {STEERING}",
    "formula": '=HYPERLINK("https://example.org","ketamine")',
    "markup": "<script>alert(1)</script> ketamine",
    "huge": "ketamine " * 500_000,
    "two lines": "ketamine\nerror: all is lost",
    "zero": "ketamine \0 10 mg/kg",
}


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_texts_of_archives_reach_no_terminal_and_no_table_as_they_are(
    server: LyingServer, tmp_path: Path, text: str
) -> None:
    def edit(metadata: Any) -> None:
        metadata.update(name=text, description=text, keywords=[text], contributor=[{"name": text}])

    lie(server, edit, of="metadata")
    asset = server.assets[next(iter(server.assets))]
    asset.metadata["wasGeneratedBy"] = [{"schemaKey": "Session", "identifier": text, "description": text}]
    asset.metadata["keywords"] = [text]
    out = tmp_path / "found.csv"
    catalogue = tmp_path / "catalogue.sqlite"
    result = find("ketamine", instance=server.api_url, catalogue=catalogue, out=out, quiet=True)
    shown = result.summary()
    assert all(each.isprintable() or each == "\n" for each in shown)
    assert len(shown) < 5_000
    assert not any(line.startswith("error: all is lost") for line in shown.splitlines())
    table = out.read_text(encoding="utf-8")
    assert '"=HYPERLINK' not in table
    assert len(json.dumps(result.as_dict(), ensure_ascii=False).encode()) < 300_000
    assert catalogue.stat().st_size < 2_000_000
    again = find("ketamine", instance=server.api_url, catalogue=catalogue, offline=True, quiet=True)
    assert again.as_dict()["dandisets"] == result.as_dict()["dandisets"]


INSIDE = (
    "https://127.0.0.1/a",
    "https://localhost:8080/a",
    "https://169.254.169.254/latest/meta-data",
    "https://10.0.0.1/a",
    "https://[::1]/a",
    "https://[fd00::1]/a",
    "https://127.1/a",
    "https://2130706433/a",
    "https://0x7f.0.0.0x1/a",
    "https://printer.local/a",
)


@pytest.mark.parametrize("url", INSIDE)
def test_nothing_outside_leads_inside(url: str) -> None:
    outside = "https://dandiarchive.s3.amazonaws.com/blobs/a"
    assert leads_inside(outside, url)
    with pytest.raises(RefusedAnswerError, match="your own network"):
        redirected(outside, url)
    place = AssetPlace(Instance("dandi", "https://api.dandiarchive.org/api"), "a", 5, "", url)
    with pytest.raises(NwbswitchError):
        place(False)


def test_inside_may_lead_anywhere() -> None:
    assert redirected("http://127.0.0.1:1/a", "http://localhost:2/b") == "http://localhost:2/b"
    assert redirected("https://10.0.0.1/a", "https://example.org/b") == "https://example.org/b"
    assert redirected("https://example.org/a", "https://8.8.8.8/b") == "https://8.8.8.8/b"
