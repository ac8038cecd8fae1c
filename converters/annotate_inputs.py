"""What is added to NWB files: drug log, analysis windows, cell types and tracking, as files state them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError

from nwbswitch.converters.biology.lab_table import SESSION_KEYS, LabTable, Line, read_lab_table
from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.drug_table import DrugLogRow, read_drug_log
from nwbswitch.schemas.epochs import Epoch, TimeZero, Window
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.files import sha256_file
from nwbswitch.schemas.issues import Issue, Place, has_errors, issue, nearest
from nwbswitch.schemas.roi_labels import SOURCES, CellTypes, Tracking
from nwbswitch.schemas.study_paths import filled, matches
from nwbswitch.schemas.study_positions import read_yaml

Kind = Literal["cell_types", "tracking"]
EPOCH_COLUMNS = ("window", "start_s", "stop_s")

_MODELS: dict[str, TypeAdapter[Any]] = {
    "cell_types": TypeAdapter(CellTypes),
    "tracking": TypeAdapter(Tracking),
}
_TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".xlsm")


@dataclass(frozen=True, slots=True)
class EpochRow:
    """An analysis window, and the subject and session it is for; an empty text is all of them."""

    subject_id: str
    session_id: str
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class LabelSource:
    """Where labels of ROIs come from: the keys of the study file, and the folder their paths count from."""

    kind: Kind
    values: Mapping[str, Any]
    root: Path | None
    file: Path | None

    def model(self, subject_id: str, session_id: str) -> Any:
        """Return the source for one session: names in braces filled in, wildcards resolved to one file.

        Raises
        ------
        IssuesError
            A path that matches no file or several, or keys that do not fit.
        """
        place = Place(self.file, item=self.kind)
        values = dict(self.values)
        path = values.get("path")
        if self.root is not None and isinstance(path, str):
            pattern, found = filled(path, {"subject_id": subject_id, "session_id": session_id}, place)
            files, missing = matches(self.root, pattern, place, folder=None)
            if found or missing:
                raise IssuesError([*found, *missing])
            values["path"] = files[0]
        return _validated(self.kind, values, place)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that is to be added to files, read and checked; None is what was not given."""

    drug_log: tuple[DrugLogRow, ...] | None = None
    epochs: tuple[EpochRow, ...] | None = None
    cell_types: LabelSource | None = None
    tracking: LabelSource | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 by ``drug_log`` and ``epochs``, with the file's name in front."""
    warnings: tuple[Issue, ...] = ()

    def administrations(self, subject_id: str, session_id: str) -> tuple[Administration, ...] | None:
        """Return the rows of a session's drug log, in order of time; None when no log was given.

        Raises
        ------
        IssuesError
            When the log has no row for this session; the message names the nearest identifiers.
        """
        if self.drug_log is None:
            return None
        keys = [(row.subject_id, row.session_id) for row in self.drug_log]
        mine = [row for row, key in zip(self.drug_log, keys, strict=True) if key == (subject_id, session_id)]
        if not mine:
            raise IssuesError([_no_row("drug log", subject_id, session_id, keys)])
        return tuple(
            sorted(
                (row.administration for row in mine), key=lambda administration: administration.timestamp_s
            )
        )

    def windows(self, subject_id: str, session_id: str) -> tuple[Epoch, ...] | None:
        """Return the analysis windows of a session; None when none were given.

        Raises
        ------
        IssuesError
            When the table has no row for this session.
        """
        if self.epochs is None:
            return None
        mine = [
            row.epoch
            for row in self.epochs
            if row.subject_id in ("", subject_id) and row.session_id in ("", session_id)
        ]
        if not mine:
            keys = [(row.subject_id, row.session_id) for row in self.epochs]
            raise IssuesError([_no_row("table of analysis windows", subject_id, session_id, keys)])
        return tuple(mine)


def read_inputs(
    *,
    drug_log: Path | str | None = None,
    epochs: Path | str | None = None,
    cell_types: Path | str | BaseModel | None = None,
    tracking: Path | str | BaseModel | None = None,
) -> Inputs:
    """Return what is to be added, with every mistake in any of the files reported at once.

    Parameters
    ----------
    drug_log, epochs
        Tables, CSV or Excel (``log.xlsx#Sheet2``).
    cell_types, tracking
        A table, a YAML file with the keys that an ROI stream of a study file has under the same name, or
        the model itself.

    Raises
    ------
    IssuesError
        With all mistakes.
    InputFileError
        A file that cannot be read.
    """
    found: list[Issue] = []
    digests = {}
    rows: tuple[DrugLogRow, ...] | None = None
    windows: tuple[EpochRow, ...] | None = None
    if drug_log is not None:
        path, sheet = _with_sheet(drug_log)
        read, issues = read_drug_log(path, sheet=sheet)
        found += issues
        rows = tuple(read)
        if not has_errors(issues):
            digests["drug_log"] = _named_digest(path)
    if epochs is not None:
        path, sheet = _with_sheet(epochs)
        windows, issues = _read_epochs(path, sheet)
        found += issues
        if not has_errors(issues):
            digests["epochs"] = _named_digest(path)
    labels: dict[str, LabelSource | None] = {}
    for kind, given in (("cell_types", cell_types), ("tracking", tracking)):
        try:
            labels[kind] = None if given is None else _label_source(kind, given)  # type: ignore[arg-type]
        except IssuesError as error:
            found += error.issues
    if has_errors(found):
        raise IssuesError(found)
    return Inputs(rows, windows, labels["cell_types"], labels["tracking"], digests, tuple(found))


def _named_digest(path: Path) -> str:
    return f"{path.name} (sha256 {sha256_file(path)})"


def _with_sheet(path: Path | str) -> tuple[Path, str | None]:
    """Return path and sheet of ``log.xlsx#Sheet2``."""
    text = str(path)
    head, mark, sheet = text.rpartition("#")
    if mark and head.lower().endswith((".xlsx", ".xlsm")) and not Path(text).exists():
        return Path(head), sheet
    return Path(text), None


def _no_row(what: str, subject_id: str, session_id: str, keys: list[tuple[str, str]]) -> Issue:
    own = sorted({session for subject, session in keys if subject in ("", subject_id)})
    subjects = sorted({subject for subject, _ in keys})
    if own:
        remedy = nearest(session_id, own) or f"It has the sessions {', '.join(own)[:200]} of {subject_id!r}."
    else:
        remedy = nearest(subject_id, subjects) or f"It has the subjects {', '.join(subjects)[:200]}."
    message = f"The {what} has no row for subject {subject_id!r}, session {session_id!r}."
    return issue("unknown-word", message, remedy=remedy)


def _read_epochs(path: Path, sheet: str | None) -> tuple[tuple[EpochRow, ...], list[Issue]]:
    """Return the windows of a table with columns window, start_s, stop_s, and what is wrong with it."""
    try:
        table = read_lab_table(path, sheet=sheet, numeric=EPOCH_COLUMNS[1:])
        table.require(*EPOCH_COLUMNS)
    except IssuesError as error:
        return (), list(error.issues)
    known = (*EPOCH_COLUMNS, "relative_to", *SESSION_KEYS)
    for name in table.columns:
        if name not in known:
            message = f"The column {name!r} is not used."
            table.found("unknown-column", message, item=name, remedy=nearest(name, known))
    rows = []
    for line in table.lines:
        epoch = _epoch(table, line)
        if epoch is not None:
            rows.append(EpochRow(line.cells.get("subject_id", ""), line.cells.get("session_id", ""), epoch))
    return tuple(rows), table.issues


def _epoch(table: LabTable, line: Line) -> Epoch | None:
    before = len(table.issues)
    values: dict[str, Any] = {}
    for name, words in (("window", tuple(Window)), ("relative_to", tuple(TimeZero))):
        text = line.cells.get(name, "")
        if name == "relative_to" and not text:
            continue
        if text not in words:
            remedy = nearest(text, words) or f"Expected one of {', '.join(words)}."
            table.found("unknown-word", f"{name} is {text!r}.", line=line, item=name, remedy=remedy)
        values[name] = text
    for name in EPOCH_COLUMNS[1:]:
        values[name] = table.number(line, name)
        if not line.cells.get(name, ""):
            table.found("missing-value", f"{name} must be given.", line=line, item=name)
    if len(table.issues) > before:
        return None
    try:
        return Epoch(**values)
    except ValidationError as error:
        reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        table.found("wrong-value", f"{reason}.", line=line)
        return None


def _label_source(kind: Kind, given: Path | str | BaseModel) -> LabelSource:
    if isinstance(given, BaseModel):
        return LabelSource(kind, given.model_dump(), None, None)
    path = Path(given)
    if path.suffix.lower() in (".yaml", ".yml"):
        document = read_yaml(path)
        if has_errors(document.issues):
            raise IssuesError(document.issues)
        if not isinstance(document.value, dict):
            message = "The file must hold keys: source, path and those of the source."
            raise IssuesError([issue("wrong-value", message, place=Place(path, 1))])
        source = LabelSource(kind, document.value, path.absolute().parent, path)
        # Mistakes that do not depend on the session are told before any file is opened.
        _validated(kind, dict(document.value), Place(path, item=kind))
        return source
    table, sheet = _with_sheet(given)
    if table.suffix.lower() not in _TABLES:
        message = f"{table.name} is neither a table nor a YAML file."
        remedy = f"Write a YAML file that names it: source, path, and the keys of {kind} in a study file."
        raise IssuesError([issue("wrong-value", message, place=Place(table), remedy=remedy)])
    if not table.is_file():
        raise IssuesError([issue("missing-file", "The file is not there.", place=Place(table))])
    return LabelSource(kind, {"source": "table", "path": table, "sheet": sheet}, None, table)


def _validated(kind: Kind, values: Mapping[str, Any], place: Place) -> Any:
    try:
        return _MODELS[kind].validate_python(dict(values))
    except ValidationError as error:
        found = [_said(each, kind, place) for each in error.errors(include_url=False)]
        raise IssuesError(found) from error


def _said(error: Any, kind: Kind, place: Place) -> Issue:
    """Return what pydantic found in the words of the file."""
    where = Place(place.file, place.line, kind)
    if error["type"] in ("union_tag_not_found", "union_tag_invalid"):
        word = str(error.get("ctx", {}).get("tag", ""))
        message = f"There is no source {word!r}." if word else "The source is not given."
        remedy = nearest(word, SOURCES[kind]) or f"Sources: {', '.join(SOURCES[kind])}."
        return issue("wrong-value", message, place=where, remedy=remedy)
    name = ".".join(map(str, error["loc"][1:]))
    text = str(error["msg"]).removeprefix("Value error, ")
    return issue("wrong-value", f"{name}: {text}." if name else f"{text}.", place=where)
