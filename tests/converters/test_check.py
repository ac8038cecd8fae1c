"""Checking files: what is sound passes, what is not is found, what is hostile is refused unopened."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from nwbswitch.converters.allowances import allowances, allowed_because
from nwbswitch.converters.check import check
from nwbswitch.converters.convert import convert
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError, MissingExtraError
from nwbswitch.schemas.files import PARTIAL
from nwbswitch.schemas.issues import Severity
from nwbswitch.schemas.study import Session, Study


@pytest.fixture
def nwb(
    raw: Path, tmp_path: Path, session_of: Callable[..., Session], make_study: Callable[..., Study]
) -> Path:
    return convert(make_study(session_of(raw)), tmp_path / "out").paths[0]


def test_a_converted_session_is_clean(nwb: Path) -> None:
    result = check([nwb])
    assert result.ok
    assert [each for each in result.issues if each.severity is not Severity.NOTE] == []
    assert {each.code for each in result.issues} <= {"inspector-allowed"}
    assert all(each.place.file == nwb for each in result.issues)
    assert all(each.remedy.startswith("Allowed: ") for each in result.issues)
    assert json.loads(json.dumps(result.as_dict()))["ok"] is True
    assert result.summary() == f"1 file checked: 0 errors, 0 warnings, {len(result.issues)} notes"


def test_the_real_recording_has_no_errors(treadmill: Study, tmp_path: Path) -> None:
    result = check([convert(treadmill, tmp_path / "out").paths[0]])
    assert [each for each in result.issues if each.severity is not Severity.NOTE] == []
    assert {each.code for each in result.issues} <= {"inspector-allowed", "inspector-suggestion"}


def test_folders_are_searched_without_partials(nwb: Path) -> None:
    (nwb.parent / f"{PARTIAL}x.nwb").write_bytes(b"half")
    assert check([nwb.parents[1]]).files == (nwb,)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no such file or folder"):
        check([tmp_path / "nothing"])
    with pytest.raises(InputFileError, match=r"holds no \.nwb files"):
        check([tmp_path])


def test_broken_rules_are_found(nwb: Path) -> None:
    with h5py.File(nwb, "r+") as file:
        del file["general/subject/species"]
        del file["general/pharmacology"]
        file["general/pharmacology"] = "Saline."
        file["intervals/analysis_epochs/stop_time"][1] = 1e6
    result = check([nwb])
    assert not result.ok
    assert {"dandi-metadata", "pharmacology-differs", "epoch-outside-recording", "inspector-critical"} <= {
        each.code for each in result.issues
    }


def test_a_broken_schema_is_found(nwb: Path) -> None:
    with h5py.File(nwb, "r+") as file:
        del file["session_description"]
    found = {each.code for each in check([nwb]).issues}
    assert "nwb-invalid" in found


def test_a_hostile_file_is_refused_before_it_is_opened(
    nwb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.bin").write_bytes(b"secret" * 100)
    with h5py.File(nwb, "r+") as file:
        file.create_dataset(
            "scratch_", shape=(600,), dtype="u1", external=[(str(tmp_path / "secret.bin"), 0, 600)]
        )

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("the file was opened")

    monkeypatch.setattr("pynwb.validate", opened)
    monkeypatch.setattr("pynwb.NWBHDF5IO.__init__", opened)
    (found,) = check([nwb]).issues
    assert found.code == "unsafe-file"


@pytest.mark.parametrize("content", [b"", b"not hdf5", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_what_is_no_hdf5_is_a_finding(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.nwb").write_bytes(content)
    assert [each.code for each in check([tmp_path / "x.nwb"]).issues] == ["unreadable-file"]


def test_plain_hdf5_is_a_finding(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.nwb", "w") as file:
        file["x"] = 1
    result = check([tmp_path / "x.nwb"])
    assert not result.ok
    assert all(each.code == "unreadable-file" for each in result.issues)


@pytest.mark.parametrize("folder", ["nwb_old_pynwb", "nwb_old_matnwb", "nwb_v1_silverlab", "nwb_dandi000009"])
def test_files_of_others_are_read_or_refused_in_words(shared: Path, folder: str) -> None:
    result = check([shared / "data" / folder])
    assert len(result.files) >= 1
    found = {each.place.file for each in result.issues}
    assert found == set(result.files)
    assert not any("Traceback" in each.message for each in result.issues)


def test_workers_find_the_same(nwb: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.nwb"
    copy.write_bytes(nwb.read_bytes())
    alone, together = check([nwb, copy]), check([nwb, copy], workers=2)
    assert alone.issues == together.issues


def test_without_nwbinspector(nwb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nwbinspector", None)
    with pytest.raises(MissingExtraError, match=r"nwbswitch\[check\]"):
        check([nwb])


def test_allowances_name_real_checks_and_have_reasons() -> None:
    from nwbinspector import default_check_registry

    assert {each.check for each in allowances()} <= set(default_check_registry)
    assert all(len(each.reason) > 30 for each in allowances())


def test_allowances_are_narrow() -> None:
    assert allowed_because("check_single_row", "drug_administrations", "")
    assert not allowed_because("check_single_row", "my_drug_administrations", "")
    assert not allowed_because("check_single_row", "trials", "")
    assert not allowed_because("check_subject_exists", "root", "")
    assert not allowed_because("check_roi_response_series_dims", "Neuropil", "does not match")


def test_a_file_is_not_replaced_by_its_findings(nwb: Path) -> None:
    before = nwb.read_bytes()
    with pytest.raises(ExistingOutputError, match="holds no findings"):
        check([nwb], out=nwb)
    assert nwb.read_bytes() == before


def test_folders_and_pipes_among_the_files_are_findings(tmp_path: Path) -> None:
    (tmp_path / "zarr.nwb").mkdir()
    os.mkfifo(tmp_path / "pipe.nwb")
    found = check([tmp_path], out=tmp_path / "check.json").issues
    assert [(each.code, each.place.file.name) for each in found if each.place.file] == [
        ("unreadable-file", "pipe.nwb"),
        ("unreadable-file", "zarr.nwb"),
    ]
