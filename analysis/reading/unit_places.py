"""Where units were recorded: by their own columns, their electrodes, or their group of electrodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbswitch.analysis.reading.columns import MAX_ROWS, Table
from nwbswitch.analysis.reading.imaging import report_structures
from nwbswitch.analysis.reading.neurons import neuron_places
from nwbswitch.analysis.reading.ragged import ragged_ends
from nwbswitch.analysis.reading.regions import UNKNOWN, Structure, structure_in
from nwbswitch.analysis.reading.stored_values import dataset_at, fact, group_at, plain, pointed, stated
from nwbswitch.schemas.issues import Place

if TYPE_CHECKING:
    import h5py

ELECTRODES = "general/extracellular_ephys/electrodes"
PEAK_COLUMNS = ("max_electrode", "peak_electrode", "peak_channel", "peak_channel_id")
"""Columns that name the electrode on which a unit is largest: its row, or of AllenSDK its id."""
MAX_ELECTRODES = 10_000_000
NOWHERE = Structure(UNKNOWN, "", "")


def unit_places(table: Table, *, species: str) -> tuple[Structure, ...]:
    """Return where each unit was recorded; unknown where nothing says so, or its electrodes differ."""
    places = _by_electrodes(table, species)
    if not any(place.region != UNKNOWN for place in places):
        places = _by_groups(table, species)
    own = neuron_places(table, NOWHERE, species=species)
    return tuple(
        mine if mine.region != UNKNOWN else Structure(place.region, mine.layer or place.layer, place.stated)
        for mine, place in zip(own, places, strict=True)
    )


def _by_electrodes(table: Table, species: str) -> list[Structure]:
    """Return the place of each unit's largest or, where that is not named, of all its electrodes."""
    electrodes = group_at(table.nwb, ELECTRODES)
    rows = None if electrodes is None else _electrode_rows(table, electrodes)
    if electrodes is None or rows is None:
        return [NOWHERE] * table.n_rows
    located = Table(table.nwb, electrodes, _n_rows(electrodes), table.source, table.found)
    column = located.column("location") if dataset_at(electrodes, "location") is not None else None
    if column is None or not column.is_text:
        return [NOWHERE] * table.n_rows
    structures = _structures(table, column.words(), species, place=located.place("location").item)
    words = column.words()
    places = []
    several = beyond = 0
    for each in rows:
        inside = [row for row in each if 0 <= row < len(words)]
        beyond += len(inside) < len(each)
        found = list(dict.fromkeys(structures[words[row]] for row in inside if words[row]))
        several += len(found) > 1
        places.append(found[0] if len(found) == 1 else NOWHERE)
    if several:
        problem = f"The electrodes of {several} units lie in several areas; the area of these is unknown."
        table.find("unclear-region", problem, column="electrodes")
    if beyond:
        problem = f"{beyond} units name electrodes that the table of electrodes does not have."
        table.find("unusable-column", problem, column="electrodes")
    return places


def _electrode_rows(table: Table, electrodes: h5py.Group) -> list[list[int]] | None:
    """Return the rows of each unit's electrodes in the table of electrodes, or None."""
    for name, folded_name in table.names():
        if folded_name not in PEAK_COLUMNS:
            continue
        column = table.column(name)
        if column is None or column.values.dtype.kind not in "iuf":
            continue
        values = column.values.astype(np.float64)
        if "table" in table.group[name].attrs:
            return [[int(value)] if np.isfinite(value) else [] for value in values]
        ids = dataset_at(electrodes, "id")
        if ids is not None and ids.ndim == 1 and ids.shape[0] <= MAX_ROWS and ids.dtype.kind in "iu":
            by_id = {int(each): row for row, each in enumerate(ids[()].tolist())}
            return [[by_id[int(each)]] if np.isfinite(each) and int(each) in by_id else [] for each in values]
    flat = dataset_at(table.group, "electrodes")
    if flat is None or flat.ndim != 1 or flat.dtype.kind not in "iu" or flat.shape[0] > MAX_ELECTRODES:
        return None
    if dataset_at(table.group, "electrodes_index") is None:
        return [[int(row)] for row in flat[()]] if flat.shape[0] == table.n_rows else None
    ends = ragged_ends(table, "electrodes")
    if ends is None:
        return None
    values = flat[()].astype(np.int64)
    return [part.tolist() for part in np.split(values, ends[:-1])]


def _by_groups(table: Table, species: str) -> list[Structure]:
    """Return the place of each unit's group of electrodes."""
    groups = dataset_at(table.group, "electrode_group")
    if groups is None or groups.shape != (table.n_rows,) or groups.dtype.kind != "O":
        return [NOWHERE] * table.n_rows
    words: list[str] = []
    known: dict[Any, str] = {}
    for reference in groups[()].tolist():
        key = str(reference)
        group = pointed(table.nwb, reference)
        address = key if group is None else str(group.name)
        if address not in known:
            known[address] = plain(stated(fact(group, "location"))) if group is not None else ""
        words.append(known[address])
    structures = _structures(table, words, species, place=f"{table.group.name}/electrode_group")
    return [structures[each] if each else NOWHERE for each in words]


def _structures(table: Table, words: Iterable[str], species: str, *, place: str) -> dict[str, Structure]:
    """Return the structure of each different word; report those that are none."""
    found = {each: structure_in(each, species=species) for each in dict.fromkeys(words)}
    where = Place(table.source, item=place)
    report_structures(found.values(), found=table.found, place=where, name=table.source)
    return found


def _n_rows(table: h5py.Group) -> int:
    ids = dataset_at(table, "id")
    return int(ids.shape[0]) if ids is not None and len(ids.shape) == 1 else 0
