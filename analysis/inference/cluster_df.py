"""Degrees of freedom from the number of clusters, for models whose inference is otherwise asymptotic.

A coefficient is compared with the scatter between the outermost clusters (animals). Columns that are
constant within clusters are estimated from the clusters' levels: clusters minus their rank. A column that
varies within clusters is estimated from one contrast per cluster; the columns that use the same contrast,
being multiples of each other (or zero) within every cluster after centring, share its degrees of freedom:
clusters in which one of them varies, minus their number. With one arm per animal this is the two-sample
A - 2, in a crossover the paired A - 1, and drug:epoch with arms between animals has A - 2. It is the
between-within rule of Schluchter and Elashoff (1990, J Stat Comput Simul 37:69-87), refined by the contrasts;
Li and Redden (2015, BMC Med Res Methodol 15:38) found it best for few clusters with binary outcomes.
"""

from __future__ import annotations

from typing import Final

import numpy as np

# A column varies within a cluster if its centred squares there exceed this part of its largest square.
_CONSTANT: Final = 1e-24
# Two columns are multiples of each other if the squared sine of their angle is below this.
_PARALLEL: Final = 1e-9


def cluster_df(matrix: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Return the degrees of freedom (p,) of each coefficient; not a number where less than 1 is left.

    Parameters
    ----------
    matrix
        Design of the fixed effects, (rows, p).
    clusters
        Cluster of each row, counted from 0.
    """
    n_clusters = int(clusters.max()) + 1
    counts = np.bincount(clusters, minlength=n_clusters)
    means = np.stack([np.bincount(clusters, x, minlength=n_clusters) / counts for x in matrix.T], axis=1)
    centred = matrix - means[clusters]
    squares = np.stack([np.bincount(clusters, x**2, minlength=n_clusters) for x in centred.T], axis=1)
    largest = np.abs(matrix).max(axis=0)
    size = largest**2 * counts[:, None]
    varies = squares > _CONSTANT * size
    within = varies.any(axis=0)
    found = np.empty(matrix.shape[1])
    if not within.all():
        between = means[:, ~within] / largest[~within]
        found[~within] = n_clusters - np.linalg.matrix_rank(between)
    places = [int(each) for each in np.flatnonzero(within)]
    for j in places:
        alike = [k for k in places if _same_contrast(centred, squares, varies, clusters, j, k)]
        found[j] = int(varies[:, alike].any(axis=1).sum()) - len(alike)
    return np.where(found >= 1.0, found, np.nan)


def _same_contrast(
    centred: np.ndarray, squares: np.ndarray, varies: np.ndarray, clusters: np.ndarray, j: int, k: int
) -> bool:
    both = varies[:, j] & varies[:, k]
    products = np.bincount(clusters, centred[:, j] * centred[:, k], minlength=len(squares))
    angle = squares[:, j] * squares[:, k] - products**2
    return bool(np.all(angle[both] <= _PARALLEL * (squares[:, j] * squares[:, k])[both]))
