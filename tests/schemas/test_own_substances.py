"""Compounds of the lab, regimens, and which administration decides the arm."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from pydantic import ValidationError

from nwbswitch.schemas.drug_log import Administration, Role, arm_name, deciding_row, repeated
from nwbswitch.schemas.drug_table import missing_reasons, read_drug_log, stored_values
from nwbswitch.schemas.substance import Substance
from nwbswitch.schemas.substances import own_compound

DAY_S = 86_400.0
KX7 = Substance(
    name="KX-7", synonyms=("compound 7",), formula="C13H16ClNO", salts={"hydrochloride": "C13H16ClNO.HCl"}
)


def row(substance: str = "ketamine", timestamp_s: float = 60.0, **fields: object) -> Administration:
    return Administration(timestamp_s=timestamp_s, substance=substance, **fields)


def test_an_own_compound_is_logged_like_any_other(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(
        "subject_id,session_id,timestamp_s,substance,salt,dose,dose_unit,dose_basis,route\n"
        "m1,s1,60,Compound 7,HCl,10,mg/kg,salt,ip\n",
        encoding="utf-8",
    )
    assert "unknown-drug" in [each.code for each in read_drug_log(log)[1]]
    rows, issues = read_drug_log(log, own=[KX7])
    assert issues == []
    given = rows[0].administration
    assert (given.substance, given.salt) == ("KX-7", "hydrochloride")
    # The formula is that of ketamine: 237.727 / 274.185 of the salt is base.
    assert stored_values(given)["dose_mg_per_kg_free_base"] == pytest.approx(10 * 237.727 / 274.185, rel=1e-5)
    assert stored_values(given)["dose_umol_per_kg"] == pytest.approx(10_000 / 274.185, rel=1e-5)
    assert missing_reasons(given)["chebi"] == "not recorded"
    assert arm_name([given]) == "kx-7"


def test_without_a_formula_no_dose_is_derived() -> None:
    bare = own_compound(row("X1", dose=1, dose_unit="umol/kg"), [Substance(name="X1")])
    assert math.isnan(stored_values(bare)["dose_mg_per_kg_free_base"])
    assert stored_values(bare)["dose_umol_per_kg"] == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"cas": "6740-88-2"},
        {"unii": "690G0D6V8G"},
        {"formula": "ketamine"},
        {"chebi": "6121"},
        {"colour": "red"},
    ],
)
def test_what_cannot_be_an_identifier_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Substance(name="x", **fields)


def test_a_regimen_is_its_administrations(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(
        "subject_id,session_id,timestamp_s,substance,dose,dose_unit,route,repeats,every_h\n"
        "m1,s1,-1209600,fluoxetine,10,mg/kg,ip,14,24\n"
        "m1,s1,60,ketamine,10,mg/kg,ip,,\n",
        encoding="utf-8",
    )
    rows, issues = read_drug_log(log)
    assert issues == []
    times = [each.administration.timestamp_s for each in rows]
    assert times == [-14 * DAY_S + DAY_S * day for day in range(14)] + [60.0]
    assert arm_name([each.administration for each in rows]) == "ketamine+fluoxetine"


@pytest.mark.parametrize(
    ("repeats", "every_h"), [(0, 24.0), (2, None), (2, 0.0), (2, math.nan), (10**7, 1.0)]
)
def test_what_is_no_regimen_is_refused(repeats: int, every_h: float | None) -> None:
    with pytest.raises(ValueError, match="repeats"):
        repeated(row(), repeats, every_h)


def test_a_mistake_in_a_regimen_is_found_with_its_line(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(
        "subject_id,session_id,timestamp_s,substance,dose,dose_unit,repeats\nm1,s1,0,ketamine,1,mg/kg,3\n",
        encoding="utf-8",
    )
    (found,) = read_drug_log(log)[1]
    assert (found.code, found.place.line) == ("bad-cell", 2)
    assert "every_h" in found.message


def test_the_acute_administration_decides() -> None:
    saline = row("saline", 60.0, control_kind="saline")
    chronic = row("fluoxetine", -10 * DAY_S)
    assert deciding_row([chronic, row("ketamine", 60.0)]).substance == "ketamine"
    assert deciding_row([chronic, saline]).substance == "saline"
    assert arm_name([chronic, saline]) == "saline+fluoxetine"
    assert deciding_row([row(timestamp_s=-600.0), row("ketamine", 900.0)]).timestamp_s == -600.0


def test_chronic_treatment_alone_is_the_arm_and_its_last_dose_decides() -> None:
    days = repeated(row("fluoxetine", -14 * DAY_S), 13, 24.0)
    assert deciding_row(days).timestamp_s == -2 * DAY_S
    assert arm_name(days) == "fluoxetine"
    assert arm_name([row("ketamine", -7 * DAY_S), row("ketamine", 60.0)]) == "ketamine"


def test_a_dose_of_the_day_does_not_hide_what_is_tested() -> None:
    days = repeated(row("fluoxetine", -14 * DAY_S - 3600), 15, 24.0)
    assert days[-1].timestamp_s == -3600.0
    assert deciding_row([*days, row("ketamine", 60.0)]).substance == "ketamine"
    saline = row("saline", 60.0, control_kind="saline")
    assert arm_name([*days, saline]) == "saline+fluoxetine"
    assert deciding_row(days).timestamp_s == -3600.0
    daily = repeated(row("ketamine", -14 * DAY_S + 60), 15, 24.0)
    assert deciding_row(daily).timestamp_s == 60.0


def test_antagonists_are_part_of_the_arm() -> None:
    assert arm_name([row(), row("MK-801", role=Role.ANTAGONIST)]) == "ketamine+mk-801"
