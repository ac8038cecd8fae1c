"""Columns of a model as coefficients of the local columns of every unit.

A product of variables is split into what is constant in a unit, a scalar, and a local column; K (u, m, p)
holds the scalars, so that the model's columns in the rows of unit u are C K_u. C are the columns as they
were summed: centred, and numbers taken from their references; both are given back here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from nwbswitch.analysis.summaries.local_columns import Combination
from nwbswitch.analysis.summaries.unit_summaries import LocalColumn, UnitSummaries
from nwbswitch.schemas.errors import FormulaError


class UnitDesign:
    """Coefficients of products of variables in the local columns of ``summaries``."""

    def __init__(self, summaries: UnitSummaries) -> None:
        self.summaries = summaries
        self.place = {column: position for position, column in enumerate(summaries.columns)}
        self.local = {name for column in summaries.columns for name in _names(column)}
        # The first level that a factor has is the rest of the constant, so that coefficients are unique.
        self.first = {name: levels[0] for name, levels in summaries.levels.items() if levels}
        self._parts: dict[LocalColumn, list[tuple[np.ndarray, int]]] = {}

    def coefficients(
        self, columns: Sequence[Combination], shifts: Mapping[str, float] | None = None
    ) -> np.ndarray:
        """Return K (u, m, columns), the last of the m rows being that of the response, which is zero.

        Parameters
        ----------
        columns
            Combinations of products of variables.
        shifts
            Constants that are subtracted from numbers before products are formed.

        Raises
        ------
        FormulaError
            If the summaries lack a variable or a product.
        """
        n_units, m = self.summaries.n_units, len(self.summaries.columns) + 1
        K = np.zeros((n_units, m, len(columns)))
        for j, combination in enumerate(columns):
            for column, weight in combination.items():
                for scalars, position in self._split(column, shifts or {}):
                    K[:, position, j] += weight * scalars
        K[:, 0] += np.einsum("um,ump->up", self.summaries.centres[:, 1:-1], K[:, 1:-1])
        return K

    def response(self, level: float) -> np.ndarray:
        """Return the coefficients (u, m) of the response less a constant."""
        found = np.zeros((self.summaries.n_units, len(self.summaries.columns) + 1))
        found[:, 0] = self.summaries.centres[:, -1] - level
        found[:, -1] = 1.0
        return found

    def mean(self, name: str) -> float:
        """Return the plain mean of a number over rows, as emmeans takes it, with row weights too."""
        n_rows = self.summaries.n_rows
        values = self.summaries.mean_of(name) if name in self.local else self._numbers(name)
        low = float(values.min())
        return low + float(n_rows @ (values - low) / n_rows.sum())

    def sizes(self) -> dict[str, float]:
        """Return the greatest absolute value of every number whose values are known."""
        ranges = self.summaries.ranges.items()
        found = {name: max(abs(low), abs(high)) for name, (low, high) in ranges}
        for name, value in self.summaries.values.items():
            if value.numbers is not None:
                found[name] = float(np.abs(value.numbers).max(initial=0.0))
        return found

    def _split(self, column: LocalColumn, shifts: Mapping[str, float]) -> list[tuple[np.ndarray, int]]:
        """Return the local columns that make up a product, each with its scalar per unit."""
        scalars = np.ones(self.summaries.n_units)
        inside: list[tuple[np.ndarray, LocalColumn]] = []
        numbers, indicators = [], []
        for name in column.numbers:
            if name in self.local:
                numbers.append(name)
            else:
                scalars = scalars * (self._numbers(name) - shifts.get(name, 0.0))
        for name, level in column.indicators:
            if name in self.local:
                indicators.append((name, level))
            else:
                scalars = scalars * self._is_level(name, level)
        inside = [(scalars, LocalColumn((), tuple(indicators)))]
        for name in numbers:
            offset = self._reference(name) - shifts.get(name, 0.0)
            with_number = [(s, LocalColumn((*c.numbers, name), c.indicators)) for s, c in inside]
            moved = [(s * offset, c) for s, c in inside] if np.any(offset) else []
            inside = with_number + moved
        return [part for s, c in inside for part in self._canonical(s, c)]

    def _canonical(self, scalars: np.ndarray, column: LocalColumn) -> list[tuple[np.ndarray, int]]:
        """Return a product without indicators of first levels, as far as the columns allow."""
        column = LocalColumn(tuple(sorted(column.numbers)), tuple(sorted(column.indicators)))
        for name, level in column.indicators:
            rest = LocalColumn(column.numbers, tuple(each for each in column.indicators if each[0] != name))
            if level != self.first.get(name) or rest not in self.place:
                continue
            found = self._canonical(scalars, rest)
            for other in self.summaries.levels[name]:
                if other != level:
                    indicators = (*rest.indicators, (name, other))
                    found += self._canonical(-scalars, LocalColumn(rest.numbers, indicators))
            return found
        if column in self.place:
            return [(scalars, self.place[column])]
        if self._has_variables(column):
            return []  # a combination of levels without rows
        raise self._lacking(column)

    def _has_variables(self, column: LocalColumn) -> bool:
        wanted = frozenset(_names(column))
        return any(frozenset(_names(each)) == wanted for each in self.place)

    def _lacking(self, column: LocalColumn) -> FormulaError:
        name = ":".join(_names(column))
        return FormulaError(
            f"The summaries have no product {name} of what varies inside "
            f"{self.summaries.definition.unit or 'the table'}; they have {self.shown()}. Summarise the rows "
            f"again with {name} in the formula."
        )

    def shown(self) -> str:
        """Return the variables that the summaries know, for messages."""
        inside = dict.fromkeys(":".join(_names(column)) for column in self.summaries.columns[1:])
        return ", ".join([*inside, *self.summaries.values]) or "the response alone"

    def unit_variable(self, name: str) -> None:
        """Raise if the summaries do not know a variable.

        Raises
        ------
        FormulaError
            They do not.
        """
        if name not in self.local and name not in self.summaries.values:
            raise FormulaError(
                f"The summaries have no variable {name!r}; they have {self.shown()}. Summarise the rows "
                f"again with {name} in the formula, or name it in keep if it is constant in every "
                f"{self.summaries.definition.unit or 'table'}."
            )

    def levels(self, names: Iterable[str]) -> dict[str, Sequence[str] | None]:
        """Return the levels of variables, None for numbers.

        Raises
        ------
        FormulaError
            If a variable is not there.
        """
        found: dict[str, Sequence[str] | None] = {}
        for name in names:
            self.unit_variable(name)
            if name in self.local:
                found[name] = self.summaries.levels.get(name)
            else:
                value = self.summaries.values[name]
                found[name] = value.levels if value.is_factor else None
        return found

    def _numbers(self, name: str) -> np.ndarray:
        self.unit_variable(name)
        numbers = self.summaries.values[name].numbers
        assert numbers is not None
        return numbers

    def _reference(self, name: str) -> np.ndarray:
        found = self.summaries.references.get(name)
        return np.zeros(self.summaries.n_units) if found is None else found

    def _is_level(self, name: str, level: str) -> np.ndarray:
        self.unit_variable(name)
        value = self.summaries.values[name]
        assert value.codes is not None
        return np.asarray(value.codes == (value.levels.index(level) if level in value.levels else -2))


def _names(column: LocalColumn) -> tuple[str, ...]:
    return (*column.numbers, *(name for name, _ in column.indicators))


def recentring(
    columns: Sequence[Combination], levels: Mapping[str, Sequence[str] | None], means: Mapping[str, float]
) -> tuple[np.ndarray, dict[str, float]]:
    """Return M (p, p) with columns = centred columns M, and the constants taken from numbers.

    A number is centred where the products that this leaves behind are columns of the model anyway. Then
    the model is the same, and a covariate far from zero costs no digits.
    """
    chosen = list(means)
    while chosen:
        M = np.eye(len(columns))
        for subset in _subsets(chosen):
            pieces = [_without_numbers(each, subset) for each in columns]
            if not any(pieces):
                continue
            found = symbolic_map(columns, pieces, levels)
            if found is None:
                chosen = [name for name in chosen if name not in subset]
                break
            M += np.prod([means[name] for name in subset]) * found
        else:
            return M, {name: means[name] for name in chosen}
    return np.eye(len(columns)), {}


def _subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for size in range(1, min(len(names), 4) + 1):
        yield from combinations(names, size)


def _without_numbers(combination: Combination, names: tuple[str, ...]) -> Combination:
    """Return the terms of a combination that have all of ``names``, without them."""
    return {
        LocalColumn(tuple(each for each in column.numbers if each not in names), column.indicators): weight
        for column, weight in combination.items()
        if set(names) <= set(column.numbers)
    }


def symbolic_map(
    basis: Sequence[Combination],
    columns: Sequence[Combination],
    levels: Mapping[str, Sequence[str] | None],
) -> np.ndarray | None:
    """Return M (basis, columns) with columns = basis M whatever the rows are, or None if there is none.

    Indicators of first levels are the rest of the constant, so products are independent symbols.
    """
    first = {name: each[0] for name, each in levels.items() if each}
    symbols: dict[LocalColumn, int] = {}

    def expanded(combination: Combination) -> dict[int, float]:
        sums: dict[int, float] = {}
        for column, weight in combination.items():
            for symbol, sign in _without_first(column, first, levels):
                position = symbols.setdefault(symbol, len(symbols))
                sums[position] = sums.get(position, 0.0) + sign * weight
        return sums

    left, right = [expanded(each) for each in basis], [expanded(each) for each in columns]
    table = np.zeros((len(symbols), len(left) + len(right)))
    for j, sums in enumerate([*left, *right]):
        for position, value in sums.items():
            table[position, j] = value
    A, B = table[:, : len(left)], table[:, len(left) :]
    found = np.linalg.lstsq(A, B, rcond=None)[0]
    if np.abs(A @ found - B).max(initial=0.0) > 1e-9:
        return None
    found[np.abs(found) < 1e-12] = 0.0
    return np.asarray(found)


def _without_first(
    column: LocalColumn, first: Mapping[str, str], levels: Mapping[str, Sequence[str] | None]
) -> list[tuple[LocalColumn, float]]:
    for name, level in column.indicators:
        if level != first[name]:
            continue
        rest = tuple(each for each in column.indicators if each[0] != name)
        found = _without_first(LocalColumn(column.numbers, rest), first, levels)
        for other in levels[name] or ():
            if other != level:
                indicators = tuple(sorted((*rest, (name, other))))
                product = LocalColumn(column.numbers, indicators)
                found += [(symbol, -sign) for symbol, sign in _without_first(product, first, levels)]
        return found
    return [(column, 1.0)]
