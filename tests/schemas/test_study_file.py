"""A lab's study file: what a good one becomes, and what is said about each mistake, at which line."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nwbswitch.schemas.epochs import TimeZero
from nwbswitch.schemas.errors import StudyError
from nwbswitch.schemas.issues import Issue
from nwbswitch.schemas.streams_suite2p import Suite2pFolder
from nwbswitch.schemas.streams_tiff import TiffMovie
from nwbswitch.schemas.streams_wheel import WheelCsv
from nwbswitch.schemas.study_file import LoadedStudy, load_study

STUDY = """\
study:
  name: ketamine-crossover
  title: Ketamine and saline
  experimenters: ["Doe, Jane"]
timezone: Europe/Berlin
defaults:
  description: Head-fixed on a treadmill.
  imaging: {indicator: GCaMP6s, excitation_lambda_nm: 920, emission_lambda_nm: 510,
            region: RSPd, depth_um: 150, cell_type: excitatory}
  clocks: {treadmill: {offset_s: 0.35}}
  streams:
    movie: {format: tiff_movie, path: "raw/{subject_id}/{session_id}/movie.tif", rate_hz: 5}
    cells:
      format: suite2p
      path: "raw/{subject_id}/{session_id}/suite2p"
    treadmill:
      format: wheel_csv
      path: "raw/{subject_id}/{session_id}/treadmill*.csv"
      clock: treadmill
      time_column: time_s
      signals: [{column: speed, quantity: speed, unit: cm/s}]
  epochs:
    - {window: baseline, start_s: -660, stop_s: -60, relative_to: administration}
    - {window: drug, start_s: 60, stop_s: 660, relative_to: administration}
subjects: subjects.csv
sessions: sessions.csv
drug_log: drug_log.csv
"""
SUBJECTS = """\
subject_id,species,sex,age,imaging.depth_um
m01,Mus musculus,F,P90D,
m02,Mus musculus,M,P91D,200
"""
SESSIONS = """\
subject_id,session_id,start_time,imaging.depth_um
m01,saline,2026-03-01T10:00:00,
m01,ketamine,2026-07-01T10:00:00,
m02,ketamine,2026-03-02T10:00:00+05:00,250
"""
DRUGS = """\
subject_id,session_id,timestamp_s,substance,role,control_kind,dose,dose_unit,route
m01,saline,1380,saline,test,saline,,,i.p.
m01,ketamine,1380,ketamine,test,none,10,mg/kg,i.p.
m02,ketamine,1400,ketamine,test,none,10,mg/kg,i.p.
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A study folder with raw data of three sessions."""
    for session in ("m01/saline", "m01/ketamine", "m02/ketamine"):
        folder = tmp_path / "raw" / session
        (folder / "suite2p").mkdir(parents=True)
        (folder / "movie.tif").write_bytes(b"II*\0")
        (folder / "treadmill_01.csv").write_text("time_s,speed\n0,1\n")
    for name, text in (("study.yaml", STUDY), ("subjects.csv", SUBJECTS)):
        (tmp_path / name).write_text(text)
    (tmp_path / "sessions.csv").write_text(SESSIONS)
    (tmp_path / "drug_log.csv").write_text(DRUGS)
    return tmp_path


def loaded(lab: Path) -> LoadedStudy:
    return load_study(lab / "study.yaml")


def change(lab: Path, old: str, new: str, *, file: str = "study.yaml") -> None:
    text = (lab / file).read_text()
    assert old in text, f"{old!r} is not in {file}"
    (lab / file).write_text(text.replace(old, new, 1))


def refused(lab: Path) -> tuple[Issue, ...]:
    with pytest.raises(StudyError) as raised:
        loaded(lab)
    return raised.value.issues  # type: ignore[no-any-return]


def lines(found: tuple[Issue, ...]) -> list[tuple[str, str, int | None]]:
    return [(each.code, each.place.file.name if each.place.file else "", each.place.line) for each in found]


# ---- a good study -----------------------------------------------------------------------------------------


def test_a_good_study_is_resolved(lab: Path) -> None:
    result = loaded(lab)
    assert result.warnings == []
    assert result.root == lab.resolve()
    assert [file.name for file in result.files] == [
        "study.yaml",
        "subjects.csv",
        "sessions.csv",
        "drug_log.csv",
    ]
    study = result.study
    assert study.name == "ketamine-crossover"
    assert study.experimenters == ("Doe, Jane",)
    assert [(each.subject.subject_id, each.session_id) for each in study.sessions] == [
        ("m01", "saline"),
        ("m01", "ketamine"),
        ("m02", "ketamine"),
    ]
    first = study.sessions[0]
    assert first.description == "Head-fixed on a treadmill."
    assert first.clocks["treadmill"].offset_s == 0.35
    movie, cells, wheel = (first.streams[name] for name in ("movie", "cells", "treadmill"))
    assert isinstance(movie, TiffMovie)
    assert movie.path == lab.resolve() / "raw/m01/saline/movie.tif"
    assert isinstance(cells, Suite2pFolder)
    assert cells.path == lab.resolve() / "raw/m01/saline/suite2p"
    assert isinstance(wheel, WheelCsv)
    assert wheel.path.name == "treadmill_01.csv"
    assert wheel.signals[0].unit == "cm/s"


def test_the_narrower_level_wins(lab: Path) -> None:
    depths = [each.imaging.depth_um for each in loaded(lab).study.sessions if each.imaging]
    assert depths == [150, 150, 250]
    change(lab, ",250", ",", file="sessions.csv")
    depths = [each.imaging.depth_um for each in loaded(lab).study.sessions if each.imaging]
    assert depths == [150, 150, 200]


def test_start_times_get_the_offset_of_their_day(lab: Path) -> None:
    offsets = [each.start_time.utcoffset() for each in loaded(lab).study.sessions]
    assert offsets == [timedelta(hours=1), timedelta(hours=2), timedelta(hours=5)]


def test_windows_are_placed_on_the_session_clock(lab: Path) -> None:
    sessions = loaded(lab).study.sessions
    windows = [(each.start_s, each.stop_s, each.relative_to) for each in sessions[2].epochs]
    assert windows == [(740, 1340, TimeZero.SESSION), (1460, 2060, TimeZero.SESSION)]


def test_the_drug_log_goes_to_its_sessions(lab: Path) -> None:
    rows = [each.drug_log for each in loaded(lab).study.sessions]
    assert [[row.substance for row in each] for each in rows] == [["saline"], ["ketamine"], ["ketamine"]]
    assert rows[1][0].dose == 10


def test_words_are_stored_as_the_vocabulary_spells_them(lab: Path) -> None:
    change(lab, "region: RSPd", "region: primary visual cortex")
    imaging = loaded(lab).study.sessions[0].imaging
    assert imaging is not None
    assert imaging.region == "VISp"


def test_identifiers_stay_as_written(lab: Path) -> None:
    change(lab, "m02,Mus", "012,Mus", file="subjects.csv")
    change(lab, "m02,ketamine", "012,1e3", file="sessions.csv")
    change(lab, "m02,ketamine", "012,1e3", file="drug_log.csv")
    shutil.move(lab / "raw/m02/ketamine", lab / "raw/012/1e3")
    assert loaded(lab).study.sessions[2].subject.subject_id == "012"
    assert loaded(lab).study.sessions[2].session_id == "1e3"


def test_a_stream_that_is_missing_once_is_dropped(lab: Path) -> None:
    (lab / "raw/m01/saline/movie.tif").unlink()
    change(lab, "imaging.depth_um", "streams.movie", file="sessions.csv")
    change(lab, "10:00:00,\n", "10:00:00,null\n", file="sessions.csv")
    change(lab, ",250", ",", file="sessions.csv")
    sessions = loaded(lab).study.sessions
    assert [sorted(each.streams) for each in sessions[:2]] == [
        ["cells", "treadmill"],
        ["cells", "movie", "treadmill"],
    ]


def inline(lab: Path, session: str = "", *, top: str = "") -> None:
    """Replace the tables by lists of one subject and one session."""
    head = STUDY[: STUDY.index("subjects: subjects.csv")]
    (lab / "study.yaml").write_text(
        f"{top}{head}"
        "subjects:\n  - {subject_id: m01, species: Mus musculus, sex: F, age: P90D}\n"
        "sessions:\n  - subject_id: m01\n    session_id: ketamine\n    start_time: 2026-03-01T10:00:00\n"
        "    drug_log: [{timestamp_s: 1380, substance: Ketamine, dose: 10, dose_unit: mg/kg, route: ip}]\n"
        + session
    )


def test_lists_inside_the_file_do_the_same_as_tables(lab: Path) -> None:
    inline(lab)
    from_list, from_table = loaded(lab).study.sessions[0], None
    (lab / "study.yaml").write_text(STUDY)
    from_table = loaded(lab).study.sessions[1]
    assert from_list.streams == from_table.streams
    assert from_list.drug_log[0].substance == from_table.drug_log[0].substance == "ketamine"
    assert from_list.drug_log[0].route == from_table.drug_log[0].route
    assert from_list.epochs == from_table.epochs


def test_a_list_of_the_drug_log_at_the_top(lab: Path) -> None:
    row = "{subject_id: %s, session_id: ketamine, timestamp_s: 9, substance: saline, control_kind: saline}"
    change(lab, "drug_log: drug_log.csv", f"drug_log:\n  - {row % 'm01'}\n  - {row % 'm03'}\n")
    found = refused(lab)
    assert ("unknown-subject", "study.yaml", 29) in lines(found)


def test_anchors_and_merge_keys_work(lab: Path) -> None:
    extra = (
        "    imaging: &plane {depth_um: 300}\n"
        "  - {subject_id: m01, session_id: saline, start_time: 2026-03-02T10:00:00, imaging: {<<: *plane, "
        "region: MOp}, drug_log: [{timestamp_s: 1380, substance: saline, control_kind: saline}]}\n"
    )
    inline(lab, extra)
    imaging = loaded(lab).study.sessions[1].imaging
    assert imaging is not None
    assert (imaging.depth_um, imaging.region, imaging.indicator) == (300, "MOp", "GCaMP6s")


def test_extra_columns_serve_in_paths(lab: Path) -> None:
    change(lab, "imaging.depth_um\n", "folder\n", file="sessions.csv")
    change(lab, ",250", ",x[1]", file="sessions.csv")
    change(lab, "10:00:00,\n", "10:00:00,x[1]\n", file="sessions.csv")
    change(lab, "10:00:00,\n", "10:00:00,x[1]\n", file="sessions.csv")
    change(lab, "{session_id}/treadmill*", "{session_id}/{folder}*")
    for file in lab.rglob("treadmill_01.csv"):
        file.rename(file.with_name("x[1].csv"))
    result = loaded(lab)
    assert result.warnings == []
    assert result.study.sessions[0].streams["treadmill"].path.name == "x[1].csv"


def test_semicolons_and_excel(lab: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    (lab / "sessions.csv").write_text("\ufeff" + SESSIONS.replace(",", ";"), encoding="utf-8")
    book = openpyxl.Workbook()
    page = book.create_sheet("animals")
    for line in SUBJECTS.splitlines():
        page.append([cell or None for cell in line.split(",")])
    book.save(lab / "subjects.xlsx")
    change(lab, "subjects.csv", "subjects.xlsx#animals")
    assert len(loaded(lab).study.sessions) == 3
    change(lab, "#animals", "#animal")
    assert lines(refused(lab))[0][:2] == ("unknown-word", "subjects.xlsx")


def test_a_session_without_drug_is_only_a_warning(lab: Path) -> None:
    change(lab, "m01,saline,1380,saline,test,saline,,,i.p.\n", "", file="drug_log.csv")
    found = refused(lab)
    assert ("missing-value", "study.yaml", 23) in lines(found)
    text = (lab / "study.yaml").read_text().replace(", relative_to: administration", "")
    (lab / "study.yaml").write_text(text.replace("-660, stop_s: -60", "0, stop_s: 50"))
    assert lines(tuple(loaded(lab).warnings)) == [("no-drug-log", "sessions.csv", 2)]


def test_placeholders_are_filled_and_told(lab: Path) -> None:
    change(lab, "timezone:", "placeholders: [subject.age, subject.sex, start_time]\ntimezone:")
    (lab / "subjects.csv").write_text("subject_id,species\nm01,Mus musculus\nm02,Mus musculus\n")
    (lab / "sessions.csv").write_text("subject_id,session_id\nm01,saline\nm01,ketamine\nm02,ketamine\n")
    result = loaded(lab)
    session = result.study.sessions[0]
    assert (session.subject.age, session.subject.sex) == ("P0D/", "U")
    assert session.start_time.isoformat() == "2000-01-01T00:00:00+00:00"
    assert session.placeholders == ("subject.age", "subject.sex", "start_time")
    assert [each.code for each in result.warnings] == ["placeholder"] * 3


def test_a_placeholder_of_one_session_leaves_the_others(lab: Path) -> None:
    (lab / "sessions.csv").write_text(
        SESSIONS.replace("imaging.depth_um", "placeholders").replace(",250", ",subject.age; imaging.depth_um")
    )
    sessions = loaded(lab).study.sessions
    assert [each.placeholders for each in sessions] == [(), (), ("subject.age", "imaging.depth_um")]
    assert sessions[2].subject.age == "P91D"


def test_data_root_holds_raw_data_elsewhere(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = lab.parent / f"{lab.name}-away"
    shutil.move(lab / "raw", away / "disk/raw")
    monkeypatch.setenv("LAB_DISK", str(away))
    for root in (
        "${LAB_DISK}/disk",
        f"${{NOT_SET_HERE:-../{away.name}}}/disk",
        f"../{away.name}/disk",
        f"{away}/disk",
    ):
        (lab / "study.yaml").write_text(f"data_root: {root}\n{STUDY}")
        assert loaded(lab).study.sessions[0].streams["movie"].path.is_relative_to(away.resolve())
    (lab / "study.yaml").write_text("data_root: ${NOT_SET_HERE}/disk\n" + STUDY)
    found = refused(lab)
    assert found[0].code == "missing-value"
    assert "NOT_SET_HERE" in found[0].message


def test_variables_are_not_expanded_elsewhere(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_DISK", "raw")
    change(lab, '"raw/{subject_id}/{session_id}/movie.tif"', '"${LAB_DISK}/movie.tif"')
    assert "unknown-key" in {each.code for each in refused(lab)}


def test_the_treadmill_example_loads(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NWBSWITCH_SHARED", str(shared))
    result = load_study(Path(__file__).resolve().parents[2] / "examples/treadmill/study.yaml")
    (session,) = result.study.sessions
    assert {name: each.format for name, each in session.streams.items()} == {
        "movie": "tiff_movie",
        "cells": "suite2p",
        "treadmill": "wheel_csv",
    }
    assert [(each.window, each.start_s, each.stop_s) for each in session.epochs] == [
        ("pseudo_baseline", 0, 30),
        ("pseudo_drug", 36, 66),
    ]
    assert "no-drug-log" in {each.code for each in result.warnings}


# ---- mistakes, each at its line ---------------------------------------------------------------------------

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


def test_an_unused_column_is_a_warning(lab: Path) -> None:
    change(lab, "age,imaging.depth_um", "age,favourite", file="subjects.csv")
    assert lines(tuple(loaded(lab).warnings)) == [("unknown-column", "subjects.csv", 1)]


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


# ---- documents that are malformed altogether --------------------------------------------------------------

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)

MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "scalar": b"hello",
    "list": b"- a\n- b\n",
    "number": b"3",
    "null": b"null",
    "tab": b"study:\n\tname: a\n",
    "unclosed": b"study: {name: [a\n",
    "two documents": b"a: 1\n---\nb: 2\n",
    "binary": bytes(range(256)) * 10,
    "nul": b"study: a\0b\n",
    "utf-16": "study: a".encode("utf-16"),
    "latin-1": "study: {name: Jos\xe9}".encode("latin-1"),
    "control character": b"study: \x01\n",
    "bomb": BOMB.encode(),
    "itself": b"study: &a {name: *a}\n",
    "deep": b"a: " + b"[" * 20_000,
    "deep mappings": b"{a: " * 20_000,
    "python": b"study: !!python/object/apply:os.system ['true']\n",
    "unknown alias": b"study: *nothing\n",
    "list as key": b"? [a, b]\n: c\n",
    "mapping as key": b"? {a: b}\n: c\n",
    "merge of text": b"<<: text\nstudy: a\n",
    "sections of the wrong kind": b"study: 3\ndefaults: [1]\nsubjects: {a: 1}\nsessions: 5\ndrug_log: {}\n",
    "lists of the wrong kind": b"study: {}\nsubjects: [1, [2]]\nsessions: [null, a]\ndrug_log: [3]\n",
    "settings of the wrong kind": b"study: {name: a, title: b}\n"
    b"defaults: {imaging: 1, streams: [1], clocks: x,"
    b" "
    b"epochs: {a: 1}}\nsubjects: [{subject_id: a, imaging: 3, streams: 4}]\n"
    b"sessions: [{subject_id: a, session_id: b, epochs: [1, null], clocks: [], subject: 3, drug_log: 3}]\n",
    "identifiers of the wrong kind": b"study: {name: [a], title: {b: c}}\nsubjects: [{subject_id: [1]}]\n"
    b"sessions: [{subject_id: {a: 1}, session_id: []}]\ntimezone: [a]\ndata_root: {a: b}\nplaceholders: 3\n",
    "streams of the wrong kind": b"study: {name: a, title: b}\nsubjects: [{subject_id: a}]\n"
    b"sessions: [{subject_id: a, session_id: b, streams: {m: 1, n: {path: []}, o: {format: [], path: x},"
    b' p: {format: wheel_csv, path: "[", signals: [1]}, q: {format: tiff_movie, path: ""},'
    b' r: {path: "**x"}}}]',
    "paths that are odd": b'study: {name: a, title: b}\nsubjects: [{subject_id: a}]\ndata_root: "a\\0b"\n'
    b'sessions: [{subject_id: a, session_id: b, streams: {m: {format: suite2p, path: "a\\0b"},'
    b' n: {format: suite2p, path: "{}{{x}}"}}}]\n',
    "tables that are folders": b"study: {name: a, title: b}\nsubjects: .\nsessions: '#x'\ndrug_log: ..\n",
    "yaml as a table": b"study: {name: a, title: b}\nsubjects: study.yaml\nsessions: study.yaml\n"
    b"drug_log: study.yaml\n",
    "not Excel": b"study: {name: a, title: b}\nsubjects: bad.xlsx\nsessions: bad.xlsx\ndrug_log: bad.xlsx\n",
}


@pytest.mark.parametrize("name", list(MALFORMED))
def test_malformed_documents_are_refused_in_words(name: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(MALFORMED[name])
    (tmp_path / "bad.xlsx").write_bytes(b"PK\x03\x04 not a workbook")
    with pytest.raises(StudyError) as raised:
        load_study(tmp_path / "study.yaml")
    assert raised.value.issues
    for each in raised.value.issues:
        assert each.place.file is not None
        assert len(str(each)) < 1000


@pytest.mark.parametrize(
    ("name", "code", "line"),
    [("tab", "yaml-syntax", 2), ("nul", "unreadable-file", 1), ("list", "wrong-value", 1)],
)
def test_malformed_documents_name_the_line(name: str, code: str, line: int, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(MALFORMED[name])
    assert lines(refused(tmp_path))[0] == (code, "study.yaml", line)


def test_large_missing_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "study.yaml").write_bytes(b"# " + b"x" * 5_000_000)
    assert "larger than 5 MB" in str(refused(tmp_path)[0])
    (tmp_path / "study.yaml").unlink()
    assert refused(tmp_path)[0].code == "missing-file"
    (tmp_path / "study.yaml").mkdir()
    assert "folder" in str(refused(tmp_path)[0])


def test_a_file_of_endless_values_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nwbswitch.schemas.study_positions.MAX_VALUES", 1000)
    (tmp_path / "study.yaml").write_bytes(b"[" + b"a," * 1_000_000 + b"a]")
    assert "more than 1000 values" in str(refused(tmp_path)[0])


@pytest.mark.parametrize("table", ["subjects.csv", "sessions.csv", "drug_log.csv"])
@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\xff\xfe\xff", b'a,"b\n', b",,,\n1,2,3\n", b"subject_id\n", bytes(range(256))]
)
def test_malformed_tables_are_refused_in_words(table: str, data: bytes, lab: Path) -> None:
    (lab / table).write_bytes(data)
    found: Any = refused(lab)
    assert any(each.place.file is not None and each.place.file.name == table for each in found), found


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


@pytest.mark.parametrize(("unit", "quantity"), [("deg/s", "speed"), ("rad", "position"), ("mm", "distance")])
def test_signals_along_a_wheel_or_as_an_angle(unit: str, quantity: str, lab: Path) -> None:
    change(lab, "quantity: speed, unit: cm/s", f"quantity: {quantity}, unit: {unit}")
    assert loaded(lab).warnings == []


def test_regions_of_another_animal_are_only_a_warning(lab: Path) -> None:
    change(lab, "region: RSPd", "region: Cg1x")
    for _ in range(2):
        change(lab, "Mus musculus", "Rattus norvegicus", file="subjects.csv")
    result = loaded(lab)
    assert lines(tuple(result.warnings)) == [("unknown-region", "study.yaml", 9)]
    assert {each.imaging.region for each in result.study.sessions if each.imaging} == {"Cg1x"}
    change(lab, "Rattus norvegicus", "Mus musculus", file="subjects.csv")
    assert ("unknown-word", "study.yaml", 9) in lines(refused(lab))
    change(lab, "Mus musculus", "http://purl.obolibrary.org/obo/NCBITaxon_10090", file="subjects.csv")
    assert ("unknown-word", "study.yaml", 9) in lines(refused(lab))


@pytest.mark.parametrize("name", ["CEST", "EST5", "PDT", "Berlin", "GMT+2", "Mitteleuropa"])
def test_an_abbreviation_does_not_suggest_another_zone(name: str, lab: Path) -> None:
    change(lab, "Europe/Berlin", name)
    (found,) = refused(lab)
    assert (found.code, found.remedy) == ("unknown-word", "Expected an IANA name such as Europe/Berlin.")


@pytest.mark.parametrize("name", ["europe/berlin", "Europe/Berlim", "Europe Berlin"])
def test_a_misspelt_zone_is_suggested(name: str, lab: Path) -> None:
    change(lab, "Europe/Berlin", name)
    assert refused(lab)[0].remedy == "Did you mean 'Europe/Berlin'?"


def test_decimal_commas_where_semicolons_separate(lab: Path) -> None:
    subjects = (
        SUBJECTS.replace("age,", "age,weight_g,").replace("P90D,", "P90D,25.5,").replace("P91D,", "P91D,,")
    )
    subjects = subjects.replace(",", ";").replace("25.5", "25,5").replace(";200", ";200,25")
    (lab / "subjects.csv").write_text(subjects)
    change(lab, ",250", ",", file="sessions.csv")
    sessions = loaded(lab).study.sessions
    assert sessions[0].subject.weight_g == 25.5
    assert sessions[2].imaging is not None
    assert sessions[2].imaging.depth_um == 200.25
