"""Covariance of the coefficients of estimating equations, robust to the working covariance.

With Q_i = D_i' V_i^-1 D_i, u_i the score of cluster i and N = (sum Q_i)^-1, the sandwich N (sum u u') N
(Liang and Zeger 1986, Biometrika 73:13-22) is too small with few clusters, because residuals are smaller
than errors: those of a cluster are about (I - H) times its errors, H = D N D' V^-1. Mancl and DeRouen (2001,
Biometrics 57:126-134) divide them by I - H, Kauermann and Carroll (2001, JASA 96:1387-1396) by its root. As
D' V^-1 f(D N D' V^-1) = f(Q N) D' V^-1, the corrected score is f(Q N) u, with matrices of p x p only.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from nwbswitch.analysis.gee.estimating import Solution
from nwbswitch.schemas.errors import FitError

Covariance = Literal["bias-reduced", "kauermann-carroll", "robust"]
_POWERS: Final[dict[Covariance, float]] = {"bias-reduced": 1.0, "kauermann-carroll": 0.5, "robust": 0.0}
# Leverage of a cluster on a combination of coefficients above which it is that cluster alone.
ALONE: Final = 1.0 - 1e-9


def covariance(solution: Solution, *, kind: Covariance) -> np.ndarray:
    """Return the (p, p) covariance of the coefficients.

    Raises
    ------
    FitError
        If one cluster alone determines a coefficient, so that its scatter is not known.
    """
    values, vectors = np.linalg.eigh(solution.information.sum(axis=0))
    root = (vectors / np.sqrt(values)) @ vectors.T
    leverages, axes = np.linalg.eigh(root @ solution.information @ root)
    power = _POWERS[kind]
    if power and leverages.max() > ALONE:
        raise FitError(
            "One cluster alone determines a coefficient, so its scatter between clusters is not known. "
            "Leave the term out, or ask for the covariance 'robust', which is too small."
        )
    scores = np.einsum("iab,ia->ib", axes, solution.scores @ root)
    scores = scores * np.maximum(1.0 - leverages, 1.0 - ALONE) ** -power
    adjusted = np.einsum("iab,ib->ia", axes, scores) @ root
    return np.asarray(adjusted.T @ adjusted)
