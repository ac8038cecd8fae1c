"""Links of words to registries (HERD) of a donor file, merged into those that a file already has.

HERD keeps six small tables of records that point to each other by row: hdmf-common-schema, namespace
resources, https://hdmf-common-schema.readthedocs.io.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from nwbswitch.schemas.nwb_text import text

RESOURCES = "general/external_resources"
# Table to its columns that hold rows of other tables.
POINTERS: dict[str, dict[str, str]] = {
    "files": {},
    "keys": {},
    "entities": {},
    "objects": {"files_idx": "files"},
    "object_keys": {"objects_idx": "objects", "keys_idx": "keys"},
    "entity_keys": {"entities_idx": "entities", "keys_idx": "keys"},
}
# Where the same record twice says nothing new.
_UNIQUE = ("files", "entities")

Record = dict[str, Any]
Tables = dict[str, list[Record]]


def merge_resources(donor: h5py.File, file: h5py.File, *, gone: set[str]) -> None:
    """Add the donor's links to a file, and drop those of objects that are gone."""
    if RESOURCES not in donor and RESOURCES not in file:
        return
    added = _read(donor)
    own_id = text(file.attrs.get("object_id"))
    if own_id:
        added["files"] = [{**record, "file_object_id": own_id} for record in added["files"]]
    tables = _joined(_without(_read(file), gone), added)
    if not tables["objects"]:
        if RESOURCES in file:
            del file[RESOURCES]
        return
    if RESOURCES not in file:
        donor.copy(donor[RESOURCES], file.require_group("general"), name=RESOURCES.rpartition("/")[2])
    group = file[RESOURCES]
    for name, records in tables.items():
        _write(group, name, records)


def _read(file: h5py.File) -> Tables:
    group = file.get(RESOURCES)
    if group is None:
        return {name: [] for name in POINTERS}
    found: Tables = {}
    for name in POINTERS:
        values = group[name][()]
        fields = values.dtype.names or ()
        found[name] = [{field: _plain(row[field]) for field in fields} for row in values]
    return found


def _plain(value: Any) -> Any:
    return text(value) if isinstance(value, bytes | str) else int(value)


def _without(tables: Tables, gone: set[str]) -> Tables:
    """Return the tables without the records that only objects that are gone used."""
    keep: dict[str, set[int]] = {
        "objects": {n for n, each in enumerate(tables["objects"]) if each["object_id"] not in gone}
    }
    if len(keep["objects"]) == len(tables["objects"]):
        return tables
    pairs = tables["object_keys"]
    keep["object_keys"] = {n for n, each in enumerate(pairs) if each["objects_idx"] in keep["objects"]}
    dropped = {each["keys_idx"] for n, each in enumerate(pairs) if n not in keep["object_keys"]}
    dropped -= {pairs[n]["keys_idx"] for n in keep["object_keys"]}
    keep["keys"] = set(range(len(tables["keys"]))) - dropped
    links = tables["entity_keys"]
    keep["entity_keys"] = {n for n, each in enumerate(links) if each["keys_idx"] in keep["keys"]}
    stale = {each["entities_idx"] for each in links}
    stale -= {links[n]["entities_idx"] for n in keep["entity_keys"]}
    keep["entities"] = set(range(len(tables["entities"]))) - stale
    keep["files"] = set(range(len(tables["files"])))
    moved = {name: {old: new for new, old in enumerate(sorted(rows))} for name, rows in keep.items()}
    return {
        name: [_pointed(records[n], POINTERS[name], moved) for n in sorted(keep[name])]
        for name, records in tables.items()
    }


def _joined(held: Tables, added: Tables) -> Tables:
    """Return both, the added records pointing to where they come to stand."""
    result = {name: list(records) for name, records in held.items()}
    moved: dict[str, dict[int, int]] = {}
    for name, pointers in POINTERS.items():
        moved[name] = {}
        for n, record in enumerate(added[name]):
            wanted = _pointed(record, pointers, moved)
            if name in _UNIQUE and wanted in result[name]:
                moved[name][n] = result[name].index(wanted)
                continue
            moved[name][n] = len(result[name])
            result[name].append(wanted)
    return result


def _pointed(record: Record, pointers: dict[str, str], moved: dict[str, dict[int, int]]) -> Record:
    return {**record, **{field: moved[table][record[field]] for field, table in pointers.items()}}


def _write(group: h5py.Group, name: str, records: list[Record]) -> None:
    held = group[name]
    attributes, dtype = dict(held.attrs), held.dtype
    values = np.empty(len(records), dtype=dtype)
    for n, record in enumerate(records):
        values[n] = tuple(record[field] for field in dtype.names)
    del group[name]
    dataset = group.create_dataset(name, data=values, dtype=dtype)
    for key, value in attributes.items():
        dataset.attrs[key] = value
