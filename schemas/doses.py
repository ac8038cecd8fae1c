"""Doses on one scale: mg/kg and umol/kg of the free base, derived from what the drug log states.

With stated dose ``d`` of a salt whose formula unit holds ``n`` molecules of the base,

    d_base = d * n * M_base / M_salt        (a mass)
    d_base = d * n                          (an amount)

A derived dose is None when the log does not settle it. In particular there is no guess when the basis
(salt or free base) is not stated and the substance is given, or may have been given, as a salt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nwbswitch.schemas.drug_log import Administration, DoseBasis
from nwbswitch.schemas.substance import Substance, base_units, molar_mass
from nwbswitch.schemas.substances import salt_name, substance_of
from nwbswitch.schemas.units import convert, parse_unit

DOSE_KINDS = (
    "mass/mass",
    "amount/mass",
    "volume/mass",
    "mass",
    "amount",
    "volume",
    "1",
    "international_unit",
    "international_unit/mass",
)
CONCENTRATION_KINDS = ("mass/volume", "amount/volume", "mass/mass", "1", "international_unit/volume")


@dataclass(frozen=True, slots=True)
class _PerKilogram:
    """A dose per body weight before the salt is accounted for: mg/kg or umol/kg."""

    value: float
    measures: Literal["mass", "amount"]


def dose_mg_per_kg_free_base(row: Administration) -> float | None:
    """Return the dose in mg of free base per kg of body weight, or None when the log does not settle it.

    Uses ``dose`` with ``dose_unit`` (mg/kg, umol/kg, mL/kg with a concentration, or mg, umol and mL with a
    body weight); without a dose, concentration x volume / body weight. The body weight is used whatever
    the route: for a local infusion the number is not a systemic exposure.
    """
    stated, substance = _stated(row), substance_of(row)
    if stated is None:
        return None
    if stated.measures == "mass":
        fraction = _mass_fraction(row, substance)
        return None if fraction is None else stated.value * fraction
    amount = _base_amount(stated.value, row, substance)
    if amount is None or substance is None or not substance.formula:
        return None
    return amount * molar_mass(substance.formula) / 1000


def dose_umol_per_kg(row: Administration) -> float | None:
    """Return the dose in umol of the substance per kg of body weight, or None when it is not settled."""
    stated, substance = _stated(row), substance_of(row)
    if stated is None:
        return None
    if stated.measures == "amount":
        return _base_amount(stated.value, row, substance)
    fraction = _mass_fraction(row, substance)
    if fraction is None or substance is None or not substance.formula:
        return None
    return stated.value * fraction / molar_mass(substance.formula) * 1000


def _stated(row: Administration) -> _PerKilogram | None:
    """Return the dose per body weight as the log states it."""
    if row.dose is None:
        return None if row.volume_ml is None else _from_volume(row.volume_ml, row)
    try:
        kind = parse_unit(row.dose_unit).kind
    except ValueError:
        return None
    match kind:
        case "mass/mass":
            return _PerKilogram(convert(row.dose, row.dose_unit, "mg/kg"), "mass")
        case "amount/mass":
            return _PerKilogram(convert(row.dose, row.dose_unit, "umol/kg"), "amount")
        case "mass" if row.body_weight_g is not None:
            return _PerKilogram(convert(row.dose, row.dose_unit, "mg") / (row.body_weight_g / 1000), "mass")
        case "amount" if row.body_weight_g is not None:
            return _PerKilogram(
                convert(row.dose, row.dose_unit, "umol") / (row.body_weight_g / 1000), "amount"
            )
        case "volume":
            return _from_volume(convert(row.dose, row.dose_unit, "mL"), row)
        case "volume/mass":
            return _times_concentration(convert(row.dose, row.dose_unit, "mL/kg"), row)
        case _:
            return None


def _from_volume(volume_ml: float, row: Administration) -> _PerKilogram | None:
    if row.body_weight_g is None:
        return None
    return _times_concentration(volume_ml / (row.body_weight_g / 1000), row)


def _times_concentration(ml_per_kg: float, row: Administration) -> _PerKilogram | None:
    """Return dose = concentration x volume per body weight."""
    if row.concentration is None:
        return None
    try:
        kind = parse_unit(row.concentration_unit).kind
    except ValueError:
        return None
    if kind == "mass/volume":
        mg_per_ml = convert(row.concentration, row.concentration_unit, "mg/mL")
        return _PerKilogram(mg_per_ml * ml_per_kg, "mass")
    if kind == "amount/volume":
        umol_per_ml = convert(row.concentration, row.concentration_unit, "umol/mL")
        return _PerKilogram(umol_per_ml * ml_per_kg, "amount")
    return None


def _salt_formula(row: Administration, substance: Substance | None) -> str | None:
    """Return the formula of the salt that was given, or None when it is not known."""
    if substance is None or not row.salt:
        return None
    name = salt_name(substance, row.salt)
    return None if name is None else substance.salts[name]


def _may_be_salt(row: Administration, substance: Substance | None) -> bool:
    return bool(row.salt) or substance is None or bool(substance.salts)


def _mass_fraction(row: Administration, substance: Substance | None) -> float | None:
    """Return mass of free base per stated mass."""
    if row.dose_basis is DoseBasis.FREE_BASE or not _may_be_salt(row, substance):
        return 1.0
    formula = _salt_formula(row, substance)
    if row.dose_basis is None or formula is None or substance is None:
        return None
    return base_units(formula) * molar_mass(substance.formula) / molar_mass(formula)


def _base_amount(amount: float, row: Administration, substance: Substance | None) -> float | None:
    """Return the amount of base for a stated amount; salt and base differ for salts such as a sulfate."""
    if row.dose_basis is DoseBasis.FREE_BASE or not _may_be_salt(row, substance):
        return amount
    formula = _salt_formula(row, substance)
    if formula is not None and row.dose_basis is DoseBasis.SALT:
        return amount * base_units(formula)
    if substance is None:
        return None
    known = [] if formula is None else [formula]
    possible = known if row.salt else list(substance.salts.values())
    return amount if possible and all(base_units(each) == 1 for each in possible) else None
