"""Meta-analyses as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from nwbswitch.analysis.fit_text import columns_text, df_text, number_text, p_text

if TYPE_CHECKING:
    from nwbswitch.analysis.meta_analysis.meta_result import MetaFit
    from nwbswitch.analysis.mixed.coefficient import Coefficient

METHOD_NAMES: Final = {
    "ee": "equal effects",
    "dl": "DerSimonian-Laird",
    "pm": "Paule-Mandel",
    "reml": "REML",
    "ml": "ML",
    "he": "Hedges",
    "hs": "Hunter-Schmidt",
    "hsk": "Hunter-Schmidt, small samples",
    "sj": "Sidik-Jonkman",
    "eb": "empirical Bayes",
    "genq": "generalised Q with given weights",
}
TEST_NAMES: Final = {
    "knha": "Knapp-Hartung t",
    "adhoc": "Knapp-Hartung t, never narrower than t",
    "t": "t",
    "z": "z",
}


def plural(unit: str) -> str:
    """Return the plural of a unit: studies, animals, sessions."""
    return unit[:-1] + "ies" if unit.endswith("y") else unit + "s"


def table_lines(table: pd.DataFrame, *, digits: int = 4) -> list[str]:
    """Return the lines of a table of results: numbers to ``digits``, P values as papers print them."""

    def shown(name: str, value: object) -> str:
        if isinstance(value, bool | np.bool_):
            return "yes" if value else ""
        if isinstance(value, int | np.integer):
            return str(value)
        if isinstance(value, float):
            return p_text(value) if name == "p" or name.endswith("_p") else number_text(value, digits=digits)
        return str(value)

    names = [str(each) for each in table.columns]
    rows = [
        [shown(name, value) for name, value in zip(names, row, strict=True)]
        for row in table.itertuples(index=False)
    ]
    return [f"  {line}" for line in columns_text(names, rows)]


def coefficient_lines(rows: Sequence[Coefficient], letter: str, level: float) -> list[str]:
    """Return the lines of a table of coefficients; ``letter`` names the statistic."""
    cells = [
        [
            each.term,
            number_text(each.estimate),
            number_text(each.se, digits=4),
            df_text(each.df),
            f"{each.t:.3f}",
            p_text(each.p),
            f"[{number_text(each.ci_low, digits=4)}, {number_text(each.ci_high, digits=4)}]",
        ]
        for each in rows
    ]
    header = ["term", "estimate", "SE", "df", letter, "P", f"{100.0 * level:g} % CI"]
    return [f"  {line}" for line in columns_text(header, cells)]


def meta_text(fit: MetaFit) -> str:
    """Return a meta-analysis as text: studies, heterogeneity, effect or coefficients, prediction."""
    percent = f"{100.0 * fit.level:g} %"
    kind = "Meta-regression" if fit.has_moderators else "Meta-analysis"
    units = plural(fit.unit)
    left = f"({fit.info['n_missing']} with missing values left out)"
    if not fit.pooled:
        listed = table_lines(fit.studies.drop(columns="weight"))
        return "\n".join([f"{fit.status} {left}", "", *listed])
    lines = [
        f"{kind} of {fit.k} {units} {left}",
        f"  tau^2 by {METHOD_NAMES[fit.method]}; tests by {TEST_NAMES[fit.test]}",
    ]
    if fit.unit != "study":
        lines.append(f"  The unit is the {fit.unit}: this pools {units}, and says nothing of other studies.")
    lines += [
        "",
        "Heterogeneity" + (" that moderators leave" if fit.has_moderators else ""),
        f"  tau^2 {number_text(fit.tau2)} (SE {number_text(fit.tau2_se, digits=4)}), tau "
        f"{number_text(fit.tau)}",
        f"  Q-profile {percent} CI of tau^2 [{number_text(fit.tau2_ci[0], digits=4)}, "
        f"{number_text(fit.tau2_ci[1], digits=4)}]",
        f"  I^2 {fit.i2:.1f} %, H^2 {fit.h2:.2f}",
        f"  Q({fit.k - len(fit.coefficients)}) = {fit.q:.3f}, P = {p_text(fit.q_p)}",
    ]
    if fit.has_moderators:
        shown = f"F({fit.qm_df[0]:g}, {fit.qm_df[1]:g})" if fit.test != "z" else f"chi^2({fit.qm_df[0]:g})"
        lines += ["", f"Moderators ~ {fit.formula}: {shown} = {fit.qm:.3f}, P = {p_text(fit.qm_p)}"]
        if np.isfinite(fit.r2):
            lines[-1] += f", R^2 {fit.r2:.1f} %"
    letter = "z" if fit.test == "z" else "t"
    lines += ["", "Coefficients" if fit.has_moderators else "Pooled effect"]
    lines += coefficient_lines(fit.coefficients, letter, fit.level)
    if fit.prediction is not None:
        low, high = (number_text(each, digits=4) for each in fit.prediction)
        lines.append(f"  {percent} prediction interval for a new {fit.unit} [{low}, {high}]")
    lines += [f"Warning: {each}" for each in fit.info["warnings"]]
    return "\n".join(lines)
