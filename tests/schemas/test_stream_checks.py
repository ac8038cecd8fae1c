"""What is wrong with the streams and clocks of a study file is told at its line, with what would be right."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from nwbswitch.schemas.errors import StudyError
from nwbswitch.schemas.issues import Issue, Severity
from nwbswitch.schemas.study_file import LoadedStudy, load_study

STUDY = """
    study: {name: s, title: A study}
    timezone: UTC
    defaults:
      description: A session.
      clocks: {rig: {offset_s: 1}}
      imaging:
        {indicator: GCaMP6s, excitation_lambda_nm: 920, emission_lambda_nm: 510, region: RSPd}
      streams:
        movie: {format: tiff_movie, path: "run_*.tif", parts: runs, part_start_s: [0, 50], rate_hz: 10}
        cells: {format: suite2p, path: suite2p}
        daq:
          format: series
          path: daq.csv
          rate_hz: 100
          signals: [{name: breath, unit: V}, {name: pupil, quantity: pupil_area, unit: mm2}]
        wheel: {format: wheel_encoder, path: daq.csv, count: n, counts_per_turn: 1024, rate_hz: 100}
        task: {format: trials, path: t.csv, start_column: start, duration_s: 1}
        licks: {format: medpc, path: med.txt, events: {G: lick}}
    subjects: [{subject_id: m1, species: Mus musculus, sex: F, age: P90D}]
    sessions: [{subject_id: m1, session_id: d1, start_time: 2026-03-01T10:00:00}]
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """Folder with files of the right names."""
    for name in ("run_1.tif", "run_2.tif", "daq.csv", "t.csv", "med.txt", "map.mat"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    (tmp_path / "suite2p").mkdir()
    return tmp_path


def load(lab: Path, *changes: tuple[str, Any]) -> LoadedStudy:
    """Load the study with values at dotted keys below ``defaults`` changed."""
    study = yaml.safe_load(textwrap.dedent(STUDY))
    for keys, value in changes:
        *outer, last = keys.split(".")
        target = study["defaults"]
        for key in outer:
            target = target[int(key) if key.isdigit() else key]
        target[int(last) if last.isdigit() else last] = value
    (lab / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return load_study(lab / "study.yaml")


def mistakes(lab: Path, *changes: tuple[str, Any]) -> list[Issue]:
    with pytest.raises(StudyError) as caught:
        load(lab, *changes)
    return [each for each in caught.value.issues if each.severity is Severity.ERROR]


def test_the_study_is_sound(lab: Path) -> None:
    assert load(lab).study.sessions[0].streams["movie"].part_start_s == (0.0, 50.0)


CELLS = {"format": "suite2p", "path": "suite2p"}
TAGGED = {"source": "red_channel", "cell_type": "PV"}
PULSES = {"path": "daq.csv", "column": "t"}
SERIES = {"format": "series", "path": "daq.csv", "rate_hz": 9, "signals": [{"name": "breath", "unit": "V"}]}
MISTAKES: dict[str, tuple[str, Any, str, str]] = {
    "source": ("streams.cells.tracking", {"source": "cellregg", "path": "map.mat"}, "source", "'cellreg'"),
    "no source": ("streams.cells.cell_types", {"cell_type": "PV"}, "cells.cell_types", "red_channel"),
    "key of a source": ("streams.cells.cell_types", {**TAGGED, "lines": "x"}, "cell_types.lines", "'line'"),
    "word of a source": ("streams.cells.cell_types", {**TAGGED, "cell_type": "PVV"}, "cell_type", "'PV'"),
    "format": ("streams.cells.format", "suit2p", "streams.cells.format", "'suite2p'"),
    "clock of pulses": ("streams.movie.frame_times", {**PULSES, "clock": "rg"}, "frame_times.clock", "'rig'"),
    "key of pulses": ("streams.movie.frame_times", {**PULSES, "colum": "t"}, "frame_times.colum", "'column'"),
    "reference": ("clocks.rig.reference_clock", "rigg", "clocks.rig.reference_clock", "'rig'"),
    "circle": ("clocks.rig.reference_clock", "rig", "clocks.rig.reference_clock", "rig -> rig"),
    "own clock": ("clocks.session", {"offset_s": 1}, "clocks.session", "another name"),
    "path as mapping": ("streams.movie.path", {"a": 1}, "streams.movie.path", "expected a path"),
    "no path": ("streams.movie.path", [], "streams.movie.path", "no file"),
    "path twice": ("streams.movie.path", ["run_1.tif", "run_1.tif"], "streams.movie.path", "twice"),
    "too few runs": ("streams.movie.path", "run_1*.tif", "part_start_s", "2 starts for 1 files"),
    "too few starts": ("streams.movie.part_start_s", [0], "part_start_s", "1 starts for 2 files"),
    "starts go back": ("streams.movie.part_start_s", [9, 2], "part_start_s", "do not increase"),
    "starts without runs": ("streams.movie.parts", "continuous", "part_start_s", "goes with parts: runs"),
    "no times": ("streams.wheel.rate_hz", None, "streams.wheel", "time_column"),
    "two kinds of times": ("streams.wheel.time_column", "t", "streams.wheel.rate_hz", "Leave one"),
    "unit": ("streams.daq.signals.0.unit", "volts", "signals[1].unit", "UCUM"),
    "unit of speed": ("streams.daq.signals.0.quantity", "speed", "signals[1].unit", "m/s"),
    "same name": ("streams.daq.signals.0.quantity", "pupil_area", "signals[2]", "quantity of its own"),
    "name of another": ("streams.more", SERIES, "streams.more.signals[1]", "'breath'"),
    "name with slash": ("streams.a/b", SERIES, "streams.a/b", "'a_b'"),
    "name of the trials": ("streams.trials", {"format": "stimuli", "path": "t.csv", "stimulus": "x",
        "start_column": "a", "duration_s": 1}, "streams.trials", "one of task"),
    "name of the drug log": ("streams.drug_administrations", {"format": "medpc", "path": "med.txt",
        "events": {"G": "lick"}}, "drug_administrations", "the drug log"),
    "times of a table": ("streams.wheel.timing_of", "task", "wheel.timing_of", "no samples"),
    "times in a circle": ("streams.cells.timing_of", "cells", "cells.timing_of", "Other streams"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_at_its_place(name: str, lab: Path) -> None:
    keys, value, item, words = MISTAKES[name]
    first = mistakes(lab, (keys, value))[0]
    assert first.place.item.endswith(item)
    assert first.place.file == lab / "study.yaml"
    assert (first.place.line or 0) > 4
    assert words in f"{first.message} {first.remedy}"
    assert "lax-or-strict" not in first.message


def test_two_streams_may_not_follow_each_other(lab: Path) -> None:
    found = mistakes(lab, ("streams.wheel.timing_of", "daq"), ("streams.daq.timing_of", "wheel"))
    assert "from each other: wheel -> daq -> wheel" in " ".join(each.message for each in found)


def test_starts_of_runs_may_stand_in_the_table_of_sessions(lab: Path) -> None:
    study = yaml.safe_load(textwrap.dedent(STUDY))
    del study["defaults"]["streams"]["movie"]["part_start_s"]
    study["sessions"] = "sessions.csv"
    (lab / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    row = "m1,d1,2026-03-01T10:00:00,0;61.5"
    header = "subject_id,session_id,start_time,streams.movie.part_start_s"
    (lab / "sessions.csv").write_text(f"{header}\n{row}\n", encoding="utf-8")
    loaded = load_study(lab / "study.yaml")
    assert loaded.study.sessions[0].streams["movie"].part_start_s == (0.0, 61.5)
