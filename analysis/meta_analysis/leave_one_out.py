"""A meta-analysis without each study, or without all studies of each lab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.meta_analysis.estimate import estimate
from nwbswitch.analysis.meta_analysis.meta import MIN_STUDIES
from nwbswitch.analysis.meta_analysis.meta_result import MetaFit
from nwbswitch.analysis.meta_analysis.tau2 import Studies
from nwbswitch.analysis.plain_values import plain
from nwbswitch.schemas.errors import FitError, FormulaError
from nwbswitch.schemas.issues import nearest

COLUMNS = ("estimate", "se", "statistic", "p", "ci_low", "ci_high", "tau2", "i2", "h2", "q", "q_p")


@dataclass(frozen=True, slots=True)
class Refits:
    """Meta-analyses of parts of the studies, one row each.

    ``rows`` has label, k (studies used), the estimate with its tests, tau2, i2, h2, q, q_p, and status;
    with moderators one row per term. ``what`` says what the parts are, ``by`` which column made them.
    """

    what: str
    by: str | None
    rows: pd.DataFrame
    fit: MetaFit

    def table(self) -> pd.DataFrame:
        """Return the rows."""
        return self.rows.copy()

    def as_dict(self) -> dict[str, Any]:
        """Return the rows as plain JSON values."""
        found: dict[str, Any] = plain(
            {"what": self.what, "by": self.by, "rows": self.rows.to_dict("records")}
        )
        return found

    def summary(self) -> str:
        """Return the rows as text."""
        from nwbswitch.analysis.meta_analysis.meta_text import table_lines

        shown = [
            "label",
            "k",
            *(["term"] if "term" in self.rows else []),
            "estimate",
            "se",
            "ci_low",
            "ci_high",
            "p",
        ]
        lines = [self.what[:1].upper() + self.what[1:], *table_lines(self.rows[[*shown, "tau2", "i2"]])]
        missed = self.rows[self.rows["status"] != "ok"]
        return "\n".join(lines + [f"  {row.label}: {row.status}" for row in missed.itertuples()])


def leave_one_out(fit: MetaFit, *, by: str | None = None) -> Refits:
    """Return the meta-analysis without each study in turn.

    Parameters
    ----------
    fit
        A pooled meta-analysis.
    by
        Column of the table, e.g. ``lab``: all studies of one lab are left out together.

    Raises
    ------
    FitError
        If nothing was pooled, or ``by`` has one value, or is empty in a row.
    FormulaError
        If the table has no such column.
    """
    require_pooled(fit, "leave-one-out")
    labels = fit.studies["label"].tolist() if by is None else column_values(fit, by)
    groups = [np.array([i]) for i in range(fit.k)] if by is None else _groups(labels)
    if len(groups) < 2:
        raise FitError(f"Every study has the same {by}, {labels[0]!r}: nothing is left without it.")
    rows: list[dict[str, Any]] = []
    for members in groups:
        keep = np.ones(fit.k, dtype=bool)
        keep[members] = False
        rows += refit(fit, fit.problem.rows(keep), str(labels[members[0]]), least=MIN_STUDIES)
    return Refits(f"without each {by or fit.unit}", by, pd.DataFrame(rows), fit)


def refit(fit: MetaFit, studies: Studies, label: str, *, least: int = 1) -> list[dict[str, Any]]:
    """Return the rows of the same model on other studies.

    What these cannot hold, and fewer than ``least`` studies, have a status and no numbers.
    """
    X = studies.design
    terms = [("term", term) for term in fit.terms] if fit.has_moderators else [None]
    first: dict[str, Any] = {"label": label, "k": studies.k}
    rank = int(np.linalg.matrix_rank(X / np.sqrt(np.sum(X**2, axis=0)).clip(1e-300)))
    status = "ok"
    if studies.k < least:
        status = f"{studies.k} of {fit.k} left: not pooled, since a pooled effect needs {least}"
    elif rank < X.shape[1] or (fit.has_moderators and studies.df < 1):
        status = f"{studies.k} of {fit.k} left: not every coefficient can be told apart"
    if status != "ok":
        return [
            {
                **first,
                **(dict([term]) if term else {}),
                **dict.fromkeys(COLUMNS, float("nan")),
                "status": status,
            }
            for term in terms
        ]
    found = estimate(studies, method=fit.method, test=fit.test, level=fit.level)
    return [
        {
            **first,
            **(dict([term]) if term else {}),
            "estimate": float(found.coefficients[i]),
            "se": float(found.se[i]),
            "statistic": float(found.statistic[i]),
            "p": float(found.p[i]),
            "ci_low": float(found.ci_low[i]),
            "ci_high": float(found.ci_high[i]),
            "tau2": found.tau2.value,
            "i2": found.i2,
            "h2": found.h2,
            "q": found.q,
            "q_p": found.q_p,
            "status": "ok",
        }
        for i, term in enumerate(terms)
    ]


def require_pooled(fit: MetaFit, what: str) -> None:
    """Raise FitError if nothing was pooled."""
    if not fit.pooled:
        raise FitError(f"There is no {what}: {fit.status}.")


def column_values(fit: MetaFit, name: str) -> list[Any]:
    """Return a column of the rows that were used.

    Raises
    ------
    FormulaError
        If there is no such column.
    FitError
        If it is empty in a row.
    """
    if name not in fit.source.columns:
        hint = nearest(name, map(str, fit.source.columns))
        raise FormulaError(f"The table has no column {name!r}. {hint}".rstrip())
    values = fit.source[name]
    missing = np.flatnonzero(values.isna().to_numpy(dtype=bool))
    if missing.size:
        label = fit.studies["label"].iloc[int(missing[0])]
        raise FitError(f"The column {name!r} is empty for {missing.size} {fit.unit}(s), first for {label!r}.")
    found: list[Any] = values.tolist()
    return found


def _groups(labels: list[Any]) -> list[np.ndarray]:
    codes, uniques = pd.factorize(pd.Series(labels, dtype=object))
    return [np.flatnonzero(codes == code) for code in range(len(uniques))]
