"""Numbers of a published table, row by row: read strictly, and turned into what an effect size needs.

Papers print standard deviations, standard errors, intervals, t, F or P. Each conversion here is exact under
the test that the paper states; what would be a guess is a reason why a row has no effect size.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

MAX_SHOWN = 40
_SIGNS: Final = {
    "+": 1.0, "1": 1.0, "positive": 1.0, "up": 1.0, "increase": 1.0,
    "-": -1.0, "-1": -1.0, "negative": -1.0, "down": -1.0, "decrease": -1.0,
}  # fmt: skip


class RowError(ValueError):
    """Why one row has no effect size; never leaves this room."""


@dataclass(frozen=True, slots=True)
class Group:
    """Size, mean and standard deviation of one group, and how the latter was found."""

    n: float
    mean: float
    sd: float
    basis: str


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One row: the cells by role, the columns that play the roles, and the level of its intervals."""

    cells: Mapping[str, Any]
    columns: Mapping[str, Hashable]
    level: float

    def has(self, *roles: str) -> bool:
        """Return whether every role has a cell that is not empty."""
        return all(not _empty(self.cells.get(role)) for role in roles)

    def number(self, role: str) -> float:
        """Return the finite number in a cell; a minus sign of typesetters is read as one."""
        if not self.has(role):
            raise RowError(f"{self._name(role)} is empty")
        cell = self.cells[role]
        if isinstance(cell, bool):
            raise RowError(f"{self._name(role)} is {cell}, expected a number")
        try:
            value = (
                float(str(cell).strip().replace("\N{MINUS SIGN}", "-"))
                if isinstance(cell, str)
                else float(cell)
            )
        except (TypeError, ValueError):
            raise RowError(f"{self._name(role)} is {_shown(cell)}, expected a number{_hint(cell)}") from None
        if not math.isfinite(value):
            raise RowError(f"{self._name(role)} is {_shown(cell)}, expected a finite number")
        return value

    def positive(self, role: str) -> float:
        """Return a number above zero."""
        value = self.number(role)
        if value <= 0.0:
            raise RowError(f"{self._name(role)} is {value:g}, expected a number above 0")
        return value

    def size(self, role: str, *, least: int = 2) -> float:
        """Return a number of animals or pairs: whole, and at least ``least``."""
        value = self.number(role)
        if value != math.floor(value) or value < least:
            raise RowError(f"{self._name(role)} is {value:g}, expected a whole number of at least {least}")
        return value

    def count(self, role: str) -> float:
        """Return a number of events: 0 or more, whole."""
        return self.size(role, least=0)

    def correlation(self, role: str) -> float:
        """Return a number strictly between -1 and 1."""
        value = self.number(role)
        if not -1.0 < value < 1.0:
            raise RowError(f"{self._name(role)} is {value:g}, expected a correlation between -1 and 1")
        return value

    def group(self, which: str, n: float) -> Group:
        """Return mean and SD of a group, the SD from ``sd``, ``se`` or the interval of the mean.

        ``which`` is 1 or 2. SD = SE sqrt(n); SE = width / (2 t_{n-1}) (Cochrane Handbook, section 6.5.2).
        """
        mean = self.number(f"m{which}i")
        if self.has(f"sd{which}i"):
            return Group(n, mean, self.positive(f"sd{which}i"), "SD")
        if self.has(f"se{which}i"):
            return Group(n, mean, self.positive(f"se{which}i") * math.sqrt(n), "SE")
        if self.has(f"ci{which}_low", f"ci{which}_high"):
            half = self._half_width(f"ci{which}_low", f"ci{which}_high", mean)
            return Group(n, mean, half / self._critical(n - 1.0) * math.sqrt(n), "CI of the mean")
        raise RowError(f"sd{which}i, se{which}i and ci{which}_low with ci{which}_high are empty")

    def has_test(self) -> bool:
        """Return whether a t, an F or a P is given."""
        return any(self.has(role) for role in ("ti", "fi", "pi"))

    def t_value(self, df: float) -> tuple[float, str]:
        """Return t with ``df`` degrees of freedom, from t, from F(1, df), or from a two-sided P.

        F and P have no sign: ``direction`` says it (+ or -).
        """
        from scipy.stats import t as t_distribution

        if self.has("ti"):
            return self.number("ti"), "t"
        if self.has("fi"):
            value = self.number("fi")
            if value < 0.0:
                raise RowError(f"{self._name('fi')} is {value:g}, expected F(1, df), which is not negative")
            return self._sign() * math.sqrt(value), "F"
        value = self.number("pi")
        if not 0.0 < value <= 1.0:
            raise RowError(f"{self._name('pi')} is {value:g}, expected an exact two-sided P above 0")
        return self._sign() * float(t_distribution.isf(value / 2.0, df)), "P"

    def interval_se(self, df: float | None, centre: float) -> float:
        """Return the standard error behind ``ci_low`` and ``ci_high``; normal quantile without ``df``."""
        return self._half_width("ci_low", "ci_high", centre) / self._critical(df)

    def _half_width(self, low: str, high: str, centre: float) -> float:
        first, last = self.number(low), self.number(high)
        if not first < last:
            raise RowError(f"the interval {first:g} to {last:g} is empty or upside down")
        if not first <= centre <= last:
            raise RowError(f"the interval {first:g} to {last:g} does not hold its centre {centre:g}")
        return 0.5 * (last - first)

    def _critical(self, df: float | None) -> float:
        from scipy.stats import norm
        from scipy.stats import t as t_distribution

        distribution = norm if df is None else t_distribution(df)
        return float(distribution.ppf(0.5 + self.level / 2.0))

    def _sign(self) -> float:
        if not self.has("direction"):
            raise RowError("F and P have no sign: direction (+ or -) is empty")
        said = str(self.cells["direction"]).strip().replace("\N{MINUS SIGN}", "-").lower().removesuffix(".0")
        if said not in _SIGNS:
            raise RowError(f"direction is {_shown(self.cells['direction'])}, expected + or -")
        return _SIGNS[said]

    def _name(self, role: str) -> str:
        column = self.columns.get(role, role)
        return role if column == role else f"{role} ({column})"


def _empty(cell: object) -> bool:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return True
    return bool(cell != cell)  # nan and missing times are unlike themselves


def _shown(cell: object) -> str:
    text = str(cell)
    return repr(text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…")


def _hint(cell: object) -> str:
    text = str(cell)
    if "<" in text or ">" in text:
        return ", not a bound"
    if "±" in text or "(" in text:
        return "; give each number a column of its own"
    if text.count(",") == 1 and text.replace(",", "").replace("-", "").strip().isdigit():
        return " with a decimal point"
    return ""
