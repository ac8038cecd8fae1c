"""Cell types as columns of tables state them, and what else in a file hints at one."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from nwbswitch.analysis.reading.columns import Column, Table, first_lines
from nwbswitch.analysis.reading.stored_values import fact, group_at, stated
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.overrides import proposal
from nwbswitch.schemas.roi_labels import UNKNOWN
from nwbswitch.schemas.vocabularies import canonical, entries

if TYPE_CHECKING:
    import h5py

TYPE_COLUMNS = frozenset(
    {"cell_type", "celltype", "cell_types", "cell_class", "cellclass", "neuron_type", "neuron_class"}
    | {"putative_cell_type", "putative_celltype", "putative_type", "cell_subclass", "cell_identity"}
)
"""Columns that state the type of a neuron, by their folded names."""
MARKER_COLUMNS = frozenset(
    {"redcell", "red_cell", "is_red", "isred", "red", "is_tdtomato", "tdtomato", "is_tagged", "opto_tagged"}
    | {"optotagged", "is_optotagged", "opto_tag", "tagged", "cre_positive", "is_labeled", "is_labelled"}
)
"""Columns that mark some neurons without saying what the mark means."""
_PUTATIVE = re.compile(r"^(?:putative|presumed|presumptive|likely|probable)[\s_-]+", re.IGNORECASE)
_ENDING = re.compile(
    r"[\s_-]*(?:\+|[\s_-]positive|(?:inter)?neurons?|cells?|[\s_-]expressing|[\s_-]*(?:IRES2?|T2A|2A)?-?Cre)$",
    re.IGNORECASE,
)
_DRIVER = re.compile(
    r"(?P<gene>[A-Za-z][A-Za-z0-9]*)(?:[-_ ]?(?:IRES\d?|[TPEF]2A|2A))?(?:[-_ ]Tg\d)?"
    r"[-_ ]*(?:dg)?(?:Cre|Flp|Dre)(?:ERT?2?|O)?(?![A-Za-z])",
    re.IGNORECASE,
)
_PROMOTER = re.compile(
    r"(?<![A-Za-z])(?P<gene>CaMKII|CaMK2a|hSyn|Syn1?|mDlx|GFAP)(?=[\s._:(-]|a\b|1\b)", re.IGNORECASE
)
_PAN_NEURONAL = frozenset({"syn", "syn1", "hsyn"})


def cell_types(table: Table) -> tuple[str, ...]:
    """Return the cell type of each row, from the vocabulary; unknown where no column states it."""
    columns = [
        column
        for name, folded_name in table.names()
        if folded_name in TYPE_COLUMNS and (column := table.column(name)) is not None
    ]
    stated_types = [_types(table, column) for column in columns]
    if not stated_types:
        return (UNKNOWN,) * table.n_rows
    merged = []
    differing = 0
    for words in zip(*stated_types, strict=True):
        known = {word for word in words if word != UNKNOWN}
        differing += len(known) > 1
        merged.append(known.pop() if len(known) == 1 else UNKNOWN)
    if differing:
        names = " and ".join(repr(column.name) for column in columns)
        problem = f"The columns {names} state different cell types for {differing} rows, which stay unknown."
        remedy = proposal(table.source, {"cell_type": UNKNOWN})
        table.find("unclear-value", problem, column=columns[0].name, remedy=remedy)
    return tuple(merged)


@lru_cache(maxsize=1024)
def cell_type_word(words: str) -> str | None:
    """Return the vocabulary's word for a cell type as it is stated, or None."""
    plain = _PUTATIVE.sub("", words.strip())
    for each in (plain, _ENDING.sub("", plain), plain.removesuffix("s")):
        word = canonical("cell_types", each)
        if word is not None:
            return word
    return None


def cell_type_hints(nwb: h5py.File, descriptions: tuple[str, ...]) -> tuple[tuple[str, str, str], ...]:
    """Return cell type, place and quoted words of all that hints at a type without stating it.

    Driver lines of the subject, and promoters in descriptions of planes and indicators. Whether all
    neurons are of that type is nowhere said: the line may drive an actuator, or a second colour.
    """
    found: dict[tuple[str, str], tuple[str, str, str]] = {}
    subject = group_at(nwb, "general/subject")
    places = [
        (f"/general/subject/{name}", stated(fact(subject, name)))
        for name in ("genotype", "driver_line", "strain", "description")
    ]
    places.append(("/general/virus", stated(fact(group_at(nwb, "general"), "virus"))))
    places += [("imaging plane", words) for words in descriptions]
    for place, words in places:
        for match in (*_DRIVER.finditer(words[:2000]), *_PROMOTER.finditer(words[:2000])):
            word = _by_gene().get(match["gene"].casefold())
            if word is not None:
                found.setdefault((word, place), (word, place, words[:80]))
    return tuple(found.values())


def propose_cell_type(
    nwb: h5py.File, descriptions: tuple[str, ...], *, found: list[Issue], name: str, item: str
) -> None:
    """Add what hints at the cell type of a table that states none, for the user to decide."""
    hints = cell_type_hints(nwb, descriptions)
    if not hints:
        return
    types = list(dict.fromkeys(word for word, _, _ in hints))
    quoted = "; ".join(f"{place}: {words!r}" for _, place, words in hints[:3])
    problem = f"No column states cell types; there are hints at {' and '.join(types)} ({quoted})."
    remedy = f"If all neurons are of one type: {proposal(name, {'cell_type': types[0]})}"
    place = Place(name, item=item)
    found.append(issue("proposed-value", problem, place=place, remedy=remedy if len(types) == 1 else ""))


def report_markers(table: Table) -> None:
    """Add a finding for columns that mark neurons without saying as what."""
    for name, folded_name in table.names():
        if folded_name not in MARKER_COLUMNS:
            continue
        column = table.column(name, first_of=2)
        if column is not None and column.values.dtype.kind in "biuf":
            marked = int((column.values > 0).sum())
            problem = (
                f"The column {name!r} marks {marked} of {table.n_rows} rows; their cell type is not stated."
            )
            table.find("proposed-value", problem, column=name)


def _types(table: Table, column: Column) -> list[str]:
    """Return a column in the vocabulary's words; report those that it does not hold."""
    words = column.words()
    known = {word: cell_type_word(word) if word else UNKNOWN for word in dict.fromkeys(words)}
    strange = [word for word, found in known.items() if found is None]
    if strange:
        problem = f"The column {column.name!r} holds {first_lines(strange)}, which are no cell types of the "
        problem += "vocabulary; they are unknown."
        table.find("unclear-value", problem, column=column.name)
    putative = [word for word, found in known.items() if found and _PUTATIVE.match(word)]
    if putative or "putative" in column.name.casefold():
        problem = f"The cell types of the column {column.name!r} are putative; they are used as they stand."
        table.find("proposed-value", problem, column=column.name)
    return [known[word] or UNKNOWN for word in words]


@lru_cache(maxsize=1)
def _by_gene() -> dict[str, str]:
    genes = {gene.casefold(): word for word, entry in entries("cell_types").items() for gene in entry.genes}
    return genes | dict.fromkeys(_PAN_NEURONAL, "neuron")
