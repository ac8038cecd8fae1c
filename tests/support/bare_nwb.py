"""NWB files written value by value with h5py, as old, foreign and broken writers leave them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

TEXT = h5py.string_dtype()


def bare_file(path: Path, **facts: str) -> h5py.File:
    """Create a file with the groups that every NWB 2 file has, and the given facts of its subject."""
    file = h5py.File(path, "w")
    file.attrs.update({"neurodata_type": "NWBFile", "nwb_version": "2.7.0", "namespace": "core"})
    for name in ("acquisition", "analysis", "general", "processing", "stimulus", "intervals"):
        file.create_group(name)
    file["identifier"] = "bare"
    file["session_description"] = "A test."
    file["session_start_time"] = "2026-01-01T12:00:00+00:00"
    if facts:
        subject = typed(file, "general/subject", "Subject")
        for name, value in facts.items():
            subject[name] = value
    return file


def typed(parent: h5py.Group, path: str, neurodata_type: str) -> h5py.Group:
    """Create a group of an NWB type."""
    group = parent.create_group(path)
    group.attrs["neurodata_type"] = neurodata_type
    return group


def add_table(
    parent: h5py.Group,
    path: str,
    neurodata_type: str,
    columns: Mapping[str, Any],
    *,
    n_rows: int | None = None,
    ends: Mapping[str, Sequence[int]] | None = None,
) -> h5py.Group:
    """Create a table; columns named in ``ends`` are ragged."""
    table = typed(parent, path, neurodata_type)
    table.attrs["colnames"] = np.array(list(columns), dtype=TEXT)
    ends = ends or {}
    if n_rows is None:
        n_rows = len(next(iter(ends.values()))) if ends else len(next(iter(columns.values())))
    table["id"] = np.arange(n_rows)
    for name, values in columns.items():
        add_column(table, name, values)
        if name in ends:
            index = table.create_dataset(f"{name}_index", data=np.asarray(ends[name], dtype=np.uint32))
            index.attrs["neurodata_type"] = "VectorIndex"
            index.attrs["target"] = table[name].ref
    return table


def add_column(table: h5py.Group, name: str, values: Any, **attributes: Any) -> h5py.Dataset:
    """Add a column: texts as texts of variable length, everything else as numpy has it."""
    listed = list(values)
    if listed and isinstance(listed[0], (str, bytes)):
        column = table.create_dataset(name, data=np.array(listed, dtype=object), dtype=TEXT)
    else:
        column = table.create_dataset(name, data=values)
    column.attrs["neurodata_type"] = "VectorData"
    for key, value in attributes.items():
        column.attrs[key] = value
    return column


def add_plane(file: h5py.File, name: str = "plane", **facts: Any) -> h5py.Group:
    """Add an imaging plane; facts that are pairs are a value and its unit."""
    plane = typed(file, f"general/optophysiology/{name}", "ImagingPlane")
    for key, value in facts.items():
        given, unit = value if isinstance(value, tuple) and isinstance(value[-1], str) else (value, "")
        plane[key] = given
        if unit:
            plane[key].attrs["unit"] = unit
    return plane


def add_segmentation(
    file: h5py.File,
    columns: Mapping[str, Any],
    *,
    n_rows: int,
    plane: h5py.Group | None = None,
    name: str = "Cells",
) -> h5py.Group:
    """Add a plane segmentation, with a hard link to its imaging plane."""
    path = f"processing/ophys/ImageSegmentation/{name}"
    table = add_table(file, path, "PlaneSegmentation", columns, n_rows=n_rows)
    if plane is not None:
        table["imaging_plane"] = plane
    return table


def add_units(
    parent: h5py.Group,
    spikes: Sequence[Sequence[float]],
    *,
    path: str = "units",
    columns: Mapping[str, Any] | None = None,
) -> h5py.Group:
    """Add a table of units with their spike times, s."""
    times = np.concatenate([np.asarray(each, dtype=np.float64) for each in spikes]) if spikes else np.empty(0)
    ends = np.cumsum([len(each) for each in spikes], dtype=np.int64)
    return add_table(
        parent,
        path,
        "Units",
        {"spike_times": times, **(columns or {})},
        n_rows=len(spikes),
        ends={"spike_times": ends.tolist()},
    )
