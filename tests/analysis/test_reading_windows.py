"""Analysis windows: the file's own, stated ones, and proposals from what the file knows of times."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from ophys_file import write_file

from nwbswitch.analysis.reading.outline import WindowSpan
from nwbswitch.analysis.reading.windows import named_spans, read_windows
from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.file_guard import open_hdf5
from nwbswitch.schemas.issues import Issue
from nwbswitch.schemas.overrides import Override

KETAMINE = Administration(timestamp_s=600.0, substance="ketamine")


def read(
    path: Path, *, stated=None, given=(), extent_s=(0.0, 3600.0)
) -> tuple[tuple[WindowSpan, ...], list[Issue]]:
    found: list[Issue] = []
    override = Override.model_validate({} if stated is None else {"windows": stated})
    with open_hdf5(path) as nwb:
        windows = read_windows(
            nwb, name="lab/a.nwb", override=override, administrations=given, extent_s=extent_s, found=found
        )
    return windows, found


def proposed(issue: Issue) -> list[dict]:
    (entry,) = yaml.safe_load(issue.remedy.partition("overrides:\n")[2])["sources"]
    assert entry["match"] == "a.nwb"
    return entry["windows"]


def add_intervals(path: Path, key: str, rows, column: str = "label", *, ragged: bool = False) -> None:
    with h5py.File(path, "r+") as nwb:
        table = nwb.create_group(f"intervals/{key}")
        table.attrs.update(neurodata_type="TimeIntervals", colnames=["start_time", "stop_time", column])
        table["id"] = np.arange(len(rows))
        table["start_time"] = [row[1] for row in rows]
        table["stop_time"] = [row[2] for row in rows]
        if column:
            words = [word for row in rows for word in row[0]] if ragged else [row[0] for row in rows]
            table[column] = words
        if ragged:
            table[f"{column}_index"] = np.cumsum([len(row[0]) for row in rows])


def test_our_own_table_in_order_of_time(tmp_path):
    path = write_file(tmp_path / "a.nwb", windows=[("drug", 30, 50), ("baseline", 0, 20)])
    windows, found = read(path)
    assert windows == (WindowSpan("baseline", 0, 20), WindowSpan("drug", 30, 50))
    assert found == []


@pytest.mark.parametrize(
    ("row", "code", "words"),
    [
        (("basline", 0, 20), "unknown-word", "Did you mean 'baseline'"),
        (("baseline", 20, 0), "wrong-value", "from 20.0 to 0.0"),
        (("baseline", 0, np.nan), "wrong-value", "nan"),
    ],
)
def test_our_own_table_with_a_mistake_gives_none(tmp_path, row, code, words):
    windows, (issue,) = read(write_file(tmp_path / "a.nwb", windows=[row, ("drug", 30, 50)]))
    assert windows == ()
    assert issue.code == code
    assert words in issue.message + issue.remedy


def test_stated_windows_count_from_the_session_or_the_administration(tmp_path):
    path = write_file(tmp_path / "a.nwb")
    stated = [
        {"window": "drug", "start_s": 60, "stop_s": 660, "relative_to": "administration"},
        {"window": "baseline", "start_s": 0, "stop_s": 500},
    ]
    windows, found = read(path, stated=stated, given=[KETAMINE])
    assert windows == (WindowSpan("baseline", 0, 500), WindowSpan("drug", 660, 1260))
    assert found == []


@pytest.mark.parametrize(
    "given",
    [(), (Administration(timestamp_s=0.0, substance="ketamine", missing={"timestamp_s": "not recorded"}),)],
)
def test_windows_from_an_administration_of_unknown_time_are_asked_about(tmp_path, given):
    stated = [{"window": "drug", "start_s": 60, "stop_s": 660, "relative_to": "administration"}]
    windows, (issue,) = read(write_file(tmp_path / "a.nwb"), stated=stated, given=given)
    assert windows == ()
    assert issue.code == "no-epochs"
    assert "timestamp_s: FILL IN" in issue.remedy


def test_without_windows_those_around_the_administration_are_proposed(tmp_path):
    windows, (issue,) = read(write_file(tmp_path / "a.nwb", windows=()), given=[KETAMINE])
    assert windows == ()
    assert (issue.code, issue.severity) == ("no-epochs", "error")
    assert "0 to 3600 s" in issue.message
    assert "Ketamine at 600 s" in issue.message
    assert proposed(issue) == [
        {"window": "baseline", "start_s": 0.0, "stop_s": 600.0},
        {"window": "drug", "start_s": 600.0, "stop_s": 3600.0},
    ]


def test_what_nobody_knows_is_left_to_be_filled_in(tmp_path):
    _, (issue,) = read(write_file(tmp_path / "a.nwb", windows=()), extent_s=None)
    assert {window["stop_s"] for window in proposed(issue)} == {"FILL IN"}
    late = Administration(timestamp_s=9999.0, substance="ketamine")
    _, (issue,) = read(write_file(tmp_path / "a.nwb", windows=()), given=[late])
    assert proposed(issue)[0] == {"window": "baseline", "start_s": 0.0, "stop_s": "FILL IN"}


def test_tables_of_other_labs_are_proposed_and_never_used(tmp_path):
    path = write_file(tmp_path / "a.nwb", windows=())
    rows = [("Baseline", 10.0, 500.0), ("post-injection", 620.0, 1800.0), ("washout", 1900.0, 3000.0)]
    add_intervals(path, "epochs", [([word], a, b) for word, a, b in rows], "tags", ragged=True)
    windows, (issue,) = read(path, given=[KETAMINE])
    assert windows == ()
    assert "epochs/post-injection 620 to 1800 s" in issue.message
    assert proposed(issue) == [
        {"window": "baseline", "start_s": 10.0, "stop_s": 500.0},
        {"window": "drug", "start_s": 620.0, "stop_s": 1800.0},
        {"window": "washout", "start_s": 1900.0, "stop_s": 3000.0},
    ]


def test_two_spans_that_could_be_the_drug_are_not_chosen_between(tmp_path):
    path = write_file(tmp_path / "a.nwb", windows=())
    rows = [("baseline", 0.0, 500.0), ("post 1", 600.0, 900.0), ("post 2", 900.0, 1800.0)]
    add_intervals(path, "blocks", rows)
    _, (issue,) = read(path)
    assert [window["stop_s"] for window in proposed(issue)] == ["FILL IN", 3600.0]


def test_rows_of_one_label_are_one_span_and_trials_are_none(tmp_path):
    path = write_file(tmp_path / "a.nwb", windows=())
    add_intervals(
        path, "phases", [("pre", 0.0, 10.0), ("post", 20.0, 30.0), ("pre", 12.0, 15.0)], "condition"
    )
    add_intervals(path, "trials", [("pre", 0.0, 10.0)], "condition")
    add_intervals(path, "injection", [("", 600.0, 601.0)], "")
    with open_hdf5(path) as nwb:
        spans = {
            (each.table, each.label): (each.start_s, each.stop_s, each.n_rows) for each in named_spans(nwb)
        }
    assert spans == {
        ("phases", "pre"): (0.0, 15.0, 2),
        ("phases", "post"): (20.0, 30.0, 1),
        ("injection", "injection"): (600.0, 601.0, 1),
    }


@pytest.mark.parametrize(
    ("rows", "code", "words"),
    [
        ([("baseline", 0, 20), ("baseline", 0, 20), ("drug", 30, 50)], "epochs-overlap", "count twice"),
        ([("baseline", 0, 20), ("baseline", 19, 25), ("drug", 30, 50)], "epochs-overlap", "19 to 25"),
        ([("baseline", 0, 31), ("drug", 30, 50)], "epochs-overlap", "baseline from 0 to 31 s and drug"),
        ([("baseline", 0, 20), ("drug", 30, 50), ("pseudo_drug", 40, 60)], "epochs-overlap", "pseudo_drug"),
        ([("baseline", 0, 20), ("drug", 30, 1e12)], "wrong-value", "longer than 30 days"),
        ([("baseline", -1e300, 1e300), ("drug", 1e301, 1e302)], "wrong-value", "longer than 30 days"),
        ([("baseline", n, n + 0.5) for n in range(1001)], "wrong-value", "1001 analysis windows"),
    ],
)
@pytest.mark.parametrize("stated", [False, True])
def test_windows_that_cannot_be_compared_give_none(tmp_path, rows, code, words, stated):
    own = [{"window": name, "start_s": start_s, "stop_s": stop_s} for name, start_s, stop_s in rows]
    path = write_file(tmp_path / "a.nwb", windows=None if stated else rows)
    windows, found = read(path, stated=own if stated else None)
    assert windows == ()
    assert {each.code for each in found} == {code}
    assert words in found[0].message


def test_parts_of_a_window_and_pseudo_windows_in_the_baseline_are_as_they_should_be(tmp_path):
    rows = [("baseline", 0, 20), ("baseline", 20, 25), ("pseudo_baseline", 0, 9), ("pseudo_drug", 9, 20)]
    windows, found = read(write_file(tmp_path / "a.nwb", windows=[*rows, ("drug", 30, 50)]))
    assert len(windows) == 5
    assert found == []
