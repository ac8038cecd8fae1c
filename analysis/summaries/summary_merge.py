"""Summaries of several files as one: columns and levels are united, nothing is summed twice.

What is constant in every unit of one file and varies within units of another, as the epoch of recordings
without a drug, becomes a column there: a column is its value times another column of the unit, so no rows
are needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from nwbswitch.analysis.formulas.coding import Coded
from nwbswitch.analysis.summaries.unit_summaries import Definition, LocalColumn, UnitSummaries
from nwbswitch.schemas.errors import FitError

Named = tuple[str, UnitSummaries]
_WORDS = {
    "version": "version of the format",
    "response": "response",
    "inner": "innermost group",
    "unit": "unit",
    "effects": "random effects of the innermost group",
    "where": "condition on rows",
    "weights": "row weights",
}


def merged(parts: Sequence[Named]) -> UnitSummaries:
    """Return several summaries, each with a name for messages, as one; units come in the order of parts.

    Raises
    ------
    FitError
        If the definitions differ, a unit occurs twice, or a column of one part cannot be had in another.
    """
    if not parts:
        raise FitError("There are no summaries to join.")
    if len(parts) == 1:
        return parts[0][1]
    parts = _with_one_unit(parts)
    _require_same_definition(parts)
    _require_distinct_units(parts)
    factors, numbers = _inside(parts)
    columns = _all_columns(parts, factors, numbers)
    aligned = [_aligned(name, part, columns, factors | numbers) for name, part in parts]
    levels_of = [
        {**{variable: each.levels for variable, each in part.values.items()}, **part.levels}
        for _, part in parts
    ]
    return _joined(aligned, columns, factors, levels_of)


def _with_one_unit(parts: Sequence[Named]) -> list[Named]:
    """Return the parts with the finest of their units as that of all.

    Where every animal has one session, sessions and animals group alike, and either may be called the unit.
    """
    own = parts[0][1].definition.unit
    if not all(part.definition.unit for _, part in parts):
        return list(parts)
    n_groups = {
        each: len({label for _, part in parts for label in _labels(part.groups[each])})
        for each in (own, *parts[0][1].groups)
        if all(each in part.groups for _, part in parts)
    }
    finest = max(n_groups, key=n_groups.__getitem__, default=own)
    return [
        (name, replace(part, definition=replace(part.definition, unit=finest)))
        if finest in part.groups and len(set(_labels(part.groups[finest]))) == part.n_units
        else (name, part)
        for name, part in parts
    ]


def _require_same_definition(parts: Sequence[Named]) -> None:
    first_name, first = parts[0]
    for name, part in parts[1:]:
        for field in fields(Definition):
            one, other = (getattr(each.definition, field.name) for each in (first, part))
            if one != other:
                shown = "" if field.name == "effects" else f": {one!r} and {other!r}"
                raise FitError(
                    f"{first_name} and {name} cannot be joined: they differ in the "
                    f"{_WORDS[field.name]}{shown}. Summarise both with the same formula and condition."
                )
        if set(first.groups) != set(part.groups):
            raise FitError(
                f"{first_name} and {name} cannot be joined: one is grouped by {', '.join(first.groups)}, the "
                f"other by {', '.join(part.groups)}. Summarise both with the same formula."
            )


def _require_distinct_units(parts: Sequence[Named]) -> None:
    unit = parts[0][1].definition.unit
    if not unit:
        raise FitError(
            f"Summaries of {parts[0][1].definition.inner!r} alone cannot be joined: the groups of two files "
            "cannot be told apart. Add the level above it, e.g. (1 | session), and summarise again."
        )
    seen: dict[str, str] = {}
    for name, part in parts:
        for label in _labels(part.groups[unit]):
            if label in seen:
                raise FitError(
                    f"The {unit} {label!r} is in {seen[label]} and in {name}. If it is the same {unit}, give "
                    "it once; if not, group it by what tells them apart, e.g. (1 | lab/animal/session)."
                )
            seen[label] = name


def _labels(coded: Coded) -> list[str]:
    assert coded.codes is not None
    return [coded.levels[code] for code in coded.codes]


def _inside(parts: Sequence[Named]) -> tuple[set[str], set[str]]:
    """Return the factors and the numbers that vary within units of any part."""
    columns = [column for _, part in parts for column in part.columns]
    factors = {name for column in columns for name, _ in column.indicators}
    numbers = {name for column in columns for name in column.numbers}
    for name, part in parts:
        for variable, value in part.values.items():
            if variable in (numbers if value.is_factor else factors):
                kinds = ("text", "a number") if value.is_factor else ("a number", "text")
                raise FitError(f"{variable!r} is {kinds[0]} in {name} and {kinds[1]} in another file.")
    return factors, numbers


def _all_columns(parts: Sequence[Named], factors: set[str], numbers: set[str]) -> tuple[LocalColumn, ...]:
    found: dict[LocalColumn, None] = {}
    for _, part in parts:
        promoted = [name for name in part.values if name in factors]
        for column in part.columns:
            found.setdefault(column)
        for name in promoted:
            coded = part.values[name]
            for other in [*found]:
                if any(variable == name for variable, _ in other.indicators):
                    for level in coded.levels:
                        indicators = tuple((v, level if v == name else own) for v, own in other.indicators)
                        found.setdefault(LocalColumn(other.numbers, indicators))
    constant = LocalColumn()
    return (
        constant,
        *sorted(
            (c for c in found if c != constant),
            key=lambda c: (len(c.indicators) + len(c.numbers), c.indicators, c.numbers),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a column of the union comes from in one part: a column there (-1: zero), times (u,) scalars."""

    source: int
    scalars: np.ndarray


def _aligned(
    name: str, part: UnitSummaries, columns: Sequence[LocalColumn], inside: set[str]
) -> UnitSummaries:
    """Return a part with the columns of the union, its promoted values among them."""
    place = {column: position for position, column in enumerate(part.columns)}
    promoted = {variable: part.values[variable] for variable in part.values if variable in inside}
    origins = [_origin(name, column, part, place, promoted) for column in columns]
    origins.append(_Origin(len(part.columns), np.ones(part.n_units)))
    source = np.array([each.source for each in origins])
    scalars = np.stack([np.where(each.source < 0, 0.0, each.scalars) for each in origins], axis=1)
    within = part.within[:, source[:, None], source] * scalars[:, :, None] * scalars[:, None, :]
    per_cell = scalars[part.cell_unit]
    products = slopes = None
    if part.products is not None:
        products = part.products[:, source][:, :, :, source]
        products = products * per_cell[:, :, None, None, None] * per_cell[:, None, None, :, None]
    else:
        assert part.slopes is not None
        slopes = part.slopes[:, source] * per_cell[:, :, None]
    references = dict(part.references)
    ranges, means = dict(part.ranges), dict(part.means)
    for variable, coded in promoted.items():
        if coded.numbers is not None:
            references[variable] = means[variable] = coded.numbers
            ranges[variable] = (float(coded.numbers.min()), float(coded.numbers.max()))
    return replace(
        part,
        columns=tuple(columns),
        references=references,
        ranges=ranges,
        means=means,
        values={variable: each for variable, each in part.values.items() if variable not in inside},
        centres=part.centres[:, source] * scalars,
        within=within,
        products=products,
        slopes=slopes,
    )


def _origin(
    name: str,
    column: LocalColumn,
    part: UnitSummaries,
    place: Mapping[LocalColumn, int],
    promoted: Mapping[str, Coded],
) -> _Origin:
    scalars = np.ones(part.n_units)
    if any(variable in promoted for variable in column.numbers):
        return _Origin(-1, scalars)  # measured from its reference, which is its value, it is zero
    for variable, level in column.indicators:
        if variable in promoted:
            coded = promoted[variable]
            assert coded.codes is not None
            code = coded.levels.index(level) if level in coded.levels else -2
            scalars = scalars * (coded.codes == code)
    rest = LocalColumn(
        tuple(each for each in column.numbers if each not in promoted),
        tuple(each for each in column.indicators if each[0] not in promoted),
    )
    if rest in place:
        return _Origin(place[rest], scalars)
    if any(level not in part.levels.get(variable, (level,)) for variable, level in rest.indicators):
        return _Origin(-1, scalars)
    missing = next(
        (each for each in (*rest.numbers, *(v for v, _ in rest.indicators)) if each not in _known(part)), ""
    )
    what = f"the variable {missing!r}" if missing else f"the product {_written(rest)}"
    raise FitError(
        f"{name} was summed without {what}, which other files have. Summarise it with the same formula."
    )


def _known(part: UnitSummaries) -> set[str]:
    numbers = {name for column in part.columns for name in column.numbers}
    return {*part.levels, *part.values, *numbers}


def _written(column: LocalColumn) -> str:
    return ":".join((*column.numbers, *(f"{name}[{level}]" for name, level in column.indicators)))


def _joined(
    parts: Sequence[UnitSummaries],
    columns: tuple[LocalColumn, ...],
    factors: set[str],
    levels_of: Sequence[Mapping[str, tuple[str, ...]]],
) -> UnitSummaries:
    first = parts[0]
    n_units = np.cumsum([0, *(part.n_units for part in parts)])
    n_kinds = np.cumsum([0, *(len(part.kinds) for part in parts)])
    if any(part.slopes is None for part in parts):
        parts = [_with_products(part) for part in parts]
    kinds, kind = np.unique(np.concatenate([part.kinds for part in parts]), axis=0, return_inverse=True)
    cell_kind = np.concatenate(
        [kind.ravel()[offset + part.cell_kind] for part, offset in zip(parts, n_kinds, strict=False)]
    )
    levels = {
        name: _united_levels([each[name] for each in levels_of if name in each]) for name in sorted(factors)
    }
    names = _names(part.values for part in parts)
    return UnitSummaries(
        definition=first.definition,
        columns=columns,
        levels=levels,
        groups={
            name: _stacked(name, [part.groups.get(name) for part in parts], parts) for name in first.groups
        },
        values={name: _stacked(name, [part.values.get(name) for part in parts], parts) for name in names},
        n_rows=np.concatenate([part.n_rows for part in parts]),
        centres=np.concatenate([part.centres for part in parts]),
        within=np.concatenate([part.within for part in parts]),
        kinds=kinds,
        cell_unit=np.concatenate(
            [offset + part.cell_unit for part, offset in zip(parts, n_units, strict=False)]
        ),
        cell_kind=cell_kind,
        cell_count=np.concatenate([part.cell_count for part in parts]),
        products=_concatenated([part.products for part in parts]),
        slopes=_concatenated([part.slopes for part in parts]),
        n_missing=sum(part.n_missing for part in parts),
        n_excluded=sum(part.n_excluded for part in parts),
        references={name: _references(name, parts) for name in _names(part.references for part in parts)},
        log_weights=None
        if first.log_weights is None
        else np.concatenate([each.log_weights for each in parts if each.log_weights is not None]),
        missing={
            name: sum(part.missing.get(name, 0) for part in parts)
            for name in _names(part.missing for part in parts)
        },
        ranges={
            name: _range([part.ranges[name] for part in parts if name in part.ranges])
            for name in _names(part.ranges for part in parts)
        },
        means={
            name: np.concatenate([part.mean_of(name) for part in parts])
            for name in _names(part.means for part in parts)
        },
    )


def _concatenated(each: Sequence[np.ndarray | None]) -> np.ndarray | None:
    held = [array for array in each if array is not None]
    return np.concatenate(held) if held else None


def _with_products(part: UnitSummaries) -> UnitSummaries:
    """Return a part that keeps D of every group with sums over the groups of a unit and kind instead."""
    if part.slopes is None:
        return part
    cells, cell = np.unique(part.cell_unit * len(part.kinds) + part.cell_kind, return_inverse=True)
    _, m, k = part.slopes.shape
    flat = part.slopes.reshape(-1, m * k)
    products = np.zeros((len(cells), m * k, m * k))
    np.add.at(products, cell, flat[:, :, None] * flat[:, None, :])
    unit, kind = np.divmod(cells, len(part.kinds))
    return replace(
        part,
        cell_unit=unit,
        cell_kind=kind,
        cell_count=np.bincount(cell, weights=part.cell_count),
        products=products.reshape(-1, m, k, m, k),
        slopes=None,
        labels=None,
    )


def _names(each: Iterable[Mapping[str, object]]) -> list[str]:
    return sorted({name for mapping in each for name in mapping})


def _references(name: str, parts: Sequence[UnitSummaries]) -> np.ndarray:
    """Return the references of a number; where it was not shifted they are zero."""
    return np.concatenate([part.references.get(name, np.zeros(part.n_units)) for part in parts])


def _range(ranges: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _stacked(name: str, each: Sequence[Coded | None], parts: Sequence[UnitSummaries]) -> Coded:
    """Return one variable of all parts; where a part does not have it, it is missing."""
    known = [coded for coded in each if coded is not None]
    if len({coded.is_factor for coded in known}) > 1:
        raise FitError(f"{name!r} is text in one file and a number in another.")
    sizes = [part.n_units for part in parts]
    if not known[0].is_factor:
        numbers = [
            np.full(size, np.nan) if coded is None else coded.numbers
            for coded, size in zip(each, sizes, strict=True)
        ]
        values = np.concatenate([part for part in numbers if part is not None])
        return Coded(name, np.isnan(values), numbers=values)
    levels = _united_levels([coded.levels for coded in known])
    place = {level: position for position, level in enumerate(levels)}
    codes = []
    for coded, size in zip(each, sizes, strict=True):
        if coded is None:
            codes.append(np.full(size, -1, dtype=np.int64))
            continue
        assert coded.codes is not None
        own = np.array([*(place[level] for level in coded.levels), -1], dtype=np.int64)
        codes.append(own[coded.codes])
    joined = np.concatenate(codes)
    return Coded(name, joined < 0, codes=joined, levels=levels)


def _united_levels(each: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return all levels: in the common order if the files agree on one, else sorted as text or numbers."""
    longest = max(each, key=len)
    if all(set(levels) <= set(longest) for levels in each):
        orders = (tuple(level for level in longest if level in set(levels)) == levels for levels in each)
        if all(orders):
            return longest
    every = {level for levels in each for level in levels}
    try:
        return tuple(sorted(every, key=float))
    except ValueError:
        return tuple(sorted(every))
