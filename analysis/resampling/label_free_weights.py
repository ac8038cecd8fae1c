"""Weights of rows within clusters that do not depend on the labels that a permutation exchanges."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from nwbswitch.analysis.mixed.deviance import Deviance
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.optimum import psi_of, theta_gradient, theta_layout
from nwbswitch.analysis.resampling.cluster_summaries import ClusterDesign
from nwbswitch.analysis.resampling.restricted import restricted

# Variance, relative to the residual's, of effects that are to have no bounds.
UNBOUNDED: Final = 1e6


def label_free_psi(
    model: Model, deviance: Deviance, rows: np.ndarray, design: ClusterDesign, *, within: bool
) -> list[np.ndarray] | None:
    """Return Psi of a fit without the labels, zero at the outermost level; None if there is no such fit.

    Parameters
    ----------
    model, deviance
        The model.
    rows
        (r, p) tested contrasts.
    design
        Which columns are multiples of others in all clusters.
    within
        Whether clusters have the contrast themselves. Then the labels are the columns of one tested variable
        that is in no inner random term; else all columns that are multiples of others.
    """
    columns = np.flatnonzero(np.any(rows != 0.0, axis=0))
    inner = {
        name for level in model.levels[:-1] for block in level.blocks for term in block.terms for name in term
    }
    variables = [frozenset(model.terms[model.term_of[i]]) for i in range(len(model.names))]
    if within:
        shared = frozenset.intersection(*(variables[i] for i in columns)) - inner
        if not shared:
            return None
        in_order = [name for name in model.terms[model.term_of[columns[0]]] if name in shared]
        label = min(in_order, key=lambda name: sum(name in each for each in variables))
        dropped = [i for i in range(len(variables)) if label in variables[i]]
    else:
        dropped = [i for i in range(len(variables)) if design.base[i] != i]
        labels = {name for i in columns for name in variables[i] - variables[design.base[i]]}
        if labels & inner:
            return None
    held = restricted(deviance, np.eye(len(variables))[dropped], np.zeros(len(dropped)))
    return _inner_psi(held)


def _inner_psi(deviance: Deviance) -> list[np.ndarray]:
    """Return the most likely Psi of the inner levels if effects of the outermost have no bounds."""
    from scipy.optimize import minimize

    layout = theta_layout(deviance)
    inner = np.array([level < len(deviance.block_sizes) - 1 for level, _, _ in layout], dtype=bool)
    k = sum(deviance.block_sizes[-1])
    theta = np.array([0.5 if row == column else 0.0 for _, row, column in layout])

    def value(own: np.ndarray) -> tuple[float, np.ndarray]:
        theta[inner] = own
        psi = psi_of(deviance, theta)
        psi[-1] = UNBOUNDED * np.eye(k)
        found = deviance.evaluate(psi, method="ml")
        return found.criterion, theta_gradient(deviance, theta, found.gradient)[inner]

    if inner.any():
        search: Any = minimize  # the stubs know no function that returns its gradient too
        options = {"ftol": 1e-13, "gtol": 1e-6}
        theta[inner] = search(value, theta[inner], jac=True, method="L-BFGS-B", options=options).x
    psi = psi_of(deviance, theta)
    psi[-1] = np.zeros((k, k))
    return psi
