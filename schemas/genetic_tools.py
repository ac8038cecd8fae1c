"""Viruses and actuators: what was put into the animal's cells, where, and what it answers to."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from nwbswitch.schemas.stream_base import StudyModel


class ActuatorKind(StrEnum):
    """What an actuator does to the cells that express it."""

    CHEMOGENETIC_INHIBITOR = "chemogenetic inhibitor"
    CHEMOGENETIC_ACTIVATOR = "chemogenetic activator"
    OPTOGENETIC_INHIBITOR = "optogenetic inhibitor"
    OPTOGENETIC_ACTIVATOR = "optogenetic activator"
    KNOCKDOWN = "knockdown"
    TOXIN = "toxin"
    OTHER = "other"


class Virus(StudyModel):
    """One injection of a viral vector, of an indicator or of an actuator."""

    vector: str = Field(min_length=1, description="Viral vector, e.g. AAV1-Syn-GCaMP6s.")
    addgene_id: str = Field("", pattern=r"^\d*$", description="Addgene plasmid number.")
    titer_vg_per_ml: float | None = Field(None, gt=0, description="Titer, viral genomes per mL.")
    volume_nl: float | None = Field(None, gt=0, description="Volume injected, nL.")
    rate_nl_per_min: float | None = Field(None, gt=0, description="Injection rate, nL/min.")
    target_structure: str = Field("", description="Allen Mouse Brain Atlas acronym of the injected region.")
    ap_mm: float | None = Field(None, description="From bregma, anterior positive, mm.")
    ml_mm: float | None = Field(None, description="From the midline, right positive, mm.")
    dv_mm: float | None = Field(None, description="Depth below the pia, positive downward, mm.")
    days_before: float | None = Field(None, ge=0, description="Days from the injection to the session.")
    manufacturer: str = ""
    notes: str = ""


class Actuator(StudyModel):
    """A receptor, channel or toxin that cells were made to express."""

    molecule: str = Field(min_length=1, description="E.g. hM4Di, ChrimsonR, shRNA against Hcn1.")
    kind: ActuatorKind = Field(description="What it does: " + ", ".join(ActuatorKind) + ".")
    cell_type: str = Field("unknown", description="Cells that express it, from the vocabulary.")
    virus: str = Field("", description="Name of the virus that brings it, as under viruses.")
    line: str = Field("", description="Mouse line that expresses it, e.g. Pvalb-Cre; Ai32.")
    ligand: str = Field("", description="Substance it answers to, e.g. clozapine N-oxide.")
    wavelength_nm: float | None = Field(None, gt=0, description="Light it answers to, nm.")
    notes: str = ""
