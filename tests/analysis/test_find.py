"""Finding recordings by drug on a loopback archive with a planted truth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from archive_server import OWNER_KEY, ArchiveServer
from drug_archive import DRUG_S, DrugArchive, ask, calm, fill, held, read_files, write_template

from nwbswitch.analysis import archive as archive_module
from nwbswitch.analysis.catalogue.find import find
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError

dandiapi = pytest.importorskip("dandi.dandiapi")


@pytest.fixture(autouse=True)
def _calm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "_SHARED", {})
    calm(monkeypatch)


@pytest.fixture(scope="module")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrugArchive]:
    folder = tmp_path_factory.mktemp("files")
    with ArchiveServer() as server:
        yield fill(DrugArchive(server, folder, write_template(folder / "template.nwb")))


@pytest.fixture
def world(_world: DrugArchive) -> DrugArchive:
    """The archive that tests share: none of them changes it."""
    _world.server.heard.clear()
    _world.server.store.clear()
    return _world


@pytest.fixture(scope="module")
def full(_world: DrugArchive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue in which everything is that a first run finds."""
    path = tmp_path_factory.mktemp("catalogue") / "full.sqlite"
    with pytest.MonkeyPatch.context() as patch:
        calm(patch)
        find("ketamine", instance=_world.server.api_url, catalogue=path, quiet=True)
    return path


def row_of(frame: pd.DataFrame, **values: Any) -> pd.Series:
    for name, value in values.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1, frame
    return frame.iloc[0]


PLANTED_ELSEWHERE = {"000004", "000006"}
"""Dandisets that no text gives away, or that are not open."""


def test_all_that_is_planted_is_found_and_nothing_else(world: DrugArchive, full: Path) -> None:
    result = ask(world, full)
    expected = {key: drug for key, drug in world.truth.items() if key[0] not in PLANTED_ELSEWHERE}
    found = held(result)
    hits = {key for key, drug in found.items() if expected.get(key) == drug}
    assert len(hits) / len(found) == 1.0, "precision"
    assert len(hits) / len(expected) == 1.0, "recall"
    assert world.n_files >= 30


def test_the_second_run_reads_no_file(world: DrugArchive, full: Path) -> None:
    first = ask(world, full)
    world.server.heard.clear()
    world.server.store.clear()
    second = ask(world, full)
    assert read_files(world) == []
    assert {each.path for each in world.server.heard} <= {"/api/info/", "/api/dandisets/"}
    assert second.as_dict()["assets"] == first.as_dict()["assets"]
    assert second.issues == ()


def test_offline_asks_nobody(world: DrugArchive, full: Path) -> None:
    online = ask(world, full)
    world.server.heard.clear()
    offline = ask(world, full, offline=True)
    assert world.server.heard == []
    assert offline.as_dict() == online.as_dict()


def test_evidence_dose_route_and_time_are_told(world: DrugArchive, full: Path) -> None:
    assets = ask(world, full).assets
    row = row_of(assets, dandiset="000002", subject="b1")
    assert (row.drug, row.dose, row.dose_unit, row.time_s) == ("S-ketamine", 3.0, "mg/kg", DRUG_S)
    assert (row.route, row.confidence, row.n_neurons) == ("s.c.", "stated", 40)
    assert (row.modality, row.region, row.session, row.version) == ("ophys", "VISp", "s1", "draft")
    assert "S-ketamine" in row.evidence
    prose = row_of(assets, dandiset="000003", subject="c0")
    assert (prose.drug, prose.dose, prose.route, prose.time_s) == ("ketamine", 10.0, "i.p.", 1500.0)
    assert prose.confidence == "read"
    assert "session_description" in prose.evidence


@pytest.mark.parametrize(
    ("dandiset", "subject", "session", "codes"),
    [
        ("000001", "a0", "ket", ""),
        ("000002", "b0", "s1", ""),
        ("000003", "c1", "s1", "time-unknown"),
        ("000003", "c4", "KET-day2", "time-unknown"),
        ("000009", "i0", "s1", "short-drug"),
        ("000009", "i1", "s1", "no-activity"),
        ("000010", "j0", "2ket", "drug-before-recording separate-files-untracked"),
        ("000011", "k0", "s1", "not-tested"),
    ],
)
def test_why_a_recording_cannot_be_used(
    world: DrugArchive, full: Path, dandiset: str, subject: str, session: str, codes: str
) -> None:
    row = row_of(ask(world, full).assets, dandiset=dandiset, subject=subject, session=session)
    assert row.why_not == codes
    assert bool(row.estimable) is (codes == "")
    assert bool(row.why_not_words) is bool(codes)


@pytest.mark.parametrize(
    ("dandiset", "drug", "animals", "usable", "codes"),
    [
        ("000001", "ketamine", 6, 6, ""),
        ("000002", "S-ketamine", 3, 3, "few-animals"),
        ("000008", "ketamine", 3, 3, "few-animals no-control"),
        ("000010", "ketamine", 2, 0, "few-animals no-control"),
    ],
)
def test_arms_are_judged_by_animals_and_controls(
    world: DrugArchive, full: Path, dandiset: str, drug: str, animals: int, usable: int, codes: str
) -> None:
    row = row_of(ask(world, full).dandisets, dandiset=dandiset, drug=drug)
    assert (row.animals, row.usable_animals, row.why_not) == (animals, usable, codes)
    assert bool(row.estimable) is (codes == "")


def test_the_next_step_of_a_usable_dandiset(world: DrugArchive, full: Path) -> None:
    row = row_of(ask(world, full).dandisets, dandiset="000001")
    assert row.controls == "saline (6)"
    assert row.next == (
        "nwbswitch measure dandi:000001@0.240101.0001 -o 000001/cells.parquet "
        f"--instance {world.server.api_url}"
    )
    without_windows = row_of(ask(world, full).dandisets, dandiset="000002")
    assert without_windows.next.endswith("--overrides 000002_overrides.yaml")


def test_offline_of_an_archive_that_was_never_asked(full: Path) -> None:
    with pytest.raises(InputFileError, match=r"knows nothing of the archive .* yet\. Run once without"):
        find("ketamine", instance="https://example.org/api", catalogue=full, offline=True)


def test_a_dandiset_that_the_archive_does_not_list_is_told(world: DrugArchive, full: Path) -> None:
    for offline in (False, True):
        result = ask(world, full, offline=offline, dandisets=["000001", "000006", "999999"])
        assert [(each.code, each.place.item) for each in result.issues] == [
            ("archive-unread", "dandiset 000006"),
            ("archive-unread", "dandiset 999999"),
        ]
        assert result.ok


def test_files_that_cannot_be_read_are_told_and_do_not_stop_others(world: DrugArchive, full: Path) -> None:
    result = ask(world, full)
    assert result.ok
    assert (result.coverage.n_refused, result.coverage.n_zarr) == (3, 1)
    rows = result.assets[result.assets["dandiset"] == "000009"].set_index("path")
    broken = rows.loc["sub-i2/sub-i2_ses-KET_ophys.nwb"]
    assert (broken.why_not, broken.confidence, broken.drug) == ("not-read", "unresolved", "ketamine")
    assert "archive, path" in broken.evidence
    assert "Zarr" in rows.loc["sub-i4/sub-i4_ses-KET_ophys.nwb.zarr"].why_not_words
    assert "sub-i5/movie.tiff" not in rows.index


@pytest.mark.parametrize(
    ("asked", "dandisets"),
    [
        ({"species": "rat"}, {"000007"}),
        ({"region": "MO"}, {"000008"}),
        ({"region": "VIS"}, {"000001", "000002", "000003", "000007", "000009", "000010", "000011"}),
        ({"route": "s.c."}, {"000002"}),
        ({"dose_max": 2.5}, {"000002"}),
        ({"dose_min": 2.5, "dose_max": 3.5}, {"000002"}),
        ({"dandisets": "000010"}, {"000010"}),
        ({"since": "2030"}, set()),
        ({"modality": "behavior"}, set()),
    ],
)
def test_filters_keep_what_has_what_is_asked_for(
    world: DrugArchive, full: Path, asked: dict[str, Any], dandisets: set[str]
) -> None:
    result = ask(world, full, offline=True, **asked)
    assert {dandiset for dandiset, _ in held(result)} == dandisets


def test_what_does_not_state_what_is_asked_for_is_counted(world: DrugArchive, full: Path) -> None:
    result = ask(world, full, offline=True, region="VISp", dandisets=["000008"])
    assert held(result) == {}
    assert dict(result.coverage.unstated)["region"] == 1
    doses = ask(world, full, offline=True, dose_min=1.0, dandisets=["000003"])
    assert dict(doses.coverage.unstated)["dose in mg/kg"] == 2


def test_an_enantiomer_does_not_find_the_racemate(world: DrugArchive, full: Path) -> None:
    result = ask(world, full, "esketamine", offline=True)
    assert set(held(result).values()) == {"S-ketamine"}
    assert "--drug ketamine" in result.summary()


def test_deep_finds_what_no_text_gives_away(world: DrugArchive, full: Path, tmp_path: Path) -> None:
    hidden = ("000004", "sub-d0/sub-d0_ses-s1_ophys.nwb")
    path = tmp_path / "deep.sqlite"
    shutil.copyfile(full, path)
    shallow = ask(world, path, species="mouse", modality="ophys")
    assert hidden not in held(shallow)
    assert shallow.coverage.n_silent == 2
    assert "--deep" in shallow.summary()
    deep = ask(world, path, species="mouse", modality="ophys", deep=True)
    assert hidden in held(deep)
    assert deep.coverage.n_silent == 0
    # What a deep run has found is known to later ones.
    assert hidden in held(ask(world, path))


def test_a_named_dandiset_is_looked_into_whatever_its_texts_say(world: DrugArchive, tmp_path: Path) -> None:
    result = ask(world, tmp_path / "c.sqlite", dandisets=["000004"])
    assert list(held(result)) == [("000004", "sub-d0/sub-d0_ses-s1_ophys.nwb")]
    assert world.server.count("/dandisets/000001/versions/draft/assets/") == 0


def test_embargoed_dandisets_need_the_key(
    world: DrugArchive, full: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "000006" not in {dandiset for dandiset, _ in held(ask(world, full))}
    monkeypatch.setenv(world.server.key_variable, OWNER_KEY)
    result = ask(world, tmp_path / "c.sqlite", embargoed=True, dandisets=["000006"])
    assert {dandiset for dandiset, _ in held(result)} == {"000006"}
    assert OWNER_KEY not in json.dumps(result.as_dict())
    assert OWNER_KEY.encode() not in (tmp_path / "c.sqlite").read_bytes()


def test_a_limit_reads_a_part_and_the_next_run_the_rest(world: DrugArchive, tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    planned = ask(world, path, dry_run=True, dandisets=["000001"])
    assert read_files(world) == []
    assert planned.coverage.waiting.n_files == 12
    assert planned.coverage.waiting.n_requests > 12
    assert planned.coverage.waiting.n_bytes > 0
    part = ask(world, path, limit=5, dandisets=["000001"])
    assert (part.coverage.n_read, part.coverage.waiting.n_files) == (5, 7)
    assert "still to be read" in part.summary()
    rest = ask(world, path, dandisets=["000001"])
    assert (rest.coverage.n_read, rest.coverage.waiting.n_files) == (12, 0)


def test_the_table_as_csv_is_inert(world: DrugArchive, full: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.csv"
    result = ask(world, full, out=out)
    assert result.out == out
    assert len(pd.read_csv(out)) == len(result.assets)
    ask(world, full, out=out)
    with pytest.raises(ExistingOutputError, match="another answer"):
        ask(world, full, out=out, region="MOp")
    ask(world, full, out=out, region="MOp", overwrite=True)
    with pytest.raises(ValueError, match=r"\.csv"):
        ask(world, full, out=tmp_path / "found.xlsx")


def test_the_answer_fits_a_terminal_and_json(world: DrugArchive, full: Path) -> None:
    result = ask(world, full)
    lines = result.summary().splitlines()
    assert max(len(line) for line in lines if "next: " not in line) <= 100
    as_json = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert set(as_json) == {"question", "dandisets", "assets", "looked_into", "issues"}
    assert as_json["question"]["drug"]["related"] == ["S-ketamine", "R-ketamine"]


def test_nothing_found_says_how_far_it_looked(world: DrugArchive, full: Path) -> None:
    result = ask(world, full, "memantine", offline=True)
    assert result.ok
    assert len(result.assets) == 0
    assert "Nothing was found" in result.summary()
    assert "Looked through: 10 dandisets" in result.summary()
