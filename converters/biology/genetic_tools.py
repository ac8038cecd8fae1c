"""Viruses and actuators of a session in its NWB file: tables for programs, sentences for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from nwbswitch.schemas.genetic_tools import Actuator, Virus

if TYPE_CHECKING:
    from hdmf.common import DynamicTable
    from pynwb import NWBFile

MODULE_NAME = "genetic_tools"
MODULE_DESCRIPTION = "What cells were made to express: viral injections and actuators."
VIRUSES = ("viral_injections", "One row per injection of a viral vector.")
ACTUATORS = ("actuators", "One row per receptor, channel or toxin that cells were made to express.")


def add_genetic_tools(
    nwbfile: NWBFile, viruses: Mapping[str, Virus], actuators: Mapping[str, Actuator]
) -> None:
    """Add the tables to the processing module genetic_tools, and ``virus`` as text; nothing without any.

    Parameters
    ----------
    nwbfile
        Receives both; a text that is there already is kept.
    viruses, actuators
        By name, as in the study file.
    """
    if not viruses and not actuators:
        return
    module = nwbfile.create_processing_module(name=MODULE_NAME, description=MODULE_DESCRIPTION)
    if viruses:
        module.add(_table(VIRUSES, Virus, viruses))
        if nwbfile.virus is None:
            nwbfile.virus = virus_line(viruses)
    if actuators:
        module.add(_table(ACTUATORS, Actuator, actuators))


def virus_line(viruses: Mapping[str, Virus]) -> str:
    """Return the injections as one readable line."""
    return "; ".join(_sentence(each) for each in viruses.values())


def _sentence(virus: Virus) -> str:
    place = [f"{axis.upper()} {value:g} mm" for axis, value in _coordinates(virus).items()]
    words = [
        virus.vector,
        f"(Addgene {virus.addgene_id})" if virus.addgene_id else "",
        f"{virus.titer_vg_per_ml:.3g} vg/mL" if virus.titer_vg_per_ml is not None else "",
        f"{virus.volume_nl:g} nL" if virus.volume_nl is not None else "",
        f"into {virus.target_structure}" if virus.target_structure else "",
        f"at {', '.join(place)}" if place else "",
        f"{virus.days_before:g} days before the session" if virus.days_before is not None else "",
    ]
    return " ".join(word for word in words if word)


def _coordinates(virus: Virus) -> dict[str, float]:
    stated = {"ap": virus.ap_mm, "ml": virus.ml_mm, "dv": virus.dv_mm}
    return {axis: value for axis, value in stated.items() if value is not None}


def _table(what: tuple[str, str], model: type[BaseModel], rows: Mapping[str, BaseModel]) -> DynamicTable:
    from hdmf.common import DynamicTable, VectorData

    columns = [VectorData(name="label", description="Name in the study.", data=list(rows))]
    for name, field in model.model_fields.items():
        values = [getattr(row, name) for row in rows.values()]
        columns.append(
            VectorData(
                name=name,
                description=field.description or name.replace("_", " ").capitalize() + ".",
                data=[_stored(value, is_number="float" in str(field.annotation)) for value in values],
            )
        )
    return DynamicTable(name=what[0], description=f"{what[1]} NaN or empty: not stated.", columns=columns)


def _stored(value: Any, *, is_number: bool) -> float | str:
    if is_number:
        return math.nan if value is None else float(value)
    return str(value)
