"""The drug log as a table: read from CSV or Excel, checked, and laid out as the columns stored in NWB."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nwbswitch.schemas.doses import dose_mg_per_kg_free_base, dose_umol_per_kg
from nwbswitch.schemas.drug_checks import (
    MISSING_REASONS,
    canonical_administration,
    check_administration,
    unknown_word,
)
from nwbswitch.schemas.drug_log import (
    DRUG_LOG_COLUMNS,
    Administration,
    ControlKind,
    DoseBasis,
    Role,
    drug_keywords,
    pharmacology_line,
    repeated,
)
from nwbswitch.schemas.errors import StudyError
from nwbswitch.schemas.issues import Issue, Place, Severity, issue, nearest
from nwbswitch.schemas.substance import Stereochemistry, Substance
from nwbswitch.schemas.substances import own_compound, substance_of
from nwbswitch.schemas.text_table import read_lines

__all__ = [
    "DRUG_LOG_COLUMNS",
    "DrugLogRow",
    "canonical_administration",
    "check_administration",
    "drug_keywords",
    "missing_reasons",
    "pharmacology_line",
    "read_drug_log",
    "stored_values",
]


@dataclass(frozen=True, slots=True)
class DrugLogRow:
    """One row of a lab's drug table: which recording session it belongs to, and the administration."""

    subject_id: str
    session_id: str
    administration: Administration
    line: int | None = None


def stored_values(row: Administration) -> dict[str, str | float]:
    """Return the value of each column of `DRUG_LOG_COLUMNS`; a missing one is NaN or an empty string."""
    substance = substance_of(row)
    known = substance.identifiers if substance else {}
    derived: dict[str, Any] = {
        **known,
        "dose_mg_per_kg_free_base": dose_mg_per_kg_free_base(row),
        "dose_umol_per_kg": dose_umol_per_kg(row),
    }
    values: dict[str, str | float] = {}
    for column in DRUG_LOG_COLUMNS:
        value = getattr(row, column.field) if column.field else derived.get(column.name)
        if column.dtype == "float":
            values[column.name] = math.nan if value is None else float(value)
        else:
            values[column.name] = "" if value is None else str(value)
    return values


def missing_reasons(row: Administration) -> dict[str, str]:
    """Return the reason for each stored column that holds no value, where a reason is known.

    Identifiers carry the vocabulary's reason; a derived dose that cannot be settled is ``not derivable``.
    """
    substance = substance_of(row)
    reasons: dict[str, str] = {}
    for column in DRUG_LOG_COLUMNS:
        if column.field:
            if column.field in row.missing:
                reasons[column.name] = row.missing[column.field]
        elif column.name in ("chebi", "pubchem_cid", "unii", "cas"):
            if substance is None:
                reasons[column.name] = "not recorded"
            elif column.name not in substance.identifiers:
                reasons[column.name] = substance.missing.get(column.name, "not recorded")
    if dose_mg_per_kg_free_base(row) is None:
        reasons["dose_mg_per_kg_free_base"] = "not derivable"
    if dose_umol_per_kg(row) is None:
        reasons["dose_umol_per_kg"] = "not derivable"
    return reasons


_KEYS = ("subject_id", "session_id")
_FIELDS = tuple(name for name in Administration.model_fields if name not in ("missing", "compound"))
REGIMEN = ("repeats", "every_h")
"""Columns that make one line a regimen: how many administrations, and the hours from one to the next."""
_REQUIRED = (*_KEYS, "timestamp_s", "substance")
_ENUMS: dict[str, type[Role | ControlKind | Stereochemistry | DoseBasis]] = {
    "role": Role,
    "control_kind": ControlKind,
    "stereochemistry": Stereochemistry,
    "dose_basis": DoseBasis,
}
_NUMBERS = frozenset(
    name
    for name, info in Administration.model_fields.items()
    if "float" in str(info.annotation) or "int" in str(info.annotation)
)
_NOT_NEGATIVE = frozenset(
    name
    for name in _NUMBERS
    if any(hasattr(rule, "ge") or hasattr(rule, "gt") for rule in Administration.model_fields[name].metadata)
)
_FORMULA_START = ("=", "+", "-", "@", "\t", "\r")


@dataclass(slots=True)
class _Reading:
    """What has been read so far: rows and findings."""

    file: Path
    own: tuple[Substance, ...] = ()
    rows: list[DrugLogRow] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)

    def found(self, code: str, message: str, *, line: int | None, item: str = "", remedy: str = "") -> None:
        self.issues.append(issue(code, message, place=Place(self.file, line, item), remedy=remedy))


def read_drug_log(
    path: Path | str, *, sheet: str | None = None, own: Sequence[Substance] = ()
) -> tuple[list[DrugLogRow], list[Issue]]:
    """Read a lab's drug table from CSV or Excel and return its rows and every finding.

    The header names ``subject_id``, ``session_id`` and fields of `Administration`; one line is one
    administration; of a workbook the first sheet is read, or ``sheet``. A value that is missing may be given
    as ``not recorded``, ``not applicable`` or ``withheld``. ``own`` are compounds of the lab that the
    vocabulary does not hold.
    Rows with an error are left out; the others carry the vocabulary's words.

    Raises
    ------
    MissingExtraError
        When the file is Excel and openpyxl is not installed.
    """
    reading = _Reading(Path(path), tuple(own))
    try:
        lines = read_lines(reading.file, sheet=sheet, numeric=_NUMBERS)
    except StudyError as error:
        return [], list(error.issues)
    names = lines[0][1] if lines else []
    if _check_header(names, reading):
        for line, cells in lines[1:]:
            _read_row(dict(zip(names, cells, strict=False)), line, reading, extra=cells[len(names) :])
        _check_duplicates(reading)
    return reading.rows, reading.issues


def _check_header(names: Sequence[str], reading: _Reading) -> bool:
    """Report missing, unknown and repeated columns; return whether rows can be read."""
    known = (*_KEYS, *_FIELDS, *REGIMEN)
    for name in _REQUIRED:
        if name not in names:
            remedy = nearest(name, [each for each in names if each and each not in known])
            remedy = remedy or f"The header must name {', '.join(_REQUIRED)}."
            reading.found("missing-column", f"There is no column {name!r}.", line=1, item=name, remedy=remedy)
    for name, count in Counter(names).items():
        if name and name not in known:
            message = f"The column {name!r} is not used."
            reading.found("unknown-column", message, line=1, item=name, remedy=nearest(name, known))
        elif name and count > 1:
            message = f"The column {name!r} is there {count} times."
            reading.found("duplicate-id", message, line=1, item=name, remedy="Keep one of them.")
    return all(name in names for name in _REQUIRED) and not any(names.count(name) > 1 for name in known)


def _read_row(cells: dict[str, str], line: int, reading: _Reading, *, extra: Sequence[str]) -> None:
    before = len(reading.issues)
    if any(extra):
        reading.found(
            "bad-cell",
            "The line has more cells than the header.",
            line=line,
            remedy="Put text that holds the separator in double quotes.",
        )
    values: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name in (*_KEYS, *_FIELDS):
        text = _unescaped(cells.get(name, ""))
        reason = " ".join(text.casefold().split())
        if name in _REQUIRED and (not text or reason in MISSING_REASONS):
            reading.found("missing-value", f"{name} must be given.", line=line, item=name)
        elif reason in MISSING_REASONS and name != "notes":
            missing[name] = reason
        elif text:
            values[name] = _value(name, text, line, reading)
    if len(reading.issues) > before:
        if values.get("substance"):
            part = own_compound(_readable_part(values, missing), reading.own)
            reading.issues += check_administration(part, Place(reading.file, line))
        return
    subject, session = values.pop("subject_id"), values.pop("session_id")
    row = own_compound(Administration(**values, missing=missing), reading.own)
    findings = check_administration(row, Place(reading.file, line))
    reading.issues += findings
    if any(each.severity is Severity.ERROR for each in findings):
        return
    for each in _regimen(canonical_administration(row), cells, line, reading):
        reading.rows.append(DrugLogRow(subject, session, each, line))


def _regimen(
    row: Administration, cells: dict[str, str], line: int, reading: _Reading
) -> tuple[Administration, ...]:
    """Return the administrations of a line, which are several for a regimen."""
    repeats, every_h = (cells.get(name, "") for name in REGIMEN)
    try:
        return repeated(row, int(repeats or 1), float(every_h) if every_h else None)
    except ValueError as error:
        remedy = "Give repeats as a whole number and every_h in hours, e.g. 14 and 24."
        reading.found("bad-cell", f"{error}.", line=line, item="repeats", remedy=remedy)
        return ()


def _readable_part(values: dict[str, Any], missing: dict[str, str]) -> Administration:
    """Return what could be read of a line with a bad cell, so that its other mistakes are found too."""
    given = {name: value for name, value in values.items() if value is not None and name in _FIELDS}
    unread = {name: "not recorded" for name, value in values.items() if value is None}
    return Administration(**{"timestamp_s": 0.0, **given}, missing={**missing, **unread})


def _value(name: str, text: str, line: int, reading: _Reading) -> Any:
    """Return the cell as the field's type; report and return None when it cannot be read."""
    if name in _ENUMS:
        kinds = _ENUMS[name]
        for kind in kinds:
            if kind.value.casefold() == " ".join(text.casefold().split()):
                return kind
        reading.issues.append(
            unknown_word(name, text, [each.value for each in kinds], Place(reading.file, line))
        )
        return None
    if name not in _NUMBERS:
        return text
    whole = name == "crossover_order"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    expected = "a whole number from 1" if whole else "a number"
    expected += " that is not negative" if name in _NOT_NEGATIVE and not whole else ""
    least = {"body_weight_g": 5e-324, "crossover_order": 1.0}.get(
        name, 0.0 if name in _NOT_NEGATIVE else -math.inf
    )
    if math.isfinite(number) and number >= least and (not whole or number == int(number)):
        return int(number) if whole else number
    comma = re.fullmatch(r"[+-]?[0-9]+,[0-9]+", text)
    remedy = f"Did you mean {text.replace(',', '.')!r}?" if comma else f"Expected {expected}."
    if not math.isfinite(number) and not comma:
        remedy += f" If it is missing, leave it empty or write {', '.join(MISSING_REASONS)}."
    reading.found("bad-cell", f"{name} holds {text!r}.", line=line, item=name, remedy=remedy)
    return None


def _check_duplicates(reading: _Reading) -> None:
    seen: dict[tuple[str, str, float, str], int | None] = {}
    for row in reading.rows:
        given = row.administration
        key = (row.subject_id, row.session_id, given.timestamp_s, given.substance)
        if key in seen:
            event = f"{given.substance} at {given.timestamp_s:g} s"
            message = f"The same administration as in line {seen[key]}: {event}."
            reading.found("duplicate-id", message, line=row.line, remedy="Keep one of the lines.")
        seen.setdefault(key, row.line)


def _unescaped(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA_START) else text
