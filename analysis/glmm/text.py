"""A logistic mixed model as text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pandas as pd

from nwbswitch.analysis.fit_text import number_text
from nwbswitch.analysis.mixed.result_tables import table_text

if TYPE_CHECKING:
    from nwbswitch.analysis.glmm.result import BinomialFit

_METHODS: Final = {"laplace": "Laplace's approximation", "agq": "adaptive Gauss-Hermite quadrature"}


def binomial_text(fit: BinomialFit) -> str:
    """Return the fit as text: data, random effects, fixed effects, how it was found."""
    info = fit.info
    groups = ", ".join(f"{group} {count}" for group, count in info["groups"].items())
    nodes = f" with {fit.n_quadrature} nodes" if fit.method == "agq" else ""
    kind = f"t, clusters: {info['clusters']}" if fit.ddf == "clusters" else "z"
    fixed = fit.table().rename(columns={"t": "z"} if fit.ddf == "none" else {})
    state = "Converged" if info["converged"] else "NOT CONVERGED"
    lines = [
        f"Logistic mixed model by {_METHODS[fit.method]}{nodes}",
        f"  {' '.join(fit.model.formula.text.split())}",
        f"  {info['n_yes']} yes of {info['n_trials']} in {fit.n} rows, summed to {info['n_summed_rows']}",
        f"  {info['n_missing']} rows with missing values left out, {info['n_excluded']} excluded",
        f"  groups: {groups}",
        f"  -2 log-likelihood {fit.criterion:.4f}, AIC {fit.aic:.2f}, BIC {fit.bic:.2f}",
        "",
        "Random effects (log odds)",
        *_indented(fit.random()),
    ]
    lines += [
        f"  correlation of {each.term_1} and {each.term_2} within {each.group}: "
        f"{number_text(each.correlation, digits=3)}"
        for each in fit.correlations
    ]
    lines += ["", f"Fixed effects (log odds; {kind})", *_indented(fixed), ""]
    lines += [f"{state}: best of {info['starts']} starts, {info['iterations']} iterations."]
    lines += [f"On the boundary: {each}." for each in info["boundary"]]
    lines += [f"Warning: {each}" for each in info["warnings"]]
    return "\n".join(lines)


def _indented(frame: pd.DataFrame) -> list[str]:
    return [f"  {line}" for line in table_text(frame).splitlines()]
