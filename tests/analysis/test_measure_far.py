"""Measuring what lies in archives and on web servers: the same numbers, traced to their assets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from archive_server import OWNER_KEY, ArchiveServer
from range_server import Fault, RangeServer

from nwbswitch.analysis import measure as measure_module
from nwbswitch.analysis.access.byte_cache import CacheSettings
from nwbswitch.analysis.measure import MeasureResult, measure
from nwbswitch.schemas.errors import ExistingOutputError
from nwbswitch.schemas.issues import Severity

BLOCK_S = 20.0
OF_SOURCE = ["source", "source_digest", "asset_id", "source_version", "dataset"]
SUBJECTS = ("m1", "m2", "m3")


@pytest.fixture(scope="module")
def files(nwb_files: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("far")
    written = []
    for number, subject in enumerate(SUBJECTS):
        traces = nwb_files.make_traces(4, n_frames=1250, seed=number)
        path = folder / f"sub-{subject}" / f"sub-{subject}_ophys.nwb"
        nwb_files.write_nwb(path, {"RoiResponseSeries": traces}, subject_id=subject, keywords=())
        written.append(path)
    return written


@pytest.fixture
def cache(tmp_path: Path) -> CacheSettings:
    return CacheSettings(tmp_path / "cache")


@pytest.fixture
def archive(files: list[Path]) -> Iterator[ArchiveServer]:
    with ArchiveServer() as server:
        server.add_dandiset("000123", name="Ketamine")
        for path in files:
            server.add_asset("000123", f"{path.parent.name}/{path.name}", path)
        server.publish("000123", "0.240101.1234")
        yield server


def errors(result: MeasureResult) -> list[str]:
    return [str(each) for each in result.issues if each.severity is Severity.ERROR]


def test_an_archive_gives_the_numbers_of_the_files(
    archive: ArchiveServer, files: list[Path], cache: CacheSettings
) -> None:
    near = measure(files, block_s=BLOCK_S).cells
    far = measure("dandi:000123", instance=archive.api_url, block_s=BLOCK_S, cache=cache)
    assert errors(far) == []
    pd.testing.assert_frame_equal(far.cells.drop(columns=OF_SOURCE), near.drop(columns=OF_SOURCE))


def test_every_row_names_its_asset(archive: ArchiveServer, cache: CacheSettings) -> None:
    cells = measure("dandi:000123", instance=archive.api_url, block_s=BLOCK_S, cache=cache).cells
    first = cells[cells["animal"] == "m1"].iloc[0]
    assert first["source"] == "dandi:000123@0.240101.1234/sub-m1/sub-m1_ophys.nwb"
    assert first["source_version"] == "0.240101.1234"
    assert first["source_digest"].startswith("sha256:")
    assert len(first["asset_id"]) == 36
    assert first["object_path"].endswith("RoiResponseSeries")
    assert cells["asset_id"].nunique() == 3
    assert set(cells["dataset"]) == {"dandi:000123"}


def test_a_pattern_takes_some_assets(archive: ArchiveServer, cache: CacheSettings) -> None:
    result = measure("dandi:000123@draft/sub-m[13]/*", instance=archive.api_url, block_s=BLOCK_S, cache=cache)
    assert set(result.cells["animal"]) == {"m1", "m3"}
    assert set(result.cells["source_version"]) == {"draft"}


def test_a_second_run_asks_for_no_bytes(archive: ArchiveServer, cache: CacheSettings) -> None:
    first = measure("dandi:000123", instance=archive.api_url, block_s=BLOCK_S, cache=cache)
    before = archive.store.n_bytes
    second = measure(
        "dandi:000123", instance=archive.api_url, block_s=BLOCK_S, threshold_sd=60.0, cache=cache
    )
    assert archive.store.n_bytes == before > 0
    assert len(second.cells) == len(first.cells)
    assert second.cells["n_events"].sum() < first.cells["n_events"].sum()


def test_embargoed_assets_need_the_key(
    archive: ArchiveServer, files: list[Path], cache: CacheSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.add_dandiset("000999", name="Secret", embargoed=True)
    archive.add_asset("000999", "sub-m1/sub-m1_ophys.nwb", files[0])
    monkeypatch.setenv(archive.key_variable, OWNER_KEY)
    result = measure("dandi:000999@draft", instance=archive.api_url, block_s=BLOCK_S, cache=cache)
    assert set(result.cells["animal"]) == {"m1"}
    assert OWNER_KEY not in repr(result) + result.cells.to_csv()


def test_a_file_that_changes_after_it_was_identified_is_listed_and_the_others_measured(
    files: list[Path], cache: CacheSettings
) -> None:
    with RangeServer() as server:
        urls = [server.add(path.name, path) for path in files]
        content = files[0].read_bytes()
        server.at_request(4, lambda: server.replace(files[0].name, content[:-1] + b"x"))
        result = measure(urls, block_s=BLOCK_S, cache=cache)
    assert set(result.cells["animal"]) == {"m2", "m3"}
    assert len(errors(result)) == 1
    assert "changed" in errors(result)[0]
    assert files[0].name in errors(result)[0]


def test_troubles_of_a_server_do_not_change_numbers(files: list[Path], cache: CacheSettings) -> None:
    with RangeServer() as server:
        urls = [server.add(path.name, path) for path in files]
        server.plan(Fault.status(503), Fault.truncated(50), Fault.reset(), Fault.status(429, retry_after=0))
        troubled = measure(urls, block_s=BLOCK_S, cache=cache).cells
    plain = measure(files, block_s=BLOCK_S).cells
    np.testing.assert_array_equal(troubled["n_events"], plain["n_events"])
    np.testing.assert_array_equal(troubled["noise"], plain["noise"])


def test_an_address_that_is_gone_is_a_finding(files: list[Path], cache: CacheSettings) -> None:
    with RangeServer() as server:
        urls = [server.add(files[0].name, files[0]), f"{server.url}/files/gone.nwb"]
        result = measure(urls, block_s=BLOCK_S, cache=cache)
    assert set(result.cells["animal"]) == {"m1"}
    assert len(errors(result)) == 1
    assert "gone.nwb" in errors(result)[0]


def test_a_stopped_run_goes_on(
    files: list[Path], cache: CacheSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "cells.parquet"
    with RangeServer() as server:
        urls = [server.add(path.name, path) for path in files]
        with monkeypatch.context() as patch:
            patch.setattr(measure_module, "write_cells", _stopped)
            with pytest.raises(KeyboardInterrupt):
                measure(urls, out=out, block_s=BLOCK_S, cache=cache)
        assert not out.exists()
        assert len(list((tmp_path / "cells.parquet.parts").glob("*.parquet"))) == 3
        monkeypatch.setattr(measure_module.MeasureSession, "__call__", _measured_again)
        result = measure(urls, out=out, block_s=BLOCK_S, cache=cache)
    assert set(result.cells["animal"]) == set(SUBJECTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "cells.parquet", "sessions.csv"]


def test_what_could_not_be_had_is_tried_again(
    files: list[Path], cache: CacheSettings, tmp_path: Path
) -> None:
    out = tmp_path / "cells.parquet"
    with RangeServer() as server:
        urls = [f"{server.url}/files/{path.name}" for path in files]
        for path in files[:2]:
            server.add(path.name, path)
        first = measure(urls, out=out, block_s=BLOCK_S, cache=cache)
        assert (len(errors(first)), set(first.cells["animal"])) == (1, {"m1", "m2"})
        again = measure(urls, out=out, block_s=BLOCK_S, cache=cache)
        assert (len(errors(again)), again.counts) == (1, first.counts)
        server.add(files[2].name, files[2])
        n_bytes = server.n_bytes
        whole = measure(urls, out=out, block_s=BLOCK_S, cache=cache)
        assert (errors(whole), set(whole.cells["animal"])) == ([], set(SUBJECTS))
        assert server.n_bytes - n_bytes < 1.5 * files[2].stat().st_size
        assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "cells.parquet", "sessions.csv"]
        with pytest.raises(ExistingOutputError):
            measure(urls[:2], out=out, block_s=BLOCK_S, cache=cache)


def _stopped(*_: object) -> None:
    raise KeyboardInterrupt


def _measured_again(*_: object) -> bytes:
    raise AssertionError("a session that was done is measured again")
