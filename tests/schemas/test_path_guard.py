"""Paths that users name stay inside the folder they are for."""

from __future__ import annotations

from pathlib import Path

import pytest

from nwbswitch.schemas.errors import UnsafeFileError
from nwbswitch.schemas.file_guard import inside


def test_paths_inside_are_resolved(tmp_path: Path) -> None:
    assert inside(tmp_path, "a/../b.csv") == tmp_path.resolve() / "b.csv"
    assert inside(tmp_path, tmp_path / "a") == tmp_path.resolve() / "a"


def test_paths_outside_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "root2").mkdir()
    (root / "link").symlink_to(tmp_path)
    (root / "circle").symlink_to(root / "circle")
    for path in ("..", "../root2/a", "/etc/passwd", "link/a", "a/../../b", "a\0b"):
        with pytest.raises(UnsafeFileError):
            inside(root, path)


@pytest.mark.parametrize("name", ["x" * 5000, "x" * 300])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeFileError, match="cannot be used: File name too long") as raised:
        inside(tmp_path, name)
    assert len(str(raised.value)) < 400
