"""Our own drug log, read back whole, and the ways in which it can be damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import drug_files
import h5py
import numpy as np
import pytest

from nwbswitch.analysis.reading.drug_log_table import PLACE, read_drug_log
from nwbswitch.schemas.drug_log import Administration, arm_name
from nwbswitch.schemas.drug_reading.evidence import Confidence, DrugReading
from nwbswitch.schemas.errors import IssuesError

KETAMINE: dict[str, Any] = {
    "timestamp_s": 1380.0, "substance": "ketamine", "role": "test", "stereochemistry": "racemic",
    "salt": "hydrochloride", "dose_basis": "salt", "dose": 10.0, "dose_unit": "mg/kg", "vehicle": "saline",
    "route": "i.p.", "body_weight_g": 24.5, "concentration": 1.0, "concentration_unit": "mg/mL",
    "volume_ml": 0.245, "lot": "A1", "washout_days": 7.0, "prior_exposure": "saline", "crossover_order": 2,
    "blinding": "analyst", "notes": "calm", "time_uncertainty_s": 5.0,
}  # fmt: skip
SALINE: dict[str, Any] = {
    "timestamp_s": -300.0, "duration_s": 2.0, "substance": "saline", "role": "vehicle",
    "control_kind": "saline", "stereochemistry": "achiral", "route": "i.p.",
    "missing": {"dose": "not applicable"},
}  # fmt: skip
OWN: dict[str, Any] = {
    "timestamp_s": 60.0, "substance": "KX-7", "dose": 1.0, "dose_unit": "umol/kg",
    "compound": {"name": "KX-7", "synonyms": ["compound 7"], "formula": "C13H16ClNO"},
}  # fmt: skip


@pytest.fixture
def log(tmp_path: Path) -> Path:
    build = drug_files.drug_log(KETAMINE, SALINE, OWN)
    return drug_files.write_file(tmp_path / "log.nwb", build=build)


def read(path: Path) -> DrugReading | None:
    with h5py.File(path) as nwb:
        return read_drug_log(nwb, path.name)


def found_in(path: Path) -> DrugReading:
    found = read(path)
    assert found is not None
    return found


def test_all_that_was_written_comes_back(log: Path) -> None:
    found = found_in(log)
    expected = sorted(
        map(Administration.model_validate, (KETAMINE, SALINE, OWN)), key=lambda row: row.timestamp_s
    )
    for row, given in zip(found.administrations, expected, strict=True):
        assert row.model_dump(exclude={"missing"}) == given.model_dump(exclude={"missing"})
    assert found.administrations[0].missing["dose"] == "not applicable"
    assert found.administrations[0].missing["body_weight_g"] == "not recorded"
    assert found.issues == ()
    assert arm_name(found.administrations) == "kx-7"


def test_every_value_is_stated(log: Path) -> None:
    found = found_in(log)
    assert {each.confidence for each in found.evidence} == {Confidence.STATED}
    assert {each.place for each in found.evidence} == {PLACE}
    mine = {each.field: each.value for each in found.evidence if each.administration == 2}
    assert mine["dose"] == "10"
    assert mine["route"] == "i.p."
    assert mine["timestamp_s"] == "1380"
    assert set(mine) >= set(KETAMINE)


def test_a_file_without_a_log(tmp_path: Path) -> None:
    assert read(drug_files.write_file(tmp_path / "none.nwb")) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Ketamine 30 mg/kg", "does not mention '10'"),
        ("Saline; KX-7 1 umol/kg", "does not mention 'ketamine' and '10'"),
        ("ketamine 10 mg/kg, saline, KX-7 1 umol/kg, MK-801 0.1 mg/kg", "says that MK-801 was given"),
    ],
)
def test_pharmacology_that_contradicts_the_table(log: Path, text: str, message: str) -> None:
    with h5py.File(log, "r+") as nwb:
        del nwb["general/pharmacology"]
        nwb["general/pharmacology"] = text
    found = found_in(log)
    assert len(found.administrations) == 3
    assert {each.code for each in found.issues} == {"pharmacology-unlike-log"}
    assert any(message in each.message for each in found.issues)
    assert all(each.place.item == "/general/pharmacology" for each in found.issues)


def change(name: str, value: Any) -> Callable[[h5py.Group], None]:
    def change(table: h5py.Group) -> None:
        del table[name]
        if value is not None:
            table[name] = value

    return change


@pytest.mark.parametrize(
    ("damage", "code", "message"),
    [
        (change("dose", [-1.0, 10.0, 1.0]), "bad-cell", "Row 1 of the drug log: dose"),
        (change("timestamp", [np.nan, 60.0, 1380.0]), "bad-cell", "Row 1 of the drug log: timestamp_s"),
        (change("timestamp", [np.inf, np.inf, 1380.0]), "bad-cell", "Row 2"),
        (change("timestamp", [b"soon", b"", b"60"]), "bad-cell", "could not convert"),
        (change("timestamp", None), "missing-column", "'timestamp'"),
        (change("substance", None), "missing-column", "'substance'"),
        (change("role", [b"\xff\xfe", b"test", b"test"]), "bad-cell", "role"),
        (change("role", [b"king", b"test", b"test"]), "bad-cell", "role"),
        (change("dose", [1.0]), "bad-cell", "columns of 1 and 3 rows"),
        (change("dose", np.zeros((3, 2))), "bad-cell", "has the shape (3, 2)"),
        (change("dose", np.zeros(3, dtype=[("a", "f8")])), "bad-cell", "neither text nor numbers"),
        (change("crossover_order", [0.0, 1.0, 2.0]), "bad-cell", "crossover_order"),
    ],
)
def test_damaged_tables(log: Path, damage: Callable[[h5py.Group], None], code: str, message: str) -> None:
    with h5py.File(log, "r+") as nwb:
        damage(nwb["events/drug_administrations"])
    with pytest.raises(IssuesError) as error:
        read(log)
    assert {each.code for each in error.value.issues} == {code}
    assert message in str(error.value)
    assert all(each.place.item == PLACE for each in error.value.issues)


def test_all_bad_rows_are_named_at_once(log: Path) -> None:
    with h5py.File(log, "r+") as nwb:
        change("dose", [-1.0, -1.0, 1.0])(nwb["events/drug_administrations"])
    with pytest.raises(IssuesError) as error:
        read(log)
    assert [each.message[:5] for each in error.value.issues] == ["Row 1", "Row 2"]


def test_definitions_that_cannot_be_read_define_nothing(log: Path) -> None:
    with h5py.File(log, "r+") as nwb:
        table = nwb["events/drug_administrations/meanings_tables/substance_meanings"]
        del table["definition"]
        table["definition"] = [b"{", b'{"name": 7}', b"\xff"]
    assert [row.compound for row in found_in(log).administrations] == [None, None, None]


def test_reasons_of_other_columns_are_no_reasons_here(log: Path) -> None:
    with h5py.File(log, "r+") as nwb:
        change("lot_missing_reason", [b"ate it", b"withheld", b""])(nwb["events/drug_administrations"])
    found = found_in(log)
    assert "lot" not in found.administrations[0].missing
    assert found.administrations[1].missing["lot"] == "withheld"
