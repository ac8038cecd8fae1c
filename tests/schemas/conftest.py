"""A study folder as a lab has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_study import write_lab


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A study folder with raw data of three sessions."""
    write_lab(tmp_path)
    return tmp_path
