"""Doses per kilogram of free base, against calculations done by hand."""

from __future__ import annotations

from typing import Any

import pytest

from nwbswitch.schemas.doses import dose_mg_per_kg_free_base, dose_umol_per_kg
from nwbswitch.schemas.drug_log import Administration

KETAMINE, HCL = 237.727, 36.458  # g/mol from the atomic weights
SHARE = KETAMINE / (KETAMINE + HCL)  # 0.86703


def given(substance: str = "ketamine", **fields: Any) -> Administration:
    return Administration(timestamp_s=0.0, substance=substance, **fields)


@pytest.mark.parametrize(
    ("fields", "mg_per_kg"),
    [
        # 10 mg/kg stated as base
        ({"dose": 10, "dose_unit": "mg/kg", "dose_basis": "free base"}, 10.0),
        ({"dose": 10, "dose_unit": "mg/kg", "dose_basis": "free base", "salt": "hydrochloride"}, 10.0),
        # 10 mg/kg of the hydrochloride holds 10 * 237.727 / 274.185 = 8.6703 mg/kg of base
        ({"dose": 10, "dose_unit": "mg/kg", "dose_basis": "salt", "salt": "hydrochloride"}, 10 * SHARE),
        ({"dose": 10_000, "dose_unit": "ug/kg", "dose_basis": "salt", "salt": "HCl"}, 10 * SHARE),
        # 0.25 mg in a mouse of 25 g is 10 mg/kg
        ({"dose": 0.25, "dose_unit": "mg", "dose_basis": "free base", "body_weight_g": 25}, 10.0),
        # 2 mg/mL, 0.1 mL, 20 g: 0.2 mg / 0.02 kg = 10 mg/kg
        (
            {
                "concentration": 2,
                "concentration_unit": "mg/mL",
                "volume_ml": 0.1,
                "body_weight_g": 20,
                "dose_basis": "free base",
            },
            10.0,
        ),
        # 5 mL/kg of 2 mg/mL
        (
            {
                "dose": 5,
                "dose_unit": "mL/kg",
                "concentration": 2,
                "concentration_unit": "ug/uL",
                "dose_basis": "salt",
                "salt": "hydrochloride",
            },
            10 * SHARE,
        ),
        # 42 umol/kg of base: 42 * 237.727 / 1000 = 9.9845 mg/kg
        ({"dose": 42, "dose_unit": "umol/kg", "dose_basis": "free base"}, 42 * KETAMINE / 1000),
        # one molecule of base in each molecule of the only salt: the amount is the same either way
        ({"dose": 42, "dose_unit": "umol/kg"}, 42 * KETAMINE / 1000),
        ({"dose": 0.84, "dose_unit": "umol", "body_weight_g": 20}, 42 * KETAMINE / 1000),
        # 10 mmol/L, 0.1 mL, 20 g: 1 umol / 0.02 kg = 50 umol/kg
        (
            {"concentration": 10, "concentration_unit": "mmol/L", "volume_ml": 0.1, "body_weight_g": 20},
            50 * KETAMINE / 1000,
        ),
        ({"dose": 0, "dose_unit": "mg/kg", "dose_basis": "free base"}, 0.0),
    ],
)
def test_ketamine(fields: dict[str, Any], mg_per_kg: float) -> None:
    row = given(**fields)
    assert dose_mg_per_kg_free_base(row) == pytest.approx(mg_per_kg, rel=1e-9)
    assert dose_umol_per_kg(row) == pytest.approx(mg_per_kg / KETAMINE * 1000, rel=1e-9)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"dose": 10, "dose_unit": "mg/kg"},  # base or hydrochloride: they differ by 13 %
        {"dose": 10, "dose_unit": "mg/kg", "salt": "hydrochloride"},
        {"dose": 10, "dose_unit": "mg/kg", "dose_basis": "salt"},  # which salt?
        {"dose": 10, "dose_unit": "mg/kg", "dose_basis": "salt", "salt": "citrate"},
        {"dose": 10, "dose_unit": "mg", "dose_basis": "free base"},  # no body weight
        {"dose": 10, "dose_unit": "furlong", "dose_basis": "free base"},
        {"dose": 10, "dose_unit": "", "dose_basis": "free base"},
        {"dose": 2, "dose_unit": "%", "dose_basis": "free base"},
        {"volume_ml": 0.1, "body_weight_g": 20, "dose_basis": "free base"},
        {
            "concentration": 0.9,
            "concentration_unit": "%",
            "volume_ml": 0.1,
            "body_weight_g": 20,
            "dose_basis": "free base",
        },
    ],
)
def test_no_guess(fields: dict[str, Any]) -> None:
    assert dose_mg_per_kg_free_base(given(**fields)) is None
    assert dose_umol_per_kg(given(**fields)) is None


def test_a_substance_without_salts_needs_no_basis() -> None:
    row = given("levodopa", dose=5, dose_unit="mg/kg")
    assert dose_mg_per_kg_free_base(row) == 5
    assert dose_umol_per_kg(row) == pytest.approx(5 / 197.19 * 1000, rel=1e-9)


def test_a_salt_of_two_bases() -> None:
    # amphetamine sulfate: 368.494 g/mol hold 2 x 135.210 g of amphetamine
    base, salt = 135.210, 368.494
    row = given("amphetamine", dose=2, dose_unit="mg/kg", dose_basis="salt", salt="sulfate")
    assert dose_mg_per_kg_free_base(row) == pytest.approx(2 * 2 * base / salt, rel=1e-5)
    amount = given("amphetamine", dose=3, dose_unit="umol/kg", dose_basis="salt", salt="sulfate")
    assert dose_umol_per_kg(amount) == pytest.approx(6)
    assert dose_umol_per_kg(given("amphetamine", dose=3, dose_unit="umol/kg")) is None


def test_an_unknown_substance() -> None:
    stated = given("Q-77", dose=5, dose_unit="mg/kg", dose_basis="free base")
    assert dose_mg_per_kg_free_base(stated) == 5
    assert dose_umol_per_kg(stated) is None
    assert dose_mg_per_kg_free_base(given("Q-77", dose=5, dose_unit="mg/kg")) is None


def test_a_mixture_has_no_amount() -> None:
    row = given("vehicle", dose=10, dose_unit="mg/kg")
    assert dose_umol_per_kg(row) is None
