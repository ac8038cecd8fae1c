"""The drug log: one row per administration at a constant dose, and what follows from it.

The event model is that of CDISC SEND domain EX. Derived values (dose in mg/kg and umol/kg of free base)
are computed in `nwbswitch.schemas.doses`, never typed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nwbswitch.schemas.substance import Stereochemistry, Substance

TABLE_NAME = "drug_administrations"
EPOCHS_NAME = "analysis_epochs"

ACUTE_S = 43_200.0
"""A test substance given longer before the session than this, s, is not what the session tests: half the
interval of daily dosing."""

MissingReason = Literal["not recorded", "not applicable", "withheld"]


class Role(StrEnum):
    """What an administration is for in the experiment."""

    TEST = "test"
    VEHICLE = "vehicle"
    ANTAGONIST = "antagonist"
    ACTUATOR_LIGAND = "actuator ligand"
    ANAESTHETIC = "anaesthetic"
    ANALGESIC = "analgesic"


class ControlKind(StrEnum):
    """Which kind of control an administration is, if any."""

    NONE = "none"
    SALINE = "saline"
    VEHICLE = "vehicle"
    SHAM = "sham"
    PSEUDO = "pseudo"


class DoseBasis(StrEnum):
    """Whether the stated dose counts the salt or the free base."""

    SALT = "salt"
    FREE_BASE = "free base"


class Administration(BaseModel):
    """One administration at a constant dose. Times are seconds on the session clock."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    timestamp_s: float = Field(description="Start, s on the session clock; negative before the session.")
    duration_s: float = Field(0.0, ge=0, description="Duration, s; 0 for a bolus.")
    time_uncertainty_s: float | None = Field(None, ge=0, description="Uncertainty of the start, s.")
    substance: str = Field(description="Name in the substance vocabulary, e.g. ketamine.")
    role: Role = Role.TEST
    control_kind: ControlKind = ControlKind.NONE
    stereochemistry: Stereochemistry = Stereochemistry.UNKNOWN
    salt: str = Field("", description="Salt form as given, e.g. hydrochloride; empty for none.")
    dose_basis: DoseBasis | None = Field(None, description="What the dose counts: salt or free base.")
    dose: float | None = Field(None, ge=0, description="Dose in dose_unit.")
    dose_unit: str = Field("", description="UCUM unit of the dose, e.g. mg/kg.")
    vehicle: str = Field("", description="What the substance was dissolved in.")
    route: str = Field("", description="Route in the vocabulary, e.g. i.p.")
    body_weight_g: float | None = Field(None, gt=0, description="Body weight on the day, g.")
    concentration: float | None = Field(None, ge=0, description="Concentration in concentration_unit.")
    concentration_unit: str = Field("", description="UCUM unit, e.g. mg/mL.")
    volume_ml: float | None = Field(None, ge=0, description="Volume given, mL.")
    infusion_rate: float | None = Field(None, ge=0, description="Rate in infusion_rate_unit.")
    infusion_rate_unit: str = Field("", description="UCUM unit, e.g. uL/min.")
    lot: str = ""
    target_structure: str = Field("", description="Region of a local infusion, Allen acronym.")
    target_ap_mm: float | None = None
    target_ml_mm: float | None = None
    target_dv_mm: float | None = None
    washout_days: float | None = Field(None, ge=0, description="Days since the last dose of a test drug.")
    prior_exposure: str = ""
    crossover_order: int | None = Field(None, ge=1, description="Rank of this session in a crossover.")
    blinding: str = ""
    notes: str = ""
    compound: Substance | None = Field(
        None, description="The substance itself, where it is the lab's own and not in the vocabulary."
    )
    missing: dict[str, MissingReason] = Field(
        default_factory=dict, description="Field name to the reason why it has no value."
    )

    @property
    def is_control(self) -> bool:
        """Whether this row is the control that stands in for a test substance."""
        return self.control_kind is not ControlKind.NONE


MAX_REPEATS = 1000


def repeated(row: Administration, repeats: int, every_h: float | None) -> tuple[Administration, ...]:
    """Return a dosing regimen as its administrations: ``repeats`` times the row, ``every_h`` hours apart.

    Raises
    ------
    ValueError
        For repeats that are not 1 to `MAX_REPEATS`, or without a positive interval between them that ends.
    """
    if not 1 <= repeats <= MAX_REPEATS:
        raise ValueError(f"repeats is {repeats}, expected 1 to {MAX_REPEATS}")
    if repeats > 1 and not (every_h is not None and 0 < every_h < math.inf):
        raise ValueError("repeats needs every_h, the hours from one administration to the next")
    step_s = 3600 * (every_h or 0.0)
    if not math.isfinite(row.timestamp_s + step_s * repeats):
        raise ValueError(f"every_h is {every_h}, hours from one administration to the next")
    return tuple(
        row.model_copy(update={"timestamp_s": row.timestamp_s + step_s * index}) for index in range(repeats)
    )


def deciding_row(rows: Sequence[Administration]) -> Administration | None:
    """Return the row that defines time zero and the arm: the first test row, else the first control row.

    What was given more than `ACUTE_S` before the session is chronic treatment or prior exposure. It decides
    only when nothing was given since, and then by its last row; of several test substances within that time
    one that was not given chronically too comes first.
    """
    ordered = sorted(rows, key=lambda row: row.timestamp_s)
    chronic = {row.substance for row in rows if _is_chronic(row)}
    acute = [row for row in ordered if row.timestamp_s >= -ACUTE_S]
    for among in (acute, ordered[::-1]):
        tests = [row for row in among if row.role is Role.TEST and not row.is_control]
        fresh = [row for row in tests if row.substance not in chronic]
        controls = [row for row in among if row.is_control]
        for found in (fresh, controls, tests) if among is acute and chronic else (tests, controls):
            if found:
                return found[0]
    return None


def arm_name(rows: Sequence[Administration], *, with_dose: bool = False) -> str:
    """Return the treatment arm of a session, or an empty string when nothing was tested.

    The lower-case substance of the test row (of the control row when there is no test row), with
    ``_<dose>`` when the study has several doses of it, and ``+<substance>`` for each antagonist and each
    other test substance of a chronic treatment before the session.
    """
    row = deciding_row(rows)
    if row is None:
        return ""
    name = row.substance.lower()
    if with_dose and row.dose is not None:
        name += f"_{row.dose:g}"
    added = {each.substance.lower() for each in rows if each.role is Role.ANTAGONIST or _is_chronic(each)}
    return "+".join([name, *sorted(added - {row.substance.lower()})])


def _is_chronic(row: Administration) -> bool:
    return row.role is Role.TEST and not row.is_control and row.timestamp_s < -ACUTE_S


@dataclass(frozen=True, slots=True)
class DrugLogColumn:
    """One column of the stored table: name, dtype, unit, description and the field it comes from.

    ``field`` is the attribute of `Administration`, or empty for identifiers and derived doses.
    """

    name: str
    dtype: Literal["str", "float"]
    unit: str
    description: str
    field: str = ""


_STORED: tuple[tuple[str, Literal["str", "float"], str], ...] = (
    ("time_uncertainty_s", "float", "s"),
    ("substance", "str", ""),
    ("role", "str", ""),
    ("control_kind", "str", ""),
    ("stereochemistry", "str", ""),
    ("salt", "str", ""),
    ("dose_basis", "str", ""),
    ("dose", "float", ""),
    ("dose_unit", "str", ""),
    ("vehicle", "str", ""),
    ("route", "str", ""),
    ("body_weight_g", "float", "g"),
    ("concentration", "float", ""),
    ("concentration_unit", "str", ""),
    ("volume_ml", "float", "mL"),
    ("infusion_rate", "float", ""),
    ("infusion_rate_unit", "str", ""),
    ("lot", "str", ""),
    ("target_structure", "str", ""),
    ("target_ap_mm", "float", "mm"),
    ("target_ml_mm", "float", "mm"),
    ("target_dv_mm", "float", "mm"),
    ("washout_days", "float", "d"),
    ("prior_exposure", "str", ""),
    ("crossover_order", "float", ""),
    ("blinding", "str", ""),
    ("notes", "str", ""),
)
_DESCRIBED = {
    "role": "What the administration is for: " + ", ".join(Role) + ".",
    "control_kind": "Kind of control: " + ", ".join(ControlKind) + ".",
    "stereochemistry": "Stereoisomer given: " + ", ".join(Stereochemistry) + ".",
    "lot": "Lot or batch of the product.",
    "target_ap_mm": "Anterior-posterior position from bregma, anterior positive, mm.",
    "target_ml_mm": "Medio-lateral position from the midline, right positive, mm.",
    "target_dv_mm": "Depth below the pia or skull as the lab counts it, mm.",
    "prior_exposure": "Earlier exposure of the animal to this or related substances.",
    "blinding": "Who did not know the treatment, e.g. experimenter, analyst.",
    "notes": "Free text.",
}


def _column(name: str, dtype: Literal["str", "float"], unit: str) -> DrugLogColumn:
    text = _DESCRIBED.get(name) or Administration.model_fields[name].description or name
    return DrugLogColumn(name, dtype, unit, text, name)


DRUG_LOG_COLUMNS: tuple[DrugLogColumn, ...] = (
    *(_column(*each) for each in _STORED),
    DrugLogColumn("chebi", "str", "", "ChEBI identifier of the substance."),
    DrugLogColumn("pubchem_cid", "str", "", "PubChem compound identifier of the substance."),
    DrugLogColumn("unii", "str", "", "FDA Unique Ingredient Identifier of the substance."),
    DrugLogColumn("cas", "str", "", "CAS Registry Number of the substance."),
    DrugLogColumn(
        "dose_mg_per_kg_free_base",
        "float",
        "mg/kg",
        "Derived: dose in mg of free base per kg of body weight.",
    ),
    DrugLogColumn("dose_umol_per_kg", "float", "umol/kg", "Derived: dose in umol per kg of body weight."),
)


def administration_from_values(values: Mapping[str, Any]) -> Administration:
    """Return the administration that the stored columns describe; the inverse of
    `nwbswitch.schemas.drug_table.stored_values`.

    ``values`` holds ``timestamp`` and ``duration`` (s) and any columns of `DRUG_LOG_COLUMNS` and their
    ``<name>_missing_reason``; identifiers and derived doses are not read.

    Raises
    ------
    ValueError
        When a value does not fit the model (`pydantic.ValidationError` is a ValueError).
    """
    fields: dict[str, Any] = {"timestamp_s": float(values["timestamp"])}
    duration = float(values.get("duration", math.nan))
    fields["duration_s"] = 0.0 if math.isnan(duration) else duration
    missing: dict[str, Any] = {}
    for column in DRUG_LOG_COLUMNS:
        if not column.field:
            continue
        reason = str(values.get(f"{column.name}_missing_reason", "") or "")
        if reason:
            missing[column.field] = reason
        value = values.get(column.name)
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            continue
        if column.dtype == "float":
            number = float(value)
            if not math.isnan(number):
                fields[column.field] = int(number) if column.field == "crossover_order" else number
        else:
            fields[column.field] = str(value)
    return Administration(**fields, missing=missing)


def pharmacology_line(rows: Iterable[Administration]) -> str:
    """Return the drug log as one readable line, in order of time.

    For example ``Ketamine hydrochloride (racemic) 10 mg/kg i.p. at 1380 s; Saline i.p. at 2400 s``.
    """
    ordered = sorted(rows, key=lambda row: row.timestamp_s)
    return "; ".join(_phrase(row) for row in ordered)


def _phrase(row: Administration) -> str:
    known = row.stereochemistry not in (Stereochemistry.UNKNOWN, Stereochemistry.ACHIRAL)
    words = [
        row.substance[:1].upper() + row.substance[1:],
        row.salt,
        f"({row.stereochemistry})" if known else "",
        f"{row.dose:g} {row.dose_unit}".strip() if row.dose is not None else "",
        "(as free base)" if row.salt and row.dose_basis is DoseBasis.FREE_BASE else "",
        row.route,
        f"into {row.target_structure}" if row.target_structure else "",
        f"at {row.timestamp_s:.10g} s",
        f"for {row.duration_s:.10g} s" if row.duration_s else "",
    ]
    line = " ".join(word for word in words if word)
    return re.sub(r"[;\s]+", " ", line)


def drug_keywords(rows: Iterable[Administration]) -> list[str]:
    """Return the names of all substances given, once each, in order of time."""
    ordered = sorted(rows, key=lambda row: row.timestamp_s)
    return list(dict.fromkeys(row.substance for row in ordered))
