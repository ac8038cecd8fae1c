"""Tables as lines of text: CSV and Excel alike, and what claims more than it holds is refused."""

from __future__ import annotations

import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from nwbswitch.schemas import text_table
from nwbswitch.schemas.drug_table import read_drug_log
from nwbswitch.schemas.errors import StudyError
from nwbswitch.schemas.text_table import MAX_COLUMNS, read_lines


def workbook(path: Path, cells: dict[str, Any]) -> Path:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl comes with the extra convert")
    book = openpyxl.Workbook()
    for page in (book.active, book.create_sheet("data")):
        for place, value in cells.items():
            page[place] = value
    book.save(path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(StudyError) as raised:
        read_lines(path)
    assert all(each.place.file == path for each in raised.value.issues)
    return str(raised.value)


def test_csv_and_excel_give_the_same_lines(tmp_path: Path) -> None:
    cells = {"A1": "id", "B1": "dose", "C1": "day", "A3": 7.0, "B3": 0.1 + 0.2, "C3": datetime(2026, 3, 1)}
    text = "\ufeff id ;dose;day\n;;\n7;0.3; 2026-03-01T00:00:00\n"
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    lines = [(1, ["id", "dose", "day"]), (3, ["7", "0.3", "2026-03-01T00:00:00"])]
    assert read_lines(tmp_path / "a.csv") == lines
    assert read_lines(workbook(tmp_path / "a.xlsx", cells)) == lines
    assert read_lines(tmp_path / "a.xlsx", sheet="data") == lines


def test_lines_are_counted_across_quoted_line_breaks(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n"1\n2",3\n\n4,5\n')
    assert [line for line, _ in read_lines(tmp_path / "a.csv")] == [1, 2, 5]


def test_a_million_columns_are_refused_early(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("subject_id," + "a," * 1_000_000 + "\n")
    assert f"more than {MAX_COLUMNS} columns" in refusal(tmp_path / "a.csv")
    assert [each.code for each in read_drug_log(tmp_path / "a.csv")[1]] == ["unsafe-file"]


def test_a_sheet_that_claims_all_rows_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", {"A1": "id", "XFD1048576": "far"})
    assert "reaches below row 100,001" in refusal(path)


def test_a_sheet_with_many_columns_is_refused(tmp_path: Path) -> None:
    assert "more than 500 columns" in refusal(workbook(tmp_path / "a.xlsx", {"A1": "id", "SG1": "x"}))


@pytest.mark.parametrize("encoding", ["ascii", "utf-16"])
def test_entities_are_refused_in_every_encoding_and_member(tmp_path: Path, encoding: str) -> None:
    path = workbook(tmp_path / "a.xlsx", {"A1": "id"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("xl/any.bin", '<!DOCTYPE a [<!ENTITY b "c">]><a/>'.encode(encoding))
    assert "declares a DOCTYPE in xl/any.bin" in refusal(path)


def test_damaged_sheets_are_refused_in_words(tmp_path: Path) -> None:
    good = workbook(tmp_path / "good.xlsx", {"A1": "id", "A2": "x"})
    bad = tmp_path / "bad.xlsx"
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(bad, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data[: len(data) // 2] if "sheet1" in name else data)
    assert "Not an Excel workbook" in refusal(bad)


def test_unknown_sheets_are_named(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", {"A1": "id"})
    with pytest.raises(StudyError, match="no sheet 'nope'; there are Sheet, data"):
        read_lines(path, sheet="nope")


def test_large_files_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_table, "MAX_BYTES", 10)
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4\n5,6\n")
    assert "more than 10 bytes" in refusal(tmp_path / "a.csv")


def test_a_workbook_named_csv_says_so(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", {"A1": "id"}).rename(tmp_path / "a.csv")
    assert "This is an Excel workbook. Name it .xlsx." in refusal(path)


@pytest.mark.parametrize("text", ["id,name\n1,a\n", "id;näme\n1;ä\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_csv_named_xlsx_says_so(tmp_path: Path, text: str, encoding: str) -> None:
    pytest.importorskip("openpyxl", reason="openpyxl comes with the extra convert")
    (tmp_path / "a.xlsx").write_bytes(text.encode(encoding))
    assert "This is text, not an Excel workbook. Name it .csv" in refusal(tmp_path / "a.xlsx")


@pytest.mark.parametrize("name", ["a.xls", "a.csv", "a.xlsx"])
def test_an_old_workbook_says_so(tmp_path: Path, name: str) -> None:
    pytest.importorskip("openpyxl", reason="openpyxl comes with the extra convert")
    (tmp_path / name).write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504))
    assert "Excel 97 to 2003" in refusal(tmp_path / name)


@pytest.mark.parametrize(
    ("cell", "read"),
    [
        ("33,5", "33.5"),
        ("-0,25", "-0.25"),
        ("1.234,5", "1.234,5"),
        ("1,2,3", "1,2,3"),
        (",5", ",5"),
        ("7", "7"),
    ],
)
def test_decimal_commas_in_columns_of_numbers(tmp_path: Path, cell: str, read: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"\nid;imaging.depth_um;x\n{cell};{cell};{cell};{cell}\n", encoding="utf-8")
    lines = read_lines(path, numeric={"depth_um"})
    assert [cells for _, cells in lines] == [["id", "imaging.depth_um", "x"], [cell, read, cell, cell]]
    assert read_lines(path)[1][1] == [cell] * 4


@pytest.mark.parametrize("separator", [",", "\t"])
def test_decimal_commas_need_semicolons(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'id{separator}depth_um\na{separator}"33,5"\n', encoding="utf-8")
    assert read_lines(path, numeric={"depth_um"})[1][1] == ["a", "33,5"]
