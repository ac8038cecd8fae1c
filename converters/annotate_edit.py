"""A copy of an NWB file edited in place: whole tables come from a donor that pynwb wrote, the rest stays.

Nothing else in the file is read or rewritten, so that all data keep their bytes, chunks and filters.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbswitch.converters.annotate_plan import Plan
from nwbswitch.converters.annotate_resources import merge_resources
from nwbswitch.converters.annotate_target import EPOCHS_PATH, LOG_PATH
from nwbswitch.converters.biology.roi_labels import RoiColumn
from nwbswitch.schemas.nwb_text import text
from nwbswitch.schemas.version import __version__

SPECLOC = ".specloc"
SPECIFICATIONS = "specifications"
_TEXT = h5py.string_dtype()


def edit(path: Path, plan: Plan, *, when: datetime, upgrade: bool) -> None:
    """Write the planned parts into the NWB file ``path``.

    Parameters
    ----------
    path
        The copy.
    plan
        What is to be written.
    when
        Time of the change, for notes and file_create_date.
    upgrade
        State the schema version of the installed pynwb and store its specification, as pynwb does when it
        appends to a file; otherwise the file keeps the version that it states.
    """
    with _donor(plan) as donor, h5py.File(path, "r+") as file:
        if plan.rows is not None:
            gone = _replace_group(donor, file, LOG_PATH)
            merge_resources(donor, file, gone=gone)
        if plan.windows is not None:
            _replace_group(donor, file, EPOCHS_PATH)
        if not upgrade and text(file.attrs["nwb_version"]) != text(donor.attrs["nwb_version"]):
            for name, part in ((LOG_PATH, plan.rows), (EPOCHS_PATH, plan.windows)):
                if part is not None:
                    _ascii_colnames(file[name])
        for column in plan.columns:
            _write_column(file[plan.plane], column)
        general = file.require_group("general")
        if plan.pharmacology is not None:
            _write_text(general, "pharmacology", plan.pharmacology)
        if plan.keywords is not None:
            _write_texts(general, "keywords", plan.keywords)
        sentence = f"Annotated by nwbswitch {__version__} on {when:%Y-%m-%d}: {'; '.join(plan.sources)}."
        notes = text(general.get("notes"))
        _write_text(general, "notes", f"{notes.rstrip()} {sentence}".strip())
        _append_text(file, "file_create_date", when.isoformat())
        _name_software(general)
        if upgrade:
            _state_schema(donor, file)


@contextmanager
def _donor(plan: Plan) -> Iterator[h5py.File]:
    """Open an NWB file in memory that holds the planned tables as the converter writes them."""
    from pynwb import NWBHDF5IO, NWBFile

    from nwbswitch.converters.drug_log import DrugLogInterface
    from nwbswitch.converters.epochs import EpochsInterface

    nwbfile = NWBFile(session_description="-", identifier="-", session_start_time=datetime.now(UTC))
    if plan.rows is not None:
        rows = [row.model_dump(mode="json") for row in plan.rows]
        DrugLogInterface(administrations=rows).add_to_nwbfile(nwbfile)
    if plan.windows is not None:
        epochs = [
            {"window": window.value, "start_s": start, "stop_s": stop} for start, stop, window in plan.windows
        ]
        EpochsInterface(epochs=epochs).add_to_nwbfile(nwbfile)
    with h5py.File(f"{uuid.uuid4()}.nwb", "w", driver="core", backing_store=False) as file:
        io = NWBHDF5IO(file=file, mode="w")
        io.write(nwbfile)
        yield file


def _replace_group(donor: h5py.File, file: h5py.File, name: str) -> set[str]:
    """Copy a table from the donor over the one that may be there; return the object ids that are gone."""
    parent, _, last = name.rpartition("/")
    gone: set[str] = set()
    if name in file:
        gone = _object_ids(file[name])
        del file[name]
    if parent not in file:
        group = file.create_group(parent)
        for key, value in donor[parent].attrs.items():
            group.attrs[key] = value
    donor.copy(donor[name], file[parent], name=last)
    _point_inside(donor, file, name)
    return gone


def _object_ids(group: h5py.Group) -> set[str]:
    found = {text(group.attrs.get("object_id"))}
    group.visititems(lambda _, node: found.add(text(node.attrs.get("object_id"))))
    return found - {""}


def _point_inside(donor: h5py.File, file: h5py.File, name: str) -> None:
    """Let references of copied objects point to the copies; HDF5 copies them as they are."""

    def mend(node: Any) -> None:
        for key, value in donor[node.name].attrs.items():
            if isinstance(value, h5py.Reference):
                node.attrs[key] = file[donor[value].name].ref

    mend(file[name])
    file[name].visititems(lambda _, node: mend(node))


def _ascii_colnames(group: h5py.Group) -> None:
    """Store column names as ASCII of fixed length, which every version of the schema takes."""
    names = [text(name) for name in group.attrs["colnames"]]
    group.attrs["colnames"] = np.array(names, dtype="S")


def _write_column(table: h5py.Group, column: RoiColumn) -> None:
    """Write a column of a table: in place where it is there in the same form, otherwise anew."""
    texts = isinstance(column.values, tuple)
    values = np.array(column.values, dtype=object) if texts else np.asarray(column.values, dtype=np.float64)
    held = table.get(column.name)
    if (
        isinstance(held, h5py.Dataset)
        and held.shape == values.shape
        and (_is_free_text(held) if texts else held.dtype == values.dtype)
    ):
        held[...] = values
    else:
        if held is not None:
            del table[column.name]
        held = table.create_dataset(column.name, data=values, dtype=_TEXT if texts else None)
        held.attrs["namespace"] = "hdmf-common"
        held.attrs["neurodata_type"] = "VectorData"
        held.attrs["object_id"] = str(uuid.uuid4())
    held.attrs["description"] = column.description
    _name_column(table, column.name)


def _name_column(table: h5py.Group, name: str) -> None:
    """Add a name to the list of columns, in the form that the list has."""
    stored = np.atleast_1d(table.attrs.get("colnames", np.array([], dtype=_TEXT)))
    names = [text(each) for each in stored]
    if name not in names:
        dtype = "S" if stored.dtype.kind == "S" else _TEXT
        table.attrs["colnames"] = np.array([*names, name], dtype=dtype)


def _write_text(group: h5py.Group, name: str, value: str) -> None:
    held = group.get(name)
    if isinstance(held, h5py.Dataset) and held.shape == () and _is_free_text(held):
        held[()] = value
        return
    if held is not None:
        del group[name]
    group.create_dataset(name, data=value, dtype=_TEXT)


def _is_free_text(dataset: h5py.Dataset) -> bool:
    info = h5py.check_string_dtype(dataset.dtype)
    return info is not None and info.length is None and info.encoding == "utf-8"


def _write_texts(group: h5py.Group, name: str, values: Sequence[str]) -> None:
    if name in group:
        del group[name]
    group.create_dataset(name, data=np.array(values, dtype=object), dtype=_TEXT)


def _append_text(group: h5py.Group, name: str, value: str) -> None:
    """Append to a list of texts, which grows in place where it may."""
    held = group.get(name)
    if not isinstance(held, h5py.Dataset):
        return
    if held.maxshape == (None,) and h5py.check_string_dtype(held.dtype) is not None:
        held.resize((held.shape[0] + 1,))
        held[-1] = value
        return
    values = [text(each) for each in np.atleast_1d(held[()]).ravel()]
    del group[name]
    group.create_dataset(name, data=np.array([*values, value], dtype=object), dtype=_TEXT)


def _name_software(general: h5py.Group) -> None:
    """Add nwbswitch to was_generated_by, once per version."""
    held = general.get("was_generated_by")
    pairs = [] if held is None else [[text(each) for each in pair] for pair in np.atleast_2d(held[()])]
    own = ["nwbswitch", __version__]
    if own in pairs:
        return
    if held is not None:
        del general["was_generated_by"]
    general.create_dataset("was_generated_by", data=np.array([*pairs, own], dtype=object), dtype=_TEXT)


def _state_schema(donor: h5py.File, file: h5py.File) -> None:
    """Store the specifications that the new tables need, beside those that are there."""
    if SPECIFICATIONS not in file:
        file.create_group(SPECIFICATIONS)
    if SPECLOC not in file.attrs:
        file.attrs[SPECLOC] = file[SPECIFICATIONS].ref
    for namespace, versions in donor[SPECIFICATIONS].items():
        target = file[SPECIFICATIONS].require_group(namespace)
        for version in versions:
            if version not in target:
                donor.copy(versions[version], target, name=version)
    file.attrs["nwb_version"] = text(donor.attrs["nwb_version"])
    for name in ("namespace", "neurodata_type", "object_id"):
        if name not in file.attrs:
            file.attrs[name] = text(donor.attrs[name])
