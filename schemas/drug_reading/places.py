"""What a place in a file usually says: this session's drugs, the whole study, surgery, an identifier."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """What texts of a place are about."""

    PHARMACOLOGY = "pharmacology"
    """The field for drugs: a substance named there was given unless the text says otherwise."""
    SESSION = "session"
    STUDY = "study"
    """About all sessions: what it names need not have been given in this one."""
    SURGERY = "surgery"
    ANIMAL = "animal"
    SLICES = "slices"
    VIRUS = "virus"
    IDENTIFIER = "identifier"
    """Session ids and file names, read token by token."""
    HINT = "hint"
    """Identifiers of animals: they can decide between alternatives, and prove nothing alone."""
    NAME = "name"
    """Names, labels and descriptions of objects, often with times."""


FILE_NAME = "file name"
"""Place of the name of the file itself."""

_SCOPES: dict[str, Scope] = {
    "/general/pharmacology": Scope.PHARMACOLOGY,
    "/session_description": Scope.SESSION,
    "/general/notes": Scope.SESSION,
    "/general/stimulus": Scope.SESSION,
    "/general/data_collection": Scope.SESSION,
    "/general/protocol": Scope.SESSION,
    "/general/experiment_description": Scope.STUDY,
    "/general/keywords": Scope.STUDY,
    "/general/related_publications": Scope.STUDY,
    "/general/surgery": Scope.SURGERY,
    "/general/slices": Scope.SLICES,
    "/general/virus": Scope.VIRUS,
    "/general/subject/description": Scope.ANIMAL,
    "/general/subject/subject_id": Scope.HINT,
    "/general/session_id": Scope.IDENTIFIER,
    "/identifier": Scope.IDENTIFIER,
    FILE_NAME: Scope.IDENTIFIER,
}


def scope_of(place: str) -> Scope:
    """Return what the texts of a place are about; an unknown place is the name of an object."""
    return _SCOPES.get(place, Scope.NAME)
