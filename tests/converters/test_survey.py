"""A look into a raw folder: formats, animals, sessions, and a study file that converts as it is."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from interface_cases import CASES
from small_study import write_raw

from nwbswitch.cli import commands
from nwbswitch.converters.registry import Kind
from nwbswitch.converters.simulate import simulate_study
from nwbswitch.converters.survey.init import init
from nwbswitch.converters.survey.sessions import guess_sessions
from nwbswitch.converters.survey.sightings import Sighting, survey
from nwbswitch.converters.survey.signatures import FILE_SIGNATURES, FOLDER_SIGNATURES
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError
from nwbswitch.schemas.study_file import load_study

# The file of MED-PC's case pools two animals, see below.
RECOGNISED = [form for form in CASES if form in (*FILE_SIGNATURES, *FOLDER_SIGNATURES) and form != "medpc"]


def sightings(*paths: str, form: str = "tiff_movie") -> list[Sighting]:
    return [Sighting(form, Path(path)) for path in paths]


def names(found: list[Sighting]) -> list[tuple[str, str]]:
    return [(each.subject_id, each.session_id) for each in guess_sessions(found)]


@pytest.mark.parametrize("form", RECOGNISED)
def test_every_format_with_a_signature_is_recognised(form: str, tmp_path: Path) -> None:
    CASES[form](tmp_path)
    assert form in {each.format for each in survey(tmp_path).sightings}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["m01/day1/movie.tif", "m01/day2/movie.tif"], [("m01", "day1"), ("m01", "day2")]),
        (["sub-m01/ses-a/x.tif", "sub-m02/ses-a/x.tif"], [("m01", "a"), ("m02", "a")]),
        (["raw/A/pre/x.tif", "raw/A/post/y.tif"], [("A", "pre"), ("A", "post")]),
        (["m1_20260301/x.tif", "m1_20260302/x.tif"], [("m1", "20260301"), ("m1", "20260302")]),
        (["m1_2026-03-01.tif", "m2_2026-03-01.tif"], [("m1", "2026-03-01"), ("m2", "2026-03-01")]),
        (["movie.tif"], [("subject1", "session1")]),
        (["time001.tif", "time002.tif", "time003.tif"], [("subject1", "session1")]),
        (["a b/c?d/x.tif", "a b/e/x.tif"], [("a-b", "c-d"), ("a-b", "e")]),
    ],
)
def test_animals_and_sessions_are_guessed_from_names(
    paths: list[str], expected: list[tuple[str, str]]
) -> None:
    assert names(sightings(*paths)) == expected


def test_a_session_holds_recordings_of_several_formats() -> None:
    found = sightings("m1/d1/x.tif", "m1/d2/x.tif")
    found += sightings("m1/d1/w.csv", "m1/d2/w.csv", form="wheel_csv")
    groups = guess_sessions(found)
    assert [{each.format for each in group.sightings} for group in groups] == [
        {"tiff_movie", "wheel_csv"}
    ] * 2
    assert groups[0].sightings[0].kind is Kind.MOVIE


def test_names_never_clash() -> None:
    found = names(sightings("A/x/1/m.tif", "B/x/1/m.tif", "A/y/1/m.tif"))
    assert len(set(found)) == 3


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(commands, [str(each) for each in arguments], standalone_mode=False)


def test_the_draft_of_the_demo_converts_as_it_is(tmp_path: Path) -> None:
    simulate_study(tmp_path / "demo", world="switch", animals=2, seed=0)
    result = init(tmp_path / "demo/raw", tmp_path / "study")
    assert "FILL IN" in result.study.read_text(encoding="utf-8")
    assert len(result.sessions) == 4
    study = load_study(result.study).study
    assert {each.subject.subject_id for each in study.sessions} == {"SIM01", "SIM02"}
    assert study.sessions[0].streams["movie"].rate_hz == 5.0
    assert all(each.drug_log for each in study.sessions)
    done = run("convert", result.study, "-o", tmp_path / "nwb", "--stub")
    assert done.return_value == 0
    assert len(list((tmp_path / "nwb").rglob("sub-*.nwb"))) == 4


def test_a_folder_without_lab_tables_converts_too(tmp_path: Path) -> None:
    for session in ("m1/2026-03-01", "m1/2026-03-08", "m2/2026-03-01"):
        write_raw(tmp_path / "raw" / session)
    init(tmp_path / "raw", tmp_path / "study")
    with (tmp_path / "study/sessions.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["start_time"] for row in rows] == [f"2026-03-0{day}T00:00:00" for day in (1, 8, 1)]
    done = run("convert", tmp_path / "study/study.yaml", "-o", tmp_path / "nwb", "--stub")
    assert done.return_value == 0


def test_what_cannot_be_read_is_listed_with_the_reason(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    (tmp_path / "raw/broken.tif").write_bytes(b"II*\0")
    (tmp_path / "raw/what.xyz").write_bytes(b"?")
    init(tmp_path / "raw", tmp_path / "study")
    text = (tmp_path / "study/study.yaml").read_text(encoding="utf-8")
    assert "#   broken.tif: " in text
    assert "#   what.xyz: no format that is known" in text


def test_links_are_not_followed(tmp_path: Path) -> None:
    write_raw(tmp_path / "elsewhere")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "raw/movie.tif").symlink_to(tmp_path / "elsewhere/movie.tif")
    with pytest.raises(InputFileError, match="no recording"):
        init(tmp_path / "raw", tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_study_that_is_there_stays(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", np.zeros((3, 4, 5), np.uint8), photometric="minisblack")
    (tmp_path / "study").mkdir()
    (tmp_path / "study/sessions.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(ExistingOutputError, match=r"sessions\.csv"):
        init(tmp_path, tmp_path / "study")
    assert (tmp_path / "study/sessions.csv").read_text(encoding="utf-8") == "mine"
    init(tmp_path, tmp_path / "study", overwrite=True)
    assert (tmp_path / "study/study.yaml").is_file()


def test_wrong_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="is not there"):
        init(tmp_path / "none", tmp_path / "study")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(InputFileError, match="is not a folder"):
        init(tmp_path / "file", tmp_path / "study")


@pytest.mark.parametrize("name", ["two_photon_mouse_treadmill", "suite2p_without_ops"])
def test_real_folders(shared: Path, tmp_path: Path, name: str) -> None:
    result = init(shared / "data" / name, tmp_path)
    assert "suite2p" in {stream.format for stream in result.streams}
    done = run("convert", result.study, "-o", tmp_path / "nwb", "--stub")
    assert done.return_value == 0


def test_pooled_files_of_medpc_need_a_choice(tmp_path: Path) -> None:
    CASES["medpc"](tmp_path)
    refused = survey(tmp_path).refused
    assert "pools 2 recordings of MED-PC (Subject 56, 58)" in refused[0][1]


def test_arrays_of_medpc_that_increase_are_taken_for_events(tmp_path: Path) -> None:
    rows = ["Start Date: 01/23/20", "Subject: 56", "MSN: lick", "A: 5", "C:", "     0: 3 1 2"]
    text = "\r\n".join([*rows, "G:", "     0: 1.5 2.5 7"])
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/56_2026-03-01.txt").write_text(text + "\r\n", encoding="latin-1")
    result = init(tmp_path / "raw", tmp_path / "study")
    assert result.streams[0].keys == {"events": {"G": "event G"}}
    done = run("convert", result.study, "-o", tmp_path / "nwb", "--stub")
    assert done.return_value == 0


def movie(path: Path, *, size: tuple[int, int] = (4, 5), n: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.zeros((n, *size), np.uint8), photometric="minisblack")


def drafted(tmp_path: Path) -> dict[str, tuple[str, ...]]:
    """Return the paths of each stream, after a trial conversion of the draft as it is."""
    result = init(tmp_path / "raw", tmp_path / "study")
    done = run("convert", result.study, "-o", tmp_path / "nwb", "--stub")
    assert done.return_value == 0
    return {stream.name: stream.paths for stream in result.streams}


def test_names_that_hold_animal_session_and_number_are_one_stream(tmp_path: Path) -> None:
    for animal, day, number in (("m01", "d1", "0007"), ("m01", "d2", "0012"), ("m02", "d1", "0013")):
        movie(tmp_path / "raw" / animal / day / f"{animal}_{day}_{number}.tif")
    assert drafted(tmp_path) == {"movie": ("{folder}/{subject_id}_{session_id}_*.tif",)}


def test_parts_of_a_movie_never_catch_others(tmp_path: Path) -> None:
    for name in ("run1", "run2", "run10", "run_average"):
        movie(tmp_path / "raw/m1/d1" / f"{name}.tif")
    movie(tmp_path / "raw/m1/d2/run1.tif")
    names = ("run1", "run2", "run10", "run_average")
    assert set(drafted(tmp_path).values()) == {(f"{{folder}}/{name}.tif",) for name in names}


def test_movies_of_other_size_are_streams_of_their_own(tmp_path: Path) -> None:
    for name, size in (("d1/scan_1", (4, 5)), ("d1/scan_2", (8, 9)), ("d2/scan_1", (4, 5))):
        movie(tmp_path / f"raw/m1/{name}.tif", size=size)
    assert drafted(tmp_path) == {"movie": ("{folder}/scan_1.tif",), "movie_2": ("{folder}/scan_2.tif",)}


def test_parts_of_a_movie_in_one_session_are_listed_where_no_pattern_serves(tmp_path: Path) -> None:
    for name in ("t001", "t002", "t003"):
        movie(tmp_path / "raw" / f"{name}.tif")
    movie(tmp_path / "raw/t004.tif", size=(8, 9))
    assert drafted(tmp_path) == {"movie": ("t001.tif", "t002.tif", "t003.tif"), "movie_2": ("t004.tif",)}


def test_odd_characters_in_names_stand_for_themselves(tmp_path: Path) -> None:
    movie(tmp_path / "raw/m[1] ü/d*1/mov'ie [a]?.tif")
    movie(tmp_path / "raw/m[1] ü/d2/mov'ie [a]?.tif")
    assert len(drafted(tmp_path)) == 1


def test_what_cannot_be_opened_is_a_comment(tmp_path: Path) -> None:
    movie(tmp_path / "raw/m1/d1/movie.tif")
    (tmp_path / "raw/m1/d1/_iblrig_encoderPositions.raw.ssv").write_text("1 2\n3", encoding="ascii")
    drafted(tmp_path)
    text = (tmp_path / "study/study.yaml").read_text(encoding="utf-8")
    assert "    # FILL IN: this one is left out: " in text
    assert "    #   format: bpod_encoder\n" in text


def test_raw_folders_far_away_are_named_as_they_are(tmp_path: Path) -> None:
    movie(tmp_path / "raw/movie.tif")
    for where, expected in (("study", "../raw"), ("a/b/c/study", (tmp_path / "raw").as_posix())):
        text = init(tmp_path / "raw", tmp_path / where).study.read_text(encoding="utf-8")
        assert f"data_root: {expected}\n" in text
        load_study(tmp_path / where / "study.yaml")
