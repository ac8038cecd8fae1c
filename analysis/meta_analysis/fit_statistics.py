"""Log-likelihood, deviance and information criteria of a meta-analysis."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nwbswitch.analysis.meta_analysis.estimate import Estimate
from nwbswitch.analysis.meta_analysis.tau2 import Method, Studies, Weighted


def fit_statistics(studies: Studies, found: Estimate, method: Method) -> pd.DataFrame:
    """Return one row per criterion (ml, reml): log_likelihood, deviance, aic, bic, aicc.

    The deviance of ``ml`` is against the saturated model, as metafor has it; that of ``reml`` is minus
    twice the log-likelihood. Parameters are the coefficients and, but for ``ee``, tau^2. AICc is that of
    Hurvich and Tsai (1989).
    """
    n_parameters = studies.design.shape[1] + (method != "ee")
    total = studies.variance + found.tau2.value
    ml = -0.5 * float(np.sum(np.log(2.0 * np.pi * total)) + found.rss)
    saturated = -0.5 * float(np.sum(np.log(2.0 * np.pi * studies.variance)))
    at_estimate = Weighted(studies, 1.0 / total)
    flat = Weighted(studies, np.ones(studies.k))
    restricted = (
        ml
        + 0.5 * studies.design.shape[1] * float(np.log(2.0 * np.pi))
        + 0.5 * (flat.log_det - at_estimate.log_det)
    )
    rows = []
    for name, value, deviance, n in (
        ("ml", ml, -2.0 * (ml - saturated), studies.k),
        ("reml", restricted, -2.0 * restricted, studies.df),
    ):
        n_corrected = max(n, n_parameters + 2)
        rows.append(
            {
                "criterion": name,
                "log_likelihood": value,
                "deviance": deviance,
                "aic": -2.0 * value + 2.0 * n_parameters,
                "bic": -2.0 * value + n_parameters * float(np.log(n)),
                "aicc": -2.0 * value + 2.0 * n_parameters * n_corrected / (n_corrected - n_parameters - 1),
            }
        )
    return pd.DataFrame(rows)
