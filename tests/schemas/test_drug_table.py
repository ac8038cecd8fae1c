"""The drug table: every mistake at once, canonical words, one readable line, safe export."""

from __future__ import annotations

import math
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from nwbswitch.schemas import text_table
from nwbswitch.schemas.drug_log import Administration, administration_from_values
from nwbswitch.schemas.drug_table import (
    DRUG_LOG_COLUMNS,
    canonical_administration,
    check_administration,
    drug_keywords,
    missing_reasons,
    pharmacology_line,
    read_drug_log,
    stored_values,
)
from nwbswitch.schemas.errors import MissingExtraError
from nwbswitch.schemas.issues import Place

HEADER = "subject_id,session_id,timestamp_s,substance,salt,dose,dose_unit,dose_basis,route,role"
GOOD = "m1,s1,1380,Ketamine,HCl,10,mg/kg,salt,IP,test"


def table(folder: Path, *lines: str, name: str = "log.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes("\r\n".join(lines).encode(encoding))
    return path


def ketamine(**fields: Any) -> Administration:
    base: dict[str, Any] = {"timestamp_s": 1380, "substance": "ketamine", "dose": 10, "dose_unit": "mg/kg"}
    return Administration(**{**base, **fields})


def codes(path: Path) -> list[str]:
    return [each.code for each in read_drug_log(path)[1]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_good_table(tmp_path: Path, encoding: str, delimiter: str) -> None:
    lines = [text.replace(",", delimiter) for text in (HEADER, GOOD, "")]
    rows, issues = read_drug_log(table(tmp_path, *lines, encoding=encoding))
    assert issues == []
    (row,) = rows
    assert (row.subject_id, row.session_id, row.line) == ("m1", "s1", 2)
    given = row.administration
    assert (given.substance, given.salt, given.route) == ("ketamine", "hydrochloride", "i.p.")
    assert given.timestamp_s == 1380


def test_every_mistake_is_reported_at_once_with_its_place(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        HEADER + ",bodyweight_g",
        "m1,s1,1380,Ketamin,HCl,10,mg/Kg,salt,IP,tst,20",
        'm1,s2,soon,ketamine,HCl,"0,5",mg/kg,salt,by owl,test,20',
        "m1,,5,saline,,,,,ip,vehicle,20",
        GOOD + ",20",
    )
    rows, issues = read_drug_log(path)
    found = {(each.code, each.place.line, each.place.item, each.place.file) for each in issues}
    assert found == {
        ("unknown-column", 1, "bodyweight_g", path),
        ("unknown-drug", 2, "substance", path),
        ("bad-unit", 2, "dose_unit", path),
        ("unknown-word", 2, "role", path),
        ("bad-cell", 3, "timestamp_s", path),
        ("bad-cell", 3, "dose", path),
        ("unknown-word", 3, "route", path),
        ("missing-value", 4, "session_id", path),
        ("dose-missing", 4, "dose", path),
    }
    told = "\n".join(map(str, issues))
    for near in ("'ketamine'", "'mg/kg'", "'test'", "'0.5'", "'body_weight_g'"):
        assert f"Did you mean {near}?" in told
    assert [row.line for row in rows] == [5]


@pytest.mark.parametrize("column", ["subject_id", "session_id", "timestamp_s", "substance"])
def test_missing_columns(tmp_path: Path, column: str) -> None:
    path = table(tmp_path, HEADER.replace(column, column.upper()), GOOD)
    rows, issues = read_drug_log(path)
    assert rows == []
    missing = [each for each in issues if each.code == "missing-column"]
    assert [each.place.item for each in missing] == [column]
    assert column.upper() in missing[0].remedy


def test_a_repeated_column_stops_the_reading(tmp_path: Path) -> None:
    rows, issues = read_drug_log(table(tmp_path, HEADER + ",dose", GOOD + ",20"))
    assert rows == []
    assert [each.code for each in issues] == ["duplicate-id"]


def test_missing_reasons_are_kept(tmp_path: Path) -> None:
    line = "m1,s1,1380,ketamine,Not Recorded,withheld,,not recorded,not  applicable,"
    rows, issues = read_drug_log(table(tmp_path, HEADER, line))
    assert issues == []
    given = rows[0].administration
    assert given.missing == {
        "salt": "not recorded",
        "dose": "withheld",
        "dose_basis": "not recorded",
        "route": "not applicable",
    }
    assert (given.salt, given.dose, given.route) == ("", None, "")
    reasons = missing_reasons(given)
    assert reasons["dose"] == "withheld"
    assert reasons["dose_mg_per_kg_free_base"] == "not derivable"


@pytest.mark.parametrize("word", ["", "not recorded"])
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_what_must_be_given(tmp_path: Path, place: int, word: str) -> None:
    cells = GOOD.split(",")
    cells[place] = word
    assert codes(table(tmp_path, HEADER, ",".join(cells))) == ["missing-value"]


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "ten", "1e999", "10 mg"])
def test_numbers_that_are_none(tmp_path: Path, text: str) -> None:
    line = GOOD.replace(",10,", f",{text},")
    rows, issues = read_drug_log(table(tmp_path, HEADER, line))
    assert rows == []
    assert [(each.code, each.place.item) for each in issues] == [("bad-cell", "dose")]


@pytest.mark.parametrize(
    ("column", "text"), [("body_weight_g", "0"), ("crossover_order", "0"), ("crossover_order", "1.5")]
)
def test_bounds(tmp_path: Path, column: str, text: str) -> None:
    assert codes(table(tmp_path, f"{HEADER},{column}", f"{GOOD},{text}")) == ["bad-cell"]


def test_time_before_the_session_is_fine(tmp_path: Path) -> None:
    rows, issues = read_drug_log(table(tmp_path, HEADER, GOOD.replace("1380", "-600.5")))
    assert issues == []
    assert rows[0].administration.timestamp_s == -600.5


def test_quoted_lines_keep_line_numbers(tmp_path: Path) -> None:
    bad = GOOD.replace("Ketamine", "Ketamin").replace("s1", "s2")
    path = table(tmp_path, HEADER + ",notes", f'{GOOD},"two\nlines"', "", f"{bad},x")
    rows, issues = read_drug_log(path)
    assert rows[0].administration.notes == "two\nlines"
    assert [each.place.line for each in issues] == [5]


def test_more_cells_than_columns(tmp_path: Path) -> None:
    assert codes(table(tmp_path, HEADER, GOOD + ",loose, text")) == ["bad-cell"]


def test_the_same_administration_twice(tmp_path: Path) -> None:
    assert codes(table(tmp_path, HEADER, GOOD, GOOD.replace("Ketamine", "KETAMINE"))) == ["duplicate-id"]


def test_files_that_are_no_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert codes(tmp_path / "none.csv") == ["missing-file"]
    assert codes(tmp_path) == ["missing-file"]
    assert codes(table(tmp_path, "")) == ["missing-column"] * 4
    assert codes(table(tmp_path, HEADER, GOOD + ",µ", encoding="cp1252")) == ["unreadable-file"]
    assert codes(table(tmp_path, HEADER, GOOD, encoding="utf-16")) == ["unreadable-file"]
    assert codes(table(tmp_path, HEADER, GOOD + "\0")) == ["unreadable-file"]
    assert codes(table(tmp_path, HEADER, '"open')) == ["unreadable-file"]
    assert codes(table(tmp_path, "no zip", name="log.xlsx")) == ["unreadable-file"]
    monkeypatch.setattr(text_table, "MAX_BYTES", 10)
    assert codes(table(tmp_path, HEADER, GOOD)) == ["unsafe-file"]


def test_too_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_table, "MAX_ROWS", 2)
    lines = [GOOD.replace("1380", str(time)) for time in (1, 2, 3)]
    assert codes(table(tmp_path, HEADER, *lines[:2])) == []
    assert codes(table(tmp_path, HEADER, *lines)) == ["unsafe-file"]


def excel(path: Path, *lines: tuple[Any, ...]) -> Path:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl comes with the extra convert")
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line)
    book.save(path)
    return path


def test_excel(tmp_path: Path) -> None:
    good = ("m1", 7, 1380.5, "Ketamine", "HCl", 10, "mg/kg", "salt", "IP", "test")
    bad = ("m1", 8, "soon", "Ketamine", "HCl", 10, "mg/kg", "salt", "IP", None)
    path = excel(tmp_path / "log.xlsx", tuple(HEADER.split(",")), good, (), bad)
    rows, issues = read_drug_log(path)
    assert [(row.session_id, row.administration.timestamp_s) for row in rows] == [("7", 1380.5)]
    assert [(each.code, each.place.line) for each in issues] == [("bad-cell", 4)]


def test_excel_without_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingExtraError, match=r"nwbswitch\[convert\]"):
        read_drug_log(table(tmp_path, "x", name="log.xlsx"))


def test_hostile_workbooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = excel(tmp_path / "log.xlsx", tuple(HEADER.split(",")))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("xl/evil.xml", '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a/>')
    assert codes(path) == ["unsafe-file"]
    bomb = excel(tmp_path / "bomb.xlsx", tuple(HEADER.split(",")))
    with zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/big.bin", b"0" * 2_000_000)
    monkeypatch.setattr(text_table, "MAX_BYTES", 1_000_000)
    assert bomb.stat().st_size < 1_000_000
    assert codes(bomb) == ["unsafe-file"]


@pytest.mark.parametrize(
    ("fields", "code", "item"),
    [
        ({"substance": "RSK"}, "unknown-drug", "substance"),
        ({"dose_unit": "mg per kg"}, "bad-unit", "dose_unit"),
        ({"dose_unit": ""}, "bad-unit", "dose_unit"),
        ({"dose_unit": "cm/s"}, "bad-unit", "dose_unit"),
        ({"concentration": 1, "concentration_unit": "mg/kg/h"}, "bad-unit", "concentration_unit"),
        ({"infusion_rate": 1, "infusion_rate_unit": "uL"}, "bad-unit", "infusion_rate_unit"),
        ({"route": "by owl"}, "unknown-word", "route"),
        ({"target_structure": "V99"}, "unknown-word", "target_structure"),
        ({"salt": "citrate"}, "unknown-word", "salt"),
        ({"stereochemistry": "S"}, "wrong-value", "stereochemistry"),
        ({"dose": None, "dose_unit": ""}, "dose-missing", "dose"),
        ({"dose": 10_000, "dose_basis": "free base"}, "dose-implausible", "dose"),
        ({"dose": 0.01, "dose_basis": "free base"}, "dose-implausible", "dose"),
    ],
)
def test_check_administration(fields: dict[str, Any], code: str, item: str) -> None:
    found = check_administration(ketamine(**fields), Place(Path("study.yaml"), 7, "sessions[0].drug_log[1]"))
    assert [each.code for each in found] == [code]
    assert found[0].place == Place(Path("study.yaml"), 7, f"sessions[0].drug_log[1].{item}")
    assert found[0].message


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stereochemistry": "racemic", "salt": "HCl", "route": "ip", "target_structure": "V1"},
        {"dose": None, "dose_unit": "", "missing": {"dose": "withheld"}},
        {"dose": None, "dose_unit": "", "control_kind": "sham"},
        {"infusion_rate": 2, "infusion_rate_unit": "mg/kg/h"},
        {"infusion_rate": 2, "infusion_rate_unit": "uL/min"},
        {"substance": "isoflurane", "dose": 1.5, "dose_unit": "%"},
        {"dose": 10, "dose_basis": "free base"},
    ],
)
def test_nothing_to_complain_about(fields: dict[str, Any]) -> None:
    assert check_administration(ketamine(**fields), Place()) == []


def test_canonical_form_fills_in_what_the_name_fixes_and_nothing_else() -> None:
    isomer = canonical_administration(ketamine(substance="Esketamine", salt="HCl", route="IP"))
    assert (isomer.substance, isomer.salt, isomer.route) == ("S-ketamine", "hydrochloride", "i.p.")
    assert isomer.stereochemistry == "S"
    assert canonical_administration(ketamine()).stereochemistry == "unknown"
    odd = ketamine(substance="Q-77", route="by owl")
    assert canonical_administration(odd) == odd


def test_columns_cover_the_model_and_match_the_values() -> None:
    names = [column.name for column in DRUG_LOG_COLUMNS]
    assert len(names) == len(set(names))
    fields = set(Administration.model_fields) - {"timestamp_s", "duration_s", "missing", "compound"}
    assert {column.field for column in DRUG_LOG_COLUMNS if column.field} == fields
    assert {"chebi", "pubchem_cid", "unii", "cas", "dose_mg_per_kg_free_base", "dose_umol_per_kg"} <= set(
        names
    )
    assert all(column.description.endswith(".") or column.field for column in DRUG_LOG_COLUMNS)
    values = stored_values(ketamine(dose_basis="free base"))
    assert list(values) == names
    for column in DRUG_LOG_COLUMNS:
        assert isinstance(values[column.name], float if column.dtype == "float" else str), column.name
    assert values["chebi"] == "CHEBI:6121"
    assert values["dose_mg_per_kg_free_base"] == 10
    assert values["dose_umol_per_kg"] == pytest.approx(42.065, abs=1e-3)
    assert math.isnan(float(values["body_weight_g"]))
    assert values["route"] == ""


@pytest.mark.parametrize(
    "row",
    [
        ketamine(),
        ketamine(
            duration_s=5, salt="hydrochloride", dose_basis="salt", crossover_order=2, notes="x",
            body_weight_g=22.5, missing={"lot": "withheld"}, control_kind="sham", role="vehicle",
        ),
    ],
)  # fmt: skip
def test_stored_values_read_back_as_they_were(row: Administration) -> None:
    reasons = {
        f"{name}_missing_reason": why for name, why in missing_reasons(row).items() if name in row.missing
    }
    stored = {"timestamp": row.timestamp_s, "duration": row.duration_s, **stored_values(row), **reasons}
    assert administration_from_values(stored) == row


def test_pharmacology_line_and_keywords() -> None:
    rows = [
        Administration(timestamp_s=2400, substance="saline", route="i.p.", control_kind="saline"),
        ketamine(salt="hydrochloride", stereochemistry="racemic", route="i.p."),
        ketamine(timestamp_s=-600, substance="muscimol", dose=0.5, dose_unit="ug", duration_s=60,
                 target_structure="RSPd", route="local infusion"),
    ]  # fmt: skip
    assert pharmacology_line(rows) == (
        "Muscimol 0.5 ug local infusion into RSPd at -600 s for 60 s; "
        "Ketamine hydrochloride (racemic) 10 mg/kg i.p. at 1380 s; "
        "Saline i.p. at 2400 s"
    )
    assert drug_keywords([*rows, ketamine()]) == ["muscimol", "ketamine", "saline"]
    assert pharmacology_line([]) == ""
    assert drug_keywords([]) == []


def test_a_name_cannot_break_the_line() -> None:
    assert pharmacology_line([ketamine(substance="a; b\nc")]).count(";") == 0


def test_apostrophes_that_guard_against_formulas_are_taken_off(tmp_path: Path) -> None:
    path = table(
        tmp_path, HEADER + ",notes", GOOD + ",'=HYPERLINK(1)", GOOD.replace("1380", "'-5") + ",'plain"
    )
    rows, issues = read_drug_log(path)
    assert issues == []
    assert [row.administration.notes for row in rows] == ["=HYPERLINK(1)", "'plain"]
    assert rows[1].administration.timestamp_s == -5


@pytest.mark.parametrize("unit", ["mL", "uL", "mL/kg"])
def test_a_volume_is_no_dose_unless_its_concentration_makes_it_one(unit: str) -> None:
    (found,) = check_administration(ketamine(dose_unit=unit, body_weight_g=25), Place())
    assert (found.code, found.place.item) == ("bad-unit", "dose_unit")
    assert found.message == f"{unit!r} is a volume, not a dose."
    assert "mg/kg" in found.remedy
    solved = ketamine(dose_unit=unit, concentration=2, concentration_unit="mg/mL")
    assert not [each for each in check_administration(solved, Place()) if each.code == "bad-unit"]
    vehicle = ketamine(substance="saline", control_kind="saline", dose_unit=unit)
    assert check_administration(vehicle, Place()) == []


def test_what_is_no_dose_names_units_that_are() -> None:
    (found,) = check_administration(ketamine(dose_unit="mg/mL"), Place())
    assert found.code == "bad-unit"
    assert "mg/kg, umol/kg" in found.remedy


@pytest.mark.parametrize("micro", ["\u00b5", "\u03bc"])
def test_micro_signs_are_stored_as_ucum_writes_them(tmp_path: Path, micro: str) -> None:
    line = GOOD.replace("10,mg/kg", f"10000,{micro}g/kg")
    rows, issues = read_drug_log(table(tmp_path, HEADER, line))
    assert issues == []
    assert rows[0].administration.dose_unit == "ug/kg"


def test_decimal_commas_of_a_german_excel(tmp_path: Path) -> None:
    lines = [text.replace(",", ";") for text in (HEADER + ",notes", GOOD + ",x")]
    lines[1] = lines[1].replace("1380", "1380,5").replace(";x", ";1,5")
    rows, issues = read_drug_log(table(tmp_path, *lines))
    assert issues == []
    assert rows[0].administration.timestamp_s == 1380.5
    assert rows[0].administration.notes == "1,5"
    assert codes(table(tmp_path, HEADER, GOOD.replace("1380", '"1380,5"'))) == ["bad-cell"]
