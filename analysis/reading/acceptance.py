"""Which rows of a table count: the columns by which labs and their software accept ROIs and units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.reading.columns import Column, Table, first_lines, folded
from nwbswitch.schemas.overrides import FILL_IN, Choice, proposal

Flags = NDArray[np.bool_]


class Rank(IntEnum):
    """Whose word counts; where several columns stand, only those of the first rank are used."""

    DECIDED = 0
    """What the lab decided in the end."""
    AUTOMATIC = 1
    """What the software proposed before anybody looked."""


@dataclass(frozen=True, slots=True)
class FlagColumn:
    """A column whose name says that it decides which rows count."""

    rank: Rank = Rank.DECIDED
    accepts: bool = True
    """Whether true means accepted; else it means rejected."""
    only_words: bool = False
    """Whether the column counts only where it holds words of quality, since its name has other uses."""
    best: float | None = None
    """The one number that means accepted, of a column of grades."""


_ACCEPTS, _REJECTS = FlagColumn(), FlagColumn(accepts=False)
ROI_FLAGS: dict[str, FlagColumn] = {
    **dict.fromkeys(("accepted", "is_accepted", "manually_accepted", "curated", "is_curated"), _ACCEPTS),
    **dict.fromkeys(("iscell", "is_cell", "isneuron", "is_neuron", "is_soma", "issoma"), _ACCEPTS),
    **dict.fromkeys(("valid", "is_valid", "valid_roi", "roi_valid", "good_roi", "is_good"), _ACCEPTS),
    **dict.fromkeys(("keep", "kept", "include", "included", "is_included"), _ACCEPTS),
    **dict.fromkeys(("rejected", "is_rejected", "excluded", "exclude", "is_excluded", "invalid"), _REJECTS),
    **dict.fromkeys(("is_noise", "is_artifact", "is_artefact", "not_cell"), _REJECTS),
    **dict.fromkeys(("classification", "curation", "quality", "label"), FlagColumn(only_words=True)),
}
"""Columns of plane segmentations by their folded names: of nwbswitch, neuroconv, Suite2p and AllenSDK."""
UNIT_FLAGS: dict[str, FlagColumn] = {
    **dict.fromkeys(("accepted", "is_accepted", "is_good", "good", "is_good_unit", "good_unit"), _ACCEPTS),
    **dict.fromkeys(("default_qc", "passing_qc", "passes_qc", "qc_pass", "passed_qc"), _ACCEPTS),
    **dict.fromkeys(("is_single_unit", "single_unit", "isolated", "is_isolated"), _ACCEPTS),
    **dict.fromkeys(("keep", "include", "included", "valid", "is_valid"), _ACCEPTS),
    **dict.fromkeys(("rejected", "excluded", "exclude", "is_noise", "is_mua", "ismua"), _REJECTS),
    **dict.fromkeys(("quality", "unit_quality", "cluster_quality", "phy_group", "cluster_group"), _ACCEPTS),
    **dict.fromkeys(
        ("group", "label", "unit_type", "classification", "curation", "curation_label", "sorting_quality"),
        FlagColumn(only_words=True),
    ),
    "ibl_quality_score": FlagColumn(best=1.0),
    **dict.fromkeys(
        ("kslabel", "ks_label", "ks2_label", "kilosort_label", "kilosort2_label", "kilosort4_label"),
        FlagColumn(Rank.AUTOMATIC),
    ),
    **dict.fromkeys(("decoder_label", "bc_unittype", "unitrefine_label"), FlagColumn(Rank.AUTOMATIC)),
}
"""Columns of tables of units by their folded names: of phy, Kilosort, AllenSDK, IBL and SpikeInterface."""
YES = frozenset(
    {"true", "yes", "1", "t", "y", "accepted", "accept", "good", "cell", "neuron", "soma", "keep", "valid"}
    | {"include", "included", "pass", "passed", "sua", "su", "single", "single unit", "single-unit"}
    | {"single_unit", "singleunit", "isolated", "well isolated", "well-isolated", "good unit", "good units"}
)
NO = frozenset(
    {"false", "no", "0", "f", "n", "rejected", "reject", "bad", "not cell", "notcell", "not_cell", "non-cell"}
    | {"noncell", "noise", "artifact", "artefact", "mua", "multi", "multi unit", "multi-unit", "multi_unit"}
    | {"multiunit", "exclude", "excluded", "invalid", "fail", "failed", "neuropil", "non-soma", "non-somatic"}
    | {"discard", "discarded", "garbage"}
)
"""Words of quality that leave one reading, in lower case. Several units together are no single neuron."""
GRADES = frozenset({"quality", "unit_quality", "cluster_quality"})
"""Columns whose numbers are grades of a scale that no name tells, even where they are 0 and 1."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    column: str
    rank: Rank
    flags: Flags


def accepted_rows(
    table: Table, flags: Mapping[str, FlagColumn], *, choice: Choice | None = None, key: str = "accepted"
) -> Flags:
    """Return which rows of a table count; all of them where nothing says which.

    Of several columns that decide, a row needs the consent of all; where they contradict each other that is
    a finding, and so is a column whose values have no clear meaning.

    Parameters
    ----------
    table
        The table.
    flags
        The columns that may decide, by their folded names.
    choice
        What a file of overrides states; then nothing else counts.
    key
        Key of the overrides that settles it, for messages.
    """
    if choice is not None:
        return _chosen(table, choice, key)
    verdicts = []
    for name, folded_name in table.names():
        flag = flags.get(folded_name)
        if flag is not None and f"{name}_index" not in table.group:
            column = table.column(name, first_of=2)
            verdict = None if column is None else _verdict(table, column, flag, key)
            verdicts += [] if verdict is None else [verdict]
    first = [each for each in verdicts if each.rank == min(other.rank for other in verdicts)]
    if not first:
        return np.ones(table.n_rows, dtype=bool)
    accepted = np.logical_and.reduce([each.flags for each in first])
    differing = int((np.logical_or.reduce([each.flags for each in first]) != accepted).sum())
    if differing:
        names = " and ".join(repr(each.column) for each in first)
        problem = f"The columns {names} contradict each other about {differing} of {table.n_rows} rows."
        stated = {key: {"column": first[0].column}}
        remedy = f"Only rows that all of them accept are used. {proposal(table.source, stated)}"
        table.find("unclear-value", problem, column=first[0].column, remedy=remedy)
    return np.asarray(accepted, dtype=bool)


def _chosen(table: Table, choice: Choice, key: str) -> Flags:
    names = [name for name, _ in table.names()]
    column = table.column(choice.column, first_of=2) if choice.column in names else None
    if column is None or (column.is_text and choice.above is not None):
        problem = f"The overrides choose rows by the column {choice.column!r}, which cannot be used."
        remedy = f"The table has {', '.join(sorted(names))[:300]}."
        table.find("override-unused", problem, column=choice.column, remedy=remedy)
        return np.ones(table.n_rows, dtype=bool)
    if choice.above is not None:
        return np.asarray(column.values.astype(np.float64) > choice.above, dtype=bool)
    if choice.values:
        wanted = {value.casefold() for value in choice.values}
        return np.array([_spelled(value) & wanted != set() for value in column.values.tolist()], dtype=bool)
    return _truth(column)[0]


def _spelled(value: Any) -> set[str]:
    """Return the spellings of one value that the overrides may use, in lower case."""
    spelled = {str(value).casefold()}
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        spelled.add(str(int(value)))
    return spelled


def _verdict(table: Table, column: Column, flag: FlagColumn, key: str) -> _Verdict | None:
    """Return what a column decides, or None with a finding where that is not clear."""
    if flag.only_words and not (column.is_text and _has_clear_word(column)):
        return None
    if flag.best is not None and column.values.dtype.kind in "iuf":
        return _Verdict(column.name, flag.rank, np.asarray(column.values == flag.best, dtype=bool))
    if column.is_text and not any(column.values):
        return None
    yes, no = _truth(column)
    graded = folded(column.name) in GRADES and not column.is_text
    unclear = np.ones_like(yes) if graded else ~(yes | no)
    flags = yes if flag.accepts else no
    if not unclear.any():
        return _Verdict(column.name, flag.rank, flags)
    partly = column.is_text and _has_clear_word(column)
    problem = f"The column {column.name!r} holds {first_lines(map(str, column.values[unclear]))} in "
    problem += f"{int(unclear.sum())} of {table.n_rows} rows, and it is not clear whether such rows count"
    problem += "; they are left out." if partly else "; the column is not used."
    rule = {"values": [FILL_IN]} if column.is_text else {"above": FILL_IN}
    remedy = proposal(table.source, {key: {"column": column.name, **rule}})
    table.find("unclear-value", problem, column=column.name, remedy=remedy)
    return _Verdict(column.name, flag.rank, flags) if partly else None


def _truth(column: Column) -> tuple[Flags, Flags]:
    """Return where a column says yes and where it says no."""
    if column.is_text:
        words = [str(value).strip().casefold() for value in column.values]
        return np.array([word in YES for word in words]), np.array([word in NO for word in words])
    return np.asarray(column.values == 1, dtype=bool), np.asarray(column.values == 0, dtype=bool)


def _has_clear_word(column: Column) -> bool:
    return any(str(value).strip().casefold() in YES | NO for value in column.values)
