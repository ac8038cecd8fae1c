"""Studies to files: outcomes per session, resuming, refusing, and nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from pynwb import NWBHDF5IO

from nwbswitch.converters.convert import convert
from nwbswitch.converters.simulate import simulate_study
from nwbswitch.schemas.epochs import Epoch
from nwbswitch.schemas.errors import (
    ExistingOutputError,
    IssuesError,
    MissingExtraError,
    NwbswitchError,
    StudyError,
)
from nwbswitch.schemas.files import PARTIAL, locked
from nwbswitch.schemas.issues import Place, issue
from nwbswitch.schemas.study import Session, Study
from nwbswitch.schemas.study_file import LoadedStudy

Make = Callable[..., Session]
MakeStudy = Callable[..., Study]


@pytest.fixture
def study(
    raw: Path, tmp_path: Path, make_raw: Callable[..., None], session_of: Make, make_study: MakeStudy
) -> Study:
    make_raw(tmp_path / "raw2", seed=1)
    second = session_of(tmp_path / "raw2", session_id="day8", drug="saline")
    return make_study(session_of(raw), second)


def states(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in sorted(folder.rglob("*.nwb"))
    }


def test_every_session_gets_a_file(study: Study, tmp_path: Path) -> None:
    result = convert(study, tmp_path / "out")
    assert result.ok
    assert [each.status for each in result.sessions] == ["converted", "converted"]
    assert sorted(states(tmp_path / "out")) == [
        "sub-m1/sub-m1_ses-day1_behavior+ophys.nwb",
        "sub-m1/sub-m1_ses-day8_behavior+ophys.nwb",
    ]
    assert result.table()["session_id"].tolist() == ["day1", "day8"]
    assert json.loads(json.dumps(result.as_dict()))["ok"] is True
    assert result.summary().startswith("2 converted in ")
    with h5py.File(result.paths[0]) as file:
        text = "".join(map(str, _strings(file)))
    assert str(tmp_path) not in text
    assert "/home/lab" not in text


def _strings(file: h5py.File) -> list[object]:
    found: list[object] = []

    def visit(_: str, item: h5py.Group | h5py.Dataset) -> None:
        found.extend(item.attrs.values())
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "O":
            found.append(item[()])

    file.visititems(visit)
    return found


def test_the_same_call_finds_its_work_done(study: Study, tmp_path: Path) -> None:
    convert(study, tmp_path / "out")
    before = states(tmp_path / "out")
    again = convert(study, tmp_path / "out")
    assert [each.status for each in again.sessions] == ["present", "present"]
    assert states(tmp_path / "out") == before


def test_a_touched_input_is_the_same_input(study: Study, raw: Path, tmp_path: Path) -> None:
    convert(study, tmp_path / "out")
    os.utime(raw / "movie.tif", (1, 1))
    assert convert(study, tmp_path / "out").sessions[0].status == "present"


def test_a_missing_output_is_made_again(study: Study, tmp_path: Path) -> None:
    first = convert(study, tmp_path / "out")
    first.paths[1].unlink()
    again = convert(study, tmp_path / "out")
    assert [each.status for each in again.sessions] == ["present", "converted"]


def test_other_parameters_are_refused(study: Study, tmp_path: Path) -> None:
    result = convert(study, tmp_path / "out")
    before = states(tmp_path / "out")
    other = study.model_copy(update={"title": "Another title"})
    with pytest.raises(
        ExistingOutputError, match='study.title was "A tiny study." and is "Another title"'
    ) as caught:
        convert(other, tmp_path / "out")
    assert caught.value.exit_status == 2
    assert all(str(path) in str(caught.value) for path in result.paths)
    with pytest.raises(ExistingOutputError, match="stub was false and is true"):
        convert(study, tmp_path / "out", stub=True)
    assert states(tmp_path / "out") == before
    overwritten = convert(other, tmp_path / "out", overwrite=True)
    assert [each.status for each in overwritten.sessions] == ["converted", "converted"]
    with NWBHDF5IO(overwritten.paths[0], "r") as io:
        assert "Another title" in io.read().experiment_description


def test_a_changed_input_is_refused(study: Study, raw: Path, tmp_path: Path) -> None:
    convert(study, tmp_path / "out")
    np.save(raw / "suite2p/plane0/F.npy", np.ones((3, 300), np.float32))
    with pytest.raises(ExistingOutputError, match=r"traces/plane0/F\.npy has changed"):
        convert(study, tmp_path / "out")


def test_a_changed_or_foreign_output_is_refused(study: Study, tmp_path: Path) -> None:
    result = convert(study, tmp_path / "out")
    with h5py.File(result.paths[0], "r+") as file:
        file.attrs["mine"] = 1
    with pytest.raises(ExistingOutputError, match="changed after it was made"):
        convert(study, tmp_path / "out")
    foreign = tmp_path / "foreign" / result.paths[1].relative_to(tmp_path / "out")
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"mine")
    with pytest.raises(ExistingOutputError, match="nothing tells from what it was made"):
        convert(study, tmp_path / "foreign")
    assert foreign.read_bytes() == b"mine"


def test_one_failing_session_does_not_stop_the_others(study: Study, raw: Path, tmp_path: Path) -> None:
    whole = (raw / "movie.tif").read_bytes()
    (raw / "movie.tif").write_bytes(whole[: len(whole) // 2])
    result = convert(study, tmp_path / "out")
    assert [each.status for each in result.sessions] == ["failed", "converted"]
    assert not result.ok
    assert "movie.tif" in result.sessions[0].reason
    assert [each.code for each in result.issues] == ["unreadable-file"]
    assert len(states(tmp_path / "out")) == 1
    assert not list((tmp_path / "out").rglob(f"{PARTIAL}*"))
    log = json.loads((tmp_path / "out/.nwbswitch/convert.json").read_text())
    assert "InputFileError" in "".join(log["sessions"][0]["traceback"])
    (raw / "movie.tif").write_bytes(whole)
    mended = convert(study, tmp_path / "out")
    assert [each.status for each in mended.sessions] == ["converted", "present"]


def test_a_failure_while_writing_leaves_nothing(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("disk on fire")

    monkeypatch.setattr("nwbswitch.converters.writing.nwb_writer.write_nwb", fail)
    result = convert(study, tmp_path / "out")
    assert [each.code for each in result.issues] == ["session-failed"] * 2
    assert "disk on fire" in result.sessions[0].reason
    assert [path.name for path in (tmp_path / "out").rglob("*.nwb")] == []


def test_a_crafted_pickle_is_refused_and_nothing_written(study: Study, raw: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "bomb"),)

    payload = np.empty((), dtype=object)
    payload[()] = Bomb()
    np.save(raw / "suite2p/plane0/ops.npy", payload, allow_pickle=True)
    result = convert(study, tmp_path / "out", sessions=["day1"])
    assert [each.code for each in result.issues] == ["unsafe-file"]
    assert not (tmp_path / "bomb").exists()
    assert list((tmp_path / "out").rglob("*.nwb")) == []


def test_chosen_sessions(study: Study, tmp_path: Path) -> None:
    result = convert(study, tmp_path / "out", sessions=["day8"])
    assert [each.session_id for each in result.sessions] == ["day8"]
    with pytest.raises(IssuesError, match="Did you mean 'day8'"):
        convert(study, tmp_path / "out", sessions=["day 8"])


def test_dry_run_checks_everything_and_writes_nothing(study: Study, raw: Path, tmp_path: Path) -> None:
    (raw / "wheel.csv").unlink()
    result = convert(study, tmp_path / "out", dry_run=True)
    assert [each.status for each in result.sessions] == ["failed", "planned"]
    assert not (tmp_path / "out").exists()


def test_two_sessions_with_one_output_are_refused(
    raw: Path, session_of: Make, make_study: MakeStudy, tmp_path: Path
) -> None:
    with pytest.raises(IssuesError, match="duplicate-id"):
        convert(make_study(session_of(raw), session_of(raw)), tmp_path / "out")


@pytest.mark.parametrize("package", ["neuroconv", "tifffile"])
def test_a_missing_extra_is_named(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package}.*nwbswitch\[convert\]"):
        convert(study, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_worker_processes_write_the_same(study: Study, tmp_path: Path) -> None:
    alone = convert(study, tmp_path / "one")
    together = convert(study, tmp_path / "two", workers=2)
    assert together.ok
    for left, right in zip(alone.paths, together.paths, strict=True):
        with h5py.File(left) as one, h5py.File(right) as two:
            assert one["identifier"][()] == two["identifier"][()]
            name = "processing/ophys/Fluorescence/RoiResponseSeries/data"
            assert np.array_equal(one[name][:], two[name][:])


def test_the_real_recording(treadmill: Study, tmp_path: Path, shared: Path) -> None:
    result = convert(treadmill, tmp_path / "out")
    assert result.ok
    assert [each.code for each in result.issues] == ["placeholder"] * 5
    source = shared / "data/two_photon_mouse_treadmill"
    with NWBHDF5IO(result.paths[0], "r") as io:
        nwbfile = io.read()
        movie = nwbfile.acquisition["TwoPhotonSeries"]
        assert movie.rate == 7.0
        assert movie.data[:].transpose(0, 2, 1).tobytes() == tifffile.imread(source / "movie.tif").tobytes()
        ophys = nwbfile.processing["ophys"]
        table = ophys["ImageSegmentation"]["PlaneSegmentation"]
        assert len(table) == 48
        assert int(np.sum(table["accepted"][:])) == 32
        traces = ophys["Fluorescence"]["RoiResponseSeries"]
        assert np.array_equal(traces.data[:], np.load(source / "suite2p/plane0/F.npy").T)
        speed = nwbfile.processing["behavior"]["BehavioralTimeSeries"]["runningSpeed"]
        assert (speed.rate, speed.starting_time) == (traces.rate, traces.starting_time) == (7.0, 0.0)
        assert len(speed.data) == len(traces.data) == 500
        assert speed.unit == "n.a."
        # the mean image is that of the movie, up to the registration of a few pixels
        mean = ophys["SegmentationImages"]["mean_image"].data[:]
        own = movie.data[:].mean(axis=0)
        assert np.corrcoef(mean.ravel(), own.ravel())[0, 1] > 0.9
        assert np.corrcoef(mean.T.ravel(), own.ravel())[0, 1] < 0.8


def test_a_second_conversion_into_the_same_folder_waits_its_turn(
    raw: Path, tmp_path: Path, session_of: Make, make_study: MakeStudy
) -> None:
    out = tmp_path / "out"
    study = make_study(session_of(raw))
    with locked(out / ".nwbswitch" / "lock"):
        working = out / ".partial-00000000-a.nwb"
        working.write_bytes(b"half")
        with pytest.raises(ExistingOutputError, match="another conversion is writing"):
            convert(study, out)
        assert working.exists()
        assert [each.status for each in convert(study, out, dry_run=True).sessions] == ["planned"]
    assert [each.status for each in convert(study, out).sessions] == ["converted"]
    assert not working.exists()


def test_a_folder_that_cannot_be_written(
    raw: Path, tmp_path: Path, session_of: Make, make_study: MakeStudy
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NwbswitchError, match="cannot be written: Not a directory"):
        convert(make_study(session_of(raw)), tmp_path / "file" / "out")


def test_a_full_disk_fails_the_session_in_words(
    raw: Path,
    tmp_path: Path,
    session_of: Make,
    make_study: MakeStudy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "Can't close file (file write failed: time = ...")

    monkeypatch.setattr("nwbswitch.converters.writing.nwb_writer.write_nwb", full)
    result = convert(make_study(session_of(raw)), tmp_path / "out")
    assert "cannot be written: No space left on device." in result.sessions[0].reason
    assert list((tmp_path / "out").rglob("*.nwb")) == []


def test_names_that_differ_in_case_only_are_refused(
    raw: Path, tmp_path: Path, session_of: Make, make_study: MakeStudy
) -> None:
    study = make_study(session_of(raw, session_id="a"), session_of(raw, session_id="A"))
    with pytest.raises(IssuesError) as raised:
        convert(study, tmp_path / "out")
    assert [each.code for each in raised.value.issues] == ["duplicate-id"] * 2


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_window_beyond_the_recording_fails_its_session(
    study: Study, tmp_path: Path, *, dry_run: bool
) -> None:
    first, second = study.sessions
    far = Epoch(window="drug", start_s=5, stop_s=9000, relative_to="administration")
    wrong = first.model_copy(update={"epochs": (*first.epochs[:1], far)})
    changed = study.model_copy(update={"sessions": (wrong, second)})
    result = convert(changed, tmp_path / "out", dry_run=dry_run)
    assert [each.status for each in result.sessions] == ["failed", "planned" if dry_run else "converted"]
    (found,) = result.sessions[0].issues
    assert found.code == "epoch-outside-recording"
    assert "drug [35, 9030] s reaches beyond the recording [0, 60] s" in found.message
    assert len(states(tmp_path / "out")) == (not dry_run)
    assert convert(changed, tmp_path / "stub", stub=True).ok


def test_a_window_may_end_half_a_second_after_the_last_frame(study: Study, tmp_path: Path) -> None:
    first = study.sessions[0]
    for stop_s, ok in ((60.5, True), (60.6, False)):
        last = Epoch(window="drug", start_s=35, stop_s=stop_s)
        session = first.model_copy(update={"epochs": (*first.epochs[:1], last)})
        single = study.model_copy(update={"sessions": (session,)})
        assert convert(single, tmp_path / "out", dry_run=True).ok is ok


def test_a_path_a_loaded_study_and_a_study_do_the_same(study: Study, tmp_path: Path) -> None:
    session = study.sessions[0].model_copy(update={"placeholders": ("subject.age",)})
    single = study.model_copy(update={"sessions": (session,)})
    said = issue("placeholder", "subject.age is not stated.", place=Place(tmp_path / "study.yaml", 3))
    loaded = LoadedStudy(single, tmp_path, [said], ())
    by_study = convert(single, tmp_path / "out")
    by_loaded = convert(loaded, tmp_path / "out")
    assert [each.code for each in by_study.issues] == ["placeholder"]
    assert by_loaded.issues == [said]
    assert [each.status for each in by_loaded.sessions] == ["present"]
    assert by_loaded.ok


@pytest.mark.parametrize("kind", [str, Path])
def test_the_path_of_a_study_file_is_read(kind: type[str] | type[Path], tmp_path: Path) -> None:
    study_path = simulate_study(tmp_path, animals=1, neurons=3)
    planned = convert(kind(study_path), tmp_path / "out", dry_run=True)
    assert [each.status for each in planned.sessions] == ["planned", "planned"]
    study_path.write_text("study: {}\n", encoding="utf-8")
    with pytest.raises(StudyError, match=r"study\.yaml"):
        convert(kind(study_path), tmp_path / "out")


def test_a_dry_run_lists_what_it_would_write(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    convert(study, tmp_path / "out", sessions=["day1"])
    result = convert(study, tmp_path / "out", dry_run=True)
    shown = re.sub(r"[\d.]+ (kB|MB|GB)", "N", result.summary())
    assert shown.splitlines() == [
        f"1 present, 1 planned in {tmp_path / 'out'}",
        "present: m1/day1: ketamine",
        "    movie   raw/movie.tif  N",
        "    traces  raw/suite2p  N",
        "    wheel   raw/wheel.csv  N",
        "    baseline 0-28 s, drug 35-58 s",
        "    -> sub-m1/sub-m1_ses-day1_behavior+ophys.nwb, N, present",
        "planned: m1/day8: saline",
        "    movie   raw2/movie.tif  N",
        "    traces  raw2/suite2p  N",
        "    wheel   raw2/wheel.csv  N",
        "    baseline 0-28 s, drug 35-58 s",
        "    -> sub-m1/sub-m1_ses-day8_behavior+ophys.nwb, about N",
        "disk: N to read, about N to write (an estimate from samples of the data); N free",
    ]
    plan = result.as_dict()["sessions"][1]["plan"]
    assert plan["arm"] == "saline"
    assert plan["windows"][0] == {"window": "baseline", "start_s": 0.0, "stop_s": 28.0}
    assert "plan" not in convert(study, tmp_path / "out").as_dict()["sessions"][0]


def test_a_failure_is_told_once_and_without_repeating_the_session(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = study.sessions[0]
    far = first.model_copy(update={"epochs": (Epoch(window="baseline", start_s=0, stop_s=99),)})
    result = convert(study.model_copy(update={"sessions": (far,)}), tmp_path / "out")
    what = "baseline [0, 99] s reaches beyond the recording [0, 60] s."
    why = f"{what} Correct the window, the clock offset or the frame rate."
    assert result.sessions[0].reason == why
    assert result.summary().splitlines()[1:] == [f"failed: m1/day1: {why} [epoch-outside-recording]"]
    assert capsys.readouterr().err == f"convert 1/1 m1/day1: FAILED {what}\n"


def test_zarr_folders_are_made_resumed_and_not_taken_for_something_to_publish(
    study: Study, tmp_path: Path
) -> None:
    hdmf_zarr = pytest.importorskip("hdmf_zarr", reason="hdmf-zarr is not installed")
    out = tmp_path / "out"
    result = convert(study, out, backend="zarr")
    assert [each.name for each in result.paths] == [
        f"sub-m1_ses-{day}_behavior+ophys.nwb.zarr" for day in ("day1", "day8")
    ]
    assert "DANDI does not publish them" in result.summary()
    with hdmf_zarr.NWBZarrIO(str(result.paths[0]), "r") as io:
        nwbfile = io.read()
        assert nwbfile.session_id == "day1"
        assert nwbfile.events["drug_administrations"]["substance"][0]
        identifier = nwbfile.identifier
        assert nwbfile.acquisition["TwoPhotonSeries"].data.shape[0] == 300
    assert [each.status for each in convert(study, out, backend="zarr").sessions] == ["present", "present"]
    assert [each.status for each in convert(study, out).sessions] == ["converted", "converted"]
    with h5py.File(out / "sub-m1/sub-m1_ses-day1_behavior+ophys.nwb") as file:
        assert file["identifier"][()].decode() == identifier
    chunk = next(path for path in result.paths[0].rglob("*") if path.is_file() and path.name[0] != ".")
    chunk.write_bytes(b"")
    with pytest.raises(ExistingOutputError, match="changed after it was made"):
        convert(study, out, backend="zarr")
    assert convert(study, out, backend="zarr", overwrite=True).ok


def test_zarr_needs_its_extra(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hdmf_zarr", None)
    with pytest.raises(MissingExtraError, match=r"hdmf-zarr.*nwbswitch\[zarr\]"):
        convert(study, tmp_path / "out", backend="zarr")
