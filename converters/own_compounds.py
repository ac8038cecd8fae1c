"""Compounds of the lab in the drug log of an NWB file: a reader can follow doses to the formula."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.substance import Substance

if TYPE_CHECKING:
    from hdmf.common import MeaningsTable, VectorData

DEFINITION = "definition"
MAX_CHARACTERS = 100_000


def compound_meanings(column: VectorData, rows: Sequence[Administration]) -> list[MeaningsTable]:
    """Return the meanings of the column substance where the lab has compounds of its own; else none.

    Parameters
    ----------
    column
        The column substance.
    rows
        Its administrations, some of which may carry a compound.
    """
    from hdmf.common import MeaningsTable

    own = {row.substance: row.compound for row in rows if row.compound is not None}
    if not own:
        return []
    table = MeaningsTable(target=column, description="Meanings of the values of substance.")
    table.add_column(DEFINITION, "Names, formula, salts and identifiers of a compound of the lab, as JSON.")
    for name in dict.fromkeys(row.substance for row in rows):
        compound = own.get(name)
        table.add_row(
            value=name,
            meaning="In the vocabulary of substances." if compound is None else _sentence(compound),
            definition="" if compound is None else compound.model_dump_json(exclude_defaults=True),
        )
    return [table]


def _sentence(compound: Substance) -> str:
    words = ["Compound of the lab, not in the vocabulary of substances."]
    words += [f"Formula {compound.formula}."] if compound.formula else []
    words += [f"{name.capitalize()}: {formula}." for name, formula in compound.salts.items()]
    return " ".join(words)


def stored_compounds(log: Any) -> list[Substance]:
    """Return the compounds that a drug log defines; definitions that cannot be read define nothing."""
    tables = getattr(log, "meanings_tables", None) or {}
    table = tables.get("substance_meanings")
    if table is None or DEFINITION not in table.colnames:
        return []
    found = []
    for text in map(str, table[DEFINITION][:]):
        if not text or len(text) > MAX_CHARACTERS:
            continue
        try:
            found.append(Substance.model_validate_json(text))
        except ValidationError:
            continue
    return found
