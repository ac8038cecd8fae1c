"""Findings are kept by digest, and only for the same files and the same libraries."""

from __future__ import annotations

import json

import pytest

from nwbswitch.converters.check_record import check_work, may_be_replaced, read_findings, write_findings
from nwbswitch.schemas.issues import Place, issue


@pytest.fixture
def kept(tmp_path):
    file, out = tmp_path / "a.nwb", tmp_path / "check.json"
    file.write_bytes(b"one")
    found = (
        issue("nwb-invalid", "wrong", place=Place(file, 3, "x"), remedy="mend"),
        issue("no-drug-log", "none"),
    )
    write_findings(out, found, check_work([file]))
    return file, out, found


def test_the_same_files_give_the_same_findings(kept) -> None:
    file, out, found = kept
    assert read_findings(out, check_work([file])) == found


def test_a_changed_file_is_checked_again(kept) -> None:
    file, out, _ = kept
    file.write_bytes(b"two")
    assert read_findings(out, check_work([file])) is None


def test_other_versions_check_again(kept) -> None:
    file, out, _ = kept
    work = check_work([file])
    assert read_findings(out, {**work, "libraries": {**work["libraries"], "pynwb": "0"}}) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"provenance": 1, "issues": []}'])
def test_a_damaged_record_is_no_record(kept, content) -> None:
    file, out, _ = kept
    out.write_text(content)
    assert read_findings(out, check_work([file])) is None


def test_a_record_without_a_field_is_no_record(kept) -> None:
    file, out, _ = kept
    held = json.loads(out.read_text())
    del held["issues"][0]["severity"]
    out.write_text(json.dumps(held))
    assert read_findings(out, check_work([file])) is None


def test_only_findings_may_be_replaced(kept, tmp_path) -> None:
    file, out, _ = kept
    assert may_be_replaced(out)
    assert may_be_replaced(tmp_path / "new.json")
    assert not may_be_replaced(file)
    assert not may_be_replaced(tmp_path)
