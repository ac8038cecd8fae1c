"""One recording gives the same numbers to the bit: near and far, alone and among others, with any cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from archive_server import ArchiveServer
from range_server import RangeServer
from small_recording import MEASURED_BLOCK_S, small_recording

from nwbswitch.analysis.access.byte_cache import CacheSettings
from nwbswitch.analysis.measure import measure

OF_SOURCE = ["source", "source_digest", "asset_id", "source_version", "dataset"]
OPTIONS: dict[str, dict[str, Any]] = {
    "as is": {},
    "as calcium": {"spikes": "as_calcium"},
    "deconvolved": {"events": "deconvolution", "decay_s": 1.0},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("same")
    names = [f"sub-m{number}/sub-m{number}.nwb" for number in range(3)]
    return [small_recording(folder / name, seed=n, subject_id=f"m{n}") for n, name in enumerate(names)]


def table(sources: Any, **options: Any) -> pd.DataFrame:
    cells = measure(sources, block_s=MEASURED_BLOCK_S, **options).cells
    order = ["animal", "modality", "event_basis", "plane", "neuron", "window", "block"]
    return cells.drop(columns=OF_SOURCE).sort_values(order, ignore_index=True)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_numbers_do_not_depend_on_where_and_how_they_are_read(
    files: list[Path], tmp_path: Path, options: dict[str, Any]
) -> None:
    expected = table(files, **options)
    assert len(expected) == 3 * 2 * 2 * (2 + 2 + 2)
    with RangeServer() as server, ArchiveServer() as archive:
        archive.add_dandiset("000123")
        for path in files:
            archive.add_asset("000123", f"{path.parent.name}/{path.name}", path)
        urls = [server.add(path.name, path) for path in files]
        cache, small = CacheSettings(tmp_path / "cache"), CacheSettings(tmp_path / "small", 40_000)
        runs: list[dict[str, Any]] = [
            {"sources": files[::-1]},
            {"sources": urls, "cache": cache},
            {"sources": urls, "cache": cache},
            {"sources": urls, "cache": small},
            {"sources": "dandi:000123", "cache": cache, "instance": archive.api_url},
        ]
        runs += [] if options else [{"sources": urls, "cache": small, "workers": 2}]
        for run in runs:
            pd.testing.assert_frame_equal(table(**run, **options), expected, check_exact=True)
