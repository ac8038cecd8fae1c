"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with third-party recordings and reference numbers; tests that need it skip without it."""
    folder = Path(os.environ.get("NWBSWITCH_SHARED", ROOT.parent / "shared")).resolve()
    if not folder.is_dir():
        pytest.skip(f"shared data not found at {folder}; set NWBSWITCH_SHARED")
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the bytes of far files out of the cache of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NWBSWITCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
