"""What lies in a raw folder: recordings by format, lab tables, and files that nobody recognises."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nwbswitch.converters.registry import READERS, Kind
from nwbswitch.converters.survey.signatures import (
    FILE_SIGNATURES,
    FOLDER_SIGNATURES,
    companion,
)
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.stream_base import natural_order

MAX_ENTRIES = 1_000_000
LAB_TABLES = ("subjects", "sessions", "drug_log")
TABLE_SUFFIXES = (".csv", ".xlsx")


@dataclass(frozen=True, slots=True)
class Sighting:
    """One recording: its format, where it is, and the keys of the study file that its content gives."""

    format: str
    path: Path
    """Relative to the raw folder."""
    keys: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """What kind of stream it is."""
        return READERS[self.format].kind


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything in a raw folder, in natural order of names."""

    root: Path
    sightings: tuple[Sighting, ...]
    tables: Mapping[str, Path]
    """Lab tables by name: subjects, sessions, drug_log; relative paths."""
    unknown: tuple[Path, ...]
    """Files that no format claims, relative."""
    refused: tuple[tuple[Path, str], ...]
    """Files that look like a format but cannot be read, and why."""


def survey(root: Path) -> Survey:
    """Return what lies in a folder; links are not followed, and only beginnings of files are read.

    Raises
    ------
    InputFileError
        When it is no folder, or holds more than `MAX_ENTRIES` names.
    """
    if not root.is_dir():
        raise InputFileError(root, "is not a folder." if root.exists() else "is not there.")
    sightings: list[Sighting] = []
    unknown: list[Path] = []
    refused: list[tuple[Path, str]] = []
    tables: dict[str, Path] = {}
    for path in _walk(root, sightings, refused):
        relative = path.relative_to(root)
        if path.stem.lower() in LAB_TABLES and path.suffix.lower() in TABLE_SUFFIXES:
            known = tables.get(path.stem.lower())
            if known is None or len(relative.parts) < len(known.parts):
                tables[path.stem.lower()] = relative
            continue
        n_refused = len(refused)
        found = _sight(path, root, FILE_SIGNATURES, refused)
        if found:
            sightings += found
        elif len(refused) == n_refused and not companion(path):
            unknown.append(relative)
    ordered = sorted(sightings, key=lambda each: natural_order(each.path))
    return Survey(root, tuple(ordered), tables, tuple(unknown), tuple(refused))


def _walk(root: Path, sightings: list[Sighting], refused: list[tuple[Path, str]]) -> Iterator[Path]:
    """Yield files; folders that are a recording as a whole are kept and not entered."""
    count = 0
    for where, folders, files in os.walk(root):
        count += len(folders) + len(files)
        if count > MAX_ENTRIES:
            raise InputFileError(root, f"holds more than {MAX_ENTRIES} names.", "Name one project folder.")
        here = Path(where)
        found = _sight(here, root, FOLDER_SIGNATURES, refused)
        if found:
            sightings += found
            folders.clear()
            continue
        folders[:] = sorted(
            (each for each in folders if not each.startswith(".") and not (here / each).is_symlink()),
            key=natural_order,
        )
        for name in sorted(files, key=natural_order):
            if not name.startswith(".") and not (here / name).is_symlink():
                yield here / name


def _sight(
    path: Path, root: Path, signatures: Mapping[str, Any], refused: list[tuple[Path, str]]
) -> list[Sighting]:
    """Return the recordings that a path holds, by the first signature that claims it.

    A path that none claims and that some could not read is refused, for the first reason there was.
    """
    relative = path.relative_to(root)
    reason = ""
    for form, signature in signatures.items():
        if form not in READERS:
            continue
        try:
            keys = signature(path)
        except InputFileError as error:
            reason = reason or f"{error.problem} {error.remedy}".strip()
            continue
        except (OSError, ValueError) as error:
            reason = reason or str(error)
            continue
        if keys is not None:
            several = keys if isinstance(keys, list) else [keys]
            return [Sighting(form, relative, each) for each in several]
    if reason:
        refused.append((relative, reason))
    return []
