"""Study files and tables that are malformed altogether are refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lab_study import lines, refused

from nwbswitch.schemas.errors import StudyError
from nwbswitch.schemas.study_file import load_study

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "scalar": b"hello",
    "list": b"- a\n- b\n",
    "number": b"3",
    "null": b"null",
    "tab": b"study:\n\tname: a\n",
    "unclosed": b"study: {name: [a\n",
    "two documents": b"a: 1\n---\nb: 2\n",
    "binary": bytes(range(256)) * 10,
    "nul": b"study: a\0b\n",
    "utf-16": "study: a".encode("utf-16"),
    "latin-1": "study: {name: Jos\xe9}".encode("latin-1"),
    "control character": b"study: \x01\n",
    "bomb": BOMB.encode(),
    "itself": b"study: &a {name: *a}\n",
    "deep": b"a: " + b"[" * 20_000,
    "deep mappings": b"{a: " * 20_000,
    "python": b"study: !!python/object/apply:os.system ['true']\n",
    "unknown alias": b"study: *nothing\n",
    "list as key": b"? [a, b]\n: c\n",
    "mapping as key": b"? {a: b}\n: c\n",
    "merge of text": b"<<: text\nstudy: a\n",
    "sections of the wrong kind": b"study: 3\ndefaults: [1]\nsubjects: {a: 1}\nsessions: 5\ndrug_log: {}\n",
    "lists of the wrong kind": b"study: {}\nsubjects: [1, [2]]\nsessions: [null, a]\ndrug_log: [3]\n",
    "settings of the wrong kind": b"study: {name: a, title: b}\n"
    b"defaults: {imaging: 1, streams: [1], clocks: x,"
    b" "
    b"epochs: {a: 1}}\nsubjects: [{subject_id: a, imaging: 3, streams: 4}]\n"
    b"sessions: [{subject_id: a, session_id: b, epochs: [1, null], clocks: [], subject: 3, drug_log: 3}]\n",
    "identifiers of the wrong kind": b"study: {name: [a], title: {b: c}}\nsubjects: [{subject_id: [1]}]\n"
    b"sessions: [{subject_id: {a: 1}, session_id: []}]\ntimezone: [a]\ndata_root: {a: b}\nplaceholders: 3\n",
    "streams of the wrong kind": b"study: {name: a, title: b}\nsubjects: [{subject_id: a}]\n"
    b"sessions: [{subject_id: a, session_id: b, streams: {m: 1, n: {path: []}, o: {format: [], path: x},"
    b' p: {format: wheel_csv, path: "[", signals: [1]}, q: {format: tiff_movie, path: ""},'
    b' r: {path: "**x"}}}]',
    "paths that are odd": b'study: {name: a, title: b}\nsubjects: [{subject_id: a}]\ndata_root: "a\\0b"\n'
    b'sessions: [{subject_id: a, session_id: b, streams: {m: {format: suite2p, path: "a\\0b"},'
    b' n: {format: suite2p, path: "{}{{x}}"}}}]\n',
    "tables that are folders": b"study: {name: a, title: b}\nsubjects: .\nsessions: '#x'\ndrug_log: ..\n",
    "yaml as a table": b"study: {name: a, title: b}\nsubjects: study.yaml\nsessions: study.yaml\n"
    b"drug_log: study.yaml\n",
    "not Excel": b"study: {name: a, title: b}\nsubjects: bad.xlsx\nsessions: bad.xlsx\ndrug_log: bad.xlsx\n",
}


@pytest.mark.parametrize("name", list(MALFORMED))
def test_malformed_documents_are_refused_in_words(name: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(MALFORMED[name])
    (tmp_path / "bad.xlsx").write_bytes(b"PK\x03\x04 not a workbook")
    with pytest.raises(StudyError) as raised:
        load_study(tmp_path / "study.yaml")
    assert raised.value.issues
    for each in raised.value.issues:
        assert each.place.file is not None
        assert len(str(each)) < 1000


@pytest.mark.parametrize(
    ("name", "code", "line"),
    [("tab", "yaml-syntax", 2), ("nul", "unreadable-file", 1), ("list", "wrong-value", 1)],
)
def test_malformed_documents_name_the_line(name: str, code: str, line: int, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(MALFORMED[name])
    assert lines(refused(tmp_path))[0] == (code, "study.yaml", line)


def test_large_missing_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "study.yaml").write_bytes(b"# " + b"x" * 5_000_000)
    assert "larger than 5 MB" in str(refused(tmp_path)[0])
    (tmp_path / "study.yaml").unlink()
    assert refused(tmp_path)[0].code == "missing-file"
    (tmp_path / "study.yaml").mkdir()
    assert "folder" in str(refused(tmp_path)[0])


def test_a_file_of_endless_values_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nwbswitch.schemas.study_positions.MAX_VALUES", 1000)
    (tmp_path / "study.yaml").write_bytes(b"[" + b"a," * 1_000_000 + b"a]")
    assert "more than 1000 values" in str(refused(tmp_path)[0])


@pytest.mark.parametrize("table", ["subjects.csv", "sessions.csv", "drug_log.csv"])
@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\xff\xfe\xff", b'a,"b\n', b",,,\n1,2,3\n", b"subject_id\n", bytes(range(256))]
)
def test_malformed_tables_are_refused_in_words(table: str, data: bytes, lab: Path) -> None:
    (lab / table).write_bytes(data)
    found: Any = refused(lab)
    assert any(each.place.file is not None and each.place.file.name == table for each in found), found
