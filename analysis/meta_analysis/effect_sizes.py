"""Effect sizes and their sampling variances from published numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import pandas as pd

from nwbswitch.analysis.meta_analysis import effect_sizes_counts as counts
from nwbswitch.analysis.meta_analysis import effect_sizes_means as means
from nwbswitch.analysis.meta_analysis.effect_sizes_counts import To
from nwbswitch.analysis.meta_analysis.effect_sizes_means import Found, VType
from nwbswitch.analysis.meta_analysis.published_tables import PublishedRow, RowError
from nwbswitch.analysis.plain_values import plain
from nwbswitch.schemas.errors import FitError, FormulaError
from nwbswitch.schemas.issues import nearest

Measure = Literal[
    "MD", "SMD", "SMDH", "ROM", "MC", "SMCC", "SMCR", "ROMC",
    "OR", "RR", "RD", "PLO", "IRR", "COR", "ZCOR", "GEN",
]  # fmt: skip
_MEANS: Final[Mapping[str, tuple[Callable[[PublishedRow, VType], Found], tuple[VType, ...]]]] = {
    "MD": (means.mean_difference, ("LS", "HO")),
    "SMD": (means.standardised_difference, ("LS", "LS2", "UB")),
    "SMDH": (means.standardised_difference_unequal, ("LS",)),
    "ROM": (means.ratio_of_means, ("LS", "HO")),
    "MC": (means.mean_change, ("LS",)),
    "SMCC": (means.standardised_change, ("LS", "LS2")),
    "SMCR": (means.standardised_change_raw, ("LS", "LS2")),
    "ROMC": (means.ratio_of_means_change, ("LS",)),
}
_COUNTS: Final[Mapping[str, Callable[[PublishedRow, float, To], Found]]] = {
    "OR": counts.odds_ratio,
    "RR": counts.risk_ratio,
    "RD": counts.risk_difference,
    "PLO": counts.log_odds,
    "IRR": counts.rate_ratio,
}
_OTHER: Final[Mapping[str, Callable[[PublishedRow], Found]]] = {
    "COR": counts.correlation,
    "ZCOR": counts.fisher_z,
    "GEN": counts.given_effect,
}
_SPREADS = ("m1i", "m2i", "sd1i", "sd2i", "se1i", "se2i", "ci1_low", "ci1_high", "ci2_low", "ci2_high")
_TESTS = ("ti", "fi", "pi", "direction")
_TWO_GROUPS = ("n1i", "n2i", *_SPREADS)
_ONE_GROUP = ("ni", *_SPREADS, "ri", "sddi")
_FOURFOLD = ("ai", "bi", "ci", "di", "n1i", "n2i")
ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "MD": (*_TWO_GROUPS, *_TESTS),
    "SMD": (*_TWO_GROUPS, *_TESTS, "di"),
    "SMDH": _TWO_GROUPS,
    "ROM": _TWO_GROUPS,
    "MC": (*_ONE_GROUP, *_TESTS),
    "SMCC": (*_ONE_GROUP, *_TESTS),
    "SMCR": _ONE_GROUP,
    "ROMC": _ONE_GROUP,
    "OR": _FOURFOLD,
    "RR": _FOURFOLD,
    "RD": _FOURFOLD,
    "PLO": ("xi", "ni"),
    "IRR": ("x1i", "t1i", "x2i", "t2i"),
    "COR": ("ri", "ni", "ti"),
    "ZCOR": ("ri", "ni", "ti"),
    "GEN": ("yi", "vi", "sei", "ci_low", "ci_high", "ti", "pi", "dfi"),
}
"""What the columns of a table can be, by measure; metafor's names where it has them."""


@dataclass(frozen=True, slots=True)
class EffectSizes:
    """Effect sizes of a published table.

    ``effects`` holds the table's rows that have one, with ``yi``, ``vi`` and ``basis`` (what each was
    computed from); ``rejected`` the others: row (from 1), label, reason. No row is in neither.
    """

    measure: Measure
    vtype: VType
    effects: pd.DataFrame
    rejected: pd.DataFrame
    columns: Mapping[str, Hashable]

    def table(self) -> pd.DataFrame:
        """Return the rows with an effect size, ready for `meta.meta` with effect yi and variance vi."""
        return self.effects.copy()

    def as_dict(self) -> dict[str, Any]:
        """Return the effect sizes as plain JSON values."""
        columns = [name for name in ("label", "row", "yi", "vi", "basis") if name in self.effects]
        found: dict[str, Any] = plain(
            {
                "measure": self.measure,
                "vtype": self.vtype,
                "columns": {role: str(name) for role, name in self.columns.items()},
                "effects": self.effects[columns].to_dict("records"),
                "rejected": self.rejected.to_dict("records"),
            }
        )
        return found

    def summary(self) -> str:
        """Return the effect sizes as text, with the rows that have none and why."""
        from nwbswitch.analysis.meta_analysis.meta_text import table_lines

        total = len(self.effects) + len(self.rejected)
        lines = [f"Effect sizes {self.measure} of {len(self.effects)} of {total} rows"]
        lines += table_lines(self.effects[["row", "label", "yi", "vi", "basis"]])
        lines += [
            f"  No effect size in row {r.row} ({r.label}): {r.reason}." for r in self.rejected.itertuples()
        ]
        return "\n".join(lines)


def effect_sizes(
    table: pd.DataFrame,
    *,
    measure: Measure,
    columns: Mapping[str, Hashable] | None = None,
    vtype: VType = "LS",
    add: float = 0.5,
    to: To = "only0",
    level: float = 0.95,
    slab: Hashable | None = None,
) -> EffectSizes:
    """Return effect sizes and sampling variances, row by row, from published numbers.

    Parameters
    ----------
    table
        One row per comparison; it is not changed.
    measure
        Two groups: ``MD``, ``SMD``, ``SMDH``, ``ROM``. One group measured twice: ``MC``, ``SMCC``, ``SMCR``,
        ``ROMC``. Counts: ``OR``, ``RR``, ``RD``, ``PLO``, ``IRR``. Correlations: ``COR``, ``ZCOR``. ``GEN``:
        an effect as given with its standard error, interval, t or P. Ratios are logarithms.
    columns
        Which column plays which role, e.g. ``{"m1i": "ketamine mean"}``; roles that are not named are the
        columns of that name. `ROLES` lists those of every measure. A spread may be an SD, an SE, or the
        interval of a mean; a t, F(1, df) or exact P can stand for it where that is exact.
    vtype
        Sampling variance: ``LS`` by default, ``LS2``, ``UB`` (SMD) or ``HO`` (MD, ROM), as in metafor.
    add, to
        Added to every count of rows with a zero (``only0``), of all rows, or of none.
    level
        Of the intervals in the table.
    slab
        Column with the labels of the rows.

    Raises
    ------
    ValueError
        For a measure, vtype, role, level or correction that does not exist.
    FormulaError
        For a column that is not in the table, or is there twice.
    """
    if measure not in get_args(Measure):
        raise ValueError(f"measure is {measure!r}; available are {', '.join(get_args(Measure))}.")
    offered = _MEANS[measure][1] if measure in _MEANS else ("LS",)
    if vtype not in offered:
        raise ValueError(f"vtype is {vtype!r}; {measure} offers {', '.join(offered)}.")
    if to not in get_args(To):
        raise ValueError(f"to is {to!r}; available are {', '.join(get_args(To))}.")
    if not (math.isfinite(add) and add >= 0.0):
        raise ValueError(f"add is {add!r}; expected a number of 0 or more.")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level!r}; expected a number between 0 and 1, e.g. 0.95.")
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"table must be a pandas DataFrame, not {type(table).__name__}.")
    roles = _roles(table, measure, columns or {})
    labels = [str(row + 1) for row in range(len(table))]
    if slab is not None:
        _require_column(table, slab)
        labels = [str(each) for each in table[slab]]
    cells = {role: table[name].tolist() for role, name in roles.items()}
    kept, rejected = [], []
    for row, label in enumerate(labels):
        published = PublishedRow({role: values[row] for role, values in cells.items()}, roles, level)
        try:
            kept.append((row, label, *_effect(published, measure, vtype, add, to)))
        except RowError as problem:
            rejected.append((row + 1, label, str(problem)))
    names = ["row", "label", "yi", "vi", "basis"]
    found = pd.DataFrame(kept, columns=names)
    rest = table.drop(columns=[name for name in names if name in table.columns]).iloc[
        found["row"].to_numpy(int)
    ]
    effects = pd.concat([rest.reset_index(drop=True), found.assign(row=found["row"] + 1)], axis=1)
    return EffectSizes(
        measure, vtype, effects, pd.DataFrame(rejected, columns=["row", "label", "reason"]), roles
    )


def require_effects(found: EffectSizes) -> EffectSizes:
    """Return ``found`` if any row has an effect size.

    Raises
    ------
    FitError
        With the first reason, if none has.
    """
    if len(found.effects):
        return found
    reason = f" Row {found.rejected['row'][0]}: {found.rejected['reason'][0]}." if len(found.rejected) else ""
    raise FitError(f"No row has an effect size {found.measure}.{reason}")


def _effect(row: PublishedRow, measure: Measure, vtype: VType, add: float, to: To) -> Found:
    try:
        if measure in _MEANS:
            found = _MEANS[measure][0](row, vtype)
        elif measure in _COUNTS:
            found = _COUNTS[measure](row, add, to)
        else:
            found = _OTHER[measure](row)
    except ArithmeticError:
        raise RowError("the numbers are too large or too small to compute with") from None
    if not (math.isfinite(found.effect) and math.isfinite(found.variance)):
        raise RowError("the numbers give no finite effect size")
    if found.variance <= 0.0:
        raise RowError(f"the sampling variance would be {found.variance:g}")
    return found


def _roles(table: pd.DataFrame, measure: Measure, columns: Mapping[str, Hashable]) -> dict[str, Hashable]:
    known = ROLES[measure]
    for role, name in columns.items():
        if role not in known:
            raise ValueError(
                f"{role!r} is no number of {measure}. {nearest(role, known)} Known: {', '.join(known)}."
            )
        _require_column(table, name)
    found = {role: columns.get(role, role) for role in known if role in columns or role in table.columns}
    for name in found.values():
        if sum(each == name for each in table.columns) > 1:
            raise FormulaError(f"The table has two columns {str(name)!r}; rename one.")
    if not found:
        raise FormulaError(
            f"The table has none of the columns of {measure}: {', '.join(known)}. "
            "Say which are which (columns)."
        )
    return found


def _require_column(table: pd.DataFrame, name: Hashable) -> None:
    if name not in table.columns:
        hint = nearest(str(name), map(str, table.columns))
        raise FormulaError(f"The table has no column {str(name)!r}. {hint}".rstrip())
