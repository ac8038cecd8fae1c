"""The drug log interface: administrations into a core EventsTable that any NWB reader opens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hdmf.common import MeaningsTable, VectorData
from neuroconv.basedatainterface import BaseDataInterface
from neuroconv.utils import DeepDict
from pynwb import NWBFile
from pynwb.event import DurationVectorData, EventsTable, TimestampVectorData

from nwbswitch.converters.own_compounds import compound_meanings
from nwbswitch.schemas.drug_log import (
    DRUG_LOG_COLUMNS,
    TABLE_NAME,
    Administration,
    ControlKind,
    DoseBasis,
    DrugLogColumn,
    Role,
)
from nwbswitch.schemas.drug_table import (
    drug_keywords,
    missing_reasons,
    pharmacology_line,
    read_drug_log,
    stored_values,
)
from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.issues import has_errors
from nwbswitch.schemas.substance import Stereochemistry
from nwbswitch.schemas.substances import substance_of

DESCRIPTION = (
    "Drug log: one row per administration of a substance at a constant dose, controls included. A missing "
    "value is NaN or an empty text, with its reason in the column <name>_missing_reason."
)
SOURCE = "Drug log of the experimenter."
NOT_RECORDED = "not recorded"
REASON_SUFFIX = "_missing_reason"

# Always written, so that readers find them; the other columns are written when a row has a value or a reason.
ALWAYS = frozenset(
    (
        "time_uncertainty_s",
        "substance",
        "role",
        "control_kind",
        "stereochemistry",
        "salt",
        "dose_basis",
        "dose",
        "dose_unit",
        "vehicle",
        "route",
        "chebi",
        "pubchem_cid",
        "unii",
        "cas",
        "dose_mg_per_kg_free_base",
        "dose_umol_per_kg",
    )
)
# Here an empty text is a value: no salt.
_EMPTY_IS_A_VALUE = frozenset(("salt",))

MEANINGS: dict[str, dict[str, str]] = {
    "role": {
        Role.TEST: "The substance whose effect is studied, or its control.",
        Role.VEHICLE: "What a substance was dissolved in, given alone.",
        Role.ANTAGONIST: "Given to block the effect of another substance.",
        Role.ACTUATOR_LIGAND: "Activates an engineered receptor, e.g. a DREADD.",
        Role.ANAESTHETIC: "Given for anaesthesia.",
        Role.ANALGESIC: "Given against pain.",
    },
    "control_kind": {
        ControlKind.NONE: "Not a control.",
        ControlKind.SALINE: "Saline in place of the test substance.",
        ControlKind.VEHICLE: "Vehicle without the test substance.",
        ControlKind.SHAM: "The procedure without any injection.",
        ControlKind.PSEUDO: "A time at which nothing was given, chosen for analysis.",
    },
    "stereochemistry": {
        Stereochemistry.RACEMIC: "Equal parts of both enantiomers.",
        Stereochemistry.S: "The S enantiomer.",
        Stereochemistry.R: "The R enantiomer.",
        Stereochemistry.ACHIRAL: "The substance has no stereoisomers that matter.",
        Stereochemistry.UNKNOWN: "Not stated.",
    },
    "dose_basis": {
        DoseBasis.SALT: "The dose counts the salt.",
        DoseBasis.FREE_BASE: "The dose counts the free base.",
        "": "Missing, see dose_basis_missing_reason.",
    },
}

# Identifier kind to prefix and resolver.
REGISTRIES: dict[str, tuple[str, str]] = {
    "chebi": ("", "http://purl.obolibrary.org/obo/{}"),
    "pubchem_cid": ("PubChem:", "https://pubchem.ncbi.nlm.nih.gov/compound/{}"),
    "unii": ("UNII:", "https://precision.fda.gov/uniisearch/srs/unii/{}"),
    "cas": ("CAS:", "https://commonchemistry.cas.org/detail?cas_rn={}"),
}


class DrugLogInterface(BaseDataInterface):  # type: ignore[misc]
    """The administrations of one session.

    Parameters
    ----------
    administrations : list of dict
        One per administration, with the fields of nwbswitch.schemas.drug_log.Administration.
    """

    display_name = "Drug log"
    keywords = ("drug", "pharmacology", "events")
    associated_suffixes = (".csv", ".xlsx")
    info = "Writes the drug log of a session as an events table."

    def __init__(self, *, administrations: list[dict[str, Any]]) -> None:
        """Check the rows."""
        super().__init__(administrations=administrations)
        rows = [Administration.model_validate(each) for each in administrations]
        self.rows = sorted(rows, key=lambda row: row.timestamp_s)

    @classmethod
    def from_file(cls, path: Path | str, *, subject_id: str, session_id: str) -> DrugLogInterface:
        """Return the interface for one session of a lab's drug table.

        Raises
        ------
        TableError
            The table has mistakes.
        """
        rows, issues = read_drug_log(path)
        if has_errors(issues):
            raise TableError(issues)
        mine = [row for row in rows if (row.subject_id, row.session_id) == (subject_id, session_id)]
        return cls(administrations=[row.administration.model_dump(mode="json") for row in mine])

    def get_metadata(self) -> DeepDict:
        """Return the drug log as the text of ``pharmacology`` and as keywords."""
        metadata = super().get_metadata()
        if self.rows:
            metadata["NWBFile"].deep_update(
                pharmacology=pharmacology_line(self.rows), keywords=drug_keywords(self.rows)
            )
        return metadata

    def add_to_nwbfile(self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None) -> None:
        """Add the events table, and pharmacology and keywords where the file has none yet.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives the table; without administrations it stays as it is.
        metadata : dict
            Not used: all there is to say comes with the administrations.
        """
        if not self.rows:
            return
        table = administrations_table(self.rows)
        nwbfile.add_events_table(table)
        _link_substances(nwbfile, table, self.rows)
        if nwbfile.pharmacology is None:
            nwbfile.pharmacology = pharmacology_line(self.rows)
        if nwbfile.keywords is None:
            nwbfile.keywords = drug_keywords(self.rows)


def administrations_table(rows: Sequence[Administration]) -> EventsTable:
    """Return the events table of a drug log, its rows in order of time."""
    ordered = sorted(rows, key=lambda row: row.timestamp_s)
    columns: list[VectorData] = [
        TimestampVectorData(
            name="timestamp",
            description="Start of the administration on the session clock, s; negative before the recording.",
            data=[float(row.timestamp_s) for row in ordered],
        ),
        DurationVectorData(
            name="duration",
            description="Duration of the administration, s; 0 for a bolus.",
            data=[float(row.duration_s) for row in ordered],
        ),
        *_described_columns(ordered),
    ]
    by_name = {column.name: column for column in columns}
    return EventsTable(
        name=TABLE_NAME,
        description=DESCRIPTION,
        source_description=SOURCE,
        columns=columns,
        colnames=[column.name for column in columns],
        meanings_tables=[
            *(_meanings(by_name[name], words) for name, words in MEANINGS.items()),
            *compound_meanings(by_name["substance"], ordered),
        ],
    )


def _described_columns(rows: Sequence[Administration]) -> list[VectorData]:
    values = [stored_values(row) for row in rows]
    stated = [_stated_reasons(row) for row in rows]
    found = []
    for column in DRUG_LOG_COLUMNS:
        name = column.name
        cells = [each[name] for each in values]
        reasons = [
            _reason(column, cell, each, row) for cell, each, row in zip(cells, stated, rows, strict=True)
        ]
        present = any(not _is_missing(cell) for cell in cells) or any(name in each for each in stated)
        if name not in ALWAYS and not present:
            continue
        unit = f" Unit: {column.unit}." if column.unit and column.unit not in column.description else ""
        found.append(VectorData(name=name, description=column.description + unit, data=cells))
        if any(reasons):
            text = f"Why {name} has no value; empty where it has one."
            found.append(VectorData(name=name + REASON_SUFFIX, description=text, data=reasons))
    return found


def _stated_reasons(row: Administration) -> dict[str, str]:
    """Return the reasons that are known; unit and basis of a dose that is missing share its reason."""
    stated = missing_reasons(row)
    if "dose" in stated:
        stated = {"dose_unit": stated["dose"], "dose_basis": stated["dose"], **stated}
    return stated


def _is_missing(cell: str | float) -> bool:
    return cell == "" or (isinstance(cell, float) and math.isnan(cell))


def _reason(column: DrugLogColumn, cell: str | float, stated: Mapping[str, str], row: Administration) -> str:
    """Return why a cell is empty. A dose that is missing without a reason stays a finding of the check."""
    if not _is_missing(cell):
        return ""
    if column.name in stated:
        return stated[column.name]
    silent = column.name in _EMPTY_IS_A_VALUE or (column.name == "dose" and not row.is_control)
    return "" if silent else NOT_RECORDED


def _meanings(column: VectorData, words: Mapping[str, str]) -> MeaningsTable:
    table = MeaningsTable(target=column, description=f"Meanings of the values of {column.name}.")
    for value, meaning in words.items():
        if value or "" in column.data:
            table.add_row(value=str(value), meaning=meaning)
    return table


def _link_substances(nwbfile: NWBFile, table: EventsTable, rows: Sequence[Administration]) -> None:
    """Link every substance with a known identifier to its registries (HERD external resources)."""
    for name, row in {row.substance: row for row in rows}.items():
        substance = substance_of(row)
        key: Any = name
        for kind, value in (substance.identifiers if substance else {}).items():
            prefix, resolver = REGISTRIES[kind]
            resources = nwbfile.get_external_resources()
            resources.add_ref(
                container=table,
                attribute="substance",
                key=key,
                entity_id=prefix + value,
                entity_uri=resolver.format(value.replace("CHEBI:", "CHEBI_")),
            )
            key = resources.get_key(name)
