"""Taking a conversion up again: what counts as the same, what is named as different, what is replaced."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_study import small_session, study_of, write_raw

from nwbswitch.converters import conversion_job
from nwbswitch.converters.convert import convert
from nwbswitch.schemas.errors import ExistingOutputError
from nwbswitch.schemas.files import PARTIAL
from nwbswitch.schemas.study import Session, Study


@pytest.fixture
def study(raw: Path, tmp_path: Path) -> Study:
    write_raw(tmp_path / "raw2", seed=1)
    return study_of(small_session(raw), small_session(tmp_path / "raw2", session_id="day8", drug="saline"))


def _times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.nwb")}


def _with(study: Study, change: Callable[[Session], Session]) -> Study:
    """Return the study with its first session changed."""
    return study.model_copy(update={"sessions": (change(study.sessions[0]), *study.sessions[1:])})


def _heavier(session: Session) -> Session:
    return session.model_copy(update={"subject": session.subject.model_copy(update={"weight_g": 26.5})})


def test_one_changed_session_is_named_and_alone_replaced(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(study, out)
    before = _times(out)
    changed = _with(study, _heavier)
    with pytest.raises(ExistingOutputError) as caught:
        convert(changed, out)
    told = str(caught.value)
    assert "sub-m1_ses-day1_behavior+ophys.nwb: subject.weight_g was 25.0 and is 26.5" in told
    assert "day8" not in told
    assert caught.value.exit_status == 2
    assert _times(out) == before
    plan = convert(changed, out, dry_run=True, overwrite=True)
    assert "replacing one that differs: subject.weight_g was 25.0 and is 26.5" in plan.summary()
    result = convert(changed, out, overwrite=True)
    assert [each.status for each in result.sessions] == ["converted", "present"]
    after = _times(out)
    assert after["sub-m1_ses-day8_behavior+ophys.nwb"] == before["sub-m1_ses-day8_behavior+ophys.nwb"]
    with h5py.File(result.paths[0]) as file:
        assert file["general/subject/weight"][()] == b"26.5 g"
    assert [each.status for each in convert(changed, out).sessions] == ["present", "present"]


def test_many_files_with_the_same_difference_are_told_together(raw: Path, tmp_path: Path) -> None:
    study = study_of(*(small_session(raw, session_id=f"d{n}") for n in range(8)))
    convert(study, tmp_path / "out", stub=True)
    with pytest.raises(ExistingOutputError) as caught:
        convert(study.model_copy(update={"title": "Another"}), tmp_path / "out", stub=True)
    lines = str(caught.value).splitlines()
    assert lines[-2] == '  and 3 more files: study.title was "A tiny study." and is "Another"'
    assert len(lines) == 8


def test_copied_folders_are_read_once_and_known_from_then_on(
    study: Study, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(study, tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "copy", copy_function=shutil.copyfile)
    os.utime(raw / "movie.tif", (1, 1))
    capsys.readouterr()
    statuses = [each.status for each in convert(study, tmp_path / "copy").sessions]
    assert statuses == ["present", "present"]
    assert "compare 2/2" in capsys.readouterr().err
    convert(study, tmp_path / "copy")
    assert "compare" not in capsys.readouterr().err


def test_other_content_of_the_same_size_is_a_change(study: Study, raw: Path, tmp_path: Path) -> None:
    convert(study, tmp_path / "out")
    traces = np.load(raw / "suite2p/plane0/F.npy")
    np.save(raw / "suite2p/plane0/F.npy", traces + 1)
    with pytest.raises(ExistingOutputError, match=r"the input traces/plane0/F\.npy has changed"):
        convert(study, tmp_path / "out")


def test_a_new_input_file_is_a_change(study: Study, raw: Path, tmp_path: Path) -> None:
    convert(study, tmp_path / "out")
    shutil.copy(raw / "suite2p/plane0/F.npy", raw / "suite2p/plane0/redcell.npy")
    with pytest.raises(ExistingOutputError, match=r"the input traces/plane0/redcell\.npy is new"):
        convert(study, tmp_path / "out")
    (raw / "suite2p/plane0/redcell.npy").unlink()
    assert convert(study, tmp_path / "out").sessions[0].status == "present"


@pytest.mark.parametrize("part", [0.5, 0.99])
def test_a_file_that_was_cut_is_not_believed(study: Study, tmp_path: Path, part: float) -> None:
    path = convert(study, tmp_path / "out").paths[0]
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ExistingOutputError, match="the file was changed after it was made"):
        convert(study, tmp_path / "out")
    result = convert(study, tmp_path / "out", overwrite=True)
    assert [each.status for each in result.sessions] == ["converted", "present"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": "0.1.0"}', b"\xff"])
def test_a_record_that_cannot_be_read_tells_nothing(study: Study, tmp_path: Path, content: bytes) -> None:
    convert(study, tmp_path / "out")
    (tmp_path / "out/.nwbswitch/sub-m1/sub-m1_ses-day1_behavior+ophys.json").write_bytes(content)
    with pytest.raises(ExistingOutputError, match="nothing tells from what it was made"):
        convert(study, tmp_path / "out")


@pytest.mark.parametrize(("version", "same"), [("0.1.99", True), ("0.0.1", False)])
def test_patch_versions_make_the_same_files(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, *, same: bool
) -> None:
    monkeypatch.setattr("nwbswitch.converters.conversion_record.__version__", "0.1.0")
    convert(study, tmp_path / "out")
    record = tmp_path / "out/.nwbswitch/sub-m1/sub-m1_ses-day1_behavior+ophys.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "version": version}))
    if same:
        assert convert(study, tmp_path / "out").sessions[0].status == "present"
        return
    with pytest.raises(ExistingOutputError, match=r"it was made by version 0\.0\.1, this is 0\.1\.0"):
        convert(study, tmp_path / "out")


def _without_wheel(session: Session) -> Session:
    kept = {name: each for name, each in session.streams.items() if name != "wheel"}
    return session.model_copy(update={"streams": kept, "clocks": {}})


def test_a_session_under_another_name_replaces_its_old_file(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    old = convert(study, out).paths[0]
    changed = _with(study, _without_wheel)
    with pytest.raises(ExistingOutputError) as caught:
        convert(changed, out)
    assert f"{old}: this session is written to sub-m1_ses-day1_ophys.nwb now" in str(caught.value)
    result = convert(changed, out, overwrite=True)
    assert sorted(_times(out)) == ["sub-m1_ses-day1_ophys.nwb", "sub-m1_ses-day8_behavior+ophys.nwb"]
    assert [each.status for each in result.sessions] == ["converted", "present"]
    assert not (out / ".nwbswitch/sub-m1/sub-m1_ses-day1_behavior+ophys.json").exists()


def test_an_old_file_that_was_changed_is_never_removed(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    old = convert(study, out).paths[0]
    with h5py.File(old, "r+") as file:
        file.attrs["mine"] = 1
    with pytest.raises(ExistingOutputError, match=r"(?s)no longer written to it.*Move these files away"):
        convert(_with(study, _without_wheel), out, overwrite=True)
    assert old.exists()


def test_records_and_files_hold_no_folders_of_this_machine(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    paths = convert(study, out).paths
    for path in (*paths, *(out / ".nwbswitch/sub-m1").iterdir()):
        assert str(tmp_path).encode() not in path.read_bytes()


def test_work_of_a_run_that_has_ended_becomes_no_result(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    settle = conversion_job.set_identifier

    def settle_late(*arguments: object) -> None:
        settle(*arguments)  # type: ignore[arg-type]
        (out / ".nwbswitch/run").write_text("0123456789abcdef")

    monkeypatch.setattr(conversion_job, "set_identifier", settle_late)
    result = convert(study, out, sessions=["day1"])
    assert [each.reason for each in result.sessions] == ["the conversion was stopped."]
    assert not list(out.rglob("*.nwb"))
    assert not list(out.rglob(f"{PARTIAL}*"))


def test_an_input_that_is_still_being_copied_fails_its_session(
    study: Study, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = conversion_job._nwbfile

    def write(*arguments: object) -> object:
        with (raw / "wheel.csv").open("a") as stream:
            stream.write("99,1\n")
        return written(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(conversion_job, "_nwbfile", write)
    result = convert(study, tmp_path / "out", sessions=["day1"])
    assert "wheel.csv: changed while it was read" in result.sessions[0].reason
    assert not list((tmp_path / "out").rglob("*.nwb"))


def test_the_identifier_tells_contents_and_stubs_apart(study: Study, raw: Path, tmp_path: Path) -> None:
    def identifier(out: str, **options: bool) -> str:
        (path,) = convert(study, tmp_path / out, sessions=["day1"], **options).paths  # type: ignore[arg-type]
        with h5py.File(path) as file:
            return file["identifier"][()].decode()

    first = identifier("a")
    assert identifier("b") == first
    assert identifier("c", stub=True) != first
    with (raw / "wheel.csv").open("a") as stream:
        stream.write("99,1\n")
    assert identifier("d") != first
