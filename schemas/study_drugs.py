"""Which drugs were given in which session: the common log and the rows under a session, as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nwbswitch.schemas.drug_log import Administration, repeated
from nwbswitch.schemas.drug_table import (
    REGIMEN,
    canonical_administration,
    check_administration,
    read_drug_log,
)
from nwbswitch.schemas.issues import Place, has_errors, nearest
from nwbswitch.schemas.study_document import LoggedAdministration
from nwbswitch.schemas.study_findings import shown
from nwbswitch.schemas.study_positions import moved, place_of
from nwbswitch.schemas.study_reader import SessionKey, StudyReader
from nwbswitch.schemas.study_tables import Row
from nwbswitch.schemas.substance import Substance
from nwbswitch.schemas.substances import find_substance, named, own_compound


def session_drugs(
    reader: StudyReader, entries: Mapping[SessionKey, Row]
) -> tuple[dict[SessionKey, tuple[Administration, ...]], bool]:
    """Return the administrations of each session that has some, in order of time, and whether all were read.

    Rows with mistakes are left out, so a session without rows has no drug only if all were read.
    """
    before = len(reader.issues)
    found: dict[SessionKey, list[Administration]] = {}
    own = own_substances(reader)
    for key, row in [*_common_log(reader, entries, own), *_own_rows(reader, entries, own)]:
        found.setdefault(key, []).append(row)
    ordered = {key: tuple(sorted(rows, key=lambda row: row.timestamp_s)) for key, rows in found.items()}
    return ordered, not has_errors(reader.issues[before:])


def _common_log(
    reader: StudyReader, entries: Mapping[SessionKey, Row], own: Sequence[Substance]
) -> list[tuple[SessionKey, Administration]]:
    value = reader.value.get("drug_log")
    found: list[tuple[SessionKey, Administration]] = []
    if isinstance(value, str):
        file, sheet = reader.table(value, reader.place("drug_log"))
        if file is not None:
            logged, more = read_drug_log(file, sheet=sheet, own=own)
            reader.issues += more
            for each in logged:
                key = (each.subject_id, each.session_id)
                if _is_known(reader, key, entries, Place(file, each.line)):
                    found.append((key, each.administration))
    elif isinstance(value, list):
        for row in reader.inline(value, "drug_log"):
            subject, session = reader.identifier(row, "subject_id"), reader.identifier(row, "session_id")
            fields = {key: each for key, each in row.value.items() if key not in ("subject_id", "session_id")}
            given = _administrations(reader, Row(fields, row.places), own)
            if subject is None or session is None or not given:
                continue
            if _is_known(reader, (subject, session), entries, place_of(row.places, ("session_id",))):
                found += [((subject, session), each) for each in given]
    elif value is not None:
        message = f"drug_log is {shown(value)}, expected a table or a list of entries."
        reader.report("wrong-value", message, reader.place("drug_log"))
    return found


def _own_rows(
    reader: StudyReader, entries: Mapping[SessionKey, Row], own: Sequence[Substance]
) -> list[tuple[SessionKey, Administration]]:
    found = []
    for key, entry in entries.items():
        rows = entry.value.get("drug_log")
        if rows is None:
            continue
        if not isinstance(rows, list) or not all(isinstance(each, dict) for each in rows):
            message = f"drug_log is {shown(rows)}, expected a list of mappings."
            reader.report("wrong-value", message, place_of(entry.places, ("drug_log",)))
            continue
        for position, each in enumerate(rows):
            row = Row(each, moved(entry.places, ("drug_log", position)))
            found += [(key, given) for given in _administrations(reader, row, own)]
    return found


def own_substances(reader: StudyReader) -> tuple[Substance, ...]:
    """Return the lab's own compounds that the study file describes."""
    entries = reader.value.get("substances")
    if entries is None:
        return ()
    if not isinstance(entries, list):
        message = f"substances is {shown(entries)}, expected a list of mappings."
        reader.report("wrong-value", message, reader.place("substances"))
        return ()
    found: list[Substance] = []
    for row in reader.inline(entries, "substances"):
        substance = reader.validated(Substance, row.value, row.places)
        if substance is None:
            # Its name is known all the same, so that the log is not blamed for this mistake.
            name, others = row.value.get("name"), row.value.get("synonyms")
            words = [each for each in others if isinstance(each, str)] if isinstance(others, list) else []
            found += [Substance(name=name, synonyms=tuple(words))] if isinstance(name, str) and name else []
            continue
        for word in substance.spellings:
            known = find_substance(word)
            first = named(word, found)
            if known is not None or first is not None:
                which = f"{known.name} of the vocabulary" if known else f"{first.name} above" if first else ""
                message = f"{word!r} is {which} already."
                remedy = "Leave it out here, or name the own compound differently."
                reader.report("duplicate-id", message, place_of(row.places, ("name",)), remedy)
        found.append(substance)
    return tuple(found)


def _administrations(reader: StudyReader, row: Row, own: Sequence[Substance]) -> tuple[Administration, ...]:
    """Return what a row says, several administrations for a regimen; none when it has mistakes."""
    value = {key: each for key, each in row.value.items() if each is not None and key not in REGIMEN}
    found = reader.validated(Administration, value, row.places)
    if found is None:
        return ()
    found = own_compound(found, own)
    issues = check_administration(found, place_of(row.places, ()))
    for each in issues:
        field = each.place.item.rpartition(".")[2]
        close = nearest(found.substance, [word for one in own for word in one.spellings])
        remedy = close or each.remedy if each.code == "unknown-drug" else each.remedy
        reader.report(each.code, each.message, place_of(row.places, (field,)), remedy)
    stated = {key: row.value[key] for key in REGIMEN if row.value.get(key) is not None}
    regimen = reader.validated(LoggedAdministration, {**value, **stated}, row.places)
    if regimen is None:
        return ()
    try:
        return repeated(canonical_administration(found), regimen.repeats, regimen.every_h)
    except ValueError as error:
        reader.report("wrong-value", f"{error}.", place_of(row.places, ("repeats",)))
        return ()


def _is_known(reader: StudyReader, key: SessionKey, entries: Mapping[SessionKey, Row], place: Place) -> bool:
    if key in entries:
        return True
    if entries:
        subject, session = key
        theirs = [each for owner, each in entries if owner == subject]
        remedy = nearest(session, theirs) if theirs else nearest(subject, {owner for owner, _ in entries})
        message = f"The drug log names session {session!r} of subject {subject!r}, which the study has not."
        reader.report("unknown-subject", message, place, remedy)
    return False
