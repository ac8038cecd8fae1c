"""Tests of the fixed effects of a fitted mixed model, with the degrees of freedom that were asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from nwbswitch.analysis.inference import kenward_roger as by_kenward_roger
from nwbswitch.analysis.inference import satterthwaite as by_satterthwaite
from nwbswitch.analysis.inference.hypothesis import (
    FTest,
    TTest,
    checked_contrast,
    checked_contrasts,
    f_tail,
    t_test_of,
)
from nwbswitch.analysis.mixed.deviance import Deviance, Method
from nwbswitch.analysis.mixed.optimum import Optimum, optimise, psi_of

Ddf = Literal["kenward-roger", "satterthwaite", "none"]


@dataclass(frozen=True, slots=True, repr=False)
class Inference:
    """Estimates of the p fixed effects, their covariance, and tests of any contrast of them.

    ``estimates`` (p,) and ``vcov`` (p, p) are in the model's own columns and units; ``vcov`` is adjusted
    under Kenward-Roger. ``method`` is that of the estimates: Kenward-Roger is defined for REML, so for a
    fit by maximum likelihood estimates and tests are those of the REML refit, as in pbkrtest.
    ``design_root`` (p, p) is upper triangular with X'X = design_root' design_root; ``residual_variance`` is
    sigma^2.
    """

    estimates: np.ndarray
    vcov: np.ndarray
    ddf: Ddf
    method: Method
    residual_variance: float
    design_root: np.ndarray
    source: by_kenward_roger.KenwardRoger | by_satterthwaite.VarianceParameters | None

    def __repr__(self) -> str:
        return f"<Inference on {len(self.estimates)} coefficients: {self.method.upper()}, ddf {self.ddf}>"

    def t_test(self, contrast: np.ndarray, *, null: float = 0.0) -> TTest:
        """Return the test that ``contrast @ estimates`` is ``null``; the contrast has p numbers.

        Raises
        ------
        ValueError
            If the contrast has another length, is not finite, or is zero.
        """
        row = checked_contrast(contrast, len(self.estimates))
        match self.source:
            case by_kenward_roger.KenwardRoger():
                df = by_kenward_roger.t_df(self.source, row)
            case by_satterthwaite.VarianceParameters():
                df = by_satterthwaite.t_df(self.source, row)
            case None:
                df = float("inf")
        return t_test_of(float(row @ self.estimates), float(row @ self.vcov @ row), df, null=null)

    def f_test(self, contrasts: np.ndarray) -> FTest:
        """Return the test that ``contrasts @ estimates`` is zero; contrasts are (q, p) of full rank.

        Raises
        ------
        ValueError
            If a row is not a contrast or the rows are dependent; the message names these rows.
        """
        rows = checked_contrasts(contrasts, len(self.estimates))
        match self.source:
            case by_kenward_roger.KenwardRoger():
                return by_kenward_roger.f_test(self.source, self.estimates, rows)
            case by_satterthwaite.VarianceParameters():
                return by_satterthwaite.f_test(self.source, self.estimates, rows)
        effects = rows @ self.estimates
        wald = float(effects @ np.linalg.solve(rows @ self.vcov @ rows.T, effects)) / len(rows)
        return FTest(wald, len(rows), float("inf"), f_tail(wald, len(rows), float("inf")))


def inference(deviance: Deviance, optimum: Optimum, *, ddf: Ddf = "kenward-roger") -> Inference:
    """Return estimates, covariance and tests of the fixed effects at an optimum.

    Parameters
    ----------
    deviance
        The deviance function of the model.
    optimum
        Its minimum.
    ddf
        ``kenward-roger``, ``satterthwaite``, or ``none`` for z tests.

    Raises
    ------
    ValueError
        For a kind of degrees of freedom that does not exist.
    """
    if ddf not in get_args(Ddf):
        raise ValueError(f"ddf is {ddf!r}; available are {', '.join(get_args(Ddf))}.")
    if ddf == "kenward-roger" and optimum.method == "ml":
        optimum = optimise(deviance, method="reml")
    scaling, at = deviance.scaling, optimum.evaluation
    nu = deviance.n_rows - (deviance.n_fixed if optimum.method == "reml" else 0)
    sigma2 = at.residual / nu * scaling.scale**2
    back = by_satterthwaite.basis_to_model(scaling)
    source: by_kenward_roger.KenwardRoger | by_satterthwaite.VarianceParameters | None
    match ddf:
        case "kenward-roger":
            curvature = deviance.curvature(psi_of(deviance, optimum.theta))
            source = by_kenward_roger.kenward_roger(curvature, n_rows=deviance.n_rows, scaling=scaling)
            vcov = source.adjusted
        case "satterthwaite":
            source = by_satterthwaite.variance_parameters(deviance, optimum)
            vcov = source.fixed
        case "none":
            source = None
            vcov = back @ np.linalg.inv(at.information) @ back.T * (at.residual / nu)
    return Inference(
        estimates=scaling.offset + back @ at.coefficients,
        vcov=vcov,
        ddf=ddf,
        method=optimum.method,
        residual_variance=sigma2,
        design_root=scaling.fixed,
        source=source,
    )
