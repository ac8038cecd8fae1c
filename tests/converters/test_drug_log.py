"""The drug log in core tables, read back by pynwb and by plain h5py."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import pynwb
import pytest
from pynwb import NWBHDF5IO, NWBFile

from nwbswitch.converters.drug_log import MEANINGS, DrugLogInterface
from nwbswitch.schemas.drug_log import (
    ControlKind,
    DoseBasis,
    Role,
    Stereochemistry,
    administration_from_values,
)
from nwbswitch.schemas.errors import TableError

KETAMINE = {
    "timestamp_s": 1380.0,
    "time_uncertainty_s": 5.0,
    "substance": "ketamine",
    "stereochemistry": "racemic",
    "salt": "hydrochloride",
    "dose_basis": "salt",
    "dose": 10.0,
    "dose_unit": "mg/kg",
    "vehicle": "saline",
    "route": "i.p.",
    "body_weight_g": 25.0,
    "crossover_order": 2,
}
SALINE = {
    "timestamp_s": -300.0,
    "substance": "saline",
    "control_kind": "saline",
    "stereochemistry": "achiral",
    "route": "i.p.",
    "missing": {"dose": "not applicable"},
}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    nwbfile = NWBFile("test", "id", datetime(2024, 5, 1, 10, tzinfo=UTC))
    DrugLogInterface(administrations=[KETAMINE, SALINE]).add_to_nwbfile(nwbfile)
    with NWBHDF5IO(tmp_path / "d.nwb", "w") as io:
        io.write(nwbfile)
    assert pynwb.validate(path=tmp_path / "d.nwb") == []
    return tmp_path / "d.nwb"


def test_pynwb_reads_it_back(written: Path) -> None:
    with NWBHDF5IO(written, "r") as io:
        nwbfile = io.read()
        frame = nwbfile.events["drug_administrations"].to_dataframe()
        assert list(frame["timestamp"]) == [-300.0, 1380.0]
        assert list(frame["substance"]) == ["saline", "ketamine"]
        # 237.73 / 274.19 of the hydrochloride is ketamine
        assert frame["dose_mg_per_kg_free_base"][1] == pytest.approx(10 * 237.73 / 274.19, rel=1e-4)
        assert frame["chebi"][1] == "CHEBI:6121"
        assert "Ketamine hydrochloride (racemic) 10 mg/kg i.p. at 1380 s" in nwbfile.pharmacology
        assert list(nwbfile.keywords[:]) == ["saline", "ketamine"]
        assert len(nwbfile.get_all_events()) == 2


def test_h5py_reads_it_back(written: Path) -> None:
    with h5py.File(written) as file:
        table = file["events/drug_administrations"]
        assert table.attrs["neurodata_type"] == "EventsTable"
        assert table.attrs["namespace"] == "core"
        assert table["timestamp"].attrs["neurodata_type"] == "TimestampVectorData"
        assert table["duration"][:].tolist() == [0.0, 0.0]
        dose = table["dose"][:]
        assert math.isnan(dose[0])
        assert dose[1] == 10.0
        reasons = [each.decode() for each in table["dose_missing_reason"][:]]
        assert reasons == ["not applicable", ""]
        assert [each.decode() for each in table["dose_unit_missing_reason"][:]] == ["not applicable", ""]
        assert "g" in table["body_weight_g"].attrs["description"]


def test_rows_survive_the_round_trip(written: Path) -> None:
    with NWBHDF5IO(written, "r") as io:
        records = io.read().events["drug_administrations"].to_dataframe().to_dict("records")
    saline, ketamine = (administration_from_values(record) for record in records)
    expected = DrugLogInterface(administrations=[SALINE, KETAMINE]).rows
    for found, given in zip((saline, ketamine), expected, strict=True):
        assert found.model_dump(exclude={"missing"}) == given.model_dump(exclude={"missing"})
    assert saline.missing["dose"] == "not applicable"
    assert saline.missing["body_weight_g"] == "not recorded"


def test_only_columns_with_something_to_say(written: Path) -> None:
    with h5py.File(written) as file:
        names = set(file["events/drug_administrations"])
    assert {"salt", "vehicle", "crossover_order", "dose_umol_per_kg", "unii"} <= names
    assert not {"target_ap_mm", "lot", "salt_missing_reason", "role_missing_reason"} & names


def test_substances_are_linked_to_their_registries(written: Path) -> None:
    with NWBHDF5IO(written, "r") as io:
        links = io.read().external_resources.to_dataframe()
    mine = links[links["key"] == "ketamine"]
    assert "CHEBI:6121" in set(mine["entity_id"])
    assert "http://purl.obolibrary.org/obo/CHEBI_6121" in set(mine["entity_uri"])
    assert len(links) == len(links.drop_duplicates(["key", "entity_id"]))


def test_no_links_for_a_substance_without_identifiers(tmp_path: Path) -> None:
    nwbfile = NWBFile("test", "id", datetime(2024, 5, 1, 10, tzinfo=UTC))
    DrugLogInterface(administrations=[{"timestamp_s": 1.0, "substance": "vehicle"}]).add_to_nwbfile(nwbfile)
    assert nwbfile.external_resources is None


def test_coded_columns_carry_meanings(written: Path) -> None:
    words: dict[str, type[Any]] = {
        "role": Role,
        "control_kind": ControlKind,
        "stereochemistry": Stereochemistry,
        "dose_basis": DoseBasis,
    }
    assert set(words) == set(MEANINGS)
    with NWBHDF5IO(written, "r") as io:
        tables = io.read().events["drug_administrations"].meanings_tables
        for name, kinds in words.items():
            values = set(tables[f"{name}_meanings"]["value"][:])
            assert {each.value for each in kinds} <= values
        assert tables["role_meanings"].target.name == "role"


def test_existing_pharmacology_is_kept() -> None:
    nwbfile = NWBFile("t", "i", datetime(2024, 5, 1, tzinfo=UTC), pharmacology="mine", keywords=["mine"])
    DrugLogInterface(administrations=[KETAMINE]).add_to_nwbfile(nwbfile)
    assert nwbfile.pharmacology == "mine"
    assert list(nwbfile.keywords) == ["mine"]


def test_an_empty_log_adds_nothing() -> None:
    nwbfile = NWBFile("t", "i", datetime(2024, 5, 1, tzinfo=UTC))
    DrugLogInterface(administrations=[]).add_to_nwbfile(nwbfile)
    assert not nwbfile.events
    assert nwbfile.pharmacology is None


def test_one_session_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "drugs.csv"
    path.write_text(
        "subject_id,session_id,timestamp_s,substance,dose,dose_unit\n"
        "m1,d1,1380,saline,not applicable,\nm1,d2,1380,ketamine,10,mg/kg\nm2,d2,1380,saline,withheld,\n",
        encoding="utf-8",
    )
    interface = DrugLogInterface.from_file(path, subject_id="m1", session_id="d2")
    assert [row.substance for row in interface.rows] == ["ketamine"]


def test_a_table_with_mistakes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "drugs.csv"
    path.write_text("subject_id,session_id,timestamp_s,substance\nm1,d1,1,ketamin\n", encoding="utf-8")
    with pytest.raises(TableError, match=r"drugs\.csv:2.*ketamine"):
        DrugLogInterface.from_file(path, subject_id="m1", session_id="d1")
