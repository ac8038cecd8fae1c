"""What annotating would change in one NWB file: compared with what it holds, before anything is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nwbswitch.converters.annotate_inputs import Inputs
from nwbswitch.converters.annotate_target import EPOCHS_PATH, LOG_PATH, Columns, Plane, Target
from nwbswitch.converters.biology.roi_labels import RoiColumn, RoiLabels, roi_labels
from nwbswitch.converters.biology.tracking import shared_identities
from nwbswitch.schemas.drug_log import (
    Administration,
    administration_from_values,
    deciding_row,
    drug_keywords,
    pharmacology_line,
)
from nwbswitch.schemas.epochs import Window
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.files import sha256_file
from nwbswitch.schemas.issues import Place, issue

WindowRow = tuple[float, float, Window]
_UNSAID = ("", "unknown")
_SCORE = "tracking_score"


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts of a file that will be written; None or empty is what stays as it is."""

    target: Target
    rows: tuple[Administration, ...] | None = None
    windows: tuple[WindowRow, ...] | None = None
    plane: str = ""
    columns: tuple[RoiColumn, ...] = ()
    pharmacology: str | None = None
    keywords: tuple[str, ...] | None = None
    changes: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def touched(self) -> frozenset[str]:
        """Paths in the file at and below which anything may differ afterwards."""
        parts: list[tuple[str, object]] = [
            (LOG_PATH, self.rows),
            (EPOCHS_PATH, self.windows),
            ("general/pharmacology", self.pharmacology),
            ("general/keywords", self.keywords),
        ]
        paths = {name for name, part in parts if part is not None}
        paths |= {f"{self.plane}/{column.name}" for column in self.columns}
        return frozenset(paths)


def plan_file(
    target: Target,
    inputs: Inputs,
    *,
    plane: str | None = None,
    subject_id: str | None = None,
    session_id: str | None = None,
) -> Plan:
    """Return what the inputs change in a file.

    Parameters
    ----------
    target, inputs
        The file as it is, and what is to be added.
    plane
        Name of the plane segmentation that labels are for; not needed when there is one only.
    subject_id, session_id
        Which rows of the inputs are for this file; by default those of the file's own subject and session.

    Raises
    ------
    IssuesError
        No rows for this file, or labels that do not fit its ROIs.
    InputFileError
        A source that cannot be read.
    """
    subject, session = subject_id or target.subject_id, session_id or target.session_id
    labelled = inputs.cell_types is not None or inputs.tracking is not None
    if (inputs.drug_log is not None or labelled) and not (subject and session):
        raise IssuesError([_nameless(target, subject, session)])
    rows = inputs.administrations(subject, session)
    held_rows = _held_rows(target)
    parts = [_drugs(target, rows, held_rows, inputs)]
    epochs = inputs.windows(subject, session)
    if epochs is not None:
        from nwbswitch.converters.epochs import absolute

        zero = deciding_row(rows if rows is not None else held_rows)
        windows = absolute(epochs, None if zero is None else zero.timestamp_s)
        parts.append(_windows(target, windows, inputs))
    if labelled:
        parts.append(_labels(target, target.plane(plane), inputs, subject, session))
    return Plan(
        target=target,
        rows=next((part.rows for part in parts if part.rows is not None), None),
        windows=next((part.windows for part in parts if part.windows is not None), None),
        plane=next((part.plane for part in parts if part.plane), ""),
        columns=tuple(column for part in parts for column in part.columns),
        pharmacology=parts[0].pharmacology,
        keywords=parts[0].keywords,
        changes=tuple(each for part in parts for each in part.changes),
        conflicts=tuple(each for part in parts for each in part.conflicts),
        sources=tuple(each for part in parts for each in part.sources),
    )


def _nameless(target: Target, subject: str, session: str) -> Any:
    missing = [name for name, value in (("subject_id", subject), ("session_id", session)) if not value]
    problem = f"The file states no {' and no '.join(missing)}, so no rows can be told to be its."
    flags = ", ".join(f"{name} (--{name.replace('_', '-')})" for name in missing)
    return issue("missing-value", problem, place=Place(target.path), remedy=f"Give {flags}.")


def _held_rows(target: Target) -> tuple[Administration, ...]:
    """Return the administrations that the file holds, those that can be read."""
    columns = target.drug_log or {}
    if "timestamp" not in columns:
        return ()
    found = []
    for index in range(len(columns["timestamp"])):
        values = {name: cells[index] for name, cells in columns.items() if index < len(cells)}
        try:
            found.append(administration_from_values(values))
        except (ValueError, TypeError):
            continue
    return tuple(found)


def _drugs(
    target: Target,
    rows: tuple[Administration, ...] | None,
    held: tuple[Administration, ...],
    inputs: Inputs,
) -> Plan:
    if rows is None:
        return Plan(target)
    from nwbswitch.converters.drug_log import administrations_table

    table = administrations_table(rows)
    wanted = {column.name: list(column.data) for column in table.columns}
    if target.drug_log is not None and _same_table(target.drug_log, wanted):
        return Plan(target)
    text = _pharmacology(target.pharmacology, pharmacology_line(held), pharmacology_line(rows))
    words = _keywords(target.keywords, drug_keywords(held), drug_keywords(rows))
    conflicts = []
    what = "added"
    if target.drug_log is not None:
        what = "replaced"
        conflicts = [f"a drug log of {_count(len(held), 'row')} that differs"]
    changes = [f"drug log of {_count(len(rows), 'row')} {what}"]
    if text != target.pharmacology:
        kept = target.pharmacology and target.pharmacology in text
        changes.append("pharmacology kept and extended" if kept else "pharmacology written")
    if words != target.keywords:
        changes.append("keywords written")
    return Plan(
        target,
        rows=rows,
        pharmacology=text if text != target.pharmacology else None,
        keywords=words if words != target.keywords else None,
        changes=tuple(changes),
        conflicts=tuple(conflicts),
        sources=(f"drug log of {_count(len(rows), 'row')} from {inputs.digests['drug_log']}",),
    )


def _pharmacology(text: str, old_line: str, line: str) -> str:
    """Return the readable text: what a lab wrote is never lost, what an earlier log wrote is replaced."""
    if not text.strip() or text.strip() == old_line:
        return line
    if old_line and old_line in text:
        return text.replace(old_line, line)
    if line in text:
        return text
    end = "" if text.rstrip().endswith((".", ";", "!", "?")) else "."
    return f"{text.rstrip()}{end} Drug log: {line}"


def _keywords(words: tuple[str, ...], old: list[str], new: list[str]) -> tuple[str, ...]:
    stale = {word.casefold() for word in old} - {word.casefold() for word in new}
    kept = [word for word in words if word.casefold() not in stale]
    present = {word.casefold() for word in kept}
    return (*kept, *(word for word in new if word.casefold() not in present))


def _windows(target: Target, windows: Sequence[WindowRow], inputs: Inputs) -> Plan:
    wanted: dict[str, list[Any]] = {
        "start_time": [start for start, _, _ in windows],
        "stop_time": [stop for _, stop, _ in windows],
        "window": [window.value for _, _, window in windows],
    }
    if target.windows is not None and _same_table(target.windows, wanted):
        return Plan(target)
    what, conflicts = "added", []
    if target.windows is not None:
        what, conflicts = "replaced", ["analysis windows that differ"]
    said = _count(len(windows), "analysis window")
    return Plan(
        target,
        windows=tuple(windows),
        changes=(f"{said} {what}",),
        conflicts=tuple(conflicts),
        sources=(f"{said} from {inputs.digests['epochs']}",),
    )


def _labels(target: Target, plane: Plane, inputs: Inputs, subject: str, session: str) -> Plan:
    models = {
        source.kind: source.model(subject, session)
        for source in (inputs.cell_types, inputs.tracking)
        if source is not None
    }
    labels = roi_labels(
        plane.n_rois,
        cell_types=models.get("cell_types"),
        tracking=models.get("tracking"),
        subject_id=subject,
        session_id=session,
        accepted=plane.accepted,
    )
    _refuse_shared_identities(target, plane, labels)
    columns = [column for column in _wanted(plane, labels) if not _same_column(plane, column)]
    if not columns:
        return Plan(target)
    conflicts = [
        f"{plane.name}/{column.name} with other values"
        for column in columns
        if not _says_nothing(plane.labels.get(column.name, []))
    ]
    digests = [_digest(model.path) for model in models.values() if getattr(model, "path", None) is not None]
    sentences = [sentence.rstrip(".") for sentence in labels.sources]
    return Plan(
        target,
        plane=plane.path,
        columns=tuple(columns),
        changes=(f"{plane.name}: {', '.join(column.name for column in columns)} written",),
        conflicts=tuple(conflicts),
        sources=(*sentences, *filter(None, digests)),
    )


def _digest(path: Any) -> str:
    return f"{path.name}: sha256 {sha256_file(path)}" if path.is_file() else ""


def _wanted(plane: Plane, labels: RoiLabels) -> Iterator[RoiColumn]:
    yield from labels.columns
    if "tracking_id" in labels.names and _SCORE not in labels.names and _SCORE in plane.labels:
        import numpy as np

        text = "No score: the neurons were tracked anew without one; NaN."
        yield RoiColumn(_SCORE, text, np.full(plane.n_rois, math.nan))


def _refuse_shared_identities(target: Target, plane: Plane, labels: RoiLabels) -> None:
    planes: dict[str, Any] = {
        each.path: each.labels.get("tracking_id", []) for each in target.planes if each.path != plane.path
    }
    planes[plane.path] = [
        value for column in labels.columns if column.name == "tracking_id" for value in column.values
    ]
    found = shared_identities(planes, Place(target.path))
    if found:
        raise IssuesError(found)


def _same_column(plane: Plane, column: RoiColumn) -> bool:
    held = plane.labels.get(column.name)
    return held is not None and _same_values(held, list(column.values))


def _same_table(held: Columns, wanted: Columns) -> bool:
    """Return whether a stored table holds these columns and no others."""
    return held.keys() == wanted.keys() and all(
        _same_values(held[name], values) for name, values in wanted.items()
    )


def _same_values(held: Sequence[Any], wanted: Sequence[Any]) -> bool:
    return len(held) == len(wanted) and all(map(_same, held, wanted))


def _same(held: Any, wanted: Any) -> bool:
    if isinstance(held, float) and isinstance(wanted, float | int):
        both_missing = math.isnan(held) and math.isnan(wanted)
        return both_missing or math.isclose(held, wanted, rel_tol=1e-12)
    return bool(str(held) == str(wanted))


def _says_nothing(values: Sequence[Any]) -> bool:
    return all(math.isnan(value) if isinstance(value, float) else str(value) in _UNSAID for value in values)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
