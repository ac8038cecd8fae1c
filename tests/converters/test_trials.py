"""Trials, stimuli, Bpod and MED-PC: times, columns, and words for what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from behavior_cases import bpod, medpc, stimuli, trials
from pynwb import NWBFile

from nwbswitch.converters.behavior.bpod import BpodInterface
from nwbswitch.converters.behavior.medpc import MedPcInterface
from nwbswitch.converters.behavior.medpc_file import read_medpc
from nwbswitch.converters.behavior.trials import StimuliInterface, TrialsInterface
from nwbswitch.converters.clocks.clock_map import ClockMap
from nwbswitch.schemas.errors import InputFileError, TableError


def added(interface: Any) -> NWBFile:
    nwbfile = NWBFile("test", "id", datetime(2024, 5, 1, 10, tzinfo=UTC))
    interface.add_to_nwbfile(nwbfile)
    return nwbfile


def table(folder: Path, text: str) -> Path:
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return folder / "t.csv"


def test_trials_keep_their_columns_with_types(tmp_path: Path) -> None:
    path = table(tmp_path, "start,stop,n,ok,side,tags\n4,5,2,true,left,a\n1,2,,false,,b\n")
    found = added(TrialsInterface(file_path=path, start_column="start", stop_column="stop")).trials
    rows = found.to_dataframe()
    assert rows["start_time"].tolist() == [1.0, 4.0]
    assert rows["n"].tolist()[1] == 2.0
    assert np.isnan(rows["n"].tolist()[0])
    assert rows["ok"].tolist() == [False, True]
    assert rows["side"].tolist() == ["", "left"]
    assert rows["tags_"].tolist() == ["b", "a"]


def test_chosen_columns_have_units_and_names(tmp_path: Path) -> None:
    path = table(tmp_path, "t_ms,dur,p,x\n1000,0.5,3,9\n")
    interface = TrialsInterface(
        file_path=path,
        start_column="t_ms",
        duration_s=0.5,
        time_scale=0.001,
        columns=[{"column": "p", "name": "pressure", "unit": "kPa", "description": "Pressure of the puff."}],
    )
    found = added(interface).trials
    assert found.colnames == ("start_time", "stop_time", "pressure")
    assert found["pressure"].description == "Pressure of the puff. Unit: kPa."
    assert found["stop_time"][:].tolist() == [1.5]


def test_a_clock_moves_starts_and_ends(tmp_path: Path) -> None:
    interface = TrialsInterface(**trials(tmp_path))
    interface.align(ClockMap(10.0, 0.5))
    rows = added(interface).trials.to_dataframe()
    assert rows["start_time"].tolist()[:2] == [10.0, 16.0]
    assert rows["stop_time"].tolist()[:2] == [14.5, 20.5]
    interface.set_aligned_starting_time(1.0)
    assert added(interface).trials["stop_time"][0] == 15.5


def test_stimuli_say_what_was_given(tmp_path: Path) -> None:
    found = added(StimuliInterface(**stimuli(tmp_path), metadata_key="puffs")).intervals["puffs"]
    assert found["stimulus"][0] == "air puff"
    assert found["response"][7] == 1.0
    path = table(tmp_path, "on,what\n1,whisker left\n2,tone\n")
    interface = StimuliInterface(
        file_path=path, start_column="on", duration_s=0.1, stimulus_column="what", columns=[]
    )
    assert list(added(interface).intervals["stimuli"]["stimulus"][:]) == ["whisker left", "tone"]


def test_two_tables_of_trials_stand_side_by_side(tmp_path: Path) -> None:
    nwbfile = added(TrialsInterface(**trials(tmp_path)))
    TrialsInterface(**trials(tmp_path), metadata_key="probe").add_to_nwbfile(nwbfile)
    assert len(nwbfile.trials) == len(nwbfile.intervals["probe"]) == 120


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("strt,stop\n1,2\n", "Did you mean 'strt'"),
        ("start,stop\nx,2\n", r"t\.csv:2.*not a number"),
        ("start,stop\n3,2\n", r"t\.csv:2.*before it starts"),
        ("start,stop\n", "no rows"),
    ],
)
def test_what_is_wrong_in_a_table_is_found_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises((TableError, InputFileError), match=words):
        TrialsInterface(file_path=table(tmp_path, text), start_column="start", stop_column="stop")


def test_bpod_states_and_events_are_in_session_time(tmp_path: Path) -> None:
    interface = BpodInterface(**bpod(tmp_path))
    interface.align(ClockMap(100.0))
    nwbfile = added(interface)
    assert len(nwbfile.trials) == 120
    states = nwbfile.intervals["bpod_states"].to_dataframe()
    assert set(states["state"]) == {"wait", "reward"}
    second = states[states["trial"] == 2]
    assert second["start_time"].tolist() == [105.0, 106.0]
    events = nwbfile.events["bpod_events"].to_dataframe()
    assert events["timestamp"].tolist()[:3] == [100.5, 101.1, 105.5]


def test_bpod_of_matlab(tmp_path: Path) -> None:
    trial = {"States": {"wait": [0.0, 1.0], "off": [np.nan, np.nan]}, "Events": {"Port1In": [0.5, 0.7]}}
    session = {
        "nTrials": 2,
        "TrialStartTimestamp": [0.0, 10.0],
        "TrialEndTimestamp": [3.0, 13.0],
        "TrialTypes": [1, 2],
        "RawEvents": {"Trial": np.array([trial, trial], dtype=object)},
    }
    scipy.io.savemat(tmp_path / "b.mat", {"SessionData": session})
    nwbfile = added(BpodInterface(file_path=tmp_path / "b.mat"))
    rows = nwbfile.trials.to_dataframe()
    assert rows["trial_type"].tolist() == [1.0, 2.0]
    assert rows["stop_time"].tolist() == [3.0, 13.0]
    assert nwbfile.intervals["bpod_states"]["start_time"][:].tolist() == [0.0, 10.0]


@pytest.mark.parametrize("text", ["{}\n", "[\n", '{"behavior_data": 3}\n', "", "[" * 100_000])
def test_what_bpod_did_not_write_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.jsonable").write_text(text, encoding="utf-8")
    with pytest.raises((TableError, InputFileError), match=r"x\.jsonable"):
        BpodInterface(file_path=tmp_path / "x.jsonable")


def test_real_bpod_sessions(shared: Path) -> None:
    root = shared / "data/ibl_bpod_wheel"
    for name in ("session_training_ge5", "session_training_lt5"):
        nwbfile = added(
            BpodInterface(file_path=root / name / "raw_behavior_data/_iblrig_taskData.raw.jsonable")
        )
        rows = nwbfile.trials.to_dataframe()
        assert (rows["stop_time"] > rows["start_time"]).all()
        states = nwbfile.intervals["bpod_states"].to_dataframe()
        assert {"closed_loop", "trial_start"} <= set(states["state"])


def test_real_table_of_trials(shared: Path) -> None:
    path = shared / "data/ibl_bpod_wheel/brainbox/tests/fixtures/trials_df_test.csv"
    rows = added(
        TrialsInterface(file_path=path, start_column="stimOn_times", stop_column="feedback_times")
    ).trials.to_dataframe()
    assert rows["start_time"].is_monotonic_increasing
    assert set(rows["choice"]) <= {-1.0, 0.0, 1.0}


def test_medpc_takes_the_stated_animal_only(tmp_path: Path) -> None:
    source = medpc(tmp_path)
    events = added(MedPcInterface(**source)).events["medpc"].to_dataframe()
    assert events["timestamp"].tolist() == [58.0 + index for index in range(10)]
    assert set(events["event"]) == {"lick"}
    with pytest.raises(InputFileError, match=r"holds 2 recordings.*Pick one by Subject: '56', '58'"):
        MedPcInterface(**{**source, "select": {}})
    with pytest.raises(InputFileError, match="0 of them"):
        MedPcInterface(**{**source, "select": {"Subject": "99"}})
    with pytest.raises(InputFileError, match="Did you mean 'Subject'"):
        MedPcInterface(**{**source, "select": {"Subjct": "58"}})
    with pytest.raises(InputFileError, match="no array 'H'"):
        MedPcInterface(**{**source, "events": {"H": "lick"}})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("     5:", "     6:"), "follows 5 values"),
        (("58.000", "58.x00"), "are no numbers"),
        (("Start Date:", "Begin:"), "no line 'Start Date:'"),
        (("MSN: lick", "???"), "is not MED-PC's"),
    ],
)
def test_damaged_medpc_files_are_refused(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    path = Path(medpc(tmp_path)["file_path"])
    path.write_text(path.read_text(encoding="latin-1").replace(*change), encoding="latin-1")
    with pytest.raises((InputFileError, TableError), match=words):
        read_medpc(path)


def test_real_medpc_file_of_nine_animals(shared: Path) -> None:
    path = shared / "data/medpc_med2excel/data"
    with pytest.raises(InputFileError, match=r"holds 9 recordings.*Pick one by Subject"):
        MedPcInterface(file_path=path, events={"G": "lick_onset", "H": "lick_offset"})
    interface = MedPcInterface(
        file_path=path, events={"G": "lick_onset", "H": "lick_offset"}, select={"Subject": "58"}
    )
    events = added(interface).events["medpc"].to_dataframe()
    assert events["timestamp"].is_monotonic_increasing
    assert interface.recording.header["Box"]


def test_whole_numbers_stay_whole_and_codes_stay_codes(tmp_path: Path) -> None:
    path = table(tmp_path, "start,stop,n,code,x,.\n1,2,5,007,1.5,a\n3,4,-6,012,2,b\n")
    found = added(TrialsInterface(file_path=path, start_column="start", stop_column="stop")).trials
    assert found["n"].data.dtype.kind == "i"
    assert found["n"].data.tolist() == [5, -6]
    assert found["x"].data.tolist() == [1.5, 2.0]
    assert found["code"].data == ["007", "012"]
    assert found["._"].data == ["a", "b"]


@pytest.mark.parametrize(
    ("header", "columns", "words"),
    [
        ("start,stop,x,x", None, "'x' is there twice"),
        ("start,stop,a/b,a:b", None, "called 'a_b'"),
        ("start,stop,id,id_", None, "called 'id_'"),
        ("start,stop,a,b", [{"column": "a", "name": "q"}, {"column": "b", "name": "q"}], "called 'q'"),
    ],
)
def test_two_columns_of_one_name_are_refused(
    tmp_path: Path, header: str, columns: list[dict[str, str]] | None, words: str
) -> None:
    path = table(tmp_path, f"{header}\n1,2,3,4\n")
    with pytest.raises(TableError, match=words):
        TrialsInterface(file_path=path, start_column="start", stop_column="stop", columns=columns)


def test_the_column_of_stimuli_may_have_any_name_and_neighbours(tmp_path: Path) -> None:
    path = table(tmp_path, "t,kind,stimulus\n1,puff,3\n")
    named = [{"column": "kind", "name": "what"}, {"column": "stimulus"}]
    for columns in (None, named):
        interface = StimuliInterface(
            file_path=path, start_column="t", duration_s=1, stimulus_column="kind", columns=columns
        )
        found = added(interface).intervals["stimuli"]
        assert list(found["stimulus"].data) == ["puff"]
        assert list(found["stimulus_"].data) == [3]


LINE = (
    '{"behavior_data": {"Trial start timestamp": %s, "Trial end timestamp": %s, '
    '"States timestamps": %s, "Events timestamps": {"Port1In": [0.5]}}}\n'
)
STATES = '{"wait": [[0, 1.5]]}'


@pytest.mark.parametrize(
    "line",
    [
        LINE % ("NaN", "3", STATES),
        LINE % ("5", "2", STATES),
        LINE % ("0", "9" * 400, STATES),
        LINE % ("0", "9" * 5000, STATES),
        LINE % ("0", "1", "null"),
        LINE % ("0", "1", "[1, 2]"),
        LINE % ("0", "1", '{"wait": [[1, 2], [3]]}'),
        LINE % ("5", "6", STATES) + LINE % ("1", "2", STATES),
        "[" * 100_000,
    ],
)
def test_lines_that_no_trial_has_are_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "b.jsonable").write_text(line, encoding="utf-8")
    with pytest.raises((TableError, InputFileError)):
        BpodInterface(file_path=tmp_path / "b.jsonable")


def test_the_last_trial_of_a_stopped_recording_ends_with_what_happened(tmp_path: Path) -> None:
    (tmp_path / "b.jsonable").write_text(LINE % ("2", "NaN", STATES), encoding="utf-8")
    assert BpodInterface(file_path=tmp_path / "b.jsonable").stops.tolist() == [3.5]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("G:\n     0: 1 inf\n", "no numbers"),
        ("G:\n     0: 1 1e999\n", "no numbers"),
        ("G:\n     0: nan\n", "no numbers"),
        ("G: 1\nG: 2\n", "there twice"),
        (f"G:\n  {'9' * 5000}: 1\n", "follows 0 values"),
    ],
)
def test_numbers_that_medpc_does_not_write_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "m.txt").write_text(f"Start Date: 01/23/20\n{text}", encoding="latin-1")
    with pytest.raises(TableError, match=words):
        MedPcInterface(file_path=tmp_path / "m.txt", events={"G": "lick"})


def test_long_medpc_arrays_are_read_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    array = np.array
    monkeypatch.setattr(np, "array", lambda *given, **named: made.append(1) or array(*given, **named))
    rows = "".join(f"{index:6d}: {index}\n" for index in range(5000))
    (tmp_path / "m.txt").write_text(f"Start Date: 01/23/20\nG:\n{rows}", encoding="latin-1")
    assert len(read_medpc(tmp_path / "m.txt")[0].arrays["G"]) == 5000
    assert len(made) == 1
