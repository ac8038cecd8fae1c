"""Metadata that labs wrote for their conversions: what a careful reader takes from each, decided by hand."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from nwbswitch.schemas.drug_reading.evidence import Confidence, DrugReading, MentionReason, Statement
from nwbswitch.schemas.drug_reading.reading import read_drugs

START = datetime(2018, 9, 1, 9, tzinfo=UTC)
_FIELDS = {
    "session_description": "/session_description",
    "experiment_description": "/general/experiment_description",
    "keywords": "/general/keywords",
    "surgery": "/general/surgery",
    "pharmacology": "/general/pharmacology",
    "slices": "/general/slices",
    "virus": "/general/virus",
    "session_id": "/general/session_id",
}


def statements(document: dict[str, Any], *, animal: str = "") -> Iterator[Statement]:
    """Yield what an NWB file made from this metadata would say."""
    for name, value in document.get("NWBFile", {}).items():
        if name in _FIELDS:
            yield Statement(_FIELDS[name], "; ".join(value) if isinstance(value, list) else str(value))
    subject = document.get("Subject", {})
    subject = subject.get(animal, subject)
    for name, place in (
        ("description", "/general/subject/description"),
        ("pharmacology", "/general/pharmacology"),
    ):
        if name in subject:
            yield Statement(place, str(subject[name]))


def read(file: Path, *, animal: str = "") -> DrugReading:
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    return read_drugs(list(statements(document, animal=animal)), name=file.name, session_start=START)


Row = tuple[str, float | None, str, float | None]
_LEVODOPA: Row = ("levodopa", 5.0, "mg/kg", None)


@pytest.mark.parametrize(
    ("file", "rows", "codes", "mentioned"),
    [
        ("drug_metadata_yaml/intan_sessions_converter/metadata_example.yaml", [_LEVODOPA],
         ["drug-incomplete"], {("6-OHDA", "LESION")}),
        ("drug_metadata_yaml/tdt_sessions_converter/metadata_example.yaml", [_LEVODOPA],
         ["drug-incomplete"], {("6-OHDA", "LESION")}),
        ("drug_metadata_yaml/plexon_sessions_converter/metadata_example.yaml",
         [("levodopa", 5.0, "mg/kg", 1800.0)], [], {("6-OHDA", "LESION")}),
        ("drug_metadata_yaml/blackrock_sessions_converter/metadata_example.yaml", [], [], set()),
        ("drug_metadata_yaml/asap_m1_mptp/metadata.yaml", [], [],
         {("MPTP", "LESION"), ("isoflurane", "SURGERY")}),
        ("levodopa_tables/general_metadata.yaml", [], ["drug-unresolved", "drug-unresolved"],
         {("6-OHDA", "LESION"), ("isoflurane", "SURGERY"), ("meloxicam", "SURGERY"), ("saline", "SURGERY"),
          ("saline", "SOLUTION"), ("levodopa", "CHRONIC"), ("benserazide", "CHRONIC")}),
    ],
)  # fmt: skip
def test_metadata_of_conversions(
    shared: Path, file: str, rows: list[Row], codes: list[str], mentioned: set[tuple[str, str]]
) -> None:
    found = read(shared / "data" / file)
    given = [
        (row.substance, row.dose, row.dose_unit, None if "timestamp_s" in row.missing else row.timestamp_s)
        for row in found.administrations
    ]
    assert given == rows
    assert [each.code for each in found.issues] == codes
    assert {(each.substance, each.why.name) for each in found.mentions} == mentioned
    unsettled = [each for each in found.evidence if each.confidence is Confidence.UNRESOLVED]
    assert {each.field for each in unsettled} <= {"timestamp_s", "dose"}
    assert all(each.confidence is Confidence.READ for each in found.evidence if each.field == "substance")


@pytest.mark.parametrize(
    ("animal", "count", "first"), [("Isis", 7, (2017, 10, 27)), ("Gaia", 1, (2015, 2, 9))]
)
def test_dates_of_a_lesion(shared: Path, animal: str, count: int, first: tuple[int, int, int]) -> None:
    file = shared / "data/drug_metadata_yaml/asap_tdt/metadata/subjects_metadata.yaml"
    found = read(file, animal=animal)
    assert found.administrations == ()
    (mention,) = found.mentions
    assert (mention.substance, mention.why) == ("MPTP", MentionReason.LESION)
    assert len(mention.times_s) == count
    assert mention.times_s[0] == (datetime(*first, 12, tzinfo=UTC) - START).total_seconds()


def test_days_and_doses_of_priming_are_not_taken_for_the_session(shared: Path) -> None:
    found = read(shared / "data/levodopa_tables/general_metadata.yaml")
    asked = [each.message for each in found.issues]
    assert any(each.startswith("levodopa was given over days") for each in asked)
    assert any(each.startswith("benserazide was given over days") for each in asked)


def cells(folder: Path) -> set[str]:
    """Return all texts of the tables of a folder."""
    import openpyxl

    found: set[str] = set()
    for file in folder.rglob("*.csv"):
        with file.open(encoding="utf-8", errors="replace", newline="") as lines:
            found |= {cell.strip() for row in csv.reader(lines) for cell in row}
    for file in folder.rglob("*.xlsx"):
        book = openpyxl.load_workbook(file, read_only=True)
        for sheet in book.worksheets:
            rows = sheet.iter_rows(values_only=True)
            found |= {cell.strip() for row in rows for cell in row if isinstance(cell, str)}
        book.close()
    return found - {""}


def test_cells_of_tables_as_labels(shared: Path) -> None:
    """Of 600 cells as names of objects nothing was given: they name conditions, reagents and figures."""
    texts = cells(shared / "data/levodopa_tables")
    assert len(texts) > 500
    named: set[str] = set()
    for text in texts:
        found = read_drugs([Statement("/analysis/x", text)], name="x")
        assert found.administrations == (), text
        assert found.issues == (), text
        named |= {each.substance for each in found.mentions}
    assert named == {
        "6-OHDA", "Alexa Fluor", "Fluo-4", "benserazide", "gabazine", "levodopa", "meloxicam",
        "oxotremorine-M", "quinpirole", "sulpiride", "tetrodotoxin", "vehicle",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "substance"),
    [
        ("iSPN on+sulpiride", "sulpiride"),
        ("WT-oxoM", "oxotremorine-M"),
        ("VEHICLE", "vehicle"),
        ("Quinpirole", "quinpirole"),
    ],
)
def test_cells_of_tables_as_notes_of_a_session(shared: Path, text: str, substance: str) -> None:
    assert text in cells(shared / "data/levodopa_tables")
    found = read_drugs([Statement("/general/notes", text)], name="x")
    assert [row.substance for row in found.administrations] == [substance]


def test_a_readme_of_the_study(shared: Path) -> None:
    (file,) = (shared / "data/levodopa_tables").rglob("*.txt")
    found = read_drugs([Statement("/general/notes", file.read_text(errors="replace"))], name="x")
    assert found.administrations == ()
    assert {each.substance for each in found.mentions} >= {
        "sulpiride",
        "quinpirole",
        "oxotremorine-M",
        "vehicle",
    }
