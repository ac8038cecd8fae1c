"""Collects from an open NWB file all that may speak of drugs, each with its place and its times."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nwbswitch.analysis.reading.drug_objects import OTHER_TYPES, is_table, series_statements, table_statements
from nwbswitch.analysis.reading.stored_values import (
    MAX_TEXT_BYTES,
    dataset_at,
    group_at,
    member,
    neurodata_type,
)
from nwbswitch.schemas.drug_log import EPOCHS_NAME, TABLE_NAME
from nwbswitch.schemas.drug_reading.cues import UNNAMED
from nwbswitch.schemas.drug_reading.evidence import Statement
from nwbswitch.schemas.drug_reading.identifiers import read_identifier
from nwbswitch.schemas.drug_reading.lexicon import find_names, spaced
from nwbswitch.schemas.drug_reading.places import FILE_NAME, Scope
from nwbswitch.schemas.drug_reading.plain_text import MAX_CHARACTERS

if TYPE_CHECKING:
    import h5py

FIELDS = (
    "session_description",
    "identifier",
    "general/pharmacology",
    "general/experiment_description",
    "general/keywords",
    "general/notes",
    "general/session_id",
    "general/stimulus",
    "general/data_collection",
    "general/protocol",
    "general/related_publications",
    "general/surgery",
    "general/virus",
    "general/slices",
    "general/subject/description",
    "general/subject/subject_id",
)
"""Texts of the file that are read whole."""
TOPS = ("acquisition", "stimulus", "intervals", "events", "processing", "analysis")
MAX_OBJECTS = 4000
MAX_DEPTH = 6
MANY = 200
"""In a group with more members only those whose names speak of drugs are looked at."""
_MAX_VALUES = 2000
_PERSON = re.compile(r"(?:\bby|experimenter|operator|surgeon|user|author|person|initials)$", re.IGNORECASE)
_OWN = frozenset((TABLE_NAME, EPOCHS_NAME))
_NO_TEXT = frozenset(("namespace", "neurodata_type", "object_id", "help"))


def drug_statements(nwb: h5py.File, *, name: str) -> list[Statement]:
    """Return what a file says that may be about drugs, before it is understood.

    Read are the descriptive texts, ids and keywords, the animal's description, extensions with metadata
    of labs, names and descriptions of series, tables, epochs and events with their times and labels, and
    the name of the file. Our own drug log is left to
    `nwbswitch.analysis.reading.drug_log_table.read_drug_log`.

    Parameters
    ----------
    nwb : h5py.File
        An open file that the guard has looked at.
    name : str
        The source's name, of which the last part is read too.

    Returns
    -------
    list of Statement
        Times in s on the session clock.
    """
    found = [Statement(FILE_NAME, re.split(r"[/\\]", name)[-1])]
    for path in FIELDS:
        text = _text(dataset_at(nwb, path))
        if text:
            found.append(Statement(f"/{path}", text))
    found += _lab_texts(nwb)
    budget = [MAX_OBJECTS]
    for top in TOPS:
        group = group_at(nwb, top)
        if group is not None:
            found += _object_statements(group, 1, budget)
    return [each for each in found if each.text]


def _text(node: Any) -> str:
    """Return a dataset or an attribute as text; several values are joined by semicolons."""
    if node is None:
        return ""
    shape = getattr(node, "shape", ())
    if shape is None or math.prod(shape) > _MAX_VALUES:
        return ""
    if hasattr(node, "id"):
        if node.dtype.kind not in "SUO" or node.dtype.itemsize > MAX_TEXT_BYTES:
            return ""
        try:
            node = node[()]
        except (OSError, RuntimeError, ValueError, TypeError):
            return ""
    values = node.ravel().tolist() if hasattr(node, "ravel") else [node]
    words = [
        each.decode("utf-8", "replace") if isinstance(each, bytes) else each
        for each in values
        if isinstance(each, (bytes, str))
    ]
    return "; ".join(words)[: MAX_CHARACTERS + 1].strip("\0 \n")


def _lab_texts(nwb: h5py.File) -> Iterator[Statement]:
    """Yield the texts of metadata extensions and of further texts under ``/general``, with their names."""
    general = group_at(nwb, "general")
    if general is None:
        return
    known = {path.rpartition("/")[2] for path in FIELDS}
    for name in list(general)[:MANY]:
        node = member(general, name)
        if dataset_at(general, name) is not None and name not in known and _speaks(name):
            yield Statement(f"/general/{name}", f"{spaced(name)}: {_text(node)}")
    yield from _metadata(group_at(general, "lab_meta_data"), 0)


def _metadata(group: h5py.Group | None, depth: int) -> Iterator[Statement]:
    if group is None or depth > 3:
        return
    if is_table(group):
        yield from table_statements(group)
        return
    for key in list(group.attrs)[:MANY]:
        skipped = key in _NO_TEXT or _PERSON.search(spaced(key))
        text = "" if skipped else _text(group.attrs.get(key))
        if text:
            yield Statement(f"{group.name}/{key}", f"{spaced(str(key))}: {text}")
    for name in list(group)[:MANY]:
        inner = group_at(group, name)
        if inner is not None:
            yield from _metadata(inner, depth + 1)
            continue
        dataset = dataset_at(group, name)
        if dataset is not None and not _PERSON.search(spaced(name)):
            text = _text(dataset) or _number(dataset)
            if text:
                yield Statement(f"{group.name}/{name}", f"{spaced(name)}: {text}")


def _number(dataset: h5py.Dataset) -> str:
    if dataset.shape != () or dataset.dtype.kind not in "iuf":
        return ""
    return f"{float(dataset[()]):g}"


def _object_statements(group: h5py.Group, depth: int, budget: list[int]) -> Iterator[Statement]:
    """Yield what the objects below a group say of drugs."""
    import h5py

    names = list(group)
    if len(names) > MANY:
        names = [each for each in names if _speaks(each)][:MANY]
    for name in names:
        if name in _OWN or budget[0] <= 0:
            continue
        if group.get(name, getclass=True, getlink=True) is not h5py.HardLink:
            continue
        node = group_at(group, name)
        if node is None:
            continue
        budget[0] -= 1
        if neurodata_type(node) in OTHER_TYPES:
            continue
        if is_table(node):
            yield from table_statements(node)
        elif "data" in node or "timestamps" in node or "starting_time" in node:
            yield from series_statements(node)
        elif depth < MAX_DEPTH:
            if _speaks(name):
                yield Statement(str(node.name), spaced(name))
            yield from _object_statements(node, depth + 1, budget)


def _speaks(name: str) -> bool:
    """Return whether a name may be about a drug."""
    words = spaced(name)
    return bool(UNNAMED.search(words) or find_names(words) or read_identifier(name, "", Scope.IDENTIFIER))
