"""Reads our own drug log, the table ``/events/drug_administrations``, with the evidence of each value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from nwbswitch.analysis.reading.stored_values import dataset_at, fits, group_at, text_of
from nwbswitch.schemas.drug_log import (
    DRUG_LOG_COLUMNS,
    TABLE_NAME,
    Administration,
    MissingReason,
    administration_from_values,
)
from nwbswitch.schemas.drug_reading.evidence import Confidence, DrugReading, Evidence
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.substance import Substance
from nwbswitch.schemas.substances import own_compound

if TYPE_CHECKING:
    import h5py

PLACE = f"/events/{TABLE_NAME}"
MAX_ROWS = 10_000
"""More administrations than this are not read: MAX_REPEATS of a regimen, ten times over."""
MEANINGS = "substance_meanings"
"""Table with the definitions of a lab's own compounds."""
_MAX_ITEM_BYTES = 65_536
_REASONS = frozenset(get_args(MissingReason))
_TIMES = ("timestamp", "duration")


@dataclass(frozen=True, slots=True)
class _Log:
    """The table's columns as plain values."""

    columns: Mapping[str, Sequence[Any]]
    n_rows: int


def read_drug_log(nwb: h5py.File, name: str) -> DrugReading | None:
    """Return the drug log of a file that nwbswitch wrote, or None where it has none.

    All columns are read, with the reasons of missing values. Every value is stated. A ``pharmacology`` text
    that does not name what the table holds is a finding; the table counts.

    Parameters
    ----------
    nwb : h5py.File
        An open file that the guard has looked at.
    name : str
        The source's name, for messages.

    Raises
    ------
    IssuesError
        For cells that are no administrations, all at once.
    """
    table = group_at(nwb, PLACE.lstrip("/"))
    if table is None:
        return None
    log = _columns(table, name)
    compounds = _compounds(table)
    rows: list[Administration] = []
    found: list[Issue] = []
    for index in range(log.n_rows):
        values = {column: cells[index] for column, cells in log.columns.items()}
        try:
            rows.append(own_compound(administration_from_values(_readable(values)), compounds))
        except (ValueError, TypeError, OverflowError) as error:
            found.append(_bad_row(index, error, name))
    if found:
        raise IssuesError(found)
    rows.sort(key=lambda row: row.timestamp_s)
    evidence = tuple(each for number, row in enumerate(rows) for each in _evidence(number, row))
    issues = tuple(_pharmacology_issues(nwb, rows, name))
    return DrugReading(tuple(rows), evidence, issues)


def _columns(table: h5py.Group, name: str) -> _Log:
    """Return the columns that the drug log defines.

    Raises
    ------
    IssuesError
        Without times or substances, for columns of unequal length, and for too many rows.
    """
    wanted = [*_TIMES, *(column.name for column in DRUG_LOG_COLUMNS)]
    columns: dict[str, list[Any]] = {}
    for column in (*wanted, *(f"{each}_missing_reason" for each in wanted)):
        dataset = dataset_at(table, column)
        if dataset is None:
            continue
        shape = dataset.shape
        if len(shape) != 1 or shape[0] > MAX_ROWS or not fits(dataset):
            raise _refused(name, column, f"has the shape {shape}, expected one value for each of some rows")
        if dataset.dtype.kind not in "biufSUO":
            raise _refused(name, column, "holds neither text nor numbers")
        try:
            values = dataset[()].tolist()
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise _refused(name, column, f"cannot be read ({str(error)[:120]})") from error
        columns[column] = [
            each.decode("utf-8", "replace") if isinstance(each, bytes) else each for each in values
        ]
    for needed in ("timestamp", "substance"):
        if needed not in columns:
            place = Place(name, item=PLACE)
            raise IssuesError(
                [issue("missing-column", f"The drug log has no column {needed!r}.", place=place)]
            )
    lengths = {len(each) for each in columns.values()}
    if len(lengths) > 1:
        raise _refused(name, "", f"has columns of {' and '.join(map(str, sorted(lengths)))} rows")
    return _Log(columns, lengths.pop())


def _compounds(table: h5py.Group) -> list[Substance]:
    """Return the lab's own compounds that the table defines; what cannot be read defines nothing."""
    found = []
    for path in (MEANINGS, f"meanings_tables/{MEANINGS}"):
        dataset = dataset_at(table, f"{path}/definition")
        if dataset is None or len(dataset.shape) != 1 or dataset.shape[0] > MAX_ROWS:
            continue
        if dataset.dtype.kind not in "SO" or not fits(dataset):
            continue
        for each in dataset[()].tolist():
            text = each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each)
            if not text or len(text) > _MAX_ITEM_BYTES:
                continue
            try:
                found.append(Substance.model_validate_json(text))
            except ValueError:
                continue
    return found


def _refused(name: str, column: str, problem: str) -> IssuesError:
    what = f"The column {column!r} of the drug log" if column else "The drug log"
    return IssuesError([issue("bad-cell", f"{what} {problem}.", place=Place(name, item=PLACE))])


def _readable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells without reasons that are not of a drug log, such as *not derivable*."""
    return {
        column: ""
        if column.endswith("_missing_reason") and str(value) not in _REASONS
        else (value.strip("\0") if isinstance(value, str) else value)
        for column, value in values.items()
    }


def _bad_row(index: int, error: Exception, name: str) -> Issue:
    details = getattr(error, "errors", None)
    if callable(details):
        first = details()[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    else:
        problem = " ".join(str(error).split())
    message = f"Row {index + 1} of the drug log: {problem[:200]}."
    return issue("bad-cell", message, place=Place(name, item=PLACE))


def _evidence(number: int, row: Administration) -> Iterator[Evidence]:
    stated = row.model_dump(mode="json", exclude_defaults=True, exclude={"missing", "compound"})
    for field in ("timestamp_s", "substance", "role", "control_kind"):
        stated.setdefault(field, getattr(row, field))
    for field, value in stated.items():
        if value is not None:
            words = f"{value:.10g}" if isinstance(value, float) else str(value)
            yield Evidence(number, field, words, PLACE, words, Confidence.STATED)


def _pharmacology_issues(nwb: h5py.File, rows: Sequence[Administration], name: str) -> Iterator[Issue]:
    """Yield a finding for each row that the mirrored text does not name, and for other drugs that it does."""
    text = text_of(dataset_at(nwb, "general/pharmacology"))
    if not text:
        return
    place = Place(name, item="/general/pharmacology")
    remedy = f"The table {PLACE} counts. Correct whichever of the two is wrong."
    for number, row in enumerate(rows, start=1):
        patterns = {row.substance: rf"(?<!\w){re.escape(row.substance)}(?!\w)"}
        if row.dose is not None:
            dose = f"{row.dose:g}"
            patterns[dose] = rf"(?<![\d.]){re.escape(dose)}(?!\.?\d)"
        absent = [word for word, pattern in patterns.items() if not re.search(pattern, text, re.IGNORECASE)]
        if absent:
            words = " and ".join(map(repr, absent))
            message = f"pharmacology does not mention {words} of row {number} of the drug log."
            yield issue("pharmacology-unlike-log", message, place=place, remedy=remedy)
    for other in _other_substances(text, rows, name):
        message = f"pharmacology says that {other} was given, which the drug log does not have."
        yield issue("pharmacology-unlike-log", message, place=place, remedy=remedy)


def _other_substances(text: str, rows: Sequence[Administration], name: str) -> list[str]:
    from nwbswitch.schemas.drug_reading.evidence import Statement
    from nwbswitch.schemas.drug_reading.reading import read_drugs

    reading = read_drugs([Statement("/general/pharmacology", text)], name=name)
    known = {row.substance.casefold() for row in rows} | {row.vehicle.casefold() for row in rows}
    said = [each.substance for each in reading.administrations]
    return list(dict.fromkeys(word for word in said if word.casefold() not in known))
