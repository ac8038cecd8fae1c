"""Reading in other processes, and in one that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from archive_server import ArchiveServer
from drug_archive import DrugArchive, ask, calm, ketamine, read_files, saline, write_template

from nwbswitch.analysis import archive as archive_module

pytest.importorskip("dandi.dandiapi")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DrugArchive]:
    monkeypatch.setattr(archive_module, "_SHARED", {})
    calm(monkeypatch)
    with ArchiveServer() as server:
        world = DrugArchive(server, tmp_path, write_template(tmp_path / "template.nwb"))
        server.add_dandiset("000001", name="Ketamine")
        for animal in range(6):
            world.put("000001", f"a{animal}", "ket", holds="ketamine", drugs=[ketamine()])
            world.put("000001", f"a{animal}", "sal", drugs=[saline()])
        server.add_asset("000001", "sub-b/sub-b_ses-KET_ophys.nwb", b"this is no HDF5 file at all")
        yield world


def test_results_are_the_same_with_worker_processes_and_threads(world: DrugArchive, tmp_path: Path) -> None:
    expected = ask(world, tmp_path / "one.sqlite").as_dict()
    assert ask(world, tmp_path / "two.sqlite", workers=2).as_dict()["assets"] == expected["assets"]
    with ThreadPoolExecutor(3) as threads:
        threaded = ask(world, tmp_path / "three.sqlite", executor=threads).as_dict()
    assert threaded["assets"] == expected["assets"]
    assert len(expected["assets"]) == 7


_FIND = """
import sys
from nwbswitch.analysis.catalogue.find import find
find("ketamine", instance=sys.argv[1], catalogue=sys.argv[2], quiet=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_while_it_reads_others_go_on_and_share_the_catalogue(
    world: DrugArchive, tmp_path: Path
) -> None:
    expected = ask(world, tmp_path / "whole.sqlite").as_dict()["assets"]
    world.server.store.clear()
    path = tmp_path / "killed.sqlite"
    command = [sys.executable, "-c", _FIND, world.server.api_url, str(path)]
    process = subprocess.Popen(command)
    while len(set(read_files(world))) < 5 and process.poll() is None:
        time.sleep(0.002)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = read_files(world)
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [each.wait(timeout=120) for each in both] == [0, 0]
    again = set(read_files(world)[len(before) :]) & set(before)
    assert len(again) <= 1
    assert ask(world, path, offline=True).as_dict()["assets"] == expected
