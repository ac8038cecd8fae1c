"""Summaries on disk: one compressed ``.npz`` per part, arrays of numbers and one JSON text, no pickle.

The member ``header`` holds UTF-8 bytes of JSON (`SummaryHeader`); symmetric matrices are kept as their upper
triangles, row by row. docs/summaries.md describes every member, so that other programs can write them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nwbswitch.analysis.formulas.coding import Coded
from nwbswitch.analysis.summaries.unit_summaries import (
    SUMMARY_VERSION,
    Definition,
    InnerEffect,
    LocalColumn,
    UnitSummaries,
)
from nwbswitch.schemas.errors import InputFileError

SUFFIX: Final = ".summary.npz"
MAX_BYTES: Final = 4 << 30
_ROWS: Final = ("n_rows", "cell_unit", "cell_kind")
_AGAIN: Final = "Make it again with 'nwbswitch summarise'."


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ColumnHeader(_Strict):
    """A local column: the product of numbers and of indicators, each [variable, level]."""

    numbers: list[str] = Field(max_length=16)
    indicators: list[tuple[str, str]] = Field(max_length=16)


class EffectHeader(_Strict):
    """A random effect of the innermost group: Z = sum of weight times column."""

    label: str
    name: str
    term: list[str]
    columns: list[ColumnHeader] = Field(max_length=4096)
    weights: list[float] = Field(max_length=4096)


class DefinitionHeader(_Strict):
    """What was summed."""

    response: str
    inner: str
    unit: str
    where: str
    weights: str
    effects: list[EffectHeader] = Field(min_length=1, max_length=256)


class SummaryHeader(_Strict):
    """Everything in a file of summaries that is not an array of numbers.

    ``groups`` and ``values`` give the labels that the arrays ``group:NAME`` and ``value:NAME`` count from 0
    (-1 is missing); a value without labels is a number. ``references`` names the arrays ``reference:NAME``,
    ``means`` the arrays ``mean:NAME``.
    """

    format: Literal["nwbswitch-summaries"]
    version: int
    definition: DefinitionHeader
    columns: list[ColumnHeader] = Field(min_length=1, max_length=4096)
    levels: dict[str, list[str]]
    groups: dict[str, list[str]]
    values: dict[str, list[str] | None]
    references: list[str]
    means: list[str] = Field(default=[])
    ranges: dict[str, tuple[float, float]]
    missing: dict[str, int]
    n_missing: int = Field(ge=0)
    n_excluded: int = Field(ge=0)


def save_summaries(summaries: UnitSummaries, path: Path) -> None:
    """Write summaries to ``path``, whole or not at all."""
    from nwbswitch.schemas.files import replaced

    arrays = _arrays(summaries)
    text = json.dumps(_header(summaries).model_dump(), ensure_ascii=False, sort_keys=True)
    arrays["header"] = np.frombuffer(text.encode(), dtype=np.uint8)
    with replaced(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def load_summaries(path: Path) -> UnitSummaries:
    """Return the summaries in a file.

    Raises
    ------
    InputFileError
        If the file is missing, damaged, of another kind or version, or its parts contradict each other.
    UnsafeFileError
        If it asks for more memory than it can need.
    """
    from nwbswitch.schemas.npy_guard import load_npz

    found = load_npz(path, max_bytes=MAX_BYTES)
    arrays = {name: each for name, each in found.items() if isinstance(each, np.ndarray)}
    if len(arrays) != len(found) or any(each.dtype.kind not in "fiu" for each in arrays.values()):
        raise InputFileError(path, "holds something else than arrays of numbers.", _AGAIN)
    header = _read_header(path, arrays)
    try:
        return _summaries(header, arrays)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputFileError(path, f"is damaged: {reason[:200]}.", _AGAIN) from error


def _read_header(path: Path, arrays: Mapping[str, np.ndarray]) -> SummaryHeader:
    if "header" not in arrays:
        raise InputFileError(path, "is no file of summaries: it has no header.", _AGAIN)
    try:
        stated = json.loads(arrays["header"].astype(np.uint8).tobytes())
        version = stated.get("version") if isinstance(stated, dict) else None
        if version != SUMMARY_VERSION and isinstance(version, int):
            problem = f"holds summaries of version {version}; this nwbswitch reads version {SUMMARY_VERSION}."
            raise InputFileError(path, problem, _AGAIN)
        return SummaryHeader.model_validate_json(json.dumps(stated))
    except (ValueError, RecursionError, ValidationError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise InputFileError(path, f"is no file of summaries: {reason}.", _AGAIN) from error


def _column_header(column: LocalColumn) -> ColumnHeader:
    return ColumnHeader(numbers=list(column.numbers), indicators=list(column.indicators))


def _column(header: ColumnHeader) -> LocalColumn:
    return LocalColumn(tuple(header.numbers), tuple(header.indicators))


def _header(summaries: UnitSummaries) -> SummaryHeader:
    own = summaries.definition
    effects = [
        EffectHeader(
            label=each.label,
            name=each.name,
            term=list(each.term),
            columns=[_column_header(column) for column, _ in each.weights],
            weights=[weight for _, weight in each.weights],
        )
        for each in own.effects
    ]
    definition = DefinitionHeader(
        response=own.response,
        inner=own.inner,
        unit=own.unit,
        where=own.where,
        weights=own.weights,
        effects=effects,
    )
    return SummaryHeader(
        format="nwbswitch-summaries",
        version=own.version,
        definition=definition,
        columns=[_column_header(each) for each in summaries.columns],
        levels={name: list(each) for name, each in summaries.levels.items()},
        groups={name: list(each.levels) for name, each in summaries.groups.items()},
        values={
            name: list(each.levels) if each.is_factor else None for name, each in summaries.values.items()
        },
        references=sorted(summaries.references),
        means=sorted(summaries.means),
        ranges={name: (float(low), float(high)) for name, (low, high) in summaries.ranges.items()},
        missing=dict(summaries.missing),
        n_missing=summaries.n_missing,
        n_excluded=summaries.n_excluded,
    )


def _arrays(summaries: UnitSummaries) -> dict[str, Any]:
    m = summaries.within.shape[1]
    upper = np.triu_indices(m)
    arrays: dict[str, Any] = {
        "n_rows": summaries.n_rows.astype(np.int64),
        "centres": summaries.centres,
        "within": summaries.within[:, *upper],
        "kinds": summaries.kinds,
        "cell_unit": summaries.cell_unit.astype(np.int64),
        "cell_kind": summaries.cell_kind.astype(np.int64),
        "cell_count": summaries.cell_count.astype(np.float64),
    }
    if summaries.products is not None:
        size = m * summaries.kinds.shape[1]
        arrays["products"] = summaries.products.reshape(-1, size, size)[:, *np.triu_indices(size)]
    else:
        arrays["slopes"] = summaries.slopes
    if summaries.log_weights is not None:
        arrays["log_weights"] = summaries.log_weights
    arrays |= {f"reference:{name}": each for name, each in summaries.references.items()}
    arrays |= {f"mean:{name}": each for name, each in summaries.means.items()}
    for kind, table in (("group", summaries.groups), ("value", summaries.values)):
        for name, each in table.items():
            codes = each.codes
            arrays[f"{kind}:{name}"] = each.numbers if codes is None else codes.astype(np.int64)
    return arrays


def _summaries(header: SummaryHeader, arrays: Mapping[str, np.ndarray]) -> UnitSummaries:
    stated = header.definition
    effects = tuple(
        InnerEffect(
            each.label,
            each.name,
            tuple(each.term),
            tuple(zip(map(_column, each.columns), each.weights, strict=True)),
        )
        for each in stated.effects
    )
    definition = Definition(
        header.version, stated.response, stated.inner, stated.unit, effects, stated.where, stated.weights
    )
    m, k, u = len(header.columns) + 1, len(effects), len(arrays["n_rows"])
    cells, n_kinds = len(arrays["cell_unit"]), len(arrays["kinds"])
    shapes = {
        "n_rows": (u,),
        "centres": (u, m),
        "within": (u, m * (m + 1) // 2),
        "kinds": (n_kinds, k, k),
        "cell_unit": (cells,),
        "cell_kind": (cells,),
        "cell_count": (cells,),
    }
    size = m * k
    if "products" in arrays:
        shapes["products"] = (cells, size * (size + 1) // 2)
    else:
        shapes["slopes"] = (cells, m, k)
    if "log_weights" in arrays:
        shapes["log_weights"] = (u,)
    shapes |= {f"reference:{name}": (u,) for name in header.references}
    shapes |= {f"mean:{name}": (u,) for name in header.means}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has the shape {arrays[name].shape} instead of {shape}")
        if not np.all(np.isfinite(arrays[name])):
            raise ValueError(f"{name} holds values that are not finite")
    _check_counts(arrays, u, n_kinds)
    _check_means(header)
    products = None
    if "products" in arrays:
        products = _full(arrays["products"], size).reshape(cells, m, k, m, k)
    return UnitSummaries(
        definition=definition,
        columns=tuple(map(_column, header.columns)),
        levels={name: tuple(each) for name, each in header.levels.items()},
        groups={name: _coded("group", name, each, arrays, u) for name, each in header.groups.items()},
        values={name: _coded("value", name, each, arrays, u) for name, each in header.values.items()},
        n_rows=arrays["n_rows"].astype(np.int64),
        centres=arrays["centres"].astype(float),
        within=_full(arrays["within"], m),
        kinds=arrays["kinds"].astype(float),
        cell_unit=arrays["cell_unit"].astype(np.int64),
        cell_kind=arrays["cell_kind"].astype(np.int64),
        cell_count=arrays["cell_count"].astype(float),
        products=products,
        slopes=None if products is not None else arrays["slopes"].astype(float),
        n_missing=header.n_missing,
        n_excluded=header.n_excluded,
        references={name: arrays[f"reference:{name}"].astype(float) for name in header.references},
        log_weights=arrays["log_weights"].astype(float) if "log_weights" in arrays else None,
        missing=dict(header.missing),
        ranges=dict(header.ranges),
        means={name: arrays[f"mean:{name}"].astype(float) for name in header.means},
    )


def _check_means(header: SummaryHeader) -> None:
    columns = set(map(_column, header.columns))
    numbers = {name for column in columns for name in column.numbers}
    for name in header.means:
        if LocalColumn((name,)) not in columns:
            raise ValueError(f"mean:{name} is of no number among the columns")
    if header.definition.weights and numbers.difference(header.means):
        name = min(numbers.difference(header.means))
        raise ValueError(f"with row weights the plain mean mean:{name} is needed")


def _check_counts(arrays: Mapping[str, np.ndarray], n_units: int, n_kinds: int) -> None:
    if np.any(arrays["n_rows"] < 1) or n_units == 0:
        raise ValueError("there is a unit without rows, or no unit")
    if np.any(arrays["cell_count"] < 1):
        raise ValueError("there is a cell without groups")
    for name, limit in (("cell_unit", n_units), ("cell_kind", n_kinds)):
        if np.any((arrays[name] < 0) | (arrays[name] >= limit)):
            raise ValueError(f"{name} points outside")
    if np.any(np.diff(arrays["cell_unit"]) < 0):
        raise ValueError("cells are not in the order of units")
    if len(np.unique(arrays["cell_unit"])) != n_units:
        raise ValueError("there is a unit without a cell")


def _full(triangles: np.ndarray, size: int) -> np.ndarray:
    full = np.zeros((len(triangles), size, size))
    rows, columns = np.triu_indices(size)
    full[:, rows, columns] = triangles
    full[:, columns, rows] = triangles
    return full


def _coded(
    kind: str, name: str, labels: list[str] | None, arrays: Mapping[str, np.ndarray], n_units: int
) -> Coded:
    values = arrays[f"{kind}:{name}"]
    if values.shape != (n_units,):
        raise ValueError(f"{kind}:{name} has the shape {values.shape} instead of {(n_units,)}")
    if labels is None:
        numbers = values.astype(float)
        if np.any(np.isinf(numbers)):
            raise ValueError(f"{kind}:{name} is infinite")
        return Coded(name, np.isnan(numbers), numbers=numbers)
    codes = values.astype(np.int64)
    if np.any((codes < -1) | (codes >= len(labels))) or len(set(labels)) != len(labels):
        raise ValueError(f"{kind}:{name} points outside its labels")
    return Coded(name, codes < 0, codes=codes, levels=tuple(labels))
