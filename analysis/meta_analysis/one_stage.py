"""One effect estimated in one stage from all rows, and in two stages from one fit per study, side by side.

In one stage a mixed model of all studies has the study as its outermost group; in two stages each study is
fitted alone and the effects are pooled with their standard errors. Both estimate the same mean if the
effect of a study is independent of its size and precision; where they differ and why is discussed by Burke,
Ensor and Riley (2017, Stat Med 36:855-875).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.formula import Formula, RandomTerm, read_formula, term_name
from nwbswitch.analysis.inference.inference import Ddf
from nwbswitch.analysis.meta_analysis.estimate import Test
from nwbswitch.analysis.meta_analysis.meta import MIN_STUDIES, meta, require_column
from nwbswitch.analysis.meta_analysis.meta_result import MetaFit
from nwbswitch.analysis.mixed.coefficient import Coefficient
from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.analysis.mixed.result import MixedFit
from nwbswitch.analysis.plain_values import plain
from nwbswitch.schemas.errors import FitError, FormulaError

_COLUMNS: Final = ["stage", "estimate", "se", "df", "ci_low", "ci_high", "p", "tau", "n_studies"]
# Residual SDs of studies that differ by more than this factor are worth a sentence.
_UNEQUAL: Final = 1.5
# So is this share of the variance of the column between studies.
_BETWEEN: Final = 0.02


@dataclass(frozen=True, slots=True, repr=False)
class OneStage:
    """Both estimates of one effect.

    Attributes
    ----------
    one, two
        The mixed model of all rows, and the meta-analysis of the studies' effects.
    term
        Name of the coefficient.
    studies
        study, estimate, se, df, residual_sd, n, status: ok, or why a study could not be fitted alone.
    tau
        Standard deviation of the effect between studies, of one and of two stages; nan where the model of
        all rows has none.
    reasons
        Why the two may differ here, in words.
    """

    one: MixedFit
    two: MetaFit
    term: str
    studies: pd.DataFrame
    tau: tuple[float, float]
    reasons: tuple[str, ...]
    info: Mapping[str, Any]

    def __repr__(self) -> str:
        return self.summary()

    @property
    def difference(self) -> float:
        """The estimate of one stage minus that of two; nan if the studies were not pooled."""
        pooled = self.two.coefficients
        return self._coefficient.estimate - pooled[0].estimate if pooled else float("nan")

    @property
    def _coefficient(self) -> Coefficient:
        return next(each for each in self.one.fixed if each.term == self.term)

    def table(self) -> pd.DataFrame:
        """Return stage (one, two, difference), estimate, se, df, ci_low, ci_high, p, tau, n_studies.

        The difference has no standard error: both estimates are of the same animals.
        """
        nan, n = float("nan"), self.info["n_studies"]
        rows: list[tuple[Any, ...]] = [("one", *_numbers(self._coefficient), self.tau[0], n)]
        pooled = self.two.coefficients
        rows.append(("two", *(_numbers(pooled[0]) if pooled else (nan,) * 6), self.tau[1], self.two.k))
        rows.append(
            ("difference", self.difference, nan, nan, nan, nan, nan, self.tau[0] - self.tau[1], self.two.k)
        )
        return pd.DataFrame(rows, columns=_COLUMNS)

    def summary(self) -> str:
        """Return both estimates as text for people."""
        table = self.table().to_string(index=False, float_format=lambda value: f"{value:.4g}", na_rep="-")
        lines = [f"{self.term} in one stage and in two", table]
        if not self.two.coefficients:
            lines.append(f"Two stages: {self.two.status}.")
        lost = self.studies[self.studies["status"] != "ok"]
        lines += [f"{row.study} could not be fitted alone: {row.status}" for row in lost.itertuples()]
        return "\n".join([*lines, *self.reasons])

    def as_dict(self) -> dict[str, Any]:
        """Return both estimates, the studies and the reasons as plain JSON values."""
        found: dict[str, Any] = plain(
            {
                "term": self.term,
                "stages": self.table().to_dict("records"),
                "studies": self.studies.to_dict("records"),
                "reasons": list(self.reasons),
                "info": dict(self.info),
            }
        )
        return found


def _numbers(found: Coefficient) -> tuple[float, ...]:
    return found.estimate, found.se, found.df, found.ci_low, found.ci_high, found.p


def one_stage(
    data: pd.DataFrame | Path | str,
    formula: str,
    *,
    term: str,
    study: str,
    within: str | None = None,
    where: str | None = None,
    ddf: Ddf = "kenward-roger",
    test: Test = "knha",
) -> OneStage:
    """Estimate an effect in one stage from all studies, and beside it in two.

    Parameters
    ----------
    data
        One row per observation, or a folder of summaries, one file per study, as `summarise` writes them.
    formula
        Model of all rows, with the study as the outermost group, e.g.
        ``"rate ~ drug * epoch + (1 + drug:epoch | lab) + (1 + epoch | lab:animal)"``.
    term
        Name of the coefficient, as the table of the fit has it, e.g. ``drugketamine:epochafter``.
    study
        Grouping factor of the studies; a column of the table.
    within
        Model of one study; by default ``formula`` without the terms of the study.
    where
        Condition on rows.
    ddf
        Degrees of freedom of the mixed models.
    test
        Of the second stage, see `meta.meta`.

    Raises
    ------
    FitError
        If the model of all rows cannot be fitted or fewer than three studies can be fitted alone.
    FormulaError
        If the formula cannot be read, or has no random term of the study.
    ValueError
        If the coefficient does not exist.
    """
    asked = read_formula(formula)
    if not any(study in each.group for each in asked.random):
        raise FormulaError(f"The formula {formula!r} has no random term of {study!r}, e.g. (1 | {study}).")
    alone = within if within is not None else within_study(asked, study)
    source = Path(data) if isinstance(data, str) else data
    one = fit(source, formula, where=where, ddf=ddf)
    names = [each.term for each in one.fixed]
    if term not in names:
        raise ValueError(f"There is no coefficient {term!r}; the model has {', '.join(names)}.")
    studies = _studies(source, alone, term, study, where, ddf)
    usable = studies[studies["status"] == "ok"]
    if len(usable) < MIN_STUDIES:
        lost = studies.loc[studies["status"] != "ok", "status"]
        reason = f" The first of the others: {lost.iloc[0]}" if len(lost) else ""
        raise FitError(
            f"{len(usable)} of {len(studies)} studies can be fitted alone: listed, not pooled, since a "
            f"pooled effect needs {MIN_STUDIES}.{reason}"
        )
    two = meta(usable, effect="estimate", variance="se**2", test=test, slab="study")
    spread = _spread(one, asked, term, study)
    tau = (spread, two.tau)
    info = {
        "formula": formula,
        "within": alone,
        "study": study,
        "n_studies": len(studies),
        "ddf": ddf,
        "test": test,
    }
    reasons = tuple(_reasons(one, two, studies, term, study, spread, asked))
    return OneStage(one, two, term, studies, tau, reasons, info)


def within_study(formula: Formula, study: str) -> str:
    """Return the formula of one study: without fixed terms that have the study in them, and its random terms.

    Raises
    ------
    FormulaError
        If no random term is left; then the formula of a study must be given.
    """
    fixed = [term for term in formula.fixed if study not in term]
    bars = [_bar(each) for each in formula.random if each.group != (study,)]
    if not bars:
        raise FormulaError(
            f"Without {study!r} the formula {formula.text!r} has no random term; say with 'within' how one "
            "study is fitted."
        )
    right = " + ".join(["1" if () in fixed else "0", *(term_name(term) for term in fixed if term), *bars])
    return f"{formula.response.name} ~ {right}"


def _bar(random: RandomTerm) -> str:
    terms = ["1" if () in random.terms else "0", *(term_name(term) for term in random.terms if term)]
    return f"({' + '.join(terms)} | {':'.join(random.group)})"


def _studies(
    source: pd.DataFrame | Path, within: str, term: str, study: str, where: str | None, ddf: Ddf
) -> pd.DataFrame:
    """Return the effect of each study fitted alone."""
    parts: dict[str, pd.DataFrame | Path] = {}
    if isinstance(source, Path):
        from nwbswitch.analysis.summaries.summarise import summary_files

        parts = {file.name.split(".")[0]: file for file in summary_files(source)}
    else:
        require_column(source, study)
        parts = {str(name): own for name, own in source.groupby(study, sort=True)}
    rows = [(name, *_fitted(own, within, term, where, ddf)) for name, own in parts.items()]
    return pd.DataFrame(rows, columns=["study", "estimate", "se", "df", "residual_sd", "n", "status"])


def _fitted(
    own: pd.DataFrame | Path, within: str, term: str, where: str | None, ddf: Ddf
) -> tuple[float, float, float, float, int, str]:
    nan = float("nan")
    try:
        found = fit(own, within, where=where, ddf=ddf)
    except (FitError, FormulaError) as error:
        return nan, nan, nan, nan, 0, str(error)
    row = next((each for each in found.fixed if each.term == term), None)
    residual = found.components[-1].sd
    if row is None:
        return nan, nan, nan, residual, found.n, f"it has no coefficient {term}"
    if not (np.isfinite(row.se) and row.se > 0.0):
        return row.estimate, nan, nan, residual, found.n, "its standard error is not a positive number"
    return row.estimate, row.se, row.df, residual, found.n, "ok"


def _spread(one: MixedFit, formula: Formula, term: str, study: str) -> float:
    """Return the standard deviation of the effect between studies in the model of all rows."""
    groups = {each.group_name for each in formula.random if each.group == (study,)}
    return next(
        (each.sd for each in one.components if each.group in groups and each.term == term), float("nan")
    )


def _reasons(
    one: MixedFit, two: MetaFit, studies: pd.DataFrame, term: str, study: str, spread: float, formula: Formula
) -> list[str]:
    found = []
    if np.isnan(spread):
        found.append(
            f"The model of all rows has no variance of {term} between {study}: its interval is that of "
            f"these studies, while two stages include differences between studies (tau {two.tau:.3g}). Add "
            f"the term to ({study}) to make them alike."
        )
    elif (
        max(spread, two.tau) > 1.5 * min(spread, two.tau)
        and abs(spread - two.tau) > 0.1 * two.coefficients[0].se
    ):
        found.append(
            f"The variance between studies is estimated differently: SD {spread:.3g} in one stage, "
            f"{two.tau:.3g} in two, which changes the weights of studies and the interval."
        )
    lost = int((studies["status"] != "ok").sum())
    if lost:
        found.append(f"{lost} of {len(studies)} studies cannot be fitted alone and are in one stage only.")
    usable = studies[studies["status"] == "ok"]
    ratio = float(usable["residual_sd"].max() / usable["residual_sd"].min())
    if ratio > _UNEQUAL:
        found.append(
            f"Residual standard deviations of studies differ by a factor of {ratio:.2g}; one stage gives all "
            "studies one, two stages give each its own."
        )
    few = float(usable["df"].min())
    if few < 10.0:
        found.append(
            f"A study has {few:.1f} degrees of freedom: two stages take its standard error as known, one "
            "stage pools the variances inside studies."
        )
    share = _between(one, term, study)
    if share > _BETWEEN and not any(study in name for name in formula.fixed):
        found.append(
            f"{100.0 * share:.0f} % of the variance of {term} lies between studies: one stage uses that too, "
            f"unless {study} is a fixed effect; two stages compare inside studies only."
        )
    if not found:
        found.append("Nothing in these data makes them differ by more than the weights of studies.")
    return found


def _between(one: MixedFit, term: str, study: str) -> float:
    """Return the share of the variance of a column that lies between studies; 0 where rows are not there."""
    rows = one.rows
    if rows is None:
        return 0.0
    level = next((each for each in rows.levels if study in each.names), None)
    if level is None or term not in rows.fixed.names:
        return 0.0
    column = rows.fixed.matrix[:, rows.fixed.names.index(term)]
    counts = np.bincount(level.codes)
    means = np.bincount(level.codes, column) / counts
    total = float(np.var(column))
    between = float(np.average((means - column.mean()) ** 2, weights=counts))
    return between / total if total > 0.0 else 0.0
