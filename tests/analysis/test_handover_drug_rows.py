"""The drug log comes back from rows and from JSON as it was."""

from __future__ import annotations

import math

import pytest
from recorded import KETAMINE, SALINE

from nwbswitch.analysis.handover.drug_rows import administrations_of, drug_log_json, drug_log_of, drug_rows
from nwbswitch.schemas.drug_log import DRUG_LOG_COLUMNS, Administration

OWN = Administration(
    timestamp_s=1.5, substance="compound x", compound={"name": "compound x", "formula": "C2H6O"}
)


def test_rows_have_the_columns_of_the_stored_table_and_come_back() -> None:
    rows = drug_rows((SALINE, KETAMINE))
    assert list(rows[0])[: 2 + len(DRUG_LOG_COLUMNS)] == [
        "timestamp",
        "duration",
        *(each.name for each in DRUG_LOG_COLUMNS),
    ]
    assert list(rows[0]) == list(rows[1])
    assert rows[1]["dose_mg_per_kg_free_base"] == pytest.approx(8.67, abs=0.01)
    assert math.isnan(float(rows[0]["dose"]))
    assert rows[0]["dose_missing_reason"] == "not applicable"
    assert administrations_of(rows) == (SALINE, KETAMINE)
    assert drug_rows(()) == []


def test_json_holds_all_of_it_also_substances_of_the_lab() -> None:
    rows = (OWN, SALINE, KETAMINE)
    assert drug_log_of(drug_log_json(rows)) == rows
    assert drug_log_of(drug_log_json(())) == ()
    with pytest.raises(ValueError, match="JSON"):
        drug_log_of("ketamine")
