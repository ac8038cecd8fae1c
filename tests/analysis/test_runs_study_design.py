"""Doses inside a session on the way through a run: time courses, specification curve, pooled animals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from design_tables import counts, drug, saline, session, table

from nwbswitch.analysis.estimands.counts import SessionCounts
from nwbswitch.analysis.estimands.time_courses import time_courses
from nwbswitch.analysis.robustness import specification_curve as curve
from nwbswitch.analysis.runs.pooled_animals import pool_animals
from nwbswitch.analysis.runs.results_folder import ESTIMATES_FILE, META_FILE, RESULT, read_json
from nwbswitch.analysis.runs.study_design import DesignedStudy, designed_study, followed_doses
from nwbswitch.analysis.verdicts.switch import switch_sessions
from nwbswitch.analysis.verdicts.switch_result import SwitchResult
from nwbswitch.schemas.analysis_plan import MeasurePlan, MetaPlan, RobustnessPlan, SwitchPlan
from nwbswitch.schemas.files import write_json

TIMES = {
    "baseline": [60 * i for i in range(6)],
    "drug": [t + 60 * i for t in (1260, 2460) for i in range(6)],
}
LOW, HIGH = "ketamine 5 mg/kg", "ketamine 20 mg/kg, cumulative 25"
ONCE = RobustnessPlan(threshold_sd=(), neuropil_coefficient=())


@pytest.fixture(scope="module")
def log() -> pd.DataFrame:
    rows = []
    for place in range(3):
        two = [drug(dose=5.0), drug(dose=20.0, at_s=2400.0)]
        rows.append(session(f"m{place}", "s1", "ketamine", 1, two))
        rows.append(session(f"m{place}", "s2", "saline", 2, [saline(), saline(2400.0)]))
    return table(rows)


@pytest.fixture(scope="module")
def measured(log: pd.DataFrame) -> list[SessionCounts]:
    return [
        counts(row.animal, row.session, row.arm, row.order, windows=TIMES, seed=place)
        for place, row in enumerate(log.itertuples())
    ]


@pytest.fixture(scope="module")
def study(measured: list[SessionCounts], log: pd.DataFrame) -> DesignedStudy:
    return designed_study(measured, log)


@pytest.fixture(scope="module")
def result(study: DesignedStudy) -> SwitchResult:
    return switch_sessions(study.sessions, reference=study.references, draws=2)


def test_time_courses_are_of_each_dose_from_its_own_time(study: DesignedStudy, log: pd.DataFrame) -> None:
    sessions, doses = followed_doses(study, log)
    assert doses is not None
    assert len(doses) == len(sessions) == 12
    zeros_s = dict(
        zip([each.split("\n")[-1] for each in doses["session"]], doses["administration_s"], strict=True)
    )
    assert zeros_s == {LOW: 1200.0, HIGH: 2400.0, "saline": 1200.0, "saline #2": 2400.0}
    courses, _ = time_courses(sessions, reference=study.references, sessions_table=doses, width_s=120.0)
    own = courses[(courses["level"] == "arm") & (courses["estimand"] == "G")]
    assert set(zip(own["arm"], own["contrast"], strict=True)) >= {
        (LOW, "vs_saline"), (HIGH, "vs_saline #2")
    }  # fmt: skip
    assert own["time_s"].max() < 480


def test_sessions_of_one_dose_are_followed_as_they_are(measured: list[SessionCounts]) -> None:
    once = table([session("m0", "s1", "ketamine", 1, [drug()])])
    sessions, doses = followed_doses(designed_study(measured[:1], once), once)
    assert [each.session for each in sessions] == ["s1"]
    assert doses is not None
    pd.testing.assert_frame_equal(doses, once)


def test_the_first_specification_is_the_analysis_of_the_plan(
    measured: list[SessionCounts],
    log: pd.DataFrame,
    result: SwitchResult,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(curve, "read_cells", lambda cells: measured)
    monkeypatch.setattr(curve, "sessions_beside", lambda cells: log)
    rows = curve.specification_curve(
        [],
        cells=tmp_path / "cells.parquet",
        asked=ONCE,
        measure_plan=MeasurePlan(),
        switch_plan=SwitchPlan(draws=2),
        folder=tmp_path,
    )
    assert set(rows["arm"]) == {LOW, HIGH, "saline", "saline #2"}
    found = rows[rows["estimand"] == "M"].set_index("arm")
    assert found.loc[HIGH, "reference"] == "saline #2"
    for arm in (LOW, HIGH):
        difference = result.arms[arm].difference
        assert difference is not None
        np.testing.assert_equal(found.loc[arm, "estimate"], difference.estimates["M", 0].estimate)


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        (None, "several arms are compared; name one of"),
        ("ketamine", "no arm 'ketamine' is compared with a reference"),
        (HIGH, ""),
    ],
)
def test_animals_are_pooled_for_the_arm_that_is_meant(
    result: SwitchResult, tmp_path: Path, arm: str | None, words: str
) -> None:
    result.table().to_csv(tmp_path / ESTIMATES_FILE, index=False)
    write_json(tmp_path / RESULT, result.as_dict())
    said: list[str] = []
    pool_animals(tmp_path, MetaPlan(), arm=arm, overwrite=False, say=said.append)
    assert words in " ".join(said)
    assert (tmp_path / META_FILE).exists() == (not words)
    if not words:
        assert not said
        assert read_json(tmp_path / META_FILE)["k"] == 3


def test_groups_that_share_no_animal_are_not_pooled_and_it_is_said(
    result: SwitchResult, tmp_path: Path
) -> None:
    rows = result.table()
    rows[rows["level"] == "arm"].to_csv(tmp_path / ESTIMATES_FILE, index=False)
    write_json(tmp_path / RESULT, result.as_dict())
    (tmp_path / META_FILE).write_text("{}", encoding="utf-8")
    said: list[str] = []
    pool_animals(tmp_path, MetaPlan(), arm=HIGH, overwrite=False, say=said.append)
    assert f"{HIGH} and saline #2 are not compared within animals" in said[0]
    assert not (tmp_path / META_FILE).exists()
