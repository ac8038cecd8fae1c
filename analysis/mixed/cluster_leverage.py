"""Leverage of independent clusters, and how sure their conditional means are, without rows.

With F_g = X_g'V_g^-1 X_g the part of cluster g in F = sum F_g, its leverage is tr(F_g F^-1): the sum over
clusters is the number p of fixed effects (Demidenko and Stukel 2005, section 3). Given the covariances,
the conditional variance of the effects b of the cluster is sigma^2 (Psi - Psi Z'V^-1 Z Psi).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from nwbswitch.analysis.mixed.deviance import Deviance
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.optimum import Optimum, psi_of
from nwbswitch.analysis.mixed.variance_table import residual_variance

HIGH: Final = 2.0
"""A cluster counts as one of high leverage from this multiple of the mean leverage on."""


def cluster_leverage(deviance: Deviance, optimum: Optimum) -> pd.DataFrame:
    """Return one row per cluster: group, level, n_rows, leverage, ratio (to the mean), high.

    Raises
    ------
    FitError
        If the model has no independent clusters.
    """
    found = deviance.cluster_sums(psi_of(deviance, optimum.theta))
    p = deviance.n_fixed
    inverse = np.linalg.inv(found.sums[:, :p, :p].sum(axis=0))
    leverage = np.einsum("gij,ji->g", found.sums[:, :p, :p], inverse)
    ratio = leverage * len(leverage) / p
    return pd.DataFrame(
        {
            "group": found.group,
            "level": np.array(found.labels, dtype=object),
            "n_rows": found.n_rows,
            "leverage": leverage,
            "ratio": ratio,
            "high": ratio > HIGH,
        }
    )


def conditional_sd(model: Model, deviance: Deviance, optimum: Optimum) -> pd.DataFrame | None:
    """Return the conditional SD of every effect of the outermost level: group, level, term, sd.

    None if an effect is no column of the fixed effects: cluster sums then do not hold its Z.
    """
    outermost = model.levels[-1]
    names = [name for block in outermost.blocks for name in block.names]
    if not set(names) <= set(model.names):
        return None
    psi = psi_of(deviance, optimum.theta)
    found = deviance.cluster_sums(psi)
    scaling, p = deviance.scaling, deviance.n_fixed
    sizes = scaling.effect_scales[-1]
    K = scaling.fixed[:, [model.names.index(name) for name in names]] / sizes
    inside = K.T @ found.sums[:, :p, :p] @ K
    variances = np.diagonal(psi[-1] - psi[-1] @ inside @ psi[-1], axis1=1, axis2=2)
    sd = np.sqrt(np.maximum(variances, 0.0) * residual_variance(deviance, optimum)) / sizes
    labels = [block.label for block in outermost.blocks for _ in block.names]
    return pd.DataFrame(
        {
            "group": np.repeat(np.array(labels, dtype=object), len(sd)),
            "level": np.tile(np.array(found.labels, dtype=object), len(names)),
            "term": np.repeat(np.array(names, dtype=object), len(sd)),
            "sd": sd.T.ravel(),
        }
    )
