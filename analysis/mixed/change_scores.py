"""Changes relative to their own baseline, and what regression to the mean alone makes of them.

A response such as (after - before) / before has its baseline twice in it. Where before and after are
noisy measurements of the same thing and nothing happened, they could as well be exchanged; the response
then has the mean

    1/2 [(a - b) / b + (b - a) / a] = (a - b)^2 / (2 a b),

which is above 0 for every pair that differs, and the more so the lower the baseline. A difference between
arms is free of this only as far as it is alike in both. Fitting the same model to that mean, with each
pair's own a and b, tells which effect exchanging alone would give.

See Barnett, van der Pols and Dobson 2005 (Int J Epidemiol 34:215-220) for regression to the mean, and
Tu and Gilthorpe 2007 (Stat Med 26:443-457) for change against baseline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.analysis.mixed.optimum import psi_of
from nwbswitch.analysis.mixed.prepare import prepare
from nwbswitch.analysis.plain_values import plain
from nwbswitch.schemas.errors import FitError, FormulaError
from nwbswitch.schemas.issues import nearest

if TYPE_CHECKING:
    from nwbswitch.analysis.inference.inference import Ddf
    from nwbswitch.analysis.mixed.result import MixedFit

EXCHANGED = "exchanged_change"
LOG_CHANGE = "log2_change"


@dataclass(frozen=True, slots=True)
class ChangeCheck:
    """A model of relative changes beside what exchange of before and after gives, and two ways around it.

    Attributes
    ----------
    coefficients
        One row per coefficient: term, estimate (of the change as it was fitted), by_exchange (expected if
        before and after are exchanged at random within each row), share_pct (the second in percent of the
        first), log2_estimate, log2_se, log2_df, log2_p (the same model of log2(after / before), whose
        expectation under exchange is 0).
    correlation_with_baseline
        Correlation of after - before with before, over rows.
    correlation_by_exchange
        The same expected under exchange: -sqrt((1 - r) / 2), r the correlation of before with after.
    n_rows, n_without_log
        Rows that were used, and those of them without a log because a value is 0 or below.
    notes
        Sentences to read with it.
    """

    coefficients: pd.DataFrame
    correlation_with_baseline: float
    correlation_by_exchange: float
    n_rows: int
    n_without_log: int
    notes: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """Return one row per coefficient."""
        return self.coefficients

    def summary(self) -> str:
        """Return the check in words and a table."""
        shown = self.coefficients.to_string(index=False, float_format=lambda value: f"{value:.4g}")
        return "\n".join([shown, *self.notes])

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found: dict[str, Any] = plain(
            {
                "coefficients": self.coefficients.to_dict("records"),
                "correlation_with_baseline": self.correlation_with_baseline,
                "correlation_by_exchange": self.correlation_by_exchange,
                "n_rows": self.n_rows,
                "n_without_log": self.n_without_log,
                "notes": list(self.notes),
            }
        )
        return found


def change_check(
    data: pd.DataFrame,
    model: MixedFit,
    *,
    formula: str,
    before: str,
    after: str,
    where: str | None = None,
    ddf: Ddf = "kenward-roger",
) -> ChangeCheck:
    """Return what regression to the mean alone makes of a model of relative changes.

    Parameters
    ----------
    data
        The table that the model was fitted to; not changed.
    model
        The fit of ``formula``, whose response is (after - before) / before.
    formula, where
        As in `mixed.fit.fit`.
    before, after
        Columns of the response.
    ddf
        Degrees of freedom of the log model.

    Raises
    ------
    FormulaError
        If a column is not there or no number.
    FitError
        If a value before or after is not above 0 where the response needs it.
    """
    right = formula.partition("~")[2]
    if not right.strip():
        raise FormulaError(f"{formula!r} has no '~'.")
    read_formula(formula)
    pairs = {name: _numbers(data, name) for name in (before, after)}
    b, a = pairs[before], pairs[after]
    used = _used_rows(data, formula, where) & np.isfinite(a) & np.isfinite(b)
    if (b[used] <= 0).any():
        row = int(np.flatnonzero(used & (b <= 0))[0]) + 1
        raise FitError(f"{before} is {b[row - 1]:g} in row {row}; a change relative to it is not defined.")
    positive = used & (a > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        exchanged = np.where(positive, (a - b) ** 2 / (2 * a * b), np.nan)
        logs = np.where(positive, np.log2(a / b), np.nan)
    table = data.assign(**{EXCHANGED: np.where(used, exchanged, np.nan), LOG_CHANGE: logs})
    by_exchange = _coefficients_by_exchange(model, table[positive], right)
    in_logs = fit(table, f"{LOG_CHANGE} ~ {right}", where=where, ddf=ddf)
    coefficients = _joined(model.table(), by_exchange, in_logs.table())
    r = float(np.corrcoef(b[used], a[used])[0, 1])
    observed = float(np.corrcoef(a[used] - b[used], b[used])[0, 1])
    expected = -float(np.sqrt(max(0.0, (1 - r) / 2)))
    lost = int(used.sum() - positive.sum())
    return ChangeCheck(
        coefficients=coefficients,
        correlation_with_baseline=observed,
        correlation_by_exchange=expected,
        n_rows=int(used.sum()),
        n_without_log=lost,
        notes=_notes(coefficients, observed, expected, lost, where),
    )


def _numbers(data: pd.DataFrame, name: str) -> np.ndarray:
    if name not in data.columns:
        hint = nearest(name, map(str, data.columns))
        raise FormulaError(f"The table has no column {name!r}. {hint}".rstrip())
    values = pd.to_numeric(data[name], errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(values).any():
        raise FormulaError(f"The column {name!r} is not a number.")
    return values


def _used_rows(data: pd.DataFrame, formula: str, where: str | None) -> np.ndarray:
    """Return which rows the model used, shape (rows,)."""
    from nwbswitch.analysis.mixed.model_frame import complete_rows

    _, rows, _, _ = complete_rows(data, read_formula(formula), where=where)
    used = np.zeros(len(data), dtype=bool)
    used[rows] = True
    return used


def _coefficients_by_exchange(model: MixedFit, table: pd.DataFrame, right: str) -> dict[str, float]:
    """Return the coefficients of the exchanged response at the variance components of the model.

    At given components generalised least squares is linear in the response, so that these are the expected
    coefficients under exchange.
    """
    exchanged, deviance, _ = prepare(table, read_formula(f"{EXCHANGED} ~ {right}"))
    own, other = model.deviance.scaling.effect_scales, deviance.scaling.effect_scales
    psi = [
        each * np.outer(two, two) / np.outer(one, one)
        for each, one, two in zip(psi_of(model.deviance, model.optimum.theta), own, other, strict=True)
    ]
    scaling = deviance.scaling
    found = deviance.evaluate(psi, method=model.optimum.method).coefficients
    estimates = scaling.offset + scaling.scale * np.linalg.solve(scaling.fixed, found)
    return dict(zip(exchanged.names, estimates.tolist(), strict=True))


def _joined(model: pd.DataFrame, by_exchange: Mapping[str, float], logs: pd.DataFrame) -> pd.DataFrame:
    rows = pd.DataFrame({"term": model["term"], "estimate": model["estimate"]})
    rows["by_exchange"] = [by_exchange.get(term, np.nan) for term in rows["term"]]
    with np.errstate(divide="ignore", invalid="ignore"):
        rows["share_pct"] = 100 * rows["by_exchange"] / rows["estimate"]
    own = logs.set_index("term")
    for name in ("estimate", "se", "df", "p"):
        rows[f"log2_{name}"] = [own[name].get(term, np.nan) for term in rows["term"]]
    return rows


def _notes(
    coefficients: pd.DataFrame, observed: float, expected: float, lost: int, where: str | None
) -> tuple[str, ...]:
    first = coefficients.iloc[0]
    notes = [
        "The response is a change relative to its own baseline. If before and after were exchanged at random "
        f"in every row, so that nothing happened, the model would still give {first['term']} = "
        f"{first['by_exchange']:.3f} (found: {first['estimate']:.3f}).",
        f"The change correlates {observed:.2f} with the baseline; exchange alone gives {expected:.2f}.",
        "The model of log2(after / before) is 0 under exchange: an effect that is only in the relative "
        "change rests on rows with a low baseline.",
        "Exchange takes every difference for noise, real ones too: where the drug did change much, less than "
        "this is due to noise.",
    ]
    if lost:
        notes.append(f"{lost} rows have no log because a value is 0.")
    if where:
        notes.append(f"Rows were chosen by {where!r}: a condition on the change itself selects noise.")
    return tuple(notes)
