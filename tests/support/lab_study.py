"""The study file of a lab with three sessions, its tables and raw files; ways to spoil them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nwbswitch.schemas.errors import StudyError
from nwbswitch.schemas.issues import Issue
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


def write_lab(folder: Path) -> None:
    """Write the study file, its tables and raw data of three sessions."""
    for session in ("m01/saline", "m01/ketamine", "m02/ketamine"):
        raw = folder / "raw" / session
        (raw / "suite2p").mkdir(parents=True)
        (raw / "movie.tif").write_bytes(b"II*\0")
        (raw / "treadmill_01.csv").write_text("time_s,speed\n0,1\n")
    files = {"study.yaml": STUDY, "subjects.csv": SUBJECTS, "sessions.csv": SESSIONS, "drug_log.csv": DRUGS}
    for name, text in files.items():
        (folder / name).write_text(text)


def loaded(lab: Path) -> LoadedStudy:
    """Load the study."""
    return load_study(lab / "study.yaml")


def change(lab: Path, old: str, new: str, *, file: str = "study.yaml") -> None:
    """Replace the first ``old`` in a file, which must hold it."""
    text = (lab / file).read_text()
    assert old in text, f"{old!r} is not in {file}"
    (lab / file).write_text(text.replace(old, new, 1))


def refused(lab: Path) -> tuple[Issue, ...]:
    """Return what a study is refused for."""
    with pytest.raises(StudyError) as raised:
        loaded(lab)
    return raised.value.issues  # type: ignore[no-any-return]


def lines(found: tuple[Issue, ...]) -> list[tuple[str, str, int | None]]:
    """Return code, file and line of each finding."""
    return [(each.code, each.place.file.name if each.place.file else "", each.place.line) for each in found]


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
