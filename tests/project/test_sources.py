"""House rules that no other tool checks."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

MAX_LINES = 450
FOLDERS = ("analysis", "converters", "schemas", "src")


def test_modules_stay_small() -> None:
    sizes = {
        path.relative_to(ROOT): len(path.read_text().splitlines())
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
    }
    assert not {path: size for path, size in sizes.items() if size > MAX_LINES}


def test_nothing_unfinished_is_shipped() -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX|raise NotImplementedError)\b")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text().splitlines()
        if words.search(line)
    ]
    assert not found


def test_every_issue_code_in_use_is_in_the_catalogue() -> None:
    from nwbswitch.schemas.issues import CATALOGUE

    used = {
        code
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        for code in re.findall(r"\bissue\(\s*\"([a-z0-9-]+)\"", path.read_text())
    }
    assert used
    assert used <= set(CATALOGUE)
