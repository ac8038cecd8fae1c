"""What a good study file becomes."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from lab_study import SESSIONS, STUDY, SUBJECTS, change, inline, lines, loaded, refused

from nwbswitch.schemas.epochs import TimeZero
from nwbswitch.schemas.streams_suite2p import Suite2pFolder
from nwbswitch.schemas.streams_tiff import TiffMovie
from nwbswitch.schemas.streams_wheel import WheelCsv
from nwbswitch.schemas.study_file import load_study


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


def test_an_unused_column_is_a_warning(lab: Path) -> None:
    change(lab, "age,imaging.depth_um", "age,favourite", file="subjects.csv")
    assert lines(tuple(loaded(lab).warnings)) == [("unknown-column", "subjects.csv", 1)]


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
