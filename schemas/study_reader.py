"""The mechanics of reading one study file: places, tables beside it, and the issues found on the way."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from nwbswitch.schemas.errors import StudyError, UnsafeFileError
from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.path_guard import inside
from nwbswitch.schemas.study_findings import findings, shown, unknown_key
from nwbswitch.schemas.study_positions import Document, Places, moved, place_of
from nwbswitch.schemas.study_tables import Row, read_rows

SessionKey = tuple[str, str]
"""Subject and session identifier."""

_Model = TypeVar("_Model", bound=BaseModel)


class StudyReader:
    """One reading of one study file; collects issues and the files that were read."""

    def __init__(self, file: Path, document: Document) -> None:
        self.file = file
        self.root = file.resolve().parent
        self.value: dict[str, Any] = document.value
        self.places = document.places
        self.issues: list[Issue] = list(document.issues)
        self.files = [file]

    def place(self, *path: str | int) -> Place:
        """Return the place of a value of the study file."""
        return place_of(self.places, path)

    def report(self, code: str, message: str, place: Place, remedy: str = "") -> None:
        """Keep one finding."""
        self.issues.append(issue(code, message, place=place, remedy=remedy))

    def validated(self, model: type[_Model], value: object, places: Places) -> _Model | None:
        """Return the model of a value, or None after keeping what the model refuses."""
        try:
            return model.model_validate(value)
        except ValidationError as error:
            self.issues += findings(error, places)
            return None

    def text(self, key: str) -> str:
        """Return a text value of the top level; empty when it is not given or not text."""
        value = self.value.get(key)
        if value is None or isinstance(value, str):
            return value or ""
        self.report("wrong-value", f"{key} is {shown(value)}, expected text.", self.place(key))
        return ""

    def table(self, text: str, place: Place) -> tuple[Path | None, str | None]:
        """Return the file and the sheet that ``file.xlsx#Sheet`` names, as seen from the study file."""
        name, _, sheet = text.partition("#")
        try:
            found = inside(self.root, name)
        except UnsafeFileError as error:
            self.report("unsafe-path", f"The path {name!r} {error.problem}", place, error.remedy)
            return None, None
        if not found.is_file():
            folder = found.parent
            names = [each.name for each in folder.iterdir()] if folder.is_dir() else []
            message = f"There is no file {name!r} beside the study file."
            self.report("missing-file", message, place, nearest(found.name, names))
            return None, None
        self.files.append(self.file.parent / name)
        return self.file.parent / name, sheet or None

    def rows(self, key: str, required: Sequence[str]) -> tuple[list[Row], bool]:
        """Return the entries of ``subjects`` or ``sessions`` and whether they come from a table."""
        value, place = self.value.get(key), self.place(key)
        if value is None:
            self.report("missing-value", f"{key} is not given.", place, f"Name a table, or list the {key}.")
            return [], False
        if isinstance(value, str):
            file, sheet = self.table(value, place)
            if file is None:
                return [], True
            try:
                rows, found = read_rows(file, name=key, required=required, sheet=sheet)
            except StudyError as error:
                self.issues += error.issues
                return [], True
            self.issues += found
            return rows, True
        if not isinstance(value, list):
            message = f"{key} is {shown(value)}, expected a table or a list of entries."
            self.report("wrong-value", message, place)
            return [], False
        return self.inline(value, key), False

    def inline(self, entries: list[Any], key: str) -> list[Row]:
        """Return the entries of a list that are mappings; the others are reported."""
        rows = []
        for position, entry in enumerate(entries):
            if isinstance(entry, dict):
                rows.append(Row(entry, moved(self.places, (key, position))))
            else:
                message = f"An entry of {key} is {shown(entry)}, expected a mapping."
                self.report("wrong-value", message, self.place(key, position))
        return rows

    def identifier(self, row: Row, key: str) -> str | None:
        """Return a text that a row must have."""
        value = row.value.get(key)
        if isinstance(value, str) and value:
            return value
        place = place_of(row.places, (key,))
        if value is None:
            self.report("missing-value", f"{key} is not given.", place)
        else:
            self.report("wrong-value", f"{key} is {shown(value)}, expected text.", place)
        return None

    def extra_keys(self, row: Row, known: Collection[str], used: Collection[str], *, table: bool) -> None:
        """Report keys that nobody reads; a table's column that is like no known one is only a warning."""
        for key in row.value:
            if key in known or key in used:
                continue
            place = place_of(row.places, (key,))
            place = Place(place.file, 1, key) if table else place
            if table and not nearest(key, known):
                self.report("unknown-column", f"The column {key!r} is not used.", place)
            else:
                self.issues.append(unknown_key(key, place, known))

    def names(self, value: object, places: Places) -> list[tuple[str, Place]]:
        """Return the fields that ``placeholders`` lists, each with its place."""
        if value is None:
            return []
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            found = [place_of(places, ("placeholders", position)) for position in range(len(value))]
            return list(zip(value, found, strict=True))
        message = f"placeholders is {shown(value)}, expected a list of field names."
        self.report("wrong-value", message, place_of(places, ("placeholders",)))
        return []
