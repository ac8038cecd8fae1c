"""Runs of a plan: from recordings to record, stopped and gone on with, repeated, refused, blinded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from unit_study import write_study

from nwbswitch.analysis.runs.blinding_key import read_key
from nwbswitch.analysis.runs.freezing import freeze
from nwbswitch.analysis.runs.run import run
from nwbswitch.analysis.runs.run_result import RunResult
from nwbswitch.schemas.errors import (
    ExistingOutputError,
    InputFileError,
    IssuesError,
    NwbswitchError,
    StudyError,
)
from nwbswitch.schemas.worlds import World

ONE = """
name: one study
sources: nwb
switch: {draws: 5}
models:
  - {name: rates, formula: "sqrt_rate ~ arm * window + (1 | animal) + (1 | session)"}
robustness: {threshold_sd: [], neuropil_coefficient: [], window_s: [150]}
seed: 3
"""
SEVERAL = """
name: three labs
datasets:
  - {name: one, sources: "nwb/*.nwb", lab: A}
  - {name: two, sources: nwb, lab: B}
  - {name: three, sources: three, lab: B}
switch: {draws: 5, arm: ketamine}
time_courses: null
meta: {estimands: [M, SW]}
candidates: found.csv
published: [{label: Somebody 2020, down_pct: 46, up_pct: 41, window_s: 120}]
seed: 3
"""
SMALL = """
name: small
sources: nwb
switch: {draws: 2}
time_courses: null
seed: 3
"""
NEURONS = 15
TABLE = """
name: a table
models:
  - name: change
    question: Does it change?
    table: table.csv
    formula: (post - pre) / pre ~ arm + (1 | animal)
    change: {before: pre, after: post}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_study(folder / "nwb", animals=6, seed=1, neurons=NEURONS)
    (folder / "analysis.yaml").write_text(ONE, encoding="utf-8")
    return folder


@pytest.fixture
def no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages take longer than all else, and have tests of their own."""
    monkeypatch.setattr("nwbswitch.analysis.reporting.report.report", lambda folder, out, **options: out)


@pytest.fixture(scope="module")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("small") / "nwb", animals=2, seed=1, neurons=6)


@pytest.fixture
def small(small_files: Path, tmp_path: Path) -> Path:
    shutil.copytree(small_files, tmp_path / "nwb")
    (tmp_path / "analysis.yaml").write_text(SMALL, encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def finished(study: Path) -> RunResult:
    freeze(study / "analysis.yaml")
    return run(study / "analysis.yaml", study / "results")


def test_a_run_gives_tables_report_and_record(finished: RunResult) -> None:
    made = {path.relative_to(finished.out).as_posix() for path in finished.out.rglob("*") if path.is_file()}
    assert {
        "cells.parquet", "sessions.csv", "estimates.csv", "result.json", "rates.parquet", "time_courses.csv",
        "course_features.csv", "specifications.csv", "fit.json", "meta.json", "plan.json", "record.json",
        "report.html",
    } <= made  # fmt: skip
    assert finished.ok
    result = json.loads((finished.out / "result.json").read_text())
    assert result["arms"]["ketamine"]["verdict"] == "switch"
    assert result["plan"]["status"] == "frozen"
    assert "switch" in finished.summary()
    assert finished.status.sentence in finished.summary()
    page = (finished.out / "report.html").read_text()
    assert "frozen" in page
    assert set(pd.read_csv(finished.out / "specifications.csv")["window_s"]) == {0, 150}


def test_the_record_names_every_input_and_no_path_of_this_machine(finished: RunResult, study: Path) -> None:
    text = (finished.out / "record.json").read_text()
    record = json.loads(text)
    assert len(record["sources"]) == 12
    assert {each["name"] for each in record["sources"]} >= {"sub-m1_ses-1.nwb"}
    assert all(len(each["digest"]) >= 64 for each in record["sources"])
    assert str(study) not in text
    assert record["base"] == ".."
    assert record["seed"] == 3
    assert {"estimates.csv", "time_courses.csv", "fit.json"} <= set(record["outputs"])


def test_the_same_command_again_leaves_everything(finished: RunResult, study: Path) -> None:
    kept = [each for each in finished.out.iterdir() if each.suffix in (".csv", ".parquet", ".html")]
    before = {each.name: each.stat().st_mtime_ns for each in kept}
    again = run(study / "analysis.yaml", study / "results")
    assert {each.name: each.stat().st_mtime_ns for each in kept} == before
    assert again.record["outputs"] == finished.record["outputs"]


@pytest.mark.usefixtures("no_pages")
def test_a_repeat_gives_the_same_numbers(finished: RunResult, study: Path) -> None:
    again = run(repeat=finished.out / "record.json", out=study / "again")
    assert again.comparison is not None
    assert again.comparison.same
    assert again.comparison.inputs == ()
    assert again.ok
    assert "same numbers" in again.summary()
    assert again.status.status == "frozen"


@pytest.mark.usefixtures("no_pages")
def test_a_changed_input_is_pointed_out(small: Path) -> None:
    run(small / "analysis.yaml", small / "results")
    write_study(small / "other", animals=1, seed=9, neurons=6)
    shutil.copy(small / "other/sub-m1_ses-1.nwb", small / "nwb/sub-m1_ses-1.nwb")
    (small / "nwb/sub-m2_ses-2.nwb").unlink()
    again = run(repeat=small / "results/record.json", out=small / "again")
    assert again.comparison is not None
    assert not again.comparison.same
    assert not again.ok
    assert again.comparison.inputs == (
        "small/sub-m1_ses-1.nwb has other content than recorded",
        "small/sub-m2_ses-2.nwb is not there any more",
    )
    assert any(each.startswith("estimates.csv") for each in again.comparison.numbers)


@pytest.mark.usefixtures("no_pages")
def test_results_whose_recordings_are_gone_stay_as_they_are(small: Path) -> None:
    run(small / "analysis.yaml", small / "results")
    there = {path: path.read_bytes() for path in (small / "results").rglob("*") if path.is_file()}
    (small / "nwb").rename(small / "elsewhere")
    with pytest.raises(IssuesError, match="no such file or folder"):
        run(small / "analysis.yaml", small / "results")
    assert {path: path.read_bytes() for path in (small / "results").rglob("*") if path.is_file()} == there


@pytest.mark.usefixtures("no_pages")
def test_an_arm_that_nobody_received_is_told(small: Path) -> None:
    plan = SMALL.replace("draws: 2", "draws: 2, arm: ketamin")
    (small / "analysis.yaml").write_text(plan, encoding="utf-8")
    result = run(small / "analysis.yaml", small / "results")
    assert not result.ok
    assert "no arm 'ketamin'" in str(result.issues[-1])
    assert "Did you mean 'ketamine'?" in str(result.issues[-1])


@pytest.mark.usefixtures("no_pages")
def test_nothing_of_an_earlier_plan_is_left(small: Path) -> None:
    first = SMALL.replace("time_courses: null\n", "") + (
        "robustness: {threshold_sd: [], neuropil_coefficient: [], window_s: [150]}\n"
        'models: [{name: a, formula: "sqrt_rate ~ window + (1 | animal)", ddf: none},\n'
        '         {name: b, formula: "sqrt_rate ~ 1 + (1 | animal)", ddf: none}]\n'
    )
    (small / "analysis.yaml").write_text(first, encoding="utf-8")
    result = run(small / "analysis.yaml", small / "results")
    assert {"specifications.csv", "time_courses.csv", "fit.json", "models/b.json"} <= set(
        result.record["outputs"]
    )
    measured = (small / "results/cells.parquet").stat().st_mtime_ns
    (small / "results/notes.txt").write_text("mine")
    (small / "analysis.yaml").write_text(SMALL + "meta: null\n", encoding="utf-8")
    result = run(small / "analysis.yaml", small / "results", overwrite=True)
    assert set(result.record["outputs"]) == {"design.json", "estimates.csv", "result.json", "sessions.csv"}
    assert (small / "results/cells.parquet").stat().st_mtime_ns == measured
    assert (small / "results/notes.txt").exists()


@pytest.mark.usefixtures("no_pages")
def test_blinded_records_keys_and_tables(small: Path) -> None:
    for path in list((small / "nwb").iterdir()):
        path.rename(path.with_stem(path.stem + "_ketamine-or-saline"))
    plan = SMALL.replace("sources: nwb", "datasets: [{name: a lab, sources: nwb}, {name: b, sources: none}]")
    plan += 'models: [{name: own, table: t.csv, formula: "x ~ arm + (1 | animal)"}]\n'
    (small / "analysis.yaml").write_text(plan, encoding="utf-8")
    (small / "t.csv").write_text("animal,arm,x\nm1,ketamine,1\nm2,saline,2\n")
    result = run(small / "analysis.yaml", small / "look", blind=True)
    assert "ketamine" not in json.dumps(result.record["sources"]) + json.dumps(result.record["inputs"])
    assert set(read_key(small / "look.a lab.key.json").arms.values()) == {"ketamine", "saline"}
    assert not list((small / "look").rglob("*key.json"))
    assert "nothing codes the arms" in result.models[0].text
    assert not (small / "look/models").exists()
    held = json.loads((small / "look/replication.json").read_text())
    assert held["datasets"][0]["reasons"] == ["its arms are coded in this blinded run"]
    folder = small / "look/datasets/a lab"
    for name in ("cells.parquet", "rates.parquet"):
        assert set(pd.read_parquet(folder / name)["arm"]) == {"arm A", "arm B"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed: 3", 'seed: 3\nmodels: [{name: m, formula: "y ~ ("}, {name: n, formula: y}]', "model n"),
        ("seed: 3", "seed: 3\ncandidates: gone.csv", "gone.csv"),
        ("seed: 3", "seed: 3\noverrides: gone.yaml", "names it as overrides"),
    ],
)
def test_a_mistake_is_told_before_anything_is_measured(small: Path, old: str, new: str, words: str) -> None:
    (small / "analysis.yaml").write_text(SMALL.replace(old, new), encoding="utf-8")
    with pytest.raises(NwbswitchError, match=words):
        run(small / "analysis.yaml", small / "results")
    assert not (small / "results").exists()


def test_results_of_another_plan_are_refused_with_what_differs(finished: RunResult, study: Path) -> None:
    other = study / "other.yaml"
    other.write_text(ONE.replace("seed: 3", "seed: 4"), encoding="utf-8")
    with pytest.raises(ExistingOutputError, match="plan.seed: 3 before, 4 now"):
        run(other, study / "results")
    assert json.loads((finished.out / "plan.json").read_text())["plan"]["seed"] == 3


def test_a_plan_that_changed_since_says_so(small: Path) -> None:
    freeze(small / "analysis.yaml")
    (small / "analysis.yaml").write_text(SMALL + "meta: null\n", encoding="utf-8")
    result = run(small / "analysis.yaml", small / "results")
    assert result.status.status == "changed"
    assert any(each.startswith("meta") for each in result.status.changes)
    assert "changed since it was frozen" in result.summary()
    assert "changed since" in (small / "results/report.html").read_text()


def test_blinded_results_do_not_tell_the_arms(study: Path) -> None:
    result = run(study / "analysis.yaml", study / "look", blind=True)
    folder = study / "look"
    read = [folder / name for name in ("result.json", "estimates.csv", "report.html", "sessions.csv")]
    for path in read:
        text = path.read_text().replace("reported for ketamine (Cichon", "reported (Cichon")
        assert "ketamine" not in text, path.name
        assert "saline" not in text.replace("saline of the same study", ""), path.name
    held = json.loads(read[0].read_text())
    assert set(held["arms"]) == {"arm A", "arm B"}
    assert held["reference"] is None
    key = read_key(study / "look.key.json")
    words = {key.arms[code]: arm["verdict"] for code, arm in held["arms"].items()}
    assert words == {"ketamine": "switch", "saline": "stable"}
    assert "ketamine" not in result.summary()
    with pytest.raises(InputFileError, match="blinded run"):
        run(repeat=folder / "record.json", out=study / "look again")


def test_several_data_sets_say_whether_they_agree(study: Path) -> None:
    write_study(study / "three", animals=6, seed=3, world=World.RESHUFFLE, neurons=NEURONS)
    (study / "found.csv").write_text(
        "dandiset,estimable,why_not_words,subject\n"
        "000001,False,no drug window,a\n000001,False,no drug window,b\n"
    )
    (study / "several.yaml").write_text(SEVERAL, encoding="utf-8")
    result = run(study / "several.yaml", study / "several")
    sentence = result.sentences[""]
    assert sentence.startswith("The data sets differ: ")
    assert "reshuffle in 1" in sentence
    assert "4 data sets found, 3 eligible with 18 animals" in sentence
    assert "a new data set is expected between" in sentence
    held = json.loads((study / "several/replication.json").read_text())
    assert held["sentence"] == sentence
    assert [each["dataset"] for each in held["datasets"]] == ["one", "two", "three", "000001"]
    assert held["datasets"][-1]["reasons"] == ["no drug window (2 recordings)"]
    assert held["prediction"]["low"] < held["prediction"]["high"]
    assert held["published"][0]["compatible_worlds"][0].startswith("switch")
    assert (study / "several/datasets/one/report.html").exists()
    page = (study / "several/report.html").read_text()
    assert "The data sets differ" in page


@pytest.mark.usefixtures("no_pages")
def test_one_eligible_data_set_cannot_tell_whether_it_replicates(study: Path) -> None:
    write_study(study / "few", animals=3, seed=4, neurons=5)
    plan = SEVERAL.replace("  - {name: two, sources: nwb, lab: B}\n", "").replace(
        "sources: three", "sources: few"
    )
    (study / "one_eligible.yaml").write_text(plan.replace("candidates: found.csv\n", ""), encoding="utf-8")
    result = run(study / "one_eligible.yaml", study / "one_eligible")
    assert result.sentences[""].startswith("Whether this replicates cannot be judged from these data")
    held = json.loads((study / "one_eligible/replication.json").read_text())
    assert held["datasets"][1]["reasons"] == ["3 animals only, which is too few for a verdict"]
    assert held["pooled"] == {}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [
        (
            f"m{animal}",
            "drug" if animal < 4 else "saline",
            1 + 0.1 * row,
            1.2 + 0.1 * ((row * 7 + animal) % 5),
        )
        for animal in range(8)
        for row in range(6)
    ]
    frame = pd.DataFrame(rows, columns=["animal", "arm", "pre", "post"])
    frame.to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "analysis.yaml").write_text(TABLE, encoding="utf-8")
    return tmp_path


def test_models_of_a_table_need_no_recordings(table: Path) -> None:
    result = run(table / "analysis.yaml", table / "out")
    assert result.ok
    (answer,) = result.models
    assert "Regression to the mean" in answer.text
    held = json.loads((table / "out/models/change.json").read_text())
    assert held["change"]["n_rows"] == 48
    assert held["fixed"]
    assert result.report is not None
    assert "Does it change?" in result.report.read_text()


def test_a_table_that_changed_is_pointed_out(table: Path) -> None:
    run(table / "analysis.yaml", table / "out")
    text = (table / "table.csv").read_text().replace("1.2,", "1.25,", 1)
    (table / "table.csv").write_text(text.replace("m1,drug,1.0,", "m1,drug,1.01,"))
    again = run(repeat=table / "out/record.json", out=table / "again")
    assert again.comparison is not None
    assert again.comparison.inputs == ("table.csv has other content than recorded",)
    assert any("numbers, by" in each for each in again.comparison.numbers)


def test_a_model_that_cannot_be_fitted_is_told_and_the_others_are_there(table: Path) -> None:
    text = TABLE + '  - {name: wrong, table: table.csv, formula: "nothing ~ arm + (1 | animal)"}\n'
    (table / "analysis.yaml").write_text(text, encoding="utf-8")
    result = run(table / "analysis.yaml", table / "out")
    assert not result.ok
    assert "no column" in result.models[1].problem
    assert result.models[0].text
    assert not (table / "out/models/wrong.json").exists()


def test_a_change_must_be_the_response(table: Path) -> None:
    (table / "analysis.yaml").write_text(TABLE.replace("(post - pre) / pre", "post - pre"), encoding="utf-8")
    result = run(table / "analysis.yaml", table / "out")
    assert "the response is not (post - pre) / pre" in result.models[0].problem


@pytest.mark.parametrize("record", ["", "{}", '{"command": "run"}', "[" * 100_000, '{"command": "fit"}'])
def test_what_is_no_record_is_refused(table: Path, record: str) -> None:
    path = table / "record.json"
    path.write_text(record, encoding="utf-8")
    with pytest.raises(InputFileError, match="no record of a run"):
        run(repeat=path, out=table / "again")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sources", [{"name": 5, "digest": None, "dataset": [1]}]),
        ("sources", [1]),
        ("outputs", {"result.json": {"a": 1}}),
        ("parameters", {"plan": 1}),
    ],
)
def test_a_damaged_record_is_refused_before_any_work(table: Path, name: str, value: object) -> None:
    record = dict(run(table / "analysis.yaml", table / "out").record)
    (table / "out/record.json").write_text(json.dumps({**record, name: value}), encoding="utf-8")
    with pytest.raises(InputFileError, match="no record of a run"):
        run(repeat=table / "out/record.json", out=table / "again")
    assert not (table / "again").exists()


def test_a_record_that_was_edited_is_not_called_frozen(table: Path) -> None:
    freeze(table / "analysis.yaml")
    run(table / "analysis.yaml", table / "out")
    path = table / "out/record.json"
    assert run(repeat=path, out=table / "again").status.status == "frozen"
    record = json.loads(path.read_text())
    record["parameters"]["plan"]["seed"] = 9
    path.write_text(json.dumps(record), encoding="utf-8")
    status = run(repeat=path, out=table / "other").status
    assert status.status == "changed"
    assert "others than when it ran" in status.sentence
    path.write_text(json.dumps({**record, "plan_status": {"status": "frozen", "changes": 5}}))
    assert run(repeat=path, out=table / "third").status.status == "never"


def test_a_variable_that_is_not_set_is_named(table: Path) -> None:
    (table / "analysis.yaml").write_text(
        TABLE.replace("table.csv", "${NOT_SET_HERE}/t.csv"), encoding="utf-8"
    )
    with pytest.raises(StudyError, match="NOT_SET_HERE"):
        run(table / "analysis.yaml", table / "out")


def test_one_of_plan_and_record(table: Path) -> None:
    with pytest.raises(ValueError, match="give a plan, or the record"):
        run()
    run(table / "analysis.yaml", table / "out")
    with pytest.raises(ValueError, match="another folder"):
        run(repeat=table / "out/record.json", out=table / "out")
