"""The drug log as rows of plain values and as JSON, for tables, metadata and attributes; and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter

from nwbswitch.schemas.drug_log import Administration, administration_from_values
from nwbswitch.schemas.drug_table import missing_reasons, stored_values

_DRUG_LOG = TypeAdapter(tuple[Administration, ...])


def drug_rows(administrations: Iterable[Administration]) -> list[dict[str, str | float]]:
    """Return each administration as the columns of the stored table, derived doses and reasons among them.

    Times are s on the session clock. A missing number is NaN and a missing word empty, with
    ``<name>_missing_reason`` beside it where the reason is known for any row.
    """
    given = tuple(administrations)
    reasons = [missing_reasons(each) for each in given]
    named = dict.fromkeys(name for each in reasons for name in each)
    return [
        {
            "timestamp": each.timestamp_s,
            "duration": each.duration_s,
            **stored_values(each),
            **{f"{name}_missing_reason": why.get(name, "") for name in named},
        }
        for each, why in zip(given, reasons, strict=True)
    ]


def administrations_of(rows: Iterable[Mapping[str, Any]]) -> tuple[Administration, ...]:
    """Return the administrations of rows that `drug_rows` made; a substance of the lab's own is its name.

    Raises
    ------
    ValueError
        When the values of a row are no administration.
    """
    return tuple(
        administration_from_values({str(name): value for name, value in row.items() if value == value})
        for row in rows
    )


def drug_log_json(administrations: Iterable[Administration]) -> str:
    """Return the drug log as JSON, with all that is stated of substances of the lab's own."""
    return _DRUG_LOG.dump_json(tuple(administrations), exclude_defaults=True).decode()


def drug_log_of(text: str) -> tuple[Administration, ...]:
    """Return the drug log that `drug_log_json` wrote.

    Raises
    ------
    ValueError
        When the text is nothing of the kind.
    """
    return _DRUG_LOG.validate_json(text)
