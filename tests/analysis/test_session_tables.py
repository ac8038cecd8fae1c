"""The table of sessions: what files say of animal, day and group; sessions left out; kept with its work."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from design_tables import drug, saline, session, table

from nwbswitch.analysis.designs.design import read_design
from nwbswitch.analysis.left_out import LeftOut, arms_of_all
from nwbswitch.analysis.measure import measure
from nwbswitch.analysis.session_tables import (
    SessionAbout,
    about_name,
    administrations_of,
    administrations_text,
    age_in_days,
    read_sessions_table,
    weight_in_g,
    write_sessions_file,
)
from nwbswitch.analysis.sources import Source
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError, TableError
from nwbswitch.schemas.result_tables import SESSIONS, SESSIONS_FILE

BLOCK_S = 20.0


@pytest.fixture(scope="module")
def traces(nwb_files: ModuleType) -> np.ndarray:
    return np.asarray(nwb_files.make_traces(3, n_frames=1250))


def edited(path: Path, **values: Any) -> Path:
    """Write values into a file, by paths with double underscores for slashes."""
    with h5py.File(path, "a") as file:
        for name, value in values.items():
            place = name.replace("__", "/")
            if place in file:
                del file[place]
            file[place] = value
    return path


@pytest.mark.parametrize(
    ("age", "days"),
    [
        ("P90D", 90.0),
        ("P12W", 84.0),
        ("P1Y2M", 365.25 + 2 * 30.4375),
        ("P2,5W", 17.5),
        ("P80D/P100D", 90.0),
        ("P0D/", None),
        ("P20D gestational", None),
        ("three months", None),
        ("PT3H", None),
        ("P1.2.3D", None),
        ("", None),
    ],
)
def test_ages_become_days_where_they_are_durations(age: str, days: float | None) -> None:
    assert age_in_days(age) == (None if days is None else pytest.approx(days))


@pytest.mark.parametrize(
    ("words", "grams"),
    [("26.2 g", 26.2), ("0.0262 kg", 26.2), ("26 grams", 26.0), ("26", None), ("heavy", None), ("0 g", None)],
)
def test_weights_need_a_unit(words: str, grams: float | None) -> None:
    assert weight_in_g(words) == (None if grams is None else pytest.approx(grams))


def test_measure_writes_what_files_say_of_animal_day_and_group(
    nwb_files: ModuleType, traces: np.ndarray, tmp_path: Path
) -> None:
    start = datetime(2026, 3, 2, 13, 30, tzinfo=timezone(timedelta(hours=2)))
    path = nwb_files.write_nwb(
        tmp_path / "nwb" / "a.nwb",
        {"F": traces},
        start_time=start,
        description="Imaging of awake mice. Cohort 3. Implanted under isoflurane anesthesia.",
    )
    edited(
        path,
        general__subject__sex="F",
        general__subject__weight="0.025 kg",
        general__subject__genotype="wt/wt",
    )
    result = measure(path, out=tmp_path / "out" / "cells.parquet", block_s=BLOCK_S)
    row = read_sessions_table(tmp_path / "out").iloc[0]
    assert result.sessions is not None
    assert SESSIONS.issues(result.sessions) == []
    assert (row["animal"], row["session"], row["arm"], row["order"]) == ("m1", "s1", "ketamine", 1)
    assert (row["sex"], row["age_days"], row["weight_g"], row["genotype"]) == ("F", 90.0, 25.0, "wt/wt")
    # 150 s after 13:30 by the clock of the lab, not by UTC.
    assert row["time_of_day_h"] == pytest.approx(13.5 + 150 / 3600, abs=1e-4)
    assert datetime.fromisoformat(row["start_time"]) == start
    assert (row["batch"], row["anaesthesia"], row["species"]) == ("cohort 3", "awake", "Mus musculus")
    assert set(row["windows"].split()) == {"pseudo_baseline", "pseudo_drug", "baseline", "drug"}
    assert (row["n_neurons"], bool(row["included"]), row["exclusion"]) == (3, True, "")
    (given,) = administrations_of(row["administrations"])
    assert (given.substance, given.dose, given.timestamp_s) == ("ketamine", 10.0, 150.0)


@pytest.mark.parametrize(
    ("description", "drugs", "anaesthesia"),
    [
        ("Recorded under urethane anaesthesia.", (), "urethane"),
        ("Mice were anesthetized.", (), "anaesthetised"),
        ("Non-anesthetized mice.", (), "awake"),
        ("Recorded without anesthesia.", (), ""),
        ("Anesthetized in block 1, awake in block 2.", (), ""),
        ("Virus injection under isoflurane anaesthesia.", (), ""),
        ("Awake.", ("isoflurane",), "isoflurane"),
    ],
)
def test_anaesthesia_is_that_of_the_recording(
    description: str,
    drugs: tuple[str, ...],
    anaesthesia: str,
    nwb_files: ModuleType,
    traces: np.ndarray,
    tmp_path: Path,
) -> None:
    rows = [nwb_files.KETAMINE]
    rows += [
        {**nwb_files.KETAMINE, "substance": name, "role": "anaesthetic", "timestamp": 0.0} for name in drugs
    ]
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, description=description, drugs=rows)
    found = measure(path, block_s=BLOCK_S).sessions
    assert found is not None
    assert found.loc[0, "anaesthesia"] == anaesthesia


def test_batches_come_from_words_or_are_codes_of_experimenters(
    nwb_files: ModuleType, traces: np.ndarray, tmp_path: Path
) -> None:
    given: dict[str, dict[str, Any]] = {
        "m1": {"general__subject__description": "From litter B7, bred in house."},
        "m2": {"general__experimenter": np.array(["Doe, Jane"], dtype=h5py.string_dtype())},
        "m3": {"general__experimenter": np.array(["doe,  jane"], dtype=h5py.string_dtype())},
        "m4": {},
    }
    for animal, values in given.items():
        edited(nwb_files.write_nwb(tmp_path / f"{animal}.nwb", {"F": traces}, subject_id=animal), **values)
    found = measure(tmp_path, block_s=BLOCK_S).sessions
    assert found is not None
    batches = dict(zip(found["animal"], found["batch"], strict=True))
    assert (batches["m1"], batches["m4"]) == ("litter B7", "")
    assert batches["m2"] == batches["m3"]
    assert "jane" not in batches["m2"].casefold()


def test_sessions_that_are_left_out_are_there_with_the_reason(
    nwb_files: ModuleType, traces: np.ndarray, tmp_path: Path
) -> None:
    folder = tmp_path / "nwb"
    day = timedelta(days=1)
    start = datetime(2026, 3, 2, 9, tzinfo=UTC)
    nwb_files.write_nwb(
        folder / "a.nwb",
        {"F": traces},
        session_id="a",
        start_time=start,
        drugs=[nwb_files.SALINE],
        windows=None,
    )
    nwb_files.write_nwb(folder / "b.nwb", {"F": traces}, session_id="b", start_time=start + day)
    (folder / "c.nwb").write_bytes((folder / "b.nwb").read_bytes())
    (folder / "sub-m7_ses-late.nwb").write_bytes(b"no recording")
    result = measure(folder, out=tmp_path / "out" / "cells.parquet", block_s=BLOCK_S)
    found = read_sessions_table(tmp_path / "out").set_index("source")
    found.index = [Path(name).name for name in found.index]
    assert found["included"].to_dict() == {
        "a.nwb": False,
        "b.nwb": True,
        "c.nwb": False,
        "sub-m7_ses-late.nwb": False,
    }
    assert "names no analysis windows" in found.loc["a.nwb", "exclusion"]
    assert (found.loc["a.nwb", "arm"], found.loc["a.nwb", "order"]) == ("saline", 1)
    # The session that could not be measured was held: the other one came second.
    assert (found.loc["b.nwb", "order"], set(result.cells["order"])) == (2, {2})
    assert "measured" in found.loc["c.nwb", "exclusion"]
    late = found.loc["sub-m7_ses-late.nwb"]
    assert (late["animal"], late["session"], late["dataset"]) == ("m7", "late", "test-study")
    assert math.isnan(late["time_of_day_h"])
    text = read_design(read_sessions_table(tmp_path / "out")).text()
    assert "names no analysis windows" in text


def test_the_same_work_puts_the_table_back_and_other_work_is_refused(
    nwb_files: ModuleType, traces: np.ndarray, tmp_path: Path
) -> None:
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces})
    out = tmp_path / "out" / "cells.parquet"
    made = measure(path, out=out, block_s=BLOCK_S)
    before = (out.parent / SESSIONS_FILE).read_text(encoding="utf-8")
    (out.parent / SESSIONS_FILE).unlink()
    again = measure(path, out=out, block_s=BLOCK_S)
    assert (out.parent / SESSIONS_FILE).read_text(encoding="utf-8") == before
    assert made.sessions is not None
    assert again.sessions is not None
    pd.testing.assert_frame_equal(again.sessions, made.sessions)
    other = nwb_files.write_nwb(tmp_path / "b.nwb", {"F": traces}, subject_id="m2")
    with pytest.raises(ExistingOutputError, match="sessions.csv was made from other inputs"):
        measure(other, out=out.with_name("other.parquet"), block_s=BLOCK_S)
    measure(other, out=out.with_name("other.parquet"), block_s=BLOCK_S, overwrite=True)
    assert read_sessions_table(out.parent)["animal"].tolist() == ["m2"]


def test_a_drug_log_reads_back_as_it_was_and_nonsense_is_refused() -> None:
    rows = (drug(salt="hydrochloride", missing={"lot": "not recorded"}), saline(washout_days=7.0))
    assert administrations_of(administrations_text(rows)) == rows
    assert administrations_of("") == ()
    for text in (
        "{",
        '[{"timestamp_s": 1}]',
        "[" * 100_000,
        '[{"timestamp_s": 1e999, "substance": "x"}]',
        "null",
    ):
        with pytest.raises(TableError, match="cannot be read"):
            administrations_of(text)


def test_a_table_survives_the_disk_with_names_that_look_like_numbers(tmp_path: Path) -> None:
    made = table([session("01", "007", "+mk-801", 1, [drug()], batch="=1+1"), session("02", "NA", "", 1)])
    write_sessions_file(made, tmp_path)
    pd.testing.assert_frame_equal(read_sessions_table(tmp_path), made, check_exact=False, rtol=1e-9)
    write_sessions_file(None, tmp_path)
    with pytest.raises(InputFileError, match="no such table"):
        read_sessions_table(tmp_path)


def test_a_name_tells_of_a_file_that_cannot_be_read() -> None:
    found = about_name("dandi:000123@draft/sub-m1/sub-m1_ses-day2_ophys.nwb")
    assert (found.animal, found.session) == ("m1", "day2")
    assert about_name("https://host/x.nwb").session == "x"


def test_a_session_given_twice_does_not_count_twice_for_the_order() -> None:
    start = datetime(2026, 3, 2, tzinfo=UTC)
    days = [
        SessionAbout("d", "m1", f"s{i}", start + timedelta(days=i), (drug(dose=10.0 + i),)) for i in range(3)
    ]
    lost = [
        LeftOut(Source("b"), days[0], "damaged"),
        LeftOut(Source("c"), days[1], "given twice", again=True),
    ]
    kept: list[Any] = [(Source("a"), type("Facts", (), {"about": days[2]})())]
    given, rest = arms_of_all(kept, lost)
    assert [(each.arm, each.order) for each in [*given, *rest]] == [
        ("ketamine_12", 2),
        ("ketamine_10", 1),
        ("ketamine_11", 2),
    ]


def test_plain_json_of_the_table_has_no_words_for_missing_numbers() -> None:
    made = table([session("m1", "a", "ketamine", 1, [drug()], age_days=None)])
    assert math.isnan(made.loc[0, "age_days"])
    assert json.loads(made.to_json(orient="records"))[0]["age_days"] is None
