"""The numbers of one fit in the model's own units, without names: what is kept of a fit among thousands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.mixed.deviance import Deviance, Evaluation, Method
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.optimum import psi_of


@dataclass(frozen=True, slots=True)
class Estimates:
    """Coefficients (p,), their covariance (p, p), and the standard deviations in the order of `sd_names`."""

    coefficients: np.ndarray
    vcov: np.ndarray
    sds: np.ndarray


def estimates_of(deviance: Deviance, method: Method, theta: np.ndarray, at: Evaluation) -> Estimates:
    """Return the estimates of a fit that ended at ``theta`` with the evaluation ``at``."""
    scaling = deviance.scaling
    nu = deviance.n_rows - (deviance.n_fixed if method == "reml" else 0)
    sigma = scaling.scale * float(np.sqrt(at.residual / nu))
    back = np.linalg.inv(scaling.fixed)
    relative = [
        np.sqrt(np.diagonal(psi)) / sizes
        for psi, sizes in zip(psi_of(deviance, theta), scaling.effect_scales, strict=True)
    ]
    return Estimates(
        coefficients=scaling.offset + scaling.scale * back @ at.coefficients,
        vcov=sigma**2 * back @ np.linalg.inv(at.information) @ back.T,
        sds=sigma * np.concatenate([*relative, np.ones(1)]),
    )


def sd_names(model: Model) -> tuple[str, ...]:
    """Return the names of all standard deviations, the residual's last, as lme4's confint has them."""
    effects = [
        f"sd_{name}|{block.label}" for level in model.levels for block in level.blocks for name in block.names
    ]
    return (*effects, "sigma")
