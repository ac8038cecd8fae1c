"""The simulated study must look like a lab's, say that it is simulated, and be the same every time."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nwbswitch.converters.simulate import MARKER, UNFINISHED, simulate_study
from nwbswitch.converters.simulate_plan import TRUTH, SessionPlan
from nwbswitch.converters.simulate_traces import N_FRAMES
from nwbswitch.schemas.drug_log import arm_name
from nwbswitch.schemas.errors import ExistingOutputError
from nwbswitch.schemas.file_guard import load_npy
from nwbswitch.schemas.study_file import load_study

N_NEURONS = 8


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate_study(tmp_path_factory.mktemp("study"), animals=2, neurons=N_NEURONS, seed=3)


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_layout_is_a_labs(study):
    plane = study.parent / "raw/SIM01/day1/suite2p/plane0"
    assert {path.name for path in plane.iterdir()} == {
        "F.npy",
        "Fneu.npy",
        "spks.npy",
        "iscell.npy",
        "stat.npy",
        "ops.npy",
    }
    assert np.load(plane / "F.npy").shape == (N_NEURONS + 5, N_FRAMES)
    assert np.load(plane / "iscell.npy")[:, 0].sum() == N_NEURONS


def test_pickles_pass_the_guard_and_hold_what_suite2p_holds(study):
    plane = study.parent / "raw/SIM01/day1/suite2p/plane0"
    ops, stat = load_npy(plane / "ops.npy"), load_npy(plane / "stat.npy")
    assert (ops["fs"], ops["Ly"], ops["Lx"], ops["nframes"]) == (5.0, 48, 72, N_FRAMES)
    assert ops["meanImg"].shape == (48, 72)
    assert "SIMULATED" in ops["note"]
    assert len(stat) == N_NEURONS + 5
    pixels = [set(zip(each["ypix"].tolist(), each["xpix"].tolist(), strict=True)) for each in stat]
    assert len(set.union(*pixels)) == sum(map(len, pixels)), "masks overlap"
    assert max(int(each["ypix"].max()) for each in stat) < 48


def test_movie_shows_the_rois(study):
    import tifffile

    session = study.parent / "raw/SIM01/day1"
    movie = tifffile.imread(session / "movie.tif")
    assert movie.shape == (N_FRAMES, 48, 72)
    assert movie.dtype == np.int16
    stat = load_npy(session / "suite2p/plane0/stat.npy")
    traces = np.load(session / "suite2p/plane0/F.npy")
    brightest = int(traces.std(axis=1).argmax())
    inside = movie[:, stat[brightest]["ypix"], stat[brightest]["xpix"]].mean(axis=1)
    assert np.corrcoef(inside, traces[brightest])[0, 1] > 0.9


def test_everything_says_that_it_is_simulated(study):
    text = study.read_text()
    assert "simulated: true" in text
    assert "SIMULATED" in text
    raw = study.parent / "raw"
    for path in (raw / "README.txt", raw / MARKER, raw / "SIM02/day8" / MARKER):
        assert "SIMULATED" in path.read_text()
    for name in ("subjects.csv", "sessions.csv", "drug_log.csv"):
        assert all("SIMULATED" in " ".join(row.values()) for row in _rows(raw / name))


def test_same_neurons_in_both_sessions_and_no_effect_of_saline(study):
    raw = study.parent / "raw"
    days = {
        row["session_id"]: row["substance"]
        for row in _rows(raw / "drug_log.csv")
        if row["subject_id"] == "SIM01"
    }
    assert days == {"day1": "saline", "day8": "ketamine"}
    saline, ketamine = (_rows(raw / "SIM01" / day / TRUTH) for day in ("day1", "day8"))
    assert [row["rate_before_per_min"] for row in saline] == [row["rate_before_per_min"] for row in ketamine]
    assert all(row["rate_before_per_min"] == row["rate_after_per_min"] for row in saline)
    cells = [row for row in ketamine if row["is_cell"] == "1"]
    before, after = (
        np.array([float(row[f"rate_{when}_per_min"]) for row in cells]) for when in ("before", "after")
    )
    assert np.corrcoef(before.argsort().argsort(), after.argsort().argsort())[0, 1] < 0.3


@pytest.mark.parametrize("movies", [0, 1])
def test_the_study_file_is_read_without_a_finding(study, tmp_path, movies):
    path = study if movies else simulate_study(tmp_path, animals=1, neurons=3, movies=0)
    loaded = load_study(path)
    assert loaded.warnings == []
    assert loaded.study.simulated
    with_movie = [session for session in loaded.study.sessions if "movie" in session.streams]
    assert len(with_movie) == movies
    first = loaded.study.sessions[0]
    windows = {str(epoch.window): (epoch.start_s, epoch.stop_s) for epoch in first.epochs}
    assert windows == {
        "pseudo_baseline": (0, 600),
        "pseudo_drug": (720, 1320),
        "baseline": (720, 1320),
        "drug": (1440, 2040),
    }
    assert [arm_name(session.drug_log) for session in loaded.study.sessions[:2]] == ["saline", "ketamine"]
    assert first.streams["traces"].roi_basis == "anatomical"
    assert first.clocks["treadmill"].offset_s == -4.25


def test_order_is_counterbalanced():
    first = [SessionPlan(0, "switch", animal, None, 1, movie=False).substance for animal in range(1, 5)]
    assert first == ["saline", "ketamine", "saline", "ketamine"]
    assert SessionPlan(0, "switch", 1, None, 2, movie=False).substance == "ketamine"


def test_treadmill_runs_on_its_own_clock(study):
    rows = _rows(study.parent / "raw/SIM01/day1/treadmill.csv")
    assert list(rows[0]) == ["time_s", "speed_cm_s"]
    assert float(rows[0]["time_s"]) == 0
    assert float(rows[-1]["time_s"]) - 4.25 == pytest.approx(N_FRAMES / 5, abs=0.2)


def test_content_does_not_depend_on_workers(study, tmp_path):
    again = simulate_study(tmp_path, animals=2, neurons=N_NEURONS, seed=3, workers=2)
    assert _digests(again.parent) == _digests(study.parent)


def test_an_animal_does_not_depend_on_how_many_there_are(study, tmp_path):
    one = simulate_study(tmp_path, animals=1, neurons=N_NEURONS, seed=3)
    assert _digests(one.parent / "raw/SIM01") == _digests(study.parent / "raw/SIM01")


def test_seed_and_world_change_the_numbers(tmp_path):
    made = {
        (seed, world): simulate_study(
            tmp_path / f"{seed}{world}", animals=1, neurons=3, movies=0, seed=seed, world=world
        )
        for seed, world in ((0, "null"), (1, "null"), (0, "gain"))
    }
    digest = {key: _digests(path.parent / "raw/SIM01/day8") for key, path in made.items()}
    assert digest[0, "null"] != digest[1, "null"]
    assert digest[0, "null"] != digest[0, "gain"]
    saline = {key: _digests(path.parent / "raw/SIM01/day1/suite2p") for key, path in made.items()}
    assert saline[0, "null"] == saline[0, "gain"]


def test_resuming_keeps_finished_sessions_and_redoes_half_written_ones(tmp_path):
    study = simulate_study(tmp_path, animals=1, neurons=3, movies=0, seed=5)
    whole = _digests(tmp_path)
    kept, cut = tmp_path / "raw/SIM01/day1", tmp_path / "raw/SIM01/day8"
    stamp = (kept / "treadmill.csv").stat().st_mtime_ns
    study.unlink()
    (cut / "suite2p/plane0/F.npy").write_bytes(b"cut short")
    leftover = tmp_path / f"raw/SIM01/{UNFINISHED}day8"
    shutil.copytree(kept, leftover)
    assert simulate_study(tmp_path, animals=1, neurons=3, movies=0, seed=5) == study
    assert _digests(tmp_path) == whole
    assert (kept / "treadmill.csv").stat().st_mtime_ns == stamp


def test_other_parameters_are_refused_unless_overwriting(tmp_path):
    simulate_study(tmp_path, animals=2, neurons=3, movies=0, seed=5)
    before = _digests(tmp_path)
    with pytest.raises(ExistingOutputError, match="overwrite"):
        simulate_study(tmp_path, animals=1, neurons=3, movies=0, seed=6)
    assert _digests(tmp_path) == before
    simulate_study(tmp_path, animals=1, neurons=3, movies=0, seed=6, overwrite=True)
    assert not (tmp_path / "raw/SIM02").exists()
    assert json.loads((tmp_path / "raw" / MARKER).read_text())["parameters"]["seed"] == 6


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_real_study_is_never_touched(tmp_path, overwrite):
    (tmp_path / "study.yaml").write_text("study: {name: mine}\n")
    with pytest.raises(ExistingOutputError, match="did not make"):
        simulate_study(tmp_path, animals=1, neurons=3, movies=0, overwrite=overwrite)
    assert _digests(tmp_path).keys() == {"study.yaml"}


@pytest.mark.parametrize(
    "wrong", [{"animals": 0}, {"neurons": 0}, {"neurons": 1000}, {"movies": -1}, {"seed": -1}, {"world": "x"}]
)
def test_wrong_arguments_are_value_errors(tmp_path, wrong):
    with pytest.raises(ValueError):  # noqa: PT011
        simulate_study(tmp_path / "none", **wrong)
    assert not (tmp_path / "none").exists()
