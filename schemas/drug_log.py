"""The drug log: one row per administration at a constant dose, and what follows from it.

The event model is that of CDISC SEND domain EX. Derived values (dose in mg/kg and umol/kg of free base)
are computed in `nwbswitch.schemas.doses`, never typed.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

TABLE_NAME = "drug_administrations"
EPOCHS_NAME = "analysis_epochs"

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


class Stereochemistry(StrEnum):
    """Which stereoisomer was given."""

    RACEMIC = "racemic"
    S = "S"
    R = "R"
    ACHIRAL = "achiral"
    UNKNOWN = "unknown"


class DoseBasis(StrEnum):
    """Whether the stated dose counts the salt or the free base."""

    SALT = "salt"
    FREE_BASE = "free base"


class Administration(BaseModel):
    """One administration at a constant dose. Times are seconds on the session clock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    missing: dict[str, MissingReason] = Field(
        default_factory=dict, description="Field name to the reason why it has no value."
    )

    @property
    def is_control(self) -> bool:
        """Whether this row is the control that stands in for a test substance."""
        return self.control_kind is not ControlKind.NONE


def deciding_row(rows: Sequence[Administration]) -> Administration | None:
    """Return the row that defines time zero and the arm: the first test row, else the first control row."""
    ordered = sorted(rows, key=lambda row: row.timestamp_s)
    tests = [row for row in ordered if row.role is Role.TEST and not row.is_control]
    controls = [row for row in ordered if row.is_control]
    return next(iter(tests or controls), None)


def arm_name(rows: Sequence[Administration], *, with_dose: bool = False) -> str:
    """Return the treatment arm of a session, or an empty string when nothing was tested.

    The lower-case substance of the test row (of the control row when there is no test row), with
    ``_<dose>`` when the study has several doses of it and ``+<antagonist>`` for each antagonist.
    """
    row = deciding_row(rows)
    if row is None:
        return ""
    name = row.substance.lower()
    if with_dose and row.dose is not None:
        name += f"_{row.dose:g}"
    antagonists = sorted({each.substance.lower() for each in rows if each.role is Role.ANTAGONIST})
    return "+".join([name, *antagonists])
