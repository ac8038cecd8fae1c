"""Names that steer terminals, that spreadsheets run or that are no text: of files, assets and in files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from archive_server import ArchiveServer
from range_server import RangeServer
from small_recording import CELLS, MEASURED_BLOCK_S, TRACES, replaced, small_recording

from nwbswitch.analysis.access.byte_cache import CacheSettings
from nwbswitch.analysis.measure import measure
from nwbswitch.schemas.errors import IssuesError

STEERING = "sub-m2_\x1b[2Jgone\x9b31m\u202e.nwb"
HOSTILE = {
    "latin-1": b"sub-m1_M\xe4use.nwb",
    "steering": STEERING.encode(),
    "two lines": b"sub-m3_a\nerror: b.nwb",
    "formula": b"=cmd.nwb",
}


def unsafe(text: str) -> list[str]:
    return [each for each in text if each in "\x1b\x9b\u202e\r" or "\ud800" <= each <= "\udfff"]


def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "nwbswitch", *arguments], capture_output=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "lab"
    for number, name in enumerate(HOSTILE.values()):
        path = small_recording(folder / "written.nwb", subject_id=f"m{number}")
        try:
            path.rename(folder / os.fsdecode(name))
        except (OSError, UnicodeError):
            pytest.skip("this file system has no such names")
    return folder


def test_files_of_any_name_are_measured_and_named_safely(folder: Path) -> None:
    result = measure(folder, block_s=MEASURED_BLOCK_S, workers=2)
    assert result.cells["animal"].nunique() == len(HOSTILE)
    shown = "".join([*result.cells["source"].unique(), *map(str, result.issues), result.summary()])
    assert not unsafe(shown)
    assert "M\\udce4use" in shown


def test_the_command_shows_them_safely_and_finds_its_work_done(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "cells.parquet"
    for _ in range(2):
        done = run("measure", str(folder), "-o", str(out), "--block-s", f"{MEASURED_BLOCK_S}")
        assert done.returncode == 0
        assert not unsafe((done.stdout + done.stderr).decode())
        assert b"\nerror: b" not in done.stderr
    wrong = run("measure", str(folder / "no\x1b[2J.nwb"), "-o", str(out))
    assert wrong.returncode == 1
    assert not unsafe(wrong.stderr.decode())


def test_assets_of_any_path_are_named_safely(tmp_path: Path) -> None:
    path = small_recording(tmp_path / "a.nwb")
    with ArchiveServer() as server:
        server.add_dandiset("000123")
        server.add_asset("000123", f"sub-m1/{STEERING}", path)
        cache = CacheSettings(tmp_path / "cache")
        found = measure("dandi:000123", block_s=MEASURED_BLOCK_S, instance=server.api_url, cache=cache)
    assert not unsafe("".join([*found.cells["source"].unique(), *map(str, found.issues)]))


def _moved(group: str, old: bytes, new: bytes) -> Callable[[h5py.File], None]:
    return lambda file: file[group].move(old, new)


INSIDE: dict[str, Callable[[h5py.File], object]] = {
    "a series": _moved(TRACES.rpartition("/")[0], b"traces", b"tr\xe4ces"),
    "a segmentation": _moved(CELLS.rpartition("/")[0], b"Cells", b"C\xe4lls"),
    "something else": lambda file: file["acquisition"].create_group(b"\xff\xfe"),
    "a unit": lambda file: file[f"{TRACES}/data"].attrs.create("unit", b"\xb5V", dtype=h5py.string_dtype()),
    "an animal": lambda file: replaced(file, "general/subject/subject_id", b"m\xe4us"),
    "an indicator": lambda file: replaced(file, "general/optophysiology/plane/indicator", b"GC\xe4MP"),
    "a region": lambda file: replaced(file, "general/optophysiology/plane/location", b"\x1b[31mV\xe4"),
    "a session": lambda file: replaced(file, "general/session_id", b"=1+\x9b1"),
}


@pytest.mark.parametrize("edit", INSIDE.values(), ids=INSIDE)
def test_what_is_not_utf8_inside_is_replaced_or_refused_near_and_far(
    edit: Callable[[h5py.File], object], tmp_path: Path
) -> None:
    path = small_recording(tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        edit(file)
    seen = []
    with RangeServer() as server:
        for source in (path, server.add("a.nwb", path)):
            try:
                cells = measure(source, block_s=MEASURED_BLOCK_S, cache=CacheSettings(tmp_path / "c")).cells
            except IssuesError as error:
                seen.append([each.message for each in error.issues])
                continue
            seen.append(cells.drop(columns=["source", "source_digest", "dataset"]).to_csv())
            json.dumps(seen[-1], ensure_ascii=False).encode()
    assert seen[0] == seen[1]
