"""Variance components of a fit: standard deviations, correlations, and what ended on the boundary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from nwbswitch.analysis.mixed.deviance import Deviance
from nwbswitch.analysis.mixed.model import BlockFacts, Model
from nwbswitch.analysis.mixed.optimum import SMALL, Optimum, psi_of

ROUNDING: Final = 1e-10
"""A standard deviation of this part of the residual's is zero."""


@dataclass(frozen=True, slots=True)
class VarianceComponent:
    """Standard deviation and variance of one random effect, or of the residual."""

    group: str
    term: str
    sd: float
    variance: float


@dataclass(frozen=True, slots=True)
class Correlation:
    """Correlation of two random effects of a group; not a number where a variance is zero."""

    group: str
    term_1: str
    term_2: str
    correlation: float


@dataclass(frozen=True, slots=True)
class BlockCovariance:
    """Covariance (k, k) of the effects of one bar in the model's units, and relative to the residual."""

    block: BlockFacts
    covariance: np.ndarray
    scaled: np.ndarray


def residual_variance(deviance: Deviance, optimum: Optimum) -> float:
    """Return the residual variance in squared units of the response."""
    nu = deviance.n_rows - (deviance.n_fixed if optimum.method == "reml" else 0)
    return optimum.evaluation.residual / nu * deviance.scaling.scale**2


def block_covariances(model: Model, deviance: Deviance, optimum: Optimum) -> tuple[BlockCovariance, ...]:
    """Return the covariance of every bar, in the engine's order of levels."""
    sigma2 = residual_variance(deviance, optimum)
    found = []
    for position, psi in enumerate(psi_of(deviance, optimum.theta)):
        sizes, first = deviance.scaling.effect_scales[position], 0
        for block in model.levels[position].blocks:
            part = slice(first, first + len(block.names))
            first = part.stop
            scaled = psi[part, part]
            kept = np.sqrt(np.diagonal(scaled)) > ROUNDING
            scaled = np.where(np.outer(kept, kept), scaled, 0.0)
            covariance = sigma2 * scaled / np.outer(sizes[part], sizes[part])
            found.append(BlockCovariance(block, covariance, scaled))
    return tuple(found)


def variance_components(model: Model, deviance: Deviance, optimum: Optimum) -> tuple[VarianceComponent, ...]:
    """Return the standard deviation of every random effect; the residual comes last."""
    found = [
        VarianceComponent(each.block.label, name, float(np.sqrt(variance)), float(variance))
        for each in block_covariances(model, deviance, optimum)
        for name, variance in zip(each.block.names, np.diagonal(each.covariance), strict=True)
    ]
    sigma2 = residual_variance(deviance, optimum)
    return (*found, VarianceComponent("Residual", "", float(np.sqrt(sigma2)), float(sigma2)))


def correlations(model: Model, deviance: Deviance, optimum: Optimum) -> tuple[Correlation, ...]:
    """Return the correlation of every two effects of one bar."""
    found = []
    for each in block_covariances(model, deviance, optimum):
        sd = np.sqrt(np.diagonal(each.covariance))
        names = each.block.names
        for j in range(len(sd)):
            for i in range(j + 1, len(sd)):
                product = sd[i] * sd[j]
                value = float(each.covariance[i, j] / product) if product > 0.0 else float("nan")
                found.append(Correlation(each.block.label, names[j], names[i], value))
    return tuple(found)


def zero_variances(model: Model, deviance: Deviance, optimum: Optimum) -> tuple[tuple[str, str], ...]:
    """Return (label of the bar, effect) of every variance that is zero beside the residual's."""
    return tuple(
        (each.block.label, name)
        for each in block_covariances(model, deviance, optimum)
        for name, size in zip(each.block.names, np.sqrt(np.diagonal(each.scaled)), strict=True)
        if size < SMALL
    )


def on_boundary(model: Model, deviance: Deviance, optimum: Optimum) -> tuple[str, ...]:
    """Return in words which variances are zero and which effects are perfectly correlated."""
    found = [f"{group}: {name} has variance 0" for group, name in zero_variances(model, deviance, optimum)]
    for each in block_covariances(model, deviance, optimum):
        size = np.sqrt(np.diagonal(each.scaled))
        rest = each.scaled[np.ix_(size >= SMALL, size >= SMALL)]
        if len(rest) > 1 and np.linalg.eigvalsh(rest)[0] < SMALL**2:
            found.append(f"{each.block.label}: effects are perfectly correlated")
    return tuple(found)
