"""Numbers, tables and meta-analyses as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nwbswitch.analysis.meta_analysis.meta import MetaFit
    from nwbswitch.analysis.mixed.coefficient import Coefficient


def columns_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of a table, the first column to the left and the others to the right."""
    table = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def number_text(value: float, *, digits: int = 5) -> str:
    """Return a number with ``digits`` significant digits, or a dash if there is none."""
    if not np.isfinite(value):
        return "-"
    return f"{value:#.{digits}g}".rstrip(".") if value else "0"


def df_text(value: float) -> str:
    """Return degrees of freedom."""
    return f"{value:.1f}" if np.isfinite(value) else "inf"


def p_text(value: float) -> str:
    """Return a P value as papers print it."""
    if not np.isfinite(value):
        return "-"
    return "<.0001" if value < 1e-4 else f"{value:.4f}".lstrip("0")


def _coefficient_lines(rows: Sequence[Coefficient], letter: str, level: float) -> list[str]:
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


_METHOD_NAMES = {
    "ee": "equal effects",
    "dl": "DerSimonian-Laird",
    "pm": "Paule-Mandel",
    "reml": "REML",
    "ml": "ML",
    "he": "Hedges",
    "hs": "Hunter-Schmidt",
    "sj": "Sidik-Jonkman",
    "eb": "empirical Bayes",
}
_TEST_NAMES = {"knha": "Knapp-Hartung t", "t": "t", "z": "z"}


def meta_text(fit: MetaFit) -> str:
    """Return a meta-analysis as text: studies, heterogeneity, effect or coefficients, prediction."""
    percent = f"{100.0 * fit.level:g} %"
    kind = "Meta-regression" if fit.has_moderators else "Meta-analysis"
    lines = [
        f"{kind} of {fit.k} studies ({fit.info['n_missing']} with missing values left out)",
        f"  tau^2 by {_METHOD_NAMES[fit.method]}; tests by {_TEST_NAMES[fit.test]}",
        "",
        "Heterogeneity" + (" that moderators leave" if fit.has_moderators else ""),
        f"  tau^2 {number_text(fit.tau2)} (SE {number_text(fit.tau2_se, digits=4)}), tau "
        f"{number_text(float(np.sqrt(fit.tau2)))}",
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
    lines += _coefficient_lines(fit.coefficients, letter, fit.level)
    if fit.prediction is not None:
        low, high = (number_text(each, digits=4) for each in fit.prediction)
        lines.append(f"  {percent} prediction interval for a new study [{low}, {high}]")
    lines += [f"Warning: {each}" for each in fit.info["warnings"]]
    return "\n".join(lines)
