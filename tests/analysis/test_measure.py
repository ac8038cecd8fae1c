"""The cells table: right rows for known traces; outputs that are whole, repeatable and never overwritten."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.analysis.measure import measure, read_record
from nwbswitch.analysis.table_file import read_table
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError, IssuesError
from nwbswitch.schemas.issues import Severity
from nwbswitch.schemas.tables import CELLS

BLOCK_S = 20.0
COLUMNS = {"accepted": [True, True, False, True], "tracking_id": ["a", "b", "c", "d"]}


@pytest.fixture(scope="module")
def traces(nwb_files) -> np.ndarray:
    return nwb_files.make_traces(4, n_frames=1250)


@pytest.fixture
def one(nwb_files, traces, tmp_path) -> Path:
    return nwb_files.write_nwb(
        tmp_path / "nwb" / "a.nwb",
        {"RoiResponseSeries": traces, "Deconvolved": np.full(traces.shape, 0.5)},
        columns=COLUMNS,
    )


def _codes(issues) -> list[str]:
    """Return the codes of findings; notes say what a file does not state."""
    return [each.code for each in issues if each.severity is not Severity.NOTE]


def test_the_table_is_a_cells_table_with_one_row_per_neuron_and_block(one):
    result = measure(one, block_s=BLOCK_S)
    cells = result.cells
    assert CELLS.issues(cells) == []
    assert tuple(cells.columns) == CELLS.names
    assert len(cells) == 3 * 4 * 3
    assert sorted(set(cells["neuron"])) == [0, 1, 3]
    assert set(cells["tracking_id"]) == {"a", "b", "d"}
    assert not cells.duplicated(["neuron", "window", "block"]).any()
    assert (cells["half"] == 1 + cells["block"] % 2).all()
    assert set(cells["exposure_s"]) == {BLOCK_S}
    assert (cells["activity"] == 0.5 * 5).all()
    first = cells.iloc[0]
    assert (first["dataset"], first["animal"], first["session"]) == ("test-study", "m1", "s1")
    assert (first["plane"], first["region"], first["arm"]) == ("Cells", "RSPd", "ketamine")
    assert result.ok
    assert "3 neurons" in result.summary()


def test_events_are_counted_in_the_block_in_which_they_begin(one):
    cells = measure(one, block_s=BLOCK_S).cells
    neuron = cells[cells["neuron"] == 0]
    counts = neuron.pivot_table(index="window", columns="block", values="n_events", aggfunc="sum")
    assert counts.loc["baseline"].tolist() == [1, 1, 0]
    assert counts.loc["pseudo_drug"].tolist() == [1, 1, 0]
    assert counts.loc["drug"].tolist() == [1, 0, 0]
    assert counts.loc["pseudo_baseline"].tolist() == [0, 0, 0]
    assert cells.loc[cells["neuron"] > 0, "n_events"].sum() == 0
    assert cells["n_negative"].sum() == 0
    quiet = neuron[neuron["window"] == "pseudo_baseline"]
    assert quiet["noise"].tolist() == pytest.approx([0.02] * 3, rel=0.35)
    assert quiet["mean_dff"].abs().max() < 0.005


def test_the_level_is_that_of_the_baseline_in_every_window(nwb_files, traces, tmp_path):
    noisy = traces.copy()
    noisy[900:, 1] += np.random.default_rng(5).normal(0, 20, 350)
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": noisy})
    cells = measure(path, block_s=BLOCK_S).cells
    drug = cells[(cells["neuron"] == 1) & (cells["window"] == "drug")]
    assert drug["n_events"].sum() > 10
    assert drug["n_negative"].sum() > 10
    assert drug["noise"].min() > 0.1


@pytest.mark.parametrize("scale", [{"conversion": 3.0}, {"conversion": 1e-3}])
def test_unit_and_order_of_frames_do_not_matter(nwb_files, traces, tmp_path, scale):
    plain = measure(nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}), block_s=BLOCK_S).cells
    other = measure(nwb_files.write_nwb(tmp_path / "b.nwb", {"F": traces}, **scale), block_s=BLOCK_S).cells
    assert plain["n_events"].tolist() == other["n_events"].tolist()
    np.testing.assert_allclose(plain["noise"], other["noise"], rtol=1e-4)


def test_neuropil_is_taken_out(nwb_files, traces, tmp_path):
    swing = np.zeros((1250, 4))
    for frame in range(20, 1200, 60):
        swing[frame : frame + 20] = 40.0
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces + 0.7 * swing, "Neuropil": 200 + swing})
    left = measure(path, block_s=BLOCK_S, neuropil_coefficient=0.0).cells
    without = measure(path, block_s=BLOCK_S).cells
    assert left.loc[left["neuron"] == 1, "n_events"].sum() > 8
    assert without.loc[without["neuron"] == 1, "n_events"].sum() == 0


def test_traces_that_are_dff_are_not_divided_again(nwb_files, traces, tmp_path):
    raw = measure(nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}), block_s=BLOCK_S).cells
    path = nwb_files.write_nwb(tmp_path / "b.nwb", {"x": traces / 100 - 1}, container="DfOverF")
    dff = measure(path, block_s=BLOCK_S).cells
    assert dff["n_events"].tolist() == raw["n_events"].tolist()
    np.testing.assert_allclose(dff["noise"], raw["noise"], rtol=0.02)


def test_invalid_and_censored_frames_leave_events_and_exposure(nwb_files, traces, tmp_path):
    spoilt = traces.copy()
    spoilt[330:345, 0] = np.nan
    bad = np.zeros(1250, dtype=bool)
    bad[945:970] = True
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": spoilt}, censored=bad)
    cells = measure(path, block_s=BLOCK_S).cells.set_index(["neuron", "window", "block"])
    assert cells.loc[(0, "baseline", 0), "n_events"] == 0
    assert cells.loc[(0, "baseline", 1), "n_events"] == 1
    assert cells.loc[(0, "baseline", 0), "exposure_s"] == pytest.approx(17.0)
    assert cells.loc[(1, "baseline", 0), "exposure_s"] == pytest.approx(20.0)
    assert cells.loc[(0, "drug", 0), "n_events"] == 0
    assert cells.loc[(1, "drug", 0), "exposure_s"] == pytest.approx(15.0)


def test_a_short_last_block_is_kept_from_half_a_block_on(nwb_files, traces, tmp_path):
    windows = [("baseline", 0.0, 70.0), ("drug", 100.0, 165.0)]
    cells = measure(nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, windows=windows), block_s=20).cells
    exposure = cells[cells["neuron"] == 0].groupby("window")["exposure_s"].apply(list)
    assert exposure["baseline"] == [20, 20, 20, 10]
    assert exposure["drug"] == [20, 20, 20]


def test_without_a_baseline_the_noise_is_that_of_the_pseudo_baseline(nwb_files, traces, tmp_path):
    pair = [("pseudo_baseline", 0.0, 60.0), ("pseudo_drug", 60.0, 120.0)]
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, windows=pair)
    cells = measure(path, block_s=BLOCK_S).cells
    assert cells.loc[cells["neuron"] == 0].groupby("window")["n_events"].sum().to_dict() == {
        "pseudo_baseline": 0,
        "pseudo_drug": 2,
    }
    alone = nwb_files.write_nwb(tmp_path / "b.nwb", {"F": traces}, windows=[("drug", 0.0, 60.0)])
    with pytest.raises(IssuesError, match="no-epochs"):
        measure(alone)


def test_a_window_in_two_parts_goes_on_counting(nwb_files, traces, tmp_path):
    windows = [("baseline", 0.0, 40.0), ("baseline", 80.0, 120.0), ("drug", 180.0, 240.0)]
    cells = measure(nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, windows=windows), block_s=20).cells
    baseline = cells[(cells["neuron"] == 1) & (cells["window"] == "baseline")]
    assert baseline["block"].tolist() == [0, 1, 2, 3]
    assert baseline["start_s"].tolist() == [0, 20, 80, 100]


def test_a_window_beyond_the_recording_is_reported(nwb_files, traces, tmp_path):
    windows = [("baseline", 0.0, 60.0), ("drug", 220.0, 300.0)]
    result = measure(nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, windows=windows), block_s=20)
    assert _codes(result.issues) == ["epoch-outside-recording"]
    assert not result.ok
    drug = result.cells[(result.cells["window"] == "drug") & (result.cells["neuron"] == 0)]
    assert drug["exposure_s"].tolist() == [20, 10]


def test_frames_after_a_gap_keep_their_time(nwb_files, traces, tmp_path):
    stamps = np.arange(1250) / 5
    stamps[600:] += 1000.0
    windows = [("baseline", 60.0, 120.0), ("drug", 1180.0, 1240.0)]
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, timestamps=stamps, windows=windows)
    cells = measure(path, block_s=BLOCK_S).cells
    neuron = cells[cells["neuron"] == 0].groupby("window")["n_events"].sum()
    assert neuron.to_dict() == {"baseline": 2, "drug": 1}


def test_neurons_without_noise_or_positive_rest_are_left_out_and_counted(nwb_files, traces, tmp_path):
    odd = traces.copy()
    odd[:, 1] = 0.0
    odd[:, 2] -= 150.0
    odd[:, 3] = np.nan
    result = measure(nwb_files.write_nwb(tmp_path / "a.nwb", {"F": odd}), block_s=BLOCK_S)
    assert set(result.cells["neuron"]) == {0}
    assert _codes(result.issues) == ["neuron-left-out"]
    assert any("3 accepted neurons" in str(each) for each in result.issues)
    assert result.ok


def test_dips_raise_the_alarm(nwb_files, tmp_path):
    dipping = 100 + np.random.default_rng(0).normal(0, 1, (1250, 4))
    for frame in range(330, 1200, 40):
        dipping[frame : frame + 4] -= 60.0
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": dipping})
    result = measure(path, block_s=BLOCK_S)
    assert _codes(result.issues) == ["false-events"]
    assert result.ok


@pytest.fixture
def study(nwb_files, traces, tmp_path) -> Path:
    folder = tmp_path / "nwb"
    for animal in ("m1", "m2"):
        for day, drug in ((3, nwb_files.SALINE), (1, nwb_files.KETAMINE)):
            nwb_files.write_nwb(
                folder / f"sub-{animal}" / f"sub-{animal}_ses-d{day}.nwb",
                {"F": traces},
                subject_id=animal,
                session_id=f"d{day}",
                start_time=datetime(2026, 1, day, tzinfo=UTC),
                drugs=[drug],
            )
    return folder


def test_arms_and_order_come_from_all_sessions_together(study):
    cells = measure(study, block_s=BLOCK_S).cells
    sessions = cells.drop_duplicates(["animal", "session"]).set_index(["animal", "session"])
    assert sessions["arm"].to_dict() == {
        (animal, day): arm for animal in ("m1", "m2") for day, arm in (("d1", "ketamine"), ("d3", "saline"))
    }
    assert sessions["order"].to_dict() == {
        (animal, day): order for animal in ("m1", "m2") for day, order in (("d1", 1), ("d3", 2))
    }


def test_several_doses_make_several_arms(nwb_files, traces, study):
    high = nwb_files.KETAMINE | {"dose": 30.0}
    nwb_files.write_nwb(study / "b.nwb", {"F": traces}, subject_id="m3", session_id="d1", drugs=[high])
    assert set(measure(study, block_s=BLOCK_S).cells["arm"]) == {"ketamine_10", "ketamine_30", "saline"}


def test_processes_change_nothing(study):
    pd.testing.assert_frame_equal(
        measure(study, block_s=BLOCK_S).cells, measure(study, block_s=BLOCK_S, workers=2).cells
    )


def test_one_bad_file_does_not_stop_the_others(nwb_files, traces, study):
    (study / "broken.nwb").write_bytes(b"not HDF5")
    nwb_files.write_nwb(study / "empty.nwb", {}, subject_id="m8")
    nwb_files.write_nwb(study / "copy.nwb", {"F": traces}, subject_id="m1", session_id="d1")
    result = measure(study, block_s=BLOCK_S)
    assert set(result.cells["animal"]) == {"m1", "m2"}
    assert sorted(_codes(result.issues)) == ["duplicate-id", "no-activity", "unreadable-file"]
    assert not result.ok


def test_a_file_under_two_data_sets_counts_once(study):
    copy = study.parent / "elsewhere" / "again.nwb"
    copy.parent.mkdir()
    first = sorted(study.rglob("*.nwb"))[0]
    copy.write_bytes(first.read_bytes())
    other = study.parent / "overrides.yaml"
    other.write_text("sources: [{match: again.nwb, dataset: another}]", encoding="utf-8")
    result = measure([first, copy], block_s=BLOCK_S, overrides=other)
    assert set(result.cells["source"]) == {str(first)}
    (again,) = [each for each in result.issues if each.code == "duplicate-id"]
    assert str(first) in again.message
    assert again.place.file == str(copy)


def test_an_unknown_modality_is_a_wrong_argument(study):
    with pytest.raises(ValueError, match="modality must be calcium, spikes, all, not 'ca'"):
        measure(study, modality="ca")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"modality": "spikes"}, "holds calcium, and spikes is asked for"),
        ({"block_s": 5000.0}, "half a block of 5000 s"),
    ],
)
def test_why_nothing_is_measured_is_said(study, asked, words):
    with pytest.raises(IssuesError, match=words):
        measure(study, **({"block_s": BLOCK_S} | asked))


def test_no_usable_session_raises_with_every_reason(nwb_files, tmp_path):
    nwb_files.write_nwb(tmp_path / "a.nwb", {})
    (tmp_path / "b.nwb").write_bytes(b"")
    out = tmp_path / "cells.parquet"
    with pytest.raises(IssuesError) as caught:
        measure(tmp_path, out=out)
    assert sorted(_codes(caught.value.issues)) == ["no-activity", "unreadable-file"]
    assert not out.exists()


def test_the_same_work_is_found_done_and_other_work_is_refused(study, tmp_path):
    out = tmp_path / "results" / "cells.parquet"
    made = measure(study, out=out, block_s=BLOCK_S)
    stamp = out.stat().st_mtime_ns
    again = measure(study, out=out, block_s=BLOCK_S, workers=2)
    assert out.stat().st_mtime_ns == stamp
    pd.testing.assert_frame_equal(again.cells, made.cells)
    assert again.issues == made.issues
    with pytest.raises(ExistingOutputError, match="overwrite"):
        measure(study, out=out, block_s=BLOCK_S, threshold_sd=4.0)
    assert out.stat().st_mtime_ns == stamp
    other = measure(study, out=out, block_s=BLOCK_S, threshold_sd=4.0, overwrite=True)
    assert other.out == out
    assert read_record(out)["provenance"]["parameters"]["threshold_sd"] == 4.0
    assert sorted(path.name for path in out.parent.iterdir()) == ["cells.parquet", "sessions.csv"]


def test_changed_inputs_are_other_work(nwb_files, traces, study, tmp_path):
    out = tmp_path / "cells.parquet"
    measure(study, out=out, block_s=BLOCK_S)
    nwb_files.write_nwb(study / "new.nwb", {"F": traces}, subject_id="m9")
    with pytest.raises(ExistingOutputError):
        measure(study, out=out, block_s=BLOCK_S)


def test_findings_come_back_with_a_finished_table(nwb_files, traces, tmp_path):
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, drugs=())
    made = measure(path, out=tmp_path / "c.parquet", block_s=BLOCK_S)
    assert _codes(made.issues) == ["no-drug-log"]
    assert measure(path, out=tmp_path / "c.parquet", block_s=BLOCK_S).issues == made.issues


def test_the_file_says_how_it_was_made(study, tmp_path):
    out = tmp_path / "cells.parquet"
    measure(study, out=out, block_s=BLOCK_S)
    made = read_record(out)["provenance"]
    assert made["command"] == "measure"
    recipe = Recipe(block_s=BLOCK_S).as_dict()
    assert made["parameters"] == {**recipe, "modality": "all", "overrides": {}}
    assert sorted(made["inputs"])[0] == "sub-m1/sub-m1_ses-d1.nwb"
    assert len(made["inputs"]) == 4
    json.dumps(made)
    assert tuple(read_table(out).columns) == CELLS.names


def test_a_parquet_file_that_is_not_ours_is_not_touched(study, tmp_path):
    out = tmp_path / "cells.parquet"
    pd.DataFrame({"x": [1]}).to_parquet(out)
    before = out.read_bytes()
    with pytest.raises(ExistingOutputError):
        measure(study, out=out)
    out.write_bytes(b"no parquet")
    with pytest.raises(InputFileError, match=r"cells\.parquet"):
        measure(study, out=out)
    assert before != out.read_bytes() == b"no parquet"


@pytest.mark.parametrize(
    "wrong", [{"block_s": 0}, {"threshold_sd": -1}, {"neuropil_coefficient": 1.5}, {"out": "cells.csv"}]
)
def test_wrong_arguments_are_value_errors(one, wrong):
    with pytest.raises(ValueError):  # noqa: PT011
        measure(one, **wrong)


def test_sources_that_hold_nothing_are_named(tmp_path):
    for wrong, words in (
        (tmp_path, "holds no NWB file"),
        (tmp_path / "none.nwb", "none.nwb"),
        ([], "No source"),
    ):
        with pytest.raises(IssuesError, match=words):
            measure(wrong)
