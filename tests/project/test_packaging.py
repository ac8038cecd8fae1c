"""The install map, the version and the face stay in step with the folders."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

ROOMS = ("analysis", "converters", "schemas")


def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_package_list_names_every_folder_with_code() -> None:
    listed = set(_project()["tool"]["setuptools"]["packages"])
    found = {"nwbswitch"}
    for room in ROOMS:
        folders = {path.parent for path in (ROOT / room).rglob("*.py")}
        found |= {"nwbswitch." + ".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert listed == found


def test_every_data_file_is_packaged() -> None:
    patterns = _project()["tool"]["setuptools"]["package-data"]
    for room in ROOMS:
        root = ROOT / room
        data = {p for p in root.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
        packaged = {p for pattern in patterns.get(f"nwbswitch.{room}", []) for p in root.glob(pattern)}
        assert data <= packaged, f"not in package-data: {data - packaged}"


def test_installed_version_is_the_stated_one() -> None:
    from nwbswitch import __version__

    assert importlib.metadata.version("nwbswitch") == __version__


@pytest.mark.parametrize(
    "heavy", ["pandas", "pynwb", "scipy", "matplotlib", "neuroconv", "numpy", "pydantic"]
)
def test_help_imports_nothing_heavy(heavy: str) -> None:
    code = f"import sys, nwbswitch.cli; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_wrong_usage_and_unknown_file_have_no_traceback() -> None:
    for arguments, status in (
        (["fit", "nowhere.csv", "--formula", "y ~ 1"], 2),
        (["fit"], 2),
        (["demo", "x", "--world", "zzz"], 2),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "nwbswitch", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        assert done.stderr.strip()


def test_the_face_hands_on_at_most_twelve_names_and_each_is_there() -> None:
    import nwbswitch

    assert len([name for name in nwbswitch.__all__ if name != "__version__"]) <= 12
    assert set(nwbswitch._HANDED_ON) | {"__version__"} == set(nwbswitch.__all__)
    for name in nwbswitch._HANDED_ON:
        assert getattr(nwbswitch, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        nwbswitch.nothing_of_ours  # noqa: B018
