"""The study file of a lab, read as a whole: either a resolved `Study`, or every mistake in it at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.errors import StudyError
from nwbswitch.schemas.issues import Issue, Place, has_errors, issue, nearest
from nwbswitch.schemas.merge import merged
from nwbswitch.schemas.study import Session, Study, Subject
from nwbswitch.schemas.study_document import Defaults, SessionEntry, Settings, StudyDocument, StudyHeader
from nwbswitch.schemas.study_drugs import session_drugs
from nwbswitch.schemas.study_findings import shown, unknown_key
from nwbswitch.schemas.study_paths import expanded_root, names_in
from nwbswitch.schemas.study_positions import moved, place_of, read_yaml
from nwbswitch.schemas.study_reader import SessionKey, StudyReader
from nwbswitch.schemas.study_sessions import Draft, Layer, Surroundings, resolve_session
from nwbswitch.schemas.study_tables import Row

_NOBODY = Layer({}, {})


@dataclass(frozen=True, slots=True)
class LoadedStudy:
    """A study without mistakes, the folder of its study file, and what deserves attention.

    ``files`` are the study file and the tables it names, in the order in which they were read.
    """

    study: Study
    root: Path
    warnings: list[Issue]
    files: tuple[Path, ...]


def load_study(path: Path | str) -> LoadedStudy:
    """Return the study that a study file describes, with defaults merged, tables read and files found.

    Raises
    ------
    StudyError
        With all mistakes at once, each with file, line, what was expected and the nearest valid word.
    MissingExtraError
        When a table is an Excel workbook and openpyxl is not installed.
    """
    file = Path(path)
    document = read_yaml(file)
    if not isinstance(document.value, dict):
        message = "The file does not hold a mapping with study, subjects and sessions."
        raise StudyError([*document.issues, issue("wrong-value", message, place=Place(file, 1))])
    reader = StudyReader(file, document)
    for key in reader.value:
        if key not in StudyDocument.model_fields:
            reader.issues.append(unknown_key(key, reader.place(key), StudyDocument.model_fields))
    header = _header(reader)
    sessions = _sessions(reader)
    # One mistake in the defaults is met in every session, at times with another remedy.
    once: dict[tuple[str, Place, str], Issue] = {}
    for each in reader.issues:
        once.setdefault((each.code, each.place, each.message), each)
    found = sorted(once.values(), key=_order)
    if has_errors(found) or header is None:
        raise StudyError(found)
    return LoadedStudy(
        Study(**dict(header), sessions=tuple(sessions)), reader.root, found, tuple(reader.files)
    )


def _order(found: Issue) -> tuple[str, int]:
    return str(found.place.file or ""), found.place.line or 0


def _header(reader: StudyReader) -> StudyHeader | None:
    value = reader.value.get("study")
    if value is None:
        remedy = "Begin with study: and its name and title."
        reader.report("missing-value", "The section study is not there.", reader.place(), remedy)
        return None
    if not isinstance(value, dict):
        reader.report("wrong-value", f"study is {shown(value)}, expected a mapping.", reader.place("study"))
        return None
    return reader.validated(StudyHeader, value, moved(reader.places, ("study",)))


def _timezone(reader: StudyReader) -> ZoneInfo | None:
    name = reader.text("timezone")
    if not name:
        return None
    known = available_timezones()
    if name in known:
        return ZoneInfo(name)
    # Abbreviations are like each other, not like the zone that is meant.
    remedy = nearest(name, known, cutoff=0.6 if "/" in name else 0.9)
    remedy = remedy or "Expected an IANA name such as Europe/Berlin."
    reader.report("unknown-word", f"There is no timezone {name!r}.", reader.place("timezone"), remedy)
    return ZoneInfo("UTC")


def _data_root(reader: StudyReader) -> Path:
    text = reader.text("data_root")
    if not text:
        return reader.root
    root, found = expanded_root(text, reader.root, reader.place("data_root"))
    reader.issues += found
    return root


def _defaults(reader: StudyReader) -> Layer:
    value = reader.value.get("defaults")
    if value is not None and not isinstance(value, dict):
        message = f"defaults is {shown(value)}, expected a mapping."
        reader.report("wrong-value", message, reader.place("defaults"))
    value = value if isinstance(value, dict) else {}
    known = Defaults.model_fields
    for key in value:
        if key not in known:
            place = reader.place("defaults", key)
            reader.issues.append(unknown_key(key, place, known, within="defaults"))
    kept = {key: each for key, each in value.items() if key in known}
    return Layer(kept, moved(reader.places, ("defaults",)))


def _subjects(reader: StudyReader) -> dict[str, Layer]:
    """Return the settings of each animal by identifier, its own fields under ``subject``."""
    rows, table = reader.rows("subjects", ["subject_id"])
    known = [*Subject.model_fields, *Settings.model_fields]
    found: dict[str, Layer] = {}
    for row in rows:
        reader.extra_keys(row, known, (), table=table)
        name = reader.identifier(row, "subject_id")
        if name is None:
            continue
        if name in found:
            first = place_of(found[name].places, ("subject", "subject_id")).line
            message = f"The subject {name!r} is there twice; the first is in line {first}."
            reader.report("duplicate-id", message, place_of(row.places, ("subject_id",)))
            continue
        own = {key: each for key, each in row.value.items() if key in Subject.model_fields}
        settings = {key: each for key, each in row.value.items() if key in Settings.model_fields}
        places = {path: place for path, place in row.places.items() if path[:1] and path[0] in settings}
        found[name] = Layer({**settings, "subject": own}, {**places, **moved(row.places, (), ("subject",))})
    return found


def _entries(
    reader: StudyReader, layers: Iterable[Layer], subjects: Mapping[str, Layer]
) -> dict[SessionKey, Row]:
    """Return the sessions as they are written, by subject and session."""
    rows, table = reader.rows("sessions", ["subject_id", "session_id"])
    if not rows and not has_errors(reader.issues):
        reader.report("missing-value", "There are no sessions.", reader.place("sessions"))
    settings = [*(layer.value for layer in layers), *(row.value for row in rows)]
    used = {name for each in settings for name in _template_names(each)}
    found: dict[SessionKey, Row] = {}
    for row in rows:
        reader.extra_keys(row, SessionEntry.model_fields, used, table=table)
        subject, name = reader.identifier(row, "subject_id"), reader.identifier(row, "session_id")
        if subject is None or name is None:
            continue
        if subject not in subjects and (subjects or not has_errors(reader.issues)):
            place = place_of(row.places, ("subject_id",))
            remedy = nearest(subject, subjects) or "Add it to subjects."
            reader.report("unknown-subject", f"There is no subject {subject!r}.", place, remedy)
        if (subject, name) in found:
            first = place_of(found[subject, name].places, ("session_id",)).line
            message = f"The session {name!r} of {subject!r} is there twice; the first is in line {first}."
            reader.report("duplicate-id", message, place_of(row.places, ("session_id",)))
            continue
        found[subject, name] = row
    return found


def _template_names(settings: Mapping[str, object]) -> Iterable[str]:
    """Yield the names that the paths of streams and clocks of one level use."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _template_names(value)
        elif key == "path":
            for each in value if isinstance(value, list) else [value]:
                yield from names_in(each) if isinstance(each, str) else ()


def _sessions(reader: StudyReader) -> list[Session]:
    surroundings = Surroundings(_data_root(reader), _timezone(reader))
    defaults = _defaults(reader)
    subjects = _subjects(reader)
    entries = _entries(reader, (defaults, *subjects.values()), subjects)
    drugs, all_read = session_drugs(reader, entries)
    common = reader.names(reader.value.get("placeholders"), reader.places)
    sessions = []
    for key, entry in entries.items():
        listed = [*common, *reader.names(entry.value.get("placeholders"), entry.places)]
        subject = subjects.get(key[0])
        rows = drugs.get(key, () if all_read else None)
        draft = _draft(entry, (defaults, subject or _NOBODY), rows, listed)
        session, found = resolve_session(draft, surroundings, known_subject=subject is not None)
        reader.issues += found
        if session is not None:
            sessions.append(session)
        if rows == ():
            message = f"The session {key[1]!r} of {key[0]!r} has no drug administration."
            reader.report("no-drug-log", message, place_of(entry.places, ("session_id",)))
    return sessions


def _draft(
    entry: Row,
    wider: Iterable[Layer],
    drug_log: tuple[Administration, ...] | None,
    placeholders: list[tuple[str, Place]],
) -> Draft:
    """Return a session with the settings of wider levels below its own."""
    known = {*SessionEntry.model_fields} - {"subject_id", "drug_log", "placeholders"}
    own = {key: each for key, each in entry.value.items() if key in known}
    whole = Layer({}, {})
    for layer in (*wider, Layer(own, entry.places)):
        whole = Layer(merged(whole.value, layer.value), {**whole.places, **layer.places})
    names = {key: each for key, each in entry.value.items() if isinstance(each, str)}
    return Draft(whole, names, drug_log, tuple(placeholders))
