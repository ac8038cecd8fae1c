"""Fixtures of the analysis tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def nwb_files() -> ModuleType:
    """The module that writes small NWB files; test folders are no packages, so it is loaded by its path."""
    spec = importlib.util.spec_from_file_location("nwb_files", Path(__file__).with_name("nwb_files.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
