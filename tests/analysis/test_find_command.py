"""`nwbswitch find` on the command line: JSON on request, exit status, and words for mistakes."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from archive_server import ArchiveServer
from click.testing import CliRunner, Result
from drug_archive import DRUG_S, DrugArchive, calm, ketamine, write_template

from nwbswitch.analysis import archive as archive_module
from nwbswitch.cli import commands

pytest.importorskip("dandi.dandiapi")


@pytest.fixture(scope="module")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrugArchive]:
    folder = tmp_path_factory.mktemp("files")
    with ArchiveServer() as server:
        world = DrugArchive(server, folder, write_template(folder / "template.nwb"))
        server.add_dandiset("000001", name="=HYPERLINK(ketamine)\x1b[2J")
        world.put("000001", "a0", holds="ketamine", drugs=[ketamine()], windows=False)
        server.add_asset("000001", "sub-b/sub-b_ses-KET_ophys.nwb", b"broken")
        yield world


@pytest.fixture
def world(_world: DrugArchive, monkeypatch: pytest.MonkeyPatch) -> DrugArchive:
    monkeypatch.setattr(archive_module, "_SHARED", {})
    calm(monkeypatch)
    return _world


def run(world: DrugArchive, catalogue: Path, *arguments: object) -> Result:
    given = ["find", "--instance", world.server.api_url, "--catalogue", catalogue, *arguments]
    return CliRunner().invoke(commands, list(map(str, given)), standalone_mode=False)


def test_the_answer_is_text_or_json_and_status_0(world: DrugArchive, tmp_path: Path) -> None:
    shown = run(world, tmp_path / "c.sqlite", "--drug", "ketamine")
    assert (shown.exception, shown.return_value) == (None, 0)
    assert "10 mg/kg i.p." in shown.stdout
    assert "overrides.yaml" in shown.stdout
    assert "read 2/2" in shown.stderr
    printed = run(world, tmp_path / "c.sqlite", "--drug", "KET", "--json")
    value = json.loads(printed.stdout)
    assert value["question"]["drug"]["name"] == "ketamine"
    assert [each["drug"] for each in value["assets"]] == ["ketamine", "ketamine"]
    assert value["dandisets"][0]["overrides"].startswith("defaults:")
    assert value["looked_into"]["n_refused"] == 1


def test_nothing_found_is_status_0_too(world: DrugArchive, tmp_path: Path) -> None:
    done = run(world, tmp_path / "c.sqlite", "--drug", "memantine")
    assert done.return_value == 0
    assert "Nothing was found that holds memantine" in done.stdout
    assert "1 dandiset whose texts do not name the drug" in done.stdout


def test_names_of_others_do_not_steer_a_terminal_or_a_spreadsheet(world: DrugArchive, tmp_path: Path) -> None:
    out = tmp_path / "found.csv"
    done = run(world, tmp_path / "c.sqlite", "--drug", "ketamine", "-o", out)
    assert "\x1b" not in done.stdout
    lines = out.read_text().splitlines()
    assert lines[0].startswith("dandiset,version,path,asset_id,drug,")
    assert not [cell for line in lines for cell in line.split(",") if cell.startswith(("=", "+", "@"))]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--drug", "ketamien"], "'ketamine'"),
        (["--drug", "ketamine", "--region", "VISpq"], "'VISp'"),
        (["--drug", "ketamine", "--species", "mousse"], "'mouse'"),
        (["--drug", "ketamine", "--route", "intraperitonal"], "'intraperitoneal'"),
        (["--drug", "ketamine", "--since", "soon"], "2023-05-04"),
        (["--drug", "ketamine", "--dandiset", "12"], "six digits"),
        (["--drug", "ketamine", "-o", "found.xlsx"], ".csv"),
        (["--drug", "ketamine", "--modality", "fmri"], "ophys"),
        ([], "drug"),
    ],
)
def test_wrong_usage_is_status_2_and_asks_nobody(
    world: DrugArchive, tmp_path: Path, arguments: list[str], words: str
) -> None:
    world.server.heard.clear()
    command = [sys.executable, "-m", "nwbswitch", "find", "--instance", world.server.api_url]
    command += ["--catalogue", str(tmp_path / "c.sqlite"), *arguments]
    if arguments[:2] != ["--drug", "ketamien"]:
        done = run(world, tmp_path / "c.sqlite", *arguments)
        assert done.exception is not None
        assert words in str(done.exception)
    else:
        finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert finished.returncode == 2
        assert words in finished.stderr
        assert "Traceback" not in finished.stderr
    assert world.server.heard == []


def test_a_silent_archive_is_status_1(world: DrugArchive, tmp_path: Path) -> None:
    run(world, tmp_path / "c.sqlite", "--drug", "ketamine")
    world.server.fail(500, times=10_000)
    done = run(world, tmp_path / "c.sqlite", "--drug", "ketamine")
    world.server.faults.clear()
    assert done.return_value == 1
    assert "archive-silent" in done.stderr
    assert "10 mg/kg i.p." in done.stdout


def test_offline_without_a_catalogue_says_what_to_do(world: DrugArchive, tmp_path: Path) -> None:
    done = run(world, tmp_path / "none.sqlite", "--drug", "ketamine", "--offline")
    assert "without --offline" in str(done.exception)
    assert not (tmp_path / "none.sqlite").exists()


def test_the_next_step_works_as_it_is_printed(
    world: DrugArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = json.loads(run(world, tmp_path / "c.sqlite", "--drug", "ketamine", "--json").stdout)
    step = value["dandisets"][0]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "000001_overrides.yaml").write_text(step["overrides"])
    _, *arguments = shlex.split(step["next"])
    # The broken file makes it end with status 1.
    assert CliRunner().invoke(commands, arguments, standalone_mode=False).return_value == 1
    cells = pd.read_parquet(tmp_path / "000001" / "cells.parquet")
    assert set(cells["arm"]) == {"ketamine"}
    spans = cells.groupby("window")["start_s"].agg(["min", "max"])
    assert spans.loc["baseline"].tolist() == [DRUG_S - 660, DRUG_S - 90]
    assert spans.loc["drug"].tolist() == [DRUG_S + 60, DRUG_S + 630]
    assert {"pseudo_baseline", "pseudo_drug"} <= set(spans.index)
