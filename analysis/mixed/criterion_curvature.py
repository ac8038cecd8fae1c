"""First and second derivatives of the profiled criterion in the entries of Psi."""

from __future__ import annotations

import numpy as np

from nwbswitch.analysis.mixed.deviance import Curvature, Method


def criterion_derivatives(
    found: Curvature, coefficients: np.ndarray, residual: float, *, n_rows: int, method: Method
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradient (q,) and Hessian (q, q) of the criterion, and the mean of the Hessian.

    The fixed effects and sigma^2 are at their optimum for each Psi. With F = Q'V^-1 Q, u = (-b, 1) and
    R = u'(W'V^-1 W)u the residual sum of squares, R_r = u'S_r u, R_rs = u'S_rs u - 2 c_r'F^-1 c_s with c_r
    the first p entries of S_r u (b moves with Psi; the envelope theorem and its derivative), and log|F| has
    the derivatives tr(F^-1 F_r) and tr(F^-1 F_rs) - tr(F^-1 F_r F^-1 F_s). Averaged over responses of the
    model at this Psi, R_r / R is -t_r / nu with t the gradient of the determinants, whose Hessian T turns
    the mean into -T - t t' / nu (twice the information of scoring; Searle, Casella and McCulloch 1992,
    section 6.6).
    """
    p = len(coefficients)
    nu = n_rows - (p if method == "reml" else 0)
    u = np.append(-coefficients, 1.0)
    along = found.first @ u
    first = along @ u
    inverse = np.linalg.inv(found.root[:p, :p])
    moved = along[:, :p]
    second = (found.second @ u) @ u - 2.0 * moved @ inverse @ moved.T
    slope, bend = found.log_det_first, found.log_det_second
    if method == "reml":
        weighted = inverse @ found.first[:, :p, :p]
        slope = slope + np.einsum("rii->r", weighted)
        flat = weighted.reshape(len(weighted), -1)
        turned = weighted.transpose(0, 2, 1).reshape(len(weighted), -1)
        bend = bend + found.second[:, :, :p, :p].reshape(*bend.shape, -1) @ inverse.ravel() - flat @ turned.T
    gradient = slope + nu * first / residual
    hessian = bend + nu * (second / residual - first[:, None] * first / residual**2)
    return gradient, hessian, -bend - slope[:, None] * slope / nu
