"""A multilevel meta-analysis as text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nwbswitch.analysis.fit_text import columns_text, df_text, number_text, p_text

if TYPE_CHECKING:
    from nwbswitch.analysis.meta_analysis.multilevel_result import MultilevelFit


def multilevel_text(fit: MultilevelFit) -> str:
    """Return the fit as text: effects, components, heterogeneity, coefficients, prediction."""
    percent = f"{100.0 * fit.level:g} %"
    letter = "z" if fit.test == "z" else "t"
    lines = [
        f"Multilevel meta-analysis of {fit.k} effects ({fit.info['n_missing']} with missing values left out) "
        f"in {fit.info['n_blocks']} independent blocks",
        f"  {fit.model.method.upper()}; random {'; '.join(fit.random)}; log-likelihood "
        f"{fit.log_likelihood:.3f}, AIC {fit.aic:.2f}, BIC {fit.bic:.2f}, AICc {fit.aicc:.2f}",
        "",
        "Random effects" + (" that moderators leave" if fit.has_moderators else ""),
        *_component_lines(fit),
    ]
    if np.isfinite(fit.heterogeneity.total):
        lines.append(f"  I^2 {fit.heterogeneity.total:.1f} % in all")
    lines.append(f"  Q({fit.q_df}) = {fit.q:.3f}, P = {p_text(fit.q_p)}")
    if fit.has_moderators:
        qm = fit.qm
        shown = f"chi^2({qm.df[0]:g})" if fit.test == "z" else f"F({qm.df[0]:g}, {qm.df[1]:g})"
        lines += [
            "",
            f"Moderators ~ {fit.model.frame.formula.text}: {shown} = {qm.statistic:.3f}, P = {p_text(qm.p)}",
        ]
    lines += ["", "Coefficients" if fit.has_moderators else "Pooled effect"]
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
        for each in fit.coefficients
    ]
    header = ["term", "estimate", "SE", "df", letter, "P", f"{percent} CI"]
    lines += [f"  {line}" for line in columns_text(header, cells)]
    if not fit.has_moderators:
        for _, row in fit.predict().iterrows():
            of = f" of {row['level']}" if "level" in row.index else ""
            low, high = (number_text(float(row[name]), digits=4) for name in ("pi_low", "pi_high"))
            lines.append(f"  {percent} prediction interval for a new study{of} [{low}, {high}]")
    lines += [f"Warning: {each}" for each in fit.info["warnings"]]
    return "\n".join(lines)


def _component_lines(fit: MultilevelFit) -> list[str]:
    rows = []
    for _, each in fit.components.iterrows():
        share = fit.heterogeneity.by_component.get(str(each["component"]), float("nan"))
        rows.append(
            [
                str(each["component"]),
                number_text(float(each["estimate"])),
                number_text(float(each["sd"]), digits=4),
                f"{each['n_groups']}",
                f"{share:.1f}" if np.isfinite(share) else "-",
                "at the boundary" if each["at_bound"] else "",
            ]
        )
    header = ["component", "estimate", "SD", "groups", "I^2 %", ""]
    return [f"  {line}" for line in columns_text(header, rows)]
