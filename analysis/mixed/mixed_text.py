"""A mixed model as text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pandas as pd

from nwbswitch.analysis.fit_text import number_text
from nwbswitch.analysis.mixed.coefficient import LEVEL
from nwbswitch.analysis.mixed.result_tables import Format, table_text

if TYPE_CHECKING:
    from nwbswitch.analysis.inference.anova import AnovaType
    from nwbswitch.analysis.mixed.fit_tables import FitTables

_TESTS: Final = {
    "kenward-roger": "t, Kenward-Roger",
    "satterthwaite": "t, Satterthwaite",
    "none": "z",
}


def mixed_text(fit: FitTables, *, anova: AnovaType = "III") -> str:
    """Return a mixed model as text: data, random effects, fixed effects, tests, how it was found."""
    info = fit.info
    name = "REML criterion" if fit.method == "reml" else "-2 log-likelihood"
    groups = ", ".join(f"{group} {count}" for group, count in info["groups"].items())
    reason = f" ({info['engine_reason']})" if info["engine_reason"] else ""
    lines = [
        f"Linear mixed model by {fit.method.upper()}",
        f"  {' '.join(fit.model.formula.text.split())}",
        f"  {rows_text(fit)}",
        f"  groups: {groups}",
        f"  engine: {info['engine']}{reason}",
        f"  {name} {fit.criterion:.4f}, AIC {fit.aic:.2f}, BIC {fit.bic:.2f}",
        "",
        "Random effects",
        *indented(fit.random()),
    ]
    lines += [
        f"  correlation of {each.term_1} and {each.term_2} within {each.group}: "
        f"{number_text(each.correlation, digits=3)}"
        for each in fit.correlations
    ]
    fixed = fit.table().rename(columns={"t": "z"} if fit.ddf == "none" else {})
    lines += ["", fixed_title(fit), *indented(fixed)]
    found = fit.term_tests(type=anova)
    if found.tests:
        tests = found.table().drop(columns=["sum_sq", "mean_sq"])
        lines += ["", f"Tests of terms (type {anova})", *indented(tests), *found.notes]
    return "\n".join([*lines, "", *found_text(fit)])


def fixed_title(fit: FitTables) -> str:
    """Return the title of the fixed effects: their tests, and their method if it is not the fit's."""
    refit = "" if fit.inference.method == fit.method else f"; of the fit by {fit.inference.method.upper()}"
    return f"Fixed effects ({_TESTS[fit.ddf]}{refit})"


def rows_text(fit: FitTables) -> str:
    """Return how many rows were used and why others were not."""
    info = fit.info
    by_column = ", ".join(f"{name} {count}" for name, count in info["missing"].items())
    missing = f"{info['n_missing']} with missing values left out"
    missing += f": {by_column}" if by_column else ""
    weights = f", weights {info['weights']}" if info["weights"] else ""
    return f"{fit.n} rows ({missing}; {info['n_excluded']} excluded){weights}"


def found_text(fit: FitTables) -> list[str]:
    """Return how the fit was found, what ended on the boundary, and warnings."""
    info = fit.info
    state = "Converged" if info["converged"] else "NOT CONVERGED"
    lines = [f"{state}: best of {info['starts']} starts, {info['iterations']} iterations."]
    if info["singular"]:
        lines += [
            f"Singular fit: {'; '.join(info['boundary'])}. The data show no scatter there beyond what the "
            "rest of the model explains; degrees of freedom may then count smaller units than animals."
        ]
    return lines + [f"Warning: {each}" for each in info["warnings"]]


def indented(frame: pd.DataFrame) -> list[str]:
    """Return the lines of a table, set in by two blanks."""
    return [f"  {line}" for line in table_text(frame).splitlines()]


def report_tables(fit: FitTables, *, format: Format, anova: AnovaType = "III") -> str:  # noqa: A002
    """Return the fit's tables as Markdown or LaTeX: fixed, tests, random effects, and how it was found."""
    parts = {
        fixed_title(fit): fit.table(),
        f"Tests of terms (type {anova})": fit.anova(type=anova),
        "Random effects": fit.random(),
    }
    tables = [headed(name, frame, format=format) for name, frame in parts.items() if len(frame)]
    comment = "% " if format == "latex" else ""
    return "\n\n".join([*tables, "\n".join(f"{comment}{line}" for line in found_text(fit))])


def headed(name: str, frame: pd.DataFrame, *, format: Format, level: float = LEVEL) -> str:  # noqa: A002
    """Return a table under its name."""
    table = table_text(frame, format=format, level=level)
    match format:
        case "markdown":
            return f"### {name}\n\n{table}"
        case "latex":
            return f"% {name}\n{table}"
    return f"{name}\n" + "\n".join(f"  {line}" for line in table.splitlines())
