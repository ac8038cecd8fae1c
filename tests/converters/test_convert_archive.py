"""What of a session goes into which file: raw movies, processed data, or both, together or apart."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO
from small_study import small_session, study_of

from nwbswitch.analysis.measure import measure
from nwbswitch.converters.convert import convert
from nwbswitch.converters.simulate import simulate_study
from nwbswitch.schemas.errors import ExistingOutputError, IssuesError
from nwbswitch.schemas.issues import has_errors
from nwbswitch.schemas.study import Study

RAW = "sub-m1/sub-m1_ses-day1_desc-raw_ophys.nwb"
PROCESSED = "sub-m1/sub-m1_ses-day1_desc-processed_behavior+ophys.nwb"


def _study(raw: Path, **values: str) -> Study:
    return study_of(small_session(raw, **values))


def _names(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*.nwb"))


def test_measuring_takes_the_processed_file_of_a_pair(tmp_path: Path) -> None:
    simulate_study(tmp_path / "demo", world="switch", animals=1, seed=0)
    path = next((tmp_path / "demo").glob("study.yaml"))
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("defaults:", "defaults:\n  raw_file: separate", 1), encoding="utf-8")
    assert convert(path, tmp_path / "nwb", sessions=["day1"]).ok
    assert len(_names(tmp_path / "nwb")) == 2
    result = measure([tmp_path / "nwb"])
    assert [each.code for each in result.issues if each.code in ("raw-file", "no-activity")] == ["raw-file"]
    assert not has_errors(result.issues)
    assert set(result.cells["session"]) == {"day1"}


@pytest.mark.parametrize(
    ("archive", "name", "acquired", "modules"),
    [
        ("both", "behavior+ophys", ["TwoPhotonSeries"], {"behavior", "ophys"}),
        ("raw", "ophys", ["TwoPhotonSeries"], set()),
        ("processed", "behavior+ophys", [], {"behavior", "ophys"}),
    ],
)
def test_one_file_holds_what_is_archived(
    raw: Path, tmp_path: Path, archive: str, name: str, acquired: list[str], modules: set[str]
) -> None:
    out = tmp_path / "out"
    result = convert(_study(raw, archive=archive), out)
    assert result.ok
    assert _names(out) == [f"sub-m1/sub-m1_ses-day1_{name}.nwb"]
    with NWBHDF5IO(result.paths[0], "r") as io:
        nwbfile = io.read()
        assert list(nwbfile.acquisition) == acquired
        assert set(nwbfile.processing) - {"synchronization"} == modules
        assert nwbfile.subject.subject_id == "m1"
        assert len(nwbfile.devices) == 1
        assert "Ketamine" in nwbfile.pharmacology
        assert (len(nwbfile.intervals or {}) == 0) == (archive == "raw")
        assert len(nwbfile.get_all_events()) == 1


def test_two_files_name_each_other(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = convert(_study(raw, raw_file="separate"), out)
    assert _names(out) == [PROCESSED, RAW]
    assert [each.path.relative_to(out).as_posix() for each in result.sessions[0].files] == [RAW, PROCESSED]
    found = {}
    for name in (RAW, PROCESSED):
        with NWBHDF5IO(out / name, "r") as io:
            nwbfile = io.read()
            found[name] = (nwbfile.identifier, set(nwbfile.keywords[:]), nwbfile.notes)
            assert list(nwbfile.acquisition) == (["TwoPhotonSeries"] if name == RAW else [])
            assert ("ophys" in nwbfile.processing) == (name == PROCESSED)
    for one, other in ((RAW, PROCESSED), (PROCESSED, RAW)):
        identifier, keywords, notes = found[one]
        companion = found[other][0]
        assert identifier != companion
        assert f"companion:{companion}" in keywords
        assert f"in the companion file {Path(other).name}, identifier {companion}." in notes
    assert "The raw movies of this recording session are in" in found[PROCESSED][2]


def test_a_new_segmentation_leaves_the_raw_file_alone(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    study = _study(raw, raw_file="separate")
    convert(study, out)
    before = {name: ((out / name).stat().st_mtime_ns, _identifier(out / name)) for name in _names(out)}
    np.save(raw / "suite2p/plane0/F.npy", np.load(raw / "suite2p/plane0/F.npy") + 1)
    with pytest.raises(ExistingOutputError) as caught:
        convert(study, out)
    assert RAW not in str(caught.value)
    result = convert(study, out, overwrite=True)
    assert [each.status for each in result.sessions[0].files] == ["present", "converted"]
    assert (out / RAW).stat().st_mtime_ns == before[RAW][0]
    assert (out / PROCESSED).stat().st_mtime_ns != before[PROCESSED][0]
    assert _identifier(out / PROCESSED) == before[PROCESSED][1]


def _identifier(path: Path) -> str:
    with h5py.File(path) as file:
        return file["identifier"][()].decode()


def test_identifiers_of_two_files_tell_sessions_and_statements_apart(raw: Path, tmp_path: Path) -> None:
    studies = [
        _study(raw, raw_file="separate"),
        _study(raw, raw_file="separate", session_id="day2"),
        _study(raw, raw_file="separate", notes="Other."),
    ]
    found = [
        _identifier(path)
        for number, study in enumerate(studies)
        for path in convert(study, tmp_path / str(number)).paths
    ]
    found += [_identifier(path) for path in convert(studies[0], tmp_path / "stub", stub=True).paths]
    assert len(set(found)) == 8


def test_a_failure_after_the_first_of_two_files_keeps_it(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nwbswitch.converters import conversion_job

    written = conversion_job._nwbfile

    def fail(job, target, parts):
        if target.content == "processed":
            raise RuntimeError("no")
        return written(job, target, parts)

    monkeypatch.setattr(conversion_job, "_nwbfile", fail)
    out = tmp_path / "out"
    study = _study(raw, raw_file="separate")
    result = convert(study, out)
    assert [each.status for each in result.sessions[0].files] == ["converted", "failed"]
    assert result.paths == [out / RAW]
    monkeypatch.undo()
    again = convert(study, out)
    assert [each.status for each in again.sessions[0].files] == ["present", "converted"]


def test_from_one_file_to_two_replaces_it(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(_study(raw), out)
    with pytest.raises(ExistingOutputError, match="this session is written to sub-m1_ses-day1_desc-raw"):
        convert(_study(raw, raw_file="separate"), out)
    convert(_study(raw, raw_file="separate"), out, overwrite=True)
    assert _names(out) == [PROCESSED, RAW]


def test_a_processed_file_is_made_without_reading_the_movie(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    study = _study(raw, archive="processed")
    convert(study, out)
    record = json.loads(next((out / ".nwbswitch/sub-m1").iterdir()).read_text())
    digests = {each["name"]: each["sha256"] for each in record["inputs"]}
    assert digests["movie/movie.tif"] == ""
    assert len(digests["wheel/wheel.csv"]) == 64
    (raw / "movie.tif").touch()
    assert convert(study, out).sessions[0].status == "present"


def test_a_session_without_a_movie_cannot_be_archived_raw(raw: Path, tmp_path: Path) -> None:
    session = small_session(raw, archive="raw")
    streams = {name: each for name, each in session.streams.items() if name != "movie"}
    with pytest.raises(IssuesError, match=r"m1/day1: It is to be archived raw, but has no movie"):
        convert(study_of(session.model_copy(update={"streams": streams})), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_a_movie_there_is_one_file(raw: Path, tmp_path: Path) -> None:
    session = small_session(raw, raw_file="separate")
    streams = {name: each for name, each in session.streams.items() if name != "movie"}
    convert(study_of(session.model_copy(update={"streams": streams})), tmp_path / "out")
    assert _names(tmp_path / "out") == ["sub-m1/sub-m1_ses-day1_behavior+ophys.nwb"]


def test_the_plan_tells_the_size_of_each_file(raw: Path, tmp_path: Path) -> None:
    study = _study(raw, raw_file="separate")
    planned = convert(study, tmp_path / "out", dry_run=True).sessions[0]
    made = convert(study, tmp_path / "out").sessions[0]
    for guess, file in zip(planned.files, made.files, strict=True):
        assert guess.path == file.path
        assert guess.size_bytes == pytest.approx(file.path.stat().st_size, rel=0.2)


def test_names_are_those_of_dandi(raw: Path, tmp_path: Path) -> None:
    organize = pytest.importorskip("dandi.organize", reason="dandi is not installed")
    for values in ({}, {"archive": "raw"}, {"raw_file": "separate"}):
        out = tmp_path / "-".join(["out", *values])
        for path in convert(_study(raw, **values), out).paths:
            relative = path.relative_to(out)
            assert organize.validate_organized_path(relative.as_posix(), path, out) == []
