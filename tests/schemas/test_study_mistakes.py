"""What is said about each mistake in a study file or its tables, and at which line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from lab_study import SUBJECTS, change, inline, lines, loaded, refused

MISTAKES: dict[str, tuple[str, str, str, str, int, str]] = {
    # name: file, old text, new text, code, line, words in the finding
    "top-level key": ("study.yaml", "timezone:", "timezon:", "unknown-key", 5, "'timezone'"),
    "key of the study": ("study.yaml", "experimenters", "experimenter", "unknown-key", 4, "'experimenters'"),
    "key of defaults": ("study.yaml", "  clocks:", "  clock:", "unknown-key", 10, "'clocks'"),
    "key of imaging": ("study.yaml", "depth_um", "dept_um", "unknown-key", 9, "'depth_um'"),
    "key of a stream": ("study.yaml", "time_column", "time_colum", "unknown-key", 20, "'time_column'"),
    "key of a signal": ("study.yaml", "quantity:", "quantit:", "unknown-key", 21, "'quantity'"),
    "key of a clock": ("study.yaml", "offset_s", "offset", "unknown-key", 10, "'offset_s'"),
    "key of a window": ("study.yaml", "stop_s: -60", "end_s: -60", "unknown-key", 23, "stop_s"),
    "missing title": ("study.yaml", "  title: Ketamine and saline\n", "", "missing-value", 1, "title"),
    "missing rate": ("study.yaml", ", rate_hz: 5", "", "missing-value", 12, "rate_hz"),
    "missing format": ("study.yaml", "      format: suite2p\n", "", "missing-value", 13, "suite2p"),
    "unknown format": ("study.yaml", "tiff_movie", "tif_movie", "unknown-word", 12, "'tiff_movie'"),
    "bad name": (
        "study.yaml",
        "ketamine-crossover",
        "ketamine crossover",
        "wrong-value",
        2,
        "ketamine crossover",
    ),
    "not a number": ("study.yaml", "rate_hz: 5", "rate_hz: five", "wrong-value", 12, "'five'"),
    "not finite": ("study.yaml", "rate_hz: 5", "rate_hz: inf", "wrong-value", 12, "'inf'"),
    "not positive": ("study.yaml", "rate_hz: 5", "rate_hz: -5", "wrong-value", 12, "greater than 0"),
    "not a bool": ("study.yaml", "  title", "  simulated: perhaps\n  title", "wrong-value", 3, "'perhaps'"),
    "not a list": ("study.yaml", '["Doe, Jane"]', "Doe", "wrong-value", 4, "expected a list"),
    "not a mapping": ("study.yaml", "{offset_s: 0.35}", "0.35", "wrong-value", 10, "expected a mapping"),
    "window": ("study.yaml", "window: baseline", "window: basline", "unknown-word", 23, "'baseline'"),
    "window backwards": ("study.yaml", "stop_s: -60", "stop_s: -700", "wrong-value", 23, "after start_s"),
    "windows overlap": ("study.yaml", "start_s: 60", "start_s: -90", "epochs-overlap", 24, "[1290, 2040)"),
    "region": ("study.yaml", "region: RSPd", "region: RSPdd", "unknown-word", 9, "RSPd"),
    "cell type": ("study.yaml", "excitatory}", "exitatory}", "unknown-word", 9, "excitatory"),
    "clock": ("study.yaml", "clock: treadmill", "clock: treadmil", "unknown-word", 19, "'treadmill'"),
    "unit": ("study.yaml", "cm/s", "cm per s", "bad-unit", 21, "cm per s"),
    "unit of another kind": ("study.yaml", "cm/s", "mg/kg", "bad-unit", 21, "speed"),
    "column": ("study.yaml", "column: speed", "column: spede", "missing-column", 21, "'speed'"),
    "time column": ("study.yaml", "time_s\n", "time\n", "missing-column", 20, "'time_s'"),
    "timezone": ("study.yaml", "Europe/Berlin", "Europe/Berln", "unknown-word", 5, "Europe/Berlin"),
    "no timezone": ("study.yaml", "timezone: Europe/Berlin\n", "\n", "wrong-value", 2, "UTC offset"),
    "missing table": ("study.yaml", "subjects.csv", "subject.csv", "missing-file", 25, "'subjects.csv'"),
    "missing file": ("study.yaml", "movie.tif", "move.tif", "missing-file", 12, "'movie.tif'"),
    "folder for file": ("study.yaml", "movie.tif", "suite2p", "missing-file", 12, "is a folder"),
    "name in a path": ("study.yaml", "{session_id}/m", "{sesion_id}/m", "unknown-key", 12, "'session_id'"),
    "parent": ("study.yaml", "raw/{subject_id}/{session_id}/m", "../raw/m", "unsafe-path", 12, "data_root"),
    "absolute": (
        "study.yaml",
        "raw/{subject_id}/{session_id}/movie.tif",
        "/etc/passwd",
        "unsafe-path",
        12,
        "/etc",
    ),
    "parent pattern": ("study.yaml", "raw/{subject_id}/{session_id}/m", "../*/m", "unsafe-path", 12, ".."),
    "table outside": ("study.yaml", "subjects.csv", "../subjects.csv", "unsafe-path", 25, "leads out"),
    "many matches": ("study.yaml", "/treadmill*.csv", "/*.*", "ambiguous-file", 18, "movie.tif"),
    "placeholder": (
        "study.yaml",
        "timezone:",
        "placeholders: [subject.ag]\ntimezone:",
        "unknown-word",
        5,
        "age'",
    ),
    "tag": ("study.yaml", "name: k", "name: !!python/name:os.system k", "yaml-syntax", 2, "tag"),
    "same key twice": ("study.yaml", "  title", "  name: b\n  title", "duplicate-id", 3, "line 2"),
    "same subject twice": ("subjects.csv", "m02", "m01", "duplicate-id", 3, "line 2"),
    "same session twice": ("sessions.csv", "m01,ketamine", "m01,saline", "duplicate-id", 3, "line 2"),
    "unknown subject": ("sessions.csv", "m02", "m03", "unknown-subject", 4, "m0"),
    "no subject": ("sessions.csv", "m02", "", "missing-value", 4, "subject_id"),
    "no session": ("sessions.csv", "m02,ketamine", "m02,", "missing-value", 4, "session_id"),
    "session with slash": ("sessions.csv", "m02,ketamine", "m02,ket/amine", "wrong-value", 4, "no slash"),
    "missing column": ("sessions.csv", "session_id", "sesion_id", "missing-column", 1, "'sesion_id'"),
    "no rows": ("subjects.csv", SUBJECTS, SUBJECTS.splitlines()[0], "missing-value", 1, "no rows"),
    "start time": ("sessions.csv", "2026-03-01T", "01.03.2026 ", "wrong-value", 2, "ISO 8601"),
    "clock change": ("sessions.csv", "2026-03-01T10", "2026-10-25T02", "wrong-value", 2, "twice or never"),
    "similar column": ("sessions.csv", "start_time", "start_tim", "unknown-key", 1, "'start_time'"),
    "dotted column": ("sessions.csv", "imaging.depth_um", "imaging.dept", "unknown-key", 4, "'depth_um'"),
    "bad cell": ("sessions.csv", ",250", ",deep", "wrong-value", 4, "'deep'"),
    "comma as point": ("sessions.csv", ",250", ',"2,5"', "wrong-value", 4, "'2,5'"),
    "column twice": ("sessions.csv", "imaging.depth_um", "session_id", "duplicate-id", 1, "twice"),
    "too many cells": ("sessions.csv", ",250", ",250,1", "bad-cell", 4, "5 cells"),
    "sex": ("subjects.csv", ",F,", ",female,", "unknown-word", 2, "'F'"),
    "age": ("subjects.csv", "P90D", "90 days", "wrong-value", 2, "P90D"),
    "no age": ("subjects.csv", "P90D", "", "missing-value", 2, "placeholders"),
    "species": ("subjects.csv", "Mus musculus,F", "mouse,F", "unknown-word", 2, "'Mus musculus'"),
    "unknown drug": ("drug_log.csv", "1380,ketamine", "1380,ketamin", "unknown-drug", 3, "ketamine"),
    "drug's unit": ("drug_log.csv", "10,mg/kg", "10,mg/kgg", "bad-unit", 3, "mg/kgg"),
    "drug's session": ("drug_log.csv", "m02,ketamine", "m02,ketamne", "unknown-subject", 4, "'ketamine'"),
    "drug's subject": ("drug_log.csv", "m02,ketamine", "m09,ketamine", "unknown-subject", 4, "m0"),
    "drug's route": ("drug_log.csv", "10,mg/kg,i.p.", "10,mg/kg,i.q.", "unknown-word", 3, "i.q."),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_each_mistake_is_found_at_its_line(name: str, lab: Path) -> None:
    file, old, new, code, line, words = MISTAKES[name]
    change(lab, old, new, file=file)
    found = refused(lab)
    there = [each for each in found if each.code == code and each.place.line == line]
    assert there, "\n".join(map(str, found))
    table = "sessions.csv" if name == "no timezone" else file
    assert any(words in str(each) and str(each.place.file) == str(lab / table) for each in there), "\n".join(
        map(str, found)
    )


def test_one_mistake_in_the_defaults_is_told_once(lab: Path) -> None:
    change(lab, "depth_um", "dept_um")
    assert lines(refused(lab)) == [("unknown-key", "study.yaml", 9)]


def test_a_bad_row_of_the_drug_log_does_not_start_a_cascade(lab: Path) -> None:
    change(lab, "1380,ketamine", "1380,ketamin", file="drug_log.csv")
    assert lines(refused(lab)) == [("unknown-drug", "drug_log.csv", 3)]


def test_all_mistakes_come_at_once(lab: Path) -> None:
    done = []
    for name in (
        "key of imaging",
        "not a number",
        "clock",
        "unit",
        "window",
        "sex",
        "start time",
        "unknown drug",
    ):
        file, old, new, code, line, _ = MISTAKES[name]
        change(lab, old, new, file=file)
        done.append((code, file, line))
    assert set(done) <= set(lines(refused(lab)))


def test_links_out_of_the_folder_are_refused(lab: Path) -> None:
    outside = lab.parent / f"{lab.name}-outside"
    shutil.move(lab / "raw/m01/saline", outside)
    (lab / "raw/m01/saline").symlink_to(outside)
    codes = {(each.code, each.place.line) for each in refused(lab)}
    assert codes == {("unsafe-path", 12), ("unsafe-path", 15), ("unsafe-path", 18)}


def test_drug_rows_under_a_session_are_checked_at_their_line(lab: Path) -> None:
    inline(lab)
    change(lab, "substance: Ketamine", "substance: Ketamne")
    change(lab, "dose: 10", "dose: ten")
    assert ("wrong-value", "study.yaml", 31) in lines(refused(lab))
    change(lab, "dose: ten", "dose: 10")
    assert ("unknown-drug", "study.yaml", 31) in lines(refused(lab))


def test_a_wheel_without_times_is_refused(lab: Path) -> None:
    change(lab, "      time_column: time_s\n", "")
    assert lines(refused(lab)) == [("missing-value", "study.yaml", 16)]
    change(lab, "      clock: treadmill\n", "      clock: treadmill\n      rate_hz: 10\n")
    assert loaded(lab).warnings == []


@pytest.mark.parametrize("number", ["inf", "nan", "1e999"])
def test_windows_end(number: str, lab: Path) -> None:
    change(lab, "stop_s: 660", f"stop_s: {number}")
    found = refused(lab)
    assert ("wrong-value", "study.yaml", 24) in lines(found)


def test_characters_that_no_text_has(lab: Path) -> None:
    change(lab, "title: Ketamine and saline", r'title: "Ketamine\0 and \ud800 saline"')
    assert lines(refused(lab)) == [("wrong-value", "study.yaml", 3)]


def test_names_that_no_file_can_have(lab: Path) -> None:
    change(lab, "subjects: subjects.csv", f"subjects: {'x' * 5000}")
    assert ("unsafe-path", "study.yaml", 25) in lines(refused(lab))


@pytest.mark.parametrize("name", ["a:b", "a\\b", "<b>", "a|b", "x" * 101, "a\x07b", "a/b", "a b", "a_b"])
def test_identifiers_can_be_part_of_file_names(name: str, lab: Path) -> None:
    change(lab, "m01,saline,2026", f"m01,{name},2026", file="sessions.csv")
    change(lab, "m01,saline,1380", f"m01,{name},1380", file="drug_log.csv")
    change(lab, "raw/{subject_id}/{session_id}/m", "raw/{subject_id}/*/m")
    assert ("wrong-value", "sessions.csv", 2) in lines(refused(lab))


def test_links_of_a_suite2p_folder_stay_inside(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    plane = lab / "raw/m01/saline/suite2p/plane0"
    plane.mkdir()
    (lab / "raw/F.npy").write_bytes(b"x")
    (plane / "F.npy").symlink_to(lab / "raw/F.npy")
    assert loaded(lab).warnings == []
    outside = tmp_path_factory.mktemp("outside") / "F.npy"
    outside.write_bytes(b"x")
    (plane / "spks.npy").symlink_to(outside)
    found = refused(lab)
    assert lines(found) == [("unsafe-path", "study.yaml", 15)]
    assert "plane0/spks.npy" in found[0].message


def test_signals_have_names_of_their_own(lab: Path) -> None:
    change(lab, "unit: cm/s}]", "unit: cm/s}, {column: speed, quantity: distance, unit: m}]")
    assert lines(refused(lab)) == [("duplicate-id", "study.yaml", 21)]
    change(lab, "quantity: distance, unit: m}", "quantity: position, unit: m}")
    assert loaded(lab).warnings == []


def test_a_pipe_is_no_file(lab: Path) -> None:
    movie = lab / "raw/m01/saline/movie.tif"
    movie.unlink()
    os.mkfifo(movie)
    found = refused(lab)
    assert lines(found) == [("missing-file", "study.yaml", 12)]
    assert found[0].remedy == "What has that name is neither a file nor a folder."


def test_an_unknown_format_is_told_without_its_consequences(lab: Path) -> None:
    change(lab, "format: suite2p", "format: suit2p")
    assert lines(refused(lab)) == [("unknown-word", "study.yaml", 14)]


def test_a_placeholder_without_a_field_is_told_once(lab: Path) -> None:
    change(lab, "timezone:", "placeholders: [imaging.depth]\ntimezone:")
    change(lab, "depth_um: 150, ", "")
    found = [each for each in refused(lab) if each.code == "unknown-word"]
    assert len(found) == 1


@pytest.mark.parametrize("name", ["CEST", "EST5", "PDT", "Berlin", "GMT+2", "Mitteleuropa"])
def test_an_abbreviation_does_not_suggest_another_zone(name: str, lab: Path) -> None:
    change(lab, "Europe/Berlin", name)
    (found,) = refused(lab)
    assert (found.code, found.remedy) == ("unknown-word", "Expected an IANA name such as Europe/Berlin.")


@pytest.mark.parametrize("name", ["europe/berlin", "Europe/Berlim", "Europe Berlin"])
def test_a_misspelt_zone_is_suggested(name: str, lab: Path) -> None:
    change(lab, "Europe/Berlin", name)
    assert refused(lab)[0].remedy == "Did you mean 'Europe/Berlin'?"
