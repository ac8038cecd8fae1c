"""Predicted random effects of groups, and fitted values, residuals and weights of rows.

With P as in `multilevel_likelihood` the best linear unbiased prediction of the effects u of a term is G
Z'Py, and the variance of its error G - G Z'PZ G (Robinson 1991, Stat Sci 6:15-32).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nwbswitch.analysis.mixed.coefficient import quantile_of_t

if TYPE_CHECKING:
    from nwbswitch.analysis.meta_analysis.multilevel_result import MultilevelFit


def random_effects(fit: MultilevelFit) -> pd.DataFrame:
    """Return predicted random effects: group, level, inner, n_effects, estimate, se, ci_low, ci_high.

    Limits are estimate +- c se with the normal quantile, or with test t that of the fewest degrees of
    freedom of the coefficients. Inner levels that a group lacks are predicted from its others, with
    ``n_effects`` 0.
    """
    df = float(np.min(fit.ddf))
    critical = quantile_of_t(fit.level, df) if df > 0.0 else float("nan")
    frames = []
    for place, part in enumerate(fit.model.frame.parts):
        values, se = _effects(fit, place)
        q = values.shape[1]
        inner = np.zeros(fit.k, dtype=np.int64) if part.inner_codes is None else part.inner_codes
        counts = np.bincount(part.codes * q + inner, minlength=len(part.labels) * q)
        estimate = values.ravel()
        error = se.ravel()
        frames.append(
            pd.DataFrame(
                {
                    "group": part.group,
                    "level": np.repeat(np.array(part.labels, dtype=object), q),
                    "inner": np.tile(np.array(part.inner_labels or ("",), dtype=object), len(part.labels)),
                    "n_effects": counts,
                    "estimate": estimate,
                    "se": error,
                    "ci_low": estimate - critical * error,
                    "ci_high": estimate + critical * error,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _effects(fit: MultilevelFit, place: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the predicted effects and their standard errors, (groups, q), in units of the effects."""
    model, solved = fit.model, fit.solved
    data, part = model.data, model.frame.parts[place]
    covariance = model.covariance_of(place, fit.optimum.theta)
    q = len(covariance)
    inner = np.zeros(data.n, dtype=np.int64) if part.inner_codes is None else part.inner_codes
    sums = np.zeros((len(part.labels), q))
    products = np.zeros((len(part.labels), q, q))
    for position, stack in enumerate(data.stacks):
        wx = solved.weighted[position]
        P = solved.inverses[position] - wx @ solved.covariance @ wx.transpose(0, 2, 1)
        codes, own = part.codes[stack.rows], inner[stack.rows]
        np.add.at(sums, (codes, own), solved.residual[position] / data.scale)
        block, one, other = np.nonzero(codes[:, :, None] == codes[:, None, :])
        where = (codes[block, one], own[block, one], own[block, other])
        np.add.at(products, where, P[block, one, other] / data.scale**2)
    values = sums @ covariance
    explained = covariance @ products @ covariance
    variances = np.diagonal(covariance) - np.diagonal(explained, axis1=1, axis2=2)
    return values, np.sqrt(np.maximum(variances, 0.0))


def row_table(fit: MultilevelFit) -> pd.DataFrame:
    """Return label, effect, fitted, blup, residual, se_residual, hat, weight_pct of the rows.

    ``fitted`` is X b and ``blup`` adds the random effects; ``hat`` is the diagonal of X (X'M^-1 X)^-1
    X'M^-1, the residual is effect - fitted with its standard error, and ``weight_pct`` the sum of the row
    of M^-1 in percent, the weight of an effect in a mean without moderators.
    """
    model, solved = fit.model, fit.solved
    data, frame = model.data, model.frame
    hat, weight, error = np.empty(data.n), np.empty(data.n), np.empty(data.n)
    for position, stack in enumerate(data.stacks):
        x = data.basis[stack.rows]
        hat[stack.rows] = np.einsum("gmi,ij,gmj->gm", x, solved.covariance, solved.weighted[position])
        weight[stack.rows] = solved.inverses[position].sum(axis=2)
        total = np.diagonal(np.linalg.inv(solved.inverses[position]), axis1=1, axis2=2)
        error[stack.rows] = total - np.einsum("gmi,ij,gmj->gm", x, solved.covariance, x)
    fitted = frame.design.matrix @ fit.estimates
    blup = fitted.copy()
    for place, part in enumerate(frame.parts):
        values = _effects(fit, place)[0]
        inner = np.zeros(data.n, dtype=np.int64) if part.inner_codes is None else part.inner_codes
        blup += values[part.codes, inner]
    return pd.DataFrame(
        {
            "label": frame.labels,
            "effect": frame.effect,
            "fitted": fitted,
            "blup": blup,
            "residual": frame.effect - fitted,
            "se_residual": data.scale * np.sqrt(np.maximum(error, 0.0)),
            "hat": hat,
            "weight_pct": 100.0 * weight / weight.sum(),
        }
    )
