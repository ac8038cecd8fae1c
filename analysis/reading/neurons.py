"""The ROIs of a plane segmentation: which are cells, of which type, where, and who they are elsewhere."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from nwbswitch.analysis.reading.acceptance import ROI_FLAGS, accepted_rows
from nwbswitch.analysis.reading.cell_types import cell_types, propose_cell_type, report_markers
from nwbswitch.analysis.reading.columns import Column, Table, first_lines
from nwbswitch.analysis.reading.depths import depths_of
from nwbswitch.analysis.reading.imaging import ImagingFacts, imaging_facts, report_structures
from nwbswitch.analysis.reading.outline import NeuronTable
from nwbswitch.analysis.reading.regions import Structure, structure_in
from nwbswitch.analysis.reading.subjects import stated_species
from nwbswitch.schemas.issues import Issue
from nwbswitch.schemas.overrides import Choice
from nwbswitch.schemas.roi_labels import UNKNOWN

if TYPE_CHECKING:
    import h5py

REGION_COLUMNS = frozenset(
    {
        "region",
        "brain_region",
        "brain_area",
        "location",
        "structure",
        "anatomical_location",
        "area",
        "acronym",
    }
    | {
        "structure_acronym",
        "ccf_acronym",
        "allen_acronym",
        "anatomical_region",
        "cortical_area",
        "visual_area",
    }
)
"""Columns of texts that state where a neuron is, by their folded names."""
LAYER_COLUMNS = frozenset({"layer", "cortical_layer"})
TRACKING_COLUMNS = frozenset(
    {"tracking_id", "cell_specimen_id", "global_id", "global_roi_id", "global_cell_id", "registered_id"}
    | {"registered_roi_id", "registered_cell_id", "matched_id", "roicat_ucid", "ucid", "tracked_id"}
    | {"cross_session_id", "longitudinal_id", "cell_registration_id", "unified_id"}
)
"""Columns of identities that hold over recording sessions, by their folded names."""
BASES = frozenset({"anatomical", "activity", "unknown"})
_NOT_TRACKED = frozenset({"", "-1", "nan", "none"})


def roi_neurons(
    nwb: h5py.File,
    segmentation: h5py.Group | None,
    n_rows: int,
    *,
    found: list[Issue],
    name: str,
    accepted: Choice | None = None,
    facts: ImagingFacts | None = None,
) -> NeuronTable:
    """Return the ROIs of a plane segmentation, one entry per row; what is not stated is unknown.

    Parameters
    ----------
    nwb
        The open file.
    segmentation
        Plane segmentation, or None for traces that name none.
    n_rows
        Number of its ROIs.
    found
        Receives findings: columns that cannot be used, contradictions, what the file only hints at.
    name
        What messages call the file.
    accepted
        Which rows count, where a file of overrides says so.
    facts
        The imaging plane, where it was read before; else it is read here.
    """
    facts = imaging_facts(nwb, segmentation, found=found, name=name) if facts is None else facts
    if segmentation is None:
        return unstated_neurons(n_rows, facts)
    table = Table(nwb, segmentation, n_rows, name, found)
    flags = accepted_rows(table, ROI_FLAGS, choice=accepted)
    types = cell_types(table)
    if set(types) == {UNKNOWN}:
        report_markers(table)
        descriptions = (facts.description, facts.indicator)
        propose_cell_type(nwb, descriptions, found=found, name=name, item=str(segmentation.name))
    places = neuron_places(table, facts.structure, species=stated_species(nwb))
    depth_um = depths_of(table)
    depth_um = np.where(np.isnan(depth_um), facts.depth_um, depth_um)
    neurons = NeuronTable(
        accepted=tuple(flags.tolist()),
        cell_type=types,
        roi_basis=roi_bases(table),
        tracking_id=tracking_ids(table),
        region=tuple(place.region for place in places),
        layer=tuple(place.layer for place in places),
        depth_um=tuple(depth_um.tolist()),
    )
    report_unstated(table, neurons)
    return neurons


def report_unstated(table: Table, neurons: NeuronTable) -> None:
    """Add one finding that lists what nothing states of any neuron of a table."""
    missing = [
        what
        for what, is_unstated in (
            ("cell type", set(neurons.cell_type) == {UNKNOWN}),
            ("area", set(neurons.region) == {UNKNOWN}),
            ("depth", all(math.isnan(each) for each in neurons.depth_um)),
        )
        if is_unstated and table.n_rows
    ]
    if missing:
        problem = f"Of these {table.n_rows} neurons the file does not state {', '.join(missing)}."
        table.find("not-stated", problem)


def unstated_neurons(n_rows: int, facts: ImagingFacts) -> NeuronTable:
    """Return neurons of which nothing is stated but where they were imaged."""
    return NeuronTable(
        accepted=(True,) * n_rows,
        cell_type=(UNKNOWN,) * n_rows,
        roi_basis=(UNKNOWN,) * n_rows,
        tracking_id=("",) * n_rows,
        region=(facts.region,) * n_rows,
        layer=(facts.layer,) * n_rows,
        depth_um=(facts.depth_um,) * n_rows,
    )


def neuron_places(table: Table, default: Structure, *, species: str) -> tuple[Structure, ...]:
    """Return where each neuron is: by a column, else where the plane is; of columns that differ, by none."""
    columns = _text_columns(table, REGION_COLUMNS)
    stated = [column.words() for column in columns]
    if len(stated) > 1 and any(len(set(words) - {""}) > 1 for words in zip(*stated, strict=True)):
        names = " and ".join(repr(column.name) for column in columns)
        problem = f"The columns {names} state different areas; none is used."
        table.find("unclear-region", problem, column=columns[0].name)
        stated = []
    words = [next((each for each in row if each), "") for row in zip(*stated, strict=True)]
    words = words or [""] * table.n_rows
    known = {each: structure_in(each, species=species) for each in dict.fromkeys(words)}
    place = table.place(columns[0].name if columns else "")
    report_structures(known.values(), found=table.found, place=place, name=table.source)
    layers = _layers(table)
    places = []
    for word, layer in zip(words, layers, strict=True):
        found = known[word] if word else default
        places.append(Structure(found.region, layer or found.layer, found.stated, found.candidates))
    return tuple(places)


def _layers(table: Table) -> list[str]:
    columns = _columns(table, LAYER_COLUMNS)
    if len(columns) != 1:
        return [""] * table.n_rows
    words = columns[0].words()
    known = {
        each: structure_in(f"layer {each}" if each[:1].isdigit() else each, species="").layer
        for each in dict.fromkeys(words)
    }
    return [known[each] for each in words]


def tracking_ids(table: Table) -> tuple[str, ...]:
    """Return the identity of each neuron over sessions; empty where none is stated, or not one for one."""
    columns = _columns(table, TRACKING_COLUMNS)
    if len(columns) > 1:
        own = [column for column in columns if column.name == "tracking_id"]
        if len(own) != 1:
            names = " and ".join(repr(column.name) for column in columns)
            problem = f"Several columns could follow neurons over sessions ({names}); none is used."
            table.find("unclear-value", problem, column=columns[0].name)
            return ("",) * table.n_rows
        columns = own
    if not columns:
        return ("",) * table.n_rows
    words = ["" if word.casefold() in _NOT_TRACKED else word for word in columns[0].words()]
    doubles = {word for word, times in Counter(words).items() if word and times > 1}
    if doubles:
        problem = (
            f"The column {columns[0].name!r} gives {first_lines(sorted(doubles))} to several neurons of "
        )
        problem += "this session; these are not followed."
        table.find("unclear-value", problem, column=columns[0].name)
    return tuple("" if word in doubles else word for word in words)


def roi_bases(table: Table) -> tuple[str, ...]:
    """Return what each ROI was found by: anatomical, activity or unknown."""
    columns = _text_columns(table, frozenset({"roi_basis"}))
    if len(columns) != 1:
        return (UNKNOWN,) * table.n_rows
    words = [word.casefold() or UNKNOWN for word in columns[0].words()]
    strange = [word for word in words if word not in BASES]
    if strange:
        problem = f"The column 'roi_basis' holds {first_lines(strange)}; expected {', '.join(sorted(BASES))}."
        table.find("unclear-value", problem, column="roi_basis")
    return tuple(word if word in BASES else UNKNOWN for word in words)


def _columns(table: Table, names: frozenset[str]) -> list[Column]:
    found = (table.column(name) for name, folded_name in table.names() if folded_name in names)
    return [column for column in found if column is not None]


def _text_columns(table: Table, names: frozenset[str]) -> list[Column]:
    """Return columns of texts; numbers under such a name are something else, such as areas in pixels."""
    found = (table.column(name) for name, each in table.names() if each in names and table.holds_text(name))
    return [column for column in found if column is not None]
