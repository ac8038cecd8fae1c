"""One set of numbers per independent cluster: what its own rows say of effects, without the other clusters.

With A_g = X_g'V_g^-1 X_g the cluster's own coefficients solve A_g theta_g = X_g'V_g^-1 y_g. A column that is
in every cluster a multiple of another, as drug is of the intercept where an animal has one drug, has no
coefficient of its own there: its multiple belongs to the cluster's design, and the other is its base.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from nwbswitch.analysis.mixed.deviance import ClusterSums, Scaling

# A column is a multiple of another when less than this part of its square is outside.
MULTIPLE: Final = 1e-9
# A contrast can be estimated in a cluster when less than this part of it is outside the rows' span.
ESTIMABLE: Final = 1e-7


@dataclass(frozen=True, slots=True)
class ClusterDesign:
    """``base`` (p,) is the base column of every column; ``multiples`` (clusters, p) the multiple of it."""

    base: np.ndarray
    multiples: np.ndarray


def in_model_columns(sums: ClusterSums, scaling: Scaling) -> tuple[np.ndarray, np.ndarray]:
    """Return X'V^-1 X (clusters, p, p) and X'V^-1 (y - X offset) (clusters, p) in the model's columns."""
    p = len(scaling.offset)
    R = scaling.fixed
    A = R.T @ sums.sums[:, :p, :p] @ R
    return 0.5 * (A + A.transpose(0, 2, 1)), scaling.scale * sums.sums[:, :p, -1] @ R


def cluster_design(A: np.ndarray) -> ClusterDesign:
    """Return bases and multiples from X'X (clusters, p, p)."""
    n_clusters, p, _ = A.shape
    squares = np.einsum("gii->gi", A)
    size = squares.max(axis=0)
    present = squares > 1e-12 * size
    base, multiples = np.arange(p), np.ones((n_clusters, p))
    for column in range(p):
        for candidate in range(column):
            if base[candidate] != candidate:
                continue
            both = squares[:, column] * squares[:, candidate]
            outside = both - A[:, column, candidate] ** 2
            inside = present[:, column]
            if np.all(present[inside, candidate]) and np.all(outside[inside] <= MULTIPLE * both[inside]):
                base[column] = candidate
                own = A[:, column, candidate]
                multiples[:, column] = np.divide(
                    own, squares[:, candidate], out=np.zeros(n_clusters), where=inside
                )
                break
    return ClusterDesign(base, multiples)


def own_values(A: np.ndarray, right: np.ndarray, contrasts: np.ndarray) -> np.ndarray:
    """Return (clusters, r) contrasts of each cluster's own coefficients, nan where it has none.

    Parameters
    ----------
    A, right
        Normal equations of every cluster, (clusters, k, k) and (clusters, k); A may be singular.
    contrasts
        (r, k).
    """
    length = np.sqrt(np.maximum(np.einsum("gii->gi", A), 0.0).max(axis=0))
    length[length == 0.0] = 1.0
    values, vectors = np.linalg.eigh(A / np.outer(length, length))
    kept = values > 1e-10 * values[:, -1:]
    scaled = contrasts / length
    along = scaled @ vectors * kept[:, None, :]
    lost = (scaled**2).sum(axis=1) - (along**2).sum(axis=2)
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=kept)
    own = np.einsum("gki,gk->gi", vectors, right / length) * inverse
    found = np.einsum("gri,gi->gr", along, own)
    found[lost > ESTIMABLE * (scaled**2).sum(axis=1)] = np.nan
    return np.asarray(found)
